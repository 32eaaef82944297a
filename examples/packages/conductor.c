/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one actor that starts each step and learns when it is over: a block of closures when nobody
 * has a mark to take in or to pass on, a round of rank when all packages are done. It computes
 * nothing itself.
 *
 * Invariants: 1. One step is under way at a time. 2. `marks` is how many were sent and not taken
 * in, once no flush is under way: before, it may be short of those that a flush has sent
 * already. 3. A round is over when every package has said done and every `go` has been answered. 4.
 * At most go_window of these and flush_window flushes are under way, each of which may wait to
 * send. Threads: its shard. The state is plain bytes: it may be evicted between two messages.
 */
#include "actors.h"

struct conductor {
    uint32_t blocks;  /* of closures, in all; 0: none asked for */
    uint32_t block;   /* under way, from 1 */
    int64_t marks;    /* sent and not taken in */
    uint32_t flushes; /* under way */
    uint32_t ready_begin, ready_count;
    uint32_t rounds; /* of rank, in all; 0: none asked for */
    uint32_t round;  /* under way, from 1 */
    uint32_t next;   /* package to send go to */
    uint32_t going;  /* go without answer */
    uint32_t done;   /* packages that are done */
    bool busy;
    uint32_t ready[]; /* a ring, as long as there are packages: those that wait to flush */
};

size_t conductor_state_size(uint32_t packages)
{
    return sizeof(struct conductor) + packages * sizeof(uint32_t);
}

/* ---- closures ------------------------------------------------------------------------------- */

static troupe_status begin_block(troupe_turn *turn, struct conductor *conductor)
{
    struct address_book *book = troupe_turn_user(turn);
    uint32_t first = (conductor->block - 1) * book->block_sources;
    uint32_t rest = book->count - first;
    uint32_t count = rest < book->block_sources ? rest : book->block_sources;
    conductor->marks = count;
    for (uint32_t i = 0; i < count; i++) {
        struct mark_message message = {.block = conductor->block, .first = first};
        const troupe_ref *source = book->packages[first + i];
        message.sources[i / 64] = UINT64_C(1) << (i % 64);
        TROUPE_TRY(book_tell(turn, source, book->mark, &message, sizeof(message)));
    }
    return TROUPE_OK;
}

static troupe_status closures(troupe_turn *turn, void *state, troupe_slice payload)
{
    struct conductor *conductor = state;
    struct address_book *book = troupe_turn_user(turn);
    (void)payload;
    *conductor = (struct conductor){
        .blocks = (book->count + book->block_sources - 1) / book->block_sources,
        .block = 1,
        .busy = true,
    };
    return begin_block(turn, conductor);
}

/* Bids flush as many as may, and begins the next block if this one is over. */
static troupe_status flush_on(troupe_turn *turn, struct conductor *conductor)
{
    struct address_book *book = troupe_turn_user(turn);
    while (conductor->ready_count > 0 && conductor->flushes < book->flush_window) {
        uint32_t package = conductor->ready[conductor->ready_begin];
        conductor->ready_begin = (conductor->ready_begin + 1) % book->count;
        conductor->ready_count--;
        conductor->flushes++;
        TROUPE_TRY(book_tell(turn, book->packages[package], book->flush, NULL, 0));
    }
    if (conductor->flushes > 0 || conductor->marks > 0)
        return TROUPE_OK;
    conductor->block++;
    conductor->busy = conductor->block <= conductor->blocks;
    return conductor->busy ? begin_block(turn, conductor) : TROUPE_OK;
}

static troupe_status marked(troupe_turn *turn, void *state, troupe_slice payload)
{
    struct conductor *conductor = state;
    struct address_book *book = troupe_turn_user(turn);
    struct marked_message message;
    TROUPE_REQUIRE(turn, payload.size == sizeof(message));
    memcpy(&message, payload.data, sizeof(message));
    conductor->marks--;
    if (message.flushes) {
        TROUPE_REQUIRE(turn, conductor->ready_count < book->count);
        uint32_t end = (conductor->ready_begin + conductor->ready_count++) % book->count;
        conductor->ready[end] = message.number;
    }
    return flush_on(turn, conductor);
}

