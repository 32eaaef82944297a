/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kinds of operations the storage port has. For providers, which may not repeat all alike, and
 * whose failures mean UNKNOWN for some only.
 */
#ifndef TP_STORE_KIND_H
#define TP_STORE_KIND_H

#include <troupe/provider.h>

/* False: it only reads, so that it may be done again, and a failure has changed nothing. */
static inline bool tp_store_changes(const troupe_store_op *op)
{
    switch (op->kind) {
    case TROUPE_STORE_OPEN_WRITER:
    case TROUPE_STORE_CLOSE_WRITER:
    case TROUPE_STORE_CLOSE_OLDER:
    case TROUPE_STORE_COMMIT:
    case TROUPE_STORE_PRUNE:
        return true;
    default:
        return false;
    }
}

#endif
