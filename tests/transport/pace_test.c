/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of what channels carry goes in one pass: parcels that are taken in, and when what there
 * is to say is written.
 *
 * Threads: one.
 */
#include "net.h"

/* So many parcels of that size wait so long for a view that their reader has stopped to read. The
 * bytes that wait at his. */
static size_t hold_parcels_up(net *self, uint32_t parcels, size_t size, uint64_t time)
{
    net_open(self, 23, 2, 0);
    net_start(self);
    want(&self->nodes[0], 2, 1); /* the peer says how many may come */
    run(self, TROUPE_SECONDS(1));
    tp_channels_set_view(self->nodes[0].channels, 1, 2);
    self->nodes[0].wants_parcels = parcels;
    self->nodes[0].parcel_size = size;
    want(&self->nodes[0], 2, 1);
    run(self, time);
    assert_int_equal(self->nodes[1].heard_parcels, 0);
    return tp_session_waiting(&tp_channels_find(self->nodes[1].channels, 1, 0)->session);
}

/* The same, until he has the view. How many a pass took in at most. */
static uint32_t let_parcels_in(uint32_t parcels, size_t size)
{
    net self;
    size_t waiting = hold_parcels_up(&self, parcels, size, TROUPE_SECONDS(2));
    assert_in_range(waiting, 1 << 18, parcels * size / 2);
    node *reader = &self.nodes[1];
    tp_channels_set_view(reader->channels, 2, 2);
    reader->has_lease = false; /* nor does an answer that goes out make another pass */
    reader->env->runner_wake(reader->env, &reader->runner);
    run(&self, TROUPE_MILLISECONDS(400)); /* before anybody asks who lives */
    assert_true(reader->heard_parcels > waiting / size);
    reader->has_lease = true;
    run(&self, TROUPE_SECONDS(10));
    assert_int_equal(reader->heard_parcels, parcels);
    net_close(&self);
    return reader->most_of_pass;
}

/* What runs of them runs between: else they would fill mailboxes that are emptied as fast. */
static void a_pass_takes_in_as_many_parcels_as_it_may_run_and_reads_on(void **state)
{
    (void)state;
    assert_int_equal(let_parcels_in(2000, 512), 256);
    assert_in_range(let_parcels_in(500, PARCEL_MOST), 64, 256); /* all that waited, at once */
}

/* A reader who has stopped to read hears nothing: neither the time until he may take in what came,
 * nor that of many slow passes, counts as silence of the other side; nor is he silent himself. */
static void who_does_not_read_for_long_leaves_nobody_and_is_not_left(void **state)
{
    (void)state;
    net self;
    size_t waiting = hold_parcels_up(&self, 6000, 50, TROUPE_SECONDS(12));
    assert_in_range(waiting, 1 << 18, 1 << 19);
    node *reader = &self.nodes[1];
    tp_channels_set_view(reader->channels, 2, 2);
    reader->pass_time = TROUPE_SECONDS(1);
    run(&self, TROUPE_SECONDS(6));
    assert_in_range(reader->heard_parcels, 1, waiting / 100);
    for (int i = 0; i < 40 && reader->heard_parcels != 6000; i++)
        run(&self, TROUPE_SECONDS(1));
    assert_int_equal(reader->heard_parcels, 6000);
    reader->pass_time = 0;
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(tp_channels_count(self.nodes[i].channels).breaks, 0);
    assert_int_equal(tp_channels_count(reader->channels).connections, 1);
    tp_world_cut(self.world, self.nodes[0].env, reader->env, true); /* he listens again */
    run(&self, TROUPE_SECONDS(7));
    assert_int_equal(tp_channels_count(reader->channels).breaks, 1);
    net_close(&self);
}

/* However many peers say more than that: each is heard in its turn, and all of it in the end. */
static void a_pass_takes_in_as_many_parcels_of_all_peers_together(void **state)
{
    (void)state;
    net self;
    net_open(&self, 25, 4, 0);
    net_start(&self);
    for (uint32_t i = 0; i < 4; i++)
        want(&self.nodes[i], 2, i != 1);
    run(&self, TROUPE_SECONDS(1));
    node *reader = &self.nodes[1];
    for (uint32_t i = 0; i < 4; i++) {
        tp_channels_set_view(self.nodes[i].channels, i + 1, i == 1 ? 1 : 2);
        self.nodes[i].wants_parcels = i != 1 ? 1000 : 0;
        self.nodes[i].parcel_size = 64;
        want(&self.nodes[i], 2, i != 1);
    }
    run(&self, TROUPE_SECONDS(2));
    assert_int_equal(reader->heard_parcels, 0);
    reader->pass_time = TROUPE_MILLISECONDS(1);
    tp_channels_set_view(reader->channels, 2, 2);
    reader->env->runner_wake(reader->env, &reader->runner);
    uint64_t until = tp_world_now(self.world) + TROUPE_SECONDS(1);
    while (reader->heard_parcels < 3 * 256)
        assert_true(tp_world_step_until(self.world, until));
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(reader->parcels_of[i + 1], i != 1 ? 256 : 0);
    reader->has_lease = false; /* nor does an answer that goes out make another pass */
    run(&self, TROUPE_MILLISECONDS(400));
    assert_int_equal(reader->heard_parcels, 3000);
    assert_int_equal(reader->most_of_pass, 256);
    net_close(&self);
}

/* The other side has nothing to do, and begins with what there is; who has much under way writes it
 * at the end of the pass; nobody writes without a lease. */
static void who_has_little_under_way_writes_in_the_middle_of_a_pass(void **state)
{
    static const struct {
        uint32_t parcels, hurries;
        bool has_lease;
    } scenes[] = {{31, 0, true}, {32, 1, true}, {200, 3, true}, {200, 0, false}};
    (void)state;
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++) {
        net self;
        net_open(&self, 24, 2, 0);
        net_start(&self);
        want(&self.nodes[0], 2, 1);
        run(&self, TROUPE_SECONDS(1));
        self.nodes[0].has_lease = scenes[i].has_lease;
        self.nodes[0].wants_parcels = scenes[i].parcels;
        self.nodes[0].parcel_size = 64;
        want(&self.nodes[0], 2, 0);
        run(&self, TROUPE_MILLISECONDS(100));
        assert_int_equal(self.nodes[0].hurries, scenes[i].hurries);
        assert_int_equal(self.nodes[1].heard_parcels, scenes[i].has_lease ? scenes[i].parcels : 0);
        net_close(&self);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pass_takes_in_as_many_parcels_as_it_may_run_and_reads_on),
        cmocka_unit_test(a_pass_takes_in_as_many_parcels_of_all_peers_together),
        cmocka_unit_test(who_does_not_read_for_long_leaves_nobody_and_is_not_left),
        cmocka_unit_test(who_has_little_under_way_writes_in_the_middle_of_a_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
