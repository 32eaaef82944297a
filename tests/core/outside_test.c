/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of other threads into a node with threads of its own: the room for them, their order, their
 * bytes, and their deadlines while the shard has no time for them. What becomes of calls in general
 * is in calls_test.c and tests/promises.
 *
 * Threads: the shard is held up by a turn that waits for a flag, not by time.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <troupe.h>

#define ROOM    100 /* not a power of two */
#define SENDERS 3
#define TELLS   3000

typedef struct stage {
    troupe_node *node;
    troupe_client *client;
    _Atomic bool held, release;
    _Atomic uint32_t runs;
    /* the sink's */
    uint32_t next[SENDERS];
    _Atomic uint32_t received;
    _Atomic uint32_t wrong;
} stage;

typedef struct letter {
    uint32_t from, number;
} letter;

static troupe_status hold(troupe_turn *turn, void *state, troupe_slice payload)
{
    stage *self = troupe_turn_user(turn);
    (void)state;
    uint64_t duration = *(const uint64_t *)payload.data;
    atomic_store(&self->held, true);
    while (!atomic_load(&self->release))
        sched_yield();
    uint64_t end = troupe_now(turn) + duration;
    while (troupe_now(turn) < end)
        sched_yield();
    atomic_store(&self->held, false);
    return TROUPE_OK;
}

static troupe_status run(troupe_turn *turn, void *state, troupe_slice payload)
{
    stage *self = troupe_turn_user(turn);
    (void)state;
    (void)payload;
    atomic_fetch_add(&self->runs, 1);
    return troupe_reply_bytes(turn, troupe_str("ran"));
}

static troupe_status take(troupe_turn *turn, void *state, troupe_slice payload)
{
    stage *self = troupe_turn_user(turn);
    (void)state;
    letter head;
    memcpy(&head, payload.data, sizeof head);
    bool right = head.from < SENDERS && head.number == self->next[head.from]++;
    const unsigned char *bytes = payload.data;
    for (size_t i = sizeof head; i < payload.size; i++)
        right = right && bytes[i] == (unsigned char)(head.number + i);
    if (!right)
        atomic_fetch_add(&self->wrong, 1);
    atomic_fetch_add(&self->received, 1);
    return TROUPE_OK;
}

static const troupe_method methods[] = {
    TROUPE_METHOD(hold), TROUPE_METHOD(run), TROUPE_METHOD(take)};

static void open_stage(stage *self)
{
    memset(self, 0, sizeof *self);
    troupe_type type = {
        TROUPE_TYPE("stage"), TROUPE_METHODS(methods), .user = self, .mailbox_limit = 100000};
    const troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .shards = 1, .log = "off", .inbox_limit = ROOM};
    assert_int_equal(troupe_node_open(&options, TROUPE_TYPES(&type), &self->node), TROUPE_OK);
    assert_int_equal(troupe_client_open(self->node, &self->client), TROUPE_OK);
}

static void close_stage(stage *self)
{
    troupe_client_close(self->client);
    troupe_node_close(self->node);
}

static void hold_shard(stage *self, uint64_t duration)
{
    atomic_store(&self->release, false);
    assert_int_equal(troupe_client_tell(self->client, troupe_id_of("stage", "holder"), "hold",
                         troupe_slice_of(&duration, sizeof duration), NULL),
        TROUPE_OK);
    while (!atomic_load(&self->held))
        sched_yield();
}

static troupe_status send(stage *self, uint32_t from, uint32_t number)
{
    /* Sizes on both sides of what fits into a block that is used again. */
    unsigned char bytes[900];
    size_t size = sizeof(letter) + number * 7 % (sizeof bytes - sizeof(letter));
    letter head = {from, number};
    memcpy(bytes, &head, sizeof head);
    for (size_t i = sizeof head; i < size; i++)
        bytes[i] = (unsigned char)(number + i);
    return troupe_client_tell(
        self->client, troupe_id_of("stage", "sink"), "take", troupe_slice_of(bytes, size), NULL);
}

