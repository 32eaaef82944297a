/* SPDX-License-Identifier: Apache-2.0 */
/*
 * References and secrets. See references.h.
 *
 *     text            a$${b      ${file:key}    postgres://app:${env:PW}@db/shop
 *     resolved        a${b       what is in it  postgres://app:p%40ss@db/shop
 *     shown, SECRET   ***        ${file:key}    ***
 *     shown, URL      a$${b      ${file:key}    postgres://app:${env:PW}@db/shop
 *
 * Threads: any.
 */
#include "node/references.h"

#include "base/alloc.h"
#include "base/text.h"
#include "os/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HIDDEN      "***"
#define FILE_MOST   TP_REFERENCE_TEXT_MOST
#define NAME_MOST   1024
#define SECRET_LEAST 3 /* to look for shorter ones would take too much out of words */

/* ---- how a reference is written -------------------------------------------------------------- */

typedef struct reference {
    bool is_file;
    size_t size; /* with ${ and } */
    char name[NAME_MOST];
} reference;

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* `at` is at "${". False: it begins no reference. */
static bool read_reference(const char *at, reference *ret_reference)
{
    const char *end = strchr(at, '}');
    bool is_file = starts_with(at, "${file:");
    const char *name = strchr(at, ':');
    if (end == NULL || (!is_file && !starts_with(at, "${env:")))
        return false;
    size_t size = (size_t)(end - ++name);
    if (end <= name || size >= NAME_MOST)
        return false;
    ret_reference->is_file = is_file;
    ret_reference->size = (size_t)(end + 1 - at);
    memcpy(ret_reference->name, name, size);
    ret_reference->name[size] = '\0';
    return true;
}

static bool is_one_reference(const char *text)
{
    reference found;
    return starts_with(text, "${") && read_reference(text, &found) && text[found.size] == '\0';
}

static troupe_status refuse(const char *name, char *error, size_t error_size)
{
    (void)snprintf(error, error_size,
        "%s: \"${\" begins no reference: write ${file:PATH} or ${env:NAME}, or $${ for the two "
        "characters",
        name);
    return TROUPE_USAGE;
}

troupe_status tp_references_check(
    const char *name, const char *text, char *error, size_t error_size)
{
    reference found;
    for (const char *at = text; (at = strstr(at, "${")) != NULL;) {
        bool is_plain = at > text && at[-1] == '$';
        if (!is_plain && !read_reference(at, &found))
            return refuse(name, error, error_size);
        at += is_plain ? 2 : found.size;
    }
    return TROUPE_OK;
}

/* ---- resolving ------------------------------------------------------------------------------- */

static troupe_status fail(const char *name, const reference *of, const char *reason, char *error,
    size_t error_size)
{
    (void)snprintf(error, error_size, "%s: ${%s:%.200s}: %s", name, of->is_file ? "file" : "env",
        of->name, reason);
    return TROUPE_USAGE;
}

/* In the login of a URL, characters that mean something there are written %XX. */
static void append(tp_text *out, troupe_slice value, bool is_login)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789-._~";
    const unsigned char *bytes = value.data;
    if (!is_login) {
        tp_text_append(out, value);
        return;
    }
    for (size_t i = 0; i < value.size; i++) {
        if (memchr(plain, bytes[i], sizeof(plain) - 1) != NULL)
            tp_text_append(out, troupe_slice_of(&bytes[i], 1));
        else
            tp_text_printf(out, "%%%02X", bytes[i]);
    }
}

static troupe_status append_file(const troupe_allocator *allocator, const char *name,
    const reference *of, bool is_login, tp_text *out, char *error, size_t error_size)
{
    troupe_slice bytes = {NULL, 0};
    char reason[128] = "";
    troupe_status status =
        tp_file_read(allocator, of->name, FILE_MOST, &bytes, reason, sizeof(reason));
    if (status != TROUPE_OK)
        return fail(name, of, reason, error, error_size);
    troupe_slice line = bytes;
    const char *data = bytes.data;
    if (line.size > 0 && data[line.size - 1] == '\n')
        line.size--;
    if (line.size > 0 && line.size < bytes.size && data[line.size - 1] == '\r')
        line.size--;
    if (line.size == 0)
        status = fail(name, of, "it is empty", error, error_size);
    else if (memchr(line.data, '\0', line.size) != NULL)
        status = fail(name, of, "it has a zero byte", error, error_size);
    else
        append(out, line, is_login);
    tp_file_release(allocator, bytes);
    return status;
}

