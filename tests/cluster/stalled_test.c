/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A member that takes nothing in for a while, though it lives: what waits for it is bounded, and
 * refused beyond that with the promise that nothing was done; what goes to the others is not. The
 * shard of node-3 is kept in a turn meanwhile.
 */
#include "nodes.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <troupe.h>

#include <cmocka.h>

/* A link keeps 16 MiB: so many messages of BYTES, and then those wait that come. */
enum { LIMIT = 64, BYTES = 64 << 10, KEPT = 256, MANY = 700, NEAR = 100 };

static const char filler[BYTES];
static const troupe_slice bulk = {filler, BYTES};

/* ---- a turn that ends when it is let go ------------------------------------------------------ */

typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_shut, is_held;
} gate;

static gate the_gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static troupe_status hold(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)turn;
    (void)state;
    (void)in;
    pthread_mutex_lock(&the_gate.lock);
    the_gate.is_held = true;
    pthread_cond_broadcast(&the_gate.changed);
    while (the_gate.is_shut)
        pthread_cond_wait(&the_gate.changed, &the_gate.lock);
    pthread_mutex_unlock(&the_gate.lock);
    return TROUPE_OK;
}

static void stall(nodes *self)
{
    the_gate.is_shut = true;
    the_gate.is_held = false;
    assert_int_equal(troupe_node_tell(self->list[2], troupe_id_of("holder", "x"), "hold",
                         troupe_str(""), NULL),
        TROUPE_OK);
    pthread_mutex_lock(&the_gate.lock);
    while (!the_gate.is_held)
        pthread_cond_wait(&the_gate.changed, &the_gate.lock);
    pthread_mutex_unlock(&the_gate.lock);
}

static void let_go(void)
{
    pthread_mutex_lock(&the_gate.lock);
    the_gate.is_shut = false;
    pthread_cond_broadcast(&the_gate.changed);
    pthread_mutex_unlock(&the_gate.lock);
}

/* Keys of an actor at node-3 and of one at node-2, whose homes are there: node-1 sends right to
 * them. */
static char far[16], near[16];

/* ---- who calls ------------------------------------------------------------------------------- */

typedef struct tally {
    int asked, answered, busy, other;
    bool done_yet; /* of one that was refused: it may have run */
} tally;

static troupe_status tell_many(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char text[64], key[32];
    int count = 0, told = 0;
    (void)snprintf(text, sizeof text, "%.*s", TROUPE_ARG(in));
    if (sscanf(text, "%31s %d", key, &count) != 2)
        return TROUPE_USAGE;
    for (int i = 0; i < count; i++)
        told += troupe_tell(turn, troupe_id_of("seat", key), "where", bulk, NULL) == TROUPE_OK;
    return troupe_reply_format(turn, "%d", told);
}

static void came(troupe_turn *turn, void *state, const troupe_answer *answer, void *user)
{
    (void)turn;
    (void)user;
    tally *self = state;
    self->answered += answer->status == TROUPE_OK;
    self->busy += answer->status == TROUPE_BUSY;
    self->other += answer->status != TROUPE_OK && answer->status != TROUPE_BUSY;
    self->done_yet = self->done_yet ||
                     (answer->status == TROUPE_BUSY && answer->outcome != TROUPE_NOT_DONE);
}

static troupe_status ask_many(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    tally *self = state;
    for (int i = 0; i < MANY; i++)
        self->asked += troupe_ask_callback(turn, troupe_id_of("seat", far), "where",
                           bulk, NULL, came, NULL) == TROUPE_OK;
    return troupe_reply_format(turn, "%d", self->asked);
}

static troupe_status look(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    const tally *self = state;
    return troupe_reply_format(
        turn, "%d %d %d %d", self->answered, self->busy, self->other, self->done_yet);
}

static const troupe_method caller_methods[] = {
    TROUPE_METHOD(tell_many), TROUPE_METHOD(ask_many), TROUPE_METHOD(look)};
static const troupe_type caller = {
    TROUPE_TYPE("caller"), .state_size = sizeof(tally), TROUPE_METHODS(caller_methods)};
static const troupe_method holder_methods[] = {TROUPE_METHOD(hold)};
static const troupe_type holder = {TROUPE_TYPE("holder"), TROUPE_METHODS(holder_methods)};

