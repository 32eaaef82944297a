/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon itself says: lines like those of the node's log, and by the same option. Not the
 * node's log, which it cannot reach.
 *
 * Invariants: 1. Of each event VOICE_RATE lines pass in a second, as of each place of the node's
 * log; the next one that passes says how many did not. Strangers cannot fill a disk.
 * Threads: voice_say any; voice_name before there are others.
 */
#ifndef TROUPED_VOICE_H
#define TROUPED_VOICE_H

#include <stdatomic.h>
#include <time.h>
#include <troupe/log.h>

#define VOICE_RATE 10u
#define VOICE_EVENTS 16u /* names that are told apart; further ones share the last place */

typedef struct voice_rate {
    const char *event;
    time_t second;
    unsigned passed; /* in this second */
    unsigned suppressed;
} voice_rate;

typedef struct daemon_voice {
    _Atomic troupe_log_level level;
    _Atomic bool is_text;
    char name[129]; /* of the node */
    atomic_flag lock; /* guards the rates; held for a look at them */
    voice_rate rates[VOICE_EVENTS];
} daemon_voice;

#define VOICE_INIT {.lock = ATOMIC_FLAG_INIT}

void voice_name(daemon_voice *voice, const char *node);
void voice_set(daemon_voice *voice, const char *log); /* the option; NULL: its default */
void voice_say(daemon_voice *voice, troupe_log_level level, const char *event, const char *text);
/* The same, and no line is left out: for what the operator asked for. */
void voice_report(daemon_voice *voice, troupe_log_level level, const char *event,
                  const char *text);

#endif
