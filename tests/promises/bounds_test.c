/* SPDX-License-Identifier: Apache-2.0 */
/*
 * P9, bounded: each limit of a node is reached on purpose; callers get its documented answer, its
 * counter counts, nothing that was accepted is lost, and afterwards all goes on as before. In a
 * world, so that nothing drains before its time.
 */
#include "tests/promises/scene.h"

static troupe_status nap(troupe_turn *turn, void *state, troupe_slice payload)
{
    char text[256];
    (*(uint64_t *)state)++;
    TROUPE_TRY(troupe_sleep(turn, MS((unsigned)atoi(text_of(payload, text)))));
    return troupe_reply_format(turn, "rested");
}

static troupe_status count(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    (*(uint64_t *)state)++;
    return troupe_reply_format(turn, "%llu", *(unsigned long long *)state);
}

static troupe_status get(troupe_turn *turn, const void *state, troupe_slice payload)
{
    (void)payload;
    return troupe_reply_format(turn, "%llu", *(const unsigned long long *)state);
}

/* "id n": tells it n times within one step; replies how many were accepted, and the last status. */
static troupe_status flood(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    char text[256], id[64];
    unsigned times;
    if (sscanf(text_of(payload, text), "%63s %u", id, &times) != 2)
        return TROUPE_USAGE;
    unsigned accepted = 0;
    troupe_status last = TROUPE_OK;
    for (unsigned i = 0; i < times; i++) {
        troupe_status status = troupe_tell(turn, id_of(id), "count", troupe_str(""), NULL);
        accepted += status == TROUPE_OK;
        last = status != TROUPE_OK ? status : last;
    }
    return troupe_reply_format(turn, "%u %s", accepted, troupe_status_name(last));
}

/* "rounds n": tells each of b/m0 to b/m(n-1) once in each round; replies how many were accepted. */
static troupe_status spread(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    char text[256], id[64];
    unsigned rounds, actors, accepted = 0;
    if (sscanf(text_of(payload, text), "%u %u", &rounds, &actors) != 2)
        return TROUPE_USAGE;
    for (unsigned i = 0; i < rounds; i++) {
        for (unsigned k = 0; k < actors; k++) {
            snprintf(id, sizeof id, "b/m%u", k);
            accepted += troupe_tell(turn, id_of(id), "count", troupe_str(""), NULL) == TROUPE_OK;
        }
        TROUPE_TRY(troupe_yield(turn));
    }
    return troupe_reply_format(turn, "%u", accepted);
}

/* "id n": the same, each accepted or tried again until it is. */
static troupe_status pour(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    char text[256], id[64];
    unsigned times;
    if (sscanf(text_of(payload, text), "%63s %u", id, &times) != 2)
        return TROUPE_USAGE;
    const troupe_call_options options = {
        TROUPE_CALL_OPTIONS, .retry = {.attempts = 100, .backoff = MS(1)}};
    for (unsigned i = 0; i < times; i++)
        TROUPE_TRY(troupe_tell(turn, id_of(id), "count", troupe_str(""), &options));
    return troupe_reply_format(turn, "all");
}

static void ended(troupe_turn *turn, void *state, const troupe_answer *answer, void *user)
{
    (void)turn;
    (void)user;
    *(uint64_t *)state += answer->status == TROUPE_OK;
}

/* "id n": asks it n times with callback. */
static troupe_status post(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    char text[256], id[64];
    unsigned times;
    if (sscanf(text_of(payload, text), "%63s %u", id, &times) != 2)
        return TROUPE_USAGE;
    unsigned accepted = 0;
    troupe_status last = TROUPE_OK;
    for (unsigned i = 0; i < times; i++) {
        troupe_status status =
            troupe_ask_callback(turn, id_of(id), "nap", troupe_str("50"), NULL, ended, NULL);
        accepted += status == TROUPE_OK;
        last = status != TROUPE_OK ? status : last;
    }
    return troupe_reply_format(turn, "%u %s", accepted, troupe_status_name(last));
}

