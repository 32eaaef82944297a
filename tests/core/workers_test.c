/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types of stateless workers: many activations of one id, on the caller's shard first, as many as
 * there is work for, never more than the type says; idle ones go; each of them can be cancelled,
 * seen and searched for cycles as any actor.
 */
#include "tests/promises/scene.h"

static troupe_status nap(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    int *naps = state;
    ++*naps;
    TROUPE_TRY(troupe_sleep(turn, MS(10)));
    return troupe_reply_format(turn, "%u", troupe_turn_shard(turn));
}

static troupe_status where(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    return troupe_reply_format(turn, "%u", troupe_turn_shard(turn));
}

static troupe_status note(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)turn;
    (void)state;
    (void)in;
    return troupe_sleep(turn, MS(10));
}

/* Asks "type/key" for "where", and says whether that was on this shard. */
static troupe_status near_by(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    troupe_id id;
    TROUPE_TRY(troupe_id_parse(in, &id, NULL));
    troupe_answer answer = TROUPE_ANSWER_INIT;
    char own[16];
    snprintf(own, sizeof own, "%u", troupe_turn_shard(turn));
    if (troupe_ask(turn, id, "where", troupe_str(""), NULL, &answer) != TROUPE_OK)
        return troupe_reply_take(turn, &answer);
    bool is_near = troupe_slice_equal(answer.payload, troupe_str(own));
    troupe_answer_release(&answer);
    return troupe_reply_bytes(turn, troupe_str(is_near ? "near" : "far"));
}

/* The same by a ref, and tells it four times to take a nap before. */
static troupe_status by_ref(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    troupe_id id;
    troupe_ref *ref;
    troupe_selector told, asked;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    TROUPE_TRY(troupe_id_parse(in, &id, NULL));
    TROUPE_TRY(troupe_ref_create(troupe_turn_node(turn), id, &ref));
    (void)!troupe_ref_selector(ref, "note", &told);
    (void)!troupe_ref_selector(ref, "where", &asked);
    for (int i = 0; i < 3; i++)
        (void)!troupe_tell_ref(turn, ref, told, troupe_str(""), NULL);
    uint64_t began = troupe_now(turn);
    (void)!troupe_ask_ref(turn, ref, asked, troupe_str(""), NULL, &answer);
    bool waited = troupe_now(turn) - began >= MS(10);
    troupe_ref_release(ref);
    troupe_answer_release(&answer);
    return troupe_reply_bytes(turn, troupe_str(waited ? "waited" : "at once"));
}

/* Asks "plain/circle" for "back", which asks the same worker id. */
static troupe_status circle(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    (void)!troupe_ask(
        turn, troupe_id_of("plain", "circle"), "back", troupe_turn_self(turn).type, NULL, &answer);
    return troupe_reply_take(turn, &answer);
}

static troupe_status back(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_id id = {in, {NULL, 0}, troupe_str("w")};
    (void)!troupe_ask(turn, id, "where", troupe_str(""), NULL, &answer);
    return troupe_reply_take(turn, &answer);
}

static const troupe_method methods[] = {TROUPE_METHOD(nap), TROUPE_METHOD(where),
    TROUPE_METHOD(note), TROUPE_METHOD(near_by), TROUPE_METHOD(by_ref), TROUPE_METHOD(circle),
    TROUPE_METHOD(back)};
static const troupe_type plain_type = {TROUPE_TYPE("plain"), TROUPE_METHODS(methods)};
static const troupe_type one_type = {
    TROUPE_TYPE("one"), .state_size = sizeof(int), TROUPE_METHODS(methods), .stateless_workers = 1};
static const troupe_type four_type = {TROUPE_TYPE("four"), .state_size = sizeof(int),
    TROUPE_METHODS(methods), .stateless_workers = 4, .idle = MS(100)};
static const troupe_type many_type = {TROUPE_TYPE("many"), .state_size = sizeof(int),
    TROUPE_METHODS(methods), .stateless_workers = 64, .mailbox_limit = 8};

#define ALL_TYPES TROUPE_TYPES(&plain_type, &one_type, &four_type, &many_type)

static void open_with(scene *at, uint32_t shards)
{
    scene_open(at, &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = shards}, ALL_TYPES);
}

