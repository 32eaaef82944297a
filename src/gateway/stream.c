/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server-sent events: the lifecycle of this node's actors, and what one actor has committed. Shards
 * and jobs bring news to one thread of the gateway, the herald, which writes them into the queue of
 * each stream that wants them; the library's thread takes them out, and lets the connection rest
 * when there are none.
 *
 * Updates are looked for in the store, so that nothing is told that is not durable, wherever the
 * actor is; of commits that come faster than the looks the last is told.
 *
 * Invariants
 * 1. A queue never grows: a stream whose queue has no room for an event ends behind what is in it.
 * 2. A connection rests (MHD_suspend_connection) while `sleeping` is 1, or is about to; whoever
 * makes that 0 wakes it. It is set behind the suspend, and what may have come is looked at behind
 * that.
 * 3. A stream's memory goes when the library has let go of it and no look is under way; only the
 * herald gives it back, or close when the herald has ended.
 * 4. No look begins once `draining` was set and `asked` was seen to be 0.
 *
 * Threads: inside.h; `read`, `let_go` are the library's; `run`, `done` of looks the pool's;
 * tp_streams_see the shards'; all else the herald's, but where it says so.
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
    TEXT_MAX = 6 * (TP_ID_MAX + TP_NAME_MAX) + 512,
};

#define HEARTBEAT TROUPE_SECONDS(5)
#define LOOK      TROUPE_MILLISECONDS(200)

typedef struct stream {
    tp_streams *streams;
    struct MHD_Connection *connection;
    bool is_updates;
    tp_route route; /* of updates: the actor; its id lies in it */
    char type[TP_NAME_MAX + 1], key[TP_KEY_MAX + 1];
    /* the herald's */
    uint64_t said, looked; /* when */
    uint64_t version;      /* that was told last; 0: none */
    /* of a look: the pool's meanwhile */
    tp_job job;
    struct news *found;
    /* whoever meets */
    _Atomic size_t head; /* the herald's: publishes what is before it */
    _Atomic size_t tail; /* the library's: gives room back */
    _Atomic uint32_t sleeping;
    _Atomic bool is_over; /* nothing comes behind what is in the queue */
    _Atomic bool is_gone; /* publishes that the library has let go of it */
    _Atomic bool is_looking;
    char queue[QUEUE];
} stream;

typedef struct news {
    tp_mpsc_node node;
    stream *to; /* a look's; NULL: for all whom it concerns */
    size_t size;
    uint64_t version; /* of a look; 0: nothing is stored */
    bool is_found;    /* a look's: the store was asked with success */
    troupe_slice type, key;
    char text[]; /* type and key, and then the event */
} news;

