/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of the tool over the network (troupe --connect): lets in who may, takes the requests that
 * make sense from afar (admin_codec.h says which), and hands them to the admin socket, whose answer
 * goes back. Not the protocol itself, and no way for actors: those speak between nodes.
 *
 * Invariants
 * 1. By TLS, where the node has certificates; in clear only on this machine, and by a token.
 * 2. At most REMOTE_CONNECTIONS_MAX at a time, each with one request; a silent one is closed.
 * 3. Who has not shown who it is within a time is cut, however slowly or much it speaks, and until
 * then has a small line and no connection to the admin socket. Who is refused is in the log.
 * Threads: one that accepts and cuts, one for each connection; the functions are the owner's, but
 * remote_take any.
 */
#ifndef TROUPED_REMOTE_H
#define TROUPED_REMOTE_H

#include "shared/stream.h"
#include "trouped/voice.h"

#define REMOTE_CONNECTIONS_MAX 32

typedef struct daemon_remote daemon_remote;

typedef struct remote_options {
    const char *address; /* NULL: none */
    const char *token_file;
    cmd_tls_files tls;
    const char *socket; /* the admin socket */
    daemon_voice *voice;
} remote_options;

/* Listens, and lets nobody in yet. OK with NULL: there is no address. What the options point to
 * must outlive it. False: `error`. */
bool remote_open(const remote_options *options, daemon_remote **ret_remote, char *error,
                 size_t error_size);
bool remote_start(daemon_remote *remote); /* false: no threads; NULL is fine */
/* Nobody is let in any more; connections end. */
void remote_close(daemon_remote *remote);
/* "host:port"; NULL: there is none. */
const char *remote_address(const daemon_remote *remote);

/* Token and certificates as their files are now: read, and for connections from now on. */
typedef struct remote_secrets remote_secrets;
bool remote_read(const daemon_remote *remote, remote_secrets **ret_secrets, char *error,
                 size_t error_size);
void remote_take(daemon_remote *remote, remote_secrets *secrets);
void remote_secrets_release(remote_secrets *secrets);

#endif
