/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at the cluster of a node (<troupe/cluster.h>): members and views from what the control
 * runner shows, places and actors by inquiries to the shards that know (cluster/inquiry.h). sight.c
 * looks into this node alone.
 *
 * Threads: any that is not the node's.
 */
#include "base/alloc.h"
#include "cluster/cluster.h"
#include "cluster/inquiry.h"
#include "cluster/placing.h"
#include "node/node.h"
#include "shard/workers.h"

#include <stdio.h>
#include <troupe/cluster.h>

#define LOOK_WAIT  TROUPE_SECONDS(5)       /* if the caller says nothing */
#define ONE_WAIT   TROUPE_SECONDS(1)       /* for one member's answer */
#define LOOK_PAUSE TROUPE_MILLISECONDS(10) /* before a home that is not settled is asked again */

/* ---- members and views ----------------------------------------------------------------------- */

static bool is_doubted(const tp_cluster_look *look, uint64_t incarnation)
{
    for (uint32_t i = 0; i < look->doubted_count; i++)
        if (look->doubted[i] == incarnation)
            return true;
    return false;
}

/* As it would tell others (cluster/reporter.c). */
static troupe_status add_own_load(troupe_node *node, troupe_cluster_member *shown)
{
    troupe_stats stats = {.size = sizeof stats};
    TROUPE_TRY(troupe_node_stats(node, &stats));
    double busy = stats.turn_rate * (double)stats.turn_time.mean / 1e9 / stats.shards;
    double limit = (double)TP_LIVE_GET(node->shared.options.memory_limit);
    shown->load = (troupe_load){.cpu = busy < 1 ? busy : 1,
        .memory = limit > 0 ? (double)stats.bytes / limit : 0,
        .actors = stats.active};
    shown->queued = stats.queued;
    shown->turns = (uint64_t)stats.turn_rate;
    shown->turn_time = stats.turn_time.mean;
    return TROUPE_OK;
}

static troupe_status show_alone(troupe_node *node, troupe_cluster_member_visit *visit, void *user)
{
    const tp_shared *shared = &node->shared;
    size_t bytes = (shared->types.count + 1) * sizeof(troupe_slice);
    troupe_slice *types = tp_allocate(shared->allocator, bytes);
    if (types == NULL)
        return TROUPE_NO_MEMORY;
    for (uint32_t i = 0; i < shared->types.count; i++)
        types[i] = shared->types.list[i].name;
    troupe_cluster_member self = {.name = troupe_str(node->name),
        .status = "active",
        .shards = shared->shard_count,
        .types = types,
        .type_count = shared->types.count,
        .is_self = true,
        .lease_left = TROUPE_NEVER,
        .is_healthy = true};
    troupe_status status = add_own_load(node, &self);
    if (status == TROUPE_OK)
        visit(user, &self);
    tp_release(shared->allocator, types, bytes);
    return status;
}

/* What this node has heard of it. */
static void add_load(troupe_cluster_member *shown, const tp_load_sheet *sheet, uint64_t now)
{
    const tp_load_row *row = sheet != NULL ? tp_load_sheet_find(sheet, shown->incarnation) : NULL;
    shown->load.age = UINT64_MAX;
    if (row == NULL)
        return;
    shown->distance = row->round_trip;
    if (row->at == 0)
        return;
    double limit = (double)row->said.memory_limit;
    shown->load = (troupe_load){.cpu = row->said.cpu / 1000.0,
        .memory = limit > 0 ? (double)row->said.memory / limit : 0,
        .actors = row->said.actors,
        .age = now > row->at ? now - row->at : 0};
    shown->queued = row->said.queued;
    shown->turns = row->said.turns;
    shown->turn_time = row->said.turn_ns;
}

static void show_member(troupe_node *node, const tp_cluster_look *look,
    const tp_view_member *member, const tp_load_sheet *sheet, troupe_cluster_member_visit *visit,
    void *user)
{
    troupe_label labels[TP_VIEW_LABELS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < member->label_count; i++)
        if (!tp_placing_is_private(member->labels[i].name))
            labels[count++] = (troupe_label){member->labels[i].name, member->labels[i].value};
    bool is_self = member->incarnation == look->incarnation;
    troupe_cluster_member shown = {.name = member->name,
        .address = member->address,
        .incarnation = member->incarnation,
        .joined = member->joined,
        .status = tp_view_status_name(member->status),
        .shards = member->shards,
        .types = member->types,
        .type_count = member->type_count,
        .labels = labels,
        .label_count = count,
        .is_self = is_self,
        .is_suspected = is_doubted(look, member->incarnation),
        .lease_left = is_self ? look->lease_left : TROUPE_NEVER};
    shown.is_healthy = member->status == TP_VIEW_ACTIVE && !shown.is_suspected &&
                       (!is_self || look->lease_left != 0);
    add_load(&shown, sheet, node->env->now(node->env));
    visit(user, &shown);
}

