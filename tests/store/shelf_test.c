/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The example of a provider, as a module that was loaded, passes the conformance suite; and a file
 * that was not written to its end is read up to there.
 *
 * Threads: one.
 */
#include "scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct shelf_place {
    char folder[64], path[96], url[128];
} shelf_place;

static int clean(void *user)
{
    shelf_place *self = user;
    (void)unlink(self->path);
    return 0;
}

/* Cuts the file at each length: what is found is the state after some first commits. */
static void a_file_that_ends_early_is_read_up_to_there(void **state)
{
    enum { COMMITS = 4 };
    const conformance *place = *state;
    const shelf_place *at = place->user;
    void *opened = *state;
    assert_int_equal(scene_setup(&opened), 0);
    scene *self = opened;
    troupe_id id = scene_id("user/ada");
    for (uint64_t i = 0; i < COMMITS; i++) {
        troupe_store_op commit = scene_commit(self, id, i, "state");
        scene_done(self, &commit);
    }
    scene_close(self);
    struct stat about;
    assert_int_equal(stat(at->path, &about), 0);
    uint64_t least = COMMITS;
    for (off_t size = about.st_size; size >= 0; size--) {
        assert_int_equal(truncate(at->path, size), 0);
        scene_open(self);
        troupe_store_op load = scene_op(self, TROUPE_STORE_LOAD);
        load.id = id;
        assert_int_equal(scene_run(self, &load), TROUPE_OK);
        assert_true(load.found == least || load.found + 1 == least);
        least = load.found;
        troupe_store_release(&load);
        scene_close(self);
    }
    assert_int_equal(least, 0);
    assert_int_equal(scene_teardown(&opened), 0);
}

int main(void)
{
    shelf_place at = {.folder = "/tmp/troupe-shelf-XXXXXX"};
    const char *build = getenv("TROUPE_BUILD");
    char module[512];
    snprintf(module, sizeof module, "%s/examples/libtroupe_shelf.so", build != NULL ? build : ".");
    conformance place = {.name = "shelf",
        .provider = conformance_module(module),
        .url = at.url,
        .clean = clean,
        .user = &at,
        .durable = true};
    if (place.provider == NULL || mkdtemp(at.folder) == NULL)
        return 1;
    snprintf(at.path, sizeof at.path, "%s/a.shelf", at.folder);
    snprintf(at.url, sizeof at.url, "shelf:%s", at.path);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(a_file_that_ends_early_is_read_up_to_there, &place)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL) + conformance_run(&place);
    (void)rmdir(at.folder);
    return failed;
}
