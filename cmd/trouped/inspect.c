/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that look into the node. They wait for its shards, so they run on a worker's thread.
 * Invariants and threads: server_inside.h; a visit of the node comes on the thread that asked.
 */
#include "trouped/server_inside.h"
#include "trouped/symbols.h"

#include <stdio.h>

#define CHAIN_MAX 16  /* asks that are followed from a parked turn */
#define FRAMES_MAX 32 /* shown of a stack */

static void finish(daemon_call *call, troupe_status status)
{
    char words[600];
    if (status == TROUPE_OK) {
        admin_write_end(&call->out);
        return;
    }
    if (status == TROUPE_NOT_FOUND) {
        snprintf(words, sizeof(words), "it is not active: a message would activate it");
    } else {
        explain_status(call->server, &call->request, status, words, sizeof(words));
    }
    call->out.size = 0;
    admin_write_error(&call->out, call->request.id, status, troupe_status_outcome(status),
                      troupe_str(words));
}

/* Of a shard that a turn keeps nothing is seen; what the others showed is an answer, too. */
static troupe_status note_missed(daemon_call *call, troupe_status status)
{
    if (status != TROUPE_UNAVAILABLE) return status;
    cmd_bytes_text(&call->out, ",\"missed\":true");
    return TROUPE_OK;
}

/* ---- actors ---- */

typedef struct actor_list {
    daemon_call *call;
    const char *node;
    size_t count;
    size_t limit;
} actor_list;

static void add_actor(void *user, const troupe_actor_info *info)
{
    actor_list *list = user;
    if (list->count++ < list->limit) {
        admin_write_actor(&list->call->out, list->count == 1, list->node, info);
    }
}

static troupe_status list_actors(daemon_call *call, troupe_node *node)
{
    const admin_request *request = &call->request;
    actor_list list = {call, troupe_node_name(node), 0, request->limit};
    if (request->type.size > 0 && explain_type(call->server, request->type) == NULL) {
        call->request.actor.type = request->type; /* for the words */
        return TROUPE_NO_TYPE;
    }
    cmd_bytes_text(&call->out, ",\"actors\":[");
    /* One more than wanted tells whether there are more. */
    troupe_status status = troupe_node_each_actor(node, request->type, request->pattern,
                                                  request->limit + 1, add_actor, &list);
    cmd_bytes_printf(&call->out, "],\"more\":%s", list.count > list.limit ? "true" : "false");
    return note_missed(call, status);
}

/* ---- parked turns ---- */

static void write_frames(cmd_bytes *out, const troupe_parked_info *info)
{
    char text[256];
    cmd_bytes_text(out, ",\"frames\":[");
    for (int i = 0; i < info->frame_count && i < FRAMES_MAX; i++) {
        symbol_print(info->frames[i], text, sizeof(text));
        if (i > 0) cmd_bytes_text(out, ",");
        cmd_bytes_json(out, troupe_str(text));
    }
    cmd_bytes_text(out, "]");
}

typedef struct parked_list {
    daemon_call *call;
    size_t count;
    size_t limit;
} parked_list;

static void add_parked(void *user, const troupe_parked_info *info)
{
    parked_list *list = user;
    if (list->count++ >= list->limit) return;
    cmd_bytes *out = &list->call->out;
    cmd_bytes_printf(out, "%s{\"parked\":true", list->count > 1 ? "," : "");
    admin_write_parked(out, info);
    if (list->call->request.verb == ADMIN_VERB_WHERE) write_frames(out, info);
    cmd_bytes_text(out, "}");
}

static troupe_status list_parked(daemon_call *call, troupe_node *node)
{
    parked_list list = {call, 0, call->request.limit};
    cmd_bytes_text(&call->out, ",\"turns\":[");
    troupe_status status = troupe_node_each_parked(node, NULL, add_parked, &list);
    cmd_bytes_printf(&call->out, "],\"more\":%s", list.count > list.limit ? "true" : "false");
    return note_missed(call, status);
}

/* Whom a turn waits for, with its own copy of the strings. */
typedef struct link_copy {
    char type[129], partition[129], key[1025], method[ADMIN_METHOD_MAX + 1];
    troupe_id target;
    troupe_slice target_method;
    const troupe_slice *wanted; /* the method whose turn is looked for; NULL: any */
    cmd_bytes *out;             /* NULL: is not written */
    bool is_found; /* a turn that waits for an actor */
    bool is_seen;  /* any turn */
} link_copy;

static troupe_slice copy_into(char *out, size_t size, troupe_slice from)
{
    size_t length = from.size < size ? from.size : size;
    if (length > 0) memcpy(out, from.data, length);
    return troupe_slice_of(out, length);
}

static void follow(void *user, const troupe_parked_info *info)
{
    link_copy *link = user;
    bool asks = info->target.type.size > 0;
    if (link->is_seen || (link->wanted == NULL && !asks)) return;
    if (link->wanted != NULL && !troupe_slice_equal(*link->wanted, info->method)) return;
    link->is_seen = true;
    if (link->out != NULL) {
        cmd_bytes_text(link->out, "{\"parked\":true");
        admin_write_parked(link->out, info);
        cmd_bytes_text(link->out, "}");
    }
    if (!asks) return;
    link->is_found = true;
    link->target.type = copy_into(link->type, 128, info->target.type);
    link->target.partition = copy_into(link->partition, 128, info->target.partition);
    link->target.key = copy_into(link->key, 1024, info->target.key);
    link->target_method = copy_into(link->method, ADMIN_METHOD_MAX, info->target_method);
}

