/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest program that hosts an actor and asks it; the README shows it. */
#include <stdio.h>
#include <troupe.h>

static troupe_status greet(troupe_turn *turn, void *state, troupe_slice name)
{
    int *visits = state; /* zeroed at first activation */
    return troupe_reply_format(turn, "Hello %.*s, visit %d", TROUPE_ARG(name), ++*visits);
}

static const troupe_method methods[] = {TROUPE_METHOD(greet)};
static const troupe_type greeter = {
    TROUPE_TYPE("greeter"), .state_size = sizeof(int), TROUPE_METHODS(methods)};

int main(void)
{
    troupe_node *node = NULL;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_id ada = troupe_id_of("greeter", "ada");
    troupe_status status = troupe_node_open(NULL, TROUPE_TYPES(&greeter), &node);
    if (status == TROUPE_OK)
        status = troupe_node_ask(node, ada, "greet", troupe_str("world"), NULL, &answer);
    printf("%.*s\n", TROUPE_ARG(status == TROUPE_OK ? answer.payload : answer.message));
    troupe_answer_release(&answer);
    troupe_node_close(node);
    return status != TROUPE_OK;
}
