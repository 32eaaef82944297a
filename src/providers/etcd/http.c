/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One POST at a time to etcd's JSON gateway, over libcurl, within a time limit. It knows no etcd
 * but what its errors look like. Called by member.c.
 *
 * Invariants
 * 1. A request goes to another endpoint only if this one cannot have got it.
 * 2. It ends within its time limit, and within about a second when the node closes.
 *
 * Threads: the handle's.
 */
#include "providers/etcd/etcd.h"

#include "base/alloc.h"

#include <stdarg.h>
#include <stdio.h>

#define MILLISECOND UINT64_C(1000000)
#define ANSWER_MAX  ((size_t)8 << 20)

/* ---- bytes ----------------------------------------------------------------------------------- */

static bool reserve(tp_etcd_buffer *buffer, size_t more)
{
    if (buffer->failed)
        return false;
    if (buffer->room - buffer->size > more)
        return true;
    size_t room = buffer->room != 0 ? buffer->room : 1024;
    while (room - buffer->size <= more)
        room *= 2;
    char *data = tp_reallocate(buffer->allocator, buffer->data, buffer->room, room);
    if (data == NULL) {
        buffer->failed = true;
        return false;
    }
    buffer->data = data;
    buffer->room = room;
    return true;
}

void tp_etcd_put(tp_etcd_buffer *buffer, const void *data, size_t size)
{
    if (!reserve(buffer, size))
        return;
    if (size != 0)
        memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
}

void tp_etcd_print(tp_etcd_buffer *buffer, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (size < 0 || (size_t)size >= sizeof text)
        buffer->failed = true;
    else
        tp_etcd_put(buffer, text, (size_t)size);
}

void tp_etcd_put_base64(tp_etcd_buffer *buffer, troupe_slice bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *at = bytes.data;
    if (!reserve(buffer, (bytes.size + 2) / 3 * 4 + 2))
        return;
    char *out = buffer->data + buffer->size;
    *out++ = '"';
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        unsigned three = (unsigned)at[i] << 16 | (unsigned)(left > 1 ? at[i + 1] : 0) << 8 |
                         (left > 2 ? at[i + 2] : 0);
        *out++ = digits[three >> 18];
        *out++ = digits[three >> 12 & 63];
        *out++ = left > 1 ? digits[three >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[three & 63] : '=';
    }
    *out++ = '"';
    *out = '\0';
    buffer->size = (size_t)(out - buffer->data);
}

void tp_etcd_buffer_deinit(tp_etcd_buffer *buffer)
{
    tp_release(buffer->allocator, buffer->data, buffer->room);
    buffer->data = NULL;
    buffer->size = buffer->room = 0;
    buffer->failed = false;
}

/* ---- requests -------------------------------------------------------------------------------- */

static size_t on_bytes(char *data, size_t size, size_t count, void *user)
{
    tp_etcd_http *self = user;
    size_t bytes = size * count;
    if (self->in.size + bytes > ANSWER_MAX)
        return 0;
    tp_etcd_put(&self->in, data, bytes);
    if (self->in.failed)
        return 0;
    return self->until != NULL && strstr(self->in.data, self->until) != NULL ? 0 : bytes;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    tp_etcd_http *self = user;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return atomic_load_explicit(&self->hurried, memory_order_acquire) ? 1 : 0;
}

bool tp_etcd_http_open(tp_etcd_http *self)
{
    self->curl = curl_easy_init();
    if (self->curl == NULL)
        return false;
    CURL *curl = self->curl;
    const tp_etcd_url *url = self->url;
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, self);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, self);
    (void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, self->curl_error);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    if (url->ca[0] != '\0')
        (void)curl_easy_setopt(curl, CURLOPT_CAINFO, url->ca);
    if (url->cert[0] != '\0')
        (void)curl_easy_setopt(curl, CURLOPT_SSLCERT, url->cert);
    if (url->key[0] != '\0')
        (void)curl_easy_setopt(curl, CURLOPT_SSLKEY, url->key);
    return true;
}

