/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the channels between nodes promise, in a world whose connections break, stall and cross:
 * every frame arrives once and in order as long as both incarnations live; strangers are turned
 * away with a word in the log; nothing is written without a lease; idle connections are closed.
 *
 * Threads: one.
 */
#include "net.h"
#include "papers.h"

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

/* Whose silence was not tried may live: both stood still, whenever they began. */
static void who_stood_still_asks_before_it_gives_up(void **state)
{
    (void)state;
    for (uint64_t before = 0; before < TROUPE_SECONDS(3); before += TROUPE_MILLISECONDS(50)) {
        net self;
        net_open(&self, 1 + before, 2, 0);
        net_start(&self);
        want(&self.nodes[0], 2, 1);
        run(&self, TROUPE_SECONDS(1) + before);
        for (uint32_t i = 0; i < 2; i++)
            tp_world_pause(self.world, self.nodes[i].env, TROUPE_SECONDS(9));
        run(&self, TROUPE_SECONDS(11));
        for (uint32_t i = 0; i < 2; i++) {
            tp_channels_counts counts = tp_channels_count(self.nodes[i].channels);
            assert_int_equal(counts.breaks, 0);
            assert_int_equal(counts.connections, 1);
        }
        net_close(&self);
    }
}

/* Asked once a second from the first second of its silence on, four times. */
static void who_does_not_answer_is_left_after_five_intervals(void **state)
{
    (void)state;
    net self;
    net_open(&self, 12, 2, 0);
    net_start(&self);
    want(&self.nodes[0], 2, 1);
    run(&self, TROUPE_SECONDS(1));
    tp_world_cut(self.world, self.nodes[0].env, self.nodes[1].env, true);
    tp_world_cut(self.world, self.nodes[1].env, self.nodes[0].env, true);
    run(&self, TROUPE_MILLISECONDS(3900));
    assert_int_equal(tp_channels_count(self.nodes[0].channels).breaks, 0);
    run(&self, TROUPE_MILLISECONDS(1200));
    assert_int_equal(tp_channels_count(self.nodes[0].channels).breaks, 1);
    assert_int_equal(tp_channels_count(self.nodes[1].channels).breaks, 1);
    net_close(&self);
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

/* One that idles makes room, whoever calls; while none does it is said, and who calls waits. */
static void at_the_limit_who_idles_the_longest_makes_room(void **state)
{
    (void)state;
    net self;
    net_open(&self, 13, 4, 0);
    node *hub = &self.nodes[0];
    hub->connections_max = 2;
    net_start(&self);
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t to = 2; to <= 4; to++) {
            want(round == 0 ? hub : &self.nodes[to - 1], round == 0 ? to : 1, 5);
            run(&self, TROUPE_SECONDS(1));
            assert_all_heard(&self);
            uint64_t expected = round == 0 && to == 2 ? 1 : 2;
            assert_int_equal(tp_channels_count(hub->channels).connections, expected);
            assert_non_null(tp_channels_find(hub->channels, to, 0)->connection);
            if (to > 2)
                assert_non_null(tp_channels_find(hub->channels, to - 1, 0)->connection);
        }
    assert_null(strstr(hub->log, "max_connections"));
    for (uint32_t to = 2; to <= 4; to++)
        want(hub, to, 5);
    run(&self, TROUPE_SECONDS(15));
    assert_all_heard(&self);
    assert_in_range(tp_channels_count(hub->channels).connections, 1, 2);
    hub->log[0] = 0;
    for (uint32_t to = 2; to <= 3; to++) {
        tp_channels_get(hub->channels, to, 0)->is_wanted = true;
        want(hub, to, 1);
        run(&self, TROUPE_SECONDS(1));
    }
    uint64_t refusals = tp_channels_count(hub->channels).refusals;
    want(hub, 4, 1);
    run(&self, TROUPE_SECONDS(4));
    want(&self.nodes[3], 1, 1);
    run(&self, TROUPE_SECONDS(4));
    assert_int_equal(self.nodes[3].heard[1], 10);
    assert_int_equal(hub->heard[4], 5);
    assert_in_range(tp_channels_count(hub->channels).refusals, refusals + 4, refusals + 40);
    assert_non_null(strstr(hub->log, "connections_full"));
    assert_non_null(strstr(self.nodes[3].log, "max_connections"));
    tp_channels_get(hub->channels, 2, 0)->is_wanted = false;
    run(&self, TROUPE_SECONDS(4));
    assert_all_heard(&self);
    assert_in_range(tp_channels_count(hub->channels).connections, 1, 2);
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
        cmocka_unit_test(who_stood_still_asks_before_it_gives_up),
        cmocka_unit_test(who_does_not_answer_is_left_after_five_intervals),
        cmocka_unit_test(a_large_frame_on_a_slow_line_breaks_nothing),
        cmocka_unit_test(who_takes_a_large_frame_asks_once_an_interval),
        cmocka_unit_test(a_wrong_token_cluster_or_incarnation_is_refused_in_words),
        cmocka_unit_test(a_peer_of_a_newer_view_is_let_in_once_it_is_known),
        cmocka_unit_test(nothing_is_written_without_a_lease),
        cmocka_unit_test(idle_connections_are_closed_and_opened_again),
        cmocka_unit_test(at_the_limit_who_idles_the_longest_makes_room),
        cmocka_unit_test(strangers_lose_their_connection_and_nothing_else_happens),
        cmocka_unit_test(what_waited_for_a_connection_may_come_with_its_hello),
        cmocka_unit_test(frames_arrive_over_tls_whatever_breaks),
        cmocka_unit_test(clear_text_is_refused_where_tls_is_wanted_unless_it_is_allowed),
        cmocka_unit_test(a_certificate_of_another_authority_is_refused_until_it_is_exchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
