/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage provider `redis` when its server dies, stands still, cuts it off, runs out of memory,
 * forgets, or has settings that break a promise. On a real server; nothing waits for time to pass
 * but the provider's own timeout.
 *
 * Threads: the test's one, and one that watches while a run is under way.
 */
#include "redis_server.h"

#include "base/alloc.h"
#include "providers/redis/redis.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { WRITER = 7 };

typedef struct place {
    redis_server redis;
    troupe_store *store;
    char error[1024];
    unsigned lines; /* of log */
} place;

#define SAY(place, ...) \
    assert_true(redis_server_say(&(place)->redis, (const char *const[]){__VA_ARGS__, NULL}))

/* ---- the host ------------------------------------------------------------------------------ */

static uint64_t read_clock(void *context)
{
    struct timespec moment;
    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (uint64_t)moment.tv_sec * TROUPE_SECONDS(1) + (uint64_t)moment.tv_nsec;
}

static void count_line(void *context, int level, const char *event, const char *text)
{
    place *self = context;
    self->lines++;
    fprintf(stderr, "log %d %s: %s\n", level, event, text);
}

/* Opens the store with these parameters; `login` is "" or "user:password@". */
static troupe_status open_as(place *self, const char *login, const char *parameters)
{
    const troupe_store_host host = {.size = sizeof host,
        .allocator = tp_allocator_system(),
        .context = self,
        .now = read_clock,
        .wall = read_clock,
        .log = count_line};
    char url[512];
    snprintf(url, sizeof url, "redis://%s%s?%s", login, self->redis.socket, parameters);
    assert_null(self->store);
    self->error[0] = '\0';
    return tp_redis_open(&host, url, &self->store, self->error, sizeof self->error);
}

static void close_store(place *self)
{
    if (self->store != NULL)
        self->store->close(self->store);
    self->store = NULL;
}

static void expect_refused(place *self, const char *login, const char *parameters, const char *word)
{
    assert_int_equal(open_as(self, login, parameters), TROUPE_USAGE);
    assert_null(self->store);
    if (strstr(self->error, word) == NULL)
        fail_msg("the error does not name %s: %s", word, self->error);
}

/* ---- operations ---------------------------------------------------------------------------- */

static troupe_store_op make(troupe_store_kind kind, const char *key)
{
    return (troupe_store_op){.kind = kind,
        .id = troupe_id_of("user", key),
        .writer = WRITER,
        .allocator = tp_allocator_system()};
}

static troupe_store_op make_commit(const char *key, uint64_t version, const char *state)
{
    troupe_store_op op = make(TROUPE_STORE_COMMIT, key);
    op.version = version;
    op.commit = (troupe_store_commit){.has_state = true, .state = troupe_str(state), .time = 1};
    return op;
}

static troupe_status run_one(place *self, troupe_store_op *op)
{
    op->status = (troupe_status)-1;
    self->store->run(self->store, &op, 1);
    return op->status;
}

static troupe_status commit(place *self, const char *key, uint64_t version, const char *state)
{
    troupe_store_op op = make_commit(key, version, state);
    return run_one(self, &op);
}

static void expect_stored(place *self, const char *key, uint64_t version, const char *state)
{
    troupe_store_op load = make(TROUPE_STORE_LOAD, key);
    assert_int_equal(run_one(self, &load), TROUPE_OK);
    assert_int_equal(load.found, version);
    assert_int_equal(load.items != NULL, state != NULL);
    if (state != NULL)
        assert_true(troupe_slice_equal(load.items->value, troupe_str(state)));
    troupe_store_release(&load);
}

static void open_with_writer(place *self, const char *parameters)
{
    if (open_as(self, "", parameters) != TROUPE_OK)
        fail_msg("%s", self->error);
    troupe_store_op op = make(TROUPE_STORE_OPEN_WRITER, "");
    assert_int_equal(run_one(self, &op), TROUPE_OK);
}

