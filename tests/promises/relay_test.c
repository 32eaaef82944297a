/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of outbox messages that are refused, and of what targets remember of their senders,
 * in a world on a store that outlives its nodes and can be looked into behind their back; and on a
 * real file.
 *
 * Threads: one, the test's.
 */
#include "tests/promises/place.h"
#include "tests/promises/stand.h"

#include "shard/shard.h"
#include "store/record.h"
#include "store/rows.h"
#include <troupe/stored.h>

#define NOOK 32

typedef struct till {
    uint64_t sent, came;
} till;

/* ---- actors ---------------------------------------------------------------------------------- */

/* "id method": an outbox tell; `late` is given up after half a second. */
static troupe_status send(troupe_turn *turn, void *state, troupe_slice in)
{
    char words[96];
    snprintf(words, sizeof words, "%.*s", TROUPE_ARG(in));
    char *method = strchr(words, ' ');
    if (method == NULL)
        return TROUPE_USAGE;
    *method++ = 0;
    ((till *)state)->sent++;
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .outbox = true,
        .timeout = strcmp(method, "late") == 0 ? MS(500) : 0};
    TROUPE_TRY(troupe_tell(turn, id_of(words), method, troupe_str(""), &options));
    return troupe_reply_bytes(turn, troupe_str("sent"));
}

/* "id ms count": outbox tells of `step`, with their numbers from 1, that rest so long. */
static troupe_status pour(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char words[96], to[32];
    unsigned rest = 0, count = 0;
    snprintf(words, sizeof words, "%.*s", TROUPE_ARG(in));
    if (sscanf(words, "%31s %u %u", to, &rest, &count) != 3)
        return TROUPE_USAGE;
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .outbox = true};
    for (unsigned i = 1; i <= count; i++) {
        char text[32];
        snprintf(text, sizeof text, "%u %u", i, rest);
        TROUPE_TRY(troupe_tell(turn, id_of(to), "step", troupe_str(text), &options));
    }
    return troupe_reply_bytes(turn, troupe_str("poured"));
}

/* To that id: steps by outbox and plain in turn, then an ask; answers what that shows. */
static troupe_status mix(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    static const char *const steps[] = {"1 0", "2 0", "3 0", "4 0", "5 0"};
    char to[32];
    snprintf(to, sizeof to, "%.*s", TROUPE_ARG(in));
    for (unsigned i = 0; i < 5; i++) {
        const troupe_call_options options = {TROUPE_CALL_OPTIONS, .outbox = i % 2 == 0};
        TROUPE_TRY(troupe_tell(turn, id_of(to), "step", troupe_str(steps[i]), &options));
    }
    troupe_answer answer = TROUPE_ANSWER_INIT;
    TROUPE_TRY(troupe_ask(turn, id_of(to), "show", troupe_str(""), NULL, &answer));
    troupe_status status = troupe_reply_bytes(turn, answer.payload);
    troupe_answer_release(&answer);
    return status;
}

/* Counts in `came` those that come in order, in `sent` the others. */
static troupe_status step(troupe_turn *turn, void *state, troupe_slice in)
{
    till *self = state;
    char text[32];
    unsigned number = 0, rest = 0;
    snprintf(text, sizeof text, "%.*s", TROUPE_ARG(in));
    if (sscanf(text, "%u %u", &number, &rest) != 2)
        return TROUPE_USAGE;
    if (rest != 0) /* what only reads is let in meanwhile */
        TROUPE_TRY(troupe_sleep(turn, MS(rest)));
    if (number == self->came + 1)
        self->came = number;
    else
        self->sent++;
    return TROUPE_OK;
}

static troupe_status take(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)turn;
    (void)in;
    ((till *)state)->came++;
    return TROUPE_OK;
}

static troupe_status count(troupe_turn *turn, void *state, troupe_slice in)
{
    TROUPE_TRY(take(turn, state, in));
    return troupe_reply_bytes(turn, troupe_str("counted"));
}

