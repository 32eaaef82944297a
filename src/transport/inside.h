/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What channels.c and connection.c share.
 *
 * Threads: the runner's.
 */
#ifndef TP_TRANSPORT_INSIDE_H
#define TP_TRANSPORT_INSIDE_H

#include "base/index.h"
#include "transport/channels.h"

#define TP_CHANNELS_FULL "all connections that max_connections allows are in use"

/* level of a line of the log */
enum { TP_SAY_DEBUG, TP_SAY_INFO, TP_SAY_WARN };

struct tp_channels {
    tp_channels_options options;
    tp_index table;    /* channels, by incarnation and shard */
    tp_channel *latest; /* that was asked for, or NULL */
    tp_channel *last;   /* that took the last parcels of a pass, or NULL */
    uint64_t parcels_left; /* that this pass may take in */
    tp_list channels;  /* in the order of their making */
    tp_list strangers; /* connections that were accepted and have not proven themselves */
    tp_list closed;    /* connections to be freed at the end of a pass */
    uint32_t stranger_count, connection_count;
    bool has_arrivals;
    uint64_t now;
    tp_channels_counts counts;
    uint64_t complained_at; /* of the last refusal that was worth a warning; 0: none yet */
    uint64_t complaint;     /* its hash */
};

typedef enum tp_connection_state {
    TP_CONNECTION_OPENING, /* the system connects */
    TP_CONNECTION_HELLO,
    TP_CONNECTION_SPEAKS, /* the session's bytes */
    TP_CONNECTION_CLOSED,
} tp_connection_state;

struct tp_connection {
    tp_link link; /* among strangers, or closed */
    tp_channels *channels;
    tp_channel *channel; /* NULL: a stranger */
    tp_stream *stream;
    tp_connection_state state;
    bool is_client, is_writing, writes_session, is_paused;
    bool owes_preamble; /* in clear, before TLS */
    tp_tls *tls;        /* NULL: clear text */
    uint64_t began, heard_at, said_at;
    uint64_t asked_at; /* the last time, though it may not be written yet */
    uint32_t asks;     /* without an answer; none counts while nothing is read */
    tp_hello *hello;
    char *early; /* bytes that came before the hello has ended, and that pass has not seen */
    size_t early_size, early_room;
    void *space; /* of the session: where the bytes that are read next go, or NULL */
    char preamble[TP_PREAMBLE_BYTES];
    unsigned char nonce[TP_HELLO_NONCE_BYTES];
    const char *broken; /* why, once it is */
    char peer[TP_ADDRESS_MAX];
};

/* Of a channel that has none and is to have one. NO_MEMORY, or it could not begin: later again. */
TROUPE_CHECK troupe_status tp_connection_dial(tp_channel *channel);
void tp_connection_accept(tp_channels *channels, tp_socket socket, tp_preamble preamble,
    const void *rest, size_t rest_size);
/* What arrived meanwhile. True: something did. */
bool tp_connection_pass(tp_connection *connection);
/* What came was handed on, or some of it: if it stopped to read since there was enough, it reads on
 * when there is not. */
void tp_connection_read_on(tp_connection *connection);
/* Writes what there is and does nothing else: it ends no connection. False: it cannot now. */
bool tp_connection_hurry(tp_connection *connection);
/* Writes what there is; returns when to look again. */
uint64_t tp_connection_flush(tp_connection *connection);
/* It is over; `why` NULL: in order. The session goes on. */
void tp_connection_end(tp_connection *connection, const char *why);
void tp_connection_free(tp_connection *connection);

void tp_channels_say(tp_channels *channels, int level, const char *event, const char *peer,
    const char *format, ...) TROUPE_PRINTF(5, 6);

/* A warning about who is not let in; who tries again and again gets one line a while. */
void tp_channels_complain(
    tp_channels *channels, const char *event, const char *peer, const char *text);

/* Is there room for so many connections more, strangers aside? If need be one ends, that which has
 * had nothing to say the longest; false: all have, and a line in the log says so. */
bool tp_channels_make_room(tp_channels *channels, uint64_t peer, uint32_t more);

/* Whose channel it is. */
static inline uint64_t tp_peer_of(const tp_hello_side *side)
{
    return side->incarnation != 0 ? side->incarnation : TP_CANDIDATE | side->link;
}

static inline uint64_t tp_sooner(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

#endif
