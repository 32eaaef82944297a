/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's gateway: finds the module (gateway/gateway.h is the port to it), opens it when the
 * option `http` names an address, and closes it with the node. HTTP itself is all in the module.
 *
 * Threads: each function says who calls it.
 */
#ifndef TP_NODE_GATEWAY_H
#define TP_NODE_GATEWAY_H

#include "gateway/gateway.h"
#include "node/node.h"

#include <troupe/inspect.h>

/* [opening thread] OK also if there is to be none. USAGE: the address or the module, or a simulated
 * world, which has no network for it; UNAVAILABLE, NO_MEMORY. */
TROUPE_CHECK troupe_status tp_node_open_gateway(troupe_node *node, char *error, size_t error_size);
/* [closing thread] What begins from now on gets 503. */
void tp_node_drain_gateway(troupe_node *node);
/* [closing thread] After drain, when all asks have ended; again when the shards have, too. */
void tp_node_close_gateway(troupe_node *node, uint64_t patience);
/* [closing thread] Gives the module back. False: threads still run its code, with the node, which
 * has to stay. */
bool tp_node_release_gateway(troupe_node *node);
/* [any thread] Does it speak TLS? */
bool tp_node_gateway_is_tls(const troupe_node *node);
/* [any thread, one at a time] Reads its certificates anew; OK if it has none. USAGE: `error` names
 * option and file, and those before stay; NO_MEMORY. */
TROUPE_CHECK troupe_status tp_node_reload_gateway(
    troupe_node *node, char *error, size_t error_size);
/* [any thread] Adds its counters. */
void tp_node_count_gateway(const troupe_node *node, troupe_stats *stats);

/* providers.c: to be given back by tp_provider_release. USAGE: `error` says what was looked for. */
TROUPE_CHECK troupe_status tp_gateway_find(
    const tp_gateway_entry **ret_entry, void **ret_module, char *error, size_t error_size);

#endif
