/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node as a part of somebody's program: opening and what is wrong with it, several nodes at once,
 * the program's allocator, driven by its loop, closing with and without work under way. With
 * threads where they matter, in a world where times do.
 */
#include <poll.h>

#include "tests/promises/scene.h"

static troupe_status add(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    uint64_t *count = state;
    return troupe_reply_format(turn, "%llu", (unsigned long long)++*count);
}

static troupe_status nap(troupe_turn *turn, void *state, troupe_slice payload)
{
    char text[32];
    snprintf(text, sizeof text, "%.*s", TROUPE_ARG(payload));
    ++*(uint64_t *)state;
    troupe_status status = troupe_sleep(turn, MS((unsigned)atoi(text)));
    if (status != TROUPE_OK)
        return status;
    return troupe_reply_format(turn, "rested");
}

static troupe_status tick(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)turn;
    (void)payload;
    ++*(uint64_t *)state;
    return TROUPE_OK;
}

static troupe_status wind(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    troupe_timer timer;
    TROUPE_TRY(troupe_timer_start(turn, "tick", troupe_str(""), MS(20), 0, &timer));
    return troupe_reply_format(turn, "wound");
}

/* Calls from inside what must be called from outside. */
static troupe_status misuse(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    troupe_node *node = troupe_turn_node(turn);
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status asked =
        troupe_node_ask(node, id_of("m/2"), "add", troupe_str(""), NULL, &answer);
    troupe_answer_release(&answer);
    troupe_stats stats = {.size = sizeof stats};
    troupe_status looked = troupe_node_stats(node, &stats);
    return troupe_reply_format(
        turn, "%s %s", troupe_status_name(asked), troupe_status_name(looked));
}

static const troupe_method methods[] = {TROUPE_METHOD(add), TROUPE_METHOD(nap),
    TROUPE_METHOD(tick), TROUPE_METHOD(wind), TROUPE_METHOD(misuse)};
static const troupe_type m = {
    TROUPE_TYPE("m"), .state_size = sizeof(uint64_t), TROUPE_METHODS(methods)};

/* ---- opening ------------------------------------------------------------------------------- */

static void refused(const troupe_node_options *options, const troupe_type *type, const char *word)
{
    char error[512] = "";
    troupe_node *node = NULL;
    assert_status(
        troupe_node_open_explained(options, &type, 1, &node, error, sizeof error), TROUPE_USAGE);
    assert_null(node);
    assert_says(error, word);
}

static void wrong_options_are_refused_by_name(void **state)
{
    (void)state;
    refused(&(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 1000}, &m, "shards");
    refused(&(troupe_node_options){TROUPE_NODE_OPTIONS, .name = "no spaces"}, &m, "name");
    refused(&(troupe_node_options){TROUPE_NODE_OPTIONS, .storage = "paper:"}, &m, "paper:");
    refused(&(troupe_node_options){TROUPE_NODE_OPTIONS, .log = "loud"}, &m, "log");
    refused(&(troupe_node_options){TROUPE_NODE_OPTIONS, .max_message = 1}, &m, "max_message");
    refused(&(troupe_node_options){.shards = 1}, &m, "size"); /* the macro was forgotten */
}

static void wrong_types_are_refused_by_name_with_the_reason(void **state)
{
    (void)state;
    troupe_type type = m;
    type.name = "no spaces";
    refused(NULL, &type, "no spaces");
    type = m;
    type.size = 8;
    refused(NULL, &type, "TROUPE_TYPE");
    type = m;
    type.save = (troupe_status(*)(troupe_turn *, const void *, troupe_writer *))(uintptr_t)1;
    refused(NULL, &type, "load");
    static const troupe_method twice[] = {TROUPE_METHOD(add), TROUPE_METHOD(add)};
    type = m;
    type.methods = twice;
    type.method_count = 2;
    refused(NULL, &type, "same name");
    static const troupe_method neither[] = {{"none", NULL, NULL, NULL}};
    type.methods = neither;
    type.method_count = 1;
    refused(NULL, &type, "exactly one");
    char error[512] = "";
    troupe_node *node = NULL;
    assert_status(
        troupe_node_open_explained(NULL, TROUPE_TYPES(&m, &m), &node, error, sizeof error),
        TROUPE_USAGE);
    assert_says(error, "twice");
}

/* ---- several, and their memory --------------------------------------------------------------- */

