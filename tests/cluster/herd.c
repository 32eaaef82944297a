/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module for the test of who wakes whom: sheep that persist and count how often a reminder of
 * theirs rang, and a shepherd who asks many of them. wakes_test.sh compiles it.
 * Threads: shards'.
 */
#include <stdio.h>
#include <stdlib.h>
#include <troupe/module.h>

typedef struct sheep {
    int64_t rings;
} sheep;

static troupe_status set(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char schedule[96];
    snprintf(schedule, sizeof(schedule), "%.*s", TROUPE_ARG(in));
    TROUPE_TRY(troupe_remind(turn, "bell", schedule, "ring", troupe_str(""), NULL));
    return troupe_reply_format(turn, "0");
}

static troupe_status ring(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)turn;
    (void)in;
    sheep *self = state;
    self->rings++;
    return TROUPE_OK;
}

static troupe_status rings(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)in;
    const sheep *self = state;
    return troupe_reply_format(turn, "%lld", (long long)self->rings);
}

/* "COUNT METHOD [PAYLOAD]": asks sheep 0 to COUNT - 1, and replies the sum of what they say. */
static troupe_status each(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char text[160], method[16], key[16];
    int count, at = 0;
    long long sum = 0;
    snprintf(text, sizeof(text), "%.*s", TROUPE_ARG(in));
    if (sscanf(text, "%d %15s %n", &count, method, &at) != 2)
        return TROUPE_USAGE;
    for (int i = 0; i < count; i++) {
        troupe_answer answer = TROUPE_ANSWER_INIT;
        snprintf(key, sizeof(key), "%d", i);
        troupe_status status = troupe_ask(
            turn, troupe_id_of("sheep", key), method, troupe_str(text + at), NULL, &answer);
        if (status != TROUPE_OK)
            return troupe_reply_take(turn, &answer);
        snprintf(key, sizeof(key), "%.*s", TROUPE_ARG(answer.payload));
        sum += strtoll(key, NULL, 10);
        troupe_answer_release(&answer);
    }
    return troupe_reply_format(turn, "%lld", sum);
}

static const troupe_method sheep_methods[] = {
    TROUPE_METHOD(set), TROUPE_METHOD(ring), TROUPE_READ_METHOD(rings)};
static const troupe_type sheep_type = {TROUPE_TYPE("sheep"), .state_size = sizeof(sheep),
    TROUPE_METHODS(sheep_methods), .persist = TROUPE_PERSIST_EVERY_TURN};
static const troupe_method shepherd_methods[] = {TROUPE_METHOD(each)};
static const troupe_type shepherd_type = {
    TROUPE_TYPE("shepherd"), TROUPE_METHODS(shepherd_methods)};

TROUPE_MODULE(&sheep_type, &shepherd_type)