static troupe_status flushed(troupe_turn *turn, void *state, troupe_slice payload)
{
    struct conductor *conductor = state;
    uint32_t sent;
    TROUPE_REQUIRE(turn, payload.size == sizeof(sent) && conductor->flushes > 0);
    memcpy(&sent, payload.data, sizeof(sent));
    conductor->marks += sent;
    conductor->flushes--;
    return flush_on(turn, conductor);
}

/* ---- rank ----------------------------------------------------------------------------------- */

static troupe_turn_done answered;

/* Asks one package to go, and again after a yield as long as that is refused. */
static troupe_status send_go(troupe_turn *turn, uint32_t package)
{
    struct address_book *book = troupe_turn_user(turn);
    const troupe_id id = troupe_ref_id(book->packages[package]);
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_MINUTES(10)};
    for (;;) {
        troupe_status status = troupe_ask_callback(
            turn, id, "go", troupe_str(NULL), &options, answered, (void *)(uintptr_t)package);
        if (troupe_status_kind(status) != TROUPE_KIND_BUSY)
            return book_note(book, status);
        atomic_fetch_add_explicit(&book->busy, 1, memory_order_relaxed);
        TROUPE_TRY(book_note(book, troupe_yield(turn)));
    }
}

/* Begins the next round if this one is over, and sends what the window allows. */
static troupe_status go_on(troupe_turn *turn, struct conductor *conductor)
{
    struct address_book *book = troupe_turn_user(turn);
    if (conductor->done == book->count && conductor->going == 0) {
        conductor->round++;
        conductor->done = 0;
        conductor->next = 0;
        conductor->busy = conductor->round <= conductor->rounds;
    }
    while (conductor->busy && conductor->next < book->count && conductor->going < book->go_window) {
        conductor->going++;
        TROUPE_TRY(send_go(turn, conductor->next++));
    }
    return TROUPE_OK;
}

static void answered(troupe_turn *turn, void *state, const troupe_answer *answer, void *user)
{
    struct conductor *conductor = state;
    struct address_book *book = troupe_turn_user(turn);
    if (troupe_status_kind(answer->status) == TROUPE_KIND_BUSY) { /* accepted, and then refused */
        atomic_fetch_add_explicit(&book->busy, 1, memory_order_relaxed);
        if (book_note(book, troupe_yield(turn)) == TROUPE_OK)
            (void)send_go(turn, (uint32_t)(uintptr_t)user);
        return;
    }
    conductor->going--;
    if (book_note(book, answer->status) == TROUPE_OK)
        (void)go_on(turn, conductor);
}

static troupe_status rank(troupe_turn *turn, void *state, troupe_slice payload)
{
    struct conductor *conductor = state;
    struct begin_message message;
    TROUPE_REQUIRE(turn, payload.size == sizeof(message));
    memcpy(&message, payload.data, sizeof(message));
    *conductor =
        (struct conductor){.rounds = message.rounds, .round = 1, .busy = message.rounds > 0};
    return go_on(turn, conductor);
}

static troupe_status done(troupe_turn *turn, void *state, troupe_slice payload)
{
    struct conductor *conductor = state;
    struct address_book *book = troupe_turn_user(turn);
    (void)payload;
    conductor->done++;
    return conductor->done == book->count ? go_on(turn, conductor) : TROUPE_OK;
}

/* ---- how far it is -------------------------------------------------------------------------- */

static troupe_status progress(troupe_turn *turn, const void *state, troupe_slice payload)
{
    const struct conductor *conductor = state;
    struct address_book *book = troupe_turn_user(turn);
    struct progress_message message = {.busy = conductor->busy};
    (void)payload;
    if (conductor->blocks > 0) {
        message.of = conductor->blocks;
        message.steps = conductor->block - 1;
    } else if (conductor->rounds > 0) {
        message.of = (uint64_t)conductor->rounds * book->count;
        message.steps = (uint64_t)(conductor->round - 1) * book->count + conductor->done;
    }
    return troupe_reply_bytes(turn, troupe_slice_of(&message, sizeof(message)));
}

const troupe_method conductor_methods[] = {
    TROUPE_METHOD(closures),
    TROUPE_METHOD(marked),
    TROUPE_METHOD(flushed),
    TROUPE_METHOD(rank),
    TROUPE_METHOD(done),
    TROUPE_READ_METHOD(progress),
};
const size_t conductor_method_count = sizeof(conductor_methods) / sizeof(conductor_methods[0]);