static void several_nodes_in_one_process_know_nothing_of_each_other(void **state)
{
    (void)state;
    account memory[3];
    troupe_node *nodes[3];
    static const char *const names[] = {"one", "two", "three"};
    for (int i = 0; i < 3; i++) {
        account_init(&memory[i]);
        const troupe_node_options options = {TROUPE_NODE_OPTIONS, .name = names[i],
            .shards = (uint32_t)i + 1, .allocator = &memory[i].allocator};
        assert_ok(troupe_node_open(&options, TROUPE_TYPES(&m), &nodes[i]));
    }
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j <= i; j++)
            ask(nodes[i], "m/1", "add", "");
        assert_string_equal(troupe_node_name(nodes[i]), names[i]);
        assert_int_equal(stats_of(nodes[i]).shards, i + 1);
    }
    troupe_node_close(nodes[1]);
    assert_account_is_even(&memory[1]);
    assert_string_equal(ask(nodes[0], "m/1", "add", "").text, "2");
    assert_string_equal(ask(nodes[2], "m/1", "add", "").text, "4");
    troupe_node_close(nodes[0]);
    troupe_node_close(nodes[2]);
    assert_account_is_even(&memory[0]);
    assert_account_is_even(&memory[2]);
    troupe_node_close(NULL);
}

static void all_memory_comes_from_the_programs_allocator_and_goes_back(void **state)
{
    (void)state;
    account memory;
    account_init(&memory);
    const troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .shards = 2, .allocator = &memory.allocator};
    troupe_node *node;
    assert_ok(troupe_node_open(&options, TROUPE_TYPES(&m), &node));
    int64_t before = atomic_load(&memory.bytes);
    assert_true(before > 0);
    for (int i = 0; i < 20000; i++) {
        char id[32];
        snprintf(id, sizeof id, "m/%d", i);
        tell(node, id, "add", "");
        if (i % 1000 == 0)
            ask(node, id, "add", "");
    }
    for (int i = 0; i < 100; i++) {
        char id[32];
        snprintf(id, sizeof id, "m/%d", i);
        ask(node, id, "add", "");
    }
    assert_true(atomic_load(&memory.bytes) > before + 20000 * 64);
    troupe_node_close(node);
    assert_account_is_even(&memory);
}

static void a_turn_that_calls_its_node_from_outside_gets_usage(void **state)
{
    (void)state;
    troupe_node *node;
    assert_ok(troupe_node_open(
        &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 1}, TROUPE_TYPES(&m), &node));
    assert_string_equal(ask(node, "m/1", "misuse", "").text, "USAGE USAGE");
    troupe_node_close(node);
}

/* ---- driven -------------------------------------------------------------------------------- */

static void a_driven_node_works_only_when_it_is_polled(void **state)
{
    (void)state;
    account memory;
    account_init(&memory);
    troupe_node *node;
    troupe_client *client;
    const troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .driven = true, .allocator = &memory.allocator};
    assert_ok(troupe_node_open(&options, TROUPE_TYPES(&m), &node));
    assert_ok(troupe_client_open(node, &client));
    assert_int_equal(stats_of(node).shards, 1);
    while (troupe_node_poll(node, 0) == 0) {
    }
    call only = {.world = NULL};
    assert_ok(troupe_client_ask_callback(
        client, id_of("m/1"), "add", troupe_str(""), NULL, call_over, &only));
    assert_int_equal(only.ends, 0);
    struct pollfd descriptor = {troupe_node_descriptor(node), POLLIN, 0};
    assert_true(descriptor.fd >= 0);
    assert_int_equal(poll(&descriptor, 1, 10000), 1); /* readable: work from outside */
    for (int i = 0; i < 100 && only.ends == 0; i++)
        (void)troupe_node_poll(node, 0);
    assert_int_equal(only.ends, 1);
    assert_string_equal(only.got.text, "1");
    while (troupe_node_poll(node, 0) == 0) {
    }
    assert_int_equal(poll(&descriptor, 1, 0), 0); /* and silent when there is none */
    assert_string_equal(ask(node, "m/1", "add", "").text, "2"); /* a blocking ask polls it */
    troupe_client_close(client);
    troupe_node_close(node);
    assert_account_is_even(&memory);
}

