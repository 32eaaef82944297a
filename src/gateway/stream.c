/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server-sent events: the lifecycle of this node's actors, and what one actor has committed. Shards
 * bring news to one thread of the gateway, the herald, which writes them into the queue of each
 * stream that wants them; the library's thread takes them out, and lets the connection rest when
 * there are none.
 *
 * Updates are read from the store, so that nothing is told that is not durable, wherever the actor
 * is: at once when a shard of this node says that it has committed, else by a look now and then. Of
 * commits that come faster than the looks the last is told. A look that finds the version that was
 * seen last reads no state.
 *
 * Invariants
 * 1. A queue never grows: a stream whose queue has no room for an event ends behind what is in it.
 * 2. A connection rests (MHD_suspend_connection) while `sleeping` is 1, or is about to; whoever
 * makes that 0 wakes it. It is set behind the suspend, and what may have come is looked at behind
 * that. None rests once `draining` was set, for there may be no herald to wake it.
 * 3. A stream's memory goes when the library has let go of it and no look is under way; only the
 * herald gives it back, or close when the herald has ended.
 * 4. No look begins once `draining` was set and `asked` was seen to be 0.
 *
 * Threads: inside.h; `read_queue`, `let_go` are the library's; `loaded` the store's; `see` and
 * `see_commit` the shards'; all else the herald's, but where it says so.
 */
#include "gateway/codes.h"
#include "gateway/inside.h"

#include "base/mpsc.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    NEWS_MAX = 4096, /* events that the herald has not read */
    QUEUE = 64 * 1024,
    STATE_MAX = 32 * 1024, /* of an update; of a larger one only the version */
    TEXT_MAX = 6 * (TP_ID_MAX + TP_NAME_MAX) + 512, /* of an event, all of it escaped */
};

#define HEARTBEAT TROUPE_SECONDS(5)
#define LOOK      TROUPE_MILLISECONDS(200) /* though nobody says that there is something */
#define LOOK_GAP  TROUPE_MILLISECONDS(10)  /* however often somebody says so */

enum { IDLE, UNDER_WAY, HERE };

typedef struct stream {
    tp_streams *streams;
    struct MHD_Connection *connection;
    bool is_updates;
    tp_route route; /* of updates: the actor; its id lies in it */
    uint64_t hash;  /* the same, as shards name it */
    char type[TP_NAME_MAX + 1], key[TP_KEY_MAX + 1];
    /* the herald's */
    uint64_t said, looked; /* when */
    uint64_t seen;         /* the version that was read last; 0: none */
    bool has_told;         /* a state, and not that it has gone */
    bool is_due;           /* it has committed since the last look began */
    troupe_store_op op;    /* of a look: the store's while that is under way */
    /* whoever meets */
    _Atomic size_t head; /* the herald's: publishes what is before it */
    _Atomic size_t tail; /* the library's: gives room back */
    _Atomic uint32_t sleeping;
    _Atomic bool is_over;  /* nothing comes behind what is in the queue */
    _Atomic bool is_gone;  /* publishes that the library has let go of it */
    _Atomic uint32_t look; /* HERE publishes what the store found */
    char queue[QUEUE];
} stream;

typedef struct news {
    tp_mpsc_node node;
    size_t size;
    troupe_lifecycle event; /* borrows from `text` */
    char text[];
} news;

struct tp_streams {
    tp_gateway *gateway;
    tp_runner runner;
    tp_mpsc news;
    _Atomic(stream *) slots[TP_STREAMS_MAX];
    _Atomic uint64_t hashes[TP_STREAMS_MAX]; /* of the actors whose updates they tell; 0: none */
    _Atomic bool told[TP_STREAMS_MAX];       /* it has committed */
    _Atomic uint32_t listeners;              /* streams of the lifecycle */
    _Atomic uint32_t waiting;                /* news of shards that are not read */
    _Atomic uint64_t missed;                 /* that there was no room for */
    _Atomic bool stops;
    _Atomic bool poked; /* there is something to look at besides news */
    /* The line of the desk lets in one by one: [0] to the lifecycle, [1] to commits. */
    _Atomic bool is_subscribed[2];
    uint64_t subscriptions[2];
    /* the herald's */
    uint64_t now, told_missed;
    char room[TEXT_MAX];
};