static troupe_status large(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    char text[256];
    size_t size = (size_t)atoi(text_of(payload, text));
    char *bytes = troupe_turn_alloc(turn, size);
    memset(bytes, 'l', size);
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status asked =
        troupe_ask(turn, id_of("b/other"), "count", (troupe_slice){bytes, size}, NULL, &answer);
    troupe_answer_release(&answer);
    troupe_status told =
        troupe_tell(turn, id_of("b/other"), "count", (troupe_slice){bytes, size}, NULL);
    return troupe_reply_format(turn, "%s %s", troupe_status_name(asked), troupe_status_name(told));
}

static troupe_status boast(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    char text[256];
    size_t size = (size_t)atoi(text_of(payload, text));
    char *bytes = troupe_turn_alloc(turn, size);
    memset(bytes, 'l', size);
    return troupe_reply_bytes(turn, (troupe_slice){bytes, size});
}

static void job(void *argument)
{
    atomic_fetch_add((_Atomic uint32_t *)argument, 1);
}

static troupe_status block(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    TROUPE_TRY(troupe_blocking(turn, job, troupe_turn_user(turn)));
    return troupe_reply_format(turn, "done");
}

static const troupe_method methods[] = {TROUPE_METHOD(nap), TROUPE_METHOD(count),
    TROUPE_READ_METHOD(get), TROUPE_METHOD(flood), TROUPE_METHOD(spread), TROUPE_METHOD(pour),
    TROUPE_METHOD(post), TROUPE_METHOD(large), TROUPE_METHOD(boast), TROUPE_METHOD(block)};

typedef struct bounds {
    scene s;
    troupe_type type;
    _Atomic uint32_t jobs;
} bounds;

static void open_bounds(bounds *self, const troupe_node_options *options)
{
    atomic_store(&self->jobs, 0);
    self->type = (troupe_type){TROUPE_TYPE("b"), .state_size = sizeof(uint64_t),
        TROUPE_METHODS(methods), .user = &self->jobs};
    scene_open(&self->s, options, TROUPE_TYPES(&self->type));
}

/* An id of `type` on another shard than `than`: found by asking where it is. */
static void where(void *user, const troupe_actor_info *info)
{
    *(uint32_t *)user = info->shard;
}

static uint32_t shard_of(scene *s, const char *id)
{
    uint32_t shard = UINT32_MAX;
    ask(s->node, id, "get", "");
    assert_ok(troupe_node_lookup(s->node, id_of(id), where, &shard));
    return shard;
}

static void find_remote(scene *s, const char *than, char *out, size_t size)
{
    uint32_t here = shard_of(s, than);
    for (int i = 0; i < 1000; i++) {
        snprintf(out, size, "b/far-%d", i);
        if (shard_of(s, out) != here)
            return;
    }
    fail();
}

/* ---- mailboxes ----------------------------------------------------------------------------- */

static void a_full_mailbox_refuses_asks_with_busy_and_keeps_what_it_has(void **state)
{
    (void)state;
    bounds b;
    open_bounds(&b, &(troupe_node_options){TROUPE_NODE_OPTIONS, .mailbox_limit = 10});
    call first, calls[20];
    scene_ask(&b.s, &first, "b/1", "nap", "100", NULL);
    scene_run(&b.s, MS(1));
    for (int i = 0; i < 20; i++)
        scene_ask(&b.s, &calls[i], "b/1", "count", "", NULL);
    scene_run(&b.s, MS(10));
    assert_int_equal(stats_of(b.s.node).queued, 10);
    assert_int_equal(stats_of(b.s.node).busy_mailbox, 10);
    for (int i = 10; i < 20; i++) {
        assert_heard(calls[i].got, TROUPE_BUSY);
        assert_int_equal(calls[i].got.outcome, TROUPE_NOT_DONE);
        assert_says(calls[i].got.text, "b/1");
        assert_says(calls[i].got.text, "mailbox_limit is 10");
    }
    scene_run(&b.s, MS(200));
    for (int i = 0; i < 10; i++)
        assert_heard(calls[i].got, TROUPE_OK);
    assert_string_equal(ask(b.s.node, "b/1", "count", "").text, "12");
    scene_close(&b.s);
}

