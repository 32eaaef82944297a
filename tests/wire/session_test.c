/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two sessions over a pipe that cuts, loses and delays: every numbered frame arrives exactly once
 * and in order, whatever happens to the connections. The pipe takes what one session hands out and
 * feeds the other in random pieces; a lost connection drops what is under way.
 */
#include "wire/session.h"

#include "base/prng.h"
#include "tests/base/failing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { UNDER_WAY = 1 << 20, TOTAL = 3000 };

/* One of the two, with the bytes that are on their way to it. */
typedef struct side {
    tp_session session;
    char *way;
    size_t way_size;
    troupe_slice taken; /* a write under way; size 0: none */
    uint64_t sent, got; /* frames of the test, by their own numbers */
    uint64_t settled_next, settled_seen;
    uint64_t held; /* parcels got, and not yet settled: settled_next .. */
    uint64_t parcels_got;
} side;

typedef struct pair {
    failing memory;
    tp_prng prng;
    side sides[2];
    uint64_t now;
    unsigned lost;
} pair;

static uint64_t draw(pair *self, uint64_t below)
{
    return tp_prng_next(&self->prng) % below;
}

static void open_pair(pair *self, uint64_t seed, const tp_session_options *given)
{
    memset(self, 0, sizeof *self);
    failing_init(&self->memory);
    tp_prng_seed(&self->prng, seed);
    for (unsigned i = 0; i < 2; i++) {
        tp_session_options options = *given;
        options.allocator = &self->memory.allocator;
        options.incarnation = 10 + i;
        options.peer = 11 - i;
        options.view = 20;
        tp_session_init(&self->sides[i].session, &options);
        self->sides[i].way = malloc(UNDER_WAY);
        self->sides[i].settled_next = 1;
    }
}

static void close_pair(pair *self)
{
    for (unsigned i = 0; i < 2; i++) {
        tp_session_deinit(&self->sides[i].session);
        free(self->sides[i].way);
    }
    assert_int_equal(self->memory.bytes, 0);
    assert_int_equal(self->memory.wrong_sizes, 0);
}

static void connect_pair(pair *self)
{
    uint64_t received[2] = {self->sides[0].session.received, self->sides[1].session.received};
    for (unsigned i = 0; i < 2; i++) {
        /* A hello may be older than what was received since on another connection. */
        uint64_t had = draw(self, 4) == 0 ? draw(self, received[1 - i] + 1) : received[1 - i];
        troupe_status status = tp_session_connected(&self->sides[i].session, had);
        assert_int_equal(status, TROUPE_OK);
    }
}

static void lose_pair(pair *self)
{
    for (unsigned i = 0; i < 2; i++) {
        tp_session_lost(&self->sides[i].session);
        self->sides[i].way_size = 0;
        self->sides[i].taken.size = 0;
    }
    self->lost++;
}

/* Puts frame number `sent + 1` of the test; false: not now. Kinds and sizes vary. */
static bool put_one(pair *self, side *from)
{
    static const char filler[40000];
    tp_session *session = &from->session;
    uint64_t number = from->sent + 1;
    size_t filled = draw(self, 50) == 0 ? draw(self, sizeof filler) : draw(self, 200);
    troupe_status status;
    if (number % 3 == 0) {
        tp_wire_reply reply = {.slot = (uint32_t)number, .payload = {filler, filled}};
        status = tp_session_put_reply(session, &reply);
    } else if (number % 7 == 0) {
        char *body;
        uint64_t frame = 0;
        status = tp_session_put(session, TP_FRAME_FULL, 0, 8, &body, &frame);
        if (status == TROUPE_OK) {
            assert_true(frame == session->number);
            tp_wire_mark_put(body, number);
        }
    } else {
        char key[32], method[32];
        snprintf(key, sizeof key, "key %llu", (unsigned long long)number);
        snprintf(method, sizeof method, "method %llu", (unsigned long long)number / 32);
        tp_parcel parcel = {.hash = number, .key = troupe_str(key), .payload = {filler, filled}};
        parcel.type = troupe_str("type");
        parcel.method = troupe_str(method);
        parcel.name =
            tp_session_name(session, (uint32_t)(1 + number / 32), parcel.type, parcel.method);
        parcel.bits = parcel.name == 0 ? TP_PARCEL_NAMES : 0;
        uint64_t given = 0;
        status = tp_session_put_parcel(session, TP_FRAME_REQUEST, &parcel, &given);
        if (status == TROUPE_OK)
            assert_true(given == session->parcels);
    }
    if (status == TROUPE_OK)
        from->sent++;
    else
        assert_true(status == TROUPE_BUSY || status == TROUPE_NO_MEMORY);
    return status == TROUPE_OK;
}

