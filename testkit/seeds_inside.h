/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One try in a child process: for seeds.c and shrink.c only.
 *
 * Threads: one; `tp_seed_page` is shared with the child, which writes it until it ends.
 */
#ifndef TP_TESTKIT_SEEDS_INSIDE_H
#define TP_TESTKIT_SEEDS_INSIDE_H

#include "testkit/seeds.h"

typedef struct tp_seed_page {
    uint64_t seed; /* that is being run */
    uint64_t next; /* after it */
    bool violated;
    char crashed[32];      /* the subject that runs, for a fault without words */
    tp_seed_report report; /* of this child; the fault is faults[0] */
} tp_seed_page;

tp_seed_page *tp_seed_page_create(void); /* NULL: no memory */
void tp_seed_page_destroy(tp_seed_page *page);

/* Runs one seed in this process, and never returns if it violates anything. */
void tp_seed_once(const tp_subject *subject, tp_stage_options *options, tp_seed_page *page,
    bool twice, tp_stage_result *ret_result);

/* The fault of a child that has ended with `status` (of waitpid). False: none. */
bool tp_seed_fault_of(const tp_seed_page *page, int status, tp_seed_fault *ret_fault);
void tp_seed_silence(void);

#endif
