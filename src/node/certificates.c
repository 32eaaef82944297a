/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads certificates. See certificates.h.
 *
 * Threads: any. The names do not change while the node is open.
 */
#include "node/certificates.h"

#include "base/alloc.h"
#include "cluster/cluster.h"
#include "os/file.h"

#include <troupe/cluster.h>

#include <stdio.h>
#include <string.h>

#define FILE_MOST ((size_t)1 << 20)

static const char *const option_names[TP_TLS_FILES] = {
    "tls_certificate", "tls_key", "tls_authority"};

static troupe_status remember(troupe_node *node)
{
    const troupe_node_options *options = &node->shared.options;
    const char *const paths[TP_TLS_FILES] = {
        options->tls_certificate, options->tls_key, options->tls_authority};
    for (int i = 0; i < TP_TLS_FILES; i++) {
        if (paths[i] == NULL || paths[i][0] == 0)
            continue;
        size_t size = strlen(paths[i]) + 1;
        node->tls_paths[i] = tp_allocate(node->shared.allocator, size);
        if (node->tls_paths[i] == NULL)
            return TROUPE_NO_MEMORY;
        memcpy(node->tls_paths[i], paths[i], size);
    }
    return TROUPE_OK;
}

void tp_node_close_certificates(troupe_node *node)
{
    for (int i = 0; i < TP_TLS_FILES; i++) {
        if (node->tls_paths[i] != NULL)
            tp_release(node->shared.allocator, node->tls_paths[i], strlen(node->tls_paths[i]) + 1);
        node->tls_paths[i] = NULL;
    }
}

/* Words of tp_tls_context_create begin with the option: the file is put behind it. */
static void name_file(const troupe_node *node, const char *words, char *error, size_t error_size)
{
    size_t size = strcspn(words, ":");
    for (int i = 0; i < TP_TLS_FILES; i++)
        if (size == strlen(option_names[i]) && memcmp(words, option_names[i], size) == 0) {
            (void)snprintf(error, error_size,
                "%s: %.300s:%.160s; it has to be PEM, and tls_key that of tls_certificate",
                option_names[i], node->tls_paths[i], words + size + 1);
            return;
        }
    (void)snprintf(error, error_size, "%s", words);
}

static troupe_status load(
    troupe_node *node, tp_tls_context **ret_context, char *error, size_t error_size)
{
    const troupe_allocator *allocator = node->shared.allocator;
    troupe_slice bytes[TP_TLS_FILES] = {{NULL, 0}};
    char words[256] = "";
    troupe_status status = TROUPE_OK;
    for (int i = 0; status == TROUPE_OK && i < TP_TLS_FILES; i++) {
        status =
            tp_file_read(allocator, node->tls_paths[i], FILE_MOST, &bytes[i], words, sizeof words);
        if (status != TROUPE_OK)
            (void)snprintf(error, error_size, "%s: %.300s cannot be read: %s", option_names[i],
                node->tls_paths[i], words);
    }
    if (status == TROUPE_OK) {
        const tp_tls_files files = {bytes[0], bytes[1], bytes[2]};
        status = tp_tls_context_create(allocator, &files, ret_context, words, sizeof words);
        if (status == TROUPE_CORRUPT)
            name_file(node, words, error, error_size);
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
    TROUPE_TRY(remember(node));
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
    if (node->cluster == NULL || node->tls_paths[0] == NULL) {
        (void)snprintf(error, error_size,
            "this node has no certificates: set tls_certificate, tls_key and tls_authority, and "
            "open it anew");
        return TROUPE_USAGE;
    }
    tp_tls_context *context;
    troupe_status status = load(node, &context, error, error_size);
    if (status != TROUPE_OK) {
        TP_LOG(&node->log, TROUPE_LOG_ERROR, "tls_kept", TP_NO_FIELDS,
            "%s; the certificates that were read before stay", error);
        return status;
    }
    tp_cluster_set_tls(node->cluster, context);
    tp_tls_context_release(context);
    TP_LOG(&node->log, TROUPE_LOG_INFO, "tls_reloaded", TP_NO_FIELDS,
        "connections from now on use the certificates that were read");
    return TROUPE_OK;
}
