/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the network of a simulated world does to those who use it: bytes arrive in order whatever
 * the delays; a cut holds them back and a kill breaks connections; clocks go their own way; and all
 * of it is the same again from the same seed.
 *
 * Threads: one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "testkit/world.h"

#include <troupe.h>

typedef struct party {
    tp_runner runner;
    tp_env *env;
    const char *address;
    bool listens, echoes, stop, paused;
    tp_listener *listener;
    tp_stream *stream;
    const char *out;
    size_t out_size, out_at;
    bool is_writing;
    char echo[60000];
    size_t echo_size, echo_at;
    char in[60000];
    size_t in_size;
    uint32_t opened, broken;
    const char *why;
} party;

static void send_on(party *self)
{
    const char *from = self->echoes ? self->echo : self->out;
    size_t *at = self->echoes ? &self->echo_at : &self->out_at;
    size_t size = self->echoes ? self->echo_size : self->out_size;
    while (!self->is_writing && self->stream != NULL && self->broken == 0 && *at < size) {
        size_t part = size - *at < 7001 ? size - *at : 7001;
        self->is_writing = !self->env->net.write(self->stream, from + *at, part);
        *at += part;
    }
}

static void on_opened(void *user)
{
    ((party *)user)->opened++;
}

static void on_arrived(void *user, const void *bytes, size_t size)
{
    party *self = user;
    char *into = self->echoes ? self->echo : self->in;
    size_t *at = self->echoes ? &self->echo_size : &self->in_size;
    assert_true(*at + size <= sizeof self->in);
    memcpy(into + *at, bytes, size);
    *at += size;
}

static void on_written(void *user)
{
    ((party *)user)->is_writing = false;
}

static void on_broken(void *user, const char *why)
{
    party *self = user;
    self->broken++;
    self->why = why;
}

static const tp_stream_calls calls = {on_opened, on_arrived, on_written, on_broken, NULL};

static void on_accepted(void *user, tp_socket socket)
{
    party *self = user;
    if (self->stream != NULL) {
        self->env->net.drop(self->env, socket);
        return;
    }
    assert_int_equal(
        self->env->net.attach(self->env, &self->runner, socket, &calls, self, &self->stream),
        TROUPE_OK);
}

static uint64_t step(tp_runner *runner)
{
    party *self = TP_CONTAINER(runner, party, runner);
    if (self->stop) {
        self->env->net.close(self->stream);
        self->env->net.listener_close(self->listener);
        return TP_STEP_DONE;
    }
    char error[100];
    if (self->listens && self->listener == NULL)
        assert_int_equal(self->env->net.listen(self->env, runner, self->address, on_accepted, self,
                             &self->listener, error, sizeof error),
            TROUPE_OK);
    if (!self->listens && self->stream == NULL)
        assert_int_equal(
            self->env->net.connect(self->env, runner, self->address, &calls, self, &self->stream),
            TROUPE_OK);
    if (self->opened != 0 || self->echoes)
        send_on(self);
    return TP_NEVER;
}

static bool has_arrivals(tp_runner *runner)
{
    return TP_CONTAINER(runner, party, runner)->stop;
}

typedef struct scene {
    tp_world *world;
    party *server, *client;
    char out[50000];
} scene;

static void stuck(void *user, const char *what)
{
    (void)user;
    fail_msg("%s", what);
}

static party *party_open(tp_world *world, const char *host)
{
    party *self = calloc(1, sizeof *self);
    assert_non_null(self);
    self->env = tp_world_process(world, host);
    assert_non_null(self->env);
    self->runner = (tp_runner){.step = step, .has_arrivals = has_arrivals};
    self->address = "b:7000";
    return self;
}

static void scene_open(scene *self, uint64_t seed, uint32_t break_chance)
{
    const tp_world_options options = {.seed = seed,
        .pause_chance = 50,
        .pause_max = TROUPE_MILLISECONDS(1),
        .delay_most = TROUPE_MILLISECONDS(2),
        .break_chance = break_chance,
        .stuck = stuck};
    *self = (scene){.world = tp_world_create(&options)};
    assert_non_null(self->world);
    self->client = party_open(self->world, "a");
    self->server = party_open(self->world, "b");
    self->server->listens = self->server->echoes = true;
    for (size_t i = 0; i < sizeof self->out; i++)
        self->out[i] = (char)(i * i >> 3);
    self->client->out = self->out;
    self->client->out_size = sizeof self->out;
    assert_int_equal(
        self->server->env->runner_start(self->server->env, &self->server->runner), TROUPE_OK);
    tp_world_step_runner(self->world, self->server->runner.number); /* it listens */
    assert_int_equal(
        self->client->env->runner_start(self->client->env, &self->client->runner), TROUPE_OK);
}

