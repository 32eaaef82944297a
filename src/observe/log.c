/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of log.h: the level, the rate, then the line on the stack, then one call of the callback or
 * of `write`.
 *
 * Invariants: while a JSON line is built, TAIL_BYTES of the buffer stay free, so that a string that
 * was cut can be closed and the object too.
 *
 * Threads: any. The table of rates is under a spinlock: the layer has no mutex, and a holder does a
 * dozen loads.
 */
#include "observe/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/text.h"

#define SECOND_NS UINT64_C(1000000000)
#define TIME_BYTES 40
#define TAIL_BYTES 32 /* `…"`, `,"truncated":true`, `}`, newline */
#define PROBES 16u
#define CUT "\xE2\x80\xA6" /* … */

_Static_assert((TP_LOG_SITES & (TP_LOG_SITES - 1)) == 0, "places are found by masking");
_Static_assert(PROBES <= TP_LOG_SITES, "a probe sees each place once");

/* ---- levels ---------------------------------------------------------------------------------- */

static const char *const level_names[] = {"off", "error", "warn", "info", "debug"};

#define LEVEL_COUNT (sizeof(level_names) / sizeof(level_names[0]))

const char *troupe_log_level_name(troupe_log_level level)
{
    return (size_t)level < LEVEL_COUNT ? level_names[level] : "?";
}

bool tp_log_parse(const char *spec, troupe_log_level *ret_level, bool *ret_is_text)
{
    const char *comma = strchr(spec, ',');
    size_t size = comma != NULL ? (size_t)(comma - spec) : strlen(spec);
    bool is_text = comma != NULL && strcmp(comma, ",text") == 0;
    if (comma != NULL && !is_text && strcmp(comma, ",json") != 0) {
        return false;
    }
    for (size_t i = 0; i < LEVEL_COUNT; i++) {
        if (strlen(level_names[i]) == size && memcmp(level_names[i], spec, size) == 0) {
            *ret_level = (troupe_log_level)i;
            *ret_is_text = is_text;
            return true;
        }
    }
    return false;
}

troupe_status tp_log_init(tp_log *log, const tp_log_options *options)
{
    troupe_log_level level = TROUPE_LOG_WARN;
    bool is_text = false;
    if (options->level != NULL && !tp_log_parse(options->level, &level, &is_text)) {
        return TROUPE_USAGE;
    }
    memset(log, 0, sizeof(*log));
    (void)snprintf(log->node, sizeof(log->node), "%s", options->node != NULL ? options->node : "");
    atomic_init(&log->is_text, is_text);
    log->write = options->write;
    log->wall = options->wall;
    log->user = options->user;
    log->on_log = options->on_log;
    log->on_log_user = options->on_log_user;
    atomic_init(&log->level, (uint32_t)level);
    atomic_flag_clear(&log->lock);
    return TROUPE_OK;
}

void tp_log_deinit(tp_log *log)
{
    tp_log_set_level(log, TROUPE_LOG_OFF);
}

void tp_log_set_level(tp_log *log, troupe_log_level level)
{
    atomic_store_explicit(&log->level, (uint32_t)level, memory_order_relaxed);
}

troupe_status tp_log_set(tp_log *log, const char *spec)
{
    troupe_log_level level = TROUPE_LOG_WARN;
    bool is_text = false;
    if (!tp_log_parse(spec, &level, &is_text)) {
        return TROUPE_USAGE;
    }
    atomic_store_explicit(&log->is_text, is_text, memory_order_relaxed);
    tp_log_set_level(log, level);
    return TROUPE_OK;
}

/* ---- the rate -------------------------------------------------------------------------------- */

