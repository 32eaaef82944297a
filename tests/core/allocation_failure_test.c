/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The i-th allocation fails, for all i: while a node opens, actors activate, ask, tell, wait for
 * callbacks, set timers, save, load, panic, and while the node closes. Every call ends with a clear
 * status, nothing crashes, nothing leaks. In a world with direct pools, so that each block of a
 * shard is an allocation of its own; and once more with threads and the real pools.
 */
#include "tests/promises/scene.h"

typedef struct thing {
    uint64_t count;
    char padding[400]; /* beyond what a turn keeps on its stack */
} thing;

static troupe_status add(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    ((thing *)state)->count++;
    return troupe_reply_format(
        turn, "%llu", (unsigned long long)((thing *)state)->count);
}

static troupe_status pass(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    ((thing *)state)->count++;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status =
        troupe_ask(turn, id_of("thing/inner"), "add", troupe_str("x"), NULL, &answer);
    if (status != TROUPE_OK) {
        troupe_answer_release(&answer);
        return status;
    }
    TROUPE_TRY(troupe_reply_take(turn, &answer));
    return troupe_tell(turn, id_of("thing/told"), "add", troupe_str("y"), NULL);
}

static void came(troupe_turn *turn, void *state, const troupe_answer *answer, void *user)
{
    (void)turn;
    (void)answer;
    (void)user;
    ((thing *)state)->count += 10;
}

static troupe_status tick(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)turn;
    (void)payload;
    ((thing *)state)->count += 100;
    return TROUPE_OK;
}

static void nothing(void *argument)
{
    (void)argument;
}

static troupe_status much(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    troupe_timer timer, other;
    TROUPE_TRY(troupe_timer_start(turn, "tick", troupe_str("t"), MS(2), MS(2), &timer));
    TROUPE_TRY(troupe_timer_start(turn, "tick", troupe_str("t"), MS(1), 0, &other));
    TROUPE_TRY(troupe_defer(turn, nothing, NULL));
    TROUPE_TRY(troupe_ask_callback(
        turn, id_of("thing/inner"), "add", troupe_str("z"), NULL, came, NULL));
    TROUPE_TRY(troupe_sleep(turn, MS(1)));
    TROUPE_TRY(troupe_blocking(turn, nothing, NULL));
    troupe_ref *ref;
    TROUPE_TRY(troupe_ref_create(troupe_turn_node(turn), id_of("thing/ref"), &ref));
    troupe_ref_release(ref);
    memset(troupe_turn_alloc(turn, 3000), 1, 3000);
    memset(troupe_actor_alloc(turn, 300), 1, 300);
    return troupe_reply_json(turn, "{s:i}", "much", 1);
}

static troupe_status boom(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    ((thing *)state)->count = 1000;
    troupe_panic(turn, "as told");
}

static troupe_status save(troupe_turn *turn, const void *state, troupe_writer *writer)
{
    (void)turn;
    return troupe_write(writer, state, sizeof(uint64_t));
}

static troupe_status load(troupe_turn *turn, void *state, troupe_slice saved)
{
    (void)turn;
    memcpy(state, saved.data, saved.size);
    return TROUPE_OK;
}

static troupe_status rise(troupe_turn *turn, void *state)
{
    (void)state;
    return troupe_sleep(turn, TROUPE_MICROSECONDS(10));
}

static const troupe_method methods[] = {TROUPE_METHOD(add), TROUPE_METHOD(pass),
    TROUPE_METHOD(tick), TROUPE_METHOD(much), TROUPE_METHOD(boom)};
static const troupe_type thing_type = {TROUPE_TYPE("thing"), .state_size = sizeof(thing),
    TROUPE_METHODS(methods),
    .supervision = {.on_panic = TROUPE_SUPERVISE_RESTART, .redeliver = true}};
static const troupe_type kept_type = {TROUPE_TYPE("kept"), .state_size = sizeof(thing),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_ON_DEACTIVATE, .on_activate = rise};
static const troupe_type hooked_type = {TROUPE_TYPE("hooked"), .state_size = sizeof(thing),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_ON_DEACTIVATE, .save = save, .load = load};

/* ---- what each run does -------------------------------------------------------------------- */