static troupe_status nap(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char text[16];
    snprintf(text, sizeof text, "%.*s", TROUPE_ARG(in));
    TROUPE_TRY(troupe_sleep(turn, MS((unsigned)atoi(text))));
    return troupe_reply_bytes(turn, troupe_str("rested"));
}

static troupe_status refuse(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    ((till *)state)->came++;
    return troupe_fail(turn, TROUPE_APPLICATION, "no");
}

/* A part of it is committed when it asks; then it fails for good. */
static troupe_status half(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    ((till *)state)->came++;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    TROUPE_TRY(troupe_ask(turn, id_of("till/other"), "take", troupe_str(""), NULL, &answer));
    troupe_answer_release(&answer);
    return troupe_fail(turn, TROUPE_APPLICATION, "no more");
}

/* Refuses until another one was there. */
static troupe_status second(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    till *self = state;
    if (self->came == 0)
        return troupe_fail(turn, TROUPE_APPLICATION, "not as the first");
    self->came += 10;
    return TROUPE_OK;
}

/* Shifts what others have left by a digit, after 2 seconds. */
static troupe_status late(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    TROUPE_TRY(troupe_sleep(turn, TROUPE_SECONDS(2)));
    ((till *)state)->came = ((till *)state)->came * 10 + 1;
    return TROUPE_OK;
}

static troupe_status show(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)in;
    const till *self = state;
    return troupe_reply_format(turn, "%llu sent, %llu came", (unsigned long long)self->sent,
        (unsigned long long)self->came);
}

static troupe_status save(troupe_turn *turn, const void *state, troupe_writer *writer)
{
    (void)turn;
    return troupe_write(writer, state, sizeof(till));
}

static troupe_status load(troupe_turn *turn, void *state, troupe_slice saved)
{
    (void)turn;
    if (saved.size != sizeof(till))
        return TROUPE_CORRUPT;
    memcpy(state, saved.data, sizeof(till));
    return TROUPE_OK;
}

static const troupe_method methods[] = {TROUPE_METHOD(send), TROUPE_METHOD(take),
    TROUPE_METHOD(pour), TROUPE_METHOD(mix), TROUPE_METHOD(step), TROUPE_METHOD(nap),
    TROUPE_METHOD(refuse), TROUPE_METHOD(half), TROUPE_METHOD(second), TROUPE_METHOD(late),
    TROUPE_METHOD(count), TROUPE_READ_METHOD(show)};
static const troupe_type till_type = {TROUPE_TYPE("till"), .state_size = sizeof(till),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN};
static const troupe_type hall_type = {TROUPE_TYPE("hall"), .state_size = sizeof(till),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN,
    .reentrancy = TROUPE_REENTRANCY_ALWAYS};
static const troupe_type nook_type = {TROUPE_TYPE("nook"), .state_size = sizeof(till),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN,
    .reentrancy = TROUPE_REENTRANCY_ALWAYS, .mailbox_limit = NOOK};
static bool is_shut; /* a shut one cannot be activated */

static troupe_status enter(troupe_turn *turn, void *state)
{
    (void)state;
    return is_shut ? troupe_fail(turn, TROUPE_APPLICATION, "shut") : TROUPE_OK;
}

static const troupe_type shut_type = {TROUPE_TYPE("shut"), .state_size = sizeof(till),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN, .on_activate = enter};
static const troupe_type hook_type = {TROUPE_TYPE("hook"), .state_size = sizeof(till),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN, .save = save, .load = load};

/* A request that its target serves for 2 seconds, and that is given up before. */
static troupe_status request(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    ((till *)state)->sent++;
    TROUPE_TRY(troupe_ask_then(turn, id_of("hall/t"), "late", troupe_str(""),
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .timeout = MS(500)},
        &(troupe_then){TROUPE_THEN, .done = "request", .failed = "request"}));
    return troupe_reply_bytes(turn, troupe_str("sent"));
}

static const troupe_method old_methods[] = {TROUPE_METHOD(request), TROUPE_READ_METHOD(show)};
static const troupe_method new_methods[] = {TROUPE_READ_METHOD(show)};
static const troupe_type old_type = {TROUPE_TYPE("quiz"), .state_size = sizeof(till),
    TROUPE_METHODS(old_methods), .persist = TROUPE_PERSIST_EVERY_TURN};
