/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer that does not keep to the rules, by malice or defect: its connection breaks with a reason,
 * nothing else happens, and the session goes on over the next connection as if these bytes had
 * never been.
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

enum { SELF = 10, PEER = 11, VIEW = 20 };

typedef struct scene {
    failing memory;
    tp_session session;
} scene;

static void open_scene(scene *self)
{
    failing_init(&self->memory);
    tp_session_options options = {.allocator = &self->memory.allocator,
        .incarnation = SELF,
        .peer = PEER,
        .view = VIEW,
        .max_frame = 65536,
        .names = 2};
    tp_session_init(&self->session, &options);
    assert_int_equal(tp_session_connected(&self->session, 0), TROUPE_OK);
}

/* A batch of the peer that is good but for what a test changes in it. */
typedef struct letter {
    tp_batch batch;
    char frames[4096];
    size_t size;
} letter;

static letter letter_of(uint64_t first)
{
    return (letter){.batch = {.first = first,
                        .incarnation = PEER,
                        .view = VIEW,
                        .parcels_to = TP_SESSION_FIRST_WINDOW}};
}

static char *add(letter *to, unsigned kind, unsigned flags, size_t size)
{
    char *body = tp_frame_put_head(to->frames + to->size, kind, flags, size);
    memset(body, 0, size);
    to->size += tp_frame_size(size);
    to->batch.count++;
    to->batch.size = to->batch.raw = (uint32_t)to->size;
    return body;
}

static void add_request(letter *to)
{
    tp_parcel parcel = {.name = 1, .key = troupe_str("key"), .payload = troupe_str("payload")};
    tp_parcel_put(add(to, TP_FRAME_REQUEST, 0, tp_parcel_size(&parcel)), &parcel);
}

static void feed(scene *self, const letter *from)
{
    char header[TP_BATCH_HEADER];
    tp_batch_put(header, &from->batch);
    troupe_slice bytes = {header, sizeof header};
    assert_int_equal(tp_session_feed(&self->session, bytes), TROUPE_OK);
    bytes = troupe_slice_of(from->frames, from->size);
    assert_int_equal(tp_session_feed(&self->session, bytes), TROUPE_OK);
}

/* What it says about the letter, after so many frames that were good. The scene is closed. */
static void assert_breaks_after(scene *self, const letter *from, unsigned good, const char *words)
{
    tp_session_frame frame;
    feed(self, from);
    uint64_t before = self->session.received;
    unsigned numbered = 0;
    for (unsigned i = 0; i < good; i++) {
        assert_int_equal(tp_session_next(&self->session, &frame), TP_SESSION_FRAME);
        numbered += frame.number != 0;
    }
    assert_int_equal(tp_session_next(&self->session, &frame), TP_SESSION_BROKEN);
    assert_int_equal(tp_session_next(&self->session, &frame), TP_SESSION_BROKEN);
    if (strstr(self->session.reason, words) == NULL)
        fail_msg("'%s' lacks '%s'", self->session.reason, words);
    troupe_slice bytes;
    assert_false(tp_session_take(&self->session, 1 << 30, &bytes));
    /* The session lives: the same link, connected anew, goes on where it was. */
    tp_session_lost(&self->session);
    assert_true(self->session.received >= before + numbered);
    assert_int_equal(tp_session_connected(&self->session, 0), TROUPE_OK);
    uint64_t next = self->session.received + 1;
    letter after = letter_of(next);
    if (self->session.parcels_in >= TP_SESSION_FIRST_WINDOW)
        (void)add(&after, TP_FRAME_FULL, 0, 8);
    else
        add_request(&after);
    feed(self, &after);
    assert_int_equal(tp_session_next(&self->session, &frame), TP_SESSION_FRAME);
    assert_true(frame.number == next);
    tp_session_deinit(&self->session);
    assert_int_equal(self->memory.bytes, 0);
}

static void assert_breaks(const letter *from, const char *words)
{
    scene self;
    open_scene(&self);
    assert_breaks_after(&self, from, 0, words);
}