/* [any thread] */
static void poke(tp_streams *self)
{
    atomic_store(&self->poked, true);
    self->gateway->host.env->runner_wake(self->gateway->host.env, &self->runner);
}

/* ---- queues ---------------------------------------------------------------------------------- */

static void wake(stream *self)
{
    if (atomic_exchange(&self->sleeping, 0) == 1)
        MHD_resume_connection(self->connection);
}

static void end(stream *self)
{
    atomic_store(&self->is_over, true);
    wake(self);
}

static size_t write_part(stream *self, size_t head, troupe_slice text)
{
    for (size_t done = 0; done < text.size;) {
        size_t at = (head + done) % QUEUE;
        size_t part = text.size - done < QUEUE - at ? text.size - done : QUEUE - at;
        memcpy(self->queue + at, (const char *)text.data + done, part);
        done += part;
    }
    return head + text.size;
}

/* An event, in three parts. */
static void put(stream *self, troupe_slice first, troupe_slice second, troupe_slice third)
{
    size_t head = atomic_load_explicit(&self->head, memory_order_relaxed);
    size_t used = head - atomic_load_explicit(&self->tail, memory_order_acquire);
    if (atomic_load_explicit(&self->is_over, memory_order_relaxed))
        return;
    self->said = self->streams->now;
    if (first.size + second.size + third.size > QUEUE - used) {
        tp_gateway_add(&self->streams->gateway->slow);
        end(self);
        return;
    }
    head = write_part(self, head, first);
    head = write_part(self, head, second);
    atomic_store(&self->head, write_part(self, head, third));
    wake(self);
}

static void put_text(stream *self, troupe_slice text)
{
    put(self, text, (troupe_slice){NULL, 0}, (troupe_slice){NULL, 0});
}

/* [library] */
static bool has_ended(stream *self)
{
    return atomic_load(&self->is_over) || atomic_load(&self->streams->gateway->draining);
}

/* [library] */
static ssize_t read_queue(void *user, uint64_t position, char *out, size_t room)
{
    stream *self = user;
    (void)position;
    size_t tail = atomic_load_explicit(&self->tail, memory_order_relaxed);
    size_t size = atomic_load(&self->head) - tail;
    if (size != 0) {
        size_t at = tail % QUEUE;
        size = size < QUEUE - at ? size : QUEUE - at;
        size = size < room ? size : room;
        memcpy(out, self->queue + at, size);
        atomic_store_explicit(&self->tail, tail + size, memory_order_release);
        return (ssize_t)size;
    }
    if (has_ended(self))
        return MHD_CONTENT_READER_END_OF_STREAM;
    MHD_suspend_connection(self->connection);
    atomic_store(&self->sleeping, 1);
    if (atomic_load(&self->head) != tail || has_ended(self))
        wake(self);
    return 0;
}

/* [library] */
static void let_go(void *user)
{
    stream *self = user;
    tp_streams *streams = self->streams;
    atomic_store(&self->is_gone, true);
    poke(streams);
}

/* ---- news ------------------------------------------------------------------------------------ */

static void release_news(tp_streams *self, news *item)
{
    tp_release(self->gateway->host.allocator, item, sizeof *item + item->size);
}

static troupe_slice keep(char **at, troupe_slice part)
{
    const troupe_slice kept = {*at, part.size};
    if (part.size != 0)
        memcpy(*at, part.data, part.size);
    *at += part.size;
    return kept;
}

static news *make_news(tp_streams *self, const troupe_lifecycle *event)
{
    const troupe_id *id = &event->id;
    size_t size = id->type.size + id->partition.size + id->key.size + event->method.size;
    news *item = tp_allocate(self->gateway->host.allocator, sizeof *item + size);
    if (item == NULL)
        return NULL;
    char *at = item->text;
    item->size = size;
    item->event = *event;
    item->event.id.type = keep(&at, id->type);
    item->event.id.partition = keep(&at, id->partition);
    item->event.id.key = keep(&at, id->key);
    item->event.method = keep(&at, event->method);
    return item;
}

