/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of the conformance suite: the host that it lends to providers, opening and closing, and
 * the short forms of operations that the scenes use. The scenes are in scenes_*.c.
 *
 * Threads: one.
 */
#include "scene.h"

#include "base/alloc.h"
#include "base/prng.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- the host ------------------------------------------------------------------------------ */

static uint64_t read_clock(clockid_t clock)
{
    struct timespec moment;
    clock_gettime(clock, &moment);
    return (uint64_t)moment.tv_sec * UINT64_C(1000000000) + (uint64_t)moment.tv_nsec;
}

static uint64_t host_now(void *context)
{
    (void)context;
    return read_clock(CLOCK_MONOTONIC);
}

static uint64_t host_wall(void *context)
{
    (void)context;
    return read_clock(CLOCK_REALTIME);
}

static void host_log(void *context, int level, const char *event, const char *text)
{
    (void)context;
    fprintf(stderr, "log %d %s: %s\n", level, event, text);
}

static void *count_allocate(void *context, size_t size)
{
    scene *self = context;
    self->asked++;
    if (self->fail_at != 0 && self->asked == self->fail_at)
        return NULL;
    void *block = malloc(size);
    if (block != NULL)
        self->blocks++;
    return block;
}

static void *count_reallocate(void *context, void *block, size_t old_size, size_t new_size)
{
    scene *self = context;
    (void)old_size;
    self->asked++;
    if (self->fail_at != 0 && self->asked == self->fail_at)
        return NULL;
    return realloc(block, new_size);
}

static void count_release(void *context, void *block, size_t size)
{
    scene *self = context;
    (void)size;
    self->blocks--;
    free(block);
}

void scene_fail(scene *self, size_t at)
{
    self->asked = 0;
    self->fail_at = at;
}

/* ---- opening ------------------------------------------------------------------------------- */

troupe_store *scene_open_store(scene *self)
{
    const conformance *place = self->place;
    const troupe_store_host host = {.size = sizeof host,
        .allocator = tp_allocator_system(),
        .now = host_now,
        .wall = host_wall,
        .log = host_log};
    troupe_store *store = NULL;
    char error[512] = "";
    troupe_status status =
        place->open != NULL ? place->open(place, &host, &store)
                            : place->provider->open(&host, place->url, &store, error, sizeof error);
    if (status != TROUPE_OK)
        fail_msg("%s does not open: %s: %s", place->name, troupe_status_name(status), error);
    assert_non_null(store);
    assert_int_equal(store->size, sizeof *store);
    assert_non_null(store->promises);
    assert_int_equal(store->durable && !place->durable, 0);
    return store;
}

void scene_open(scene *self)
{
    self->store = scene_open_store(self);
}

void scene_close(scene *self)
{
    if (self->store != NULL)
        self->store->close(self->store);
    self->store = NULL;
}

void scene_reopen(scene *self)
{
    scene_close(self);
    scene_open(self);
}

int scene_setup(void **state)
{
    const conformance *place = *state;
    scene *self = calloc(1, sizeof *self);
    self->place = place;
    self->allocator = (troupe_allocator){self, count_allocate, count_reallocate, count_release};
    if (place->clean != NULL && place->clean(place->user) != 0) {
        free(self);
        return -1;
    }
    scene_open(self);
    *state = self;
    scene_writer(self, TROUPE_STORE_OPEN_WRITER, SCENE_WRITER, TROUPE_OK);
    return 0;
}

int scene_teardown(void **state)
{
    scene *self = *state;
    const conformance *place = self->place;
    scene_close(self);
    size_t blocks = self->blocks;
    if (blocks != 0)
        fprintf(stderr, "%zu items were not given back, or too often\n", blocks);
    free(self);
    *state = (void *)(uintptr_t)place;
    return blocks == 0 && (place->clean == NULL || place->clean(place->user) == 0) ? 0 : -1;
}

const troupe_provider *conformance_module(const char *path)
{
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const troupe_provider *found = module != NULL ? dlsym(module, TROUPE_PROVIDER_SYMBOL) : NULL;
    if (found == NULL)
        fprintf(stderr, "conformance: %s\n", dlerror());
    return found;
}

#define CONFORMANCE_TEST(name) \
    cmocka_unit_test_prestate_setup_teardown(name, scene_setup, scene_teardown, place_state),

int conformance_run(const conformance *place)
{
    void *place_state = (void *)(uintptr_t)place;
    struct CMUnitTest tests[] = {CONFORMANCE_SCENES(CONFORMANCE_TEST)};
    return _cmocka_run_group_tests(place->name, tests, sizeof tests / sizeof tests[0], NULL, NULL);
}

