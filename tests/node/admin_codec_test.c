/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin protocol as bytes: what is a request, what is refused and with which words, and that an
 * answer is one line of JSON whatever an actor said. The socket itself is tested by tests/e2e.
 * Invariants: none of its own. Threads: one.
 */
#include "shared/admin_codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- lines ---- */

static void feed(admin_lines *lines, const char *data, size_t size)
{
    char *room = admin_lines_room(lines, size);
    assert_non_null(room);
    memcpy(room, data, size);
    admin_lines_add(lines, size);
}

static void expect_line(admin_lines *lines, bool is_end, const char *expected)
{
    troupe_slice line = {0};
    assert_int_equal(admin_lines_take(lines, is_end, &line), ADMIN_LINE_TAKEN);
    assert_int_equal(line.size, strlen(expected));
    assert_memory_equal(line.data, expected, line.size);
}

static void expect_none(admin_lines *lines, bool is_end)
{
    troupe_slice line = {0};
    assert_int_equal(admin_lines_take(lines, is_end, &line), ADMIN_LINE_NONE);
}

static void lines_are_the_same_however_the_stream_is_cut(void **state)
{
    static const char stream[] = "one\n\ntwo\r\n\r\nthree and more\nfour";
    (void)state;
    for (size_t step = 1; step <= sizeof(stream); step++) {
        admin_lines lines = {0};
        char seen[64] = "";
        troupe_slice line = {0};
        for (size_t at = 0; at < sizeof(stream) - 1; at += step) {
            size_t left = sizeof(stream) - 1 - at;
            feed(&lines, stream + at, left < step ? left : step);
            while (admin_lines_take(&lines, false, &line) == ADMIN_LINE_TAKEN) {
                strncat(seen, line.data, line.size);
                strcat(seen, "|");
            }
        }
        assert_string_equal(seen, "one|two|three and more|");
        expect_line(&lines, true, "four");
        expect_none(&lines, true);
        admin_lines_deinit(&lines);
    }
}

static void pipelined_lines_come_in_order(void **state)
{
    admin_lines lines = {0};
    char text[16];
    (void)state;
    for (int i = 0; i < 1000; i++) {
        int size = snprintf(text, sizeof(text), "%d\n", i);
        feed(&lines, text, (size_t)size);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof(text), "%d", i);
        expect_line(&lines, false, text);
    }
    expect_none(&lines, false);
    admin_lines_deinit(&lines);
}

/* Feeds `size` bytes without a newline and counts what comes out meanwhile. */
static int feed_blank(admin_lines *lines, size_t size)
{
    static char block[ADMIN_READ_SIZE];
    int too_long = 0;
    troupe_slice line = {0};
    memset(block, 'x', sizeof(block));
    while (size > 0) {
        size_t step = size < sizeof(block) ? size : sizeof(block);
        feed(lines, block, step);
        admin_line kind = admin_lines_take(lines, false, &line);
        assert_true(kind != ADMIN_LINE_TAKEN);
        if (kind == ADMIN_LINE_TOO_LONG) too_long++;
        assert_true(lines->capacity <= ADMIN_LINE_MAX + ADMIN_READ_SIZE);
        size -= step;
    }
    return too_long;
}

static void a_line_of_the_longest_size_is_taken_and_one_more_byte_is_refused_once(void **state)
{
    admin_lines lines = {0};
    troupe_slice line = {0};
    (void)state;
    assert_int_equal(feed_blank(&lines, ADMIN_LINE_MAX), 0);
    feed(&lines, "\n", 1);
    assert_int_equal(admin_lines_take(&lines, false, &line), ADMIN_LINE_TAKEN);
    assert_int_equal(line.size, ADMIN_LINE_MAX);

    assert_int_equal(feed_blank(&lines, 3 * ADMIN_LINE_MAX), 1);
    feed(&lines, "\nnext\n", 6);
    expect_line(&lines, false, "next");
    assert_true(lines.capacity <= ADMIN_LINE_MAX + ADMIN_READ_SIZE);
    /* The large buffer is given back. */
    feed(&lines, "a\n", 2);
    assert_true(lines.capacity <= 4 * ADMIN_READ_SIZE);
    expect_line(&lines, false, "a");
    admin_lines_deinit(&lines);
}

