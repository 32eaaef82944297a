/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A member that takes nothing in for a while, though it lives: what waits for it is bounded, and
 * refused beyond that with the promise that nothing was done; what goes to the others is not; and
 * each tell that was accepted arrives. The shard of node-3 is kept in a turn meanwhile. And of an
 * actor there whose mailbox is full: who tells it from elsewhere hears of it.
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
enum { KEYS = 64, EACH = 8, ROUNDS = 10 };

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

/* Keys of actors at node-3 and of one at node-2, whose homes are there: node-1 sends right to
 * them. */
static char fars[KEYS][16], near[16];
static const char *const far = fars[0];

/* ---- who counts what comes ------------------------------------------------------------------- */

static troupe_status add(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)turn;
    (void)in;
    ++*(int *)state;
    return TROUPE_OK;
}

static troupe_status count(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    return troupe_reply_format(turn, "%d", *(int *)state);
}

/* Nothing else comes to it for so long. */
static troupe_status doze(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    return troupe_sleep(turn, TROUPE_SECONDS(3));
}

static troupe_status where(troupe_turn *turn, void *state, troupe_slice in)
{
    return nodes_methods[0].run(turn, state, in);
}

static const troupe_method book_methods[] = {
    TROUPE_METHOD(add), TROUPE_METHOD(count), TROUPE_METHOD(doze), TROUPE_METHOD(where)};
static const troupe_type book = {TROUPE_TYPE("book"), .state_size = sizeof(int),
    .mailbox_limit = 100000, TROUPE_METHODS(book_methods)};
static const troupe_type narrow = {TROUPE_TYPE("narrow"), .state_size = sizeof(int),
    .mailbox_limit = 50, TROUPE_METHODS(book_methods)};

/* ---- who calls ------------------------------------------------------------------------------- */

typedef struct tally {
    int asked, answered, busy, other;
    bool done_yet; /* of one that was refused: it may have run */
} tally;

