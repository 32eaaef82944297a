/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network of a world: streams between its processes (os/net.h) with delays, broken connections
 * and cuts, all drawn from the seed. What one end writes lies as pieces at the other end until they
 * are due there.
 *
 * Invariants
 * 1. Pieces of a stream arrive in the order written; a cut holds them back and loses none, as TCP
 * sends again; a break loses those that have not arrived.
 * 2. The memory of streams is the world's: a killed process leaves none behind.
 * 3. An end that is closed is freed when its calls are over and the other end knows.
 *
 * Threads: one, as world.h.
 */
#include "testkit/world_inside.h"

#include <stdio.h>
#include <stdlib.h>

#define WINDOW        20000 /* bytes that may be on their way; the rest waits with the writer */
#define TRACE_ARRIVED 0x4E455431

typedef enum piece_kind { PIECE_OPENED, PIECE_BYTES, PIECE_WRITTEN, PIECE_END } piece_kind;

typedef struct piece {
    struct piece *next;
    piece_kind kind;
    uint64_t due; /* TP_NEVER: its way is cut */
    const char *why;
    size_t size;
    char bytes[];
} piece;

struct tp_stream {
    tp_link link;   /* in its seat's streams, or among those that no runner has */
    uint64_t order; /* among its seat's: when it sat down */
    world_heap *in; /* of its seat; NULL: nothing is due to it ever */
    uint32_t at;    /* there */
    tp_world *world;
    world_env *env;
    world_env *far;   /* where the other end is */
    world_seat *seat; /* NULL: loose */
    tp_stream *other; /* NULL: closed, or not there yet */
    const tp_stream_calls *calls;
    void *user;
    piece *first, *last;
    size_t waiting; /* bytes in its pieces */
    const char *rest;
    size_t rest_size;
    bool paused, broken, in_call, closed;
};

struct tp_listener {
    tp_listener *next;
    tp_world *world;
    world_env *env;
    world_seat *seat;
    char address[TP_ADDRESS_MAX];
    void (*accepted)(void *user, tp_socket socket);
    void *user;
};

/* ---- which stream is next -------------------------------------------------------------------- */

static uint64_t stream_due(const tp_stream *stream)
{
    bool waits = stream->first == NULL || stream->broken ||
                 (stream->paused && stream->first->kind == PIECE_BYTES);
    return waits ? TP_NEVER : stream->first->due;
}

static void heap_put(world_heap *heap, uint32_t at, world_heap_item item)
{
    heap->items[at] = item;
    item.stream->at = at;
}

static void heap_rise(world_heap *heap, uint32_t at, world_heap_item item)
{
    for (; at != 0 && heap->items[(at - 1) / 2].key > item.key; at = (at - 1) / 2)
        heap_put(heap, at, heap->items[(at - 1) / 2]);
    heap_put(heap, at, item);
}

static void heap_sink(world_heap *heap, uint32_t at, world_heap_item item)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < heap->count && heap->items[child + 1].key < heap->items[child].key)
            child++;
        if (child >= heap->count || heap->items[child].key >= item.key)
            break;
        heap_put(heap, at, heap->items[child]);
        at = child;
    }
    heap_rise(heap, at, item);
}

static void heap_add(world_heap *heap, tp_stream *stream, uint64_t key)
{
    if (heap->count == heap->room) {
        uint32_t room = heap->room != 0 ? heap->room * 2 : 16;
        world_heap_item *grown = realloc(heap->items, room * sizeof *grown);
        if (grown == NULL)
            stream->world->options.stuck(stream->world->options.user, "no memory for the network");
        heap->items = grown;
        heap->room = room;
    }
    stream->in = heap;
    heap_rise(heap, heap->count++, (world_heap_item){key, stream});
}

static void heap_remove(tp_stream *stream)
{
    world_heap *heap = stream->in;
    if (heap == NULL)
        return;
    stream->in = NULL;
    world_heap_item last = heap->items[--heap->count];
    if (last.stream != stream)
        heap_sink(heap, stream->at, last);
}

static void seat_note(world_seat *seat)
{
    seat->net_due = seat->coming.count != 0 ? seat->coming.items[0].key : TP_NEVER;
}