static const troupe_type new_type = {TROUPE_TYPE("quiz"), .state_size = sizeof(till),
    TROUPE_METHODS(new_methods), .persist = TROUPE_PERSIST_EVERY_TURN};

static void open_for(stand *self, uint32_t senders_limit)
{
    static const troupe_type *const types[] = {
        &till_type, &hook_type, &hall_type, &nook_type, &shut_type};
    const troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .shards = 2, .idle = TROUPE_NEVER, .senders_limit = senders_limit};
    stand_open(self, 1, &options, types, 5);
}

static void open_stand(stand *self)
{
    open_for(self, 0);
}

/* The version that the row for those who were forgotten names; 0: there is none. */
static uint64_t stored_permit(stand *self, const char *id, uint64_t *ret_version)
{
    troupe_store_op op = {
        .kind = TROUPE_STORE_LOAD, .id = id_of(id), .allocator = tp_allocator_system()};
    troupe_store_op *list[] = {&op};
    self->inner->run(self->inner, list, 1);
    uint64_t permit = 0;
    tp_row row;
    for (const troupe_store_item *item = op.items; item != NULL; item = item->next) {
        if (!tp_row_is_forgot(item->kind, item->key))
            continue;
        assert_ok(tp_row_decode(
            item->kind, tp_record_seed(id_of(id)), item->key, item->value, &row, NULL));
        permit = row.sender.last.version;
    }
    *ret_version = op.found;
    troupe_store_release(&op);
    return permit;
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

static void two_that_refuse_each_other_remember_it(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    call calls[2] = {{0}};
    troupe_client *client = NULL;
    assert_ok(troupe_client_open(at.node, &client));
    assert_ok(troupe_client_ask_callback(
        client, id_of("hook/a"), "send", troupe_str("hook/b refuse"), NULL, call_over, &calls[0]));
    stand_run(&at, MS(5)); /* that it was refused is known to the first, and not stored yet */
    assert_ok(troupe_client_ask_callback(
        client, id_of("hook/b"), "send", troupe_str("hook/a refuse"), NULL, call_over, &calls[1]));
    stand_run(&at, TROUPE_SECONDS(5));
    assert_heard(calls[0].got, TROUPE_OK);
    assert_heard(calls[1].got, TROUPE_OK);
    const char *const ids[] = {"hook/a", "hook/b"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(stored_rows(&at, ids[i], TROUPE_ROW_OUTBOX), 0);
        assert_int_equal(stored_rows(&at, ids[i], TROUPE_ROW_DEAD), 1);
        heard got = ask(at.node, ids[i], "show", "");
        assert_string_equal(got.text, "1 sent, 0 came");
    }
    assert_int_equal(stats_of(at.node).dead_letters, 2); /* none was forgotten */
    assert_int_equal(stats_of(at.node).outbox_again, 0);
    troupe_client_close(client);
    stand_close(&at);
}

static void what_was_refused_in_part_is_a_dead_letter_also_after_a_crash(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    assert_heard(ask(at.node, "till/a", "send", "till/b half"), TROUPE_OK);
    while (stored_rows(&at, "till/b", TROUPE_ROW_SENDER) == 0)
        assert_true(tp_world_step(at.world));
    assert_int_equal(stored_rows(&at, "till/a", TROUPE_ROW_DEAD), 0);
    stand_crash(&at);
    stand_run(&at, TROUPE_SECONDS(5));
    assert_int_equal(stored_rows(&at, "till/a", TROUPE_ROW_OUTBOX), 0);
    assert_int_equal(stored_rows(&at, "till/a", TROUPE_ROW_DEAD), 1);
    heard got = ask(at.node, "till/b", "show", "");
    assert_string_equal(got.text, "0 sent, 1 came"); /* and it is not done again */
    assert_heard(ask(at.node, "till/a", "send", "till/b take"), TROUPE_OK);
    stand_run(&at, TROUPE_SECONDS(5));
    got = ask(at.node, "till/b", "show", "");
    assert_string_equal(got.text, "0 sent, 2 came");
    stand_close(&at);
}

static void a_copy_of_what_was_refused_is_not_done_later(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    call calls[3] = {{0}};
    troupe_client *client = NULL;
    assert_ok(troupe_client_open(at.node, &client));
    assert_ok(troupe_client_ask_callback(
        client, id_of("till/t"), "nap", troupe_str("1200"), NULL, call_over, &calls[0]));
    stand_run(&at, MS(5));
    assert_ok(troupe_client_ask_callback(
        client, id_of("till/a"), "send", troupe_str("till/t second"), NULL, call_over, &calls[1]));
    stand_run(&at, MS(5)); /* it waits behind the nap; after a second a copy of it comes */
    assert_ok(troupe_client_ask_callback(
        client, id_of("till/b"), "send", troupe_str("till/t take"), NULL, call_over, &calls[2]));
    stand_run(&at, TROUPE_SECONDS(5));
    assert_true(stats_of(at.node).outbox_again != 0);
    assert_int_equal(stored_rows(&at, "till/a", TROUPE_ROW_DEAD), 1);
    shows(&at, "till/t", "0 sent, 1 came"); /* and not 11 */
    troupe_client_close(client);
    stand_close(&at);
}

/* A client that asks again as soon as it was answered. */
typedef struct busy {
    troupe_client *client;
    const char *id;
    _Atomic bool stops;
    _Atomic uint32_t asked, ended;
} busy;

static void keep_busy(void *user, const troupe_answer *answer)
{
    busy *self = user;
    if (answer != NULL)
        atomic_fetch_add(&self->ended, 1);
    if (atomic_load(&self->stops))
        return;
    if (troupe_client_ask_callback(self->client, id_of(self->id), "count", troupe_str(""), NULL,
            keep_busy, self) == TROUPE_OK)
        atomic_fetch_add(&self->asked, 1);
}

static void pass_time(void *user, uint64_t duration)
{
    tp_world_advance(user, duration);
}

/* Something is left to do all the time. */
static void step_for(stand *self, uint64_t duration)
{
    uint64_t until = tp_world_now(self->world) + duration;
    while (tp_world_now(self->world) < until)
        assert_true(tp_world_step(self->world));
}

/* Something of it waits for a commit at all times. */
static void a_dead_letter_holds_up_no_stream_of_a_busy_sender(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    enum { CROWD = 1000 };
    busy crowd = {.id = "till/a"};
    assert_ok(troupe_client_open(at.node, &crowd.client));
    const tp_fault_plan slow = {.delay_most = MS(4), .pause = pass_time, .user = at.world};
    tp_faulty_store_plan(at.store, &slow);
    call calls[3] = {{0}};
    const char *const sends[] = {"till/b refuse", "till/b take"};
    for (int i = 0; i < CROWD; i++)
        keep_busy(&crowd, NULL);
    for (size_t i = 0; i < 2; i++)
        assert_ok(troupe_client_ask_callback(crowd.client, id_of("till/a"), "send",
            troupe_str(sends[i]), NULL, call_over, &calls[i]));
    step_for(&at, MS(150));
    assert_ok(troupe_client_ask_callback(
        crowd.client, id_of("till/b"), "show", troupe_str(""), NULL, call_over, &calls[2]));
    step_for(&at, MS(30));
    assert_int_equal(atomic_load(&crowd.asked), atomic_load(&crowd.ended) + CROWD); /* it is busy */
    atomic_store(&crowd.stops, true);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(atomic_load(&calls[i].ends), 1);
        assert_heard(calls[i].got, TROUPE_OK);
    }
    assert_string_equal(calls[2].got.text, "0 sent, 1 came");
    stand_run(&at, TROUPE_SECONDS(1));
    assert_int_equal(stored_rows(&at, "till/a", TROUPE_ROW_DEAD), 1);
    troupe_client_close(crowd.client);
    stand_close(&at);
}

