/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring and the inbox: order, limits, and two threads that hammer them.
 */
#include "base/mpring.h"
#include "base/mpsc.h"
#include "base/prng.h"
#include "base/spsc.h"
#include "failing.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ITEMS = 300000, PUSHERS = 3, PUSHES = 60000 };

static void ring_refuses_what_exceeds_its_capacity(void **state)
{
    (void)state;
    for (uint32_t capacity = 1; capacity <= 64; capacity *= 2) {
        failing memory;
        failing_init(&memory);
        tp_spsc ring;
        int items[64];
        void *out[64];
        assert_int_equal(tp_spsc_init(&ring, &memory.allocator, capacity), TROUPE_OK);
        for (int round = 0; round < 3; round++) {
            assert_int_equal(tp_spsc_room(&ring), capacity);
            for (uint32_t i = 0; i < capacity; i++) {
                assert_true(tp_spsc_put(&ring, &items[i]));
            }
            assert_int_equal(tp_spsc_room(&ring), 0);
            assert_false(tp_spsc_put(&ring, &items[0]));
            assert_true(tp_spsc_is_empty(&ring)); /* nothing is published yet */
            assert_int_equal(tp_spsc_take(&ring, out, 64), 0);
            assert_true(tp_spsc_publish(&ring));
            assert_false(tp_spsc_publish(&ring));
            assert_false(tp_spsc_is_empty(&ring));
            assert_int_equal(tp_spsc_take(&ring, out, 1), 1);
            assert_int_equal(tp_spsc_take(&ring, out + 1, 64), capacity - 1);
            for (uint32_t i = 0; i < capacity; i++) {
                assert_ptr_equal(out[i], &items[i]);
            }
        }
        tp_spsc_deinit(&ring);
        tp_spsc_deinit(&ring);
        assert_int_equal(memory.bytes, 0);
        assert_int_equal(memory.wrong_sizes, 0);
    }
}

static void ring_says_so_when_memory_is_refused(void **state)
{
    (void)state;
    failing memory;
    failing_init(&memory);
    memory.fail_from = 1;
    memory.fail_count = 1;
    tp_spsc ring;
    assert_int_equal(tp_spsc_init(&ring, &memory.allocator, 8), TROUPE_NO_MEMORY);
}

static uint64_t values[ITEMS]; /* written plainly: the ring must publish them */

static void *produce(void *argument)
{
    tp_spsc *ring = argument;
    tp_prng prng;
    tp_prng_seed(&prng, 1);
    uint32_t sent = 0;
    while (sent < ITEMS) {
        uint64_t lot = tp_prng_between(&prng, 1, 40);
        uint32_t room = tp_spsc_room(ring);
        for (uint32_t i = 0; i < room && i < lot && sent < ITEMS; i++) {
            values[sent] = sent + UINT64_C(7);
            if (!tp_spsc_put(ring, &values[sent])) {
                return "room was promised";
            }
            sent++;
        }
        if (!tp_spsc_publish(ring)) {
            sched_yield();
        }
    }
    return NULL;
}

static void ring_hands_over_everything_in_order_between_two_threads(void **state)
{
    (void)state;
    tp_spsc ring;
    failing memory;
    failing_init(&memory);
    assert_int_equal(tp_spsc_init(&ring, &memory.allocator, 64), TROUPE_OK);
    pthread_t producer;
    assert_int_equal(pthread_create(&producer, NULL, produce, &ring), 0);
    tp_prng prng;
    tp_prng_seed(&prng, 2);
    uint32_t got = 0;
    while (got < ITEMS) {
        void *out[50];
        bool is_empty = tp_spsc_is_empty(&ring);
        uint32_t max = (uint32_t)tp_prng_between(&prng, 1, 50);
        uint32_t count = tp_spsc_take(&ring, out, max);
        assert_true(count <= max && (is_empty || count > 0));
        for (uint32_t i = 0; i < count; i++, got++) {
            assert_ptr_equal(out[i], &values[got]);
            assert_int_equal(*(uint64_t *)out[i], got + UINT64_C(7));
        }
        if (count == 0) {
            sched_yield();
        }
    }
    void *complaint;
    pthread_join(producer, &complaint);
    assert_null(complaint);
    assert_true(tp_spsc_is_empty(&ring));
    tp_spsc_deinit(&ring);
}

typedef struct letter {
    tp_mpsc_node node;
    uint32_t from;
    uint32_t number;
} letter;

typedef struct pusher {
    tp_mpsc *inbox;
    letter *letters;
    uint32_t from;
    uint64_t firsts;
} pusher;

static void *push_all(void *argument)
{
    pusher *self = argument;
    for (uint32_t i = 0; i < PUSHES; i++) {
        self->letters[i].from = self->from;
        self->letters[i].number = i;
        self->firsts += tp_mpsc_push(self->inbox, &self->letters[i].node);
    }
    return NULL;
}

