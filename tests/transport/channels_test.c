/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the channels between nodes promise, in a world whose connections break, stall and cross:
 * every frame arrives once and in order as long as both incarnations live; strangers are turned
 * away with a word in the log; nothing is written without a lease; idle connections are closed.
 *
 * Threads: one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "papers.h"
#include "testkit/world.h"
#include "transport/channels.h"
#include "transport/door.h"

#include <troupe.h>

#define NODES_MAX   4
#define PARCEL_MOST ((size_t)2048)

struct net;

typedef struct node {
    tp_runner runner;
    tp_env *env;
    struct net *net;
    uint64_t incarnation, view;
    tp_channels *channels;
    tp_door *door;
    char token[16], cluster[16];
    bool stop, has_lease;
    tp_tls_context *tls;
    bool allows_clear_text, takes_nothing;
    uint64_t told[NODES_MAX + 1]; /* to each incarnation so far */
    uint64_t wanted[NODES_MAX + 1];
    uint64_t heard[NODES_MAX + 1];
    uint32_t newer, connected;
    size_t wants_large, heard_large; /* bytes of one frame, to incarnation 2 */
    uint32_t wants_parcels, heard_parcels; /* to the same */
    size_t parcel_size;
    uint32_t hurries; /* times that some were written in the middle of a pass */
    uint32_t of_pass, most_of_pass;        /* parcels heard in one pass */
    char log[4096];
} node;

typedef struct net {
    tp_world *world;
    node nodes[NODES_MAX];
    uint32_t count;
    bool strange; /* incarnation 2 is nobody's */
} net;

/* ---- a node ---------------------------------------------------------------------------------- */

static bool find(void *user, uint64_t incarnation, char *address, size_t size)
{
    node *self = user;
    if (incarnation == 0 || incarnation > self->net->count)
        return false;
    snprintf(address, size, "n%llu:7000", (unsigned long long)incarnation);
    return true;
}

static tp_peer_answer judge(void *user, const tp_hello_side *peer)
{
    node *self = user;
    if (self->net->strange && peer->incarnation == 2)
        return peer->view > self->view ? TP_PEER_BEHIND : TP_PEER_STRANGE;
    return TP_PEER_KNOWN;
}

static const char *frame(void *user, tp_channel *channel, const tp_session_frame *frame)
{
    node *self = user;
    if (frame->kind == TP_FRAME_WORD) {
        self->heard_large += frame->body.size;
        return NULL;
    }
    if (frame->kind == TP_FRAME_REQUEST) {
        assert_int_equal(tp_session_settle(&channel->session, frame->parcel), TROUPE_OK);
        self->heard_parcels++;
        self->of_pass++;
        if (self->of_pass > self->most_of_pass)
            self->most_of_pass = self->of_pass;
        return NULL;
    }
    if (frame->kind == TP_FRAME_SETTLED)
        return NULL;
    if (frame->kind != TP_FRAME_FULL || self->takes_nothing)
        return "not what this test says";
    uint64_t number;
    const char *fault = tp_wire_mark_get(frame->body, &number);
    if (fault != NULL)
        return fault;
    if (number != ++self->heard[channel->peer])
        fail_msg("frame %llu after %llu", (unsigned long long)number,
            (unsigned long long)self->heard[channel->peer] - 1);
    return NULL;
}

static void newer_view(void *user, uint64_t number)
{
    (void)number;
    ((node *)user)->newer++;
}

static bool may_send(void *user)
{
    return ((node *)user)->has_lease;
}

static void connected(void *user, tp_channel *channel)
{
    (void)channel;
    ((node *)user)->connected++;
}

static const tp_channels_calls calls = {.find = find,
    .judge = judge,
    .frame = frame,
    .newer_view = newer_view,
    .may_send = may_send,
    .connected = connected};

static void take_log(void *user, int level, const char *event, const char *peer, const char *text)
{
    node *self = user;
    (void)level;
    (void)peer;
    size_t at = strlen(self->log);
    snprintf(self->log + at, sizeof self->log - at, "%s: %s\n", event, text);
}

static void on_come(
    void *user, tp_socket socket, tp_preamble preamble, const void *rest, size_t rest_size)
{
    tp_channels_accept(((node *)user)->channels, socket, preamble, rest, rest_size);
}

