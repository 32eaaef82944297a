/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the options promise: a default for each, ranges, errors that name the thing and say what to
 * do, and text forms that read as they are written.
 *
 * Invariants: no test depends on the machine. Threads: one.
 */
#include "node/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"

static void assert_says(const char *error, const char *word)
{
    if (strstr(error, word) == NULL) {
        print_error("\"%s\" does not say \"%s\"\n", error, word);
    }
    assert_non_null(strstr(error, word));
}

static void no_options_give_the_documented_defaults(void **state)
{
    (void)state;
    troupe_node_options options;
    char error[256] = "";
    assert_int_equal(tp_options_resolve(NULL, &options, error, sizeof(error)), TROUPE_OK);
    assert_int_equal(options.size, sizeof(options));
    assert_string_equal(options.name, "node-1");
    assert_false(options.driven);
    assert_int_equal(options.shards, 0);
    assert_string_equal(options.storage, "memory:");
    assert_int_equal(options.max_actors, 10000000);
    assert_int_equal(options.memory_limit, 0);
    assert_int_equal(options.idle, TROUPE_MINUTES(15));
    assert_int_equal(options.ask_timeout, TROUPE_SECONDS(30));
    assert_int_equal(options.mailbox_limit, 10000);
    assert_int_equal(options.mailbox_bytes, 64 << 20);
    assert_int_equal(options.link_limit, 16384);
    assert_int_equal(options.inbox_limit, 4096);
    assert_int_equal(options.max_asks, 1000000);
    assert_int_equal(options.max_fibers, 16000);
    assert_int_equal(options.max_message, 4 << 20);
    assert_int_equal(options.stack_size, 64 << 10);
    assert_int_equal(options.arena_limit, 1 << 20);
    assert_int_equal(options.turn_batch, 64);
    assert_int_equal(options.spin, TROUPE_MICROSECONDS(50));
    assert_int_equal(options.long_turn, TROUPE_MILLISECONDS(100));
    assert_int_equal(options.stuck_turn, TROUPE_SECONDS(5));
    assert_int_equal(options.deadlock_wait, TROUPE_MILLISECONDS(5));
    assert_int_equal(options.drain_timeout, TROUPE_SECONDS(30));
    assert_int_equal(options.blocking_threads, 4);
    assert_int_equal(options.blocking_limit, 1024);
    assert_int_equal(options.cache_size, 100000);
    assert_string_equal(options.cache_policy, "lru");
    assert_string_equal(options.compression, "none");
    assert_int_equal(options.batch_delay, 0);
    assert_int_equal(options.max_idle_time, TROUPE_SECONDS(60));
    assert_int_equal(options.cache_ttl, TROUPE_NEVER);
    assert_int_equal(options.cache_refresh, 0);
    assert_string_equal(options.placement, "prefer-local");
    assert_string_equal(options.labels, "");
    assert_int_equal(options.health_check_interval, TROUPE_SECONDS(1));
    assert_int_equal(options.rebalance_interval, TROUPE_NEVER);
    assert_int_equal(options.migration_threshold, 15);
    assert_string_equal(options.log, "warn");
    assert_false(options.no_metrics);
}

static void options_that_are_set_stay_as_they_are(void **state)
{
    (void)state;
    char error[256] = "";
    int user = 0;
    troupe_node_options given = {TROUPE_NODE_OPTIONS, .name = "b", .idle = TROUPE_NEVER,
        .deadlock_wait = TROUPE_NEVER, .shards = TP_SHARDS_MAX, .on_log_user = &user,
        .no_metrics = true};
    troupe_node_options options;
    assert_int_equal(tp_options_resolve(&given, &options, error, sizeof(error)), TROUPE_OK);
    assert_string_equal(options.name, "b");
    assert_true(options.idle == TROUPE_NEVER && options.deadlock_wait == TROUPE_NEVER);
    assert_int_equal(options.shards, TP_SHARDS_MAX);
    assert_ptr_equal(options.on_log_user, &user);
    assert_true(options.no_metrics);
}

