/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start_sqlite: from the start of a process to the first reply of an actor in it whose state is in
 * a new file then. The process is this program itself, started again with --start-child.
 *
 * Invariants: the child writes only after its reply, which was given behind the commit. Threads:
 * one here, a node's in the child.
 */
#include "state.h"

#include <unistd.h>

static troupe_status greet(troupe_turn *turn, void *state, troupe_slice payload)
{
    uint64_t *visits = state;
    (void)payload;
    ++*visits;
    return troupe_reply_bytes(turn, troupe_slice_of(visits, sizeof(*visits)));
}

static const troupe_method methods[] = {TROUPE_METHOD(greet)};
static const troupe_type greeter = {TROUPE_TYPE("greeter"), .state_size = TP_STATE_BYTES,
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN};

int tp_state_start_child(const char *url)
{
    troupe_node *node;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .storage = url};
    if (troupe_node_open(&options, TROUPE_TYPES(&greeter), &node) != TROUPE_OK)
        return 1;
    bool good = troupe_node_ask(node, troupe_id_of("greeter", "ada"), "greet", troupe_str("hello"),
                    NULL, &answer) == TROUPE_OK &&
                write(STDOUT_FILENO, "!", 1) == 1;
    troupe_answer_release(&answer);
    troupe_node_close(node);
    return good ? 0 : 1;
}

double tp_state_start(tp_bench *bench)
{
    tp_state_place place;
    if (!tp_state_open(bench, &place))
        return 0;
    double value = tp_bench_first_byte(place.url);
    tp_state_close(&place);
    return value >= 0 ? value : tp_bench_fail(bench, "the process gave no reply");
}
