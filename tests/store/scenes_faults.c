/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conformance scenes of unknown outcomes: the store under a wrapper that loses answers, commits and
 * order. What the runtime does about it must be right on each provider: send the same commit again
 * until it is known. Invariants 1, 4 and 5 of <troupe/provider.h>.
 *
 * Threads: one.
 */
#include "scene.h"

#include "base/alloc.h"
#include "base/prng.h"
#include "testkit/faulty_store.h"

#include <stdio.h>

enum { ACTORS = 6 };

typedef struct actor {
    troupe_id id;
    char name[16];
    uint64_t version; /* known to be stored */
    bool unknown;     /* the commit on it has been sent, and may have been done */
    char text[40];    /* of the commit on it, and of the last one that was done */
    char done[40];
    troupe_store_row row;
    troupe_store_event event;
} actor;

static troupe_store_op make_commit(scene *self, actor *who, uint64_t attempt)
{
    if (!who->unknown) /* else the very same */
        snprintf(who->text, sizeof who->text, "%u in attempt %u", (unsigned)who->version + 1,
            (unsigned)attempt);
    who->row =
        (troupe_store_row){TROUPE_ROW_ONCE, false, troupe_str("latest"), troupe_str(who->text)};
    who->event = (troupe_store_event){troupe_str("done"), troupe_str(who->text)};
    troupe_store_op op = scene_commit(self, who->id, who->version, who->text);
    op.commit.rows = &who->row;
    op.commit.row_count = 1;
    op.commit.events = &who->event;
    op.commit.event_count = 1;
    return op;
}

static void is_done(actor *who)
{
    who->version++;
    who->unknown = false;
    memcpy(who->done, who->text, sizeof who->done);
}

static void take_answer(actor *who, const troupe_store_op *op)
{
    switch (op->status) {
    case TROUPE_OK:
        assert_int_equal(op->found, who->version + 1);
        is_done(who);
        break;
    case TROUPE_CONFLICT: /* with an earlier try of itself, as nobody else writes */
        assert_true(who->unknown);
        assert_int_equal(op->found, who->version + 1);
        is_done(who);
        break;
    case TROUPE_UNKNOWN:
        who->unknown = true;
        break;
    default: /* this try was not done; an earlier one may have been */
        assert_int_equal(op->status, TROUPE_UNAVAILABLE);
        break;
    }
}

static void run_round(scene *self, actor *actors, tp_prng *prng, uint64_t attempt)
{
    troupe_store_op ops[ACTORS];
    size_t first = tp_prng_below(prng, ACTORS), count = 1 + tp_prng_below(prng, ACTORS);
    for (size_t i = 0; i < count; i++)
        ops[i] = make_commit(self, &actors[(first + i) % ACTORS], attempt);
    scene_run_all(self, ops, count);
    for (size_t i = 0; i < count; i++)
        take_answer(&actors[(first + i) % ACTORS], &ops[i]);
}

static void check_actor(scene *self, actor *who)
{
    scene_expect(self, who->id, who->version, who->version != 0 ? who->done : NULL);
    troupe_store_op read = scene_op(self, TROUPE_STORE_READ_EVENTS);
    read.id = who->id;
    read.limit = 100000;
    assert_int_equal(scene_run(self, &read), TROUPE_OK);
    uint64_t position = 0;
    for (const troupe_store_item *item = read.items; item != NULL; item = item->next)
        assert_int_equal(item->number, ++position);
    assert_int_equal(position, who->version); /* each commit was done once */
    if (position != 0)
        scene_slices_equal(read.last->value, troupe_str(who->done));
    troupe_store_release(&read);
}

static tp_faulty_store *wrap(scene *self, uint64_t seed)
{
    tp_faulty_store *faulty = tp_faulty_store_create(tp_allocator_system(), self->store, seed);
    assert_non_null(faulty);
    self->store = tp_faulty_store_get(faulty);
    return faulty;
}

void an_unknown_outcome_is_resolved_by_the_same_commit(void **state)
{
    scene *self = *state;
    troupe_store *plain = self->store;
    size_t rounds = self->place->rounds != 0 ? self->place->rounds / 20 : 300;
    const tp_fault_plan plan = {.chances = {[TP_FAULT_REFUSED] = 100,
                                    [TP_FAULT_LOST] = 100,
                                    [TP_FAULT_SILENT] = 100,
                                    [TP_FAULT_LATE] = 150,
                                    [TP_FAULT_TWICE] = 50},
        .kinds = 1u << TROUPE_STORE_COMMIT};
    tp_faulty_store *faulty = wrap(self, rounds);
    tp_prng prng;
    tp_prng_seed(&prng, rounds);
    actor actors[ACTORS] = {0};
    for (size_t i = 0; i < ACTORS; i++) {
        snprintf(actors[i].name, sizeof actors[i].name, "user/%zu", i);
        actors[i].id = scene_id(actors[i].name);
    }
    tp_faulty_store_plan(faulty, &plan);
    for (size_t i = 0; i < rounds; i++)
        run_round(self, actors, &prng, i);
    tp_faulty_store_plan(faulty, &(tp_fault_plan){0});
    for (size_t i = 0; i < ACTORS; i++) {
        if (actors[i].unknown) {
            troupe_store_op op = make_commit(self, &actors[i], rounds);
            scene_run_all(self, &op, 1);
            take_answer(&actors[i], &op);
        }
        assert_false(actors[i].unknown);
    }
    for (unsigned fault = TP_FAULT_REFUSED; fault < TP_FAULTS; fault++)
        assert_true(tp_faulty_store_count(faulty, (tp_fault)fault) != 0);
    assert_int_equal(tp_faulty_store_land(faulty), 0); /* what is known now stays */
    for (size_t i = 0; i < ACTORS; i++)
        check_actor(self, &actors[i]);
    self->store = plain;
    tp_faulty_store_destroy(faulty);
}

void a_commit_that_lands_after_its_writer_was_closed_changes_nothing(void **state)
{
    scene *self = *state;
    troupe_store *plain = self->store;
    troupe_id id = scene_id("user/ada");
    tp_faulty_store *faulty = wrap(self, 1);
    tp_faulty_store_plan(
        faulty, &(tp_fault_plan){.at = 1, .fault = TP_FAULT_LATE, .late_most = UINT64_MAX / 2});
    troupe_store_op commit = scene_commit(self, id, 0, "late");
    assert_int_equal(scene_run(self, &commit), TROUPE_UNKNOWN);
    scene_expect(self, id, 0, NULL);
    scene_writer(self, TROUPE_STORE_OPEN_WRITER, SCENE_WRITER + 1, TROUPE_OK);
    troupe_store_op older = scene_op(self, TROUPE_STORE_CLOSE_OLDER);
    older.writer = SCENE_WRITER + 1;
    assert_int_equal(scene_run(self, &older), TROUPE_OK);
    assert_int_equal(tp_faulty_store_land(faulty), 0);
    scene_expect(self, id, 0, NULL);
    assert_int_equal(scene_run(self, &commit), TROUPE_CLOSED);
    self->store = plain;
    tp_faulty_store_destroy(faulty);
}