static void options_of_an_older_program_are_understood(void **state)
{
    (void)state;
    char error[256] = "";
    troupe_node_options given = {
        .size = offsetof(troupe_node_options, idle), .max_actors = 7, .idle = 1};
    troupe_node_options options;
    assert_int_equal(tp_options_resolve(&given, &options, error, sizeof(error)), TROUPE_OK);
    assert_int_equal(options.max_actors, 7);
    assert_int_equal(options.idle, TROUPE_MINUTES(15)); /* beyond the old struct's end */
    assert_int_equal(troupe_options_set(&given, "idle", "1s", error, sizeof(error)), TROUPE_USAGE);
    assert_says(error, "TROUPE_NODE_OPTIONS");
}

static void options_of_a_newer_program_are_refused_when_they_set_what_is_unknown(void **state)
{
    (void)state;
    char error[256] = "";
    struct {
        troupe_node_options known;
        uint64_t unknown;
    } given = {.known = {.size = sizeof(given)}};
    troupe_node_options options;
    const troupe_node_options *newer = (const troupe_node_options *)(const void *)&given;
    assert_int_equal(tp_options_resolve(newer, &options, error, sizeof(error)), TROUPE_OK);
    given.unknown = 1;
    assert_int_equal(tp_options_resolve(newer, &options, error, sizeof(error)), TROUPE_USAGE);
    assert_says(error, "version");
    given.known.size = 0;
    assert_int_equal(tp_options_resolve(newer, &options, error, sizeof(error)), TROUPE_USAGE);
    assert_says(error, "TROUPE_NODE_OPTIONS");
}

