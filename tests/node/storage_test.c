/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a node comes to its store and runs it: URLs, writers, groups, the bound, closing. The stores
 * here are of the test's own, but for the last scenes, which open nodes on files.
 *
 * Threads: the test's, submitters, the store's own.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "node/storage.h"
#include "os/env.h"
#include <troupe.h>

enum { OPS = 400, GROUP = 64, LIMIT = 100 };

/* ---- a store of the test -------------------------------------------------------------------- */

typedef struct fake {
    troupe_store store;
    pthread_mutex_t gate; /* held by the test: a run waits */
    _Atomic uint32_t runs_begun;
    _Atomic bool is_stuck, hurried, closed;
    _Atomic uint64_t unclosable; /* a writer that the store cannot close now; 0: none */
    /* of the store's thread, read when it has ended */
    uint32_t groups;
    size_t largest;
    uint64_t conflicts; /* of writers still to come */
    uint64_t writer, closed_writer, closed_older;
    uint64_t last_of[4]; /* `from` of the last operation, by submitter `keep` */
    bool out_of_order;
} fake;

static void fake_one(fake *self, troupe_store_op *op)
{
    op->status = TROUPE_OK;
    if (op->kind == TROUPE_STORE_OPEN_WRITER) {
        self->writer = op->writer;
        if (self->conflicts != 0) {
            self->conflicts--;
            op->status = TROUPE_CONFLICT;
        }
    } else if (op->kind == TROUPE_STORE_CLOSE_WRITER) {
        if (op->writer == atomic_load(&self->unclosable))
            op->status = TROUPE_UNAVAILABLE;
        else
            self->closed_writer = op->writer;
    } else if (op->kind == TROUPE_STORE_CLOSE_OLDER) {
        self->closed_older = op->writer;
    } else if (op->kind == TROUPE_STORE_LOAD) {
        if (op->from <= self->last_of[op->keep])
            self->out_of_order = true;
        self->last_of[op->keep] = op->from;
    }
}

static void fake_run(troupe_store *store, troupe_store_op *const *ops, size_t count)
{
    fake *self = (fake *)store;
    atomic_fetch_add(&self->runs_begun, 1);
    while (atomic_load(&self->is_stuck) && !atomic_load(&self->hurried))
        sched_yield();
    pthread_mutex_lock(&self->gate);
    pthread_mutex_unlock(&self->gate);
    self->groups++;
    if (count > self->largest)
        self->largest = count;
    for (size_t i = 0; i < count; i++)
        fake_one(self, ops[i]);
}

static void fake_hurry(troupe_store *store)
{
    atomic_store(&((fake *)store)->hurried, true);
}

static void fake_close(troupe_store *store)
{
    atomic_store(&((fake *)store)->closed, true);
}

typedef struct operations operations;

typedef struct scene {
    fake fake;
    tp_env *env;
    tp_log log;
    tp_storage *storage;
    tp_store_port *port; /* once it is open */
    operations *all;
    char error[512];
    uint64_t limit;
} scene;

struct operations {
    troupe_store_op ops[OPS];
    _Atomic uint32_t done, busy;
};

static void op_done(troupe_store_op *op)
{
    operations *self = op->owner;
    if (op->status == TROUPE_BUSY)
        atomic_fetch_add(&self->busy, 1);
    atomic_fetch_add(&self->done, 1);
}

static void make_ops(operations *self, size_t first, size_t count, uint64_t submitter)
{
    for (size_t i = first; i < first + count; i++)
        self->ops[i] = (troupe_store_op){.kind = TROUPE_STORE_LOAD,
            .from = i - first + 1,
            .keep = submitter,
            .next = i + 1 < first + count ? &self->ops[i + 1] : NULL,
            .done = op_done,
            .owner = self};
}

static void write_nothing(void *user, const char *text, size_t size)
{
    (void)user;
    (void)text;
    (void)size;
}

static uint64_t no_wall(void *user)
{
    (void)user;
    return 0;
}

