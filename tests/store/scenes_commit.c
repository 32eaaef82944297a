/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conformance scenes of loads and commits: versions, states, rows, tombstones, groups. Invariants 1
 * to 3 of <troupe/provider.h>.
 *
 * Threads: one.
 */
#include "scene.h"

#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>

void an_actor_never_stored_has_version_0_and_nothing(void **state)
{
    scene *self = *state;
    troupe_store_op load = scene_op(self, TROUPE_STORE_LOAD);
    load.id = scene_id("user/nobody");
    load.found = load.wake = 77;
    assert_int_equal(scene_run(self, &load), TROUPE_OK);
    assert_int_equal(load.found, 0);
    assert_int_equal(load.wake, 0);
    assert_null(load.items);
}

void a_commit_is_found_by_a_load(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/ada"), same_key = scene_id("other/ada"),
              partitioned = scene_id("user@p/ada");
    troupe_store_op commit = scene_commit(self, id, 0, "one");
    commit.commit.wake = SCENE_TIME + 5;
    scene_done(self, &commit);
    troupe_store_op load = scene_op(self, TROUPE_STORE_LOAD);
    load.id = id;
    assert_int_equal(scene_run(self, &load), TROUPE_OK);
    assert_int_equal(load.wake, SCENE_TIME + 5);
    assert_int_equal(scene_count(&load), 1);
    troupe_store_release(&load);
    scene_expect(self, id, 1, "one");
    commit = scene_commit(self, id, 1, "two");
    scene_done(self, &commit);
    scene_expect(self, id, 2, "two");
    scene_expect(self, same_key, 0, NULL);
    scene_expect(self, partitioned, 0, NULL);
    commit = scene_commit(self, partitioned, 0, "three");
    scene_done(self, &commit);
    scene_expect(self, partitioned, 1, "three");
    scene_expect(self, id, 2, "two");
}

/* Of one who knows the version that is stored a store may leave out the items. */
void a_load_of_who_knows_another_version_finds_all(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/ada");
    for (uint64_t version = 0; version < 2; version++) {
        troupe_store_op commit = scene_commit(self, id, version, "state");
        commit.commit.wake = SCENE_TIME + 5;
        scene_done(self, &commit);
    }
    for (uint64_t known = 0; known < 4; known++) {
        troupe_store_op load = scene_op(self, TROUPE_STORE_LOAD);
        load.id = id;
        load.from = known;
        assert_int_equal(scene_run(self, &load), TROUPE_OK);
        assert_int_equal(load.found, 2);
        assert_int_equal(load.wake, SCENE_TIME + 5);
        assert_true(scene_count(&load) == 1 || (known == 2 && scene_count(&load) == 0));
        troupe_store_release(&load);
    }
}

void a_commit_without_state_keeps_the_state(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/ada");
    troupe_store_op commit = scene_commit(self, id, 0, NULL);
    scene_done(self, &commit);
    scene_expect(self, id, 1, NULL);
    commit = scene_commit(self, id, 1, "state");
    scene_done(self, &commit);
    commit = scene_commit(self, id, 2, NULL);
    scene_done(self, &commit);
    scene_expect(self, id, 3, "state");
}

void an_empty_state_is_a_state(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/ada");
    troupe_store_op commit = scene_commit(self, id, 0, "");
    troupe_store_row row = {TROUPE_ROW_ONCE, false, troupe_str("k"), {NULL, 0}};
    commit.commit.state = (troupe_slice){NULL, 0};
    commit.commit.rows = &row;
    commit.commit.row_count = 1;
    scene_done(self, &commit);
    scene_expect(self, id, 1, "");
    troupe_store_op load = scene_op(self, TROUPE_STORE_LOAD);
    load.id = id;
    assert_int_equal(scene_run(self, &load), TROUPE_OK);
    const troupe_store_item *found = scene_find_row(&load, TROUPE_ROW_ONCE, troupe_str("k"));
    assert_non_null(found);
    assert_int_equal(found->value.size, 0);
    troupe_store_release(&load);
}

void a_commit_on_another_version_changes_nothing(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/ada");
    troupe_store_op commit = scene_commit(self, id, 3, "from the future");
    assert_int_equal(scene_run(self, &commit), TROUPE_CONFLICT);
    assert_int_equal(commit.found, 0);
    scene_expect(self, id, 0, NULL);
    commit = scene_commit(self, id, 0, "one");
    scene_done(self, &commit);
    commit = scene_commit(self, id, 1, "two");
    scene_done(self, &commit);
    for (uint64_t wrong = 0; wrong < 4; wrong++) {
        if (wrong == 2)
            continue;
        commit = scene_commit(self, id, wrong, "wrong");
        commit.commit.wake = 1;
        commit.commit.erase = wrong == 3;
        assert_int_equal(scene_run(self, &commit), TROUPE_CONFLICT);
        assert_int_equal(commit.found, 2);
        scene_expect(self, id, 2, "two");
    }
}

