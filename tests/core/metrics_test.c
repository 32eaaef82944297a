/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node counts and measures is what happened: exact counts by type, times within the error
 * that is promised, and a page that waits for nobody.
 *
 * Threads: the test's; one node's.
 */
#include "tests/observe/page.h"
#include "tests/promises/scene.h"

typedef struct stage {
    tp_world *world;
    _Atomic bool is_in, may_go;
    double seen; /* on a page that a turn asked for */
} stage;

static troupe_status add(troupe_turn *turn, void *state, troupe_slice payload)
{
    ++*(uint64_t *)state;
    if (troupe_slice_equal(payload, troupe_str("fail")))
        return troupe_fail(turn, TROUPE_APPLICATION + 7, "as was asked for");
    return troupe_reply_bytes(turn, payload);
}

/* Payloads do not end with a 0. */
static unsigned number_of(troupe_slice payload)
{
    char text[16];
    snprintf(text, sizeof text, "%.*s", TROUPE_ARG(payload));
    return (unsigned)atoi(text);
}

/* Takes so long as the payload says, in ms. */
static troupe_status work(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    const stage *of = troupe_turn_user(turn);
    tp_world_advance(of->world, MS(number_of(payload)));
    return troupe_reply_bytes(turn, payload);
}

static troupe_status nap(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    TROUPE_TRY(troupe_sleep(turn, MS(7)));
    return troupe_reply_bytes(turn, payload);
}

static troupe_status hold(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    stage *of = troupe_turn_user(turn);
    of->seen = page_value(troupe_turn_node(turn), "troupe_actors", "type=\"worker\"");
    atomic_store(&of->is_in, true);
    while (!atomic_load(&of->may_go))
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    return troupe_reply_bytes(turn, payload);
}

static const troupe_method methods[] = {
    TROUPE_METHOD(add), TROUPE_METHOD(work), TROUPE_METHOD(nap), TROUPE_METHOD(hold)};

static troupe_status no_naps(troupe_turn *turn, void *user)
{
    (void)user;
    return troupe_slice_equal(troupe_turn_method(turn), troupe_str("nap")) ? TROUPE_DENIED
                                                                           : TROUPE_OK;
}

static const troupe_filter guards[] = {{"no_naps", no_naps, NULL, NULL}};

static troupe_type worker_of(stage *of)
{
    return (troupe_type){TROUPE_TYPE("worker"), .state_size = sizeof(uint64_t),
        TROUPE_METHODS(methods), .user = of};
}

static const troupe_type guarded_type = {TROUPE_TYPE("guarded"), .state_size = sizeof(uint64_t),
    TROUPE_METHODS(methods), TROUPE_FILTERS(guards)};

static void assert_counts(troupe_node *node, const char *type, const double wanted[6])
{
    static const char *const names[] = {"troupe_turns_total", "troupe_failures_total",
        "troupe_refused_total", "troupe_activations_total", "troupe_deactivations_total",
        "troupe_actors"};
    char label[64];
    snprintf(label, sizeof label, "type=\"%s\"", type);
    for (size_t i = 0; i < 6; i++) {
        double got = page_value(node, names[i], label);
        if (got != wanted[i])
            fail_msg("%s of %s is %.0f, not %.0f", names[i], type, got, wanted[i]);
    }
}

