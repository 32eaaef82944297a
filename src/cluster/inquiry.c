/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to shards of any node. See inquiry.h. */
#include "cluster/inquiry.h"

#include "base/alloc.h"
#include "cluster/outpost_inside.h"

enum { PENDING, DONE, VOID };

/* One question on its way: of who waits and of the shard that carries it. */
typedef struct inquiry {
    tp_inbound inbound;
    tp_link link; /* in `open` of the carrier */
    tp_shared *shared;
    tp_waiter waiter;
    _Atomic uint32_t state; /* who wins: the carrier answers, or who waits gives it up */
    _Atomic uint32_t holders;
    uint64_t number;
    troupe_status status;
    char *answer;
    size_t answer_size;
    tp_inquiry_question question;
} inquiry;

/* ---- bytes ----------------------------------------------------------------------------------- */

static char *put_short(char *at, troupe_slice text)
{
    return tp_put_bytes(tp_put_8(at, (unsigned)text.size), text);
}

static char *put_long(char *at, troupe_slice text)
{
    return tp_put_bytes(tp_put_16(at, (unsigned)text.size), text);
}

void tp_inquiry_ask_id(tp_inquiry_question *question, unsigned kind, uint64_t hash,
    troupe_slice type, troupe_slice partition, troupe_slice key)
{
    char *at = tp_put_64(tp_put_8(question->bytes, kind), hash);
    at = put_long(put_short(put_short(at, type), partition), key);
    question->size = (size_t)(at - question->bytes);
}

void tp_inquiry_ask_move(tp_inquiry_question *question, uint64_t hash, troupe_slice type,
    troupe_slice partition, troupe_slice key, uint64_t to)
{
    char *at = tp_put_64(tp_put_8(question->bytes, TP_INQUIRY_MOVE), to);
    at = put_long(put_short(put_short(tp_put_64(at, hash), type), partition), key);
    question->size = (size_t)(at - question->bytes);
}

void tp_inquiry_ask_page(tp_inquiry_question *question, uint64_t cursor, uint32_t limit,
    troupe_slice type, troupe_slice pattern)
{
    char *at = tp_put_64(tp_put_8(question->bytes, TP_INQUIRY_PAGE_OF), cursor);
    at = put_long(put_short(tp_put_32(at, limit), type), pattern);
    question->size = (size_t)(at - question->bytes);
}

/* An answer that grows; `failed`: no memory. */
typedef struct writing {
    const troupe_allocator *allocator;
    char *data;
    size_t size, room;
    bool failed;
} writing;

static char *grow(writing *self, size_t size)
{
    if (self->size + size > self->room && !self->failed) {
        size_t room = (self->size + size) * 2;
        char *grown = tp_reallocate(self->allocator, self->data, self->room, room);
        if (grown == NULL)
            self->failed = true;
        else
            self->data = grown, self->room = room;
    }
    if (self->failed)
        return NULL;
    char *at = self->data + self->size;
    self->size += size;
    return at;
}

static bool begin_answer(writing *self, const troupe_allocator *allocator)
{
    *self = (writing){.allocator = allocator, .data = tp_allocate(allocator, 256), .room = 256};
    self->failed = self->data == NULL;
    return !self->failed;
}

/* Whose size is what was written: as who waits releases it. */
static void end_answer(writing *self)
{
    char *fit = self->failed || self->size == self->room
                    ? NULL
                    : tp_reallocate(self->allocator, self->data, self->room, self->size);
    if (fit != NULL) {
        self->data = fit;
        self->room = self->size;
    } else if (!self->failed && self->size != self->room) {
        self->failed = true;
    }
    if (self->failed) {
        tp_release(self->allocator, self->data, self->data != NULL ? self->room : 0);
        self->data = NULL;
    }
}

/* ---- answering ------------------------------------------------------------------------------- */

static const char *read_id(
    tp_outpost *self, tp_in *in, tp_directory_id *ret_id, const tp_type **ret_type)
{
    ret_id->hash = tp_in_64(in);
    troupe_slice type = tp_in_bytes(in, tp_in_8(in));
    ret_id->partition = tp_in_bytes(in, tp_in_8(in));
    ret_id->key = tp_in_bytes(in, tp_in_16(in));
    if (!tp_in_ok(in) || type.size == 0 || type.size > TP_NAME_MAX || ret_id->key.size == 0 ||
        ret_id->key.size > TP_KEY_MAX || ret_id->partition.size > TP_NAME_MAX)
        return "a question of it is about no id";
    *ret_type = tp_foreign_learn(self->shard->shared, type, 0);
    ret_id->type = *ret_type != NULL ? (*ret_type)->number : 0;
    return NULL;
}

