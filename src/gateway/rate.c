/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buckets and crowds. See rate.h.
 *
 * Threads: pure; who calls it locks.
 */
#include "gateway/rate.h"

#include <stddef.h>

#define SECOND UINT64_C(1000000000)

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

uint64_t tp_rate_key(uint64_t seed, uint32_t kind, const void *text, uint64_t size)
{
    const unsigned char *bytes = text;
    uint64_t key = mix(seed + kind);
    for (uint64_t i = 0; i < size; i++)
        key = mix(key ^ bytes[i]);
    return key;
}

/* ---- rates ----------------------------------------------------------------------------------- */

static size_t set_of(uint64_t key)
{
    return (size_t)(key % TP_RATE_SETS);
}

/* A second's calls come at once, and then one each so often. */
static uint64_t interval_of(uint32_t rate)
{
    return SECOND / rate;
}

uint64_t tp_rates_wait(const tp_rates *rates, uint64_t key, uint32_t rate, uint64_t now)
{
    const tp_rate_bucket *set = rates->sets[set_of(key)];
    uint64_t until = now + SECOND - interval_of(rate);
    for (int i = 0; i < TP_RATE_WAYS; i++)
        if (set[i].key == key)
            return set[i].full > until ? set[i].full - until : 0;
    return 0;
}

void tp_rates_take(tp_rates *rates, uint64_t key, uint32_t rate, uint64_t now)
{
    tp_rate_bucket *set = rates->sets[set_of(key)];
    tp_rate_bucket *place = &set[0];
    for (int i = 0; i < TP_RATE_WAYS && place->key != key; i++)
        if (set[i].key == key || set[i].full < place->full)
            place = &set[i];
    uint64_t full = place->key == key && place->full > now ? place->full : now;
    *place = (tp_rate_bucket){.key = key, .full = full + interval_of(rate)};
}

/* ---- crowds ---------------------------------------------------------------------------------- */

/* Where the key is, or would be. */
static uint32_t find(const tp_crowd *crowd, uint64_t key)
{
    uint32_t at = (uint32_t)(key % TP_CROWD_PLACES);
    while (crowd->places[at].count != 0 && crowd->places[at].key != key)
        at = (at + 1) % TP_CROWD_PLACES;
    return at;
}

bool tp_crowd_enter(tp_crowd *crowd, uint64_t key, uint32_t most)
{
    uint32_t at = find(crowd, key);
    bool is_new = crowd->places[at].count == 0;
    /* A quarter stays free, so that looking ends soon. */
    if (crowd->places[at].count >= most || (is_new && crowd->used == TP_CROWD_PLACES / 4 * 3))
        return false;
    crowd->used += is_new;
    crowd->places[at].key = key;
    crowd->places[at].count++;
    return true;
}

/* Those behind it that looked past its place move up (Knuth, volume 3, 6.4, algorithm R). */
static void close_gap(tp_crowd *crowd, uint32_t gap)
{
    for (uint32_t at = (gap + 1) % TP_CROWD_PLACES; crowd->places[at].count != 0;
         at = (at + 1) % TP_CROWD_PLACES) {
        uint32_t home = (uint32_t)(crowd->places[at].key % TP_CROWD_PLACES);
        uint32_t from_home = (at - home) % TP_CROWD_PLACES;
        uint32_t from_gap = (at - gap) % TP_CROWD_PLACES;
        if (from_home < from_gap)
            continue;
        crowd->places[gap] = crowd->places[at];
        crowd->places[at].count = 0;
        gap = at;
    }
}

void tp_crowd_leave(tp_crowd *crowd, uint64_t key)
{
    uint32_t at = find(crowd, key);
    if (crowd->places[at].count == 0 || --crowd->places[at].count != 0)
        return;
    crowd->used--;
    close_gap(crowd, at);
}