struct tp_streams {
    tp_gateway *gateway;
    tp_runner runner;
    tp_mpsc news;
    _Atomic(stream *) slots[TP_STREAMS_MAX];
    _Atomic uint32_t count;
    _Atomic uint32_t waiting; /* news of shards that are not read */
    _Atomic uint64_t missed;  /* that there was no room for */
    _Atomic bool stops;
    _Atomic bool poked;          /* there is something to look at besides news */
    _Atomic uint32_t subscribed; /* 1: is being; 2: is */
    uint64_t subscription;
    uint64_t told_missed; /* the herald's */
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

static void put(stream *self, troupe_slice text, uint64_t now)
{
    size_t head = atomic_load_explicit(&self->head, memory_order_relaxed);
    size_t used = head - atomic_load_explicit(&self->tail, memory_order_acquire);
    if (atomic_load_explicit(&self->is_over, memory_order_relaxed))
        return;
    self->said = now;
    if (text.size > QUEUE - used) {
        tp_gateway_add(&self->streams->gateway->slow);
        end(self);
        return;
    }
    for (size_t done = 0; done < text.size;) {
        size_t at = (head + done) % QUEUE;
        size_t part = text.size - done < QUEUE - at ? text.size - done : QUEUE - at;
        memcpy(self->queue + at, (const char *)text.data + done, part);
        done += part;
    }
    atomic_store(&self->head, head + text.size);
    wake(self);
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
    if (atomic_load(&self->is_over))
        return MHD_CONTENT_READER_END_OF_STREAM;
    MHD_suspend_connection(self->connection);
    atomic_store(&self->sleeping, 1);
    if (atomic_load(&self->head) != tail || atomic_load(&self->is_over))
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
    if (item != NULL)
        tp_release(self->gateway->host.allocator, item, sizeof *item + item->size);
}

static news *make_news(tp_streams *self, size_t size)
{
    news *item = tp_allocate(self->gateway->host.allocator, sizeof *item + size);
    if (item != NULL)
        *item = (news){.size = size};
    return item;
}

static void bring(tp_streams *self, news *item)
{
    if (tp_mpsc_push(&self->news, &item->node))
        self->gateway->host.env->runner_wake(self->gateway->host.env, &self->runner);
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

/* [shard] */
static void see(void *user, const troupe_lifecycle *event)
{
    tp_streams *self = user;
    char room[TEXT_MAX];
    tp_text text;
    if (atomic_load_explicit(&self->count, memory_order_relaxed) == 0)
        return;
    tp_text_init(&text, room, sizeof room);
    write_event(event, &text);
    troupe_slice type = event->id.type, key = event->id.key;
    news *item = NULL;
    if (atomic_fetch_add_explicit(&self->waiting, 1, memory_order_relaxed) < NEWS_MAX)
        item = make_news(self, type.size + key.size + text.size);
    if (item == NULL) {
        atomic_fetch_sub_explicit(&self->waiting, 1, memory_order_relaxed);
        atomic_fetch_add(&self->missed, 1);
        return;
    }
    item->type = (troupe_slice){item->text, type.size};
    item->key = (troupe_slice){item->text + type.size, key.size};
    memcpy(item->text, type.data, type.size);
    memcpy(item->text + type.size, key.data, key.size);
    memcpy(item->text + type.size + key.size, text.data, text.size);
    bring(self, item);
}

/* ---- looks ----------------------------------------------------------------------------------- */

/* [pool] The event, if it is another version than the one told. */
static void see_stored(void *user, const troupe_stored *stored)
{
    stream *self = user;
    char head[160];
    tp_text text;
    bool has_state =
        stored->json.size != 0 && stored->json.size <= STATE_MAX && stored->note.size == 0;
    if (stored->version == self->version || !stored->has_state)
        return;
    tp_text_init(&text, head, sizeof head);
    tp_text_printf(&text, "id: %" PRIu64 "\nevent: update\ndata: {\"version\":%" PRIu64 "%s",
        stored->version, stored->version, has_state ? ",\"state\":" : "");
    size_t state = has_state ? stored->json.size : 0;
    news *item = make_news(self->streams, text.size + state + 3);
    if (item == NULL)
        return; /* the next look finds it */
    memcpy(item->text, text.data, text.size);
    if (state != 0)
        memcpy(item->text + text.size, stored->json.data, state);
    memcpy(item->text + text.size + state, "}\n\n", 3);
    item->version = stored->version;
    self->found = item;
}

/* [pool] */
static void run_look(tp_job *job)
{
    stream *self = TP_CONTAINER(job, stream, job);
    const tp_gateway_host *host = &self->streams->gateway->host;
    char words[TP_GATEWAY_WORDS];
    troupe_status status =
        host->look(host->node, self->route.id, see_stored, self, words, sizeof words);
    if (self->found == NULL)
        self->found = make_news(self->streams, 0);
    if (self->found == NULL)
        return; /* `done` says so without */
    self->found->to = self;
    self->found->is_found = status == TROUPE_OK || status == TROUPE_NOT_FOUND;
    if (status == TROUPE_OK && self->found->size == 0)
        self->found->version = self->version;
}

/* [pool] The herald may give the stream back as soon as the look is not under way. */
static void done_look(tp_job *job)
{
    stream *self = TP_CONTAINER(job, stream, job);
    tp_streams *streams = self->streams;
    tp_gateway *gateway = streams->gateway;
    news *item = self->found;
    self->found = NULL;
    if (item != NULL) {
        bring(streams, item);
    } else {
        atomic_store(&self->is_looking, false);
        poke(streams);
    }
    atomic_fetch_sub_explicit(&gateway->asked, 1, memory_order_release);
}

static void start_look(stream *self, uint64_t now)
{
    tp_gateway *gateway = self->streams->gateway;
    tp_env *env = gateway->host.env;
    self->looked = now;
    atomic_fetch_add(&gateway->asked, 1);
    if (!atomic_load(&gateway->draining)) {
        self->job = (tp_job){.run = run_look, .done = done_look};
        atomic_store(&self->is_looking, true);
        if (env->job_start(env, &self->job) == TROUPE_OK)
            return;
        atomic_store(&self->is_looking, false);
    }
    atomic_fetch_sub(&gateway->asked, 1);
}

static void tell_found(stream *self, const news *item, uint64_t now)
{
    static const char gone[] = "event: gone\ndata: {}\n\n";
    atomic_store(&self->is_looking, false);
    if (!item->is_found || item->version == self->version)
        return;
    self->version = item->version;
    put(self,
        item->version != 0 ? (troupe_slice){item->text, item->size}
                           : troupe_slice_of(gone, sizeof gone - 1),
        now);
}

/* ---- the herald ------------------------------------------------------------------------------ */

static bool wants(const stream *self, const news *item)
{
    return !self->is_updates &&
           (self->type[0] == 0 || troupe_slice_equal(item->type, troupe_str(self->type))) &&
           (self->key[0] == 0 || troupe_slice_equal(item->key, troupe_str(self->key)));
}

static void tell_all(tp_streams *self, const news *item, uint64_t now)
{
    size_t names = item->type.size + item->key.size;
    const troupe_slice text = {item->text + names, item->size - names};
    for (size_t i = 0; i < TP_STREAMS_MAX; i++) {
        stream *one = atomic_load(&self->slots[i]);
        if (one != NULL && wants(one, item))
            put(one, text, now);
    }
}

static void read_news(tp_streams *self, uint64_t now)
{
    for (tp_mpsc_node *node = tp_mpsc_drain(&self->news); node != NULL;) {
        news *item = TP_CONTAINER(node, news, node);
        node = node->next;
        if (item->to != NULL) {
            tell_found(item->to, item, now);
        } else {
            atomic_fetch_sub_explicit(&self->waiting, 1, memory_order_relaxed);
            tell_all(self, item, now);
        }
        release_news(self, item);
    }
}

static void tell_missed(tp_streams *self, uint64_t now)
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
            put(one, troupe_slice_of(text, (size_t)size), now);
    }
}