troupe_status troupe_cluster_nodes(
    troupe_node *node, troupe_cluster_member_visit *visit, void *user)
{
    if (node->env->is_runner(node->env))
        return TROUPE_USAGE;
    if (node->cluster == NULL)
        return show_alone(node, visit, user);
    tp_cluster_look look;
    TROUPE_TRY(tp_cluster_see(node->cluster, &look));
    if (look.chart == NULL)
        return TROUPE_OK;
    const tp_view *view = look.chart->members;
    tp_load_sheet *sheet = tp_cluster_loads(node->cluster);
    for (size_t i = 0; i < view->member_count; i++)
        show_member(node, &look, &view->members[i], sheet, visit, user);
    tp_load_sheet_release(sheet);
    tp_chart_release(look.chart);
    return TROUPE_OK;
}

static const char *state_name(tp_cluster_state state)
{
    static const char *const names[] = {"joining", "member", "suspended", "left", "died"};
    return names[state];
}

troupe_status troupe_cluster_view_get(troupe_node *node, troupe_cluster_view *ret_view)
{
    if (ret_view->size != sizeof *ret_view || node->env->is_runner(node->env))
        return TROUPE_USAGE;
    *ret_view = (troupe_cluster_view){.size = sizeof *ret_view,
        .state = "alone",
        .members = 1,
        .ttl = TROUPE_NEVER,
        .lease_left = TROUPE_NEVER};
    if (node->cluster == NULL)
        return TROUPE_OK;
    tp_cluster_look look;
    TROUPE_TRY(tp_cluster_see(node->cluster, &look));
    (void)snprintf(
        ret_view->cluster, sizeof ret_view->cluster, "%s", tp_cluster_name(node->cluster));
    ret_view->state = state_name(look.state);
    ret_view->incarnation = look.incarnation;
    ret_view->ttl = look.ttl;
    ret_view->lease_left = look.lease_left;
    ret_view->raises = look.counts.raises;
    ret_view->raises_failed = look.counts.raises_failed;
    ret_view->suspensions = look.counts.suspensions;
    ret_view->revocations = look.counts.revocations;
    ret_view->votes = look.counts.votes;
    const tp_view *view = look.chart != NULL ? look.chart->members : NULL;
    ret_view->number = view != NULL ? view->number : 0;
    ret_view->members = view != NULL ? (uint32_t)view->member_count : 0;
    for (size_t i = 0; view != NULL && i < view->change_count && i < 64; i++)
        ret_view->changes[ret_view->change_count++] = (troupe_cluster_change){view->changes[i].view,
            view->changes[i].incarnation, tp_view_what_name(view->changes[i].what)};
    tp_chart_release(look.chart);
    return TROUPE_OK;
}

/* ---- where an actor lives -------------------------------------------------------------------- */

typedef struct search {
    troupe_node *node;
    troupe_id id;
    uint64_t hash, deadline;
    tp_cluster_look look; /* with a reference to its chart */
    troupe_cluster_place place;
    troupe_cluster_place_visit *visit;
    void *user;
} search;

static bool see_again(search *self)
{
    tp_chart_release(self->look.chart);
    self->look.chart = NULL;
    return tp_cluster_see(self->node->cluster, &self->look) == TROUPE_OK &&
           self->look.chart != NULL && self->look.chart->view.member_count != 0;
}

static void pause_a_little(tp_env *env)
{
    tp_waiter waiter = {0};
    if (env->wait_begin(env, &waiter) != TROUPE_OK)
        return;
    (void)env->wait(env, &waiter, tp_time_after(env->now(env), LOOK_PAUSE));
    env->wait_end(env, &waiter);
}

/* Is it over, or does the node close, which waits for those who look? */
static bool is_over(troupe_node *node, uint64_t deadline)
{
    return node->env->now(node->env) >= deadline ||
           atomic_load_explicit(&node->shared.closing, memory_order_relaxed) != TP_OPEN;
}

