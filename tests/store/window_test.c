/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The once window: a request runs once, a retry waits, is answered or hears what is known; the
 * window has a limit, forgets by time only, and agrees with a slow model whatever happens.
 */
#include "store/window.h"

#include "base/prng.h"
#include "tests/base/failing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* An answer in a block of its own, as a commit leaves it. */
static void *make_answer(
    failing *memory, const char *payload, uint64_t expires, tp_row_once *ret_answer)
{
    size_t size = strlen(payload) + 1;
    char *block = memory->allocator.allocate(memory->allocator.context, size);
    memcpy(block, payload, size);
    *ret_answer = (tp_row_once){
        .state = TP_ONCE_DONE, .expires = expires, .payload = troupe_slice_of(block, size - 1)};
    return block;
}

static void finish(failing *memory, tp_window *window, tp_window_entry *entry, const char *payload)
{
    tp_row_once answer;
    void *block = make_answer(memory, payload, entry->expires, &answer);
    tp_window_finish(window, entry, &answer, block, strlen(payload) + 1);
}

static tp_window_entry *begin(tp_window *window, const char *id, uint64_t expires, void *turn)
{
    tp_window_entry *entry = NULL;
    assert_int_equal(tp_window_decide(window, troupe_str(id), expires, 0, &entry), TP_WINDOW_RUN);
    assert_null(entry);
    assert_int_equal(tp_window_begin(window, troupe_str(id), expires, turn, &entry), TROUPE_OK);
    return entry;
}

static tp_window_decision decide(
    tp_window *window, const char *id, uint64_t now, tp_window_entry **ret_entry)
{
    return tp_window_decide(window, troupe_str(id), 1000, now, ret_entry);
}

static void close_window(failing *memory, tp_window *window)
{
    tp_window_deinit(window);
    assert_int_equal(memory->bytes, 0);
    assert_int_equal(memory->wrong_sizes, 0);
}

static void a_request_runs_once_and_its_retries_wait_then_hear_its_answer(void **state)
{
    (void)state;
    failing memory;
    tp_window window;
    int turn;
    tp_window_entry *entry = NULL;
    failing_init(&memory);
    tp_window_init(&window, &memory.allocator, 4);
    assert_null(tp_window_find(&window, troupe_str("a")));
    tp_window_entry *begun = begin(&window, "a", 1000, &turn);
    assert_int_equal(decide(&window, "a", 1, &entry), TP_WINDOW_WAIT);
    assert_true(entry == begun && entry->turn == &turn);
    finish(&memory, &window, begun, "yes");
    assert_int_equal(decide(&window, "a", 2, &entry), TP_WINDOW_ANSWER);
    assert_true(troupe_slice_equal(entry->answer.payload, troupe_str("yes")));
    assert_int_equal(decide(&window, "b", 2, &entry), TP_WINDOW_RUN);
    /* Still there: the caller's time is over, but what is known is told. */
    assert_int_equal(decide(&window, "a", 5000, &entry), TP_WINDOW_ANSWER);
    assert_int_equal(memory.bytes, window.bytes);
    close_window(&memory, &window);
}

static void a_lost_request_is_interrupted_until_it_is_made_good(void **state)
{
    (void)state;
    failing memory;
    tp_window window;
    tp_window_entry *entry = NULL;
    failing_init(&memory);
    tp_window_init(&window, &memory.allocator, 4);
    tp_window_lose(&window, begin(&window, "a", 1000, &memory));
    assert_int_equal(decide(&window, "a", 1, &entry), TP_WINDOW_INTERRUPTED);
    assert_null(entry->turn);
    finish(&memory, &window, entry, "undone");
    assert_int_equal(decide(&window, "a", 1, &entry), TP_WINDOW_ANSWER);
    close_window(&memory, &window);
}

static void loaded_rows_answer_or_are_interrupted(void **state)
{
    (void)state;
    failing memory;
    tp_window window;
    tp_row_once answer;
    tp_row_once lost = {.state = TP_ONCE_BEGUN, .expires = 9};
    tp_window_entry *entry = NULL;
    failing_init(&memory);
    tp_window_init(&window, &memory.allocator, 1); /* lowered since they were stored */
    void *block = make_answer(&memory, "kept", 7, &answer);
    assert_int_equal(
        tp_window_load(&window, troupe_str("done"), &answer, block, sizeof "kept"), TROUPE_OK);
    assert_int_equal(tp_window_load(&window, troupe_str("lost"), &lost, NULL, 0), TROUPE_OK);
    assert_int_equal(decide(&window, "done", 1, &entry), TP_WINDOW_ANSWER);
    assert_true(troupe_slice_equal(entry->answer.payload, troupe_str("kept")));
    assert_int_equal(decide(&window, "lost", 1, &entry), TP_WINDOW_INTERRUPTED);
    assert_int_equal(decide(&window, "new", 1, &entry), TP_WINDOW_BUSY);
    close_window(&memory, &window);
}

