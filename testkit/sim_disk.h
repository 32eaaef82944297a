/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in memory that SQLite writes to, through a vfs of its own: it knows of each file what was
 * synced and what was only written, and when the power fails it keeps a random legal part of the
 * latter. For tests and worlds; the store is opened by `sqlite:PATH?vfs=NAME`.
 *
 * Invariants
 * 1. Same seed, same calls, same disk: bytes, failures, delays.
 * 2. What was synced with OK is never lost. What was written since may be there or not, in any
 *    order, each sector of 512 bytes by itself; bytes beside a write stay (as file systems that
 *    promise powersafe overwrite do).
 * 3. After a sync that failed each write since the last one is synced or lost for good, although it
 *    still reads as written, and a later sync with OK does not bring it back.
 *
 * Threads: one, the one that runs the store; name and options also by who makes it.
 */
#ifndef TK_SIM_DISK_H
#define TK_SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tp_sim_disk tp_sim_disk;

/* What goes wrong; may be changed at any time between calls of the store. */
typedef struct tp_sim_disk_plan {
    uint64_t crash_at; /* the power fails in this change (write, sync, …) from now on; 0: in none */
    uint32_t errors;   /* of 1,024 changes so many fail with an I/O error */
    uint64_t room;     /* bytes that the files may have together; 0: any number */
    uint64_t delay;    /* a sync takes up to so many nanoseconds */
    bool lies;         /* a planted mistake: a sync says OK, and nothing was synced */
    void (*wait)(void *user, uint64_t ns); /* told of each delay; NULL: they are only counted */
    void *user;
} tp_sim_disk_plan;

/* NULL: no memory. */
tp_sim_disk *tp_sim_disk_create(uint64_t seed);
/* No store may be open on it. NULL is fine. */
void tp_sim_disk_destroy(tp_sim_disk *disk);
/* For ?vfs=. */
const char *tp_sim_disk_name(const tp_sim_disk *disk);
/* Counts from here. */
void tp_sim_disk_set(tp_sim_disk *disk, const tp_sim_disk_plan *plan);
/* The power failed: until tp_sim_disk_crash every call fails. */
bool tp_sim_disk_is_down(const tp_sim_disk *disk);
/* The power fails, if it has not, and is back: unsynced bytes are gone, or not. Files still open
 * stay dead, and are to be closed. */
void tp_sim_disk_crash(tp_sim_disk *disk);
/* The process that has files open was killed: nothing of them is lost, they stay dead as above. */
void tp_sim_disk_kill(tp_sim_disk *disk);
/* Nothing goes wrong, nor is counted, until it is taken back, and a disk that is down can be read:
 * for those who look behind a node's back. */
void tp_sim_disk_spare(tp_sim_disk *disk, bool spared);
uint64_t tp_sim_disk_bytes(const tp_sim_disk *disk);
/* Turns `size` bytes at `offset` of a file over, as rot does. False: there is no such place. */
bool tp_sim_disk_damage(tp_sim_disk *disk, const char *path, uint64_t offset, size_t size);

#endif
