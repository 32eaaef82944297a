/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests about the cluster of the node: its members, its view, where an actor lives, which ones
 * are active anywhere, moves of actors. They wait for other nodes, so they run on a worker's
 * thread.
 * Invariants and threads: server_inside.h; a visit comes on the thread that asked.
 */
#include "trouped/server_inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <troupe/cluster.h>

typedef struct member_list {
    cmd_bytes *out;
    size_t count;
} member_list;

static void write_labels(cmd_bytes *out, const troupe_cluster_member *member)
{
    cmd_bytes_text(out, ",\"labels\":{");
    for (size_t i = 0; i < member->label_count; i++) {
        if (i > 0) cmd_bytes_text(out, ",");
        cmd_bytes_json(out, member->labels[i].name);
        cmd_bytes_text(out, ":");
        cmd_bytes_json(out, member->labels[i].value);
    }
    cmd_bytes_text(out, "}");
}

/* What is not known is left out. */
static void write_load(cmd_bytes *out, const troupe_cluster_member *member)
{
    if (member->distance != 0) admin_write_number(out, "distance_ns", member->distance);
    if (member->load.age == UINT64_MAX) return;
    cmd_bytes_printf(out, ",\"load\":{\"cpu\":%.3f,\"memory\":%.3f", member->load.cpu,
                     member->load.memory);
    admin_write_number(out, "actors", member->load.actors);
    admin_write_number(out, "queued", member->queued);
    admin_write_number(out, "turns", member->turns);
    admin_write_number(out, "turn_time_ns", member->turn_time);
    admin_write_number(out, "age_ns", member->load.age);
    cmd_bytes_text(out, "}");
}

static void add_member(void *user, const troupe_cluster_member *member)
{
    member_list *list = user;
    cmd_bytes *out = list->out;
    cmd_bytes_text(out, list->count++ > 0 ? ",{\"node\":" : "{\"node\":");
    cmd_bytes_json(out, member->name);
    admin_write_number(out, "incarnation", member->incarnation);
    admin_write_number(out, "joined", member->joined);
    admin_write_text(out, "address", member->address);
    admin_write_text(out, "status", troupe_str(member->status));
    admin_write_number(out, "shards", member->shards);
    cmd_bytes_text(out, ",\"types\":[");
    for (size_t i = 0; i < member->type_count; i++) {
        if (i > 0) cmd_bytes_text(out, ",");
        cmd_bytes_json(out, member->types[i]);
    }
    cmd_bytes_text(out, "]");
    write_labels(out, member);
    cmd_bytes_printf(out, ",\"self\":%s,\"suspected\":%s,\"healthy\":%s",
                     member->is_self ? "true" : "false", member->is_suspected ? "true" : "false",
                     member->is_healthy ? "true" : "false");
    if (member->is_self) admin_write_number(out, "lease_left_ns", member->lease_left);
    write_load(out, member);
    cmd_bytes_text(out, "}");
}

troupe_status members_nodes(daemon_call *call, troupe_node *node)
{
    member_list list = {&call->out, 0};
    cmd_bytes_text(&call->out, ",\"nodes\":[");
    TROUPE_TRY(troupe_cluster_nodes(node, add_member, &list));
    cmd_bytes_text(&call->out, "]");
    return TROUPE_OK;
}

troupe_status members_view(daemon_call *call, troupe_node *node)
{
    cmd_bytes *out = &call->out;
    troupe_cluster_view view = {.size = sizeof(view)};
    TROUPE_TRY(troupe_cluster_view_get(node, &view));
    admin_write_text(out, "node", troupe_str(troupe_node_name(node)));
    admin_write_text(out, "cluster", troupe_str(view.cluster));
    admin_write_text(out, "state", troupe_str(view.state));
    admin_write_number(out, "view", view.number);
    admin_write_number(out, "incarnation", view.incarnation);
    admin_write_number(out, "members", view.members);
    admin_write_number(out, "ttl_ns", view.ttl);
    admin_write_number(out, "lease_left_ns", view.lease_left);
    admin_write_number(out, "raises", view.raises);
    admin_write_number(out, "raises_failed", view.raises_failed);
    admin_write_number(out, "suspensions", view.suspensions);
    admin_write_number(out, "revocations", view.revocations);
    admin_write_number(out, "votes", view.votes);
    cmd_bytes_text(out, ",\"changes\":[");
    for (uint32_t i = 0; i < view.change_count; i++) {
        cmd_bytes_printf(out, "%s{\"view\":%" PRIu64, i > 0 ? "," : "", view.changes[i].view);
        admin_write_number(out, "incarnation", view.changes[i].incarnation);
        admin_write_text(out, "what", troupe_str(view.changes[i].what));
        cmd_bytes_text(out, "}");
    }
    cmd_bytes_text(out, "]");
    return TROUPE_OK;
}

/* ---- where an actor lives ---- */

typedef struct place_list {
    cmd_bytes *out;
    size_t count;
} place_list;

/* The first; stateless workers may have several. */
static void add_place(void *user, const troupe_cluster_place *place)
{
    place_list *list = user;
    cmd_bytes *out = list->out;
    if (list->count++ > 0) return;
    cmd_bytes_text(out, "{\"node\":");
    cmd_bytes_json(out, place->node);
    admin_write_id(out, "actor", place->id);
    admin_write_number(out, "incarnation", place->incarnation);
    cmd_bytes_printf(out, ",\"strong\":%s", place->is_strong ? "true" : "false");
    admin_write_number(out, "activations", place->activations);
    if (place->has_actor) {
        admin_write_actor_figures(out, &place->actor);
    } else {
        admin_write_number(out, "shard", place->actor.shard);
    }
    cmd_bytes_text(out, "}");
}