static void answer_home(tp_outpost *self, const tp_directory_id *id, writing *out)
{
    tp_directory_place place = tp_directory_look(self->directory, id);
    unsigned flags =
        (place.strong ? TP_HOME_IS_HOME : 0u) | (place.settled ? TP_HOME_IS_SETTLED : 0u);
    char *at = grow(out, 8 + 4 + 1);
    if (at != NULL)
        tp_put_8(tp_put_32(tp_put_64(at, place.host), place.activations), flags);
}

static void put_sight(void *user, const troupe_actor_info *info)
{
    troupe_slice phase = troupe_str(info->phase);
    char *at = grow(user, 1 + 4 + 6 * 8 + 2 * 4 + 1 + phase.size);
    if (at == NULL)
        return;
    at = tp_put_32(tp_put_8(at, 1), info->shard);
    at = tp_put_64(tp_put_64(tp_put_64(at, info->age), info->idle), info->received);
    at = tp_put_64(tp_put_64(tp_put_64(at, info->processed), info->errors), info->bytes);
    put_short(tp_put_32(tp_put_32(at, info->queued), info->parked), phase);
}

static void answer_sight(
    tp_outpost *self, const tp_directory_id *id, const tp_type *type, writing *out)
{
    const troupe_id name = {type->name, id->partition, id->key};
    if (!tp_type_is_foreign(type) &&
        tp_inspect_actor(self->shard, type, name, id->hash, put_sight, out))
        return;
    char *at = grow(out, 1);
    if (at != NULL)
        tp_put_8(at, 0);
}

static void answer_move(
    tp_outpost *self, const tp_directory_id *id, const tp_type *type, uint64_t to, writing *out)
{
    troupe_status status = TROUPE_NOT_FOUND;
    if (type != NULL && !tp_type_is_foreign(type))
        status = tp_outpost_move(self, id, to);
    char *at = grow(out, 4);
    if (at != NULL)
        tp_put_32(at, (uint32_t)status);
}

typedef struct page {
    tp_outpost *outpost;
    writing *out;
    troupe_slice pattern;
    uint32_t count;
} page;

static bool matches(void *user, const tp_directory_id *id)
{
    const page *self = user;
    return tp_inspect_matches(self->pattern, id->key);
}

static void put_item(void *user, const tp_directory_item *item)
{
    page *self = user;
    const tp_directory_id *id = &item->id;
    troupe_slice type = tp_type_at(self->outpost->shard->shared, id->type)->name;
    size_t size = 8 + 1 + type.size + 1 + id->partition.size + 2 + id->key.size;
    char *at = grow(self->out, size);
    if (at == NULL)
        return;
    put_long(put_short(put_short(tp_put_64(at, item->host), type), id->partition), id->key);
    self->count++;
}

static const char *answer_page(tp_outpost *self, tp_in *in, writing *out)
{
    uint64_t cursor = tp_in_64(in);
    uint32_t limit = tp_in_32(in), number = UINT32_MAX;
    troupe_slice name = tp_in_bytes(in, tp_in_8(in));
    page asked = {.outpost = self, .out = out, .pattern = tp_in_bytes(in, tp_in_16(in))};
    if (!tp_in_ok(in) || name.size > TP_NAME_MAX || asked.pattern.size > TP_PATTERN_MAX)
        return "a question of it is no question";
    if (name.size != 0) {
        const tp_type *type = tp_type_known(self->shard->shared, name);
        number = type != NULL ? type->number : TP_FOREIGN_FIRST + TP_FOREIGN_MAX; /* nobody's */
    }
    if (grow(out, 8 + 1 + 4) == NULL)
        return NULL;
    bool settled = tp_directory_page(self->directory, number, &cursor,
        limit < TP_INQUIRY_PAGE ? limit : TP_INQUIRY_PAGE, matches, put_item, &asked);
    if (!out->failed)
        tp_put_32(tp_put_8(tp_put_64(out->data, cursor), settled), asked.count);
    return NULL;
}

