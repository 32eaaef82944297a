/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buckets and tallies. See rate.h.
 *
 * Threads: pure; who calls it locks.
 */
#include "gateway/rate.h"

#include <netinet/in.h>
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

troupe_slice tp_rate_address(const struct sockaddr *address)
{
    const void *at = address;
    if (at != NULL && address->sa_family == AF_INET)
        return troupe_slice_of(&((const struct sockaddr_in *)at)->sin_addr, 4);
    if (at == NULL || address->sa_family != AF_INET6)
        return (troupe_slice){NULL, 0};
    const struct in6_addr *six = &((const struct sockaddr_in6 *)at)->sin6_addr;
    return IN6_IS_ADDR_V4MAPPED(six) ? troupe_slice_of(&six->s6_addr[12], 4)
                                     : troupe_slice_of(six, 8);
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

/* ---- tallies --------------------------------------------------------------------------------- */

/* Where the key is, or would be. */
static uint32_t find(const tp_tally *tally, uint64_t key)
{
    uint32_t at = (uint32_t)(key % TP_TALLY_PLACES);
    while (tally->places[at].count != 0 && tally->places[at].key != key)
        at = (at + 1) % TP_TALLY_PLACES;
    return at;
}

bool tp_tally_enter(tp_tally *tally, uint64_t key, uint32_t most)
{
    uint32_t at = find(tally, key);
    bool is_new = tally->places[at].count == 0;
    /* A quarter stays free, so that looking ends soon. */
    if (tally->places[at].count >= most || (is_new && tally->used == TP_TALLY_PLACES / 4 * 3))
        return false;
    tally->used += is_new;
    tally->places[at].key = key;
    tally->places[at].count++;
    return true;
}

/* Those behind it that looked past its place move up (Knuth, volume 3, 6.4, algorithm R). */
static void close_gap(tp_tally *tally, uint32_t gap)
{
    for (uint32_t at = (gap + 1) % TP_TALLY_PLACES; tally->places[at].count != 0;
         at = (at + 1) % TP_TALLY_PLACES) {
        uint32_t home = (uint32_t)(tally->places[at].key % TP_TALLY_PLACES);
        uint32_t from_home = (at - home) % TP_TALLY_PLACES;
        uint32_t from_gap = (at - gap) % TP_TALLY_PLACES;
        if (from_home < from_gap)
            continue;
        tally->places[gap] = tally->places[at];
        tally->places[at].count = 0;
        gap = at;
    }
}

void tp_tally_leave(tp_tally *tally, uint64_t key)
{
    uint32_t at = find(tally, key);
    if (tally->places[at].count == 0 || --tally->places[at].count != 0)
        return;
    tally->used--;
    close_gap(tally, at);
}
