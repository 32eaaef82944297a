/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The actor of one package.
 *
 * Closures. The conductor takes the packages in blocks and gives each of a block a mark with a
 * bit of its own. A package passes bits that are new to it on to all it depends on, so in
 * the end it has seen the bits of exactly the packages that depend on it, directly or not, and
 * counts them. Marks that wait in the mailbox together are passed on as one: a package that has
 * something to pass on says so to the conductor, and does it when the conductor bids it `flush`.
 *
 * Only a flush sends to packages, and the conductor bids few at a time: a turn that waits to send
 * keeps its actor active, and if as many waited as may be active, nobody could be woken to receive.
 * The conductor also counts the marks sent and taken in; that is how it knows a block's end.
 *
 * Rank. After `go` a package sends a share to each package it depends on; when it has gone and has
 * the shares of all its dependents it takes its new rank and tells the conductor that it is done.
 *
 * Invariants: 1. flushing: the conductor will bid this package flush. 2. Shares of a round come
 * only after all packages are done with the round before. Threads: a package's shard. The lists lie
 * in the activation's arena; the saved form is the head and the list.
 */
#include <string.h>

#include "actors.h"
#include "plain.h"

struct package {
    uint32_t number;
    uint32_t dependents;
    uint32_t count; /* of targets */
    bool flushing;  /* the conductor knows that there is something to pass on */
    bool went;
    uint32_t block;
    uint32_t first;   /* source of bit 0 in this block */
    uint32_t arrived; /* shares */
    uint64_t closure;
    uint64_t rank;
    uint64_t incoming;
    uint64_t seen[MARK_WORDS];  /* of this block */
    uint64_t fresh[MARK_WORDS]; /* of them, those not passed on */
    uint32_t *targets;
};

const size_t package_state_size = sizeof(struct package);

static struct address_book *book_of(const troupe_turn *turn)
{
    return troupe_turn_user(turn);
}

/* ---- state ----------------------------------------------------------------------------------- */

static troupe_status load(troupe_turn *turn, void *state, troupe_slice payload)
{
    struct package *package = state;
    struct load_message message;
    if (payload.size < sizeof(message))
        return troupe_fail(turn, TROUPE_USAGE, "load is too short");
    memcpy(&message, payload.data, sizeof(message));
    size_t bytes = message.count * sizeof(uint32_t);
    if (payload.size != sizeof(message) + bytes)
        return troupe_fail(turn, TROUPE_USAGE, "load has the wrong size");

    *package = (struct package){.number = message.number,
        .dependents = message.dependents,
        .count = message.count,
        .rank = RANK_UNIT};
    package->targets = troupe_actor_alloc(turn, bytes + 1);
    memcpy(package->targets, (const char *)payload.data + sizeof(message), bytes);
    return troupe_reply_bytes(turn, troupe_slice_of(NULL, 0));
}

troupe_status package_save(troupe_turn *turn, const void *state, troupe_writer *writer)
{
    const struct package *package = state;
    (void)turn;
    TROUPE_TRY(troupe_write(writer, package, sizeof(*package)));
    return troupe_write(writer, package->targets, package->count * sizeof(uint32_t));
}

troupe_status package_load(troupe_turn *turn, void *state, troupe_slice saved)
{
    struct package *package = state;
    if (saved.size < sizeof(*package))
        return TROUPE_CORRUPT;
    memcpy(package, saved.data, sizeof(*package));
    size_t bytes = package->count * sizeof(uint32_t);
    if (saved.size != sizeof(*package) + bytes)
        return TROUPE_CORRUPT;
    package->targets = troupe_actor_alloc(turn, bytes + 1);
    memcpy(package->targets, (const char *)saved.data + sizeof(*package), bytes);
    return TROUPE_OK;
}

static troupe_status figures(troupe_turn *turn, const void *state, troupe_slice payload)
{
    const struct package *package = state;
    struct figures_message message = {package->rank, package->closure};
    (void)payload;
    return troupe_reply_bytes(turn, troupe_slice_of(&message, sizeof(message)));
}

/* ---- closures -------------------------------------------------------------------------------- */