/* A fault; or the answer is in `out`, unless it has failed. */
static const char *answer(tp_outpost *self, troupe_slice question, writing *out)
{
    if (!begin_answer(out, self->shard->shared->allocator))
        return NULL;
    tp_in in = tp_in_of(question.data, question.size);
    tp_directory_id id;
    const tp_type *type = NULL;
    const char *fault = NULL;
    uint64_t to;
    switch (tp_in_8(&in)) {
    case TP_INQUIRY_HOME:
    case TP_INQUIRY_SIGHT:
        fault = read_id(self, &in, &id, &type);
        if (fault != NULL)
            break;
        if (type == NULL)
            out->failed = true;
        else if (((const char *)question.data)[0] == TP_INQUIRY_HOME)
            answer_home(self, &id, out);
        else
            answer_sight(self, &id, type, out);
        break;
    case TP_INQUIRY_MOVE:
        to = tp_in_64(&in);
        fault = read_id(self, &in, &id, &type);
        if (fault == NULL)
            answer_move(self, &id, type, to, out);
        break;
    case TP_INQUIRY_PAGE_OF:
        fault = answer_page(self, &in, out);
        break;
    default:
        fault = "a question of it is of a kind that is not known here";
    }
    out->failed |= fault != NULL;
    end_answer(out);
    return fault;
}

/* ---- carrying -------------------------------------------------------------------------------- */

static void let_go(inquiry *self)
{
    if (atomic_fetch_sub_explicit(&self->holders, 1, memory_order_acq_rel) != 1)
        return;
    const troupe_allocator *allocator = self->shared->allocator;
    tp_release(allocator, self->answer, self->answer != NULL ? self->answer_size : 0);
    tp_release(allocator, self, sizeof *self);
}

/* Takes the answer, of the shared allocator. */
static void finish(inquiry *self, troupe_status status, char *given, size_t size)
{
    uint32_t pending = PENDING;
    self->status = status;
    self->answer = given;
    self->answer_size = size;
    if (atomic_compare_exchange_strong(&self->state, &pending, DONE))
        self->shared->env->signal(self->shared->env, &self->waiter);
    let_go(self);
}

static void finish_here(tp_outpost *outpost, inquiry *self)
{
    writing out;
    const troupe_slice question = {self->question.bytes, self->question.size};
    const char *fault = answer(outpost, question, &out);
    if (out.failed)
        finish(self, fault != NULL ? TROUPE_USAGE : TROUPE_NO_MEMORY, NULL, 0);
    else
        finish(self, TROUPE_OK, out.data, out.size);
}

static troupe_status say(
    tp_outpost *outpost, tp_channel *channel, unsigned what, uint64_t number, troupe_slice body)
{
    const tp_wire_word word = {.what = (uint8_t)what, .body = {NULL, 0}};
    size_t head = tp_wire_word_size(&word);
    char *at;
    uint64_t frame;
    troupe_status status =
        tp_session_put(&channel->session, TP_FRAME_WORD, 0, head + 8 + body.size, &at, &frame);
    if (status != TROUPE_OK) {
        tp_count(&outpost->shard->counters.no_memory);
        return status;
    }
    tp_wire_word_put(at, &word);
    tp_put_bytes(tp_put_64(at + head, number), body);
    return TROUPE_OK;
}

static void arrive(tp_shard *shard, tp_inbound *inbound)
{
    inquiry *self = TP_CONTAINER(inbound, inquiry, inbound);
    tp_outpost *outpost = tp_outpost_of(shard);
    const tp_inquiry_question *question = &self->question;
    if (outpost == NULL || outpost->chart == NULL) {
        finish(self, TROUPE_UNAVAILABLE, NULL, 0);
        return;
    }
    if (question->node == outpost->options.incarnation) {
        finish_here(outpost, self);
        return;
    }
    if (outpost->inquiries.count == TP_INQUIRIES_MAX) {
        tp_inquiries_tick(outpost);
        if (outpost->inquiries.count == TP_INQUIRIES_MAX) {
            finish(self, TROUPE_BUSY, NULL, 0);
            return;
        }
    }
    tp_channel *channel = tp_outpost_channel(outpost, question->node, question->shard);
    self->number = ++outpost->inquiries.next;
    troupe_status status = channel == NULL ? TROUPE_UNAVAILABLE
                                           : say(outpost, channel, TP_WORD_INQUIRY, self->number,
                                                 (troupe_slice){question->bytes, question->size});
    if (status != TROUPE_OK) {
        finish(self, status, NULL, 0);
        return;
    }
    tp_list_push_back(&outpost->inquiries.open, &self->link);
    outpost->inquiries.count++;
}

