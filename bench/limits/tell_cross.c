/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limit of tell_cross: one pinned thread takes blocks from its pool, copies 64 bytes into each and
 * passes pointers through a single-producer ring; another pinned thread makes the indirect call and
 * gives the blocks back in batches. No table, no credits, no sleeping.
 * By hand: limit_tell_cross [blocks] [batch] [--no-floor].
 *
 * Invariants: a block is in the pool, in the ring, or with the receiver.
 * Threads: main sends, one receives; what they share is in ring.h.
 */
#include "ring.h"
#include <pthread.h>

enum { AHEAD = 16 };

static struct limit_ring messages, blocks;
static uint64_t batch;

static void on_message(void *self, struct limit_message *message)
{
    limit_receive(self, message->payload);
}

static void receive_some(uint64_t count)
{
    while (limit_ring_room(&blocks, count) < count)
        limit_pause();
    for (uint64_t i = 0; i < count; i++) {
        struct limit_message *ahead = limit_ring_peek(&messages, i + AHEAD < count ? AHEAD : 0);
        __builtin_prefetch(ahead);
        __builtin_prefetch((char *)ahead + 64);
        struct limit_message *message = limit_ring_take(&messages);
        message->run(message->actor, message);
        limit_ring_put(&blocks, message);
    }
    limit_ring_consumed(&messages);
    limit_ring_publish(&blocks);
}

static void *receive(void *unused)
{
    limit_pin(1);
    for (;;) {
        uint64_t count = limit_ring_waiting(&messages, batch);
        if (count == 0) {
            limit_pause();
            continue;
        }
        if (limit_ring_peek(&messages, 0) == NULL)
            break;
        receive_some(count < batch ? count : batch);
    }
    return unused;
}

static void send_batch(struct limit_actor *to, limit_method *run, uint64_t *sent)
{
    char payload[LIMIT_PAYLOAD] = {0};
    while (limit_ring_waiting(&blocks, batch) < batch || limit_ring_room(&messages, batch) < batch)
        limit_pause();
    for (uint64_t i = 0; i < batch; i++) {
        struct limit_message *ahead = limit_ring_peek(&blocks, i + AHEAD < batch ? AHEAD : 0);
        __builtin_prefetch(ahead, 1);
        __builtin_prefetch((char *)ahead + 64, 1);
        struct limit_message *message = limit_ring_take(&blocks);
        memcpy(payload, sent, sizeof(*sent));
        ++*sent;
        message->run = run;
        message->actor = to;
        message->size = LIMIT_PAYLOAD;
        memcpy(message->payload, payload, LIMIT_PAYLOAD);
        limit_ring_put(&messages, message);
    }
    limit_ring_consumed(&blocks);
    limit_ring_publish(&messages);
}

int main(int argc, char **argv)
{
    uint64_t sent = 0, start, end;
    struct limit_actor actor = {0};
    limit_method *run = on_message;
    pthread_t thread;

    limit_need_cores(2);
    limit_ring_stock(&blocks, limit_argument(argc, argv, 0, LIMIT_RING));
    batch = limit_argument(argc, argv, 1, 64);
    LIMIT_OPAQUE(run);
    if (pthread_create(&thread, NULL, receive, NULL) != 0)
        return LIMIT_SKIPPED;
    limit_pin(0);
    start = limit_now_ns();
    do {
        for (int i = 0; i < 256; i++)
            send_batch(&actor, run, &sent);
    } while (limit_now_ns() - start < LIMIT_RUN_NS);
    limit_ring_put(&messages, NULL);
    limit_ring_publish(&messages);
    pthread_join(thread, NULL);
    end = limit_now_ns();
    if (actor.received != sent || actor.sum != sent * (sent - 1) / 2)
        return 1;
    return limit_report(
        argc, argv, "tell_cross", (double)sent * 1e9 / (double)(end - start), "ops/s", 27e6);
}