static tp_storage_options options_of(scene *self, const char *url)
{
    return (tp_storage_options){.env = self->env,
        .allocator = tp_allocator_system(),
        .log = &self->log,
        .url = url,
        .limit = self->limit};
}

static void serve(scene *self)
{
    tp_storage_options options = options_of(self, "fake:");
    assert_int_equal(tp_storage_open_with(&options, &self->fake.store, &self->storage, self->error,
                         sizeof self->error),
        TROUPE_OK);
    self->port = tp_storage_port(self->storage);
}

static void setup(scene *self, bool driven)
{
    memset(self, 0, sizeof *self);
    self->limit = LIMIT;
    self->all = calloc(1, sizeof *self->all);
    assert_non_null(self->all);
    tp_real_options real = {.driven = driven, .blocking_threads = 1, .blocking_limit = 1};
    assert_int_equal(tp_real_env_create(&real, &self->env), TROUPE_OK);
    tp_log_options log = {.node = "n", .level = "off", .write = write_nothing, .wall = no_wall};
    assert_int_equal(tp_log_init(&self->log, &log), TROUPE_OK);
    pthread_mutex_init(&self->fake.gate, NULL);
    self->fake.store = (troupe_store){.size = sizeof(troupe_store),
        .promises = "none",
        .durable = true,
        .group = GROUP,
        .run = fake_run,
        .hurry = fake_hurry,
        .close = fake_close};
}

static void teardown(scene *self)
{
    tp_storage_close(self->storage);
    pthread_mutex_destroy(&self->fake.gate);
    tp_log_deinit(&self->log);
    self->env->destroy(self->env);
    free(self->all);
}

static void await(const _Atomic uint32_t *count, uint32_t wanted)
{
    while (atomic_load(count) < wanted)
        sched_yield();
}

/* The first operation is in the store, which stands still until its gate is opened. */
static void hold_one(scene *self)
{
    uint32_t begun = atomic_load(&self->fake.runs_begun);
    make_ops(self->all, 0, 1, 0);
    pthread_mutex_lock(&self->fake.gate);
    self->port->submit(self->port, &self->all->ops[0]);
    await(&self->fake.runs_begun, begun + 1);
}

/* ---- scenes --------------------------------------------------------------------------------- */

static void a_writer_is_found_and_older_ones_are_closed(void **state)
{
    (void)state;
    scene self;
    setup(&self, false);
    self.fake.conflicts = 2;
    uint64_t before = self.env->wall(self.env);
    serve(&self);
    uint64_t writer = tp_storage_port(self.storage)->writer;
    assert_true(tp_storage_port(self.storage)->durable);
    assert_true(writer >= before + 2);
    assert_int_equal(self.fake.writer, writer);
    assert_int_equal(self.fake.closed_older, writer);
    tp_storage_close(self.storage);
    self.storage = NULL;
    assert_int_equal(self.fake.closed_writer, writer);
    assert_true(atomic_load(&self.fake.closed));
    teardown(&self);
}

static _Atomic bool no_memory;

static void *take_or_refuse(void *context, size_t size)
{
    (void)context;
    return atomic_load(&no_memory) ? NULL : malloc(size);
}

static void give_back(void *context, void *block, size_t size)
{
    (void)context;
    (void)size;
    free(block);
}