static void take_out(tp_inquiries *inquiries, inquiry *self)
{
    tp_list_remove(&self->link);
    inquiries->count--;
}

static void informed(tp_outpost *outpost, uint64_t from, tp_in *in)
{
    uint64_t number = tp_in_64(in);
    troupe_slice body = tp_in_rest(in);
    tp_link *next;
    for (tp_link *link = outpost->inquiries.open.head.next; link != &outpost->inquiries.open.head;
         link = next) {
        next = link->next;
        inquiry *self = TP_CONTAINER(link, inquiry, link);
        if (self->number != number || self->question.node != from)
            continue;
        take_out(&outpost->inquiries, self);
        char *copy = tp_allocate(self->shared->allocator, body.size + (body.size == 0));
        if (copy != NULL && body.size != 0)
            memcpy(copy, body.data, body.size);
        size_t size = body.size + (body.size == 0);
        finish(self, copy != NULL ? TROUPE_OK : TROUPE_NO_MEMORY, copy, size);
        return;
    }
}

const char *tp_inquiry_came(
    tp_outpost *outpost, tp_channel *channel, unsigned what, troupe_slice body)
{
    tp_in in = tp_in_of(body.data, body.size);
    if (body.size < 8)
        return "it is shorter than it says";
    if (what == TP_WORD_INFORMED) {
        informed(outpost, channel->peer, &in);
        return NULL;
    }
    uint64_t number = tp_in_64(&in);
    writing out;
    const char *fault = answer(outpost, tp_in_rest(&in), &out);
    if (fault != NULL || out.failed)
        return fault; /* without memory: who asks waits for its time */
    (void)!say(outpost, channel, TP_WORD_INFORMED, number, (troupe_slice){out.data, out.size});
    tp_release(outpost->shard->shared->allocator, out.data, out.room);
    return NULL;
}

void tp_inquiries_tick(tp_outpost *outpost)
{
    tp_link *next;
    for (tp_link *link = outpost->inquiries.open.head.next; link != &outpost->inquiries.open.head;
         link = next) {
        next = link->next;
        inquiry *self = TP_CONTAINER(link, inquiry, link);
        bool is_void = atomic_load(&self->state) == VOID;
        if (!is_void && tp_chart_member(outpost->chart, self->question.node) != NULL)
            continue;
        take_out(&outpost->inquiries, self);
        finish(self, TROUPE_UNAVAILABLE, NULL, 0);
    }
}

void tp_inquiries_init(tp_inquiries *self)
{
    *self = (tp_inquiries){0};
    tp_list_init(&self->open);
}

void tp_inquiries_deinit(tp_inquiries *self)
{
    while (!tp_list_is_empty(&self->open)) {
        inquiry *left = TP_CONTAINER(self->open.head.next, inquiry, link);
        take_out(self, left);
        finish(left, TROUPE_CLOSED, NULL, 0);
    }
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* The shard of this node that carries it: the one that is asked, or the one it is linked to. */
static uint32_t carrier_of(const tp_shared *shared, const tp_inquiry_question *question)
{
    return question->shard % shared->shard_count;
}

troupe_status tp_inquire(tp_shared *shared, const tp_inquiry_question *question, uint64_t deadline,
    char **ret_answer, size_t *ret_size)
{
    tp_env *env = shared->env;
    inquiry *self = tp_allocate_zeroed(shared->allocator, sizeof *self);
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    self->inbound.arrive = arrive;
    self->shared = shared;
    self->question = *question;
    atomic_store_explicit(&self->holders, 2, memory_order_relaxed);
    troupe_status status = env->wait_begin(env, &self->waiter);
    if (status != TROUPE_OK) {
        tp_release(shared->allocator, self, sizeof *self);
        return status;
    }
    tp_inbox_push(shared->shards[carrier_of(shared, question)], &self->inbound);
    bool is_done = env->wait(env, &self->waiter, deadline);
    uint32_t pending = PENDING;
    if (!is_done && !atomic_compare_exchange_strong(&self->state, &pending, VOID)) {
        (void)env->wait(env, &self->waiter, TP_NEVER); /* it has just come */
        is_done = true;
    }
    env->wait_end(env, &self->waiter);
    status = is_done ? self->status : TROUPE_TIMEOUT;
    if (status == TROUPE_OK) {
        *ret_answer = self->answer;
        *ret_size = self->answer_size;
        self->answer = NULL;
    }
    let_go(self);
    return status;
}
