/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies -> results of operations. Replies of another form than scripts.c and Redis' own commands
 * give make the operation CORRUPT: somebody else wrote under our prefix. Error replies are
 * store.c's business. Called by store.c.
 *
 * Threads: the store's.
 */
#include "providers/redis/redis.h"

#include <string.h>

enum { HEX = 16 };

static troupe_slice slice_of(const redisReply *reply)
{
    return (troupe_slice){reply->str, reply->len};
}

static bool is_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING;
}

static bool is_list(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY;
}

static bool read_hex(const char *text, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (int i = 0; i < HEX; i++) {
        char c = text[i];
        if (c >= '0' && c <= '9')
            number = number << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            number = number << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *ret_number = number;
    return true;
}

typedef struct meta {
    uint64_t version, time, wake;
} meta;

static bool read_meta(const redisReply *reply, meta *ret_meta)
{
    return is_text(reply) && reply->len == TP_REDIS_META &&
           read_hex(reply->str, &ret_meta->version) &&
           read_hex(reply->str + HEX, &ret_meta->time) &&
           read_hex(reply->str + 2 * HEX, &ret_meta->wake);
}

static size_t limit_of(const troupe_store_op *op)
{
    return op->limit != 0 ? op->limit : TP_REDIS_LIMIT;
}

static void decode_commit(troupe_store_op *op, const redisReply *reply)
{
    uint64_t found = 0;
    if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 1) {
        op->found = op->version + 1;
        op->status = TROUPE_OK;
    } else if (is_text(reply) && reply->len == HEX && read_hex(reply->str, &found)) {
        op->found = found;
        op->status = TROUPE_CONFLICT;
    }
}

static void decode_commits(troupe_store_op *const *ops, size_t count, const redisReply *reply)
{
    bool closed = is_text(reply) && troupe_slice_equal(slice_of(reply), troupe_str("closed"));
    for (size_t i = 0; i < count; i++) {
        ops[i]->status = closed ? TROUPE_CLOSED : TROUPE_CORRUPT;
        if (!closed && is_list(reply) && reply->elements == count)
            decode_commit(ops[i], reply->element[i]);
    }
}

static troupe_status add_rows(troupe_store_op *op, const redisReply *rows)
{
    if (rows->type == REDIS_REPLY_NIL)
        return TROUPE_OK;
    troupe_status status = is_list(rows) && rows->elements % 2 == 0 ? TROUPE_OK : TROUPE_CORRUPT;
    for (size_t i = 0; status == TROUPE_OK && i < rows->elements; i += 2) {
        const redisReply *field = rows->element[i], *value = rows->element[i + 1];
        if (!is_text(field) || !is_text(value) || field->len < 2)
            return TROUPE_CORRUPT;
        status = troupe_store_add(op, &(troupe_store_item){.kind = (uint32_t)(field->str[0] - '0'),
                                          .key = {field->str + 1, field->len - 1},
                                          .value = slice_of(value)});
    }
    return status;
}

/* `rows` may be NULL: there are none. */
static troupe_status decode_load(troupe_store_op *op, const redisReply *stored_meta,
    const redisReply *state, const redisReply *rows)
{
    meta found = {0};
    if (stored_meta->type != REDIS_REPLY_NIL && !read_meta(stored_meta, &found))
        return TROUPE_CORRUPT;
    op->found = found.version;
    op->wake = found.wake;
    troupe_status status = TROUPE_OK;
    if (is_text(state))
        status = troupe_store_add(
            op, &(troupe_store_item){
                    .kind = TROUPE_ROW_STATE, .time = found.time, .value = slice_of(state)});
    return status == TROUPE_OK && rows != NULL ? add_rows(op, rows) : status;
}

static void end_load(troupe_store_op *op, troupe_status status)
{
    op->status = status;
    if (status != TROUPE_OK)
        troupe_store_release(op); /* half of a result is none */
}