/* Asks one member's shard of the id. */
static troupe_status ask_about(search *self, const tp_directory_member *member, unsigned kind,
    char **ret_answer, size_t *ret_size)
{
    tp_env *env = self->node->env;
    tp_inquiry_question question = {
        .node = member->node, .shard = tp_hash_shard(self->hash, member->shards)};
    tp_inquiry_ask_id(&question, kind, self->hash, self->id.type, self->id.partition, self->id.key);
    uint64_t until = tp_time_after(env->now(env), ONE_WAIT);
    return tp_inquire(&self->node->shared, &question,
        until < self->deadline ? until : self->deadline, ret_answer, ret_size);
}

static const tp_directory_member *member_of(const search *self, uint64_t incarnation)
{
    uint32_t i = tp_directory_find_member(&self->look.chart->view, incarnation);
    return i != TP_DIRECTORY_NOBODY ? &self->look.chart->view.members[i] : NULL;
}

/* OK: place.incarnation is the host, or 0. UNAVAILABLE: not settled. */
static troupe_status ask_home(search *self, uint64_t node)
{
    const tp_directory_member *member = member_of(self, node);
    char *answer;
    size_t size;
    if (member == NULL)
        return TROUPE_UNAVAILABLE;
    TROUPE_TRY(ask_about(self, member, TP_INQUIRY_HOME, &answer, &size));
    tp_in in = tp_in_of(answer, size);
    self->place.incarnation = tp_in_64(&in);
    self->place.activations = tp_in_32(&in);
    unsigned flags = tp_in_8(&in);
    bool is_whole = tp_in_ok(&in);
    tp_release(self->node->shared.allocator, answer, size);
    if (!is_whole)
        return TROUPE_CORRUPT;
    self->place.is_strong = flags == (TP_HOME_IS_HOME | TP_HOME_IS_SETTLED);
    return self->place.is_strong ? TROUPE_OK : TROUPE_UNAVAILABLE;
}

static bool read_actor(search *self, tp_in *in, char *phase, size_t phase_size)
{
    troupe_actor_info *actor = &self->place.actor;
    if (tp_in_8(in) == 0)
        return false;
    actor->id = self->id;
    actor->shard = tp_in_32(in);
    actor->age = tp_in_64(in);
    actor->idle = tp_in_64(in);
    actor->received = tp_in_64(in);
    actor->processed = tp_in_64(in);
    actor->errors = tp_in_64(in);
    actor->bytes = tp_in_64(in);
    actor->queued = tp_in_32(in);
    actor->parked = tp_in_32(in);
    troupe_slice name = tp_in_bytes(in, tp_in_8(in));
    bool is_whole = tp_in_ok(in);
    (void)snprintf(phase, phase_size, "%.*s", is_whole ? (int)name.size : 0,
        is_whole ? (const char *)name.data : "");
    actor->phase = phase;
    return is_whole;
}

/* Shows the place, with what its host says. */
static void show_place(search *self)
{
    const tp_directory_member *member = member_of(self, self->place.incarnation);
    const tp_view_member *named = tp_chart_member(self->look.chart, self->place.incarnation);
    char phase[32], *answer;
    size_t size;
    self->place.id = self->id;
    self->place.node = named->name;
    self->place.is_self = self->place.incarnation == self->look.incarnation;
    self->place.actor.shard = tp_hash_shard(self->hash, member->shards);
    if (ask_about(self, member, TP_INQUIRY_SIGHT, &answer, &size) == TROUPE_OK) {
        tp_in in = tp_in_of(answer, size);
        self->place.has_actor = read_actor(self, &in, phase, sizeof phase);
        tp_release(self->node->shared.allocator, answer, size);
    }
    if (self->visit != NULL)
        self->visit(self->user, &self->place);
}

static bool is_hosted(const search *self)
{
    const tp_view *view = self->look.chart->members;
    for (size_t i = 0; i < view->member_count; i++)
        for (size_t k = 0; k < view->members[i].type_count; k++)
            if (troupe_slice_equal(view->members[i].types[k], self->id.type))
                return true;
    return false;
}