static void a_header_that_lies_breaks_the_connection(void **state)
{
    (void)state;
    letter lie = letter_of(1);
    add_request(&lie);
    lie.batch.incarnation = 12;
    assert_breaks(&lie, "from incarnation 12");
    lie = letter_of(2);
    add_request(&lie);
    assert_breaks(&lie, "frames lack");
    lie = letter_of(1);
    add_request(&lie);
    lie.batch.received_to = 1;
    assert_breaks(&lie, "only 0 were sent");
    lie.batch.received_to = UINT64_MAX;
    assert_breaks(&lie, "only 0 were sent");
    lie = letter_of(1);
    assert_breaks(&lie, "numbers frames that cannot be");
    lie = letter_of(1);
    add_request(&lie);
    lie.batch.codec = 3;
    assert_breaks(&lie, "codec 3");
    lie.batch.codec = TP_CODEC_LZ4;
    assert_breaks(&lie, "were");
    lie.batch.raw += 100;
    assert_breaks(&lie, "cannot be decompressed");
    lie.batch.codec = TP_CODEC_ZSTD;
    assert_breaks(&lie, "cannot be decompressed");
    lie.batch.codec = TP_CODEC_NONE;
    assert_breaks(&lie, "codec 0");
    lie.batch.raw = lie.batch.size = TP_BATCH_RAW_MAX + 1;
    assert_breaks(&lie, "agreed on");
    lie.batch.size = 100;
    lie.batch.codec = TP_CODEC_LZ4;
    lie.batch.raw = UINT32_MAX;
    assert_breaks(&lie, "agreed on");
    lie = letter_of(1);
    add_request(&lie);
    lie.batch.count = 500;
    assert_breaks(&lie, "holds 500 frames");
    lie.batch.count = 0;
    lie.batch.first = 0;
    assert_breaks(&lie, "holds 0 frames");
}

static void zeroes_that_are_none_break_the_connection(void **state)
{
    (void)state;
    static const size_t zeroes[] = {9, 12, 13, 14, 15};
    for (size_t i = 0; i < sizeof zeroes / sizeof zeroes[0]; i++) {
        scene self;
        open_scene(&self);
        char header[TP_BATCH_HEADER];
        letter fine = letter_of(1);
        tp_batch_put(header, &fine.batch);
        header[zeroes[i]] = 1;
        assert_int_equal(
            tp_session_feed(&self.session, troupe_slice_of(header, sizeof header)), TROUPE_OK);
        tp_session_frame frame;
        assert_int_equal(tp_session_next(&self.session, &frame), TP_SESSION_BROKEN);
        assert_non_null(strstr(self.session.reason, "no header"));
        tp_session_deinit(&self.session);
    }
}

