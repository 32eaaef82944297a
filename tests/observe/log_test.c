/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the log promises: levels, ten lines a second from one place, one valid line whatever it is
 * given. Time is a variable of the test, not the clock.
 *
 * Invariants: each test has a log of its own. Threads: as many as the last test starts.
 */
#include "observe/log.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define SECOND UINT64_C(1000000000)

typedef struct sink {
    tp_log log;
    char last[TP_LOG_LINE_MAX * 2];
    size_t size;
    uint64_t wall;
    unsigned lines;
    /* of the callback */
    troupe_log_line line;
    char words[TP_LOG_WORDS_MAX];
} sink;

static void sink_write(void *user, const char *text, size_t size)
{
    sink *to = user;
    assert_true(size < sizeof(to->last));
    memcpy(to->last, text, size);
    to->last[size] = '\0';
    to->size = size;
    to->lines++;
}

static uint64_t sink_wall(void *user)
{
    return ((sink *)user)->wall;
}

static void sink_line(void *user, const troupe_log_line *line)
{
    sink *to = user;
    to->line = *line;
    (void)snprintf(to->words, sizeof(to->words), "%s", line->text);
    to->lines++;
}

static void open_log(sink *to, const char *level)
{
    memset(to, 0, sizeof(*to));
    to->wall = UINT64_C(1700000000) * SECOND + 42;
    tp_log_options options = {
        .node = "node-1", .level = level, .write = sink_write, .wall = sink_wall, .user = to};
    assert_int_equal(tp_log_init(&to->log, &options), TROUPE_OK);
}

/* The last line, which must be one JSON object and a newline. */
static json_t *parse(const sink *from)
{
    json_error_t error;
    assert_true(from->size > 1);
    assert_int_equal(from->last[from->size - 1], '\n');
    assert_ptr_equal(memchr(from->last, '\n', from->size), from->last + from->size - 1);
    json_t *json = json_loadb(from->last, from->size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
                                &error);
    if (json == NULL) {
        print_error("%s: %s\n", error.text, from->last);
    }
    assert_non_null(json);
    return json;
}

static const char *member(json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));
    return text != NULL ? text : "(none)";
}

static void line_has_time_level_node_event_words_and_fields(void **state)
{
    (void)state;
    sink to;
    open_log(&to, "warn");
    TP_LOG(&to.log, TROUPE_LOG_WARN, "turn_long",
           TP_FIELDS(tp_field_string("actor", "account/7"), tp_field_number("ms", 12)), "%s ran %d",
           "deposit", 3);
    json_t *json = parse(&to);
    assert_string_equal(member(json, "time"), "2023-11-14T22:13:20.000000042Z");
    assert_string_equal(member(json, "level"), "warn");
    assert_string_equal(member(json, "node"), "node-1");
    assert_string_equal(member(json, "event"), "turn_long");
    assert_string_equal(member(json, "text"), "deposit ran 3");
    assert_string_equal(member(json, "actor"), "account/7");
    assert_int_equal(json_integer_value(json_object_get(json, "ms")), 12);
    assert_null(json_object_get(json, "suppressed"));
    assert_null(json_object_get(json, "truncated"));
    json_decref(json);
}

static unsigned lines_at(const char *level)
{
    sink to;
    open_log(&to, level);
    TP_LOG(&to.log, TROUPE_LOG_ERROR, "a", TP_NO_FIELDS, "x");
    TP_LOG(&to.log, TROUPE_LOG_WARN, "b", TP_NO_FIELDS, "x");
    TP_LOG(&to.log, TROUPE_LOG_INFO, "c", TP_NO_FIELDS, "x");
    TP_LOG(&to.log, TROUPE_LOG_DEBUG, "d", TP_NO_FIELDS, "x");
    return to.lines;
}

static void level_lets_through_itself_and_what_is_worse(void **state)
{
    (void)state;
    assert_int_equal(lines_at("off"), 0);
    assert_int_equal(lines_at("error"), 1);
    assert_int_equal(lines_at(NULL), 2);
    assert_int_equal(lines_at("warn,text"), 2);
    assert_int_equal(lines_at("info"), 3);
    assert_int_equal(lines_at("debug,json"), 4);
}

static int count_call(int *calls)
{
    return ++*calls;
}

