/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The named points at which the town kills itself; see town.h. Those of the runtime come through
 * the env's `mark`, those of the store from a wrapper around it, those inside a transaction of
 * sqlite from its own trace.
 *
 * Threads: any says a point; the counter is atomic. Armed before the node opens.
 */
#include "town.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    const char *point;
    uint32_t nth;
    _Atomic uint32_t count;
} armed; /* of this process, which has one town */

void town_points_arm(const char *point, uint32_t nth)
{
    armed.point = point;
    armed.nth = nth;
    atomic_store(&armed.count, 0);
}

void town_point(const char *name)
{
    if (armed.point == NULL || strcmp(armed.point, name) != 0 ||
        atomic_fetch_add(&armed.count, 1) + 1 < armed.nth)
        return;
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* ---- the runtime's -------------------------------------------------------------------------- */

static void mark(tp_env *env, const char *situation)
{
    (void)env;
    town_point(situation);
}

static void trace(tp_env *env, uint32_t what, uint64_t detail)
{
    (void)env;
    (void)what;
    (void)detail;
}

void town_points_watch(tp_env *env)
{
    env->mark = mark;
    env->trace = trace;
}

/* ---- sqlite's ------------------------------------------------------------------------------- */

static int statement(unsigned kind, void *user, void *prepared, void *more)
{
    (void)user;
    (void)more;
    const char *text = sqlite3_sql(prepared);
    bool commits = text != NULL && strncmp(text, "COMMIT", 6) == 0;
    if (kind == SQLITE_TRACE_STMT)
        town_point(commits ? "sqlite commits" : "sqlite statement");
    else if (commits)
        town_point("sqlite has committed");
    return 0;
}

static int watch(sqlite3 *db, const char **error, const void *api)
{
    (void)error;
    (void)api;
    return sqlite3_trace_v2(db, SQLITE_TRACE_STMT | SQLITE_TRACE_PROFILE, statement, NULL);
}

void town_points_watch_sqlite(void)
{
    sqlite3_auto_extension((void (*)(void))watch);
}

/* ---- any store's ---------------------------------------------------------------------------- */

typedef struct wrapper {
    troupe_store store;
    troupe_store *inner;
} wrapper;

static bool has_commit(troupe_store_op *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ops[i]->kind == TROUPE_STORE_COMMIT)
            return true;
    return false;
}

static void run(troupe_store *store, troupe_store_op *const *ops, size_t count)
{
    wrapper *self = (wrapper *)store;
    bool commits = has_commit(ops, count);
    if (commits)
        town_point("store is called");
    self->inner->run(self->inner, ops, count);
    if (commits)
        town_point("store has answered");
}

static void hurry(troupe_store *store)
{
    wrapper *self = (wrapper *)store;
    if (self->inner->hurry != NULL)
        self->inner->hurry(self->inner);
}

static void close_both(troupe_store *store)
{
    wrapper *self = (wrapper *)store;
    self->inner->close(self->inner);
    free(self);
}

troupe_store *town_points_wrap(troupe_store *inner)
{
    wrapper *self = calloc(1, sizeof *self);
    if (self == NULL)
        _exit(4);
    self->store = *inner;
    self->store.size = sizeof self->store;
    self->store.run = run;
    self->store.hurry = hurry;
    self->store.close = close_both;
    self->inner = inner;
    return &self->store;
}