/* ---- rows ---------------------------------------------------------------------------------- */

static troupe_store_row put(uint32_t kind, const char *key, const char *value)
{
    return (troupe_store_row){kind, false, troupe_str(key), troupe_str(value)};
}

static troupe_store_row drop(uint32_t kind, const char *key)
{
    return (troupe_store_row){kind, true, troupe_str(key), {NULL, 0}};
}

static troupe_status commit_rows(
    scene *self, troupe_id id, uint64_t version, const troupe_store_row *rows, size_t count)
{
    troupe_store_op commit = scene_commit(self, id, version, NULL);
    commit.commit.rows = rows;
    commit.commit.row_count = count;
    return scene_run(self, &commit);
}

/* `rows` are all that there are. */
static void expect_rows(
    scene *self, troupe_id id, uint64_t version, const troupe_store_row *rows, size_t count)
{
    troupe_store_op load = scene_op(self, TROUPE_STORE_LOAD);
    load.id = id;
    assert_int_equal(scene_run(self, &load), TROUPE_OK);
    assert_int_equal(load.found, version);
    size_t has_state = load.items != NULL && load.items->kind == TROUPE_ROW_STATE;
    assert_int_equal(scene_count(&load) - has_state, count);
    for (size_t i = 0; i < count; i++) {
        const troupe_store_item *found = scene_find_row(&load, rows[i].kind, rows[i].key);
        assert_non_null(found);
        scene_slices_equal(found->value, rows[i].value);
    }
    troupe_store_release(&load);
}

void rows_are_put_replaced_and_removed(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/ada");
    /* One key in each kind: they are kept apart. */
    const troupe_store_row first[] = {put(TROUPE_ROW_ONCE, "k", "once"),
        put(TROUPE_ROW_OUTBOX, "k", "outbox"), put(TROUPE_ROW_SENDER, "k", "sender"),
        put(TROUPE_ROW_REMINDER, "k", "reminder"), put(TROUPE_ROW_DEAD, "k", "dead")};
    assert_int_equal(commit_rows(self, id, 0, first, 5), TROUPE_OK);
    expect_rows(self, id, 1, first, 5);
    const troupe_store_row second[] = {put(TROUPE_ROW_ONCE, "k", "a longer value than before"),
        drop(TROUPE_ROW_OUTBOX, "k"), drop(TROUPE_ROW_SENDER, "not there"),
        put(TROUPE_ROW_REMINDER, "k2", ""), drop(TROUPE_ROW_DEAD, "k")};
    assert_int_equal(commit_rows(self, id, 1, second, 5), TROUPE_OK);
    const troupe_store_row left[] = {second[0], first[2], first[3], second[3]};
    expect_rows(self, id, 2, left, 4);
    expect_rows(self, scene_id("user/bob"), 0, NULL, 0);
    /* A state beside them is no row. */
    troupe_store_op commit = scene_commit(self, id, 2, "state");
    scene_done(self, &commit);
    expect_rows(self, id, 3, left, 4);
}

void rows_of_a_refused_commit_are_not_there(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/ada");
    const troupe_store_row first[] = {put(TROUPE_ROW_ONCE, "k", "1")};
    const troupe_store_row wrong[] = {
        put(TROUPE_ROW_ONCE, "k", "2"), put(TROUPE_ROW_ONCE, "n", "2")};
    const troupe_store_row removal[] = {drop(TROUPE_ROW_ONCE, "k")};
    assert_int_equal(commit_rows(self, id, 0, first, 1), TROUPE_OK);
    assert_int_equal(commit_rows(self, id, 0, wrong, 2), TROUPE_CONFLICT);
    assert_int_equal(commit_rows(self, id, 7, removal, 1), TROUPE_CONFLICT);
    expect_rows(self, id, 1, first, 1);
}

void rows_of_one_commit_are_taken_in_their_order(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/ada");
    const troupe_store_row rows[] = {put(TROUPE_ROW_ONCE, "a", "1"), put(TROUPE_ROW_ONCE, "a", "2"),
        put(TROUPE_ROW_ONCE, "b", "1"), drop(TROUPE_ROW_ONCE, "b"), drop(TROUPE_ROW_ONCE, "c"),
        put(TROUPE_ROW_ONCE, "c", "1")};
    assert_int_equal(commit_rows(self, id, 0, rows, 6), TROUPE_OK);
    const troupe_store_row left[] = {rows[1], rows[5]};
    expect_rows(self, id, 1, left, 2);
}