static void level_that_is_off_evaluates_no_argument(void **state)
{
    (void)state;
    sink to;
    int calls = 0;
    open_log(&to, "warn");
    TP_LOG(&to.log, TROUPE_LOG_INFO, "a", TP_NO_FIELDS, "%d", count_call(&calls));
    assert_int_equal(calls, 0);
    tp_log_set_level(&to.log, TROUPE_LOG_INFO);
    TP_LOG(&to.log, TROUPE_LOG_INFO, "a", TP_NO_FIELDS, "%d", count_call(&calls));
    assert_int_equal(calls, 1);
    assert_int_equal(to.lines, 1);
}

static void unknown_level_is_refused(void **state)
{
    (void)state;
    tp_log log;
    const char *bad[] = {"", "loud", "warn,", "warn,xml", "WARN", ",text"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tp_log_options options = {.node = "n", .level = bad[i], .wall = sink_wall};
        assert_int_equal(tp_log_init(&log, &options), TROUPE_USAGE);
    }
}

static void say_here(sink *to)
{
    TP_LOG(&to->log, TROUPE_LOG_WARN, "here", TP_NO_FIELDS, "x");
}

static void say_there(sink *to)
{
    TP_LOG(&to->log, TROUPE_LOG_WARN, "there", TP_NO_FIELDS, "x");
}

static void one_place_says_ten_lines_a_second_and_then_how_many_it_left_out(void **state)
{
    (void)state;
    sink to;
    open_log(&to, "warn");
    for (unsigned i = 0; i < 25; i++) {
        say_here(&to);
    }
    assert_int_equal(to.lines, 10);
    say_there(&to); /* another place has its own ten */
    assert_int_equal(to.lines, 11);
    to.wall += SECOND - 1;
    say_here(&to);
    assert_int_equal(to.lines, 11);
    to.wall += 1;
    say_here(&to);
    assert_int_equal(to.lines, 12);
    json_t *json = parse(&to);
    assert_int_equal(json_integer_value(json_object_get(json, "suppressed")), 16);
    json_decref(json);
    say_here(&to);
    json = parse(&to);
    assert_null(json_object_get(json, "suppressed"));
    json_decref(json);
}

static void clock_set_back_does_not_silence_a_place(void **state)
{
    (void)state;
    sink to;
    open_log(&to, "warn");
    for (unsigned i = 0; i < 12; i++) {
        say_here(&to);
    }
    to.wall -= 3600 * SECOND;
    say_here(&to);
    assert_int_equal(to.lines, 11);
}

static void more_places_than_the_table_holds_all_speak(void **state)
{
    (void)state;
    static tp_log_site sites[TP_LOG_SITES * 4];
    sink to;
    open_log(&to, "warn");
    for (size_t i = 0; i < sizeof(sites) / sizeof(sites[0]); i++) {
        sites[i] = (tp_log_site)TP_LOG_SITE(TROUPE_LOG_WARN, "many");
        tp_log_write(&to.log, &sites[i], TP_NO_FIELDS, "%zu", i);
    }
    assert_int_equal(to.lines, TP_LOG_SITES * 4);
}

static void hostile_bytes_give_one_valid_line(void **state)
{
    (void)state;
    char all[256];
    sink to;
    for (unsigned i = 0; i < 256; i++) {
        all[i] = (char)i;
    }
    open_log(&to, "warn");
    TP_LOG(&to.log, TROUPE_LOG_WARN, "hostile",
           TP_FIELDS(tp_field_text("all", troupe_slice_of(all, sizeof(all))),
                     tp_field_string("quote", "\"},{\"a\":\"\n"), tp_field_string("none", NULL)),
           "\"\n\r\x1b[31m \xff\xfe");
    json_t *json = parse(&to);
    assert_string_equal(member(json, "quote"), "\"},{\"a\":\"\n");
    assert_string_equal(member(json, "none"), "");
    json_decref(json);

    open_log(&to, "warn,text");
    TP_LOG(&to.log, TROUPE_LOG_WARN, "hostile", TP_FIELDS(tp_field_string("key", "a\nb\"")),
           "one\ntwo");
    assert_string_equal(to.last, "2023-11-14T22:13:20.000000042Z warn node-1 hostile: one two "
                                 "key=\"a\\nb\\\"\"\n");
}

