/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conformance scenes of what is read beside loads: events, snapshots and their pruning, lists of
 * ids and of what is due, health; and of failing allocations and reopening.
 *
 * Threads: one.
 */
#include "scene.h"

#include "base/limits.h"

#include <stdio.h>

/* ---- events -------------------------------------------------------------------------------- */

static void commit_events(scene *self, troupe_id id, uint64_t version,
    const troupe_store_event *events, size_t count, uint64_t time)
{
    troupe_store_op commit = scene_commit(self, id, version, NULL);
    commit.commit.events = events;
    commit.commit.event_count = count;
    commit.commit.time = time;
    scene_done(self, &commit);
}

static void expect_events(scene *self, troupe_id id, uint64_t from, size_t limit,
    const uint64_t *positions, const uint64_t *times, size_t count)
{
    troupe_store_op read = scene_op(self, TROUPE_STORE_READ_EVENTS);
    read.id = id;
    read.from = from;
    read.limit = limit;
    assert_int_equal(scene_run(self, &read), TROUPE_OK);
    assert_int_equal(scene_count(&read), count);
    const troupe_store_item *item = read.items;
    for (size_t i = 0; i < count; i++, item = item->next) {
        char name[24];
        snprintf(name, sizeof name, "e%u", (unsigned)positions[i]);
        assert_int_equal(item->number, positions[i]);
        assert_int_equal(item->time, SCENE_TIME + times[i]);
        scene_slices_equal(item->key, troupe_str(name));
        scene_slices_equal(item->value, troupe_str(name + 1));
    }
    troupe_store_release(&read);
}

void events_have_positions_and_rising_times(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/ada");
    const troupe_store_event events[] = {{troupe_str("e1"), troupe_str("1")},
        {troupe_str("e2"), troupe_str("2")}, {troupe_str("e3"), troupe_str("3")},
        {troupe_str("e4"), troupe_str("4")}, {troupe_str("e5"), troupe_str("5")}};
    commit_events(self, id, 0, events, 2, SCENE_TIME + 10);
    commit_events(self, id, 1, events + 2, 2, SCENE_TIME + 5); /* the clock went back */
    commit_events(self, id, 2, events + 4, 1, SCENE_TIME + 50);
    troupe_store_op refused = scene_commit(self, id, 1, NULL);
    refused.commit.events = events;
    refused.commit.event_count = 1;
    assert_int_equal(scene_run(self, &refused), TROUPE_CONFLICT);
    static const uint64_t positions[] = {1, 2, 3, 4, 5}, times[] = {10, 11, 12, 13, 50};
    expect_events(self, id, 0, 0, positions, times, 5);
    expect_events(self, id, 1, 5, positions, times, 5);
    expect_events(self, id, 1, 3, positions, times, 3);
    expect_events(self, id, 4, 3, positions + 3, times + 3, 2);
    expect_events(self, id, 6, 3, NULL, NULL, 0);
    expect_events(self, scene_id("user/bob"), 0, 0, NULL, NULL, 0);
}

void events_go_on_after_an_erase(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/ada");
    const troupe_store_event events[] = {{troupe_str("e1"), troupe_str("1")},
        {troupe_str("e2"), troupe_str("2")}, {troupe_str("e3"), troupe_str("3")}};
    commit_events(self, id, 0, events, 2, SCENE_TIME + 10);
    troupe_store_op erase = scene_commit(self, id, 1, NULL);
    erase.commit.erase = true;
    scene_done(self, &erase);
    commit_events(self, id, 2, events + 2, 1, SCENE_TIME);
    static const uint64_t positions[] = {3}, times[] = {12};
    expect_events(self, id, 0, 0, positions, times, 1);
}

/* ---- snapshots ------------------------------------------------------------------------------ */

/* Commits with versions 1 to `count`, each kept; its time is SCENE_TIME + version. */
static void commit_snapshots(scene *self, troupe_id id, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        char text[24];
        snprintf(text, sizeof text, "state %u", (unsigned)i + 1);
        troupe_store_op commit = scene_commit(self, id, i, text);
        commit.commit.snapshot = true;
        commit.commit.time = SCENE_TIME + i + 1;
        scene_done(self, &commit);
    }
}