static void a_driven_node_says_when_it_is_due(void **state)
{
    (void)state;
    troupe_node *node;
    const troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .driven = true, .idle = TROUPE_NEVER};
    assert_ok(troupe_node_open(&options, TROUPE_TYPES(&m), &node));
    assert_string_equal(ask(node, "m/1", "wind", "").text, "wound");
    uint64_t due;
    while ((due = troupe_node_poll(node, 0)) == 0) {
    }
    assert_in_range(due, 1, MS(20) + 2 * TICK);
    uint64_t end = clock_now() + TROUPE_SECONDS(60);
    while (stats_of(node).timers == 0 && clock_now() < end) {
        struct timespec pause = {0, (long)(due < MS(25) ? due : MS(25))};
        nanosleep(&pause, NULL); /* what a host's loop does */
        due = troupe_node_poll(node, MS(1));
        due = due == 0 ? 1 : due;
    }
    assert_int_equal(stats_of(node).timers, 1);
    while ((due = troupe_node_poll(node, 0)) == 0) {
    }
    assert_int_equal(due, TROUPE_NEVER); /* nothing is left but what comes from outside */
    troupe_node_close(node);
}

/* ---- closing ------------------------------------------------------------------------------- */

static void what_was_accepted_ends_before_a_node_closes(void **state)
{
    (void)state;
    scene s;
    scene_open(&s, &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 3}, TROUPE_TYPES(&m));
    static call calls[60];
    for (int i = 0; i < 60; i++) {
        char id[32];
        snprintf(id, sizeof id, "m/%d", i % 20);
        scene_ask(&s, &calls[i], id, i % 2 ? "nap" : "add", "50", NULL);
    }
    scene_close_node(&s);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(calls[i].ends, 1);
        assert_heard(calls[i].got, TROUPE_OK);
    }
    scene_drop(&s);
}

static void turns_that_outlast_drain_timeout_end_interrupted(void **state)
{
    (void)state;
    scene s;
    const troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .shards = 2, .drain_timeout = MS(200)};
    scene_open(&s, &options, TROUPE_TYPES(&m));
    call quick, endless, behind;
    scene_ask(&s, &quick, "m/1", "nap", "100", NULL);
    scene_ask(&s, &endless, "m/2", "nap", "20000", NULL);
    scene_ask(&s, &behind, "m/2", "add", "", NULL);
    scene_run(&s, MS(1));
    uint64_t begin = tp_world_now(s.world);
    scene_close_node(&s);
    assert_heard(quick.got, TROUPE_OK);
    assert_heard(endless.got, TROUPE_INTERRUPTED);
    assert_int_equal(endless.got.outcome, TROUPE_UNKNOWN_OUTCOME);
    assert_int_equal(endless.ends, 1);
    assert_int_equal(behind.ends, 1);
    assert_heard(behind.got, TROUPE_OK); /* it needed no waiting */
    assert_in_range(endless.at - begin, MS(200), MS(300));
    assert_int_equal(tape_count(s.log, "closing_hurries"), 1);
    scene_drop(&s);
}

/* State outlives its activation in this: what the saves of a test left. */
typedef struct shelf {
    _Atomic uint64_t saved, sum;
} shelf;

static troupe_status save(troupe_turn *turn, const void *state, troupe_writer *writer)
{
    shelf *to = troupe_turn_user(turn);
    atomic_fetch_add(&to->saved, 1);
    atomic_fetch_add(&to->sum, *(const uint64_t *)state);
    return troupe_write(writer, state, sizeof(uint64_t));
}

static troupe_status load(troupe_turn *turn, void *state, troupe_slice saved)
{
    (void)turn;
    memcpy(state, saved.data, saved.size);
    return TROUPE_OK;
}

typedef struct pusher {
    troupe_node *node;
    _Atomic uint64_t *accepted;
    _Atomic bool *closing;
    _Atomic uint64_t *sent;
    call *calls;
    uint64_t wrong;
} pusher;

#define PUSHES 20000

static void *push(void *argument)
{
    pusher *self = argument;
    troupe_client *client;
    if (troupe_client_open(self->node, &client) != TROUPE_OK)
        return NULL;
    for (uint32_t i = 0; i < PUSHES && !atomic_load(self->closing); i++) {
        char key[16];
        snprintf(key, sizeof key, "%u", i % 50);
        troupe_status status = troupe_client_ask_callback(client, troupe_id_of("kept", key), "add",
            troupe_str(""), NULL, call_over, &self->calls[i]);
        self->calls[i].at = status == TROUPE_OK; /* accepted */
        if (status == TROUPE_OK)
            atomic_fetch_add(self->accepted, 1);
        else
            self->wrong += status != TROUPE_BUSY;
        atomic_fetch_add(self->sent, 1);
    }
    troupe_client_close(client);
    return NULL;
}

