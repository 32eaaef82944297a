/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the bodies of group state share: the place where a provider keeps what it stores, made for
 * one run and removed after it. The bodies are written against <troupe.h>, as a user would write
 * them. Included by bench/state.
 *
 * Invariants
 *   1. Durability is that of the raw limit: synchronous FULL, appendfsync always, PostgreSQL's own
 * settings (fsync, synchronous_commit and full_page_writes on, asked for by the limit).
 *   2. A place holds nothing when it is opened, and a server is stopped by its number.
 * Threads: one calls the body; shards run the actors.
 */
#ifndef TP_BENCH_STATE_H
#define TP_BENCH_STATE_H

#include "core/core.h"
#include "tests/store/postgres_server.h"
#include "tests/store/redis_server.h"

enum { TP_STATE_BYTES = 200 };

typedef enum tp_state_kind {
    TP_STATE_MEMORY,
    TP_STATE_SQLITE,
    TP_STATE_REDIS,
    TP_STATE_POSTGRES,
    TP_STATE_KINDS,
} tp_state_kind;

extern const char *const tp_state_names[TP_STATE_KINDS];

/* Of main: the libpq URL of the PostgreSQL server that all runs share, and the folder of its data,
 * which may be missing. */
#define TP_STATE_POSTGRES_URL    "TROUPE_POSTGRES"
#define TP_STATE_POSTGRES_FOLDER "TROUPE_BENCH_POSTGRES_FOLDER"

typedef struct tp_state_place {
    tp_state_kind kind;
    test_server files; /* of sqlite: its folder alone */
    redis_server redis;
    uint64_t before; /* bytes stored when it was empty */
    char url[600];
} tp_state_place;

/* The provider of the case's parameter `store`. False after tp_bench_fail. */
bool tp_state_open(tp_bench *bench, tp_state_place *place);
void tp_state_close(tp_state_place *place);
/* What it has stored since; 0: nobody knows. */
uint64_t tp_state_stored(tp_state_place *place);

tp_bench_body tp_state_turns, tp_state_one, tp_state_hot, tp_state_load;
tp_bench_body tp_state_once, tp_state_plain, tp_state_outbox, tp_state_start;

/* The process that row start_sqlite starts. */
int tp_state_start_child(const char *url);

#endif