typedef struct attempt {
    place *place;
    troupe_store_op op;
} attempt;

/* The same operation again, as the node does, until it is known what came of it. */
static bool is_known(void *user)
{
    attempt *self = user;
    troupe_status status = run_one(self->place, &self->op);
    return status != TROUPE_UNKNOWN && status != TROUPE_UNAVAILABLE;
}

static void settle(place *self, troupe_store_op *op)
{
    attempt again = {self, *op};
    assert_true(server_await(is_known, &again, 30));
    *op = again.op;
}

/* ---- scenes -------------------------------------------------------------------------------- */

static int setup(void **state)
{
    place *self = calloc(1, sizeof *self);
    *state = self;
    return redis_server_start(&self->redis, NULL) ? 0 : -1;
}

static int teardown(void **state)
{
    place *self = *state;
    close_store(self);
    redis_server_remove(&self->redis);
    free(self);
    return 0;
}

static void what_was_ok_is_there_after_the_server_was_killed(void **state)
{
    place *self = *state;
    open_with_writer(self, "");
    assert_true(self->store->durable);
    assert_int_equal(commit(self, "ada", 0, "one"), TROUPE_OK);
    server_end(&self->redis.server, SIGKILL);
    assert_int_equal(commit(self, "ada", 1, "two"), TROUPE_UNAVAILABLE);
    assert_int_equal(commit(self, "ada", 1, "two"), TROUPE_UNAVAILABLE);
    assert_true(redis_server_start(&self->redis, NULL));
    troupe_store_op op = make_commit("ada", 1, "two");
    settle(self, &op);
    assert_int_equal(op.status, TROUPE_OK);
    expect_stored(self, "ada", 2, "two");
}

static void a_server_that_is_away_is_said_once_and_answered_at_once(void **state)
{
    place *self = *state;
    open_with_writer(self, "timeout=20s");
    server_end(&self->redis.server, SIGKILL);
    uint64_t begin = read_clock(NULL);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(commit(self, "ada", 0, "one"), TROUPE_UNAVAILABLE);
    assert_true(read_clock(NULL) - begin < TROUPE_SECONDS(10));
    assert_in_range(self->lines, 1, 3);
    troupe_store_op health = {.kind = TROUPE_STORE_HEALTH, .allocator = tp_allocator_system()};
    assert_int_equal(run_one(self, &health), TROUPE_UNAVAILABLE);
    assert_non_null(health.items);
    assert_true(health.items->value.size != 0);
    troupe_store_release(&health);
}

static void what_a_stopped_server_may_still_do_is_unknown_until_it_is_sent_again(void **state)
{
    place *self = *state;
    open_with_writer(self, "timeout=200ms");
    assert_int_equal(commit(self, "ada", 0, "one"), TROUPE_OK);
    assert_true(server_pause(&self->redis.server));
    troupe_store_op op = make_commit("ada", 1, "two");
    troupe_store_op load = make(TROUPE_STORE_LOAD, "ada");
    troupe_store_op *group[] = {&op, &load};
    uint64_t begin = read_clock(NULL);
    self->store->run(self->store, group, 2);
    assert_int_equal(op.status, TROUPE_UNKNOWN);
    assert_int_equal(load.status, TROUPE_UNAVAILABLE);
    assert_null(load.items);
    /* It is connected to, but does not answer. */
    assert_int_equal(commit(self, "bob", 0, "one"), TROUPE_UNAVAILABLE);
    assert_true(read_clock(NULL) - begin < TROUPE_SECONDS(10));
    assert_true(server_continue(&self->redis.server));
    settle(self, &op);
    if (op.status == TROUPE_CONFLICT)
        assert_int_equal(op.found, 2); /* it landed late */
    else
        assert_int_equal(op.status, TROUPE_OK);
    expect_stored(self, "ada", 2, "two");
    expect_stored(self, "bob", 0, NULL);
}