static void ask(nodes *self, const char *method, const char *payload, char *out, size_t size)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    assert_int_equal(troupe_node_ask(self->list[0], troupe_id_of("caller", "one"), method,
                         troupe_str(payload), NULL, &answer),
        TROUPE_OK);
    (void)snprintf(out, size, "%.*s", TROUPE_ARG(answer.payload));
    troupe_answer_release(&answer);
}

static void choose(nodes *self, int node, char key[16])
{
    for (int i = 0; i == 0 || nodes_home_of(self, "seat", key) != node; i++)
        (void)snprintf(key, 16, "key-%d", i);
    assert_int_equal(nodes_where(self, node, "seat", key), node);
    assert_int_equal(nodes_where(self, 0, "seat", key), node);
}

static void open_places(nodes *self, uint32_t link_limit)
{
    const troupe_node_options options[NODES] = {
        {TROUPE_NODE_OPTIONS, .link_limit = link_limit, .ask_timeout = TROUPE_SECONDS(60)}};
    nodes_open(self, options, TROUPE_TYPES(&seat, &caller, &holder));
    choose(self, 2, far);
    choose(self, 1, near);
    char out[64];
    ask(self, "look", "", out, sizeof out); /* it is active, whichever node its home is */
}

static int told(nodes *self, const char *key, int count)
{
    char payload[64], out[32];
    (void)snprintf(payload, sizeof payload, "%s %d", key, count);
    ask(self, "tell_many", payload, out, sizeof out);
    return (int)strtol(out, NULL, 10);
}

/* ---- scenes ---------------------------------------------------------------------------------- */

/* Again, once it has taken in what waited. */
static bool takes_all(nodes *self, void *user)
{
    (void)user;
    return told(self, far, NEAR) == NEAR;
}

static void who_tells_a_stalled_member_too_much_is_held_back_and_nobody_else(void **state)
{
    (void)state;
    enum { TELLS = 2 * MANY };
    nodes self;
    open_places(&self, 0);
    stall(&self);
    assert_in_range(told(&self, far, TELLS), KEPT, TELLS - 1);
    assert_int_equal(told(&self, near, NEAR), NEAR);
    assert_int_equal(nodes_where(&self, 0, "seat", near), 1);
    let_go();
    nodes_await(takes_all, &self, NULL);
    nodes_close(&self);
}

typedef struct counts {
    int answered, busy, other, done_yet;
} counts;

static counts see(nodes *self)
{
    char out[64];
    counts seen;
    ask(self, "look", "", out, sizeof out);
    assert_int_equal(
        sscanf(out, "%d %d %d %d", &seen.answered, &seen.busy, &seen.other, &seen.done_yet), 4);
    return seen;
}

static bool all_came(nodes *self, void *user)
{
    counts seen = see(self);
    (void)user;
    return seen.answered + seen.busy + seen.other == MANY;
}

static void what_waits_for_a_stalled_member_is_bounded_and_the_rest_is_not_done(void **state)
{
    (void)state;
    nodes self;
    char out[32];
    open_places(&self, LIMIT);
    uint64_t busy_before = nodes_stats(&self, 0).busy_link;
    stall(&self);
    ask(&self, "ask_many", "", out, sizeof out);
    assert_string_equal(out, "700");
    counts seen = see(&self);
    assert_in_range(seen.busy, 1, MANY - KEPT / 2 - LIMIT);
    assert_int_equal(seen.answered, 0);
    assert_int_equal(seen.other, 0);
    assert_false(seen.done_yet);
    assert_int_equal(nodes_stats(&self, 0).busy_link - busy_before, seen.busy);
    assert_int_equal(nodes_where(&self, 0, "seat", near), 1);
    let_go();
    nodes_await(all_came, &self, NULL);
    assert_int_equal(see(&self).busy, seen.busy);
    assert_int_equal(see(&self).answered, MANY - seen.busy);
    nodes_close(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_tells_a_stalled_member_too_much_is_held_back_and_nobody_else),
        cmocka_unit_test(what_waits_for_a_stalled_member_is_bounded_and_the_rest_is_not_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