static void a_request_that_may_be_forgotten_is_unknown_and_does_not_run(void **state)
{
    (void)state;
    failing memory;
    tp_window window;
    tp_window_entry *entry = NULL;
    failing_init(&memory);
    tp_window_init(&window, &memory.allocator, 4);
    finish(&memory, &window, begin(&window, "a", 1200, NULL), "yes");
    assert_null(tp_window_expired(&window, 1199));
    entry = tp_window_expired(&window, 1200);
    assert_true(entry != NULL && entry == tp_window_find(&window, troupe_str("a")));
    tp_window_remove(&window, entry);
    assert_int_equal(decide(&window, "a", 1000, &entry), TP_WINDOW_UNKNOWN);
    assert_int_equal(decide(&window, "a", 999, &entry), TP_WINDOW_RUN);
    close_window(&memory, &window);
}

static void a_full_window_is_busy_and_counts_it_until_something_leaves(void **state)
{
    (void)state;
    failing memory;
    tp_window window;
    tp_window_entry *entry = NULL;
    char id[16];
    failing_init(&memory);
    tp_window_init(&window, &memory.allocator, TP_WINDOW_LIMIT);
    for (int i = 0; i < TP_WINDOW_LIMIT; i++) {
        snprintf(id, sizeof id, "id-%d", i);
        begin(&window, id, 1000 + (uint64_t)i, NULL);
    }
    assert_int_equal(decide(&window, "more", 1, &entry), TP_WINDOW_BUSY);
    assert_int_equal(window.refused, 1);
    assert_int_equal(decide(&window, "id-7", 1, &entry), TP_WINDOW_WAIT);
    assert_null(tp_window_expired(&window, UINT64_MAX)); /* all of them run */
    finish(&memory, &window, entry, "x");
    assert_int_equal(decide(&window, "more", 1, &entry), TP_WINDOW_BUSY);
    tp_window_remove(&window, tp_window_expired(&window, 2000));
    assert_int_equal(decide(&window, "more", 1, &entry), TP_WINDOW_RUN);
    assert_int_equal(window.refused, 2);
    close_window(&memory, &window);
}

static void ids_are_any_bytes_up_to_64(void **state)
{
    (void)state;
    failing memory;
    tp_window window;
    char id[TP_ROW_ONCE_MAX] = {0};
    tp_window_entry *entry = NULL;
    failing_init(&memory);
    tp_window_init(&window, &memory.allocator, 100);
    for (size_t size = 1; size <= sizeof id; size++) {
        troupe_slice zeros = troupe_slice_of(id, size);
        assert_int_equal(tp_window_decide(&window, zeros, 9, 1, &entry), TP_WINDOW_RUN);
        assert_int_equal(tp_window_begin(&window, zeros, 9, NULL, &entry), TROUPE_OK);
    }
    for (size_t size = 1; size <= sizeof id; size++)
        assert_int_equal(tp_window_find(&window, troupe_slice_of(id, size))->id_size, size);
    close_window(&memory, &window);
}

static void without_memory_nothing_begins_and_nothing_changes(void **state)
{
    (void)state;
    for (uint64_t call = 1; call <= 40; call++) {
        failing memory;
        tp_window window;
        failing_init(&memory);
        memory.fail_from = call;
        memory.fail_count = 1;
        tp_window_init(&window, &memory.allocator, 100);
        unsigned failures = 0;
        for (unsigned i = 0; i < 33; i++) {
            tp_window_entry *entry = NULL;
            troupe_slice id = troupe_slice_of(&i, sizeof i);
            if (tp_window_begin(&window, id, 5, NULL, &entry) != TROUPE_OK) {
                failures++;
                assert_null(entry);
                assert_null(tp_window_find(&window, id));
                assert_int_equal(tp_window_begin(&window, id, 5, NULL, &entry), TROUPE_OK);
            }
            assert_int_equal(window.count, i + 1);
            assert_ptr_equal(tp_window_find(&window, id), entry);
        }
        assert_int_equal(failures, call <= 33 + 4); /* 33 entries and four arrays, to 64 */
        assert_int_equal(memory.bytes, window.bytes);
        close_window(&memory, &window);
    }
}

/* ------------------------------------------------------------------------------------------
 * The model: what is known of each of 40 ids, found by looking at all of them.
 */
enum { IDS = 40, LIMIT = 24 };

typedef struct model {
    int state[IDS]; /* 0: absent; else of tp_window_state */
    uint64_t expires[IDS];
    int answer[IDS];
    uint64_t now;
    int count;
} model;

typedef struct world {
    failing memory;
    tp_window window;
    model model;
    tp_prng prng;
    int next_answer;
} world;

static troupe_slice id_of(int i, char *out)
{
    return troupe_slice_of(out, (size_t)snprintf(out, 32, "request %d", i));
}