static void a_connection_that_was_cut_between_runs_is_made_anew(void **state)
{
    place *self = *state;
    open_with_writer(self, "");
    SAY(self, "CLIENT", "KILL", "TYPE", "normal");
    assert_int_equal(commit(self, "ada", 0, "one"), TROUPE_OK);
    expect_stored(self, "ada", 1, "one");
}

static bool somebody_waits(void *user)
{
    place *self = user;
    char answer[4096];
    return redis_server_ask(&self->redis, (const char *const[]){"CLIENT", "LIST", NULL}, answer,
               sizeof answer) &&
           strstr(answer, "cmd=evalsha") != NULL && strstr(answer, "flags=b") != NULL;
}

/* Cuts the run off once its commit has arrived and waits for the pause to end. */
static void *cut_off(void *user)
{
    place *self = user;
    bool seen = server_await(somebody_waits, self, 30);
    bool cut = redis_server_say(
        &self->redis, (const char *const[]){"CLIENT", "KILL", "TYPE", "normal", NULL});
    return seen && cut ? self : NULL;
}

static void a_commit_that_was_cut_off_is_unknown_and_settled_by_sending_it_again(void **state)
{
    place *self = *state;
    pthread_t thread;
    void *done = NULL;
    open_with_writer(self, "timeout=60s");
    SAY(self, "CLIENT", "PAUSE", "60000", "WRITE");
    assert_int_equal(pthread_create(&thread, NULL, cut_off, self), 0);
    troupe_store_op op = make_commit("ada", 0, "one");
    assert_int_equal(run_one(self, &op), TROUPE_UNKNOWN);
    assert_int_equal(pthread_join(thread, &done), 0);
    assert_ptr_equal(done, self);
    SAY(self, "CLIENT", "UNPAUSE");
    settle(self, &op);
    assert_int_equal(op.status, TROUPE_OK); /* the pause had held it back */
    expect_stored(self, "ada", 1, "one");
}

static void *hurry(void *user)
{
    place *self = user;
    self->store->hurry(self->store);
    return NULL;
}

