/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The membership store of a town as one house sees it: a handle on the store in memory (roll.h)
 * that fails when the store is out, or the house's way to it, and now and then says of a change
 * that its end is not known.
 *
 * Threads: one, as world.h.
 */
#include "testkit/town.h"

static troupe_status fate_of_change(const tp_town *town, bool is_out, bool *ret_done)
{
    tp_prng *prng = tp_world_prng(town->world);
    if (is_out)
        return tp_prng_chance(prng, 1, 2) ? TROUPE_UNAVAILABLE : TROUPE_UNKNOWN;
    if (town->doubts == 0 || !tp_prng_chance(prng, town->doubts, 1024))
        return TROUPE_OK;
    *ret_done = tp_prng_chance(prng, 1, 2);
    tp_world_mark(town->world, *ret_done ? "a change of view or lease is done in silence"
                                         : "a change of the view or a lease is lost");
    return TROUPE_UNKNOWN;
}

static troupe_status begins(void *user, tp_roll_call call, bool *ret_done)
{
    const tp_house *house = user;
    bool is_out = house->town->is_out || house->is_cut_off;
    bool changes = call == TP_ROLL_CAS || call == TP_ROLL_RAISE || call == TP_ROLL_REVOKE;
    if (changes)
        return fate_of_change(house->town, is_out, ret_done);
    return is_out ? TROUPE_UNAVAILABLE : TROUPE_OK;
}

static void ended(
    void *user, tp_roll_call call, troupe_status status, uint64_t bytes, uint64_t rows)
{
    const tp_house *house = user;
    (void)bytes;
    (void)rows;
    if (call == TP_ROLL_REVOKE && status == TROUPE_OK)
        tp_world_mark(house->town->world, "a lease is revoked");
}

tp_roll *tp_town_roll_open(tp_house *house)
{
    static const tp_roll_hooks hooks = {.begins = begins, .ended = ended};
    return tp_roll_open(house->town->membership, &hooks, house);
}
