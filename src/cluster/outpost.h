/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one shard has of the cluster: the directory machine of its hashes, its channels, and the
 * port (shard/away.h) through which its actors reach others. It performs what the directory
 * decides: delivers, forwards, answers; it decides nothing itself but where an actor is placed, and
 * that it asks placement.
 *
 *   a request for who is not here -> letter -> directory -> mailbox, another node, refusal
 *   a parcel of another node      -> mailbox if the actor is here, else letter -> directory
 *   an answer for another node    -> its channel
 *
 * Invariants
 * 1. The directory is drained after each event, in order, before the next one; what happens
 * meanwhile (a record that goes, a request for an absent actor) waits until then.
 * 2. Nothing is written to a channel without a lease (transport asks tp_lease_holds).
 * 3. A parcel is settled when its message is in a mailbox, or was answered, or the directory says
 * so.
 *
 * Threads: the shard's; `install` and `adopt` come by its inbox.
 */
#ifndef TP_CLUSTER_OUTPOST_H
#define TP_CLUSTER_OUTPOST_H

#include "cluster/chart.h"
#include "cluster/loads.h"
#include "cluster/translator.h"
#include "cluster/words.h"
#include "shard/away.h"
#include "transport/channels.h"

typedef struct tp_outpost tp_outpost;

typedef struct tp_outpost_options {
    tp_shard *shard;
    uint64_t incarnation;
    troupe_slice cluster, token, node, address;
    uint32_t replicas;
    tp_tls_context *tls; /* as in tp_cluster_options */
    bool allows_clear_text;
    tp_loads *loads; /* of members, for placement */
    /* The control runner should look for a newer view; a member should be put to the vote. [the
     * shard's thread] */
    void (*newer_view)(void *user, uint64_t number);
    void (*tardy)(void *user, uint64_t incarnation);
    void *user;
} tp_outpost_options;

/* Before the shard's runner starts; it is the shard's `away` from then on. NO_MEMORY. */
TROUPE_CHECK troupe_status tp_outpost_create(
    const tp_outpost_options *options, tp_outpost **ret_outpost);
/* After the runner has ended. NULL is a no-op. */
void tp_outpost_destroy(tp_outpost *outpost);

/* [any thread] Hands a view over; takes the reference. `before`: the view before it, for the first
 * one of a node that joins (or NULL). NO_MEMORY: nothing was done, the references are the caller's.
 */
TROUPE_CHECK troupe_status tp_outpost_install(
    tp_outpost *outpost, tp_chart *before, tp_chart *chart);
/* [any thread] Hands over a connection that wants to speak to this shard; takes the socket. */
void tp_outpost_adopt(tp_outpost *outpost, tp_socket socket, tp_preamble preamble, const void *rest,
    size_t rest_size);
/* [any thread] Certificates for the connections to come. Retained. */
void tp_outpost_set_tls(tp_outpost *outpost, tp_tls_context *tls);
/* [any thread] The lease holds again, or this incarnation is over (`is_lost`). */
void tp_outpost_rouse(tp_outpost *outpost, bool is_lost);

/* [shard] */
tp_outpost *tp_outpost_of(const tp_shard *shard);
const tp_chart *tp_outpost_chart(const tp_outpost *outpost);
/* Moves an activation of this shard to a member: begins to. NOT_FOUND: it is not active here; BUSY:
 * it moves already, or may not leave yet; UNAVAILABLE: no such member. */
TROUPE_CHECK troupe_status tp_outpost_move(
    tp_outpost *outpost, const tp_directory_id *id, uint64_t to);
/* That id is at `node`, as its home says: into the location cache, if it is of use there and while
 * there is room. True: that was new. */
bool tp_outpost_preload(
    tp_outpost *outpost, const tp_directory_id *id, uint64_t node, bool *ret_is_full);
/* After an event that was fed to the directory from outside. */
void tp_outpost_drain(tp_outpost *outpost);

#endif