static void open_channels(node *self)
{
    const tp_channels_options options = {.env = self->env,
        .runner = &self->runner,
        .allocator = tp_world_memory_of(self->env),
        .calls = &calls,
        .user = self,
        .self = {.incarnation = self->incarnation,
            .view = self->view,
            .shards = 1,
            .node = troupe_str("node"),
            .address = troupe_str("n:7000")},
        .cluster = troupe_str(self->cluster),
        .token = troupe_str(self->token),
        .idle = TROUPE_SECONDS(20),
        .tls = self->tls,
        .allows_clear_text = self->allows_clear_text,
        .log = take_log};
    assert_int_equal(tp_channels_create(&options, &self->channels), TROUPE_OK);
    char address[32], error[100];
    snprintf(address, sizeof address, "n%llu:7000", (unsigned long long)self->incarnation);
    const tp_door_options door = {.env = self->env,
        .runner = &self->runner,
        .allocator = options.allocator,
        .address = address,
        .come = on_come,
        .log = take_log,
        .user = self};
    assert_int_equal(tp_door_open(&door, &self->door, error, sizeof error), TROUPE_OK);
}

static void say_large(node *self)
{
    tp_channel *channel = tp_channels_get(self->channels, 2, 0);
    char *at;
    assert_int_equal(
        tp_session_put(&channel->session, TP_FRAME_WORD, 0, self->wants_large, &at, NULL),
        TROUPE_OK);
    memset(at, 7, self->wants_large);
    self->wants_large = 0;
}

static void say_parcels(node *self)
{
    static const char payload[PARCEL_MOST];
    tp_channel *channel = tp_channels_get(self->channels, 2, 0);
    tp_session *session = &channel->session;
    const tp_parcel parcel = {.bits = TP_PARCEL_NAMES,
        .type = troupe_str("type"),
        .method = troupe_str("method"),
        .key = troupe_str("key"),
        .payload = troupe_slice_of(payload, self->parcel_size)};
    uint64_t number, sent = session->sent_to;
    for (; self->wants_parcels != 0; self->wants_parcels--) {
        if (tp_session_put_parcel(session, TP_FRAME_REQUEST, &parcel, &number) != TROUPE_OK)
            return;
        if (tp_channel_hurry(channel))
            self->hurries++;
        assert_true(self->has_lease || session->sent_to == sent);
    }
}

static void say(node *self)
{
    if (self->wants_large != 0)
        say_large(self);
    if (self->wants_parcels != 0)
        say_parcels(self);
    for (uint32_t to = 1; to <= self->net->count; to++) {
        while (self->told[to] < self->wanted[to]) {
            tp_channel *channel = tp_channels_get(self->channels, to, 0);
            char *at;
            uint64_t number;
            assert_non_null(channel);
            if (tp_session_put(&channel->session, TP_FRAME_FULL, 0, TP_WIRE_MARK_BYTES, &at,
                    &number) != TROUPE_OK)
                break;
            tp_wire_mark_put(at, ++self->told[to]);
        }
    }
}

static uint64_t step(tp_runner *runner)
{
    node *self = TP_CONTAINER(runner, node, runner);
    uint64_t now = self->env->now(self->env);
    if (self->channels == NULL)
        open_channels(self);
    if (self->stop) {
        tp_channels_destroy(self->channels);
        tp_door_close(self->door);
        return TP_STEP_DONE;
    }
    uint64_t again = tp_door_pass(self->door, now);
    self->of_pass = 0;
    tp_channels_pass(self->channels, now);
    say(self);
    uint64_t due = tp_channels_flush(self->channels, now);
    return due < again ? due : again;
}

static bool has_arrivals(tp_runner *runner)
{
    node *self = TP_CONTAINER(runner, node, runner);
    return self->stop || (self->channels != NULL && (tp_channels_has_arrivals(self->channels) ||
                                                        tp_door_has_arrivals(self->door)));
}

/* ---- a net ----------------------------------------------------------------------------------- */

static void stuck(void *user, const char *what)
{
    (void)user;
    fail_msg("%s", what);
}