/* ---- requests ---- */

static troupe_status parse(admin_request *request, const char *text)
{
    return admin_request_parse(request, troupe_str(text));
}

static void expect_slice(troupe_slice slice, const char *expected)
{
    assert_int_equal(slice.size, strlen(expected));
    if (slice.size > 0) assert_memory_equal(slice.data, expected, slice.size);
}

static void an_ask_is_read_with_all_its_members(void **state)
{
    admin_request request;
    (void)state;
    assert_int_equal(parse(&request, "{\"id\":7,\"do\":\"ask\",\"actor\":\"account@eu/alice\","
                                     "\"method\":\"deposit\",\"payload\":{\"cents\": 500},"
                                     "\"timeout_ms\":250}"), TROUPE_OK);
    assert_string_equal(request.id, "7");
    assert_int_equal(request.verb, ADMIN_VERB_ASK);
    expect_slice(request.actor.type, "account");
    expect_slice(request.actor.partition, "eu");
    expect_slice(request.actor.key, "alice");
    assert_string_equal(request.method, "deposit");
    assert_string_equal(request.content_type, TROUPE_JSON);
    expect_slice(request.payload, "{\"cents\":500}");
    assert_int_equal(request.timeout, TROUPE_MILLISECONDS(250));
    admin_request_deinit(&request);
}

static void each_form_of_payload_has_its_content_type_and_one_may_be_given(void **state)
{
    static const struct {
        const char *members, *payload, *content_type;
    } cases[] = {
        {"", "", NULL},
        {",\"payload\":null", "null", TROUPE_JSON},
        {",\"payload\":\"a\\u0000\"", "\"a\\u0000\"", TROUPE_JSON},
        {",\"payload_text\":\"na\\u00efve\"", "na\xc3\xafve", TROUPE_TEXT},
        {",\"payload_text\":\"{ }\",\"content_type\":\"application/json\"", "{ }", TROUPE_JSON},
        {",\"payload_base64\":\"/wA=\"", NULL, NULL},
        {",\"payload_base64\":\"\",\"content_type\":\"image/png\"", "", "image/png"},
    };
    char line[256];
    admin_request request;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(line, sizeof(line), "{\"do\":\"tell\",\"actor\":\"a/b\",\"method\":\"m\"%s}",
                 cases[i].members);
        assert_int_equal(parse(&request, line), TROUPE_OK);
        assert_string_equal(request.id, "null");
        if (cases[i].payload != NULL) {
            expect_slice(request.payload, cases[i].payload);
        } else {
            assert_int_equal(request.payload.size, 2);
            assert_memory_equal(request.payload.data, "\xff\0", 2);
        }
        if (cases[i].content_type == NULL) assert_null(request.content_type);
        else assert_string_equal(request.content_type, cases[i].content_type);
        admin_request_deinit(&request);
    }
}

static void a_key_of_any_bytes_can_be_named(void **state)
{
    admin_request request;
    (void)state;
    /* "a/" ff 00 */
    assert_int_equal(parse(&request, "{\"do\":\"lookup\",\"actor_base64\":\"YS//AA==\"}"),
                     TROUPE_OK);
    assert_int_equal(request.actor.key.size, 2);
    assert_memory_equal(request.actor.key.data, "\xff\0", 2);
    admin_request_deinit(&request);
}

static void a_key_of_a_call_once_may_be_any_bytes(void **state)
{
    admin_request request;
    const admin_call call = {.method = "m", .once = {"\xff\0", 2}};
    cmd_bytes line = {0};
    (void)state;
    cmd_bytes_text(&line, "{\"do\":\"ask\",\"actor\":\"a/b\"");
    admin_write_call(&line, &call);
    cmd_bytes_add(&line, "}", 2);
    assert_false(line.failed);
    assert_int_equal(parse(&request, line.data), TROUPE_OK);
    assert_int_equal(request.once.size, 2);
    assert_memory_equal(request.once.data, "\xff\0", 2);
    admin_request_deinit(&request);
    cmd_bytes_deinit(&line);
}

