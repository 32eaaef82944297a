/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots beyond their type's retention go by themselves, in the background: by their number, by
 * their age, the newest never. In a world, so that a day takes no time.
 */
#include "tests/promises/scene.h"

#include <troupe/stored.h>

static troupe_status put(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    int64_t *self = state;
    ++*self;
    return troupe_reply_format(turn, "%lld", (long long)*self);
}

static const troupe_method methods[] = {TROUPE_METHOD(put)};
static const troupe_type few_type = {TROUPE_TYPE("few"), .state_size = sizeof(int64_t),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN,
    .retention = {.max_snapshots = 2}};
static const troupe_type young_type = {TROUPE_TYPE("young"), .state_size = sizeof(int64_t),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN,
    .retention = {.max_age = TROUPE_HOURS(1)}};
static const troupe_type none_type = {TROUPE_TYPE("none"), .state_size = sizeof(int64_t),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN};

static void count_one(void *user, const troupe_stored *stored)
{
    uint64_t *sum = user;
    sum[0]++;
    if (stored->version > sum[1])
        sum[1] = stored->version;
}

static void has(scene *self, const char *id, uint64_t count, uint64_t newest)
{
    uint64_t sum[2] = {0, 0};
    assert_ok(troupe_stored_each_snapshot(self->node, id_of(id), 0, count_one, sum, NULL, 0));
    assert_int_equal(sum[0], count);
    assert_int_equal(sum[1], newest);
}

static void fill(scene *self, const char *id, int count)
{
    for (int i = 0; i < count; i++) {
        call one;
        scene_ask(self, &one, id, "put", "", NULL);
        scene_await(self, &one);
        assert_heard(one.got, TROUPE_OK);
    }
}

static void open_with(scene *self, uint64_t interval)
{
    scene_open(self,
        &(troupe_node_options){
            TROUPE_NODE_OPTIONS, .shards = 2, .prune_interval = interval, .idle = TROUPE_NEVER},
        TROUPE_TYPES(&few_type, &young_type, &none_type));
}

static void only_the_newest_so_many_stay(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 0);
    fill(&at, "few/a", 5);
    fill(&at, "few/b", 1);
    fill(&at, "none/a", 3);
    has(&at, "few/a", 5, 5);
    scene_run(&at, TROUPE_SECONDS(61));
    has(&at, "few/a", 2, 5);
    has(&at, "few/b", 1, 1);
    has(&at, "none/a", 0, 0);
    assert_int_equal(stats_of(at.node).pruned, 3);
    fill(&at, "few/a", 4);
    scene_run(&at, TROUPE_SECONDS(61));
    has(&at, "few/a", 2, 9);
    assert_int_equal(stats_of(at.node).pruned, 7);
    scene_close(&at);
}

static void what_is_too_old_goes_but_the_newest_stays(void **state)
{
    (void)state;
    scene at;
    open_with(&at, TROUPE_MINUTES(10));
    fill(&at, "young/a", 3);
    scene_run(&at, TROUPE_MINUTES(50));
    has(&at, "young/a", 3, 3);
    fill(&at, "young/a", 2);
    scene_run(&at, TROUPE_MINUTES(25));
    has(&at, "young/a", 2, 5);
    scene_run(&at, TROUPE_HOURS(30));
    has(&at, "young/a", 1, 5);
    scene_close(&at);
}

static void more_than_a_page_goes_in_one_round(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 0);
    fill(&at, "few/a", 2300);
    scene_run(&at, TROUPE_SECONDS(90));
    has(&at, "few/a", 2, 2300);
    scene_close(&at);
}

static void never_means_never(void **state)
{
    (void)state;
    scene at;
    open_with(&at, TROUPE_NEVER);
    fill(&at, "few/a", 5);
    scene_run(&at, TROUPE_HOURS(5));
    has(&at, "few/a", 5, 5);
    scene_close(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_newest_so_many_stay),
        cmocka_unit_test(what_is_too_old_goes_but_the_newest_stays),
        cmocka_unit_test(more_than_a_page_goes_in_one_round),
        cmocka_unit_test(never_means_never),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