/* A node is gone while there is no memory: its writer is closed before what is asked for later. */
static void a_writer_is_closed_without_memory(void **state)
{
    (void)state;
    static const troupe_allocator scarce = {.allocate = take_or_refuse, .release = give_back};
    scene self;
    setup(&self, false);
    tp_storage_options options = options_of(&self, "fake:");
    options.allocator = &scarce;
    assert_int_equal(tp_storage_open_with(&options, &self.fake.store, &self.storage, self.error,
                         sizeof self.error),
        TROUPE_OK);
    self.port = tp_storage_port(self.storage);
    hold_one(&self);
    atomic_store(&no_memory, true);
    uint32_t begun = atomic_load(&self.fake.runs_begun);
    tp_storage_close_other(self.storage, 7, true);
    make_ops(self.all, 1, 1, 1);
    self.port->submit(self.port, &self.all->ops[1]);
    pthread_mutex_unlock(&self.fake.gate);
    await(&self.all->done, 2);
    assert_int_equal(self.fake.closed_writer, 7);
    assert_int_equal(atomic_load(&self.fake.runs_begun), begun + 2);

    /* More than there is room for: nothing runs any more. */
    make_ops(self.all, 2, 1, 0);
    self.all->ops[2].from = 100;
    begun = atomic_load(&self.fake.runs_begun);
    pthread_mutex_lock(&self.fake.gate);
    for (uint64_t writer = 0; writer < 70; writer++)
        tp_storage_close_other(self.storage, 100 + writer, true);
    self.port->submit(self.port, &self.all->ops[2]);
    pthread_mutex_unlock(&self.fake.gate);
    await(&self.all->done, 3);
    assert_int_equal(self.all->ops[2].status, TROUPE_CLOSED);
    atomic_store(&no_memory, false);
    teardown(&self);
    assert_true(self.fake.closed_writer > 1000); /* its own */
}

/* What waits for the writer of a node that is gone ends when this one closes. */
static void a_writer_that_cannot_be_closed_keeps_no_node(void **state)
{
    (void)state;
    scene self;
    setup(&self, false);
    serve(&self);
    atomic_store(&self.fake.unclosable, 7);
    tp_storage_close_other(self.storage, 7, true);
    make_ops(self.all, 0, 1, 0);
    self.port->submit(self.port, &self.all->ops[0]);
    uint64_t own = self.port->writer;
    tp_storage_close(self.storage);
    self.storage = NULL;
    assert_int_equal(atomic_load(&self.all->done), 1);
    assert_int_equal(self.all->ops[0].status, TROUPE_CLOSED);
    assert_int_equal(self.fake.closed_writer, own);
    teardown(&self);
}

static void what_waits_is_one_group(void **state)
{
    (void)state;
    scene self;
    setup(&self, false);
    serve(&self);
    hold_one(&self);
    make_ops(self.all, 1, GROUP, 1);
    self.port->submit(self.port, &self.all->ops[1]); /* wait for the run under way */
    uint32_t groups = self.fake.groups;
    pthread_mutex_unlock(&self.fake.gate);
    await(&self.all->done, 1 + GROUP);
    tp_storage_counts counts = tp_storage_count(self.storage);
    assert_int_equal(self.fake.groups, groups + 2);
    assert_int_equal(self.fake.largest, GROUP);
    assert_int_equal(counts.groups, self.fake.groups);
    assert_int_equal(counts.ops, 1 + GROUP + 2); /* the writer's two */
    assert_int_equal(counts.errors, 0);
    teardown(&self);
}

typedef struct submitter {
    tp_store_port *port;
    operations *all;
    size_t first, count, piece;
    uint64_t number;
} submitter;

static void *submit_pieces(void *argument)
{
    submitter *self = argument;
    for (size_t at = 0; at < self->count; at += self->piece) {
        self->all->ops[self->first + at + self->piece - 1].next = NULL;
        self->port->submit(self->port, &self->all->ops[self->first + at]);
        sched_yield();
    }
    return NULL;
}

static void operations_of_one_thread_run_in_their_order(void **state)
{
    (void)state;
    scene self;
    setup(&self, false);
    self.limit = OPS;
    serve(&self);
    enum { EACH = OPS / 4 };
    pthread_t threads[4];
    submitter by[4];
    for (uint64_t i = 0; i < 4; i++) {
        make_ops(self.all, i * EACH, EACH, i);
        by[i] = (submitter){self.port, self.all, i * EACH, EACH, 5, i};
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, submit_pieces, &by[i]), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    await(&self.all->done, OPS);
    tp_storage_close(self.storage);
    self.storage = NULL;
    assert_false(self.fake.out_of_order);
    teardown(&self);
}

