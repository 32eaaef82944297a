/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What configuration files promise: flat and nested keys, lists, and faults told with line, column
 * and what to do.
 *
 * Invariants: no file is read; texts are in the test. Threads: one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <troupe/config.h>

typedef struct seen {
    char text[4096]; /* key=value@line:column; */
    troupe_node_options options;
} seen;

static troupe_status note(void *user, const troupe_config_entry *entry, char *error,
                          size_t error_size)
{
    seen *all = user;
    size_t at = strlen(all->text);
    (void)error;
    (void)error_size;
    (void)snprintf(all->text + at, sizeof(all->text) - at, "%s%s=%s@%u:%u;", entry->key,
                   entry->is_item ? "[]" : "", entry->value, entry->line, entry->column);
    return TROUPE_OK;
}

static troupe_status set(void *user, const troupe_config_entry *entry, char *error,
                         size_t error_size)
{
    seen *all = user;
    return troupe_options_set(&all->options, entry->key, entry->value, error, error_size);
}

static void assert_reads(const char *yaml, const char *expected)
{
    seen all = {.text = ""};
    char error[256] = "";
    troupe_status status = troupe_config_parse(troupe_str(yaml), note, &all, error, sizeof(error));
    assert_string_equal(error, "");
    assert_int_equal(status, TROUPE_OK);
    assert_string_equal(all.text, expected);
}

static void keys_and_values_come_with_their_places(void **state)
{
    (void)state;
    assert_reads("a: 1\n# words\nb: 'two words'\nc:\n", "a=1@1:4;b=two words@3:4;c=@4:3;");
    assert_reads("types:\n  account:\n    idle: 5m\n  other: {idle: 6m}\nlast: 1\n",
                 "types.account.idle=5m@3:11;types.other.idle=6m@4:17;last=1@5:7;");
    assert_reads("modules: [a.so, b.so]\nlist:\n- x\n- y\n",
                 "modules[]=a.so@1:11;modules[]=b.so@1:17;list[]=x@3:3;list[]=y@4:3;");
}

static void empty_files_have_no_keys(void **state)
{
    (void)state;
    assert_reads("", "");
    assert_reads("# nothing\n", "");
    assert_reads("---\n", "");
    assert_reads("{}\n", "");
    assert_reads("a: {}\nb: []\n", "");
}

static void assert_refused(const char *yaml, troupe_status expected, const char *place,
                           const char *word)
{
    seen all = {.options = {TROUPE_NODE_OPTIONS}};
    char error[256] = "";
    troupe_status status = troupe_config_parse(troupe_str(yaml), set, &all, error, sizeof(error));
    if (status != expected || strstr(error, place) != error || strstr(error, word) == NULL) {
        print_error("%s: %d \"%s\"\n", yaml, (int)status, error);
    }
    assert_int_equal(status, expected);
    assert_ptr_equal(strstr(error, place), error);
    assert_non_null(strstr(error, word));
}

static void faults_are_told_with_line_and_column(void **state)
{
    (void)state;
    assert_refused("idle: 1s\nmax_actor: 5\n", TROUPE_USAGE, "line 2, column 12: ",
                   "did you mean max_actors?");
    assert_refused("\n\nshards: 1000\n", TROUPE_USAGE, "line 3, column 9: ", "256");
    assert_refused("idle: 1s\nidle: 2s\n", TROUPE_USAGE, "line 2, column 7: ", "twice");
    assert_refused("idle: &a 1s\n", TROUPE_USAGE, "line 1, column 7: ", "anchors");
    assert_refused("idle: *a\n", TROUPE_USAGE, "line 1, column 7: ", "alias");
    assert_refused("idle: !!str 1s\n", TROUPE_USAGE, "line 1, column 7: ", "tags");
    assert_refused("- a\n", TROUPE_USAGE, "line 1, column 1: ", "key: value");
    assert_refused("word\n", TROUPE_USAGE, "line 1, column 1: ", "key: value");
    assert_refused("a: [[1]]\n", TROUPE_USAGE, "line 1, column 5: ", "list");
    assert_refused("? [a]\n: 1\n", TROUPE_USAGE, "line 1, column 3: ", "key");
    assert_refused("idle: 1s\n---\nidle: 2s\n", TROUPE_USAGE, "line 2, column 1: ", "document");
    assert_refused("idle: \"1s\\0\"\n", TROUPE_USAGE, "line 1, column 7: ", "NUL");
    assert_refused("idle: [\n", TROUPE_USAGE, "line 2, column 1: ", "");
    assert_refused("idle: 1s\n\tshards: 1\n", TROUPE_USAGE, "line 2, column 1: ", "");
}

