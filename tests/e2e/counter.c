/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module for the tests of trouped: actors that count the turns that ran and write the count to
 * $COUNTER_FILE when they are deactivated, so that promises can be compared with what happened.
 * cli_test.sh compiles it.
 * Invariants: the sum of the lines of the file is the number of turns of count and count_slowly.
 * Threads: the actors' shards; lines are appended whole.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <troupe/module.h>
#include <unistd.h>

struct counter {
    long count;
};

static troupe_status count(troupe_turn *turn, void *state, troupe_slice in)
{
    struct counter *counter = state;
    (void)in;
    return troupe_reply_format(turn, "%ld", ++counter->count);
}

static troupe_status count_slowly(troupe_turn *turn, void *state, troupe_slice in)
{
    TROUPE_TRY(troupe_sleep(turn, TROUPE_MILLISECONDS(2)));
    return count(turn, state, in);
}

static troupe_status wait_long(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    TROUPE_TRY(troupe_sleep(turn, TROUPE_SECONDS(60)));
    return troupe_reply_format(turn, "woken");
}

static troupe_status relay(troupe_turn *turn, void *state, troupe_slice in)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_id other = {troupe_str("counter"), {0, 0}, in};
    (void)state;
    troupe_status status = troupe_ask(turn, other, "wait_long", troupe_str(""), NULL, &answer);
    (void)status; /* the answer says it too */
    return troupe_reply_take(turn, &answer);
}

static troupe_status echo(troupe_turn *turn, void *state, troupe_slice in)
{
    char type[200];
    (void)state;
    snprintf(type, sizeof(type), "%.*s", TROUPE_ARG(troupe_turn_content_type(turn)));
    return troupe_reply_typed(turn, type, in);
}

static void tell_count(troupe_turn *turn, void *state, troupe_reason reason)
{
    const struct counter *counter = state;
    const char *path = getenv("COUNTER_FILE");
    char line[200];
    (void)reason;
    if (path == NULL || counter->count == 0) return;
    int size = snprintf(line, sizeof(line), "%.*s %ld\n", TROUPE_ARG(troupe_turn_self(turn).key),
                        counter->count);
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0 || write(file, line, (size_t)size) != size) perror(path);
    if (file >= 0) close(file);
}

static const troupe_method methods[] = {
    TROUPE_METHOD(count), TROUPE_METHOD(count_slowly), TROUPE_METHOD(wait_long),
    TROUPE_METHOD(relay), TROUPE_METHOD(echo),
};

static const troupe_type counter_type = {
    TROUPE_TYPE("counter"),
    .state_size = sizeof(struct counter),
    TROUPE_METHODS(methods),
    .on_deactivate = tell_count,
};

TROUPE_MODULE(&counter_type)
