/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin socket's server: a loop that reads requests, hands them to the node and writes the
 * answers, and the order in which a daemon stops. Not the protocol's bytes (shared/admin_codec.h)
 * and not the socket's file (listen.h). main.c calls it.
 *
 * Threads: server_stop from the loop's thread; the rest from the thread that made it.
 */
#ifndef TROUPED_SERVER_H
#define TROUPED_SERVER_H

#include "trouped/config.h"
#include "trouped/listen.h"

#include <troupe.h>

typedef struct daemon_server daemon_server;

typedef struct daemon_server_options {
    troupe_node *node;
    const troupe_type *const *types;
    size_t type_count;
    daemon_config *config;
    listen_socket *socket;   /* the server takes its descriptor */
    daemon_voice *voice;
} daemon_server_options;

/* False: no memory, or no threads. What the options point to must outlive the server. */
bool server_create(const daemon_server_options *options, daemon_server **ret_server);
/* Serves until it was stopped: by a signal, or by a request. */
void server_run(daemon_server *server);
/* Gives the clients back to the node, which may close then. */
void server_close_clients(daemon_server *server);
/* After the node is closed. */
void server_destroy(daemon_server *server);

#endif
