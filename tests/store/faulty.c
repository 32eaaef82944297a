/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What faulty.h says. Each fault does to a store what it says, and nothing else; the suite passes
 * on operations that are done twice.
 *
 * Threads: one.
 */
#include "faulty.h"
#include "scene.h"

#include "base/alloc.h"
#include "testkit/faulty_store.h"

#include <stdio.h>

/* ---- the suite under it --------------------------------------------------------------------- */

typedef struct wrapped {
    const conformance *place; /* what is wrapped */
    troupe_store *inner;
    tp_faulty_store *faulty;
} wrapped;

static int clean(void *user)
{
    wrapped *self = user;
    tp_faulty_store_destroy(self->faulty);
    if (self->inner != NULL)
        self->inner->close(self->inner);
    *self = (wrapped){.place = self->place};
    return self->place->clean != NULL ? self->place->clean(self->place->user) : 0;
}

static troupe_status open_wrapped(
    const conformance *place, const troupe_store_host *host, troupe_store **ret_store)
{
    wrapped *self = place->user;
    char error[512] = "";
    if (self->inner == NULL)
        TROUPE_TRY(self->place->provider->open(
            host, self->place->url, &self->inner, error, sizeof error));
    if (self->faulty == NULL)
        self->faulty = tp_faulty_store_create(tp_allocator_system(), self->inner, 1);
    const tp_fault_plan plan = {.chances = {[TP_FAULT_TWICE] = 400}, .kinds = UINT32_MAX};
    tp_faulty_store_plan(self->faulty, &plan);
    *ret_store = tp_faulty_store_get(self->faulty);
    return TROUPE_OK;
}

/* ---- each fault ----------------------------------------------------------------------------- */

typedef struct faults {
    scene scene;
    tp_faulty_store *faulty;
} faults;

static troupe_status run_with(faults *self, tp_fault fault, troupe_store_op *op)
{
    tp_faulty_store_plan(self->faulty,
        &(tp_fault_plan){.at = 1, .fault = fault, .kinds = UINT32_MAX, .late_most = 1});
    return scene_run(&self->scene, op);
}

static void each_fault_does_what_it_says(void **state)
{
    void *opened = *state;
    assert_int_equal(scene_setup(&opened), 0);
    scene *under = opened;
    faults self = {.scene = *under};
    self.faulty = tp_faulty_store_create(tp_allocator_system(), under->store, 1);
    self.scene.store = tp_faulty_store_get(self.faulty);
    assert_false(self.scene.store->immediate);
    static const struct {
        tp_fault fault;
        troupe_status write, read;
        bool done;
    } rows[] = {{TP_FAULT_NONE, TROUPE_OK, TROUPE_OK, true},
        {TP_FAULT_REFUSED, TROUPE_UNAVAILABLE, TROUPE_UNAVAILABLE, false},
        {TP_FAULT_LOST, TROUPE_UNKNOWN, TROUPE_UNAVAILABLE, false},
        {TP_FAULT_SILENT, TROUPE_UNKNOWN, TROUPE_UNAVAILABLE, true},
        {TP_FAULT_LATE, TROUPE_UNKNOWN, TROUPE_UNAVAILABLE, true},
        {TP_FAULT_TWICE, TROUPE_OK, TROUPE_OK, true}};
    troupe_id id = scene_id("user/ada");
    uint64_t version = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        troupe_store_op commit = scene_commit(&self.scene, id, version, "state");
        assert_int_equal(run_with(&self, rows[i].fault, &commit), rows[i].write);
        if (rows[i].fault == TP_FAULT_LATE)
            scene_expect(under, id, version, "state"); /* not yet */
        troupe_store_op load = scene_op(&self.scene, TROUPE_STORE_LOAD);
        load.id = id;
        assert_int_equal(scene_run(&self.scene, &load), TROUPE_OK); /* what is late lands first */
        version += rows[i].done;
        assert_int_equal(load.found, version);
        troupe_store_release(&load);
        assert_int_equal(run_with(&self, rows[i].fault, &load), rows[i].read);
        assert_int_equal(scene_count(&load), rows[i].read == TROUPE_OK ? 1 : 0);
        troupe_store_release(&load);
        assert_true(tp_faulty_store_count(self.faulty, rows[i].fault) != 0);
    }
    assert_int_equal(self.scene.blocks, under->blocks);
    tp_faulty_store_destroy(self.faulty);
    assert_int_equal(scene_teardown(&opened), 0);
}

int faulty_run(const conformance *place, size_t rounds)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(each_fault_does_what_it_says, (void *)(uintptr_t)place)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    wrapped user = {.place = place};
    char name[64];
    snprintf(name, sizeof name, "%s, done twice", place->name);
    conformance twice = {.name = name,
        .open = open_wrapped,
        .clean = clean,
        .user = &user,
        .durable = true,
        .rounds = rounds};
    return conformance_run(&twice) + failed;
}
