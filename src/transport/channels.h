/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channels of one runner: to each shard of another node that it speaks to one session
 * (wire/session.h), and under it one connection after the other, made when there is something to
 * say, made again when it broke, closed when it idles. It carries frames and knows nothing of what
 * they mean: that is the cluster's, to whom they are handed one by one.
 *
 *   channels.c     the table of channels, what each pass does
 *   connection.c   one connection: hello, bytes in and out, keep-alive
 *
 * Invariants
 * 1. One channel per (peer's incarnation, peer's shard). It lives until that incarnation is gone
 * (tp_channels_gone), however often its connection breaks.
 * 2. Of two connections that both sides open at once the one of the lower incarnation stays.
 * 3. Nothing is handed on before the hello has proven the peer.
 * 4. The lease is asked right before each write (`may_send`); without it nothing is written.
 * 5. A peer that does not make sense loses its connection, with a line in the log; the session and
 * all others go on.
 *
 * Bounded: connections (`connections_max`: beyond it the one that idles the longest ends; if none
 * does the new one is refused, counted, said), strangers that have not yet said who they are
 * (TP_CHANNELS_STRANGERS beside them), the time of a hello.
 * Threads: the runner's.
 */
#ifndef TP_TRANSPORT_CHANNELS_H
#define TP_TRANSPORT_CHANNELS_H

#include "base/list.h"
#include "os/env.h"
#include "transport/tls.h"
#include "wire/hello.h"
#include "wire/session.h"

#define TP_CHANNELS_STRANGERS 64
#define TP_HURRY_UNDER_WAY    64 /* frames sent that are not received, as far as is known */
/* The peer of a channel whose other end is no member yet: this, and its `link`. Such a channel ends
 * with its connection. */
#define TP_CANDIDATE (UINT64_C(1) << 63)

typedef struct tp_channels tp_channels;
typedef struct tp_connection tp_connection;

typedef struct tp_channel {
    tp_session session; /* usable whether there is a connection or not */
    uint64_t peer;      /* incarnation */
    uint16_t shard;     /* the peer's; TP_SHARD_CONTROL */
    void *user;         /* of who made the channels: NULL until it sets it */

    /* transport's */
    tp_link link;
    tp_channels *channels;
    tp_connection *connection; /* NULL: none, or not proven yet */
    tp_connection *dialling;
    uint64_t retry_at, retry_wait;
    uint64_t shunned_until, shun_wait; /* since what it says makes no sense */
    uint64_t spoke_at; /* when it last had something to say, or heard something */
    uint64_t since;    /* without a connection since then; 0: it has one */
    bool is_wanted;    /* keep a connection though there is nothing to say */
    bool is_held_up;   /* by a newer view */
    bool has_more;     /* that came, and is for the next pass */
} tp_channel;

typedef enum tp_peer_answer {
    TP_PEER_KNOWN,
    TP_PEER_BEHIND, /* not in our view, but it may be in a newer one */
    TP_PEER_STRANGE,
} tp_peer_answer;

typedef struct tp_channels_calls {
    /* Where an incarnation is reached. False: it is no member. */
    bool (*find)(void *user, uint64_t incarnation, char *address, size_t size);
    /* May this one come in? `view` is the newest it has. */
    tp_peer_answer (*judge)(void *user, const tp_hello_side *peer);
    /* One frame; its body is good until it returns. NULL, or what is wrong with it. */
    const char *(*frame)(void *user, tp_channel *channel, const tp_session_frame *frame);
    /* The peer shows a newer view than ours; what it sent waits until tp_channels_set_view. */
    void (*newer_view)(void *user, uint64_t number);
    /* Right before a write. */
    bool (*may_send)(void *user);
    /* Who was called denies this node: another token, another cluster. NULL: nobody minds. */
    void (*denied)(void *user, const char *reason);
    /* NULL: nobody minds. */
    void (*connected)(void *user, tp_channel *channel);
} tp_channels_calls;

