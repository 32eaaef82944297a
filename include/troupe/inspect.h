/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking into a running node: statistics, actors, parked turns, lifecycle events. Nothing here
 * disturbs actors: no activation, no turn. Each call visits the shards one after the other and
 * waits for their answers, so it must not be made from a turn or a callback (USAGE); on a driven
 * node it polls the node meanwhile.
 */
#ifndef TROUPE_INSPECT_H
#define TROUPE_INSPECT_H

#include "troupe.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- statistics ---------------------------------------------------------------------------- */

/* Counters since start: X(name, what it counts). Of each type and shard: */
#define TROUPE_TYPE_COUNTER_MAP(X)                                                                \
    X(turns, "turns ended")                                                                       \
    X(failures, "turns that ended with another status than OK")                                   \
    X(refused, "calls that a filter refused")                                                     \
    X(activations, "activations begun")                                                           \
    X(deactivations, "activations ended")

/* Of each shard, whatever the type. */
#define TROUPE_NODE_COUNTER_MAP(X)                                                                \
    X(tells, "tells accepted")                                                                    \
    X(asks, "asks accepted")                                                                      \
    X(panics, "turns that panicked")                                                              \
    X(evictions, "activations ended because max_actors or memory_limit was reached")              \
    X(lost_states,                                                                                \
        "activations with state ended by idling or eviction though their type is not persistent") \
    X(restarts, "activations replaced by supervision")                                            \
    X(poisoned, "messages set aside because they kept killing their actor")                       \
    X(dead_letters, "messages that were accepted and ended unseen by who sent them: tells that "   \
                    "found nobody (unknown method, failed activation, node closed, no memory, "   \
                    "too large for the next node), those on their way to a node that went, and "  \
                    "outbox messages that were refused for good")                                 \
    X(busy_mailbox, "refusals because a mailbox was full")                                        \
    X(busy_link, "refusals because the link to another shard, or to another node, was full")      \
    X(busy_inbox, "refusals because an inbox was full")                                           \
    X(busy_asks, "refusals because max_asks were pending")                                        \
    X(busy_fibers, "refusals because max_fibers turns were parked")                               \
    X(busy_actors, "refusals because max_actors were active and none was idle")                   \
    X(busy_memory, "refusals because memory_limit was reached and nothing could leave")           \
    X(busy_blocking, "refusals because the blocking pool's queue was full")                       \
    X(no_memory, "refusals because the allocator had no memory")                                  \
    X(too_large, "messages refused for their size")                                               \
    X(busy_store, "refusals because store_limit operations waited for the store")                 \
    X(store_ops, "operations of the store that ended")                                            \
    X(store_groups, "groups of operations that the store was given")                              \
    X(store_errors, "operations that the store could not do")                                     \
    X(timeouts, "asks that ended by their deadline")                                              \
    X(expired, "messages not started because their deadline had passed")                          \
    X(cancelled, "asks cancelled by their caller")                                                \
    X(deadlocks, "asks failed as victims of a cycle")                                             \
    X(probes, "deadlock probes sent")                                                             \
    X(parks, "times a turn parked")                                                               \
    X(timers, "timer turns")                                                                      \
    X(long_turns, "turns that ran longer than long_turn without a park")                          \
    X(commits, "commits of living actors that became durable")                                    \
    X(commits_unknown, "commits whose outcome was unknown for a while")                           \
    X(once_repeated, "calls with a once key that was answered before")                            \
    X(busy_once, "refusals because a window of once keys was full")                               \
    X(outbox_sent, "messages committed to an outbox")                                             \
    X(outbox_again, "messages of outboxes sent again")                                            \
    X(outbox_early, "messages of outboxes that come again, as those that waited for the ones "    \
                    "before them filled a mailbox")                                               \
    X(busy_outbox, "refusals because an outbox was full")                                         \
    X(busy_senders, "outbox messages that come again, as their target knew senders_limit others")  \
    X(senders_forgotten, "senders of outbox messages forgotten, as nothing of them was under way") \
    X(reminders, "reminders that fired")                                                          \
    X(reminders_missed, "due times of reminders that had passed, for which the next one stood")   \
    X(busy_reminders, "refusals because an actor had reminders_limit of them")                    \
    X(wakes, "sleeping actors activated because a reminder was due or their outbox not empty")    \
    X(busy_wakes, "sleeping actors that a later scan has to wake, because too many are waiting")  \
    X(dead_dropped, "dead letters dropped because their sender keeps 1,000 already")              \
    X(pruned, "old snapshots taken away by retention")                                            \
    X(save_failures, "states that could not be saved: at a deactivation, or by a commit")         \
    X(sent_away, "calls sent to other nodes, those of others that were passed on included")       \
    X(cache_hits, "messages for other nodes whose way the location cache knew")                   \
    X(cache_misses, "messages for other nodes that asked the home for the way")                   \
    X(cache_evictions, "places that had to leave the location cache, or stay out, for room") \
    X(cache_preloaded, "places that a preload put into the location cache")                       \
    X(cache_expired, "places taken out of the location cache because they were old")              \
    X(cache_corrections, "places put over in the location cache")                                 \
    X(cache_refreshes, "look-ups that make places of the location cache young again")             \
    X(rebalanced, "actors that rebalancing began to move to other nodes")                         \
    X(link_connects, "connections made to other nodes")                                           \
    X(link_accepts, "connections that other nodes made")                                          \
    X(link_refusals, "connections of or to other nodes that were refused")                        \
    X(link_breaks, "connections of other nodes that broke")                                       \
    X(link_idles, "connections of other nodes that were closed, as nothing was said")             \
    X(link_bytes_out, "bytes for other nodes, after compression")                                 \
    X(link_bytes_in, "bytes from other nodes, before decompression")                              \
    X(link_raw_out, "bytes of batches for other nodes, before compression")                       \
    X(link_batches_out, "batches of messages for other nodes")                                    \
    X(link_batches_in, "batches of messages from other nodes")                                    \
    X(link_resent, "messages sent to other nodes again, after a break")                           \
    X(link_duplicates, "messages of other nodes that came again, and were dropped")               \
    X(http_requests, "requests over HTTP")                                                        \
    X(http_refused, "requests over HTTP that were refused before they were calls")                \
    X(http_busy, "requests refused for http_calls or http_bytes, or as the node closes")           \
    X(http_cut, "requests cut off by http_timeout, or behind a body that nobody wants")           \
    X(http_gone, "calls over HTTP cancelled because their caller went away")                      \
    X(http_limited, "calls over HTTP held back by a limit of rate: 429")                          \
    X(http_slow, "streams of events ended because their reader was slow")                         \
    X(passes, "passes of shard loops")                                                            \
    X(sleeps, "times a shard ran out of work")

