/* SPDX-License-Identifier: Apache-2.0 */
/*
 * P1, turns: one step of an activation at a time, always on its shard's thread; what each kind of
 * reentrancy lets in; and P4: order is kept by each. The first tests run with threads and many
 * senders, the others in a world.
 */
#include "tests/promises/scene.h"

/* ---- one at a time, with threads ----------------------------------------------------------- */

typedef struct counter {
    _Atomic uint32_t inside; /* steps that run now */
    uint64_t count;          /* not atomic: a race would lose some */
    uint64_t other;
    pthread_t home;
    bool has_home;
    uint64_t faults;
    uint64_t last[8]; /* number of the last message of each sender */
} counter;

static void enter(counter *self)
{
    self->faults += atomic_fetch_add(&self->inside, 1) != 0;
    if (!self->has_home)
        self->home = pthread_self();
    self->has_home = true;
    self->faults += !pthread_equal(self->home, pthread_self());
}

static void leave(counter *self)
{
    atomic_fetch_sub(&self->inside, 1);
}

typedef struct numbered {
    uint32_t sender, number;
} numbered;

static troupe_status count(troupe_turn *turn, void *state, troupe_slice payload)
{
    counter *self = state;
    numbered given;
    memcpy(&given, payload.data, sizeof given);
    enter(self);
    self->count++;
    self->faults += given.number <= self->last[given.sender]; /* P4: none twice, none passed */
    self->last[given.sender] = given.number;
    leave(self);
    if (given.number % 16 == 0) {
        TROUPE_TRY(troupe_yield(turn)); /* a turn of several steps */
        enter(self);
        self->other++;
        leave(self);
    }
    return troupe_reply_bytes(turn, (troupe_slice){0, 0});
}

static troupe_status faults(troupe_turn *turn, const void *state, troupe_slice payload)
{
    const counter *self = state;
    (void)payload;
    return troupe_reply_format(turn, "%llu %llu", (unsigned long long)self->count,
        (unsigned long long)self->faults);
}

static const troupe_method counter_methods[] = {TROUPE_METHOD(count), TROUPE_READ_METHOD(faults)};

#define SENDERS 4
#define ROUNDS  4000

typedef struct sender {
    troupe_node *node;
    uint32_t number;
    uint64_t accepted;
} sender;

static void *send_all(void *argument)
{
    sender *self = argument;
    troupe_client *client;
    if (troupe_client_open(self->node, &client) != TROUPE_OK)
        return NULL;
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        numbered message = {self->number, i};
        troupe_slice payload = {&message, sizeof message};
        for (int key = 0; key < 3; key++) {
            char text[16];
            snprintf(text, sizeof text, "%d", key);
            troupe_id id = troupe_id_of("counter", text);
            if (i % 8 == 0) {
                troupe_answer answer = TROUPE_ANSWER_INIT;
                self->accepted += troupe_client_ask(
                                      client, id, "count", payload, NULL, &answer) == TROUPE_OK;
                troupe_answer_release(&answer);
            } else {
                self->accepted +=
                    troupe_client_tell(client, id, "count", payload, NULL) == TROUPE_OK;
            }
        }
    }
    troupe_client_close(client);
    return NULL;
}