typedef struct tp_channels_options {
    tp_env *env;
    tp_runner *runner;
    const troupe_allocator *allocator;
    const tp_channels_calls *calls;
    void *user;
    tp_hello_side self; /* incarnation, view, shard, shards, node, address; slices are kept */
    troupe_slice cluster, token; /* kept */
    tp_session_options session;  /* window, batches, codec; the rest is set here */
    uint32_t connections_max;    /* strangers aside; 0: 4,096 */
    tp_tls_context *tls;         /* NULL: clear text; retained */
    bool allows_clear_text;      /* lets in who speaks it, though there is a `tls` */
    uint64_t hello_timeout;      /* ns; 0: 5 s; of connect and hello together */
    uint64_t keep_alive; /* ns without a byte from the peer until it is asked, four times; 0: 1 s */
    uint64_t idle;       /* ns without anything to say until it is closed; 0: 60 s */
    /* [any line] For the log: level as in <troupe/log.h>. */
    void (*log)(void *user, int level, const char *event, const char *peer, const char *text);
} tp_channels_options;

typedef struct tp_channels_counts {
    uint64_t connects, accepts, refusals, breaks, idles, connections;
    tp_session_counts sessions; /* of all channels, also of those that have gone */
} tp_channels_counts;

/* NO_MEMORY. */
TROUPE_CHECK troupe_status tp_channels_create(
    const tp_channels_options *options, tp_channels **ret_channels);
/* NULL is a no-op. What was not written is lost. */
void tp_channels_destroy(tp_channels *channels);

/* Made if need be; NULL: no memory, or no member. */
tp_channel *tp_channels_get(tp_channels *channels, uint64_t peer, uint16_t shard);
/* NULL: there is none. */
tp_channel *tp_channels_find(const tp_channels *channels, uint64_t peer, uint16_t shard);
/* A connection that the listener took, with what was read behind its preamble. Takes the socket. */
void tp_channels_accept(tp_channels *channels, tp_socket socket, tp_preamble preamble,
    const void *rest, size_t rest_size);
/* That incarnation is no member any more: its channels end. `over` is called for each before. */
void tp_channels_gone(tp_channels *channels, uint64_t peer,
    void (*over)(void *user, tp_channel *channel), void *user);
/* Who we are now: the incarnation once, the view whenever it is newer. */
void tp_channels_set_view(tp_channels *channels, uint64_t incarnation, uint64_t view);
/* Certificates for the connections to come; those that are stay as they are. NULL: clear text. */
void tp_channels_set_tls(tp_channels *channels, tp_tls_context *context);

/* Hands on what came. False: nothing did. */
bool tp_channels_pass(tp_channels *channels, uint64_t now);
/* Writes what that one has to say, in the middle of a pass: see tp_channel_hurry. */
bool tp_channels_hurry(tp_channel *channel);
/* Connects, writes, keeps alive; returns when it is to be called again. */
uint64_t tp_channels_flush(tp_channels *channels, uint64_t now);
/* Has anything come that pass has not seen? */
bool tp_channels_has_arrivals(const tp_channels *channels);
/* Is all that was said received, and nothing under way? */
bool tp_channels_are_idle(const tp_channels *channels);

/* After a frame was put. While little is under way the other side may have nothing to do: it begins
 * with what there is, rather than to wait for the end of this pass. Who has much under way is in no
 * hurry, and writes less often. False: it can wait. */
static inline bool tp_channel_hurry(tp_channel *channel)
{
    const tp_session *session = &channel->session;
    if (TP_LIKELY(session->number - session->sent_to < session->options.hurry_frames) ||
        session->sent_to - session->received_to > TP_HURRY_UNDER_WAY)
        return false;
    return tp_channels_hurry(channel);
}

/* In the order of their making. */
void tp_channels_each(
    tp_channels *channels, void (*visit)(void *user, tp_channel *channel), void *user);
tp_channels_counts tp_channels_count(const tp_channels *channels);

#endif