#define TROUPE_COUNTER_MAP(X)                                                                     \
    TROUPE_TYPE_COUNTER_MAP(X)                                                                    \
    TROUPE_NODE_COUNTER_MAP(X)

/* A sampled distribution, in nanoseconds. Percentiles are at most 1/32 too high. */
typedef struct troupe_distribution {
    uint64_t count, p50, p99, p999, max;
    uint64_t p95, mean;
} troupe_distribution;

typedef struct troupe_stats {
    size_t size; /* set by the caller: sizeof(troupe_stats) */
    uint64_t uptime;
    uint32_t shards;
#define X(name, text) uint64_t name;
    TROUPE_COUNTER_MAP(X)
#undef X
    uint64_t active;                /* actors now */
    uint64_t parked;                /* turns now */
    uint64_t pending_asks;          /* now */
    uint64_t queued;                /* messages in mailboxes now */
    uint64_t bytes;                 /* in activations, messages and states now */
    uint64_t reserved;              /* taken from the allocator for them */
    uint64_t fibers;                /* stacks now */
    troupe_distribution turn_time;  /* of turns that did not park */
    troupe_distribution ask_time;   /* from ask to answer, as the asker sees it */
    troupe_distribution queue_time; /* from arrival in the mailbox to the turn */
    troupe_distribution cache_time; /* of a look-up in the location cache */
    /* Lately: over the last second or two, or longer where there was nothing to do before. */
    double turn_rate; /* turns a second */
    double cpu;       /* seconds of cpu a second, of the whole process */
    uint64_t cpu_time; /* ns, of the process since its start */
    uint64_t resident; /* bytes, of the process */
} troupe_stats;

/* Of the messages for other nodes, which share had a way that the location cache knew: 0 to 1; -1:
 * there was none. */
static inline double troupe_stats_hit_rate(const troupe_stats *stats)
{
    uint64_t all = stats->cache_hits + stats->cache_misses;
    return all != 0 ? (double)stats->cache_hits / (double)all : -1;
}

/* [any thread but in a turn] `ret_stats->size` must be set. CLOSED, USAGE. */
TROUPE_API TROUPE_CHECK troupe_status troupe_node_stats(troupe_node *node, troupe_stats *ret_stats);
TROUPE_API const char *troupe_node_name(const troupe_node *node);
/* Where it takes calls over HTTP, "127.0.0.1:7800", as long as it is open; NULL: it does not. */
TROUPE_API const char *troupe_node_http(const troupe_node *node);

#define TROUPE_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Takes the next part of a page; what it returns other than OK ends the page. */
typedef troupe_status troupe_page_write(void *user, troupe_slice part);

