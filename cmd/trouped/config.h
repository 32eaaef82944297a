/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of a daemon that runs: what is in force, and reading it anew. Not how it is
 * read, which is options.h, nor what can change, which the node knows (troupe_node_reload).
 *
 * Invariants
 * 1. A configuration that is wrong anywhere changes nothing.
 * 2. What is shown as a value is in force; what waits for a restart is shown beside it.
 * Threads: daemon_config_reload one, a worker's; daemon_config_write any.
 */
#ifndef TROUPED_CONFIG_H
#define TROUPED_CONFIG_H

#include "shared/bytes.h"
#include "trouped/options.h"
#include "trouped/remote.h"
#include "trouped/voice.h"

typedef struct daemon_config daemon_config;

/* `first`: with which the node was opened; it and the others must outlive it. `remote` may be NULL.
 * NULL: no memory. */
daemon_config *daemon_config_create(const daemon_options *first, const daemon_modules *modules,
                                    troupe_node *node, daemon_remote *remote,
                                    daemon_voice *voice);
void daemon_config_destroy(daemon_config *config);

/* Members of the answer to "config", each with its comma. */
void daemon_config_write(daemon_config *config, cmd_bytes *out);

/* Reads flags, environment and file again, has the node take what can change, says all of it in
 * the log and to the service manager, and adds the answer's members. It waits. Other than OK:
 * `error` says why. */
TROUPE_CHECK troupe_status daemon_config_reload(daemon_config *config, cmd_bytes *out, char *error,
                                                size_t error_size);

/* What is in force, in ns. */
uint64_t daemon_config_drain_timeout(const daemon_config *config);
uint64_t daemon_config_ask_timeout(const daemon_config *config);

#endif