static void check_decision(world *self, int i)
{
    model *m = &self->model;
    char text[32];
    tp_window_entry *entry = NULL;
    uint64_t deadline = m->now - 3 + tp_prng_below(&self->prng, 30);
    uint64_t expires = deadline + 5;
    tp_window_decision found =
        tp_window_decide(&self->window, id_of(i, text), deadline, m->now, &entry);
    static const tp_window_decision of_state[] = {[TP_WINDOW_RUNNING] = TP_WINDOW_WAIT,
        [TP_WINDOW_LOST] = TP_WINDOW_INTERRUPTED,
        [TP_WINDOW_DONE] = TP_WINDOW_ANSWER};
    if (m->state[i] != 0)
        assert_int_equal(found, of_state[m->state[i]]);
    else if (deadline <= m->now)
        assert_int_equal(found, TP_WINDOW_UNKNOWN);
    else
        assert_int_equal(found, m->count >= LIMIT ? TP_WINDOW_BUSY : TP_WINDOW_RUN);
    if (found == TP_WINDOW_ANSWER) {
        char answer[32];
        snprintf(answer, sizeof answer, "%d", m->answer[i]);
        assert_true(troupe_slice_equal(entry->answer.payload, troupe_str(answer)));
    }
    if (found != TP_WINDOW_RUN)
        return;
    assert_int_equal(
        tp_window_begin(&self->window, id_of(i, text), expires, self, &entry), TROUPE_OK);
    m->state[i] = TP_WINDOW_RUNNING;
    m->expires[i] = expires;
    m->count++;
}

static void sweep(world *self)
{
    model *m = &self->model;
    char text[32];
    uint64_t last = 0;
    tp_window_entry *entry;
    while ((entry = tp_window_expired(&self->window, m->now)) != NULL) {
        assert_true(entry->expires >= last);
        last = entry->expires;
        int i = 0;
        while (!troupe_slice_equal(id_of(i, text), troupe_slice_of(entry->id, entry->id_size)))
            i++;
        assert_true(m->state[i] > TP_WINDOW_RUNNING && m->expires[i] == entry->expires);
        m->state[i] = 0;
        m->count--;
        tp_window_remove(&self->window, entry);
    }
    for (int i = 0; i < IDS; i++)
        assert_true(m->state[i] <= TP_WINDOW_RUNNING || m->expires[i] > m->now);
}

/* Ends a running or lost request in one of the ways that there are. */
static void end_request(world *self, int i)
{
    model *m = &self->model;
    char text[32];
    tp_window_entry *entry = tp_window_find(&self->window, id_of(i, text));
    assert_int_equal(entry != NULL, m->state[i] != 0);
    uint64_t way = tp_prng_below(&self->prng, 4);
    if (entry == NULL)
        return;
    if (way == 0) {
        tp_window_remove(&self->window, entry);
        m->state[i] = 0;
        m->count--;
    } else if (way == 1 && m->state[i] == TP_WINDOW_RUNNING) {
        tp_window_lose(&self->window, entry);
        m->state[i] = TP_WINDOW_LOST;
    } else if (m->state[i] != TP_WINDOW_DONE) {
        char answer[32];
        snprintf(answer, sizeof answer, "%d", m->answer[i] = self->next_answer++);
        finish(&self->memory, &self->window, entry, answer);
        m->state[i] = TP_WINDOW_DONE;
    }
}

static void whatever_happens_the_window_agrees_with_the_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        world self = {.model = {.now = 100}};
        failing_init(&self.memory);
        tp_prng_seed(&self.prng, seed);
        tp_window_init(&self.window, &self.memory.allocator, LIMIT);
        for (int step = 0; step < 5000; step++) {
            int i = (int)tp_prng_below(&self.prng, IDS);
            uint64_t what = tp_prng_below(&self.prng, 20);
            if (what < 12)
                check_decision(&self, i);
            else if (what < 17)
                end_request(&self, i);
            else if (what < 19)
                self.model.now += tp_prng_below(&self.prng, 4);
            else
                sweep(&self);
            assert_int_equal(self.window.count, self.model.count);
            assert_int_equal(self.memory.bytes, self.window.bytes);
        }
        assert_true(self.next_answer > 100 && self.window.refused > 10);
        close_window(&self.memory, &self.window);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_runs_once_and_its_retries_wait_then_hear_its_answer),
        cmocka_unit_test(a_lost_request_is_interrupted_until_it_is_made_good),
        cmocka_unit_test(loaded_rows_answer_or_are_interrupted),
        cmocka_unit_test(a_request_that_may_be_forgotten_is_unknown_and_does_not_run),
        cmocka_unit_test(a_full_window_is_busy_and_counts_it_until_something_leaves),
        cmocka_unit_test(ids_are_any_bytes_up_to_64),
        cmocka_unit_test(without_memory_nothing_begins_and_nothing_changes),
        cmocka_unit_test(whatever_happens_the_window_agrees_with_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