static void wrong_options_are_refused_by_name_with_what_to_do(void **state)
{
    (void)state;
    static const struct {
        troupe_node_options given;
        const char *words[3];
    } cases[] = {
        {{TROUPE_NODE_OPTIONS, .shards = 257}, {"shards", "257", "256"}},
        {{TROUPE_NODE_OPTIONS, .stack_size = 100}, {"stack_size", "100B", "16KiB"}},
        {{TROUPE_NODE_OPTIONS, .spin = TROUPE_SECONDS(1)}, {"spin", "1s", "10ms"}},
        {{TROUPE_NODE_OPTIONS, .drain_timeout = TROUPE_NEVER}, {"drain_timeout", "never", "1d"}},
        {{TROUPE_NODE_OPTIONS, .name = "a b"}, {"name", "a b", "128"}},
        {{TROUPE_NODE_OPTIONS, .name = ""}, {"name", "128", "128"}},
        {{TROUPE_NODE_OPTIONS, .log = "loud"}, {"log", "loud", "error"}},
        {{TROUPE_NODE_OPTIONS, .placement = "here"}, {"placement", "here", "round-robin"}},
        {{TROUPE_NODE_OPTIONS, .labels = "gpu"}, {"labels", "gpu", "region=eu"}},
        {{TROUPE_NODE_OPTIONS, .cache_policy = "fifo"}, {"cache_policy", "fifo", "tinylfu"}},
        {{TROUPE_NODE_OPTIONS, .compression = "gzip"}, {"compression", "gzip", "zstd"}},
        {{TROUPE_NODE_OPTIONS, .cache_ttl = TROUPE_SECONDS(1), .cache_refresh = TROUPE_SECONDS(1)},
            {"cache_refresh", "cache_ttl", "lower"}},
        {{TROUPE_NODE_OPTIONS, .tls_key = "k", .tls_authority = "a"},
            {"tls_certificate", "tls_key", "all three"}},
        {{TROUPE_NODE_OPTIONS, .cluster = "file:x", .listen = "0.0.0.0:7101"},
            {"listen", "0.0.0.0:7101", "allow_clear_text"}},
        {{TROUPE_NODE_OPTIONS, .cluster = "file:x", .advertise = "127.example.org:7101"},
            {"advertise", "127.example.org", "tls_certificate"}},
        {{TROUPE_NODE_OPTIONS, .http = "0.0.0.0:7800"},
            {"http", "0.0.0.0:7800", "http_tls_certificate"}},
        {{TROUPE_NODE_OPTIONS, .http = "0.0.0.0:7800", .http_allow_clear_text = true},
            {"http", "0.0.0.0:7800", "http_token"}},
        {{TROUPE_NODE_OPTIONS, .http = "127.0.0.1:0", .http_bytes = 1 << 20},
            {"http_bytes", "max_message", "raise"}},
        {{TROUPE_NODE_OPTIONS, .driven = true, .shards = 2}, {"shards", "2", "driven"}},
        {{TROUPE_NODE_OPTIONS, .max_message = 2048, .mailbox_bytes = 1024},
            {"max_message", "2KiB", "mailbox_bytes"}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char error[256] = "";
        troupe_node_options options;
        memset(&options, 0x5A, sizeof(options));
        troupe_node_options before = options;
        assert_int_equal(
            tp_options_resolve(&cases[i].given, &options, error, sizeof(error)), TROUPE_USAGE);
        for (size_t j = 0; j < 3; j++) {
            assert_says(error, cases[i].words[j]);
        }
        assert_memory_equal(&options, &before, sizeof(options));
    }
}

static void options_that_go_together_are_fitted(void **state)
{
    (void)state;
    char error[256] = "";
    troupe_node_options options;
    troupe_node_options small = {TROUPE_NODE_OPTIONS, .mailbox_bytes = 2048};
    assert_int_equal(tp_options_resolve(&small, &options, error, sizeof(error)), TROUPE_OK);
    assert_int_equal(options.max_message, 2048);
    troupe_node_options driven = {TROUPE_NODE_OPTIONS, .driven = true};
    assert_int_equal(tp_options_resolve(&driven, &options, error, sizeof(error)), TROUPE_OK);
    assert_int_equal(options.shards, 1);
}

static void clear_text_stays_on_this_machine_unless_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *listen;
        bool is_loopback;
    } cases[] = {
        {"127.0.0.1:0", true},
        {"127.8.9.1:7101", true},
        {"localhost:7101", true},
        {"[::1]:7101", true},
        {"0.0.0.0:7101", false},
        {"[::]:7101", false},
        {"10.0.0.11:7101", false},
        {"127.a:7101", false},
        {"localhost.org:7101", false},
        {"[::2]:7101", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char error[512] = "";
        troupe_node_options options;
        troupe_node_options given = {
            TROUPE_NODE_OPTIONS, .cluster = "file:x", .listen = cases[i].listen};
        troupe_status status = tp_options_resolve(&given, &options, error, sizeof(error));
        assert_int_equal(status, cases[i].is_loopback ? TROUPE_OK : TROUPE_USAGE);
        given.allow_clear_text = true;
        assert_int_equal(tp_options_resolve(&given, &options, error, sizeof(error)), TROUPE_OK);
        given.allow_clear_text = false;
        given.tls_certificate = given.tls_key = given.tls_authority = "file.pem";
        assert_int_equal(tp_options_resolve(&given, &options, error, sizeof(error)), TROUPE_OK);
        given = (troupe_node_options){TROUPE_NODE_OPTIONS, .listen = cases[i].listen}; /* alone */
        assert_int_equal(tp_options_resolve(&given, &options, error, sizeof(error)), TROUPE_OK);
    }
}

static void http_beyond_this_machine_needs_a_token_or_consent(void **state)
{
    (void)state;
    char error[256] = "";
    troupe_node_options options;
    troupe_node_options given = {TROUPE_NODE_OPTIONS, .http = "0.0.0.0:7800"};
    given.http_allow_clear_text = true;
    assert_int_equal(tp_options_resolve(&given, &options, error, sizeof(error)), TROUPE_USAGE);
    assert_non_null(strstr(error, "http_token"));
    given.http_token = "secret";
    assert_int_equal(tp_options_resolve(&given, &options, error, sizeof(error)), TROUPE_OK);
    given.http_token = "";
    given.http_allow_open = true;
    assert_int_equal(tp_options_resolve(&given, &options, error, sizeof(error)), TROUPE_OK);
    given.http_allow_clear_text = false;
    assert_int_equal(tp_options_resolve(&given, &options, error, sizeof(error)), TROUPE_USAGE);
    assert_non_null(strstr(error, "encryption"));
    given.http_tls_certificate = "a.pem";
    assert_int_equal(tp_options_resolve(&given, &options, error, sizeof(error)), TROUPE_USAGE);
    assert_non_null(strstr(error, "http_tls_key"));
    given.http_tls_key = "a.key";
    assert_int_equal(tp_options_resolve(&given, &options, error, sizeof(error)), TROUPE_OK);
    given.http_allow_open = false;
    assert_int_equal(tp_options_resolve(&given, &options, error, sizeof(error)), TROUPE_USAGE);
    given.http_tls_authority = "ca.pem";
    assert_int_equal(tp_options_resolve(&given, &options, error, sizeof(error)), TROUPE_OK);
    given = (troupe_node_options){TROUPE_NODE_OPTIONS, .http = "127.0.0.1:0"};
    assert_int_equal(tp_options_resolve(&given, &options, error, sizeof(error)), TROUPE_OK);
}

