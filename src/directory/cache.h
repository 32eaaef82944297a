/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The location cache of one shard: where the activations of ids were last known to be. A bounded
 * table of hints; not the directory, and no authority: only a grant of the home creates or moves an
 * activation (PROTOCOLS 2). The cluster asks it on the way of each message that leaves the node,
 * and tells it what answers, corrections and views teach.
 *
 * An entry is one line of 64 bytes with the first 24 bytes of its text inside, a place in an
 * open-addressed table (8 bytes a bucket, half full at most), and links by number in a table of
 * their own, so that moving an entry in its order touches a small table and not its neighbours'
 * lines. Lines come in lots of 1,024 as they are needed; text that is longer goes on in a block of
 * the shard's pool.
 *
 * Policies, all of them in constant time per operation:
 *   LRU        the entry used longest ago goes.
 *   W-TinyLFU  a window for newcomers, then a main part in two segments, probation and protected
 *              (SLRU: Karedla, Love, Wherry 1994); what leaves the window enters the main part only
 *              if it was seen more often than what it would push out (Einziger, Friedman and
 *              Manes, ACM ToS 2017). The window's share follows the hit rate (with Eytan,
 *              "Adaptive Software Cache Management", Middleware 2018), so that a load of mere
 *              recency is served as by LRU. One of 128 warm newcomers gets in although it lost:
 *              nobody can hold a place for ever by knowing the hash.
 * Either may have a time to live: an entry that old is a miss. Entries near that age which were
 * used come back from tp_cache_tick as what to refresh, once each.
 *
 * Invariants
 * 1. At most `size` entries. A full cache evicts by its policy before it takes another.
 * 2. A pinned entry stays, whatever happens (PROTOCOLS 5: while a message sent that way is not
 *    acknowledged). It does not grow old. If it was invalidated, or its host is gone, look-ups miss
 *    it and peek still shows it; it goes at its last unpin.
 * 3. If every entry is pinned a put of another id answers BUSY, changes nothing and is counted: the
 *    message goes by way of the home, or waits.
 * 4. No answer names a host that was forgotten: that holds at once; the entries go by and by.
 * 5. A failed put changes nothing.
 * 6. An entry keeps its number while it is pinned.
 * 7. Look-ups are noted in the order some at a time, when their neighbours there have come to the
 *    processor's cache; and always before anything looks at the order or changes it.
 * Threads: one owner.
 */
#ifndef TP_DIRECTORY_CACHE_H
#define TP_DIRECTORY_CACHE_H

#include "base/index.h"
#include "base/pool.h"
#include "base/prng.h"
#include "directory/sketch.h"

#define TP_CACHE_NONE     UINT32_MAX
#define TP_CACHE_SIZE_MAX 1000000000u
#define TP_CACHE_TEXT_MAX (TP_NAME_MAX + TP_KEY_MAX)

typedef struct tp_cache_id {
    uint64_t hash; /* of all the rest, the same in every node */
    uint32_t type;
    troupe_slice partition; /* at most TP_NAME_MAX bytes */
    troupe_slice key;       /* at most TP_KEY_MAX bytes */
} tp_cache_id;

typedef struct tp_cache_place {
    uint64_t incarnation;
    uint32_t node;
    uint32_t opaque; /* the caller's: kept and given back */
} tp_cache_place;

typedef enum tp_cache_policy { TP_CACHE_LRU, TP_CACHE_TINYLFU } tp_cache_policy;

typedef struct tp_cache_options {
    uint32_t size; /* entries, 1 to TP_CACHE_SIZE_MAX */
    tp_cache_policy policy;
    uint64_t ttl;     /* ns that a place is believed after it was put; 0: for ever */
    uint64_t refresh; /* ns before the end in which a used entry is refreshed; below ttl */
    uint64_t seed;    /* for what W-TinyLFU leaves to chance */
} tp_cache_options;

/* All since init. hits + misses are the look-ups. */
typedef struct tp_cache_stats {
    uint64_t hits, misses;
    uint64_t put, corrected; /* new entries; entries put over */
    uint64_t preloaded;
    uint64_t evicted;           /* for room: what was longest unused */
    uint64_t not_admitted;      /* for room: newcomers that lost against what was there */
    uint64_t expired;           /* too old */
    uint64_t invalidated, gone; /* by id; by host */
    uint64_t refused;           /* puts answered BUSY: all entries pinned */
    uint64_t refreshes;         /* entries handed out by tick */
} tp_cache_stats;

typedef struct tp_cache_record tp_cache_record;
typedef struct tp_cache_host tp_cache_host;

/* Entries in order of use or age, the first is the latest. By numbers. */
typedef struct tp_cache_list {
    uint32_t first, last;
    uint32_t count;
} tp_cache_list;

typedef enum tp_cache_segment {
    TP_CACHE_WINDOW, /* LRU has only this one */
    TP_CACHE_PROBATION,
    TP_CACHE_PROTECTED,
    TP_CACHE_SEGMENTS
} tp_cache_segment;

/* What W-TinyLFU's window learns from. */
typedef struct tp_cache_climb {
    uint64_t hits, lookups; /* of this sample */
    double rate;            /* hits per look-up in the last sample at `level` */
    uint32_t level;         /* the share of the window that is held */
    uint32_t tried;         /* the one under test; `level`: none is */
    uint32_t hold;          /* samples between two tests; more after each that failed */
    uint32_t left;          /* of these */
    bool settled;           /* the first sample of a test is over; the second judges */
    bool up;                /* where the next test goes */
} tp_cache_climb;

