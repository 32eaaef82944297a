/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations -> commands, in Redis' own protocol (RESP2: arrays of bulk strings), straight into one
 * buffer that then leaves by one send. Not hiredis' formatter: it copies each argument twice and
 * takes a block for each command. Called by store.c.
 *
 * Invariants
 * 1. A command is whole in the buffer or not there: when memory runs out in the middle, the buffer
 *    is cut back to where the command began.
 * 2. Loads go as a transaction of two reads, which costs the server half of a script. It cannot
 * read rows, so ids that have any are asked for again by the script when the group is over: hence
 * not those that the group commits, for they must be read in their turn.
 * 3. Commits that follow one another and have one writer share a script call, up to COMMITS and
 *    COMMIT_BYTES, and so do loads, up to LOADS: what a call costs beside its work is more than
 * half of a small commit, and while it runs nobody else is served.
 *
 * Threads: the store's.
 */
#include "providers/redis/redis.h"

#include <string.h>

enum {
    COMMITS = 128,
    LOADS = 64,
    PLAIN_LOADS = 256,
    COMMIT_BYTES = 256 << 10,
    ID_ROOM = 1536, /* of the longest id's text form */
    HEX = 16,
};

/* Redis takes no argument above proto-max-bulk-len, 512 MiB, and no command above 1 GiB. */
#define LARGEST ((size_t)500 << 20)
/* Servers before 7.0 end the connection of who sends a command of more arguments than 1024 * 1024,
 * so that such a commit would be sent for ever. Left is room for what is before the script's. */
#define MOST_ARGUMENTS (((size_t)1 << 20) - 64)

void tp_redis_buffer_deinit(tp_redis_buffer *buffer)
{
    const troupe_allocator *allocator = buffer->allocator;
    if (buffer->data != NULL)
        allocator->release(allocator->context, buffer->data, buffer->room);
    *buffer = (tp_redis_buffer){.allocator = allocator};
}

static char *reserve(tp_redis_buffer *buffer, size_t size)
{
    if (buffer->failed)
        return NULL;
    if (buffer->room - buffer->size >= size)
        return buffer->data + buffer->size;
    const troupe_allocator *allocator = buffer->allocator;
    size_t room = buffer->room != 0 ? buffer->room : (size_t)64 << 10;
    while (room - buffer->size < size)
        room *= 2;
    char *data = buffer->data == NULL
                     ? allocator->allocate(allocator->context, room)
                     : allocator->reallocate(allocator->context, buffer->data, buffer->room, room);
    if (data == NULL) {
        buffer->failed = true;
        return NULL;
    }
    buffer->data = data;
    buffer->room = room;
    return data + buffer->size;
}

/* `sign`, the number in decimals, end of line. Returns behind it; `out` has room for 23. */
static char *write_length(char *out, char sign, size_t number)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    *out++ = sign;
    while (count > 0)
        *out++ = digits[--count];
    *out++ = '\r';
    *out++ = '\n';
    return out;
}

void tp_redis_put_begin(tp_redis_buffer *buffer, size_t count)
{
    char *out = reserve(buffer, 32);
    if (out != NULL)
        buffer->size = (size_t)(write_length(out, '*', count) - buffer->data);
}

/* An argument of two parts. */
static void put_two(tp_redis_buffer *buffer, troupe_slice first, troupe_slice second)
{
    char *out = reserve(buffer, first.size + second.size + 32);
    if (out == NULL)
        return;
    out = write_length(out, '$', first.size + second.size);
    if (first.size != 0)
        memcpy(out, first.data, first.size);
    out += first.size;
    if (second.size != 0)
        memcpy(out, second.data, second.size);
    out += second.size;
    memcpy(out, "\r\n", 2);
    buffer->size = (size_t)(out + 2 - buffer->data);
}

void tp_redis_put(tp_redis_buffer *buffer, troupe_slice argument)
{
    put_two(buffer, argument, (troupe_slice){NULL, 0});
}

