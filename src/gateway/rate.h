/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rates of calls, and how many are under way: tables of a fixed size over 64-bit keys, in the time
 * that they are told. What a key stands for, and what is done when a call is too much, is
 * request.c's and call.c's.
 *
 * A rate is a bucket that holds what one second lets through, kept as one moment (GCRA: the virtual
 * scheduling algorithm of ITU-T I.371): when it would be full again. One that is full now is as
 * good as one that is not there.
 *
 * Invariants
 * 1. Nothing here grows. Where a set is full of others that are not full again, the one that is
 *    soonest is forgotten: it gets more than it may, and nobody less.
 * Threads: pure; who calls it locks.
 */
#ifndef TP_GATEWAY_RATE_H
#define TP_GATEWAY_RATE_H

#include <stdbool.h>
#include <stdint.h>
#include <troupe.h>

struct sockaddr;

enum {
    TP_RATE_SETS = 4096,
    TP_RATE_WAYS = 4,
    TP_TALLY_PLACES = 1024, /* of keys at once with something under way */
};

typedef struct tp_rate_bucket {
    uint64_t key;
    uint64_t full; /* when it is full again */
} tp_rate_bucket;

typedef struct tp_rates {
    tp_rate_bucket sets[TP_RATE_SETS][TP_RATE_WAYS];
} tp_rates;

/* How long until a call may come; 0: now. `rate`: calls a second, at least 1. */
uint64_t tp_rates_wait(const tp_rates *rates, uint64_t key, uint32_t rate, uint64_t now);
/* One has come, after a wait of 0. */
void tp_rates_take(tp_rates *rates, uint64_t key, uint32_t rate, uint64_t now);

/* How many of each key are under way. */
typedef struct tp_tally {
    struct {
        uint64_t key;
        uint32_t count; /* 0: the place is free */
    } places[TP_TALLY_PLACES];
    uint32_t used;
} tp_tally;

/* False: `most` are, or there are too many keys at once. */
bool tp_tally_enter(tp_tally *tally, uint64_t key, uint32_t most);
/* One that has entered. */
void tp_tally_leave(tp_tally *tally, uint64_t key);

/* Who calls, by the address: of IPv6 the first 64 bits, which one machine may choose behind, but of
 * one that stands for IPv4 (RFC 4291, 2.5.5.2) those four bytes. Empty: of another family, or NULL.
 */
troupe_slice tp_rate_address(const struct sockaddr *address);

/* Of a text, for a table whose seed strangers do not know; `kind` keeps those apart that may have
 * the same text. */
uint64_t tp_rate_key(uint64_t seed, uint32_t kind, const void *text, uint64_t size);

#endif
