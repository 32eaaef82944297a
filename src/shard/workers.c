/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types with many activations per id (stateless workers): which of them a call goes to. Each is an
 * activation as others are, found by a hash of its own, which is made of the id's hash and the
 * number of the worker; the numbers go round the shards. So all that follows a hash, cancels, full
 * marks and searches for cycles, finds the one worker that the call went to.
 *
 * Between nodes a call has the hash of its id, and the shard to which it comes chooses. No home
 * knows the workers of an id, nor which node took a call, so what follows a hash does not find
 * the workers of other nodes: a call to one ends by its deadline, which travels with it, and one
 * that is full answers BUSY itself.
 *
 * A turn calls a worker of its own shard, if any may be there: one that is idle, else a new one
 * while the type's limit allows it, else the one with the least to do. A call from outside goes to
 * the shards in turn, and there the same way.
 *
 * Invariants
 * 1. tp_hash_shard of a worker's hash is its shard.
 * 2. Numbers are below the type's limit, so an id has at most so many activations on the node.
 * Threads: of the shard, but for tp_worker_enter.
 */
#include "shard/workers.h"

static uint64_t mix(uint64_t bits)
{
    bits ^= bits >> 32; /* splitmix64's finish (Steele, Lea, Flood 2014) */
    bits *= UINT64_C(0xbf58476d1ce4e5b9);
    bits ^= bits >> 27;
    bits *= UINT64_C(0x94d049bb133111eb);
    return bits ^ (bits >> 31);
}

/* The low half says which shard (tp_hash_shard): it is put into the range of that one. */
static uint64_t hash_of(uint64_t id_hash, uint32_t worker, uint32_t shards)
{
    uint64_t shard = (tp_hash_shard(id_hash, shards) + worker) % shards;
    uint64_t bits = mix(id_hash + UINT64_C(0x9e3779b97f4a7c15) * (worker + UINT64_C(1)));
    uint64_t begin = ((shard << 32) + shards - 1) / shards;
    uint64_t range = (UINT64_C(1) << 32) / shards - 1;
    uint64_t low = begin + (((bits & UINT32_MAX) * range) >> 32);
    return (bits & ~(uint64_t)UINT32_MAX) | low;
}

static uint32_t limit_of(const tp_type *type)
{
    return type->is.stateless_workers;
}

/* The lowest number on this shard; it may be beyond the limit. */
static uint32_t first_of(const tp_shard *shard, uint64_t id_hash)
{
    uint32_t shards = shard->shared->shard_count;
    return (shard->number + shards - tp_hash_shard(id_hash, shards)) % shards;
}

/* What a call would wait for there. */
static uint32_t load_of(const tp_activation *actor)
{
    bool is_leaving = actor->phase != TP_ACTIVE && actor->phase != TP_NEW;
    return actor->queued + actor->turn_count + (is_leaving ? 1 : 0);
}

/* Of those of this shard, one of which may be there: the hash. */
static uint64_t choose_here(tp_shard *shard, const tp_target *to, uint64_t id_hash)
{
    uint32_t shards = shard->shared->shard_count;
    uint64_t best = 0;
    uint32_t least = UINT32_MAX;
    tp_arrivals_flush(shard); /* what was sent before counts */
    for (uint32_t i = first_of(shard, id_hash); i < limit_of(to->type); i += shards) {
        uint64_t hash = hash_of(id_hash, i, shards);
        const tp_activation *actor =
            tp_activation_find(shard, to->type, hash, to->partition, to->key);
        uint32_t load = actor != NULL ? load_of(actor) : 0;
        if (load < least) {
            least = load;
            best = hash;
        }
        if (load == 0)
            break;
    }
    return best;
}

void tp_worker_choose(tp_shard *shard, tp_target *to, uint64_t id_hash)
{
    uint32_t shards = shard->shared->shard_count, limit = limit_of(to->type);
    to->hash = first_of(shard, id_hash) < limit
                   ? choose_here(shard, to, id_hash)
                   : hash_of(id_hash, (uint32_t)tp_prng_below(&shard->prng, limit), shards);
    to->shard = tp_hash_shard(to->hash, shards);
}

uint64_t tp_worker_of(
    tp_shard *shard, const tp_type *type, troupe_slice partition, troupe_slice key)
{
    tp_target to = {.type = type, .partition = partition, .key = key};
    tp_worker_choose(shard, &to, tp_type_hash(&shard->shared->types, type, partition, key));
    return to.hash;
}

/* One of the workers on the shard of number `first` whose mailbox is not known to be full. */
static bool has_room(
    tp_shared *shared, const tp_type *type, uint64_t id_hash, uint32_t first, uint64_t *ret_hash)
{
    uint32_t shards = shared->shard_count;
    for (uint32_t i = first; i < limit_of(type); i += shards) {
        uint64_t hash = hash_of(id_hash, i, shards);
        tp_shard *shard = shared->shards[tp_hash_shard(hash, shards)];
        if (tp_crowding_of(shard, hash, false) == TP_NOT_CROWDED) {
            *ret_hash = hash;
            return true;
        }
    }
    return false;
}

bool tp_worker_enter(tp_shared *shared, const tp_type *type, uint64_t *hash)
{
    uint64_t id_hash = *hash;
    uint32_t places = limit_of(type) < shared->shard_count ? limit_of(type) : shared->shard_count;
    uint32_t turn = atomic_fetch_add_explicit(&shared->worker_turns, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < places; i++)
        if (has_room(shared, type, id_hash, (turn + i) % places, hash))
            return true;
    return false;
}

size_t tp_workers_find(
    tp_shard *shard, const tp_type *type, troupe_id id, size_t from, tp_activation **ret_actor)
{
    uint32_t shards = shard->shared->shard_count;
    uint64_t id_hash = tp_type_hash(&shard->shared->types, type, id.partition, id.key);
    for (size_t i = from != 0 ? from : first_of(shard, id_hash); i < limit_of(type); i += shards) {
        uint64_t hash = hash_of(id_hash, (uint32_t)i, shards);
        *ret_actor = tp_activation_find(shard, type, hash, id.partition, id.key);
        if (*ret_actor != NULL)
            return i + shards;
    }
    return 0;
}
