/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hello: two nodes of one cluster meet; others are refused with words for the log of each side;
 * strangers learn nothing.
 */
#include "wire/hello.h"
#include "wire/session.h"

#include "base/prng.h"
#include "wire/frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char client_nonce[] = "client's nonce 16", server_nonce[] = "server's nonce 16";

static tp_hello_options options_of(bool client)
{
    return (tp_hello_options){
        .self = {.incarnation = client ? 7 : 9,
            .view = 12,
            .features = TP_FEATURE_LZ4,
            .received = client ? 100 : 0,
            .max_frame = client ? 17000000 : 18000000,
            .shard = client ? 1 : 3,
            .shards = 4,
            .link = 2,
            .node = troupe_str(client ? "alpha" : "beta"),
            .address = troupe_str(client ? "10.0.0.1:7100" : "10.0.0.2:7100")},
        .preamble = {.shard = 3},
        .cluster = troupe_str("shop"),
        .token = troupe_str("a long random token"),
        .peer = client ? 9 : 0,
        .nonce = client ? client_nonce : server_nonce,
    };
}

typedef struct meeting {
    tp_hello client, server;
    tp_hello_event client_event, server_event;
    char said[4096]; /* by the client, all of it */
    size_t said_size;
} meeting;

/* In pieces of `piece` bytes; the preamble is the listener's. */
static tp_hello_event carry(tp_hello *to, troupe_slice bytes, size_t piece)
{
    tp_hello_event event = TP_HELLO_MORE;
    const char *at = bytes.data;
    size_t left = bytes.size;
    while (left != 0 && event == TP_HELLO_MORE) {
        size_t used = 0, size = piece < left ? piece : left;
        event = tp_hello_feed(to, at, size, &used);
        assert_true(used <= size && (used == size || event != TP_HELLO_MORE));
        at += used;
        left -= used;
    }
    return event;
}

static void meet(
    meeting *self, const tp_hello_options *client, const tp_hello_options *server, size_t piece)
{
    memset(self, 0, sizeof *self);
    tp_hello_init_client(&self->client, client);
    tp_hello_init_server(&self->server, server);
    for (unsigned i = 0; i < 8; i++) {
        troupe_slice bytes;
        if (tp_hello_take(&self->client, &bytes)) {
            memcpy(self->said + self->said_size, bytes.data, bytes.size);
            self->said_size += bytes.size;
            if (i == 0) {
                tp_preamble preamble;
                assert_null(tp_preamble_get(bytes.data, &preamble));
                assert_int_equal(preamble.shard, 3);
                bytes = troupe_slice_of(
                    (const char *)bytes.data + TP_PREAMBLE_BYTES, bytes.size - TP_PREAMBLE_BYTES);
            }
            self->server_event = carry(&self->server, bytes, piece);
            if (self->server_event == TP_HELLO_JUDGE)
                self->server_event = tp_hello_accept(&self->server, 55);
        }
        if (tp_hello_take(&self->server, &bytes)) {
            self->client_event = carry(&self->client, bytes, piece);
            if (self->client_event == TP_HELLO_JUDGE)
                self->client_event = tp_hello_accept(&self->client, 0);
        }
    }
}

static void two_nodes_of_a_cluster_meet_however_their_bytes_are_cut(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 400; piece += piece < 30 ? 1 : 61) {
        meeting self;
        tp_hello_options client = options_of(true), server = options_of(false);
        meet(&self, &client, &server, piece);
        assert_int_equal(self.client_event, TP_HELLO_DONE);
        assert_int_equal(self.server_event, TP_HELLO_DONE);
        assert_int_equal(self.client.version, TP_WIRE_VERSION);
        assert_int_equal(self.server.version, TP_WIRE_VERSION);
        const tp_hello_side *peer = &self.server.peer;
        assert_true(peer->incarnation == 7 && peer->view == 12 && peer->received == 100);
        assert_true(peer->features == TP_FEATURE_LZ4 && peer->max_frame == 17000000);
        assert_true(peer->shard == 1 && peer->shards == 4 && peer->link == 2);
        assert_true(troupe_slice_equal(peer->node, troupe_str("alpha")));
        assert_true(troupe_slice_equal(peer->address, troupe_str("10.0.0.1:7100")));
        peer = &self.client.peer;
        assert_true(peer->incarnation == 9 && peer->received == 55 && peer->max_frame == 18000000);
        assert_true(troupe_slice_equal(peer->node, troupe_str("beta")));
    }
}