static void a_mailbox_is_bounded_in_bytes_too(void **state)
{
    (void)state;
    bounds b;
    open_bounds(&b,
        &(troupe_node_options){TROUPE_NODE_OPTIONS, .mailbox_bytes = 16384, .max_message = 4096});
    static char bytes[4000];
    call first, calls[8];
    scene_ask(&b.s, &first, "b/1", "nap", "100", NULL);
    scene_run(&b.s, MS(1));
    memset(bytes, 'b', sizeof bytes - 1);
    for (int i = 0; i < 8; i++)
        scene_ask(&b.s, &calls[i], "b/1", "count", bytes, NULL);
    scene_run(&b.s, MS(10));
    assert_in_range(stats_of(b.s.node).queued, 3, 4);
    assert_in_range(stats_of(b.s.node).busy_mailbox, 4, 5);
    assert_heard(calls[7].got, TROUPE_BUSY);
    scene_run(&b.s, MS(200));
    assert_heard(calls[0].got, TROUPE_OK);
    scene_close(&b.s);
}

static void a_type_may_have_a_mailbox_limit_of_its_own(void **state)
{
    (void)state;
    const troupe_type narrow = {TROUPE_TYPE("b"), .state_size = sizeof(uint64_t),
        TROUPE_METHODS(methods), .mailbox_limit = 2};
    scene s;
    scene_open(&s, NULL, TROUPE_TYPES(&narrow));
    call calls[6];
    scene_ask(&s, &calls[0], "b/1", "nap", "100", NULL);
    scene_run(&s, MS(1));
    for (int i = 1; i < 6; i++)
        scene_ask(&s, &calls[i], "b/1", "count", "", NULL);
    scene_run(&s, MS(10));
    assert_int_equal(stats_of(s.node).busy_mailbox, 3);
    scene_close(&s);
}

/* A mailbox of 10 whose actor naps for so long is told 20 at a time. How many were accepted: in the
 * end none. */
static unsigned flood_napping(
    bounds *b, uint32_t shards, const char *nap_ms, int rounds, uint64_t pause, char to[32])
{
    open_bounds(
        b, &(troupe_node_options){TROUPE_NODE_OPTIONS, .mailbox_limit = 10, .shards = shards});
    (void)snprintf(to, 32, "b/1");
    if (shards == 2)
        find_remote(&b->s, "b/flooder", to, 32);
    char flood_text[64], last[32] = "";
    snprintf(flood_text, sizeof flood_text, "%s 20", to);
    static call first;
    scene_ask(&b->s, &first, to, "nap", nap_ms, NULL);
    scene_run(&b->s, MS(1));
    unsigned accepted = 0, now = 0;
    for (int i = 0; i < rounds; i++) {
        heard got = ask(b->s.node, "b/flooder", "flood", flood_text);
        assert_int_equal(sscanf(got.text, "%u %31s", &now, last), 2);
        accepted += now;
        scene_run(&b->s, pause);
    }
    assert_string_equal(last, "BUSY");
    assert_int_equal(now, 0);
    return accepted;
}

/* All that were accepted came, and the way is free again. */
static void check_flooded(bounds *b, const char *to, unsigned accepted)
{
    char flood_text[64];
    assert_int_equal(stats_of(b->s.node).dead_letters, 0);
    assert_int_equal(atoi(ask(b->s.node, to, "get", "").text), (int)accepted + 1);
    snprintf(flood_text, sizeof flood_text, "%s 3", to);
    assert_string_equal(ask(b->s.node, "b/flooder", "flood", flood_text).text, "3 OK");
    scene_close(&b->s);
}

