/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node on a real file, which may be closed and opened again with other types: what the tests of
 * durable promises share. Which types there are a test says in its own `open_with`.
 *
 * Threads: the test's.
 */
#ifndef TEST_PROMISES_PLACE_H
#define TEST_PROMISES_PLACE_H

#include "tests/promises/scene.h"

#include <unistd.h>

typedef struct place {
    char folder[64];
    char url[96];
    uint32_t senders_limit; /* 0: the default */
    troupe_node *node;
} place;

static inline void place_make(place *self)
{
    *self = (place){.folder = "/tmp/troupe-place-XXXXXX"};
    assert_non_null(mkdtemp(self->folder));
    snprintf(self->url, sizeof self->url, "sqlite:%s/state.db", self->folder);
}

static inline void place_serve(place *self, const troupe_type *const *types, size_t type_count)
{
    char error[256] = "";
    const troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 2, .storage = self->url,
        .log = "off", .senders_limit = self->senders_limit};
    troupe_status status =
        troupe_node_open_explained(&options, types, type_count, &self->node, error, sizeof error);
    check_status(status, TROUPE_OK, error, __FILE__, __LINE__);
}

static inline void place_close(place *self)
{
    troupe_node_close(self->node);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", self->folder);
    assert_int_equal(system(command), 0);
}

static inline void says(
    place *at, const char *id, const char *method, const char *in, const char *text)
{
    heard got = ask(at->node, id, method, in);
    assert_heard(got, TROUPE_OK);
    assert_string_equal(got.text, text);
}

#endif
