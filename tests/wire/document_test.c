/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes in docs/wire.md are those that the code writes, and the code reads them. Each box there
 * has a name; on a mismatch the right bytes are printed.
 */
#include "tests/wire/boxes.h"
#include "wire/hello.h"
#include "wire/session.h"

#include "base/alloc.h"

static tp_hello_options options_of(bool client)
{
    return (tp_hello_options){
        .self = {.incarnation = client ? 7 : 9,
            .view = 12,
            .features = TP_FEATURE_LZ4 | TP_FEATURE_ZSTD,
            .received = client ? 100 : 0,
            .max_frame = 16 << 20,
            .shard = client ? 1 : 3,
            .shards = 4,
            .node = troupe_str(client ? "alpha" : "beta"),
            .address = troupe_str(client ? "10.0.0.1:7100" : "10.0.0.2:7100")},
        .preamble = {.shard = 3},
        .cluster = troupe_str("shop"),
        .token = troupe_str("secret"),
        .peer = client ? 9 : 0,
        .nonce = client ? "sixteen of alpha" : "sixteen of beta!"};
}

static tp_hello_event feed_all(tp_hello *hello, troupe_slice bytes)
{
    size_t used;
    tp_hello_event event = tp_hello_feed(hello, bytes.data, bytes.size, &used);
    assert_int_equal(used, bytes.size);
    return event;
}

static void the_hello_is_as_the_document_says(void **state)
{
    (void)state;
    tp_hello client, server;
    tp_hello_options of_client = options_of(true), of_server = options_of(false);
    tp_hello_init_client(&client, &of_client);
    tp_hello_init_server(&server, &of_server);
    troupe_slice bytes, rest;
    assert_true(tp_hello_take(&client, &bytes));
    rest = troupe_slice_of(
        (const char *)bytes.data + TP_PREAMBLE_BYTES, bytes.size - TP_PREAMBLE_BYTES);
    assert_box("preamble", troupe_slice_of(bytes.data, TP_PREAMBLE_BYTES));
    assert_box("open", rest);
    assert_int_equal(feed_all(&server, rest), TP_HELLO_MORE);
    assert_true(tp_hello_take(&server, &bytes));
    assert_box("challenge", bytes);
    assert_int_equal(feed_all(&client, bytes), TP_HELLO_MORE);
    assert_true(tp_hello_take(&client, &bytes));
    assert_box("hello", bytes);
    assert_int_equal(feed_all(&server, bytes), TP_HELLO_JUDGE);
    assert_int_equal(tp_hello_refuse(&server, TROUPE_NOT_FOUND, "you are no member of view 12"),
        TP_HELLO_REFUSED);
    assert_true(tp_hello_take(&server, &bytes));
    assert_box("refused", bytes);
}

static tp_session_event feed_box(tp_session *session, const char *name, tp_session_frame *ret_frame)
{
    unsigned char bytes[2048];
    size_t size = read_box(name, bytes, sizeof bytes);
    assert_int_equal(tp_session_feed(session, troupe_slice_of(bytes, size)), TROUPE_OK);
    return tp_session_next(session, ret_frame);
}

static void a_request_and_its_reply_are_as_the_document_says(void **state)
{
    (void)state;
    tp_session asker, host;
    tp_session_options options = {
        .allocator = tp_allocator_system(), .incarnation = 7, .peer = 9, .view = 12};
    tp_session_init(&asker, &options);
    options.incarnation = 9;
    options.peer = 7;
    tp_session_init(&host, &options);
    assert_int_equal(tp_session_connected(&asker, 0), TROUPE_OK);
    assert_int_equal(tp_session_connected(&host, 0), TROUPE_OK);

    tp_parcel put = {.hash = UINT64_C(0x8899aabbccddeeff),
        .key = troupe_str("17"),
        .payload = troupe_str("+17")};
    put.name = tp_session_name(&asker, 1, troupe_str("counter"), troupe_str("add"));
    uint64_t number;
    assert_int_equal(tp_session_put_parcel(&asker, TP_FRAME_REQUEST, &put, &number), TROUPE_OK);
    troupe_slice bytes;
    assert_true(tp_session_take(&asker, 0, &bytes));
    assert_box("request", bytes);
    tp_session_frame frame;
    assert_int_equal(feed_box(&host, "request", &frame), TP_SESSION_FRAME);
    tp_parcel got;
    assert_null(tp_parcel_get(frame.body, &got));
    const tp_learned_name *name = tp_session_find_name(&host, got.name);
    assert_true(name != NULL && troupe_slice_equal(name->method, troupe_str("add")));
    assert_int_equal(tp_session_settle(&host, frame.parcel), TROUPE_OK);

    tp_wire_reply reply = {
        .slot = 5, .generation = 6, .shard = 1, .content = 1, .payload = troupe_str("20")};
    assert_int_equal(tp_session_put_reply(&host, &reply), TROUPE_OK);
    assert_true(tp_session_take(&host, 0, &bytes));
    assert_box("reply", bytes);
    assert_int_equal(feed_box(&asker, "reply", &frame), TP_SESSION_FRAME);
    assert_int_equal(frame.kind, TP_FRAME_REPLY);
    assert_int_equal(tp_session_next(&asker, &frame), TP_SESSION_FRAME);
    assert_int_equal(frame.kind, TP_FRAME_SETTLED);
    tp_session_written(&asker);
    tp_session_written(&host);
    assert_true(asker.received_to == 2 && asker.kept == 0);
    tp_session_deinit(&asker);
    tp_session_deinit(&host);
}