static void accepted_tells_are_kept_and_later_ones_refused_while_a_mailbox_is_full(void **state)
{
    (void)state;
    for (uint32_t shards = 1; shards <= 2; shards++) {
        bounds b;
        char to[32];
        unsigned accepted = flood_napping(&b, shards, "100", 10, MS(1), to);
        assert_in_range(accepted, 10, 60); /* soft by what was under way */
        assert_int_equal(stats_of(b.s.node).busy_mailbox, 200 - accepted);
        scene_run(&b.s, MS(200));
        check_flooded(&b, to, accepted);
    }
}

static void a_full_mailbox_refuses_as_long_as_it_is_full(void **state)
{
    (void)state;
    for (uint32_t shards = 1; shards <= 2; shards++) {
        bounds b;
        char to[32];
        unsigned accepted = flood_napping(&b, shards, "20000", 300, MS(50), to);
        assert_in_range(accepted, 10, 40); /* what was under way, and nothing with time */
        scene_run(&b.s, TROUPE_SECONDS(10));
        check_flooded(&b, to, accepted);
    }
}

enum { MANY = 600 };

static void fill_many(bounds *b, call *naps)
{
    char id[32];
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(id, sizeof id, "b/m%u", i);
        scene_ask(&b->s, &naps[i], id, "nap", "5000", NULL);
        scene_run(&b->s, MS(1));
    }
}

static void each_of_many_full_mailboxes_refuses(void **state)
{
    (void)state;
    static call naps[MANY];
    for (uint32_t shards = 1; shards <= 2; shards++) {
        bounds b;
        open_bounds(&b, &(troupe_node_options){TROUPE_NODE_OPTIONS, .mailbox_limit = 10,
                            .link_limit = 64, .shards = shards});
        fill_many(&b, naps);
        heard got = ask(b.s.node, "b/flooder", "spread", "60 600");
        unsigned accepted = (unsigned)atoi(got.text);
        assert_in_range(accepted, MANY * 5, MANY * 10 + 1000); /* rings and arrivals */
        scene_run(&b.s, MS(10));
        assert_int_equal(stats_of(b.s.node).queued, accepted);
        scene_run(&b.s, TROUPE_SECONDS(10));
        assert_int_equal(stats_of(b.s.node).queued, 0);
        assert_int_equal(stats_of(b.s.node).dead_letters, 0);
        assert_string_equal(ask(b.s.node, "b/flooder", "spread", "1 30").text, "30");
        scene_close(&b.s);
    }
}

static void a_full_mailbox_refuses_calls_from_outside_and_is_named_in_the_count(void **state)
{
    (void)state;
    static call naps[MANY];
    bounds b;
    open_bounds(&b,
        &(troupe_node_options){TROUPE_NODE_OPTIONS, .mailbox_limit = 10, .inbox_limit = 16});
    fill_many(&b, naps);
    uint32_t accepted = 0, tried = 0;
    for (uint32_t i = 0; i < MANY * 20; i++, tried++) {
        char id[32];
        snprintf(id, sizeof id, "b/m%u", i % MANY);
        troupe_status status =
            troupe_node_tell(b.s.node, id_of(id), "count", troupe_str(""), NULL);
        assert_true(status == TROUPE_OK || status == TROUPE_BUSY);
        accepted += status == TROUPE_OK;
        scene_run(&b.s, 1);
    }
    assert_in_range(accepted, MANY * 10, MANY * 11);
    troupe_stats stats = stats_of(b.s.node);
    assert_int_equal(stats.queued, accepted);
    assert_int_equal(stats.busy_mailbox, tried - accepted);
    assert_int_equal(stats.busy_inbox, 0);
    heard got = ask(b.s.node, "b/m1", "count", "");
    assert_heard(got, TROUPE_BUSY);
    assert_says(got.text, "mailbox_limit is 10");
    scene_close(&b.s);
}