static void a_node_that_closes_does_not_wait_for_a_stopped_server(void **state)
{
    place *self = *state;
    pthread_t thread;
    open_with_writer(self, "timeout=10m");
    assert_true(server_pause(&self->redis.server));
    assert_int_equal(pthread_create(&thread, NULL, hurry, self), 0);
    assert_int_equal(commit(self, "ada", 0, "one"), TROUPE_UNKNOWN);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void a_server_without_memory_refuses_commits_and_is_still_read(void **state)
{
    place *self = *state;
    open_with_writer(self, "");
    assert_int_equal(commit(self, "ada", 0, "one"), TROUPE_OK);
    SAY(self, "CONFIG", "SET", "maxmemory", "1");
    troupe_store_op full = make_commit("ada", 1, "two");
    const troupe_store_event event = {troupe_str("e"), troupe_str("payload")};
    full.commit.events = &event;
    full.commit.event_count = 1;
    assert_int_equal(run_one(self, &full), TROUPE_UNAVAILABLE);
    assert_int_equal(commit(self, "ada", 1, "two"), TROUPE_UNAVAILABLE);
    expect_stored(self, "ada", 1, "one");
    SAY(self, "CONFIG", "SET", "maxmemory", "0");
    assert_int_equal(run_one(self, &full), TROUPE_OK);
    expect_stored(self, "ada", 2, "two");
}

static void a_group_is_done_in_order_when_its_scripts_were_flushed(void **state)
{
    place *self = *state;
    open_with_writer(self, "");
    assert_int_equal(commit(self, "ada", 0, "one"), TROUPE_OK);
    SAY(self, "SCRIPT", "FLUSH", "SYNC");
    troupe_store_op first = make_commit("ada", 1, "two"), second = make_commit("ada", 2, "three");
    troupe_store_op before = make(TROUPE_STORE_LOAD, "ada"), between = before, after = before;
    troupe_store_op *group[] = {&before, &first, &between, &second, &after};
    self->store->run(self->store, group, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(group[i]->status, TROUPE_OK);
    assert_int_equal(before.found, 1);
    assert_int_equal(between.found, 2);
    assert_int_equal(after.found, 3);
    assert_ptr_equal(between.items, between.last);
    troupe_store_release(&before);
    troupe_store_release(&between);
    troupe_store_release(&after);
}

static void a_server_that_lost_its_data_takes_no_commit_of_a_writer_it_forgot(void **state)
{
    place *self = *state;
    open_with_writer(self, "");
    assert_int_equal(commit(self, "ada", 0, "one"), TROUPE_OK);
    SAY(self, "FLUSHALL");
    assert_int_equal(commit(self, "ada", 1, "two"), TROUPE_CLOSED);
    assert_int_equal(commit(self, "bob", 0, "one"), TROUPE_CLOSED);
}

static void what_is_not_ours_is_corrupt_and_fails_no_neighbour(void **state)
{
    place *self = *state;
    open_with_writer(self, "");
    SAY(self, "HSET", "troupe:m", "user/bad", "text");
    troupe_store_op first = make_commit("ada", 0, "one"), bad = make_commit("bad", 0, "one"),
                    last = make_commit("bob", 0, "one"), load = make(TROUPE_STORE_LOAD, "bad");
    troupe_store_op *group[] = {&first, &bad, &last, &load};
    self->store->run(self->store, group, 4);
    assert_int_equal(first.status, TROUPE_OK);
    assert_int_equal(bad.status, TROUPE_CORRUPT);
    assert_int_equal(last.status, TROUPE_OK);
    assert_int_equal(load.status, TROUPE_CORRUPT);
    expect_stored(self, "bob", 1, "one");
    SAY(self, "SET", "troupe:r:user/bob", "text");
    const troupe_store_row row = {TROUPE_ROW_ONCE, false, troupe_str("key"), troupe_str("value")};
    troupe_store_op rows = make_commit("bob", 1, "two");
    rows.commit.rows = &row;
    rows.commit.row_count = 1;
    assert_int_equal(run_one(self, &rows), TROUPE_CORRUPT);
    expect_stored(self, "bob", 1, "one");
}

/* ---- opening ------------------------------------------------------------------------------- */

static void settings_that_break_the_promise_are_refused_by_name_or_accepted(void **state)
{
    static const char *const settings[][3] = {{"appendonly", "no", "yes"},
        {"appendfsync", "everysec", "always"}, {"no-appendfsync-on-rewrite", "yes", "no"},
        {"maxmemory-policy", "allkeys-lru", "noeviction"}};
    place *self = *state;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        SAY(self, "CONFIG", "SET", settings[i][0], settings[i][1]);
        expect_refused(self, "", "", settings[i][0]);
        assert_non_null(strstr(self->error, "accept=not-P5"));
        assert_int_equal(open_as(self, "", "accept=not-P5"), TROUPE_OK);
        assert_false(self->store->durable);
        assert_non_null(strstr(self->store->promises, "NOT durable"));
        assert_non_null(strstr(self->store->promises, settings[i][0]));
        close_store(self);
        SAY(self, "CONFIG", "SET", settings[i][0], settings[i][2]);
        assert_int_equal(open_as(self, "", ""), TROUPE_OK);
        assert_true(self->store->durable);
        close_store(self);
    }
}

static void a_server_that_comes_back_with_weaker_settings_is_not_used(void **state)
{
    place *self = *state;
    open_with_writer(self, "");
    SAY(self, "CONFIG", "SET", "appendfsync", "everysec");
    SAY(self, "CLIENT", "KILL", "TYPE", "normal");
    assert_int_equal(commit(self, "ada", 0, "one"), TROUPE_UNAVAILABLE);
    SAY(self, "CONFIG", "SET", "appendfsync", "always");
    troupe_store_op op = make_commit("ada", 0, "one");
    settle(self, &op);
    assert_int_equal(op.status, TROUPE_OK);
}

static void settings_that_cannot_be_read_are_not_promised(void **state)
{
    place *self = *state;
    SAY(self, "ACL", "SETUSER", "app", "on", ">secret", "~troupe:*", "+@all", "-config");
    expect_refused(self, "app:secret@", "", "not known");
    assert_int_equal(open_as(self, "app:secret@", "accept=not-P5"), TROUPE_OK);
    assert_false(self->store->durable);
    troupe_store_op op = make(TROUPE_STORE_OPEN_WRITER, "");
    assert_int_equal(run_one(self, &op), TROUPE_OK);
    assert_int_equal(commit(self, "ada", 0, "one"), TROUPE_OK);
}

static void a_wrong_password_is_refused_and_not_shown(void **state)
{
    place *self = *state;
    SAY(self, "CONFIG", "SET", "requirepass", "s%@cret");
    expect_refused(self, "", "", "NOAUTH");
    expect_refused(self, ":mistaken@", "", "AUTH");
    assert_null(strstr(self->error, "mistaken"));
    expect_refused(self, "nobody:s%25%40cret@", "", "AUTH");
    assert_int_equal(open_as(self, ":s%25%40cret@", ""), TROUPE_OK);
}

static void another_format_is_not_misread(void **state)
{
    place *self = *state;
    SAY(self, "SET", "shop:format", "2");
    expect_refused(self, "", "prefix=shop:", "shop:");
    assert_int_equal(open_as(self, "", "prefix=other:"), TROUPE_OK);
}

static void two_prefixes_are_two_stores(void **state)
{
    place *self = *state;
    open_with_writer(self, "prefix=a:");
    assert_int_equal(commit(self, "ada", 0, "one"), TROUPE_OK);
    close_store(self);
    open_with_writer(self, "prefix=b:");
    expect_stored(self, "ada", 0, NULL);
    close_store(self);
    assert_int_equal(open_as(self, "", "prefix=a:"), TROUPE_OK);
    expect_stored(self, "ada", 1, "one");
}

static void nobody_there_is_unavailable(void **state)
{
    place *self = *state;
    server_end(&self->redis.server, SIGKILL);
    assert_int_equal(open_as(self, "", ""), TROUPE_UNAVAILABLE);
    assert_non_null(strstr(self->error, self->redis.socket));
}

static void a_replica_is_refused(void **state)
{
    place *self = *state;
    SAY(self, "REPLICAOF", "127.0.0.1", "1");
    expect_refused(self, "", "", "replica");
}

/* On a port: a cluster needs one. */
static void a_cluster_is_refused_and_one_server_on_a_port_is_not(void **state)
{
    place *self = *state;
    tp_redis_url url;
    char text[64];
    do
        self->redis.port = server_free_port();
    while (self->redis.port > 55535); /* the port of a cluster's bus is 10,000 above */
    snprintf(text, sizeof text, "redis://127.0.0.1:%d/0", self->redis.port);
    assert_int_equal(tp_redis_url_read(text, &url, self->error, sizeof self->error), TROUPE_OK);
    assert_int_equal(url.port, self->redis.port);
    server_end(&self->redis.server, SIGTERM);
    const troupe_store_host host = {.size = sizeof host,
        .allocator = tp_allocator_system(),
        .context = self,
        .now = read_clock,
        .wall = read_clock,
        .log = count_line};
    assert_true(redis_server_start(&self->redis, NULL));
    assert_int_equal(
        tp_redis_open(&host, text, &self->store, self->error, sizeof self->error), TROUPE_OK);
    close_store(self);
    server_end(&self->redis.server, SIGTERM);
    redis_server_remove(&self->redis); /* its data are none of a cluster */
    assert_true(
        redis_server_start(&self->redis, (const char *const[]){"--cluster-enabled", "yes", NULL}));
    expect_refused(self, "", "", "Cluster");
}

static void urls_are_read_or_refused_with_the_reason(void **state)
{
    static const struct {
        const char *text, *reason;
    } bad[] = {{"rediss://host/0", "TLS"}, {"redis://host:port", "port"},
        {"redis://host/name", "database"}, {"redis://host?colour=red", "parameters"},
        {"redis://host?timeout=fast", "timeout"}, {"redis://host?accept=all", "accept"},
        {"redis:host", "begins"}, {"redis://[::1", "]"}, {"postgres://host", "begins"}};
    tp_redis_url url;
    char error[256];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(tp_redis_url_read(bad[i].text, &url, error, sizeof error), TROUPE_USAGE);
        if (strstr(error, bad[i].reason) == NULL)
            fail_msg("%s: %s", bad[i].text, error);
    }
    assert_int_equal(tp_redis_url_read("redis://ada:a%40b:${x}@[::1]:7000/3?prefix=s:&timeout=1m",
                         &url, error, sizeof error),
        TROUPE_OK);
    assert_string_equal(url.user, "ada");
    assert_string_equal(url.password, "a@b:${x}");
    assert_string_equal(url.host, "::1");
    assert_int_equal(url.port, 7000);
    assert_int_equal(url.database, 3);
    assert_string_equal(url.prefix, "s:");
    assert_int_equal(url.timeout, TROUPE_SECONDS(60));
    assert_null(strstr(url.shown, "a@b"));
    assert_int_equal(
        tp_redis_url_read("redis:///run/a.sock?db=2", &url, error, sizeof error), TROUPE_OK);
    assert_true(url.is_path);
    assert_string_equal(url.host, "/run/a.sock");
    assert_int_equal(url.database, 2);
}

