/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of libtroupe_postgres.so, of storage and of membership, found by the scheme of
 * `postgres://…`. Nothing else is here:
 * tests link the provider without it.
 *
 * Threads: none.
 */
#include "providers/postgres/member.h"
#include "providers/postgres/postgres.h"

TROUPE_PROVIDER("postgres", tp_postgres_open);
TROUPE_MEMBERSHIP("postgres", tp_postgres_member_open);