/* Follows the first turn's ask to the turn that serves it, and that one's, until one does not wait
 * for an actor, or the circle closes. The turns go on meanwhile, so it is a view, not a proof. */
static troupe_status write_chain(daemon_call *call, troupe_node *node)
{
    link_copy links[2] = {0};
    troupe_status status = troupe_node_each_parked(node, &call->request.actor, follow, &links[0]);
    cmd_bytes_text(&call->out, ",\"chain\":[");
    for (int i = 0; i < CHAIN_MAX && status == TROUPE_OK && links[i & 1].is_found; i++) {
        const link_copy *from = &links[i & 1];
        link_copy *to = &links[(i + 1) & 1];
        if (troupe_id_equal(from->target, call->request.actor)) break;
        *to = (link_copy){.wanted = &from->target_method, .out = &call->out};
        size_t before = call->out.size;
        if (i > 0) cmd_bytes_text(&call->out, ",");
        status = troupe_node_each_parked(node, &from->target, follow, to);
        if (!to->is_seen) call->out.size = before;
    }
    cmd_bytes_text(&call->out, "]");
    return status;
}

static void note_active(void *user, const troupe_actor_info *info)
{
    cmd_bytes *out = user;
    cmd_bytes_text(out, ",\"active\":true");
    admin_write_text(out, "phase", troupe_str(info->phase));
    admin_write_number(out, "idle_ns", info->idle);
    admin_write_number(out, "queued", info->queued);
}

static troupe_status show_where(daemon_call *call, troupe_node *node)
{
    parked_list list = {call, 0, ADMIN_LIST_LIMIT_MAX};
    if (explain_type(call->server, call->request.actor.type) == NULL) return TROUPE_NO_TYPE;
    troupe_status status = troupe_node_lookup(node, call->request.actor, note_active, &call->out);
    if (status == TROUPE_NOT_FOUND) cmd_bytes_text(&call->out, ",\"active\":false");
    else if (status != TROUPE_OK) return status;
    cmd_bytes_text(&call->out, ",\"turns\":[");
    TROUPE_TRY(troupe_node_each_parked(node, &call->request.actor, add_parked, &list));
    cmd_bytes_text(&call->out, "]");
    return write_chain(call, node);
}

/* ---- the rest ---- */

static troupe_status show_stats(daemon_call *call, troupe_node *node)
{
    troupe_stats stats = {.size = sizeof(stats)};
    if ((call->request.has & ADMIN_TAKES_ACTOR) != 0) return members_lookup(call, node);
    TROUPE_TRY(troupe_node_stats(node, &stats));
    admin_write_text(&call->out, "node", troupe_str(troupe_node_name(node)));
    admin_write_stats(&call->out, &stats);
    return TROUPE_OK;
}

static troupe_status add_part(void *user, troupe_slice part)
{
    cmd_bytes *page = user;
    cmd_bytes_add(page, part.data, part.size);
    return page->failed ? TROUPE_NO_MEMORY : TROUPE_OK;
}

static troupe_status show_metrics(daemon_call *call, troupe_node *node)
{
    cmd_bytes page = {0};
    troupe_status status = troupe_node_metrics(node, add_part, &page);
    if (status == TROUPE_OK) {
        admin_write_text(&call->out, "content_type", troupe_str(TROUPE_METRICS_TYPE));
        admin_write_text(&call->out, "page", troupe_slice_of(page.data, page.size));
    }
    cmd_bytes_deinit(&page);
    return status;
}

static void reload(daemon_call *call)
{
    char words[1024] = "";
    troupe_status status = daemon_config_reload(call->server->options.config, &call->out, words,
                                                sizeof(words));
    if (status == TROUPE_OK) {
        admin_write_end(&call->out);
        return;
    }
    call->out.size = 0;
    admin_write_error(&call->out, call->request.id, status, troupe_status_outcome(status),
                      troupe_str(words));
}

void inspect_run(worker_job *job)
{
    daemon_call *call = (daemon_call *)(void *)((char *)job - offsetof(daemon_call, job));
    troupe_node *node = call->server->options.node;
    troupe_status status = TROUPE_USAGE;
    admin_write_begin(&call->out, call->request.id);
    if (call->request.verb == ADMIN_VERB_RELOAD) {
        reload(call);
        server_done(call);
        return;
    }
    switch (call->request.verb) {
    case ADMIN_VERB_ACTORS:
        status = list_actors(call, node);
        break;
    case ADMIN_VERB_LOOKUP:
        status = members_lookup(call, node);
        break;
    case ADMIN_VERB_DISCOVER:
        status = members_discover(call, node);
        break;
    case ADMIN_VERB_MIGRATE:
        status = members_migrate(call, node);
        break;
    case ADMIN_VERB_PRELOAD:
        status = members_preload(call, node);
        break;
    case ADMIN_VERB_REBALANCE:
        status = members_rebalance(call, node);
        break;
    case ADMIN_VERB_NODES:
        status = members_nodes(call, node);
        break;
    case ADMIN_VERB_VIEW:
        status = members_view(call, node);
        break;
    case ADMIN_VERB_PS:
        status = list_parked(call, node);
        break;
    case ADMIN_VERB_WHERE:
        status = show_where(call, node);
        break;
    case ADMIN_VERB_STATS:
        status = show_stats(call, node);
        break;
    case ADMIN_VERB_METRICS:
        status = show_metrics(call, node);
        break;
    case ADMIN_VERB_DEACTIVATE:
        status = explain_type(call->server, call->request.actor.type) == NULL
                     ? TROUPE_NO_TYPE : troupe_node_deactivate(node, call->request.actor);
        break;
    default:
        break;
    }
    finish(call, status);
    server_done(call);
}