/* m, state, rows of each. */
static void decode_loads(troupe_store_op *const *ops, size_t count, const redisReply *reply)
{
    bool good = is_list(reply) && reply->elements == 3 * count;
    for (size_t i = 0; i < count; i++) {
        redisReply *const *parts = good ? reply->element + 3 * i : NULL;
        end_load(ops[i], good ? decode_load(ops[i], parts[0], parts[1], parts[2]) : TROUPE_CORRUPT);
    }
}

static bool has_rows(const redisReply *stored_meta)
{
    return is_text(stored_meta) && stored_meta->len == TP_REDIS_META &&
           stored_meta->str[TP_REDIS_META - 1] == 'r';
}

const char *tp_redis_decode_plain(troupe_store_op *const *ops, size_t count,
    const redisReply *reply, troupe_store_op **rest, size_t *rest_count)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return reply->str;
    bool good = is_list(reply) && reply->elements == 2;
    for (size_t i = 0; good && i < 2; i++) {
        const redisReply *list = reply->element[i];
        if (list->type == REDIS_REPLY_ERROR)
            return list->str;
        good = is_list(list) && list->elements == count;
    }
    for (size_t i = 0; i < count; i++) {
        if (good && has_rows(reply->element[0]->element[i]))
            rest[(*rest_count)++] = ops[i];
        else
            end_load(ops[i], good ? decode_load(ops[i], reply->element[0]->element[i],
                                        reply->element[1]->element[i], NULL)
                                  : TROUPE_CORRUPT);
    }
    return NULL;
}

/* One entry of a stream: its id, then t, time, n, name, p, payload. */
static troupe_status decode_event(troupe_store_op *op, const redisReply *entry)
{
    if (!is_list(entry) || entry->elements != 2 || !is_text(entry->element[0]) ||
        !is_list(entry->element[1]) || entry->element[1]->elements != 6)
        return TROUPE_CORRUPT;
    troupe_store_item item = {0};
    for (size_t i = 0; i < entry->element[0]->len; i++) {
        char c = entry->element[0]->str[i];
        if (c < '0' || c > '9')
            break;
        item.number = item.number * 10 + (uint64_t)(c - '0');
    }
    redisReply *const *fields = entry->element[1]->element;
    for (size_t i = 1; i < 6; i += 2)
        if (!is_text(fields[i]))
            return TROUPE_CORRUPT;
    if (fields[1]->len != HEX || !read_hex(fields[1]->str, &item.time))
        return TROUPE_CORRUPT;
    item.key = slice_of(fields[3]);
    item.value = slice_of(fields[5]);
    return troupe_store_add(op, &item);
}

static troupe_status decode_events(troupe_store_op *op, const redisReply *reply)
{
    troupe_status status = is_list(reply) ? TROUPE_OK : TROUPE_CORRUPT;
    for (size_t i = 0; status == TROUPE_OK && i < reply->elements; i++)
        status = decode_event(op, reply->element[i]);
    return status;
}

static troupe_status decode_snapshots(troupe_store_op *op, const redisReply *reply)
{
    troupe_status status = is_list(reply) ? TROUPE_OK : TROUPE_CORRUPT;
    for (size_t i = 0; status == TROUPE_OK && i < reply->elements; i++) {
        const redisReply *one = reply->element[i];
        troupe_store_item item = {0};
        if (!is_text(one) || one->len != 2 * HEX || !read_hex(one->str, &item.number) ||
            !read_hex(one->str + HEX, &item.time))
            return TROUPE_CORRUPT;
        status = troupe_store_add(op, &item);
    }
    return status;
}

static troupe_status decode_snapshot(troupe_store_op *op, const redisReply *reply)
{
    troupe_store_item item = {.number = op->from};
    if (reply->type == REDIS_REPLY_NIL)
        return TROUPE_NOT_FOUND;
    if (!is_text(reply) || reply->len < HEX || !read_hex(reply->str, &item.time))
        return TROUPE_CORRUPT;
    item.value = (troupe_slice){reply->str + HEX, reply->len - HEX};
    return troupe_store_add(op, &item);
}