static void a_frame_that_lies_breaks_the_connection_and_those_before_it_count(void **state)
{
    (void)state;
    static const struct {
        unsigned kind, flags;
        size_t size;
        const char *words;
    } lies[] = {
        {99, 0, 4, "kind 99, which this version does not know"},
        {0, 0, 4, "kind 0"},
        {TP_FRAME_REPLY, 2, 20, "flags 0x2"},
        {TP_FRAME_PING, 0, 8, "PING frame with a number"},
        {TP_FRAME_NAME, 0, 4, "NAME frame"},
        {TP_FRAME_SETTLED, 0, 5, "SETTLED frame: it is not made of whole ranges"},
        {TP_FRAME_SETTLED, 0, 12, "SETTLED frame: it has a range"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        scene self;
        open_scene(&self);
        letter lie = letter_of(1);
        add_request(&lie);
        add_request(&lie);
        add(&lie, lies[i].kind, lies[i].flags, lies[i].size);
        add_request(&lie);
        assert_breaks_after(&self, &lie, 2, lies[i].words);
    }
}

static void counts_and_sizes_that_do_not_fit_break_the_connection(void **state)
{
    (void)state;
    scene self;
    letter lie = letter_of(1);
    add_request(&lie);
    add_request(&lie);
    lie.batch.count = 1;
    open_scene(&self);
    assert_breaks_after(&self, &lie, 1, "bytes too many");
    lie.batch.count = 3;
    open_scene(&self);
    assert_breaks_after(&self, &lie, 2, "lacks 1 of its frames");
    lie = letter_of(1);
    add(&lie, TP_FRAME_FULL, 0, 8);
    tp_put_number(lie.frames + 2, 9, 2);
    assert_breaks(&lie, "longer than its batch");
    tp_put_number(lie.frames, (uint64_t)(TP_FRAME_FULL | TP_FRAME_LONG << 8), 4);
    tp_put_number(lie.frames + 4, UINT32_MAX, 4);
    assert_breaks(&lie, "longer than its batch");
    tp_put_number(lie.frames + 2, 1, 2);
    assert_breaks(&lie, "longer than its batch");
    lie = letter_of(0);
    add_request(&lie);
    assert_breaks(&lie, "REQUEST frame without a number");
    lie = letter_of(0);
    add(&lie, TP_FRAME_REPLY, 0, 20);
    assert_breaks(&lie, "REPLY frame without a number");
}

static void unknown_kinds_that_may_be_skipped_are_and_count(void **state)
{
    (void)state;
    scene self;
    open_scene(&self);
    letter later = letter_of(1);
    add(&later, 99, TP_FRAME_SKIP, 30);
    add_request(&later);
    add(&later, 255, TP_FRAME_SKIP, 0);
    feed(&self, &later);
    tp_session_frame frame;
    assert_int_equal(tp_session_next(&self.session, &frame), TP_SESSION_FRAME);
    assert_true(frame.number == 2 && frame.kind == TP_FRAME_REQUEST && frame.parcel == 1);
    assert_int_equal(tp_session_next(&self.session, &frame), TP_SESSION_MORE);
    assert_true(self.session.received == 3);
    later = letter_of(0);
    add(&later, 99, TP_FRAME_SKIP, 30);
    feed(&self, &later);
    assert_int_equal(tp_session_next(&self.session, &frame), TP_SESSION_MORE);
    assert_true(self.session.received == 3);
    tp_session_deinit(&self.session);
}

static void add_name(letter *to, uint16_t number, const char *type, const char *method)
{
    tp_wire_name name = {number, troupe_str(type), troupe_str(method)};
    tp_wire_name_put(add(to, TP_FRAME_NAME, 0, tp_wire_name_size(&name)), &name);
}

static void names_out_of_turn_or_beyond_the_limit_break_the_connection(void **state)
{
    (void)state;
    letter lie = letter_of(1);
    add_name(&lie, 2, "type", "method");
    assert_breaks(&lie, "not the next one");
    lie = letter_of(1);
    add_name(&lie, 1, "type", "method");
    add_name(&lie, 1, "type", "method");
    assert_breaks(&lie, "not the next one");
    lie = letter_of(1);
    add_name(&lie, 1, "", "method");
    assert_breaks(&lie, "no name");
    lie = letter_of(1);
    add_name(&lie, 1, "type", "");
    add_name(&lie, 2, "type", "a");
    add_name(&lie, 3, "type", "b");
    assert_breaks(&lie, "more names than were agreed on");
}

static void a_request_beyond_its_credit_breaks_the_connection(void **state)
{
    (void)state;
    scene self;
    open_scene(&self);
    tp_session_frame frame;
    for (uint64_t i = 1; i <= TP_SESSION_FIRST_WINDOW; i++) {
        letter fine = letter_of(i);
        add_request(&fine);
        feed(&self, &fine);
        assert_int_equal(tp_session_next(&self.session, &frame), TP_SESSION_FRAME);
        assert_true(frame.parcel == i);
    }
    letter lie = letter_of(TP_SESSION_FIRST_WINDOW + 1);
    add_request(&lie);
    assert_breaks_after(&self, &lie, 0, "beyond the 256");
}

static void what_was_never_sent_cannot_be_settled(void **state)
{
    (void)state;
    letter lie = letter_of(1);
    tp_wire_range_put(add(&lie, TP_FRAME_SETTLED, 0, 12), (tp_wire_range){1, 1});
    assert_breaks(&lie, "never sent");
}

static void a_parcel_is_settled_once(void **state)
{
    (void)state;
    scene self;
    open_scene(&self);
    const tp_parcel parcel = {.name = 1, .key = troupe_str("key")};
    uint64_t number;
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            tp_session_put_parcel(&self.session, TP_FRAME_REQUEST, &parcel, &number), TROUPE_OK);
    letter lie = letter_of(1);
    char *body = add(&lie, TP_FRAME_SETTLED, 0, 2 * TP_WIRE_RANGE_BYTES);
    tp_wire_range_put(body, (tp_wire_range){1, 3});
    tp_wire_range_put(body + TP_WIRE_RANGE_BYTES, (tp_wire_range){2, 1});
    assert_breaks_after(&self, &lie, 0, "more than once");
}

