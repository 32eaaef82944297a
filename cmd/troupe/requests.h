/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What several commands put into their requests. look.c has it.
 * Invariants: 1. What is refused was told to the user, and the request is freed. Threads: one.
 */
#ifndef TROUPE_REQUESTS_H
#define TROUPE_REQUESTS_H

#include "troupe/connection.h"

/* "type", "pattern" and "limit" out of PATTERN, --type and --limit. */
cli_exit cli_request_filter(const cli_context *context, cmd_bytes *request);

#endif