/* The URL's own timeout is longer. */
static void a_server_that_never_answers_ends_the_opening_in_time(void **state)
{
    place *self = *state;
    int port, listener = server_listen_mute(&port);
    assert_true(listener >= 0);
    uint64_t began = read_clock(NULL);
    const troupe_store_host host = {.size = sizeof host,
        .allocator = tp_allocator_system(),
        .context = self,
        .now = read_clock,
        .wall = read_clock,
        .log = count_line,
        .open_until = began + TROUPE_MILLISECONDS(100)};
    char url[128];
    snprintf(url, sizeof url, "redis://:secret@127.0.0.1:%d?timeout=30s", port);
    assert_int_equal(tp_redis_open(&host, url, &self->store, self->error, sizeof self->error),
        TROUPE_UNAVAILABLE);
    assert_true(read_clock(NULL) - began < TROUPE_SECONDS(20));
    assert_non_null(strstr(self->error, "127.0.0.1"));
    assert_null(strstr(self->error, "secret"));
    close(listener);
}

/* More arguments than a server of any version takes: it is refused here, and harms no other. */
/* How often the server has run that command. */
static unsigned calls_of(place *self, const char *command)
{
    char said[8192] = "", name[64];
    assert_true(redis_server_ask(
        &self->redis, (const char *const[]){"INFO", "commandstats", NULL}, said, sizeof said));
    snprintf(name, sizeof name, "cmdstat_%s:calls=", command);
    const char *at = strstr(said, name);
    return at != NULL ? (unsigned)strtoul(at + strlen(name), NULL, 10) : 0;
}

