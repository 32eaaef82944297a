/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What callers over HTTP are told: the code of every status, and the JSON of errors, which stays
 * whole whatever is in it. Not what the server sends, which http_test.sh looks at.
 *
 * Invariants: the list below says by hand what codes.h says in its table. Threads: one.
 */
#include "gateway/codes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

static const struct {
    troupe_status status;
    unsigned code;
} wanted[] = {
    {TROUPE_OK, 200},
    {TROUPE_BUSY, 503},
    {TROUPE_TIMEOUT, 504},
    {TROUPE_EXPIRED, 408},
    {TROUPE_CANCELLED, 500},
    {TROUPE_WITHDRAWN, 503},
    {TROUPE_UNAVAILABLE, 503},
    {TROUPE_UNKNOWN, 502},
    {TROUPE_DEADLOCK, 508},
    {TROUPE_TOO_LARGE, 413},
    {TROUPE_NO_TYPE, 404},
    {TROUPE_NO_METHOD, 404},
    {TROUPE_NOT_FOUND, 404},
    {TROUPE_CONFLICT, 409},
    {TROUPE_DENIED, 403},
    {TROUPE_USAGE, 400},
    {TROUPE_CLOSED, 503},
    {TROUPE_CORRUPT, 500},
    {TROUPE_NO_MEMORY, 503},
    {TROUPE_PANIC, 500},
    {TROUPE_INTERRUPTED, 502},
    {TROUPE_BUG, 500},
    {TROUPE_POISONED, 500},
    {TROUPE_FAILED, 500},
};

static unsigned code_of(troupe_status status)
{
    return tp_http_code(status, troupe_status_outcome(status));
}

static void every_status_has_the_code_that_is_promised(void **state)
{
    (void)state;
    size_t rows = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (code_of(wanted[i].status) != wanted[i].code)
            print_error("%s\n", troupe_status_name(wanted[i].status));
        assert_int_equal(code_of(wanted[i].status), wanted[i].code);
    }
#define COUNT(...) rows++;
    TROUPE_STATUS_MAP(COUNT)
    assert_int_equal(rows, sizeof wanted / sizeof wanted[0]);
    assert_int_equal(code_of(TROUPE_APPLICATION), 422);
    assert_int_equal(code_of(TROUPE_APPLICATION + 17), 422);
    assert_int_equal(code_of(999), 500);
    assert_int_equal(code_of(-1), 500);
}

/* A client repeats a 503 and a 408 by itself: that must never be a call that may have run. */
static void what_may_have_run_has_no_code_that_asks_to_repeat_it(void **state)
{
    (void)state;
#define CHECK(name, number, kind, outcome, text)              \
    if (TROUPE_##outcome == TROUPE_UNKNOWN_OUTCOME) {         \
        assert_int_not_equal(code_of(TROUPE_##name), 503);    \
        assert_int_not_equal(code_of(TROUPE_##name), 408);    \
        assert_false(tp_http_passes(code_of(TROUPE_##name))); \
    }
    TROUPE_STATUS_MAP(CHECK)
    assert_int_equal(tp_http_code(TROUPE_NO_MEMORY, TROUPE_UNKNOWN_OUTCOME), 502);
    assert_int_equal(tp_http_code(TROUPE_EXPIRED, TROUPE_UNKNOWN_OUTCOME), 502);
    assert_int_equal(tp_http_code(TROUPE_APPLICATION, TROUPE_UNKNOWN_OUTCOME), 422);
    assert_true(tp_http_passes(code_of(TROUPE_BUSY)));
    assert_true(tp_http_passes(code_of(TROUPE_CLOSED)));
    assert_false(tp_http_passes(code_of(TROUPE_APPLICATION)));
}

static json_t *error_of(
    troupe_status status, troupe_outcome outcome, troupe_slice message, size_t room)
{
    static char data[8192];
    tp_text text;
    assert_true(room <= sizeof data);
    tp_text_init(&text, data, room);
    tp_http_error(&text, "ERR_ACTOR_INVOKE_METHOD", status, outcome, message);
    assert_false(text.is_cut);
    json_error_t why;
    json_t *json = json_loadb(text.data, text.size, 0, &why);
    if (json == NULL)
        print_error("%s: %s\n", why.text, data);
    assert_non_null(json);
    return json;
}

static const char *text_of(const json_t *json, const char *name)
{
    return json_string_value(json_object_get(json, name));
}

static void errors_carry_the_actors_own_code_and_words(void **state)
{
    (void)state;
    json_t *json =
        error_of(TROUPE_APPLICATION + 4, TROUPE_DONE, troupe_str("only 5 left, \"alice\"\n"), 512);
    assert_string_equal(text_of(json, "errorCode"), "ERR_ACTOR_INVOKE_METHOD");
    assert_string_equal(text_of(json, "message"), "only 5 left, \"alice\"\n");
    assert_string_equal(text_of(json, "status"), "APPLICATION");
    assert_int_equal(json_integer_value(json_object_get(json, "code")), 1004);
    assert_string_equal(text_of(json, "kind"), "FAILED");
    assert_string_equal(text_of(json, "outcome"), "DONE");
    json_decref(json);
    json = error_of(TROUPE_TIMEOUT, TROUPE_UNKNOWN_OUTCOME, (troupe_slice){NULL, 0}, 512);
    assert_string_equal(text_of(json, "message"), troupe_status_text(TROUPE_TIMEOUT));
    assert_string_equal(text_of(json, "outcome"), "UNKNOWN");
    json_decref(json);
}

/* Every size of message into every size of room: cut where it must be, never in a character. */
static void errors_are_whole_json_whatever_the_message(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "a", "\x01", "\xC3\xA9", "\xF0\x9F\x98\x80", "\xFF", "\"\\"};
    for (size_t part = 0; part < sizeof parts / sizeof parts[0]; part++) {
        char message[3000];
        size_t size = 0, step = strlen(parts[part]);
        while (size + step <= sizeof message) {
            memcpy(message + size, parts[part], step);
            size += step;
        }
        for (size_t room = 512; room <= 4096; room += 97) {
            json_t *json =
                error_of(TROUPE_FAILED, TROUPE_NOT_DONE, troupe_slice_of(message, size), room);
            assert_string_equal(text_of(json, "kind"), "FAILED");
            json_decref(json);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_the_code_that_is_promised),
        cmocka_unit_test(what_may_have_run_has_no_code_that_asks_to_repeat_it),
        cmocka_unit_test(errors_carry_the_actors_own_code_and_words),
        cmocka_unit_test(errors_are_whole_json_whatever_the_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
