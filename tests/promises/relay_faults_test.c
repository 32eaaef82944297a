/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold of outbox messages when memory is short, time is over, many are refused at once or
 * one of a stream is turned away: in a world on a store that outlives its nodes. What becomes of
 * them otherwise is in relay_test.c.
 *
 * Threads: one, the test's.
 */
#include "tests/promises/stand.h"

#define FILLER 40000 /* a mailbox has room for one such message, and small ones */

typedef struct desk {
    uint64_t came;
} desk;

static tp_world *world;      /* of the test that runs */
static uint32_t short_turns; /* so many turns of `answered` find no memory at their end */
static uint32_t takes;       /* turns of `take` */
static char filler[FILLER];

/* ---- actors ---------------------------------------------------------------------------------- */

/* Of "id": a request, whose answer is a turn of `answered`. */
static troupe_status request(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char to[32];
    snprintf(to, sizeof to, "%.*s", TROUPE_ARG(in));
    TROUPE_TRY(troupe_ask_then(turn, id_of(to), "serve", troupe_str(""), NULL,
        &(troupe_then){TROUPE_THEN, .done = "answered", .failed = "answered"}));
    return troupe_reply_bytes(turn, troupe_str("sent"));
}

static troupe_status take(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)turn;
    (void)in;
    ((desk *)state)->came++;
    takes++;
    return TROUPE_OK;
}

static troupe_status refuse(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    return troupe_fail(turn, TROUPE_APPLICATION, "no");
}

/* To that id: one that is refused, and one behind it. */
static troupe_status twice(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char to[32];
    snprintf(to, sizeof to, "%.*s", TROUPE_ARG(in));
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .outbox = true};
    TROUPE_TRY(troupe_tell(turn, id_of(to), "refuse", troupe_str(""), &options));
    TROUPE_TRY(troupe_tell(turn, id_of(to), "take", troupe_str(""), &options));
    return troupe_reply_bytes(turn, troupe_str("sent"));
}

/* "id seconds": an outbox tell with that timeout. */
static troupe_status limited(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char words[64], to[32];
    unsigned seconds = 0;
    snprintf(words, sizeof words, "%.*s", TROUPE_ARG(in));
    if (sscanf(words, "%31s %u", to, &seconds) != 2)
        return TROUPE_USAGE;
    const troupe_call_options options = {
        TROUPE_CALL_OPTIONS, .outbox = true, .timeout = TROUPE_SECONDS(seconds)};
    TROUPE_TRY(troupe_tell(turn, id_of(to), "take", troupe_str(""), &options));
    return troupe_reply_bytes(turn, troupe_str("sent"));
}

/* To 1,020 who refuse it. */
static troupe_status scatter(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .outbox = true};
    for (unsigned i = 0; i < 1020; i++) {
        char id[32];
        snprintf(id, sizeof id, "desk/r%u", i);
        TROUPE_TRY(troupe_tell(turn, id_of(id), "refuse", troupe_str(""), &options));
    }
    return troupe_reply_bytes(turn, troupe_str("scattered"));
}

/* To that id, which has no room for both that are large: `rest` and others. */
static troupe_status squeeze(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char to[32];
    snprintf(to, sizeof to, "%.*s", TROUPE_ARG(in));
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .outbox = true};
    const troupe_slice large = {filler, sizeof filler}, small = {filler, 1};
    TROUPE_TRY(troupe_tell(turn, id_of(to), "rest", small, &options));
    TROUPE_TRY(troupe_tell(turn, id_of(to), "rest", large, &options));
    TROUPE_TRY(troupe_tell(turn, id_of(to), "take", large, &options));
    TROUPE_TRY(troupe_tell(turn, id_of(to), "take", small, &options));
    return troupe_reply_bytes(turn, troupe_str("sent"));
}

