/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the gateway share: server.c (listens, opens and closes), request.c (from a
 * request to an ask and back), pages.c (what is known here), desk.c (what has to be waited for),
 * state.c (what is stored of actors), remind.c (reminders and timers),
 * look.c (what the node and its cluster have and do).
 *
 * A request, by its stage:
 *
 *   READING    its body comes in                    -> ASKED, or ANSWERED (a page, a refusal)
 *   ASKED      its connection is suspended          -> ANSWERED, by a thread of shard or pool
 *   ANSWERED   what is sent is known; a body that still comes is thrown away
 *
 * Invariants
 * 1. A request is counted in `calls` from before its ask until it was sent or its connection broke.
 * 2. A connection is suspended exactly while its request is ASKED.
 * 3. Who finds `answered` empty resumes its own connection; whoever is handled next resumes all
 *    that have come since. So of many answers one pays for waking a thread of the library.
 *
 * Threads: a request belongs to the library's thread of its connection, but for the time from the
 * suspend to the resume, when it belongs to the node; the library's lock publishes it both ways.
 */
#ifndef TP_GATEWAY_INSIDE_H
#define TP_GATEWAY_INSIDE_H

#include "gateway/gateway.h"
#include "gateway/route.h"

#include "base/alloc.h"

#include <microhttpd.h>

enum {
    TP_HTTP_HERE = 512, /* bytes of a body, and of an answer, that need no block of their own */
    TP_HTTP_ERROR_MAX = 4096,
    TP_DESK_MAX = 32, /* requests at the desk at once */
};

typedef enum tp_request_stage {
    TP_REQUEST_READING,
    TP_REQUEST_ASKED,
    TP_REQUEST_ANSWERED,
} tp_request_stage;

struct tp_gateway {
    /* Set by open. */
    tp_gateway_host host;
    struct MHD_Daemon *daemon;
    MHD_socket listener; /* the library listens on it no more; MHD_INVALID_SOCKET: it does */
    char *token;

    /* [any thread] */
    _Atomic bool draining;
    _Atomic uint32_t calls;
    _Atomic uint32_t asked; /* that the node has not answered */
    _Atomic uint32_t at_desk;
    _Atomic uint64_t bytes;      /* in bodies and answers */
    _Atomic(tp_waiter *) closer; /* taken by who signals it */
    /* Requests that are answered and still suspended, behind them TP_REQUEST_WAKES; NULL: none, and
     * nobody is on the way to look. */
    _Atomic(struct tp_request *) answered;
#define TP_GATEWAY_ATOMIC(name) _Atomic uint64_t name;
    TP_GATEWAY_COUNTER_MAP(TP_GATEWAY_ATOMIC)
#undef TP_GATEWAY_ATOMIC
};

/* Bytes that grow, of a body or an answer; small ones lie in `here`. */
typedef struct tp_http_bytes {
    char *data;
    size_t size, room;
    char here[TP_HTTP_HERE];
} tp_http_bytes;

typedef struct tp_request {
    tp_gateway *gateway;
    struct MHD_Connection *connection;
    struct tp_request *next; /* in `answered` */
    tp_request_stage stage;
    bool is_call; /* counted in `calls` */
    unsigned verb;
    uint64_t began;
    uint64_t timeout;         /* 0: the node's */
    const char *content_type; /* as its field said; NULL: none */
    const char *once;
    const char *known;  /* If-None-Match; NULL: it has none */
    tp_job job;         /* at the desk */
    bool goes_on;       /* from the desk to the actor */
    size_t thrown_away; /* of a body that nobody wants */
    /* The answer. */
    unsigned code;
    const char *answer_type; /* in `answer`, behind the payload, or static */
    const char *allow;       /* of 405 */
    char tag[24];            /* ETag; "": it has none */
    bool passes;             /* Retry-After */
    bool ends;               /* the connection, with it */
    tp_http_bytes body, answer;
    tp_route route;
} tp_request;

#define TP_REQUEST_WAKES ((tp_request *)1) /* one was resumed, and its thread will look */

static inline void tp_gateway_add(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* request.c: the two functions that the library calls. */
enum MHD_Result tp_request_handle(void *gateway, struct MHD_Connection *connection,
    const char *path, const char *method, const char *version, const char *upload,
    size_t *upload_size, void **request);
void tp_request_completed(void *gateway, struct MHD_Connection *connection, void **request,
    enum MHD_RequestTerminationCode how);

/* Resumes all that have their answer. Not while shards may add to them. */
void tp_request_resume_all(tp_gateway *gateway);

/* The request ends with this: an error, in the words given or those of the status. */
void tp_request_fail(tp_request *request, unsigned code, const char *error_code,
    troupe_status status, troupe_outcome outcome, troupe_slice message);

/* Room for `size` bytes of the answer; NULL: none, which the caller tells. */
char *tp_request_room(tp_request *request, size_t size);

/* Adds to the answer. False: no room. */
bool tp_request_append(tp_request *request, troupe_slice part);

/* Asks its actor, of a request that is suspended: it is handed over by the answer, on any thread.
 * False: refused, the answer is in it, and nobody hands it over. */
bool tp_request_ask(tp_request *request);

/* Its connection waits for an answer by another thread, and the other two end that: with the answer
 * in it, from that thread; on this one, which keeps it. The node's asks are counted by them. */
void tp_request_suspend(tp_request *request);
void tp_request_hand_over(tp_request *request);
void tp_request_take_back(tp_request *request);

/* desk.c: the request is suspended, and answered by a thread that may wait. */
void tp_desk_start(tp_request *request);

/* state.c: [pool] the state; [library] none is written. */
void tp_state_answer(tp_request *request);
void tp_state_refuse_save(tp_request *request);

/* remind.c: [pool] reminders and timers. */
void tp_remind_answer(tp_request *request);

/* look.c: [pool] Troupe's own pages. */
void tp_look_answer(tp_request *request);

/* pages.c: a page that is known here is ANSWERED afterwards; others are left as they are. */
void tp_page_answer(tp_request *request);

#endif