/* Every length around the limit, so that the cut falls on each part of each kind of character. */
static void line_that_is_too_long_is_cut_and_stays_valid(void **state)
{
    (void)state;
    static char long_text[TP_LOG_LINE_MAX + 64];
    static const char *const kinds[] = {"x", "\n", "\x01", "\xC3\xA9", "\xF0\x9F\x98\x80", "\xFF"};
    sink to;
    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
        size_t unit = strlen(kinds[kind]);
        for (size_t size = 400; size + unit < sizeof(long_text); size += size < 600 ? 60 : 1) {
            for (size_t at = 0; at < size; at++) {
                long_text[at] = kinds[kind][at % unit];
            }
            open_log(&to, "warn");
            TP_LOG(&to.log, TROUPE_LOG_WARN, "long",
                   TP_FIELDS(tp_field_text("value", troupe_slice_of(long_text, size)),
                             tp_field_number("last", UINT64_MAX / 3)),
                   "w");
            assert_true(to.size <= TP_LOG_LINE_MAX);
            json_t *json = parse(&to);
            bool is_cut = json_object_get(json, "truncated") != NULL;
            assert_true(is_cut || json_object_get(json, "last") != NULL);
            assert_true(is_cut || size <= TP_LOG_LINE_MAX);
            json_decref(json);
        }
    }
}

static void words_that_are_too_long_end_in_a_mark(void **state)
{
    (void)state;
    sink to;
    open_log(&to, "warn");
    for (int width = 1000; width < 1100; width++) {
        to.wall += SECOND;
        TP_LOG(&to.log, TROUPE_LOG_WARN, "long", TP_NO_FIELDS, "%*s\xC3\xA9", width, "");
        json_t *json = parse(&to);
        const char *text = member(json, "text");
        if (width > TP_LOG_WORDS_MAX) {
            assert_string_equal(text + strlen(text) - 3, "\xE2\x80\xA6");
        }
        json_decref(json);
    }
}

static void callback_gets_the_line_instead_of_standard_error(void **state)
{
    (void)state;
    sink to;
    memset(&to, 0, sizeof(to));
    tp_log_options options = {.node = "n", .write = sink_write, .wall = sink_wall, .user = &to};
    options.on_log = sink_line;
    options.on_log_user = &to;
    assert_int_equal(tp_log_init(&to.log, &options), TROUPE_OK);
    for (unsigned i = 0; i < 12; i++) {
        if (i == 11) {
            to.wall += SECOND;
        }
        TP_LOG(&to.log, TROUPE_LOG_ERROR, "bad", TP_FIELDS(tp_field_number("n", i)), "line %u", i);
    }
    assert_int_equal(to.lines, 11);
    assert_int_equal(to.size, 0);
    assert_string_equal(to.words, "line 11");
    assert_int_equal(to.line.suppressed, 1);
    assert_int_equal(to.line.field_count, 1);
    assert_int_equal(to.line.level, TROUPE_LOG_ERROR);
}

typedef struct crowd {
    tp_log log;
    _Atomic unsigned lines;
} crowd;

static void crowd_line(void *user, const troupe_log_line *line)
{
    (void)line;
    atomic_fetch_add(&((crowd *)user)->lines, 1 + (unsigned)line->suppressed);
}

static uint64_t crowd_wall(void *user)
{
    (void)user;
    return SECOND;
}

static void *crowd_run(void *argument)
{
    crowd *all = argument;
    for (unsigned i = 0; i < 1000; i++) {
        TP_LOG(&all->log, TROUPE_LOG_ERROR, "crowd", TP_NO_FIELDS, "%u", i);
    }
    return NULL;
}

static void threads_share_the_limit_of_a_place(void **state)
{
    (void)state;
    crowd all = {.lines = 0};
    pthread_t threads[4];
    tp_log_options options = {
        .node = "n", .wall = crowd_wall, .on_log = crowd_line, .on_log_user = &all};
    assert_int_equal(tp_log_init(&all.log, &options), TROUPE_OK);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_run, &all), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&all.lines), TP_LOG_RATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_has_time_level_node_event_words_and_fields),
        cmocka_unit_test(level_lets_through_itself_and_what_is_worse),
        cmocka_unit_test(level_that_is_off_evaluates_no_argument),
        cmocka_unit_test(unknown_level_is_refused),
        cmocka_unit_test(one_place_says_ten_lines_a_second_and_then_how_many_it_left_out),
        cmocka_unit_test(clock_set_back_does_not_silence_a_place),
        cmocka_unit_test(more_places_than_the_table_holds_all_speak),
        cmocka_unit_test(hostile_bytes_give_one_valid_line),
        cmocka_unit_test(line_that_is_too_long_is_cut_and_stays_valid),
        cmocka_unit_test(words_that_are_too_long_end_in_a_mark),
        cmocka_unit_test(callback_gets_the_line_instead_of_standard_error),
        cmocka_unit_test(threads_share_the_limit_of_a_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
