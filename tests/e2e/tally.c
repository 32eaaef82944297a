/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module for the tests of real clusters: registers that are added to, read and set, of which one
 * type lives in memory and one in the store. Each answer is the value afterwards, so a history of
 * calls shows what each has seen. The tests of this folder compile it.
 * Invariants: a call changes or reads the value at one moment. Threads: the actors' shards.
 */
#include <stdio.h>
#include <stdlib.h>
#include <troupe/module.h>
#include <unistd.h>

struct tally {
    int64_t value;
};
static const troupe_field tally_fields[] = {
    TROUPE_FIELD_I64(struct tally, value),
};

static int64_t number_in(troupe_slice in)
{
    char text[32];
    snprintf(text, sizeof(text), "%.*s", TROUPE_ARG(in));
    return strtoll(text, NULL, 10);
}

static troupe_status add(troupe_turn *turn, void *state, troupe_slice in)
{
    struct tally *self = state;
    self->value += number_in(in);
    return troupe_reply_format(turn, "%lld", (long long)self->value);
}

/* Gives way within the turn: what of two turns of one actor overlapped would be lost here. */
static troupe_status add_slowly(troupe_turn *turn, void *state, troupe_slice in)
{
    struct tally *self = state;
    int64_t seen = self->value;
    TROUPE_TRY(troupe_sleep(turn, TROUPE_MILLISECONDS(2)));
    self->value = seen + number_in(in);
    return troupe_reply_format(turn, "%lld", (long long)self->value);
}

static troupe_status set(troupe_turn *turn, void *state, troupe_slice in)
{
    struct tally *self = state;
    self->value = number_in(in);
    return troupe_reply_format(turn, "%lld", (long long)self->value);
}

static troupe_status show(troupe_turn *turn, void *state, troupe_slice in)
{
    const struct tally *self = state;
    (void)in;
    return troupe_reply_format(turn, "%lld", (long long)self->value);
}

/* The process that runs it. */
static troupe_status pid(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    return troupe_reply_format(turn, "%ld", (long)getpid());
}

static const troupe_method methods[] = {TROUPE_METHOD(add), TROUPE_METHOD(add_slowly),
    TROUPE_METHOD(set), TROUPE_METHOD(show), TROUPE_METHOD(pid)};
static const troupe_type tally_type = {
    TROUPE_TYPE("tally"), TROUPE_STATE(struct tally, tally_fields), TROUPE_METHODS(methods)};
static const troupe_type ledger_type = {TROUPE_TYPE("ledger"),
    TROUPE_STATE(struct tally, tally_fields),
    TROUPE_METHODS(methods),
    .persist = TROUPE_PERSIST_EVERY_TURN};

TROUPE_MODULE(&tally_type, &ledger_type)