/* [shard] */
static void see(void *user, const troupe_lifecycle *event)
{
    tp_streams *self = user;
    if (atomic_load_explicit(&self->listeners, memory_order_relaxed) == 0)
        return;
    news *item = NULL;
    if (atomic_fetch_add_explicit(&self->waiting, 1, memory_order_relaxed) < NEWS_MAX)
        item = make_news(self, event);
    if (item == NULL) {
        atomic_fetch_sub_explicit(&self->waiting, 1, memory_order_relaxed);
        atomic_fetch_add(&self->missed, 1);
    } else if (tp_mpsc_push(&self->news, &item->node)) {
        self->gateway->host.env->runner_wake(self->gateway->host.env, &self->runner);
    }
}

/* [shard] */
static void see_commit(void *user, uint64_t hash)
{
    tp_streams *self = user;
    bool is_wanted = false;
    for (size_t i = 0; i < TP_STREAMS_MAX; i++) {
        if (atomic_load_explicit(&self->hashes[i], memory_order_relaxed) != hash)
            continue;
        atomic_store(&self->told[i], true);
        is_wanted = true;
    }
    if (is_wanted)
        poke(self);
}

/* ---- looks ----------------------------------------------------------------------------------- */

static void tell_gone(stream *self)
{
    if (self->has_told)
        put_text(self, troupe_str("event: gone\ndata: {}\n\n"));
    self->has_told = false;
}

/* Of an actor may be left what is no state: a reminder. */
static void see_stored(void *user, const troupe_stored *stored)
{
    stream *self = user;
    char head[160];
    tp_text text;
    bool has_state =
        stored->json.size != 0 && stored->json.size <= STATE_MAX && stored->note.size == 0;
    if (!stored->has_state) {
        tell_gone(self);
        return;
    }
    tp_text_init(&text, head, sizeof head);
    tp_text_printf(&text, "id: %" PRIu64 "\nevent: update\ndata: {\"version\":%" PRIu64 "%s",
        stored->version, stored->version, has_state ? ",\"state\":" : "");
    put(self, tp_text_slice(&text), has_state ? stored->json : (troupe_slice){NULL, 0},
        troupe_str("}\n\n"));
    self->has_told = true;
}

/* [store] The herald may give the stream back as soon as the look is not under way. */
static void loaded(troupe_store_op *op)
{
    stream *self = TP_CONTAINER(op, stream, op);
    tp_streams *streams = self->streams;
    atomic_store(&self->look, HERE);
    poke(streams);
    atomic_fetch_sub_explicit(&streams->gateway->asked, 1, memory_order_release);
}

static void start_look(stream *self)
{
    tp_gateway *gateway = self->streams->gateway;
    const tp_gateway_host *host = &gateway->host;
    self->looked = self->streams->now;
    self->is_due = false;
    atomic_fetch_add(&gateway->asked, 1);
    if (!atomic_load(&gateway->draining)) {
        self->op = (troupe_store_op){.done = loaded, .from = self->seen};
        atomic_store(&self->look, UNDER_WAY);
        if (host->load(host->node, self->route.id, &self->op, NULL, 0) == TROUPE_OK)
            return;
        atomic_store(&self->look, IDLE);
    }
    atomic_fetch_sub(&gateway->asked, 1);
}

/* What could not be read now is read by the next look. */
static void end_look(stream *self)
{
    const tp_gateway_host *host = &self->streams->gateway->host;
    uint64_t version = self->op.found;
    atomic_store(&self->look, IDLE);
    if (self->op.status == TROUPE_OK && version == self->seen) {
        troupe_store_release(&self->op);
        return;
    }
    troupe_status status = host->show(host->node, &self->op, see_stored, self, NULL, 0);
    if (status == TROUPE_NOT_FOUND)
        tell_gone(self);
    if (status == TROUPE_OK || status == TROUPE_NOT_FOUND)
        self->seen = version;
}

/* ---- the herald ------------------------------------------------------------------------------ */

static bool wants(const stream *self, const troupe_id *id)
{
    return !self->is_updates &&
           (self->type[0] == 0 || troupe_slice_equal(id->type, troupe_str(self->type))) &&
           (self->key[0] == 0 || troupe_slice_equal(id->key, troupe_str(self->key)));
}