/* A look-up whose place in the order is still to be noted. */
typedef struct tp_cache_use {
    uint64_t mixed;  /* for the sketch */
    uint32_t number; /* NONE: no entry moves */
    bool is_hit;
} tp_cache_use;

#define TP_CACHE_USES 32

typedef struct tp_cache {
    tp_cache_options options;
    const troupe_allocator *allocator;
    tp_pool *pool;
    uint64_t *buckets; /* the top of the mixed hash, and number + 1; 0: empty */
    uint32_t bucket_count;
    uint32_t count;
    struct tp_cache_link *links; /* by number, in the lists, or among the free */
    struct tp_cache_link *age_links; /* NULL without a ttl */
    tp_cache_record **lots; /* of lines */
    uint32_t lot_size;
    uint32_t lot_count;                     /* lots that are there */
    uint32_t fresh;                         /* numbers below were in use */
    uint32_t free;                          /* the first free number, linked */
    tp_cache_list lists[TP_CACHE_SEGMENTS]; /* without the pinned */
    uint32_t use_count; /* of uses that the lists and the sketch lack */
    tp_cache_use uses[TP_CACHE_USES];
    tp_cache_list ages;                     /* by put, with a ttl only; the last is the oldest */
    uint32_t next_due;    /* the oldest that tick has not looked at yet; NONE: none */
    uint32_t pinned;      /* entries that are */
    uint32_t window_size; /* W-TinyLFU: aim for the window */
    tp_cache_host *hosts;
    uint32_t host_capacity;
    uint32_t host_fresh;
    uint32_t host_free;
    uint32_t sweep_at;
    uint32_t sweep_left; /* numbers to look at for entries of hosts that are gone */
    tp_index host_index;
    size_t rest_bytes; /* of texts beyond their lines */
    tp_sketch sketch;
    tp_prng chance;
    tp_cache_climb climb;
    tp_cache_stats stats;
} tp_cache;

/* `pool` serves texts longer than a line holds. The table is asked for at once, lines by lots.
 * USAGE: the options do not fit together. NO_MEMORY. Nothing was done then. */
TROUPE_CHECK troupe_status tp_cache_init(tp_cache *cache, const troupe_allocator *allocator,
    tp_pool *pool, const tp_cache_options *options);
void tp_cache_deinit(tp_cache *cache);

/* A look-up that counts, and makes the entry the latest used. The number of the entry, and its
 * place; NONE: not known. The number is good until the next call that may take entries out. */
uint32_t tp_cache_find(
    tp_cache *cache, const tp_cache_id *id, uint64_t now, tp_cache_place *ret_place);

/* What is there, believed or not, without a trace. For pins: `*ret_pins` is how many. */
uint32_t tp_cache_peek(
    const tp_cache *cache, const tp_cache_id *id, tp_cache_place *ret_place, uint32_t *ret_pins);

/* Adds an id or puts another place over (a correction); it is believed from now on. A pinned entry
 * changes too: who pinned it remembers which way it sent. BUSY: all are pinned. UNAVAILABLE: that
 * host was forgotten. NO_MEMORY. `ret_number` may be NULL. */
TROUPE_CHECK troupe_status tp_cache_put(tp_cache *cache, const tp_cache_id *id,
    const tp_cache_place *place, uint64_t now, uint32_t *ret_number);

/* At start: adds ids that are not known while there is room, and evicts nothing. Returns how many
 * of `count` were looked at: fewer when the cache is full or memory ends. */
size_t tp_cache_preload(tp_cache *cache, const tp_cache_id *ids, const tp_cache_place *places,
    size_t count, uint64_t now);

/* Keeps the entry of that number. Each pin is unpinned once; the last one makes it the latest used,
 * or lets it go if it is not believed any more. */
void tp_cache_pin(tp_cache *cache, uint32_t number);
void tp_cache_unpin(tp_cache *cache, uint32_t number);

/* Nothing is known of that id any more. False: nothing was. With `only`, just if it names that host
 * (a late word about an older place must not undo a newer one). */
bool tp_cache_invalidate(tp_cache *cache, const tp_cache_id *id, const tp_cache_place *only);

/* Nothing is believed of a member that is gone. In constant time: the entries go with
 * tp_cache_tick, or when they are met. */
void tp_cache_forget_host(tp_cache *cache, uint32_t node, uint64_t incarnation);

/* Housekeeping: looks at up to `steps` entries, takes out the old and those of gone hosts, and
 * returns how many numbers it wrote to `ret_due` (at most `room`): entries to refresh by asking
 * their home, then put. `*ret_more`: there is more to do at once. */
uint32_t tp_cache_tick(tp_cache *cache, uint64_t now, uint32_t steps, uint32_t *ret_due,
    uint32_t room, bool *ret_more);

/* The id and place of an entry; the text goes to `buffer`. */
void tp_cache_describe(const tp_cache *cache, uint32_t number, char buffer[TP_CACHE_TEXT_MAX],
    tp_cache_id *ret_id, tp_cache_place *ret_place);

/* Bytes of all tables, lines and long texts. */
size_t tp_cache_bytes(const tp_cache *cache);

/* Should this look-up's time be measured? One of 64 is; the caller has the clock, and the histogram
 * (base/histogram.h). */
static inline bool tp_cache_is_sampled(const tp_cache *cache)
{
    return ((cache->stats.hits + cache->stats.misses) & 63u) == 0;
}

#endif
