/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A storage provider in one file: `shelf:PATH` keeps everything in memory and writes each change to
 * the end of a file, which is read again when it is opened. A group of operations is one write and
 * one sync. The file only grows, and lists are slow: this is a model of a provider that keeps all
 * the rules of <troupe/provider.h>, not a database. It passes Troupe's conformance suite.
 *
 *     TROUPE_PROVIDER_PATH=build/examples trouped --storage shelf:/tmp/a.shelf …
 *
 * The file is a row of records: size, checksum, and the operation with all that it points to. What
 * was not written whole at the end is cut off when it is opened: nobody was told that it was done.
 *
 * Invariants
 * 1. A change is made ready first, then applied, which cannot fail; then it is written.
 * 2. When a write fails nobody knows what is in the file: those changes are UNKNOWN, and from then
 * on the store refuses all. Opening it anew settles it.
 *
 * Threads: one, as Troupe promises.
 */
#include <troupe/provider.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EVENT = 1000, SNAPSHOT }; /* kinds of things, beside those of rows */

/* A state, row, event or snapshot; its kind, key and number name it. */
typedef struct thing {
    struct thing *next;
    uint32_t kind;
    bool remove; /* of a change: takes away the one of its name */
    uint64_t number, time;
    size_t key_size, value_size;
    char bytes[];
} thing;

typedef struct actor {
    struct actor *next; /* sorted by text */
    uint64_t version, wake, time, position, event_time;
    bool is_live;
    thing *things; /* sorted by kind, number */
    size_t type_size, size;
    char text[];
} actor;

typedef struct writer {
    struct writer *next;
    uint64_t number;
    bool is_open;
} writer;

typedef struct shelf {
    troupe_store store;
    int file;
    bool broken;
    actor *actors;
    writer *writers;
    char *buffer; /* of the group's records */
    size_t size, room;
} shelf;

/* ---- things --------------------------------------------------------------------------------- */

static troupe_slice key_of(const thing *of)
{
    return (troupe_slice){of->bytes, of->key_size};
}

static troupe_slice value_of(const thing *of)
{
    return (troupe_slice){of->bytes + of->key_size, of->value_size};
}

/* Puts a new thing before the others of a change. */
static bool prepare(
    thing **change, uint32_t kind, uint64_t number, troupe_slice key, troupe_slice value)
{
    thing *made = malloc(sizeof *made + key.size + value.size);
    if (made == NULL)
        return false;
    *made = (thing){.next = *change,
        .kind = kind,
        .number = number,
        .key_size = key.size,
        .value_size = value.size};
    if (key.size != 0)
        memcpy(made->bytes, key.data, key.size);
    if (value.size != 0)
        memcpy(made->bytes + key.size, value.data, value.size);
    *change = made;
    return true;
}

static void drop(thing *first)
{
    while (first != NULL) {
        thing *gone = first;
        first = gone->next;
        free(gone);
    }
}

static void put(actor *who, thing *made)
{
    thing **at = &who->things;
    while (*at != NULL && ((*at)->kind < made->kind ||
                              ((*at)->kind == made->kind && (*at)->number < made->number)))
        at = &(*at)->next;
    for (thing **same = at;
         *same != NULL && (*same)->kind == made->kind && (*same)->number == made->number;
         same = &(*same)->next) {
        thing *old = *same;
        if (!troupe_slice_equal(key_of(old), key_of(made)))
            continue;
        *same = old->next;
        free(old);
        break;
    }
    if (made->remove) {
        free(made);
        return;
    }
    made->next = *at;
    *at = made;
}

/* ---- actors and writers ---------------------------------------------------------------------- */

