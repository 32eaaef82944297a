/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A caller's connection to a node: at its admin socket, or over the network where it has --remote.
 * One request, one answer. The tool and the client library call it. Not what is said
 * (admin_codec.h), nor the other end.
 *
 * Invariants: 1. A lost connection is never told as a success, nor as NOT_DONE once a request was
 * sent. 2. Nothing is waited for that nobody answers: connecting and TLS have LINK_SECONDS together
 * (looking the host's name up is not counted), a request has the patience of who sends it.
 * Threads: one at a time per link.
 */
#ifndef CMD_SHARED_LINK_H
#define CMD_SHARED_LINK_H

#include "shared/bytes.h"
#include "shared/stream.h"

#include <troupe/status.h>

typedef struct cmd_link_options {
    const char *socket;  /* path; NULL: */
    const char *address; /* HOST:PORT */
    cmd_tls_files tls;
    const char *server_name; /* of the node's certificate; NULL or "": HOST */
    const char *token_file;  /* NULL or "": none */
} cmd_link_options;

/* Neither NULL nor "". */
bool cmd_link_is_given(const char *text);
/* USAGE: the options are wrong, or a file is. UNAVAILABLE: nobody answers, or not as wanted. */
TROUPE_CHECK troupe_status cmd_link_open(const cmd_link_options *options, cmd_stream *ret_link,
                                         char *error, size_t error_size);
/* Has the other end closed it? */
bool cmd_link_has_ended(const cmd_stream *link);
/* How long to wait for the answer to a call with that time-out, which the node keeps: some seconds
 * more. 0: it has none, and the usual ask_timeout counts. */
uint64_t cmd_link_patience(uint64_t timeout);
/* Sends a line, with its end; the answer, without. Should none come within `patience` (ns; 0: never
 * too late), one that says so is made up; false then: the link is of no more use. */
bool cmd_link_call(cmd_stream *link, const cmd_bytes *request, uint64_t patience,
                   cmd_bytes *ret_line);

#endif