/* Every part, so that no bit's place or layout changes unseen. */
static void a_parcel_with_all_parts_is_as_the_document_says(void **state)
{
    (void)state;
    const tp_parcel put = {.bits = UINT16_MAX,
        .hops = 3,
        .content = 255,
        .hash = UINT64_C(0x8899aabbccddeeff),
        .key = troupe_str("17"),
        .payload = troupe_str("+17"),
        .order = 20,
        .origin = 7,
        .trail = {"\x08\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0", 16},
        .type = troupe_str("counter"),
        .method = troupe_str("add"),
        .partition = troupe_str("eu"),
        .from = {.slot = 5, .generation = 6, .shard = 1, .incarnation = 10},
        .chain = 30,
        .remaining = 40,
        .caller_type = troupe_str("till"),
        .caller_partition = troupe_str("us"),
        .caller_key = troupe_str("a"),
        .grant = 50,
        .home = 11,
        .content_type = troupe_str("x/y"),
        .slip = troupe_str("slip")};
    char bytes[512];
    size_t size = tp_parcel_size(&put);
    assert_true(size <= sizeof bytes);
    tp_parcel_put(bytes, &put);
    assert_box("parcel", troupe_slice_of(bytes, size));
    unsigned char boxed[512];
    tp_parcel got;
    assert_null(tp_parcel_get(
        troupe_slice_of(boxed, read_box("parcel", boxed, sizeof boxed)), &got));
    assert_true(got.bits == UINT16_MAX && got.origin == 7 && got.trail.size == 16);
}

static void the_small_bodies_are_as_the_document_says(void **state)
{
    (void)state;
    const tp_wire_load load = {.cpu = 250,
        .memory = 1,
        .memory_limit = 2,
        .actors = 3,
        .queued = 4,
        .turn_ns = 5,
        .turns = 6};
    const tp_wire_name name = {1, troupe_str("counter"), troupe_str("add")};
    const tp_wire_word word = {254, {"body", 4}};
    char bytes[256], *at = bytes;
    tp_wire_mark_put(at, UINT64_C(0x8899aabbccddeeff));
    tp_wire_range_put(at += TP_WIRE_MARK_BYTES, (tp_wire_range){1, 2});
    tp_wire_name_put(at += TP_WIRE_RANGE_BYTES, &name);
    tp_wire_word_put(at += tp_wire_name_size(&name), &word);
    tp_wire_load_put(at += tp_wire_word_size(&word), &load);
    tp_wire_stamp_put(at += TP_WIRE_LOAD_BYTES, 7);
    at += TP_WIRE_STAMP_BYTES;
    assert_box("small", troupe_slice_of(bytes, (size_t)(at - bytes)));
}

/* What the tables promise in numbers. */
static void the_limits_are_as_the_document_says(void **state)
{
    (void)state;
    assert_int_equal(TP_BATCH_HEADER, 56);
    assert_int_equal(TP_BATCH_RAW_MAX, 262144);
    assert_int_equal(TP_SESSION_FIRST_WINDOW, 256);
    assert_int_equal(TP_HELLO_BODY_MAX, 1024);
    assert_int_equal(TP_WIRE_LOAD_BYTES, 56);
    assert_int_equal(TP_PARCEL_HEAD, 16);
    assert_int_equal(TP_REPLY_HEAD, 20);
    tp_session session;
    tp_session_options options = {.allocator = tp_allocator_system()};
    tp_session_init(&session, &options);
    assert_int_equal(session.options.window, 16384);
    assert_int_equal(session.options.names, 16384);
    assert_true(session.options.kept_limit == 16 << 20);
    tp_session_deinit(&session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hello_is_as_the_document_says),
        cmocka_unit_test(a_request_and_its_reply_are_as_the_document_says),
        cmocka_unit_test(a_parcel_with_all_parts_is_as_the_document_says),
        cmocka_unit_test(the_small_bodies_are_as_the_document_says),
        cmocka_unit_test(the_limits_are_as_the_document_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
