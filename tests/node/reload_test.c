/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node that runs makes of new options: what can change does and is in force for calls from
 * then on, the rest is told, what is wrong changes nothing; while threads call it all the time.
 *
 * Threads: the test's, callers, the node's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <time.h>
#include <unistd.h>
#include <troupe/config.h>
#include <troupe/inspect.h>

typedef struct seen {
    char taken[400], left[400];
} seen;

static void note(void *user, const troupe_reload_change *change)
{
    seen *self = user;
    char *list = change->is_taken ? self->taken : self->left;
    size_t size = strlen(list);
    (void)snprintf(list + size, sizeof self->taken - size, "%s=%s;", change->name, change->value);
}

static troupe_status nap(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    return troupe_sleep(turn, TROUPE_SECONDS(30));
}

static troupe_status add(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    return troupe_reply_format(turn, "1");
}

/* Keeps its shard until it is let go. */
static sem_t hangs, let_go;
static troupe_status hang(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)turn;
    (void)state;
    (void)payload;
    (void)sem_post(&hangs);
    (void)sem_wait(&let_go);
    return TROUPE_OK;
}

static sem_t idled;
static void on_deactivate(troupe_turn *turn, void *state, troupe_reason reason)
{
    (void)turn;
    (void)state;
    (void)reason;
    (void)sem_post(&idled);
}

static const troupe_method methods[] = {
    TROUPE_METHOD(nap), TROUPE_METHOD(add), TROUPE_METHOD(hang)};
static const troupe_type leaves = {
    TROUPE_TYPE("leaves"), TROUPE_METHODS(methods), .on_deactivate = on_deactivate};
static const troupe_type plain = {TROUPE_TYPE("plain"), TROUPE_METHODS(methods)};
static const troupe_type own = {
    TROUPE_TYPE("own"), TROUPE_METHODS(methods), .idle = TROUPE_HOURS(1), .mailbox_limit = 7};
static const troupe_type *const types[] = {&plain, &own, &leaves};

static troupe_node *open_node(const troupe_node_options *options)
{
    troupe_node *node;
    char error[512];
    if (troupe_node_open_explained(options, types, 3, &node, error, sizeof error) != TROUPE_OK)
        fail_msg("%s", error);
    return node;
}

static troupe_status reload(troupe_node *node, const troupe_node_options *options,
    const troupe_type *const *list, seen *ret_seen, char error[512])
{
    *ret_seen = (seen){"", ""};
    return troupe_node_reload(node, options, list, 2, note, ret_seen, error, 512);
}

static void assert_is(const troupe_node *node, const char *option, const char *value)
{
    char text[64] = "";
    (void)troupe_node_option(node, option, text, sizeof text);
    assert_string_equal(text, value);
}

static void what_can_change_does_and_the_rest_is_told(void **state)
{
    (void)state;
    seen changes;
    char error[512];
    troupe_node *node = open_node(&(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 2});
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 2};
    assert_int_equal(reload(node, &options, NULL, &changes, error), TROUPE_OK);
    assert_string_equal(changes.taken, "");
    assert_string_equal(changes.left, "");
    options.ask_timeout = TROUPE_MILLISECONDS(30);
    options.max_actors = 1000;
    options.max_message = 1000;
    options.shards = 3;
    options.storage = "sqlite:x";
    assert_int_equal(reload(node, &options, types, &changes, error), TROUPE_OK);
    assert_string_equal(changes.taken, "max_actors=1_000;ask_timeout=30ms;");
    assert_string_equal(changes.left, "shards=3;storage=sqlite:x;max_message=1000B;");
    assert_is(node, "shards", "2");
    assert_is(node, "max_actors", "1_000");
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_id id = {troupe_str("plain"), {NULL, 0}, troupe_str("1")};
    assert_int_equal(
        troupe_node_ask(node, id, "nap", troupe_str(""), NULL, &answer), TROUPE_TIMEOUT);
    troupe_answer_release(&answer);
    /* What is left out has its default again. */
    options = (troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 2};
    assert_int_equal(reload(node, &options, NULL, &changes, error), TROUPE_OK);
    assert_string_equal(changes.taken, "max_actors=10_000_000;ask_timeout=30s;");
    assert_string_equal(changes.left, "");
    troupe_node_close(node);
}

