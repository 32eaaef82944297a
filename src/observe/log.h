/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the inside says something: TP_LOG with a level, a stable event name, key-values and words.
 *
 *     TP_LOG(log, TROUPE_LOG_WARN, "turn_long",
 *            TP_FIELDS(tp_field_text("actor", id), tp_field_number("ms", 12)),
 *            "%s ran for long without a park", method);
 *     TP_LOG(log, TROUPE_LOG_INFO, "node_open", TP_NO_FIELDS, "%u shards", shards);
 *
 * A line goes to the callback of the node's options, or is formatted as JSON or text and handed to
 * `write` (standard error, by the env). Not a trace and not a metric.
 *
 * Invariants
 * 1. A level that is off costs one load; nothing is formatted, and the arguments are not evaluated.
 * 2. A line allocates nothing. It is at most TP_LOG_LINE_MAX bytes: what does not fit is cut with
 *    "…" and the line says so; it is valid JSON whatever bytes it was given.
 * 3. A place in the code (a site) passes TP_LOG_RATE lines in a second of the wall clock; the next
 *    one that passes says how many did not. Sites beyond TP_LOG_SITES at a time take the place of
 *    those that were quiet longest, whose count of suppressed lines is forgotten.
 *
 * Threads: TP_LOG any; init and deinit the owner. The callback may run on several threads at once.
 */
#ifndef TP_OBSERVE_LOG_H
#define TP_OBSERVE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <troupe/log.h>
#include <troupe/status.h>

#include "base/limits.h"

#define TP_LOG_LINE_MAX 4096
#define TP_LOG_WORDS_MAX 1024
#define TP_LOG_RATE 10u
#define TP_LOG_SITES 128u

/* One place that logs; static and const, and its address is its name. */
typedef struct tp_log_site {
    troupe_log_level level;
    const char *event;
} tp_log_site;

typedef struct tp_log_fields {
    const troupe_log_field *list;
    size_t count;
} tp_log_fields;

typedef struct tp_log_options {
    const char *node;  /* its name; copied */
    const char *level; /* "warn", "info,text": as the option `log`; NULL: "warn" */
    /* One of the two: a whole line with its newline, or the callback instead. */
    void (*write)(void *user, const char *text, size_t size);
    uint64_t (*wall)(void *user); /* ns since 1970 */
    void *user;                   /* of write and wall */
    void (*on_log)(void *user, const troupe_log_line *line);
    void *on_log_user;
} tp_log_options;

/* The rate of one site. */
typedef struct tp_log_rate {
    const tp_log_site *site;
    uint64_t begin; /* of its second */
    uint64_t suppressed;
    uint32_t passed; /* in this second */
} tp_log_rate;

typedef struct tp_log {
    /* Set by init. */
    char node[TP_NAME_MAX + 1];
    void (*write)(void *user, const char *text, size_t size);
    uint64_t (*wall)(void *user);
    void *user;
    void (*on_log)(void *user, const troupe_log_line *line);
    void *on_log_user;

    _Atomic uint32_t level; /* relaxed: publishes nothing but itself, as the next */
    _Atomic bool is_text;

    /* Under `lock`, which is held for a look at the table and never while a line is written. */
    atomic_flag lock;
    tp_log_rate rates[TP_LOG_SITES];
} tp_log;

/* Reads "warn" or "info,text". False: neither; the outputs are untouched. */
bool tp_log_parse(const char *spec, troupe_log_level *ret_level, bool *ret_is_text);

/* USAGE: the level is no level. The callbacks' users must outlive the log. */
TROUPE_CHECK troupe_status tp_log_init(tp_log *log, const tp_log_options *options);
void tp_log_deinit(tp_log *log);

/* [any thread] From the next line on. */
void tp_log_set_level(tp_log *log, troupe_log_level level);
/* The same with the form of the lines, as the option `log`. USAGE: it is no such text. */
TROUPE_CHECK troupe_status tp_log_set(tp_log *log, const char *spec);

static inline bool tp_log_is_on(const tp_log *log, troupe_log_level level)
{
    return (uint32_t)level <= atomic_load_explicit(&log->level, memory_order_relaxed);
}

/* Behind TP_LOG. */
void tp_log_write(tp_log *log, const tp_log_site *site, tp_log_fields fields, const char *format,
                  ...) TROUPE_PRINTF(4, 5);

static inline troupe_log_field tp_field_text(const char *name, troupe_slice text)
{
    return (troupe_log_field){name, text.data != NULL ? text : troupe_slice_of("", 0), 0};
}

static inline troupe_log_field tp_field_string(const char *name, const char *text)
{
    return tp_field_text(name, troupe_str(text));
}

static inline troupe_log_field tp_field_number(const char *name, uint64_t number)
{
    return (troupe_log_field){name, {NULL, 0}, number};
}

#define TP_FIELDS(...)                                                                             \
    ((tp_log_fields){(const troupe_log_field[]){__VA_ARGS__},                                      \
                     sizeof((const troupe_log_field[]){__VA_ARGS__}) / sizeof(troupe_log_field)})
#define TP_NO_FIELDS ((tp_log_fields){NULL, 0})

#define TP_LOG_SITE(level_, event_) {.level = (level_), .event = (event_)}

/* (log, level, event, fields, format, ...) */
#define TP_LOG(log, level_, event_, fields, ...)                                                   \
    do {                                                                                           \
        static const tp_log_site site_here_ = TP_LOG_SITE(level_, event_);                         \
        if (tp_log_is_on((log), (level_))) {                                                       \
            tp_log_write((log), &site_here_, (fields), __VA_ARGS__);                               \
        }                                                                                          \
    } while (0)

#endif
