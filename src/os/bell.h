/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bell of an event loop: any thread rings it, and the thread that sleeps in the loop wakes. Not
 * libuv's async, whose receiver polls until the sender has left its call: if the sleeper's wake
 * takes the sender's core away, as on a machine without an idle core, that is 40 us of polling each
 * time. It counts nothing: rings that come together are one.
 *
 * Invariants: 1. A ring after the sleeper last looked ends the next sleep. 2. A ring never waits.
 * Threads: ring any; open and close the loop's, or before and after its thread.
 */
#ifndef TP_OS_BELL_H
#define TP_OS_BELL_H

#include <stdbool.h>
#include <uv.h>

typedef struct tp_bell {
    uv_poll_t poll;
    int heard; /* set by open: the end that the loop watches */
    int rung;  /* set by open: the end that rings write to; on Linux the same */
} tp_bell;

/* 0, or libuv's error; then nothing is open. */
int tp_bell_open(tp_bell *bell, uv_loop_t *loop);
/* The loop must run once more, then tp_bell_free. */
void tp_bell_close(tp_bell *bell);
void tp_bell_free(tp_bell *bell);
void tp_bell_ring(tp_bell *bell);

#endif
