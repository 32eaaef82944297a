/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limit of tell_random_100k, _1m, _10m: names drawn at random, each one's text made, hashed and
 * looked up in a bare table, one line of the found record touched. A batch of names is taken
 * through three passes, so that the slots and then the records of all of them are fetched at once.
 * By hand: limit_tell_random [records] [--no-floor].
 *
 * Invariants: every name exists. Threads: one.
 */
#include "table.h"

enum { BATCH = 32 };

struct name {
    char key[LIMIT_KEY];
    uint64_t size, hash;
};

static double orientation(uint64_t records)
{
    return 1e9 / (records <= 300000 ? 30 : records <= 3000000 ? 52 : 85);
}

static void fill(struct limit_table *table, uint64_t records)
{
    struct name name = {.size = LIMIT_KEY};
    LIMIT_OPAQUE(name.size);
    for (uint64_t i = 0; i < records; i++) {
        limit_key(i, name.key);
        limit_table_add(table, name.key, name.size, limit_hash(table, name.key, name.size));
    }
}

static void draw(
    const struct limit_table *table, struct name *names, uint64_t records, uint64_t *random)
{
    uint64_t size = LIMIT_KEY;
    LIMIT_OPAQUE(size);
    for (int i = 0; i < BATCH; i++) {
        limit_key((uint64_t)(((__uint128_t)limit_random(random) * records) >> 64), names[i].key);
        names[i].size = size;
        names[i].hash = limit_hash(table, names[i].key, size);
        __builtin_prefetch(&table->slots[limit_table_home(names[i].hash) & table->mask]);
    }
}

/* What the slot says is probably the record: fetch it for writing. */
static void fetch(const struct limit_table *table, const struct name *names)
{
    for (int i = 0; i < BATCH; i++) {
        uint64_t at = limit_table_home(names[i].hash), slot;
        while ((slot = table->slots[at & table->mask]) != 0 && (slot ^ names[i].hash) >> 32 != 0)
            at++;
        __builtin_prefetch(limit_record(table, slot & UINT32_MAX), 1);
    }
}

static bool touch(const struct limit_table *table, const struct name *names)
{
    bool all = true;
    for (int i = 0; i < BATCH; i++) {
        struct limit_record *record =
            limit_table_find(table, names[i].key, names[i].size, names[i].hash);
        if (record != NULL)
            record->received++;
        all = all && record != NULL;
    }
    return all;
}

int main(int argc, char **argv)
{
    uint64_t records = limit_argument(argc, argv, 0, 1000000), slots = 1024, random = 1, count = 0;
    struct name names[BATCH];
    struct limit_table table;
    uint64_t start, end;

    limit_pin(0);
    while (slots * 2 < records * 3)
        slots *= 2;
    limit_table_init(&table, slots, sizeof(struct limit_record), records);
    fill(&table, records);
    start = limit_now_ns();
    do {
        for (int i = 0; i < 1024; i++) {
            draw(&table, names, records, &random);
            fetch(&table, names);
            if (!touch(&table, names))
                return 1;
        }
        count += 1024 * BATCH;
        end = limit_now_ns();
    } while (end - start < LIMIT_RUN_NS);
    return limit_report(argc, argv, "tell_random", (double)count * 1e9 / (double)(end - start),
        "ops/s", orientation(records));
}
