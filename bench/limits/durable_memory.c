/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limit of durable turns and loads with the store memory: a bare hash table with records of 200
 * bytes and a version. A name is made, hashed and found, and the record written over, or read. No
 * actor, no message, no answer.
 *
 *   durable_memory [ACTORS]       records of random names written a second
 *   durable_memory --hot          the same record again and again
 *   durable_memory --one          nanoseconds for a write that another thread is handed behind a
 *                                 condition variable
 *   durable_memory --load [ACTORS]  records of all names in turn read a second
 *
 * Invariants: as table.h. Threads: main; --one has a second one, which alone uses the table.
 */
#include "handed.h"
#include "table.h"

enum { STATE = 200, STRIDE = 256, BATCH = 1024 };

struct store {
    struct limit_table table;
    uint64_t actors, seed, version;
    char state[STATE];
};

struct stored {
    struct limit_record head;
    char more[STRIDE - sizeof(struct limit_record)];
};

static struct limit_record *find(struct store *self, uint64_t number)
{
    char key[LIMIT_KEY];
    limit_key(number, key);
    uint64_t hash = limit_hash(&self->table, key, sizeof key);
    struct limit_record *record = limit_table_find(&self->table, key, sizeof key, hash);
    if (record == NULL)
        exit(1);
    return record;
}

static void put(struct store *self, uint64_t number)
{
    struct limit_record *record = find(self, number);
    memset(self->state, (int)(++self->version & 0xff), STATE);
    char *state = self->state;
    LIMIT_OPAQUE(state);
    record->received++; /* its version */
    memcpy(record->rest, state, STATE);
}

static void put_one(void *user, uint64_t number)
{
    (void)number;
    put(user, 0);
}

static double measure(struct store *self, bool load)
{
    uint64_t done = 0, start = limit_now_ns(), end;
    char taken[STATE];
    do {
        for (int i = 0; i < BATCH; i++, done++) {
            if (!load) {
                put(self, limit_random(&self->seed) % self->actors);
                continue;
            }
            memcpy(taken, find(self, done % self->actors)->rest, STATE);
            char *used = taken;
            LIMIT_OPAQUE(used);
        }
        end = limit_now_ns();
    } while (end - start < LIMIT_RUN_NS);
    return (double)done * 1e9 / (double)(end - start);
}

int main(int argc, char **argv)
{
    static struct store store;
    bool one = false, hot = false, load = false;
    for (int i = 1; i < argc; i++) {
        one = one || strcmp(argv[i], "--one") == 0;
        hot = hot || strcmp(argv[i], "--hot") == 0;
        load = load || strcmp(argv[i], "--load") == 0;
    }
    store.actors = one || hot ? 1 : limit_argument(argc, argv, 0, 10000);
    limit_table_init(&store.table, 1024, sizeof(struct stored), store.actors);
    for (uint64_t i = 0; i < store.actors; i++) {
        char key[LIMIT_KEY];
        limit_key(i, key);
        limit_table_add(&store.table, key, sizeof key, limit_hash(&store.table, key, sizeof key));
    }
    double value = one ? limit_handed(put_one, &store, LIMIT_RUN_NS) : measure(&store, load);
    limit_table_deinit(&store.table, store.actors);
    return limit_report(argc, argv,
        one    ? "durable_one_memory"
        : load ? "activate_load_memory"
        : hot  ? "durable_hot_memory"
               : "durable_turns_memory",
        value, one ? "ns" : "ops/s", 0);
}
