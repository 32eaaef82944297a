/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the membership provider `etcd`, and its door. Included by this folder and by tests.
 *
 *   url.c     reads etcd://…
 *   http.c    one POST with a time limit to one of the endpoints: bytes in, bytes out
 *   member.c  the port: requests and answers of etcd's JSON gateway
 *
 * Threads: a handle's own; `hurried` is set by any.
 */
#ifndef TP_PROVIDERS_ETCD_H
#define TP_PROVIDERS_ETCD_H

#include <troupe/membership.h>

#include <curl/curl.h>
#include <stdatomic.h>

enum { TP_ETCD_TEXT = 256, TP_ETCD_ENDPOINTS = 8 };

typedef struct tp_etcd_url {
    char endpoints[TP_ETCD_ENDPOINTS][TP_ETCD_TEXT]; /* http://host:port */
    size_t endpoint_count;
    char user[TP_ETCD_TEXT], password[TP_ETCD_TEXT];
    char prefix[TP_ETCD_TEXT];                                    /* of all keys, ends with / */
    char ca[TP_ETCD_TEXT], cert[TP_ETCD_TEXT], key[TP_ETCD_TEXT]; /* files; empty: none */
    bool tls;
} tp_etcd_url;

/* USAGE: `error` says which part is wrong. */
TROUPE_CHECK troupe_status tp_etcd_url_read(
    const char *text, tp_etcd_url *ret_url, char *error, size_t error_size);

/* Growing bytes, always with a 0 behind them. */
typedef struct tp_etcd_buffer {
    const troupe_allocator *allocator;
    char *data;
    size_t size, room;
    bool failed; /* no memory */
} tp_etcd_buffer;

void tp_etcd_put(tp_etcd_buffer *buffer, const void *data, size_t size);
void tp_etcd_print(tp_etcd_buffer *buffer, const char *format, ...) TROUPE_PRINTF(2, 3);
/* `"` base64 `"` */
void tp_etcd_put_base64(tp_etcd_buffer *buffer, troupe_slice bytes);
void tp_etcd_buffer_deinit(tp_etcd_buffer *buffer);

typedef struct tp_etcd_http {
    const tp_etcd_url *url;
    CURL *curl;
    size_t endpoint;               /* that answered last */
    char token[TP_ETCD_TEXT + 32]; /* a header; empty: none */
    atomic_bool hurried;           /* publishes nothing else */
    tp_etcd_buffer in;
    const char *until; /* stop as soon as this is in the answer; NULL: read it whole */
    char error[TP_ETCD_TEXT];
    char curl_error[CURL_ERROR_SIZE];
} tp_etcd_http;

/* What came of a POST. */
typedef enum tp_etcd_outcome {
    TP_ETCD_ANSWERED,  /* 200; the body is in `in` */
    TP_ETCD_NOT_SENT,  /* nobody has it */
    TP_ETCD_REFUSED,   /* an answer that says that it was not done */
    TP_ETCD_DENIED,    /* 401, 403, or the gateway's words for a token that is no more */
    TP_ETCD_NO_ANSWER, /* it may have been done */
} tp_etcd_outcome;

bool tp_etcd_http_open(tp_etcd_http *http);
void tp_etcd_http_close(tp_etcd_http *http);
/* `body` ends with a 0. Tries the other endpoints only if this one cannot have got it. */
tp_etcd_outcome tp_etcd_post(
    tp_etcd_http *http, const char *path, const tp_etcd_buffer *body, uint64_t timeout);

TROUPE_CHECK troupe_status tp_etcd_member_open(const troupe_membership_host *host, const char *url,
    const char *cluster, troupe_membership **ret_membership, char *error, size_t error_size);

#endif