/* The site's place: its own, else a free one, else that of the site that was quiet longest. */
static tp_log_rate *rate_of(tp_log *log, const tp_log_site *site)
{
    uint64_t hash = (uint64_t)(uintptr_t)site * UINT64_C(0x9E3779B97F4A7C15);
    uint32_t at = (uint32_t)(hash >> 32);
    tp_log_rate *oldest = &log->rates[at & (TP_LOG_SITES - 1)];
    for (uint32_t i = 0; i < PROBES; i++) {
        tp_log_rate *rate = &log->rates[(at + i) & (TP_LOG_SITES - 1)];
        if (rate->site == site) {
            return rate;
        }
        if (rate->site == NULL) {
            oldest = rate;
            break;
        }
        if (rate->begin < oldest->begin) {
            oldest = rate;
        }
    }
    *oldest = (tp_log_rate){.site = site};
    return oldest;
}

/* True: the line passes, and says that `*ret_suppressed` did not. */
static bool rate_pass(tp_log *log, const tp_log_site *site, uint64_t now, uint64_t *ret_suppressed)
{
    while (atomic_flag_test_and_set_explicit(&log->lock, memory_order_acquire)) {
    }
    tp_log_rate *rate = rate_of(log, site);
    /* The wall clock may have been set back: that begins a new second too. */
    if (now < rate->begin || now - rate->begin >= SECOND_NS) {
        rate->begin = now;
        rate->passed = 0;
    }
    bool passes = rate->passed < TP_LOG_RATE;
    if (passes) {
        rate->passed++;
        *ret_suppressed = rate->suppressed;
        rate->suppressed = 0;
    } else {
        rate->suppressed++;
    }
    atomic_flag_clear_explicit(&log->lock, memory_order_release);
    return passes;
}

/* ---- the line -------------------------------------------------------------------------------- */

/* RFC 3339, UTC. */
static void append_time(tp_text *text, uint64_t wall)
{
    time_t seconds = (time_t)(wall / SECOND_NS);
    struct tm parts;
    char date[TIME_BYTES];
    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts) == 0) {
        date[0] = '\0';
    }
    tp_text_printf(text, "%s.%09uZ", date, (unsigned)(wall % SECOND_NS));
}

/* Takes back what was added since `size`. */
static void roll_back(tp_text *text, size_t size)
{
    text->size = size;
    text->data[size] = '\0';
}

/* Ends a JSON string that did not fit with a mark and its quote, in the bytes kept for that. */
static void close_cut_string(tp_text *text)
{
    text->is_cut = false;
    text->capacity += TAIL_BYTES;
    tp_text_append(text, troupe_str(CUT "\""));
    text->capacity -= TAIL_BYTES;
    text->is_cut = true; /* nothing more fits */
}

/* `,"name":`; false: no room, and nothing was added. */
static bool append_name(tp_text *text, const char *name)
{
    size_t before = text->size;
    tp_text_append(text, troupe_str(","));
    tp_text_json(text, troupe_str(name));
    tp_text_append(text, troupe_str(":"));
    if (text->is_cut) {
        roll_back(text, before);
    }
    return !text->is_cut;
}

static void append_string(tp_text *text, const char *name, troupe_slice value)
{
    size_t before = text->size;
    if (text->is_cut || !append_name(text, name)) {
        return;
    }
    size_t begin = text->size;
    tp_text_json(text, value);
    if (text->is_cut && text->size == begin) {
        roll_back(text, before);
    } else if (text->is_cut) {
        close_cut_string(text);
    }
}

static void append_number(tp_text *text, const char *name, uint64_t value)
{
    size_t before = text->size;
    if (text->is_cut || !append_name(text, name)) {
        return;
    }
    tp_text_printf(text, "%llu", (unsigned long long)value);
    if (text->is_cut) {
        roll_back(text, before);
    }
}

