/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text forms of option values: counts, durations, bytes, yes and no. Pure functions; options.c
 * calls them for flags, files and defaults alike.
 *
 * Invariants: what tp_value_print wrote, tp_value_parse reads as the same value.
 * Threads: pure.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "node/options.h"

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit;

/* From large to small: printing takes the first that divides, so decimal bytes come last. */
static const unit duration_units[] = {
    {"d", UINT64_C(86400000000000)},
    {"h", UINT64_C(3600000000000)},
    {"m", UINT64_C(60000000000)},
    {"s", UINT64_C(1000000000)},
    {"ms", UINT64_C(1000000)},
    {"us", UINT64_C(1000)},
    {"ns", 1},
};
static const unit byte_units[] = {
    {"TiB", UINT64_C(1) << 40},
    {"GiB", UINT64_C(1) << 30},
    {"MiB", UINT64_C(1) << 20},
    {"KiB", UINT64_C(1) << 10},
    {"B", 1},
    {"TB", UINT64_C(1000000000000)},
    {"GB", UINT64_C(1000000000)},
    {"MB", UINT64_C(1000000)},
    {"kB", UINT64_C(1000)},
};

#define COUNT_OF(list) (sizeof(list) / sizeof((list)[0]))

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits, with single underscores between them. Moves `*text` behind them. */
static bool parse_digits(const char **text, uint64_t *ret_value)
{
    const char *p = *text;
    uint64_t value = 0;
    if (!is_digit(*p)) {
        return false;
    }
    while (is_digit(*p)) {
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value)) {
            return false;
        }
        p++;
        if (*p == '_' && is_digit(p[1])) {
            p++;
        }
    }
    *text = p;
    *ret_value = value;
    return true;
}

/* The unit that `*text` begins with, up to the next digit or the end; NULL: none. */
static const unit *parse_unit(const char **text, const unit *units, size_t count)
{
    const char *p = *text;
    while (*p != '\0' && !is_digit(*p)) {
        p++;
    }
    size_t size = (size_t)(p - *text);
    for (size_t i = 0; i < count; i++) {
        if (strlen(units[i].name) == size && memcmp(units[i].name, *text, size) == 0) {
            *text = p;
            return &units[i];
        }
    }
    return NULL;
}

/* One or more of number and unit, added up: 1h30m. */
static bool parse_units(const char *text, const unit *units, size_t count, uint64_t *ret_value)
{
    uint64_t sum = 0;
    do {
        uint64_t number = 0;
        if (!parse_digits(&text, &number)) {
            return false;
        }
        const unit *found = parse_unit(&text, units, count);
        if (found == NULL || __builtin_mul_overflow(number, found->factor, &number) ||
            __builtin_add_overflow(sum, number, &sum)) {
            return false;
        }
    } while (*text != '\0');
    *ret_value = sum;
    return true;
}

static bool parse_count(const char *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (!parse_digits(&text, &value) || *text != '\0') {
        return false;
    }
    *ret_value = value;
    return true;
}

static bool parse_bool(const char *text, uint64_t *ret_value)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret_value = i % 2;
            return true;
        }
    }
    return false;
}

static bool parse_duration(const char *text, uint64_t *ret_value)
{
    if (strcmp(text, "never") == 0) {
        *ret_value = TROUPE_NEVER;
        return true;
    }
    uint64_t value = 0;
    if (!parse_units(text, duration_units, COUNT_OF(duration_units), &value) ||
        value == TROUPE_NEVER) {
        if (strcmp(text, "0") != 0) {
            return false;
        }
        value = 0; /* the same in every unit */
    }
    *ret_value = value;
    return true;
}

bool tp_value_parse(tp_option_type type, const char *text, uint64_t *ret_value)
{
    switch (type) {
    case TP_OPTION_BOOL:
        return parse_bool(text, ret_value);
    case TP_OPTION_DURATION:
        return parse_duration(text, ret_value);
    case TP_OPTION_COUNT:
    case TP_OPTION_COUNT32:
        return parse_count(text, ret_value);
    case TP_OPTION_BYTES:
        return parse_count(text, ret_value) ||
               parse_units(text, byte_units, COUNT_OF(byte_units), ret_value);
    case TP_OPTION_TEXT:
    case TP_OPTION_SECRET:
    case TP_OPTION_URL:
        break;
    }
    return false;
}

static size_t print_unit(const unit *units, uint64_t value, char *out, size_t size)
{
    while (value % units->factor != 0) {
        units++; /* ends at the unit of 1 */
    }
    int length =
        snprintf(out, size, "%llu%s", (unsigned long long)(value / units->factor), units->name);
    return (size_t)length;
}

static size_t print_count(uint64_t value, char *out, size_t size)
{
    char digits[32];
    char grouped[48];
    int count = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0) {
            grouped[at++] = '_';
        }
        grouped[at++] = digits[i];
    }
    grouped[at] = '\0';
    return (size_t)snprintf(out, size, "%s", grouped);
}

size_t tp_value_print(tp_option_type type, uint64_t value, char *out, size_t size)
{
    if (type == TP_OPTION_BOOL) {
        return (size_t)snprintf(out, size, "%s", value != 0 ? "true" : "false");
    }
    if (type == TP_OPTION_DURATION && value == TROUPE_NEVER) {
        return (size_t)snprintf(out, size, "never");
    }
    if (value == 0 || type == TP_OPTION_COUNT || type == TP_OPTION_COUNT32) {
        return print_count(value, out, size);
    }
    TP_ASSERT(type == TP_OPTION_DURATION || type == TP_OPTION_BYTES);
    return print_unit(type == TP_OPTION_DURATION ? duration_units : byte_units, value, out, size);
}

const char *tp_value_form(tp_option_type type)
{
    switch (type) {
    case TP_OPTION_BOOL:
        return "true or false";
    case TP_OPTION_DURATION:
        return "a duration such as 250us, 10ms, 1m30s or never";
    case TP_OPTION_BYTES:
        return "a number of bytes such as 4096, 64KiB or 4MiB";
    case TP_OPTION_COUNT:
    case TP_OPTION_COUNT32:
        return "a number such as 10_000";
    case TP_OPTION_TEXT:
    case TP_OPTION_SECRET:
    case TP_OPTION_URL:
        break;
    }
    return "a text";
}