static void sizes_are_bounded(void **state)
{
    (void)state;
    static char text[2 * 1024 * 1024];
    char error[256] = "";
    seen all = {.text = ""};
    assert_refused("{a: {a: {a: {a: {a: {a: {a: {a: {a: 1}}}}}}}}}", TROUPE_TOO_LARGE,
                   "line 1, column 33: ", "8 levels");
    size_t at = 0;
    for (unsigned i = 0; i < 1025; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "k%u:\n", i);
    }
    assert_int_equal(troupe_config_parse(troupe_slice_of(text, at), note, &all, error,
                                         sizeof(error)),
                     TROUPE_TOO_LARGE);
    assert_non_null(strstr(error, "line 1025"));
    all.text[0] = '\0';
    memset(text, 'k', 257);
    memcpy(text + 257, ": 1", 4);
    assert_int_equal(troupe_config_parse(troupe_str(text), note, &all, error, sizeof(error)),
                     TROUPE_TOO_LARGE);
    assert_non_null(strstr(error, "256"));
    memcpy(text + 256, ": 1", 4);
    assert_int_equal(troupe_config_parse(troupe_str(text), note, &all, error, sizeof(error)),
                     TROUPE_OK);
    memset(text, ' ', sizeof(text));
    assert_int_equal(troupe_config_parse(troupe_slice_of(text, sizeof(text)), note, &all, error,
                                         sizeof(error)),
                     TROUPE_TOO_LARGE);
    assert_non_null(strstr(error, "1 MiB"));
}

static void a_file_sets_options(void **state)
{
    (void)state;
    seen all = {.options = {TROUPE_NODE_OPTIONS}};
    char error[256] = "";
    const char *yaml = "shards: 4\nidle: 1h30m\nmax_message: 64KiB\ndriven: no\n"
                       "deadlock_wait: never\nmax-actors: 1_000\n";
    assert_int_equal(troupe_config_parse(troupe_str(yaml), set, &all, error, sizeof(error)),
                     TROUPE_OK);
    assert_int_equal(all.options.shards, 4);
    assert_int_equal(all.options.idle, TROUPE_MINUTES(90));
    assert_int_equal(all.options.max_message, 65536);
    assert_true(all.options.deadlock_wait == TROUPE_NEVER);
    assert_int_equal(all.options.max_actors, 1000);
}

static troupe_status refuse(void *user, const troupe_config_entry *entry, char *error,
                            size_t error_size)
{
    (void)entry;
    ++*(unsigned *)user;
    (void)snprintf(error, error_size, "not now");
    return TROUPE_CONFLICT;
}

static void a_visitor_ends_the_parse_with_its_own_status(void **state)
{
    (void)state;
    unsigned calls = 0;
    char error[256] = "";
    assert_int_equal(troupe_config_parse(troupe_str("a: 1\nb: 2\n"), refuse, &calls, error,
                                         sizeof(error)),
                     TROUPE_CONFLICT);
    assert_int_equal(calls, 1);
    assert_string_equal(error, "line 1, column 4: not now");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_and_values_come_with_their_places),
        cmocka_unit_test(empty_files_have_no_keys),
        cmocka_unit_test(faults_are_told_with_line_and_column),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(a_file_sets_options),
        cmocka_unit_test(a_visitor_ends_the_parse_with_its_own_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