static void beyond_the_limit_is_busy_at_once(void **state)
{
    (void)state;
    scene self;
    setup(&self, false);
    serve(&self);
    hold_one(&self);
    make_ops(self.all, 1, LIMIT + 7, 1);
    self.port->submit(self.port, &self.all->ops[1]);
    assert_int_equal(atomic_load(&self.all->busy), 7);
    assert_int_equal(self.all->ops[LIMIT].status, 0);
    assert_int_equal(self.all->ops[LIMIT + 1].status, TROUPE_BUSY);
    assert_int_equal(tp_storage_count(self.storage).busy, 7);
    pthread_mutex_unlock(&self.fake.gate);
    await(&self.all->done, 1 + LIMIT + 7);
    make_ops(self.all, 0, LIMIT, 2); /* there is room again */
    atomic_store(&self.all->done, 0);
    self.port->submit(self.port, &self.all->ops[0]);
    await(&self.all->done, LIMIT);
    assert_int_equal(atomic_load(&self.all->busy), 7);
    teardown(&self);
}

static void closing_ends_all_that_waits(void **state)
{
    (void)state;
    scene self;
    setup(&self, false);
    serve(&self);
    make_ops(self.all, 0, LIMIT, 0);
    self.port->submit(self.port, &self.all->ops[0]);
    tp_storage_close(self.storage);
    self.storage = NULL;
    assert_int_equal(atomic_load(&self.all->done), LIMIT);
    assert_false(atomic_load(&self.fake.hurried)); /* there was no need to */
    teardown(&self);
}

static void a_store_that_is_stuck_is_hurried_when_the_node_closes(void **state)
{
    (void)state;
    scene self;
    setup(&self, false);
    serve(&self);
    atomic_store(&self.fake.is_stuck, true);
    tp_storage_close(self.storage); /* ends */
    self.storage = NULL;
    assert_true(atomic_load(&self.fake.hurried));
    teardown(&self);
}

static void an_immediate_store_runs_on_the_thread_that_submits(void **state)
{
    (void)state;
    scene self;
    setup(&self, false);
    self.fake.store.immediate = true;
    serve(&self);
    make_ops(self.all, 0, OPS, 0);
    self.port->submit(self.port, &self.all->ops[0]);
    assert_int_equal(atomic_load(&self.all->done), OPS);
    assert_false(self.fake.out_of_order);
    teardown(&self);
}

static void a_driven_node_has_a_thread_for_its_store(void **state)
{
    (void)state;
    scene self;
    setup(&self, true);
    serve(&self);
    for (int i = 0; i < 200; i++) {
        troupe_store_op op = {.kind = TROUPE_STORE_HEALTH};
        assert_int_equal(tp_storage_call(self.storage, &op), TROUPE_OK);
    }
    teardown(&self);
}

static void a_store_that_takes_no_writer_in_time_fails_the_start(void **state)
{
    (void)state;
    scene self;
    setup(&self, false);
    self.fake.store.promises = "fake: of this test";
    atomic_store(&self.fake.is_stuck, true);
    tp_storage_options options = options_of(&self, "fake:");
    options.open_timeout = TROUPE_MILLISECONDS(20);
    assert_int_equal(tp_storage_open_with(
                         &options, &self.fake.store, &self.storage, self.error, sizeof self.error),
        TROUPE_UNAVAILABLE);
    assert_null(self.storage);
    assert_true(atomic_load(&self.fake.hurried));
    assert_true(atomic_load(&self.fake.closed));
    assert_non_null(strstr(self.error, "fake: of this test"));
    assert_non_null(strstr(self.error, "store_open_timeout"));
    teardown(&self);
}

