/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scenes of the conformance suite of membership; see suite.h.
 *
 * Threads: the test's one; racing ones have a handle each.
 */
#include "suite.h"

#include "base/alloc.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { RACERS = 4, RACES = 40, REGISTERS = 64, TEXT = 64, FAR = 40 /* ms each way */ };
#define LONG  TROUPE_SECONDS(5)
#define SHORT TROUPE_MILLISECONDS(300)
#define TRY   TROUPE_MILLISECONDS(250)
#define CUT   TROUPE_SECONDS(4)

static uint64_t read_clock(void *context)
{
    struct timespec moment;
    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (uint64_t)moment.tv_sec * TROUPE_SECONDS(1) + (uint64_t)moment.tv_nsec;
}

static void *allocate(void *context, size_t size)
{
    (void)context;
    return malloc(size);
}

static void *reallocate(void *context, void *block, size_t old_size, size_t new_size)
{
    (void)context;
    (void)old_size;
    return realloc(block, new_size);
}

static void release(void *context, void *block, size_t size)
{
    (void)context;
    (void)size;
    free(block);
}

static const troupe_allocator memory = {NULL, allocate, reallocate, release};
const troupe_membership_host suite_host = {
    .size = sizeof suite_host, .allocator = &memory, .now = read_clock};

/* ---- short forms ----------------------------------------------------------------------------- */

typedef struct seen {
    uint64_t number;
    size_t size;
    char text[TEXT];
    troupe_register registers[REGISTERS];
    size_t count;
    uint64_t run;
} seen;

static void on_view(void *user, uint64_t number, troupe_slice text)
{
    seen *self = user;
    self->number = number;
    self->size = text.size;
    memcpy(self->text, text.data, text.size < TEXT ? text.size : TEXT);
}

static void on_register(void *user, const troupe_register *found)
{
    seen *self = user;
    assert_true(self->count < REGISTERS);
    self->registers[self->count++] = *found;
}

static troupe_membership *open_on(const suite *place, const char *cluster)
{
    troupe_membership *handle = NULL;
    assert_int_equal(place->open(place->user, cluster, &handle), TROUPE_OK);
    assert_non_null(handle);
    return handle;
}

