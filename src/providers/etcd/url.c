/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the URL of the membership provider `etcd`:
 *
 *   etcd://[user:password@]host[:port][,host[:port]…][/prefix][?tls=1&ca=FILE&cert=FILE&key=FILE]
 *
 * The prefix of keys is `troupe` if there is none. %40 stands for @ and so on. Naming a file asks
 * for TLS. Called by member.c.
 *
 * Threads: any.
 */
#include "providers/etcd/etcd.h"

#include <stdio.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Copies with %XX read; false: it is too long. */
static bool copy(char *out, size_t room, const char *text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '%' && i + 2 < size && hex_digit(text[i + 1]) >= 0 &&
            hex_digit(text[i + 2]) >= 0) {
            c = (char)(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
            i += 2;
        }
        if (c == '\0' || used + 1 >= room)
            return false;
        out[used++] = c;
    }
    out[used] = '\0';
    return true;
}

static const char *read_option(tp_etcd_url *url, const char *text, size_t size)
{
    static const struct {
        const char *name;
        size_t place;
    } files[] = {{"ca=", offsetof(tp_etcd_url, ca)}, {"cert=", offsetof(tp_etcd_url, cert)},
        {"key=", offsetof(tp_etcd_url, key)}};
    if (troupe_slice_equal(troupe_slice_of(text, size), troupe_str("tls=1"))) {
        url->tls = true;
        return NULL;
    }
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        size_t name = strlen(files[i].name);
        if (size <= name || strncmp(text, files[i].name, name) != 0)
            continue;
        url->tls = true;
        return copy((char *)url + files[i].place, TP_ETCD_TEXT, text + name, size - name)
                   ? NULL
                   : "the name of a file is too long";
    }
    return "the parameters are tls=1, ca, cert, key";
}

static const char *read_endpoints(tp_etcd_url *url, const char *text, size_t size)
{
    while (size != 0) {
        const char *comma = memchr(text, ',', size);
        size_t length = comma != NULL ? (size_t)(comma - text) : size;
        bool has_port = length != 0 && text[length - 1] != ']' && memchr(text, ':', length) != NULL;
        if (length == 0 || length > TP_ETCD_TEXT - 32)
            return "a host is empty or too long";
        if (url->endpoint_count == TP_ETCD_ENDPOINTS)
            return "there are more than 8 hosts";
        snprintf(url->endpoints[url->endpoint_count++], TP_ETCD_TEXT, "%.*s%s", (int)length, text,
            has_port ? "" : ":2379");
        text += length + (comma != NULL);
        size -= length + (comma != NULL);
    }
    return url->endpoint_count != 0 ? NULL : "it names no host";
}

static const char *read_login(tp_etcd_url *url, const char *text, size_t size)
{
    const char *colon = memchr(text, ':', size);
    size_t name = colon != NULL ? (size_t)(colon - text) : size;
    if (colon == NULL || !copy(url->user, sizeof url->user, text, name) ||
        !copy(url->password, sizeof url->password, colon + 1, size - name - 1))
        return "the login is no user:password, or too long";
    return NULL;
}

/* What is behind `etcd://`. */
static const char *read_all(tp_etcd_url *url, const char *text)
{
    const char *wrong = NULL;
    size_t place = strcspn(text, "/?");
    const char *behind = text + place;
    size_t login = place;
    while (login > 0 && text[login - 1] != '@')
        login--;
    if (login > 0)
        wrong = read_login(url, text, login - 1);
    if (wrong == NULL)
        wrong = read_endpoints(url, text + login, place - login);
    if (wrong == NULL && *behind == '/') {
        size_t size = strcspn(++behind, "?");
        if (size != 0 && !copy(url->prefix, sizeof url->prefix - 1, behind, size))
            wrong = "the prefix is too long";
        behind += size;
    }
    size_t prefix = strlen(url->prefix);
    if (url->prefix[prefix - 1] != '/')
        memcpy(url->prefix + prefix, "/", 2);
    while (wrong == NULL && *behind != '\0') {
        size_t size = strcspn(++behind, "&");
        wrong = read_option(url, behind, size);
        behind += size;
    }
    return wrong;
}

troupe_status tp_etcd_url_read(
    const char *text, tp_etcd_url *ret_url, char *error, size_t error_size)
{
    static const char scheme[] = "etcd://";
    tp_etcd_url url = {.prefix = "troupe"};
    const char *wrong = "it begins with etcd://";
    if (strncmp(text, scheme, sizeof scheme - 1) == 0)
        wrong = read_all(&url, text + sizeof scheme - 1);
    if (wrong != NULL) {
        snprintf(error, error_size,
            "the URL of etcd: %s; for example etcd://10.0.0.1:2379,10.0.0.2:2379/troupe", wrong);
        return TROUPE_USAGE;
    }
    for (size_t i = 0; i < url.endpoint_count; i++) {
        char host[TP_ETCD_TEXT];
        snprintf(host, sizeof host, "%s", url.endpoints[i]);
        snprintf(
            url.endpoints[i], TP_ETCD_TEXT, "%s%.240s", url.tls ? "https://" : "http://", host);
    }
    *ret_url = url;
    return TROUPE_OK;
}