static void inbox_keeps_the_order_of_each_sender_and_wakes_once_a_drain(void **state)
{
    (void)state;
    tp_mpsc inbox;
    tp_mpsc_init(&inbox);
    assert_true(tp_mpsc_is_empty(&inbox));
    assert_null(tp_mpsc_drain(&inbox));
    pusher pushers[PUSHERS];
    pthread_t threads[PUSHERS];
    for (uint32_t i = 0; i < PUSHERS; i++) {
        pushers[i] = (pusher){&inbox, calloc(PUSHES, sizeof(letter)), i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, push_all, &pushers[i]), 0);
    }
    uint32_t expected[PUSHERS] = {0};
    uint64_t drains = 0;
    for (uint32_t got = 0; got < PUSHERS * PUSHES;) {
        tp_mpsc_node *node = tp_mpsc_drain(&inbox);
        if (node == NULL) {
            sched_yield();
            continue;
        }
        drains++;
        for (; node != NULL; node = node->next, got++) {
            letter *l = TP_CONTAINER(node, letter, node);
            assert_int_equal(l->number, expected[l->from]++);
        }
    }
    uint64_t firsts = 0;
    for (uint32_t i = 0; i < PUSHERS; i++) {
        pthread_join(threads[i], NULL);
        firsts += pushers[i].firsts;
        free(pushers[i].letters);
    }
    assert_true(tp_mpsc_is_empty(&inbox));
    assert_int_equal(firsts, drains);
}

static void shared_ring_takes_its_limit_and_no_more(void **state)
{
    (void)state;
    int items[7];
    for (uint32_t limit = 1; limit <= 7; limit++) {
        failing memory;
        failing_init(&memory);
        tp_mpring ring = {0};
        assert_int_equal(tp_mpring_init(&ring, &memory.allocator, limit), TROUPE_OK);
        ring.entered = ring.left = ring.left_seen = ring.next =
            UINT32_MAX - 9; /* the counts wrap */
        for (int round = 0; round < 5; round++) {
            assert_true(tp_mpring_is_empty(&ring));
            assert_null(tp_mpring_take(&ring));
            for (uint32_t i = 0; i < limit; i++)
                assert_true(tp_mpring_put(&ring, &items[i]));
            assert_false(tp_mpring_put(&ring, &items[0]));
            assert_true(tp_mpring_is_full(&ring));
            for (uint32_t i = 0; i < limit; i++) {
                assert_ptr_equal(tp_mpring_peek(&ring, 0), &items[i]);
                assert_ptr_equal(tp_mpring_take(&ring), &items[i]);
            }
            assert_false(tp_mpring_put(&ring, &items[0])); /* not published yet */
            tp_mpring_publish(&ring);
            assert_false(tp_mpring_is_full(&ring));
        }
        tp_mpring_deinit(&ring, &memory.allocator);
        assert_int_equal(memory.bytes, 0);
        assert_int_equal(memory.wrong_sizes, 0);
    }
}

typedef struct putter {
    tp_mpring *ring;
    letter *letters;
    uint32_t from;
} putter;

static void *put_all(void *argument)
{
    putter *self = argument;
    for (uint32_t i = 0; i < PUSHES; i++) {
        self->letters[i].from = self->from;
        self->letters[i].number = i;
        while (!tp_mpring_put(self->ring, &self->letters[i]))
            sched_yield();
    }
    return NULL;
}

static void shared_ring_keeps_the_order_of_each_sender(void **state)
{
    (void)state;
    tp_mpring ring = {0};
    assert_int_equal(tp_mpring_init(&ring, tp_allocator_system(), 50), TROUPE_OK);
    putter putters[PUSHERS];
    pthread_t threads[PUSHERS];
    for (uint32_t i = 0; i < PUSHERS; i++) {
        putters[i] = (putter){&ring, calloc(PUSHES, sizeof(letter)), i};
        assert_int_equal(pthread_create(&threads[i], NULL, put_all, &putters[i]), 0);
    }
    uint32_t expected[PUSHERS] = {0};
    for (uint32_t got = 0; got < PUSHERS * PUSHES;) {
        letter *l = tp_mpring_take(&ring);
        if (l == NULL) {
            tp_mpring_publish(&ring);
            sched_yield();
            continue;
        }
        got++;
        assert_int_equal(l->number, expected[l->from]++);
    }
    for (uint32_t i = 0; i < PUSHERS; i++) {
        pthread_join(threads[i], NULL);
        free(putters[i].letters);
    }
    assert_true(tp_mpring_is_empty(&ring));
    tp_mpring_deinit(&ring, tp_allocator_system());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_refuses_what_exceeds_its_capacity),
        cmocka_unit_test(ring_says_so_when_memory_is_refused),
        cmocka_unit_test(ring_hands_over_everything_in_order_between_two_threads),
        cmocka_unit_test(inbox_keeps_the_order_of_each_sender_and_wakes_once_a_drain),
        cmocka_unit_test(shared_ring_takes_its_limit_and_no_more),
        cmocka_unit_test(shared_ring_keeps_the_order_of_each_sender),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