void tp_redis_put_text(tp_redis_buffer *buffer, const char *text)
{
    tp_redis_put(buffer, troupe_str(text));
}

static char *write_hex(char *out, uint64_t number)
{
    for (int shift = 60; shift >= 0; shift -= 4)
        *out++ = "0123456789abcdef"[number >> shift & 15];
    return out;
}

static void put_hex(tp_redis_buffer *buffer, uint64_t number)
{
    char text[HEX];
    write_hex(text, number);
    tp_redis_put(buffer, (troupe_slice){text, sizeof text});
}

static void put_number(tp_redis_buffer *buffer, uint64_t number)
{
    char text[32];
    char *end = write_length(text, ' ', number);
    tp_redis_put(buffer, (troupe_slice){text + 1, (size_t)(end - text) - 3});
}

/* The prefix and what follows it, as one argument. */
static void put_key(
    tp_redis_buffer *buffer, const tp_redis_names *names, const char *kind, troupe_slice rest)
{
    char room[TP_REDIS_PREFIX + 8];
    size_t kind_size = strlen(kind);
    memcpy(room, names->prefix.data, names->prefix.size);
    memcpy(room + names->prefix.size, kind, kind_size);
    put_two(buffer, (troupe_slice){room, names->prefix.size + kind_size}, rest);
}

static void put_script(
    tp_redis_buffer *buffer, const tp_redis_names *names, tp_redis_script script, size_t count)
{
    tp_redis_put_begin(buffer, 4 + count);
    tp_redis_put_text(buffer, "EVALSHA");
    tp_redis_put(buffer, (troupe_slice){names->sha[script], TP_REDIS_SHA});
    tp_redis_put_text(buffer, "0");
    tp_redis_put(buffer, names->prefix);
}

static troupe_slice text_of(troupe_id id, char *room)
{
    size_t size = troupe_id_print(id, room, ID_ROOM);
    return (troupe_slice){room, size < ID_ROOM ? size : 0};
}

/* ---- commits ------------------------------------------------------------------------------- */

static bool is_plain(const troupe_store_commit *commit)
{
    return commit->has_state && !commit->erase && !commit->snapshot && commit->row_count == 0 &&
           commit->event_count == 0;
}

static size_t size_of(const troupe_store_commit *commit)
{
    size_t size = commit->state.size;
    for (size_t i = 0; i < commit->row_count && size < LARGEST; i++)
        size += commit->rows[i].key.size + commit->rows[i].value.size;
    for (size_t i = 0; i < commit->event_count && size < LARGEST; i++)
        size += commit->events[i].name.size + commit->events[i].payload.size;
    return size;
}

static size_t arguments_of(const troupe_store_commit *commit)
{
    return 4 + (commit->has_state ? 1u : 0u) + 2 * commit->row_count + 2 * commit->event_count;
}

static void put_what(tp_redis_buffer *buffer, const troupe_store_commit *commit)
{
    if (is_plain(commit)) {
        tp_redis_put_text(buffer, "s");
        return;
    }
    char text[64];
    size_t size = 0;
    text[size++] = '-';
    if (commit->erase)
        text[size++] = 'e';
    if (commit->has_state)
        text[size++] = 's';
    if (commit->has_state && commit->snapshot)
        text[size++] = 'k';
    char *end = write_length(text + size, ' ', commit->row_count) - 2;
    end = write_length(end, ' ', commit->event_count) - 2;
    tp_redis_put(buffer, (troupe_slice){text, (size_t)(end - text)});
}

static void put_row(tp_redis_buffer *buffer, const troupe_store_row *row)
{
    const char head[2] = {row->remove ? 'd' : 'p', (char)('0' + row->kind)};
    put_two(buffer, (troupe_slice){head, sizeof head}, row->key);
    tp_redis_put(buffer, row->remove ? (troupe_slice){NULL, 0} : row->value);
}