static void free_stream(tp_streams *self, size_t slot, stream *one)
{
    atomic_store(&self->slots[slot], NULL);
    atomic_fetch_sub_explicit(&self->count, 1, memory_order_relaxed);
    tp_release(self->gateway->host.allocator, one, sizeof *one);
}

/* Returns when it is next to be looked after. */
static uint64_t care_for(tp_streams *self, size_t slot, stream *one, uint64_t now)
{
    if (atomic_load(&one->is_gone)) {
        if (!atomic_load(&one->is_looking))
            free_stream(self, slot, one);
        return TP_NEVER;
    }
    if (atomic_load(&self->gateway->draining)) {
        end(one);
        return TP_NEVER;
    }
    if (now - one->said >= HEARTBEAT)
        put(one, troupe_str(":\n\n"), now);
    uint64_t next = one->said + HEARTBEAT;
    if (!one->is_updates)
        return next;
    if (!atomic_load(&one->is_looking) && now - one->looked >= LOOK)
        start_look(one, now);
    return next < one->looked + LOOK ? next : one->looked + LOOK;
}

static uint64_t step(tp_runner *runner)
{
    tp_streams *self = TP_CONTAINER(runner, tp_streams, runner);
    tp_env *env = self->gateway->host.env;
    uint64_t now = env->now(env), next = TP_NEVER;
    bool stops = atomic_load(&self->stops);
    atomic_store(&self->poked, false);
    read_news(self, now);
    tell_missed(self, now);
    for (size_t i = 0; i < TP_STREAMS_MAX; i++) {
        stream *one = atomic_load(&self->slots[i]);
        uint64_t due = one != NULL ? care_for(self, i, one, now) : TP_NEVER;
        next = due < next ? due : next;
    }
    if (stops)
        return TP_STEP_DONE;
    return next > now ? next : now + TROUPE_MILLISECONDS(1);
}