static void look_at_parcel(side *to, const tp_session_frame *frame)
{
    tp_parcel parcel;
    assert_null(tp_parcel_get(frame->body, &parcel));
    assert_true(parcel.hash == ++to->got);
    char text[32];
    snprintf(text, sizeof text, "key %llu", (unsigned long long)to->got);
    assert_true(troupe_slice_equal(parcel.key, troupe_str(text)));
    troupe_slice method = parcel.method;
    if (parcel.name != 0) {
        tp_learned_name *name = tp_session_find_name(&to->session, parcel.name);
        assert_non_null(name);
        assert_true(troupe_slice_equal(name->type, troupe_str("type")));
        method = name->method;
    }
    snprintf(text, sizeof text, "method %llu", (unsigned long long)to->got / 32);
    assert_true(troupe_slice_equal(method, troupe_str(text)));
    assert_true(frame->parcel == ++to->parcels_got);
    to->held++;
}

static void look_at(side *to, const tp_session_frame *frame)
{
    tp_wire_reply reply;
    tp_wire_settled settled;
    tp_wire_range range;
    uint64_t hash;
    switch (frame->kind) {
    case TP_FRAME_REQUEST:
        look_at_parcel(to, frame);
        break;
    case TP_FRAME_REPLY:
        assert_null(tp_wire_reply_get(frame->body, &reply));
        assert_true(reply.slot == ++to->got);
        break;
    case TP_FRAME_FULL:
        assert_null(tp_wire_mark_get(frame->body, &hash));
        assert_true(hash == ++to->got);
        break;
    case TP_FRAME_SETTLED:
        assert_null(tp_wire_settled_get(frame->body, &settled));
        while (tp_wire_settled_next(&settled, &range)) {
            assert_true(range.first == to->settled_seen + 1);
            to->settled_seen += range.count;
        }
        break;
    default:
        assert_int_equal(frame->kind, TP_FRAME_PONG);
    }
}

/* Takes frames off a side, and settles some of its parcels. False: out of memory. */
static bool drain(pair *self, side *to)
{
    for (;;) {
        tp_session_frame frame;
        tp_session_event event = tp_session_next(&to->session, &frame);
        if (event == TP_SESSION_MORE)
            break;
        if (event == TP_SESSION_BROKEN) {
            assert_non_null(strstr(to->session.reason, "no memory"));
            return false;
        }
        assert_int_equal(event, TP_SESSION_FRAME);
        look_at(to, &frame);
        if (draw(self, 8) == 0)
            break;
    }
    while (to->held != 0 && draw(self, 6) != 0) {
        if (tp_session_settle(&to->session, to->settled_next) != TROUPE_OK)
            break;
        to->settled_next++;
        to->held--;
    }
    return true;
}

/* Some bytes from one side to the way of the other, and some of these to its session. */
static bool carry(pair *self, unsigned from, bool cut)
{
    side *out = &self->sides[from], *in = &self->sides[1 - from];
    if (out->taken.size == 0 && tp_session_take(&out->session, self->now, &out->taken))
        assert_true(out->taken.size >= TP_BATCH_HEADER);
    if (out->taken.size != 0) {
        size_t size = cut ? 1 + draw(self, out->taken.size) : out->taken.size;
        if (size > UNDER_WAY - in->way_size)
            size = UNDER_WAY - in->way_size;
        memcpy(in->way + in->way_size, out->taken.data, size);
        in->way_size += size;
        out->taken = troupe_slice_of((const char *)out->taken.data + size, out->taken.size - size);
        if (out->taken.size == 0 && draw(self, 3) != 0)
            tp_session_written(&out->session);
        else if (out->taken.size == 0)
            out->taken = troupe_slice_of(out->way, 0); /* written comes with the next turn */
    } else if (out->session.writing != TP_WRITING_NOTHING) {
        tp_session_written(&out->session);
    }
    size_t fed = in->way_size == 0 ? 0 : cut ? 1 + draw(self, in->way_size) : in->way_size;
    if (fed != 0 && tp_session_feed(&in->session, troupe_slice_of(in->way, fed)) != TROUPE_OK)
        return false;
    memmove(in->way, in->way + fed, in->way_size - fed);
    in->way_size -= fed;
    return drain(self, in);
}

