/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request to a node and its answer, over the admin socket or the network. Not a client library:
 * it waits, and it tells the user on standard error what went wrong.
 *
 * Invariants: 1. A lost connection is never reported as a success or as NOT_DONE.
 * Threads: one.
 */
#ifndef TROUPE_CONNECTION_H
#define TROUPE_CONNECTION_H

#include "shared/admin_codec.h"
#include "troupe/commands.h"

typedef struct cli_answer {
    json_t *root;  /* the answer; always an object */
    cmd_bytes line; /* the same as it came, without its end */
} cli_answer;

/* Begins {"id":1,"do":"…"; members are added by admin_write_…; cli_ask ends and sends it. */
void cli_request_begin(cmd_bytes *request, const char *verb);
/* Adds the actor that the text names. CLI_USAGE: it is no id, and that was told. */
cli_exit cli_request_actor(cmd_bytes *request, const char *text);

/* Sends the request and waits. Frees the request. CLI_FAILED: the answer was no success; its
 * words were printed (with --json: the answer itself, too). `about` is named in them. */
cli_exit cli_ask(const cli_context *context, cmd_bytes *request, const char *about,
                 cli_answer *ret_answer);
void cli_answer_deinit(cli_answer *answer);
/* With --json: prints the line, deinits the answer and is true. */
bool cli_printed_json(const cli_context *context, cli_answer *answer);

#endif
