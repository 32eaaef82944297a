/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How two nodes meet on a new connection: whom do I speak to, are we of one cluster, which version
 * do we speak, how far did we come last time. Sans-IO, no memory of its own but the struct. Not the
 * session, which begins with the first byte after it; not TLS, which lies below it.
 *
 *   client                                   server
 *   preamble, OPEN (versions, nonce)   ->
 *                                      <-    CHALLENGE (version, nonce)
 *   HELLO (who, proof)                 ->
 *                                      <-    HELLO (who, proof)
 *
 * Either may say REFUSED (status, words) instead, and closes. The preamble is read by the listener,
 * which gives the connection to the shard that it names. The proof is HMAC-SHA256 under the
 * cluster's token over all that was said before on this connection and the HELLO itself, so it
 * proves the token without showing it, and cannot be used again. A node says who it is only after
 * the client has proven itself. (A token that can be guessed can be guessed from a recorded hello:
 * make it of 128 random bits.)
 *
 * Invariants
 * 1. Nothing of a peer is believed before its proof is checked, but the name of its cluster, for
 * words. 2. Every refusal has a status and words for this side's log, and words for the peer's that
 * tell a stranger nothing. 3. Bytes are taken up to the end of the hello and no further.
 * Threads: one owner.
 */
#ifndef TP_WIRE_HELLO_H
#define TP_WIRE_HELLO_H

#include "base/limits.h"
#include "wire/compress.h"

#include <troupe/base.h>
#include <troupe/status.h>

enum {
    TP_PREAMBLE_BYTES = 8,
    TP_HELLO_NONCE_BYTES = 16,
    TP_HELLO_PROOF_BYTES = 32,
    TP_HELLO_ADDRESS_MAX = 255,
    TP_HELLO_BODY_MAX = 1024,
    TP_HELLO_TOKEN_MAX = 256,
};

#define TP_SHARD_CONTROL 0xFFFF /* the control runner, in place of a shard */

/* ---- preamble: the first bytes of a connection ---- */

enum { TP_PREAMBLE_TLS = 1 /* TLS follows, and the rest inside of it */ };

typedef struct tp_preamble {
    uint16_t shard; /* that is wanted */
    uint8_t flags;
} tp_preamble;

/* Writes TP_PREAMBLE_BYTES. */
void tp_preamble_put(char *at, tp_preamble preamble);
/* NULL; or what is wrong, a static text for the log: a port scanner, HTTP, TLS, another version. */
TROUPE_CHECK const char *tp_preamble_get(const char *at, tp_preamble *ret_preamble);

/* ---- who ---- */

typedef struct tp_hello_side {
    uint64_t incarnation, view;
    uint64_t features;
    uint64_t received;  /* number of the last frame of this session that it has; 0: none */
    uint32_t max_frame; /* that it takes */
    uint16_t shard, shards;
    uint16_t link; /* which of several sessions between the two shards */
    troupe_slice node, address;
} tp_hello_side;

typedef enum tp_hello_event {
    TP_HELLO_MORE,    /* needs bytes; look whether there are some to write */
    TP_HELLO_JUDGE,   /* `peer` is proven: tp_hello_accept or tp_hello_refuse */
    TP_HELLO_DONE,    /* what follows is the session's */
    TP_HELLO_REFUSED, /* write what there is, close, log `reason` */
} tp_hello_event;

typedef enum tp_hello_state {
    TP_HELLO_AWAITS_OPEN,
    TP_HELLO_AWAITS_CHALLENGE,
    TP_HELLO_AWAITS_HELLO,
    TP_HELLO_AT_JUDGE,
    TP_HELLO_AT_END,
    TP_HELLO_AT_REFUSAL,
} tp_hello_state;

typedef struct tp_hello_options {
    tp_hello_side self;
    tp_preamble preamble;    /* as it was sent */
    troupe_slice cluster;    /* 1 to TP_NAME_MAX bytes */
    troupe_slice token;      /* empty: everyone has it */
    uint64_t peer;           /* the incarnation that a client wants to meet; 0: any */
    uint16_t oldest, newest; /* wire versions; 0: those of this build */
    const void *nonce;       /* TP_HELLO_NONCE_BYTES fresh random bytes */
} tp_hello_options;

typedef struct tp_hello {
    tp_hello_options options; /* its slices must live as long */
    tp_hello_state state;
    bool is_client;
    bool refused_by_peer;
    uint16_t version;     /* agreed on */
    uint64_t wanted;      /* the incarnation that the client wants */
    tp_hello_side peer;   /* slices of what is below; good from JUDGE on */
    troupe_status status; /* REFUSED: DENIED, UNAVAILABLE, CORRUPT, ... */
    char reason[512];
    char names[TP_NAME_MAX + TP_HELLO_ADDRESS_MAX];
    size_t in_size, out_size, said_size;
    char in[TP_HELLO_BODY_MAX + 4];
    char out[TP_HELLO_BODY_MAX + 64];
    char said[3 * TP_HELLO_BODY_MAX + 128]; /* all that was said, for the proofs */
} tp_hello;

/* A client's has bytes to write at once: preamble and OPEN. */
void tp_hello_init_client(tp_hello *hello, const tp_hello_options *options);
void tp_hello_init_server(tp_hello *hello, const tp_hello_options *options);

/* What is to be written; it stays in place until the next call of another function than this, which
 * must not be before it is written. False: nothing. Before TLS the preamble goes by itself: see
 * tp_hello_skip_preamble. */
bool tp_hello_take(tp_hello *hello, troupe_slice *ret_bytes);
/* The preamble was written already, in clear. */
void tp_hello_skip_preamble(tp_hello *hello);

/* `*ret_used` of the bytes were the hello's. */
TROUPE_CHECK tp_hello_event tp_hello_feed(
    tp_hello *hello, const void *bytes, size_t size, size_t *ret_used);

/* At JUDGE. A server says how much of the session it has received. Returns DONE. */
tp_hello_event tp_hello_accept(tp_hello *hello, uint64_t received);
/* Any time before the end. `text` goes to the peer and to `reason`. Returns REFUSED. */
tp_hello_event tp_hello_refuse(tp_hello *hello, troupe_status status, const char *text);

#endif
