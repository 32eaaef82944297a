/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.3 between nodes, without sockets: bytes of the connection in and out, bytes of the hello
 * and the session in and out. Both sides show a certificate of the cluster's own authority; a name
 * in it is not looked at, since the hello proves the cluster and the view names the members. Not
 * the preamble, which goes before it in clear. connection.c drives it.
 *
 * Invariants
 * 1. Nothing comes out of tp_tls_read before the peer's certificate has been checked, and nothing
 * that was given to tp_tls_write leaves before. 2. A context is never changed: new certificates are
 * a new context, which connections made from then on use. 3. A broken one says why, and nothing
 * more goes in or out but the alert that tells the peer.
 * Threads: a context any, since it is only counted; a tls has one owner.
 */
#ifndef TP_TRANSPORT_TLS_H
#define TP_TRANSPORT_TLS_H

#include <troupe/base.h>
#include <troupe/status.h>

typedef struct tp_tls_context tp_tls_context;
typedef struct tp_tls tp_tls;

/* Each in PEM, as its file has it. */
typedef struct tp_tls_files {
    troupe_slice certificate; /* the node's, and those between it and the authority */
    troupe_slice key;         /* its private key, not locked by words */
    troupe_slice authority;   /* one or more: whose certificates are let in */
} tp_tls_files;

/* CORRUPT: `error` names the file by its option, and what is wrong; NO_MEMORY. Retained once. */
TROUPE_CHECK troupe_status tp_tls_context_create(const troupe_allocator *allocator,
    const tp_tls_files *files, tp_tls_context **ret_context, char *error, size_t error_size);
void tp_tls_context_retain(tp_tls_context *context);
void tp_tls_context_release(tp_tls_context *context); /* NULL is a no-op */

/* [any thread] From one thread to another, by a slot that holds the last one that was given and not
 * taken yet. Give retains it; of take it is the caller's, NULL: none was given. */
void tp_tls_context_give(_Atomic(tp_tls_context *) *slot, tp_tls_context *context);
tp_tls_context *tp_tls_context_take(_Atomic(tp_tls_context *) *slot);

/* NULL: no memory. Retains the context. */
TROUPE_CHECK tp_tls *tp_tls_create(
    tp_tls_context *context, const troupe_allocator *allocator, bool is_client);
void tp_tls_destroy(tp_tls *tls); /* NULL is a no-op */

/* Bytes of the connection. False: it is broken, see tp_tls_reason; there may be an alert to take.
 */
TROUPE_CHECK bool tp_tls_feed(tp_tls *tls, troupe_slice bytes);
/* How many of the peer's bytes were put to `out`; 0: none are there, or it is broken. */
size_t tp_tls_read(tp_tls *tls, void *out, size_t room);
/* Bytes for the peer, before the handshake has ended too. False: broken, or no memory. */
TROUPE_CHECK bool tp_tls_write(tp_tls *tls, troupe_slice bytes);
/* What is to be written to the connection now; it stays until the next call of take. False:
 * nothing. */
bool tp_tls_take(tp_tls *tls, troupe_slice *ret_bytes);

/* Has the handshake ended? */
bool tp_tls_is_ready(const tp_tls *tls);
/* NULL: it is not broken. */
const char *tp_tls_reason(const tp_tls *tls);

#endif