static void put_commit(tp_redis_buffer *buffer, const troupe_store_op *op)
{
    const troupe_store_commit *commit = &op->commit;
    char meta[TP_REDIS_META];
    bool leaves_nothing =
        commit->erase && !commit->has_state && commit->row_count == 0 && commit->event_count == 0;
    char *end = write_hex(meta, op->version + 1);
    end = write_hex(end, commit->time);
    end = write_hex(end, commit->wake);
    *end = leaves_nothing ? 'x' : '-';
    put_hex(buffer, op->version);
    tp_redis_put(buffer, (troupe_slice){meta, sizeof meta});
    put_what(buffer, commit);
    if (commit->has_state)
        tp_redis_put(buffer, commit->state);
    for (size_t i = 0; i < commit->row_count; i++)
        put_row(buffer, &commit->rows[i]);
    for (size_t i = 0; i < commit->event_count; i++) {
        tp_redis_put(buffer, commit->events[i].name);
        tp_redis_put(buffer, commit->events[i].payload);
    }
}

static void put_texts(tp_redis_buffer *buffer, troupe_store_op *const *ops, size_t count)
{
    char room[ID_ROOM];
    for (size_t i = 0; i < count; i++)
        tp_redis_put(buffer, text_of(ops[i]->id, room));
}

static size_t put_commits(tp_redis_buffer *buffer, const tp_redis_names *names,
    troupe_store_op *const *ops, size_t count, troupe_status *ret_status)
{
    size_t taken = 0, bytes = 0, arguments = 2;
    while (taken < count && taken < COMMITS) {
        const troupe_store_op *op = ops[taken];
        if (op->kind != TROUPE_STORE_COMMIT || op->writer != ops[0]->writer)
            break;
        size_t size = size_of(&op->commit), more = arguments_of(&op->commit);
        if ((size >= LARGEST || more > MOST_ARGUMENTS) && taken == 0) {
            *ret_status = TROUPE_TOO_LARGE;
            return 1;
        }
        if (taken > 0 && (bytes + size > COMMIT_BYTES || arguments + more > MOST_ARGUMENTS))
            break;
        bytes += size;
        arguments += more;
        taken++;
    }
    put_script(buffer, names, TP_REDIS_COMMIT, arguments);
    put_hex(buffer, ops[0]->writer);
    put_number(buffer, taken);
    put_texts(buffer, ops, taken);
    for (size_t i = 0; i < taken && !buffer->failed; i++)
        put_commit(buffer, ops[i]);
    return taken;
}

/* ---- the others ---------------------------------------------------------------------------- */

static size_t limit_of(const troupe_store_op *op)
{
    size_t limit = op->limit != 0 ? op->limit : TP_REDIS_LIMIT;
    return limit < 1000000000 ? limit : 1000000000;
}

static void put_writer(tp_redis_buffer *buffer, const tp_redis_names *names, tp_redis_script script,
    const troupe_store_op *op)
{
    put_script(buffer, names, script, 1);
    put_hex(buffer, op->writer);
}

static void put_read_events(
    tp_redis_buffer *buffer, const tp_redis_names *names, const troupe_store_op *op)
{
    char room[ID_ROOM], from[32];
    char *end = write_length(from, ' ', op->from) - 2;
    memcpy(end, "-0", 2);
    tp_redis_put_begin(buffer, 6);
    tp_redis_put_text(buffer, "XRANGE");
    put_key(buffer, names, "e:", text_of(op->id, room));
    tp_redis_put(buffer, (troupe_slice){from + 1, (size_t)(end + 2 - from) - 1});
    tp_redis_put_text(buffer, "+");
    tp_redis_put_text(buffer, "COUNT");
    put_number(buffer, limit_of(op));
}