static bool has_arrivals(tp_runner *runner)
{
    const tp_streams *self = TP_CONTAINER(runner, tp_streams, runner);
    return !tp_mpsc_is_empty(&self->news) || atomic_load(&self->poked);
}

/* ---- a stream begins ------------------------------------------------------------------------- */

/* [pool] The first who wants lifecycle events pays for them. */
static troupe_status subscribe(tp_streams *self)
{
    const tp_gateway_host *host = &self->gateway->host;
    uint32_t none = 0;
    if (!atomic_compare_exchange_strong(&self->subscribed, &none, 1))
        return TROUPE_OK;
    troupe_status status = host->subscribe(host->node, see, self, &self->subscription);
    atomic_store(&self->subscribed, status == TROUPE_OK ? 2 : 0);
    return status;
}

static void ignore(void *user, const troupe_stored *stored)
{
    (void)user;
    (void)stored;
}

void tp_stream_prepare(tp_request *request)
{
    tp_gateway *gateway = request->gateway;
    const tp_gateway_host *host = &gateway->host;
    char words[TP_GATEWAY_WORDS] = "";
    troupe_status status =
        request->route.kind == TP_ROUTE_EVENTS
            ? subscribe(gateway->streams)
            : host->look(host->node, request->route.id, ignore, NULL, words, sizeof words);
    request->streams = status == TROUPE_OK || status == TROUPE_NOT_FOUND;
    request->code = 200;
    request->stage = TP_REQUEST_ANSWERED;
    if (!request->streams)
        tp_request_fail(request, tp_http_code(status, TROUPE_NOT_DONE), "ERR_STREAM", status,
            TROUPE_NOT_DONE, troupe_str(words));
}

static bool claim(tp_streams *self, stream *one)
{
    for (size_t i = 0; i < TP_STREAMS_MAX; i++) {
        stream *none = NULL;
        if (!atomic_compare_exchange_strong(&self->slots[i], &none, one))
            continue;
        atomic_fetch_add_explicit(&self->count, 1, memory_order_relaxed);
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
    tp_env *env = request->gateway->host.env;
    stream *one = tp_allocate(request->gateway->host.allocator, sizeof *one);
    if (one == NULL)
        return NULL;
    memset(one, 0, offsetof(stream, queue));
    one->streams = streams;
    one->connection = request->connection;
    one->is_updates = request->route.kind == TP_ROUTE_UPDATES;
    one->said = env->now(env);
    one->looked = one->said - LOOK;
    const char *last = request->last_event;
    if (last != NULL && strlen(last) < 20 && last[strspn(last, "0123456789")] == 0)
        one->version = strtoull(last, NULL, 10);
    /* The id borrows from its route. */
    const char *const from = request->route.room;
    one->route = request->route;
    troupe_slice *const parts[] = {
        &one->route.id.type, &one->route.id.partition, &one->route.id.key};
    for (size_t i = 0; one->is_updates && i < 3; i++)
        if (parts[i]->size != 0)
            parts[i]->data = one->route.room + ((const char *)parts[i]->data - from);
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
    if (atomic_load(&self->subscribed) == 2) {
        if (host->unsubscribe(host->node, self->subscription) != TROUPE_OK)
            return false;
        atomic_store(&self->subscribed, 0);
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
        if (one != NULL)
            free_stream(self, i, one);
    }
    tp_release_lines(gateway->host.allocator, self, sizeof *self);
    gateway->streams = NULL;
}