troupe_status members_lookup(daemon_call *call, troupe_node *node)
{
    const admin_request *request = &call->request;
    place_list list = {&call->out, 0};
    cmd_bytes_text(&call->out, ",\"found\":");
    return troupe_cluster_lookup(node, request->actor,
                                 request->is_eventual ? TROUPE_EVENTUAL : TROUPE_STRONG,
                                 request->timeout, add_place, &list);
}

/* ---- moving one ---- */

troupe_status members_migrate(daemon_call *call, troupe_node *node)
{
    const admin_request *request = &call->request;
    uint64_t duration = 0;
    bool is_member = true;
    const troupe_slice to = troupe_str(request->node);
    if (to.size == 0) return TROUPE_USAGE;
    troupe_status status = troupe_cluster_migrate(node, request->actor, to,
                                                  request->timeout, &duration, &is_member);
    admin_write_text(&call->out, "node", to);
    admin_write_number(&call->out, "duration_ns", duration);
    cmd_bytes_printf(&call->out, ",\"is_member\":%s", is_member ? "true" : "false");
    return status;
}

/* ---- rebalancing ---- */

static void add_move(void *user, const troupe_cluster_move *move)
{
    member_list *list = user;
    cmd_bytes *out = list->out;
    cmd_bytes_text(out, list->count++ > 0 ? ",{\"actor\":" : "{\"actor\":");
    cmd_bytes_json(out, move->actor);
    admin_write_text(out, "to", move->to);
    admin_write_number(out, "incarnation", move->incarnation);
    admin_write_number(out, "bytes", move->bytes);
    cmd_bytes_printf(out, ",\"cost\":%.0f,\"share\":%.4f,\"to_share\":%.3f}", move->cost,
                     move->share, move->to_share);
}

troupe_status members_rebalance(daemon_call *call, troupe_node *node)
{
    const admin_request *request = &call->request;
    cmd_bytes *out = &call->out;
    troupe_cluster_plan plan = {.size = sizeof(plan)};
    member_list list = {out, 0};
    cmd_bytes_text(out, ",\"moves\":[");
    TROUPE_TRY(troupe_cluster_rebalance(node, request->is_dry_run, request->timeout, &plan,
                                        add_move, &list));
    cmd_bytes_text(out, "]");
    admin_write_text(out, "node", troupe_str(troupe_node_name(node)));
    admin_write_text(out, "why", troupe_str(plan.why));
    cmd_bytes_printf(out, ",\"dry_run\":%s,\"share\":%.3f,\"share_after\":%.3f",
                     request->is_dry_run ? "true" : "false", plan.share, plan.share_after);
    admin_write_number(out, "members", plan.members);
    admin_write_number(out, "planned", plan.planned);
    admin_write_number(out, "begun", plan.begun);
    return TROUPE_OK;
}

/* ---- which actors are active ---- */

static void add_found(void *user, const troupe_cluster_found *found)
{
    member_list *list = user;
    cmd_bytes *out = list->out;
    cmd_bytes_text(out, list->count++ > 0 ? ",{\"node\":" : "{\"node\":");
    cmd_bytes_json(out, found->node);
    admin_write_id(out, "actor", found->id);
    cmd_bytes_text(out, "}");
}

/* "3.0.4711", as an earlier answer gave it. */
static bool read_cursor(troupe_slice text, troupe_cluster_cursor *ret_cursor)
{
    char copy[80];
    int used = 0;
    if (text.size == 0) return true;
    if (text.size >= sizeof(copy)) return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    return sscanf(copy, "%" SCNu64 ".%" SCNu64 ".%" SCNu64 "%n", &ret_cursor->member,
                  &ret_cursor->shard, &ret_cursor->at, &used) == 3 && (size_t)used == text.size;
}

troupe_status members_discover(daemon_call *call, troupe_node *node)
{
    const admin_request *request = &call->request;
    cmd_bytes *out = &call->out;
    troupe_cluster_cursor cursor = {0};
    member_list list = {out, 0};
    if (!read_cursor(request->after, &cursor)) return TROUPE_USAGE;
    cmd_bytes_text(out, ",\"actors\":[");
    TROUPE_TRY(troupe_cluster_discover(node, request->type, request->pattern, request->limit,
                                       request->timeout, &cursor, add_found, &list));
    cmd_bytes_printf(out, "],\"more\":%s", cursor.is_over ? "false" : "true");
    if (!cursor.is_over) {
        cmd_bytes_printf(out, ",\"cursor\":\"%" PRIu64 ".%" PRIu64 ".%" PRIu64 "\"",
                         cursor.member, cursor.shard, cursor.at);
    }
    cmd_bytes_printf(out, ",\"missed\":%s", cursor.has_missed ? "true" : "false");
    return TROUPE_OK;
}

troupe_status members_preload(daemon_call *call, troupe_node *node)
{
    const admin_request *request = &call->request;
    troupe_cluster_preloaded done;
    TROUPE_TRY(troupe_cluster_preload(node, request->type, request->pattern, request->timeout,
                                      &done));
    admin_write_text(&call->out, "node", troupe_str(troupe_node_name(node)));
    admin_write_number(&call->out, "learned", done.learned);
    cmd_bytes_printf(&call->out, ",\"full\":%s,\"missed\":%s", done.is_full ? "true" : "false",
                     done.has_missed ? "true" : "false");
    return TROUPE_OK;
}