static heard answer_of(scene *at, const char *id, const char *method, const char *payload)
{
    call got;
    scene_ask(at, &got, id, method, payload, NULL);
    scene_await(at, &got);
    return got.got;
}

static void count_one(void *user, const troupe_actor_info *info)
{
    (void)info;
    ++*(uint32_t *)user;
}

static uint32_t active_of(scene *at, const char *id)
{
    uint32_t count = 0;
    troupe_status status = troupe_node_lookup(at->node, id_of(id), count_one, &count);
    assert_int_equal(status, count != 0 ? TROUPE_OK : TROUPE_NOT_FOUND);
    return count;
}

static void work_is_shared_up_to_the_limit(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 1);
    call calls[5];
    uint64_t began = tp_world_now(at.world);
    for (int i = 0; i < 5; i++)
        scene_ask(&at, &calls[i], "four/w", "nap", "", NULL);
    int late = 0;
    for (int i = 0; i < 5; i++) {
        scene_await(&at, &calls[i]);
        assert_ok(calls[i].got.status);
        late += calls[i].at - began > MS(15);
        assert_true(calls[i].at - began < MS(20) + 3 * TICK);
    }
    assert_int_equal(late, 1);
    assert_int_equal(active_of(&at, "four/w"), 4);
    scene_close(&at);
}

static void one_call_at_a_time_needs_one_worker_and_idle_ones_go(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 1);
    call calls[3];
    for (int i = 0; i < 10; i++)
        assert_ok(answer_of(&at, "four/w", "where", "").status);
    assert_int_equal(active_of(&at, "four/w"), 1);
    for (int i = 0; i < 3; i++)
        scene_ask(&at, &calls[i], "four/w", "nap", "", NULL);
    for (int i = 0; i < 3; i++)
        scene_await(&at, &calls[i]);
    assert_int_equal(active_of(&at, "four/w"), 3);
    scene_run(&at, MS(500));
    assert_int_equal(active_of(&at, "four/w"), 0);
    scene_close(&at);
}

static void a_turn_calls_a_worker_of_its_own_shard(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 4);
    int near = 0;
    for (int i = 0; i < 16; i++) {
        char id[32];
        snprintf(id, sizeof id, "plain/caller-%d", i);
        assert_string_equal(answer_of(&at, id, "near_by", "four/w").text, "near");
        near += strcmp(answer_of(&at, id, "near_by", "one/w").text, "near") == 0;
    }
    assert_in_range(near, 0, 15); /* one worker cannot be near to all */
    assert_int_equal(active_of(&at, "one/w"), 1);
    scene_close(&at);
}

static void calls_by_ref_find_who_is_free(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 1);
    assert_string_equal(answer_of(&at, "plain/a", "by_ref", "four/w").text, "at once");
    scene_run(&at, MS(50));
    assert_string_equal(answer_of(&at, "plain/a", "by_ref", "one/w").text, "waited");
    scene_close(&at);
}

static void calls_from_outside_go_to_all_shards(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 3);
    uint32_t seen[3] = {0};
    for (int i = 0; i < 12; i++)
        seen[atoi(answer_of(&at, "many/w", "where", "").text)]++;
    for (int i = 0; i < 3; i++)
        assert_int_equal(seen[i], 4);
    scene_close(&at);
}

static void full_workers_are_busy_as_any_actor(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 1);
    call calls[64 * 9 + 8];
    size_t count = sizeof calls / sizeof calls[0], done = 0, busy = 0;
    for (size_t i = 0; i < count; i++)
        scene_ask(&at, &calls[i], "many/w", "nap", "", NULL);
    for (size_t i = 0; i < count; i++) {
        scene_await(&at, &calls[i]);
        done += calls[i].got.status == TROUPE_OK;
        busy += calls[i].got.status == TROUPE_BUSY;
    }
    assert_int_equal(done + busy, count);
    assert_in_range(done, 64 * 8, 64 * 9);
    assert_int_equal(active_of(&at, "many/w"), 64);
    scene_close(&at);
}

static void a_cycle_through_the_only_worker_is_found(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 3);
    assert_heard(answer_of(&at, "one/w", "circle", ""), TROUPE_DEADLOCK);
    scene_close(&at);
    open_with(&at, 1);
    assert_heard(answer_of(&at, "four/w", "circle", ""), TROUPE_OK); /* another one is free */
    scene_close(&at);
}

