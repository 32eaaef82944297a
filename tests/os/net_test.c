/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the network seam promises, on real sockets: bytes arrive in order and once, a slow reader
 * holds its sender back, a connection changes runners, and whatever breaks says why. Run it under
 * ThreadSanitizer, too.
 *
 * Invariants: tests wait for events, with a bound that no slow machine meets.
 * Threads: the env's runners; the test's own only waits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "os/env.h"

#define PATIENCE  (UINT64_C(60) * 1000000000)
#define PEERS_MAX 8

/* A runner that does what its test asks of it in its next step. */
typedef struct party {
    tp_runner runner;
    tp_env *env;
    void (*task)(struct party *party); /* taken by the next step */
    _Atomic uint32_t has_task;
    tp_waiter waiter;
    _Atomic bool stop;

    tp_listener *listener;
    char address[TP_ADDRESS_MAX];
    char error[200];
    troupe_status status;
    tp_stream *stream;
    struct party *heir; /* who gets what is accepted */
    tp_socket socket;
    _Atomic uint32_t accepted;

    char *out; /* what it still has to send */
    size_t out_size, out_at;
    bool is_writing, echoes;
    char *echo; /* what came, to be sent back */
    size_t echo_size;
    _Atomic uint64_t got;
    uint64_t sum;
    uint64_t expected; /* signals when so many bytes have come */
    _Atomic uint32_t opened, broken;
    char room[4096]; /* where every other read goes */
    bool asks_room;
    uint32_t in_place;
    char why[128];
} party;

static party *party_of(tp_runner *runner)
{
    return (party *)(void *)runner;
}

static void tell(party *self)
{
    self->env->signal(self->env, &self->waiter);
}

static bool has_arrivals(tp_runner *runner)
{
    party *self = party_of(runner);
    return atomic_load(&self->has_task) != 0 || atomic_load(&self->stop);
}

static void send_on(party *self)
{
    while (!self->is_writing && self->out_at < self->out_size) {
        size_t part = self->out_size - self->out_at;
        if (part > 100000)
            part = 100000;
        const char *from = self->out + self->out_at;
        self->out_at += part;
        self->is_writing = !self->env->net.write(self->stream, from, part);
    }
    if (self->is_writing || self->echo_size == 0)
        return;
    free(self->out);
    self->out = self->echo;
    self->out_size = self->echo_size;
    self->out_at = 0;
    self->echo = NULL;
    self->echo_size = 0;
    send_on(self);
}

static uint64_t step(tp_runner *runner)
{
    party *self = party_of(runner);
    if (atomic_load(&self->stop)) {
        self->env->net.close(self->stream);
        self->env->net.listener_close(self->listener);
        self->stream = NULL;
        self->listener = NULL;
        return TP_STEP_DONE;
    }
    if (atomic_load(&self->has_task) != 0) {
        self->task(self);
        atomic_store(&self->has_task, 0);
        tell(self);
    }
    if (self->stream != NULL)
        send_on(self);
    return TP_NEVER;
}

/* ---- calls of a stream ----------------------------------------------------------------------- */

static void on_opened(void *user)
{
    party *self = user;
    atomic_fetch_add(&self->opened, 1);
    tell(self);
}

static void *on_space(void *user, size_t *ret_room)
{
    party *self = user;
    self->asks_room = !self->asks_room;
    *ret_room = sizeof self->room;
    return self->asks_room ? self->room : NULL;
}

static void on_arrived(void *user, const void *bytes, size_t size)
{
    party *self = user;
    if (bytes == self->room) {
        assert_true(size <= sizeof self->room);
        self->in_place++;
    }
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++)
        self->sum = self->sum * 31 + at[i];
    if (self->echoes) {
        self->echo = realloc(self->echo, self->echo_size + size);
        assert_non_null(self->echo);
        memcpy(self->echo + self->echo_size, bytes, size);
        self->echo_size += size;
    }
    if (atomic_fetch_add(&self->got, size) + size >= self->expected && self->expected != 0)
        tell(self);
}

static void on_written(void *user)
{
    ((party *)user)->is_writing = false;
}