/* A call may end well, or say that memory was short; or that what it needed had ended by that. */
static void check_end(troupe_status status)
{
    switch (status) {
    case TROUPE_OK:
    case TROUPE_NO_MEMORY:
    case TROUPE_BUSY:        /* a stack is memory, too */
    case TROUPE_PANIC:       /* an arena without memory */
    case TROUPE_POISONED:
    case TROUPE_TIMEOUT:
    case TROUPE_UNAVAILABLE: return;
    default: check_status(status, TROUPE_NO_MEMORY, "a call without memory", __FILE__, __LINE__);
    }
}

static void try_ask(troupe_node *node, const char *id, const char *method)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_SECONDS(2)};
    troupe_status status =
        troupe_node_ask(node, id_of(id), method, troupe_str("payload"), &options, &answer);
    assert_int_equal(status, answer.status);
    check_end(status);
    if (status != TROUPE_OK)
        assert_true(answer.outcome != TROUPE_DONE);
    troupe_answer_release(&answer);
}

static void try_deactivate(troupe_node *node, const char *id)
{
    troupe_status status = troupe_node_deactivate(node, id_of(id));
    if (status != TROUPE_NOT_FOUND) /* its activation may have failed */
        check_end(status);
}

static void use(troupe_node *node)
{
    try_ask(node, "thing/1", "add");
    try_ask(node, "thing/1", "pass");
    try_ask(node, "thing/2", "much");
    check_end(troupe_node_tell(node, id_of("thing/3"), "add", troupe_str("x"), NULL));
    try_ask(node, "kept/1", "add");
    try_ask(node, "hooked/1", "add");
    try_deactivate(node, "kept/1");
    try_deactivate(node, "hooked/1");
    try_ask(node, "kept/1", "add");
    try_ask(node, "hooked/1", "pass");
    try_ask(node, "thing/4", "boom");
    troupe_cancel *cancel = NULL;
    if (troupe_cancel_create(node, &cancel) == TROUPE_OK) {
        troupe_answer answer = TROUPE_ANSWER_INIT;
        troupe_status status = troupe_node_ask(node, id_of("thing/5"), "add", troupe_str(""),
            &(troupe_call_options){TROUPE_CALL_OPTIONS, .cancel = cancel}, &answer);
        check_end(status);
        troupe_answer_release(&answer);
        troupe_cancel_fire(cancel);
    }
    troupe_cancel_destroy(cancel);
}

/* ---- in a world ---------------------------------------------------------------------------- */

typedef struct run {
    tp_world *world;
    troupe_node *node;
    uint64_t opened; /* allocations when the node was open */
    uint64_t used;   /* when all was done and the closing began */
} run;

/* Opens, uses and closes a node; `first` of the world's allocations fails with those that follow.
 * False: it did not open. */
static bool live(run *self, uint32_t shards, uint64_t seed, uint64_t first, uint64_t count)
{
    self->world = tp_world_create(
        &(tp_world_options){.seed = seed, .hurry = 1024, .stuck = scene_is_stuck});
    tp_world_fail_memory(self->world, 0, first, count);
    const troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = shards, .log = "off",
        .allocator = tp_world_allocator(self->world), .drain_timeout = TROUPE_SECONDS(5)};
    char error[256] = "";
    self->node = NULL;
    troupe_status status = tp_node_open_in(tp_world_env(self->world), true, &options,
        TROUPE_TYPES(&thing_type, &kept_type, &hooked_type), &self->node, error, sizeof error);
    self->opened = tp_world_allocations(self->world);
    if (status != TROUPE_OK) {
        assert_status(status, TROUPE_NO_MEMORY);
        assert_null(self->node); /* outputs are untouched on failure */
        assert_true(error[0] != 0);
        return false;
    }
    use(self->node);
    uint64_t until = tp_world_now(self->world) + MS(20);
    while (tp_world_step_until(self->world, until)) {
    }
    self->used = tp_world_allocations(self->world);
    return true;
}

static void close_run(run *self)
{
    troupe_node_close(self->node);
    assert_int_equal(tp_world_live_blocks(self->world), 0);
    assert_int_equal(tp_world_live_bytes(self->world), 0);
    tp_world_destroy(self->world);
}

