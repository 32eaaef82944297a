/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The membership provider `file:`, in the library itself; see file.c. Included by the table of
 * providers and by tests.
 *
 * Threads: any; a handle belongs to one.
 */
#ifndef TP_PROVIDERS_FILE_FILE_H
#define TP_PROVIDERS_FILE_FILE_H

#include <troupe/membership.h>

TROUPE_CHECK troupe_status tp_member_file_open(const troupe_membership_host *host, const char *url,
    const char *cluster, troupe_membership **ret_membership, char *error, size_t error_size);

extern const troupe_membership_provider tp_member_file_provider;

#endif
