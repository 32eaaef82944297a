/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage provider `redis`: a group of operations goes out as one pipeline of commands, and the
 * replies end them. One connection; when it breaks, it is made anew by the next run, with back-off.
 * For one Redis server; not for Redis Cluster, and a fail-over to a replica is not covered, for
 * Redis acknowledges before a replica has it. Called by the node through the storage port.
 *
 * Invariants
 * 1. What was not handed to the socket whole was not done: UNAVAILABLE. What was, and got no reply,
 *    may have been done or may yet be (a stopped server reads on when it continues): UNKNOWN. Reads
 *    change nothing and end UNAVAILABLE.
 * 2. A reply counts only for the connection that its command went out on: after any failure the
 *    connection is closed.
 * 3. A server that comes back with settings that break an unrenounced promise, or as a replica, is
 *    not used. One that comes back without its data has no open writer: commits end CLOSED.
 * 4. `run` ends when for `timeout` nothing moved, or when the node hurries; while the server is
 * away it ends at once, between attempts.
 *
 * Threads: run, open and close as the port says; hurry from any: it rings the bell, which is never
 * silenced, and touches nothing else.
 */
#include "providers/redis/redis.h"

#include "store/kind.h"

#include <troupe/log.h>

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    GROUP = 1024,
    FLUSH = 16 << 10, /* bytes that gather before they go out: the server works meanwhile */
    KEEP = 4 << 20,   /* a larger buffer is given back after the run */
};

#define FIRST_BACK_OFF TROUPE_MILLISECONDS(20)
#define LAST_BACK_OFF  TROUPE_SECONDS(1)
#define LOG_EVERY      TROUPE_SECONDS(5)

/* What is said in the log, each at most once in LOG_EVERY. */
typedef enum trouble { LOST, UNREACHABLE, REFUSED, CORRUPT, TROUBLES } trouble;

typedef struct redis_store {
    troupe_store store; /* first */
    troupe_store_host host;
    tp_redis_url url;
    tp_redis_names names;
    tp_redis_link link;
    tp_redis_buffer buffer;
    tp_redis_promises promises;
    uint64_t next_try; /* no connecting before; host.now */
    uint64_t back_off;
    struct {
        uint64_t next;   /* no line before */
        uint64_t silent; /* lines left out since the last */
    } lines[TROUBLES];
    bool was_down;
    size_t part_count;
    tp_redis_part parts[GROUP];
    tp_redis_written written;      /* by the group */
    troupe_store_op *order[GROUP]; /* in which the group goes out */
    troupe_store_op *again[GROUP]; /* what is sent a second time, after NOSCRIPT */
    size_t again_count;
    troupe_store_op
        *rest[GROUP]; /* loads that the script does: of actors that have rows, for one */
    size_t rest_count;
} redis_store;

static uint64_t now(const redis_store *self)
{
    return self->host.now(self->host.context);
}

static void say(redis_store *self, int level, const char *event, const char *text)
{
    if (self->host.log != NULL)
        self->host.log(self->host.context, level, event, text);
}

static void complain(redis_store *self, trouble what, const char *text)
{
    static const char *const events[TROUBLES] = {
        "store_lost", "store_unreachable", "store_refused", "store_corrupt"};
    char line[TP_REDIS_TEXT * 7];
    uint64_t moment = now(self);
    if (moment < self->lines[what].next) {
        self->lines[what].silent++;
        return;
    }
    size_t size = (size_t)snprintf(line, sizeof line, "%s: %s", self->url.shown, text);
    if (self->lines[what].silent != 0 && size < sizeof line)
        snprintf(line + size, sizeof line - size, " (%llu more such lines)",
            (unsigned long long)self->lines[what].silent);
    self->lines[what].silent = 0;
    self->lines[what].next = moment + LOG_EVERY;
    say(self, TROUPE_LOG_WARN, events[what], line);
}