static troupe_status look_up(search *self, troupe_consistency consistency)
{
    for (;;) {
        if (!see_again(self))
            return TROUPE_UNAVAILABLE;
        if (!is_hosted(self))
            return TROUPE_NO_TYPE;
        const tp_directory_view *view = &self->look.chart->view;
        uint64_t home = view->members[tp_directory_home(view, self->hash)].node;
        bool is_strong = consistency == TROUPE_STRONG;
        troupe_status status = ask_home(self, is_strong ? home : self->look.incarnation);
        if (!is_strong && status == TROUPE_UNAVAILABLE)
            status = TROUPE_OK;
        bool is_known = self->place.incarnation == 0 || member_of(self, self->place.incarnation);
        if (status == TROUPE_OK && self->place.incarnation == 0)
            return TROUPE_NOT_FOUND;
        if (status == TROUPE_OK && is_known) {
            show_place(self);
            return TROUPE_OK;
        }
        bool is_passing = status == TROUPE_OK || status == TROUPE_UNAVAILABLE ||
                          status == TROUPE_TIMEOUT || status == TROUPE_BUSY;
        if (!is_passing || is_over(self->node, self->deadline))
            return status == TROUPE_OK ? TROUPE_UNAVAILABLE : status;
        pause_a_little(self->node->env);
    }
}

static void show_local(void *user, const troupe_actor_info *info)
{
    search *self = user;
    self->place.id = info->id;
    self->place.node = troupe_str(self->node->name);
    self->place.incarnation = self->look.incarnation;
    self->place.is_self = self->place.is_strong = self->place.has_actor = true;
    self->place.actor = *info;
    self->visit(self->user, &self->place);
}

troupe_status troupe_cluster_lookup(troupe_node *node, troupe_id id, troupe_consistency consistency,
    uint64_t timeout, troupe_cluster_place_visit *visit, void *user)
{
    tp_shared *shared = &node->shared;
    const tp_type *type = tp_types_find(&shared->types, id.type);
    search self = {.node = node, .id = id, .visit = visit, .user = user};
    if (node->env->is_runner(node->env) || id.type.size > TP_NAME_MAX || id.type.size == 0 ||
        id.partition.size > TP_NAME_MAX || id.key.size > TP_KEY_MAX || id.key.size == 0)
        return TROUPE_USAGE;
    if (node->cluster == NULL || (type != NULL && tp_type_has_workers(type)))
        return troupe_node_lookup(node, id, visit != NULL ? show_local : NULL, &self);
    self.hash = tp_types_hash(&shared->types, id);
    self.deadline = tp_time_after(node->env->now(node->env), timeout != 0 ? timeout : LOOK_WAIT);
    troupe_status status = look_up(&self, consistency);
    tp_chart_release(self.look.chart);
    return status;
}

/* ---- moving one ------------------------------------------------------------------------------ */

static bool hosts(const tp_view_member *member, troupe_slice type)
{
    for (size_t i = 0; i < member->type_count; i++)
        if (troupe_slice_equal(member->types[i], type))
            return true;
    return false;
}

static troupe_status ask_move(search *self, uint64_t to)
{
    const tp_directory_member *host = member_of(self, self->place.incarnation);
    if (host == NULL)
        return TROUPE_UNAVAILABLE;
    tp_env *env = self->node->env;
    tp_inquiry_question question = {
        .node = host->node, .shard = tp_hash_shard(self->hash, host->shards)};
    tp_inquiry_ask_move(&question, self->hash, self->id.type, self->id.partition, self->id.key, to);
    uint64_t until = tp_time_after(env->now(env), ONE_WAIT);
    char *answer;
    size_t size;
    TROUPE_TRY(tp_inquire(&self->node->shared, &question,
        until < self->deadline ? until : self->deadline, &answer, &size));
    tp_in in = tp_in_of(answer, size);
    troupe_status status = (troupe_status)tp_in_32(&in);
    tp_release(self->node->shared.allocator, answer, size);
    return status;
}

/* Until it is there; asked again, should it have been taken back. */
static troupe_status move(search *self, uint64_t to)
{
    tp_env *env = self->node->env;
    for (bool was_asked = false;;) {
        troupe_status status = look_up(self, TROUPE_STRONG);
        if (status != TROUPE_OK || self->place.incarnation == to)
            return status;
        status = ask_move(self, to);
        was_asked |= status == TROUPE_OK;
        bool is_passing = status == TROUPE_OK || status == TROUPE_BUSY ||
                          status == TROUPE_TIMEOUT || (was_asked && status == TROUPE_NOT_FOUND);
        if (!is_passing)
            return status;
        if (env->now(env) >= self->deadline)
            return was_asked ? TROUPE_TIMEOUT : TROUPE_BUSY;
        pause_a_little(env);
    }
}

