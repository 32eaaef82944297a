/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What strangers write about reminders and timers, in the words of the Dapr actors API: bodies with
 * dueTime, period, ttl and data become plain numbers, and what is stored is written in those words
 * again. Pure functions; remind.c sends what comes out.
 *
 * A duration is Go's, `1h30m5s500ms` with fractions if you like, or of ISO 8601, `P1W2DT5H6M7S`,
 * also in small letters (which JavaScript's SDK makes of some). Years and months are refused: they
 * have no length. A period may have `R5/` in front, how often it comes in all, or `@every`. A due
 * time or an end is a duration or a moment, `2026-11-22T10:00:00Z`.
 *
 * Invariants: what is read makes a schedule that the node takes: a period of a millisecond or more,
 * an end that is not before the first due time. Threads: pure.
 */
#ifndef TP_GATEWAY_ALARM_H
#define TP_GATEWAY_ALARM_H

#include "base/limits.h"
#include "base/text.h"

#include <troupe.h>

enum {
    TP_ALARM_SCHEDULE_MAX = 256,
    TP_ALARM_MOMENT_MAX = 40, /* with the end mark */
};

typedef struct tp_alarm_body {
    uint64_t due;                 /* wall, ns: the first time */
    uint64_t period;              /* ns; 0: once */
    uint64_t last;                /* wall, ns: none after it; UINT64_MAX: no end */
    troupe_slice data;            /* JSON as it came, in the body; empty: there is none */
    bool keeps;                   /* one of that name stays */
    char method[TP_NAME_MAX + 1]; /* `callback`; "": none is named */
} tp_alarm_body;

/* An empty body is one without members. USAGE: it is no JSON object, or has what cannot be read;
 * `*ret_reason` says what, a static text. FAILED: what it says cannot be: it is over before it
 * begins, has years, never comes. */
TROUPE_CHECK troupe_status tp_alarm_read(
    troupe_slice body, uint64_t now, tp_alarm_body *ret_alarm, const char **ret_reason);

/* As a schedule of troupe's reminders. */
void tp_alarm_schedule(const tp_alarm_body *alarm, tp_text *out);

/* A stored reminder as a JSON object; `actor` as "type/key". */
void tp_alarm_print(troupe_id id, const troupe_reminder *reminder, tp_text *out);

/* The parts: false, and why. */
bool tp_alarm_duration(const char *text, uint64_t *ret_duration, const char **ret_reason);

#endif