/* ---- the connection ------------------------------------------------------------------------ */

static troupe_status load_scripts(redis_store *self)
{
    for (int i = 0; i < TP_REDIS_SCRIPTS; i++) {
        redisReply *reply = tp_redis_link_ask(&self->link, 3,
            (const char *const[]){"SCRIPT", "LOAD", tp_redis_script_text((tp_redis_script)i)});
        if (reply == NULL)
            return TROUPE_UNAVAILABLE;
        bool good = reply->type == REDIS_REPLY_STRING && reply->len == TP_REDIS_SHA;
        if (good)
            memcpy(self->names.sha[i], reply->str, TP_REDIS_SHA);
        else
            snprintf(self->link.error, sizeof self->link.error, "SCRIPT LOAD is refused: %s",
                reply->type == REDIS_REPLY_ERROR ? reply->str : "it gives no name");
        tp_redis_link_release(&self->link, reply);
        if (!good)
            return TROUPE_USAGE;
    }
    return TROUPE_OK;
}

static troupe_status connect_store(redis_store *self, tp_redis_promises *ret_promises)
{
    troupe_status status = tp_redis_link_open(&self->link);
    if (status == TROUPE_OK)
        status = tp_redis_promises_read(&self->link, ret_promises);
    if (status == TROUPE_OK)
        status = load_scripts(self);
    if (status != TROUPE_OK)
        tp_redis_link_close(&self->link);
    return status;
}

static void lose(redis_store *self)
{
    complain(self, LOST, self->link.error);
    tp_redis_link_close(&self->link);
    self->was_down = true;
}

/* Connected, or not to be had now. */
static bool make_ready(redis_store *self)
{
    if (tp_redis_link_alive(&self->link))
        return true;
    if (self->link.redis != NULL) {
        snprintf(self->link.error, sizeof self->link.error, "the server closed the connection");
        lose(self);
    }
    if (now(self) < self->next_try)
        return false;
    tp_redis_promises found = {0};
    troupe_status status = connect_store(self, &found);
    if (status == TROUPE_OK && self->promises.durable && !found.durable) {
        snprintf(self->link.error, sizeof self->link.error,
            "its settings keep less than when it was opened; set them back, or restart the node");
        tp_redis_link_close(&self->link);
        status = TROUPE_USAGE;
    }
    if (status != TROUPE_OK) {
        complain(self, UNREACHABLE, self->link.error);
        self->next_try = now(self) + self->back_off;
        self->back_off = self->back_off * 2 < LAST_BACK_OFF ? self->back_off * 2 : LAST_BACK_OFF;
        self->was_down = true;
        return false;
    }
    self->back_off = FIRST_BACK_OFF;
    self->next_try = 0;
    if (self->was_down)
        say(self, TROUPE_LOG_INFO, "store_back", self->url.shown);
    self->was_down = false;
    return true;
}

/* ---- a group ------------------------------------------------------------------------------- */

static void end_all(troupe_store_op *const *ops, size_t count, troupe_status status)
{
    for (size_t i = 0; i < count; i++)
        ops[i]->status = status;
}

/* Errors by which Redis says that it did nothing. It judges memory, disk and role at the first
 * write of a script, and ours read before they write. Redis 6 wraps what a script's command
 * answered. */
static bool did_nothing(const char *error)
{
    static const char *const words[] = {"NOSCRIPT ", "OOM ", "LOADING ", "BUSY ", "READONLY ",
        "MISCONF ", "MASTERDOWN ", "NOREPLICAS ", "NOAUTH ", "NOPERM ", "WRONGPASS ",
        "max number of clients"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strstr(error, words[i]) != NULL)
            return true;
    return false;
}

