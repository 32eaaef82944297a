/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limit of cache_op_lru and cache_op_tinylfu: names drawn at random, each one's text made, hashed
 * and looked up in a bare table, one after the other, and the found record read. No order of use,
 * no frequency, no eviction, no statistics. By hand: limit_cache_lookup [records] [--no-floor].
 *
 * Invariants: every name exists. Threads: one.
 */
#include "table.h"

enum { LOT = 4096 };

int main(int argc, char **argv)
{
    uint64_t records = limit_argument(argc, argv, 0, 100000), slots = 1024, random = 1, count = 0;
    uint64_t size = LIMIT_KEY, sum = 0, start, end;
    struct limit_table table;
    char text[LIMIT_KEY], *key = text;

    LIMIT_OPAQUE(key);
    LIMIT_OPAQUE(size);
    limit_pin(0);
    while (slots * 3 < records * 4)
        slots *= 2;
    limit_table_init(&table, slots, sizeof(struct limit_record), records);
    for (uint64_t i = 0; i < records; i++) {
        limit_key(i, key);
        limit_table_add(&table, key, size, limit_hash(&table, key, size))->received = i;
    }
    start = limit_now_ns();
    do {
        for (int i = 0; i < LOT; i++) {
            limit_key((uint64_t)(((__uint128_t)limit_random(&random) * records) >> 64), key);
            struct limit_record *record =
                limit_table_find(&table, key, size, limit_hash(&table, key, size));
            if (record == NULL)
                return 1;
            sum += record->received;
        }
        count += LOT;
        end = limit_now_ns();
    } while (end - start < LIMIT_RUN_NS);
    LIMIT_OPAQUE(sum);
    return limit_report(
        argc, argv, "cache_lookup", (double)(end - start) / (double)count, "ns", 0);
}
