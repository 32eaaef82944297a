/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the URL of a cluster's membership store to its provider, by the ways of providers.c: in the
 * library (`file:`), or a module libtroupe_SCHEME.so, which may hold a storage provider too. Called
 * by who opens a node of a cluster, once for all handles.
 *
 * Threads: the opening thread.
 */
#ifndef TP_NODE_MEMBERSHIP_H
#define TP_NODE_MEMBERSHIP_H

#include <troupe/membership.h>

/* The provider of a URL, and the module it is in (NULL: the library), to be given back by
 * tp_provider_release once all handles are closed. USAGE: `error` says what was looked for. */
TROUPE_CHECK troupe_status tp_membership_find(const char *url,
    const troupe_membership_provider **ret_provider, void **ret_module, char *error,
    size_t error_size);

#endif