static void assert_refused(
    const meeting *self, const char *server_says, const char *client_says, troupe_status status)
{
    assert_int_equal(self->server_event, TP_HELLO_REFUSED);
    assert_int_equal(self->client_event, TP_HELLO_REFUSED);
    assert_int_equal(self->server.status, status);
    assert_int_equal(self->client.status, status);
    assert_non_null(strstr(self->server.reason, server_says));
    assert_non_null(strstr(self->client.reason, client_says));
    assert_non_null(strstr(self->client.reason, "refused this node"));
    assert_true(self->client.refused_by_peer && !self->server.refused_by_peer);
}

static void another_cluster_is_refused_and_learns_no_name(void **state)
{
    (void)state;
    meeting self;
    tp_hello_options client = options_of(true), server = options_of(false);
    client.cluster = troupe_str("bank");
    meet(&self, &client, &server, 1000);
    assert_refused(&self, "'bank'", "another cluster", TROUPE_DENIED);
    assert_non_null(strstr(self.server.reason, "'shop'"));
    assert_null(strstr(self.client.reason, "shop"));
}

static void another_token_is_refused_and_none_is_ever_said(void **state)
{
    (void)state;
    meeting self;
    tp_hello_options client = options_of(true), server = options_of(false);
    client.token = troupe_str("another long token");
    meet(&self, &client, &server, 1000);
    assert_refused(&self, "token", "token", TROUPE_DENIED);
    assert_null(memmem(self.said, self.said_size, "another long", 12));
    client.token = troupe_str("");
    meet(&self, &client, &server, 1000);
    assert_refused(&self, "token", "token", TROUPE_DENIED);
    server.token = troupe_str("");
    meet(&self, &client, &server, 1000);
    assert_int_equal(self.client_event, TP_HELLO_DONE);
}

/* Frames up to that size leave before the hello is heard: who takes less would lose its link again
 * and again. */
static void a_node_that_takes_less_than_every_node_does_is_refused_by_name(void **state)
{
    (void)state;
    meeting self;
    tp_hello_options client = options_of(true), server = options_of(false);
    client.self.max_frame = TP_SESSION_SURE_FRAME - 1;
    meet(&self, &client, &server, 1000);
    assert_refused(&self, "'alpha' takes frames of 16777215 bytes", "16777216", TROUPE_DENIED);
    client.self.max_frame = server.self.max_frame = TP_SESSION_SURE_FRAME;
    meet(&self, &client, &server, 1000);
    assert_int_equal(self.client_event, TP_HELLO_DONE);
    server.self.max_frame = 0;
    meet(&self, &client, &server, 1000);
    assert_int_equal(self.client_event, TP_HELLO_REFUSED);
    assert_false(self.client.refused_by_peer);
    assert_non_null(strstr(self.client.reason, "'beta' takes frames of 0 bytes"));
}

/* What was recorded on one connection proves nothing on the next: the nonces are others. */
static void a_recorded_hello_proves_nothing(void **state)
{
    (void)state;
    meeting self;
    tp_hello_options client = options_of(true), server = options_of(false);
    meet(&self, &client, &server, 1000);
    tp_hello again;
    server.nonce = "another nonce 16";
    tp_hello_init_server(&again, &server);
    troupe_slice said = {self.said + TP_PREAMBLE_BYTES, self.said_size - TP_PREAMBLE_BYTES};
    assert_int_equal(carry(&again, said, 1000), TP_HELLO_REFUSED);
    assert_int_equal(again.status, TROUPE_DENIED);
}

