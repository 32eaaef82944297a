/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `memory:` passes the conformance suite.
 *
 * Threads: one.
 */
#include "conformance.h"

#include "providers/table.h"

int main(void)
{
    conformance place = {
        .name = "memory", .provider = &tp_memory_provider, .url = "memory:", .rounds = 60000};
    return conformance_run(&place);
}