void tp_etcd_http_close(tp_etcd_http *self)
{
    if (self->curl != NULL)
        curl_easy_cleanup(self->curl);
    self->curl = NULL;
    tp_etcd_buffer_deinit(&self->in);
}

/* Nothing of the request can have arrived. */
static bool was_not_sent(CURLcode code)
{
    return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
           code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
           code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CACERT_BADFILE ||
           code == CURLE_URL_MALFORMAT || code == CURLE_OUT_OF_MEMORY;
}

static void note_answer(tp_etcd_http *self, long code)
{
    snprintf(self->error, sizeof self->error, "etcd %.80s answers %ld: %.120s",
        self->url->endpoints[self->endpoint], code, self->in.data != NULL ? self->in.data : "");
}

static tp_etcd_outcome judge(tp_etcd_http *self)
{
    long code = 0;
    (void)curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code == 200)
        return TP_ETCD_ANSWERED;
    note_answer(self, code);
    const char *said = self->in.data != NULL ? self->in.data : "";
    if (code == 401 || code == 403 || strstr(said, "invalid auth token") != NULL)
        return TP_ETCD_DENIED;
    /* A leader that is lost or slow to commit may commit it yet. */
    return code >= 400 && code < 500 ? TP_ETCD_REFUSED : TP_ETCD_NO_ANSWER;
}

static tp_etcd_outcome post_once(
    tp_etcd_http *self, const char *path, const tp_etcd_buffer *body, long milliseconds)
{
    char url[TP_ETCD_TEXT + 64];
    snprintf(url, sizeof url, "%s%s", self->url->endpoints[self->endpoint], path);
    self->in.size = 0;
    if (self->in.data != NULL)
        self->in.data[0] = '\0';
    self->curl_error[0] = '\0';
    (void)curl_easy_setopt(self->curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(self->curl, CURLOPT_POSTFIELDS, body->data);
    (void)curl_easy_setopt(self->curl, CURLOPT_POSTFIELDSIZE, (long)body->size);
    (void)curl_easy_setopt(self->curl, CURLOPT_TIMEOUT_MS, milliseconds);
    (void)curl_easy_setopt(self->curl, CURLOPT_CONNECTTIMEOUT_MS, milliseconds);
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    if (headers != NULL && self->token[0] != '\0')
        headers = curl_slist_append(headers, self->token);
    (void)curl_easy_setopt(self->curl, CURLOPT_HTTPHEADER, headers);
    CURLcode code = curl_easy_perform(self->curl);
    (void)curl_easy_setopt(self->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && self->until != NULL && !self->in.failed))
        return judge(self);
    snprintf(self->error, sizeof self->error, "etcd %.80s: %.150s",
        self->url->endpoints[self->endpoint],
        self->curl_error[0] != '\0' ? self->curl_error : curl_easy_strerror(code));
    return was_not_sent(code) ? TP_ETCD_NOT_SENT : TP_ETCD_NO_ANSWER;
}

tp_etcd_outcome tp_etcd_post(
    tp_etcd_http *self, const char *path, const tp_etcd_buffer *body, uint64_t timeout)
{
    size_t count = self->url->endpoint_count;
    tp_etcd_outcome outcome = TP_ETCD_NOT_SENT;
    if (body->failed) {
        snprintf(self->error, sizeof self->error, "etcd: no memory for a request");
        return outcome;
    }
    /* Each gets its share of the time: one that is away must not use up that of all. */
    uint64_t share = timeout / MILLISECOND / (self->until != NULL ? 1 : count);
    for (size_t i = 0; i < count && outcome == TP_ETCD_NOT_SENT; i++) {
        if (i != 0)
            self->endpoint = (self->endpoint + 1) % count;
        outcome = post_once(self, path, body, share > 0 ? (long)share : 1);
    }
    if (outcome == TP_ETCD_NO_ANSWER) /* the next request asks another one first */
        self->endpoint = (self->endpoint + 1) % count;
    return outcome;
}
