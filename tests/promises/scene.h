/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of promises and of the core share: a node in a world with virtual time, a node
 * with threads, an allocator that counts and refuses, a tape of what was logged, and asks whose
 * answers are easy to look at. It holds no expectations of its own but one: a node that was closed
 * has given all its memory back.
 *
 * Invariants
 * 1. In a world the clock stands still while anything is left to do (`hurry`), so times are exact
 * up to the wheel's tick.
 * 2. Nothing in a turn uses cmocka: an assertion's jump must not cross stacks.
 *
 * Threads: a tape and an account may be used by any; the rest belongs to the test.
 */
#ifndef TEST_PROMISES_SCENE_H
#define TEST_PROMISES_SCENE_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "node/node.h"
#include "testkit/world.h"
#include <troupe.h>
#include <troupe/inspect.h>
#include <troupe/log.h>

#define MS(n) TROUPE_MILLISECONDS(n)
#define TICK  (UINT64_C(1) << 20) /* of the timing wheel: nothing fires early, or later than this */

/* ---- statuses by name ---------------------------------------------------------------------- */

static inline void check_status(
    troupe_status got, troupe_status want, const char *words, const char *file, int line)
{
    if (got == want)
        return;
    print_error("%s (%d), not %s (%d): %s\n", troupe_status_name(got), got,
        troupe_status_name(want), want, words);
    _fail(file, line);
}
#define assert_status(got, want) check_status((got), (want), #got, __FILE__, __LINE__)
#define assert_ok(got)           assert_status(got, TROUPE_OK)
#define assert_says(text, part)                                           \
    do {                                                                  \
        if (strstr((text), (part)) == NULL) {                             \
            print_error("'%s' does not contain '%s'\n", (text), (part));  \
            fail();                                                       \
        }                                                                 \
    } while (0)

static inline const char *text_of(troupe_slice payload, char out[256])
{
    snprintf(out, 256, "%.*s", TROUPE_ARG(payload));
    return out;
}

/* ---- a tape of the log --------------------------------------------------------------------- */

#define TAPE_LINES 256

typedef struct tape_line {
    char event[32];
    char text[768]; /* level, words, then name=value of the fields */
} tape_line;

typedef struct tape {
    pthread_mutex_t lock;
    uint32_t count;
    tape_line lines[TAPE_LINES];
} tape;

static inline void tape_init(tape *self)
{
    memset(self, 0, sizeof *self);
    pthread_mutex_init(&self->lock, NULL);
}

static inline void tape_write(void *user, const troupe_log_line *line)
{
    tape *self = user;
    pthread_mutex_lock(&self->lock);
    if (self->count < TAPE_LINES) {
        tape_line *to = &self->lines[self->count++];
        snprintf(to->event, sizeof to->event, "%s", line->event);
        int size = snprintf(to->text, sizeof to->text, "%s: %s",
            troupe_log_level_name(line->level), line->text);
        for (size_t i = 0; i < line->field_count && size < (int)sizeof to->text; i++) {
            const troupe_log_field *field = &line->fields[i];
            size_t room = sizeof to->text - (size_t)size;
            size += field->text.data != NULL
                        ? snprintf(to->text + size, room, " %s=%.*s", field->name,
                              TROUPE_ARG(field->text))
                        : snprintf(to->text + size, room, " %s=%llu", field->name,
                              (unsigned long long)field->number);
        }
    }
    pthread_mutex_unlock(&self->lock);
}

static inline uint32_t tape_count(tape *self, const char *event)
{
    uint32_t count = 0;
    pthread_mutex_lock(&self->lock);
    for (uint32_t i = 0; i < self->count; i++)
        count += strcmp(self->lines[i].event, event) == 0;
    pthread_mutex_unlock(&self->lock);
    return count;
}

/* Of the last line of this event; "" if there is none. */
static inline const char *tape_text(tape *self, const char *event)
{
    const char *text = "";
    pthread_mutex_lock(&self->lock);
    for (uint32_t i = 0; i < self->count; i++)
        if (strcmp(self->lines[i].event, event) == 0)
            text = self->lines[i].text;
    pthread_mutex_unlock(&self->lock);
    return text;
}