/* ---- bytes and sizes ----------------------------------------------------------------------- */

void keys_are_any_bytes(void **state)
{
    scene *self = *state;
    static const char *const parts[] = {"\0", "/", "\xff", "\0\0", "a\0b", "a\0c", "\xff\xff",
        "a/b@c", "%_\\", "'\";--", "\n\r\t ", "\xc3\x28"};
    static const size_t sizes[] = {1, 1, 1, 2, 3, 3, 2, 5, 3, 5, 4, 2};
    enum { COUNT = 12 };
    for (size_t i = 0; i < COUNT; i++) {
        troupe_id id = {.type = troupe_str("user"), .key = {parts[i], sizes[i]}};
        troupe_store_op commit = scene_commit(self, id, 0, NULL);
        troupe_store_row row = {TROUPE_ROW_SENDER, false, id.key, id.key};
        commit.commit.has_state = true;
        commit.commit.state = id.key;
        commit.commit.rows = &row;
        commit.commit.row_count = 1;
        scene_done(self, &commit);
    }
    for (size_t i = 0; i < COUNT; i++) {
        troupe_id id = {.type = troupe_str("user"), .key = {parts[i], sizes[i]}};
        troupe_store_row row = {TROUPE_ROW_SENDER, false, id.key, id.key};
        scene_expect_slice(self, id, 1, &id.key);
        expect_rows(self, id, 1, &row, 1);
    }
}

void ids_and_keys_of_the_largest_size_are_stored(void **state)
{
    scene *self = *state;
    char type[TP_NAME_MAX], partition[TP_NAME_MAX], key[TP_KEY_MAX], row_key[1200];
    memset(type, 't', sizeof type);
    memset(partition, 'p', sizeof partition);
    memset(key, 0xff, sizeof key);
    memset(row_key, 0, sizeof row_key);
    troupe_id id = {{type, sizeof type}, {partition, sizeof partition}, {key, sizeof key}};
    troupe_id shorter = {id.type, id.partition, {key, sizeof key - 1}};
    troupe_store_row rows[] = {
        {TROUPE_ROW_ONCE, false, {row_key, sizeof row_key}, troupe_str("longest")},
        {TROUPE_ROW_ONCE, false, {row_key, sizeof row_key - 1}, troupe_str("shorter")}};
    assert_int_equal(commit_rows(self, id, 0, rows, 2), TROUPE_OK);
    troupe_store_op commit = scene_commit(self, shorter, 0, "another");
    scene_done(self, &commit);
    expect_rows(self, id, 1, rows, 2);
    expect_rows(self, shorter, 1, NULL, 0);
    commit = scene_commit(self, id, 1, "state");
    scene_done(self, &commit);
    scene_expect(self, id, 2, "state");
}

void large_values_come_back_whole(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/large");
    char *bytes = malloc(SCENE_BIG * 3);
    assert_non_null(bytes);
    troupe_slice big = scene_fill(bytes, SCENE_BIG, 1);
    troupe_slice row_value = scene_fill(bytes + SCENE_BIG, SCENE_BIG, 2);
    troupe_slice payload = scene_fill(bytes + 2 * SCENE_BIG, SCENE_BIG, 3);
    troupe_store_row row = {TROUPE_ROW_OUTBOX, false, troupe_str("k"), row_value};
    troupe_store_event event = {troupe_str("big"), payload};
    troupe_store_op commit = scene_commit(self, id, 0, NULL);
    commit.commit.has_state = commit.commit.snapshot = true;
    commit.commit.state = big;
    commit.commit.rows = &row;
    commit.commit.row_count = 1;
    commit.commit.events = &event;
    commit.commit.event_count = 1;
    scene_done(self, &commit);
    scene_expect_slice(self, id, 1, &big);
    expect_rows(self, id, 1, &row, 1);
    troupe_store_op read = scene_op(self, TROUPE_STORE_READ_EVENTS);
    read.id = id;
    assert_int_equal(scene_run(self, &read), TROUPE_OK);
    assert_int_equal(scene_count(&read), 1);
    scene_slices_equal(read.items->value, payload);
    troupe_store_release(&read);
    read = scene_op(self, TROUPE_STORE_READ_SNAPSHOT);
    read.id = id;
    read.from = 1;
    assert_int_equal(scene_run(self, &read), TROUPE_OK);
    scene_slices_equal(read.items->value, big);
    troupe_store_release(&read);
    free(bytes);
}

