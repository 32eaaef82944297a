/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who sleeps and must be woken (wake.c): what the loop, the links and the ends of activations call.
 * What commits and loads need of it is in durable.h.
 *
 * Threads: the shard's own.
 */
#ifndef TP_SHARD_WAKE_H
#define TP_SHARD_WAKE_H

#include "shard/shard.h"

TROUPE_CHECK troupe_status tp_sleepers_create(tp_shard *shard);
/* The scans; before its runner starts. In a cluster they wait for the first view. */
void tp_sleepers_start(tp_shard *shard);
/* In a cluster: there may be more to wake here than in the view before; or a node has gone, and
 * with it the moments that it kept. Of shard 0; a no-op of others. */
void tp_sleepers_rescan(tp_shard *shard);
void tp_sleepers_destroy(tp_shard *shard);
void tp_wake_arrived(tp_shard *shard, tp_message *message); /* of a scan; takes */
/* The record goes, or becomes a new one: it is woken when it must be. */
void tp_wake_leaves(tp_shard *shard, tp_activation *actor);
/* A message that wakes, or reminds, found nobody: later again. Takes. */
void tp_wake_failed(tp_shard *shard, tp_message *message, troupe_status status);

#endif