static void a_bad_request_is_refused_with_the_reason_and_its_id(void **state)
{
    static const struct {
        const char *line, *id, *words;
    } cases[] = {
        {"", "null", "no JSON object"},
        {"garbage", "null", "no JSON object"},
        {"{\"id\":1,\"do\":\"ping\"", "null", "no JSON object"},
        {"{\"id\":1,\"do\":\"ping\"} {}", "null", "no JSON object"},
        {"[1]", "null", "no object"},
        {"\"ping\"", "null", "no "},
        {"{\"id\":1,\"id\":2,\"do\":\"ping\"}", "null", "duplicate"},
        {"{\"id\":1.5,\"do\":\"ping\"}", "null", "\"id\""},
        {"{\"id\":{},\"do\":\"ping\"}", "null", "\"id\""},
        {"{\"id\":99999999999999999999,\"do\":\"ping\"}", "null", "too big"},
        {"{\"id\":4}", "4", "\"do\" is missing"},
        {"{\"id\":4,\"do\":7}", "4", "\"do\" is missing"},
        {"{\"id\":4,\"do\":\"pnig\"}", "4", "did you mean \"ping\"?"},
        {"{\"id\":4,\"do\":\"ping\\u0000\"}", "4", "does not know"},
        {"{\"id\":\"x\\\"y\",\"do\":\"dance\"}", "\"x\\\"y\"", "does not know \"dance\""},
        {"{\"id\":4,\"do\":\"ping\",\"limit\":1}", "4", "\"ping\" takes no \"limit\""},
        {"{\"id\":4,\"do\":\"ask\",\"metod\":\"m\"}", "4", "did you mean \"method\"?"},
        {"{\"id\":4,\"do\":\"ask\"}", "4", "\"actor\" is missing"},
        {"{\"id\":4,\"do\":\"ask\",\"actor\":[]}", "4", "\"actor\" is to be a string"},
        {"{\"id\":4,\"do\":\"ask\",\"actor\":\"alice\"}", "4", "\"actor\" is no id"},
        {"{\"id\":4,\"do\":\"ask\",\"actor\":\"a/b\",\"actor_base64\":\"\"}", "4", "exclude"},
        {"{\"id\":4,\"do\":\"ask\",\"actor_base64\":\"YS9\"}", "4", "no base64"},
        {"{\"id\":4,\"do\":\"ask\",\"actor\":\"a/b\",\"method\":\"m\",\"once\":\"k\","
         "\"once_base64\":\"aw==\"}", "4", "exclude"},
        {"{\"id\":4,\"do\":\"ask\",\"actor\":\"a/b\",\"method\":\"m\",\"once_base64\":\"\"}",
         "4", "1 to 64 bytes"},
        {"{\"id\":4,\"do\":\"ask\",\"actor\":\"a/b\"}", "4", "\"method\" is missing"},
        {"{\"id\":4,\"do\":\"ask\",\"actor\":\"a/b\",\"method\":\"\"}", "4", "\"method\""},
        {"{\"id\":4,\"do\":\"ask\",\"actor\":\"a/b\",\"method\":\"a\\u0000b\"}", "4", "of them 0"},
        {"{\"id\":4,\"do\":\"ask\",\"actor\":\"a/b\",\"method\":\"m\",\"payload\":1,"
         "\"payload_text\":\"\"}", "4", "only one of"},
        {"{\"id\":4,\"do\":\"ask\",\"actor\":\"a/b\",\"method\":\"m\",\"payload_text\":{}}", "4",
         "\"payload_text\" is to be a string"},
        {"{\"id\":4,\"do\":\"ask\",\"actor\":\"a/b\",\"method\":\"m\",\"timeout_ms\":0}", "4",
         "\"timeout_ms\""},
        {"{\"id\":4,\"do\":\"ask\",\"actor\":\"a/b\",\"method\":\"m\",\"timeout_ms\":1.5}", "4",
         "\"timeout_ms\""},
        {"{\"id\":4,\"do\":\"actors\",\"limit\":10001}", "4", "\"limit\""},
        {"{\"id\":4,\"do\":\"actors\",\"limit\":\"1\"}", "4", "\"limit\""},
        {"{\"id\":4,\"do\":\"shutdown\",\"drain\":1}", "4", "\"drain\""},
        {"{\"id\":4,\"do\":\"store\",\"check\":1}", "4", "\"check\""},
        {"{\"id\":4,\"do\":\"rebalance\",\"dry_run\":1}", "4", "\"dry_run\""},
        {"{\"id\":4,\"do\":\"ask\",\"actor\":\"a/b\",\"method\":\"m\",\"once\":\"\"}", "4",
         "1 to 64 bytes"},
        {"{\"id\":4,\"do\":\"tell\",\"actor\":\"a/b\",\"method\":\"m\",\"once\":\"k\"}", "4",
         "\"tell\" takes no \"once\""},
        {"{\"id\":4,\"do\":\"restore\",\"actor\":\"a/b\"}", "4", "\"version\""},
        {"{\"id\":4,\"do\":\"snapshot\",\"actor\":\"a/b\",\"version\":0}", "4", "\"version\""},
        {"{\"id\":4,\"do\":\"replay\",\"actor\":\"a/b\"}", "4", "\"number\" is missing"},
        {"{\"id\":4,\"do\":\"delete\"}", "4", "\"actor\" is missing"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        admin_request request;
        assert_int_equal(parse(&request, cases[i].line), TROUPE_USAGE);
        assert_string_equal(request.id, cases[i].id);
        if (strstr(request.error, cases[i].words) == NULL) {
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].line, request.error,
                     cases[i].words);
        }
        admin_request_deinit(&request);
    }
}