static int compare(troupe_slice left, troupe_slice right)
{
    size_t size = left.size < right.size ? left.size : right.size;
    int order = size != 0 ? memcmp(left.data, right.data, size) : 0;
    return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

static troupe_slice text_of(const actor *of)
{
    return (troupe_slice){of->text, of->size};
}

/* `create`: NULL is no memory; else it is not there. */
static actor *find_actor(shelf *self, troupe_id id, bool create)
{
    char text[2048];
    troupe_slice name = {text, troupe_id_print(id, text, sizeof text)};
    actor **at = &self->actors;
    while (*at != NULL && compare(text_of(*at), name) < 0)
        at = &(*at)->next;
    if (*at != NULL && compare(text_of(*at), name) == 0)
        return *at;
    actor *made = create ? calloc(1, sizeof *made + name.size) : NULL;
    if (made == NULL)
        return NULL;
    made->type_size = id.type.size;
    made->size = name.size;
    memcpy(made->text, text, name.size);
    made->next = *at;
    *at = made;
    return made;
}

static writer *find_writer(shelf *self, uint64_t number)
{
    writer *at = self->writers;
    while (at != NULL && at->number != number)
        at = at->next;
    return at;
}

static troupe_status add_writer(shelf *self, uint64_t number, bool is_open)
{
    writer *made = malloc(sizeof *made);
    if (made == NULL)
        return TROUPE_NO_MEMORY;
    *made = (writer){self->writers, number, is_open};
    self->writers = made;
    return TROUPE_OK;
}

/* ---- changes -------------------------------------------------------------------------------- */

static troupe_status prepare_commit(const troupe_store_op *op, const actor *who, thing **change)
{
    const troupe_store_commit *commit = &op->commit;
    const troupe_slice none = {NULL, 0};
    bool done = true;
    for (size_t i = 0; done && i < commit->row_count; i++) {
        const troupe_store_row *row = &commit->rows[i];
        done = prepare(change, row->kind, 0, row->key, row->remove ? none : row->value);
        if (done)
            (*change)->remove = row->remove;
    }
    if (done && commit->has_state)
        done = prepare(change, TROUPE_ROW_STATE, 0, none, commit->state);
    if (done && commit->snapshot) {
        done = prepare(change, SNAPSHOT, op->version + 1, none, commit->state);
        if (done)
            (*change)->time = commit->time;
    }
    uint64_t time = who->event_time;
    for (size_t i = 0; done && i < commit->event_count; i++) {
        const troupe_store_event *event = &commit->events[i];
        time = time + 1 > commit->time ? time + 1 : commit->time;
        done = prepare(change, EVENT, who->position + 1 + i, event->name, event->payload);
        if (done)
            (*change)->time = time;
    }
    return done ? TROUPE_OK : TROUPE_NO_MEMORY;
}

static void apply_commit(actor *who, const troupe_store_commit *commit, thing *change)
{
    if (commit->erase) {
        drop(who->things);
        who->things = NULL;
    }
    thing *ordered = NULL; /* the last one was prepared last */
    while (change != NULL) {
        thing *next = change->next;
        change->next = ordered;
        ordered = change;
        change = next;
    }
    while (ordered != NULL) {
        thing *next = ordered->next;
        if (ordered->kind == EVENT) {
            who->position = ordered->number;
            who->event_time = ordered->time;
        }
        put(who, ordered);
        ordered = next;
    }
    who->version++;
    who->wake = commit->wake;
    who->time = commit->time;
    who->is_live =
        !commit->erase || commit->has_state || commit->row_count != 0 || commit->event_count != 0;
}

static troupe_status commit(shelf *self, troupe_store_op *op)
{
    const writer *by = find_writer(self, op->writer);
    if (by == NULL || !by->is_open)
        return TROUPE_CLOSED;
    actor *who = find_actor(self, op->id, true);
    if (who == NULL)
        return TROUPE_NO_MEMORY;
    op->found = who->version;
    if (who->version != op->version)
        return TROUPE_CONFLICT;
    thing *change = NULL;
    troupe_status status = prepare_commit(op, who, &change);
    if (status != TROUPE_OK) {
        drop(change);
        return status;
    }
    apply_commit(who, &op->commit, change);
    op->found = who->version;
    return TROUPE_OK;
}

static size_t limit_of(const troupe_store_op *op)
{
    return op->limit != 0 ? op->limit : 1000;
}

static bool has_type(const actor *who, troupe_slice type)
{
    return troupe_slice_equal(troupe_slice_of(who->text, who->type_size), type);
}

static troupe_status prune(shelf *self, troupe_store_op *op)
{
    for (actor *who = self->actors; who != NULL; who = who->next) {
        uint64_t left = 0;
        for (const thing *at = who->things; at != NULL; at = at->next)
            left += at->kind == SNAPSHOT;
        for (thing **at = &who->things; *at != NULL && has_type(who, op->type);) {
            thing *seen = *at;
            bool goes =
                seen->kind == SNAPSHOT && left-- > 1 &&
                ((op->keep != 0 && left >= op->keep) || (op->until != 0 && seen->time < op->until));
            op->more = op->more || (goes && op->found == limit_of(op));
            if (!goes || op->more) {
                at = &seen->next;
                continue;
            }
            *at = seen->next;
            free(seen);
            op->found++;
        }
    }
    return TROUPE_OK;
}

static troupe_status change(shelf *self, troupe_store_op *op)
{
    writer *named = find_writer(self, op->writer);
    switch (op->kind) {
    case TROUPE_STORE_OPEN_WRITER:
        return named != NULL ? TROUPE_CONFLICT : add_writer(self, op->writer, true);
    case TROUPE_STORE_CLOSE_WRITER:
        if (named == NULL)
            return add_writer(self, op->writer, false);
        named->is_open = false;
        return TROUPE_OK;
    case TROUPE_STORE_CLOSE_OLDER:
        for (writer *at = self->writers; at != NULL; at = at->next) {
            if (at->number >= op->writer || !at->is_open)
                continue;
            at->is_open = false;
            op->found++;
        }
        return TROUPE_OK;
    case TROUPE_STORE_PRUNE:
        return prune(self, op);
    default:
        return commit(self, op);
    }
}

/* ---- reading -------------------------------------------------------------------------------- */

static troupe_status give(troupe_store_op *op, const thing *found, bool with_value)
{
    troupe_store_item item = {.kind = found->kind,
        .number = found->number,
        .time = found->time,
        .key = key_of(found),
        .value = with_value ? value_of(found) : (troupe_slice){NULL, 0}};
    return troupe_store_add(op, &item);
}

static troupe_status load(const actor *who, troupe_store_op *op)
{
    op->found = who->version;
    op->wake = who->wake;
    for (const thing *at = who->things; at != NULL && at->kind < EVENT; at = at->next)
        TROUPE_TRY(give(op, at, true));
    return TROUPE_OK;
}

static troupe_status read_events(const actor *who, troupe_store_op *op)
{
    size_t left = limit_of(op);
    for (const thing *at = who->things; at != NULL && left != 0; at = at->next) {
        if (at->kind != EVENT || at->number < op->from)
            continue;
        TROUPE_TRY(give(op, at, true));
        left--;
    }
    return TROUPE_OK;
}

static troupe_status read_snapshot(const actor *who, troupe_store_op *op)
{
    for (const thing *at = who->things; at != NULL; at = at->next)
        if (at->kind == SNAPSHOT && at->number == op->from)
            return give(op, at, true);
    return TROUPE_NOT_FOUND;
}

/* They are kept oldest first, and there are few. */
static troupe_status list_snapshots(const actor *who, troupe_store_op *op)
{
    uint64_t below = UINT64_MAX;
    for (size_t left = limit_of(op); left != 0; left--) {
        const thing *newest = NULL;
        for (const thing *at = who->things; at != NULL; at = at->next)
            if (at->kind == SNAPSHOT && at->number < below)
                newest = at;
        if (newest == NULL)
            break;
        TROUPE_TRY(give(op, newest, false));
        below = newest->number;
    }
    return TROUPE_OK;
}

static troupe_status give_actor(troupe_store_op *op, const actor *who, uint64_t time)
{
    troupe_store_item item = {.number = who->version, .time = time, .key = text_of(who)};
    return troupe_store_add(op, &item);
}

static troupe_status list_ids(shelf *self, troupe_store_op *op)
{
    size_t left = limit_of(op);
    for (const actor *who = self->actors; who != NULL; who = who->next) {
        if (!who->is_live || !has_type(who, op->type) || compare(text_of(who), op->after) <= 0)
            continue;
        op->more = left == 0;
        if (left-- == 0)
            break;
        TROUPE_TRY(give_actor(op, who, who->time));
    }
    return TROUPE_OK;
}

/* Each look finds the next one: simple, and slow. */
static troupe_status list_due(shelf *self, troupe_store_op *op)
{
    uint64_t wake = op->after.size != 0 ? op->from : 0;
    troupe_slice after = op->after;
    for (size_t left = limit_of(op);; left--) {
        const actor *next = NULL;
        for (const actor *who = self->actors; who != NULL; who = who->next) {
            bool behind =
                who->wake > wake || (who->wake == wake && compare(text_of(who), after) > 0);
            if (who->wake != 0 && who->wake <= op->until && behind &&
                (next == NULL || who->wake < next->wake))
                next = who;
        }
        op->more = next != NULL && left == 0;
        if (next == NULL || left == 0)
            return TROUPE_OK;
        TROUPE_TRY(give_actor(op, next, next->wake));
        wake = next->wake;
        after = text_of(next);
    }
}

static troupe_status answer(shelf *self, troupe_store_op *op)
{
    static const actor nobody;
    const actor *who = NULL;
    if (op->kind != TROUPE_STORE_LIST_IDS && op->kind != TROUPE_STORE_LIST_DUE &&
        op->kind != TROUPE_STORE_HEALTH)
        who = find_actor(self, op->id, false);
    if (who == NULL)
        who = &nobody;
    switch (op->kind) {
    case TROUPE_STORE_LOAD:
        return load(who, op);
    case TROUPE_STORE_READ_EVENTS:
        return read_events(who, op);
    case TROUPE_STORE_LIST_SNAPSHOTS:
        return list_snapshots(who, op);
    case TROUPE_STORE_READ_SNAPSHOT:
        return read_snapshot(who, op);
    case TROUPE_STORE_LIST_IDS:
        return list_ids(self, op);
    case TROUPE_STORE_LIST_DUE:
        return list_due(self, op);
    default:
        return TROUPE_OK;
    }
}

/* ---- records -------------------------------------------------------------------------------- */

static uint64_t checksum(const char *bytes, size_t size)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return sum;
}