/* [any thread] A page with all metrics of the node, as Prometheus reads them (content type
 * TROUPE_METRICS_TYPE); docs/metrics.md lists them. `write` gets it in parts of some kilobytes, on
 * the calling thread, before this returns. It asks nobody, and so waits for nobody: of a shard that
 * is stuck the page says what it last noted. NO_MEMORY; else what `write` returned. Since 0.1. */
TROUPE_API TROUPE_CHECK troupe_status troupe_node_metrics(
    troupe_node *node, troupe_page_write *write, void *user);

/* ---- actors -------------------------------------------------------------------------------- */

typedef struct troupe_actor_info {
    troupe_id id; /* borrowed during the call */
    uint32_t shard;
    const char
        *phase;    /* "activating", "active", "deactivating", "waiting" (supervision's back-off) */
    uint64_t age;  /* since activation */
    uint64_t idle; /* since its last message */
    uint64_t received, processed, errors;
    uint32_t queued;
    uint32_t parked; /* turns */
    size_t bytes;    /* of record and state */
} troupe_actor_info;

typedef void troupe_actor_visit(void *user, const troupe_actor_info *info);

/* [any thread but in a turn] One active actor; of a type of stateless workers each activation of
 * the id, one visit for each. NOT_FOUND: it is not active (or never was). */
TROUPE_API TROUPE_CHECK troupe_status troupe_node_lookup(
    troupe_node *node, troupe_id id, troupe_actor_visit *visit, void *user);
/* [any thread but in a turn] Active actors of `type` (empty: all) whose key matches `pattern` (`*`
 * and `?`; empty: all), at most `limit`. An actor active throughout is seen once. The visits come
 * on the calling thread. UNAVAILABLE: a turn has kept a shard for a second or more; those of the
 * others were shown. */
TROUPE_API TROUPE_CHECK troupe_status troupe_node_each_actor(troupe_node *node, troupe_slice type,
    troupe_slice pattern, size_t limit, troupe_actor_visit *visit, void *user);
/* [any thread but in a turn] Deactivates an actor when it is idle; of a type of stateless workers
 * all activations of the id. NOT_FOUND: it is not active. */
TROUPE_API TROUPE_CHECK troupe_status troupe_node_deactivate(troupe_node *node, troupe_id id);

/* ---- parked turns -------------------------------------------------------------------------- */

typedef struct troupe_parked_info {
    troupe_id id;
    troupe_slice method;
    uint32_t shard;
    uint64_t age;       /* since the turn began */
    uint64_t waiting;   /* since it parked */
    const char *reason; /* "ask", "sleep", "yield", "blocking", "storage" */
    troupe_id target;   /* of an ask */
    troupe_slice target_method;
    void *const *frames; /* return addresses on its stack, innermost first */
    int frame_count;
} troupe_parked_info;

typedef void troupe_parked_visit(void *user, const troupe_parked_info *info);

/* [any thread but in a turn] Every parked turn, of one actor if `id` is not NULL. UNAVAILABLE: as
 * above. */
TROUPE_API TROUPE_CHECK troupe_status troupe_node_each_parked(
    troupe_node *node, const troupe_id *id, troupe_parked_visit *visit, void *user);

/* ---- lifecycle events ---------------------------------------------------------------------- */

typedef enum troupe_lifecycle_kind {
    TROUPE_LIFECYCLE_ACTIVATED = 1,
    TROUPE_LIFECYCLE_DEACTIVATED,
    TROUPE_LIFECYCLE_FAILED,   /* a turn failed and supervision acted, or an activation failed */
    TROUPE_LIFECYCLE_POISONED, /* a message was set aside */
} troupe_lifecycle_kind;

TROUPE_API const char *troupe_lifecycle_kind_name(troupe_lifecycle_kind kind);

typedef struct troupe_lifecycle {
    troupe_lifecycle_kind kind;
    troupe_id id; /* borrowed during the call */
    uint32_t shard;
    troupe_reason reason; /* of DEACTIVATED */
    troupe_status status; /* of FAILED */
    troupe_slice method;  /* of FAILED and POISONED */
} troupe_lifecycle;

typedef void troupe_lifecycle_visit(void *user, const troupe_lifecycle *event);

/* [any thread but in a turn] The visits come on the threads of the shards and must not block; those
 * of one actor come in order. BUSY: 16 subscriptions exist. */
TROUPE_API TROUPE_CHECK troupe_status troupe_node_subscribe(
    troupe_node *node, troupe_lifecycle_visit *visit, void *user, uint64_t *ret_subscription);
/* After it returns no visit is under way or comes. */
TROUPE_API TROUPE_CHECK troupe_status troupe_node_unsubscribe(
    troupe_node *node, uint64_t subscription);

#ifdef __cplusplus
}
#endif
#endif