static void fail_each(uint32_t shards, uint64_t count)
{
    run self;
    assert_true(live(&self, shards, 7, UINT64_MAX, 0));
    troupe_node_close(self.node);
    uint64_t total = tp_world_allocations(self.world);
    tp_world_destroy(self.world);
    assert_true(total > 100);
    uint64_t not_opened = 0;
    for (uint64_t i = 0; i < total; i++) {
        bool opened = live(&self, shards, 7, i, count);
        not_opened += !opened;
        close_run(&self);
    }
    assert_true(not_opened >= 10 && not_opened < total / 2);
}

static void each_allocation_fails_once_on_one_shard(void **state)
{
    (void)state;
    fail_each(1, 1);
}

static void each_allocation_fails_once_on_three_shards(void **state)
{
    (void)state;
    fail_each(3, 1);
}

static void from_each_allocation_on_ten_fail(void **state)
{
    (void)state;
    fail_each(2, 10);
}

static void after_a_shortage_the_node_works_as_before(void **state)
{
    (void)state;
    run self;
    assert_true(live(&self, 2, 7, UINT64_MAX, 0));
    uint64_t opened = self.opened, total = self.used;
    close_run(&self);
    for (uint64_t i = opened; i < total; i++) {
        assert_true(live(&self, 2, 7, i, 3));
        tp_world_fail_memory(self.world, 0, UINT64_MAX, 0);
        uint64_t until = tp_world_now(self.world) + TROUPE_SECONDS(60);
        while (tp_world_step_until(self.world, until)) {
        }
        assert_heard(ask(self.node, "thing/fresh", "pass", ""), TROUPE_OK);
        assert_heard(ask(self.node, "thing/2", "much", ""), TROUPE_OK);
        assert_heard(ask(self.node, "kept/1", "add", ""), TROUPE_OK);
        assert_heard(ask(self.node, "hooked/1", "add", ""), TROUPE_OK);
        close_run(&self);
    }
}

static void with_no_memory_at_all_every_call_says_so_and_closing_works(void **state)
{
    (void)state;
    run self;
    assert_true(live(&self, 2, 7, UINT64_MAX, 0));
    tp_world_fail_memory(self.world, 1024, UINT64_MAX, 0);
    for (int i = 0; i < 20; i++) {
        char id[32];
        snprintf(id, sizeof id, "thing/new-%d", i);
        heard got = ask(self.node, id, "add", "");
        assert_heard(got, TROUPE_NO_MEMORY);
        assert_int_equal(got.outcome, TROUPE_NOT_DONE);
        assert_status(
            troupe_node_tell(self.node, id_of(id), "add", troupe_str(""), NULL), TROUPE_NO_MEMORY);
    }
    troupe_cancel *cancel = NULL;
    assert_status(troupe_cancel_create(self.node, &cancel), TROUPE_NO_MEMORY);
    troupe_client *client = NULL;
    assert_status(troupe_client_open(self.node, &client), TROUPE_NO_MEMORY);
    tp_world_fail_memory(self.world, 0, UINT64_MAX, 0);
    close_run(&self);
}

/* ---- with threads and the pools as they are -------------------------------------------------- */

static void with_threads_each_allocation_fails_once(void **state)
{
    (void)state;
    account memory;
    account_init(&memory);
    const troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 2, .log = "off",
        .allocator = &memory.allocator, .stack_size = 65536};
    uint64_t total = 0;
    for (uint64_t i = 0; i <= total; i++) {
        atomic_store(&memory.calls, 0);
        atomic_store(&memory.first, i); /* 0: the first run counts */
        atomic_store(&memory.count, 1);
        troupe_node *node = NULL;
        char error[256] = "";
        troupe_status status = troupe_node_open_explained(&options,
            TROUPE_TYPES(&thing_type, &kept_type, &hooked_type), &node, error, sizeof error);
        if (status == TROUPE_OK) {
            use(node);
            troupe_node_close(node);
        } else {
            assert_true(status == TROUPE_NO_MEMORY || status == TROUPE_UNAVAILABLE);
            assert_null(node);
        }
        if (i == 0)
            total = atomic_load(&memory.calls);
        assert_account_is_even(&memory);
    }
    assert_true(total > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_fails_once_on_one_shard),
        cmocka_unit_test(each_allocation_fails_once_on_three_shards),
        cmocka_unit_test(from_each_allocation_on_ten_fail),
        cmocka_unit_test(after_a_shortage_the_node_works_as_before),
        cmocka_unit_test(with_no_memory_at_all_every_call_says_so_and_closing_works),
        cmocka_unit_test(with_threads_each_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