static bool all_arrived(const pair *self, uint64_t total)
{
    for (unsigned i = 0; i < 2; i++) {
        const side *one = &self->sides[i], *other = &self->sides[1 - i];
        if (one->sent < total || other->got < total || other->held != 0 ||
            one->settled_seen != other->parcels_got || !tp_session_is_idle(&one->session))
            return false;
    }
    return true;
}

/* `lose`: one of so many steps loses the connection; 0: none. */
static void run(pair *self, uint64_t total, unsigned lose)
{
    connect_pair(self);
    bool connected = true;
    for (uint64_t step = 0; !all_arrived(self, total); step++) {
        assert_true(step < 4000000);
        self->now += draw(self, 400000);
        for (unsigned i = 0; i < 2; i++) {
            side *one = &self->sides[i];
            for (uint64_t n = draw(self, 6); n > 0 && one->sent < total; n--)
                if (!put_one(self, one))
                    break;
            if (draw(self, 40) == 0 && connected) {
                char *body;
                if (tp_session_put_loose(&one->session, TP_FRAME_PING, TP_FRAME_SKIP, 8, &body) ==
                    TROUPE_OK)
                    tp_wire_stamp_put(body, step);
            }
        }
        if (!connected && draw(self, 3) == 0) {
            connect_pair(self);
            connected = true;
        }
        if (!connected)
            continue;
        for (unsigned i = 0; i < 2 && connected; i++) {
            if ((lose != 0 && draw(self, lose) == 0) || !carry(self, i, draw(self, 3) != 0)) {
                lose_pair(self);
                connected = false;
            }
        }
    }
}

static void every_frame_arrives_once_and_in_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        pair self;
        tp_session_options options = {.window = 256,
            .batch_bytes = 1024u << seed % 5,
            .batch_count = seed % 3 == 0 ? 3 : 0,
            .chunk_bytes = seed % 4 == 0 ? 4096 : 0,
            .batch_delay = seed % 5 == 0 ? 200000 : 0,
            .kept_limit = 400000,
            .max_frame = 64 << 10,
            .names = seed % 6 == 0 ? 3 : 0,
            .codec = (tp_codec)(seed % TP_CODECS)};
        open_pair(&self, seed, &options);
        run(&self, TOTAL, 0);
        assert_int_equal(self.sides[0].session.counts.duplicates, 0);
        close_pair(&self);
    }
}

static void nothing_is_lost_or_doubled_when_connections_are(void **state)
{
    (void)state;
    uint64_t resent = 0, duplicates = 0;
    unsigned lost = 0;
    for (uint64_t seed = 100; seed < 160; seed++) {
        pair self;
        tp_session_options options = {.window = 300,
            .batch_bytes = 1024u << seed % 5,
            .chunk_bytes = seed % 4 == 0 ? 4096 : 0,
            .batch_delay = seed % 5 == 0 ? 200000 : 0,
            .kept_limit = 300000,
            .max_frame = 64 << 10,
            .names = 50,
            .codec = (tp_codec)(seed % TP_CODECS)};
        open_pair(&self, seed, &options);
        run(&self, 1000, 4 + (unsigned)(seed % 60));
        for (unsigned i = 0; i < 2; i++) {
            resent += self.sides[i].session.counts.resent;
            duplicates += self.sides[i].session.counts.duplicates;
        }
        lost += self.lost;
        close_pair(&self);
    }
    assert_true(lost > 1000 && resent > 10000 && duplicates > 10);
}

