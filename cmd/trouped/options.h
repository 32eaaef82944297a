/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How trouped was asked to run: flags, environment and configuration file, put together. Flags go
 * before the environment, the environment before the file. Not the options of a node themselves,
 * which are <troupe/config.h>.
 *
 * Invariants: 1. What the file says is applied first and flags last, so that the last word counts.
 * 2. All texts live until daemon_options_deinit.
 * Threads: one.
 */
#ifndef TROUPED_OPTIONS_H
#define TROUPED_OPTIONS_H

#include "shared/names.h"
#include "trouped/overrides.h"

#include <troupe/config.h>

#define OPTIONS_MAX 128

typedef struct daemon_options {
    troupe_node_options node;
    const char *config; /* NULL: none */
    const char *socket;
    const char *remote;       /* NULL: none */
    const char *remote_token; /* a file; NULL: none */
    const char *loads[MODULES_MAX];
    size_t load_count;
    bool is_help;
    bool is_version;
    bool is_check;
    bool is_manual;
    type_overrides overrides;
    struct {
        const char *name;
        const char *from; /* "file", "environment", "flag" */
    } origins[OPTIONS_MAX];
    size_t origin_count;
    char usual_socket[CMD_SOCKET_PATH_MAX];
    troupe_type *types; /* copies with overrides; NULL: none */
    const troupe_type **type_list; /* as the modules say, or with overrides */
    int argc;
    char **argv;
    char **texts;
    size_t text_count;
} daemon_options;

/* False: `error` says what is wrong and what to do. */
bool daemon_options_read(daemon_options *options, int argc, char **argv, char *error,
                         size_t error_size);
void daemon_options_deinit(daemon_options *options);

/* Makes `type_list`: the settings of types over what the modules say. */
bool daemon_options_apply(daemon_options *options, const daemon_modules *modules, char *error,
                          size_t error_size);

/* Words about an option that came from the file get its place there in front. */
void daemon_options_place(const daemon_options *options, char *error, size_t error_size);

/* "default", "file", "environment" or "flag". */
const char *daemon_options_origin(const daemon_options *options, const char *name);

/* help.c */
void daemon_options_print_help(void);
void daemon_options_print_manual(void);

#endif
