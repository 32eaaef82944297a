/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What NOT_DONE says of a call once: that none with its key has taken effect here, nor will one
 * that waits. Who asked twice, or whose node did when a way broke, is told UNKNOWN else. How long a
 * key is remembered is in once_window_test.c.
 *
 * Threads: one, the test's.
 */
#include "tests/promises/stand.h"

typedef struct tally {
    uint64_t count;
} tally;

static troupe_status add(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    tally *self = state;
    return troupe_reply_format(turn, "%llu", (unsigned long long)++self->count);
}

/* What comes meanwhile waits. */
static troupe_status rest(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    return troupe_sleep(turn, MS(500));
}

static bool may_do_well;

/* Fails the first time, and has done nothing. */
static troupe_status try_it(troupe_turn *turn, void *state, troupe_slice in)
{
    bool fails = !may_do_well;
    may_do_well = true;
    return fails ? troupe_fail(turn, TROUPE_APPLICATION + 1, "not now") : add(turn, state, in);
}

static troupe_status show(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)in;
    const tally *self = state;
    return troupe_reply_format(turn, "%llu", (unsigned long long)self->count);
}

static const troupe_method methods[] = {TROUPE_METHOD(add), TROUPE_METHOD(rest),
    TROUPE_METHOD(try_it), TROUPE_READ_METHOD(show)};
static const troupe_type tally_type = {TROUPE_TYPE("tally"), .state_size = sizeof(tally),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN, .mailbox_limit = 3};

typedef struct town {
    stand at;
    troupe_client *client;
    call first, second;
} town;

static void open_town(town *self)
{
    static const troupe_type *const types[] = {&tally_type};
    *self = (town){.client = NULL};
    stand_open(&self->at, 1,
        &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 1, .idle = TROUPE_NEVER}, types, 1);
    assert_ok(troupe_client_open(self->at.node, &self->client));
    shows(&self->at, "tally/x", "0"); /* it is loaded */
    may_do_well = false;
}

static void close_town(town *self)
{
    troupe_client_close(self->client);
    stand_close(&self->at);
}

static void ask_as(town *self, call *made, const char *method, const char *key)
{
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .once = troupe_str(key)};
    assert_ok(troupe_client_ask_callback(
        self->client, id_of("tally/x"), method, troupe_str(""), &options, call_over, made));
}

/* The first one failed with this status; it is NOT_DONE only if the second has another key. */
static void assert_told(town *self, bool is_same, troupe_status status)
{
    stand_run(&self->at, TROUPE_SECONDS(5));
    assert_int_equal(atomic_load(&self->first.ends), 1);
    assert_status(self->first.got.status, status);
    assert_int_equal(
        self->first.got.outcome, is_same ? TROUPE_UNKNOWN_OUTCOME : TROUPE_NOT_DONE);
    assert_int_equal(atomic_load(&self->second.ends), 1);
    assert_heard(self->second.got, TROUPE_OK);
    shows(&self->at, "tally/x", "1");
}

/* ---- promises -------------------------------------------------------------------------------- */

static void one_refused_by_a_full_mailbox_in_which_another_waits_is_unknown(void **state)
{
    (void)state;
    for (int is_same = 0; is_same < 2; is_same++) {
        town self;
        open_town(&self);
        tell(self.at.node, "tally/x", "rest", "");
        stand_run(&self.at, MS(10));
        ask_as(&self, &self.second, "add", "k");
        for (int i = 0; i < 2; i++)
            tell(self.at.node, "tally/x", "rest", "");
        stand_run(&self.at, MS(10));
        ask_as(&self, &self.first, "add", is_same ? "k" : "other");
        assert_told(&self, is_same, TROUPE_BUSY);
        close_town(&self);
    }
}

static void a_turn_that_fails_while_another_waits_is_unknown(void **state)
{
    (void)state;
    for (int is_same = 0; is_same < 2; is_same++) {
        town self;
        open_town(&self);
        ask_as(&self, &self.first, "try_it", "k");
        ask_as(&self, &self.second, "try_it", is_same ? "k" : "other");
        assert_told(&self, is_same, TROUPE_APPLICATION + 1);
        close_town(&self);
    }
}

/* Its turn did well, and is followed by another when the store refuses what it did. */
static void one_whose_commit_is_refused_while_another_waits_is_unknown(void **state)
{
    (void)state;
    for (int is_same = 0; is_same < 2; is_same++) {
        town self;
        open_town(&self);
        const tp_fault_plan plan = {.at = 1, .fault = TP_FAULT_REFUSED};
        tp_faulty_store_plan(self.at.store, &plan);
        ask_as(&self, &self.first, "add", "k");
        tell(self.at.node, "tally/x", "rest", "");
        ask_as(&self, &self.second, "add", is_same ? "k" : "other");
        assert_told(&self, is_same, TROUPE_UNAVAILABLE);
        assert_int_equal(tp_faulty_store_count(self.at.store, TP_FAULT_REFUSED), 1);
        close_town(&self);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_refused_by_a_full_mailbox_in_which_another_waits_is_unknown),
        cmocka_unit_test(a_turn_that_fails_while_another_waits_is_unknown),
        cmocka_unit_test(one_whose_commit_is_refused_while_another_waits_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