static troupe_status put(troupe_membership *handle, uint64_t number, const char *text)
{
    static const uint64_t kept[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    return handle->cas_view(
        handle, LONG, number, troupe_str(text), kept, sizeof kept / sizeof kept[0]);
}

static seen view_of(troupe_membership *handle)
{
    seen found = {0};
    assert_int_equal(handle->read_view(handle, LONG, on_view, &found), TROUPE_OK);
    return found;
}

static void expect_view(troupe_membership *handle, uint64_t number, const char *text)
{
    seen found = view_of(handle);
    assert_int_equal(found.number, number);
    assert_int_equal(found.size, strlen(text));
    assert_memory_equal(found.text, text, found.size);
}

/* {0} if there is none. */
static troupe_register register_of(troupe_membership *handle, uint64_t incarnation)
{
    seen found = {0};
    assert_int_equal(
        handle->read_registers(handle, LONG, on_register, &found, &found.run), TROUPE_OK);
    for (size_t i = 0; i < found.count; i++)
        if (found.registers[i].incarnation == incarnation)
            return found.registers[i];
    return (troupe_register){0};
}

static void expect_register(
    troupe_membership *handle, uint64_t incarnation, uint64_t count, bool revoked)
{
    troupe_register found = register_of(handle, incarnation);
    assert_int_equal(found.count, count);
    assert_int_equal(found.revoked, revoked);
}

#define RAISE(handle, incarnation, count)  (handle)->raise(handle, LONG, incarnation, count)
#define REVOKE(handle, incarnation, count) (handle)->revoke(handle, LONG, incarnation, count)

/* ---- alone ----------------------------------------------------------------------------------- */

static void views_go_from_v_to_v_plus_one(void **state)
{
    troupe_membership *handle = open_on(*state, "views");
    assert_int_equal(view_of(handle).number, 0);
    assert_int_equal(put(handle, 2, "too early"), TROUPE_CONFLICT);
    assert_int_equal(put(handle, 1, "one"), TROUPE_OK);
    expect_view(handle, 1, "one");
    assert_int_equal(put(handle, 1, "another one"), TROUPE_CONFLICT);
    assert_int_equal(put(handle, 3, "three"), TROUPE_CONFLICT);
    assert_int_equal(put(handle, 2, "\"two\"\n{'$x': \\}"), TROUPE_OK);
    expect_view(handle, 2, "\"two\"\n{'$x': \\}");
    troupe_membership *other = open_on(*state, "views");
    expect_view(other, 2, "\"two\"\n{'$x': \\}");
    other->close(other);
    handle->close(handle);
}

static void a_large_view_is_kept_whole(void **state)
{
    troupe_membership *handle = open_on(*state, "large");
    char *text = malloc(TROUPE_VIEW_MAX + 1);
    assert_non_null(text);
    for (size_t i = 0; i <= TROUPE_VIEW_MAX; i++)
        text[i] = (char)(' ' + i % 90);
    troupe_slice most = troupe_slice_of(text, TROUPE_VIEW_MAX);
    assert_int_equal(
        handle->cas_view(handle, LONG, 1, troupe_slice_of(text, TROUPE_VIEW_MAX + 1), NULL, 0),
        TROUPE_TOO_LARGE);
    assert_int_equal(handle->cas_view(handle, LONG, 1, most, NULL, 0), TROUPE_OK);
    seen found = view_of(handle);
    assert_int_equal(found.number, 1);
    assert_int_equal(found.size, TROUPE_VIEW_MAX);
    assert_memory_equal(found.text, text, TEXT);
    free(text);
    handle->close(handle);
}

static void registers_are_raised_from_the_count_that_one_knows(void **state)
{
    troupe_membership *handle = open_on(*state, "registers");
    assert_int_equal(register_of(handle, 1).incarnation, 0);
    assert_int_equal(RAISE(handle, 1, 3), TROUPE_CONFLICT);
    assert_int_equal(RAISE(handle, 1, 0), TROUPE_OK);
    assert_int_equal(RAISE(handle, 1, 0), TROUPE_CONFLICT);
    expect_register(handle, 1, 1, false);
    for (uint64_t count = 1; count < 20; count++)
        assert_int_equal(RAISE(handle, 1, count), TROUPE_OK);
    assert_int_equal(RAISE(handle, 1, 19), TROUPE_CONFLICT);
    expect_register(handle, 1, 20, false);
    handle->close(handle);
}

static void a_revoked_register_never_comes_back(void **state)
{
    troupe_membership *handle = open_on(*state, "revoked");
    assert_int_equal(RAISE(handle, 1, 0), TROUPE_OK);
    assert_int_equal(RAISE(handle, 1, 1), TROUPE_OK);
    assert_int_equal(REVOKE(handle, 1, 1), TROUPE_CONFLICT);
    assert_int_equal(REVOKE(handle, 1, 2), TROUPE_OK);
    expect_register(handle, 1, 2, true);
    assert_int_equal(RAISE(handle, 1, 2), TROUPE_CONFLICT);
    assert_int_equal(RAISE(handle, 1, 0), TROUPE_CONFLICT);
    assert_int_equal(REVOKE(handle, 1, 2), TROUPE_CONFLICT);
    assert_int_equal(REVOKE(handle, 2, 1), TROUPE_CONFLICT);
    assert_int_equal(REVOKE(handle, 2, 0), TROUPE_OK); /* was never raised, and never will be */
    assert_int_equal(RAISE(handle, 2, 0), TROUPE_CONFLICT);
    assert_int_equal(RAISE(handle, 2, 1), TROUPE_CONFLICT);
    expect_register(handle, 2, 0, true);
    assert_int_equal(put(handle, 1, "keeps 1 to 9"), TROUPE_OK);
    expect_register(handle, 1, 2, true);
    handle->close(handle);
}

static void clusters_of_other_names_see_nothing(void **state)
{
    troupe_membership *one = open_on(*state, "left"), *other = open_on(*state, "right");
    assert_int_equal(put(one, 1, "of left"), TROUPE_OK);
    assert_int_equal(RAISE(one, 1, 0), TROUPE_OK);
    assert_int_equal(view_of(other).number, 0);
    assert_int_equal(register_of(other, 1).incarnation, 0);
    assert_int_equal(put(other, 1, "of right"), TROUPE_OK);
    expect_view(one, 1, "of left");
    one->close(one);
    other->close(other);
}

static void the_end_of_a_holder_is_seen_where_it_can_be(void **state)
{
    const suite *place = *state;
    troupe_membership *handle = open_on(place, "ends"), *holder = open_on(place, "ends");
    assert_int_equal(RAISE(holder, 1, 0), TROUPE_OK);
    assert_false(register_of(handle, 1).ended);
    assert_false(register_of(holder, 1).ended);
    holder->close(holder);
    assert_int_equal(register_of(handle, 1).ended, place->tells_ends);
    expect_register(handle, 1, 1, false);
    handle->close(handle);
}

static void what_is_not_kept_may_go_and_does_not_come_back(void **state)
{
    static const uint64_t kept[] = {2};
    troupe_membership *handle = open_on(*state, "kept");
    assert_int_equal(RAISE(handle, 1, 0), TROUPE_OK);
    assert_int_equal(RAISE(handle, 1, 1), TROUPE_OK);
    assert_int_equal(RAISE(handle, 2, 0), TROUPE_OK);
    assert_int_equal(handle->cas_view(handle, LONG, 1, troupe_str("x"), kept, 1), TROUPE_OK);
    expect_register(handle, 2, 1, false);
    assert_int_equal(register_of(handle, 1).incarnation, 0);
    assert_int_equal(RAISE(handle, 1, 2), TROUPE_CONFLICT);
    assert_int_equal(REVOKE(handle, 1, 2), TROUPE_CONFLICT);
    handle->close(handle);
}

/* ---- with others ----------------------------------------------------------------------------- */

typedef struct racer {
    troupe_membership *handle;
    unsigned won;
    bool failed;
    pthread_t thread;
} racer;

static void *race(void *user)
{
    racer *self = user;
    char text[32];
    for (uint64_t number = 1; number <= RACES;) {
        snprintf(text, sizeof text, "%llu by %p", (unsigned long long)number, user);
        troupe_status status = put(self->handle, number, text);
        troupe_status raised = RAISE(self->handle, 7, number - 1);
        self->won += (unsigned)(status == TROUPE_OK) + (unsigned)(raised == TROUPE_OK);
        if ((status != TROUPE_OK && status != TROUPE_CONFLICT) ||
            (raised != TROUPE_OK && raised != TROUPE_CONFLICT)) {
            fprintf(stderr, "race: %s, %s: %s\n", troupe_status_name(status),
                troupe_status_name(raised), self->handle->error);
            self->failed = true;
            break;
        }
        number++;
    }
    return NULL;
}

static void of_those_who_race_one_wins(void **state)
{
    racer racers[RACERS] = {0};
    unsigned won = 0;
    for (int i = 0; i < RACERS; i++)
        racers[i].handle = open_on(*state, "race");
    for (int i = 0; i < RACERS; i++)
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    for (int i = 0; i < RACERS; i++)
        pthread_join(racers[i].thread, NULL);
    for (int i = 0; i < RACERS; i++) {
        assert_false(racers[i].failed);
        won += racers[i].won;
    }
    assert_int_equal(won, 2 * RACES);
    assert_int_equal(view_of(racers[0].handle).number, RACES);
    expect_register(racers[0].handle, 7, RACES, false);
    for (int i = 0; i < RACERS; i++)
        racers[i].handle->close(racers[i].handle);
}

static void *watch_for_two(void *user)
{
    racer *self = user;
    for (int i = 0; i < 100; i++) { /* OK may come too early, and then one looks */
        troupe_status status = self->handle->watch(self->handle, LONG, 1);
        self->failed = status != TROUPE_OK;
        if (status != TROUPE_OK || view_of(self->handle).number == 2)
            return NULL;
    }
    self->failed = true;
    return NULL;
}

static void a_watch_ends_with_the_next_view(void **state)
{
    const suite *place = *state;
    racer watcher = {.handle = open_on(place, "watch")};
    troupe_membership *handle = open_on(place, "watch");
    assert_int_equal(put(handle, 1, "one"), TROUPE_OK);
    assert_int_equal(watcher.handle->watch(watcher.handle, LONG, 0), TROUPE_OK);
    if (place->is_immediate) {
        assert_int_equal(watcher.handle->watch(watcher.handle, SHORT, 1), TROUPE_TIMEOUT);
        assert_int_equal(put(handle, 2, "two"), TROUPE_OK);
        assert_int_equal(watcher.handle->watch(watcher.handle, SHORT, 1), TROUPE_OK);
    } else {
        uint64_t began = read_clock(NULL);
        troupe_status status = TROUPE_OK;
        for (int i = 0; i < 10 && status == TROUPE_OK; i++)
            status = watcher.handle->watch(watcher.handle, SHORT, 1);
        assert_int_equal(status, TROUPE_TIMEOUT);
        assert_true(read_clock(NULL) - began >= SHORT);
        assert_int_equal(pthread_create(&watcher.thread, NULL, watch_for_two, &watcher), 0);
        assert_int_equal(put(handle, 2, "two"), TROUPE_OK);
        pthread_join(watcher.thread, NULL);
        assert_false(watcher.failed);
    }
    watcher.handle->close(watcher.handle);
    handle->close(handle);
}

static void *watch_long(void *user)
{
    racer *self = user;
    troupe_status status = TROUPE_OK;
    while (status == TROUPE_OK || status == TROUPE_TIMEOUT)
        status = self->handle->watch(self->handle, 12 * LONG, 1);
    self->failed = status != TROUPE_UNAVAILABLE;
    return NULL;
}

static void a_node_that_closes_does_not_wait(void **state)
{
    const suite *place = *state;
    racer watcher = {.handle = open_on(place, "hurry")};
    if (place->is_immediate || watcher.handle->hurry == NULL) {
        watcher.handle->close(watcher.handle);
        return;
    }
    assert_int_equal(put(watcher.handle, 1, "one"), TROUPE_OK);
    uint64_t began = read_clock(NULL);
    assert_int_equal(pthread_create(&watcher.thread, NULL, watch_long, &watcher), 0);
    watcher.handle->hurry(watcher.handle);
    pthread_join(watcher.thread, NULL);
    assert_false(watcher.failed);
    assert_true(read_clock(NULL) - began < LONG);
    watcher.handle->close(watcher.handle);
}

/* ---- when the store fails -------------------------------------------------------------------- */

static bool is_no_answer(troupe_status status)
{
    return status == TROUPE_UNAVAILABLE || status == TROUPE_UNKNOWN;
}

/* Until the store answers again; it is there, so not for long. */
static void await(troupe_membership *handle)
{
    seen found = {0};
    uint64_t end = read_clock(NULL) + 6 * LONG;
    while (handle->read_view(handle, LONG, on_view, &found) != TROUPE_OK)
        assert_true(read_clock(NULL) < end);
}

static void expect_no_answers(troupe_membership *handle)
{
    seen found = {0};
    uint64_t began = read_clock(NULL);
    assert_true(is_no_answer(handle->raise(handle, SHORT, 1, 2)));
    assert_true(is_no_answer(handle->revoke(handle, SHORT, 2, 1)));
    assert_true(is_no_answer(handle->cas_view(handle, SHORT, 2, troupe_str("b"), NULL, 0)));
    assert_int_equal(handle->read_view(handle, SHORT, on_view, &found), TROUPE_UNAVAILABLE);
    assert_int_equal(
        handle->read_registers(handle, SHORT, on_register, &found, &found.run), TROUPE_UNAVAILABLE);
    assert_true(handle->error[0] != '\0');
    assert_true(read_clock(NULL) - began < 5 * SHORT + LONG / 2);
}

static troupe_membership *prepare(const suite *place, const char *cluster)
{
    static const uint64_t kept[] = {1, 2};
    troupe_membership *handle = open_on(place, cluster);
    assert_int_equal(handle->cas_view(handle, LONG, 1, troupe_str("a"), kept, 2), TROUPE_OK);
    assert_int_equal(RAISE(handle, 1, 0), TROUPE_OK);
    assert_int_equal(RAISE(handle, 1, 1), TROUPE_OK);
    assert_int_equal(RAISE(handle, 2, 0), TROUPE_OK);
    return handle;
}

/* What was not answered may have been done, whole, or may be done yet: reading tells. */
static void expect_sound(troupe_membership *handle)
{
    await(handle);
    seen found = view_of(handle);
    troupe_register one = register_of(handle, 1);
    assert_true(found.number == 1 || found.number == 2);
    if (found.number == 2)
        return; /* it kept no registers */
    assert_true(one.count == 2 || one.count == 3);
    assert_true(register_of(handle, 2).count == 1);
    troupe_status status = RAISE(handle, 1, one.count);
    if (status == TROUPE_CONFLICT) /* the one of before landed between */
        status = RAISE(handle, 1, one.count + 1);
    assert_int_equal(status, TROUPE_OK);
}

static void a_store_that_stands_still_is_told_in_time(void **state)
{
    const suite *place = *state;
    troupe_membership *handle = prepare(place, "still");
    assert_true(place->stop(place->user));
    expect_no_answers(handle);
    assert_true(place->go(place->user));
    expect_sound(handle);
    handle->close(handle);
}

static void a_store_that_is_cut_off_is_told_in_time(void **state)
{
    const suite *place = *state;
    troupe_membership *handle = prepare(place, "cut");
    relay_cut(place->way);
    expect_no_answers(handle);
    relay_mend(place->way);
    expect_sound(handle);
    handle->close(handle);
}

/* Else those who are back first replace it: a lease is four such calls long. */
static void who_was_cut_off_for_long_is_back_with_the_others(void **state)
{
    const suite *place = *state;
    troupe_membership *handle = prepare(place, "back");
    relay_cut(place->way);
    for (uint64_t end = read_clock(NULL) + CUT; read_clock(NULL) < end;) {
        seen none = {0};
        uint64_t began = read_clock(NULL);
        assert_int_equal(handle->read_view(handle, TRY, on_view, &none), TROUPE_UNAVAILABLE);
        while (read_clock(NULL) - began < TRY)
            usleep(1000); /* what ends at once is not tried at once again */
    }
    relay_mend(place->way);
    seen found = {0};
    uint64_t began = read_clock(NULL);
    while (handle->read_view(handle, TRY, on_view, &found) != TROUPE_OK)
        usleep(1000);
    assert_true(read_clock(NULL) - began < 3 * TRY);
    handle->close(handle);
}

/* To connect and to ask takes longer than a call may: it is done all the same. */
static void a_store_far_away_is_connected_to(void **state)
{
    const suite *place = *state;
    relay_slow(place->way, FAR);
    troupe_membership *handle = prepare(place, "far");
    relay_cut(place->way);
    seen found = {0};
    assert_int_equal(handle->read_view(handle, TRY, on_view, &found), TROUPE_UNAVAILABLE);
    relay_mend(place->way);
    uint64_t began = read_clock(NULL);
    while (handle->read_view(handle, TRY, on_view, &found) != TROUPE_OK) {
        assert_true(read_clock(NULL) - began < LONG);
        usleep(1000);
    }
    handle->close(handle);
    relay_slow(place->way, 0);
}

static void a_store_that_dies_keeps_what_it_called_done(void **state)
{
    const suite *place = *state;
    troupe_membership *handle = prepare(place, "dies");
    seen before = {0}, after = {0};
    assert_int_equal(
        handle->read_registers(handle, LONG, on_register, &before, &before.run), TROUPE_OK);
    assert_true(place->kill(place->user));
    expect_no_answers(handle);
    assert_true(place->start(place->user));
    expect_sound(handle);
    assert_int_equal(
        handle->read_registers(handle, LONG, on_register, &after, &after.run), TROUPE_OK);
    assert_true(before.run == 0 ? after.run == 0 : after.run != before.run);
    handle->close(handle);
}

static int run_on_server(const suite *place)
{
    void *state = (void *)(uintptr_t)place;
    char name[64];
    snprintf(name, sizeof name, "%s, a server", place->name);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(a_store_that_stands_still_is_told_in_time, state),
        cmocka_unit_test_prestate(a_store_that_is_cut_off_is_told_in_time, state),
        cmocka_unit_test_prestate(who_was_cut_off_for_long_is_back_with_the_others, state),
        cmocka_unit_test_prestate(a_store_far_away_is_connected_to, state),
        cmocka_unit_test_prestate(a_store_that_dies_keeps_what_it_called_done, state),
    };
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int suite_run(const suite *place)
{
    void *state = (void *)(uintptr_t)place;
    printf("membership: %s\n", place->name);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(views_go_from_v_to_v_plus_one, state),
        cmocka_unit_test_prestate(a_large_view_is_kept_whole, state),
        cmocka_unit_test_prestate(registers_are_raised_from_the_count_that_one_knows, state),
        cmocka_unit_test_prestate(a_revoked_register_never_comes_back, state),
        cmocka_unit_test_prestate(clusters_of_other_names_see_nothing, state),
        cmocka_unit_test_prestate(the_end_of_a_holder_is_seen_where_it_can_be, state),
        cmocka_unit_test_prestate(what_is_not_kept_may_go_and_does_not_come_back, state),
        cmocka_unit_test_prestate(of_those_who_race_one_wins, state),
        cmocka_unit_test_prestate(a_watch_ends_with_the_next_view, state),
        cmocka_unit_test_prestate(a_node_that_closes_does_not_wait, state),
    };
    if (place->start != NULL && !place->start(place->user)) {
        fprintf(stderr, "FAILED: the server of %s does not start\n", place->name);
        return 1;
    }
    int failed = cmocka_run_group_tests_name(place->name, tests, NULL, NULL);
    if (place->start != NULL) {
        failed += run_on_server(place);
        relay_stop(place->way);
        place->remove(place->user);
    }
    return failed;
}
