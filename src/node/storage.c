/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See storage.h. A store with a thread of its own is a runner of the env, so that a simulated world
 * steps it like a shard:
 *
 *     shards --push--> top (a stack) --drain, turned round--> rest --groups--> run, done
 *
 * Invariants
 * 1. `waiting` counts what was accepted and not yet ended.
 * 2. Only the runner touches `rest` and calls the store; before it starts and after it has ended
 * the thread that opens and closes does, through operations as well.
 *
 * Threads: submit any; step the runner's.
 */
#include "node/storage.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mpsc.h"
#include "shard/shard.h"

#include <stdio.h>

#define GROUP_MOST   1024
#define INLINE_GROUP 16
#define WRITER_TRIES 1000
#define SPARED       64
#define CLOSE_AGAIN  TROUPE_MILLISECONDS(200)
#define LEASE_AGAIN  TROUPE_MILLISECONDS(1)
#define PATIENCE     TROUPE_SECONDS(2) /* of a node that closes; then the store hurries */

struct tp_storage {
    tp_store_port port;
    troupe_store *store;
    tp_env *env;
    const troupe_allocator *allocator;
    tp_log *log;
    void *module;
    uint64_t limit;
    uint64_t spin;
    uint64_t open_timeout, open_until;
    const _Atomic uint64_t *lease; /* NULL: none is needed */
    size_t group;
    bool has_runner, owns_store;
    tp_runner runner;
    /* the runner's */
    troupe_store_op *rest, *rest_last;
    bool is_late; /* simulation: it has waited already */
    /* any thread's */
    _Alignas(TP_CACHE_LINE) _Atomic(troupe_store_op *) top; /* publishes operations to the runner */
    _Atomic uint64_t waiting;
    _Atomic bool closes; /* publishes nothing; the runner ends when nothing waits */
    _Atomic uint64_t ops, groups, errors, busy;
    tp_mpsc others; /* closings of writers whose nodes are gone */
    _Atomic uint64_t spared[SPARED]; /* such writers for which there was no memory; 0: none */
    _Atomic bool spared_news;    /* publishes one of them; the runner looks at all */
    _Atomic bool missed;  /* not even there was room: nothing runs any more */
    _Atomic bool hurries; /* the node closes, and has waited long enough */
    /* the runner's */
    tp_mpsc_node *closings;
    troupe_store_op *list[]; /* of the group under way */
};

static tp_storage *storage_of(tp_store_port *port)
{
    return TP_CONTAINER(port, tp_storage, port);
}