static void net_open_far(
    net *self, uint64_t seed, uint32_t count, uint32_t break_chance, uint64_t delay_most)
{
    memset(self, 0, sizeof *self);
    const tp_world_options options = {.seed = seed,
        .pause_chance = 20,
        .pause_max = TROUPE_MILLISECONDS(3),
        .delay_most = delay_most,
        .break_chance = break_chance,
        .stuck = stuck};
    self->world = tp_world_create(&options);
    assert_non_null(self->world);
    self->count = count;
    for (uint32_t i = 0; i < count; i++) {
        node *made = &self->nodes[i];
        char host[16];
        snprintf(host, sizeof host, "n%u", i + 1);
        *made = (node){.net = self,
            .incarnation = i + 1,
            .view = 1,
            .has_lease = true,
            .runner = {.step = step, .has_arrivals = has_arrivals, .number = i}};
        snprintf(made->token, sizeof made->token, "secret");
        snprintf(made->cluster, sizeof made->cluster, "dev");
        made->env = tp_world_process(self->world, host);
        assert_non_null(made->env);
    }
}

static void net_open(net *self, uint64_t seed, uint32_t count, uint32_t break_chance)
{
    net_open_far(self, seed, count, break_chance, TROUPE_MILLISECONDS(5));
}

static void net_start(net *self)
{
    for (uint32_t i = 0; i < self->count; i++)
        assert_int_equal(
            self->nodes[i].env->runner_start(self->nodes[i].env, &self->nodes[i].runner),
            TROUPE_OK);
}

static void run(net *self, uint64_t duration)
{
    uint64_t until = tp_world_now(self->world) + duration;
    while (tp_world_step_until(self->world, until))
        ;
}

static void want(node *self, uint32_t to, uint64_t more)
{
    self->wanted[to] += more;
    self->env->runner_wake(self->env, &self->runner);
}

static void node_close(node *self)
{
    self->stop = true;
    self->env->runner_wake(self->env, &self->runner);
    self->env->runner_join(self->env, &self->runner);
    assert_int_equal(tp_world_blocks_of(self->env), 0);
}

static void net_close(net *self)
{
    for (uint32_t i = 0; i < self->count; i++)
        node_close(&self->nodes[i]);
    tp_world_destroy(self->world);
}

static void assert_all_heard(net *self)
{
    for (uint32_t i = 0; i < self->count; i++)
        for (uint32_t k = 0; k < self->count; k++)
            assert_int_equal(self->nodes[k].heard[i + 1], self->nodes[i].wanted[k + 1]);
}

/* Three nodes speak in rounds, up to `most` frames each; all is heard. How often lines broke. */
static uint64_t chat(net *self, uint64_t seed, uint32_t rounds, uint32_t most)
{
    uint64_t breaks = 0;
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t i = 0; i < 3; i++)
            want(&self->nodes[i], 1 + (i + 1 + round % 2) % 3, 1 + (seed * round + i) % most);
        run(self, TROUPE_MILLISECONDS(seed % 7 * 10));
    }
    run(self, TROUPE_SECONDS(60));
    assert_all_heard(self);
    for (uint32_t i = 0; i < 3; i++)
        breaks += tp_channels_count(self->nodes[i].channels).breaks;
    return breaks;
}

/* ---- scenes ---------------------------------------------------------------------------------- */

static void frames_arrive_once_and_in_order_whatever_breaks(void **state)
{
    (void)state;
    uint64_t breaks = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        net self;
        net_open(&self, seed, 3, 1500);
        net_start(&self);
        breaks += chat(&self, seed, 20, 50);
        net_close(&self);
    }
    assert_true(breaks > 20);
}

static void a_frame_that_breaks_each_connection_is_not_sent_in_a_loop(void **state)
{
    (void)state;
    net self;
    net_open(&self, 1, 2, 0);
    net_start(&self);
    self.nodes[1].takes_nothing = true;
    want(&self.nodes[0], 2, 1);
    run(&self, TROUPE_SECONDS(60));
    /* One a second in the end, and some that are refused before. */
    assert_in_range(tp_channels_count(self.nodes[1].channels).breaks, 50, 75);
    assert_in_range(tp_channels_count(self.nodes[0].channels).connects, 50, 600);
    self.nodes[1].takes_nothing = false;
    run(&self, TROUPE_SECONDS(3));
    assert_all_heard(&self);
    net_close(&self);
}