static void what_was_given_up_while_it_runs_is_not_overtaken(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    assert_heard(ask(at.node, "till/a", "send", "hall/t late"), TROUPE_OK);
    stand_run(&at, MS(1500));
    assert_int_equal(stored_rows(&at, "till/a", TROUPE_ROW_DEAD), 1);
    shows(&at, "hall/t", "0 sent, 0 came");
    assert_heard(ask(at.node, "till/a", "send", "hall/t take"), TROUPE_OK);
    stand_run(&at, TROUPE_SECONDS(5));
    shows(&at, "hall/t", "0 sent, 2 came"); /* and not 11 */
    assert_int_equal(stored_rows(&at, "till/a", TROUPE_ROW_OUTBOX), 0);
    stand_close(&at);
}

/* On the sender's shard, and on the other one. */
static void what_a_turn_sends_by_outbox_and_plain_comes_in_that_order(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    for (unsigned i = 0; i < 8; i++) {
        char to[16];
        snprintf(to, sizeof to, "till/t%u", i);
        heard got = ask(at.node, "till/a", "mix", to);
        assert_heard(got, TROUPE_OK);
        assert_string_equal(got.text, "0 sent, 5 came");
    }
    stand_run(&at, TROUPE_SECONDS(1));
    assert_int_equal(stored_rows(&at, "till/a", TROUPE_ROW_OUTBOX), 0);
    assert_int_equal(stats_of(at.node).outbox_again, 0);
    stand_close(&at);
}