static void on_broken(void *user, const char *why)
{
    party *self = user;
    (void)snprintf(self->why, sizeof self->why, "%s", why);
    atomic_fetch_add(&self->broken, 1);
    tell(self);
}

static const tp_stream_calls calls = {on_opened, on_arrived, on_written, on_broken, on_space};

/* ---- a scene --------------------------------------------------------------------------------- */

static tp_env *open_env(void)
{
    tp_env *env = NULL;
    const tp_real_options options = {
        .allocator = tp_allocator_system(), .blocking_threads = 1, .blocking_limit = 16};
    assert_int_equal(tp_real_env_create(&options, &env), TROUPE_OK);
    return env;
}

static void party_open(party *self, tp_env *env)
{
    *self = (party){
        .runner = {.step = step, .has_arrivals = has_arrivals, .name = "party", .spin = 20000},
        .env = env};
    assert_int_equal(env->wait_begin(env, &self->waiter), TROUPE_OK);
    assert_int_equal(env->runner_start(env, &self->runner), TROUPE_OK);
}

static void await(party *self, const _Atomic uint32_t *counter, uint32_t least)
{
    uint64_t deadline = self->env->now(self->env) + PATIENCE;
    while (atomic_load(counter) < least) {
        atomic_store(&self->waiter.done, 0);
        if (atomic_load(counter) >= least)
            break;
        assert_true(self->env->wait(self->env, &self->waiter, deadline));
    }
}

static void ask(party *self, void (*task)(party *))
{
    self->task = task;
    atomic_store(&self->has_task, 1);
    self->env->runner_wake(self->env, &self->runner);
    uint64_t deadline = self->env->now(self->env) + PATIENCE;
    while (atomic_load(&self->has_task) != 0) {
        atomic_store(&self->waiter.done, 0);
        if (atomic_load(&self->has_task) == 0)
            break;
        assert_true(self->env->wait(self->env, &self->waiter, deadline));
    }
}

static void party_close(party *self)
{
    atomic_store(&self->stop, true);
    self->env->runner_wake(self->env, &self->runner);
    self->env->runner_join(self->env, &self->runner);
    self->env->wait_end(self->env, &self->waiter);
    free(self->out);
    free(self->echo);
}

/* ---- tasks ----------------------------------------------------------------------------------- */

static void do_attach(party *self)
{
    self->status =
        self->env->net.attach(self->env, &self->runner, self->socket, &calls, self, &self->stream);
}

static void on_accepted(void *user, tp_socket socket)
{
    party *self = user;
    if (self->heir != NULL) {
        self->heir->socket = socket;
    } else {
        self->socket = socket;
        do_attach(self);
    }
    atomic_fetch_add(&self->accepted, 1);
    tell(self);
}

static void do_listen(party *self)
{
    self->status = self->env->net.listen(self->env, &self->runner, self->address, on_accepted, self,
        &self->listener, self->error, sizeof self->error);
    if (self->status == TROUPE_OK)
        self->env->net.listener_address(self->listener, self->address, sizeof self->address);
}

static void do_connect(party *self)
{
    self->status = self->env->net.connect(
        self->env, &self->runner, self->address, &calls, self, &self->stream);
}

static void do_close(party *self)
{
    self->env->net.close(self->stream);
    self->stream = NULL;
}

static void do_pause(party *self)
{
    self->env->net.pause(self->stream, true);
}

static void do_resume(party *self)
{
    self->env->net.pause(self->stream, false);
}

static void do_nothing(party *self)
{
    (void)self;
}

static void do_detach(party *self)
{
    self->socket = self->env->net.detach(self->stream);
    self->stream = NULL;
}

static void listen_on(party *self, const char *address)
{
    (void)snprintf(self->address, sizeof self->address, "%s", address);
    ask(self, do_listen);
}

static void connect_to(party *self, const char *address)
{
    (void)snprintf(self->address, sizeof self->address, "%s", address);
    ask(self, do_connect);
}