static void a_cut_or_a_stop_costs_time_only(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        net self;
        net_open(&self, seed, 2, 200);
        net_start(&self);
        want(&self.nodes[0], 2, 100);
        run(&self, TROUPE_MILLISECONDS(seed));
        if (seed % 2 != 0) {
            tp_world_cut(self.world, self.nodes[0].env, self.nodes[1].env, true);
            tp_world_cut(self.world, self.nodes[1].env, self.nodes[0].env, seed % 4 == 1);
        } else {
            tp_world_pause(self.world, self.nodes[1].env, TROUPE_SECONDS(20));
        }
        want(&self.nodes[0], 2, 50);
        want(&self.nodes[1], 1, 50);
        run(&self, TROUPE_SECONDS(20));
        if (seed % 2 != 0) {
            tp_world_cut(self.world, self.nodes[0].env, self.nodes[1].env, false);
            tp_world_cut(self.world, self.nodes[1].env, self.nodes[0].env, false);
        }
        run(&self, TROUPE_SECONDS(60));
        assert_all_heard(&self);
        net_close(&self);
    }
}

/* Ten seconds and more of one frame: its sender hears that the other side lives meanwhile. */
static void a_large_frame_on_a_slow_line_breaks_nothing(void **state)
{
    (void)state;
    enum { LARGE = 4 << 20 };
    net self;
    net_open_far(&self, 21, 2, 0, TROUPE_MILLISECONDS(500));
    net_start(&self);
    self.nodes[0].wants_large = LARGE;
    want(&self.nodes[0], 2, 3);
    run(&self, TROUPE_SECONDS(5));
    assert_int_equal(self.nodes[1].heard_large, 0);
    for (int i = 0; i < 60 && self.nodes[1].heard[1] != 3; i++)
        run(&self, TROUPE_SECONDS(1));
    assert_int_equal(self.nodes[1].heard_large, LARGE);
    assert_all_heard(&self);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(tp_channels_count(self.nodes[i].channels).breaks, 0);
    net_close(&self);
}

/* So many parcels of that size wait for a view until their reader has stopped to read; then he has
 * the view. How many a pass took in at most. */
static uint32_t let_parcels_in(uint32_t parcels, size_t size)
{
    net self;
    net_open(&self, 23, 2, 0);
    node *reader = &self.nodes[1];
    net_start(&self);
    want(&self.nodes[0], 2, 1); /* the peer says how many may come */
    run(&self, TROUPE_SECONDS(1));
    tp_channels_set_view(self.nodes[0].channels, 1, 2);
    self.nodes[0].wants_parcels = parcels;
    self.nodes[0].parcel_size = size;
    want(&self.nodes[0], 2, 1);
    run(&self, TROUPE_SECONDS(2));
    size_t waiting = tp_session_waiting(&tp_channels_find(reader->channels, 1, 0)->session);
    assert_in_range(waiting, 1 << 18, parcels * size / 2);
    assert_int_equal(reader->heard_parcels, 0);
    tp_channels_set_view(reader->channels, 2, 2);
    reader->has_lease = false; /* nor does an answer that goes out make another pass */
    reader->env->runner_wake(reader->env, &reader->runner);
    run(&self, TROUPE_MILLISECONDS(400)); /* before anybody asks who lives */
    assert_true(reader->heard_parcels > waiting / size);
    reader->has_lease = true;
    run(&self, TROUPE_SECONDS(10));
    assert_int_equal(reader->heard_parcels, parcels);
    net_close(&self);
    return reader->most_of_pass;
}

/* What runs of them runs between: else they would fill mailboxes that are emptied as fast. */
static void a_pass_takes_in_as_many_parcels_as_it_may_run_and_reads_on(void **state)
{
    (void)state;
    assert_int_equal(let_parcels_in(2000, 512), 256);
    assert_in_range(let_parcels_in(500, PARCEL_MOST), 64, 256); /* all that waited, at once */
}

/* The other side has nothing to do, and begins with what there is; who has much under way writes it
 * at the end of the pass; nobody writes without a lease. */
static void who_has_little_under_way_writes_in_the_middle_of_a_pass(void **state)
{
    static const struct {
        uint32_t parcels, hurries;
        bool has_lease;
    } scenes[] = {{31, 0, true}, {32, 1, true}, {200, 3, true}, {200, 0, false}};
    (void)state;
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++) {
        net self;
        net_open(&self, 24, 2, 0);
        net_start(&self);
        want(&self.nodes[0], 2, 1);
        run(&self, TROUPE_SECONDS(1));
        self.nodes[0].has_lease = scenes[i].has_lease;
        self.nodes[0].wants_parcels = scenes[i].parcels;
        self.nodes[0].parcel_size = 64;
        want(&self.nodes[0], 2, 0);
        run(&self, TROUPE_MILLISECONDS(100));
        assert_int_equal(self.nodes[0].hurries, scenes[i].hurries);
        assert_int_equal(self.nodes[1].heard_parcels, scenes[i].has_lease ? scenes[i].parcels : 0);
        net_close(&self);
    }
}

