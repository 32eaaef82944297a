/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module for the tests of what is stored: a persistent purse described by a table, that keeps
 * snapshots and gives coins away by its outbox, and a type that stores nothing. stored_test.sh
 * compiles it.
 * Invariants: a purse refuses coins while the file $PURSE_REFUSES exists. Threads: shards'.
 */
#include <stdio.h>
#include <stdlib.h>
#include <troupe/module.h>
#include <unistd.h>

struct purse {
    int64_t coins;
    char owner[16];
};
static const troupe_field purse_fields[] = {
    TROUPE_FIELD_I64(struct purse, coins),
    TROUPE_FIELD_STRING(struct purse, owner, .otherwise = "nobody"),
};

static troupe_status put(troupe_turn *turn, void *state, troupe_slice in)
{
    struct purse *self = state;
    self->coins += (int64_t)in.size;
    return troupe_reply_format(turn, "%lld", (long long)self->coins);
}

static troupe_status take(troupe_turn *turn, void *state, troupe_slice in)
{
    const char *path = getenv("PURSE_REFUSES");
    if (path != NULL && access(path, F_OK) == 0)
        return troupe_fail(turn, TROUPE_APPLICATION + 3, "not now");
    return put(turn, state, in);
}

static troupe_status give(troupe_turn *turn, void *state, troupe_slice in)
{
    struct purse *self = state;
    char to[64];
    snprintf(to, sizeof(to), "%.*s", TROUPE_ARG(in));
    self->coins--;
    TROUPE_TRY(troupe_tell(turn, troupe_id_of("purse", to), "take", troupe_str("x"),
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .outbox = true}));
    return troupe_reply_bytes(turn, troupe_str("given"));
}

/* "NAME SCHEDULE" */
static troupe_status remind(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char name[32] = "", text[96];
    int at = 0;
    snprintf(text, sizeof(text), "%.*s", TROUPE_ARG(in));
    if (sscanf(text, "%31s %n", name, &at) != 1)
        return TROUPE_USAGE;
    return troupe_remind(turn, name, text + at, "put", troupe_str("x"), NULL);
}

static const troupe_method methods[] = {
    TROUPE_METHOD(remind), TROUPE_METHOD(put), TROUPE_METHOD(take), TROUPE_METHOD(give)};
static const troupe_type purse_type = {
    TROUPE_TYPE("purse"),
    TROUPE_STATE(struct purse, purse_fields),
    TROUPE_METHODS(methods),
    .persist = TROUPE_PERSIST_EVERY_TURN,
    .retention = {.max_snapshots = 10},
};
static const troupe_type sieve_type = {
    TROUPE_TYPE("sieve"), .state_size = sizeof(struct purse), TROUPE_METHODS(methods)};

TROUPE_MODULE(&purse_type, &sieve_type)