/* One batch of five frames; the connection is lost after each of its bytes, and comes again. */
static void a_connection_may_be_lost_at_every_byte(void **state)
{
    (void)state;
    for (size_t cut = 0;; cut++) {
        pair self;
        tp_session_options options = {.window = 256};
        open_pair(&self, cut + 1, &options);
        side *out = &self.sides[0], *in = &self.sides[1];
        connect_pair(&self);
        for (unsigned i = 0; i < 5; i++)
            assert_true(put_one(&self, out));
        troupe_slice taken;
        assert_true(tp_session_take(&out->session, 0, &taken));
        bool whole = cut >= taken.size;
        size_t size = whole ? taken.size : cut;
        assert_int_equal(
            tp_session_feed(&in->session, troupe_slice_of(taken.data, size)), TROUPE_OK);
        tp_session_frame frame;
        uint64_t some = cut % 6; /* of the frames are taken off before it is lost */
        while (some-- > 0 && tp_session_next(&in->session, &frame) == TP_SESSION_FRAME)
            look_at(in, &frame);
        lose_pair(&self);
        run(&self, 40, 0);
        close_pair(&self);
        if (whole)
            break;
    }
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (uint64_t fail = 1; fail < 60; fail++) {
        pair self;
        tp_session_options options = {.window = 256,
            .batch_bytes = 2048,
            .chunk_bytes = 4096,
            .kept_limit = 200000,
            .max_frame = 64 << 10,
            .names = 200,
            .codec = (tp_codec)(fail % TP_CODECS)};
        open_pair(&self, fail, &options);
        self.memory.fail_from = fail;
        self.memory.fail_count = 1 + fail % 3;
        run(&self, 300, 0);
        close_pair(&self);
    }
}

/* ---- limits --------------------------------------------------------------------------------- */

static troupe_status put_request(side *from, size_t payload)
{
    static const char filler[70000];
    tp_parcel parcel = {.name = 1, .key = troupe_str("k"), .payload = {filler, payload}};
    uint64_t number;
    return tp_session_put_parcel(&from->session, TP_FRAME_REQUEST, &parcel, &number);
}

/* Carries everything both ways until nothing moves. */
static void settle_down(pair *self, bool settles)
{
    for (unsigned i = 0; i < 12; i++) {
        self->now += 2000000;
        for (unsigned k = 0; k < 2; k++) {
            side *out = &self->sides[k], *in = &self->sides[1 - k];
            troupe_slice bytes;
            if (tp_session_take(&out->session, self->now, &bytes)) {
                assert_int_equal(tp_session_feed(&in->session, bytes), TROUPE_OK);
                tp_session_written(&out->session);
            }
            tp_session_frame frame;
            while (tp_session_next(&in->session, &frame) == TP_SESSION_FRAME)
                if (frame.parcel != 0 && settles)
                    assert_int_equal(tp_session_settle(&in->session, frame.parcel), TROUPE_OK);
            assert_false(in->session.broken);
        }
    }
}

static void requests_beyond_the_credit_are_busy_and_nothing_else_is(void **state)
{
    (void)state;
    pair self;
    tp_session_options options = {.window = 1000};
    open_pair(&self, 1, &options);
    connect_pair(&self);
    side *out = &self.sides[0];
    for (unsigned i = 0; i < TP_SESSION_FIRST_WINDOW; i++)
        assert_int_equal(put_request(out, 10), TROUPE_OK);
    assert_int_equal(put_request(out, 10), TROUPE_BUSY);
    settle_down(&self, false);
    for (unsigned i = TP_SESSION_FIRST_WINDOW; i < 1000; i++)
        assert_int_equal(put_request(out, 10), TROUPE_OK);
    assert_int_equal(put_request(out, 10), TROUPE_BUSY);
    assert_int_equal(out->session.counts.refused, 2);
    settle_down(&self, false);
    assert_int_equal(put_request(out, 10), TROUPE_BUSY);
    tp_wire_reply reply = {.payload = troupe_str("r")};
    assert_int_equal(tp_session_put_reply(&out->session, &reply), TROUPE_OK);
    tp_parcel acked = {.name = 1, .key = troupe_str("k")};
    uint64_t number;
    assert_int_equal(
        tp_session_put_parcel(&out->session, TP_FRAME_ACKED, &acked, &number), TROUPE_OK);
    assert_int_equal(number, 1001);
    settle_down(&self, false);
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal(tp_session_settle(&self.sides[1].session, i), TROUPE_OK);
    settle_down(&self, false);
    for (unsigned i = 0; i < 9; i++) /* one went to ACKED */
        assert_int_equal(put_request(out, 10), TROUPE_OK);
    assert_int_equal(put_request(out, 10), TROUPE_BUSY);
    close_pair(&self);
}

static void what_is_kept_for_a_peer_that_is_away_is_bounded(void **state)
{
    (void)state;
    pair self;
    tp_session_options options = {.kept_limit = 100000, .max_frame = 65536};
    open_pair(&self, 1, &options);
    side *out = &self.sides[0];
    unsigned put = 0;
    while (put_request(out, 1000) == TROUPE_OK)
        put++;
    assert_in_range(put, 90, 100);
    assert_in_range(self.memory.bytes, 100000, 400000);
    assert_int_equal(put_request(out, 1000), TROUPE_BUSY);
    connect_pair(&self);
    settle_down(&self, true);
    assert_int_equal(self.sides[1].session.parcels_in, put);
    assert_int_equal(put_request(out, 1000), TROUPE_OK);
    close_pair(&self);
}

