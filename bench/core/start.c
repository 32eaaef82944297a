/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start: from the start of a process to the first reply of an actor in it, with the memory store.
 * The process is this program itself, started again with --start-child: it opens a node with
 * default options, asks an actor, and writes one byte.
 *
 * Invariants: the child writes only after its reply. Threads: one here, a node's in the child.
 */
#include "core.h"
#include <unistd.h>

static troupe_status greet(troupe_turn *turn, void *state, troupe_slice payload)
{
    uint64_t *visits = state;
    (void)payload;
    ++*visits;
    return troupe_reply_bytes(turn, troupe_slice_of(visits, sizeof(*visits)));
}

static const troupe_method methods[] = {TROUPE_METHOD(greet)};
static const troupe_type greeter = {
    TROUPE_TYPE("greeter"), .state_size = sizeof(uint64_t), TROUPE_METHODS(methods)};

int tp_core_start_child(void)
{
    troupe_node *node;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    if (troupe_node_open(NULL, TROUPE_TYPES(&greeter), &node) != TROUPE_OK)
        return 1;
    bool good = troupe_node_ask(node, troupe_id_of("greeter", "ada"), "greet", troupe_str("hello"),
                    NULL, &answer) == TROUPE_OK &&
                write(STDOUT_FILENO, "!", 1) == 1;
    troupe_answer_release(&answer);
    troupe_node_close(node);
    return good ? 0 : 1;
}

double tp_core_start(tp_bench *bench)
{
    double value = tp_bench_first_byte(NULL);
    return value >= 0 ? value : tp_bench_fail(bench, "the process gave no reply");
}