static void put_read_snapshot(
    tp_redis_buffer *buffer, const tp_redis_names *names, const troupe_store_op *op)
{
    char room[ID_ROOM];
    tp_redis_put_begin(buffer, 3);
    tp_redis_put_text(buffer, "HGET");
    put_key(buffer, names, "h:", text_of(op->id, room));
    put_hex(buffer, op->from);
}

static void put_list_snapshots(
    tp_redis_buffer *buffer, const tp_redis_names *names, const troupe_store_op *op)
{
    char room[ID_ROOM];
    tp_redis_put_begin(buffer, 4);
    tp_redis_put_text(buffer, "ZREVRANGE");
    put_key(buffer, names, "v:", text_of(op->id, room));
    tp_redis_put_text(buffer, "0");
    put_number(buffer, limit_of(op) - 1);
}

static void put_prune(
    tp_redis_buffer *buffer, const tp_redis_names *names, const troupe_store_op *op)
{
    put_script(buffer, names, TP_REDIS_PRUNE, 4);
    tp_redis_put(buffer, op->type);
    put_number(buffer, op->keep < 1000000000 ? op->keep : 1000000000);
    if (op->until != 0)
        put_hex(buffer, op->until);
    else
        tp_redis_put_text(buffer, "");
    put_number(buffer, limit_of(op));
}

/* One more than asked for tells whether there are more. */
static void put_list_ids(
    tp_redis_buffer *buffer, const tp_redis_names *names, const troupe_store_op *op)
{
    put_script(buffer, names, TP_REDIS_LIST_IDS, 3);
    tp_redis_put(buffer, op->type);
    put_two(buffer, troupe_str(op->after.size != 0 ? "(" : "-"), op->after);
    put_number(buffer, limit_of(op) + 1);
}

static void put_list_due(
    tp_redis_buffer *buffer, const tp_redis_names *names, const troupe_store_op *op)
{
    char bound[1 + HEX] = "(";
    tp_redis_put_begin(buffer, 7);
    tp_redis_put_text(buffer, "ZRANGEBYLEX");
    put_key(buffer, names, "d", (troupe_slice){NULL, 0});
    if (op->after.size != 0) {
        write_hex(bound + 1, op->from);
        put_two(buffer, (troupe_slice){bound, sizeof bound}, op->after);
    } else {
        tp_redis_put_text(buffer, "-");
    }
    if (op->until != UINT64_MAX) {
        write_hex(bound + 1, op->until + 1);
        tp_redis_put(buffer, (troupe_slice){bound, sizeof bound});
    } else {
        tp_redis_put_text(buffer, "+");
    }
    tp_redis_put_text(buffer, "LIMIT");
    tp_redis_put_text(buffer, "0");
    put_number(buffer, limit_of(op) + 1);
}

/* FNV-1a of the key: the ids of a group differ in it. */
static uint64_t hash_of(const troupe_store_op *op)
{
    const unsigned char *at = op->id.key.data;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < op->id.key.size; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return (hash ^ hash >> 29) % TP_REDIS_WRITTEN;
}

void tp_redis_written_by(tp_redis_written *written, troupe_store_op *const *ops, size_t count)
{
    written->any = false;
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->kind != TROUPE_STORE_COMMIT)
            continue;
        if (!written->any)
            memset(written->bits, 0, sizeof written->bits);
        written->any = true;
        uint64_t bit = hash_of(ops[i]);
        written->bits[bit / 64] |= UINT64_C(1) << bit % 64;
    }
}

bool tp_redis_is_plain_load(const tp_redis_written *written, const troupe_store_op *op)
{
    if (op->kind != TROUPE_STORE_LOAD || written == NULL)
        return false;
    uint64_t bit = written->any ? hash_of(op) : 0;
    return !written->any || (written->bits[bit / 64] >> bit % 64 & 1) == 0;
}

/* One read of a hash: its key, and a field for each operation. */
static void put_fields(tp_redis_buffer *buffer, const tp_redis_names *names, const char *kind,
    troupe_store_op *const *ops, size_t count)
{
    tp_redis_put_begin(buffer, 2 + count);
    tp_redis_put_text(buffer, "HMGET");
    put_key(buffer, names, kind, (troupe_slice){NULL, 0});
    put_texts(buffer, ops, count);
}