static void write_event(const troupe_lifecycle *event, tp_text *out)
{
    char id[TP_ID_MAX + 1];
    tp_text_printf(out, "event: %s\ndata: {\"actor\":", troupe_lifecycle_kind_name(event->kind));
    tp_text_json(out, troupe_slice_of(id, troupe_id_print(event->id, id, sizeof id)));
    tp_text_printf(out, ",\"shard\":%" PRIu32, event->shard);
    if (event->kind == TROUPE_LIFECYCLE_DEACTIVATED)
        tp_text_printf(out, ",\"reason\":\"%s\"", troupe_reason_name(event->reason));
    if (event->kind == TROUPE_LIFECYCLE_FAILED)
        tp_text_printf(out, ",\"status\":\"%s\"", troupe_status_name(event->status));
    if (event->method.size != 0) {
        tp_text_printf(out, ",\"method\":");
        tp_text_json(out, event->method);
    }
    tp_text_printf(out, "}\n\n");
}

static void tell_all(tp_streams *self, const troupe_lifecycle *event)
{
    tp_text text = {.size = 0};
    for (size_t i = 0; i < TP_STREAMS_MAX; i++) {
        stream *one = atomic_load(&self->slots[i]);
        if (one == NULL || !wants(one, &event->id))
            continue;
        if (text.size == 0) {
            tp_text_init(&text, self->room, sizeof self->room);
            write_event(event, &text);
        }
        put_text(one, tp_text_slice(&text));
    }
}

static void read_news(tp_streams *self)
{
    for (tp_mpsc_node *node = tp_mpsc_drain(&self->news); node != NULL;) {
        news *item = TP_CONTAINER(node, news, node);
        node = node->next;
        atomic_fetch_sub_explicit(&self->waiting, 1, memory_order_relaxed);
        tell_all(self, &item->event);
        release_news(self, item);
    }
}

static void tell_missed(tp_streams *self)
{
    uint64_t missed = atomic_load(&self->missed);
    char text[80];
    if (missed == self->told_missed)
        return;
    int size = snprintf(text, sizeof text, "event: missed\ndata: {\"count\":%" PRIu64 "}\n\n",
        missed - self->told_missed);
    self->told_missed = missed;
    for (size_t i = 0; i < TP_STREAMS_MAX; i++) {
        stream *one = atomic_load(&self->slots[i]);
        if (one != NULL && !one->is_updates)
            put_text(one, troupe_slice_of(text, (size_t)size));
    }
}

static void free_stream(tp_streams *self, size_t slot, stream *one)
{
    atomic_store(&self->hashes[slot], 0);
    atomic_store(&self->slots[slot], NULL);
    if (!one->is_updates)
        atomic_fetch_sub_explicit(&self->listeners, 1, memory_order_relaxed);
    tp_release(self->gateway->host.allocator, one, sizeof *one);
}

/* Returns when it is next to be looked after. */
static uint64_t look_after_updates(tp_streams *self, size_t slot, stream *one)
{
    uint32_t look = atomic_load(&one->look);
    if (look == UNDER_WAY)
        return TP_NEVER; /* its end pokes */
    if (look == HERE)
        end_look(one);
    one->is_due = atomic_exchange(&self->told[slot], false) || one->is_due;
    uint64_t due = one->looked + (one->is_due ? LOOK_GAP : LOOK);
    if (due > self->now)
        return due;
    start_look(one);
    return one->looked + LOOK;
}

/* The same. */
static uint64_t care_for(tp_streams *self, size_t slot, stream *one)
{
    if (atomic_load(&one->is_gone)) {
        uint32_t look = atomic_load(&one->look);
        if (look == HERE)
            troupe_store_release(&one->op);
        if (look != UNDER_WAY)
            free_stream(self, slot, one);
        return TP_NEVER;
    }
    if (atomic_load(&self->gateway->draining)) {
        end(one);
        return TP_NEVER;
    }
    if (self->now - one->said >= HEARTBEAT)
        put_text(one, troupe_str(":\n\n"));
    uint64_t next = one->is_updates ? look_after_updates(self, slot, one) : TP_NEVER;
    uint64_t beat = one->said + HEARTBEAT;
    return next < beat ? next : beat;
}

