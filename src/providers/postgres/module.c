/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entry of libtroupe_postgres.so, found by the scheme of `postgres://…`. Nothing else is here:
 * tests link the provider without it.
 *
 * Threads: none.
 */
#include "providers/postgres/postgres.h"

TROUPE_PROVIDER("postgres", tp_postgres_open);