static void expect_snapshots(
    scene *self, troupe_id id, size_t limit, const uint64_t *versions, size_t count)
{
    troupe_store_op list = scene_op(self, TROUPE_STORE_LIST_SNAPSHOTS);
    list.id = id;
    list.limit = limit;
    assert_int_equal(scene_run(self, &list), TROUPE_OK);
    assert_int_equal(scene_count(&list), count);
    const troupe_store_item *item = list.items;
    for (size_t i = 0; i < count; i++, item = item->next) {
        assert_int_equal(item->number, versions[i]);
        assert_int_equal(item->time, SCENE_TIME + versions[i]);
        assert_int_equal(item->value.size, 0);
    }
    troupe_store_release(&list);
    for (size_t i = 0; i < count; i++) {
        troupe_store_op read = scene_op(self, TROUPE_STORE_READ_SNAPSHOT);
        char text[24];
        snprintf(text, sizeof text, "state %u", (unsigned)versions[i]);
        read.id = id;
        read.from = versions[i];
        assert_int_equal(scene_run(self, &read), TROUPE_OK);
        assert_int_equal(scene_count(&read), 1);
        assert_int_equal(read.items->number, versions[i]);
        assert_int_equal(read.items->time, SCENE_TIME + versions[i]);
        scene_slices_equal(read.items->value, troupe_str(text));
        troupe_store_release(&read);
    }
}

static void expect_no_snapshot(scene *self, troupe_id id, uint64_t version)
{
    troupe_store_op read = scene_op(self, TROUPE_STORE_READ_SNAPSHOT);
    read.id = id;
    read.from = version;
    assert_int_equal(scene_run(self, &read), TROUPE_NOT_FOUND);
    assert_null(read.items);
}

void snapshots_are_listed_newest_first_and_read(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/ada");
    static const uint64_t versions[] = {4, 3, 2, 1};
    commit_snapshots(self, id, 4);
    troupe_store_op commit = scene_commit(self, id, 4, "state 5"); /* is not kept */
    scene_done(self, &commit);
    expect_snapshots(self, id, 0, versions, 4);
    expect_snapshots(self, id, 2, versions, 2);
    expect_no_snapshot(self, id, 5);
    expect_no_snapshot(self, scene_id("user/bob"), 1);
    expect_snapshots(self, scene_id("user/bob"), 0, NULL, 0);
    scene_expect(self, id, 5, "state 5");
}

/* Returns how many went. */
static uint64_t prune(scene *self, uint64_t keep, uint64_t until, size_t limit, bool *ret_more)
{
    troupe_store_op op = scene_op(self, TROUPE_STORE_PRUNE);
    op.type = troupe_str("user");
    op.keep = keep;
    op.until = until;
    op.limit = limit;
    assert_int_equal(scene_run(self, &op), TROUPE_OK);
    assert_null(op.items);
    *ret_more = op.more;
    return op.found;
}

void pruning_keeps_so_many_and_the_newest(void **state)
{
    scene *self = *state;
    troupe_id ada = scene_id("user/ada"), bob = scene_id("user@p/bob"), cat = scene_id("cat/ada");
    static const uint64_t versions[] = {5, 4, 3, 2, 1};
    bool more = true;
    commit_snapshots(self, ada, 5);
    commit_snapshots(self, bob, 1);
    commit_snapshots(self, cat, 5);
    assert_int_equal(prune(self, 0, 0, 0, &more), 0); /* nothing is too much */
    assert_false(more);
    assert_int_equal(prune(self, 2, 0, 0, &more), 3);
    assert_false(more);
    expect_snapshots(self, ada, 0, versions, 2);
    expect_no_snapshot(self, ada, 3);
    expect_snapshots(self, bob, 0, versions + 4, 1);
    expect_snapshots(self, cat, 0, versions, 5); /* another type */
    assert_int_equal(prune(self, 1, 0, 0, &more), 1);
    expect_snapshots(self, ada, 0, versions, 1);
    scene_expect(self, ada, 5, "state 5");
}

void pruning_by_age_keeps_the_newest(void **state)
{
    scene *self = *state;
    troupe_id ada = scene_id("user/ada"), bob = scene_id("user/bob");
    static const uint64_t versions[] = {5, 4, 3, 2, 1};
    bool more = true;
    commit_snapshots(self, ada, 5);
    commit_snapshots(self, bob, 2);
    assert_int_equal(prune(self, 4, SCENE_TIME + 3, 0, &more), 3); /* ada's 1 and 2, bob's 1 */
    assert_false(more);
    expect_snapshots(self, ada, 0, versions, 3);
    expect_snapshots(self, bob, 0, versions + 3, 1);
    assert_int_equal(prune(self, 0, SCENE_TIME + 100, 0, &more), 2);
    expect_snapshots(self, ada, 0, versions, 1);
    expect_snapshots(self, bob, 0, versions + 3, 1);
}