static void each_type_counts_what_it_did(void **unused)
{
    (void)unused;
    scene s;
    stage of = {0};
    const troupe_type worker = worker_of(&of);
    char id[32];
    scene_open(&s, &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 3},
        TROUPE_TYPES(&worker, &guarded_type));
    of.world = s.world;
    assert_counts(s.node, "worker", (double[]){0, 0, 0, 0, 0, 0});
    for (int i = 0; i < 500; i++) {
        snprintf(id, sizeof id, "worker/%d", i % 10);
        assert_heard(ask(s.node, id, "add", i % 50 == 49 ? "fail" : "x"),
            i % 50 == 49 ? TROUPE_APPLICATION + 7 : TROUPE_OK);
    }
    for (int i = 0; i < 20; i++)
        tell(s.node, "worker/3", "add", "");
    for (int i = 0; i < 17; i++)
        assert_heard(ask(s.node, "guarded/one", i < 5 ? "nap" : "add", "x"),
            i < 5 ? TROUPE_DENIED : TROUPE_OK);
    scene_run(&s, MS(10));
    assert_counts(s.node, "worker", (double[]){520, 10, 0, 10, 0, 10});
    assert_counts(s.node, "guarded", (double[]){17, 5, 5, 1, 0, 1});
    assert_ok(troupe_node_deactivate(s.node, id_of("worker/3")));
    scene_run(&s, MS(10));
    assert_counts(s.node, "worker", (double[]){520, 10, 0, 10, 1, 9});
    /* Each counter of the page is that of the statistics, and what is now, too. */
    const troupe_stats stats = stats_of(s.node);
