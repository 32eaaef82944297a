/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the URL of a store: redis://[user[:password]@]host[:port][/database][?…], or
 * redis:///path/of/socket[?…]. Parameters: prefix=shop:, db=1, timeout=2s (ms, s, m),
 * accept=not-P5. %40 stands for @ and so on. Called by store.c.
 *
 * Threads: any.
 */
#include "providers/redis/redis.h"

#include <stdio.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Copies with %XX read; false: too long, or a zero byte. */
static bool copy(char *out, size_t room, troupe_slice text)
{
    const char *from = text.data;
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = from[i];
        if (c == '%' && i + 2 < text.size && hex_digit(from[i + 1]) >= 0 &&
            hex_digit(from[i + 2]) >= 0) {
            c = (char)(hex_digit(from[i + 1]) * 16 + hex_digit(from[i + 2]));
            i += 2;
        }
        if (c == '\0' || size + 1 >= room)
            return false;
        out[size++] = c;
    }
    out[size] = '\0';
    return true;
}

static troupe_slice cut(troupe_slice text, size_t from, size_t to)
{
    return (troupe_slice){(const char *)text.data + from, to - from};
}

/* Place of the byte, or the size. */
static size_t find(troupe_slice text, char c)
{
    const char *at = text.size != 0 ? memchr(text.data, c, text.size) : NULL;
    return at != NULL ? (size_t)(at - (const char *)text.data) : text.size;
}

static bool read_number(troupe_slice text, uint64_t most, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (text.size == 0)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = ((const char *)text.data)[i];
        if (c < '0' || c > '9')
            return false;
        number = number * 10 + (uint64_t)(c - '0');
        if (number > most)
            return false;
    }
    *ret_number = number;
    return true;
}

static bool read_duration(troupe_slice text, uint64_t *ret_time)
{
    size_t digits = 0;
    uint64_t number = 0;
    while (digits < text.size && ((const char *)text.data)[digits] >= '0' &&
           ((const char *)text.data)[digits] <= '9')
        digits++;
    troupe_slice unit = cut(text, digits, text.size);
    if (!read_number(cut(text, 0, digits), 86400000, &number) || number == 0)
        return false;
    if (troupe_slice_equal(unit, troupe_str("ms")))
        *ret_time = TROUPE_MILLISECONDS(number);
    else if (troupe_slice_equal(unit, troupe_str("s")))
        *ret_time = TROUPE_SECONDS(number);
    else if (troupe_slice_equal(unit, troupe_str("m")))
        *ret_time = TROUPE_SECONDS(number * 60);
    else
        return false;
    return true;
}

static const char *read_parameter(tp_redis_url *url, troupe_slice name, troupe_slice value)
{
    uint64_t number = 0;
    if (troupe_slice_equal(name, troupe_str("prefix")))
        return copy(url->prefix, sizeof url->prefix, value) ? NULL
                                                            : "prefix is longer than 64 bytes";
    if (troupe_slice_equal(name, troupe_str("timeout")))
        return read_duration(value, &url->timeout) ? NULL : "timeout is no time like 500ms or 2s";
    if (troupe_slice_equal(name, troupe_str("db"))) {
        if (!read_number(value, 1000000, &number))
            return "db is no number";
        url->database = (unsigned)number;
        return NULL;
    }
    if (troupe_slice_equal(name, troupe_str("accept"))) {
        if (!troupe_slice_equal(value, troupe_str("not-P5")))
            return "accept can be not-P5 only";
        url->accept_not_p5 = true;
        return NULL;
    }
    return "the parameters are prefix, db, timeout, accept";
}

static const char *read_parameters(tp_redis_url *url, troupe_slice text)
{
    while (text.size != 0) {
        size_t end = find(text, '&');
        troupe_slice one = cut(text, 0, end);
        size_t equal = find(one, '=');
        const char *wrong = read_parameter(
            url, cut(one, 0, equal), cut(one, equal < one.size ? equal + 1 : equal, one.size));
        if (wrong != NULL)
            return wrong;
        text = cut(text, end < text.size ? end + 1 : end, text.size);
    }
    return NULL;
}

