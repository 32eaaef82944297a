/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the scenes of the conformance suite share: an open store, a writer, and short ways to say
 * operations. Not for clients of the suite: conformance.h is.
 *
 * Invariants: what a scene's operations found is given back before it ends (the suite counts).
 * Threads: one.
 */
#ifndef TEST_STORE_SCENE_H
#define TEST_STORE_SCENE_H

#include "conformance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SCENE_WRITER UINT64_C(1700000000000000001)
#define SCENE_TIME   UINT64_C(1700000000000000000) /* a wall clock that doubles cannot hold */
#define SCENE_BIG    ((size_t)1 << 20)

typedef struct scene {
    const conformance *place;
    troupe_store *store;
    troupe_allocator allocator; /* of what is found */
    size_t blocks;              /* out */
    size_t asked;               /* allocations since scene_fail */
    size_t fail_at;             /* the so manieth of them fails, from 1; 0: none */
} scene;

int scene_setup(void **state);
int scene_teardown(void **state);
void scene_close(scene *self);
void scene_open(scene *self);
/* Another handle on the same place, or the same place opened again. */
troupe_store *scene_open_store(scene *self);
/* Also opens no writer: for the scenes of writers. */
void scene_reopen(scene *self);

/* From now on allocation number `at` fails, once. */
void scene_fail(scene *self, size_t at);

/* "user/1" */
troupe_id scene_id(const char *text);
troupe_slice scene_text(troupe_id id, char *room, size_t size);
troupe_slice scene_fill(char *room, size_t size, uint64_t seed);

troupe_store_op scene_op(scene *self, troupe_store_kind kind);
troupe_store_op scene_commit(scene *self, troupe_id id, uint64_t version, const char *state);
troupe_status scene_run(scene *self, troupe_store_op *op);
void scene_run_all(scene *self, troupe_store_op *ops, size_t count);

void scene_writer(scene *self, troupe_store_kind kind, uint64_t writer, troupe_status expected);
/* Runs a commit that must be done. */
void scene_done(scene *self, troupe_store_op *commit);
/* Loads: the version and the state must be these; NULL: no state. */
void scene_expect(scene *self, troupe_id id, uint64_t version, const char *state);
void scene_expect_slice(scene *self, troupe_id id, uint64_t version, const troupe_slice *state);
/* The value of a row that a load found, or NULL. */
const troupe_store_item *scene_find_row(
    const troupe_store_op *load, uint32_t kind, troupe_slice key);
size_t scene_count(const troupe_store_op *op);
void scene_slices_equal(troupe_slice left, troupe_slice right);

/* The scenes. */
#define CONFORMANCE_SCENES(X)                                          \
    X(an_actor_never_stored_has_version_0_and_nothing)                 \
    X(a_commit_is_found_by_a_load)                                     \
    X(a_load_of_who_knows_another_version_finds_all)                   \
    X(a_commit_without_state_keeps_the_state)                          \
    X(an_empty_state_is_a_state)                                       \
    X(a_commit_on_another_version_changes_nothing)                     \
    X(rows_are_put_replaced_and_removed)                               \
    X(rows_of_a_refused_commit_are_not_there)                          \
    X(rows_of_one_commit_are_taken_in_their_order)                     \
    X(keys_are_any_bytes)                                              \
    X(ids_and_keys_of_the_largest_size_are_stored)                     \
    X(large_values_come_back_whole)                                    \
    X(an_erase_leaves_a_tombstone_that_keeps_the_version)              \
    X(an_erase_with_a_state_begins_anew)                               \
    X(a_bad_commit_fails_no_neighbour)                                 \
    X(commits_of_one_actor_in_a_group_rest_on_each_other)              \
    X(a_group_of_the_full_size_is_answered_one_by_one)                 \
    X(reads_in_a_group_see_what_came_before_them)                      \
    X(the_same_commit_again_conflicts_with_itself)                     \
    X(a_writer_opens_once)                                             \
    X(a_closed_writer_stays_closed)                                    \
    X(a_writer_closed_before_it_opened_stays_closed)                   \
    X(a_commit_of_a_writer_that_is_not_open_is_refused_as_closed)      \
    X(older_writers_are_closed_and_counted)                            \
    X(a_close_in_a_group_ends_the_commits_behind_it)                   \
    X(no_commit_lands_after_its_writer_was_closed_elsewhere)           \
    X(events_have_positions_and_rising_times)                          \
    X(events_go_on_after_an_erase)                                     \
    X(snapshots_are_listed_newest_first_and_read)                      \
    X(pruning_keeps_so_many_and_the_newest)                            \
    X(pruning_by_age_keeps_the_newest)                                 \
    X(pruning_is_done_in_pieces)                                       \
    X(pruning_goes_on_over_many_actors)                                \
    X(ids_are_listed_in_pages_in_bytewise_order)                       \
    X(the_due_are_listed_in_order_of_wake_then_text)                   \
    X(the_due_of_equal_wake_are_listed_in_pages)                       \
    X(health_is_ok)                                                    \
    X(an_allocation_that_fails_is_no_memory_and_nothing_more)          \
    X(all_is_there_after_a_reopen)                                     \
    X(an_unknown_outcome_is_resolved_by_the_same_commit)               \
    X(a_commit_that_lands_after_its_writer_was_closed_changes_nothing) \
    X(random_operations_agree_with_a_plain_model)

#define CONFORMANCE_DECLARE(name) void name(void **state);
CONFORMANCE_SCENES(CONFORMANCE_DECLARE)

#endif