static troupe_status append_variable(const char *name, const reference *of, bool is_login,
    tp_text *out, char *error, size_t error_size)
{
    const char *value = secure_getenv(of->name);
    if (value == NULL || value[0] == '\0')
        return fail(name, of, value == NULL ? "it is not set" : "it is empty", error, error_size);
    append(out, troupe_str(value), is_login);
    return TROUPE_OK;
}

/* Behind the login of a URL, at its @; its beginning if it has none. A slash in front of the @ ends
 * the part that may have one, but in a reference. */
static const char *login_end(const char *url)
{
    const char *at = strstr(url, "://");
    const char *end = url;
    reference found;
    if (at == NULL)
        return url;
    for (at += strlen("://"); *at != '\0' && strchr("/?#", *at) == NULL;) {
        if (*at == '@')
            end = at;
        at += starts_with(at, "${") && read_reference(at, &found) ? found.size : 1;
    }
    return end;
}

static troupe_status resolve_text(const troupe_allocator *allocator, const tp_option *option,
    const char *text, tp_text *out, char *error, size_t error_size)
{
    const char *name = option->info.name;
    const char *from = text;
    reference found;
    for (const char *at = text; (at = strstr(at, "${")) != NULL;) {
        bool is_plain = at > text && at[-1] == '$';
        tp_text_append(out, troupe_slice_of(from, (size_t)(at - from) - is_plain));
        from = at;
        if (is_plain) {
            at += 2;
            continue;
        }
        if (!read_reference(at, &found))
            return refuse(name, error, error_size);
        at += found.size;
        from = at;
        bool is_login = option->type == TP_OPTION_URL && at <= login_end(text);
        TROUPE_TRY(found.is_file ? append_file(allocator, name, &found, is_login, out, error,
                                       error_size)
                                 : append_variable(name, &found, is_login, out, error, error_size));
    }
    tp_text_append(out, troupe_str(from));
    if (!out->is_cut)
        return TROUPE_OK;
    (void)snprintf(error, error_size, "%s: with its references it is longer than %zu bytes", name,
        TP_REFERENCE_TEXT_MOST - 1);
    return TROUPE_USAGE;
}

troupe_status tp_references_resolve(const troupe_allocator *allocator, troupe_node_options *options,
    tp_kept_text **list, char *error, size_t error_size)
{
    const tp_option *option = NULL;
    for (size_t i = 0; (option = tp_option_at(i)) != NULL; i++) {
        const char *text = tp_option_is_text(option) ? tp_option_text(options, option) : NULL;
        if (text == NULL || strstr(text, "${") == NULL)
            continue;
        tp_kept_text *kept = tp_allocate(allocator, sizeof(*kept));
        if (kept == NULL) {
            (void)snprintf(error, error_size, "%s", troupe_status_text(TROUPE_NO_MEMORY));
            return TROUPE_NO_MEMORY;
        }
        kept->next = *list;
        *list = kept;
        tp_text out;
        tp_text_init(&out, kept->text, sizeof(kept->text));
        TROUPE_TRY(resolve_text(allocator, option, text, &out, error, error_size));
        tp_option_set_text(options, option, kept->text);
    }
    return TROUPE_OK;
}

void tp_references_release(const troupe_allocator *allocator, tp_kept_text *list)
{
    while (list != NULL) {
        tp_kept_text *next = list->next;
        explicit_bzero(list->text, sizeof(list->text));
        tp_release(allocator, list, sizeof(*list));
        list = next;
    }
}

/* ---- what is shown --------------------------------------------------------------------------- */

/* The part of a URL that is its password, or that may hold it; false: there is none. It goes to the
 * last @, since a password may hold one, and to the end if one is among the parameters, too: to
 * hide too much costs nothing. */