/* host, host:port, [::1]:port */
static const char *read_place(tp_redis_url *url, troupe_slice text)
{
    uint64_t port = 6379;
    size_t begin = 0, end = find(text, ':'), behind = end;
    if (text.size != 0 && ((const char *)text.data)[0] == '[') {
        begin = 1;
        end = find(text, ']');
        if (end == text.size)
            return "the address begins with [ and has no ]";
        behind = end + 1;
    }
    if (behind < text.size && (((const char *)text.data)[behind] != ':' ||
                                  !read_number(cut(text, behind + 1, text.size), 65535, &port)))
        return "the port is no number";
    if (!copy(url->host, sizeof url->host, cut(text, begin, end)))
        return "the host's name is too long";
    if (url->host[0] == '\0')
        snprintf(url->host, sizeof url->host, "127.0.0.1");
    url->port = (uint16_t)port;
    return NULL;
}

static const char *read_login(tp_redis_url *url, troupe_slice text)
{
    size_t colon = find(text, ':');
    if (!copy(url->user, sizeof url->user, cut(text, 0, colon)) ||
        !copy(url->password, sizeof url->password,
            cut(text, colon < text.size ? colon + 1 : colon, text.size)))
        return "the user's name or the password is too long";
    return NULL;
}

/* What is between `redis:` and `?`. */
static const char *read_address(tp_redis_url *url, troupe_slice text)
{
    const char *data = text.data;
    uint64_t database = 0;
    if (text.size == 0 || data[0] != '/')
        return "it begins with redis://host or redis:///path";
    bool has_place = text.size > 1 && data[1] == '/';
    if (has_place)
        text = cut(text, 2, text.size);
    size_t slash = find(text, '/');
    troupe_slice place = cut(text, 0, slash);
    troupe_slice path = cut(text, slash, text.size);
    if (place.size != 0) { /* the last @: a password may hold one */
        size_t at = place.size;
        while (at > 0 && ((const char *)place.data)[at - 1] != '@')
            at--;
        const char *wrong = at > 0 ? read_login(url, cut(place, 0, at - 1)) : NULL;
        place = cut(place, at, place.size);
        if (wrong != NULL)
            return wrong;
    }
    troupe_slice name = path.size != 0 ? cut(path, 1, path.size) : path;
    bool is_number = read_number(name, 1000000, &database);
    if (place.size == 0 && name.size != 0 && !is_number) {
        url->is_path = true;
        return copy(url->host, sizeof url->host, path) ? NULL : "the socket's path is too long";
    }
    if (name.size != 0 && !is_number)
        return "the database is no number";
    url->database = (unsigned)database;
    return read_place(url, place);
}

troupe_status tp_redis_url_read(
    const char *text, tp_redis_url *ret_url, char *error, size_t error_size)
{
    static const char scheme[] = "redis:";
    tp_redis_url url = {.port = 6379, .prefix = "troupe:", .timeout = TROUPE_SECONDS(2)};
    const char *wrong = "it begins with redis://";
    if (strncmp(text, scheme, sizeof scheme - 1) == 0) {
        troupe_slice rest = troupe_str(text + sizeof scheme - 1);
        size_t mark = find(rest, '?');
        wrong = read_address(&url, cut(rest, 0, mark));
        if (wrong == NULL)
            wrong = read_parameters(&url, cut(rest, mark < rest.size ? mark + 1 : mark, rest.size));
    }
    if (strncmp(text, "rediss:", strlen("rediss:")) == 0)
        wrong = "TLS is not spoken here: use redis:// on a network that you trust, or a tunnel";
    if (wrong != NULL) {
        snprintf(error, error_size,
            "the URL of the Redis store: %s; for example "
            "redis://user:password@host:6379/0?prefix=shop:",
            wrong);
        return TROUPE_USAGE;
    }
    if (url.is_path)
        snprintf(url.shown, sizeof url.shown, "redis://%s?db=%u", url.host, url.database);
    else
        snprintf(url.shown, sizeof url.shown, "redis://%s:%u/%u", url.host, url.port, url.database);
    *ret_url = url;
    return TROUPE_OK;
}