/* False: no memory. */
static bool write_bytes(shelf *self, const void *bytes, size_t size)
{
    if (self->room - self->size < size) {
        size_t room = (self->size + size) * 2;
        char *grown = realloc(self->buffer, room);
        if (grown == NULL)
            return false;
        self->buffer = grown;
        self->room = room;
    }
    if (size != 0)
        memcpy(self->buffer + self->size, bytes, size);
    self->size += size;
    return true;
}

static bool write_number(shelf *self, uint64_t number)
{
    return write_bytes(self, &number, sizeof number);
}

static bool write_slice(shelf *self, troupe_slice slice)
{
    return write_number(self, slice.size) && write_bytes(self, slice.data, slice.size);
}

static bool write_body(shelf *self, const troupe_store_op *op)
{
    const troupe_store_commit *of = &op->commit;
    const uint64_t flags =
        (uint64_t)of->erase | (uint64_t)of->has_state << 1 | (uint64_t)of->snapshot << 2;
    const uint64_t numbers[] = {op->kind, op->writer, op->version, op->keep, op->until, op->limit,
        flags, of->wake, of->time, of->row_count, of->event_count};
    bool done = write_bytes(self, numbers, sizeof numbers) && write_slice(self, op->id.type) &&
                write_slice(self, op->id.partition) && write_slice(self, op->id.key) &&
                write_slice(self, op->type) && write_slice(self, of->state);
    for (size_t i = 0; done && i < of->row_count; i++)
        done = write_number(self, of->rows[i].kind) && write_number(self, of->rows[i].remove) &&
               write_slice(self, of->rows[i].key) && write_slice(self, of->rows[i].value);
    for (size_t i = 0; done && i < of->event_count; i++)
        done = write_slice(self, of->events[i].name) && write_slice(self, of->events[i].payload);
    return done;
}