/* As of actors that make room for each other. */
static void loads_and_commits_that_come_in_turn_are_two_commands(void **state)
{
    enum { PAIRS = 40 };
    place *self = *state;
    char names[2][PAIRS][8];
    troupe_store_op loads[PAIRS], commits[PAIRS], *group[2 * PAIRS + 2];
    open_with_writer(self, "");
    for (unsigned i = 0; i < PAIRS; i++) {
        snprintf(names[0][i], sizeof names[0][i], "old%u", i);
        snprintf(names[1][i], sizeof names[1][i], "new%u", i);
        assert_int_equal(commit(self, names[0][i], 0, "one"), TROUPE_OK);
        loads[i] = make(TROUPE_STORE_LOAD, names[0][i]);
        commits[i] = make_commit(names[1][i], 0, "two");
        group[2 * i + 1] = &loads[i];
        group[2 * i + 2] = &commits[i];
    }
    /* These two see what of their actor is before them, and no more. */
    troupe_store_op before = make(TROUPE_STORE_LOAD, "new7"), after = before;
    group[0] = &before;
    group[2 * PAIRS + 1] = &after;
    SAY(self, "CONFIG", "RESETSTAT");
    self->store->run(self->store, group, 2 * PAIRS + 2);
    for (unsigned i = 0; i < PAIRS; i++) {
        assert_int_equal(loads[i].status, TROUPE_OK);
        assert_int_equal(loads[i].found, 1);
        assert_int_equal(commits[i].status, TROUPE_OK);
        troupe_store_release(&loads[i]);
        expect_stored(self, names[1][i], 1, "two");
    }
    assert_int_equal(before.found, 0);
    assert_int_equal(after.found, 1);
    troupe_store_release(&before);
    troupe_store_release(&after);
    assert_int_equal(calls_of(self, "evalsha"), 3);
    assert_int_equal(calls_of(self, "multi"), 1 + PAIRS); /* of the test's looks one each */
}

