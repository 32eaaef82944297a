/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limit of ask_shard: ping-pong of two actors on one thread. The asker runs on a fiber; per round
 * it sends a request (pool, 64-byte copy, push), switches to the loop, which pops it and calls the
 * answering method, which sends a reply the same way; the loop pops the reply and switches back.
 * That is tell_shard twice plus two switches. No ask table, no deadline, no correlation.
 *
 * Invariants: one message is queued at any moment. Threads: one.
 */
#include "limit.h"
#include "switch.h"

struct shard {
    struct limit_message *head;
    struct limit_message **tail;
    struct limit_pool pool;
    void *loop;  /* stack pointer of the loop while the asker runs */
    void *asker; /* of the asker while the loop runs */
    struct limit_message *answer;
    limit_method *request_method;
    uint64_t rounds, sum;
};

static struct shard shard; /* one program, one shard: an entry function takes no argument */

static void send(void *to, limit_method *run, const char *payload)
{
    struct limit_message *message = limit_pool_take(&shard.pool);
    message->next = NULL;
    message->run = run;
    message->actor = to;
    message->size = LIMIT_PAYLOAD;
    memcpy(message->payload, payload, LIMIT_PAYLOAD);
    *shard.tail = message;
    shard.tail = &message->next;
}

static void on_reply(void *self, struct limit_message *message)
{
    (void)self;
    shard.answer = message;
    limit_switch(&shard.loop, shard.asker);
}

static void on_request(void *self, struct limit_message *message)
{
    uint64_t *received = self;
    limit_method *reply = on_reply;
    LIMIT_OPAQUE(reply);
    ++*received;
    send(received, reply, message->payload);
}

static void ask_forever(void)
{
    static uint64_t answering_actor;
    char payload[LIMIT_PAYLOAD] = {0};
    for (;;) {
        uint64_t back;
        memcpy(payload, &shard.rounds, sizeof(shard.rounds));
        send(&answering_actor, shard.request_method, payload);
        limit_switch(&shard.asker, shard.loop);
        memcpy(&back, shard.answer->payload, sizeof(back));
        shard.sum += back;
        shard.rounds++;
    }
}

static void run(uint64_t passes)
{
    while (passes-- > 0) {
        struct limit_message *message = shard.head;
        shard.head = message->next;
        if (shard.head == NULL)
            shard.tail = &shard.head;
        message->run(message->actor, message);
        limit_pool_give(&shard.pool, message);
    }
}

int main(int argc, char **argv)
{
    static char stack[64 * 1024] __attribute__((aligned(64)));
    uint64_t start, end;

    limit_pin(0);
    limit_pool_init(&shard.pool, 16, 128);
    shard.tail = &shard.head;
    shard.request_method = on_request;
    shard.asker = limit_fiber(stack + sizeof(stack), ask_forever);
    limit_switch(&shard.loop, shard.asker);
    start = limit_now_ns();
    do {
        run(2 * 65536);
        end = limit_now_ns();
    } while (end - start < LIMIT_RUN_NS);
    if (shard.sum != shard.rounds * (shard.rounds - 1) / 2)
        return 1;
    return limit_report(
        argc, argv, "ask_shard", (double)shard.rounds * 1e9 / (double)(end - start), "ops/s", 40e6);
}
