/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the gateway share: server.c (listens, opens and closes), request.c (reads
 * requests and sends answers), call.c (asks the node), watch.c (callers that go away), pages.c
 * (what is known here), limit.c (what callers may have), desk.c (what has to be waited for),
 * state.c (what is stored of actors), remind.c (reminders and timers), look.c (what the node and
 * its cluster have and do), stream.c (events, as they come).
 *
 * A request, by its stage:
 *
 *   READING    its body comes in, or somebody is asked   -> ANSWERED
 *   ANSWERED   what is sent is known; a body that still comes is thrown away
 *
 * and by its hold (call.c) who has it.
 *
 * Invariants
 * 1. A request is counted in `calls` from before its ask until it was sent or its connection broke.
 * 2. A connection is suspended only while somebody is asked, or has just answered.
 * 3. Who finds `answered` empty resumes its own connection; whoever is handled next resumes all
 *    that have come since. So of many answers one pays for waking a thread of the library.
 *
 * Threads: a request belongs to the library's thread of its connection, but for the time from the
 * ask to the answer, when it belongs to the node; `hold` publishes it both ways.
 */
#ifndef TP_GATEWAY_INSIDE_H
#define TP_GATEWAY_INSIDE_H

#include "gateway/gateway.h"
#include "gateway/rate.h"
#include "gateway/route.h"
#include "gateway/tls.h"

#include "base/alloc.h"

#include <microhttpd.h>

#define TP_HTTP_ERR_INVOKE "ERR_ACTOR_INVOKE_METHOD"

enum {
    TP_HTTP_HERE = 512, /* bytes of a body, and of an answer, that need no block of their own */
    TP_HTTP_ERROR_MAX = 4096,
    TP_DESK_MAX = 32,    /* requests that wait in a line of the desk */
    TP_STREAMS_MAX = 64, /* streams of events at once */
    TP_GUESSES = 10,     /* wrong tokens a second of one address */
};

#define TP_DESK_PATIENCE TROUPE_SECONDS(5) /* with other nodes, of one request at the desk */

typedef enum tp_request_stage {
    TP_REQUEST_READING,
    TP_REQUEST_ANSWERED,
} tp_request_stage;

/* Who has a request: call.c. */
typedef enum tp_request_hold {
    TP_HOLD_LIBRARY,
    TP_HOLD_POLLED,
    TP_HOLD_SUSPENDED,
    TP_HOLD_OVER,
    TP_HOLD_ORPHAN,
} tp_request_hold;

/* watch.c */
typedef struct tp_watch_place tp_watch_place;
typedef struct tp_watch {
    const tp_gateway_host *host;
    tp_runner runner;
    atomic_flag lock; /* of the next group */
    tp_watch_place *places;
    uint32_t room, count;
    uint32_t free; /* the first free place; UINT32_MAX: none */
    bool rests;    /* the runner waits for a first one */
    uint64_t serial;
    _Atomic bool called; /* [any thread] there is a first one */
    _Atomic bool stops;
} tp_watch;

/* limit.c */
typedef struct tp_limits {
    uint64_t seed;
    atomic_flag lock;
    tp_rates *rates; /* NULL: there is no limit of rate, nor a token to be guessed */
    tp_tally *tally; /* NULL: nor of what is under way of a type */
} tp_limits;

/* desk.c */
enum { TP_DESK_AFAR, TP_DESK_SUBSCRIBE, TP_DESK_LINES };
typedef struct tp_desk_line {
    struct tp_request *first, *last; /* wait */
    uint32_t waiting, at_work, most;
} tp_desk_line;
typedef struct tp_desk {
    atomic_flag lock; /* of what follows */
    tp_desk_line lines[TP_DESK_LINES];
} tp_desk;

typedef struct tp_streams tp_streams;

struct tp_gateway {
    /* Set by open. */
    tp_gateway_host host;
    bool is_tls;
    struct MHD_Daemon *daemon;
    MHD_socket listener; /* the library listens on it no more; MHD_INVALID_SOCKET: it does */
    char *token;
    tp_streams *streams;