#define X(name, help)                                                                 \
    if (strcmp(#name, "passes") != 0 && strcmp(#name, "sleeps") != 0) /* they go on */ \
        assert_int_equal(page_value(s.node, "troupe_" #name "_total", NULL), stats.name);
    TROUPE_COUNTER_MAP(X)
#undef X
    assert_int_equal(stats.turns, 537);
    assert_int_equal(stats.asks, 517);
    assert_int_equal(stats.tells, 20);
    assert_int_equal(page_value(s.node, "troupe_actors", NULL), stats.active);
    scene_close(&s);
}

/* Asks that take 7 ms by the world's clock, in a rhythm of one ask and one turn. */
static void times_are_those_that_passed(void **unused)
{
    (void)unused;
    scene s;
    stage of = {0};
    const troupe_type worker = worker_of(&of);
    scene_open(&s, NULL, TROUPE_TYPES(&worker));
    of.world = s.world;
    for (int i = 0; i < 4000; i++)
        assert_heard(ask(s.node, "worker/a", "work", "3"), TROUPE_OK);
    troupe_stats stats = stats_of(s.node);
    uint64_t least = MS(3), most = MS(3) + MS(3) / 32;
    assert_in_range(stats.turn_time.count, 4000 / 128 / 4, 4000 / 128 * 4);
    assert_in_range(stats.turn_time.p50, least, most);
    assert_in_range(stats.turn_time.p95, least, most);
    assert_in_range(stats.turn_time.p999, least, most);
    assert_int_equal(stats.turn_time.mean, least);
    assert_in_range(stats.ask_time.count, 4000 / 128 / 4, 4000 / 128 * 4);
    assert_in_range(stats.ask_time.p50, least, most);
    double sum = page_value(s.node, "troupe_turn_seconds_sum", NULL);
    double count = page_value(s.node, "troupe_turn_seconds_count", NULL);
    assert_true(count == (double)stats.turn_time.count);
    assert_true(sum > 0.00299 * count && sum < 0.00301 * count);
    assert_true(page_value(s.node, "troupe_timed_turns_total", "type=\"worker\"") == count);
    double took = page_value(s.node, "troupe_timed_turn_seconds_total", "type=\"worker\"");
    assert_true(took > sum - 1e-6 && took < sum + 1e-6);
    assert_int_equal(page_value(s.node, "troupe_turn_seconds_bucket", "le=\"0.002097152\""), 0);
    assert_true(page_value(s.node, "troupe_turn_seconds_bucket", "le=\"0.004194304\"") == count);
    for (int i = 0; i < 4000; i++)
        assert_heard(ask(s.node, "worker/a", "nap", ""), TROUPE_OK);
    stats = stats_of(s.node);
    assert_in_range(stats.ask_time.p999, MS(7), MS(7) + TICK + (MS(7) + TICK) / 32);
    scene_close(&s);
}

/* A hundred turns a second for five seconds, then two hundred, then none. */
static void the_rate_is_that_of_the_last_seconds(void **unused)
{
    (void)unused;
    scene s;
    stage of = {0};
    const troupe_type worker = worker_of(&of);
    scene_open(&s, &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 2, .idle = TROUPE_NEVER},
        TROUPE_TYPES(&worker));
    of.world = s.world;
    for (int i = 0; i < 1000; i++) {
        tell(s.node, i % 2 ? "worker/a" : "worker/b", "add", "");
        tell(s.node, i % 2 ? "worker/b" : "worker/c", "add", "");
        scene_run(&s, MS(20));
        if (i == 249) {
            double rate = stats_of(s.node).turn_rate;
            assert_true(rate > 97 && rate < 103);
        }
        if (i >= 250)
            tell(s.node, "worker/d", "add", ""), tell(s.node, "worker/a", "add", "");
    }
    double rate = stats_of(s.node).turn_rate;
    assert_true(rate > 194 && rate < 206);
    scene_run(&s, TROUPE_SECONDS(600));
    (void)stats_of(s.node);
    scene_run(&s, TROUPE_SECONDS(2));
    assert_true(stats_of(s.node).turn_rate == 0);
    scene_close(&s);
}

static void without_metrics_nothing_is_timed(void **unused)
{
    (void)unused;
    scene s;
    stage of = {0};
    const troupe_type worker = worker_of(&of);
    scene_open(&s, &(troupe_node_options){TROUPE_NODE_OPTIONS, .no_metrics = true},
        TROUPE_TYPES(&worker));
    of.world = s.world;
    for (int i = 0; i < 1000; i++)
        assert_heard(ask(s.node, "worker/a", "add", ""), TROUPE_OK);
    assert_int_equal(page_value(s.node, "troupe_turns_total", NULL), 1000);
    assert_int_equal(page_value(s.node, "troupe_timed_turns_total", NULL), 0);
    assert_int_equal(page_value(s.node, "troupe_ask_seconds_count", NULL), 0);
    assert_int_equal(page_value(s.node, "troupe_queue_seconds_count", NULL), 0);
    scene_close(&s);
}

static void *ask_hold(void *user)
{
    troupe_node *node = user;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    (void)!troupe_node_ask(node, id_of("worker/a"), "hold", troupe_str(""), NULL, &answer);
    troupe_answer_release(&answer);
    return NULL;
}

static bool is_in(void *user)
{
    return atomic_load(&((stage *)user)->is_in);
}

/* Of a shard whose turn does not end the page is there at once; a turn may ask for it, too. */
static void the_page_waits_for_no_shard(void **unused)
{
    (void)unused;
    stage of = {0};
    const troupe_type worker = worker_of(&of);
    troupe_node *node;
    pthread_t asker;
    account memory;
    account_init(&memory);
    const troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .shards = 1, .log = "error", .allocator = &memory.allocator};
    assert_ok(troupe_node_open(&options, TROUPE_TYPES(&worker), &node));
    assert_heard(ask(node, "worker/b", "add", ""), TROUPE_OK);
    assert_int_equal(pthread_create(&asker, NULL, ask_hold, node), 0);
    assert_true(comes_true(is_in, &of));
    assert_int_equal(page_value(node, "troupe_turns_total", NULL), 1);
    assert_true(of.seen >= 1);
    atomic_store(&memory.count, UINT64_MAX);
    atomic_store(&memory.first, 1);
    metrics_page none = {0};
    assert_status(troupe_node_metrics(node, page_add, &none), TROUPE_NO_MEMORY);
    atomic_store(&memory.first, 0);
    atomic_store(&of.may_go, true);
    pthread_join(asker, NULL);
    troupe_node_close(node);
    assert_account_is_even(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_counts_what_it_did),
        cmocka_unit_test(times_are_those_that_passed),
        cmocka_unit_test(the_rate_is_that_of_the_last_seconds),
        cmocka_unit_test(without_metrics_nothing_is_timed),
        cmocka_unit_test(the_page_waits_for_no_shard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
