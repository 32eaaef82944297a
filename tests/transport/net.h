/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes that are nothing but channels, in a world whose connections break, stall and cross: each
 * tells the others as many numbers as it is wanted to, and checks that it hears them in order. No
 * tests; included by those of the channels.
 *
 * Threads: one.
 */
#ifndef TEST_TRANSPORT_NET_H
#define TEST_TRANSPORT_NET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
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
    uint32_t parcels_of[NODES_MAX + 1];    /* of these, by incarnation */
    uint32_t of_pass, most_of_pass;        /* parcels heard in one pass */
    uint32_t connections_max;
    uint64_t pass_time;                    /* it stands still so long after each */
    char log[4096];
} node;

typedef struct net {
    tp_world *world;
    node nodes[NODES_MAX];
    uint32_t count;
    bool strange; /* incarnation 2 is nobody's */
} net;

/* ---- a node ---------------------------------------------------------------------------------- */

static inline bool find(void *user, uint64_t incarnation, char *address, size_t size)
{
    node *self = user;
    if (incarnation == 0 || incarnation > self->net->count)
        return false;
    snprintf(address, size, "n%llu:7000", (unsigned long long)incarnation);
    return true;
}

static inline tp_peer_answer judge(void *user, const tp_hello_side *peer)
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
        self->parcels_of[channel->peer]++;
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

static inline void newer_view(void *user, uint64_t number)
{
    (void)number;
    ((node *)user)->newer++;
}

static inline bool may_send(void *user)
{
    return ((node *)user)->has_lease;
}

static inline void connected(void *user, tp_channel *channel)
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

static inline void take_log(
    void *user, int level, const char *event, const char *peer, const char *text)
{
    node *self = user;
    (void)level;
    (void)peer;
    size_t at = strlen(self->log);
    snprintf(self->log + at, sizeof self->log - at, "%s: %s\n", event, text);
}

static inline void on_come(
    void *user, tp_socket socket, tp_preamble preamble, const void *rest, size_t rest_size)
{
    tp_channels_accept(((node *)user)->channels, socket, preamble, rest, rest_size);
}

static inline void open_channels(node *self)
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
        .connections_max = self->connections_max,
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

static inline void say_large(node *self)
{
    tp_channel *channel = tp_channels_get(self->channels, 2, 0);
    char *at;
    assert_int_equal(
        tp_session_put(&channel->session, TP_FRAME_WORD, 0, self->wants_large, &at, NULL),
        TROUPE_OK);
    memset(at, 7, self->wants_large);
    self->wants_large = 0;
}

static inline void say_parcels(node *self)
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

static inline void say(node *self)
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

static inline uint64_t step(tp_runner *runner)
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
    if (self->pass_time != 0)
        tp_world_pause(self->net->world, self->env, self->pass_time);
    say(self);
    uint64_t due = tp_channels_flush(self->channels, now);
    return due < again ? due : again;
}

static inline bool has_arrivals(tp_runner *runner)
{
    node *self = TP_CONTAINER(runner, node, runner);
    return self->stop || (self->channels != NULL && (tp_channels_has_arrivals(self->channels) ||
                                                        tp_door_has_arrivals(self->door)));
}

/* ---- a net ----------------------------------------------------------------------------------- */

static inline void stuck(void *user, const char *what)
{
    (void)user;
    fail_msg("%s", what);
}

static inline void net_open_far(
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

static inline void net_open(net *self, uint64_t seed, uint32_t count, uint32_t break_chance)
{
    net_open_far(self, seed, count, break_chance, TROUPE_MILLISECONDS(5));
}

static inline void net_start(net *self)
{
    for (uint32_t i = 0; i < self->count; i++)
        assert_int_equal(
            self->nodes[i].env->runner_start(self->nodes[i].env, &self->nodes[i].runner),
            TROUPE_OK);
}

static inline void run(net *self, uint64_t duration)
{
    uint64_t until = tp_world_now(self->world) + duration;
    while (tp_world_step_until(self->world, until))
        ;
}

static inline void want(node *self, uint32_t to, uint64_t more)
{
    self->wanted[to] += more;
    self->env->runner_wake(self->env, &self->runner);
}

static inline void node_close(node *self)
{
    self->stop = true;
    self->env->runner_wake(self->env, &self->runner);
    self->env->runner_join(self->env, &self->runner);
    assert_int_equal(tp_world_blocks_of(self->env), 0);
}

static inline void net_close(net *self)
{
    for (uint32_t i = 0; i < self->count; i++)
        node_close(&self->nodes[i]);
    tp_world_destroy(self->world);
}

static inline void assert_all_heard(net *self)
{
    for (uint32_t i = 0; i < self->count; i++)
        for (uint32_t k = 0; k < self->count; k++)
            assert_int_equal(self->nodes[k].heard[i + 1], self->nodes[i].wanted[k + 1]);
}

/* Three nodes speak in rounds, up to `most` frames each; all is heard. How often lines broke. */
static inline uint64_t chat(net *self, uint64_t seed, uint32_t rounds, uint32_t most)
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

#endif
