/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls to a cluster from a program that hosts nothing and is no member: by a connection to one of
 * its nodes, at its admin socket or over the network (`trouped --remote`), as the tool calls it
 * (docs/admin-socket.md). In a library of its own: link troupe_client, beside troupe.
 *
 * One call at a time: it waits for its answer. A connection that has gone is opened again by the
 * next call; that takes ten seconds at most, once the name of the host has been looked up. A call
 * ends by its time-out, which the node keeps, or five seconds behind it if the node is silent. An
 * ask without a time-out, and a tell, wait for the node for 35 seconds: give an ask one if the
 * node's ask_timeout is longer than the usual half a minute.
 *
 * Threads: [one thread at a time] for each remote; any number of remotes, of any threads. No signal
 * reaches the program by it.
 */
#ifndef TROUPE_CLIENT_H
#define TROUPE_CLIENT_H

#include "troupe.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct troupe_remote troupe_remote;

/* One of `address` and `socket`; an empty text is none. All texts are copied. */
typedef struct troupe_remote_options {
    size_t size;         /* set by TROUPE_REMOTE_OPTIONS; another one is USAGE */
    const char *address; /* HOST:PORT of a node that has --remote */
    const char *socket;  /* path of the admin socket of a node of this machine */
    /* To speak TLS: PEM files, all three. They are read at each connection. NULL: clear text. */
    const char *certificate, *key, *authority;
    const char *server_name; /* of the node's certificate; NULL: HOST */
    const char *token_file;  /* what to show is in there; NULL: nothing */
} troupe_remote_options;

#define TROUPE_REMOTE_OPTIONS .size = sizeof(troupe_remote_options)

/* Connects. USAGE: the options are wrong, or a file is. UNAVAILABLE: nobody answers there, or not
 * who was called: try again later. NO_MEMORY. `error` (may be NULL) says what is wrong in words.
 *     troupe_remote *remote;
 *     troupe_remote_options options = {TROUPE_REMOTE_OPTIONS, .address = "10.0.0.5:7900", ...};
 *     if (troupe_remote_open(&options, &remote, error, sizeof error) == TROUPE_OK) ... */
TROUPE_API TROUPE_CHECK troupe_status troupe_remote_open(const troupe_remote_options *options,
    troupe_remote **ret_remote, char *error, size_t error_size);
/* NULL is a no-op. */
TROUPE_API void troupe_remote_close(troupe_remote *remote);

/* As troupe_node_ask. `ret_answer` is filled in any case; what it points to is the remote's, and
 * good until its next call, or its close: it need not be released. Of the options (may be NULL)
 * timeout (24 hours at most), content_type and once count; others are USAGE. UNAVAILABLE, NOT_DONE:
 * nothing was sent. UNKNOWN: the connection went before the answer came, or the node was silent. */
TROUPE_API TROUPE_CHECK troupe_status troupe_remote_ask(troupe_remote *remote, troupe_id id,
    const char *method, troupe_slice payload, const troupe_call_options *options,
    troupe_answer *ret_answer);
/* As troupe_node_tell, of the connection as its client. OK: the node has accepted it. `ret_answer`
 * (may be NULL) is for the words of an error. `once` is USAGE. */
TROUPE_API TROUPE_CHECK troupe_status troupe_remote_tell(troupe_remote *remote, troupe_id id,
    const char *method, troupe_slice payload, const troupe_call_options *options,
    troupe_answer *ret_answer);

#ifdef __cplusplus
}
#endif
#endif
