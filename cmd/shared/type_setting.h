/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings of actor types in text, as the daemon and the tool read them from files, the environment
 * and flags: account.idle = 5m, agent.placement.require.gpu = true. Not options of a node, whose
 * words and limits most of them have.
 *
 * Invariants: 1. What cmd_setting_read took, cmd_setting_apply takes.
 * Threads: pure.
 */
#ifndef CMD_SHARED_TYPE_SETTING_H
#define CMD_SHARED_TYPE_SETTING_H

#include "shared/bytes.h"

#include <troupe/config.h>

/* X(name, option of the node that is meant where it is 0, or NULL) */
#define CMD_SETTING_MAP(X)                                                                         \
    X("idle", "idle")                                                                              \
    X("mailbox_limit", "mailbox_limit")                                                            \
    X("turn_batch", "turn_batch")                                                                  \
    X("stack_size", "stack_size")                                                                  \
    X("arena_limit", "arena_limit")                                                                \
    X("placement.policy", "placement")                                                             \
    X("placement.require", NULL)

typedef struct cmd_setting {
    troupe_slice type; /* of the key */
    const char *name;  /* one of the list */
    cmd_bytes value;   /* ends with a zero byte */
    bool is_term;      /* one term of placement.require, to be joined with its others */
} cmd_setting;

/* `key` as account.idle; `placement` alone is its policy. If it is OK the value is the caller's.
 * USAGE: `error` names what was probably meant, or the limits. */
TROUPE_CHECK troupe_status cmd_setting_read(const char *key, const char *value,
                                            cmd_setting *ret_setting, char *error,
                                            size_t error_size);

/* Sets it; texts are borrowed. A policy, or a condition, replaces what the type chose itself. */
TROUPE_CHECK troupe_status cmd_setting_apply(const char *name, const char *value,
                                             troupe_type *type, char *error, size_t error_size);

/* The setting that is, for a type, what an option of the node is for all; NULL: there is none. */
const char *cmd_setting_of_option(const char *option);

#endif