static void end_refused(
    redis_store *self, troupe_store_op *const *ops, size_t count, const char *error)
{
    if (strstr(error, "WRONGTYPE ") != NULL) {
        complain(self, CORRUPT, "a key under our prefix is of another type: who wrote it?");
        end_all(ops, count, TROUPE_CORRUPT);
        return;
    }
    complain(self, REFUSED, error);
    bool unknown = tp_store_changes(ops[0]) && !did_nothing(error);
    end_all(ops, count, unknown ? TROUPE_UNKNOWN : TROUPE_UNAVAILABLE);
}

/* Puts all commands out. Ends those operations that cannot be sent. False: the link broke. */
static bool send_group(redis_store *self, const tp_redis_written *written,
    troupe_store_op *const *ops, size_t count, size_t *ret_sent)
{
    size_t gone = 0; /* bytes of the pipeline that have left the buffer */
    self->part_count = 0;
    self->buffer.size = 0;
    for (size_t at = 0; at < count;) {
        tp_redis_part *part = &self->parts[self->part_count];
        troupe_status status =
            tp_redis_encode(&self->buffer, &self->names, written, ops + at, count - at, part);
        part->first = at;
        part->end = gone + self->buffer.size;
        if (status == TROUPE_OK)
            self->part_count++;
        else
            end_all(ops + at, part->count, status);
        at += part->count;
        if (self->buffer.size < FLUSH && at < count)
            continue;
        if (!tp_redis_link_send(&self->link, self->buffer.data, self->buffer.size, ret_sent))
            return false;
        gone += self->buffer.size;
        self->buffer.size = 0;
    }
    return true;
}

/* After the first NOSCRIPT (somebody called SCRIPT FLUSH) what follows is done again, in order, but
 * for what was changed already. */
static void keep_for_again(redis_store *self, troupe_store_op *const *ops, const tp_redis_part *one)
{
    for (size_t i = 0; i < one->count; i++) {
        troupe_store_release(ops[one->first + i]);
        self->again[self->again_count++] = ops[one->first + i];
    }
}

/* A transaction that is refused, as in a server without memory, leaves the word to the script. */
static void take_plain(
    redis_store *self, troupe_store_op *const *ops, size_t count, const redisReply *reply)
{
    const char *error = tp_redis_decode_plain(ops, count, reply, self->rest, &self->rest_count);
    for (size_t i = 0; error != NULL && i < count; i++)
        self->rest[self->rest_count++] = ops[i];
}

/* Ends the operations of one command. */
static void take_reply(redis_store *self, troupe_store_op *const *ops, const tp_redis_part *one,
    const redisReply *reply)
{
    if (one->plain) {
        take_plain(self, ops + one->first, one->count, reply);
        return;
    }
    bool refused = reply->type == REDIS_REPLY_ERROR;
    bool no_script = refused && strncmp(reply->str, "NOSCRIPT", 8) == 0;
    if (no_script || (self->again_count > 0 && !tp_store_changes(ops[one->first])))
        keep_for_again(self, ops, one);
    else if (refused)
        end_refused(self, ops + one->first, one->count, reply->str);
    else
        tp_redis_decode(ops + one->first, one->count, reply);
}

/* Those without a reply. `sent`: bytes of the pipeline that went out. */
static void end_lost(redis_store *self, troupe_store_op *const *ops, size_t from, size_t sent)
{
    for (size_t i = from; i < self->part_count; i++) {
        const tp_redis_part *one = &self->parts[i];
        bool unknown = one->end <= sent && tp_store_changes(ops[one->first]);
        end_all(ops + one->first, one->count, unknown ? TROUPE_UNKNOWN : TROUPE_UNAVAILABLE);
    }
}

/* The reply of one command: of a transaction the last one. NULL: the link broke. */
static redisReply *receive(redis_store *self, const tp_redis_part *one)
{
    redisReply *reply = tp_redis_link_receive(&self->link);
    for (int i = 1; one->plain && reply != NULL && i < TP_REDIS_PLAIN_REPLIES; i++) {
        tp_redis_link_release(&self->link, reply);
        reply = tp_redis_link_receive(&self->link);
    }
    return reply;
}

