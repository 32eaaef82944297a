/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to Redis. hiredis connects and parses; sending and waiting are done here, because
 * a store must know which bytes went out, must end by a deadline, and must end when the node
 * hurries. Called by store.c and promises.c.
 *
 * Invariants: after a failure the link is closed by its owner, never used again: replies that come
 * late would be taken for those of other commands.
 * Threads: the store's. The bell is rung by any.
 */
#include "providers/redis/redis.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/* How long to wait for the next byte: less than the URL's timeout while the store is opened, if the
 * node gives less. */
static uint64_t patience_of(const tp_redis_link *link, uint64_t now)
{
    uint64_t until = link->host->open_until != 0 ? link->host->open_until : UINT64_MAX;
    uint64_t left = until > now ? until - now : 0;
    return left < link->url->timeout ? left : link->url->timeout;
}

void tp_redis_link_renew(tp_redis_link *link)
{
    uint64_t now = link->host->now(link->host->context);
    link->deadline = now + patience_of(link, now);
}

/* Waits until the socket is ready. */
static bool wait_ready(tp_redis_link *link, short events)
{
    for (;;) {
        uint64_t now = link->host->now(link->host->context);
        if (now >= link->deadline) {
            uint64_t until = link->host->open_until;
            uint64_t shown = link->url->timeout / TROUPE_MILLISECONDS(1);
            if (until != 0 && now >= until)
                snprintf(link->error, sizeof link->error, "no answer in time");
            else
                snprintf(link->error, sizeof link->error, "no answer for %llu ms",
                    (unsigned long long)shown);
            return false;
        }
        struct pollfd files[2] = {{link->redis->fd, events, 0}, {link->bell, POLLIN, 0}};
        uint64_t left = (link->deadline - now) / TROUPE_MILLISECONDS(1) + 1;
        int ready = poll(files, 2, left < 1000 ? (int)left : 1000);
        if (ready < 0 && errno != EINTR) {
            snprintf(link->error, sizeof link->error, "poll: %s", strerror(errno));
            return false;
        }
        if (ready > 0 && files[1].revents != 0) {
            snprintf(link->error, sizeof link->error, "the node closes");
            return false;
        }
        if (ready > 0 && files[0].revents != 0)
            return true;
    }
}

bool tp_redis_link_send(tp_redis_link *link, const char *data, size_t size, size_t *sent)
{
    while (size > 0) {
        ssize_t done = send(link->redis->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done > 0) {
            data += done;
            size -= (size_t)done;
            *sent += (size_t)done;
            tp_redis_link_renew(link);
        } else if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            if (!wait_ready(link, POLLOUT))
                return false;
        } else if (done == 0 || errno != EINTR) {
            snprintf(link->error, sizeof link->error, "send: %s", strerror(errno));
            return false;
        }
    }
    return true;
}

redisReply *tp_redis_link_receive(tp_redis_link *link)
{
    for (;;) {
        void *reply = NULL;
        if (redisReaderGetReply(link->redis->reader, &reply) != REDIS_OK) {
            snprintf(link->error, sizeof link->error, "reply: %s", link->redis->reader->errstr);
            return NULL;
        }
        if (reply != NULL) {
            tp_redis_replies_out(&link->replies);
            return reply;
        }
        ssize_t size = recv(link->redis->fd, link->input, sizeof link->input, MSG_DONTWAIT);
        if (size > 0) {
            tp_redis_link_renew(link);
            if (redisReaderFeed(link->redis->reader, link->input, (size_t)size) == REDIS_OK)
                continue;
            snprintf(link->error, sizeof link->error, "reply: %s", link->redis->reader->errstr);
            return NULL;
        }
        if (size == 0) {
            snprintf(link->error, sizeof link->error, "the server closed the connection");
            return NULL;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            snprintf(link->error, sizeof link->error, "receive: %s", strerror(errno));
            return NULL;
        }
        if (!wait_ready(link, POLLIN))
            return NULL;
    }
}

void tp_redis_link_release(tp_redis_link *link, redisReply *reply)
{
    if (reply != NULL)
        tp_redis_replies_back(&link->replies);
}

redisReply *tp_redis_link_ask(tp_redis_link *link, size_t count, const char *const *words)
{
    tp_redis_buffer buffer = {.allocator = link->host->allocator};
    redisReply *reply = NULL;
    size_t sent = 0;
    tp_redis_put_begin(&buffer, count);
    for (size_t i = 0; i < count; i++)
        tp_redis_put_text(&buffer, words[i]);
    if (buffer.failed)
        snprintf(link->error, sizeof link->error, "no memory");
    else if (tp_redis_link_send(link, buffer.data, buffer.size, &sent))
        reply = tp_redis_link_receive(link);
    tp_redis_buffer_deinit(&buffer);
    return reply;
}

/* A command that is answered OK. */
static troupe_status ask_ok(tp_redis_link *link, size_t count, const char *const *words)
{
    redisReply *reply = tp_redis_link_ask(link, count, words);
    if (reply == NULL)
        return TROUPE_UNAVAILABLE;
    troupe_status status = TROUPE_OK;
    if (reply->type == REDIS_REPLY_ERROR) {
        snprintf(link->error, sizeof link->error, "%s is refused: %s", words[0], reply->str);
        status = strncmp(reply->str, "LOADING", 7) == 0 ? TROUPE_UNAVAILABLE : TROUPE_USAGE;
    }
    tp_redis_link_release(link, reply);
    return status;
}

static troupe_status sign_in(tp_redis_link *link)
{
    const tp_redis_url *url = link->url;
    char database[16];
    troupe_status status = TROUPE_OK;
    snprintf(database, sizeof database, "%u", url->database);
    if (url->user[0] != '\0')
        status = ask_ok(link, 3, (const char *const[]){"AUTH", url->user, url->password});
    else if (url->password[0] != '\0')
        status = ask_ok(link, 2, (const char *const[]){"AUTH", url->password});
    if (status == TROUPE_OK)
        status = ask_ok(link, 2, (const char *const[]){"SELECT", database});
    return status;
}

troupe_status tp_redis_link_open(tp_redis_link *link)
{
    const tp_redis_url *url = link->url;
    uint64_t patience = patience_of(link, link->host->now(link->host->context));
    const struct timeval limit = {(time_t)(patience / TROUPE_SECONDS(1)),
        (suseconds_t)(patience % TROUPE_SECONDS(1) / 1000 + 1)};
    tp_redis_link_renew(link);
    link->redis = url->is_path ? redisConnectUnixWithTimeout(url->host, limit)
                               : redisConnectWithTimeout(url->host, url->port, limit);
    if (link->redis == NULL || link->redis->err != 0) {
        snprintf(link->error, sizeof link->error, "%s",
            link->redis != NULL ? link->redis->errstr : "no memory");
        tp_redis_link_close(link);
        return TROUPE_UNAVAILABLE;
    }
    link->replies.host = link->host;
    tp_redis_replies_serve(&link->replies, link->redis->reader);
    tp_redis_link_renew(link);
    troupe_status status = sign_in(link);
    if (status != TROUPE_OK)
        tp_redis_link_close(link);
    return status;
}

void tp_redis_link_close(tp_redis_link *link)
{
    if (link->redis != NULL)
        redisFree(link->redis);
    link->redis = NULL;
}

void tp_redis_link_deinit(tp_redis_link *link)
{
    tp_redis_link_close(link);
    if (link->replies.host != NULL)
        tp_redis_replies_deinit(&link->replies);
}

bool tp_redis_link_alive(tp_redis_link *link)
{
    char byte;
    if (link->redis == NULL)
        return false;
    ssize_t size = recv(link->redis->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}
