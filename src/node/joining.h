/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a node comes into its cluster: from the options to handles on the membership store and a
 * tp_cluster (cluster/cluster.h). Called by node.c.
 *
 * Threads: the opening thread.
 */
#ifndef TP_NODE_JOINING_H
#define TP_NODE_JOINING_H

#include "cluster/cluster.h"
#include "node/node.h"

/* Is the node to be one of a cluster? */
bool tp_node_is_clustered(const troupe_node *node);
/* Opens handles, listens, joins; node->cluster is a member then. `types`: those that it hosts. */
TROUPE_CHECK troupe_status tp_node_join(troupe_node *node, const troupe_type *const *types,
    size_t type_count, char *error, size_t error_size);
/* [opening thread] The storage is open: before its first operation the writers are closed of all
 * that went before, as far as this node heard of them (tp_chart_each_gone: of those before its
 * first view it hears what that lists; the others were closed by members who saw them go), and from
 * now on of who goes. NO_MEMORY: one of them is not known any more. */
TROUPE_CHECK troupe_status tp_node_close_gone(troupe_node *node);
/* [closing thread] Where it never came so far. */
void tp_node_forget_gone(troupe_node *node);
/* The number of the writer of an incarnation: the same for all nodes of the cluster. */
uint64_t tp_node_writer(const troupe_node *node, uint64_t incarnation);

#endif
