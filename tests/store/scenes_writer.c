/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conformance scenes of writers: a commit counts only while the row of its writer is open.
 * Invariant 5 of <troupe/provider.h>.
 *
 * Threads: one; the scene of two handles has a second one that commits.
 */
#include "scene.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { NEXT = 100 };

void a_writer_opens_once(void **state)
{
    scene *self = *state;
    uint64_t writer = SCENE_WRITER + NEXT;
    scene_writer(self, TROUPE_STORE_OPEN_WRITER, writer, TROUPE_OK);
    scene_writer(self, TROUPE_STORE_OPEN_WRITER, writer, TROUPE_CONFLICT);
    troupe_store_op commit = scene_commit(self, scene_id("user/ada"), 0, "one");
    commit.writer = writer;
    scene_done(self, &commit);
    commit = scene_commit(self, scene_id("user/ada"), 1, "two"); /* the first one is open still */
    scene_done(self, &commit);
}

void a_closed_writer_stays_closed(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/ada");
    troupe_store_op commit = scene_commit(self, id, 0, "one");
    scene_done(self, &commit);
    scene_writer(self, TROUPE_STORE_CLOSE_WRITER, SCENE_WRITER, TROUPE_OK);
    commit = scene_commit(self, id, 1, "two");
    assert_int_equal(scene_run(self, &commit), TROUPE_CLOSED);
    commit = scene_commit(self, id, 0, "two"); /* CLOSED says more than CONFLICT */
    assert_int_equal(scene_run(self, &commit), TROUPE_CLOSED);
    scene_writer(self, TROUPE_STORE_OPEN_WRITER, SCENE_WRITER, TROUPE_CONFLICT);
    scene_writer(self, TROUPE_STORE_CLOSE_WRITER, SCENE_WRITER, TROUPE_OK);
    assert_int_equal(scene_run(self, &commit), TROUPE_CLOSED);
    scene_expect(self, id, 1, "one");
    scene_writer(self, TROUPE_STORE_OPEN_WRITER, SCENE_WRITER + NEXT, TROUPE_OK);
    commit = scene_commit(self, id, 1, "two");
    commit.writer = SCENE_WRITER + NEXT;
    scene_done(self, &commit);
}

void a_writer_closed_before_it_opened_stays_closed(void **state)
{
    scene *self = *state;
    uint64_t writer = SCENE_WRITER + NEXT;
    scene_writer(self, TROUPE_STORE_CLOSE_WRITER, writer, TROUPE_OK);
    scene_writer(self, TROUPE_STORE_OPEN_WRITER, writer, TROUPE_CONFLICT);
    troupe_store_op commit = scene_commit(self, scene_id("user/ada"), 0, "one");
    commit.writer = writer;
    assert_int_equal(scene_run(self, &commit), TROUPE_CLOSED);
    scene_expect(self, scene_id("user/ada"), 0, NULL);
}

void a_commit_of_a_writer_that_is_not_open_is_refused_as_closed(void **state)
{
    scene *self = *state;
    troupe_store_op commit = scene_commit(self, scene_id("user/ada"), 0, "one");
    commit.writer = SCENE_WRITER + NEXT;
    assert_int_equal(scene_run(self, &commit), TROUPE_CLOSED);
    commit.version = 4;
    assert_int_equal(scene_run(self, &commit), TROUPE_CLOSED);
    scene_expect(self, scene_id("user/ada"), 0, NULL);
    scene_writer(self, TROUPE_STORE_OPEN_WRITER, SCENE_WRITER + NEXT, TROUPE_OK);
    commit.version = 0;
    scene_done(self, &commit);
}

