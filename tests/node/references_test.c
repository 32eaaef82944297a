/* SPDX-License-Identifier: Apache-2.0 */
/*
 * References in the values of options, and what is shown of secrets: each form, each way to be
 * wrong, and a node that opens with them. What the daemon shows is tests/gateway/secrets_test.sh.
 *
 * Invariants: files are in a folder of the test's own. Threads: one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "node/references.h"

#include <troupe/inspect.h>

#define SECRET "s3cr:t@/p%ss"

static char folder[] = "/tmp/troupe-references.XXXXXX";

static const char *write_file(const char *name, const void *data, size_t size)
{
    static char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return path;
}

/* `text` of the option, resolved as a node's opening does it. */
static troupe_status resolve(
    const char *name, const char *text, char *out, size_t size, char *error, size_t error_size)
{
    troupe_node_options options = {TROUPE_NODE_OPTIONS};
    tp_kept_text *kept = NULL;
    const tp_option *option = tp_option_find(name);
    tp_option_set_text(&options, option, text);
    troupe_status status =
        tp_references_resolve(tp_allocator_system(), &options, &kept, error, error_size);
    (void)snprintf(out, size, "%s", tp_option_text(&options, option));
    tp_references_release(tp_allocator_system(), kept);
    return status;
}

static void assert_resolves(const char *name, const char *text, const char *wanted)
{
    char out[512];
    char error[512] = "";
    assert_int_equal(resolve(name, text, out, sizeof(out), error, sizeof(error)), TROUPE_OK);
    assert_string_equal(out, wanted);
    assert_string_equal(error, "");
}

static void assert_fails(const char *name, const char *text, const char *words)
{
    char out[512];
    char error[512] = "";
    assert_int_equal(resolve(name, text, out, sizeof(out), error, sizeof(error)), TROUPE_USAGE);
    if (strstr(error, words) == NULL || strstr(error, name) != error)
        print_error("%s: \"%s\", not \"%s\"\n", text, error, words);
    assert_non_null(strstr(error, words));
    assert_ptr_equal(strstr(error, name), error);
}

static void references_stand_for_files_and_variables(void **state)
{
    (void)state;
    char text[256];
    assert_resolves("name", "plain", "plain");
    assert_resolves("name", "${env:TP_HOST}", "box-7");
    assert_resolves("name", "a-${env:TP_HOST}-${env:TP_HOST}.b", "a-box-7-box-7.b");
    assert_resolves("http_token", "a$${env:TP_HOST}$b}", "a${env:TP_HOST}$b}");
    static const char *const ends[] = {"", "\n", "\r\n"};
    for (size_t i = 0; i < 3; i++) {
        char data[64];
        int size = snprintf(data, sizeof(data), "two\nlines%s", ends[i]);
        (void)snprintf(text, sizeof(text), "${file:%s}", write_file("token", data, (size_t)size));
        assert_resolves("http_token", text, "two\nlines");
    }
    (void)snprintf(text, sizeof(text), "${file:%s}", write_file("token", "end\n\n", 5));
    assert_resolves("http_token", text, "end\n");
    assert_resolves("http_token", "${env:TP_NESTED}", "${env:TP_HOST}"); /* once */
}

static void what_comes_into_the_login_of_a_url_means_itself(void **state)
{
    (void)state;
    assert_resolves("storage", "redis://app:${env:TP_SECRET}@${env:TP_HOST}/0",
        "redis://app:s3cr%3At%40%2Fp%25ss@box-7/0");
    assert_resolves("storage", "redis://${env:TP_ADDRESS}/0", "redis://host:6379/0");
    assert_resolves("storage", "redis://${env:TP_ADDRESS}/0?by=a@b", "redis://host:6379/0?by=a@b");
    assert_resolves("storage", "redis://${env:TP_ADDRESS}?by=a@b", "redis://host:6379?by=a@b");
    assert_resolves("storage", "redis://h/${env:TP_ADDRESS}#a@b", "redis://h/host:6379#a@b");
    assert_resolves("storage", "sqlite:${env:TP_ADDRESS}/a@b", "sqlite:host:6379/a@b");
    char text[256];
    (void)snprintf(text, sizeof(text), "redis://a:${file:%s}@${env:TP_ADDRESS}/0",
        write_file("login", "a/b@c", 5));
    assert_resolves("storage", text, "redis://a:a%2Fb%40c@host:6379/0");
    assert_resolves("storage", "${env:TP_URL}", "redis://u:p@host/0");
}