static bool write_record(shelf *self, const troupe_store_op *op)
{
    size_t begin = self->size;
    uint64_t head[2] = {0, 0};
    if (!write_bytes(self, head, sizeof head) || !write_body(self, op)) {
        self->size = begin;
        return false;
    }
    head[0] = self->size - begin - sizeof head;
    head[1] = checksum(self->buffer + begin + sizeof head, head[0]);
    memcpy(self->buffer + begin, head, sizeof head);
    return true;
}

typedef struct reader {
    const char *at;
    size_t left;
} reader;

/* The checksum was right, so the lengths are. */
static uint64_t read_number(reader *from)
{
    uint64_t number = 0;
    memcpy(&number, from->at, sizeof number);
    from->at += sizeof number;
    from->left -= sizeof number;
    return number;
}

static troupe_slice read_slice(reader *from)
{
    size_t size = read_number(from);
    troupe_slice slice = {from->at, size};
    from->at += size;
    from->left -= size;
    return slice;
}

static troupe_status read_commit(shelf *self, troupe_store_op *op, reader *from)
{
    troupe_store_commit *to = &op->commit;
    troupe_store_row *rows = calloc(to->row_count + 1, sizeof *rows);
    troupe_store_event *events = calloc(to->event_count + 1, sizeof *events);
    bool done = rows != NULL && events != NULL;
    for (size_t i = 0; done && i < to->row_count; i++) {
        rows[i].kind = (uint32_t)read_number(from);
        rows[i].remove = read_number(from) != 0;
        rows[i].key = read_slice(from);
        rows[i].value = read_slice(from);
    }
    for (size_t i = 0; done && i < to->event_count; i++) {
        events[i].name = read_slice(from);
        events[i].payload = read_slice(from);
    }
    to->rows = rows;
    to->events = events;
    troupe_status status = done ? change(self, op) : TROUPE_NO_MEMORY;
    free(rows);
    free(events);
    return status;
}