/* Who does not take our replies gets no more requests in. */
static void a_peer_that_reads_nothing_gets_no_credit(void **state)
{
    (void)state;
    pair self;
    tp_session_options options = {.window = 256, .kept_limit = 100000, .max_frame = 65536};
    open_pair(&self, 1, &options);
    connect_pair(&self);
    side *out = &self.sides[0], *in = &self.sides[1];
    char big[2000] = {0};
    uint64_t parcels = 0;
    for (unsigned i = 0; i < 100000 && (i < 10 || tp_session_has_room(&out->session)); i++) {
        while (put_request(out, 10) == TROUPE_OK)
            ;
        self.now += 2000000;
        troupe_slice bytes;
        while (tp_session_take(&out->session, self.now, &bytes)) {
            assert_int_equal(tp_session_feed(&in->session, bytes), TROUPE_OK);
            tp_session_written(&out->session);
        }
        tp_session_frame frame;
        while (tp_session_next(&in->session, &frame) == TP_SESSION_FRAME) {
            tp_wire_reply reply = {.payload = {big, sizeof big}};
            assert_int_equal(tp_session_settle(&in->session, frame.parcel), TROUPE_OK);
            assert_int_equal(tp_session_put_reply(&in->session, &reply), TROUPE_OK);
            parcels++;
        }
        /* It is told of credits, but what else was written never arrives. */
        if (tp_session_take(&in->session, self.now, &bytes)) {
            tp_session_written(&in->session);
            if (in->session.granted > out->session.parcels_to)
                out->session.parcels_to = in->session.granted;
        }
    }
    assert_in_range(parcels, 256, 700);
    close_pair(&self);
}

static void a_frame_beyond_the_limit_is_too_large(void **state)
{
    (void)state;
    pair self;
    tp_session_options options = {.max_frame = 65536};
    open_pair(&self, 1, &options);
    connect_pair(&self);
    side *out = &self.sides[0];
    size_t most = 65536 - TP_PARCEL_HEAD - 1;
    assert_int_equal(put_request(out, most + 1), TROUPE_TOO_LARGE);
    assert_int_equal(put_request(out, most), TROUPE_OK);
    assert_int_equal(put_request(out, 10), TROUPE_OK);
    settle_down(&self, true);
    assert_int_equal(self.sides[1].session.parcels_in, 2);
    char *body;
    assert_int_equal(
        tp_session_put_loose(&out->session, TP_FRAME_VIEW, 0, 65537, &body), TROUPE_TOO_LARGE);
    close_pair(&self);
}

static void a_peer_gets_no_larger_frame_and_no_codec_than_it_takes(void **state)
{
    (void)state;
    pair self;
    tp_session_options options = {.max_frame = 65536, .codec = TP_CODEC_ZSTD};
    open_pair(&self, 1, &options);
    side *out = &self.sides[0];
    tp_session_agree(&out->session, TP_FEATURE_LZ4, 10000);
    connect_pair(&self);
    assert_int_equal(put_request(out, 10000), TROUPE_TOO_LARGE);
    assert_int_equal(put_request(out, 10000 - TP_PARCEL_HEAD - 1), TROUPE_OK);
    assert_int_equal(put_request(out, 10000), TROUPE_TOO_LARGE);
    troupe_slice bytes;
    assert_true(tp_session_take(&out->session, 0, &bytes));
    assert_int_equal(((const char *)bytes.data)[8], TP_CODEC_NONE);
    close_pair(&self);
}