static void set_check(void *user, const troupe_option_info *info)
{
    char text[64];
    char error[256] = "";
    troupe_node_options options = {TROUPE_NODE_OPTIONS};
    unsigned *count = user;
    (*count)++;
    assert_true(strlen(info->help) > 10);
    assert_string_not_equal(troupe_option_kind_name(info->kind), "?");
    /* The default, as written, is what it says, and is in range. */
    assert_int_equal(
        troupe_options_set(&options, info->name, info->standard, error, sizeof(error)), TROUPE_OK);
    assert_int_equal(
        troupe_options_get(&options, info->name, text, sizeof(text)), strlen(info->standard));
    assert_string_equal(text, info->standard);
    if (tp_option_is_text(tp_option_find(info->name)) || info->kind == TROUPE_OPTION_BOOL) {
        assert_null(info->least);
        return;
    }
    const char *limits[] = {info->least, info->most};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(
            troupe_options_set(&options, info->name, limits[i], error, sizeof(error)), TROUPE_OK);
        (void)troupe_options_get(&options, info->name, text, sizeof(text));
        if (strcmp(limits[i], "0") != 0) {
            assert_string_equal(text, limits[i]);
        }
    }
    assert_int_equal(
        troupe_options_set(&options, info->name, "x", error, sizeof(error)), TROUPE_USAGE);
    assert_says(error, info->name);
    assert_says(error, "such as");
}

static void each_option_takes_its_default_and_its_limits(void **state)
{
    (void)state;
    unsigned count = 0;
    troupe_options_each(set_check, &count);
    assert_int_equal(count, 79); /* the fields of the struct but four that have no text form */
}

static void values_are_read_as_people_write_them(void **state)
{
    (void)state;
    static const struct {
        tp_option_type type;
        const char *text;
        uint64_t value;
    } good[] = {
        {TP_OPTION_COUNT, "0", 0},
        {TP_OPTION_COUNT, "1_000_000", 1000000},
        {TP_OPTION_COUNT, "18446744073709551615", UINT64_MAX},
        {TP_OPTION_DURATION, "0", 0},
        {TP_OPTION_DURATION, "10ms", 10000000},
        {TP_OPTION_DURATION, "1h30m", TROUPE_MINUTES(90)},
        {TP_OPTION_DURATION, "1_000us", TROUPE_MILLISECONDS(1)},
        {TP_OPTION_DURATION, "7d", TROUPE_HOURS(168)},
        {TP_OPTION_DURATION, "never", TROUPE_NEVER},
        {TP_OPTION_BYTES, "4096", 4096},
        {TP_OPTION_BYTES, "64KiB", 65536},
        {TP_OPTION_BYTES, "2GiB", UINT64_C(2) << 30},
        {TP_OPTION_BYTES, "5MB", 5000000},
        {TP_OPTION_BOOL, "true", 1},
        {TP_OPTION_BOOL, "off", 0},
    };
    static const struct {
        tp_option_type type;
        const char *text;
    } bad[] = {
        {TP_OPTION_COUNT, ""},
        {TP_OPTION_COUNT, "-1"},
        {TP_OPTION_COUNT, "1__0"},
        {TP_OPTION_COUNT, "_1"},
        {TP_OPTION_COUNT, "1_"},
        {TP_OPTION_COUNT, "18446744073709551616"},
        {TP_OPTION_COUNT, "1 "},
        {TP_OPTION_COUNT, "0x10"},
        {TP_OPTION_DURATION, "10"},
        {TP_OPTION_DURATION, "10 ms"},
        {TP_OPTION_DURATION, "ms"},
        {TP_OPTION_DURATION, "1.5s"},
        {TP_OPTION_DURATION, "99999999999d"},
        {TP_OPTION_DURATION, ""},
        {TP_OPTION_BYTES, "4kib"},
        {TP_OPTION_BYTES, "99999999TiB"},
        {TP_OPTION_BOOL, "1"},
        {TP_OPTION_BOOL, "TRUE"},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t value = 77;
        assert_true(tp_value_parse(good[i].type, good[i].text, &value));
        assert_true(value == good[i].value);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t value = 77;
        assert_false(tp_value_parse(bad[i].type, bad[i].text, &value));
        assert_int_equal(value, 77);
    }
}

