/* SPDX-License-Identifier: Apache-2.0 */
/*
 * P5 to P7 on one node with real threads and a real file: what was answered is there after the node
 * is gone, calls once happen once, outbox messages and the answers of troupe_ask_then arrive once.
 * Crashes of the process are in tests/crash; unknown outcomes in tests/promises/unknown_test.c.
 */
#include "tests/promises/place.h"

typedef struct purse {
    int64_t coins;
    int64_t moves;
    int64_t refunds;
    int64_t runs;
} purse;

static int64_t number_of(troupe_slice text)
{
    char digits[32];
    size_t size = text.size < sizeof digits ? text.size : sizeof digits - 1;
    memcpy(digits, text.data, size);
    digits[size] = 0;
    return strtoll(digits, NULL, 10);
}

static troupe_status put(troupe_turn *turn, void *state, troupe_slice in)
{
    purse *self = state;
    self->coins += number_of(in);
    self->runs++;
    return troupe_reply_format(turn, "%lld", (long long)self->coins);
}

static troupe_status take(troupe_turn *turn, void *state, troupe_slice in)
{
    purse *self = state;
    self->coins -= number_of(in);
    if (self->coins < 0)
        return troupe_fail(turn, TROUPE_APPLICATION, "too poor");
    return troupe_reply_format(turn, "%lld", (long long)self->coins);
}

static troupe_status show(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)in;
    const purse *self = state;
    return troupe_reply_format(turn, "%lld coins, %lld moves, %lld refunds, %lld runs",
        (long long)self->coins, (long long)self->moves, (long long)self->refunds,
        (long long)self->runs);
}

/* "5 bob": how many, and to whom. */
typedef struct present {
    int64_t coins;
    char amount[32], to[64];
} present;

static present read_present(troupe_slice in)
{
    present self = {.coins = number_of(in)};
    const char *to = (const char *)memchr(in.data, ' ', in.size) + 1;
    snprintf(
        self.to, sizeof self.to, "%.*s", (int)(in.size - (size_t)(to - (const char *)in.data)), to);
    snprintf(self.amount, sizeof self.amount, "%lld", (long long)self.coins);
    return self;
}

/* By the outbox. */
static troupe_status give(troupe_turn *turn, void *state, troupe_slice in)
{
    purse *self = state;
    present what = read_present(in);
    self->coins -= what.coins;
    TROUPE_TRY(troupe_tell(turn, troupe_id_of("purse", what.to), "put", troupe_str(what.amount),
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .outbox = true}));
    if (self->coins < 0)
        return troupe_fail(turn, TROUPE_APPLICATION, "too poor");
    return troupe_reply_bytes(turn, troupe_str("given"));
}

/* The same with an answer that comes as a turn. */
static troupe_status move(troupe_turn *turn, void *state, troupe_slice in)
{
    purse *self = state;
    present what = read_present(in);
    self->coins -= what.coins;
    TROUPE_TRY(troupe_ask_then(turn, id_of(what.to), "receive", troupe_str(what.amount), NULL,
        &(troupe_then){
            TROUPE_THEN, .done = "moved", .failed = "refund", .context = troupe_str(what.amount)}));
    return troupe_reply_bytes(turn, troupe_str("on its way"));
}

static troupe_status receive(troupe_turn *turn, void *state, troupe_slice in)
{
    purse *self = state;
    if (number_of(in) == 13)
        return troupe_fail(turn, TROUPE_APPLICATION + 1, "no thirteens");
    self->coins += number_of(in);
    return troupe_reply_bytes(turn, troupe_str("thanks"));
}

static troupe_status moved(troupe_turn *turn, void *state, troupe_slice in)
{
    purse *self = state;
    if (troupe_slice_equal(in, troupe_str("thanks")) && troupe_turn_answer(turn, NULL) == TROUPE_OK)
        self->moves++;
    return TROUPE_OK;
}

static troupe_status refund(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    purse *self = state;
    if (troupe_turn_answer(turn, NULL) != TROUPE_APPLICATION + 1)
        return TROUPE_OK;
    self->coins += number_of(troupe_turn_context(turn));
    self->refunds++;
    return TROUPE_OK;
}

static const troupe_method purse_methods[] = {TROUPE_METHOD(put), TROUPE_METHOD(take),
    TROUPE_READ_METHOD(show), TROUPE_METHOD(give), TROUPE_METHOD(move), TROUPE_METHOD(receive),
    TROUPE_METHOD(moved), TROUPE_METHOD(refund)};
static const troupe_type purse_type = {TROUPE_TYPE("purse"), .state_size = sizeof(purse),
    TROUPE_METHODS(purse_methods), .persist = TROUPE_PERSIST_EVERY_TURN};
/* The same that forgets: its acknowledgements carry the answer. */
static const troupe_type tin_type = {
    TROUPE_TYPE("tin"), .state_size = sizeof(purse), TROUPE_METHODS(purse_methods)};

static void open_node(place *self)
{
    place_serve(self, TROUPE_TYPES(&purse_type, &tin_type));
}

static void place_open(place *self)
{
    place_make(self);
    open_node(self);
}

static void place_again(place *self)
{
    troupe_node_close(self->node);
    open_node(self);
}

typedef struct waits_for {
    place *at;
    const char *id, *text;
} waits_for;

static bool shows(void *user)
{
    waits_for *self = user;
    heard got = ask(self->at->node, self->id, "show", "");
    return strcmp(got.text, self->text) == 0;
}