/* Who is sent a large frame and cannot write for a while asks once a second all the same, and not
 * whenever some bytes come. */
static void who_takes_a_large_frame_asks_once_an_interval(void **state)
{
    (void)state;
    enum { LARGE = 4 << 20, SECONDS = 4 };
    net self;
    net_open_far(&self, 22, 2, 0, TROUPE_MILLISECONDS(500));
    net_start(&self);
    self.nodes[0].wants_large = LARGE;
    want(&self.nodes[0], 2, 3);
    run(&self, TROUPE_SECONDS(3));
    const tp_session *session = &tp_channels_find(self.nodes[1].channels, 1, 0)->session;
    uint64_t heard = session->counts.bytes_in + tp_session_waiting(session);
    self.nodes[1].has_lease = false;
    run(&self, TROUPE_SECONDS(SECONDS));
    assert_true(session->counts.bytes_in + tp_session_waiting(session) > heard);
    assert_int_equal(self.nodes[1].heard_large, 0); /* it comes still */
    assert_in_range(session->loose.size, 1,
        TP_BATCH_HEADER + 2 * SECONDS * tp_frame_size(TP_WIRE_STAMP_BYTES));
    self.nodes[1].has_lease = true;
    run(&self, TROUPE_SECONDS(60));
    assert_int_equal(self.nodes[1].heard_large, LARGE);
    assert_all_heard(&self);
    net_close(&self);
}

static void a_wrong_token_cluster_or_incarnation_is_refused_in_words(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        net self;
        net_open(&self, (uint64_t)kind + 1, 2, 0);
        if (kind == 0)
            snprintf(self.nodes[1].token, sizeof self.nodes[1].token, "guess");
        if (kind == 1)
            snprintf(self.nodes[1].cluster, sizeof self.nodes[1].cluster, "prod");
        self.strange = kind == 2;
        net_start(&self);
        want(&self.nodes[1], 1, 1);
        run(&self, TROUPE_SECONDS(5));
        assert_int_equal(self.nodes[0].heard[2], 0);
        static const char *const words[] = {"token", "prod", "no member"};
        if (strstr(self.nodes[0].log, words[kind]) == NULL)
            fail_msg("no word of '%s' in: %s", words[kind], self.nodes[0].log);
        assert_non_null(strstr(self.nodes[1].log, "hello_refused"));
        net_close(&self);
    }
}

static void a_peer_of_a_newer_view_is_let_in_once_it_is_known(void **state)
{
    (void)state;
    net self;
    net_open(&self, 5, 2, 0);
    self.strange = true;
    self.nodes[1].view = 2;
    net_start(&self);
    want(&self.nodes[1], 1, 3);
    run(&self, TROUPE_SECONDS(2));
    assert_int_equal(self.nodes[0].heard[2], 0);
    assert_true(self.nodes[0].newer != 0);
    self.strange = false;
    self.nodes[0].view = 2;
    tp_channels_set_view(self.nodes[0].channels, 1, 2);
    run(&self, TROUPE_SECONDS(5));
    assert_int_equal(self.nodes[0].heard[2], 3);
    net_close(&self);
}

static void nothing_is_written_without_a_lease(void **state)
{
    (void)state;
    net self;
    net_open(&self, 9, 2, 0);
    net_start(&self);
    want(&self.nodes[0], 2, 10);
    run(&self, TROUPE_SECONDS(1));
    assert_int_equal(self.nodes[1].heard[1], 10);
    self.nodes[0].has_lease = false;
    want(&self.nodes[0], 2, 10);
    run(&self, TROUPE_SECONDS(30));
    assert_int_equal(self.nodes[1].heard[1], 10);
    self.nodes[0].has_lease = true;
    want(&self.nodes[0], 2, 1);
    run(&self, TROUPE_SECONDS(10));
    assert_int_equal(self.nodes[1].heard[1], 21);
    net_close(&self);
}