/* ---- ids and bytes ------------------------------------------------------------------------- */

troupe_id scene_id(const char *text)
{
    troupe_id id = {0};
    const char *reason = "";
    if (troupe_id_parse(troupe_str(text), &id, &reason) != TROUPE_OK)
        fail_msg("%s: %s", text, reason);
    return id;
}

troupe_slice scene_text(troupe_id id, char *room, size_t size)
{
    size_t length = troupe_id_print(id, room, size);
    assert_true(length < size);
    return (troupe_slice){room, length};
}

troupe_slice scene_fill(char *room, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = tp_prng_split(&seed);
        memcpy(room + i, &word, size - i < 8 ? size - i : 8);
    }
    return (troupe_slice){room, size};
}

void scene_slices_equal(troupe_slice left, troupe_slice right)
{
    assert_int_equal(left.size, right.size);
    if (left.size != 0)
        assert_memory_equal(left.data, right.data, left.size);
}

/* ---- operations ---------------------------------------------------------------------------- */

troupe_store_op scene_op(scene *self, troupe_store_kind kind)
{
    return (troupe_store_op){.kind = kind, .allocator = &self->allocator};
}

troupe_store_op scene_commit(scene *self, troupe_id id, uint64_t version, const char *state)
{
    troupe_store_op op = scene_op(self, TROUPE_STORE_COMMIT);
    op.id = id;
    op.writer = SCENE_WRITER;
    op.version = version;
    op.commit.time = SCENE_TIME + version;
    op.commit.has_state = state != NULL;
    if (state != NULL)
        op.commit.state = troupe_str(state);
    return op;
}

void scene_run_all(scene *self, troupe_store_op *ops, size_t count)
{
    enum { MOST = 1024 };
    troupe_store_op *list[MOST];
    size_t most = self->store->group != 0 && self->store->group < MOST ? self->store->group : MOST;
    for (size_t at = 0; at < count;) {
        size_t piece = count - at < most ? count - at : most;
        for (size_t i = 0; i < piece; i++) {
            list[i] = &ops[at + i];
            list[i]->status = (troupe_status)-1;
        }
        self->store->run(self->store, list, piece);
        at += piece;
    }
    for (size_t i = 0; i < count; i++)
        if (ops[i].status == (troupe_status)-1)
            fail_msg("operation %zu of the group (kind %d) was not answered", i, ops[i].kind);
}

troupe_status scene_run(scene *self, troupe_store_op *op)
{
    scene_run_all(self, op, 1);
    return op->status;
}

void scene_writer(scene *self, troupe_store_kind kind, uint64_t writer, troupe_status expected)
{
    troupe_store_op op = scene_op(self, kind);
    op.writer = writer;
    assert_int_equal(scene_run(self, &op), expected);
}

void scene_done(scene *self, troupe_store_op *commit)
{
    troupe_status status = scene_run(self, commit);
    if (status != TROUPE_OK)
        fail_msg("the commit ended with %s", troupe_status_name(status));
    assert_int_equal(commit->found, commit->version + 1);
    assert_null(commit->items);
}

void scene_expect_slice(scene *self, troupe_id id, uint64_t version, const troupe_slice *state)
{
    troupe_store_op load = scene_op(self, TROUPE_STORE_LOAD);
    load.id = id;
    assert_int_equal(scene_run(self, &load), TROUPE_OK);
    assert_int_equal(load.found, version);
    bool has_state = load.items != NULL && load.items->kind == TROUPE_ROW_STATE;
    assert_int_equal(has_state, state != NULL);
    if (state != NULL)
        scene_slices_equal(load.items->value, *state);
    troupe_store_release(&load);
}

void scene_expect(scene *self, troupe_id id, uint64_t version, const char *state)
{
    troupe_slice slice = state != NULL ? troupe_str(state) : (troupe_slice){NULL, 0};
    scene_expect_slice(self, id, version, state != NULL ? &slice : NULL);
}

const troupe_store_item *scene_find_row(
    const troupe_store_op *load, uint32_t kind, troupe_slice key)
{
    for (const troupe_store_item *item = load->items; item != NULL; item = item->next)
        if (item->kind == kind && kind != TROUPE_ROW_STATE && troupe_slice_equal(item->key, key))
            return item;
    return NULL;
}

size_t scene_count(const troupe_store_op *op)
{
    size_t count = 0;
    for (const troupe_store_item *item = op->items; item != NULL; item = item->next)
        count++;
    return count;
}
