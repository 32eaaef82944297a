/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reminders: timers that survive everything. They are stored with the actor, in the commit of the
 * turn that sets them (a turn that fails has set none), and wake it when they are due, whether it
 * is active, asleep, or its node was not running. For types that persist every turn or every N
 * turns.
 *
 * The schedule, in UTC:
 *     every 90s            also 250ms, 1h30m, 2d, 1w; `every 1h from 2026-11-22T10:00:00Z`, and
 *                          with either `until 2026-11-23T10:00:00Z`
 *     in 5m                once
 *     at 2026-11-22T10:00:00Z            once; at once if that has passed
 *     0,30 8-17 * * mon-fri              cron: minute hour day month weekday; six fields: a second
 *                                        in front
 *     @hourly @daily @weekly @monthly @yearly
 *
 * A reminder fires at most once per due time in types that persist every turn: that it fired is
 * committed with what its turn did, also if that turn fails. In types that persist every N turns
 * it is committed with the state, too, but what the turn sent may have left before: after a crash
 * it fires again. Due times that have passed (the node was down, the turn before took long) are not
 * made up for one by one: one firing stands for all of them, and says so.
 *
 * It never fires before the wall clock shows its due time; after it within some milliseconds if
 * actor and shard are free. A wall clock that is set is noticed within a minute.
 *
 * <troupe.h> includes it.
 */
#ifndef TROUPE_REMINDERS_H
#define TROUPE_REMINDERS_H

#include "troupe.h"

#ifdef __cplusplus
extern "C" {
#endif

/* [turn] Sets a reminder: `method` of this actor runs with `payload` (copied) whenever it is due.
 * Replaces the one of the same name. `name`: 1 to 128 bytes. Of `options` (may be NULL) only the
 * content type counts. USAGE: the type does not persist while it lives, the turn only reads or is
 * on_deactivate, the name, or the schedule (at most 256 bytes): the log says what is wrong with
 * it, and troupe_schedule_next tells. NO_METHOD. TOO_LARGE: max_message. BUSY: the actor has
 * reminders_limit of them. NO_MEMORY. */
TROUPE_API TROUPE_CHECK troupe_status troupe_remind(troupe_turn *turn, const char *name,
    const char *schedule, const char *method, troupe_slice payload,
    const troupe_call_options *options);
/* [turn] NOT_FOUND: there is no such reminder. USAGE: as above. NO_MEMORY. */
TROUPE_API TROUPE_CHECK troupe_status troupe_remind_cancel(troupe_turn *turn, const char *name);

typedef struct troupe_reminder {
    troupe_slice name;
    troupe_slice schedule;
    troupe_slice method;
    uint64_t due;    /* wall clock */
    uint64_t number; /* of that due time: 1 is the first since it was set */
    uint64_t missed; /* of the one that fires: later due times that have passed, too; it stands for
                        them */
    troupe_slice content_type;
    troupe_slice payload; /* of the one that fires: empty, it is the turn's */
} troupe_reminder;

/* [turn] The reminders of this actor, as this turn has left them, in any order; borrowed during the
 * visit, which must not set or cancel any. The one that fires now shows the due time that it fires
 * for. */
typedef void troupe_reminder_visit(void *user, const troupe_reminder *reminder);
TROUPE_API void troupe_reminders_each(troupe_turn *turn, troupe_reminder_visit *visit, void *user);
/* [turn] Is this the turn of a reminder? Which then; `schedule` is empty, the rest is borrowed
 * until the turn ends. */
TROUPE_API bool troupe_turn_reminder(const troupe_turn *turn, troupe_reminder *ret_reminder);

/* [any thread] The first due time after `after` of a schedule that was set at `set`. USAGE: `error`
 * (may be NULL) says at which column what is wrong. NOT_FOUND: never again. */
TROUPE_API TROUPE_CHECK troupe_status troupe_schedule_next(const char *schedule, uint64_t set,
    uint64_t after, uint64_t *ret_due, char *error, size_t error_size);

#ifdef __cplusplus
}
#endif

#endif