/* ---- erase --------------------------------------------------------------------------------- */

static void erase(scene *self, troupe_id id, uint64_t version)
{
    troupe_store_op commit = scene_commit(self, id, version, NULL);
    commit.commit.erase = true;
    scene_done(self, &commit);
}

static size_t count_found(scene *self, troupe_store_kind kind, troupe_id id)
{
    troupe_store_op op = scene_op(self, kind);
    op.id = id;
    op.type = id.type;
    assert_int_equal(scene_run(self, &op), TROUPE_OK);
    size_t count = scene_count(&op);
    troupe_store_release(&op);
    return count;
}

static void store_everything(scene *self, troupe_id id, uint64_t version)
{
    troupe_store_op commit = scene_commit(self, id, version, "state");
    troupe_store_row row = put(TROUPE_ROW_ONCE, "k", "v");
    troupe_store_event event = {troupe_str("happened"), troupe_str("so")};
    commit.commit.snapshot = true;
    commit.commit.rows = &row;
    commit.commit.row_count = 1;
    commit.commit.events = &event;
    commit.commit.event_count = 1;
    commit.commit.wake = SCENE_TIME;
    scene_done(self, &commit);
}

void an_erase_leaves_a_tombstone_that_keeps_the_version(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/ada");
    store_everything(self, id, 0);
    assert_int_equal(count_found(self, TROUPE_STORE_LIST_IDS, id), 1);
    erase(self, id, 1);
    troupe_store_op load = scene_op(self, TROUPE_STORE_LOAD);
    load.id = id;
    assert_int_equal(scene_run(self, &load), TROUPE_OK);
    assert_int_equal(load.found, 2);
    assert_int_equal(load.wake, 0);
    assert_null(load.items);
    assert_int_equal(count_found(self, TROUPE_STORE_LIST_IDS, id), 0);
    assert_int_equal(count_found(self, TROUPE_STORE_LIST_SNAPSHOTS, id), 0);
    assert_int_equal(count_found(self, TROUPE_STORE_READ_EVENTS, id), 0);
    troupe_store_op read = scene_op(self, TROUPE_STORE_READ_SNAPSHOT);
    read.id = id;
    read.from = 1;
    assert_int_equal(scene_run(self, &read), TROUPE_NOT_FOUND);
    assert_null(read.items);
    troupe_store_op late = scene_commit(self, id, 0, "as if it had never been");
    assert_int_equal(scene_run(self, &late), TROUPE_CONFLICT);
    assert_int_equal(late.found, 2);
    troupe_store_op anew = scene_commit(self, id, 2, "anew");
    scene_done(self, &anew);
    scene_expect(self, id, 3, "anew");
    expect_rows(self, id, 3, NULL, 0);
    assert_int_equal(count_found(self, TROUPE_STORE_LIST_IDS, id), 1);
    /* Who was never there can be erased, too. */
    erase(self, scene_id("user/bob"), 0);
    scene_expect(self, scene_id("user/bob"), 1, NULL);
    assert_int_equal(count_found(self, TROUPE_STORE_LIST_IDS, id), 1);
}

void an_erase_with_a_state_begins_anew(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/ada");
    store_everything(self, id, 0);
    troupe_store_op commit = scene_commit(self, id, 1, "anew");
    troupe_store_row row = put(TROUPE_ROW_DEAD, "d", "v");
    commit.commit.erase = commit.commit.snapshot = true;
    commit.commit.rows = &row;
    commit.commit.row_count = 1;
    scene_done(self, &commit);
    scene_expect(self, id, 2, "anew");
    expect_rows(self, id, 2, &row, 1);
    assert_int_equal(count_found(self, TROUPE_STORE_LIST_IDS, id), 1);
    assert_int_equal(count_found(self, TROUPE_STORE_LIST_SNAPSHOTS, id), 1);
    assert_int_equal(count_found(self, TROUPE_STORE_READ_EVENTS, id), 0);
}

/* ---- groups -------------------------------------------------------------------------------- */