static void wrong_references_are_told_with_option_reference_and_reason(void **state)
{
    (void)state;
    char text[256];
    assert_fails("http_token", "${env:TP_NOT_SET}", "${env:TP_NOT_SET}: it is not set");
    assert_fails("http_token", "${env:TP_EMPTY}", "${env:TP_EMPTY}: it is empty");
    assert_fails("cluster_token", "${file:/no/such}", "${file:/no/such}: No such file");
    assert_fails("cluster_token", "${file:/tmp}", "${file:/tmp}: it is no file");
    assert_fails("storage", "redis://:${ENV:X}@h", "${file:PATH}");
    assert_fails("storage", "redis://:${env:X", "$${");
    assert_fails("storage", "${env:}", "$${");
    static const struct {
        const char *data;
        size_t size;
        const char *words;
    } files[] = {{"", 0, "it is empty"}, {"\n", 1, "it is empty"}, {"a\0b", 3, "zero byte"}};
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(text, sizeof(text), "${file:%s}",
            write_file("wrong", files[i].data, files[i].size));
        assert_fails("http_token", text, files[i].words);
    }
    static char large[TP_REFERENCE_TEXT_MOST + 1];
    memset(large, 'x', sizeof(large));
    (void)snprintf(text, sizeof(text), "${file:%s}", write_file("large", large, sizeof(large)));
    assert_fails("http_token", text, "larger than");
    (void)snprintf(text, sizeof(text), "x${file:%s}",
        write_file("large", large, TP_REFERENCE_TEXT_MOST - 1));
    assert_fails("http_token", text, "with its references it is longer");
}

static void options_are_set_with_references_in_them(void **state)
{
    (void)state;
    char error[256] = "";
    troupe_node_options options = {TROUPE_NODE_OPTIONS};
    assert_int_equal(troupe_options_set(&options, "name", "${env:TP_HOST}", error, sizeof(error)),
        TROUPE_OK);
    assert_int_equal(
        troupe_options_set(&options, "name", "${env:TP_HOST", error, sizeof(error)), TROUPE_USAGE);
    assert_int_equal(
        troupe_options_set(&options, "log", "${env:TP_HOST}", error, sizeof(error)), TROUPE_USAGE);
    assert_int_equal(troupe_options_set(&options, "shards", "${env:TP_HOST}", error, sizeof(error)),
        TROUPE_USAGE);
}

static void assert_shows(const char *name, const char *text, const char *wanted)
{
    char out[256];
    char cut[4];
    char error[256];
    troupe_node_options options = {TROUPE_NODE_OPTIONS};
    assert_int_equal(troupe_options_set(&options, name, text, error, sizeof(error)), TROUPE_OK);
    assert_int_equal(troupe_options_get(&options, name, out, sizeof(out)), strlen(wanted));
    assert_string_equal(out, wanted);
    assert_int_equal(troupe_options_get(&options, name, cut, sizeof(cut)), strlen(wanted));
    assert_memory_equal(cut, wanted, strlen(wanted) < 3 ? strlen(wanted) : 3);
}

static void secrets_are_not_shown(void **state)
{
    (void)state;
    assert_shows("http_token", "", "");
    assert_shows("http_token", SECRET, "***");
    assert_shows("cluster_token", "x", "***");
    assert_shows("http_token", "${file:a/b}", "${file:a/b}");
    assert_shows("http_token", "${file:a/b}" SECRET, "***");
    assert_shows("http_token", "${file:a}x${file:b}", "***");
    assert_shows("storage", "memory:", "memory:");
    assert_shows("storage", "sqlite:a/b.db", "sqlite:a/b.db");
    assert_shows("storage", "redis://host:6379/0", "redis://host:6379/0");
    assert_shows("storage", "redis://app@host:6379/0", "redis://app@host:6379/0");
    assert_shows("storage", "redis://app:pw@host:6379/0", "redis://app:***@host:6379/0");
    assert_shows("storage", "redis://:p@w:/x@host/0", "redis://:***@host/0");
    assert_shows("cluster", "etcd://u:pw@a,b/shop", "etcd://u:***@a,b/shop");
    assert_shows("storage", "postgres://app:${file:/a/b}@db/shop",
        "postgres://app:${file:/a/b}@db/shop");
    assert_shows("storage", "postgres://${env:A}:pw@db/shop", "postgres://${env:A}:***@db/shop");
    assert_shows("storage", "postgres://db/shop?user=a&password=b&x=1",
        "postgres://db/shop?user=a&password=***");
    assert_shows("storage", "postgres://a:b@db/shop?password=c", "postgres://a:***");
    assert_shows("storage", "${env:TP_URL}", "${env:TP_URL}");
    assert_shows("tls_key", "keys/a.pem", "keys/a.pem");
}