static void count(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

/* ---- running -------------------------------------------------------------------------------- */

/* CONFLICT and the like are answers. */
static bool is_error(troupe_status status)
{
    return status != TROUPE_OK && status != TROUPE_CONFLICT && status != TROUPE_NOT_FOUND;
}

static void run_group(tp_storage *self, troupe_store_op **list, size_t size)
{
    uint64_t errors = 0;
    self->store->run(self->store, list, size);
    for (size_t i = 0; i < size; i++)
        errors += is_error(list[i]->status);
    count(&self->ops, size);
    count(&self->groups, 1);
    if (errors != 0)
        count(&self->errors, errors);
    for (size_t i = 0; i < size; i++)
        list[i]->done(list[i]);
}

static void submit_immediate(tp_store_port *port, troupe_store_op *first)
{
    tp_storage *self = storage_of(port);
    troupe_store_op *list[INLINE_GROUP];
    while (first != NULL) {
        size_t size = 0;
        while (first != NULL && size < INLINE_GROUP) {
            list[size++] = first;
            first = first->next;
        }
        run_group(self, list, size);
    }
}

/* Takes room for as many as there is; returns for how many. */
static uint64_t take_room(tp_storage *self, uint64_t wanted)
{
    uint64_t before = atomic_fetch_add_explicit(&self->waiting, wanted, memory_order_relaxed);
    uint64_t room = before < self->limit ? self->limit - before : 0;
    uint64_t taken = wanted < room ? wanted : room;
    if (taken < wanted)
        atomic_fetch_sub_explicit(&self->waiting, wanted - taken, memory_order_relaxed);
    return taken;
}

/* Turns the first `size` of a list round onto the stack; returns the others. */
static troupe_store_op *push(tp_storage *self, troupe_store_op *first, uint64_t size)
{
    troupe_store_op *newest = NULL, *oldest = first;
    for (uint64_t i = 0; i < size; i++) {
        troupe_store_op *op = first;
        first = op->next;
        op->next = newest;
        newest = op;
    }
    if (size == 0)
        return first;
    troupe_store_op *top = atomic_load_explicit(&self->top, memory_order_relaxed);
    do {
        oldest->next = top;
    } while (!atomic_compare_exchange_weak_explicit(
        &self->top, &top, newest, memory_order_seq_cst, memory_order_relaxed));
    if (top == NULL)
        self->env->runner_wake(self->env, &self->runner);
    return first;
}

static void submit_queued(tp_store_port *port, troupe_store_op *first)
{
    tp_storage *self = storage_of(port);
    uint64_t size = 0;
    for (troupe_store_op *op = first; op != NULL; op = op->next)
        size++;
    troupe_store_op *refused = push(self, first, take_room(self, size));
    while (refused != NULL) {
        troupe_store_op *op = refused;
        refused = op->next;
        count(&self->busy, 1);
        op->status = TROUPE_BUSY;
        op->done(op);
    }
}

/* Moves what has arrived behind what waits. */
static void drain(tp_storage *self)
{
    if (atomic_load_explicit(&self->top, memory_order_relaxed) == NULL)
        return;
    troupe_store_op *op = atomic_exchange_explicit(&self->top, NULL, memory_order_acquire);
    troupe_store_op *first = NULL, *last = op;
    while (op != NULL) {
        troupe_store_op *older = op->next;
        op->next = first;
        first = op;
        op = older;
    }
    if (self->rest == NULL)
        self->rest = first;
    else
        self->rest_last->next = first;
    self->rest_last = last;
}

static bool has_arrivals(tp_runner *runner)
{
    tp_storage *self = TP_CONTAINER(runner, tp_storage, runner);
    return atomic_load_explicit(&self->top, memory_order_seq_cst) != NULL ||
           !tp_mpsc_is_empty(&self->others) ||
           atomic_load_explicit(&self->spared_news, memory_order_seq_cst) ||
           atomic_load_explicit(&self->closes, memory_order_relaxed);
}

/* ---- writers of nodes that are gone ---------------------------------------------------------- */

typedef struct closing {
    tp_mpsc_node node;
    troupe_store_op op;
    bool is_news; /* worth a line of the log */
} closing;

static void closing_done(troupe_store_op *op)
{
    (void)op;
}

static troupe_store_op closing_of(const tp_storage *self, uint64_t writer)
{
    return (troupe_store_op){.kind = TROUPE_STORE_CLOSE_WRITER,
        .allocator = self->allocator,
        .writer = writer,
        .done = closing_done};
}

static void say_closed(tp_storage *self, const troupe_store_op *op, bool is_news)
{
    if (is_news)
        TP_LOG(self->log, TROUPE_LOG_INFO, "writer_closed",
            TP_FIELDS(tp_field_number("writer", op->writer)),
            "the writer of a node that is gone is closed");
}

/* False: the store did not do it yet. */
static bool close_one(tp_storage *self, uint64_t writer, bool is_news)
{
    troupe_store_op made = closing_of(self, writer), *op = &made;
    self->store->run(self->store, &op, 1);
    if (op->status == TROUPE_OK)
        say_closed(self, op, is_news);
    return op->status == TROUPE_OK;
}

/* Those of `closings` in groups, since who joins closes all that have gone lately. False: some are
 * left. */
static bool close_queued(tp_storage *self)
{
    while (self->closings != NULL) {
        size_t size = 0;
        for (tp_mpsc_node *node = self->closings; node != NULL && size < self->group;
             node = node->next)
            self->list[size++] = &TP_CONTAINER(node, closing, node)->op;
        self->store->run(self->store, self->list, size);
        for (; size > 0; size--) {
            closing *first = TP_CONTAINER(self->closings, closing, node);
            if (first->op.status != TROUPE_OK)
                return false; /* those behind it that were done are done again */
            say_closed(self, &first->op, first->is_news);
            self->closings = first->node.next;
            tp_release(self->allocator, first, sizeof *first);
        }
    }
    return true;
}

static bool close_spared(tp_storage *self)
{
    atomic_store(&self->spared_news, false); /* what the store does not do now, it does by time */
    for (size_t i = 0; i < SPARED; i++) {
        uint64_t writer = atomic_load_explicit(&self->spared[i], memory_order_acquire);
        if (writer != 0 && !close_one(self, writer, true))
            return false;
        if (writer == 0)
            continue;
        atomic_store_explicit(&self->spared[i], 0, memory_order_release);
    }
    return !atomic_load_explicit(&self->missed, memory_order_acquire);
}

/* False: some are left; nothing may run before. */
static bool close_others(tp_storage *self)
{
    while (self->closings != NULL || !tp_mpsc_is_empty(&self->others)) {
        if (self->closings == NULL)
            self->closings = tp_mpsc_drain(&self->others);
        if (!close_queued(self))
            return false;
    }
    return close_spared(self);
}

/* There is no memory for a closing: who was gone must not be forgotten, or what it still has under
 * way would be taken behind what is loaded now. */
static void spare(tp_storage *self, uint64_t writer)
{
    for (size_t i = 0; i < SPARED; i++) {
        uint64_t none = 0;
        if (atomic_compare_exchange_strong(&self->spared[i], &none, writer)) {
            atomic_store(&self->spared_news, true);
            return;
        }
    }
    atomic_store_explicit(&self->missed, true, memory_order_release);
    TP_LOG(self->log, TROUPE_LOG_ERROR, "writer_open",
        TP_FIELDS(tp_field_number("writer", writer)),
        "no memory to close the writer of a node that is gone: nothing is asked of the store any "
        "more; end this node, others will do it");
}

void tp_storage_close_other(tp_storage *self, uint64_t writer, bool is_news)
{
    if (!self->has_runner) {
        /* A store of this process alone: it knows no such writer. */
        (void)close_one(self, writer, is_news);
        return;
    }
    closing *other = tp_allocate_zeroed(self->allocator, sizeof *other);
    if (other == NULL) {
        spare(self, writer);
    } else {
        other->op = closing_of(self, writer);
        other->is_news = is_news;
        tp_mpsc_push(&self->others, &other->node);
    }
    self->env->runner_wake(self->env, &self->runner);
}

static void drop_closings(tp_storage *self)
{
    for (int i = 0; i < 2; i++) {
        tp_mpsc_node *node = i == 0 ? self->closings : tp_mpsc_drain(&self->others);
        while (node != NULL) {
            closing *other = TP_CONTAINER(node, closing, node);
            node = node->next;
            tp_release(self->allocator, other, sizeof *other);
        }
    }
    self->closings = NULL;
}

/* A simulated store takes its time, and groups of any size form. */
static uint64_t dawdle(tp_storage *self)
{
    tp_env *env = self->env;
    if (env->choose == NULL || self->is_late || env->choose(env, 4) != 0)
        return 0;
    self->is_late = true;
    return env->now(env) + TROUPE_MICROSECONDS(1 + env->choose(env, 5000));
}

/* The fence: asked right before the store is. */
static bool lease_holds(const tp_storage *self)
{
    if (TP_LIKELY(self->lease == NULL))
        return true;
    if (TP_ENV_MUTANT(self->env, TP_MUTANT_NO_LEASE))
        return true;
    return self->env->boot(self->env) < atomic_load_explicit(self->lease, memory_order_acquire);
}

/* Not even what comes later will be asked of the store. */
static bool is_over(const tp_storage *self)
{
    return (self->lease != NULL && atomic_load_explicit(self->lease, memory_order_acquire) == 0) ||
           atomic_load_explicit(&self->missed, memory_order_acquire) ||
           atomic_load_explicit(&self->hurries, memory_order_acquire);
}

/* This incarnation is over: what waits is not done, but that its writer is closed. */
static void refuse_rest(tp_storage *self)
{
    while (self->rest != NULL) {
        troupe_store_op *op = self->rest;
        self->rest = op->next;
        atomic_fetch_sub_explicit(&self->waiting, 1, memory_order_relaxed);
        if (op->kind == TROUPE_STORE_CLOSE_WRITER) {
            run_group(self, &op, 1);
            continue;
        }
        op->status = TROUPE_CLOSED;
        op->done(op);
    }
}

static uint64_t step(tp_runner *runner)
{
    tp_storage *self = TP_CONTAINER(runner, tp_storage, runner);
    bool closes = atomic_load_explicit(&self->closes, memory_order_acquire);
    drain(self);
    if (is_over(self))
        refuse_rest(self);
    /* After the drain: what was submitted behind a closing must not run before it. */
    if (!close_others(self) && !closes)
        return self->env->now(self->env) + CLOSE_AGAIN;
    if (self->rest == NULL)
        return closes ? TP_STEP_DONE : TP_NEVER;
    uint64_t later = dawdle(self);
    if (later != 0)
        return later;
    if (!closes && !lease_holds(self))
        return self->env->now(self->env) + LEASE_AGAIN;
    self->is_late = false;
    size_t size = 0;
    while (self->rest != NULL && size < self->group) {
        self->list[size++] = self->rest;
        self->rest = self->rest->next;
    }
    atomic_fetch_sub_explicit(&self->waiting, size, memory_order_relaxed);
    run_group(self, self->list, size);
    return 0;
}

/* ---- one operation from outside ------------------------------------------------------------- */

typedef struct call {
    tp_env *env;
    tp_waiter waiter;
} call;

static void call_done(troupe_store_op *op)
{
    call *self = op->owner;
    self->env->signal(self->env, &self->waiter);
}

static void call_ignored(troupe_store_op *op)
{
    (void)op;
}

/* After `patience` the store is told to hurry. */
static troupe_status call_within(tp_storage *storage, troupe_store_op *op, uint64_t patience)
{
    op->next = NULL;
    if (!storage->has_runner) {
        op->done = call_ignored;
        storage->port.submit(&storage->port, op);
        return op->status;
    }
    tp_env *env = storage->env;
    call self = {.env = env};
    TROUPE_TRY(env->wait_begin(env, &self.waiter));
    op->owner = &self;
    op->done = call_done;
    storage->port.submit(&storage->port, op);
    uint64_t now = env->now(env);
    uint64_t deadline = patience < TP_NEVER - now ? now + patience : TP_NEVER;
    if (!env->wait(env, &self.waiter, deadline)) {
        if (storage->store->hurry != NULL)
            storage->store->hurry(storage->store);
        atomic_store_explicit(&storage->hurries, true, memory_order_release);
        env->runner_wake(env, &storage->runner);
        env->wait(env, &self.waiter, TP_NEVER);
    }
    env->wait_end(env, &self.waiter);
    return op->status;
}

troupe_status tp_storage_call(tp_storage *storage, troupe_store_op *op)
{
    return call_within(storage, op, TP_NEVER);
}

/* ---- what providers are lent ---------------------------------------------------------------- */

static uint64_t host_now(void *context)
{
    tp_env *env = ((tp_storage *)context)->env;
    return env->now(env);
}

static uint64_t host_wall(void *context)
{
    tp_env *env = ((tp_storage *)context)->env;
    return env->wall(env);
}

static void host_log(void *context, int level, const char *event, const char *text)
{
    tp_log *log = ((tp_storage *)context)->log;
    if (level <= TROUPE_LOG_ERROR)
        TP_LOG(
            log, TROUPE_LOG_ERROR, "store", TP_FIELDS(tp_field_string("what", event)), "%s", text);
    else if (level == TROUPE_LOG_WARN)
        TP_LOG(
            log, TROUPE_LOG_WARN, "store", TP_FIELDS(tp_field_string("what", event)), "%s", text);
    else if (level == TROUPE_LOG_INFO)
        TP_LOG(
            log, TROUPE_LOG_INFO, "store", TP_FIELDS(tp_field_string("what", event)), "%s", text);
    else
        TP_LOG(
            log, TROUPE_LOG_DEBUG, "store", TP_FIELDS(tp_field_string("what", event)), "%s", text);
}

/* ---- opening and closing -------------------------------------------------------------------- */

/* Has the time for opening it passed? */
static bool is_late(const tp_storage *self)
{
    return self->env->now(self->env) >= self->open_until;
}

/* One operation of an opening: one that is late is not there any more, for the store may have been
 * told to hurry. */
static troupe_status call_opening(tp_storage *self, troupe_store_op *op)
{
    uint64_t now = self->env->now(self->env);
    uint64_t left = now < self->open_until ? self->open_until - now : 0;
    troupe_status status = call_within(self, op, self->open_until == TP_NEVER ? TP_NEVER : left);
    return is_late(self) ? TROUPE_UNAVAILABLE : status;
}

/* Behind what the provider said of it. */
static void explain_late(const tp_storage *self, char *error, size_t error_size)
{
    size_t size = strlen(error);
    if (is_late(self) && size < error_size)
        snprintf(error + size, error_size - size,
            "%sthe store did not open within store_open_timeout, %llu ms: see that its server "
            "runs, answers and is the one that `storage` names, or give it more time",
            size != 0 ? "; " : "",
            (unsigned long long)(self->open_timeout / TROUPE_MILLISECONDS(1)));
}

/* Of a node that shares its store: the number is its own for good. A row whose opening ended
 * UNKNOWN is opened again, and a conflict then says that it is. */
static troupe_status open_given(tp_storage *self, uint64_t writer, char *error, size_t error_size)
{
    troupe_store_op op = {
        .kind = TROUPE_STORE_OPEN_WRITER, .allocator = self->allocator, .writer = writer};
    troupe_status status = TROUPE_UNKNOWN;
    bool unknown = false;
    for (int i = 0; i < WRITER_TRIES && status == TROUPE_UNKNOWN; i++) {
        status = call_opening(self, &op);
        if (status == TROUPE_CONFLICT && unknown)
            status = TROUPE_OK;
        unknown |= status == TROUPE_UNKNOWN;
    }
    self->port.writer = writer;
    if (status != TROUPE_OK)
        snprintf(error, error_size, "the store (%s) takes no writer of this node: %s%s",
            self->store->promises, troupe_status_text(status),
            status == TROUPE_CONFLICT ? " (is it the store of another cluster of that name?)" : "");
    return status;
}

static troupe_status open_writer(tp_storage *self, uint64_t given, char *error, size_t error_size)
{
    if (given != 0)
        return open_given(self, given, error, error_size);
    troupe_store_op op = {.kind = TROUPE_STORE_OPEN_WRITER,
        .allocator = self->allocator,
        .writer = self->env->wall(self->env)};
    /* A row of which nobody knows whether it is there is left: no commit will have its number. */
    troupe_status status = TROUPE_CONFLICT;
    for (int i = 0; i < WRITER_TRIES && (status == TROUPE_CONFLICT || status == TROUPE_UNKNOWN);
         i++) {
        op.writer += i != 0;
        status = call_opening(self, &op);
    }
    self->port.writer = op.writer;
    if (status == TROUPE_OK) {
        op.kind = TROUPE_STORE_CLOSE_OLDER;
        status = TROUPE_UNKNOWN;
        for (int i = 0; i < WRITER_TRIES && status == TROUPE_UNKNOWN; i++)
            status = call_opening(self, &op);
    }
    if (status != TROUPE_OK)
        snprintf(error, error_size, "the store (%s) is open, but takes no writer: %s",
            self->store->promises, troupe_status_text(status));
    return status;
}

static troupe_status start(tp_storage *self, uint64_t writer, char *error, size_t error_size)
{
    troupe_store *store = self->store;
    self->port.durable = store->durable;
    self->port.own = store->own;
    self->port.immediate = store->immediate;
    self->group = store->group != 0 && store->group < GROUP_MOST ? store->group : GROUP_MOST;
    self->port.submit = submit_immediate;
    if (!store->immediate) {
        self->port.submit = submit_queued;
        self->runner = (tp_runner){.step = step,
            .has_arrivals = has_arrivals,
            .name = "troupe-store",
            .number = TP_SHARDS_MAX,
            .spin = self->spin,
            .own_thread = true};
        troupe_status status = self->env->runner_start(self->env, &self->runner);
        if (status != TROUPE_OK) {
            snprintf(error, error_size, "the store's thread could not be made: %s",
                troupe_status_text(status));
            return status;
        }
        self->has_runner = true;
    }
    TROUPE_TRY(open_writer(self, writer, error, error_size));
    TP_LOG(self->log, TROUPE_LOG_INFO, "store_open",
        TP_FIELDS(tp_field_number("writer", self->port.writer)), "%s", store->promises);
    return TROUPE_OK;
}

static size_t storage_size(void)
{
    return sizeof(tp_storage) + GROUP_MOST * sizeof(troupe_store_op *);
}

static tp_storage *create(const tp_storage_options *options)
{
    tp_storage *self = tp_allocate_lines(options->allocator, storage_size());
    if (self == NULL)
        return NULL;
    memset(self, 0, storage_size());
    self->env = options->env;
    self->allocator = options->allocator;
    self->log = options->log;
    self->limit = options->limit;
    self->spin = options->spin;
    self->open_timeout = options->open_timeout;
    self->open_until = TP_NEVER;
    uint64_t now = self->env->now(self->env);
    if (options->open_timeout != 0 && options->open_timeout < TP_NEVER - now)
        self->open_until = now + options->open_timeout;
    self->lease = options->lease;
    tp_mpsc_init(&self->others);
    return self;
}

static void destroy(tp_storage *self)
{
    if (self->has_runner) {
        atomic_store_explicit(&self->closes, true, memory_order_release);
        self->env->runner_wake(self->env, &self->runner);
        self->env->runner_join(self->env, &self->runner);
    }
    if (self->owns_store && self->store != NULL)
        self->store->close(self->store);
    tp_provider_release(self->module);
    drop_closings(self);
    tp_release_lines(self->allocator, self, storage_size());
}

static troupe_status open_provider(
    tp_storage *self, const char *url, char *error, size_t error_size)
{
    const troupe_provider *provider = NULL;
    TROUPE_TRY(tp_provider_find(url, &provider, &self->module, error, error_size));
    const troupe_store_host host = {.size = sizeof host,
        .allocator = self->allocator,
        .context = self,
        .now = host_now,
        .wall = host_wall,
        .log = host_log,
        .open_until = self->open_until};
    self->owns_store = true;
    return provider->open(&host, url, &self->store, error, error_size);
}

troupe_status tp_storage_open(
    const tp_storage_options *options, tp_storage **ret_storage, char *error, size_t error_size)
{
    tp_storage *self = create(options);
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    troupe_status status = open_provider(self, options->url, error, error_size);
    if (status == TROUPE_OK)
        status = start(self, options->writer, error, error_size);
    if (status != TROUPE_OK) {
        explain_late(self, error, error_size);
        destroy(self);
        return status;
    }
    *ret_storage = self;
    return TROUPE_OK;
}

troupe_status tp_storage_open_with(const tp_storage_options *options, troupe_store *store,
    tp_storage **ret_storage, char *error, size_t error_size)
{
    tp_storage *self = create(options);
    if (self == NULL) {
        store->close(store);
        return TROUPE_NO_MEMORY;
    }
    self->store = store;
    self->owns_store = true;
    troupe_status status = start(self, options->writer, error, error_size);
    if (status != TROUPE_OK) {
        explain_late(self, error, error_size);
        destroy(self);
        return status;
    }
    *ret_storage = self;
    return TROUPE_OK;
}

void tp_storage_close(tp_storage *storage)
{
    if (storage == NULL)
        return;
    troupe_store_op op = {.kind = TROUPE_STORE_CLOSE_WRITER,
        .allocator = storage->allocator,
        .writer = storage->port.writer};
    troupe_status status = call_within(storage, &op, PATIENCE);
    if (status != TROUPE_OK) /* the next run closes it */
        TP_LOG(storage->log, TROUPE_LOG_WARN, "writer_not_closed",
            TP_FIELDS(tp_field_string("status", troupe_status_name(status))),
            "the store did not take the end of this run; the next one does it");
    destroy(storage);
}

tp_store_port *tp_storage_port(tp_storage *storage)
{
    return &storage->port;
}

const char *tp_storage_promises(const tp_storage *storage)
{
    return storage->store->promises;
}

tp_storage_counts tp_storage_count(const tp_storage *storage)
{
    return (tp_storage_counts){.ops = atomic_load_explicit(&storage->ops, memory_order_relaxed),
        .groups = atomic_load_explicit(&storage->groups, memory_order_relaxed),
        .errors = atomic_load_explicit(&storage->errors, memory_order_relaxed),
        .busy = atomic_load_explicit(&storage->busy, memory_order_relaxed)};
}
