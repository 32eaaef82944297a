/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activations on their way between two shards of a cluster: captured here, as bytes, sent as
 * INSTALL words, kept as copies at both ends, put together again where the home says. The directory
 * decides all of it (directory/directory.h, rules 5, 6, 12 to 14); this does it.
 *
 * A copy holds, little-endian: the sealed state (u32 size, bytes; none for types that persist,
 * which are loaded) · u16 timers: number, period, left, last u64, name, method, payload u16 texts
 * · u32 messages in order: kind u8, u32 size, parcel (wire/frames.h, names in words). It is frozen
 * as frames are.
 *
 * Invariants
 * 1. A copy runs at one end only, and then is gone there; DROP ends it at the other.
 * 2. Messages of a copy come before all that arrived later.
 *
 * Bounded: copies by what the directory moves at once; their bytes by TP_MOVE_BYTES_MAX each:
 * larger actors stay where they are. Threads: the shard's.
 */
#ifndef TP_CLUSTER_MOVER_H
#define TP_CLUSTER_MOVER_H

#include "cluster/translator.h"
#include "shard/move.h"

#define TP_MOVE_BYTES_MAX ((size_t)8 << 20)

typedef struct tp_mover {
    tp_shard *shard;
    tp_translator *translator;
    tp_list captures; /* under way */
    tp_list copies;
    uint64_t captured, arrived, lost; /* counters */
} tp_mover;

void tp_mover_init(tp_mover *mover, tp_shard *shard, tp_translator *translator);
void tp_mover_deinit(tp_mover *mover);

/* Good as long as the activation. */
tp_directory_id tp_mover_id(const tp_activation *actor);
/* CAPTURE: begins to bring it to rest; tp_mover_still or _stays follow. False: it cannot move now.
 * `patience` ns later it goes on as it was, and `late` is called. */
bool tp_mover_capture(tp_mover *mover, tp_activation *actor, uint64_t patience,
    void (*late)(void *user, const tp_directory_id *id), void *user);
/* It is at rest: the record becomes a copy, and goes. False: it is too large, or there was no
 * memory: it goes on as it was. */
bool tp_mover_still(tp_mover *mover, tp_activation *actor);
/* It did not come to rest, or is gone. */
void tp_mover_stays(tp_mover *mover, const tp_activation *actor);

/* INSTALL: the body of a word with the copy of that id. NULL: there is none. Notes its number. */
const void *tp_mover_copy(
    tp_mover *mover, const tp_directory_id *id, uint64_t number, size_t *ret_size);
/* Such a body came: it is kept. NULL or what is wrong; *ret_short: no memory. The id is good until
 * the copy goes. */
TROUPE_CHECK const char *tp_mover_came(tp_mover *mover, troupe_slice body, tp_directory_id *ret_id,
    uint64_t *ret_number, bool *ret_short);
/* RESUME: makes the activation of a copy, guarded. NULL: there is no copy, or no memory: its state
 * and its messages are lost, which is logged. */
tp_activation *tp_mover_resume(tp_mover *mover, const tp_directory_id *id);
/* DROP. `number` 0: any. */
void tp_mover_drop(tp_mover *mover, const tp_directory_id *id, uint64_t number);

#endif