static troupe_status replay(shelf *self, reader from)
{
    troupe_store_op op = {.kind = (troupe_store_kind)read_number(&from)};
    troupe_store_commit *to = &op.commit;
    op.writer = read_number(&from);
    op.version = read_number(&from);
    op.keep = read_number(&from);
    op.until = read_number(&from);
    op.limit = read_number(&from);
    uint64_t flags = read_number(&from);
    to->erase = (flags & 1) != 0;
    to->has_state = (flags & 2) != 0;
    to->snapshot = (flags & 4) != 0;
    to->wake = read_number(&from);
    to->time = read_number(&from);
    to->row_count = read_number(&from);
    to->event_count = read_number(&from);
    op.id.type = read_slice(&from);
    op.id.partition = read_slice(&from);
    op.id.key = read_slice(&from);
    op.type = read_slice(&from);
    to->state = read_slice(&from);
    return read_commit(self, &op, &from);
}

/* ---- the store ------------------------------------------------------------------------------ */

static bool is_change(const troupe_store_op *op)
{
    return op->kind == TROUPE_STORE_COMMIT || op->kind == TROUPE_STORE_PRUNE ||
           op->kind <= TROUPE_STORE_CLOSE_OLDER;
}

static bool flush(shelf *self)
{
    for (size_t at = 0; at < self->size;) {
        ssize_t written = write(self->file, self->buffer + at, self->size - at);
        if (written < 0 && errno != EINTR)
            return false;
        at += written > 0 ? (size_t)written : 0;
    }
    bool done = self->size == 0 || fdatasync(self->file) == 0;
    self->size = 0;
    return done;
}

