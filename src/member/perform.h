/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One CALL of the machine, done on a handle of a provider: what stands between them is only that
 * views are text there and tp_view here, and that registers come one by one there. It blocks; it is
 * no part of the machine. For the threads of cluster/teller.c, and tests.
 *
 *     tp_member_outcome outcome;
 *     tp_member_perform(handle, &effect, allocator, &outcome);
 *     tp_member_answered(member, now, &outcome.answer);       (on the machine's thread)
 *     tp_member_outcome_deinit(&outcome);
 *
 * Threads: the handle's.
 */
#ifndef TP_MEMBER_PERFORM_H
#define TP_MEMBER_PERFORM_H

#include "member/member.h"

typedef struct tp_member_outcome {
    tp_member_answer answer;
    const troupe_allocator *allocator;
    const tp_view *view;
    const tp_view *known; /* the effect's */
    troupe_register *registers;
    size_t room;
    char error[256]; /* why it is not OK, where there is something to say; for the log */
} tp_member_outcome;

/* The effect keeps its own reference to its view. */
void tp_member_perform(troupe_membership *handle, const tp_member_effect *call,
    const troupe_allocator *allocator, tp_member_outcome *out);
void tp_member_outcome_deinit(tp_member_outcome *outcome);

#endif
