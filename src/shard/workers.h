/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types with many activations per id (stateless workers): to which of them a call goes, and all of
 * them. Whoever turns an id into a hash to send to asks here first. See workers.c.
 *
 * Threads: of the shard, but for tp_worker_enter.
 */
#ifndef TP_SHARD_WORKERS_H
#define TP_SHARD_WORKERS_H

#include "shard/shard.h"

#define TP_SHARD_ANY UINT32_MAX /* of a ref to such a type: `hash` is the id's, no worker's */
static inline bool tp_type_has_workers(const tp_type *type)
{
    return type->is.stateless_workers != 0;
}
/* Whom a call that a turn of this shard makes goes to: sets hash and shard. */
void tp_worker_choose(tp_shard *shard, tp_target *to, uint64_t id_hash);
/* The same, of a message without a turn: the hash. */
uint64_t tp_worker_of(
    tp_shard *shard, const tp_type *type, troupe_slice partition, troupe_slice key);
/* [any thread] From the hash of an id to that of a worker, on the shard where a call from outside
 * goes; that one chooses again. False: all are full. */
bool tp_worker_enter(tp_shared *shared, const tp_type *type, uint64_t *hash);
/* The next activation of the id on this shard; `from` is 0, then what was returned. 0: no more. */
size_t tp_workers_find(
    tp_shard *shard, const tp_type *type, troupe_id id, size_t from, tp_activation **ret_actor);
/* Of all activations of an id on this shard: how many there are. */
size_t tp_inspect_workers(
    tp_shard *shard, const tp_type *type, troupe_id id, troupe_actor_visit *visit, void *user);

#endif
