/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a call with a key is remembered: until the latest deadline with which it was asked and
 * max_clock_skew are over. In a world, on a store that outlives its nodes. That such a call happens
 * once at all is in durable_test.c.
 *
 * Threads: one, the test's.
 */
#include "tests/promises/stand.h"

#include "shard/shard.h"

#define DEADLINE TROUPE_SECONDS(2)
#define SKEW     TROUPE_SECONDS(10)

typedef struct tally {
    uint64_t halves, wholes;
} tally;

static troupe_status add(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    tally *self = state;
    self->halves++;
    return troupe_reply_format(turn, "%llu", (unsigned long long)++self->wholes);
}

/* The first half is stored when it asks. */
static troupe_status relay(troupe_turn *turn, void *state, troupe_slice in)
{
    tally *self = state;
    self->halves++;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    TROUPE_TRY(troupe_ask(turn, id_of("tally/other"), "add", in, NULL, &answer));
    troupe_answer_release(&answer);
    return troupe_reply_format(turn, "%llu", (unsigned long long)++self->wholes);
}

static troupe_status show(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)in;
    const tally *self = state;
    return troupe_reply_format(
        turn, "%llu, %llu", (unsigned long long)self->halves, (unsigned long long)self->wholes);
}

/* What comes meanwhile waits. */
static troupe_status rest(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    return troupe_sleep(turn, TROUPE_SECONDS(1));
}

/* The first time it ends as if its way had broken. */
static troupe_status break_first(troupe_turn *turn, void *state, troupe_slice in)
{
    static uint32_t times;
    return times++ % 2 == 0 ? troupe_fail(turn, TROUPE_UNKNOWN, "broke") : add(turn, state, in);
}

static const troupe_call_options by_itself = {
    TROUPE_CALL_OPTIONS, .timeout = DEADLINE, .once = {"itself", sizeof "itself" - 1}};

/* How often it came, and when last. */
static uint32_t refusals;
static uint64_t refused_at;

static troupe_status refuse(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    refusals++;
    refused_at = troupe_wall(turn);
    return troupe_fail(turn, TROUPE_BUSY, "not now");
}

static troupe_status break_always(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)refuse(turn, state, in);
    return TROUPE_UNKNOWN;
}

static const troupe_call_options often = {TROUPE_CALL_OPTIONS, .timeout = DEADLINE,
    .retry = {.attempts = 100, .backoff = TROUPE_MILLISECONDS(300)},
    .once = {"often", sizeof "often" - 1}};

static troupe_status ask_often(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    (void)!troupe_ask(turn, id_of("tally/other"), "refuse", in, &often, &answer);
    return troupe_reply_take(turn, &answer);
}

static void passed(troupe_turn *turn, void *state, const troupe_answer *answer, void *user)
{
    (void)turn;
    (void)user;
    tally *self = state;
    self->halves += answer->status == TROUPE_OK ? 1 : 1000;
}

/* By a callback: the first half is done when it asks, the second when the answer is there. */
static troupe_status pass_later(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    TROUPE_TRY(troupe_ask_callback(
        turn, id_of("tally/other"), "break_first", in, &by_itself, passed, NULL));
    return troupe_reply_bytes(turn, troupe_str("later"));
}

static troupe_status pass_to_two(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    const troupe_request both[] = {
        {id_of("tally/one"), "break_first", in, &by_itself}, {id_of("tally/two"), "add", in, NULL}};
    troupe_answer answers[2];
    troupe_status status = troupe_gather(turn, both, 2, NULL, answers);
    troupe_answer_release(&answers[0]);
    troupe_answer_release(&answers[1]);
    return status == TROUPE_OK ? troupe_reply_bytes(turn, troupe_str("both")) : status;
}

static const troupe_call_options again = {TROUPE_CALL_OPTIONS, .timeout = DEADLINE,
    .retry = {.attempts = 2}, .once = {"again", sizeof "again" - 1}};

static troupe_status pass_on(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    TROUPE_TRY(troupe_ask(turn, id_of("tally/other"), "break_first", in, &again, &answer));
    return troupe_reply_take(turn, &answer);
}

static const troupe_method methods[] = {TROUPE_METHOD(break_first), TROUPE_METHOD(pass_on),
    TROUPE_METHOD(refuse), TROUPE_METHOD(break_always), TROUPE_METHOD(ask_often),
    TROUPE_METHOD(pass_later), TROUPE_METHOD(pass_to_two), TROUPE_METHOD(add), TROUPE_METHOD(relay),
    TROUPE_METHOD(rest), TROUPE_READ_METHOD(show)};
static const troupe_type tally_type = {TROUPE_TYPE("tally"), .state_size = sizeof(tally),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN};

static void open_stand(stand *self)
{
    static const troupe_type *const types[] = {&tally_type};
    stand_open(self, 1,
        &(troupe_node_options){
            TROUPE_NODE_OPTIONS, .shards = 1, .max_clock_skew = SKEW, .idle = TROUPE_NEVER},
        types, 1);
}

