/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon itself says: lines like those of the node's log, and by the same option. Not the
 * node's log, which it cannot reach.
 *
 * Threads: voice_say any; voice_name before there are others.
 */
#ifndef TROUPED_VOICE_H
#define TROUPED_VOICE_H

#include <stdatomic.h>
#include <troupe/log.h>

typedef struct daemon_voice {
    _Atomic troupe_log_level level;
    _Atomic bool is_text;
    char name[129]; /* of the node */
} daemon_voice;

void voice_name(daemon_voice *voice, const char *node);
void voice_set(daemon_voice *voice, const char *log); /* the option; NULL: its default */
void voice_say(daemon_voice *voice, troupe_log_level level, const char *event, const char *text);

#endif