void older_writers_are_closed_and_counted(void **state)
{
    scene *self = *state;
    uint64_t own = SCENE_WRITER + NEXT;
    scene_writer(self, TROUPE_STORE_OPEN_WRITER, SCENE_WRITER + 1, TROUPE_OK);
    scene_writer(self, TROUPE_STORE_OPEN_WRITER, SCENE_WRITER + 2, TROUPE_OK);
    scene_writer(self, TROUPE_STORE_CLOSE_WRITER, SCENE_WRITER + 2, TROUPE_OK);
    scene_writer(self, TROUPE_STORE_OPEN_WRITER, own, TROUPE_OK);
    scene_writer(self, TROUPE_STORE_OPEN_WRITER, own + 1, TROUPE_OK);
    troupe_store_op close_older = scene_op(self, TROUPE_STORE_CLOSE_OLDER);
    close_older.writer = own;
    assert_int_equal(scene_run(self, &close_older), TROUPE_OK);
    assert_int_equal(close_older.found, 2); /* the scene's own, and + 1 */
    assert_int_equal(scene_run(self, &close_older), TROUPE_OK);
    assert_int_equal(close_older.found, 0);
    static const uint64_t closed[] = {SCENE_WRITER, SCENE_WRITER + 1, SCENE_WRITER + 2};
    for (size_t i = 0; i < 3; i++) {
        troupe_store_op commit = scene_commit(self, scene_id("user/ada"), 0, "one");
        commit.writer = closed[i];
        assert_int_equal(scene_run(self, &commit), TROUPE_CLOSED);
    }
    for (uint64_t i = 0; i < 2; i++) {
        troupe_store_op commit = scene_commit(self, scene_id("user/ada"), i, "one");
        commit.writer = own + i;
        scene_done(self, &commit);
    }
}

void a_close_in_a_group_ends_the_commits_behind_it(void **state)
{
    scene *self = *state;
    troupe_id id = scene_id("user/ada");
    troupe_store_op ops[4];
    ops[0] = scene_commit(self, id, 0, "one");
    ops[1] = scene_op(self, TROUPE_STORE_CLOSE_WRITER);
    ops[1].writer = SCENE_WRITER;
    ops[2] = scene_commit(self, id, 1, "two");
    ops[3] = scene_op(self, TROUPE_STORE_LOAD);
    ops[3].id = id;
    scene_run_all(self, ops, 4);
    assert_int_equal(ops[0].status, TROUPE_OK);
    assert_int_equal(ops[1].status, TROUPE_OK);
    assert_int_equal(ops[2].status, TROUPE_CLOSED);
    assert_int_equal(ops[3].found, 1);
    troupe_store_release(&ops[3]);
}

/* ---- two handles ---------------------------------------------------------------------------- */

typedef struct committer {
    scene base; /* an allocator of its own: the scenes' is of one thread */
    _Atomic uint64_t done;
    _Atomic bool closed; /* what begins after this must be refused */
    troupe_status last;
} committer;

static void *commit_until_refused(void *argument)
{
    committer *self = argument;
    troupe_id id = scene_id("user/ada");
    for (uint64_t version = 0;; version++) {
        troupe_store_op commit = scene_commit(&self->base, id, version, "state");
        troupe_store_op *list[] = {&commit};
        bool closed = atomic_load(&self->closed);
        self->base.store->run(self->base.store, list, 1);
        self->last = commit.status;
        if (commit.status != TROUPE_OK || closed)
            return NULL;
        atomic_store(&self->done, version + 1);
    }
}

void no_commit_lands_after_its_writer_was_closed_elsewhere(void **state)
{
    scene *self = *state;
    if (!self->place->shared) {
        printf("SKIPPED: this store has one handle at a time: two at once were NOT tested\n");
        skip();
    }
    committer other = {.base.place = self->place, .base.allocator = self->allocator};
    other.base.store = scene_open_store(&other.base);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, commit_until_refused, &other), 0);
    while (atomic_load(&other.done) < 20)
        ;
    scene_writer(self, TROUPE_STORE_CLOSE_WRITER, SCENE_WRITER, TROUPE_OK);
    atomic_store(&other.closed, true);
    troupe_store_op load = scene_op(self, TROUPE_STORE_LOAD);
    load.id = scene_id("user/ada");
    assert_int_equal(scene_run(self, &load), TROUPE_OK);
    troupe_store_release(&load);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(other.last, TROUPE_CLOSED);
    assert_int_equal(load.found, atomic_load(&other.done));
    scene_close(&other.base);
}