/* A server that does not know the token cannot pass for a node. */
static void a_false_server_is_refused_by_the_client(void **state)
{
    (void)state;
    meeting self;
    tp_hello_options client = options_of(true), server = options_of(false);
    meet(&self, &client, &server, 1000);
    tp_hello_init_client(&self.client, &client);
    tp_hello_init_server(&self.server, &server);
    troupe_slice bytes;
    assert_true(tp_hello_take(&self.client, &bytes));
    bytes = troupe_slice_of((const char *)bytes.data + 8, bytes.size - 8);
    assert_int_equal(carry(&self.server, bytes, 1000), TP_HELLO_MORE);
    assert_true(tp_hello_take(&self.server, &bytes));
    assert_int_equal(carry(&self.client, bytes, 1000), TP_HELLO_MORE);
    assert_true(tp_hello_take(&self.client, &bytes));
    /* It sends back what it got, which is a good proof of a client. */
    assert_int_equal(carry(&self.client, bytes, 1000), TP_HELLO_REFUSED);
    assert_int_equal(self.client.status, TROUPE_DENIED);
    assert_false(self.client.refused_by_peer);
}

static void versions_are_agreed_on_or_refused_with_both_ranges(void **state)
{
    (void)state;
    static const struct {
        uint16_t client[2], server[2], agreed;
    } rows[] = {{{1, 1}, {1, 2}, 1}, {{1, 2}, {1, 2}, 2}, {{2, 3}, {1, 2}, 2}, {{3, 4}, {1, 2}, 0},
        {{1, 1}, {2, 3}, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        meeting self;
        tp_hello_options client = options_of(true), server = options_of(false);
        client.oldest = rows[i].client[0];
        client.newest = rows[i].client[1];
        server.oldest = rows[i].server[0];
        server.newest = rows[i].server[1];
        meet(&self, &client, &server, 1000);
        if (rows[i].agreed == 0) {
            assert_refused(&self, "wire versions", "wire versions", TROUPE_UNAVAILABLE);
        } else {
            assert_int_equal(self.client_event, TP_HELLO_DONE);
            assert_int_equal(self.client.version, rows[i].agreed);
            assert_int_equal(self.server.version, rows[i].agreed);
        }
    }
}

static void an_incarnation_that_is_gone_is_refused(void **state)
{
    (void)state;
    meeting self;
    tp_hello_options client = options_of(true), server = options_of(false);
    client.peer = 8;
    meet(&self, &client, &server, 1000);
    assert_refused(
        &self, "looks for incarnation 8, this node is 9", "incarnation 8", TROUPE_NOT_FOUND);
    client.peer = 0; /* any: a node that joins and knows addresses only */
    meet(&self, &client, &server, 1000);
    assert_int_equal(self.client_event, TP_HELLO_DONE);
}

static void a_peer_that_the_view_lacks_is_refused_by_its_judge(void **state)
{
    (void)state;
    meeting self;
    tp_hello_options client = options_of(true), server = options_of(false);
    tp_hello_init_client(&self.client, &client);
    tp_hello_init_server(&self.server, &server);
    tp_hello_event event = TP_HELLO_MORE;
    troupe_slice bytes;
    for (unsigned i = 0; event == TP_HELLO_MORE; i++) {
        assert_true(tp_hello_take(&self.client, &bytes));
        size_t skip = i == 0 ? TP_PREAMBLE_BYTES : 0;
        bytes = troupe_slice_of((const char *)bytes.data + skip, bytes.size - skip);
        event = carry(&self.server, bytes, 1000);
        if (tp_hello_take(&self.server, &bytes))
            assert_int_equal(carry(&self.client, bytes, 1000), TP_HELLO_MORE);
    }
    assert_int_equal(event, TP_HELLO_JUDGE);
    event = tp_hello_refuse(
        &self.server, TROUPE_NOT_FOUND, "incarnation 7 is no member of view 12: start anew");
    assert_int_equal(event, TP_HELLO_REFUSED);
    assert_true(tp_hello_take(&self.server, &bytes));
    assert_int_equal(carry(&self.client, bytes, 3), TP_HELLO_REFUSED);
    assert_non_null(strstr(self.client.reason, "incarnation 7 is no member of view 12"));
}

static void strangers_are_told_from_nodes_by_their_first_bytes(void **state)
{
    (void)state;
    static const char *const first[][2] = {{"GET / HT", "HTTP"}, {"\x16\x03\x01\x02...", "TLS"},
        {"SSH-2.0-", "port scanner"}, {"TRP\x02\0\0\0\0", "version"}, {"TRP\1\0\0\2\0", "know"},
        {"TRP\1\0\0\0\1", "know"}};
    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++) {
        tp_preamble preamble;
        char bytes[TP_PREAMBLE_BYTES];
        memcpy(bytes, first[i][0], sizeof bytes);
        const char *fault = tp_preamble_get(bytes, &preamble);
        assert_non_null(fault);
        assert_non_null(strstr(fault, first[i][1]));
    }
    tp_preamble preamble;
    char bytes[TP_PREAMBLE_BYTES];
    tp_preamble_put(bytes, (tp_preamble){TP_SHARD_CONTROL, TP_PREAMBLE_TLS});
    assert_null(tp_preamble_get(bytes, &preamble));
    assert_int_equal(preamble.shard, TP_SHARD_CONTROL);
    assert_int_equal(preamble.flags, TP_PREAMBLE_TLS);
}