static uint64_t step(tp_runner *runner)
{
    tp_streams *self = TP_CONTAINER(runner, tp_streams, runner);
    tp_env *env = self->gateway->host.env;
    uint64_t next = TP_NEVER;
    bool stops = atomic_load(&self->stops);
    self->now = env->now(env);
    atomic_store(&self->poked, false);
    read_news(self);
    tell_missed(self);
    for (size_t i = 0; i < TP_STREAMS_MAX; i++) {
        stream *one = atomic_load(&self->slots[i]);
        uint64_t due = one != NULL ? care_for(self, i, one) : TP_NEVER;
        next = due < next ? due : next;
    }
    if (stops)
        return TP_STEP_DONE;
    return next > self->now ? next : self->now + TROUPE_MILLISECONDS(1);
}

static bool has_arrivals(tp_runner *runner)
{
    const tp_streams *self = TP_CONTAINER(runner, tp_streams, runner);
    return !tp_mpsc_is_empty(&self->news) || atomic_load(&self->poked);
}

/* ---- a stream begins ------------------------------------------------------------------------- */

/* [pool] The first who wants lifecycle events, or updates, pays for them. Without news of commits
 * updates are found by looks. */
void tp_stream_prepare(tp_request *request)
{
    tp_streams *self = request->gateway->streams;
    const tp_gateway_host *host = &request->gateway->host;
    bool is_updates = request->route.kind == TP_ROUTE_UPDATES;
    uint64_t *subscription = &self->subscriptions[is_updates];
    troupe_status status = TROUPE_OK;
    if (!atomic_load(&self->is_subscribed[is_updates])) {
        status = is_updates ? host->watch(host->node, see_commit, self, subscription)
                            : host->subscribe(host->node, see, self, subscription);
        atomic_store(&self->is_subscribed[is_updates], status == TROUPE_OK);
    }
    request->streams = is_updates || status == TROUPE_OK;
    request->code = 200;
    request->stage = TP_REQUEST_ANSWERED;
    if (!request->streams)
        tp_request_fail(request, tp_http_code(status, TROUPE_NOT_DONE), "ERR_STREAM", status,
            TROUPE_NOT_DONE, troupe_str(""));
}

bool tp_stream_start(tp_request *request)
{
    const tp_gateway_host *host = &request->gateway->host;
    char words[TP_GATEWAY_WORDS] = "";
    bool is_updates = request->route.kind == TP_ROUTE_UPDATES;
    troupe_status status =
        is_updates ? host->stores(host->node, request->route.id, words, sizeof words) : TROUPE_OK;
    if (status != TROUPE_OK) {
        tp_request_fail(request, tp_http_code(status, TROUPE_NOT_DONE), "ERR_STREAM", status,
            TROUPE_NOT_DONE, troupe_str(words));
        return false;
    }
    if (!atomic_load(&request->gateway->streams->is_subscribed[is_updates]))
        return tp_desk_start(request);
    tp_stream_prepare(request);
    return false;
}

static bool claim(tp_streams *self, stream *one)
{
    for (size_t i = 0; i < TP_STREAMS_MAX; i++) {
        stream *none = NULL;
        if (!atomic_compare_exchange_strong(&self->slots[i], &none, one))
            continue;
        if (one->is_updates)
            atomic_store(&self->hashes[i], one->hash);
        else
            atomic_fetch_add_explicit(&self->listeners, 1, memory_order_relaxed);
        return true;
    }
    return false;
}

static bool read_filter(tp_request *request, stream *one)
{
    if (tp_request_parameter(request, "type", one->type, sizeof one->type) &&
        tp_request_parameter(request, "id", one->key, sizeof one->key))
        return true;
    request->streams = false;
    return false;
}

