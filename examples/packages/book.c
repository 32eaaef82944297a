/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending by the address book. A tell may be refused with BUSY: nothing has happened, the receiver
 * or the link to its shard is full, and whoever sends must wait and try again. Called by both actor
 * types.
 *
 * Invariants: 1. A send that returns OK was accepted. 2. One that does not is noted in the book, so
 * that the run fails, and nothing is sent any more.
 * Threads: the shards; what is shared is atomic.
 */
#include "actors.h"

/* Where not even a fiber to wait on is free, the other shard may make room while this one tries. */
#define TRIES_WITHOUT_FIBER 1000000

troupe_status book_note(struct address_book *book, troupe_status status)
{
    int none = TROUPE_OK;
    if (status != TROUPE_OK)
        atomic_compare_exchange_strong(&book->trouble, &none, (int)status);
    return status;
}

troupe_status book_tell(
    troupe_turn *turn, const troupe_ref *to, troupe_selector method, const void *data, size_t size)
{
    struct address_book *book = troupe_turn_user(turn);
    uint32_t tries = 0;
    for (;;) {
        int trouble = atomic_load_explicit(&book->trouble, memory_order_relaxed);
        if (trouble != TROUPE_OK)
            return (troupe_status)trouble;
        troupe_status status = troupe_tell_ref(turn, to, method, troupe_slice_of(data, size), NULL);
        if (troupe_status_kind(status) != TROUPE_KIND_BUSY)
            return book_note(book, status);
        atomic_fetch_add_explicit(&book->busy, 1, memory_order_relaxed);
        troupe_status waited = troupe_yield(turn);
        if (waited == TROUPE_OK)
            continue;
        if (troupe_status_kind(waited) != TROUPE_KIND_BUSY || ++tries == TRIES_WITHOUT_FIBER)
            return book_note(book, waited);
    }
}