static void format_json(tp_text *text, const troupe_log_line *line)
{
    text->capacity -= TAIL_BYTES;
    tp_text_append(text, troupe_str("{\"time\":\""));
    append_time(text, line->wall);
    tp_text_append(text, troupe_str("\""));
    append_string(text, "level", troupe_str(troupe_log_level_name(line->level)));
    append_string(text, "node", troupe_str(line->node));
    append_string(text, "event", troupe_str(line->event));
    if (line->suppressed > 0) {
        append_number(text, "suppressed", line->suppressed);
    }
    append_string(text, "text", troupe_str(line->text));
    for (size_t i = 0; i < line->field_count; i++) {
        const troupe_log_field *field = &line->fields[i];
        if (field->text.data != NULL) {
            append_string(text, field->name, field->text);
        } else {
            append_number(text, field->name, field->number);
        }
    }
    bool is_cut = text->is_cut;
    text->is_cut = false;
    text->capacity += TAIL_BYTES;
    tp_text_append(text, troupe_str(is_cut ? ",\"truncated\":true}\n" : "}\n"));
}

/* One line stays one line: control characters become spaces. */
static void append_words(tp_text *text, const char *words)
{
    for (const char *p = words; *p != '\0'; p++) {
        bool is_control = (unsigned char)*p < 0x20 || *p == 0x7F;
        tp_text_append(text, troupe_slice_of(is_control ? " " : p, 1));
    }
}

static void format_text(tp_text *text, const troupe_log_line *line)
{
    text->capacity -= TAIL_BYTES;
    append_time(text, line->wall);
    tp_text_printf(text, " %s %s %s: ", troupe_log_level_name(line->level), line->node,
                   line->event);
    append_words(text, line->text);
    for (size_t i = 0; i < line->field_count; i++) {
        const troupe_log_field *field = &line->fields[i];
        tp_text_printf(text, " %s=", field->name);
        if (field->text.data != NULL) {
            tp_text_json(text, field->text);
        } else {
            tp_text_printf(text, "%llu", (unsigned long long)field->number);
        }
    }
    if (line->suppressed > 0) {
        tp_text_printf(text, " suppressed=%llu", (unsigned long long)line->suppressed);
    }
    bool is_cut = text->is_cut;
    text->is_cut = false;
    text->capacity += TAIL_BYTES;
    tp_text_append(text, troupe_str(is_cut ? CUT "\n" : "\n"));
}

/* Formats the words; what does not fit is cut before the mark, between two characters. */
static void format_words(char *out, size_t size, const char *format, va_list arguments)
{
    tp_text text;
    tp_text_init(&text, out, size - (sizeof(CUT) - 1));
    tp_text_vprintf(&text, format, arguments);
    if (!text.is_cut) {
        return;
    }
    while (text.size > 0 && ((unsigned char)out[text.size - 1] & 0xC0) == 0x80) {
        text.size--; /* the end of a character that may not be whole */
    }
    if (text.size > 0 && ((unsigned char)out[text.size - 1] & 0x80) != 0) {
        text.size--;
    }
    memcpy(out + text.size, CUT, sizeof(CUT));
}

void tp_log_write(tp_log *log, const tp_log_site *site, tp_log_fields fields, const char *format,
                  ...)
{
    if (!tp_log_is_on(log, site->level)) {
        return;
    }
    uint64_t now = log->wall(log->user);
    uint64_t suppressed = 0;
    if (!rate_pass(log, site, now, &suppressed)) {
        return;
    }
    char words[TP_LOG_WORDS_MAX];
    va_list arguments;
    va_start(arguments, format);
    format_words(words, sizeof(words), format, arguments);
    va_end(arguments);
    troupe_log_line line = {
        .level = site->level,
        .wall = now,
        .node = log->node,
        .event = site->event,
        .text = words,
        .fields = fields.list,
        .field_count = fields.count,
        .suppressed = suppressed,
    };
    if (log->on_log != NULL) {
        log->on_log(log->on_log_user, &line);
        return;
    }
    char buffer[TP_LOG_LINE_MAX + 1];
    tp_text text;
    tp_text_init(&text, buffer, sizeof(buffer));
    if (atomic_load_explicit(&log->is_text, memory_order_relaxed)) {
        format_text(&text, &line);
    } else {
        format_json(&text, &line);
    }
    log->write(log->user, text.data, text.size);
}