static void every_true_beginning_of_a_request_is_refused(void **state)
{
    static const char line[] = "{\"id\":\"a\",\"do\":\"ask\",\"actor\":\"a/b\",\"method\":\"m\","
                               "\"payload\":{\"a\":[1,2,\"x\"]},\"timeout_ms\":10}";
    admin_request request;
    (void)state;
    for (size_t size = 0; size < sizeof(line) - 1; size++) {
        assert_int_equal(admin_request_parse(&request, troupe_slice_of(line, size)), TROUPE_USAGE);
        admin_request_deinit(&request);
    }
    assert_int_equal(admin_request_parse(&request, troupe_str(line)), TROUPE_OK);
    admin_request_deinit(&request);
    /* A 0 anywhere does not end the line early. */
    for (size_t at = 0; at < sizeof(line) - 1; at++) {
        char broken[sizeof(line)];
        memcpy(broken, line, sizeof(line));
        broken[at] = 0;
        assert_int_equal(admin_request_parse(&request, troupe_slice_of(broken, sizeof(line) - 1)),
                         TROUPE_USAGE);
        admin_request_deinit(&request);
    }
}

static void deep_nesting_is_refused_and_costs_no_stack(void **state)
{
    size_t depth = 1000000;
    char *line = malloc(depth + 64);
    admin_request request;
    (void)state;
    assert_non_null(line);
    size_t size = (size_t)sprintf(line, "{\"do\":\"ask\",\"payload\":");
    memset(line + size, '[', depth);
    assert_int_equal(admin_request_parse(&request, troupe_slice_of(line, size + depth)),
                     TROUPE_USAGE);
    assert_non_null(strstr(request.error, "depth"));
    admin_request_deinit(&request);
    free(line);
}

/* ---- answers ---- */

static json_t *read_answer(const cmd_bytes *out)
{
    assert_false(out->failed);
    assert_int_equal(out->data[out->size - 1], '\n');
    assert_ptr_equal(memchr(out->data, '\n', out->size), out->data + out->size - 1);
    json_error_t error;
    json_t *root = json_loadb(out->data, out->size, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES,
                              &error);
    if (root == NULL) fail_msg("%s: %.*s", error.text, (int)out->size, out->data);
    assert_true(json_is_object(root));
    return root;
}

