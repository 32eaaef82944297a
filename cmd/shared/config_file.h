/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the lines of a configuration file of trouped mean: options of the node, modules, the socket,
 * settings of types. Not YAML itself, nor the table of options, which are <troupe/config.h>. The
 * daemon takes what is read here, `troupe config --check` throws it away.
 *
 * Invariants: 1. What is refused here does not depend on modules, flags or the environment.
 * Threads: one.
 */
#ifndef CMD_SHARED_CONFIG_FILE_H
#define CMD_SHARED_CONFIG_FILE_H

#include "shared/type_setting.h"

#include <troupe/config.h>

typedef enum cmd_config_what {
    CMD_CONFIG_OPTION = 1,
    CMD_CONFIG_MODULE,
    CMD_CONFIG_SOCKET,
    CMD_CONFIG_REMOTE,       /* the address */
    CMD_CONFIG_REMOTE_TOKEN, /* the file */
    CMD_CONFIG_SETTING, /* of a type */
} cmd_config_what;

typedef struct cmd_config_word {
    cmd_config_what what;
    const char *name;    /* of an option; lives as long as the entry */
    cmd_setting setting; /* SETTING; its texts are the caller's, as `value` */
    cmd_bytes value;     /* relative paths of files to load or to read begin at the file's folder */
} cmd_config_word;

/* False: `error` says why. */
bool cmd_file_read(const char *path, char **ret_data, size_t *ret_size, char *error,
                   size_t error_size);

/* `file` is the path of the file; if it is OK, what it holds is the caller's. An option is not
 * looked at further: cmd_option_set does it. USAGE: `error` says what is wrong. */
TROUPE_CHECK troupe_status cmd_config_read(const char *file, const troupe_config_entry *entry,
                                           cmd_config_word *ret_word, char *error,
                                           size_t error_size);

/* Where the file has the option with whose name `words` begin, as errors about one do; untouched:
 * it does not. */
void cmd_config_find(troupe_slice yaml, const char *words, uint32_t *ret_line,
                     uint32_t *ret_column);

/* As troupe_options_set, without those that a daemon cannot have. */
TROUPE_CHECK troupe_status cmd_option_set(troupe_node_options *options, const char *name,
                                          const char *value, char *error, size_t error_size);

#endif
