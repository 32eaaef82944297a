/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world with virtual time and a store that outlives its nodes and fails by plan: nodes one after
 * the other, closed or crashed. What the tests of promises that must hold through faults share.
 *
 * Threads: the test's.
 */
#ifndef TEST_PROMISES_STAND_H
#define TEST_PROMISES_STAND_H

#include "tests/promises/scene.h"

#include "base/alloc.h"
#include "providers/table.h"
#include "testkit/faulty_store.h"

typedef struct stand {
    tp_world *world;
    troupe_store *inner;
    tp_faulty_store *store;
    /* of each node */
    troupe_node_options options;
    const troupe_type *const *types;
    size_t type_count;
    tp_env *env; /* of this node */
    troupe_node *node;
} stand;

static inline uint64_t stand_no_time(void *context)
{
    (void)context;
    return 1;
}

static inline void stand_open_node(stand *self)
{
    char error[256] = "";
    self->env = tp_world_env(self->world);
    troupe_status status = tp_node_open_on(self->env, true, tp_faulty_store_get(self->store),
        &self->options, self->types, self->type_count, &self->node, error, sizeof error);
    check_status(status, TROUPE_OK, error, __FILE__, __LINE__);
}

static inline void stand_close_node(stand *self)
{
    troupe_node_close(self->node);
    assert_int_equal(tp_world_live_blocks(self->world), 0);
}

/* Nothing of the node goes on, and what its store had not begun is lost. Opens the next one. */
static inline void stand_crash(stand *self)
{
    tp_shared *shared = &self->node->shared;
    for (uint32_t i = 0; i < shared->shard_count; i++)
        tp_fiber_pool_deinit(&shared->shards[i]->fibers);
    tp_world_crash(self->world);
    stand_open_node(self);
}

/* `types` must stay. Of the options the log and the allocator are the stand's. */
static inline void stand_open(stand *self, uint64_t seed, const troupe_node_options *options,
    const troupe_type *const *types, size_t type_count)
{
    const tp_world_options world = {.seed = seed, .hurry = 1024, .stuck = scene_is_stuck};
    const troupe_store_host host = {.size = sizeof host,
        .allocator = tp_allocator_system(),
        .now = stand_no_time,
        .wall = stand_no_time};
    char error[256] = "";
    *self = (stand){.world = tp_world_create(&world),
        .options = *options,
        .types = types,
        .type_count = type_count};
    self->options.log = "off";
    self->options.allocator = tp_world_allocator(self->world);
    assert_ok(tp_memory_provider.open(&host, "memory:", &self->inner, error, sizeof error));
    self->store = tp_faulty_store_create(tp_allocator_system(), self->inner, seed);
    stand_open_node(self);
}

static inline void stand_close(stand *self)
{
    stand_close_node(self);
    tp_faulty_store_destroy(self->store);
    self->inner->close(self->inner);
    tp_world_destroy(self->world);
}

static inline void stand_run(stand *self, uint64_t duration)
{
    run_world(self->world, duration);
}

/* Of a world in which nothing else goes on. */
static inline void shows(stand *self, const char *id, const char *text)
{
    heard got = ask(self->node, id, "show", "");
    assert_string_equal(got.text, text);
}

#endif
