/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limit of activate: the text of a new name made and hashed, looked up in vain, inserted in a bare
 * table that grows from 1,024 slots, and a zeroed record of the given bytes taken from fresh memory
 * of the system. No mailbox, no message, no hook, no statistics. By hand: limit_activate [bytes per
 * record] [records] [--no-floor].
 *
 * Invariants: every name is new. Threads: one.
 */
#include "table.h"

/* Nanoseconds for one table of `records` names. */
static uint64_t populate(uint64_t bytes, uint64_t records)
{
    struct limit_table table;
    char text[LIMIT_KEY], *key = text;
    uint64_t size = sizeof(text), start = limit_now_ns(), end;
    LIMIT_OPAQUE(key);
    LIMIT_OPAQUE(size);
    limit_table_init(&table, 1024, bytes, records);
    for (uint64_t i = 0; i < records; i++) {
        limit_key(i, key);
        uint64_t hash = limit_hash(&table, key, size);
        struct limit_record *record = limit_table_find(&table, key, size, hash);
        if (record == NULL)
            record = limit_table_add(&table, key, size, hash);
        record->received++;
    }
    end = limit_now_ns();
    if (table.count != records)
        exit(1);
    limit_table_deinit(&table, records);
    return end - start;
}

int main(int argc, char **argv)
{
    uint64_t bytes = limit_argument(argc, argv, 0, 208),
             records = limit_argument(argc, argv, 1, 1000000);
    uint64_t spent = 0, count = 0;

    if (bytes < sizeof(struct limit_record) || bytes % 8 != 0) {
        fprintf(stderr, "limit_activate: bytes per record must be a multiple of 8, at least %zu\n",
            sizeof(struct limit_record));
        return 1;
    }
    limit_pin(0);
    for (; spent < LIMIT_RUN_NS; count += records)
        spent += populate(bytes, records);
    return limit_report(argc, argv, "activate", (double)count * 1e9 / (double)spent, "ops/s", 0);
}