static void idle_connections_are_closed_and_opened_again(void **state)
{
    (void)state;
    net self;
    net_open(&self, 11, 2, 0);
    net_start(&self);
    want(&self.nodes[0], 2, 10);
    run(&self, TROUPE_SECONDS(5));
    assert_int_equal(tp_channels_count(self.nodes[0].channels).connections, 1);
    run(&self, TROUPE_SECONDS(60));
    assert_int_equal(tp_channels_count(self.nodes[0].channels).connections, 0);
    assert_int_equal(tp_channels_count(self.nodes[1].channels).connections, 0);
    want(&self.nodes[1], 1, 10);
    run(&self, TROUPE_SECONDS(5));
    assert_int_equal(self.nodes[0].heard[2], 10);
    net_close(&self);
}

/* Whatever a stranger says: a line in the log and its own connection closed. */
typedef struct stranger {
    tp_runner runner;
    tp_env *env;
    tp_stream *stream;
    bool stop, broken;
    const char *says;
    size_t size;
} stranger;

static void stranger_opened(void *user)
{
    stranger *self = user;
    (void)self->env->net.write(self->stream, self->says, self->size);
}

static void stranger_heard(void *user, const void *bytes, size_t size)
{
    (void)user;
    (void)bytes;
    (void)size;
}

static void stranger_broken(void *user, const char *why)
{
    (void)why;
    ((stranger *)user)->broken = true;
}

static const tp_stream_calls stranger_calls = {
    stranger_opened, stranger_heard, NULL, stranger_broken, NULL};

static uint64_t stranger_step(tp_runner *runner)
{
    stranger *self = TP_CONTAINER(runner, stranger, runner);
    if (self->stop) {
        self->env->net.close(self->stream);
        return TP_STEP_DONE;
    }
    if (self->stream == NULL)
        assert_int_equal(self->env->net.connect(
                             self->env, runner, "n1:7000", &stranger_calls, self, &self->stream),
            TROUPE_OK);
    return TP_NEVER;
}

static bool stranger_has_arrivals(tp_runner *runner)
{
    return TP_CONTAINER(runner, stranger, runner)->stop;
}

static void strangers_lose_their_connection_and_nothing_else_happens(void **state)
{
    (void)state;
    static char flood[100000];
    const char *const says[] = {"", "GET / HTTP/1.1\r\n\r\n", flood, "TRP"};
    const size_t sizes[] = {0, 18, sizeof flood, 3};
    for (size_t i = 0; i < 4; i++) {
        net self;
        net_open(&self, i + 1, 2, 0);
        stranger guest = {.env = tp_world_process(self.world, "x"),
            .runner = {.step = stranger_step, .has_arrivals = stranger_has_arrivals, .number = 9},
            .says = says[i],
            .size = sizes[i]};
        net_start(&self);
        run(&self, TROUPE_MILLISECONDS(100));
        assert_int_equal(guest.env->runner_start(guest.env, &guest.runner), TROUPE_OK);
        want(&self.nodes[1], 1, 10);
        run(&self, TROUPE_SECONDS(10));
        assert_true(guest.broken);
        assert_int_equal(self.nodes[0].heard[2], 10);
        assert_true(self.nodes[0].log[0] != 0);
        guest.stop = true;
        guest.env->runner_wake(guest.env, &guest.runner);
        guest.env->runner_join(guest.env, &guest.runner);
        net_close(&self);
    }
}

/* Frames that waited for a connection come right behind the hello, in the same bytes. */
static void what_waited_for_a_connection_may_come_with_its_hello(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        net self;
        net_open(&self, seed, 2, 0);
        want(&self.nodes[1], 1, 20000);
        want(&self.nodes[0], 2, 1);
        net_start(&self);
        run(&self, TROUPE_SECONDS(5));
        assert_all_heard(&self);
        for (uint32_t i = 0; i < 2; i++)
            assert_int_equal(tp_channels_count(self.nodes[i].channels).breaks, 0);
        net_close(&self);
    }
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static tp_tls_context *context_of(const papers *of, const papers *authority)
{
    tp_tls_files files = {troupe_str(of->certificate_pem), troupe_str(of->key_pem),
        troupe_str(authority->certificate_pem)};
    tp_tls_context *context = NULL;
    char error[256];
    assert_int_equal(
        tp_tls_context_create(tp_allocator_system(), &files, &context, error, sizeof error),
        TROUPE_OK);
    return context;
}

typedef struct office {
    papers authority, node;
    tp_tls_context *context;
} office;