troupe_status troupe_cluster_migrate(troupe_node *node, troupe_id id, troupe_slice to,
    uint64_t timeout, uint64_t *ret_duration, bool *ret_is_member)
{
    tp_shared *shared = &node->shared;
    tp_env *env = node->env;
    search self = {.node = node, .id = id};
    if (env->is_runner(env) || id.type.size > TP_NAME_MAX || id.type.size == 0 ||
        id.partition.size > TP_NAME_MAX || id.key.size > TP_KEY_MAX || id.key.size == 0 ||
        node->cluster == NULL)
        return TROUPE_USAGE;
    uint64_t began = env->now(env);
    self.hash = tp_types_hash(&shared->types, id);
    self.deadline = tp_time_after(began, timeout != 0 ? timeout : LOOK_WAIT);
    if (!see_again(&self))
        return TROUPE_UNAVAILABLE;
    const tp_view_member *target = tp_view_find_name(self.look.chart->members, to);
    troupe_status status = TROUPE_NOT_FOUND;
    if (ret_is_member != NULL)
        *ret_is_member = target != NULL;
    if (target != NULL)
        status = hosts(target, id.type) ? move(&self, target->incarnation) : TROUPE_NO_TYPE;
    tp_chart_release(self.look.chart);
    if (ret_duration != NULL)
        *ret_duration = env->now(env) - began;
    return status;
}

/* ---- rebalancing ----------------------------------------------------------------------------- */

static const char *why_of(const tp_balancer_wish *wish)
{
    if (wish->verdict == TP_REBALANCE_UNKNOWN)
        return "unheard";
    if (wish->verdict == TP_REBALANCE_UNMEASURED)
        return "unmeasured";
    if (wish->verdict == TP_REBALANCE_EVEN)
        return "even";
    if (wish->count > 0)
        return "uneven";
    return wish->share > 1 ? "held" : "below";
}

static void show_moves(
    troupe_node *node, const tp_balancer_wish *wish, troupe_cluster_move_visit *visit, void *user)
{
    tp_cluster_look look;
    if (tp_cluster_see(node->cluster, &look) != TROUPE_OK)
        look.chart = NULL;
    for (uint32_t i = 0; i < wish->count; i++) {
        const tp_balancer_move *move = &wish->moves[i];
        const tp_view_member *to =
            look.chart != NULL ? tp_chart_member(look.chart, move->to) : NULL;
        const troupe_cluster_move shown = {.actor = troupe_str(move->id),
            .to = to != NULL ? to->name : troupe_str("?"),
            .incarnation = move->to,
            .bytes = move->bytes,
            .cost = move->cost,
            .share = move->share,
            .to_share = move->to_share};
        visit(user, &shown);
    }
    tp_chart_release(look.chart);
}

troupe_status troupe_cluster_rebalance(troupe_node *node, bool is_dry, uint64_t timeout,
    troupe_cluster_plan *ret_plan, troupe_cluster_move_visit *visit, void *user)
{
    const troupe_allocator *allocator = node->shared.allocator;
    if (ret_plan->size != sizeof *ret_plan || node->env->is_runner(node->env))
        return TROUPE_USAGE;
    *ret_plan = (troupe_cluster_plan){
        .size = sizeof *ret_plan, .why = "alone", .share = 1, .share_after = 1, .members = 1};
    if (node->cluster == NULL)
        return TROUPE_OK;
    tp_balancer_wish *wish = tp_allocate_zeroed(allocator, sizeof *wish);
    if (wish == NULL)
        return TROUPE_NO_MEMORY;
    wish->is_dry = is_dry;
    troupe_status status =
        tp_cluster_rebalance(node->cluster, timeout != 0 ? timeout : LOOK_WAIT, wish);
    if (status == TROUPE_OK) {
        *ret_plan = (troupe_cluster_plan){.size = sizeof *ret_plan,
            .why = why_of(wish),
            .share = wish->share,
            .share_after = wish->share_after,
            .members = wish->members,
            .planned = wish->count,
            .begun = wish->begun};
        if (visit != NULL)
            show_moves(node, wish, visit, user);
    }
    tp_release(allocator, wish, sizeof *wish);
    return status;
}