static void hammer_counters(troupe_reentrancy reentrancy)
{
    account memory;
    account_init(&memory);
    const troupe_type type = {TROUPE_TYPE("counter"), .state_size = sizeof(counter),
        TROUPE_METHODS(counter_methods), .reentrancy = reentrancy, .keep_on_failure = true};
    troupe_node *node;
    const troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .shards = 2, .allocator = &memory.allocator, .mailbox_limit = 100000};
    assert_ok(troupe_node_open(&options, TROUPE_TYPES(&type), &node));
    sender senders[SENDERS];
    pthread_t threads[SENDERS];
    for (uint32_t i = 0; i < SENDERS; i++) {
        senders[i] = (sender){node, i, 0};
        pthread_create(&threads[i], NULL, send_all, &senders[i]);
    }
    uint64_t accepted = 0, counted = 0;
    for (uint32_t i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
        accepted += senders[i].accepted;
    }
    for (int key = 0; key < 3; key++) { /* behind what was told: the same senders' clients are */
        char id[32];
        snprintf(id, sizeof id, "counter/%d", key);
        unsigned long long seen = 0, wrong = 1;
        heard got = ask(node, id, "faults", "");
        assert_int_equal(sscanf(got.text, "%llu %llu", &seen, &wrong), 2);
        assert_int_equal(wrong, 0);
        counted += seen;
    }
    assert_int_equal(counted, accepted); /* none lost */
    assert_true(accepted > SENDERS * ROUNDS);
    troupe_node_close(node);
    assert_account_is_even(&memory);
}

static void one_step_of_an_actor_runs_at_a_time_on_one_thread_in_order(void **state)
{
    (void)state;
    hammer_counters(TROUPE_REENTRANCY_NONE);
}

static void so_it_is_for_types_that_let_everything_in_while_parked(void **state)
{
    (void)state;
    hammer_counters(TROUPE_REENTRANCY_ALWAYS);
}

/* ---- what comes in while a turn is parked ---------------------------------------------------- */

typedef struct book {
    char text[256];
    uint64_t value;
} book;

static void write_in(book *self, const char *what)
{
    size_t size = strlen(self->text);
    snprintf(self->text + size, sizeof self->text - size, "%s", what);
}

/* Writes its name, sleeps, writes it again. */
static troupe_status nap(troupe_turn *turn, void *state, troupe_slice payload)
{
    char name[256];
    write_in(state, text_of(payload, name));
    ((book *)state)->value = 1;
    TROUPE_TRY(troupe_sleep(turn, MS(10)));
    write_in(state, name);
    ((book *)state)->value = 2;
    return troupe_reply_format(turn, "%s", ((book *)state)->text);
}

static troupe_status jot(troupe_turn *turn, void *state, troupe_slice payload)
{
    char name[256];
    write_in(state, text_of(payload, name));
    return troupe_reply_format(turn, "%s", ((book *)state)->text);
}

static troupe_status read(troupe_turn *turn, const void *state, troupe_slice payload)
{
    (void)payload;
    return troupe_reply_format(turn, "%s %llu", ((const book *)state)->text,
        (unsigned long long)((const book *)state)->value);
}

/* Asks another actor, which calls back. */
static troupe_status out(troupe_turn *turn, void *state, troupe_slice payload)
{
    write_in(state, "<");
    troupe_answer answer = TROUPE_ANSWER_INIT;
    char id[256];
    troupe_status status = troupe_ask(turn, id_of(text_of(payload, id)), "back",
        troupe_str(""), NULL, &answer);
    write_in(state, ">");
    if (status != TROUPE_OK) {
        troupe_status fails = troupe_fail(turn, status, "%.*s", TROUPE_ARG(answer.message));
        troupe_answer_release(&answer);
        return fails;
    }
    return troupe_reply_take(turn, &answer);
}

/* Rests a little, then calls whoever asked. */
static troupe_status back(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    TROUPE_TRY(troupe_sleep(turn, MS(10)));
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = troupe_ask(
        turn, troupe_turn_caller(turn), "jot", troupe_str("inner"), NULL, &answer);
    if (status != TROUPE_OK) {
        troupe_status fails = troupe_fail(turn, status, "%.*s", TROUPE_ARG(answer.message));
        troupe_answer_release(&answer);
        return fails;
    }
    return troupe_reply_take(turn, &answer);
}

static troupe_status fall(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    write_in(state, "x");
    TROUPE_TRY(troupe_sleep(turn, MS(10)));
    write_in(state, "y");
    return troupe_fail(turn, TROUPE_APPLICATION, "as told");
}