static heard ask_as(stand *self, const char *method, const char *key)
{
    return ask_with(self->node, "tally/x", method, "",
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .timeout = DEADLINE, .once = troupe_str(key)});
}

/* Another call makes the actor look for keys that nobody can ask for any more. */
static void sweep(stand *self, const char *key)
{
    assert_heard(ask_as(self, "add", key), TROUPE_OK);
    stand_run(self, TROUPE_SECONDS(1));
}

static void asks_again(stand *self, const char *text)
{
    heard got = ask_as(self, "add", "k");
    assert_heard(got, TROUPE_OK);
    assert_string_equal(got.text, text);
}

/* ---- promises -------------------------------------------------------------------------------- */

static void a_key_is_remembered_until_its_deadline_and_the_skew_are_over(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    asks_again(&at, "1");
    stand_run(&at, DEADLINE + SKEW - TROUPE_SECONDS(2));
    sweep(&at, "s1");
    asks_again(&at, "1");
    stand_run(&at, 3 * (DEADLINE + SKEW));
    sweep(&at, "s2");
    asks_again(&at, "4"); /* it names a new call */
    stand_close(&at);
}

static void a_key_asked_again_is_remembered_until_the_later_deadline(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    asks_again(&at, "1");
    for (uint32_t i = 0; i < 5; i++) {
        char key[8];
        snprintf(key, sizeof key, "s%u", i);
        stand_run(&at, DEADLINE + SKEW - TROUPE_SECONDS(2));
        asks_again(&at, "1");
        stand_crash(&at);
        stand_run(&at, TROUPE_SECONDS(3)); /* behind the end of the time before */
        sweep(&at, key);
        asks_again(&at, "1");
    }
    stand_close(&at);
}

static void a_call_that_was_interrupted_is_remembered_as_long(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    static call first;
    troupe_client *client = NULL;
    assert_ok(troupe_client_open(at.node, &client));
    const troupe_call_options options = {
        TROUPE_CALL_OPTIONS, .timeout = DEADLINE, .once = troupe_str("k")};
    assert_ok(troupe_client_ask_callback(
        client, id_of("tally/x"), "relay", troupe_str(""), &options, call_over, &first));
    while (stats_of(at.node).commits == 0)
        assert_true(tp_world_step(at.world));
    stand_crash(&at);
    assert_status(ask_as(&at, "relay", "k").status, TROUPE_INTERRUPTED);
    stand_run(&at, DEADLINE + SKEW - TROUPE_SECONDS(2));
    assert_status(ask_as(&at, "relay", "k").status, TROUPE_INTERRUPTED);
    stand_run(&at, TROUPE_SECONDS(5));
    sweep(&at, "s");
    assert_status(ask_as(&at, "relay", "k").status, TROUPE_INTERRUPTED);
    assert_string_equal(ask(at.node, "tally/x", "show", "").text, "2, 1");
    stand_close(&at);
}

static uint64_t (*world_wall)(tp_env *env);

static uint64_t wall_of_tomorrow(tp_env *env)
{
    return world_wall(env) + TROUPE_HOURS(24);
}

/* Links keep what could not be sent for as long as both nodes are members: such a copy comes behind
 * all that was known of its call. */
static void a_call_that_comes_when_its_key_may_be_forgotten_is_unknown(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    static call late;
    troupe_client *client = NULL;
    assert_ok(troupe_client_open(at.node, &client));
    tell(at.node, "tally/x", "rest", "");
    stand_run(&at, TROUPE_MILLISECONDS(100));
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = DEADLINE,
        .retry = {.attempts = 1}, /* no copy is made here */
        .once = troupe_str("k")};
    assert_ok(troupe_client_ask_callback(
        client, id_of("tally/x"), "add", troupe_str(""), &options, call_over, &late));
    stand_run(&at, TROUPE_MILLISECONDS(100));
    world_wall = at.env->wall;
    at.env->wall = wall_of_tomorrow;
    stand_run(&at, TROUPE_SECONDS(1));
    assert_int_equal(late.ends, 1);
    assert_status(late.got.status, TROUPE_UNKNOWN);
    assert_int_equal(late.got.outcome, TROUPE_UNKNOWN_OUTCOME);
    assert_string_equal(ask(at.node, "tally/x", "show", "").text, "0, 0");
    asks_again(&at, "1"); /* sent now, and as new as its deadline */
    at.env->wall = world_wall;
    troupe_client_close(client);
    stand_close(&at);
}

static void a_retry_asks_a_call_once_again_when_its_way_broke(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    assert_heard(ask_with(at.node, "tally/x", "break_first", "", &again), TROUPE_OK);
    assert_heard(ask(at.node, "tally/x", "pass_on", ""), TROUPE_OK);
    assert_string_equal(ask(at.node, "tally/x", "show", "").text, "1, 1");
    assert_string_equal(ask(at.node, "tally/other", "show", "").text, "1, 1");
    stand_close(&at);
}

