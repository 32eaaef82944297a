/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world of many nodes, and what they say when nobody asks anything of them. See scale.h.
 *
 * Invariants: whoever joins is opened inside of an event, so that many wait to be admitted at once.
 *
 * Threads: one, as world.h.
 */
#include "testkit/scale.h"

#include "cluster/outpost_inside.h"
#include "node/node.h"
#include "testkit/roll.h"
#include "testkit/world.h"

#include <troupe/cluster.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TTL   TROUPE_SECONDS(3)
#define QUIET (4 * TTL) /* until what joined is quiet */
#define LOOK  TROUPE_MILLISECONDS(10)
#define TICK  TROUPE_MICROSECONDS(500) /* and so the time that a way takes */
#define BATCH 100                      /* join at once */

typedef struct street street;
typedef struct dweller dweller;

struct dweller {
    street *street;
    char name[12], address[24];
    tp_env *env;
    troupe_node *node; /* NULL: not open */
    tp_roll *rolls[3];
    tp_world_event opens;
};

struct street {
    tp_world *world;
    tp_member_memory *membership;
    dweller *dwellers;
    uint32_t count; /* with one more */
    uint32_t failed;
    tp_scale_traffic traffic; /* from the begin */
    uint64_t view_size;
};

/* ---- the store of the membership, counted ---------------------------------------------------- */

static void count_call(
    void *user, tp_roll_call call, troupe_status status, uint64_t bytes, uint64_t rows)
{
    street *self = user;
    tp_scale_traffic *traffic = &self->traffic;
    traffic->reads += call == TP_ROLL_READ;
    traffic->raises += call == TP_ROLL_RAISE;
    traffic->looks += call == TP_ROLL_LOOK;
    traffic->rows += rows;
    traffic->view_bytes += bytes;
    traffic->views += call == TP_ROLL_CAS && status == TROUPE_OK;
    if (call == TP_ROLL_READ && bytes != 0)
        self->view_size = bytes;
}

static const tp_roll_hooks counting = {.ended = count_call};

/* ---- nodes ----------------------------------------------------------------------------------- */

static troupe_status serve(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    return troupe_reply_bytes(turn, payload);
}

static const troupe_method methods[] = {TROUPE_METHOD(serve)};
static const troupe_type type = {TROUPE_TYPE("door"), .state_size = 8, TROUPE_METHODS(methods)};

static void open_node(dweller *self)
{
    street *town = self->street;
    const troupe_type *types[] = {&type};
    const troupe_node_options options = {TROUPE_NODE_OPTIONS, .name = self->name, .shards = 1,
        .memory_limit = UINT64_C(1) << 40, .allocator = tp_world_memory_of(self->env),
        .log = "warn", .cluster = "street:", .cluster_name = "street", .listen = self->address,
        .allow_clear_text = true, .lease_ttl = TTL, .join_timeout = TROUPE_SECONDS(300)};
    tp_node_grounds grounds = {.env = self->env};
    char error[256] = "";
    bool ok = true;
    for (int i = 0; i < 3; i++) {
        self->rolls[i] = tp_roll_open(town->membership, &counting, town);
        ok = ok && self->rolls[i] != NULL;
        grounds.membership[i] = self->rolls[i] != NULL ? tp_roll_port(self->rolls[i]) : NULL;
    }
    if (!ok || tp_node_open_at(&grounds, &options, types, 1, &self->node, error, sizeof error) !=
                   TROUPE_OK) {
        fprintf(stderr, "scale: %s does not open: %s\n", self->name, error);
        self->node = NULL;
        town->failed++;
    }
}

static void open_now(tp_world_event *event)
{
    open_node(TP_CONTAINER(event, dweller, opens));
}

static void run_for(street *self, uint64_t duration)
{
    uint64_t until = tp_world_now(self->world) + duration;
    while (tp_world_step_until(self->world, until)) {
    }
}

/* ---- at rest? -------------------------------------------------------------------------------- */

static uint64_t tasks_of(const tp_shard *shard)
{
    tp_directory_figures figures = {.tasks = 0};
    if (shard->away != NULL)
        tp_directory_figures_get(tp_outpost_of(shard)->directory, &figures);
    return figures.tasks;
}