/* `written`: NULL: everything goes by scripts. */
static void run_once(
    redis_store *self, const tp_redis_written *written, troupe_store_op *const *ops, size_t count)
{
    size_t sent = 0, at = 0;
    self->again_count = 0;
    tp_redis_link_renew(&self->link);
    bool whole = send_group(self, written, ops, count, &sent);
    while (whole && at < self->part_count) {
        redisReply *reply = receive(self, &self->parts[at]);
        if (reply == NULL)
            break;
        take_reply(self, ops, &self->parts[at++], reply);
        tp_redis_link_release(&self->link, reply);
    }
    if (whole && at == self->part_count)
        return;
    end_lost(self, ops, at, sent);
    lose(self);
}

/* Once more what met no script: twice in a row would need a flush in between again, and ends
 * UNAVAILABLE. */
static void run_again(redis_store *self)
{
    troupe_store_op *again[GROUP];
    size_t count = self->again_count;
    memcpy(again, self->again, count * sizeof again[0]);
    end_all(again, count, TROUPE_UNAVAILABLE);
    tp_redis_link_renew(&self->link);
    if (load_scripts(self) == TROUPE_OK)
        run_once(self, NULL, again, count);
    else
        lose(self);
}

static void run_scripts(
    redis_store *self, const tp_redis_written *written, troupe_store_op *const *ops, size_t count)
{
    run_once(self, written, ops, count);
    if (self->again_count != 0 && self->link.redis != NULL)
        run_again(self);
}

/* Commits and loads that come in turn, as when actors make room for each other, would be a command
 * each. Loads that see none of the commits around them go ahead of those; nothing goes past an
 * operation of another kind, which may close a writer. */
static void put_in_order(redis_store *self, troupe_store_op *const *ops, size_t count)
{
    size_t out = 0, at = 0;
    while (at < count) {
        size_t end = at;
        while (end < count &&
               (ops[end]->kind == TROUPE_STORE_LOAD || ops[end]->kind == TROUPE_STORE_COMMIT))
            end++;
        for (size_t i = at; i < end; i++)
            if (tp_redis_is_plain_load(&self->written, ops[i]))
                self->order[out++] = ops[i];
        for (size_t i = at; i < end; i++)
            if (!tp_redis_is_plain_load(&self->written, ops[i]))
                self->order[out++] = ops[i];
        if (end == at)
            self->order[out++] = ops[end++];
        at = end;
    }
}

static void run_group(redis_store *self, troupe_store_op *const *ops, size_t count)
{
    end_all(ops, count, TROUPE_UNAVAILABLE);
    if (!make_ready(self))
        return;
    self->rest_count = 0;
    tp_redis_written_by(&self->written, ops, count);
    put_in_order(self, ops, count);
    run_scripts(self, &self->written, self->order, count);
    if (self->rest_count != 0 && self->link.redis != NULL)
        run_scripts(self, NULL, self->rest, self->rest_count);
}

/* Who asks how it fares while it is away hears why. */
static void explain(const redis_store *self, troupe_store_op *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ops[i]->kind == TROUPE_STORE_HEALTH && ops[i]->status == TROUPE_UNAVAILABLE &&
            ops[i]->items == NULL)
            (void)!troupe_store_add(
                ops[i], &(troupe_store_item){.value = troupe_str(self->link.error)});
}

static void run(troupe_store *store, troupe_store_op *const *ops, size_t count)
{
    redis_store *self = (redis_store *)store;
    for (size_t at = 0; at < count; at += GROUP)
        run_group(self, ops + at, count - at < GROUP ? count - at : GROUP);
    explain(self, ops, count);
    if (self->buffer.room > KEEP)
        tp_redis_buffer_deinit(&self->buffer);
}

/* ---- opening and closing ------------------------------------------------------------------- */

