/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks into a shard, on its own thread between turns, but for what any thread may read. Nothing
 * here runs user code but the visitor, or changes anything but its pace.
 */
#include "shard/gather.h"
#include "shard/workers.h"

void tp_inspect_counters(const tp_shard *shard, troupe_stats *into)
{
#define X(name, text) into->name += tp_cell_get(&shard->counters.name);
    TROUPE_NODE_COUNTER_MAP(X)
#undef X
    for (uint32_t i = 0; i < shard->shared->types.count; i++) {
#define X(name, text) into->name += tp_cell_get(&shard->of_types[i].name);
        TROUPE_TYPE_COUNTER_MAP(X)
#undef X
    }
}

static uint64_t turns_of(const tp_shard *shard)
{
    uint64_t turns = 0;
    for (uint32_t i = 0; i < shard->shared->types.count; i++)
        turns += tp_cell_get(&shard->of_types[i].turns);
    return turns;
}

void tp_inspect_pace(tp_shard *shard)
{
    tp_usage usage;
    shard->env->usage(shard->env, &usage);
    shard->pace[0] = shard->pace[1];
    shard->pace[1] = (tp_pace){shard->now, turns_of(shard), usage.cpu};
}

void tp_inspect_now(tp_shard *shard, troupe_stats *into)
{
    uint64_t elapsed = shard->now - shard->pace[0].at;
    if (elapsed != 0)
        into->turn_rate += (double)(turns_of(shard) - shard->pace[0].turns) * 1e9 / (double)elapsed;
    into->active += shard->active;
    into->parked += shard->parked_count;
    into->pending_asks += shard->pending;
    into->queued += shard->queued;
    into->bytes += tp_pool_bytes(&shard->pool);
    into->reserved += tp_pool_reserved(&shard->pool);
    into->fibers += tp_fiber_pool_alive(&shard->fibers);
}

void tp_inspect_times(const tp_shard *shard, tp_histogram into[TP_TIMES])
{
    tp_histogram_merge(&into[0], &shard->turn_time);
    tp_histogram_merge(&into[1], &shard->ask_time);
    tp_histogram_merge(&into[2], &shard->queue_time);
    tp_histogram_merge(&into[3], &shard->cache_time);
}

static const char *phase_name(const tp_activation *actor)
{
    switch ((tp_phase)actor->phase) {
    case TP_NEW:
    case TP_ACTIVATING:
        return "activating";
    case TP_ACTIVE:
        return "active";
    case TP_DEACTIVATING:
        return "deactivating";
    case TP_MOVING:
        return "moving";
    case TP_WAITING:
        return "waiting";
    case TP_HALTED:
        return "halted";
    }
    return "?";
}

static void describe(tp_shard *shard, tp_activation *actor, troupe_actor_info *ret)
{
    *ret = (troupe_actor_info){.id = tp_activation_id(actor),
        .shard = shard->number,
        .phase = phase_name(actor),
        .age = shard->now - actor->activated_at,
        .idle = shard->now - actor->last_used,
        .received = actor->received,
        .processed = actor->processed,
        .errors = actor->errors,
        .queued = actor->queued,
        .parked = actor->turn_count,
        .bytes = actor->head_size + actor->type->is.state_size};
}

/* `*` any run, `?` one byte; an empty pattern matches all. */
bool tp_inspect_matches(troupe_slice pattern, troupe_slice text)
{
    const char *p = pattern.data, *t = text.data;
    size_t at = 0, in = 0, star = SIZE_MAX, mark = 0;
    if (pattern.size == 0)
        return true;
    while (in < text.size) {
        if (at < pattern.size && p[at] == '*') {
            star = at++;
            mark = in;
        } else if (at < pattern.size && (p[at] == '?' || p[at] == t[in])) {
            at++;
            in++;
        } else if (star != SIZE_MAX) {
            at = star + 1;
            in = ++mark;
        } else {
            return false;
        }
    }
    while (at < pattern.size && p[at] == '*')
        at++;
    return at == pattern.size;
}

size_t tp_inspect_actors(tp_shard *shard, troupe_slice type, troupe_slice pattern, size_t limit,
    troupe_actor_visit *visit, void *user)
{
    size_t seen = 0;
    TP_LIST_EACH(&shard->recency, link)
    {
        if (seen == limit)
            break;
        tp_activation *actor = TP_CONTAINER(link, tp_activation, recency);
        if (type.size != 0 && !troupe_slice_equal(actor->type->name, type))
            continue;
        if (!tp_inspect_matches(pattern, tp_activation_key(actor)))
            continue;
        troupe_actor_info info;
        describe(shard, actor, &info);
        visit(user, &info);
        seen++;
    }
    return seen;
}

bool tp_inspect_actor(tp_shard *shard, const tp_type *type, troupe_id id, uint64_t hash,
    troupe_actor_visit *visit, void *user)
{
    tp_activation *actor = tp_activation_find(shard, type, hash, id.partition, id.key);
    if (actor == NULL)
        return false;
    troupe_actor_info info;
    describe(shard, actor, &info);
    if (visit != NULL)
        visit(user, &info);
    return true;
}

size_t tp_inspect_workers(
    tp_shard *shard, const tp_type *type, troupe_id id, troupe_actor_visit *visit, void *user)
{
    size_t count = 0;
    tp_activation *actor;
    for (size_t at = 0; (at = tp_workers_find(shard, type, id, at, &actor)) != 0; count++) {
        troupe_actor_info info;
        describe(shard, actor, &info);
        visit(user, &info);
    }
    return count;
}

/* One of those that it waits for. */
static const troupe_request *first_pending(const tp_gather *gather)
{
    size_t i = 0;
    while (i + 1 < gather->count && !gather->parts[i].pending)
        i++;
    return &gather->requests[i];
}

static const char *wait_name(const troupe_turn *turn)
{
    static const char *const names[] = {
        "resuming", "ask", "gather", "sleep", "yield", "blocking", "storage"};
    return names[turn->wait];
}

void tp_inspect_parked(tp_shard *shard, const troupe_id *id, troupe_parked_visit *visit, void *user)
{
    TP_LIST_EACH(&shard->parked, link)
    {
        const troupe_turn *turn = TP_CONTAINER(link, troupe_turn, parked);
        if (id != NULL && !troupe_id_equal(*id, tp_activation_id(turn->actor)))
            continue;
        void *frames[TP_FRAMES_MAX] = {NULL};
        int count = tp_fiber_backtrace(turn->fiber, frames, TP_FRAMES_MAX);
        troupe_parked_info info = {.id = tp_activation_id(turn->actor),
            .method = troupe_turn_method(turn),
            .shard = shard->number,
            .age = shard->now - turn->began,
            .waiting = shard->now - turn->parked_at,
            .reason = wait_name(turn),
            .frames = frames,
            .frame_count = count};
        if (turn->wait == TP_WAIT_ASK) {
            const tp_target *to = turn->wait_target;
            info.target = (troupe_id){to->type->name, to->partition, to->key};
            info.target_method = tp_callee_name(to, turn->wait_callee);
        } else if (turn->wait == TP_WAIT_GATHER) {
            const troupe_request *first = first_pending(turn->gather);
            info.target = first->id;
            info.target_method = troupe_str(first->method);
        }
        visit(user, &info);
    }
}
