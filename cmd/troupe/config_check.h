/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks for errors in a configuration file of trouped; called by config.c, which is the command.
 * Invariants: none between calls. Threads: one.
 */
#ifndef TROUPE_CONFIG_CHECK_H
#define TROUPE_CONFIG_CHECK_H

#include "troupe/commands.h"

/* Of the file that is the command's argument. FAILED: it has errors, which have been told. */
cli_exit cli_check_config(const cli_context *context);

#endif