void pruning_is_done_in_pieces(void **state)
{
    scene *self = *state;
    static const uint64_t versions[] = {6};
    commit_snapshots(self, scene_id("user/ada"), 6);
    commit_snapshots(self, scene_id("user/bob"), 6);
    uint64_t gone = 0;
    bool more = true;
    for (int calls = 0; more; calls++) {
        assert_true(calls < 20);
        uint64_t now = prune(self, 1, 0, 3, &more);
        assert_true(now <= 3);
        assert_true(now > 0 || !more);
        gone += now;
    }
    assert_int_equal(gone, 10);
    expect_snapshots(self, scene_id("user/ada"), 0, versions, 1);
    expect_snapshots(self, scene_id("user/bob"), 0, versions, 1);
}

/* More of them than a store looks at in one call. */
void pruning_goes_on_over_many_actors(void **state)
{
    enum { ACTORS = 1100, EACH = 30, PIECE = 10 };
    scene *self = *state;
    static const uint64_t versions[] = {2};
    char text[32];
    for (int i = 0; i < ACTORS; i++) {
        snprintf(text, sizeof text, i % 2 != 0 ? "user@p/%04d" : "user/%04d", i);
        commit_snapshots(self, scene_id(text), i % EACH == EACH - 1 ? 2 : 1);
    }
    bool more = true;
    for (int calls = 0; more; calls++) {
        assert_true(calls < 20);
        (void)prune(self, 1, 0, PIECE, &more);
    }
    for (int i = EACH - 1; i < ACTORS; i += EACH) { /* these are odd */
        snprintf(text, sizeof text, "user@p/%04d", i);
        expect_snapshots(self, scene_id(text), 0, versions, 1);
    }
}

/* ---- lists ---------------------------------------------------------------------------------- */

/* In bytewise order of their text. */
static const struct {
    const char *text;
    size_t size;
} texts[] = {{"user-x/1", 8}, {"user/", 5 + 1}, {"user/\0a", 7}, {"user/1", 6}, {"user/10", 7},
    {"user/2", 6}, {"user/A", 6}, {"user/a", 6}, {"user/a/b", 8}, {"user/\x7f", 6},
    {"user/\x80", 6}, {"user/\xff", 6}, {"user/\xff\xff", 7}, {"user@p/1", 8}, {"user@p/2", 8},
    {"user@q/1", 8}, {"userx/1", 7}};
enum { TEXTS = sizeof texts / sizeof texts[0], FIRST = 1, END = TEXTS - 1 };

static troupe_id id_of(size_t index)
{
    troupe_id id = {0};
    const char *reason = "";
    troupe_slice text = {texts[index].text, texts[index].size};
    assert_int_equal(troupe_id_parse(text, &id, &reason), TROUPE_OK);
    return id;
}

void ids_are_listed_in_pages_in_bytewise_order(void **state)
{
    scene *self = *state;
    for (size_t i = 0; i < TEXTS; i++) {
        size_t shuffled = i * 7 % TEXTS;
        for (uint64_t version = 0; version <= shuffled % 3; version++) {
            troupe_store_op commit = scene_commit(self, id_of(shuffled), version, "state");
            scene_done(self, &commit);
        }
    }
    troupe_store_op erased = scene_commit(self, scene_id("user/1z"), 0, NULL);
    erased.commit.erase = true;
    scene_done(self, &erased);
    for (size_t limit = 0; limit < TEXTS + 2; limit = limit * 2 + 1) {
        char after[TP_ID_MAX];
        size_t after_size = 0, at = FIRST;
        bool more = true;
        while (more) {
            troupe_store_op list = scene_op(self, TROUPE_STORE_LIST_IDS);
            list.type = troupe_str("user");
            list.after = (troupe_slice){after, after_size};
            list.limit = limit;
            assert_int_equal(scene_run(self, &list), TROUPE_OK);
            for (const troupe_store_item *item = list.items; item != NULL; item = item->next) {
                assert_true(at < END);
                scene_slices_equal(item->key, (troupe_slice){texts[at].text, texts[at].size});
                assert_int_equal(item->number, at % 3 + 1);
                assert_int_equal(item->time, SCENE_TIME + at % 3);
                memcpy(after, item->key.data, item->key.size);
                after_size = item->key.size;
                at++;
            }
            assert_true(limit == 0 || scene_count(&list) <= limit);
            assert_true(list.items != NULL || !list.more);
            more = list.more;
            troupe_store_release(&list);
        }
        assert_int_equal(at, END);
    }
}

