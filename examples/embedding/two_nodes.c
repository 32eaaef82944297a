/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two nodes in one process, each with an allocator of its own that counts. They share nothing: the
 * same id is another actor in each, and one goes on after the other has closed. At the end every
 * byte must have come back.
 *
 * Invariants: 1. `bytes` of a ledger is what its node holds now; `release` says the size, so no
 * header is needed.
 * Threads: allocators are called by all threads of a node, so the counts are
 * atomic.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <troupe.h>

enum { ACTORS = 500 };

struct ledger {
    atomic_ullong bytes;
    atomic_ullong most;
    atomic_ullong blocks;
};

static void count(struct ledger *ledger, size_t size)
{
    unsigned long long bytes = atomic_fetch_add(&ledger->bytes, size) + size,
                       most = atomic_load(&ledger->most);
    while (bytes > most && !atomic_compare_exchange_weak(&ledger->most, &most, bytes))
        continue;
}

static void *ledger_allocate(void *context, size_t size)
{
    struct ledger *ledger = context;
    void *block = malloc(size);
    if (block == NULL)
        return NULL;
    atomic_fetch_add(&ledger->blocks, 1);
    count(ledger, size);
    return block;
}

static void *ledger_reallocate(void *context, void *block, size_t old_size, size_t new_size)
{
    struct ledger *ledger = context;
    void *moved = realloc(block, new_size);
    if (moved == NULL)
        return NULL;
    count(ledger, new_size);
    atomic_fetch_sub(&ledger->bytes, old_size);
    return moved;
}

static void ledger_release(void *context, void *block, size_t size)
{
    struct ledger *ledger = context;
    free(block);
    atomic_fetch_sub(&ledger->bytes, size);
    atomic_fetch_sub(&ledger->blocks, 1);
}

/* ---- an actor -------------------------------------------------------------------------------- */

static troupe_status add(troupe_turn *turn, void *state, troupe_slice payload)
{
    uint64_t *sum = state, more;
    if (payload.size != sizeof(more))
        return troupe_fail(turn, TROUPE_USAGE, "add takes 8 bytes");
    memcpy(&more, payload.data, sizeof(more));
    *sum += more;
    return troupe_reply_bytes(turn, troupe_slice_of(sum, sizeof(*sum)));
}

static const troupe_method counter_methods[] = {TROUPE_METHOD(add)};
static const troupe_type counter = {
    TROUPE_TYPE("counter"), .state_size = sizeof(uint64_t), TROUPE_METHODS(counter_methods)};

/* Asks counter/`key` to add; false if the answer is not `expected`. */
static bool add_to(troupe_node *node, unsigned key, uint64_t more, uint64_t expected)
{
    char name[16];
    uint64_t sum = 0;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    snprintf(name, sizeof(name), "%u", key);
    troupe_status status = troupe_node_ask(node, troupe_id_of("counter", name), "add",
        troupe_slice_of(&more, sizeof(more)), NULL, &answer);
    if (status == TROUPE_OK && answer.payload.size == sizeof(sum))
        memcpy(&sum, answer.payload.data, sizeof(sum));
    else
        fprintf(stderr, "counter/%s: %.*s\n", name, TROUPE_ARG(answer.message));
    troupe_answer_release(&answer);
    return status == TROUPE_OK && sum == expected;
}

static bool open_node(
    const char *name, uint32_t shards, const troupe_allocator *allocator, troupe_node **ret_node)
{
    const troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .name = name, .shards = shards, .allocator = allocator};
    char error[256];
    if (troupe_node_open_explained(
            &options, TROUPE_TYPES(&counter), ret_node, error, sizeof(error)) == TROUPE_OK)
        return true;
    fprintf(stderr, "%s: %s\n", name, error);
    return false;
}

/* The same ids in both nodes; then the second goes on alone. */
static bool use_both(troupe_node **first, troupe_node *second)
{
    bool good = true;
    for (unsigned i = 0; good && i < ACTORS; i++)
        good = add_to(*first, i, 1, 1) && add_to(second, i, 10, 10);
    for (unsigned i = 0; good && i < ACTORS; i++)
        good = add_to(*first, i, 1, 2);
    troupe_node_close(*first);
    *first = NULL;
    for (unsigned i = 0; good && i < ACTORS; i++)
        good = add_to(second, i, 10, 20);
    return good;
}

static bool is_settled(const char *name, struct ledger *ledger)
{
    unsigned long long bytes = atomic_load(&ledger->bytes), blocks = atomic_load(&ledger->blocks);
    printf("%s took %llu bytes at most; %llu bytes in %llu blocks are left\n", name,
        atomic_load(&ledger->most), bytes, blocks);
    return bytes == 0 && blocks == 0;
}

int main(void)
{
    struct ledger ledgers[2] = {0};
    const troupe_allocator allocators[2] = {
        {&ledgers[0], ledger_allocate, ledger_reallocate, ledger_release},
        {&ledgers[1], ledger_allocate, ledger_reallocate, ledger_release},
    };
    troupe_node *first = NULL, *second = NULL;
    bool good = open_node("first", 1, &allocators[0], &first) &&
                open_node("second", 2, &allocators[1], &second) && use_both(&first, second);
    troupe_node_close(first);
    troupe_node_close(second);
    bool settled = is_settled("first", &ledgers[0]);
    settled = is_settled("second", &ledgers[1]) && settled;
    bool used = atomic_load(&ledgers[0].most) > 0 && atomic_load(&ledgers[1].most) > 0;
    printf("%s\n", good && settled && used ? "two nodes, no byte lost" : "FAILED");
    return good && settled && used ? 0 : 1;
}