static void a_commit_of_more_rows_than_a_command_has_arguments_is_too_large(void **state)
{
    enum { ROWS = 530000 };
    place *self = *state;
    open_with_writer(self, "");
    troupe_store_row *rows = calloc(ROWS, sizeof *rows);
    assert_non_null(rows);
    for (size_t i = 0; i < ROWS; i++)
        rows[i] =
            (troupe_store_row){.kind = TROUPE_ROW_ONCE, .key = {&rows[i], 8}, .value = {NULL, 0}};
    troupe_store_op op = make_commit("wide", 0, "x");
    op.commit.rows = rows;
    op.commit.row_count = ROWS;
    assert_int_equal(run_one(self, &op), TROUPE_TOO_LARGE);
    free(rows);
    assert_int_equal(commit(self, "wide", 0, "y"), TROUPE_OK);
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(what_was_ok_is_there_after_the_server_was_killed),
        SCENE(a_server_that_is_away_is_said_once_and_answered_at_once),
        SCENE(what_a_stopped_server_may_still_do_is_unknown_until_it_is_sent_again),
        SCENE(a_connection_that_was_cut_between_runs_is_made_anew),
        SCENE(a_commit_that_was_cut_off_is_unknown_and_settled_by_sending_it_again),
        SCENE(a_node_that_closes_does_not_wait_for_a_stopped_server),
        SCENE(a_server_without_memory_refuses_commits_and_is_still_read),
        SCENE(a_group_is_done_in_order_when_its_scripts_were_flushed),
        SCENE(loads_and_commits_that_come_in_turn_are_two_commands),
        SCENE(a_server_that_lost_its_data_takes_no_commit_of_a_writer_it_forgot),
        SCENE(what_is_not_ours_is_corrupt_and_fails_no_neighbour),
        SCENE(settings_that_break_the_promise_are_refused_by_name_or_accepted),
        SCENE(a_server_that_comes_back_with_weaker_settings_is_not_used),
        SCENE(settings_that_cannot_be_read_are_not_promised),
        SCENE(a_wrong_password_is_refused_and_not_shown),
        SCENE(another_format_is_not_misread),
        SCENE(two_prefixes_are_two_stores),
        SCENE(nobody_there_is_unavailable),
        SCENE(a_server_that_never_answers_ends_the_opening_in_time),
        SCENE(a_commit_of_more_rows_than_a_command_has_arguments_is_too_large),
        SCENE(a_replica_is_refused),
        SCENE(a_cluster_is_refused_and_one_server_on_a_port_is_not),
        cmocka_unit_test(urls_are_read_or_refused_with_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