static void secrets_are_taken_out_of_words(void **state)
{
    (void)state;
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .storage = "redis://a:hunter@h",
        .cluster = "etcd://a:b@h", .http_token = "abcdef", .cluster_token = ""};
    char words[128] = "redis://a:hunter@h etcd://a:b@h: abcdefabcdef, hunte";
    tp_options_hide(&options, words, sizeof(words));
    assert_string_equal(words, "redis://a:***@h etcd://a***h: ******, hunte");
    char full[8] = "xabcdef";
    tp_options_hide(&options, full, sizeof(full));
    assert_string_equal(full, "x***");
}

static troupe_status nothing(troupe_turn *turn, void *actor, troupe_slice payload)
{
    (void)turn;
    (void)actor;
    (void)payload;
    return TROUPE_OK;
}

static void a_node_opens_with_references_and_tells_no_secret(void **state)
{
    (void)state;
    static const troupe_method methods[] = {{.name = "nothing", .run = nothing}};
    static const troupe_type type = {
        .size = sizeof(type), .name = "thing", TROUPE_METHODS(methods)};
    const troupe_type *types[] = {&type};
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .driven = true, .log = "off",
        .name = "n-${env:TP_HOST}"};
    troupe_node *node = NULL;
    char error[512];
    assert_int_equal(
        troupe_node_open_explained(&options, types, 1, &node, error, sizeof(error)), TROUPE_OK);
    assert_string_equal(troupe_node_name(node), "n-box-7");
    troupe_node_close(node);
    options.name = "${env:TP_SPACE}"; /* what comes in is looked at as if it had been written */
    assert_int_equal(
        troupe_node_open_explained(&options, types, 1, &node, error, sizeof(error)), TROUPE_USAGE);
    assert_non_null(strstr(error, "name:"));
    options.name = NULL;
    options.storage = "nosuch://app:${env:TP_SECRET}@h";
    assert_int_equal(
        troupe_node_open_explained(&options, types, 1, &node, error, sizeof(error)), TROUPE_USAGE);
    assert_non_null(strstr(error, "nosuch://app:***@h"));
    assert_null(strstr(error, "s3cr"));
}

static int prepare(void **state)
{
    (void)state;
    static const char *const variables[][2] = {{"TP_HOST", "box-7"}, {"TP_EMPTY", ""},
        {"TP_SECRET", SECRET}, {"TP_ADDRESS", "host:6379"}, {"TP_URL", "redis://u:p@host/0"},
        {"TP_NESTED", "${env:TP_HOST}"}, {"TP_SPACE", "a b"}};
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        if (setenv(variables[i][0], variables[i][1], 1) != 0)
            return -1;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int clean(void **state)
{
    (void)state;
    static const char *const names[] = {"token", "wrong", "large"};
    char path[128];
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_stand_for_files_and_variables),
        cmocka_unit_test(what_comes_into_the_login_of_a_url_means_itself),
        cmocka_unit_test(wrong_references_are_told_with_option_reference_and_reason),
        cmocka_unit_test(options_are_set_with_references_in_them),
        cmocka_unit_test(secrets_are_not_shown),
        cmocka_unit_test(secrets_are_taken_out_of_words),
        cmocka_unit_test(a_node_opens_with_references_and_tells_no_secret),
    };
    return cmocka_run_group_tests(tests, prepare, clean);
}