/* What came beyond the bytes of a mailbox is taken in, one after the other: until half of them is
 * free nobody adds to it. */
static void a_mailbox_beyond_its_bytes_is_full_until_half_of_them_is_free(void **state)
{
    (void)state;
    bounds b;
    open_bounds(&b, &(troupe_node_options){TROUPE_NODE_OPTIONS, .mailbox_bytes = 65536,
                        .max_message = 4096, .inbox_limit = 64});
    call naps[2];
    char bytes[4000];
    memset(bytes, '0', sizeof bytes - 1); /* a nap of 0 ms, or of 50 */
    bytes[sizeof bytes - 1] = 0;
    scene_ask(&b.s, &naps[0], "b/1", "nap", "100", NULL);
    scene_run(&b.s, MS(1));
    unsigned accepted = 0;
    memcpy(bytes, "50 ", 3);
    for (int i = 0; i < 64; i++) /* no step in between */
        accepted += troupe_node_tell(b.s.node, id_of("b/1"), "nap", troupe_str(bytes), NULL) ==
                    TROUPE_OK;
    assert_int_equal(accepted, 64);
    scene_run(&b.s, MS(200)); /* one of them has been taken */
    unsigned queued = (unsigned)stats_of(b.s.node).queued;
    assert_in_range(queued, 60, 63);
    for (int i = 0; i < 40; i++) {
        assert_status(troupe_node_tell(b.s.node, id_of("b/1"), "nap", troupe_str(bytes), NULL),
            TROUPE_BUSY);
        scene_run(&b.s, MS(50));
    }
    scene_run(&b.s, TROUPE_SECONDS(10));
    assert_int_equal(stats_of(b.s.node).queued, 0);
    assert_status(
        troupe_node_tell(b.s.node, id_of("b/1"), "nap", troupe_str(bytes), NULL), TROUPE_OK);
    scene_close(&b.s);
}

static void a_message_as_large_as_a_mailbox_fits_into_an_empty_one(void **state)
{
    (void)state;
    bounds b;
    open_bounds(&b,
        &(troupe_node_options){TROUPE_NODE_OPTIONS, .mailbox_bytes = 4096, .max_message = 4096});
    static char bytes[4097];
    memset(bytes, 'b', sizeof bytes - 1);
    for (int i = 0; i < 3; i++)
        assert_heard(ask(b.s.node, "b/1", "count", bytes), TROUPE_OK);
    scene_close(&b.s);
}

/* ---- links and inboxes --------------------------------------------------------------------- */

static void a_full_link_refuses_tells_at_once_and_a_retry_gets_through(void **state)
{
    (void)state;
    bounds b;
    open_bounds(&b, &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 2, .link_limit = 64});
    char to[32], text[64], last[32];
    find_remote(&b.s, "b/flooder", to, sizeof to);
    snprintf(text, sizeof text, "%s 1000", to);
    unsigned accepted = 0;
    heard got = ask(b.s.node, "b/flooder", "flood", text);
    assert_int_equal(sscanf(got.text, "%u %31s", &accepted, last), 2);
    assert_string_equal(last, "BUSY");
    assert_in_range(accepted, 48, 128);
    assert_int_equal(stats_of(b.s.node).busy_link, 1000 - accepted);
    scene_run(&b.s, MS(10));
    assert_int_equal(atoi(ask(b.s.node, to, "get", "").text), (int)accepted);
    assert_string_equal(ask(b.s.node, "b/flooder", "pour", text).text, "all");
    scene_run(&b.s, MS(10));
    assert_int_equal(atoi(ask(b.s.node, to, "get", "").text), (int)accepted + 1000);
    scene_close(&b.s);
}