static void run(scene *self, uint64_t duration)
{
    uint64_t until = tp_world_now(self->world) + duration;
    while (tp_world_step_until(self->world, until))
        ;
}

static void party_close(party *self)
{
    self->stop = true;
    self->env->runner_wake(self->env, &self->runner);
    self->env->runner_join(self->env, &self->runner);
}

static void scene_close(scene *self)
{
    tp_world_destroy(self->world);
    free(self->client);
    free(self->server);
}

static void bytes_arrive_in_order_and_the_same_seed_does_it_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        uint64_t hashes[2];
        for (int i = 0; i < 2; i++) {
            scene self;
            scene_open(&self, seed, 0);
            run(&self, TROUPE_SECONDS(30));
            assert_int_equal(self.client->in_size, sizeof self.out);
            assert_memory_equal(self.client->in, self.out, sizeof self.out);
            party_close(self.client);
            party_close(self.server);
            hashes[i] = tp_world_hash(self.world);
            scene_close(&self);
        }
        assert_true(hashes[0] == hashes[1]);
    }
}

static void a_cut_holds_bytes_back_and_loses_none(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        scene self;
        scene_open(&self, seed, 0);
        run(&self, TROUPE_MILLISECONDS(seed % 10));
        tp_world_cut(self.world, self.client->env, self.server->env, true);
        run(&self, TROUPE_SECONDS(5));
        size_t then = self.client->in_size;
        run(&self, TROUPE_SECONDS(5));
        assert_int_equal(self.client->in_size, then);
        tp_world_cut(self.world, self.client->env, self.server->env, false);
        run(&self, TROUPE_SECONDS(30));
        assert_int_equal(self.client->in_size, sizeof self.out);
        assert_int_equal(self.client->broken + self.server->broken, 0);
        party_close(self.client);
        party_close(self.server);
        scene_close(&self);
    }
}

static void a_killed_process_breaks_its_connections_after_what_it_sent(void **state)
{
    (void)state;
    uint32_t partly = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        scene self;
        scene_open(&self, seed, 0);
        run(&self, TROUPE_MILLISECONDS(1 + seed % 20));
        tp_world_kill(self.world, self.server->env);
        run(&self, TROUPE_SECONDS(5));
        assert_int_equal(self.client->broken, 1);
        partly += self.client->in_size != 0 && self.client->in_size < sizeof self.out;
        assert_memory_equal(self.client->in, self.out, self.client->in_size);
        party_close(self.client);
        scene_close(&self);
    }
    assert_true(partly != 0);
}

static void a_process_that_is_stopped_does_nothing_and_goes_on_later(void **state)
{
    (void)state;
    scene self;
    scene_open(&self, 7, 0);
    tp_world_pause(self.world, self.server->env, TROUPE_SECONDS(10));
    run(&self, TROUPE_SECONDS(9));
    assert_int_equal(self.client->in_size, 0);
    run(&self, TROUPE_SECONDS(30));
    assert_int_equal(self.client->in_size, sizeof self.out);
    party_close(self.client);
    party_close(self.server);
    scene_close(&self);
}

static void connections_break_by_chance_and_both_sides_hear_of_it(void **state)
{
    (void)state;
    uint32_t broken = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        scene self;
        scene_open(&self, seed, 6000);
        run(&self, TROUPE_SECONDS(30));
        assert_int_equal(self.client->broken, self.server->broken);
        broken += self.client->broken;
        assert_memory_equal(self.client->in, self.out, self.client->in_size);
        party_close(self.client);
        party_close(self.server);
        scene_close(&self);
    }
    assert_true(broken > 5);
}

static void a_clock_of_its_own_runs_at_its_rate(void **state)
{
    (void)state;
    scene self;
    scene_open(&self, 3, 0);
    tp_env *fast = self.client->env;
    tp_world_set_clock(fast, TROUPE_SECONDS(100), 10000000); /* a hundredth faster */
    uint64_t world = tp_world_now(self.world), local = fast->now(fast);
    assert_true(local == world + TROUPE_SECONDS(100));
    run(&self, TROUPE_SECONDS(200));
    uint64_t passed = fast->now(fast) - local;
    assert_true(passed >= TROUPE_SECONDS(202) - 2 && passed <= TROUPE_SECONDS(202) + 2);
    party_close(self.client);
    party_close(self.server);
    scene_close(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_in_order_and_the_same_seed_does_it_again),
        cmocka_unit_test(a_cut_holds_bytes_back_and_loses_none),
        cmocka_unit_test(a_killed_process_breaks_its_connections_after_what_it_sent),
        cmocka_unit_test(a_process_that_is_stopped_does_nothing_and_goes_on_later),
        cmocka_unit_test(connections_break_by_chance_and_both_sides_hear_of_it),
        cmocka_unit_test(a_clock_of_its_own_runs_at_its_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