static void commit_wake(scene *self, troupe_id id, uint64_t version, uint64_t wake)
{
    troupe_store_op commit = scene_commit(self, id, version, NULL);
    commit.commit.wake = wake;
    scene_done(self, &commit);
}

typedef struct due {
    const char *text;
    uint64_t wake;
} due;

static void expect_due(scene *self, uint64_t until, size_t limit, const due *expected, size_t count)
{
    char after[TP_ID_MAX];
    size_t after_size = 0, at = 0;
    uint64_t from = 0;
    bool more = true;
    while (more) {
        troupe_store_op list = scene_op(self, TROUPE_STORE_LIST_DUE);
        list.until = until;
        list.after = (troupe_slice){after, after_size};
        list.from = from;
        list.limit = limit;
        assert_int_equal(scene_run(self, &list), TROUPE_OK);
        for (const troupe_store_item *item = list.items; item != NULL; item = item->next) {
            assert_true(at < count);
            scene_slices_equal(item->key, troupe_str(expected[at].text));
            assert_int_equal(item->time, SCENE_TIME + expected[at].wake);
            memcpy(after, item->key.data, item->key.size);
            after_size = item->key.size;
            from = item->time;
            at++;
        }
        assert_true(limit == 0 || scene_count(&list) <= limit);
        assert_true(list.items != NULL || !list.more);
        more = list.more;
        troupe_store_release(&list);
    }
    assert_int_equal(at, count);
}

void the_due_are_listed_in_order_of_wake_then_text(void **state)
{
    scene *self = *state;
    /* Moments that are one nanosecond apart are apart. */
    static const due wanted[] = {
        {"user/z", 1}, {"b/1", 2}, {"user/a", 2}, {"user/b", 3}, {"a@p/1", 1000}};
    for (size_t i = 0; i < 5; i++)
        commit_wake(self, scene_id(wanted[i * 3 % 5].text), 0, SCENE_TIME + wanted[i * 3 % 5].wake);
    commit_wake(self, scene_id("user/never"), 0, 0);
    expect_due(self, SCENE_TIME, 0, NULL, 0);
    expect_due(self, SCENE_TIME + 1, 0, wanted, 1);
    expect_due(self, SCENE_TIME + 2, 0, wanted, 3);
    expect_due(self, SCENE_TIME + 999, 0, wanted, 4);
    for (size_t limit = 0; limit < 7; limit++)
        expect_due(self, UINT64_MAX, limit, wanted, 5);
    /* Each commit replaces the moment. */
    commit_wake(self, scene_id("user/z"), 1, SCENE_TIME + 7);
    commit_wake(self, scene_id("user/a"), 1, 0);
    troupe_store_op erase = scene_commit(self, scene_id("b/1"), 1, NULL);
    erase.commit.erase = true;
    scene_done(self, &erase);
    troupe_store_op refused = scene_commit(self, scene_id("user/b"), 0, NULL);
    assert_int_equal(scene_run(self, &refused), TROUPE_CONFLICT);
    static const due then[] = {{"user/b", 3}, {"user/z", 7}, {"a@p/1", 1000}};
    expect_due(self, UINT64_MAX, 2, then, 3);
}

void the_due_of_equal_wake_are_listed_in_pages(void **state)
{
    scene *self = *state;
    enum { COUNT = 23 };
    char names[COUNT][16];
    due wanted[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "user/%02zu", i);
        wanted[i] = (due){names[i], i < 20 ? 5 : 6};
    }
    for (size_t i = 0; i < COUNT; i++) {
        size_t shuffled = i * 5 % COUNT;
        commit_wake(self, scene_id(names[shuffled]), 0, SCENE_TIME + wanted[shuffled].wake);
    }
    for (size_t limit = 1; limit <= COUNT + 1; limit += 3)
        expect_due(self, SCENE_TIME + 6, limit, wanted, COUNT);
    expect_due(self, SCENE_TIME + 5, 7, wanted, 20);
}

void health_is_ok(void **state)
{
    scene *self = *state;
    troupe_store_op op = scene_op(self, TROUPE_STORE_HEALTH);
    assert_int_equal(scene_run(self, &op), TROUPE_OK);
    troupe_store_release(&op);
}

/* ---- memory --------------------------------------------------------------------------------- */