/* Half a second if what came is small, else 2 seconds. */
static troupe_status rest(troupe_turn *turn, void *state, troupe_slice in)
{
    TROUPE_TRY(troupe_sleep(turn, in.size == 1 ? MS(500) : TROUPE_SECONDS(2)));
    return take(turn, state, in);
}

static troupe_status nap(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    TROUPE_TRY(troupe_sleep(turn, TROUPE_SECONDS(200)));
    return troupe_reply_bytes(turn, troupe_str("rested"));
}

static troupe_status answered(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)turn;
    (void)in;
    ((desk *)state)->came++;
    if (short_turns == 0)
        return TROUPE_OK;
    short_turns--; /* neither what it did nor that it failed can be stored */
    tp_world_fail_memory(world, 0, tp_world_allocations(world), 2);
    return TROUPE_OK;
}

static troupe_status serve(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    ((desk *)state)->came++;
    return troupe_reply_bytes(turn, troupe_str("served"));
}

static troupe_status show(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)in;
    return troupe_reply_format(turn, "%llu came", (unsigned long long)((const desk *)state)->came);
}

static const troupe_method methods[] = {TROUPE_METHOD(request), TROUPE_METHOD(answered),
    TROUPE_METHOD(serve), TROUPE_METHOD(take), TROUPE_METHOD(refuse), TROUPE_METHOD(twice),
    TROUPE_METHOD(limited), TROUPE_METHOD(nap), TROUPE_METHOD(scatter), TROUPE_METHOD(squeeze),
    TROUPE_METHOD(rest), TROUPE_READ_METHOD(show)};
static const troupe_type desk_type = {TROUPE_TYPE("desk"), .state_size = sizeof(desk),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN};
static const troupe_type nook_type = {TROUPE_TYPE("nook"), .state_size = sizeof(desk),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN,
    .reentrancy = TROUPE_REENTRANCY_ALWAYS};
static const troupe_type mist_type = {
    TROUPE_TYPE("mist"), .state_size = sizeof(desk), TROUPE_METHODS(methods)};

static void open_for(stand *self, uint64_t idle)
{
    static const troupe_type *const types[] = {&desk_type, &nook_type, &mist_type};
    const troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .shards = 2, .idle = idle, .mailbox_bytes = FILLER * 7 / 4};
    stand_open(self, 1, &options, types, 3);
    world = self->world;
}

static uint32_t stored_rows(stand *self, const char *id, uint32_t kind)
{
    troupe_store_op op = {
        .kind = TROUPE_STORE_LOAD, .id = id_of(id), .allocator = tp_allocator_system()};
    troupe_store_op *list[] = {&op};
    self->inner->run(self->inner, list, 1);
    uint32_t count = 0;
    for (const troupe_store_item *item = op.items; item != NULL; item = item->next)
        count += item->kind == kind;
    troupe_store_release(&op);
    return count;
}

/* ---- promises -------------------------------------------------------------------------------- */

static void an_answer_that_could_not_be_noted_comes_again(void **state)
{
    (void)state;
    stand at;
    open_for(&at, TROUPE_NEVER);
    short_turns = 2;
    assert_heard(ask(at.node, "desk/a", "request", "mist/t"), TROUPE_OK);
    stand_run(&at, TROUPE_SECONDS(5));
    assert_int_equal(short_turns, 0);
    shows(&at, "desk/a", "1 came"); /* what the others did went */
    assert_int_equal(stored_rows(&at, "desk/a", TROUPE_ROW_OUTBOX), 0);
    shows(&at, "mist/t", "3 came"); /* it does not persist: it is asked anew */
    stand_close(&at);
}

static void who_waits_for_a_burial_goes_on_when_that_is_stored(void **state)
{
    (void)state;
    stand at;
    open_for(&at, TROUPE_NEVER);
    takes = 0;
    assert_heard(ask(at.node, "desk/a", "twice", "desk/t"), TROUPE_OK);
    while (stored_rows(&at, "desk/a", TROUPE_ROW_DEAD) == 0)
        assert_true(tp_world_step(at.world));
    uint64_t stored = tp_world_now(at.world);
    while (takes == 0)
        assert_true(tp_world_step(at.world));
    assert_in_range(tp_world_now(at.world) - stored, 0, TICK);
    stand_close(&at);
}