/* Else an attempt might come when its key is forgotten, and run again. */
static void a_retry_of_a_call_once_ends_with_its_first_deadline(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    const char *const ids[] = {"tally/x", "tally/y"};
    const char *const methods_asked[] = {"refuse", "ask_often"};
    for (int i = 0; i < 2; i++) {
        refusals = 0;
        uint64_t begin = at.env->wall(at.env);
        const troupe_call_options long_one = {TROUPE_CALL_OPTIONS, .timeout = 30 * DEADLINE};
        heard got = ask_with(at.node, ids[i], methods_asked[i], "", i == 0 ? &often : &long_one);
        assert_status(got.status, TROUPE_BUSY);
        assert_true(refusals > 2);
        assert_true(refused_at <= begin + DEADLINE);
    }
    stand_close(&at);
}

static void callbacks_and_gathers_ask_a_call_once_again_by_themselves(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    static call outside;
    troupe_client *client = NULL;
    assert_ok(troupe_client_open(at.node, &client));
    assert_ok(troupe_client_ask_callback(
        client, id_of("tally/x"), "break_first", troupe_str(""), &by_itself, call_over, &outside));
    stand_run(&at, TROUPE_SECONDS(1));
    assert_int_equal(outside.ends, 1);
    assert_heard(outside.got, TROUPE_OK);
    assert_string_equal(outside.got.text, "1");
    assert_heard(ask(at.node, "tally/later", "pass_later", ""), TROUPE_OK);
    stand_run(&at, TROUPE_SECONDS(1));
    assert_string_equal(ask(at.node, "tally/later", "show", "").text, "1, 0");
    assert_string_equal(ask(at.node, "tally/other", "show", "").text, "1, 1");
    assert_heard(ask(at.node, "tally/x", "pass_to_two", ""), TROUPE_OK);
    assert_string_equal(ask(at.node, "tally/one", "show", "").text, "1, 1");
    troupe_client_close(client);
    stand_close(&at);
}

static void a_callback_is_told_when_it_was_asked_again_in_vain(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    static call broken, cancelled;
    troupe_client *client = NULL;
    troupe_cancel *cancel = NULL;
    assert_ok(troupe_client_open(at.node, &client));
    assert_ok(troupe_cancel_create(at.node, &cancel));
    refusals = 0;
    assert_ok(troupe_client_ask_callback(
        client, id_of("tally/x"), "break_always", troupe_str(""), &by_itself, call_over, &broken));
    stand_run(&at, DEADLINE + TROUPE_SECONDS(1));
    assert_int_equal(broken.ends, 1);
    assert_status(broken.got.status, TROUPE_UNKNOWN);
    assert_true(refusals > 5);
    const troupe_call_options options = {
        TROUPE_CALL_OPTIONS, .timeout = DEADLINE, .once = troupe_str("other"), .cancel = cancel};
    assert_ok(troupe_client_ask_callback(
        client, id_of("tally/x"), "break_always", troupe_str(""), &options, call_over, &cancelled));
    stand_run(&at, TROUPE_MILLISECONDS(1700)); /* it pauses nearly all the time */
    troupe_cancel_fire(cancel);
    stand_run(&at, TROUPE_MILLISECONDS(100));
    assert_int_equal(cancelled.ends, 1);
    assert_status(cancelled.got.status, TROUPE_CANCELLED);
    troupe_cancel_destroy(cancel);
    /* One that pauses when the node closes. */
    static call closed;
    const troupe_call_options last = {
        TROUPE_CALL_OPTIONS, .timeout = TROUPE_HOURS(1), .once = troupe_str("last")};
    assert_ok(troupe_client_ask_callback(
        client, id_of("tally/x"), "break_always", troupe_str(""), &last, call_over, &closed));
    stand_run(&at, TROUPE_SECONDS(2));
    troupe_client_close(client);
    stand_close(&at);
    assert_int_equal(closed.ends, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_remembered_until_its_deadline_and_the_skew_are_over),
        cmocka_unit_test(a_key_asked_again_is_remembered_until_the_later_deadline),
        cmocka_unit_test(a_call_that_was_interrupted_is_remembered_as_long),
        cmocka_unit_test(a_call_that_comes_when_its_key_may_be_forgotten_is_unknown),
        cmocka_unit_test(a_retry_asks_a_call_once_again_when_its_way_broke),
        cmocka_unit_test(a_retry_of_a_call_once_ends_with_its_first_deadline),
        cmocka_unit_test(callbacks_and_gathers_ask_a_call_once_again_by_themselves),
        cmocka_unit_test(a_callback_is_told_when_it_was_asked_again_in_vain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