static void types_follow_the_node_or_their_own(void **state)
{
    (void)state;
    seen changes;
    char error[512];
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 1, .mailbox_limit = 9};
    troupe_node *node = open_node(&(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 1});
    assert_int_equal(reload(node, &options, NULL, &changes, error), TROUPE_OK);
    assert_string_equal(changes.taken, "mailbox_limit=9;");
    troupe_type plain_now = plain, own_now = own;
    const troupe_type *const now[] = {&plain_now, &own_now};
    assert_int_equal(reload(node, &options, now, &changes, error), TROUPE_OK);
    assert_string_equal(changes.taken, "");
    plain_now.batch = 3;
    plain_now.stack_size = 65536;
    own_now.mailbox_limit = 0;
    assert_int_equal(reload(node, &options, now, &changes, error), TROUPE_OK);
    assert_string_equal(changes.taken, "types.plain.turn_batch=3;types.own.mailbox_limit=9;");
    assert_string_equal(changes.left, "types.plain.stack_size=64KiB;");
    troupe_node_close(node);
}

static void what_is_wrong_changes_nothing(void **state)
{
    (void)state;
    seen changes;
    char error[512] = "";
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 1, .max_actors = 5};
    troupe_node *node = open_node(&(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 1});
    options.max_message = UINT64_C(64) << 20;
    options.mailbox_bytes = UINT64_C(1) << 20;
    assert_int_equal(reload(node, &options, NULL, &changes, error), TROUPE_USAGE);
    assert_ptr_equal(strstr(error, "max_message:"), error);
    options = (troupe_node_options){
        TROUPE_NODE_OPTIONS, .shards = 1, .max_actors = 5, .http_token = "${file:/nowhere}"};
    assert_int_equal(reload(node, &options, NULL, &changes, error), TROUPE_USAGE);
    assert_ptr_equal(strstr(error, "http_token:"), error);
    assert_string_equal(changes.taken, "");
    assert_is(node, "max_actors", "10_000_000");
    options.http_token = "a secret";
    assert_int_equal(reload(node, &options, NULL, &changes, error), TROUPE_OK);
    assert_string_equal(changes.left, "http_token=***;");
    assert_int_equal(
        troupe_node_reload(node, NULL, NULL, 0, NULL, NULL, NULL, 0), TROUPE_OK); /* defaults */
    troupe_node_close(node);
}

/* A reference means what its file holds. */
static void another_secret_in_the_same_file_is_seen(void **state)
{
    (void)state;
    seen changes;
    char error[512], path[] = "/tmp/troupe-reload.XXXXXX", text[64];
    int file = mkstemp(path);
    assert_true(file >= 0 && write(file, "one\n", 4) == 4);
    (void)snprintf(text, sizeof text, "${file:%s}", path);
    const troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .shards = 1, .cluster_token = text};
    troupe_node *node = open_node(&options);
    assert_int_equal(reload(node, &options, NULL, &changes, error), TROUPE_OK);
    assert_string_equal(changes.left, "");
    assert_true(pwrite(file, "two\n", 4, 0) == 4);
    assert_int_equal(reload(node, &options, NULL, &changes, error), TROUPE_OK);
    assert_string_equal(changes.left, "cluster_token=***;");
    close(file);
    (void)unlink(path);
    troupe_node_close(node);
}

typedef struct caller {
    troupe_node *node;
    atomic_bool stops;
    atomic_int calls, refused;
} caller;

static void *call(void *user)
{
    caller *self = user;
    for (int i = 0; !atomic_load(&self->stops); i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", i % 50);
        troupe_answer answer = TROUPE_ANSWER_INIT;
        troupe_id id = {troupe_str("plain"), {NULL, 0}, troupe_str(key)};
        if (troupe_node_ask(self->node, id, "add", troupe_str(""), NULL, &answer) != TROUPE_OK)
            atomic_fetch_add(&self->refused, 1);
        atomic_fetch_add(&self->calls, 1);
        troupe_answer_release(&answer);
    }
    return NULL;
}

static void calls_go_on_while_options_change(void **state)
{
    (void)state;
    seen changes;
    char error[512];
    pthread_t threads[2];
    caller self = {.node = open_node(&(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 2})};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call, &self), 0);
    for (uint32_t i = 0; i < 200 || atomic_load(&self.calls) < 2000; i++) {
        const troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 2,
            .idle = i % 2 == 0 ? TROUPE_MILLISECONDS(2) : TROUPE_NEVER,
            .mailbox_limit = 100 + i, .ask_timeout = TROUPE_SECONDS(20 + i % 7),
            .max_actors = 1000 + i, .log = i % 2 == 0 ? "error" : "error,text"};
        assert_int_equal(reload(self.node, &options, types, &changes, error), TROUPE_OK);
        assert_non_null(strstr(changes.taken, "mailbox_limit="));
    }
    atomic_store(&self.stops, true);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&self.refused), 0);
    troupe_node_close(self.node);
}

static bool comes(sem_t *what)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    return sem_timedwait(what, &until) == 0;
}

static void ask_one(troupe_node *node, const char *key)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_id id = {troupe_str("leaves"), {NULL, 0}, troupe_str(key)};
    assert_int_equal(troupe_node_ask(node, id, "add", troupe_str(""), NULL, &answer), TROUPE_OK);
    troupe_answer_release(&answer);
}