static json_t *answer_with(const char *content_type, const void *data, size_t size)
{
    cmd_bytes out = {0};
    troupe_answer answer = TROUPE_ANSWER_INIT;
    answer.content_type = troupe_str(content_type);
    answer.payload = troupe_slice_of(data, size);
    admin_write_answer(&out, "3", &answer);
    json_t *root = read_answer(&out);
    assert_true(json_is_true(json_object_get(root, "ok")));
    assert_int_equal(json_integer_value(json_object_get(root, "id")), 3);
    cmd_bytes_deinit(&out);
    return root;
}

static void json_of_an_actor_stands_in_the_answer_as_it_is(void **state)
{
    static const char payload[] = "{\n  \"balance\": 0.10,\r\n  \"note\": \"a\\nb\"\n}";
    (void)state;
    json_t *root = answer_with(TROUPE_JSON, payload, sizeof(payload) - 1);
    json_t *inside = json_object_get(root, "payload");
    assert_string_equal(json_string_value(json_object_get(inside, "note")), "a\nb");
    json_decref(root);
}

static void what_only_claims_to_be_json_cannot_break_out_of_its_place(void **state)
{
    static const char *const payloads[] = {
        "1,\"ok\":false", "1}", "{", "1],[2", "1,2", "[1]]", "\"a\nb\"", "", "  ",
        "1,\"content_type\":\"x\"", "99999999999999999999", "{\"a\":1,}", "nul",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        json_t *root = answer_with(TROUPE_JSON, payloads[i], strlen(payloads[i]));
        assert_null(json_object_get(root, "payload"));
        assert_string_equal(json_string_value(json_object_get(root, "payload_text")), payloads[i]);
        json_decref(root);
    }
}

static void nesting_that_a_reader_would_refuse_goes_as_text(void **state)
{
    char payload[2 * 3000];
    (void)state;
    for (size_t depth = 2040; depth <= 2060; depth++) {
        memset(payload, '[', depth);
        memset(payload + depth, ']', depth);
        json_decref(answer_with(TROUPE_JSON, payload, 2 * depth));
    }
}

static void any_bytes_come_back_as_they_were(void **state)
{
    unsigned char data[300];
    (void)state;
    for (size_t size = 0; size <= sizeof(data); size++) {
        for (size_t i = 0; i < size; i++) data[i] = (unsigned char)(i * 37 + size);
        json_t *root = answer_with(TROUPE_BYTES, data, size);
        json_t *text = json_object_get(root, "payload_text");
        json_t *base64 = json_object_get(root, "payload_base64");
        assert_true((text == NULL) != (base64 == NULL));
        if (text != NULL) {
            assert_int_equal(json_string_length(text), size);
            assert_memory_equal(json_string_value(text), data, size);
        } else {
            char back[sizeof(data) + 3];
            size_t length = 0;
            assert_true(cmd_base64_decode(troupe_str(json_string_value(base64)), back, &length));
            assert_int_equal(length, size);
            assert_memory_equal(back, data, size);
        }
        json_decref(root);
    }
}

static void an_error_says_status_kind_outcome_and_words(void **state)
{
    cmd_bytes out = {0};
    troupe_answer answer = TROUPE_ANSWER_INIT;
    (void)state;
    answer.status = TROUPE_TIMEOUT;
    answer.outcome = TROUPE_UNKNOWN_OUTCOME;
    answer.message = troupe_slice_of("bad \xff bytes\n", 12);
    admin_write_answer(&out, "\"q\"", &answer);
    json_t *root = read_answer(&out);
    assert_true(json_is_false(json_object_get(root, "ok")));
    assert_string_equal(json_string_value(json_object_get(root, "id")), "q");
    assert_string_equal(json_string_value(json_object_get(root, "status")), "TIMEOUT");
    assert_string_equal(json_string_value(json_object_get(root, "kind")), "TIMEOUT");
    assert_string_equal(json_string_value(json_object_get(root, "outcome")), "UNKNOWN");
    assert_int_equal(json_integer_value(json_object_get(root, "code")), 2);
    assert_string_equal(json_string_value(json_object_get(root, "message")),
                        "bad \xef\xbf\xbd bytes\n");
    json_decref(root);
    cmd_bytes_deinit(&out);
}

