/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limit of tell_shard: a block from a pool, 64 bytes copied into it, pushed on an intrusive queue,
 * popped, one indirect call, block given back. No table, no limits, no fairness, no statistics.
 * Run by the bench harness or by hand: limit_tell_shard [in flight] [--no-floor].
 *
 * Invariants: `depth` messages are queued before the first is run, as a turn that tells several.
 * Threads: one.
 */
#include "limit.h"

struct queue {
    struct limit_message *head;
    struct limit_message **tail;
};

static void on_message(void *self, struct limit_message *message)
{
    limit_receive(self, message->payload);
}

static void send(struct queue *queue, struct limit_pool *pool, struct limit_actor *to,
    limit_method *run, const char *payload)
{
    struct limit_message *message = limit_pool_take(pool);
    message->next = NULL;
    message->run = run;
    message->actor = to;
    message->size = LIMIT_PAYLOAD;
    memcpy(message->payload, payload, LIMIT_PAYLOAD);
    *queue->tail = message;
    queue->tail = &message->next;
}

static void drain(struct queue *queue, struct limit_pool *pool)
{
    while (queue->head != NULL) {
        struct limit_message *message = queue->head;
        queue->head = message->next;
        if (queue->head == NULL)
            queue->tail = &queue->head;
        message->run(message->actor, message);
        limit_pool_give(pool, message);
    }
}

int main(int argc, char **argv)
{
    uint64_t depth = limit_argument(argc, argv, 0, 16);
    struct limit_pool pool;
    struct queue queue = {.head = NULL};
    struct limit_actor actor = {0};
    limit_method *run = on_message;
    char payload[LIMIT_PAYLOAD] = {0};
    uint64_t sent = 0, start, end;

    limit_pin(0);
    limit_pool_init(&pool, depth, sizeof(struct limit_message));
    queue.tail = &queue.head;
    LIMIT_OPAQUE(run);
    start = limit_now_ns();
    do {
        for (int round = 0; round < 1024; round++) {
            for (uint64_t i = 0; i < depth; i++) {
                memcpy(payload, &sent, sizeof(sent));
                send(&queue, &pool, &actor, run, payload);
                sent++;
            }
            drain(&queue, &pool);
        }
        end = limit_now_ns();
    } while (end - start < LIMIT_RUN_NS);
    if (actor.received != sent || actor.sum != sent * (sent - 1) / 2)
        return 1;
    return limit_report(
        argc, argv, "tell_shard", (double)sent * 1e9 / (double)(end - start), "ops/s", 100e6);
}
