/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module for the tests of trouped: actors whose turns do not return, and so keep their shard, for
 * as long as the file $STUCK_FILE is there. stuck_test.sh compiles it.
 * Invariants: nothing else is waited for. Threads: the actors' shards.
 */
#include <stdlib.h>
#include <troupe/module.h>
#include <unistd.h>

static troupe_status hang(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    while (access(getenv("STUCK_FILE"), F_OK) == 0) usleep(1000);
    return troupe_reply_format(turn, "free");
}

static troupe_status nothing(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    return troupe_reply_format(turn, "here");
}

static const troupe_method methods[] = {TROUPE_METHOD(hang), TROUPE_METHOD(nothing)};
static const troupe_type stuck = {TROUPE_TYPE("stuck"), TROUPE_METHODS(methods)};
TROUPE_MODULE(&stuck)
