/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The membership provider `redis`: the view and the lease registers of a cluster in two hashes of
 * one server. It shares the URL, the connection and the judgement of the server's settings with the
 * storage provider of this folder, and nothing else.
 *
 *   PREFIXmember:CLUSTER:v   hash   n -> number, t -> text
 *   PREFIXmember:CLUSTER:r   hash   incarnation -> count, or count and `!`: revoked at it
 *
 * Numbers are compared as text: Lua's are doubles. A register that is not there reads as 0.
 *
 * Invariants
 * 1. A change is one script. It is UNKNOWN if the whole command went out and no answer came; with a
 *    piece of it missing Redis never runs it, for the connection is closed: UNAVAILABLE.
 * 2. `run` is made of the server's run_id, read when a connection begins: a server that starts anew
 *    ends its connections.
 * 3. The fail-over of Redis to a replica is not covered: what it called done may be gone.
 *
 * Threads: a handle's own; hurry any.
 */
#include "providers/redis/redis.h"

#include <troupe/membership.h>

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { KEY_MAX = TP_REDIS_PREFIX + 160, NUMBER = 24 };
#define POLL_EVERY  100 /* ms, of watching */
#define MILLISECOND UINT64_C(1000000)

typedef struct redis_members {
    troupe_membership port;
    troupe_store_host host;
    tp_redis_url url;
    tp_redis_link link;
    tp_redis_buffer buffer;
    tp_redis_promises promises;
    char views[KEY_MAX], registers[KEY_MAX];
    uint64_t run;
} redis_members;

static const char cas_script[] =
    "local c = redis.call\n"
    "if (c('HGET', KEYS[1], 'n') or '0') ~= ARGV[1] then return 0 end\n"
    "c('HSET', KEYS[1], 'n', ARGV[2], 't', ARGV[3])\n"
    "local kept = {}\n"
    "for i = 4, #ARGV do kept[ARGV[i]] = true end\n"
    "for _, k in ipairs(c('HKEYS', KEYS[2])) do\n"
    "  if not kept[k] then c('HDEL', KEYS[2], k) end\n"
    "end\n"
    "return 1";

static const char change_script[] =
    "if (redis.call('HGET', KEYS[1], ARGV[1]) or '0') ~= ARGV[2] then return 0 end\n"
    "redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])\n"
    "return 1";

static redis_members *members_of(troupe_membership *port)
{
    return (redis_members *)(void *)port;
}

static void note(redis_members *self, const char *text)
{
    (void)snprintf(
        self->port.error, sizeof self->port.error, "redis %.100s: %.130s", self->url.shown, text);
}

/* ---- commands -------------------------------------------------------------------------------- */

