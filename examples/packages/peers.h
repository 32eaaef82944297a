/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other processes of the demo's cluster: each is a node with the types of the demo, and says
 * how it is when it is asked. The driver's own process is node-1. Called by run.c.
 *
 * Invariants: 1. A peer ends, in order, when the driver says so or is gone. 2. Ctrl-C and SIGTERM
 * are for the driver alone, which looks for them by peers_nap.
 * Threads: main; begun before there are others.
 */
#ifndef PACKAGES_PEERS_H
#define PACKAGES_PEERS_H

#include "member.h"

/* What a node says of itself. */
struct node_report {
    troupe_stats stats;
    uint64_t busy;   /* of its book */
    int trouble;     /* of its book */
    char error[200]; /* "" : it is well */
};

struct peers {
    const struct run_options *options;
    uint32_t count;         /* nodes without the driver's; 0: no cluster */
    int sockets[NODES_MAX]; /* [count] */
    int pids[NODES_MAX];    /* [count] */
    char folder[64];        /* of the membership */
    char url[80];           /* the same, for nodes */
};

/* Starts the processes, which open their nodes. False: `error` of the driver's member says why. */
bool peers_begin(struct peers *peers, struct member *driver);
/* Waits until all are members. The driver's node must be open. */
bool peers_wait(struct peers *peers, struct member *driver);
/* Asks one, by its place from 0. */
bool peers_ask(
    struct peers *peers, uint32_t peer, struct member *driver, struct node_report *ret_report);
/* Stops them, one after the other, in order. False: one ended otherwise. */
bool peers_end(struct peers *peers, struct member *driver);
/* Takes the folder away, when the driver's node has left the cluster as well. */
void peers_clean(struct peers *peers);

/* What a node says of itself, for the driver's own as well. */
bool peers_report(struct member *member, struct node_report *ret_report);

/* Sleeps; false, and the reason in the driver's `error`, if the user wants the run to end. */
bool peers_nap(struct peers *peers, struct member *driver, long milliseconds);

#endif
