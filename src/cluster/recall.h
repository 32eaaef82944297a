/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a shard remembers of where ids are: the location cache (directory/cache.h) with the node's
 * options, its counters, and the look-ups by which entries near their age are made young again. The
 * outpost asks it for the hint of a letter that leaves, and tells it what the directory learned.
 *
 * Letters under way do not pin entries: the directory keeps the ways of unsettled letters itself
 * (directory.h, SENDER_PATH), and a letter whose hint is of another way waits for them there. An
 * entry is pinned while it is being refreshed only, so that its number means the same when the
 * answer comes.
 *
 * Invariants
 * 1. Ids whose home is this node are not looked up and not put: the directory has their entries.
 * 2. At most TP_RECALL_REFRESHES look-ups are open; one without an answer is given up.
 *
 * Threads: the shard's.
 */
#ifndef TP_CLUSTER_RECALL_H
#define TP_CLUSTER_RECALL_H

#include "cluster/chart.h"
#include "directory/cache.h"
#include "shard/shard.h"

#define TP_RECALL_REFRESHES 32
#define TP_RECALL_TOKEN     (UINT64_C(1) << 63) /* of look-ups that are the cache's */

typedef struct tp_recall {
    tp_shard *shard;
    tp_cache cache;
    bool is_open;
    tp_cache_stats counted; /* as the shard's counters have it */
    uint64_t tick_at;
    struct {
        uint32_t number; /* of the entry; TP_CACHE_NONE: free */
        uint32_t turn;   /* tells its look-ups apart */
        uint64_t asked;
    } refreshes[TP_RECALL_REFRESHES];
} tp_recall;

/* Options as the shard's node has them. NO_MEMORY. */
TROUPE_CHECK troupe_status tp_recall_init(tp_recall *self, tp_shard *shard);
void tp_recall_deinit(tp_recall *self);

/* The incarnation where that id was last known to be; 0: nobody knows, or it is at home here. */
uint64_t tp_recall_hint(tp_recall *self, const tp_chart *chart, const tp_directory_id *id);
/* That id is at `node`. */
void tp_recall_learn(tp_recall *self, const tp_directory_id *id, uint64_t node);
/* The same while there is room: nothing leaves for it. True: it is new. `*ret_is_full`: it has none
 * left. */
bool tp_recall_preload(
    tp_recall *self, const tp_directory_id *id, uint64_t node, bool *ret_is_full);
/* A member is gone. */
void tp_recall_forget(tp_recall *self, uint64_t node);
/* Now and then: takes out what is old, and asks the directory for what is to be refreshed. */
void tp_recall_tick(tp_recall *self, tp_directory *directory);
/* The answer of a look-up whose token has TP_RECALL_TOKEN; `node` 0: it is active nowhere. */
void tp_recall_found(tp_recall *self, uint64_t token, uint64_t node, bool is_known);

#endif
