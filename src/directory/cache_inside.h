/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the location cache share: lines, links and hosts. Not for anybody else. The
 * table of buckets, lines and hosts is cache_table.c, the order of entries and what goes for room
 * is cache_order.c, the operations are cache.c.
 *
 * Invariants: 1. A line in use is in one bucket, and in one list unless it is pinned. 2. `count` of
 * a host is the lines that name it; a host without lines is free. 3. With a ttl each line in use is
 * in `ages`, in the order of `expires`.
 * Threads: one owner.
 */
#ifndef TP_DIRECTORY_CACHE_INSIDE_H
#define TP_DIRECTORY_CACHE_INSIDE_H

#include "base/bytes.h"
#include "directory/cache.h"

#define TP_CACHE_LOT_BITS 10
#define TP_CACHE_LOT      (1u << TP_CACHE_LOT_BITS)
#define TP_CACHE_INLINE   24 /* bytes of text in a line; */
#define TP_CACHE_SAMPLE   2  /* look-ups per entry that judge the share of the window */
#define TP_CACHE_BEGIN    16 /* of a longer one, with the address of the rest behind */

enum {
    TP_CACHE_LIVE = 1,    /* the line is in use */
    TP_CACHE_USED = 2,    /* since it was put */
    TP_CACHE_ASKED = 4,   /* handed out to be refreshed */
    TP_CACHE_INVALID = 8, /* pinned, and not believed */
};

struct tp_cache_record {
    uint64_t hash;
    uint64_t expires; /* UINT64_MAX without a ttl */
    uint32_t type;
    uint32_t host; /* its number */
    uint32_t opaque;
    uint32_t pins;
    uint16_t text_size; /* partition and key */
    uint8_t partition_size;
    uint8_t segment;
    uint8_t flags;
    union {
        char whole[TP_CACHE_INLINE];
        struct {
            char begin[TP_CACHE_BEGIN];
            char *rest;
        };
    } text;
};

_Static_assert(sizeof(tp_cache_record) == 64, "an entry is one cache line");
_Static_assert(TP_NAME_MAX <= UINT8_MAX, "the size of a partition fits its field");
_Static_assert(TP_CACHE_TEXT_MAX <= UINT16_MAX, "the size of a text fits its field");

typedef struct tp_cache_link {
    uint32_t next, previous;
} tp_cache_link;

struct tp_cache_host {
    uint64_t incarnation;
    uint32_t node;
    uint32_t count; /* lines; 0: free, `node` is the next free one */
    bool is_gone;
};

static inline tp_cache_record *tp_cache_record_at(const tp_cache *cache, uint32_t number)
{
    return &cache->lots[number >> TP_CACHE_LOT_BITS][number & (TP_CACHE_LOT - 1)];
}

static inline tp_cache_link *tp_cache_link_at(const tp_cache *cache, uint32_t number)
{
    return &cache->links[number];
}

static inline tp_cache_link *tp_cache_age_at(const tp_cache *cache, uint32_t number)
{
    return &cache->age_links[number];
}

static inline bool tp_cache_is_believed(const tp_cache *cache, const tp_cache_record *record)
{
    return (record->flags & TP_CACHE_INVALID) == 0 && !cache->hosts[record->host].is_gone;
}

/* ---- cache_table.c ---- */

static inline size_t tp_cache_home(const tp_cache *cache, uint64_t bucket)
{
    return (size_t)((bucket >> 32) * cache->bucket_count >> 32);
}

static inline size_t tp_cache_next(const tp_cache *cache, size_t at)
{
    return TP_LIKELY(at + 1 < cache->bucket_count) ? at + 1 : 0;
}

/* Is it the id's text? The sizes are equal. */
bool tp_cache_text_is(const tp_cache_record *record, const tp_cache_id *id);

/* Is there a number to take without evicting? NO_MEMORY: no lot for it. */
TROUPE_CHECK troupe_status tp_cache_make_room(tp_cache *cache);

/* A host of that name, with one line more. UNAVAILABLE: it is gone. NO_MEMORY. */
TROUPE_CHECK troupe_status tp_cache_host_hold(
    tp_cache *cache, uint32_t node, uint64_t incarnation, uint32_t *ret_host);
void tp_cache_host_drop(tp_cache *cache, uint32_t host);
/* NONE: no line names it. */
uint32_t tp_cache_host_find(const tp_cache *cache, uint32_t node, uint64_t incarnation);

/* A number for an id whose rest of the text is `rest`, in its bucket. Room was made. */
uint32_t tp_cache_add(tp_cache *cache, const tp_cache_id *id, char *rest, uint32_t host);
/* The opposite. It is in no list. */
void tp_cache_remove(tp_cache *cache, uint32_t number);

/* ---- cache_order.c ---- */

void tp_cache_order_init(tp_cache *cache);
void tp_cache_list_push(tp_cache *cache, tp_cache_segment segment, uint32_t number);
void tp_cache_list_drop(tp_cache *cache, uint32_t number);

/* To the front of the list that it is in. */
static inline void tp_cache_to_front(tp_cache *cache, tp_cache_segment segment, uint32_t number)
{
    tp_cache_list *list = &cache->lists[segment];
    uint32_t first = list->first;
    if (first == number) {
        return;
    }
    tp_cache_link *link = tp_cache_link_at(cache, number);
    uint32_t previous = link->previous, next = link->next; /* the first is before it */
    tp_cache_link_at(cache, previous)->next = next;
    if (TP_LIKELY(next != TP_CACHE_NONE)) {
        tp_cache_link_at(cache, next)->previous = previous;
    } else {
        list->last = previous;
    }
    *link = (tp_cache_link){.next = first, .previous = TP_CACHE_NONE};
    tp_cache_link_at(cache, first)->previous = number;
    list->first = number;
}

/* As latest put; out. */
void tp_cache_age_push(tp_cache *cache, uint32_t number);
void tp_cache_age_drop(tp_cache *cache, uint32_t number);

/* An entry was used, by a look-up that hit. */
void tp_cache_touch(tp_cache *cache, tp_cache_record *record, uint32_t number);
/* A newcomer is in. */
void tp_cache_arrange(tp_cache *cache, uint32_t number);
/* What goes so that a newcomer has room, by the policy; it counts why. NONE: all are pinned. */
uint32_t tp_cache_victim(tp_cache *cache);
/* Once per sample of look-ups: moves the aim for the window. */
void tp_cache_climb_on(tp_cache *cache);

#endif