/* Tells another actor the letters of the payload, one message each, some of them read-only. */
static troupe_status spell(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    char text[256];
    text_of(payload, text);
    char *letters = strchr(text, ' ');
    *letters++ = 0;
    for (; *letters != 0; letters++)
        TROUPE_TRY(troupe_tell(turn, id_of(text), *letters >= 'a' ? "jot" : "nap",
            troupe_slice_of(letters, 1), NULL));
    return troupe_reply_format(turn, "told");
}

static const troupe_method book_methods[] = {TROUPE_METHOD(nap), TROUPE_METHOD(jot),
    TROUPE_METHOD(out), TROUPE_METHOD(back), TROUPE_METHOD(fall), TROUPE_METHOD(spell)};
static const troupe_method readable_methods[] = {TROUPE_METHOD(nap), TROUPE_METHOD(jot),
    TROUPE_METHOD(out), TROUPE_METHOD(fall), TROUPE_READ_METHOD(read)};
#define BOOK(type, mode)                                                          \
    {                                                                             \
        TROUPE_TYPE(type), .state_size = sizeof(book), TROUPE_METHODS(book_methods), \
            .reentrancy = (mode)                                                  \
    }
static const troupe_type closed_book = BOOK("closed", TROUPE_REENTRANCY_NONE);
static const troupe_type chain_book = BOOK("chain", TROUPE_REENTRANCY_CALL_CHAIN);
static const troupe_type open_book = BOOK("open", TROUPE_REENTRANCY_ALWAYS);
static const troupe_type readable_book = {
    TROUPE_TYPE("readable"), .state_size = sizeof(book), TROUPE_METHODS(readable_methods)};

static void open_books(scene *self, uint32_t shards)
{
    scene_open(self, &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = shards},
        TROUPE_TYPES(&closed_book, &chain_book, &open_book, &readable_book));
}

static void without_reentrancy_nothing_comes_in_while_a_turn_is_parked(void **state)
{
    (void)state;
    scene s;
    open_books(&s, 1);
    call calls[3];
    scene_ask(&s, &calls[0], "closed/1", "nap", "A", NULL);
    scene_ask(&s, &calls[1], "closed/1", "jot", "b", NULL);
    scene_ask(&s, &calls[2], "closed/1", "nap", "C", NULL);
    scene_run(&s, MS(50));
    assert_string_equal(calls[2].got.text, "AAbCC");
    scene_close(&s);
}

static void always_lets_whatever_comes_run_while_others_are_parked(void **state)
{
    (void)state;
    scene s;
    open_books(&s, 1);
    call calls[3];
    scene_ask(&s, &calls[0], "open/1", "nap", "A", NULL);
    scene_ask(&s, &calls[1], "open/1", "jot", "b", NULL);
    scene_ask(&s, &calls[2], "open/1", "nap", "C", NULL);
    scene_run(&s, MS(50));
    assert_string_equal(calls[1].got.text, "Ab"); /* in the order in which they came */
    assert_string_equal(calls[2].got.text, "AbCAC");
    scene_close(&s);
}

static void a_call_chain_comes_back_in_and_strangers_wait(void **state)
{
    (void)state;
    for (uint32_t shards = 1; shards <= 4; shards++) {
        scene s;
        open_books(&s, shards);
        call outer, stranger;
        scene_ask(&s, &outer, "chain/1", "out", "closed/helper", NULL);
        scene_ask(&s, &stranger, "chain/1", "jot", "stranger", NULL);
        scene_run(&s, MS(100));
        assert_heard(outer.got, TROUPE_OK);
        assert_string_equal(outer.got.text, "<inner");
        assert_string_equal(stranger.got.text, "<inner>stranger");
        scene_close(&s);
    }
}