static void garbage_gets_no_answer_and_a_reason_for_the_log(void **state)
{
    (void)state;
    tp_prng prng;
    tp_prng_seed(&prng, 3);
    tp_hello_options client = options_of(true), server = options_of(false);
    for (unsigned i = 0; i < 20000; i++) {
        tp_hello hello;
        troupe_slice bytes;
        bool of_client = i % 2 != 0;
        if (of_client)
            tp_hello_init_client(&hello, &client);
        else
            tp_hello_init_server(&hello, &server);
        (void)tp_hello_take(&hello, &bytes);
        char garbage[300];
        for (size_t k = 0; k < sizeof garbage; k++)
            garbage[k] = (char)tp_prng_next(&prng);
        garbage[0] = (char)(i % 7);
        garbage[1] = 0;
        garbage[2] = (char)(i % 64);
        garbage[3] = (char)(i / 64 % 5 == 0);
        size_t used;
        tp_hello_event event = tp_hello_feed(&hello, garbage, sizeof garbage, &used);
        assert_true(event != TP_HELLO_JUDGE && event != TP_HELLO_DONE);
        if (event == TP_HELLO_REFUSED)
            assert_true(hello.reason[0] != 0);
        if (event == TP_HELLO_REFUSED && hello.status == TROUPE_CORRUPT)
            assert_false(tp_hello_take(&hello, &bytes));
    }
}

/* One bit changed anywhere in what the client says, and the server does not accept it. */
static void a_changed_bit_anywhere_is_never_accepted(void **state)
{
    (void)state;
    tp_hello_options client = options_of(true), server = options_of(false);
    meeting self;
    meet(&self, &client, &server, 1000);
    for (size_t bit = TP_PREAMBLE_BYTES * 8; bit < self.said_size * 8; bit++) {
        char said[sizeof self.said];
        memcpy(said, self.said, self.said_size);
        said[bit / 8] = (char)(said[bit / 8] ^ 1 << bit % 8);
        tp_hello hello;
        tp_hello_init_server(&hello, &server);
        troupe_slice bytes = {said + TP_PREAMBLE_BYTES, self.said_size - TP_PREAMBLE_BYTES};
        tp_hello_event event = carry(&hello, bytes, 1000);
        assert_true(event == TP_HELLO_REFUSED || event == TP_HELLO_MORE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_nodes_of_a_cluster_meet_however_their_bytes_are_cut),
        cmocka_unit_test(another_cluster_is_refused_and_learns_no_name),
        cmocka_unit_test(another_token_is_refused_and_none_is_ever_said),
        cmocka_unit_test(a_node_that_takes_less_than_every_node_does_is_refused_by_name),
        cmocka_unit_test(a_recorded_hello_proves_nothing),
        cmocka_unit_test(a_false_server_is_refused_by_the_client),
        cmocka_unit_test(versions_are_agreed_on_or_refused_with_both_ranges),
        cmocka_unit_test(an_incarnation_that_is_gone_is_refused),
        cmocka_unit_test(a_peer_that_the_view_lacks_is_refused_by_its_judge),
        cmocka_unit_test(strangers_are_told_from_nodes_by_their_first_bytes),
        cmocka_unit_test(garbage_gets_no_answer_and_a_reason_for_the_log),
        cmocka_unit_test(a_changed_bit_anywhere_is_never_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
