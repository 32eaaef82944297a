/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads certificates. See certificates.h.
 *
 * Threads: any. The names do not change while the node is open.
 */
#include "node/certificates.h"

#include "base/alloc.h"
#include "cluster/cluster.h"
#include "node/gateway.h"
#include "os/file.h"

#include <troupe/cluster.h>

#include <stdio.h>
#include <string.h>

#define FILE_MOST ((size_t)1 << 20)

static const char *const option_names[TP_TLS_FILES] = {
    "tls_certificate", "tls_key", "tls_authority"};

/* ---- files ----------------------------------------------------------------------------------- */

troupe_status tp_paths_keep(const troupe_allocator *allocator,
    const char *const given[static TP_TLS_FILES], char *kept[static TP_TLS_FILES])
{
    for (int i = 0; i < TP_TLS_FILES; i++) {
        if (given[i] == NULL || given[i][0] == 0)
            continue;
        size_t size = strlen(given[i]) + 1;
        kept[i] = tp_allocate(allocator, size);
        if (kept[i] == NULL)
            return TROUPE_NO_MEMORY;
        memcpy(kept[i], given[i], size);
    }
    return TROUPE_OK;
}

void tp_paths_release(const troupe_allocator *allocator, char *kept[static TP_TLS_FILES])
{
    for (int i = 0; i < TP_TLS_FILES; i++) {
        if (kept[i] != NULL)
            tp_release(allocator, kept[i], strlen(kept[i]) + 1);
        kept[i] = NULL;
    }
}

troupe_status tp_paths_read(const troupe_allocator *allocator,
    const char *const options[static TP_TLS_FILES], char *const paths[static TP_TLS_FILES],
    troupe_slice ret_bytes[static TP_TLS_FILES], char *error, size_t error_size)
{
    char words[256] = "";
    troupe_status status = TROUPE_OK;
    for (int i = 0; i < TP_TLS_FILES; i++)
        ret_bytes[i] = (troupe_slice){NULL, 0};
    for (int i = 0; status == TROUPE_OK && i < TP_TLS_FILES; i++) {
        if (paths[i] == NULL)
            continue;
        status = tp_file_read(allocator, paths[i], FILE_MOST, &ret_bytes[i], words, sizeof words);
        if (status != TROUPE_OK)
            (void)snprintf(
                error, error_size, "%s: %.300s cannot be read: %s", options[i], paths[i], words);
    }
    return status == TROUPE_OK || status == TROUPE_NO_MEMORY ? status : TROUPE_USAGE;
}

void tp_paths_name(const char *const options[static TP_TLS_FILES],
    char *const paths[static TP_TLS_FILES], const char *words, char *error, size_t error_size)
{
    size_t size = strcspn(words, ":");
    for (int i = 0; i < TP_TLS_FILES; i++)
        if (paths[i] != NULL && size == strlen(options[i]) &&
            memcmp(words, options[i], size) == 0) {
            (void)snprintf(error, error_size,
                "%s: %.300s:%.160s; it has to be PEM, and %s that of %s", options[i], paths[i],
                words + size + 1, options[1], options[0]);
            return;
        }
    (void)snprintf(error, error_size, "%s", words);
}

/* ---- those of the cluster -------------------------------------------------------------------- */

void tp_node_close_certificates(troupe_node *node)
{
    tp_paths_release(node->shared.allocator, node->tls_paths);
}

static troupe_status load(
    troupe_node *node, tp_tls_context **ret_context, char *error, size_t error_size)
{
    const troupe_allocator *allocator = node->shared.allocator;
    troupe_slice bytes[TP_TLS_FILES];
    char words[256] = "";
    troupe_status status =
        tp_paths_read(allocator, option_names, node->tls_paths, bytes, error, error_size);
    if (status == TROUPE_OK) {
        const tp_tls_files files = {bytes[0], bytes[1], bytes[2]};
        status = tp_tls_context_create(allocator, &files, ret_context, words, sizeof words);
        if (status == TROUPE_CORRUPT)
            tp_paths_name(option_names, node->tls_paths, words, error, error_size);
    }
    for (int i = 0; i < TP_TLS_FILES; i++)
        tp_file_release(allocator, bytes[i]);
    if (status == TROUPE_NO_MEMORY)
        (void)snprintf(error, error_size, "no memory for certificates");
    return status == TROUPE_OK || status == TROUPE_NO_MEMORY ? status : TROUPE_USAGE;
}

troupe_status tp_node_open_certificates(
    troupe_node *node, tp_tls_context **ret_context, char *error, size_t error_size)
{
    const troupe_node_options *options = &node->shared.options;
    const char *const paths[TP_TLS_FILES] = {
        options->tls_certificate, options->tls_key, options->tls_authority};
    TROUPE_TRY(tp_paths_keep(node->shared.allocator, paths, node->tls_paths));
    if (node->tls_paths[0] != NULL)
        return load(node, ret_context, error, error_size);
    *ret_context = NULL;
    return TROUPE_OK;
}

troupe_status troupe_node_reload_tls(troupe_node *node, char *error, size_t error_size)
{
    char local[512];
    if (error == NULL || error_size == 0) {
        error = local;
        error_size = sizeof local;
    }
    error[0] = 0;
    bool is_cluster = node->cluster != NULL && node->tls_paths[0] != NULL;
    if (!is_cluster && !tp_node_gateway_is_tls(node)) {
        (void)snprintf(error, error_size,
            "this node has no certificates: set tls_certificate, tls_key and tls_authority, or "
            "http_tls_certificate and http_tls_key, and open it anew");
        return TROUPE_USAGE;
    }
    tp_tls_context *context = NULL;
    troupe_status status = is_cluster ? load(node, &context, error, error_size) : TROUPE_OK;
    if (status == TROUPE_OK)
        status = tp_node_reload_gateway(node, error, error_size);
    if (status != TROUPE_OK) {
        tp_tls_context_release(context);
        TP_LOG(&node->log, TROUPE_LOG_ERROR, "tls_kept", TP_NO_FIELDS,
            "%s; the certificates that were read before stay", error);
        return status;
    }
    if (is_cluster)
        tp_cluster_set_tls(node->cluster, context);
    tp_tls_context_release(context);
    TP_LOG(&node->log, TROUPE_LOG_INFO, "tls_reloaded", TP_NO_FIELDS,
        "connections from now on use the certificates that were read");
    return TROUPE_OK;
}
