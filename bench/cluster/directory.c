/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows about the directory machine: directory (look-ups at the home), directory_register (an
 * activation granted to another node, its letter passed on and settled), directory_bytes. One
 * machine of a node of four, and only ids that are at home there, as on a real ring: they lie in a
 * quarter of the circle. Names are those of the raw limits.
 *
 * Invariants: every look-up finds its entry; every registration ends with no letter on its way.
 * Threads: one.
 */
#include "cluster.h"

#include "base/alloc.h"
#include "directory/directory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { ENTRIES = 1000000, MEMBERS = 4, LOT = 4096 };

typedef struct scene {
    tp_pool pool;
    tp_ring *ring;
    tp_directory *directory;
    tp_directory_member members[MEMBERS];
    tp_directory_view view;
    uint32_t *names; /* of the ids at home here */
    uint32_t granted;
} scene;

static tp_directory_id id_of(uint64_t index, char *key, size_t size)
{
    tp_bench_key(index, key);
    return (tp_directory_id){
        .hash = XXH3_64bits_withSeed(key, size, 7), .type = 1, .key = troupe_slice_of(key, size)};
}

static bool find_names(scene *self)
{
    char key[TP_BENCH_KEY];
    uint32_t count = 0;
    self->names = malloc(ENTRIES * sizeof(*self->names));
    for (uint32_t i = 0; self->names != NULL && count < ENTRIES; i++) {
        tp_directory_id id = id_of(i, key, sizeof(key));
        if (tp_directory_home(&self->view, id.hash) == 0)
            self->names[count++] = i;
    }
    return self->names != NULL;
}

static bool open_scene(tp_bench *bench, scene *self)
{
    const troupe_allocator *system = tp_allocator_system();
    tp_directory_options options = {.self = 1, .shard = 0, .shards = 1};
    tp_ring_member in_ring[MEMBERS];
    memset(self, 0, sizeof(*self));
    for (uint32_t i = 0; i < MEMBERS; i++) {
        self->members[i] = (tp_directory_member){i + 1, 1};
        in_ring[i] = (tp_ring_member){i + 1, i + 1, i};
    }
    if (tp_ring_create(system, in_ring, MEMBERS, TP_RING_POINTS, &self->ring) == TROUPE_OK) {
        self->view = (tp_directory_view){1, self->members, MEMBERS, self->ring};
        if (find_names(self) && tp_pool_init(&self->pool, system, 0, 1, false) == TROUPE_OK &&
            tp_directory_create(&options, &self->pool, system, &self->directory) == TROUPE_OK &&
            tp_directory_install(self->directory, &self->view) == TROUPE_OK)
            return true;
    }
    tp_bench_fail(bench, "no memory");
    return false;
}

static void close_scene(scene *self)
{
    tp_directory_destroy(self->directory, NULL, NULL);
    tp_pool_deinit(&self->pool);
    tp_ring_destroy(self->ring);
    free(self->names);
}

/* Performs: places at the other members in turn, and settles at once what went on. */
static void perform(scene *self)
{
    const tp_directory_effect *effect;
    uint64_t ticket = 0;
    while ((effect = tp_directory_effect_take(self->directory)) != NULL || ticket != 0) {
        if (effect == NULL) {
            tp_directory_settled(self->directory, ticket, false);
            ticket = 0;
        } else if (effect->kind == TP_DIRECTORY_PLACE) {
            tp_directory_id id = effect->id;
            tp_directory_placed(self->directory, &id, 2 + self->granted++ % 3, TROUPE_OK);
        } else if (effect->kind == TP_DIRECTORY_FORWARD) {
            ticket = effect->number;
        }
    }
}

/* A letter of node 2 for an id that is not active. */
static void register_id(scene *self, uint64_t index, char *key, size_t size)
{
    tp_letter letter;
    memset(&letter, 0, sizeof(letter));
    letter.id = id_of(index, key, size);
    letter.from = 2;
    letter.origin = 2;
    letter.order = index + 1;
    letter.number = index + 1;
    letter.deadline = UINT64_MAX;
    tp_directory_arrived(self->directory, &letter);
    perform(self);
}

static bool all_are_here(tp_bench *bench, scene *self)
{
    tp_directory_figures figures;
    tp_directory_figures_get(self->directory, &figures);
    if (figures.entries == ENTRIES && figures.ways == 0 && figures.held == 0)
        return true;
    tp_bench_fail(bench, "entries are missing");
    return false;
}

double tp_cluster_directory_register(tp_bench *bench)
{
    uint64_t spent = 0, count = 0;
    char text[TP_BENCH_KEY], *key = text;
    size_t size = sizeof(text);
    tp_bench_pin(0);
    __asm__ volatile("" : "+r"(key), "+r"(size)); /* as in the limit */
    do {
        scene self;
        if (!open_scene(bench, &self))
            return NAN;
        uint64_t start = tp_bench_now_ns();
        for (uint32_t i = 0; i < ENTRIES; i++)
            register_id(&self, self.names[i], key, size);
        spent += tp_bench_now_ns() - start;
        count += ENTRIES;
        if (!all_are_here(bench, &self))
            return NAN;
        close_scene(&self);
    } while (spent < tp_bench_run_ns(bench));
    return (double)spent / (double)count;
}

static void shuffle(uint32_t *names)
{
    uint64_t random = 1;
    for (uint32_t i = ENTRIES - 1; i > 0; i--) {
        uint32_t j = (uint32_t)(((__uint128_t)tp_bench_random(&random) * (i + 1)) >> 64);
        uint32_t name = names[i];
        names[i] = names[j];
        names[j] = name;
    }
}

double tp_cluster_directory(tp_bench *bench)
{
    scene self;
    char text[TP_BENCH_KEY], *key = text;
    size_t size = sizeof(text);
    uint64_t at = 0, sum = 0, count = 0, start, end;
    tp_bench_pin(0);
    __asm__ volatile("" : "+r"(key), "+r"(size)); /* as in the limit */
    if (!open_scene(bench, &self))
        return NAN;
    for (uint32_t i = 0; i < ENTRIES; i++)
        register_id(&self, self.names[i], key, size);
    shuffle(self.names);
    start = tp_bench_now_ns();
    do {
        for (int i = 0; i < LOT; i++) {
            at = at + 1 < ENTRIES ? at + 1 : 0;
            tp_directory_id id = id_of(self.names[at], key, size);
            sum += tp_directory_look(self.directory, &id).host != 0;
        }
        count += LOT;
        end = tp_bench_now_ns();
    } while (end - start < tp_bench_run_ns(bench));
    if (sum != count)
        return tp_bench_fail(bench, "a look-up missed");
    close_scene(&self);
    return (double)(end - start) / (double)count;
}

double tp_cluster_directory_bytes(tp_bench *bench)
{
    scene self;
    char key[TP_BENCH_KEY];
    if (!open_scene(bench, &self))
        return NAN;
    for (uint32_t i = 0; i < ENTRIES; i++)
        register_id(&self, self.names[i], key, sizeof(key));
    double bytes =
        (double)(tp_pool_bytes(&self.pool) + tp_directory_index_bytes(self.directory)) / ENTRIES;
    close_scene(&self);
    return bytes;
}