static void a_request_that_nobody_can_hear_of_any_more_ends(void **state)
{
    (void)state;
    static const troupe_type *const before[] = {&old_type, &hall_type};
    static const troupe_type *const after[] = {&new_type, &hall_type};
    stand at;
    const troupe_node_options options = {TROUPE_NODE_OPTIONS, .idle = TROUPE_NEVER};
    stand_open(&at, 1, &options, before, 2);
    assert_heard(ask(at.node, "quiz/a", "request", ""), TROUPE_OK);
    at.types = after;
    stand_crash(&at);
    assert_int_equal(stored_rows(&at, "quiz/a", TROUPE_ROW_OUTBOX), 1);
    shows(&at, "quiz/a", "1 sent, 0 came"); /* it is there again */
    stand_run(&at, TROUPE_SECONDS(60));
    assert_int_equal(stored_rows(&at, "quiz/a", TROUPE_ROW_OUTBOX), 0);
    assert_int_equal(stored_rows(&at, "quiz/a", TROUPE_ROW_DEAD), 0);
    stand_close(&at);
}

/* Its turns rest, and let others in: those of the stream wait for each other, not for repeats. */
static void a_stream_to_one_who_rests_takes_no_repeat(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    assert_heard(ask(at.node, "till/a", "pour", "hall/t 3 200"), TROUPE_OK);
    stand_run(&at, MS(200 * 4));
    shows(&at, "hall/t", "0 sent, 200 came");
    assert_int_equal(stats_of(at.node).outbox_again, 0);
    assert_int_equal(stats_of(at.node).outbox_early, 0);
    assert_int_equal(stored_rows(&at, "till/a", TROUPE_ROW_OUTBOX), 0);
    stand_close(&at);
}

static void those_of_several_streams_wait_for_their_own(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    call calls[2] = {{0}};
    troupe_client *client = NULL;
    assert_ok(troupe_client_open(at.node, &client));
    const char *const senders[] = {"till/a", "till/b"};
    for (size_t i = 0; i < 2; i++)
        assert_ok(troupe_client_ask_callback(client, id_of(senders[i]), "pour",
            troupe_str("hall/t 5 100"), NULL, call_over, &calls[i]));
    stand_run(&at, MS(100 * 6)); /* side by side: one behind the other takes a second */
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(stored_rows(&at, senders[i], TROUPE_ROW_OUTBOX), 0);
    assert_int_equal(stats_of(at.node).outbox_again, 0);
    troupe_client_close(client);
    stand_close(&at);
}

