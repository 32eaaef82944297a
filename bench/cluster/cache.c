/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows about the location cache: cache_op_lru, cache_op_tinylfu, hit_rate, cached_ref_bytes.
 * Names are those of the raw limits, hashed as the runtime hashes ids (XXH3, seeded).
 *
 * Invariants
 *   1. In cache_op_* every look-up is a hit, and does all that a look-up does.
 *   2. hit_rate is a count: nothing in it depends on the machine.
 * Threads: one.
 */
#include "cluster.h"
#include "traces.h"

#include "base/alloc.h"
#include "directory/cache.h"

#include <math.h>
#include <stdlib.h>
#include <xxhash.h>

enum { ENTRIES = 100000, LOT = 4096, ACCESSES = 4000000 };

typedef struct scene {
    tp_pool pool;
    tp_cache cache;
} scene;

static bool open_scene(tp_bench *bench, scene *self, uint32_t size, tp_cache_policy policy)
{
    const troupe_allocator *system = tp_allocator_system();
    tp_cache_options options = {.size = size, .policy = policy, .seed = 1};
    if (tp_pool_init(&self->pool, system, 0, 1, false) == TROUPE_OK &&
        tp_cache_init(&self->cache, system, &self->pool, &options) == TROUPE_OK)
        return true;
    tp_bench_fail(bench, "no memory");
    return false;
}

static void close_scene(scene *self)
{
    tp_cache_deinit(&self->cache);
    tp_pool_deinit(&self->pool);
}

static tp_cache_id id_of(uint64_t index, char *key, size_t size)
{
    tp_bench_key(index, key);
    return (tp_cache_id){.hash = XXH3_64bits_withSeed(key, size, 7),
        .type = 1,
        .key = troupe_slice_of(key, size)};
}

static bool fill(tp_bench *bench, scene *self, uint32_t count)
{
    char key[TP_BENCH_KEY];
    for (uint32_t i = 0; i < count; i++) {
        tp_cache_id id = id_of(i, key, sizeof(key));
        tp_cache_place place = {i % 16, i % 16, i};
        if (tp_cache_put(&self->cache, &id, &place, 0, NULL) == TROUPE_OK)
            continue;
        tp_bench_fail(bench, "an entry did not go in");
        return false;
    }
    return true;
}

static double look_up(tp_bench *bench, tp_cache_policy policy)
{
    scene self;
    char text[TP_BENCH_KEY], *key = text;
    size_t size = sizeof(text);
    uint64_t random = 1, sum = 0, count = 0, start, end;
    tp_bench_pin(0);
    if (!open_scene(bench, &self, ENTRIES, policy))
        return NAN;
    if (!fill(bench, &self, ENTRIES))
        return NAN;
    __asm__ volatile("" : "+r"(key), "+r"(size)); /* as in the limit */
    start = tp_bench_now_ns();
    do {
        for (int i = 0; i < LOT; i++) {
            tp_cache_place place = {0};
            uint64_t index =
                (uint64_t)(((__uint128_t)tp_bench_random(&random) * ENTRIES) >> 64);
            tp_cache_id id = id_of(index, key, size);
            sum += tp_cache_find(&self.cache, &id, 0, &place) + place.opaque;
        }
        count += LOT;
        end = tp_bench_now_ns();
    } while (end - start < tp_bench_run_ns(bench));
    tp_bench_keep(sum);
    if (self.cache.stats.misses != 0)
        return tp_bench_fail(bench, "a look-up missed");
    close_scene(&self);
    return (double)(end - start) / (double)count;
}

double tp_cluster_cache_lru(tp_bench *bench)
{
    return look_up(bench, TP_CACHE_LRU);
}

double tp_cluster_cache_tinylfu(tp_bench *bench)
{
    return look_up(bench, TP_CACHE_TINYLFU);
}

double tp_cluster_cached_ref_bytes(tp_bench *bench)
{
    scene self;
    if (!open_scene(bench, &self, ENTRIES, TP_CACHE_TINYLFU))
        return NAN;
    if (!fill(bench, &self, ENTRIES))
        return NAN;
    double bytes = (double)tp_cache_bytes(&self.cache) / self.cache.count;
    close_scene(&self);
    return bytes;
}

/* ---- hit rates ---- */

static double hit_share(
    tp_bench *bench, const uint32_t *ids, uint32_t size, tp_cache_policy policy)
{
    scene self;
    if (!open_scene(bench, &self, size, policy))
        return NAN;
    for (uint32_t i = 0; i < ACCESSES; i++) {
        uint64_t state = ids[i];
        tp_cache_place place;
        tp_cache_id id = {.hash = tp_prng_split(&state),
            .type = 1,
            .key = troupe_slice_of(&ids[i], sizeof(ids[i]))};
        if (tp_cache_find(&self.cache, &id, 0, &place) == TP_CACHE_NONE &&
            tp_cache_put(&self.cache, &id, &(tp_cache_place){1, 1, 1}, 0, NULL) != TROUPE_OK)
            return tp_bench_fail(bench, "an entry did not go in");
    }
    double share = (double)self.cache.stats.hits / ACCESSES;
    close_scene(&self);
    return share;
}

static int more_first(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? 1 : left > right ? -1 : 0;
}

/* Of a cache that holds the most frequent ids of the trace from begin to end. */
static double best_static(const uint32_t *ids, uint32_t size)
{
    uint32_t *counts = calloc(TP_TRACE_IDS, sizeof(*counts));
    uint64_t hits = 0;
    if (counts == NULL)
        return NAN;
    for (uint32_t i = 0; i < ACCESSES; i++)
        counts[ids[i]]++;
    qsort(counts, TP_TRACE_IDS, sizeof(*counts), more_first);
    for (uint32_t i = 0; i < size; i++)
        hits += counts[i];
    free(counts);
    return (double)hits / ACCESSES;
}

double tp_cluster_hit_rate(tp_bench *bench)
{
    static const char *const names[] = {"hit_rate_zipf_1", "hit_rate_zipf_075", "hit_rate_scan",
        "hit_rate_loop", "hit_rate_recent", "hit_rate_mixed"};
    uint32_t *ids = malloc(ACCESSES * sizeof(*ids));
    uint64_t *sums = malloc(TP_TRACE_RANKS * sizeof(*sums));
    double zipf = NAN;
    if (ids == NULL || sums == NULL)
        return tp_bench_fail(bench, "no memory");
    for (int kind = 0; kind < TP_TRACE_KINDS; kind++) {
        tp_trace trace;
        tp_trace_init(&trace, (tp_trace_kind)kind, sums);
        for (uint32_t i = 0; i < ACCESSES; i++)
            ids[i] = tp_trace_next(&trace);
        double ours = hit_share(bench, ids, TP_TRACE_CACHE, TP_CACHE_TINYLFU);
        double lru = hit_share(bench, ids, TP_TRACE_CACHE, TP_CACHE_LRU);
        tp_bench_also(bench, names[kind], "points above LRU", (ours - lru) * 100,
            TP_BENCH_VALUE_AT_LEAST, -0.5);
        if (kind == TP_TRACE_ZIPF_1)
            zipf = ours / best_static(ids, TP_TRACE_CACHE);
        if (kind == TP_TRACE_ZIPF_075)
            tp_bench_also(bench, "hit_rate_flat", "of the optimum, Zipf 0.75",
                ours / best_static(ids, TP_TRACE_CACHE), TP_BENCH_SHOWN, 0);
    }
    free(ids);
    free(sums);
    return zipf;
}