static stream *make(tp_request *request)
{
    tp_streams *streams = request->gateway->streams;
    const tp_gateway_host *host = &request->gateway->host;
    stream *one = tp_allocate(request->gateway->host.allocator, sizeof *one);
    if (one == NULL)
        return NULL;
    memset(one, 0, offsetof(stream, queue));
    one->streams = streams;
    one->connection = request->connection;
    one->is_updates = request->route.kind == TP_ROUTE_UPDATES;
    one->said = host->env->now(host->env);
    one->looked = one->said - LOOK;
    const char *last = request->last_event;
    if (last != NULL && strlen(last) < 20 && last[strspn(last, "0123456789")] == 0)
        one->seen = strtoull(last, NULL, 10);
    one->has_told = one->seen != 0;
    /* The id borrows from its route. */
    const char *const from = request->route.room;
    one->route = request->route;
    troupe_slice *const parts[] = {
        &one->route.id.type, &one->route.id.partition, &one->route.id.key};
    for (size_t i = 0; one->is_updates && i < 3; i++)
        if (parts[i]->size != 0)
            parts[i]->data = one->route.room + ((const char *)parts[i]->data - from);
    if (one->is_updates)
        one->hash = host->hash(host->node, one->route.id);
    return one;
}

static void refuse(tp_request *request)
{
    request->streams = false;
    tp_gateway_add(&request->gateway->busy);
    tp_request_fail(request, 503, "ERR_STREAM", TROUPE_BUSY, TROUPE_NOT_DONE,
        troupe_str("as many streams are open as there may be: try again later"));
}

struct MHD_Response *tp_stream_open(tp_request *request)
{
    tp_gateway *gateway = request->gateway;
    tp_streams *streams = gateway->streams;
    stream *one = make(request);
    if (one == NULL || !read_filter(request, one) || !claim(streams, one)) {
        tp_release(gateway->host.allocator, one, sizeof *one);
        if (request->streams)
            refuse(request);
        return NULL;
    }
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_queue, one, let_go);
    if (response == NULL) {
        let_go(one);
        refuse(request);
        return NULL;
    }
    poke(streams);
    return response;
}

/* ---- all of them ----------------------------------------------------------------------------- */

troupe_status tp_streams_start(tp_gateway *gateway)
{
    const tp_gateway_host *host = &gateway->host;
    tp_streams *self = tp_allocate_lines(host->allocator, sizeof *self);
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    memset(self, 0, sizeof *self);
    tp_mpsc_init(&self->news);
    self->gateway = gateway;
    self->runner = (tp_runner){
        .step = step, .has_arrivals = has_arrivals, .name = "troupe-herald", .own_thread = true};
    troupe_status status = host->env->runner_start(host->env, &self->runner);
    if (status != TROUPE_OK) {
        tp_release_lines(host->allocator, self, sizeof *self);
        return status;
    }
    gateway->streams = self;
    return TROUPE_OK;
}

void tp_streams_drain(tp_gateway *gateway)
{
    poke(gateway->streams);
}

bool tp_streams_stop(tp_gateway *gateway)
{
    tp_streams *self = gateway->streams;
    const tp_gateway_host *host = &gateway->host;
    for (int i = 0; i < 2; i++) {
        if (!atomic_load(&self->is_subscribed[i]))
            continue;
        if (host->unsubscribe(host->node, self->subscriptions[i]) != TROUPE_OK)
            return false;
        atomic_store(&self->is_subscribed[i], false);
    }
    atomic_store(&self->stops, true);
    poke(self);
    host->env->runner_join(host->env, &self->runner);
    return true;
}

void tp_streams_release(tp_gateway *gateway)
{
    tp_streams *self = gateway->streams;
    if (self == NULL)
        return;
    for (tp_mpsc_node *node = tp_mpsc_drain(&self->news); node != NULL;) {
        news *item = TP_CONTAINER(node, news, node);
        node = node->next;
        release_news(self, item);
    }
    for (size_t i = 0; i < TP_STREAMS_MAX; i++) {
        stream *one = atomic_load(&self->slots[i]);
        if (one != NULL && atomic_load(&one->look) == HERE)
            troupe_store_release(&one->op);
        if (one != NULL)
            free_stream(self, i, one);
    }
    tp_release_lines(gateway->host.allocator, self, sizeof *self);
    gateway->streams = NULL;
}