/* ---- which actors are active ----------------------------------------------------------------- */

typedef struct walk {
    troupe_node *node;
    tp_cluster_look look;
    troupe_slice type, pattern;
    size_t left;
    uint64_t deadline;
    troupe_cluster_cursor *cursor;
    troupe_cluster_found_visit *visit; /* NULL: what is found goes into the location cache */
    void *user;
    troupe_cluster_preloaded *preloaded;
} walk;

static bool show_items(walk *self, tp_in *in, uint32_t count)
{
    for (uint32_t i = 0; i < count && !in->short_of; i++) {
        troupe_cluster_found found = {.incarnation = tp_in_64(in)};
        found.id.type = tp_in_bytes(in, tp_in_8(in));
        found.id.partition = tp_in_bytes(in, tp_in_8(in));
        found.id.key = tp_in_bytes(in, tp_in_16(in));
        const tp_view_member *member = tp_chart_member(self->look.chart, found.incarnation);
        found.node = member != NULL ? member->name : troupe_str("?");
        if (in->short_of)
            return false;
        self->visit(self->user, &found);
        self->left -= self->left != 0;
    }
    return !in->short_of;
}

/* Items that each shard of this node looks through for its own. */
typedef struct cargo {
    tp_in items;
    uint32_t count;
    uint32_t full; /* shards that have no room left */
    uint64_t learned;
    bool is_broken;
} cargo;

static void take_own(tp_shard *shard, void *user)
{
    cargo *self = user;
    tp_shared *shared = shard->shared;
    tp_outpost *outpost = tp_outpost_of(shard);
    tp_in in = self->items;
    bool is_full = false;
    for (uint32_t i = 0; i < self->count && !is_full; i++) {
        uint64_t host = tp_in_64(&in);
        troupe_slice name = tp_in_bytes(&in, tp_in_8(&in));
        tp_directory_id id = {.partition = tp_in_bytes(&in, tp_in_8(&in))};
        id.key = tp_in_bytes(&in, tp_in_16(&in));
        self->is_broken |= in.short_of || id.key.size > TP_KEY_MAX ||
                           id.partition.size > TP_NAME_MAX || name.size > TP_NAME_MAX;
        if (self->is_broken || outpost == NULL)
            return;
        const tp_type *type = tp_type_known(shared, name);
        id.hash = tp_types_hash(&shared->types, (troupe_id){name, id.partition, id.key});
        if (type == NULL || tp_hash_shard(id.hash, shared->shard_count) != shard->number)
            continue;
        id.type = type->number;
        self->learned += tp_outpost_preload(outpost, &id, host, &is_full);
    }
    self->full += is_full;
}

static bool preload_items(walk *self, const tp_in *in, uint32_t count)
{
    cargo carried = {.items = *in, .count = count};
    uint32_t shards = self->node->shared.shard_count;
    if (tp_node_visit(self->node, 0, shards, take_own, &carried) != TROUPE_OK)
        self->cursor->has_missed = true;
    self->preloaded->learned += carried.learned;
    self->preloaded->is_full |= carried.full != 0;
    if (carried.full == shards)
        self->left = 0;
    return !carried.is_broken;
}

/* One page of one shard; moves the cursor within the shard. */
static troupe_status show_page(walk *self, uint64_t node)
{
    troupe_cluster_cursor *cursor = self->cursor;
    tp_env *env = self->node->env;
    tp_inquiry_question question = {.node = node, .shard = (uint32_t)cursor->shard};
    uint32_t limit = self->left < TP_INQUIRY_PAGE ? (uint32_t)self->left : TP_INQUIRY_PAGE;
    tp_inquiry_ask_page(&question, cursor->at, limit, self->type, self->pattern);
    uint64_t until = tp_time_after(env->now(env), ONE_WAIT);
    char *answer;
    size_t size;
    TROUPE_TRY(tp_inquire(&self->node->shared, &question,
        until < self->deadline ? until : self->deadline, &answer, &size));
    tp_in in = tp_in_of(answer, size);
    cursor->at = tp_in_64(&in);
    cursor->has_missed |= tp_in_8(&in) == 0;
    uint32_t count = tp_in_32(&in);
    bool is_whole =
        self->visit != NULL ? show_items(self, &in, count) : preload_items(self, &in, count);
    tp_release(self->node->shared.allocator, answer, size);
    return is_whole ? TROUPE_OK : TROUPE_CORRUPT;
}

