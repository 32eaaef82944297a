/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of replies: hiredis makes each reply here, out of pieces that are used again and
 * again. Of its own, a load's reply is four blocks, taken and given back one by one, which cost the
 * store's thread as much as all else that it does for it. Called by link.c.
 *
 * Invariants: 1. What is out stays where it is until the last reply that is out has been given
 * back; then all pieces are free. 2. One piece is kept, and it is a small one.
 * Threads: the store's.
 */
#include "providers/redis/redis.h"

#include <stdint.h>
#include <string.h>

enum { PIECE = 256 << 10, BUFFER_KEPT = 1 << 20 };

struct tp_redis_piece {
    tp_redis_piece *next;
    size_t size; /* of bytes */
    _Alignas(16) char bytes[];
};

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

static void release_from(tp_redis_replies *self, tp_redis_piece *piece)
{
    const troupe_allocator *allocator = self->host->allocator;
    while (piece != NULL) {
        tp_redis_piece *next = piece->next;
        allocator->release(allocator->context, piece, sizeof *piece + piece->size);
        piece = next;
    }
}

static bool add_piece(tp_redis_replies *self, size_t size)
{
    const troupe_allocator *allocator = self->host->allocator;
    if (size > SIZE_MAX / 2)
        return false;
    size_t room = size > PIECE ? size : PIECE;
    tp_redis_piece *piece = allocator->allocate(allocator->context, sizeof *piece + room);
    if (piece == NULL)
        return false;
    *piece = (tp_redis_piece){.next = self->pieces, .size = room};
    self->pieces = piece;
    self->used = 0;
    return true;
}

static void *take(tp_redis_replies *self, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if ((self->pieces == NULL || self->pieces->size - self->used < size) && !add_piece(self, size))
        return NULL;
    void *bytes = self->pieces->bytes + self->used;
    self->used += size;
    return bytes;
}

/* NULL: no memory, which ends the connection. */
static redisReply *make(const redisReadTask *task, size_t more)
{
    redisReply *reply = take(task->privdata, sizeof *reply + more);
    if (reply == NULL)
        return NULL;
    memset(reply, 0, sizeof *reply);
    reply->type = task->type;
    if (task->parent != NULL)
        ((redisReply *)task->parent->obj)->element[task->idx] = reply;
    return reply;
}

static void *make_string(const redisReadTask *task, char *text, size_t size)
{
    redisReply *reply = make(task, size + 1);
    if (reply == NULL)
        return NULL;
    reply->str = (char *)(reply + 1);
    memcpy(reply->str, text, size);
    reply->str[size] = '\0';
    reply->len = size;
    return reply;
}

static void *make_array(const redisReadTask *task, element_count count)
{
    if (count < 0 || (size_t)count > SIZE_MAX / 4 / sizeof(redisReply *))
        return NULL;
    redisReply *reply = make(task, (size_t)count * sizeof(redisReply *));
    if (reply == NULL)
        return NULL;
    reply->elements = (size_t)count;
    reply->element = (redisReply **)(void *)(reply + 1);
    return reply;
}

static void *make_integer(const redisReadTask *task, long long number)
{
    redisReply *reply = make(task, 0);
    if (reply != NULL)
        reply->integer = number;
    return reply;
}

static void *make_nil(const redisReadTask *task)
{
    redisReply *reply = make(task, 0);
    if (reply != NULL)
        reply->type = REDIS_REPLY_NIL; /* the task's is that of a string or an array */
    return reply;
}

static void leave(void *reply)
{
    (void)reply; /* it goes with all others */
}

static const redisReplyObjectFunctions functions = {.createString = make_string,
    .createArray = make_array,
    .createInteger = make_integer,
    .createNil = make_nil,
    .freeObject = leave};

void tp_redis_replies_serve(tp_redis_replies *replies, redisReader *reader)
{
    reader->fn = (redisReplyObjectFunctions *)(uintptr_t)&functions; /* it only calls them */
    reader->privdata = replies;
    reader->maxbuf = BUFFER_KEPT; /* else its buffer grows anew with each reply */
}

void tp_redis_replies_out(tp_redis_replies *replies)
{
    replies->out++;
}

void tp_redis_replies_back(tp_redis_replies *replies)
{
    if (--replies->out != 0)
        return;
    tp_redis_piece *kept = replies->pieces;
    replies->used = 0;
    if (kept == NULL)
        return;
    if (kept->size > PIECE) {
        replies->pieces = NULL;
        release_from(replies, kept);
        return;
    }
    release_from(replies, kept->next);
    kept->next = NULL;
}

void tp_redis_replies_deinit(tp_redis_replies *replies)
{
    release_from(replies, replies->pieces);
    *replies = (tp_redis_replies){.host = replies->host};
}