static void hurry(troupe_store *store)
{
    redis_store *self = (redis_store *)store;
    uint64_t one = 1;
    ssize_t size = write(self->link.bell, &one, sizeof one);
    (void)size; /* an eventfd takes it, or is readable already */
}

static void close_store(troupe_store *store)
{
    redis_store *self = (redis_store *)store;
    const troupe_allocator *allocator = self->host.allocator;
    tp_redis_link_deinit(&self->link);
    tp_redis_buffer_deinit(&self->buffer);
    if (self->link.bell >= 0)
        close(self->link.bell);
    memset(self->url.password, 0, sizeof self->url.password);
    allocator->release(allocator->context, self, sizeof *self);
}

/* The mark of the layout, so that another one is not misread. */
static troupe_status claim(redis_store *self)
{
    char key[TP_REDIS_PREFIX + 16];
    snprintf(key, sizeof key, "%sformat", self->url.prefix);
    redisReply *reply = tp_redis_link_ask(&self->link, 3, (const char *const[]){"SETNX", key, "1"});
    if (reply != NULL && reply->type != REDIS_REPLY_ERROR) {
        tp_redis_link_release(&self->link, reply);
        reply = tp_redis_link_ask(&self->link, 2, (const char *const[]){"GET", key});
    }
    if (reply == NULL)
        return TROUPE_UNAVAILABLE;
    troupe_status status = TROUPE_OK;
    if (reply->type == REDIS_REPLY_ERROR) {
        snprintf(
            self->link.error, sizeof self->link.error, "%s cannot be written: %s", key, reply->str);
        status = strstr(reply->str, "NOPERM") != NULL ? TROUPE_USAGE : TROUPE_UNAVAILABLE;
    } else if (reply->type != REDIS_REPLY_STRING || strcmp(reply->str, "1") != 0) {
        snprintf(self->link.error, sizeof self->link.error,
            "what lies under %s was written in another format than this version's, 1: take another "
            "prefix, or that version",
            self->url.prefix);
        status = TROUPE_USAGE;
    }
    tp_redis_link_release(&self->link, reply);
    return status;
}

static void init_store(redis_store *self, const troupe_store_host *host, const tp_redis_url *url)
{
    self->host = *host;
    self->url = *url;
    self->names.prefix = troupe_str(self->url.prefix);
    self->link.host = &self->host;
    self->link.url = &self->url;
    self->buffer.allocator = host->allocator;
    self->back_off = FIRST_BACK_OFF;
    self->store = (troupe_store){.size = sizeof self->store,
        .group = GROUP,
        .run = run,
        .hurry = hurry,
        .close = close_store};
    self->link.bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

troupe_status tp_redis_open(const troupe_store_host *host, const char *text,
    troupe_store **ret_store, char *error, size_t error_size)
{
    tp_redis_url url;
    troupe_status status = tp_redis_url_read(text, &url, error, error_size);
    if (status != TROUPE_OK)
        return status;
    redis_store *self = host->allocator->allocate(host->allocator->context, sizeof *self);
    if (self == NULL) {
        snprintf(error, error_size, "no memory for the Redis store");
        return TROUPE_NO_MEMORY;
    }
    memset(self, 0, sizeof *self);
    init_store(self, host, &url);
    if (self->link.bell < 0) {
        snprintf(error, error_size, "no file is left for the Redis store");
        status = TROUPE_UNAVAILABLE;
    } else {
        status = connect_store(self, &self->promises);
        if (status == TROUPE_OK)
            status = claim(self);
        if (status != TROUPE_OK)
            snprintf(error, error_size, "%s: %s", url.shown, self->link.error);
    }
    if (status != TROUPE_OK) {
        close_store(&self->store);
        return status;
    }
    self->host.open_until = 0;
    self->store.promises = self->promises.text;
    self->store.durable = self->promises.durable;
    *ret_store = &self->store;
    return TROUPE_OK;
}