static void a_full_inbox_refuses_outside_calls_at_once(void **state)
{
    (void)state;
    bounds b;
    open_bounds(&b, &(troupe_node_options){TROUPE_NODE_OPTIONS, .inbox_limit = 16});
    call calls[24];
    uint32_t accepted = 0, busy = 0;
    for (int i = 0; i < 24; i++) { /* no step in between: the shard has not looked */
        troupe_status status = scene_try(&b.s, &calls[i], "b/1", "count", "", NULL);
        accepted += status == TROUPE_OK;
        busy += status == TROUPE_BUSY;
    }
    assert_int_equal(accepted, 16);
    assert_int_equal(busy, 8);
    assert_status(
        troupe_node_tell(b.s.node, id_of("b/1"), "count", troupe_str(""), NULL), TROUPE_BUSY);
    scene_run(&b.s, MS(10));
    for (uint32_t i = 0; i < 24; i++)
        assert_int_equal(calls[i].ends, i < accepted);
    assert_int_equal(stats_of(b.s.node).busy_inbox, 9);
    tell(b.s.node, "b/1", "count", ""); /* there is room again */
    scene_run(&b.s, MS(1));
    assert_string_equal(ask(b.s.node, "b/1", "get", "").text, "17");
    scene_close(&b.s);
}

/* ---- asks, fibers, blocking ---------------------------------------------------------------- */

static void pending_asks_are_bounded(void **state)
{
    (void)state;
    bounds b;
    open_bounds(&b, &(troupe_node_options){TROUPE_NODE_OPTIONS, .max_asks = 8});
    /* Its own ask is pending, too. */
    assert_string_equal(ask(b.s.node, "b/1", "post", "b/2 20").text, "7 BUSY");
    assert_int_equal(stats_of(b.s.node).pending_asks, 7);
    assert_int_equal(stats_of(b.s.node).busy_asks, 13);
    call more[2]; /* from outside they count as well */
    scene_ask(&b.s, &more[0], "b/3", "nap", "1", NULL);
    scene_ask(&b.s, &more[1], "b/4", "nap", "1", NULL);
    scene_run(&b.s, MS(2));
    assert_heard(more[0].got, TROUPE_OK);
    assert_heard(more[1].got, TROUPE_BUSY);
    scene_run(&b.s, TROUPE_SECONDS(1));
    assert_int_equal(stats_of(b.s.node).pending_asks, 0);
    assert_string_equal(ask(b.s.node, "b/1", "get", "").text, "7"); /* answers came to it */
    scene_close(&b.s);
}

static void parked_turns_are_bounded_and_those_beyond_get_busy(void **state)
{
    (void)state;
    bounds b;
    open_bounds(&b, &(troupe_node_options){TROUPE_NODE_OPTIONS, .max_fibers = 4});
    call calls[10];
    for (int i = 0; i < 10; i++) {
        char id[32];
        snprintf(id, sizeof id, "b/%d", i);
        scene_ask(&b.s, &calls[i], id, "nap", "50", NULL);
    }
    scene_run(&b.s, MS(10));
    assert_int_equal(stats_of(b.s.node).parked, 4);
    assert_int_equal(stats_of(b.s.node).busy_fibers, 6);
    assert_true(stats_of(b.s.node).fibers <= 6);
    assert_string_equal(ask(b.s.node, "b/free", "count", "").text, "1"); /* needs no fiber */
    scene_run(&b.s, MS(100));
    int ok = 0, busy = 0;
    for (int i = 0; i < 10; i++) {
        ok += calls[i].got.status == TROUPE_OK;
        busy += calls[i].got.status == TROUPE_BUSY;
    }
    assert_int_equal(ok, 4);
    assert_int_equal(busy, 6);
    assert_heard(ask(b.s.node, "b/1", "nap", "1"), TROUPE_OK);
    scene_close(&b.s);
}

