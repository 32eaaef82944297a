/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The membership provider in memory against the conformance suite.
 *
 * Threads: the suite's.
 */
#include "suite.h"

#include "providers/member_memory.h"

#include <string.h>

enum { CLUSTERS = 16 };

typedef struct stores {
    struct {
        const char *cluster;
        tp_member_memory *memory;
    } each[CLUSTERS];
    size_t count;
} stores;

static troupe_status open_on(void *user, const char *cluster, troupe_membership **ret_membership)
{
    stores *self = user;
    size_t at = 0;
    while (at < self->count && strcmp(self->each[at].cluster, cluster) != 0)
        at++;
    if (at == self->count) {
        TROUPE_TRY(tp_member_memory_create(suite_host.allocator, &self->each[at].memory));
        tp_member_memory_tell_ends(self->each[at].memory, true);
        self->each[self->count++].cluster = cluster;
    }
    return tp_member_memory_open(self->each[at].memory, ret_membership);
}

int main(void)
{
    stores self = {0};
    const suite place = {
        .name = "memory", .open = open_on, .user = &self, .is_immediate = true, .tells_ends = true};
    int failed = suite_run(&place);
    for (size_t i = 0; i < self.count; i++)
        tp_member_memory_destroy(self.each[i].memory);
    return failed;
}
