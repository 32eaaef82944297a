/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wrapper that lets things go wrong, over the store in memory: faulty.h. Over others: the tests
 * of their providers.
 *
 * Threads: one.
 */
#include "faulty.h"

#include "providers/table.h"

int main(void)
{
    const conformance place = {
        .name = "memory", .provider = &tp_memory_provider, .url = "memory:"};
    return faulty_run(&place, 20000);
}