/* "type key count": so many; how many were accepted. */
static troupe_status tell_many(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char text[64], type[16], key[32];
    int count = 0, told = 0;
    (void)snprintf(text, sizeof text, "%.*s", TROUPE_ARG(in));
    if (sscanf(text, "%15s %31s %d", type, key, &count) != 3)
        return TROUPE_USAGE;
    for (int i = 0; i < count; i++)
        told += troupe_tell(turn, troupe_id_of(type, key), "add", bulk, NULL) == TROUPE_OK;
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
        self->asked += troupe_ask_callback(turn, troupe_id_of("book", far), "count",
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

/* The first key from that number on. */
static int choose(nodes *self, int node, const char *type, int first, char key[16])
{
    int i = first;
    do
        (void)snprintf(key, 16, "key-%d", i++);
    while (nodes_home_of(self, type, key) != node);
    assert_int_equal(nodes_where(self, node, type, key), node);
    assert_int_equal(nodes_where(self, 0, type, key), node);
    return i;
}

static void open_places(nodes *self, uint32_t link_limit)
{
    const troupe_node_options options[NODES] = {
        {TROUPE_NODE_OPTIONS, .link_limit = link_limit, .ask_timeout = TROUPE_SECONDS(60)}};
    nodes_open(self, options, TROUPE_TYPES(&seat, &caller, &holder, &book, &narrow));
    for (int i = 0, next = 0; i < KEYS; i++)
        next = choose(self, 2, "book", next, fars[i]);
    (void)choose(self, 1, "book", 0, near);
    char out[64];
    ask(self, "look", "", out, sizeof out); /* it is active, whichever node its home is */
}

static int told(nodes *self, const char *type, const char *key, int count)
{
    char payload[64], out[32];
    (void)snprintf(payload, sizeof payload, "%s %s %d", type, key, count);
    ask(self, "tell_many", payload, out, sizeof out);
    return (int)strtol(out, NULL, 10);
}

/* -1: too much waits for it at the moment. */
static int counted(nodes *self, const char *type, const char *key)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = troupe_node_ask(
        self->list[0], troupe_id_of(type, key), "count", troupe_str(""), NULL, &answer);
    char out[32] = "-1";
    if (status == TROUPE_OK)
        (void)snprintf(out, sizeof out, "%.*s", TROUPE_ARG(answer.payload));
    else
        assert_int_equal(status, TROUPE_BUSY);
    troupe_answer_release(&answer);
    return (int)strtol(out, NULL, 10);
}

/* ---- scenes ---------------------------------------------------------------------------------- */

typedef struct place {
    const char *type, *key;
    int told; /* and accepted, ever */
} place;

/* Again, once it has taken in what waited. */
static bool takes_all(nodes *self, void *user)
{
    place *to = user;
    int accepted = told(self, to->type, to->key, NEAR);
    to->told += accepted;
    return accepted == NEAR;
}

static bool has_all(nodes *self, void *user)
{
    const place *to = user;
    return counted(self, to->type, to->key) == to->told;
}

static void who_tells_a_stalled_member_too_much_is_held_back_and_nobody_else(void **state)
{
    (void)state;
    enum { TELLS = 2 * MANY };
    nodes self;
    open_places(&self, 0);
    stall(&self);
    place to = {"book", far, told(&self, "book", far, TELLS)};
    assert_in_range(to.told, KEPT, TELLS - 1);
    assert_int_equal(told(&self, "book", near, NEAR), NEAR);
    assert_int_equal(nodes_where(&self, 0, "book", near), 1);
    let_go();
    nodes_await(takes_all, &self, &to);
    nodes_await(has_all, &self, &to);
    nodes_close(&self);
}

/* So many actors that no list of them is kept; the link takes less than 512 letters. */
static void each_tell_that_was_accepted_for_a_stalled_member_arrives(void **state)
{
    (void)state;
    nodes self;
    open_places(&self, LIMIT);
    stall(&self);
    place to[KEYS];
    int all = 0;
    for (int i = 0; i < KEYS; i++)
        to[i] = (place){"book", fars[i], 0};
    for (int i = 0; i < ROUNDS * KEYS; i++) {
        int accepted = told(&self, "book", fars[i % KEYS], EACH);
        to[i % KEYS].told += accepted;
        all += accepted;
    }
    /* What a turn sends is seen when it has ended: some come beyond, once for each. */
    assert_in_range(all, KEPT, KEPT + LIMIT + 2 * KEYS * EACH);
    assert_int_equal(told(&self, "book", near, NEAR), NEAR);
    let_go();
    for (int i = 0; i < KEYS; i++)
        nodes_await(has_all, &self, &to[i]);
    assert_int_equal(nodes_stats(&self, 0).dead_letters, 0);
    nodes_close(&self);
}

static bool takes_none(nodes *self, void *user)
{
    place *to = user;
    int accepted = told(self, to->type, to->key, 10);
    to->told += accepted;
    assert_in_range(to->told, 0, 1000);
    return accepted == 0;
}

/* A mailbox at node-3 is full: what node-1 sends is queued, and its shards hear that no more is
 * wanted. */
static void who_tells_a_full_mailbox_of_another_node_hears_of_it(void **state)
{
    (void)state;
    nodes self;
    open_places(&self, 0);
    char key[16];
    (void)choose(&self, 2, "narrow", 0, key);
    assert_int_equal(troupe_node_tell(self.list[0], troupe_id_of("narrow", key), "doze",
                         troupe_str(""), NULL),
        TROUPE_OK);
    place to = {"narrow", key, 0};
    nodes_await(takes_none, &self, &to);
    nodes_await(has_all, &self, &to);
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
    assert_int_equal(nodes_where(&self, 0, "book", near), 1);
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
        cmocka_unit_test(each_tell_that_was_accepted_for_a_stalled_member_arrives),
        cmocka_unit_test(who_tells_a_full_mailbox_of_another_node_hears_of_it),
        cmocka_unit_test(what_waits_for_a_stalled_member_is_bounded_and_the_rest_is_not_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
