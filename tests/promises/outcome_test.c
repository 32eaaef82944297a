/* SPDX-License-Identifier: Apache-2.0 */
/*
 * P3, one outcome: every ask of every thread ends exactly once, whatever happens to it, while
 * time-outs, cancels, panics, refusals and deactivations race. With threads; the same in virtual
 * time is the simulation's.
 */
#include "tests/promises/scene.h"

typedef struct target {
    uint64_t runs;
} target;

static troupe_status quick(troupe_turn *turn, void *state, troupe_slice payload)
{
    ((target *)state)->runs++;
    return troupe_reply_bytes(turn, payload);
}

static troupe_status slow(troupe_turn *turn, void *state, troupe_slice payload)
{
    ((target *)state)->runs++;
    TROUPE_TRY(troupe_sleep(turn, TROUPE_MICROSECONDS(300)));
    return troupe_reply_bytes(turn, payload);
}

static troupe_status boom(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    troupe_panic(turn, "as told");
}

static troupe_status refuse(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    return troupe_fail(turn, TROUPE_APPLICATION, "no");
}

static troupe_status leave(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    troupe_deactivate(turn);
    return troupe_reply_bytes(turn, payload);
}

/* Asks an actor of another key, by the last byte of the payload. */
static troupe_status relay(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    char key[16];
    snprintf(key, sizeof key, "%u",
        (unsigned)(payload.size != 0 ? ((const unsigned char *)payload.data)[0] : 0) % 16);
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status =
        troupe_ask(turn, troupe_id_of("leaf", key), "slow", payload, NULL, &answer);
    if (status == TROUPE_OK)
        return troupe_reply_take(turn, &answer);
    troupe_answer_release(&answer);
    return status;
}

static const troupe_method methods[] = {TROUPE_METHOD(quick), TROUPE_METHOD(slow),
    TROUPE_METHOD(boom), TROUPE_METHOD(refuse), TROUPE_METHOD(leave), TROUPE_METHOD(relay)};
static const troupe_type root = {TROUPE_TYPE("root"), .state_size = sizeof(target),
    TROUPE_METHODS(methods), .supervision = {.on_panic = TROUPE_SUPERVISE_RESTART,
                                 .backoff = TROUPE_MICROSECONDS(100)}};
static const troupe_type leaf = {TROUPE_TYPE("leaf"), .state_size = sizeof(target),
    TROUPE_METHODS(methods), .reentrancy = TROUPE_REENTRANCY_ALWAYS};

#define THREADS 4
#define ASKS    3000
#define WAITING 64

typedef struct ask_slot {
    _Atomic uint32_t ends;
    _Atomic int32_t status;
    _Atomic uint32_t mismatch;
    uint32_t number;
} ask_slot;

typedef struct asker {
    troupe_node *node;
    uint32_t number;
    uint64_t accepted, refused, blocking, wrong;
    ask_slot *slots;
} asker;

static bool is_possible(troupe_status status)
{
    switch (status) {
    case TROUPE_OK:
    case TROUPE_APPLICATION:
    case TROUPE_PANIC:
    case TROUPE_TIMEOUT:
    case TROUPE_EXPIRED:
    case TROUPE_CANCELLED:
    case TROUPE_WITHDRAWN:
    case TROUPE_BUSY: return true;
    default: return false;
    }
}

static void over(void *user, const troupe_answer *answer)
{
    ask_slot *slot = user;
    uint32_t number = 0;
    if (answer->status == TROUPE_OK && answer->payload.size == sizeof number)
        memcpy(&number, answer->payload.data, sizeof number);
    if (answer->status == TROUPE_OK && number != slot->number)
        atomic_store(&slot->mismatch, 1); /* somebody else's answer */
    atomic_store(&slot->status, answer->status);
    atomic_fetch_add(&slot->ends, 1);
}