static void who_waits_for_one_before_it_keeps_the_limit_of_the_mailbox(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    assert_heard(ask(at.node, "till/a", "pour", "nook/t 3 200"), TROUPE_OK);
    stand_run(&at, MS(900));
    assert_int_equal(stats_of(at.node).outbox_early, 200 - 1 - NOOK);
    shows(&at, "nook/t", "0 sent, 33 came");
    stand_run(&at, TROUPE_SECONDS(8)); /* each second as many, as it goes on */
    shows(&at, "nook/t", "0 sent, 200 came");
    stand_close(&at);
}

static void a_target_that_does_not_answer_holds_up_no_other(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    tell(at.node, "till/x", "nap", "120000"); /* an ask would end it when its time is over */
    assert_heard(ask(at.node, "till/a", "send", "till/x take"), TROUPE_OK);
    stand_run(&at, TROUPE_SECONDS(70)); /* to that it is sent each 30 s now */
    assert_int_equal(stats_of(at.node).outbox_again, 6);
    assert_heard(ask(at.node, "till/a", "pour", "nook/t 3 200"), TROUPE_OK);
    stand_run(&at, TROUPE_SECONDS(9));
    shows(&at, "nook/t", "0 sent, 200 came");
    stand_close(&at);
}

/* A copy that finds its target failing is no dead letter: it comes again. */
static void a_target_that_cannot_be_activated_makes_no_dead_letters(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    is_shut = true;
    assert_heard(ask(at.node, "till/a", "send", "shut/x take"), TROUPE_OK);
    stand_run(&at, TROUPE_SECONDS(20));
    assert_true(stats_of(at.node).outbox_again > 2);
    assert_int_equal(stats_of(at.node).dead_letters, 0);
    is_shut = false;
    stand_run(&at, TROUPE_SECONDS(40));
    shows(&at, "shut/x", "0 sent, 1 came");
    stand_close(&at);
}

static void an_outbox_of_many_is_sent_at_once_after_a_crash(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    assert_heard(ask(at.node, "till/a", "pour", "till/t 0 1000"), TROUPE_OK);
    stand_crash(&at);
    assert_int_equal(stored_rows(&at, "till/a", TROUPE_ROW_OUTBOX), 1000);
    assert_heard(ask(at.node, "till/a", "nap", "1"), TROUPE_OK); /* it is there again */
    stand_run(&at, MS(500));
    shows(&at, "till/t", "0 sent, 1000 came");
    assert_int_equal(stored_rows(&at, "till/a", TROUPE_ROW_OUTBOX), 0);
    stand_close(&at);
}

static void those_that_wait_go_with_their_node(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    assert_heard(ask(at.node, "till/a", "pour", "hall/t 30 50"), TROUPE_OK);
    stand_run(&at, MS(100));
    stand_close_node(&at); /* nothing of them is left in it */
    stand_open_node(&at);
    stand_run(&at, TROUPE_SECONDS(60));
    shows(&at, "hall/t", "0 sent, 50 came");
    stand_close(&at);
}