static uint64_t hash_of(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (; *text > ' '; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash != 0 ? hash : 1;
}

static troupe_status read_run(redis_members *self)
{
    redisReply *info = tp_redis_link_ask(&self->link, 2, (const char *const[]){"INFO", "server"});
    const char *at =
        info != NULL && info->type == REDIS_REPLY_STRING ? strstr(info->str, "run_id:") : NULL;
    if (at != NULL)
        self->run = hash_of(at + strlen("run_id:"));
    else
        (void)snprintf(self->link.error, sizeof self->link.error, "INFO names no run_id");
    tp_redis_link_release(&self->link, info);
    return at != NULL ? TROUPE_OK : TROUPE_UNAVAILABLE;
}

/* A connection that is there, within `timeout`. */
static troupe_status make_ready(redis_members *self, uint64_t timeout)
{
    troupe_status status = TROUPE_OK;
    self->url.timeout = timeout > MILLISECOND ? timeout : MILLISECOND;
    if (!tp_redis_link_alive(&self->link)) {
        tp_redis_link_close(&self->link);
        status = tp_redis_link_open(&self->link);
        if (status == TROUPE_OK)
            status = read_run(self);
        if (status != TROUPE_OK) {
            tp_redis_link_close(&self->link);
            note(self, self->link.error);
            status = TROUPE_UNAVAILABLE;
        }
    }
    tp_redis_link_renew(&self->link);
    self->buffer.size = 0;
    self->buffer.failed = false;
    return status;
}

/* Sends what is in the buffer. NULL: `*ret_status` says whether it may have been done. */
static redisReply *ask(redis_members *self, troupe_status *ret_status)
{
    size_t sent = 0;
    redisReply *reply = NULL;
    if (self->buffer.failed) {
        *ret_status = TROUPE_NO_MEMORY;
        return NULL;
    }
    if (tp_redis_link_send(&self->link, self->buffer.data, self->buffer.size, &sent))
        reply = tp_redis_link_receive(&self->link);
    if (reply != NULL && reply->type != REDIS_REPLY_ERROR)
        return reply;
    *ret_status = TROUPE_UNAVAILABLE;
    if (reply != NULL) { /* a script is refused before its first write, or as a whole */
        note(self, reply->str);
        tp_redis_link_release(&self->link, reply);
        return NULL;
    }
    if (sent == self->buffer.size)
        *ret_status = TROUPE_UNKNOWN;
    note(self, self->link.error);
    tp_redis_link_close(&self->link);
    return NULL;
}

static void put_number(redis_members *self, uint64_t number)
{
    char text[NUMBER];
    (void)snprintf(text, sizeof text, "%" PRIu64, number);
    tp_redis_put_text(&self->buffer, text);
}

/* Of a script that returns 1 if it did it. */
static troupe_status finish(redis_members *self)
{
    troupe_status status = TROUPE_OK;
    redisReply *reply = ask(self, &status);
    if (reply == NULL)
        return status;
    status =
        reply->type == REDIS_REPLY_INTEGER && reply->integer == 1 ? TROUPE_OK : TROUPE_CONFLICT;
    tp_redis_link_release(&self->link, reply);
    return status;
}

/* ---- the port -------------------------------------------------------------------------------- */

static troupe_status read_view(
    troupe_membership *port, uint64_t timeout, troupe_on_view *on_view, void *user)
{
    redis_members *self = members_of(port);
    TROUPE_TRY(make_ready(self, timeout));
    tp_redis_put_begin(&self->buffer, 4);
    tp_redis_put_text(&self->buffer, "HMGET");
    tp_redis_put_text(&self->buffer, self->views);
    tp_redis_put_text(&self->buffer, "n");
    tp_redis_put_text(&self->buffer, "t");
    troupe_status status = TROUPE_OK;
    redisReply *reply = ask(self, &status);
    if (reply == NULL)
        return status == TROUPE_UNKNOWN ? TROUPE_UNAVAILABLE : status;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
        status = TROUPE_CORRUPT;
    else if (reply->element[0]->type == REDIS_REPLY_STRING &&
             reply->element[1]->type == REDIS_REPLY_STRING)
        on_view(user, strtoull(reply->element[0]->str, NULL, 10),
            troupe_slice_of(reply->element[1]->str, (size_t)reply->element[1]->len));
    else if (reply->element[0]->type != REDIS_REPLY_NIL)
        status = TROUPE_CORRUPT;
    tp_redis_link_release(&self->link, reply);
    return status;
}

static troupe_status cas_view(troupe_membership *port, uint64_t timeout, uint64_t number,
    troupe_slice text, const uint64_t *kept, size_t kept_count)
{
    redis_members *self = members_of(port);
    if (text.size == 0 || text.size > TROUPE_VIEW_MAX)
        return TROUPE_TOO_LARGE;
    TROUPE_TRY(make_ready(self, timeout));
    tp_redis_put_begin(&self->buffer, 8 + kept_count);
    tp_redis_put_text(&self->buffer, "EVAL");
    tp_redis_put_text(&self->buffer, cas_script);
    tp_redis_put_text(&self->buffer, "2");
    tp_redis_put_text(&self->buffer, self->views);
    tp_redis_put_text(&self->buffer, self->registers);
    put_number(self, number - 1);
    put_number(self, number);
    tp_redis_put(&self->buffer, text);
    for (size_t i = 0; i < kept_count; i++)
        put_number(self, kept[i]);
    return finish(self);
}

static troupe_status change(
    redis_members *self, uint64_t timeout, uint64_t incarnation, uint64_t count, const char *to)
{
    TROUPE_TRY(make_ready(self, timeout));
    tp_redis_put_begin(&self->buffer, 7);
    tp_redis_put_text(&self->buffer, "EVAL");
    tp_redis_put_text(&self->buffer, change_script);
    tp_redis_put_text(&self->buffer, "1");
    tp_redis_put_text(&self->buffer, self->registers);
    put_number(self, incarnation);
    put_number(self, count);
    tp_redis_put_text(&self->buffer, to);
    return finish(self);
}

static troupe_status raise_register(
    troupe_membership *port, uint64_t timeout, uint64_t incarnation, uint64_t count)
{
    char to[NUMBER];
    (void)snprintf(to, sizeof to, "%" PRIu64, count + 1);
    return change(members_of(port), timeout, incarnation, count, to);
}

static troupe_status revoke_register(
    troupe_membership *port, uint64_t timeout, uint64_t incarnation, uint64_t count)
{
    char to[NUMBER];
    (void)snprintf(to, sizeof to, "%" PRIu64 "!", count);
    return change(members_of(port), timeout, incarnation, count, to);
}

static troupe_status read_registers(troupe_membership *port, uint64_t timeout,
    troupe_on_register *on_register, void *user, uint64_t *ret_run)
{
    redis_members *self = members_of(port);
    TROUPE_TRY(make_ready(self, timeout));
    tp_redis_put_begin(&self->buffer, 2);
    tp_redis_put_text(&self->buffer, "HGETALL");
    tp_redis_put_text(&self->buffer, self->registers);
    troupe_status status = TROUPE_OK;
    redisReply *reply = ask(self, &status);
    if (reply == NULL)
        return status == TROUPE_UNKNOWN ? TROUPE_UNAVAILABLE : status;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2) {
        const redisReply *value = reply->element[i + 1];
        on_register(
            user, &(troupe_register){.incarnation = strtoull(reply->element[i]->str, NULL, 10),
                      .count = strtoull(value->str, NULL, 10),
                      .revoked = value->len > 0 && value->str[value->len - 1] == '!'});
    }
    tp_redis_link_release(&self->link, reply);
    *ret_run = self->run;
    return TROUPE_OK;
}

