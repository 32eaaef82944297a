/* SPDX-License-Identifier: Apache-2.0 */
/*
 * P9, bounded: ten times what actors can do is offered for seconds, as bench/core/overload.c does
 * by the clock; here in a world, by counts. As much is done as at the capacity, all that was
 * accepted is done or BUSY, all else is BUSY, and memory stays as it is.
 */
#include "tests/promises/scene.h"

enum { ACTORS = 16, MAILBOX = 64, TICKS = 1000, TIMES = 10 };

static troupe_status work(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    (*(uint64_t *)state)++;
    TROUPE_TRY(troupe_sleep(turn, MS(5)));
    return troupe_reply_format(turn, "done");
}

static const troupe_method methods[] = {TROUPE_METHOD(work)};

typedef struct tally {
    uint32_t offered, accepted, refused;
    uint32_t served, busy, others; /* ends of those accepted outside */
} tally;

static void ended(void *user, const troupe_answer *answer)
{
    tally *to = user;
    to->served += answer->status == TROUPE_OK;
    to->busy += answer->status == TROUPE_BUSY;
    to->others += answer->status != TROUPE_OK && answer->status != TROUPE_BUSY;
}

static void offer(scene *s, troupe_client *client, tally *to, uint32_t each)
{
    for (uint32_t i = 0; i < ACTORS * each; i++) {
        char id[32];
        snprintf(id, sizeof id, "w/%u", i % ACTORS);
        troupe_status status = troupe_client_ask_callback(
            client, id_of(id), "work", troupe_str("a payload"), NULL, ended, to);
        assert_true(status == TROUPE_OK || status == TROUPE_BUSY);
        to->offered++;
        to->accepted += status == TROUPE_OK;
        to->refused += status == TROUPE_BUSY;
    }
    scene_run(s, MS(5));
}

static void ten_times_the_capacity_is_served_as_well_as_the_capacity(void **state)
{
    (void)state;
    const troupe_type type = {TROUPE_TYPE("w"), .state_size = sizeof(uint64_t),
        .mailbox_limit = MAILBOX, TROUPE_METHODS(methods)};
    for (uint32_t shards = 1; shards <= 2; shards++) {
        scene s;
        troupe_client *client;
        scene_open(&s,
            &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = shards, .inbox_limit = 256},
            TROUPE_TYPES(&type));
        assert_ok(troupe_client_open(s.node, &client));
        tally peak = {0}, over = {0};
        for (uint32_t i = 0; i < TICKS; i++)
            offer(&s, client, &peak, 1);
        uint32_t peak_served = peak.served;
        scene_run(&s, TROUPE_SECONDS(10));
        uint64_t most[2] = {0, 0}; /* bytes of the first half, of the second */
        for (uint32_t i = 0; i < TICKS; i++) {
            offer(&s, client, &over, TIMES);
            uint64_t bytes = stats_of(s.node).bytes;
            if (bytes > most[i * 2 / TICKS])
                most[i * 2 / TICKS] = bytes;
        }
        uint32_t over_served = over.served;
        troupe_stats stats = stats_of(s.node);
        assert_true(most[1] <= most[0] + most[0] / 20);
        assert_true(stats.queued <= ACTORS * MAILBOX);
        assert_true(over_served * 10 >= peak_served * 9);
        scene_run(&s, TROUPE_SECONDS(10));
        stats = stats_of(s.node);
        assert_int_equal(over.others + peak.others, 0);
        assert_int_equal(over.served + over.busy, over.accepted);
        assert_int_equal(over.accepted + over.refused, over.offered);
        assert_int_equal(stats.turns, peak.served + over.served);
        assert_int_equal(stats.busy_mailbox + stats.busy_inbox,
            over.busy + over.refused + peak.busy + peak.refused);
        assert_int_equal(stats.timeouts + stats.expired + stats.dead_letters, 0);
        troupe_client_close(client);
        scene_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_times_the_capacity_is_served_as_well_as_the_capacity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