static bool has_begun(void *user)
{
    return atomic_load((_Atomic uint64_t *)user) > 2000;
}

static void closing_under_load_loses_no_accepted_ask_and_saves_all_state(void **state)
{
    (void)state;
    shelf saves = {0};
    const troupe_type kept = {TROUPE_TYPE("kept"), .state_size = sizeof(uint64_t),
        TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_ON_DEACTIVATE, .save = save,
        .load = load, .user = &saves};
    account memory;
    account_init(&memory);
    troupe_node *node;
    const troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .shards = 2, .allocator = &memory.allocator};
    assert_ok(troupe_node_open(&options, TROUPE_TYPES(&kept), &node));
    _Atomic uint64_t accepted = 0, sent = 0;
    _Atomic bool closing = false;
    pusher pushers[2];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        pushers[i] =
            (pusher){node, &accepted, &closing, &sent, calloc(PUSHES, sizeof(call)), 0};
        pthread_create(&threads[i], NULL, push, &pushers[i]);
    }
    assert_true(comes_true(has_begun, &sent));
    atomic_store(&closing, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    troupe_node_close(node); /* most of what was accepted is still on its way */
    uint64_t done = 0;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pushers[i].wrong, 0);
        for (uint32_t j = 0; j < PUSHES; j++) {
            assert_int_equal(pushers[i].calls[j].ends, pushers[i].calls[j].at);
            if (pushers[i].calls[j].at && pushers[i].calls[j].got.status != TROUPE_BUSY)
                assert_heard(pushers[i].calls[j].got, TROUPE_OK);
            done += pushers[i].calls[j].at && pushers[i].calls[j].got.status == TROUPE_OK;
        }
        free(pushers[i].calls);
    }
    assert_true(done > 1000);
    assert_int_equal(atomic_load(&saves.sum), done); /* each effect is in a saved state */
    assert_int_equal(atomic_load(&saves.saved), 50);
    assert_account_is_even(&memory);
}

typedef struct late {
    troupe_node *node;
    _Atomic uint32_t closed, after; /* calls that were refused so, and all */
} late;

static void call_late(void *user, const troupe_lifecycle *event)
{
    late *self = user; /* comes while the node closes, before it is gone */
    if (event->kind != TROUPE_LIFECYCLE_DEACTIVATED || event->reason != TROUPE_REASON_CLOSING)
        return;
    troupe_status status =
        troupe_node_tell(self->node, id_of("m/9"), "add", troupe_str(""), NULL);
    atomic_fetch_add(&self->closed, status == TROUPE_CLOSED);
    atomic_fetch_add(&self->after, 1);
}

static void a_closing_node_refuses_new_calls_with_closed(void **state)
{
    (void)state;
    late self = {0};
    assert_ok(troupe_node_open(&(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 1},
        TROUPE_TYPES(&m), &self.node));
    uint64_t subscription;
    assert_ok(troupe_node_subscribe(self.node, call_late, &self, &subscription));
    ask(self.node, "m/1", "add", "");
    ask(self.node, "m/2", "add", "");
    troupe_node_close(self.node);
    assert_int_equal(self.after, 2);
    assert_int_equal(self.closed, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_options_are_refused_by_name),
        cmocka_unit_test(wrong_types_are_refused_by_name_with_the_reason),
        cmocka_unit_test(several_nodes_in_one_process_know_nothing_of_each_other),
        cmocka_unit_test(all_memory_comes_from_the_programs_allocator_and_goes_back),
        cmocka_unit_test(a_turn_that_calls_its_node_from_outside_gets_usage),
        cmocka_unit_test(a_driven_node_works_only_when_it_is_polled),
        cmocka_unit_test(a_driven_node_says_when_it_is_due),
        cmocka_unit_test(what_was_accepted_ends_before_a_node_closes),
        cmocka_unit_test(turns_that_outlast_drain_timeout_end_interrupted),
        cmocka_unit_test(closing_under_load_loses_no_accepted_ask_and_saves_all_state),
        cmocka_unit_test(a_closing_node_refuses_new_calls_with_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
