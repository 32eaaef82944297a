/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a run stores: a file, a redis-server of its own, a schema of the PostgreSQL server that
 * main has started, or memory. All lie below TMPDIR, which is to be on a disk.
 *
 * Threads: the body's.
 */
#include "state.h"

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const tp_state_names[TP_STATE_KINDS] = {"memory", "sqlite", "redis", "postgres"};

/* With the settings of the limit's server: a file that is rewritten meanwhile is another figure. */
static bool open_redis(tp_bench *bench, tp_state_place *place)
{
    const char *const options[] = {"--auto-aof-rewrite-percentage", "0", NULL};
    if (!redis_server_start(&place->redis, options)) {
        tp_bench_fail(bench, "redis-server does not start");
        return false;
    }
    snprintf(place->url, sizeof place->url, "redis://%s?timeout=20s", place->redis.socket);
    return true;
}

static bool open_postgres(tp_bench *bench, tp_state_place *place)
{
    const char *url = getenv(TP_STATE_POSTGRES_URL);
    if (url == NULL) {
        tp_bench_fail(bench, "no PostgreSQL server was started");
        return false;
    }
    snprintf(place->url, sizeof place->url, "%s%cschema=bench_%ld", url,
        strchr(url, '?') != NULL ? '&' : '?', (long)getpid());
    return true;
}

bool tp_state_open(tp_bench *bench, tp_state_place *place)
{
    bool opened = true;
    *place = (tp_state_place){.kind = (tp_state_kind)tp_bench_param(bench, "store", 0)};
    switch (place->kind) {
    case TP_STATE_SQLITE:
        opened = server_make_folder(&place->files, "bench");
        snprintf(place->url, sizeof place->url, "sqlite:%s/state.db", place->files.folder);
        if (!opened)
            tp_bench_fail(bench, "no folder below TMPDIR");
        break;
    case TP_STATE_REDIS:
        opened = open_redis(bench, place);
        break;
    case TP_STATE_POSTGRES:
        opened = open_postgres(bench, place);
        break;
    default:
        snprintf(place->url, sizeof place->url, "memory:");
    }
    if (opened)
        place->before = tp_state_stored(place);
    return opened;
}

void tp_state_close(tp_state_place *place)
{
    if (place->kind == TP_STATE_REDIS)
        redis_server_remove(&place->redis);
    server_remove_folder(&place->files);
}

static uint64_t redis_memory(tp_state_place *place)
{
    char answer[8192];
    const char *const words[] = {"INFO", "memory", NULL};
    if (!redis_server_ask(&place->redis, words, answer, sizeof answer))
        return 0;
    const char *line = strstr(answer, "used_memory:");
    return line != NULL ? strtoull(line + strlen("used_memory:"), NULL, 10) : 0;
}

static uint64_t file_bytes; /* nftw passes nothing through */

static int add_file(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)path;
    (void)at;
    if (kind == FTW_F)
        file_bytes += (uint64_t)info->st_size;
    return 0;
}

static uint64_t folder_bytes(const char *folder)
{
    file_bytes = 0;
    return nftw(folder, add_file, 16, FTW_PHYS) == 0 ? file_bytes : 0;
}

uint64_t tp_state_stored(tp_state_place *place)
{
    char path[SERVER_PATH + 16];
    uint64_t now = 0;
    const char *folder = getenv(TP_STATE_POSTGRES_FOLDER);
    if (place->kind == TP_STATE_SQLITE)
        now = folder_bytes(place->files.folder);
    else if (place->kind == TP_STATE_REDIS)
        now = redis_memory(place);
    else if (place->kind == TP_STATE_POSTGRES && folder != NULL) {
        snprintf(path, sizeof path, "%.200s/data/base", folder);
        now = folder_bytes(path); /* without the log */
    }
    return now > place->before ? now - place->before : 0;
}