static bool is_settled(street *self, uint64_t views)
{
    for (uint32_t i = 0; i < self->count; i++) {
        const dweller *one = &self->dwellers[i];
        troupe_cluster_view view = {.size = sizeof view};
        if (one->node == NULL)
            continue;
        if (tasks_of(one->node->shared.shards[0]) != 0 ||
            troupe_cluster_view_get(one->node, &view) != TROUPE_OK || view.number < views)
            return false;
    }
    return true;
}

/* From now on; false: not in time. */
static bool settle(street *self, uint64_t began, uint64_t *ret_duration)
{
    for (uint32_t i = 0; i < 6000; i++) {
        if (is_settled(self, self->traffic.views)) {
            *ret_duration = tp_world_now(self->world) - began;
            return true;
        }
        run_for(self, LOOK);
    }
    return false;
}

/* ---- a run ----------------------------------------------------------------------------------- */

static void stuck(void *user, const char *what)
{
    (void)user;
    fprintf(stderr, "scale: %s\n", what);
    abort();
}

static void note(street *self, tp_scale_traffic *ret)
{
    self->traffic.duration = tp_world_now(self->world);
    tp_world_traffic(self->world, &self->traffic.writes, &self->traffic.bytes);
    *ret = self->traffic;
}

static tp_scale_traffic since(street *self, const tp_scale_traffic *from)
{
    tp_scale_traffic now;
    note(self, &now);
    return (tp_scale_traffic){.duration = now.duration - from->duration,
        .writes = now.writes - from->writes,
        .bytes = now.bytes - from->bytes,
        .raises = now.raises - from->raises,
        .reads = now.reads - from->reads,
        .looks = now.looks - from->looks,
        .rows = now.rows - from->rows,
        .view_bytes = now.view_bytes - from->view_bytes,
        .views = now.views - from->views};
}

static void open_all(street *self, uint32_t nodes)
{
    open_node(&self->dwellers[0]);
    for (uint32_t i = 1; i < nodes && self->failed == 0;) {
        uint32_t until = i + BATCH < nodes ? i + BATCH : nodes;
        uint64_t settles;
        for (; i < until; i++) {
            self->dwellers[i].opens.happen = open_now;
            tp_world_at(self->world, &self->dwellers[i].opens, tp_world_now(self->world) + i);
        }
        run_for(self, LOOK);
        if (!settle(self, tp_world_now(self->world), &settles))
            self->failed++;
    }
}

static void measure(street *self, tp_scale *scale)
{
    tp_scale_traffic from;
    run_for(self, QUIET);
    note(self, &from);
    run_for(self, QUIET);
    scale->rest = since(self, &from);

    note(self, &from);
    open_node(&self->dwellers[scale->nodes]);
    if (!settle(self, from.duration, &scale->join_settles))
        self->failed++;
    scale->join = since(self, &from);

    run_for(self, QUIET);
    note(self, &from);
    troupe_node_close(self->dwellers[scale->nodes].node);
    self->dwellers[scale->nodes].node = NULL;
    if (!settle(self, from.duration, &scale->leave_settles))
        self->failed++;
    scale->leave = since(self, &from);
    scale->view_size = self->view_size;
}

static bool make(street *self, const tp_scale *scale)
{
    const tp_world_options options = {
        .seed = scale->seed, .stuck = stuck, .calm = true, .tick = TICK, .job_limit = UINT32_MAX};
    self->count = scale->nodes + 1;
    self->world = tp_world_create(&options);
    self->dwellers = calloc(self->count, sizeof *self->dwellers);
    if (self->world == NULL || self->dwellers == NULL ||
        tp_member_memory_create(tp_world_allocator(self->world), &self->membership) != TROUPE_OK)
        return false;
    for (uint32_t i = 0; i < self->count; i++) {
        dweller *one = &self->dwellers[i];
        one->street = self;
        (void)snprintf(one->name, sizeof one->name, "s%u", i);
        (void)snprintf(one->address, sizeof one->address, "s%u:7000", i);
        one->env = tp_world_process(self->world, one->name);
        if (one->env == NULL)
            return false;
    }
    return true;
}

bool tp_scale_run(tp_scale *scale)
{
    street self = {.failed = 0};
    bool ok = make(&self, scale);
    if (ok)
        open_all(&self, scale->nodes);
    if (ok && self.failed == 0)
        measure(&self, scale);
    return ok && self.failed == 0; /* its process ends: nodes need not be closed one by one */
}