static void *ask_all(void *argument)
{
    static const char *const names[] = {
        "quick", "slow", "relay", "boom", "quick", "refuse", "relay", "leave"};
    asker *self = argument;
    troupe_client *client;
    troupe_cancel *cancels[WAITING] = {NULL};
    if (troupe_client_open(self->node, &client) != TROUPE_OK)
        return NULL;
    for (uint32_t i = 0; i < ASKS; i++) {
        ask_slot *slot = &self->slots[i];
        slot->number = self->number * ASKS + i + 1;
        char key[16];
        snprintf(key, sizeof key, "%u", (i * 7 + self->number) % 12);
        troupe_id id = troupe_id_of(i % 3 ? "root" : "leaf", key);
        troupe_slice payload = {&slot->number, sizeof slot->number};
        troupe_call_options options = {TROUPE_CALL_OPTIONS,
            .timeout = i % 5 == 0 ? TROUPE_MICROSECONDS(200) : TROUPE_SECONDS(30)};
        if (i % WAITING == 0) {
            for (uint32_t j = 0; j < WAITING; j++) {
                troupe_cancel *cancel = cancels[j];
                cancels[j] = NULL;
                if (cancel == NULL)
                    continue;
                troupe_cancel_fire(cancel);
                while (atomic_load(&self->slots[i - WAITING + j].ends) == 0)
                    nanosleep(&(struct timespec){0, 100000}, NULL);
                troupe_cancel_destroy(cancel);
            }
        }
        if (i % 7 == 0 && troupe_cancel_create(self->node, &cancels[i % WAITING]) == TROUPE_OK)
            options.cancel = cancels[i % WAITING];
        if (i % 4 == 0 && options.cancel == NULL) {
            troupe_answer answer = TROUPE_ANSWER_INIT;
            troupe_status status =
                troupe_client_ask(client, id, names[i % 8], payload, &options, &answer);
            over(slot, &answer);
            self->wrong += status != answer.status;
            troupe_answer_release(&answer);
            self->blocking++;
            continue;
        }
        troupe_status status = troupe_client_ask_callback(
            client, id, names[i % 8], payload, &options, over, slot);
        self->accepted += status == TROUPE_OK;
        self->refused += status == TROUPE_BUSY;
        if (status != TROUPE_OK && options.cancel != NULL) {
            troupe_cancel_destroy(cancels[i % WAITING]);
            cancels[i % WAITING] = NULL;
        }
        self->wrong += status != TROUPE_OK && status != TROUPE_BUSY;
    }
    for (uint32_t j = 0; j < WAITING; j++) {
        if (cancels[j] == NULL)
            continue;
        troupe_cancel_fire(cancels[j]);
        while (atomic_load(&self->slots[(ASKS - 1) / WAITING * WAITING + j].ends) == 0)
            nanosleep(&(struct timespec){0, 100000}, NULL);
        troupe_cancel_destroy(cancels[j]);
    }
    troupe_client_close(client);
    return NULL;
}

static void every_ask_of_four_threads_ends_exactly_once(void **state)
{
    (void)state;
    account memory;
    account_init(&memory);
    const troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 3, .log = "off",
        .allocator = &memory.allocator, .mailbox_limit = 64, .max_fibers = 200,
        .inbox_limit = 1000};
    troupe_node *node;
    assert_ok(troupe_node_open(&options, TROUPE_TYPES(&root, &leaf), &node));
    asker askers[THREADS];
    pthread_t threads[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        askers[i] = (asker){.node = node, .number = i, .slots = calloc(ASKS, sizeof(ask_slot))};
        pthread_create(&threads[i], NULL, ask_all, &askers[i]);
    }
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    troupe_node_close(node); /* ends what was accepted */
    uint64_t statuses[2] = {0};
    for (uint32_t i = 0; i < THREADS; i++) {
        uint64_t ended = 0;
        for (uint32_t j = 0; j < ASKS; j++) {
            ask_slot *slot = &askers[i].slots[j];
            assert_true(atomic_load(&slot->ends) <= 1);
            assert_int_equal(atomic_load(&slot->mismatch), 0);
            ended += atomic_load(&slot->ends);
            if (atomic_load(&slot->ends) == 0)
                continue;
            troupe_status status = atomic_load(&slot->status);
            if (!is_possible(status))
                assert_ok(status);
            statuses[status != TROUPE_OK]++;
        }
        assert_int_equal(askers[i].wrong, 0);
        assert_int_equal(ended, askers[i].accepted + askers[i].blocking);
        assert_int_equal(ended + askers[i].refused, ASKS);
        free(askers[i].slots);
    }
    assert_true(statuses[0] > ASKS && statuses[1] > ASKS / 2);
    assert_account_is_even(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_ask_of_four_threads_ends_exactly_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