/* The target rests for minutes, so that it is long until the message is sent again. */
static void is_given_up_in_time(uint64_t idle, bool later)
{
    stand at;
    open_for(&at, idle);
    tell(at.node, "desk/t", "nap", "");
    stand_run(&at, MS(5));
    assert_heard(ask(at.node, "desk/a", "limited", later ? "desk/t 600" : "desk/t 45"), TROUPE_OK);
    stand_run(&at, TROUPE_SECONDS(34));
    if (later) /* behind it one with less time */
        assert_heard(ask(at.node, "desk/a", "limited", "desk/t 11"), TROUPE_OK);
    stand_run(&at, TROUPE_SECONDS(10) + MS(900));
    assert_int_equal(stored_rows(&at, "desk/a", TROUPE_ROW_DEAD), 0);
    stand_run(&at, MS(300));
    assert_int_equal(stored_rows(&at, "desk/a", TROUPE_ROW_DEAD), 1);
    assert_int_equal(stored_rows(&at, "desk/a", TROUPE_ROW_OUTBOX), later ? 1 : 0);
    stand_close(&at);
}

static void a_message_is_given_up_when_its_time_is_over(void **state)
{
    (void)state;
    is_given_up_in_time(TROUPE_NEVER, false);
}

static void a_message_is_given_up_in_time_though_one_before_it_has_more(void **state)
{
    (void)state;
    is_given_up_in_time(TROUPE_NEVER, true);
}

static void a_message_is_given_up_in_time_though_its_sender_sleeps(void **state)
{
    (void)state;
    is_given_up_in_time(TROUPE_SECONDS(40), false);
}

static void dead_letters_that_come_at_once_keep_their_limit(void **state)
{
    (void)state;
    stand at;
    open_for(&at, TROUPE_NEVER);
    for (uint32_t round = 1; round <= 2; round++) {
        assert_heard(ask(at.node, "desk/a", "scatter", ""), TROUPE_OK);
        stand_run(&at, TROUPE_SECONDS(30));
        assert_int_equal(stored_rows(&at, "desk/a", TROUPE_ROW_OUTBOX), 0);
        assert_int_equal(stored_rows(&at, "desk/a", TROUPE_ROW_DEAD), 1000);
        assert_int_equal(stats_of(at.node).dead_dropped, 1020 * round - 1000);
    }
    stand_close(&at);
}

static void who_came_ahead_keeps_nobody_out_that_is_before_it(void **state)
{
    (void)state;
    stand at;
    open_for(&at, TROUPE_NEVER);
    assert_heard(ask(at.node, "desk/a", "squeeze", "nook/t"), TROUPE_OK);
    stand_run(&at, MS(10));
    assert_int_equal(stats_of(at.node).outbox_early, 2); /* the second large one, and behind it */
    stand_run(&at, TROUPE_SECONDS(1)); /* the first one runs, so there is room at the next repeat */
    stand_run(&at, MS(1550));
    shows(&at, "nook/t", "4 came");
    stand_close(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_that_could_not_be_noted_comes_again),
        cmocka_unit_test(a_message_is_given_up_when_its_time_is_over),
        cmocka_unit_test(a_message_is_given_up_in_time_though_one_before_it_has_more),
        cmocka_unit_test(a_message_is_given_up_in_time_though_its_sender_sleeps),
        cmocka_unit_test(dead_letters_that_come_at_once_keep_their_limit),
        cmocka_unit_test(who_came_ahead_keeps_nobody_out_that_is_before_it),
        cmocka_unit_test(who_waits_for_a_burial_goes_on_when_that_is_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