/* ---- an allocator that counts, checks sizes, and refuses ------------------------------------- */

typedef struct account {
    troupe_allocator allocator;
    _Atomic int64_t blocks, bytes;
    _Atomic uint64_t calls, refused, wrong_sizes;
    _Atomic uint64_t first; /* number of the first call that is refused, from 1; 0: none */
    _Atomic uint64_t count; /* how many are */
} account;

static inline bool account_refuses(account *self)
{
    uint64_t call = atomic_fetch_add(&self->calls, 1) + 1;
    uint64_t first = atomic_load(&self->first);
    bool refuses = first != 0 && call >= first && call - first < atomic_load(&self->count);
    if (refuses)
        atomic_fetch_add(&self->refused, 1);
    return refuses;
}

static inline void *account_allocate(void *context, size_t size)
{
    account *self = context;
    if (account_refuses(self))
        return NULL;
    size_t *block = malloc(size + 16);
    if (block == NULL)
        return NULL;
    *block = size;
    atomic_fetch_add(&self->blocks, 1);
    atomic_fetch_add(&self->bytes, (int64_t)size);
    return (char *)block + 16;
}

static inline void account_release(void *context, void *block, size_t size)
{
    account *self = context;
    size_t *base = (size_t *)(void *)((char *)block - 16);
    if (*base != size)
        atomic_fetch_add(&self->wrong_sizes, 1);
    atomic_fetch_sub(&self->blocks, 1);
    atomic_fetch_sub(&self->bytes, (int64_t)*base);
    free(base);
}

static inline void *account_reallocate(void *context, void *block, size_t old, size_t size)
{
    void *moved = account_allocate(context, size);
    if (moved == NULL)
        return NULL;
    memcpy(moved, block, old < size ? old : size);
    account_release(context, block, old);
    return moved;
}

static inline void account_init(account *self)
{
    memset(self, 0, sizeof *self);
    self->allocator =
        (troupe_allocator){self, account_allocate, account_reallocate, account_release};
}

static inline void assert_account_is_even(account *self)
{
    assert_int_equal(atomic_load(&self->wrong_sizes), 0);
    assert_int_equal(atomic_load(&self->blocks), 0);
    assert_int_equal(atomic_load(&self->bytes), 0);
}

/* ---- answers ------------------------------------------------------------------------------- */

typedef struct heard {
    troupe_status status;
    troupe_outcome outcome;
    char text[2600]; /* payload, or the message of a failure */
    char content_type[64];
    size_t size;
} heard;

static inline void check_heard(heard got, troupe_status want, const char *file, int line)
{
    check_status(got.status, want, got.text, file, line);
}
#define assert_heard(got, want) check_heard((got), (want), __FILE__, __LINE__)

static inline void hear(heard *self, const troupe_answer *answer)
{
    troupe_slice text = answer->status == TROUPE_OK ? answer->payload : answer->message;
    self->status = answer->status;
    self->outcome = answer->outcome;
    self->size = text.size;
    snprintf(self->text, sizeof self->text, "%.*s", (int)text.size,
        text.size != 0 ? (const char *)text.data : "");
    snprintf(self->content_type, sizeof self->content_type, "%.*s",
        (int)answer->content_type.size,
        answer->content_type.size != 0 ? (const char *)answer->content_type.data : "");
}

static inline troupe_id id_of(const char *text)
{
    troupe_id id;
    const char *reason = "";
    if (troupe_id_parse(troupe_str(text), &id, &reason) != TROUPE_OK)
        id = troupe_id_of("", "");
    return id;
}

static inline heard ask_with(troupe_node *node, const char *id, const char *method,
    const char *payload, const troupe_call_options *options)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    heard got;
    troupe_status status =
        troupe_node_ask(node, id_of(id), method, troupe_str(payload), options, &answer);
    hear(&got, &answer);
    troupe_answer_release(&answer);
    assert_int_equal(status, got.status);
    return got;
}

static inline heard ask(troupe_node *node, const char *id, const char *method, const char *payload)
{
    return ask_with(node, id, method, payload, NULL);
}

static inline heard ask_within(troupe_node *node, const char *id, const char *method,
    const char *payload, uint64_t timeout)
{
    return ask_with(
        node, id, method, payload, &(troupe_call_options){TROUPE_CALL_OPTIONS, .timeout = timeout});
}

