/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limit of ask_cross_1000: tell_cross both ways at once. The asker keeps up to 1,000 requests in
 * flight; the answering thread takes a block of its own pool for each reply, copies 64 bytes and
 * sends it back. Each side gives the other's blocks back in batches. Prints round trips per second.
 * By hand: limit_ask_cross_1000 [in flight] [batch] [--no-floor].
 *
 * Invariants: a block is in its owner's pool, in a ring, or with its receiver.
 * Threads: main asks, one answers; what they share is in ring.h.
 */
#include "ring.h"
#include <pthread.h>

enum { AHEAD = 16, BLOCKS = 1024 };

/* One side: where its messages go, where they come from, its pool, and the pool of the other side.
 */
struct side {
    struct limit_ring *out, *in, *own_blocks, *other_blocks;
};

static struct limit_ring requests, replies, asker_blocks, answerer_blocks;
static uint64_t batch;

static void on_message(void *self, struct limit_message *message)
{
    limit_receive(self, message->payload);
}

static void send(struct side *side, void *to, limit_method *run, const char *payload)
{
    uint64_t left = limit_ring_waiting(side->own_blocks, 0);
    struct limit_message *ahead = limit_ring_peek(side->own_blocks, left > AHEAD ? AHEAD : 0);
    struct limit_message *message = limit_ring_take(side->own_blocks);
    __builtin_prefetch(ahead, 1);
    __builtin_prefetch((char *)ahead + 64, 1);
    message->run = run;
    message->actor = to;
    message->size = LIMIT_PAYLOAD;
    memcpy(message->payload, payload, LIMIT_PAYLOAD);
    limit_ring_put(side->out, message);
}

static struct limit_message *receive(struct side *side, uint64_t left)
{
    struct limit_message *ahead = limit_ring_peek(side->in, left > AHEAD ? AHEAD : 0);
    __builtin_prefetch(ahead);
    __builtin_prefetch((char *)ahead + 64);
    struct limit_message *message = limit_ring_take(side->in);
    message->run(message->actor, message);
    return message;
}

static void publish(struct side *side)
{
    limit_ring_consumed(side->in);
    limit_ring_consumed(side->own_blocks);
    limit_ring_publish(side->other_blocks);
    limit_ring_publish(side->out);
}

/* Every ring holds more than all the blocks there are, so only the own pool can be short. */
static void *answer(void *argument)
{
    struct side side = {&replies, &requests, &answerer_blocks, &asker_blocks};
    limit_method *run = on_message;
    LIMIT_OPAQUE(run);
    limit_pin(1);
    for (;;) {
        uint64_t count = limit_ring_waiting(&requests, batch);
        count = count < batch ? count : batch;
        if (count == 0 || limit_ring_waiting(&answerer_blocks, count) < count) {
            limit_pause();
            continue;
        }
        if (limit_ring_peek(&requests, 0) == NULL)
            return NULL;
        for (uint64_t i = 0; i < count; i++) {
            struct limit_message *message = receive(&side, count - i);
            send(&side, argument, run, message->payload);
            limit_ring_put(side.other_blocks, message);
        }
        publish(&side);
    }
}

/* Takes what replies there are and asks anew for each; returns how many replies came. */
static uint64_t ask_round(
    struct side *side, void *to, limit_method *run, uint64_t *asked, uint64_t *flight)
{
    char payload[LIMIT_PAYLOAD] = {0};
    uint64_t count = limit_ring_waiting(side->in, batch);
    uint64_t fresh = *flight < batch ? *flight : batch;
    count = count < batch ? count : batch;
    if (count + fresh == 0) {
        limit_pause();
        return 0;
    }
    for (uint64_t i = 0; i < count; i++)
        limit_ring_put(side->other_blocks, receive(side, count - i));
    if (limit_ring_waiting(side->own_blocks, count + fresh) < count + fresh)
        fresh = 0;
    while (limit_ring_waiting(side->own_blocks, count) < count)
        limit_pause();
    for (uint64_t i = 0; i < count + fresh; i++) {
        memcpy(payload, asked, sizeof(*asked));
        ++*asked;
        send(side, to, run, payload);
    }
    *flight -= fresh;
    publish(side);
    return count;
}

/* Waits for the replies still under way, so that what was asked and what was answered can be
 * compared. */
static uint64_t finish(struct side *side, uint64_t missing)
{
    for (uint64_t left = missing; left > 0;) {
        if (limit_ring_waiting(side->in, 1) == 0) {
            limit_pause();
            continue;
        }
        limit_ring_put(side->other_blocks, receive(side, 1));
        publish(side);
        left--;
    }
    return missing;
}

int main(int argc, char **argv)
{
    struct side side = {&requests, &replies, &asker_blocks, &answerer_blocks};
    struct limit_actor asker = {0}, answerer = {0};
    uint64_t asked = 0, flight = limit_argument(argc, argv, 0, 1000), answered = 0, start, end;
    limit_method *run = on_message;
    pthread_t thread;

    limit_need_cores(2);
    batch = limit_argument(argc, argv, 1, 32);
    limit_ring_stock(&asker_blocks, BLOCKS + flight);
    limit_ring_stock(&answerer_blocks, BLOCKS + flight);
    LIMIT_OPAQUE(run);
    if (pthread_create(&thread, NULL, answer, &asker) != 0)
        return LIMIT_SKIPPED;
    limit_pin(0);
    start = limit_now_ns();
    do {
        for (int i = 0; i < 4096; i++)
            answered += ask_round(&side, &answerer, run, &asked, &flight);
        end = limit_now_ns();
    } while (end - start < LIMIT_RUN_NS);
    answered += finish(&side, asked - answered);
    limit_ring_put(&requests, NULL);
    limit_ring_publish(&requests);
    pthread_join(thread, NULL);
    if (asker.received != asked || answerer.received != asked || asker.sum != answerer.sum)
        return 1;
    return limit_report(argc, argv, "ask_cross_1000",
        (double)answered * 1e9 / (double)(end - start), "ops/s", 13.5e6);
}