static void fill_for_reading(scene *self)
{
    troupe_store_row rows[] = {{TROUPE_ROW_ONCE, false, troupe_str("a"), troupe_str("1")},
        {TROUPE_ROW_ONCE, false, troupe_str("b"), troupe_str("2")},
        {TROUPE_ROW_DEAD, false, troupe_str("a"), troupe_str("3")}};
    troupe_store_event events[] = {
        {troupe_str("e"), troupe_str("1")}, {troupe_str("f"), troupe_str("2")}};
    for (uint64_t version = 0; version < 3; version++) {
        troupe_store_op commit = scene_commit(self, scene_id("user/ada"), version, "state");
        commit.commit.snapshot = true;
        commit.commit.rows = rows;
        commit.commit.row_count = 3;
        commit.commit.events = events;
        commit.commit.event_count = 2;
        commit.commit.wake = SCENE_TIME;
        scene_done(self, &commit);
    }
    commit_wake(self, scene_id("user/bob"), 0, SCENE_TIME);
}

void an_allocation_that_fails_is_no_memory_and_nothing_more(void **state)
{
    scene *self = *state;
    static const troupe_store_kind kinds[] = {TROUPE_STORE_LOAD, TROUPE_STORE_READ_EVENTS,
        TROUPE_STORE_LIST_SNAPSHOTS, TROUPE_STORE_READ_SNAPSHOT, TROUPE_STORE_LIST_IDS,
        TROUPE_STORE_LIST_DUE};
    static const size_t items[] = {4, 6, 3, 1, 2, 2};
    fill_for_reading(self);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t failures = 0;
        for (size_t at = 1;; at++) {
            troupe_store_op ops[2] = {scene_op(self, kinds[i]), scene_op(self, TROUPE_STORE_LOAD)};
            ops[0].id = scene_id("user/ada");
            ops[0].type = troupe_str("user");
            ops[0].from = kinds[i] == TROUPE_STORE_READ_SNAPSHOT ? 2 : 0;
            ops[0].until = UINT64_MAX;
            ops[1].id = scene_id("user/bob");
            scene_fail(self, at);
            scene_run_all(self, ops, 2);
            scene_fail(self, 0);
            assert_int_equal(ops[1].status, TROUPE_OK); /* bob has no items */
            bool over = ops[0].status == TROUPE_OK;
            if (over)
                assert_int_equal(scene_count(&ops[0]), items[i]);
            else
                assert_int_equal(ops[0].status, TROUPE_NO_MEMORY);
            failures += !over;
            troupe_store_release(&ops[0]);
            assert_int_equal(self->blocks, 0);
            if (over)
                break;
        }
        assert_true(failures >= items[i]);
    }
}

/* ---- durability ----------------------------------------------------------------------------- */

void all_is_there_after_a_reopen(void **state)
{
    scene *self = *state;
    if (!self->place->durable) {
        printf("SKIPPED: this store promises nothing beyond its end: a reopen was NOT tested\n");
        skip();
    }
    fill_for_reading(self);
    troupe_store_op erase = scene_commit(self, scene_id("user/cat"), 0, NULL);
    erase.commit.erase = true;
    scene_done(self, &erase);
    scene_writer(self, TROUPE_STORE_CLOSE_WRITER, SCENE_WRITER + 7, TROUPE_OK);
    for (int times = 0; times < 3; times++) {
        scene_reopen(self);
        scene_expect(self, scene_id("user/ada"), 3, "state");
        scene_expect(self, scene_id("user/cat"), 1, NULL);
        scene_writer(self, TROUPE_STORE_OPEN_WRITER, SCENE_WRITER, TROUPE_CONFLICT);
        scene_writer(self, TROUPE_STORE_OPEN_WRITER, SCENE_WRITER + 7, TROUPE_CONFLICT);
        static const due wanted[] = {{"user/ada", 0}, {"user/bob", 0}};
        expect_due(self, SCENE_TIME, 1, wanted, 2);
        static const uint64_t newest[] = {3};
        troupe_store_op list = scene_op(self, TROUPE_STORE_LIST_SNAPSHOTS);
        list.id = scene_id("user/ada");
        list.limit = 1;
        assert_int_equal(scene_run(self, &list), TROUPE_OK);
        assert_int_equal(list.items->number, newest[0]);
        troupe_store_release(&list);
        list = scene_op(self, TROUPE_STORE_READ_EVENTS);
        list.id = scene_id("user/ada");
        assert_int_equal(scene_run(self, &list), TROUPE_OK);
        assert_int_equal(scene_count(&list), 6);
        assert_int_equal(list.last->number, 6);
        troupe_store_release(&list);
    }
    /* The writer was not closed by closing the store: a node that crashed could not, either. */
    troupe_store_op commit = scene_commit(self, scene_id("user/ada"), 3, "after");
    scene_done(self, &commit);
}