/* Puts it where it belongs, after anything about it has changed. */
static void seat_look(tp_stream *stream)
{
    world_seat *seat = stream->seat;
    uint64_t due = stream_due(stream);
    heap_remove(stream);
    if (due != TP_NEVER && seat->delivers && due <= stream->world->now)
        heap_add(&seat->ready, stream, stream->order);
    else if (due != TP_NEVER)
        heap_add(&seat->coming, stream, due);
    seat_note(seat);
}

static void stand_up(tp_stream *stream)
{
    heap_remove(stream);
    tp_list_remove(&stream->link);
    seat_note(stream->seat);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static uint64_t way(tp_world *world)
{
    if (world->options.calm)
        return TROUPE_MICROSECONDS(30);
    uint64_t most = world->options.delay_most;
    return tp_world_draw_duration(&world->prng, most != 0 ? most : TROUPE_MICROSECONDS(100));
}

/* Behind what lies there already. */
static void lay(tp_stream *at, piece *laid)
{
    tp_world *world = at->world;
    laid->next = NULL;
    uint64_t due = world->now + (laid->kind == PIECE_WRITTEN ? 0 : way(world));
    if (tp_world_is_cut(world, at->far, at->env))
        due = TP_NEVER;
    if (at->last != NULL && at->last->due > due)
        due = at->last->due;
    laid->due = due;
    if (at->last != NULL)
        at->last->next = laid;
    else
        at->first = laid;
    at->last = laid;
    at->waiting += laid->size;
    if (at->seat != NULL && at->first == laid)
        seat_look(at);
}

static piece *piece_create(tp_world *world, piece_kind kind, const void *bytes, size_t size)
{
    piece *made = calloc(1, sizeof *made + size);
    if (made == NULL)
        world->options.stuck(world->options.user, "no memory for the network");
    made->kind = kind;
    made->size = size;
    if (size != 0)
        memcpy(made->bytes, bytes, size);
    return made;
}

static void lay_end(tp_stream *at, const char *why)
{
    piece *end = piece_create(at->world, PIECE_END, NULL, 0);
    end->why = why;
    lay(at, end);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void stream_free(tp_stream *stream)
{
    while (stream->first != NULL) {
        piece *gone = stream->first;
        stream->first = gone->next;
        free(gone);
    }
    free(stream);
}

static tp_stream *end_create(tp_world *world, world_env *env, world_env *far)
{
    tp_stream *end = calloc(1, sizeof *end);
    if (end == NULL)
        world->options.stuck(world->options.user, "no memory for the network");
    end->world = world;
    end->env = env;
    end->far = far;
    return end;
}

static void put_loose(tp_stream *stream)
{
    stream->seat = NULL;
    tp_list_push_back(&stream->world->loose, &stream->link);
}

/* It goes; the other end finds that out by and by. */
static void part(tp_stream *stream, const char *why)
{
    if (stream->other != NULL) {
        stream->other->other = NULL;
        lay_end(stream->other, why);
        stream->other = NULL;
    }
}

/* The bytes that the writer at the other end still has go on as far as there is room. */
static void pull(tp_stream *at)
{
    tp_stream *writer = at->other;
    if (writer == NULL || writer->rest_size == 0 || at->waiting >= WINDOW)
        return;
    size_t size = WINDOW - at->waiting;
    if (size > writer->rest_size)
        size = writer->rest_size;
    lay(at, piece_create(at->world, PIECE_BYTES, writer->rest, size));
    writer->rest += size;
    writer->rest_size -= size;
    if (writer->rest_size == 0)
        lay(writer, piece_create(at->world, PIECE_WRITTEN, NULL, 0));
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* Every other size goes right to where the user wants it, if it fits. */
static const void *place(tp_stream *stream, const piece *due)
{
    const tp_stream_calls *calls = stream->calls;
    size_t room = 0;
    bool asks = calls->space != NULL && due->size % 2 == 0;
    void *to = asks ? calls->space(stream->user, &room) : NULL;
    if (to == NULL || room < due->size)
        return due->bytes;
    memcpy(to, due->bytes, due->size);
    return to;
}

static void call(tp_stream *stream, piece *due)
{
    const tp_stream_calls *calls = stream->calls;
    switch (due->kind) {
    case PIECE_OPENED:
        if (calls->opened != NULL)
            calls->opened(stream->user);
        return;
    case PIECE_WRITTEN:
        if (calls->written != NULL)
            calls->written(stream->user);
        return;
    case PIECE_BYTES:
        tp_world_trace(stream->world, TRACE_ARRIVED, due->size);
        calls->arrived(stream->user, place(stream, due), due->size);
        return;
    case PIECE_END:
        stream->broken = true;
        stream->rest_size = 0;
        calls->broken(stream->user, due->why);
        return;
    }
}

/* The first of its pieces, which is due. */
static void deliver_one(tp_stream *stream)
{
    piece *due = stream->first;
    stream->first = due->next;
    if (stream->first == NULL)
        stream->last = NULL;
    stream->waiting -= due->size;
    pull(stream);
    stream->in_call = true;
    call(stream, due);
    stream->in_call = false;
    free(due);
}

/* A call may close its own stream or another one, or bring more: each time the first of those that
 * are due, in the order in which they sat down. */
void tp_world_net_deliver(tp_world *world, world_seat *seat)
{
    seat->delivers = true;
    while (seat->coming.count != 0 && seat->coming.items[0].key <= world->now)
        seat_look(seat->coming.items[0].stream);
    while (seat->ready.count != 0) {
        tp_stream *stream = seat->ready.items[0].stream;
        deliver_one(stream);
        if (stream->closed)
            stream_free(stream);
        else if (stream->seat == seat)
            seat_look(stream);
    }
    seat->delivers = false;
}

/* ---- net.h ----------------------------------------------------------------------------------- */

static world_env *env_of(tp_env *env)
{
    return TP_CONTAINER(env, world_env, env);
}

static void sit(tp_stream *stream, world_seat *seat, const tp_stream_calls *calls, void *user)
{
    stream->seat = seat;
    stream->calls = calls;
    stream->user = user;
    stream->order = seat->next_order++;
    tp_list_push_back(&seat->streams, &stream->link);
    seat_look(stream);
}

static tp_listener *listener_find(tp_world *world, const char *address)
{
    tp_listener *listener = world->listeners;
    while (listener != NULL && strcmp(listener->address, address) != 0)
        listener = listener->next;
    return listener;
}

static bool is_address(const char *address)
{
    const char *colon = strrchr(address, ':');
    return colon != NULL && colon != address && colon[1] != 0;
}

static troupe_status world_listen(tp_env *base, tp_runner *runner, const char *address,
    void (*accepted)(void *user, tp_socket socket), void *user, tp_listener **ret_listener,
    char *error, size_t error_size)
{
    world_env *env = env_of(base);
    if (!is_address(address)) {
        (void)snprintf(error, error_size, "'%s' is not an address: write host:port", address);
        return TROUPE_USAGE;
    }
    char whole[TP_ADDRESS_MAX];
    const char *port = strrchr(address, ':') + 1;
    if (strcmp(port, "0") == 0)
        (void)snprintf(whole, sizeof whole, "%s:%u", env->name, ++env->ports);
    else
        (void)snprintf(whole, sizeof whole, "%s", address);
    if (listener_find(env->world, whole) != NULL) {
        (void)snprintf(error, error_size, "cannot listen on %s: it is in use", whole);
        return TROUPE_UNAVAILABLE;
    }
    tp_listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        return TROUPE_NO_MEMORY;
    listener->world = env->world;
    listener->env = env;
    listener->seat = runner->seat;
    listener->accepted = accepted;
    listener->user = user;
    memcpy(listener->address, whole, sizeof whole);
    listener->next = env->world->listeners;
    env->world->listeners = listener;
    *ret_listener = listener;
    return TROUPE_OK;
}

static void world_listener_address(tp_listener *listener, char *out, size_t size)
{
    (void)snprintf(out, size, "%s", listener->address);
}

static void world_listener_close(tp_listener *listener)
{
    if (listener == NULL)
        return;
    tp_listener **at = &listener->world->listeners;
    while (*at != listener)
        at = &(*at)->next;
    *at = listener->next;
    free(listener);
}

/* A knock is a call of the listener's runner: it comes when that steps. */
typedef struct knock {
    tp_world_event event;
    struct knock *next;
    tp_stream *end; /* of the side that listens */
    tp_world *world;
    char address[TP_ADDRESS_MAX];
} knock;

static void knock_free(knock *gone)
{
    knock **at = &gone->world->knocks;
    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
    free(gone);
}

static void on_knock(tp_world_event *event)
{
    knock *self = TP_CONTAINER(event, knock, event);
    tp_world *world = self->world;
    tp_stream *end = self->end;
    tp_listener *listener = listener_find(world, self->address);
    if (end->other != NULL &&
        (tp_world_is_cut(world, end->far, end->env) || tp_world_is_cut(world, end->env, end->far) ||
            (listener != NULL && (listener->env->paused_until > world->now ||
                                     listener->seat->paused_until > world->now)))) {
        tp_world_at(world, event, world->now + TROUPE_MILLISECONDS(20)); /* SYN again */
        return;
    }
    if (listener == NULL || listener->seat->done || end->other == NULL) {
        part(end, "connection refused");
        stream_free(end);
        knock_free(self);
        return;
    }
    lay(end->other, piece_create(world, PIECE_OPENED, NULL, 0));
    put_loose(end);
    knock_free(self);
    world_seat *before = world->running;
    world->running = listener->seat;
    listener->seat->woken = true;
    listener->accepted(listener->user, (tp_socket){(intptr_t)end});
    world->running = before;
}

static world_env *host_of(tp_world *world, const char *address)
{
    size_t size = (size_t)(strrchr(address, ':') - address);
    for (world_env *env = world->envs; env != NULL; env = env->next)
        if (env->name != NULL && strlen(env->name) == size && memcmp(env->name, address, size) == 0)
            return env;
    return NULL;
}

static troupe_status world_connect(tp_env *base, tp_runner *runner, const char *address,
    const tp_stream_calls *calls, void *user, tp_stream **ret_stream)
{
    world_env *env = env_of(base);
    tp_world *world = env->world;
    if (!is_address(address))
        return TROUPE_USAGE;
    world_env *far = host_of(world, address);
    if (far == NULL)
        return TROUPE_UNAVAILABLE;
    tp_stream *near_end = end_create(world, env, far);
    tp_stream *far_end = end_create(world, far, env);
    near_end->other = far_end;
    far_end->other = near_end;
    knock *knocks = calloc(1, sizeof *knocks);
    if (knocks == NULL)
        world->options.stuck(world->options.user, "no memory for the network");
    knocks->world = world;
    knocks->next = world->knocks;
    world->knocks = knocks;
    knocks->end = far_end;
    knocks->event.happen = on_knock;
    (void)snprintf(knocks->address, sizeof knocks->address, "%s", address);
    tp_world_at(world, &knocks->event, world->now + way(world));
    sit(near_end, runner->seat, calls, user);
    *ret_stream = near_end;
    return TROUPE_OK;
}

static troupe_status world_attach(tp_env *env, tp_runner *runner, tp_socket socket,
    const tp_stream_calls *calls, void *user, tp_stream **ret_stream)
{
    (void)env;
    tp_stream *stream = (tp_stream *)socket.handle;
    tp_list_remove(&stream->link);
    sit(stream, runner->seat, calls, user);
    *ret_stream = stream;
    return TROUPE_OK;
}

static void world_close(tp_stream *stream)
{
    if (stream == NULL)
        return;
    part(stream, "the other side has closed the connection");
    stream->closed = true;
    stream->broken = true;
    stand_up(stream);
    if (!stream->in_call)
        stream_free(stream); /* else whoever calls it does */
}

static tp_socket world_detach(tp_stream *stream)
{
    TP_ASSERT(stream->rest_size == 0);
    stand_up(stream);
    put_loose(stream);
    return (tp_socket){(intptr_t)stream};
}

static void world_drop(tp_env *env, tp_socket socket)
{
    (void)env;
    tp_stream *stream = (tp_stream *)socket.handle;
    tp_list_remove(&stream->link);
    part(stream, "the other side has closed the connection");
    stream_free(stream);
}

static bool world_write(tp_stream *stream, const void *bytes, size_t size)
{
    TP_ASSERT(stream->rest_size == 0);
    if (stream->broken || stream->other == NULL)
        return false;
    tp_world *world = stream->world;
    world->writes++;
    world->written += size;
    if (world->options.break_chance != 0 &&
        tp_prng_chance(&world->prng, world->options.break_chance, 65536)) {
        tp_stream *other = stream->other;
        part(stream, "connection reset");
        if (other != NULL)
            stream->other = NULL;
        lay_end(stream, "connection reset");
        return false;
    }
    stream->rest = bytes;
    stream->rest_size = size;
    tp_stream *at = stream->other;
    size_t room = at->waiting < WINDOW ? WINDOW - at->waiting : 0;
    if (room > size)
        room = size;
    if (room != 0)
        lay(at, piece_create(world, PIECE_BYTES, bytes, room));
    stream->rest += room;
    stream->rest_size -= room;
    return stream->rest_size == 0;
}

static void world_pause_stream(tp_stream *stream, bool pause)
{
    stream->paused = pause;
    if (stream->seat != NULL)
        seat_look(stream);
}

static void world_peer(tp_stream *stream, char *out, size_t size)
{
    (void)snprintf(out, size, "%s", stream->far->name);
}

const tp_net tp_world_net = {
    .listen = world_listen,
    .listener_address = world_listener_address,
    .listener_close = world_listener_close,
    .connect = world_connect,
    .attach = world_attach,
    .detach = world_detach,
    .drop = world_drop,
    .write = world_write,
    .pause = world_pause_stream,
    .peer = world_peer,
    .close = world_close,
};

/* ---- what happens to processes --------------------------------------------------------------- */

static void die(tp_stream *stream)
{
    stream->rest_size = 0;
    part(stream, "connection reset");
    stream_free(stream);
}

void tp_world_net_leave(world_seat *seat)
{
    while (!tp_list_is_empty(&seat->streams)) {
        tp_stream *stream = TP_CONTAINER(tp_list_front(&seat->streams), tp_stream, link);
        stand_up(stream);
        die(stream);
    }
    free(seat->coming.items);
    free(seat->ready.items);
    seat->coming = seat->ready = (world_heap){0};
}

void tp_world_net_kill(tp_world *world, world_env *env)
{
    for (uint32_t i = 0; i < world->seat_count; i++)
        if (world->seats[i]->env == env)
            tp_world_net_leave(world->seats[i]);
    for (tp_link *link = world->loose.head.next, *next; link != &world->loose.head; link = next) {
        tp_stream *stream = TP_CONTAINER(link, tp_stream, link);
        next = link->next;
        if (stream->env != env)
            continue;
        tp_list_remove(link);
        die(stream);
    }
    for (tp_listener **at = &world->listeners; *at != NULL;) {
        tp_listener *listener = *at;
        if (listener->env != env) {
            at = &listener->next;
            continue;
        }
        *at = listener->next;
        free(listener);
    }
}

static void release_held(tp_stream *stream, const world_env *from, const world_env *to)
{
    if (stream->far != from || stream->env != to)
        return;
    uint64_t due = 0;
    for (piece *held = stream->first; held != NULL; held = held->next) {
        if (held->due == TP_NEVER)
            held->due = stream->world->now + way(stream->world);
        if (held->due < due)
            held->due = due;
        due = held->due;
    }
    if (stream->seat != NULL)
        seat_look(stream);
}

void tp_world_net_healed(tp_world *world, world_env *from, world_env *to)
{
    for (uint32_t i = 0; i < world->seat_count; i++) {
        world_seat *seat = world->seats[i];
        if (seat->env != to)
            continue;
        for (tp_link *link = seat->streams.head.next; link != &seat->streams.head;
             link = link->next)
            release_held(TP_CONTAINER(link, tp_stream, link), from, to);
    }
    TP_LIST_EACH(&world->loose, link)
    {
        release_held(TP_CONTAINER(link, tp_stream, link), from, to);
    }
}

void tp_world_net_deinit(tp_world *world)
{
    for (world_env *env = world->envs; env != NULL; env = env->next)
        tp_world_net_kill(world, env);
    while (world->knocks != NULL) {
        knock *gone = world->knocks;
        tp_world_cancel(world, &gone->event);
        stream_free(gone->end);
        knock_free(gone);
    }
}

void tp_world_traffic(const tp_world *world, uint64_t *ret_writes, uint64_t *ret_bytes)
{
    *ret_writes = world->writes;
    *ret_bytes = world->written;
}