    /* [any thread] */
    _Atomic bool draining;
    _Atomic uint32_t calls;
    _Atomic uint32_t asked;      /* that the node has not answered */
    _Atomic uint64_t bytes;      /* in bodies and answers */
    _Atomic(tp_waiter *) closer; /* taken by who signals it */
    /* Requests that are answered and still suspended, behind them TP_REQUEST_WAKES; NULL: none, and
     * nobody is on the way to look. */
    _Atomic(struct tp_request *) answered;
    tp_watch watch;
    tp_http_tls_slot tls;
    tp_limits limits;
    tp_desk desk;
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
    struct tp_request *next; /* in a line of the desk, in `answered` */
    _Atomic uint32_t hold;   /* tp_request_hold */
    tp_request_stage stage;
    bool is_call; /* counted in `calls` */
    unsigned verb;
    bool is_tallied; /* of limit.c, by that key */
    uint64_t tally;
    uint32_t place;        /* in the table of watch.c; UINT32_MAX: none */
    troupe_cancel *cancel; /* of its call */
    uint64_t began, asked;
    uint64_t timeout;         /* 0: the node's */
    const char *content_type; /* as its field said; NULL: none */
    const char *once;
    const char *known;      /* If-None-Match; NULL: it has none */
    const char *last_event; /* Last-Event-ID; NULL: it has none */
    bool streams;           /* its answer is a stream */
    tp_job job;             /* at the desk */
    bool is_loaded;         /* `op` has what is stored of its actor, to be given back */
    bool goes_on;           /* from the desk to the actor */
    size_t thrown_away;     /* of a body that nobody wants */
    /* The answer. */
    unsigned code;
    const char *answer_type;    /* in `answer`, behind the payload, or static */
    const char *allow;          /* of 405 */
    char tag[24];               /* ETag; "": it has none */
    uint32_t wait;              /* Retry-After, in seconds; 0: it has none */
    bool ends;                  /* the connection, with it */
    tp_http_bytes body, answer; /* not zeroed, as what follows */
    troupe_store_op op;
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

/* A parameter of the query, decoded; "" if there is none. False: refused. */
bool tp_request_parameter(tp_request *request, const char *name, char *out, size_t room);

/* Asks its actor, of a request that is suspended: it is handed over by the answer, on any thread.
 * False: refused, the answer is in it, and nobody hands it over. */
bool tp_request_ask(tp_request *request);

/* Refused by what the gateway may have at once: it may be sent again. */
void tp_request_refuse_busy(tp_request *request, troupe_status status, const char *message);
void tp_request_refuse_closing(tp_request *request);
void tp_request_release(tp_request *request);

/* call.c. May one more be under way? False: it is ANSWERED. */
bool tp_call_enter(tp_request *request);
/* True: the node is asked; false: it is ANSWERED. */
bool tp_call_start(tp_request *request);
/* Is it with nobody but the library's thread? False: it is called again when that may be so. */
bool tp_call_is_over(tp_request *request);
/* [any thread, while it is watched] Its caller has gone. */
void tp_call_cancel(tp_request *request);
/* It was sent, or its connection broke: releases it, or leaves that to who answers. */
void tp_call_leave(tp_request *request);

/* Its connection waits for an answer by another thread, suspended at once or after a while (first:
 * the answer may be here before who asks has returned), and the other two end that: with the answer
 * in it, from that thread; on this one, which keeps it. The node's asks are counted by them. */
void tp_request_suspend(tp_request *request);
void tp_request_await(tp_request *request);
void tp_request_hand_over(tp_request *request);
void tp_request_take_back(tp_request *request);

/* limit.c. How long until it may come, by the rates; 0: now, and it has. */
uint64_t tp_limits_wait(tp_request *request);
/* How long until its caller may show a token again, having shown wrong ones; 0: now. One more was
 * wrong. Of a node that has a token. */
uint64_t tp_limits_guess_wait(tp_request *request);
void tp_limits_guessed(tp_request *request);
/* May one more of its type be under way? After true, leave ends it; without, that is a no-op. */
bool tp_limits_enter(tp_request *request);
void tp_limits_leave(tp_request *request);
TROUPE_CHECK troupe_status tp_limits_open(tp_limits *self, const tp_gateway_host *host);
void tp_limits_close(tp_limits *self, const tp_gateway_host *host);

/* watch.c: of those that are suspended for long. The library's threads add and remove. */
TROUPE_CHECK troupe_status tp_watch_start(tp_watch *self, const tp_gateway_host *host);
void tp_watch_stop(tp_watch *self);
void tp_watch_add(tp_watch *self, tp_request *request);
void tp_watch_remove(tp_watch *self, tp_request *request); /* one that is not there: a no-op */

/* desk.c: the request is suspended, and answered by a thread that may wait. */
void tp_desk_init(tp_desk *self, const tp_gateway_host *host);
bool tp_desk_start(tp_request *request);

/* state.c: true: what is stored is on its way, and is shown when it is here (`is_loaded`); false:
 * it is ANSWERED. None is written. */
bool tp_state_load(tp_request *request);
bool tp_state_start(tp_request *request);
void tp_state_show(tp_request *request);
void tp_state_refuse_save(tp_request *request);

/* remind.c: reminders and timers; likewise. */
bool tp_remind_start(tp_request *request);
void tp_remind_show(tp_request *request);
void tp_remind_fail(tp_request *request, troupe_status status, const char *words);

/* look.c: [pool] Troupe's own pages. */
void tp_look_answer(tp_request *request);

/* stream.c: [library] True: it stands at the desk; false: it is ANSWERED. `streams` says then that
 * it may. [pool] Shards are told to bring news. [library] The response, or NULL: refused. */
bool tp_stream_start(tp_request *request);
void tp_stream_prepare(tp_request *request);
struct MHD_Response *tp_stream_open(tp_request *request);

/* [opening thread] UNAVAILABLE: no thread; NO_MEMORY. */
TROUPE_CHECK troupe_status tp_streams_start(tp_gateway *gateway);
/* [closing thread] `draining` was set: all end. When no ask is under way: the herald ends; false:
 * shards may still bring news. When the library has ended, too. */
void tp_streams_drain(tp_gateway *gateway);
TROUPE_CHECK bool tp_streams_stop(tp_gateway *gateway);
void tp_streams_release(tp_gateway *gateway);

/* pages.c: a page that is known here is ANSWERED afterwards; others are left as they are. */
void tp_page_answer(tp_request *request);

#endif
