/* SPDX-License-Identifier: Apache-2.0 */
/*
 * References in the values of options, ${file:PATH} and ${env:NAME}: read once, while a node opens.
 * And what is shown of values that hold secrets, which options.def names by their kind: SECRET all
 * of it, URL its password. Called by options.c and node.c. Not the daemon's rule where a relative
 * PATH begins: here it is the working directory.
 *
 * Invariants
 * 1. What is shown holds nothing of a secret, not even its length.
 * Threads: any; resolving blocks on files.
 */
#ifndef TP_NODE_REFERENCES_H
#define TP_NODE_REFERENCES_H

#include "node/options.h"

#define TP_REFERENCE_TEXT_MOST ((size_t)16 * 1024) /* of a value with its references resolved */

/* Values with their references resolved, while a node opens; overwritten when released. */
typedef struct tp_kept_text {
    struct tp_kept_text *next;
    char text[TP_REFERENCE_TEXT_MOST];
} tp_kept_text;

/* USAGE: a "${" in it begins no reference; `error` says how one is written. Pure. */
TROUPE_CHECK troupe_status tp_references_check(
    const char *name, const char *text, char *error, size_t error_size);

/* Makes the texts of `options` such without references; those that had some are put before
 * `*list`, which the caller releases, in any case. USAGE: `error` names option, reference and
 * reason. */
TROUPE_CHECK troupe_status tp_references_resolve(const troupe_allocator *allocator,
    troupe_node_options *options, tp_kept_text **list, char *error, size_t error_size);
void tp_references_release(const troupe_allocator *allocator, tp_kept_text *list);

/* Copies, resolves references, and resolves (options.h). If it is OK the caller releases
 * `*ret_kept`, by the allocator of the options, when their texts are not needed any more. */
TROUPE_CHECK troupe_status tp_options_prepare(const troupe_node_options *given,
    troupe_node_options *ret_options, tp_kept_text **ret_kept, char *error, size_t error_size);

/* Writes what may be seen of the value. Like snprintf. A value that is one reference is seen. */
size_t tp_option_show(const tp_option *option, const char *text, char *out, size_t size);

/* Takes the secrets of `options`, whose references are resolved, out of words about them. */
void tp_options_hide(const troupe_node_options *options, char *words, size_t size);

#endif
