/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificates of a node: the files that its options name, read to a TLS context, at its start
 * and again when it is told to. Called by joining.c; who asks for a reload calls
 * troupe_node_reload_tls.
 *
 * Invariants
 * 1. A context is made of all three files, or none is made.
 * Threads: any; it blocks on files.
 */
#ifndef TP_NODE_CERTIFICATES_H
#define TP_NODE_CERTIFICATES_H

#include "node/node.h"
#include "transport/tls.h"

/* Remembers the names, while the options are there, and reads the files. `ret_context` NULL: there
 * are none, clear text is spoken. USAGE: `error` names option and file; NO_MEMORY. */
TROUPE_CHECK troupe_status tp_node_open_certificates(
    troupe_node *node, tp_tls_context **ret_context, char *error, size_t error_size);
void tp_node_close_certificates(troupe_node *node);

/* Copies of the paths of options, for later. NULL: it is empty. NO_MEMORY. */
TROUPE_CHECK troupe_status tp_paths_keep(const troupe_allocator *allocator,
    const char *const given[static TP_TLS_FILES], char *kept[static TP_TLS_FILES]);
void tp_paths_release(const troupe_allocator *allocator, char *kept[static TP_TLS_FILES]);
/* What is in the files, by tp_file_release, in any case; a path that is NULL has none. USAGE:
 * `error` names option and file. */
TROUPE_CHECK troupe_status tp_paths_read(const troupe_allocator *allocator,
    const char *const options[static TP_TLS_FILES], char *const paths[static TP_TLS_FILES],
    troupe_slice ret_bytes[static TP_TLS_FILES], char *error, size_t error_size);
/* Words that begin with an option and a colon: its file is put behind it. */
void tp_paths_name(const char *const options[static TP_TLS_FILES],
    char *const paths[static TP_TLS_FILES], const char *words, char *error, size_t error_size);

#endif
