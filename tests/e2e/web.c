/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module for the tests of the gateway: actors that answer as they are told, with any status,
 * late, with nothing, with what they were sent; one that reads and answers by a schema; one that
 * persists every turn. tests/gateway compiles it.
 * Invariants: none of its own. Threads: the actors' shards.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <troupe/module.h>
#include <unistd.h>

struct sum {
    int64_t total;
};
static const troupe_field sum_fields[] = {TROUPE_FIELD_I64(struct sum, total)};
static const troupe_schema sum_schema = TROUPE_SCHEMA(struct sum, sum_fields);

struct part {
    int64_t amount;
};
static const troupe_field part_fields[] = {
    TROUPE_FIELD_I64(struct part, amount, .required = true)};
static const troupe_schema part_schema = TROUPE_SCHEMA(struct part, part_fields);

static long number_of(troupe_slice in)
{
    char text[32];
    snprintf(text, sizeof(text), "%.*s", TROUPE_ARG(in));
    return strtol(text, NULL, 10);
}

static troupe_status echo(troupe_turn *turn, void *state, troupe_slice in)
{
    char type[256];
    (void)state;
    snprintf(type, sizeof(type), "%.*s", TROUPE_ARG(troupe_turn_content_type(turn)));
    return troupe_reply_typed(turn, type, in);
}

static troupe_status nothing(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    return troupe_reply_bytes(turn, troupe_str(""));
}

static troupe_status fail(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    return troupe_fail(turn, (troupe_status)number_of(in), "as I was told: %ld", number_of(in));
}

static troupe_status panic(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    troupe_panic(turn, "as I was told");
}

/* A type of content that would add a field to the head. */
static troupe_status split(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    return troupe_reply_typed(turn, "text/plain\r\nX-Evil: 1", in);
}

static troupe_status late(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    TROUPE_TRY(troupe_sleep(turn, TROUPE_MILLISECONDS(number_of(in))));
    return troupe_reply_format(turn, "late");
}

static troupe_status add(troupe_turn *turn, void *state, troupe_slice in)
{
    struct sum *sum = state;
    struct part part;
    TROUPE_TRY(troupe_decode(turn, &part_schema, in, &part));
    sum->total += part.amount;
    return troupe_reply(turn, &sum_schema, sum);
}

/* Waits for somebody who writes into the pipe of that path. */
static void await(void *path)
{
    char byte;
    int pipe = open(path, O_RDONLY);
    (void)!read(pipe, &byte, 1);
    (void)close(pipe);
}

static void rest(void *unused)
{
    (void)unused;
}

/* Blocks on a pipe, and then once more on nothing, on threads of the pool. */
static troupe_status block(troupe_turn *turn, void *state, troupe_slice in)
{
    char path[256];
    (void)state;
    snprintf(path, sizeof(path), "%.*s", TROUPE_ARG(in));
    TROUPE_TRY(troupe_blocking(turn, await, path));
    TROUPE_TRY(troupe_blocking(turn, rest, NULL));
    return troupe_reply_bytes(turn, troupe_str(""));
}

/* Adds, and has not ended until somebody writes into the pipe of that path. */
static troupe_status add_late(troupe_turn *turn, void *state, troupe_slice in)
{
    struct sum *sum = state;
    sum->total += 1000;
    return block(turn, state, in);
}

static const troupe_method methods[] = {TROUPE_METHOD(echo), TROUPE_METHOD(nothing),
    TROUPE_METHOD(fail), TROUPE_METHOD(panic), TROUPE_METHOD(split), TROUPE_METHOD(late),
    TROUPE_METHOD(add), TROUPE_METHOD(add_late)};

static const troupe_type web = {TROUPE_TYPE("web"), TROUPE_STATE(struct sum, sum_fields),
    TROUPE_METHODS(methods)};
static const troupe_type vault = {TROUPE_TYPE("vault"), TROUPE_STATE(struct sum, sum_fields),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN};

/* A state without a schema: the byte that the last message began with, again and again. */
struct plain {
    char bytes[8];
};

static troupe_status keep(troupe_turn *turn, void *state, troupe_slice in)
{
    struct plain *plain = state;
    memset(plain->bytes, in.size != 0 ? *(const char *)in.data : 0, sizeof(plain->bytes));
    return troupe_reply_bytes(turn, in);
}

static const troupe_method plain_methods[] = {TROUPE_METHOD(keep)};
static const troupe_type plain = {TROUPE_TYPE("plain"), .state_size = sizeof(struct plain),
    TROUPE_METHODS(plain_methods), .persist = TROUPE_PERSIST_EVERY_TURN};

/* Counts what reminders and timers make it do, and keeps what the last of them brought. */
struct bell {
    int64_t rings, reminded, ticks, timed;
    char last[64];
};

static troupe_status note(troupe_turn *turn, struct bell *bell, int64_t *count, troupe_slice in)
{
    (void)turn;
    ++*count;
    snprintf(bell->last, sizeof(bell->last), "%.*s", TROUPE_ARG(in));
    return TROUPE_OK;
}

static troupe_status ring(troupe_turn *turn, void *state, troupe_slice in)
{
    struct bell *bell = state;
    return note(turn, bell, &bell->rings, in);
}

static troupe_status reminded(troupe_turn *turn, void *state, troupe_slice in)
{
    struct bell *bell = state;
    return note(turn, bell, &bell->reminded, in);
}

static troupe_status tick(troupe_turn *turn, void *state, troupe_slice in)
{
    struct bell *bell = state;
    return note(turn, bell, &bell->ticks, in);
}

static troupe_status timed(troupe_turn *turn, void *state, troupe_slice in)
{
    struct bell *bell = state;
    return note(turn, bell, &bell->timed, in);
}

static troupe_status heard(troupe_turn *turn, void *state, troupe_slice in)
{
    const struct bell *bell = state;
    (void)in;
    return troupe_reply_format(turn,
        "ring %lld receiveReminder %lld tick %lld receiveTimer %lld %s", (long long)bell->rings,
        (long long)bell->reminded, (long long)bell->ticks, (long long)bell->timed, bell->last);
}

static const troupe_method bell_methods[] = {TROUPE_METHOD(ring), TROUPE_METHOD(tick),
    TROUPE_METHOD(block), TROUPE_METHOD(heard), {.name = "receiveReminder", .run = reminded},
    {.name = "receiveTimer", .run = timed}};
static const troupe_type bell = {TROUPE_TYPE("bell"), .state_size = sizeof(struct bell),
    TROUPE_METHODS(bell_methods), .persist = TROUPE_PERSIST_EVERY_TURN};
/* The same in memory only. */
static const troupe_type egg = {TROUPE_TYPE("egg"), .state_size = sizeof(struct bell),
    TROUPE_METHODS(bell_methods)};

/* One whose actors are stopped when they panic. */
static const troupe_type frail = {TROUPE_TYPE("frail"), TROUPE_STATE(struct sum, sum_fields),
    TROUPE_METHODS(methods), .supervision = {.on_panic = TROUPE_SUPERVISE_STOP}};

TROUPE_MODULE(&web, &vault, &plain, &bell, &egg, &frail)