/* The second reload finds no option that differs, and has to tell the shard all the same. */
static void what_a_shard_has_missed_the_next_reload_tells_it(void **state)
{
    (void)state;
    seen changes;
    char error[512];
    assert_true(sem_init(&hangs, 0, 0) == 0 && sem_init(&let_go, 0, 0) == 0);
    assert_int_equal(sem_init(&idled, 0, 0), 0);
    troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .shards = 1, .idle = TROUPE_NEVER, .log = "off"};
    troupe_node *node = open_node(&options);
    ask_one(node, "1");
    troupe_id stuck = {troupe_str("plain"), {NULL, 0}, troupe_str("1")};
    assert_int_equal(troupe_node_tell(node, stuck, "hang", troupe_str(""), NULL), TROUPE_OK);
    assert_true(comes(&hangs));
    options.idle = TROUPE_MILLISECONDS(1);
    assert_int_equal(reload(node, &options, NULL, &changes, error), TROUPE_UNAVAILABLE);
    assert_string_equal(changes.taken, "idle=1ms;");
    assert_int_equal(reload(node, &options, NULL, &changes, error), TROUPE_UNAVAILABLE);
    assert_string_equal(changes.taken, "");
    assert_non_null(strstr(error, "did not hear"));
    (void)sem_post(&let_go);
    assert_int_equal(reload(node, &options, NULL, &changes, error), TROUPE_OK);
    assert_true(comes(&idled));
    troupe_node_close(node);
}

/* More than are looked at in one pass; the second reload comes while the first one looks. */
static void the_new_idle_age_is_that_of_all_who_are_active(void **state)
{
    (void)state;
    enum { ACTORS = 5000 };
    seen changes;
    char error[512], key[16];
    assert_int_equal(sem_init(&idled, 0, 0), 0);
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 2, .idle = TROUPE_NEVER};
    troupe_node *node = open_node(&options);
    for (int i = 0; i < ACTORS; i++) {
        snprintf(key, sizeof key, "%d", i);
        ask_one(node, key);
    }
    options.idle = TROUPE_HOURS(1);
    assert_int_equal(reload(node, &options, NULL, &changes, error), TROUPE_OK);
    options.idle = TROUPE_MILLISECONDS(1);
    assert_int_equal(reload(node, &options, NULL, &changes, error), TROUPE_OK);
    for (int i = 0; i < ACTORS; i++)
        assert_true(comes(&idled));
    troupe_node_close(node);
}

/* Gives no memory while it is poor: what is asked for then is asked for by the reload alone, as
 * nobody calls the node. */
static atomic_bool is_poor;
static void *allocate(void *context, size_t size)
{
    (void)context;
    return atomic_load(&is_poor) ? NULL : malloc(size);
}
static void *reallocate(void *context, void *block, size_t old_size, size_t new_size)
{
    (void)context;
    (void)old_size;
    return atomic_load(&is_poor) ? NULL : realloc(block, new_size);
}
static void release(void *context, void *block, size_t size)
{
    (void)context;
    (void)size;
    free(block);
}

static void a_reload_without_memory_says_that_it_is_owed(void **state)
{
    (void)state;
    seen changes;
    char error[512];
    const troupe_allocator allocator = {NULL, allocate, reallocate, release};
    assert_int_equal(sem_init(&idled, 0, 0), 0);
    troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .shards = 1, .idle = TROUPE_NEVER, .allocator = &allocator};
    troupe_node *node = open_node(&options);
    ask_one(node, "1");
    options.idle = TROUPE_MILLISECONDS(1);
    options.allocator = NULL; /* of the new options: there is memory to read them */
    atomic_store(&is_poor, true);
    assert_int_equal(reload(node, &options, NULL, &changes, error), TROUPE_UNAVAILABLE);
    assert_string_equal(changes.taken, "idle=1ms;");
    assert_is(node, "idle", "1ms");
    atomic_store(&is_poor, false);
    assert_int_equal(reload(node, &options, NULL, &changes, error), TROUPE_OK);
    assert_true(comes(&idled));
    troupe_node_close(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_can_change_does_and_the_rest_is_told),
        cmocka_unit_test(types_follow_the_node_or_their_own),
        cmocka_unit_test(what_is_wrong_changes_nothing),
        cmocka_unit_test(another_secret_in_the_same_file_is_seen),
        cmocka_unit_test(calls_go_on_while_options_change),
        cmocka_unit_test(what_a_shard_has_missed_the_next_reload_tells_it),
        cmocka_unit_test(the_new_idle_age_is_that_of_all_who_are_active),
        cmocka_unit_test(a_reload_without_memory_says_that_it_is_owed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