static void jobs_that_wait_for_a_thread_are_bounded(void **state)
{
    (void)state;
    bounds b;
    open_bounds(&b, NULL);
    call calls[40]; /* the world's pool holds sixteen */
    for (int i = 0; i < 40; i++) {
        char id[32];
        snprintf(id, sizeof id, "b/%d", i);
        scene_ask(&b.s, &calls[i], id, "block", "", NULL);
    }
    scene_run(&b.s, TROUPE_SECONDS(1));
    uint32_t ok = 0, busy = 0;
    for (int i = 0; i < 40; i++) {
        ok += calls[i].got.status == TROUPE_OK;
        busy += calls[i].got.status == TROUPE_BUSY;
    }
    assert_int_equal(ok + busy, 40);
    assert_true(busy > 0 && ok >= 16);
    assert_int_equal(stats_of(b.s.node).busy_blocking, busy);
    assert_int_equal(atomic_load(&b.jobs), ok); /* what was refused did not run */
    scene_close(&b.s);
}

static void a_full_pool_of_threads_refuses_blocking_jobs(void **state)
{
    (void)state;
    _Atomic uint32_t jobs = 0;
    const troupe_type type = {
        TROUPE_TYPE("b"), .state_size = sizeof(uint64_t), TROUPE_METHODS(methods), .user = &jobs};
    const troupe_node_options options = {
        TROUPE_NODE_OPTIONS, .shards = 1, .log = "off", .blocking_threads = 1, .blocking_limit = 2};
    troupe_node *node;
    troupe_client *client;
    assert_ok(troupe_node_open(&options, TROUPE_TYPES(&type), &node));
    assert_ok(troupe_client_open(node, &client));
    static call calls[200];
    memset(calls, 0, sizeof calls);
    for (int i = 0; i < 200; i++) {
        char id[32];
        snprintf(id, sizeof id, "b/%d", i);
        assert_ok(troupe_client_ask_callback(
            client, id_of(id), "block", troupe_str(""), NULL, call_over, &calls[i]));
    }
    troupe_client_close(client);
    troupe_node_close(node); /* ends what was accepted */
    uint32_t ok = 0, busy = 0;
    for (int i = 0; i < 200; i++) {
        assert_int_equal(calls[i].ends, 1);
        ok += calls[i].got.status == TROUPE_OK;
        busy += calls[i].got.status == TROUPE_BUSY;
    }
    assert_int_equal(ok + busy, 200);
    assert_int_equal(atomic_load(&jobs), ok);
}

/* ---- size ---------------------------------------------------------------------------------- */

static void a_payload_beyond_max_message_is_too_large_everywhere(void **state)
{
    (void)state;
    bounds b;
    open_bounds(&b, &(troupe_node_options){TROUPE_NODE_OPTIONS, .max_message = 1000});
    char bytes[1002];
    memset(bytes, 'x', sizeof bytes - 1);
    bytes[1001] = 0;
    heard got = ask(b.s.node, "b/1", "count", bytes);
    assert_heard(got, TROUPE_TOO_LARGE);
    assert_int_equal(got.outcome, TROUPE_NOT_DONE);
    assert_says(got.text, "max_message, 1000 bytes");
    assert_status(troupe_node_tell(b.s.node, id_of("b/1"), "count", troupe_str(bytes), NULL),
        TROUPE_TOO_LARGE);
    assert_string_equal(ask(b.s.node, "b/1", "large", "1001").text, "TOO_LARGE TOO_LARGE");
    assert_heard(ask(b.s.node, "b/1", "boast", "1001"), TROUPE_TOO_LARGE);
    assert_int_equal(stats_of(b.s.node).too_large, 5);
    bytes[1000] = 0;
    assert_heard(ask(b.s.node, "b/1", "count", bytes), TROUPE_OK);
    assert_string_equal(ask(b.s.node, "b/1", "large", "1000").text, "OK OK");
    assert_int_equal(ask(b.s.node, "b/1", "boast", "1000").size, 1000);
    scene_close(&b.s);
}

/* ---- overload ------------------------------------------------------------------------------ */