static bool find_password(const char *url, troupe_slice *ret_password)
{
    const char *colon = strchr(url, ':'); /* of the scheme */
    const char *at = colon != NULL ? colon + 1 : url;
    const char *end = strrchr(at, '@');
    reference found;
    while (end != NULL && at < end && *at != ':')
        at += starts_with(at, "${") && read_reference(at, &found) ? found.size : 1;
    const char *parameter = strstr(url, "password=");
    if (end != NULL && at < end) {
        at++;
        size_t size = parameter != NULL ? strlen(at) : (size_t)(end - at);
        *ret_password = troupe_slice_of(at, size);
        return true;
    }
    if (parameter == NULL)
        return false;
    at = parameter + strlen("password=");
    *ret_password = troupe_slice_of(at, strlen(at));
    return true;
}

static bool is_seen(troupe_slice password)
{
    char text[NAME_MOST + 16];
    if (password.size >= sizeof(text))
        return false;
    (void)snprintf(text, sizeof(text), "%.*s", (int)password.size, (const char *)password.data);
    return password.size == 0 || is_one_reference(text);
}

size_t tp_option_show(const tp_option *option, const char *text, char *out, size_t size)
{
    troupe_slice hidden = {text, strlen(text)};
    bool is_secret = option->type == TP_OPTION_SECRET ||
                     (option->type == TP_OPTION_URL && find_password(text, &hidden));
    if (!is_secret || is_seen(hidden) || is_one_reference(text))
        return (size_t)snprintf(out, size, "%s", text);
    const char *start = hidden.data;
    return (size_t)snprintf(
        out, size, "%.*s" HIDDEN "%s", (int)(start - text), text, start + hidden.size);
}

/* Every `secret` in `words` becomes HIDDEN; the end is cut where it gets too long. */
static void replace_all(char *words, size_t size, troupe_slice secret)
{
    char *at = words;
    size_t mark = strlen(HIDDEN);
    while ((at = memmem(at, strlen(at), secret.data, secret.size)) != NULL) {
        size_t room = size - (size_t)(at - words);
        size_t rest = strlen(at + secret.size);
        if (room <= mark) {
            *at = '\0';
            return;
        }
        rest = rest < room - mark - 1 ? rest : room - mark - 1;
        memmove(at + mark, at + secret.size, rest);
        memcpy(at, HIDDEN, mark);
        at[mark + rest] = '\0';
        at += mark;
    }
}

void tp_options_hide(const troupe_node_options *options, char *words, size_t size)
{
    const tp_option *option = NULL;
    for (size_t i = 0; size > 0 && (option = tp_option_at(i)) != NULL; i++) {
        const char *text = tp_option_is_text(option) ? tp_option_text(options, option) : NULL;
        troupe_slice secret = {text, text != NULL ? strlen(text) : 0};
        bool is_secret = text != NULL && (option->type == TP_OPTION_SECRET ||
                                             (option->type == TP_OPTION_URL &&
                                                 find_password(text, &secret)));
        if (is_secret && option->type == TP_OPTION_URL && secret.size < SECRET_LEAST)
            secret = troupe_slice_of((const char *)secret.data - 1, secret.size + 2); /* : and @ */
        if (is_secret && secret.size >= SECRET_LEAST)
            replace_all(words, size, secret);
    }
}

/* ---- all that is done to options before a node opens ----------------------------------------- */

troupe_status tp_options_prepare(const troupe_node_options *given, troupe_node_options *ret_options,
    tp_kept_text **ret_kept, char *error, size_t error_size)
{
    troupe_node_options copy;
    tp_kept_text *kept = NULL;
    TROUPE_TRY(tp_options_copy(given, &copy, error, error_size));
    const troupe_allocator *allocator =
        copy.allocator != NULL ? copy.allocator : tp_allocator_system();
    troupe_status status = tp_references_resolve(allocator, &copy, &kept, error, error_size);
    if (status == TROUPE_OK)
        status = tp_options_resolve(&copy, ret_options, error, error_size);
    if (status == TROUPE_OK)
        *ret_kept = kept;
    else
        tp_references_release(allocator, kept);
    return status;
}

troupe_status troupe_options_check(
    const troupe_node_options *options, char *error, size_t error_size)
{
    troupe_node_options resolved;
    tp_kept_text *kept = NULL;
    TROUPE_TRY(tp_options_prepare(options, &resolved, &kept, error, error_size));
    tp_references_release(
        resolved.allocator != NULL ? resolved.allocator : tp_allocator_system(), kept);
    return TROUPE_OK;
}