static uint64_t fill(party *self, size_t size)
{
    self->out = malloc(size);
    assert_non_null(self->out);
    uint64_t sum = 0;
    uint32_t chance = 12345;
    for (size_t i = 0; i < size; i++) {
        chance = chance * 1664525 + 1013904223;
        self->out[i] = (char)(chance >> 24);
        sum = sum * 31 + (unsigned char)self->out[i];
    }
    self->out_at = 0;
    self->out_size = size;
    return sum;
}

static void await_bytes(party *self)
{
    uint64_t deadline = self->env->now(self->env) + PATIENCE;
    while (atomic_load(&self->got) < self->expected) {
        atomic_store(&self->waiter.done, 0);
        if (atomic_load(&self->got) >= self->expected)
            break;
        assert_true(self->env->wait(self->env, &self->waiter, deadline));
    }
}

/* Two that are connected: `server` has accepted. */
static void join(tp_env *env, party *server, party *client)
{
    party_open(server, env);
    party_open(client, env);
    listen_on(server, "127.0.0.1:0");
    assert_int_equal(server->status, TROUPE_OK);
    connect_to(client, server->address);
    assert_int_equal(client->status, TROUPE_OK);
    await(client, &client->opened, 1);
    await(server, &server->accepted, 1);
    assert_int_equal(server->status, TROUPE_OK);
}

/* ---- scenes ---------------------------------------------------------------------------------- */

static void bytes_arrive_in_order_and_once_both_ways(void **state)
{
    (void)state;
    tp_env *env = open_env();
    party server, client;
    join(env, &server, &client);
    server.echoes = true;
    client.expected = 20 * 1000 * 1000;
    uint64_t sum = fill(&client, client.expected);
    ask(&client, do_nothing);
    await_bytes(&client);
    party_close(&client);
    assert_true(client.sum == sum);
    assert_int_equal(atomic_load(&client.got), client.expected);
    assert_true(client.in_place > 0 && server.in_place > 0);
    party_close(&server);
    env->destroy(env);
}

static void a_reader_that_pauses_holds_its_sender_back(void **state)
{
    (void)state;
    tp_env *env = open_env();
    party server, client;
    join(env, &server, &client);
    ask(&server, do_pause);
    server.expected = 64 * 1000 * 1000;
    uint64_t sum = fill(&client, server.expected);
    ask(&client, do_nothing);
    ask(&client, do_nothing); /* a step later its write has met the systems' full buffers */
    assert_int_equal(atomic_load(&server.got), 0);
    ask(&server, do_resume);
    await_bytes(&server);
    assert_int_equal(atomic_load(&server.broken), 0);
    party_close(&client);
    party_close(&server);
    assert_true(server.sum == sum);
    env->destroy(env);
}

static void a_connection_changes_runners_with_nothing_lost(void **state)
{
    (void)state;
    tp_env *env = open_env();
    party server, client, heir;
    join(env, &server, &client);
    party_open(&heir, env);
    ask(&server, do_detach);
    heir.socket = server.socket;
    heir.expected = 1000 * 1000;
    uint64_t sum = fill(&client, heir.expected);
    ask(&client, do_nothing);
    ask(&heir, do_attach);
    assert_int_equal(heir.status, TROUPE_OK);
    await_bytes(&heir);
    party_close(&client);
    party_close(&server);
    party_close(&heir);
    assert_true(heir.sum == sum);
    env->destroy(env);
}

static void a_connect_that_fails_says_why(void **state)
{
    (void)state;
    tp_env *env = open_env();
    party server, client;
    party_open(&server, env);
    party_open(&client, env);
    listen_on(&server, "127.0.0.1:0");
    char address[TP_ADDRESS_MAX];
    (void)snprintf(address, sizeof address, "%s", server.address);
    party_close(&server);
    connect_to(&client, address);
    if (client.status == TROUPE_OK) {
        await(&client, &client.broken, 1);
        assert_non_null(strstr(client.why, "refused"));
    } else {
        assert_int_equal(client.status, TROUPE_UNAVAILABLE);
    }
    party_close(&client);
    env->destroy(env);
}