static troupe_status read_number(redis_members *self, uint64_t timeout, uint64_t *ret_number)
{
    TROUPE_TRY(make_ready(self, timeout));
    tp_redis_put_begin(&self->buffer, 3);
    tp_redis_put_text(&self->buffer, "HGET");
    tp_redis_put_text(&self->buffer, self->views);
    tp_redis_put_text(&self->buffer, "n");
    troupe_status status = TROUPE_OK;
    redisReply *reply = ask(self, &status);
    if (reply == NULL)
        return TROUPE_UNAVAILABLE;
    *ret_number = reply->type == REDIS_REPLY_STRING ? strtoull(reply->str, NULL, 10) : 0;
    tp_redis_link_release(&self->link, reply);
    return TROUPE_OK;
}

/* Asks again and again: a subscription would need a connection of its own and could lose words. */
static troupe_status watch(troupe_membership *port, uint64_t timeout, uint64_t number)
{
    redis_members *self = members_of(port);
    uint64_t end = self->host.now(self->host.context) + timeout;
    for (;;) {
        uint64_t now = self->host.now(self->host.context), found = 0;
        if (now >= end)
            return TROUPE_TIMEOUT;
        TROUPE_TRY(read_number(
            self, end - now < TROUPE_SECONDS(1) ? TROUPE_SECONDS(1) : end - now, &found));
        if (found != number)
            return TROUPE_OK;
        struct pollfd bell = {self->link.bell, POLLIN, 0};
        uint64_t left = (end - now) / MILLISECOND + 1;
        if (poll(&bell, 1, left < POLL_EVERY ? (int)left : POLL_EVERY) > 0) {
            note(self, "the node closes");
            return TROUPE_UNAVAILABLE;
        }
    }
}

static void hurry(troupe_membership *port)
{
    uint64_t one = 1;
    ssize_t size = write(members_of(port)->link.bell, &one, sizeof one);
    (void)size; /* an eventfd takes it, or is readable already */
}

static void close_handle(troupe_membership *port)
{
    redis_members *self = members_of(port);
    const troupe_allocator *allocator = self->host.allocator;
    tp_redis_link_deinit(&self->link);
    tp_redis_buffer_deinit(&self->buffer);
    if (self->link.bell >= 0)
        (void)close(self->link.bell);
    memset(self->url.password, 0, sizeof self->url.password);
    allocator->release(allocator->context, self, sizeof *self);
}

/* ---- opening --------------------------------------------------------------------------------- */

static troupe_status begin(
    redis_members *self, const char *url, const char *cluster, char *error, size_t error_size)
{
    TROUPE_TRY(tp_redis_url_read(url, &self->url, error, error_size));
    self->link.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    (void)snprintf(self->views, sizeof self->views, "%smember:%.128s:v", self->url.prefix, cluster);
    (void)snprintf(
        self->registers, sizeof self->registers, "%smember:%.128s:r", self->url.prefix, cluster);
    troupe_status status =
        self->link.bell >= 0 ? make_ready(self, self->url.timeout) : TROUPE_UNAVAILABLE;
    if (status == TROUPE_OK)
        status = tp_redis_promises_read(&self->link, &self->promises);
    if (status != TROUPE_OK)
        (void)snprintf(
            error, error_size, "membership in Redis at %s: %s", self->url.shown, self->link.error);
    return status;
}

troupe_status tp_redis_member_open(const troupe_membership_host *host, const char *url,
    const char *cluster, troupe_membership **ret_membership, char *error, size_t error_size)
{
    redis_members *self = host->allocator->allocate(host->allocator->context, sizeof *self);
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    memset(self, 0, sizeof *self);
    self->host = (troupe_store_host){.size = sizeof self->host,
        .allocator = host->allocator,
        .context = host->context,
        .now = host->now,
        .log = host->log};
    self->link = (tp_redis_link){.host = &self->host, .url = &self->url, .bell = -1};
    self->buffer.allocator = host->allocator;
    self->port = (troupe_membership){.size = sizeof self->port,
        .promises = self->promises.text,
        .read_view = read_view,
        .cas_view = cas_view,
        .raise = raise_register,
        .revoke = revoke_register,
        .read_registers = read_registers,
        .watch = watch,
        .hurry = hurry,
        .close = close_handle};
    troupe_status status = begin(self, url, cluster, error, error_size);
    if (status != TROUPE_OK) {
        close_handle(&self->port);
        return status;
    }
    *ret_membership = &self->port;
    return TROUPE_OK;
}