static troupe_status decode_prune(troupe_store_op *op, const redisReply *reply)
{
    if (!is_list(reply) || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_INTEGER ||
        reply->element[1]->type != REDIS_REPLY_INTEGER)
        return TROUPE_CORRUPT;
    op->found = (uint64_t)reply->element[0]->integer;
    op->more = reply->element[1]->integer == 1;
    return TROUPE_OK;
}

static troupe_status decode_ids(troupe_store_op *op, const redisReply *reply)
{
    if (!is_list(reply) || reply->elements % 2 != 0)
        return TROUPE_CORRUPT;
    size_t count = reply->elements / 2;
    op->more = count > limit_of(op);
    if (op->more)
        count = limit_of(op);
    troupe_status status = TROUPE_OK;
    for (size_t i = 0; status == TROUPE_OK && i < count; i++) {
        meta found;
        if (!is_text(reply->element[2 * i]) || !read_meta(reply->element[2 * i + 1], &found))
            return TROUPE_CORRUPT;
        status = troupe_store_add(op, &(troupe_store_item){.key = slice_of(reply->element[2 * i]),
                                          .number = found.version,
                                          .time = found.time});
    }
    return status;
}

static troupe_status decode_due(troupe_store_op *op, const redisReply *reply)
{
    if (!is_list(reply))
        return TROUPE_CORRUPT;
    size_t count = reply->elements;
    op->more = count > limit_of(op);
    if (op->more)
        count = limit_of(op);
    troupe_status status = TROUPE_OK;
    for (size_t i = 0; status == TROUPE_OK && i < count; i++) {
        const redisReply *one = reply->element[i];
        troupe_store_item item = {0};
        if (!is_text(one) || one->len <= HEX || !read_hex(one->str, &item.time))
            return TROUPE_CORRUPT;
        item.key = (troupe_slice){one->str + HEX, one->len - HEX};
        status = troupe_store_add(op, &item);
    }
    return status;
}

static troupe_status decode_health(troupe_store_op *op, const redisReply *reply)
{
    char text[TP_REDIS_TEXT];
    troupe_status status = tp_redis_health_read(reply, text, sizeof text);
    if (status == TROUPE_OK)
        return TROUPE_OK;
    troupe_status added = troupe_store_add(op, &(troupe_store_item){.value = troupe_str(text)});
    return added == TROUPE_OK ? status : added;
}

static troupe_status decode_number(troupe_store_op *op, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_INTEGER || reply->integer < 0)
        return TROUPE_CORRUPT;
    if (op->kind == TROUPE_STORE_OPEN_WRITER)
        return reply->integer == 1 ? TROUPE_OK : TROUPE_CONFLICT;
    if (op->kind == TROUPE_STORE_CLOSE_OLDER)
        op->found = (uint64_t)reply->integer;
    return TROUPE_OK;
}

static troupe_status decode_one(troupe_store_op *op, const redisReply *reply)
{
    switch (op->kind) {
    case TROUPE_STORE_READ_EVENTS:
        return decode_events(op, reply);
    case TROUPE_STORE_LIST_SNAPSHOTS:
        return decode_snapshots(op, reply);
    case TROUPE_STORE_READ_SNAPSHOT:
        return decode_snapshot(op, reply);
    case TROUPE_STORE_PRUNE:
        return decode_prune(op, reply);
    case TROUPE_STORE_LIST_IDS:
        return decode_ids(op, reply);
    case TROUPE_STORE_LIST_DUE:
        return decode_due(op, reply);
    case TROUPE_STORE_HEALTH:
        return decode_health(op, reply);
    default:
        return decode_number(op, reply);
    }
}

void tp_redis_decode(troupe_store_op *const *ops, size_t count, const redisReply *reply)
{
    if (ops[0]->kind == TROUPE_STORE_COMMIT) {
        decode_commits(ops, count, reply);
        return;
    }
    if (ops[0]->kind == TROUPE_STORE_LOAD) {
        decode_loads(ops, count, reply);
        return;
    }
    ops[0]->status = decode_one(ops[0], reply);
    if (ops[0]->status != TROUPE_OK && ops[0]->kind != TROUPE_STORE_HEALTH)
        troupe_store_release(ops[0]);
}