static void names_are_looked_up(void **state)
{
    (void)state;
    tp_env *env = open_env();
    party server, client;
    party_open(&server, env);
    party_open(&client, env);
    listen_on(&server, "127.0.0.1:0");
    char address[TP_ADDRESS_MAX];
    (void)snprintf(address, sizeof address, "localhost%s", strrchr(server.address, ':'));
    connect_to(&client, address);
    assert_int_equal(client.status, TROUPE_OK);
    /* Where localhost is ::1 alone nobody listens there: then it says so. */
    while (atomic_load(&client.opened) + atomic_load(&client.broken) == 0)
        ask(&client, do_nothing);
    party_close(&client);
    party_close(&server);
    party_open(&client, env);
    connect_to(&client, "no-such-host.invalid:1");
    assert_int_equal(client.status, TROUPE_OK);
    await(&client, &client.broken, 1);
    assert_true(client.why[0] != 0);
    party_close(&client);
    env->destroy(env);
}

static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    tp_env *env = open_env();
    party client;
    party_open(&client, env);
    static const char *const bad[] = {"", "7101", "host", "host:", ":7101", "host:port",
        "[::1:7101", "::1]:7101", "host:123456789"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        connect_to(&client, bad[i]);
        if (client.status == TROUPE_OK)
            fail_msg("'%s' was taken for an address", bad[i]);
        assert_int_equal(client.status, TROUPE_USAGE);
        listen_on(&client, bad[i]);
        assert_int_equal(client.status, TROUPE_USAGE);
        assert_non_null(strstr(client.error, "host:port"));
    }
    party_close(&client);
    env->destroy(env);
}

static void an_address_in_use_is_named(void **state)
{
    (void)state;
    tp_env *env = open_env();
    party first, second;
    party_open(&first, env);
    party_open(&second, env);
    listen_on(&first, "127.0.0.1:0");
    listen_on(&second, first.address);
    assert_int_equal(second.status, TROUPE_UNAVAILABLE);
    assert_non_null(strstr(second.error, first.address));
    party_close(&first);
    party_close(&second);
    env->destroy(env);
}

static void the_end_of_a_connection_is_told_once_to_the_other_side(void **state)
{
    (void)state;
    tp_env *env = open_env();
    party server, client;
    join(env, &server, &client);
    ask(&client, do_close);
    await(&server, &server.broken, 1);
    /* A write to it raises no signal, and says nothing more. */
    fill(&server, 1000);
    ask(&server, do_nothing);
    ask(&server, do_nothing);
    assert_int_equal(atomic_load(&server.broken), 1);
    party_close(&client);
    party_close(&server);
    env->destroy(env);
}

static void connections_beyond_the_descriptors_are_refused_and_the_node_goes_on(void **state)
{
    (void)state;
    tp_env *env = open_env();
    party server, client, late;
    join(env, &server, &client);
    party_open(&late, env);
    struct rlimit was, tight;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    tight = was;
    /* The next socket takes the last descriptor: the connect has one, the accept has none. */
    int next = dup(0);
    assert_true(next > 0);
    close(next);
    tight.rlim_cur = (rlim_t)next + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    connect_to(&late, server.address);
    troupe_status status = late.status;
    if (status == TROUPE_OK)
        await(&late, &late.broken, 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(status, TROUPE_OK);
    client.expected = 1000;
    server.echoes = true;
    fill(&client, 1000);
    ask(&client, do_nothing);
    await_bytes(&client);
    party_close(&late);
    party_close(&client);
    party_close(&server);
    env->destroy(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_in_order_and_once_both_ways),
        cmocka_unit_test(a_reader_that_pauses_holds_its_sender_back),
        cmocka_unit_test(a_connection_changes_runners_with_nothing_lost),
        cmocka_unit_test(a_connect_that_fails_says_why),
        cmocka_unit_test(names_are_looked_up),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(an_address_in_use_is_named),
        cmocka_unit_test(the_end_of_a_connection_is_told_once_to_the_other_side),
        cmocka_unit_test(connections_beyond_the_descriptors_are_refused_and_the_node_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