static void replies_are_never_refused_however_full_the_links_are(void **state)
{
    (void)state;
    bounds b;
    open_bounds(&b, &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 4, .link_limit = 2,
                        .mailbox_limit = 4, .max_asks = 64});
    call calls[200];
    uint32_t tried = 0, ended_well = 0, busy = 0;
    for (int i = 0; i < 200; i++) {
        char id[32], text[32];
        snprintf(id, sizeof id, "b/%d", i % 40);
        snprintf(text, sizeof text, "b/%d 30", (i * 7 + 1) % 40);
        troupe_status status = scene_try(&b.s, &calls[i], id, i % 2 ? "flood" : "post", text, NULL);
        tried += status == TROUPE_OK;
    }
    scene_run(&b.s, TROUPE_SECONDS(60));
    for (int i = 0; i < 200; i++) {
        ended_well += calls[i].ends == 1 && calls[i].got.status == TROUPE_OK;
        busy += calls[i].ends == 1 && calls[i].got.status == TROUPE_BUSY;
    }
    assert_int_equal(ended_well + busy, tried);
    assert_true(ended_well > 0 && busy > 0);
    troupe_stats stats = stats_of(b.s.node);
    assert_int_equal(stats.pending_asks, 0);
    assert_int_equal(stats.parked, 0);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.timeouts, 0);
    assert_int_equal(stats.dead_letters, 0);
    scene_close(&b.s);
}

static void senders_that_wait_for_room_do_not_keep_each_other_waiting_for_ever(void **state)
{
    (void)state;
    bounds b;
    open_bounds(&b, &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 2, .max_actors = 4});
    char id[16], text[24];
    for (int i = 0; i < 24;
         i++) { /* accepted at once, so many become active, and all of them send */
        snprintf(id, sizeof id, "b/s%d", i);
        snprintf(text, sizeof text, "b/t%d 1", i);
        tell(b.s.node, id, "pour", text);
    }
    scene_run(&b.s, TROUPE_SECONDS(10));
    troupe_stats stats = stats_of(b.s.node);
    assert_true(stats.busy_actors > 0);
    assert_int_equal(stats.parked, 0);
    assert_int_equal(stats.failures, 0);
    assert_true(stats.active <= 4);
    scene_close(&b.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_mailbox_refuses_asks_with_busy_and_keeps_what_it_has),
        cmocka_unit_test(a_mailbox_is_bounded_in_bytes_too),
        cmocka_unit_test(a_type_may_have_a_mailbox_limit_of_its_own),
        cmocka_unit_test(accepted_tells_are_kept_and_later_ones_refused_while_a_mailbox_is_full),
        cmocka_unit_test(a_full_link_refuses_tells_at_once_and_a_retry_gets_through),
        cmocka_unit_test(a_full_mailbox_refuses_as_long_as_it_is_full),
        cmocka_unit_test(each_of_many_full_mailboxes_refuses),
        cmocka_unit_test(a_full_mailbox_refuses_calls_from_outside_and_is_named_in_the_count),
        cmocka_unit_test(a_mailbox_beyond_its_bytes_is_full_until_half_of_them_is_free),
        cmocka_unit_test(a_message_as_large_as_a_mailbox_fits_into_an_empty_one),
        cmocka_unit_test(a_full_inbox_refuses_outside_calls_at_once),
        cmocka_unit_test(senders_that_wait_for_room_do_not_keep_each_other_waiting_for_ever),
        cmocka_unit_test(pending_asks_are_bounded),
        cmocka_unit_test(parked_turns_are_bounded_and_those_beyond_get_busy),
        cmocka_unit_test(jobs_that_wait_for_a_thread_are_bounded),
        cmocka_unit_test(a_full_pool_of_threads_refuses_blocking_jobs),
        cmocka_unit_test(a_payload_beyond_max_message_is_too_large_everywhere),
        cmocka_unit_test(replies_are_never_refused_however_full_the_links_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
