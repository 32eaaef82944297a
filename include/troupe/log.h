/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node says: lines with a level, an event name, words, and key-values. They go to the
 * callback of the node's options, or as JSON lines (or text) to standard error. Each place in the
 * code that logs is limited to 10 lines a second; the next line that passes says in `suppressed`
 * how many did not.
 */
#ifndef TROUPE_LOG_H
#define TROUPE_LOG_H

#include "troupe/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum troupe_log_level {
    TROUPE_LOG_OFF = 0,
    TROUPE_LOG_ERROR,
    TROUPE_LOG_WARN,
    TROUPE_LOG_INFO,
    TROUPE_LOG_DEBUG,
} troupe_log_level;

TROUPE_API const char *troupe_log_level_name(troupe_log_level level);

typedef struct troupe_log_field {
    const char *name;
    troupe_slice text; /* when data is not NULL */
    uint64_t number;   /* else */
} troupe_log_field;

/* Borrowed during the callback. */
typedef struct troupe_log_line {
    troupe_log_level level;
    uint64_t wall; /* ns since 1970 */
    const char *node;
    const char *event; /* a stable name: "turn_long", "state_lost", … */
    const char *text;  /* words */
    const troupe_log_field *fields;
    size_t field_count;
    uint64_t suppressed; /* lines of this place left out since the last one */
} troupe_log_line;

#ifdef __cplusplus
}
#endif
#endif