static void inbox_takes_as_many_as_its_limit_and_keeps_their_order(void **state)
{
    (void)state;
    stage self;
    open_stage(&self);
    uint32_t sent = 0;
    for (int round = 0; round < 5; round++) {
        hold_shard(&self, 0);
        for (uint32_t i = 0; i < ROOM; i++)
            assert_int_equal(send(&self, 0, sent++), TROUPE_OK);
        assert_int_equal(send(&self, 0, sent), TROUPE_BUSY);
        assert_int_equal(send(&self, 0, sent), TROUPE_BUSY);
        atomic_store(&self.release, true);
        while (atomic_load(&self.received) != sent)
            sched_yield();
    }
    assert_int_equal(atomic_load(&self.wrong), 0);
    close_stage(&self);
}

typedef struct sender {
    stage *to;
    uint32_t number;
} sender;

static void *send_all(void *argument)
{
    sender *self = argument;
    for (uint32_t i = 0; i < TELLS; i++)
        while (send(self->to, self->number, i) == TROUPE_BUSY)
            sched_yield();
    return NULL;
}

static void each_senders_calls_arrive_whole_and_in_order(void **state)
{
    (void)state;
    stage self;
    open_stage(&self);
    sender senders[SENDERS];
    pthread_t threads[SENDERS];
    for (uint32_t i = 0; i < SENDERS; i++) {
        senders[i] = (sender){&self, i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    for (uint32_t i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    while (atomic_load(&self.received) != SENDERS * TELLS)
        sched_yield();
    assert_int_equal(atomic_load(&self.wrong), 0);
    close_stage(&self);
}

typedef struct ended {
    _Atomic uint32_t count;
    troupe_status status;
    troupe_outcome outcome;
} ended;

static void on_ended(void *user, const troupe_answer *answer)
{
    ended *self = user;
    self->status = answer->status;
    self->outcome = answer->outcome;
    atomic_fetch_add(&self->count, 1);
}

static void call_whose_time_is_over_before_the_shard_comes_to_it_is_not_started(void **state)
{
    (void)state;
    stage self;
    open_stage(&self);
    const troupe_id id = troupe_id_of("stage", "other");
    const troupe_call_options brief = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_MILLISECONDS(30)};
    const troupe_call_options patient = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_MINUTES(5)};
    ended ends[3] = {0};
    hold_shard(&self, TROUPE_MILLISECONDS(400));
    for (int i = 0; i < 3; i++)
        assert_int_equal(troupe_client_ask_callback(self.client, id, "run", troupe_str(""),
                             i < 2 ? &brief : &patient, on_ended, &ends[i]),
            TROUPE_OK);
    assert_int_equal(troupe_client_tell(self.client, id, "run", troupe_str(""), &brief), TROUPE_OK);
    atomic_store(&self.release, true);
    for (int i = 0; i < 3; i++)
        while (atomic_load(&ends[i].count) == 0)
            sched_yield();
    for (int i = 0; i < 2; i++)
        assert_int_not_equal(ends[i].status, TROUPE_OK);
    assert_int_equal(ends[2].status, TROUPE_OK);
    assert_int_equal(atomic_load(&self.runs), 1);
    close_stage(&self);
}

/* Two beats of coarse time are 20 ms, more than all of this call's. */
static void a_short_time_counts_from_the_call_itself(void **state)
{
    (void)state;
    stage self;
    open_stage(&self);
    const troupe_id id = troupe_id_of("stage", "other");
    const troupe_call_options brief = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_MILLISECONDS(8)};
    for (int i = 0; i < 10; i++) {
        ended end = {0};
        atomic_store(&self.release, false);
        hold_shard(&self, TROUPE_MILLISECONDS(9));
        assert_int_equal(troupe_client_ask_callback(
                             self.client, id, "run", troupe_str(""), &brief, on_ended, &end),
            TROUPE_OK);
        atomic_store(&self.release, true); /* the turn that holds the shard goes on for 9 ms */
        while (atomic_load(&end.count) == 0)
            sched_yield();
        assert_int_not_equal(end.status, TROUPE_OK);
    }
    assert_int_equal(atomic_load(&self.runs), 0);
    close_stage(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inbox_takes_as_many_as_its_limit_and_keeps_their_order),
        cmocka_unit_test(each_senders_calls_arrive_whole_and_in_order),
        cmocka_unit_test(call_whose_time_is_over_before_the_shard_comes_to_it_is_not_started),
        cmocka_unit_test(a_short_time_counts_from_the_call_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