static void an_unknown_scheme_names_the_known_ones_and_where_it_was_looked_for(void **state)
{
    (void)state;
    scene self;
    setup(&self, false);
    static const char *const urls[] = {"nowhere:x", "", "memory", ":", "../../x:", "nowhere"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        tp_storage_options options = options_of(&self, urls[i]);
        troupe_status status =
            tp_storage_open(&options, &self.storage, self.error, sizeof self.error);
        assert_int_equal(status, TROUPE_USAGE);
        assert_null(self.storage);
        assert_non_null(strstr(self.error, "memory:"));
        assert_non_null(strstr(self.error, "sqlite:"));
        if (i == 0) {
            assert_non_null(strstr(self.error, "libtroupe_nowhere.so"));
            assert_non_null(strstr(self.error, "TROUPE_PROVIDER_PATH"));
        }
    }
    tp_storage_options options = options_of(&self, "memory:what");
    assert_int_equal(
        tp_storage_open(&options, &self.storage, self.error, sizeof self.error), TROUPE_USAGE);
    teardown(&self);
}

/* ---- nodes ---------------------------------------------------------------------------------- */

static troupe_status add(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    uint64_t *count = state;
    ++*count;
    return troupe_reply_format(turn, "%llu", (unsigned long long)*count);
}

static uint64_t ask_add(troupe_node *node)
{
    uint64_t count = 0;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    assert_int_equal(troupe_node_ask(node, troupe_id_of("counter", "one"), "add",
                         (troupe_slice){NULL, 0}, NULL, &answer),
        TROUPE_OK);
    char text[24];
    snprintf(text, sizeof text, "%.*s", TROUPE_ARG(answer.payload));
    count = strtoull(text, NULL, 10);
    troupe_answer_release(&answer);
    return count;
}

static void states_are_found_again(bool driven)
{
    static const troupe_method methods[] = {TROUPE_METHOD(add)};
    static const troupe_type counter = {TROUPE_TYPE("counter"), TROUPE_METHODS(methods),
        .state_size = sizeof(uint64_t), .persist = TROUPE_PERSIST_ON_DEACTIVATE};
    char folder[] = "/tmp/troupe-storage-XXXXXX", url[64];
    assert_non_null(mkdtemp(folder));
    snprintf(url, sizeof url, "sqlite:%s/store.db", folder);
    for (uint64_t run = 0; run < 3; run++) {
        const troupe_node_options options = {
            TROUPE_NODE_OPTIONS, .storage = url, .driven = driven, .shards = driven ? 1 : 2};
        troupe_node *node = NULL;
        assert_int_equal(troupe_node_open(&options, TROUPE_TYPES(&counter), &node), TROUPE_OK);
        assert_int_equal(ask_add(node), run * 2 + 1);
        assert_int_equal(ask_add(node), run * 2 + 2);
        troupe_node_close(node);
    }
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void a_node_on_a_file_finds_its_states_again(void **state)
{
    (void)state;
    states_are_found_again(false);
}

static void a_driven_node_on_a_file_finds_its_states_again(void **state)
{
    (void)state;
    states_are_found_again(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_writer_is_found_and_older_ones_are_closed),
        cmocka_unit_test(a_writer_is_closed_without_memory),
        cmocka_unit_test(a_writer_that_cannot_be_closed_keeps_no_node),
        cmocka_unit_test(what_waits_is_one_group),
        cmocka_unit_test(operations_of_one_thread_run_in_their_order),
        cmocka_unit_test(beyond_the_limit_is_busy_at_once),
        cmocka_unit_test(closing_ends_all_that_waits),
        cmocka_unit_test(a_store_that_is_stuck_is_hurried_when_the_node_closes),
        cmocka_unit_test(an_immediate_store_runs_on_the_thread_that_submits),
        cmocka_unit_test(a_driven_node_has_a_thread_for_its_store),
        cmocka_unit_test(a_store_that_takes_no_writer_in_time_fails_the_start),
        cmocka_unit_test(an_unknown_scheme_names_the_known_ones_and_where_it_was_looked_for),
        cmocka_unit_test(a_node_on_a_file_finds_its_states_again),
        cmocka_unit_test(a_driven_node_on_a_file_finds_its_states_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