static void a_call_that_waits_for_a_worker_is_withdrawn(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 2);
    call first, second;
    troupe_cancel *cancel;
    assert_ok(troupe_cancel_create(at.node, &cancel));
    scene_ask(&at, &first, "one/w", "nap", "", NULL);
    scene_ask(&at, &second, "one/w", "nap", "",
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .cancel = cancel});
    scene_run(&at, MS(2));
    troupe_cancel_fire(cancel);
    scene_await(&at, &second);
    assert_heard(second.got, TROUPE_WITHDRAWN);
    scene_await(&at, &first);
    assert_ok(first.got.status);
    troupe_cancel_destroy(cancel);
    scene_close(&at);
}

static void all_activations_of_an_id_are_deactivated(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 3);
    call calls[30];
    for (int i = 0; i < 30; i++)
        scene_ask(&at, &calls[i], "many/w", "nap", "", NULL);
    for (int i = 0; i < 30; i++)
        scene_await(&at, &calls[i]);
    assert_int_equal(active_of(&at, "many/w"), 30);
    assert_ok(troupe_node_deactivate(at.node, id_of("many/w")));
    scene_run(&at, MS(5));
    assert_int_equal(active_of(&at, "many/w"), 0);
    assert_status(troupe_node_deactivate(at.node, id_of("many/w")), TROUPE_NOT_FOUND);
    scene_close(&at);
}

static void expect_refused(const troupe_type *type, const char *words)
{
    char error[512] = "";
    troupe_node *node = NULL;
    assert_status(troupe_node_open_explained(NULL, TROUPE_TYPES(type), &node, error, sizeof error),
        TROUPE_USAGE);
    assert_says(error, words);
}

static void what_workers_cannot_do_is_refused_with_words(void **state)
{
    (void)state;
    troupe_type type = four_type;
    type.persist = TROUPE_PERSIST_ON_DEACTIVATE;
    expect_refused(&type, "'four': stateless workers cannot be persistent");
    type.persist = TROUPE_PERSIST_EVERY_TURN;
    expect_refused(&type, "'four': stateless workers cannot be persistent");
    type.persist = TROUPE_PERSIST_NONE;
    type.stateless_workers = TROUPE_WORKERS_MAX + 1;
    expect_refused(&type, "stateless_workers is above 1,024");
    scene at;
    open_with(&at, 1);
    call got;
    assert_status(scene_try(&at, &got, "four/w", "where", "",
                      &(troupe_call_options){TROUPE_CALL_OPTIONS, .once = troupe_str("k")}),
        TROUPE_USAGE);
    scene_close(&at);
}

static void *call_often(void *user)
{
    troupe_node *node = user;
    intptr_t good = 0;
    for (int i = 0; i < 200; i++)
        good += ask(node, "many/w", i % 2 ? "where" : "nap", "").status == TROUPE_OK;
    return (void *)good;
}

static void many_threads_are_served(void **state)
{
    (void)state;
    troupe_node *node;
    assert_ok(troupe_node_open(
        &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 3, .log = "off"}, ALL_TYPES, &node));
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, node), 0);
    for (int i = 0; i < 4; i++) {
        void *good;
        pthread_join(threads[i], &good);
        assert_int_equal((intptr_t)good, 200);
    }
    troupe_node_close(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_is_shared_up_to_the_limit),
        cmocka_unit_test(one_call_at_a_time_needs_one_worker_and_idle_ones_go),
        cmocka_unit_test(a_turn_calls_a_worker_of_its_own_shard),
        cmocka_unit_test(calls_by_ref_find_who_is_free),
        cmocka_unit_test(calls_from_outside_go_to_all_shards),
        cmocka_unit_test(full_workers_are_busy_as_any_actor),
        cmocka_unit_test(a_cycle_through_the_only_worker_is_found),
        cmocka_unit_test(a_call_that_waits_for_a_worker_is_withdrawn),
        cmocka_unit_test(all_activations_of_an_id_are_deactivated),
        cmocka_unit_test(what_workers_cannot_do_is_refused_with_words),
        cmocka_unit_test(many_threads_are_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