static void comes_to(place *at, const char *id, const char *text)
{
    waits_for wanted = {at, id, text};
    if (!comes_true(shows, &wanted)) {
        heard got = ask(at->node, id, "show", "");
        assert_string_equal(got.text, text);
    }
}

static void what_was_answered_is_there_after_the_node_is_gone(void **state)
{
    (void)state;
    place at;
    place_open(&at);
    assert_ok(ask(at.node, "purse/ann", "put", "7").status);
    assert_ok(ask(at.node, "purse/ann", "put", "5").status);
    place_again(&at);
    assert_string_equal(
        ask(at.node, "purse/ann", "show", "").text, "12 coins, 0 moves, 0 refunds, 2 runs");
    assert_true(stats_of(at.node).commits == 0); /* a read commits nothing */
    place_close(&at);
}

static void a_failed_turn_changes_nothing_and_sends_nothing(void **state)
{
    (void)state;
    place at;
    place_open(&at);
    assert_ok(ask(at.node, "purse/ann", "put", "7").status);
    heard got = ask(at.node, "purse/ann", "give", "8 bob");
    assert_status(got.status, TROUPE_APPLICATION);
    assert_int_equal(got.outcome, TROUPE_NOT_DONE);
    comes_to(&at, "purse/ann", "7 coins, 0 moves, 0 refunds, 1 runs");
    comes_to(&at, "purse/bob", "0 coins, 0 moves, 0 refunds, 0 runs");
    place_close(&at);
}

static void many_turns_of_one_actor_share_commits(void **state)
{
    (void)state;
    place at;
    place_open(&at);
    enum { CALLS = 500 };
    static call calls[CALLS];
    troupe_client *client = NULL;
    assert_ok(troupe_client_open(at.node, &client));
    for (int i = 0; i < CALLS; i++) {
        memset(&calls[i], 0, sizeof calls[i]);
        assert_ok(troupe_client_ask_callback(client, troupe_id_of("purse", "ann"), "put",
            troupe_str("1"), NULL, call_over, &calls[i]));
    }
    comes_to(&at, "purse/ann", "500 coins, 0 moves, 0 refunds, 500 runs");
    assert_true(stats_of(at.node).commits < CALLS);
    troupe_client_close(client);
    place_again(&at);
    comes_to(&at, "purse/ann", "500 coins, 0 moves, 0 refunds, 500 runs");
    place_close(&at);
}

static heard ask_as(place *at, const char *key, const char *payload)
{
    return ask_with(at->node, "purse/ann", "put", payload,
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .once = troupe_str(key)});
}

static void a_call_once_happens_once_also_after_a_restart(void **state)
{
    (void)state;
    place at;
    place_open(&at);
    assert_string_equal(ask_as(&at, "k1", "7").text, "7");
    assert_string_equal(ask_as(&at, "k1", "7").text, "7");
    assert_string_equal(ask_as(&at, "k2", "1").text, "8");
    place_again(&at);
    assert_string_equal(ask_as(&at, "k1", "7").text, "7");
    comes_to(&at, "purse/ann", "8 coins, 0 moves, 0 refunds, 2 runs");
    heard got = ask_with(at.node, "tin/x", "put", "1",
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .once = troupe_str("k")});
    assert_status(got.status, TROUPE_USAGE);
    place_close(&at);
}

static void an_outbox_message_arrives_once(void **state)
{
    (void)state;
    place at;
    place_open(&at);
    assert_ok(ask(at.node, "purse/ann", "put", "100").status);
    for (int i = 0; i < 20; i++)
        assert_ok(ask(at.node, "purse/ann", "give", "2 bob").status);
    comes_to(&at, "purse/bob", "40 coins, 0 moves, 0 refunds, 20 runs");
    place_again(&at);
    comes_to(&at, "purse/ann", "60 coins, 0 moves, 0 refunds, 1 runs");
    comes_to(&at, "purse/bob", "40 coins, 0 moves, 0 refunds, 20 runs");
    place_close(&at);
}

static void the_answer_of_ask_then_comes_as_a_turn(void **state)
{
    (void)state;
    place at;
    place_open(&at);
    assert_ok(ask(at.node, "purse/ann", "put", "100").status);
    assert_ok(ask(at.node, "purse/ann", "move", "10 purse/bob").status);
    comes_to(&at, "purse/ann", "90 coins, 1 moves, 0 refunds, 1 runs");
    comes_to(&at, "purse/bob", "10 coins, 0 moves, 0 refunds, 0 runs");
    assert_ok(ask(at.node, "purse/ann", "move", "13 purse/bob").status);
    comes_to(&at, "purse/ann", "90 coins, 1 moves, 1 refunds, 1 runs");
    assert_ok(ask(at.node, "purse/ann", "move", "20 tin/bob").status);
    comes_to(&at, "purse/ann", "70 coins, 2 moves, 1 refunds, 1 runs");
    comes_to(&at, "tin/bob", "20 coins, 0 moves, 0 refunds, 0 runs");
    place_close(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_answered_is_there_after_the_node_is_gone),
        cmocka_unit_test(a_failed_turn_changes_nothing_and_sends_nothing),
        cmocka_unit_test(many_turns_of_one_actor_share_commits),
        cmocka_unit_test(a_call_once_happens_once_also_after_a_restart),
        cmocka_unit_test(an_outbox_message_arrives_once),
        cmocka_unit_test(the_answer_of_ask_then_comes_as_a_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