/* Takes the sources that are new, counts them, and tells whether there are any. */
static bool take_sources(struct package *package, const struct mark_message *message)
{
    uint64_t any = 0;
    uint32_t own = package->number - message->first; /* its own bit, if it is in the block */
    if (message->block != package->block) {
        package->block = message->block;
        package->first = message->first;
        memset(package->seen, 0, sizeof(package->seen));
    }
    for (uint32_t i = 0; i < MARK_WORDS; i++) {
        uint64_t new = message->sources[i] & ~package->seen[i];
        package->seen[i] |= new;
        package->fresh[i] |= new;
        package->closure += (uint64_t)__builtin_popcountll(new);
        any |= new;
        /* Its own mark is passed on, but nobody depends on itself. */
        if (own < MARK_SOURCES && own / 64 == i)
            package->closure -= new >> (own % 64) & 1;
    }
    return any != 0;
}

static troupe_status mark(troupe_turn *turn, void *state, troupe_slice payload)
{
    struct package *package = state;
    struct mark_message message;
    TROUPE_REQUIRE(turn, payload.size == sizeof(message));
    memcpy(&message, payload.data, sizeof(message));
    struct address_book *book = book_of(turn);
    struct marked_message marked = {.number = package->number};
    if (take_sources(package, &message) && package->count > 0 && !package->flushing) {
        package->flushing = true;
        marked.flushes = true;
    }
    return book_tell(turn, book->conductor, book->marked, &marked, sizeof(marked));
}

static troupe_status flush(troupe_turn *turn, void *state, troupe_slice payload)
{
    struct package *package = state;
    struct address_book *book = book_of(turn);
    struct mark_message message = {.block = package->block, .first = package->first};
    (void)payload;
    memcpy(message.sources, package->fresh, sizeof(message.sources));
    memset(package->fresh, 0, sizeof(package->fresh));
    package->flushing = false;
    for (uint32_t i = 0; i < package->count; i++) {
        const troupe_ref *target = book->packages[package->targets[i]];
        TROUPE_TRY(book_tell(turn, target, book->mark, &message, sizeof(message)));
    }
    return book_tell(turn, book->conductor, book->flushed, &package->count, sizeof(package->count));
}

/* ---- rank ------------------------------------------------------------------------------------ */

static troupe_status finish_round(troupe_turn *turn, struct package *package)
{
    struct address_book *book = book_of(turn);
    if (!package->went || package->arrived < package->dependents)
        return TROUPE_OK;
    package->rank = RANK_BASE + package->incoming;
    package->incoming = 0;
    package->arrived = 0;
    package->went = false;
    return book_tell(turn, book->conductor, book->done, NULL, 0);
}

static troupe_status go(troupe_turn *turn, void *state, troupe_slice payload)
{
    struct package *package = state;
    struct address_book *book = book_of(turn);
    (void)payload;
    TROUPE_REQUIRE(turn, !package->went);
    uint64_t amount = package->count > 0 ? rank_share(package->rank, package->count) : 0;
    for (uint32_t i = 0; i < package->count; i++) {
        const troupe_ref *target = book->packages[package->targets[i]];
        TROUPE_TRY(book_tell(turn, target, book->share, &amount, sizeof(amount)));
    }
    package->went = true;
    TROUPE_TRY(finish_round(turn, package));
    return troupe_reply_bytes(turn, troupe_slice_of(NULL, 0));
}

static troupe_status share(troupe_turn *turn, void *state, troupe_slice payload)
{
    struct package *package = state;
    uint64_t amount;
    TROUPE_REQUIRE(turn, payload.size == sizeof(amount));
    memcpy(&amount, payload.data, sizeof(amount));
    package->incoming += amount;
    package->arrived++;
    return finish_round(turn, package);
}

const troupe_method package_methods[] = {
    TROUPE_METHOD(load),
    TROUPE_METHOD(mark),
    TROUPE_METHOD(flush),
    TROUPE_METHOD(go),
    TROUPE_METHOD(share),
    TROUPE_READ_METHOD(figures),
};
const size_t package_method_count = sizeof(package_methods) / sizeof(package_methods[0]);