static void read_only_turns_come_in_and_see_what_is_committed(void **state)
{
    (void)state;
    scene s;
    open_books(&s, 1);
    ask(s.node, "readable/1", "jot", "0");
    call writer, reader, later, behind;
    scene_ask(&s, &writer, "readable/1", "nap", "A", NULL);
    scene_ask(&s, &reader, "readable/1", "read", "", NULL);
    scene_ask(&s, &later, "readable/1", "jot", "b", NULL);
    scene_ask(&s, &behind, "readable/1", "read", "", NULL);
    scene_run(&s, MS(5));
    assert_int_equal(writer.ends, 0);
    assert_int_equal(reader.ends, 1);
    assert_string_equal(reader.got.text, "0A 1"); /* the park was a commit point */
    assert_int_equal(later.ends, 0);
    assert_int_equal(behind.ends, 0); /* P4: it does not pass what its sender sent first */
    scene_run(&s, MS(20));
    assert_string_equal(writer.got.text, "0AA");
    assert_string_equal(later.got.text, "0AAb");
    assert_string_equal(behind.got.text, "0AAb 2");
    scene_close(&s);
}

static void a_failure_after_a_park_where_others_came_in_undoes_only_what_followed(void **state)
{
    (void)state;
    scene s;
    open_books(&s, 1);
    call failing, other;
    scene_ask(&s, &failing, "open/1", "fall", "", NULL);
    scene_ask(&s, &other, "open/1", "jot", "b", NULL);
    scene_run(&s, MS(50));
    assert_heard(failing.got, TROUPE_APPLICATION);
    assert_string_equal(ask(s.node, "open/1", "jot", ".").text, "xb.");
    scene_close(&s);
}

/* ---- order ----------------------------------------------------------------------------------- */

static void what_one_actor_tells_another_arrives_in_order_across_parks(void **state)
{
    (void)state;
    for (uint32_t shards = 1; shards <= 4; shards++) {
        scene s;
        open_books(&s, shards);
        assert_heard(ask(s.node, "closed/teller", "spell", "closed/1 aAbcBCd"), TROUPE_OK);
        scene_run(&s, MS(100));
        assert_string_equal(ask(s.node, "closed/1", "jot", ".").text, "aAAbcBBCCd.");
        assert_heard(ask(s.node, "closed/teller", "spell", "chain/1 aAbcBCd"), TROUPE_OK);
        scene_run(&s, MS(100));
        assert_string_equal(ask(s.node, "chain/1", "jot", ".").text, "aAAbcBBCCd.");
        scene_close(&s);
    }
}

static void order_is_kept_across_deactivation_and_the_next_activation(void **state)
{
    (void)state;
    troupe_type type = closed_book;
    type.persist = TROUPE_PERSIST_ON_DEACTIVATE;
    scene s;
    scene_open(&s, &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 2}, TROUPE_TYPES(&type));
    char letters[] = "a", want[64] = "";
    uint64_t left = 0;
    for (int i = 0; i < 26; i++) {
        letters[0] = (char)('a' + i);
        tell(s.node, "closed/1", "jot", letters);
        strcat(want, letters);
        if (i % 3 == 0)
            left += troupe_node_deactivate(s.node, id_of("closed/1")) == TROUPE_OK;
        if (i % 3 == 1)
            scene_run(&s, MS(1));
    }
    strcat(want, ".");
    assert_string_equal(ask(s.node, "closed/1", "jot", ".").text, want);
    assert_true(left > 3);
    assert_in_range(stats_of(s.node).deactivations, 2, left);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_step_of_an_actor_runs_at_a_time_on_one_thread_in_order),
        cmocka_unit_test(so_it_is_for_types_that_let_everything_in_while_parked),
        cmocka_unit_test(without_reentrancy_nothing_comes_in_while_a_turn_is_parked),
        cmocka_unit_test(always_lets_whatever_comes_run_while_others_are_parked),
        cmocka_unit_test(a_call_chain_comes_back_in_and_strangers_wait),
        cmocka_unit_test(read_only_turns_come_in_and_see_what_is_committed),
        cmocka_unit_test(a_failure_after_a_park_where_others_came_in_undoes_only_what_followed),
        cmocka_unit_test(what_one_actor_tells_another_arrives_in_order_across_parks),
        cmocka_unit_test(order_is_kept_across_deactivation_and_the_next_activation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
