/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door of the membership provider `postgres`, for module.c and its tests; see member.c.
 *
 * Threads: the opening one.
 */
#ifndef TP_PROVIDERS_POSTGRES_MEMBER_H
#define TP_PROVIDERS_POSTGRES_MEMBER_H

#include <troupe/membership.h>

TROUPE_CHECK troupe_status tp_postgres_member_open(const troupe_membership_host *host,
    const char *url, const char *cluster, troupe_membership **ret_membership, char *error,
    size_t error_size);

#endif
