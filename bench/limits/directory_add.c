/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limit of directory_register: names in turn, each one's text made, hashed and added to a bare
 * table that grows as it must. No grant, no host, no message that goes on. By hand:
 * limit_directory_add [records] [--no-floor].
 *
 * Invariants: no name is added twice. Threads: one.
 */
#include "table.h"

int main(int argc, char **argv)
{
    uint64_t records = limit_argument(argc, argv, 0, 1000000), spent = 0, count = 0;
    uint64_t size = LIMIT_KEY;
    char text[LIMIT_KEY], *key = text;

    LIMIT_OPAQUE(key);
    LIMIT_OPAQUE(size);
    limit_pin(0);
    do {
        struct limit_table table;
        limit_table_init(&table, 1024, sizeof(struct limit_record), records);
        uint64_t start = limit_now_ns();
        for (uint64_t i = 0; i < records; i++) {
            limit_key(i, key);
            uint64_t hash = limit_hash(&table, key, size);
            if (limit_table_find(&table, key, size, hash) != NULL)
                return 1;
            limit_table_add(&table, key, size, hash)->received = i;
        }
        spent += limit_now_ns() - start;
        count += records;
        limit_table_deinit(&table, records);
    } while (spent < LIMIT_RUN_NS);
    return limit_report(argc, argv, "directory_add", (double)spent / (double)count, "ns", 0);
}