/* What the peer's hello has not said may be wrong: a frame is kept until the peer has it. */
static void a_frame_is_no_larger_than_all_take_before_the_peer_has_spoken(void **state)
{
    (void)state;
    enum { LARGE = 24 << 20 };
    pair self;
    tp_session_options options = {.max_frame = 32 << 20};
    open_pair(&self, 1, &options);
    tp_session *session = &self.sides[0].session;
    char *body;
    assert_int_equal(
        tp_session_put(session, TP_FRAME_WORD, 0, LARGE, &body, NULL), TROUPE_TOO_LARGE);
    assert_int_equal(
        tp_session_put(session, TP_FRAME_WORD, 0, TP_SESSION_SURE_FRAME, &body, NULL), TROUPE_OK);
    tp_session_agree(session, 0, 20 << 20);
    assert_int_equal(
        tp_session_put(session, TP_FRAME_WORD, 0, LARGE, &body, NULL), TROUPE_TOO_LARGE);
    tp_session_agree(session, 0, UINT32_MAX);
    assert_int_equal(tp_session_put(session, TP_FRAME_WORD, 0, LARGE, &body, NULL), TROUPE_OK);
    close_pair(&self);
}

static void loose_frames_are_bounded_and_lost_with_their_connection(void **state)
{
    (void)state;
    pair self;
    tp_session_options options = {0};
    open_pair(&self, 1, &options);
    side *out = &self.sides[0];
    char *body;
    assert_int_equal(
        tp_session_put_loose(&out->session, TP_FRAME_VIEW, 0, 1000, &body), TROUPE_UNAVAILABLE);
    connect_pair(&self);
    unsigned put = 0;
    while (tp_session_put_loose(&out->session, TP_FRAME_VIEW, 0, 1000, &body) == TROUPE_OK) {
        memset(body, 0, 1000);
        put++;
    }
    assert_in_range(put, 200, 300);
    lose_pair(&self);
    connect_pair(&self);
    assert_int_equal(tp_session_put_loose(&out->session, TP_FRAME_VIEW, 0, 1000, &body), TROUPE_OK);
    memset(body, 0, 1000);
    troupe_slice bytes;
    assert_true(tp_session_take(&out->session, 0, &bytes));
    assert_int_equal(bytes.size, TP_BATCH_HEADER + 4 + 1000);
    tp_session_written(&out->session);
    settle_down(&self, true);
    close_pair(&self);
}

/* ---- batches -------------------------------------------------------------------------------- */

static void frames_gather_while_a_write_is_under_way(void **state)
{
    (void)state;
    pair self;
    tp_session_options options = {0};
    open_pair(&self, 1, &options);
    connect_pair(&self);
    tp_session *out = &self.sides[0].session;
    assert_int_equal(put_request(&self.sides[0], 10), TROUPE_OK);
    troupe_slice first, second;
    assert_true(tp_session_take(out, 0, &first));
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(put_request(&self.sides[0], 10), TROUPE_OK);
    assert_false(tp_session_take(out, 0, &second));
    tp_session_written(out);
    assert_true(tp_session_take(out, 0, &second));
    tp_batch batch;
    assert_true(tp_batch_get(second.data, &batch));
    assert_int_equal(batch.count, 50);
    assert_int_equal(second.size, TP_BATCH_HEADER + batch.size);
    tp_session_written(out);
    assert_false(tp_session_take(out, 0, &second));
    close_pair(&self);
}

static void a_batch_waits_for_its_delay_and_no_longer(void **state)
{
    (void)state;
    pair self;
    tp_session_options options = {.batch_delay = 1000, .batch_count = 10};
    open_pair(&self, 1, &options);
    connect_pair(&self);
    settle_down(&self, true); /* credits have gone both ways */
    tp_session *out = &self.sides[0].session;
    troupe_slice bytes;
    assert_int_equal(put_request(&self.sides[0], 10), TROUPE_OK);
    assert_false(tp_session_take(out, 5000, &bytes));
    assert_true(tp_session_due(out) == 6000);
    assert_int_equal(put_request(&self.sides[0], 10), TROUPE_OK);
    assert_false(tp_session_take(out, 5999, &bytes));
    assert_true(tp_session_take(out, 6000, &bytes));
    tp_session_written(out);
    for (unsigned i = 0; i < 11; i++) /* ten are a batch: it waits no longer */
        assert_int_equal(put_request(&self.sides[0], 10), TROUPE_OK);
    assert_true(tp_session_take(out, 7000, &bytes));
    close_pair(&self);
}

static void a_write_is_one_run_of_many_batches(void **state)
{
    (void)state;
    pair self;
    tp_session_options options = {.batch_bytes = 1024, .chunk_bytes = 65536};
    open_pair(&self, 1, &options);
    connect_pair(&self);
    tp_session *out = &self.sides[0].session;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(put_request(&self.sides[0], 100), TROUPE_OK);
    troupe_slice bytes;
    assert_true(tp_session_take(out, 0, &bytes));
    assert_true(bytes.size > 100 * 100);
    assert_true(out->counts.batches_out > 10);
    close_pair(&self);
}