static void inspection_answers_are_json_and_ids_that_are_no_text_are_base64(void **state)
{
    cmd_bytes out = {0};
    troupe_actor_info info = {.phase = "active", .age = UINT64_MAX};
    troupe_stats stats = {.size = sizeof(stats), .turns = 12, .cache_hits = 3,
                          .cache_misses = 1, .turn_rate = 2.5};
    (void)state;
    info.id = (troupe_id){troupe_str("a"), {0, 0}, troupe_slice_of("\xff\"", 2)};
    admin_write_begin(&out, "1");
    cmd_bytes_text(&out, ",\"actors\":[");
    admin_write_actor(&out, true, "node-1", &info);
    admin_write_actor(&out, false, "node-1", &info);
    cmd_bytes_text(&out, "]");
    admin_write_stats(&out, &stats);
    admin_write_end(&out);
    json_t *root = read_answer(&out);
    json_t *actor = json_array_get(json_object_get(root, "actors"), 1);
    assert_string_equal(json_string_value(json_object_get(actor, "actor_base64")), "YS//Ig==");
    assert_true(json_is_null(json_object_get(actor, "age_ns")));
    json_t *counters = json_object_get(root, "counters");
    assert_int_equal(json_integer_value(json_object_get(counters, "turns")), 12);
    const json_t *rates = json_object_get(root, "rates");
    assert_true(json_real_value(json_object_get(rates, "turns")) == 2.5);
    assert_true(json_real_value(json_object_get(rates, "cache_hits")) == 0.75);
    json_decref(root);
    cmd_bytes_deinit(&out);
}

static void base64_that_is_not_exact_is_refused(void **state)
{
    static const char *const bad[] = {"A", "AA", "AAA", "AA=A", "A===", "====", "AB==", "AAB=",
                                      "AA==AA==", "A A=", "AAA\n", "AA-_"};
    char out[16];
    size_t size = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (cmd_base64_decode(troupe_str(bad[i]), out, &size)) fail_msg("%s is taken", bad[i]);
    }
}

static void a_terminal_sees_no_control_bytes_of_an_actor(void **state)
{
    cmd_bytes out = {0};
    (void)state;
    cmd_bytes_visible(&out, troupe_slice_of("a\x1b[2J\xff\xc2\x9b\xc3\xa4\0", 11));
    cmd_bytes_add(&out, "", 1);
    assert_string_equal(out.data, "a\\x1b[2J\\xff\\xc2\\x9b\xc3\xa4\\x00");
    cmd_bytes_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_the_same_however_the_stream_is_cut),
        cmocka_unit_test(pipelined_lines_come_in_order),
        cmocka_unit_test(a_line_of_the_longest_size_is_taken_and_one_more_byte_is_refused_once),
        cmocka_unit_test(an_ask_is_read_with_all_its_members),
        cmocka_unit_test(each_form_of_payload_has_its_content_type_and_one_may_be_given),
        cmocka_unit_test(a_key_of_any_bytes_can_be_named),
        cmocka_unit_test(a_key_of_a_call_once_may_be_any_bytes),
        cmocka_unit_test(a_bad_request_is_refused_with_the_reason_and_its_id),
        cmocka_unit_test(every_true_beginning_of_a_request_is_refused),
        cmocka_unit_test(deep_nesting_is_refused_and_costs_no_stack),
        cmocka_unit_test(json_of_an_actor_stands_in_the_answer_as_it_is),
        cmocka_unit_test(what_only_claims_to_be_json_cannot_break_out_of_its_place),
        cmocka_unit_test(nesting_that_a_reader_would_refuse_goes_as_text),
        cmocka_unit_test(any_bytes_come_back_as_they_were),
        cmocka_unit_test(an_error_says_status_kind_outcome_and_words),
        cmocka_unit_test(inspection_answers_are_json_and_ids_that_are_no_text_are_base64),
        cmocka_unit_test(base64_that_is_not_exact_is_refused),
        cmocka_unit_test(a_terminal_sees_no_control_bytes_of_an_actor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
