/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS for callers over HTTP: which certificate the library shows, and whose certificates callers
 * may show. The library does the rest, over GnuTLS. Not the TLS between nodes (transport/tls.h).
 *
 * Invariants
 * 1. A context is never changed: new certificates are a new one, which connections made from then
 * on use; each connection holds its own until it has ended. Threads: a context any; a session is
 * the library's thread's of its connection.
 */
#ifndef TP_GATEWAY_TLS_H
#define TP_GATEWAY_TLS_H

#include "gateway/gateway.h"

#include <microhttpd.h>

typedef struct tp_http_tls tp_http_tls;

/* Connections take the newest. */
typedef struct tp_http_tls_slot {
    atomic_flag lock;
    tp_http_tls *newest; /* NULL: clear text is spoken */
} tp_http_tls_slot;

/* CORRUPT: `error` names the option and what is wrong; NO_MEMORY. Retained once. */
TROUPE_CHECK troupe_status tp_http_tls_create(const troupe_allocator *allocator,
    const tp_gateway_files *files, tp_http_tls **ret_tls, char *error, size_t error_size);
void tp_http_tls_release(tp_http_tls *tls); /* NULL is a no-op */
/* Takes the reference. */
void tp_http_tls_put(tp_http_tls_slot *slot, tp_http_tls *tls);
/* PEM of the authority, ends with NUL; NULL: callers need no certificate. */
const char *tp_http_tls_trust(const tp_http_tls *tls);

/* What the library calls: for its MHD_OPTION_NOTIFY_CONNECTION, with the gateway, and for its
 * MHD_OPTION_HTTPS_CERT_CALLBACK (a gnutls_certificate_retrieve_function2). */
void tp_http_tls_connection(void *gateway, struct MHD_Connection *connection, void **context,
    enum MHD_ConnectionNotificationCode code);
void *tp_http_tls_retriever(void);

/* Of a connection with TLS: has the caller shown a certificate of the authority, or is there none?
 */
bool tp_http_tls_knows(struct MHD_Connection *connection);

#endif