static inline void tell(
    troupe_node *node, const char *id, const char *method, const char *payload)
{
    assert_ok(troupe_node_tell(node, id_of(id), method, troupe_str(payload), NULL));
}

/* An ask that does not block the test. */
typedef struct call {
    _Atomic uint32_t ends; /* times that its callback came */
    heard got;
    tp_world *world; /* NULL: threads */
    uint64_t at;     /* of the end, in the world's time */
} call;

static inline void call_over(void *user, const troupe_answer *answer)
{
    call *self = user;
    hear(&self->got, answer);
    if (self->world != NULL)
        self->at = tp_world_now(self->world);
    atomic_fetch_add(&self->ends, 1);
}

static inline troupe_stats stats_of(troupe_node *node)
{
    troupe_stats stats = {.size = sizeof stats};
    assert_ok(troupe_node_stats(node, &stats));
    return stats;
}

/* ---- a node in a world --------------------------------------------------------------------- */

typedef struct scene {
    tp_world *world;
    troupe_node *node;
    troupe_client *client;
    tape *log;
} scene;

static inline void scene_is_stuck(void *user, const char *what)
{
    (void)user;
    print_error("the world is stuck: %s\n", what);
    fail();
    abort();
}

static inline void scene_open(scene *self, const troupe_node_options *given,
    const troupe_type *const *types, size_t type_count)
{
    tp_world_options world = {.seed = 1, .hurry = 1024, .stuck = scene_is_stuck};
    self->world = tp_world_create(&world);
    assert_non_null(self->world);
    self->log = malloc(sizeof *self->log);
    assert_non_null(self->log);
    tape_init(self->log);
    troupe_node_options options = {TROUPE_NODE_OPTIONS};
    if (given != NULL)
        options = *given;
    options.allocator = tp_world_allocator(self->world);
    options.log = "debug";
    options.on_log = tape_write;
    options.on_log_user = self->log;
    if (options.shards == 0)
        options.shards = 1;
    char error[512] = "";
    troupe_status status = tp_node_open_in(tp_world_env(self->world), true, &options, types,
        type_count, &self->node, error, sizeof error);
    check_status(status, TROUPE_OK, error, __FILE__, __LINE__);
    assert_ok(troupe_client_open(self->node, &self->client));
}

static inline void scene_close_node(scene *self)
{
    troupe_client_close(self->client);
    troupe_node_close(self->node);
    self->node = NULL;
    assert_int_equal(tp_world_live_blocks(self->world), 0);
    assert_int_equal(tp_world_live_bytes(self->world), 0);
}

static inline void scene_drop(scene *self)
{
    tp_world_destroy(self->world);
    free(self->log);
}

static inline void scene_close(scene *self)
{
    scene_close_node(self);
    scene_drop(self);
}

/* Lets the world run for `duration`. */
static inline void run_world(tp_world *world, uint64_t duration)
{
    uint64_t until = tp_world_now(world) + duration;
    while (tp_world_step_until(world, until)) {
    }
}

static inline void scene_run(scene *self, uint64_t duration)
{
    run_world(self->world, duration);
}

static inline troupe_status scene_try(scene *self, call *to, const char *id, const char *method,
    const char *payload, const troupe_call_options *options)
{
    memset(to, 0, sizeof *to);
    to->world = self->world;
    return troupe_client_ask_callback(
        self->client, id_of(id), method, troupe_str(payload), options, call_over, to);
}

static inline void scene_ask(scene *self, call *to, const char *id, const char *method,
    const char *payload, const troupe_call_options *options)
{
    assert_ok(scene_try(self, to, id, method, payload, options));
}

static inline void scene_await(scene *self, call *of)
{
    while (atomic_load(&of->ends) == 0)
        assert_true(tp_world_step(self->world));
}

/* ---- threads ------------------------------------------------------------------------------- */

/* Waits for something that another thread does. The bound is for a test that has failed. */
static inline bool comes_true(bool (*holds)(void *user), void *user)
{
    for (int i = 0; i < 60000; i++) {
        if (holds(user))
            return true;
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    return false;
}

static inline uint64_t clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#endif