static void what_is_printed_reads_as_the_same(void **state)
{
    (void)state;
    static const tp_option_type types[] = {TP_OPTION_COUNT, TP_OPTION_DURATION, TP_OPTION_BYTES};
    uint64_t value = 1;
    for (unsigned i = 0; i < 3000; i++) {
        value = i % 64 == 0 ? 1 : value * 3 + i;
        for (size_t type = 0; type < 3; type++) {
            char text[64];
            uint64_t again = 0;
            assert_true(tp_value_print(types[type], value, text, sizeof(text)) < sizeof(text));
            assert_true(tp_value_parse(types[type], text, &again));
            assert_true(again == value);
        }
    }
}

static void unknown_option_is_answered_with_the_nearest(void **state)
{
    (void)state;
    char error[256] = "";
    troupe_node_options options = {TROUPE_NODE_OPTIONS};
    static const char *const pairs[][2] = {
        {"max_actor", "max_actors"},
        {"mailbox-limt", "mailbox_limit"},
        {"shrads", "shards"},
        {"Idle", "idle"},
        {"ask_time_out", "ask_timeout"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        assert_string_equal(troupe_options_nearest(pairs[i][0]), pairs[i][1]);
        assert_int_equal(
            troupe_options_set(&options, pairs[i][0], "1", error, sizeof(error)), TROUPE_USAGE);
        assert_says(error, pairs[i][0]);
        assert_says(error, pairs[i][1]);
    }
    assert_null(troupe_options_nearest("zzzzzzzzzz"));
    assert_null(troupe_options_nearest(""));
    assert_int_equal(
        troupe_options_set(&options, "zzzzzzzzzz", "1", error, sizeof(error)), TROUPE_USAGE);
    assert_says(error, "troupe config");
    assert_int_equal(
        troupe_options_set(&options, "max-actors", "5", error, sizeof(error)), TROUPE_OK);
    assert_int_equal(options.max_actors, 5);
    char tiny[4] = "abc";
    assert_int_equal(troupe_options_set(&options, "idle", "x", tiny, sizeof(tiny)), TROUPE_USAGE);
    assert_int_equal(troupe_options_set(&options, "idle", "x", NULL, 0), TROUPE_USAGE);
    assert_int_equal(strlen(tiny), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_options_give_the_documented_defaults),
        cmocka_unit_test(options_that_are_set_stay_as_they_are),
        cmocka_unit_test(options_of_an_older_program_are_understood),
        cmocka_unit_test(options_of_a_newer_program_are_refused_when_they_set_what_is_unknown),
        cmocka_unit_test(wrong_options_are_refused_by_name_with_what_to_do),
        cmocka_unit_test(options_that_go_together_are_fitted),
        cmocka_unit_test(clear_text_stays_on_this_machine_unless_asked_for),
        cmocka_unit_test(http_beyond_this_machine_needs_a_token_or_consent),
        cmocka_unit_test(each_option_takes_its_default_and_its_limits),
        cmocka_unit_test(values_are_read_as_people_write_them),
        cmocka_unit_test(what_is_printed_reads_as_the_same),
        cmocka_unit_test(unknown_option_is_answered_with_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