/* The member at which the walk is, or the next one by incarnation; NULL: it is over. */
static const tp_directory_member *walk_to(const walk *self)
{
    const tp_directory_view *view = &self->look.chart->view;
    const tp_directory_member *next = NULL;
    for (uint32_t i = 0; i < view->member_count; i++)
        if (view->members[i].node >= self->cursor->member &&
            (next == NULL || view->members[i].node < next->node))
            next = &view->members[i];
    return next;
}

static troupe_status walk_on(walk *self)
{
    troupe_cluster_cursor *cursor = self->cursor;
    while (self->left != 0) {
        const tp_directory_member *member = walk_to(self);
        if (member == NULL) {
            *cursor = (troupe_cluster_cursor){.is_over = true, .has_missed = cursor->has_missed};
            return TROUPE_OK;
        }
        if (member->node != cursor->member)
            cursor->shard = cursor->at = 0;
        cursor->member = member->node;
        troupe_status status = show_page(self, member->node);
        if (status != TROUPE_OK && status != TROUPE_TIMEOUT && status != TROUPE_UNAVAILABLE)
            return status;
        if (is_over(self->node, self->deadline))
            return TROUPE_TIMEOUT;
        if (status != TROUPE_OK) { /* it says nothing: the others do */
            cursor->has_missed = true;
            cursor->shard = member->shards;
        } else if (cursor->at == 0) {
            cursor->shard++;
        }
        if (cursor->shard >= member->shards) {
            cursor->member = member->node + 1;
            cursor->shard = cursor->at = 0;
        }
    }
    return TROUPE_OK;
}

static void found_here(void *user, const troupe_actor_info *info)
{
    walk *self = user;
    if (self->left == 0) /* one more than wanted tells that there are more */
        self->cursor->is_over = false;
    if (self->left == 0)
        return;
    self->left--;
    const troupe_cluster_found found = {info->id, troupe_str(self->node->name), 0};
    self->visit(self->user, &found);
}

troupe_status troupe_cluster_discover(troupe_node *node, troupe_slice type, troupe_slice pattern,
    size_t limit, uint64_t timeout, troupe_cluster_cursor *cursor,
    troupe_cluster_found_visit *visit, void *user)
{
    walk self = {.node = node,
        .type = type,
        .pattern = pattern,
        .left = limit,
        .cursor = cursor,
        .visit = visit,
        .user = user};
    if (node->env->is_runner(node->env) || limit == 0 || limit > 10000 || type.size > TP_NAME_MAX ||
        pattern.size > TP_PATTERN_MAX)
        return TROUPE_USAGE;
    if (cursor->is_over)
        return TROUPE_OK;
    if (node->cluster == NULL) {
        cursor->is_over = true;
        return troupe_node_each_actor(node, type, pattern, limit + 1, found_here, &self);
    }
    self.deadline = tp_time_after(node->env->now(node->env), timeout != 0 ? timeout : LOOK_WAIT);
    TROUPE_TRY(tp_cluster_see(node->cluster, &self.look));
    troupe_status status = self.look.chart != NULL ? walk_on(&self) : TROUPE_UNAVAILABLE;
    tp_chart_release(self.look.chart);
    return status;
}

troupe_status troupe_cluster_preload(troupe_node *node, troupe_slice type, troupe_slice pattern,
    uint64_t timeout, troupe_cluster_preloaded *ret_preloaded)
{
    troupe_cluster_cursor cursor = {0};
    walk self = {.node = node,
        .type = type,
        .pattern = pattern,
        .left = SIZE_MAX,
        .cursor = &cursor,
        .preloaded = ret_preloaded};
    *ret_preloaded = (troupe_cluster_preloaded){0};
    if (node->env->is_runner(node->env) || type.size > TP_NAME_MAX || pattern.size > TP_PATTERN_MAX)
        return TROUPE_USAGE;
    if (node->cluster == NULL)
        return TROUPE_OK;
    self.deadline = tp_time_after(node->env->now(node->env), timeout != 0 ? timeout : LOOK_WAIT);
    TROUPE_TRY(tp_cluster_see(node->cluster, &self.look));
    troupe_status status = self.look.chart != NULL ? walk_on(&self) : TROUPE_UNAVAILABLE;
    tp_chart_release(self.look.chart);
    ret_preloaded->has_missed = cursor.has_missed;
    return status;
}