/* The user finds that a body makes no sense: the frame was not received. */
static void a_frame_that_its_user_cannot_read_is_not_received(void **state)
{
    (void)state;
    scene self;
    open_scene(&self);
    letter lie = letter_of(1);
    add_request(&lie);
    add(&lie, TP_FRAME_REQUEST, 0, 5);
    feed(&self, &lie);
    tp_session_frame frame;
    tp_parcel parcel;
    assert_int_equal(tp_session_next(&self.session, &frame), TP_SESSION_FRAME);
    assert_null(tp_parcel_get(frame.body, &parcel));
    assert_int_equal(tp_session_next(&self.session, &frame), TP_SESSION_FRAME);
    const char *fault = tp_parcel_get(frame.body, &parcel);
    assert_non_null(fault);
    tp_session_break(&self.session, &frame, fault);
    assert_int_equal(tp_session_next(&self.session, &frame), TP_SESSION_BROKEN);
    assert_string_equal(self.session.reason, "a REQUEST frame: it is shorter than it says");
    assert_true(self.session.received == 1 && self.session.parcels_in == 1);
    tp_session_deinit(&self.session);
}

static void more_than_can_be_taken_is_refused_before_it_takes_memory(void **state)
{
    (void)state;
    scene self;
    open_scene(&self);
    static char noise[65536];
    troupe_status status = TROUPE_OK;
    unsigned fed = 0;
    while (fed < 10000 && status == TROUPE_OK) {
        status = tp_session_feed(&self.session, troupe_slice_of(noise, sizeof noise));
        fed++;
    }
    assert_int_equal(status, TROUPE_BUSY);
    assert_in_range(self.memory.bytes, 1 << 20, 4 << 20);
    tp_session_deinit(&self.session);
}

static void a_flood_of_pings_takes_no_more_than_its_bound(void **state)
{
    (void)state;
    scene self;
    open_scene(&self);
    tp_session_frame frame;
    for (unsigned i = 0; i < 2000; i++) {
        letter pings = letter_of(0);
        for (unsigned k = 0; k < 300; k++)
            add(&pings, TP_FRAME_PING, 0, 8);
        feed(&self, &pings);
        assert_int_equal(tp_session_next(&self.session, &frame), TP_SESSION_MORE);
    }
    assert_in_range(self.memory.bytes, 1, 2 << 20);
    tp_session_deinit(&self.session);
}

static void a_peer_that_speaks_of_another_session_is_refused(void **state)
{
    (void)state;
    scene self;
    open_scene(&self);
    tp_session_lost(&self.session);
    assert_int_equal(tp_session_connected(&self.session, 1), TROUPE_CORRUPT);
    assert_non_null(strstr(self.session.reason, "another one"));
    assert_int_equal(tp_session_connected(&self.session, 0), TROUPE_OK);
    char *body;
    assert_int_equal(tp_session_put(&self.session, TP_FRAME_FULL, 0, 8, &body, NULL), TROUPE_OK);
    tp_wire_mark_put(body, 1);
    troupe_slice bytes;
    assert_true(tp_session_take(&self.session, 0, &bytes));
    letter receipt = letter_of(0);
    receipt.batch.received_to = 1;
    feed(&self, &receipt);
    tp_session_frame frame;
    assert_int_equal(tp_session_next(&self.session, &frame), TP_SESSION_MORE);
    tp_session_written(&self.session);
    tp_session_lost(&self.session);
    /* A hello that was begun before that receipt: what is received stays received. */
    assert_int_equal(tp_session_connected(&self.session, 0), TROUPE_OK);
    assert_true(self.session.received_to == 1 && self.session.kept == 0);
    tp_session_deinit(&self.session);
}