static void put_word(tp_redis_buffer *buffer, const char *word)
{
    tp_redis_put_begin(buffer, 1);
    tp_redis_put_text(buffer, word);
}

static size_t put_plain_loads(tp_redis_buffer *buffer, const tp_redis_names *names,
    const tp_redis_written *written, troupe_store_op *const *ops, size_t count)
{
    size_t taken = 1;
    while (taken < count && taken < PLAIN_LOADS && tp_redis_is_plain_load(written, ops[taken]))
        taken++;
    put_word(buffer, "MULTI");
    put_fields(buffer, names, "m", ops, taken);
    put_fields(buffer, names, "s", ops, taken);
    put_word(buffer, "EXEC");
    return taken;
}

static size_t put_loads(tp_redis_buffer *buffer, const tp_redis_names *names,
    const tp_redis_written *written, troupe_store_op *const *ops, size_t count)
{
    size_t taken = 1;
    while (taken < count && taken < LOADS && ops[taken]->kind == TROUPE_STORE_LOAD &&
           !tp_redis_is_plain_load(written, ops[taken]))
        taken++;
    put_script(buffer, names, TP_REDIS_LOAD, taken);
    put_texts(buffer, ops, taken);
    return taken;
}

static bool put_one(tp_redis_buffer *buffer, const tp_redis_names *names, const troupe_store_op *op)
{
    switch (op->kind) {
    case TROUPE_STORE_OPEN_WRITER:
        put_writer(buffer, names, TP_REDIS_OPEN_WRITER, op);
        return true;
    case TROUPE_STORE_CLOSE_WRITER:
        put_writer(buffer, names, TP_REDIS_CLOSE_WRITER, op);
        return true;
    case TROUPE_STORE_CLOSE_OLDER:
        put_writer(buffer, names, TP_REDIS_CLOSE_OLDER, op);
        return true;
    case TROUPE_STORE_READ_EVENTS:
        put_read_events(buffer, names, op);
        return true;
    case TROUPE_STORE_LIST_SNAPSHOTS:
        put_list_snapshots(buffer, names, op);
        return true;
    case TROUPE_STORE_READ_SNAPSHOT:
        put_read_snapshot(buffer, names, op);
        return true;
    case TROUPE_STORE_PRUNE:
        put_prune(buffer, names, op);
        return true;
    case TROUPE_STORE_LIST_IDS:
        put_list_ids(buffer, names, op);
        return true;
    case TROUPE_STORE_LIST_DUE:
        put_list_due(buffer, names, op);
        return true;
    case TROUPE_STORE_HEALTH:
        put_word(buffer, "INFO");
        return true;
    default:
        return false;
    }
}

troupe_status tp_redis_encode(tp_redis_buffer *buffer, const tp_redis_names *names,
    const tp_redis_written *written, troupe_store_op *const *ops, size_t count,
    tp_redis_part *ret_part)
{
    size_t mark = buffer->size;
    troupe_status status = TROUPE_OK;
    buffer->failed = false;
    ret_part->count = 1;
    ret_part->plain = tp_redis_is_plain_load(written, ops[0]);
    if (ops[0]->kind == TROUPE_STORE_COMMIT)
        ret_part->count = put_commits(buffer, names, ops, count, &status);
    else if (ret_part->plain)
        ret_part->count = put_plain_loads(buffer, names, written, ops, count);
    else if (ops[0]->kind == TROUPE_STORE_LOAD)
        ret_part->count = put_loads(buffer, names, written, ops, count);
    else if (!put_one(buffer, names, ops[0]))
        status = TROUPE_USAGE;
    if (!buffer->failed)
        return status;
    buffer->size = mark;
    return TROUPE_NO_MEMORY;
}