static void office_open(office *self)
{
    papers_make(&self->authority, NULL, "cluster", 24);
    papers_make(&self->node, &self->authority, "node", 24);
    self->context = context_of(&self->node, &self->authority);
}

static void office_close(office *self)
{
    tp_tls_context_release(self->context);
    papers_drop(&self->authority);
    papers_drop(&self->node);
}

static void frames_arrive_over_tls_whatever_breaks(void **state)
{
    (void)state;
    office papers_of;
    office_open(&papers_of);
    uint64_t breaks = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        net self;
        net_open(&self, seed, 3, seed % 2 == 0 ? 1500 : 0);
        for (uint32_t i = 0; i < 3; i++)
            self.nodes[i].tls = papers_of.context;
        net_start(&self);
        breaks += chat(&self, seed, 10, 900);
        net_close(&self);
    }
    assert_true(breaks > 5);
    office_close(&papers_of);
}

static void clear_text_is_refused_where_tls_is_wanted_unless_it_is_allowed(void **state)
{
    (void)state;
    office papers_of;
    office_open(&papers_of);
    for (unsigned allowed = 0; allowed < 2; allowed++) {
        net self;
        net_open(&self, 1, 2, 0);
        self.nodes[1].tls = papers_of.context;
        self.nodes[1].allows_clear_text = allowed != 0;
        net_start(&self);
        want(&self.nodes[0], 2, 3);
        run(&self, TROUPE_SECONDS(2));
        assert_int_equal(self.nodes[1].heard[1], allowed != 0 ? 3 : 0);
        assert_true((strstr(self.nodes[1].log, "clear text") == NULL) == (allowed != 0));
        net_close(&self);
    }
    net self;
    net_open(&self, 1, 2, 0);
    self.nodes[0].tls = papers_of.context;
    net_start(&self);
    want(&self.nodes[0], 2, 3);
    run(&self, TROUPE_SECONDS(2));
    assert_int_equal(self.nodes[1].heard[1], 0);
    assert_non_null(strstr(self.nodes[1].log, "set tls_certificate"));
    net_close(&self);
    office_close(&papers_of);
}

static void a_certificate_of_another_authority_is_refused_until_it_is_exchanged(void **state)
{
    (void)state;
    office papers_of, others;
    office_open(&papers_of);
    office_open(&others);
    net self;
    net_open(&self, 1, 2, 0);
    self.nodes[0].tls = others.context;
    self.nodes[1].tls = papers_of.context;
    net_start(&self);
    want(&self.nodes[0], 2, 3);
    run(&self, TROUPE_SECONDS(2));
    assert_int_equal(self.nodes[1].heard[1], 0);
    assert_non_null(strstr(self.nodes[0].log, "check tls_authority"));
    tp_channels_set_tls(self.nodes[0].channels, papers_of.context);
    run(&self, TROUPE_SECONDS(5));
    assert_all_heard(&self);
    net_close(&self);
    office_close(&papers_of);
    office_close(&others);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_arrive_once_and_in_order_whatever_breaks),
        cmocka_unit_test(a_frame_that_breaks_each_connection_is_not_sent_in_a_loop),
        cmocka_unit_test(a_cut_or_a_stop_costs_time_only),
        cmocka_unit_test(a_large_frame_on_a_slow_line_breaks_nothing),
        cmocka_unit_test(a_pass_takes_in_as_many_parcels_as_it_may_run_and_reads_on),
        cmocka_unit_test(who_has_little_under_way_writes_in_the_middle_of_a_pass),
        cmocka_unit_test(who_takes_a_large_frame_asks_once_an_interval),
        cmocka_unit_test(a_wrong_token_cluster_or_incarnation_is_refused_in_words),
        cmocka_unit_test(a_peer_of_a_newer_view_is_let_in_once_it_is_known),
        cmocka_unit_test(nothing_is_written_without_a_lease),
        cmocka_unit_test(idle_connections_are_closed_and_opened_again),
        cmocka_unit_test(strangers_lose_their_connection_and_nothing_else_happens),
        cmocka_unit_test(what_waited_for_a_connection_may_come_with_its_hello),
        cmocka_unit_test(frames_arrive_over_tls_whatever_breaks),
        cmocka_unit_test(clear_text_is_refused_where_tls_is_wanted_unless_it_is_allowed),
        cmocka_unit_test(a_certificate_of_another_authority_is_refused_until_it_is_exchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