/* Whatever one bit does: the session breaks, waits, or takes it; it never reads beyond. */
static void any_flipped_bit_is_survived(void **state)
{
    (void)state;
    letter good = letter_of(1);
    add_name(&good, 1, "type", "method");
    add_request(&good);
    tp_wire_reply reply = {.payload = troupe_str("answer")};
    tp_wire_reply_put(add(&good, TP_FRAME_REPLY, 0, tp_wire_reply_size(&reply)), &reply);
    add_request(&good);
    size_t size = TP_BATCH_HEADER + good.size;
    for (size_t bit = 0; bit < size * 8; bit++) {
        scene self;
        open_scene(&self);
        char *bytes = malloc(size);
        tp_batch_put(bytes, &good.batch);
        memcpy(bytes + TP_BATCH_HEADER, good.frames, good.size);
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
        assert_int_equal(tp_session_feed(&self.session, troupe_slice_of(bytes, size)), TROUPE_OK);
        free(bytes);
        tp_session_frame frame;
        tp_session_event event;
        unsigned frames = 0;
        while ((event = tp_session_next(&self.session, &frame)) == TP_SESSION_FRAME) {
            tp_parcel parcel;
            if (frame.parcel != 0)
                (void)!tp_parcel_get(frame.body, &parcel);
            frames++;
        }
        assert_true(frames <= 4);
        if (event == TP_SESSION_BROKEN)
            assert_true(self.session.reason[0] != 0);
        tp_session_deinit(&self.session);
        assert_int_equal(self.memory.bytes, 0);
    }
}

static void noise_is_survived(void **state)
{
    (void)state;
    tp_prng prng;
    tp_prng_seed(&prng, 8);
    unsigned broken = 0;
    for (unsigned i = 0; i < 20000; i++) {
        scene self;
        open_scene(&self);
        letter noise = letter_of(tp_prng_next(&prng) % 2);
        for (unsigned k = (unsigned)(tp_prng_next(&prng) % 5); k > 0; k--) {
            size_t size = tp_prng_next(&prng) % 40;
            char *body = add(&noise, (unsigned)(tp_prng_next(&prng) % 20),
                (unsigned)(tp_prng_next(&prng) % 2), size);
            for (size_t n = 0; n < size; n++)
                body[n] = (char)(tp_prng_next(&prng) >> (tp_prng_next(&prng) % 60));
        }
        feed(&self, &noise);
        tp_session_frame frame;
        tp_session_event event;
        while ((event = tp_session_next(&self.session, &frame)) == TP_SESSION_FRAME)
            ;
        broken += event == TP_SESSION_BROKEN;
        tp_session_deinit(&self.session);
        assert_int_equal(self.memory.bytes, 0);
    }
    assert_in_range(broken, 1000, 19999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_that_lies_breaks_the_connection),
        cmocka_unit_test(zeroes_that_are_none_break_the_connection),
        cmocka_unit_test(a_frame_that_lies_breaks_the_connection_and_those_before_it_count),
        cmocka_unit_test(counts_and_sizes_that_do_not_fit_break_the_connection),
        cmocka_unit_test(unknown_kinds_that_may_be_skipped_are_and_count),
        cmocka_unit_test(names_out_of_turn_or_beyond_the_limit_break_the_connection),
        cmocka_unit_test(a_request_beyond_its_credit_breaks_the_connection),
        cmocka_unit_test(what_was_never_sent_cannot_be_settled),
        cmocka_unit_test(a_parcel_is_settled_once),
        cmocka_unit_test(a_frame_that_its_user_cannot_read_is_not_received),
        cmocka_unit_test(more_than_can_be_taken_is_refused_before_it_takes_memory),
        cmocka_unit_test(a_flood_of_pings_takes_no_more_than_its_bound),
        cmocka_unit_test(a_peer_that_speaks_of_another_session_is_refused),
        cmocka_unit_test(any_flipped_bit_is_survived),
        cmocka_unit_test(noise_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