void a_bad_commit_fails_no_neighbour(void **state)
{
    scene *self = *state;
    troupe_id ids[] = {scene_id("user/1"), scene_id("user/2"), scene_id("user/3"),
        scene_id("user/4"), scene_id("user/5")};
    troupe_store_op ops[5];
    for (size_t i = 0; i < 5; i++)
        ops[i] = scene_commit(self, ids[i], i == 1 ? 9 : 0, "state");
    ops[3].writer = SCENE_WRITER + 1; /* never opened */
    scene_run_all(self, ops, 5);
    static const troupe_status expected[] = {
        TROUPE_OK, TROUPE_CONFLICT, TROUPE_OK, TROUPE_CLOSED, TROUPE_OK};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(ops[i].status, expected[i]);
        bool done = expected[i] == TROUPE_OK;
        scene_expect(self, ids[i], done ? 1 : 0, done ? "state" : NULL);
    }
}

void commits_of_one_actor_in_a_group_rest_on_each_other(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/ada"), other = scene_id("user/bob");
    troupe_store_op ops[8];
    ops[0] = scene_commit(self, id, 0, "0");
    ops[1] = scene_commit(self, other, 0, "other 0");
    ops[2] = scene_commit(self, id, 1, "1");
    ops[3] = scene_commit(self, id, 5, "too early");
    ops[4] = scene_commit(self, id, 2, "2");
    ops[5] = scene_commit(self, id, 2, "2 again");
    ops[6] = scene_commit(self, other, 1, "other 1");
    ops[7] = scene_commit(self, id, 3, "3");
    scene_run_all(self, ops, 8);
    for (size_t i = 0; i < 8; i++) {
        bool refused = i == 3 || i == 5;
        assert_int_equal(ops[i].status, refused ? TROUPE_CONFLICT : TROUPE_OK);
        if (!refused)
            assert_int_equal(ops[i].found, ops[i].version + 1);
    }
    assert_int_equal(ops[3].found, 2);
    assert_int_equal(ops[5].found, 3);
    scene_expect(self, id, 4, "3");
    scene_expect(self, other, 2, "other 1");
}

void a_group_of_the_full_size_is_answered_one_by_one(void **state)
{
    scene *self = *state;
    enum { COUNT = 1024 };
    troupe_store_op *ops = calloc(COUNT, sizeof *ops);
    char(*keys)[16] = calloc(COUNT, sizeof *keys);
    assert_true(ops != NULL && keys != NULL);
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof keys[i], "%zu", i);
        troupe_id id = {.type = troupe_str("user"), .key = troupe_str(keys[i])};
        ops[i] = scene_commit(self, id, i % 7 == 3 ? 1 : 0, keys[i]);
    }
    scene_run_all(self, ops, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(ops[i].status, i % 7 == 3 ? TROUPE_CONFLICT : TROUPE_OK);
    for (size_t i = 0; i < COUNT; i++) {
        ops[i].kind = TROUPE_STORE_LOAD;
    }
    scene_run_all(self, ops, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(ops[i].status, TROUPE_OK);
        assert_int_equal(ops[i].found, i % 7 == 3 ? 0 : 1);
        if (ops[i].found != 0)
            scene_slices_equal(ops[i].items->value, troupe_str(keys[i]));
        troupe_store_release(&ops[i]);
    }
    free(keys);
    free(ops);
}

void reads_in_a_group_see_what_came_before_them(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/ada");
    troupe_store_op ops[6];
    ops[0] = ops[2] = ops[4] = scene_op(self, TROUPE_STORE_LOAD);
    ops[0].id = ops[2].id = ops[4].id = id;
    ops[1] = scene_commit(self, id, 0, "one");
    ops[3] = scene_commit(self, id, 1, "two");
    ops[5] = scene_op(self, TROUPE_STORE_LIST_IDS);
    ops[5].type = id.type;
    scene_run_all(self, ops, 6);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(ops[i].status, TROUPE_OK);
    assert_int_equal(ops[0].found, 0);
    assert_null(ops[0].items);
    assert_int_equal(ops[2].found, 1);
    scene_slices_equal(ops[2].items->value, troupe_str("one"));
    assert_int_equal(ops[4].found, 2);
    scene_slices_equal(ops[4].items->value, troupe_str("two"));
    assert_int_equal(scene_count(&ops[5]), 1);
    assert_int_equal(ops[5].items->number, 2);
    for (size_t i = 0; i < 6; i++)
        troupe_store_release(&ops[i]);
}

/* How the runtime resolves an unknown outcome. */
void the_same_commit_again_conflicts_with_itself(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/ada");
    troupe_store_op commit = scene_commit(self, id, 0, "one");
    scene_done(self, &commit);
    assert_int_equal(scene_run(self, &commit), TROUPE_CONFLICT);
    assert_int_equal(commit.found, commit.version + 1);
    scene_expect(self, id, 1, "one");
}
