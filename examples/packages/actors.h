/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two actor types of the demo and the messages between them. A `package` knows the packages it
 * depends on and sends them marks and shares of rank; the one `conductor` starts each step and
 * learns when it is over.
 *
 * Invariants: 1. The address book is filled before the first message and does not change after it;
 * the two fields for trouble are the exception. 2. Messages are plain structs, read and written by
 * the same program.
 * Threads: the book is read by all shards; `busy` and `trouble` are atomic.
 */
#ifndef PACKAGES_ACTORS_H
#define PACKAGES_ACTORS_H

#include <stdatomic.h>
#include <troupe.h>

enum { MARK_WORDS = 8, MARK_SOURCES = MARK_WORDS * 64 };

/* Where everybody lives; the `user` pointer of both types. */
struct address_book {
    uint32_t count;
    uint32_t block_sources; /* sources of one block, at most MARK_SOURCES */
    uint32_t go_window;     /* packages that a round is begun with at a time */
    uint32_t flush_window;  /* packages that pass marks on at a time */
    troupe_ref **packages;  /* [count] */
    troupe_ref *conductor;
    troupe_selector mark, flush, share;    /* of a package */
    troupe_selector marked, flushed, done; /* of the conductor */
    atomic_ullong busy;                    /* sends refused for the moment, and sent again */
    atomic_int trouble; /* status of the first send or turn that failed for good; 0: none */
};

/* To a package: what it is, and whom it depends on. */
struct load_message {
    uint32_t number;
    uint32_t dependents; /* how many shares it gets in a round */
    uint32_t count;      /* of targets */
    uint32_t targets[];
};

/* To a package: these sources of this block depend on you. */
struct mark_message {
    uint32_t block; /* from 1 */
    uint32_t first; /* source of bit 0 */
    uint64_t sources[MARK_WORDS];
};

/* To the conductor: a mark has been taken in. `flushed` carries how many have been sent. */
struct marked_message {
    uint32_t number; /* of the package */
    bool flushes;    /* it has something to pass on */
};

/* From a package, in answer to `figures`. */
struct figures_message {
    uint64_t rank;
    uint64_t closure;
};

/* To the conductor: begin. */
struct begin_message {
    uint32_t rounds; /* of rank; for closures not used */
};

/* From the conductor, in answer to `progress`. */
struct progress_message {
    uint64_t steps; /* done */
    uint64_t of;
    bool busy;
};

extern const troupe_method package_methods[];
extern const size_t package_method_count;
extern const troupe_method conductor_methods[];
extern const size_t conductor_method_count;

/* Size and hooks of a package's state: see package.c. */
extern const size_t package_state_size;
troupe_status package_save(troupe_turn *turn, const void *state, troupe_writer *writer);
troupe_status package_load(troupe_turn *turn, void *state, troupe_slice saved);
size_t conductor_state_size(uint32_t packages);

/* Tells, and again after a yield as long as the answer is BUSY. A failure for good is noted in the
 * book. */
troupe_status book_tell(
    troupe_turn *turn, const troupe_ref *to, troupe_selector method, const void *data, size_t size);
/* Notes the first trouble; returns `status`. */
troupe_status book_note(struct address_book *book, troupe_status status);

#endif