static void a_sender_that_is_one_too_many_comes_again(void **state)
{
    (void)state;
    stand at;
    open_for(&at, 2);
    call calls[3] = {{0}};
    troupe_client *client = NULL;
    assert_ok(troupe_client_open(at.node, &client));
    const char *const senders[] = {"till/a", "till/b", "till/c"};
    for (size_t i = 0; i < 3; i++)
        assert_ok(troupe_client_ask_callback(client, id_of(senders[i]), "send",
            troupe_str("till/t take"), NULL, call_over, &calls[i]));
    stand_run(&at, MS(500));
    shows(&at, "till/t", "0 sent, 2 came");
    assert_int_equal(stats_of(at.node).busy_senders, 1);
    stand_run(&at, TROUPE_SECONDS(10));
    shows(&at, "till/t", "0 sent, 3 came");
    assert_true(stats_of(at.node).senders_forgotten != 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(stored_rows(&at, senders[i], TROUPE_ROW_OUTBOX), 0);
    troupe_client_close(client);
    stand_close(&at);
}

static void an_old_copy_of_a_forgotten_sender_is_not_taken(void **state)
{
    (void)state;
    stand at;
    open_for(&at, 1);
    call calls[3] = {{0}};
    troupe_client *client = NULL;
    assert_ok(troupe_client_open(at.node, &client));
    assert_ok(troupe_client_ask_callback(
        client, id_of("till/t"), "nap", troupe_str("1200"), NULL, call_over, &calls[0]));
    stand_run(&at, MS(5));
    assert_ok(troupe_client_ask_callback(
        client, id_of("till/a"), "send", troupe_str("till/t take"), NULL, call_over, &calls[1]));
    stand_run(&at, MS(5)); /* it waits behind the nap; after a second a copy of it comes */
    assert_ok(troupe_client_ask_callback(
        client, id_of("till/t"), "nap", troupe_str("500"), NULL, call_over, &calls[2]));
    stand_run(&at, MS(1150));
    assert_int_equal(stats_of(at.node).outbox_again, 1);
    stand_run(&at, MS(300)); /* in the second nap, before the copy, it is forgotten */
    assert_int_equal(stats_of(at.node).senders_forgotten, 1);
    assert_int_equal(atomic_load(&calls[2].ends), 0);
    stand_run(&at, TROUPE_SECONDS(60));
    shows(&at, "till/t", "0 sent, 1 came");
    assert_int_equal(stored_rows(&at, "till/t", TROUPE_ROW_SENDER), 1); /* of no sender */
    assert_ok(troupe_client_ask_callback(
        client, id_of("till/a"), "send", troupe_str("till/t take"), NULL, call_over, &calls[1]));
    stand_run(&at, MS(500)); /* with a permit it is known again, at once */
    shows(&at, "till/t", "0 sent, 2 came");
    troupe_client_close(client);
    stand_close(&at);
}

static void a_farewell_that_got_lost_is_asked_for(void **state)
{
    (void)state;
    stand at;
    open_for(&at, 1);
    assert_heard(ask(at.node, "till/a", "send", "till/t take"), TROUPE_OK);
    while (stored_rows(&at, "till/t", TROUPE_ROW_SENDER) == 0 ||
           stored_rows(&at, "till/a", TROUPE_ROW_OUTBOX) != 0)
        assert_true(tp_world_step(at.world));
    stand_crash(&at); /* nothing is left to be said of its own accord */
    assert_int_equal(stored_rows(&at, "till/t", TROUPE_ROW_SENDER), 1);
    assert_heard(ask(at.node, "till/b", "send", "till/t take"), TROUPE_OK);
    stand_run(&at, TROUPE_SECONDS(60));
    shows(&at, "till/t", "0 sent, 2 came");
    assert_int_equal(stored_rows(&at, "till/b", TROUPE_ROW_OUTBOX), 0);
    stand_close(&at);
}

static void who_is_forgotten_counts_when_that_is_stored(void **state)
{
    (void)state;
    stand at;
    open_for(&at, 1);
    uint64_t version, permit = 0;
    call sent = {0};
    troupe_client *client = NULL;
    assert_ok(troupe_client_open(at.node, &client));
    assert_ok(troupe_client_ask_callback(
        client, id_of("till/a"), "send", troupe_str("till/t take"), NULL, call_over, &sent));
    while (permit == 0) {
        assert_true(tp_world_step(at.world));
        uint64_t forgotten = stats_of(at.node).senders_forgotten; /* this, too, takes steps */
        permit = stored_permit(&at, "till/t", &version);
        assert_true(permit != 0 || forgotten == 0);
    }
    assert_int_equal(permit, version); /* of the commit that forgets */
    stand_run(&at, MS(10));
    assert_int_equal(stats_of(at.node).senders_forgotten, 1);
    troupe_client_close(client);
    stand_close(&at);
}

static void who_said_farewell_is_forgotten_by_age_too(void **state)
{
    (void)state;
    enum { SENDERS = 7 };
    stand at;
    open_for(&at, 32);
    for (unsigned i = 0; i < SENDERS; i++) {
        char id[16];
        snprintf(id, sizeof id, "till/s%u", i);
        assert_heard(ask(at.node, id, "send", "till/t take"), TROUPE_OK);
        stand_run(&at, MS(100));
    }
    assert_int_equal(stored_rows(&at, "till/t", TROUPE_ROW_SENDER), SENDERS);
    stand_run(&at, TROUPE_HOURS(24 * 31));
    for (unsigned i = 0; i < SENDERS; i++) {
        assert_heard(ask(at.node, "till/late", "send", "till/t take"), TROUPE_OK);
        stand_run(&at, MS(100));
    }
    assert_int_equal(stored_rows(&at, "till/t", TROUPE_ROW_SENDER), 1);
    assert_int_equal(stats_of(at.node).senders_forgotten, SENDERS);
    stand_close(&at);
}

/* ---- on a file ------------------------------------------------------------------------------- */

typedef struct expected {
    troupe_node *node;
    unsigned came;
} expected;

static bool have_come(void *user)
{
    const expected *self = user;
    char text[48];
    snprintf(text, sizeof text, "0 sent, %u came", self->came);
    return strcmp(ask(self->node, "till/t", "show", "").text, text) == 0;
}

static void keep_senders(void *user, const troupe_stored *stored)
{
    *(uint32_t *)user = stored->senders;
}

static void a_crowd_of_senders_is_forgotten_and_nothing_is_done_twice(void **state)
{
    (void)state;
    enum { CROWD = 100, LIMIT = 24 };
    place at;
    place_make(&at);
    at.senders_limit = LIMIT;
    for (unsigned round = 1; round <= 2; round++) {
        place_serve(&at, TROUPE_TYPES(&till_type));
        for (unsigned i = 0; i < CROWD; i++) {
            char id[16];
            snprintf(id, sizeof id, "till/s%u", i);
            assert_heard(ask(at.node, id, "send", "till/t take"), TROUPE_OK);
        }
        expected all = {at.node, CROWD * round};
        assert_true(comes_true(have_come, &all));
        assert_true(stats_of(at.node).senders_forgotten >= CROWD - LIMIT);
        uint32_t senders = 0;
        assert_ok(troupe_stored_look(at.node, id_of("till/t"), keep_senders, &senders, NULL, 0));
        assert_in_range(senders, 1, LIMIT);
        if (round == 1)
            troupe_node_close(at.node);
    }
    place_close(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_refused_in_part_is_a_dead_letter_also_after_a_crash),
        cmocka_unit_test(two_that_refuse_each_other_remember_it),
        cmocka_unit_test(a_copy_of_what_was_refused_is_not_done_later),
        cmocka_unit_test(a_dead_letter_holds_up_no_stream_of_a_busy_sender),
        cmocka_unit_test(what_was_given_up_while_it_runs_is_not_overtaken),
        cmocka_unit_test(what_a_turn_sends_by_outbox_and_plain_comes_in_that_order),
        cmocka_unit_test(a_request_that_nobody_can_hear_of_any_more_ends),
        cmocka_unit_test(a_stream_to_one_who_rests_takes_no_repeat),
        cmocka_unit_test(those_of_several_streams_wait_for_their_own),
        cmocka_unit_test(who_waits_for_one_before_it_keeps_the_limit_of_the_mailbox),
        cmocka_unit_test(a_target_that_does_not_answer_holds_up_no_other),
        cmocka_unit_test(a_target_that_cannot_be_activated_makes_no_dead_letters),
        cmocka_unit_test(an_outbox_of_many_is_sent_at_once_after_a_crash),
        cmocka_unit_test(those_that_wait_go_with_their_node),
        cmocka_unit_test(a_sender_that_is_one_too_many_comes_again),
        cmocka_unit_test(an_old_copy_of_a_forgotten_sender_is_not_taken),
        cmocka_unit_test(a_farewell_that_got_lost_is_asked_for),
        cmocka_unit_test(who_is_forgotten_counts_when_that_is_stored),
        cmocka_unit_test(who_said_farewell_is_forgotten_by_age_too),
        cmocka_unit_test(a_crowd_of_senders_is_forgotten_and_nothing_is_done_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