static troupe_status run_one(shelf *self, troupe_store_op *op)
{
    if (self->broken)
        return TROUPE_UNAVAILABLE;
    if (!is_change(op))
        return answer(self, op);
    size_t before = self->size;
    if (!write_record(self, op))
        return TROUPE_NO_MEMORY;
    troupe_status status = change(self, op);
    if (status != TROUPE_OK)
        self->size = before;
    return status;
}

static void run(troupe_store *store, troupe_store_op *const *ops, size_t count)
{
    shelf *self = (shelf *)store;
    for (size_t i = 0; i < count; i++) {
        ops[i]->found = ops[i]->wake = 0;
        ops[i]->more = false;
        ops[i]->status = run_one(self, ops[i]);
    }
    if (self->broken || flush(self))
        return;
    self->broken = true;
    for (size_t i = 0; i < count; i++) {
        troupe_store_release(ops[i]);
        ops[i]->status = is_change(ops[i]) ? TROUPE_UNKNOWN : TROUPE_UNAVAILABLE;
    }
}

static void close_shelf(troupe_store *store)
{
    shelf *self = (shelf *)store;
    while (self->actors != NULL) {
        actor *who = self->actors;
        self->actors = who->next;
        drop(who->things);
        free(who);
    }
    while (self->writers != NULL) {
        writer *gone = self->writers;
        self->writers = gone->next;
        free(gone);
    }
    if (self->file >= 0)
        close(self->file);
    free(self->buffer);
    free(self);
}

/* Runs all that was written whole, and cuts the rest off. */
static troupe_status read_file(shelf *self)
{
    struct stat about;
    if (fstat(self->file, &about) != 0)
        return TROUPE_UNAVAILABLE;
    size_t size = (size_t)about.st_size, at = 0;
    char *all = malloc(size + 1);
    troupe_status status = all != NULL ? TROUPE_OK : TROUPE_NO_MEMORY;
    if (status == TROUPE_OK && pread(self->file, all, size, 0) != about.st_size)
        status = TROUPE_UNAVAILABLE;
    while (status == TROUPE_OK && size - at >= 2 * sizeof(uint64_t)) {
        uint64_t head[2];
        memcpy(head, all + at, sizeof head);
        const char *body = all + at + sizeof head;
        if (head[0] > size - at - sizeof head || checksum(body, head[0]) != head[1])
            break;
        status = replay(self, (reader){body, head[0]});
        at += sizeof head + head[0];
    }
    free(all);
    if (status == TROUPE_OK && at != size && ftruncate(self->file, (off_t)at) != 0)
        status = TROUPE_UNAVAILABLE;
    return status;
}

static troupe_status open_shelf(const troupe_store_host *host, const char *url,
    troupe_store **ret_store, char *error, size_t error_size)
{
    (void)host; /* it lends an allocator, clocks and the log; malloc will do here */
    const char *path = strchr(url, ':') + 1;
    shelf *self = calloc(1, sizeof *self);
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    self->store = (troupe_store){.size = sizeof self->store,
        .promises = "shelf: P5, by one sync for each group; one process",
        .durable = true,
        .run = run,
        .close = close_shelf};
    self->file = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    troupe_status status = TROUPE_OK;
    if (self->file < 0 || flock(self->file, LOCK_EX | LOCK_NB) != 0) {
        status = errno == ENOENT || errno == EISDIR ? TROUPE_USAGE : TROUPE_UNAVAILABLE;
        snprintf(error, error_size, "shelf: %s: %s", path,
            errno == EWOULDBLOCK ? "another process has it open" : strerror(errno));
    } else {
        status = read_file(self);
        if (status != TROUPE_OK)
            snprintf(error, error_size, "shelf: %s cannot be read: %s", path,
                troupe_status_text(status));
    }
    if (status != TROUPE_OK) {
        close_shelf(&self->store);
        return status;
    }
    *ret_store = &self->store;
    return TROUPE_OK;
}

TROUPE_PROVIDER("shelf", open_shelf);