static void text_travels_smaller_and_noise_as_it_is(void **state)
{
    (void)state;
    for (tp_codec codec = TP_CODEC_LZ4; codec < TP_CODECS; codec++) {
        pair self;
        tp_session_options options = {.codec = codec};
        open_pair(&self, 1, &options);
        connect_pair(&self);
        tp_session *out = &self.sides[0].session;
        for (unsigned i = 0; i < 20; i++)
            assert_int_equal(put_request(&self.sides[0], 500), TROUPE_OK);
        troupe_slice bytes;
        assert_true(tp_session_take(out, 0, &bytes));
        assert_true(bytes.size < 2000);
        assert_int_equal(tp_session_feed(&self.sides[1].session, bytes), TROUPE_OK);
        tp_session_written(out);
        settle_down(&self, true);
        assert_int_equal(self.sides[1].session.parcels_in, 20);
        char *body;
        assert_int_equal(tp_session_put(out, TP_FRAME_WORD, 0, 8000, &body, NULL), TROUPE_OK);
        for (unsigned i = 0; i < 8000; i++)
            body[i] = (char)draw(&self, 256);
        assert_true(tp_session_take(out, 0, &bytes));
        assert_true(bytes.size > 8000);
        assert_int_equal(((const char *)bytes.data)[8], TP_CODEC_NONE);
        tp_session_written(out);
        close_pair(&self);
    }
}

/* ---- views ---------------------------------------------------------------------------------- */

static void frames_of_a_newer_view_wait_until_it_is_installed(void **state)
{
    (void)state;
    pair self;
    tp_session_options options = {0};
    open_pair(&self, 1, &options);
    connect_pair(&self);
    tp_session *out = &self.sides[0].session, *in = &self.sides[1].session;
    tp_session_set_view(out, 25);
    assert_int_equal(put_request(&self.sides[0], 10), TROUPE_OK);
    char *body;
    assert_int_equal(tp_session_put_loose(out, TP_FRAME_VIEW, 0, 8, &body), TROUPE_OK);
    memset(body, 0, 8);
    troupe_slice bytes;
    tp_session_frame frame;
    while (tp_session_take(out, 0, &bytes)) {
        assert_int_equal(tp_session_feed(in, bytes), TROUPE_OK);
        tp_session_written(out);
    }
    /* What is loose passes the barrier: it brings the view. */
    assert_int_equal(tp_session_next(in, &frame), TP_SESSION_FRAME);
    assert_int_equal(frame.kind, TP_FRAME_VIEW);
    assert_int_equal(tp_session_next(in, &frame), TP_SESSION_VIEW);
    assert_true(in->peer_view == 25);
    tp_session_set_view(in, 24);
    assert_int_equal(tp_session_next(in, &frame), TP_SESSION_VIEW);
    tp_session_set_view(in, 25);
    assert_int_equal(tp_session_next(in, &frame), TP_SESSION_FRAME);
    assert_int_equal(frame.kind, TP_FRAME_REQUEST);
    close_pair(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_frame_arrives_once_and_in_order),
        cmocka_unit_test(nothing_is_lost_or_doubled_when_connections_are),
        cmocka_unit_test(a_connection_may_be_lost_at_every_byte),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(requests_beyond_the_credit_are_busy_and_nothing_else_is),
        cmocka_unit_test(what_is_kept_for_a_peer_that_is_away_is_bounded),
        cmocka_unit_test(a_peer_that_reads_nothing_gets_no_credit),
        cmocka_unit_test(a_frame_beyond_the_limit_is_too_large),
        cmocka_unit_test(a_peer_gets_no_larger_frame_and_no_codec_than_it_takes),
        cmocka_unit_test(a_frame_is_no_larger_than_all_take_before_the_peer_has_spoken),
        cmocka_unit_test(loose_frames_are_bounded_and_lost_with_their_connection),
        cmocka_unit_test(frames_gather_while_a_write_is_under_way),
        cmocka_unit_test(a_batch_waits_for_its_delay_and_no_longer),
        cmocka_unit_test(a_write_is_one_run_of_many_batches),
        cmocka_unit_test(text_travels_smaller_and_noise_as_it_is),
        cmocka_unit_test(frames_of_a_newer_view_wait_until_it_is_installed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
