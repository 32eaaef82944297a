/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads what limits, bodies and bench/peers/run print: flat JSON objects, alone or in a list. Not a
 * JSON library: no nesting, escapes only skipped over. The library's JSON reader is not used here,
 * so that the harness also links where only the limits are built.
 *
 * Invariants: never reads behind the NUL. Threads: none.
 */
#include "harness/inside.h"
#include <stdlib.h>
#include <string.h>

/* Behind the closing quote of the string that begins at `at`, or NULL. */
static const char *skip_string(const char *at)
{
    for (at++; *at != '"'; at++) {
        if (*at == '\\')
            at++;
        if (*at == '\0')
            return NULL;
    }
    return at + 1;
}

const char *tp_bench_json_next(const char *text, const char **ret_end)
{
    const char *begin = strchr(text, '{');
    if (begin == NULL)
        return NULL;
    for (const char *at = begin + 1; at != NULL && *at != '\0';) {
        if (*at == '{')
            return NULL;
        if (*at == '}') {
            *ret_end = at + 1;
            return begin;
        }
        at = *at == '"' ? skip_string(at) : at + 1;
    }
    return NULL;
}

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* Where the value of a member begins, or NULL. */
static const char *find_member(const char *object, const char *end, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = object; at != NULL && at < end;) {
        if (*at != '"') {
            at++;
            continue;
        }
        const char *key = at + 1;
        at = skip_string(at);
        const char *colon = at != NULL ? skip_space(at) : NULL;
        if (colon == NULL || *colon != ':')
            continue;
        const char *value = skip_space(colon + 1);
        if ((size_t)(at - 1 - key) == size && memcmp(key, name, size) == 0)
            return value;
        at = *value == '"' ? skip_string(value) : value;
    }
    return NULL;
}

bool tp_bench_json_number(const char *object, const char *end, const char *name, double *ret_value)
{
    const char *value = find_member(object, end, name);
    char *stop;
    if (value == NULL || *value == '"')
        return false;
    double number = strtod(value, &stop);
    if (stop == value)
        return false;
    *ret_value = number;
    return true;
}

bool tp_bench_json_text(
    const char *object, const char *end, const char *name, char *ret_text, size_t size)
{
    const char *value = find_member(object, end, name);
    if (value == NULL || *value != '"')
        return false;
    const char *stop = skip_string(value);
    size_t length = stop != NULL ? (size_t)(stop - value) - 2 : size;
    if (length >= size)
        return false;
    memcpy(ret_text, value + 1, length);
    ret_text[length] = '\0';
    return true;
}
