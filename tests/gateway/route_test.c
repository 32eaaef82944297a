/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What paths and header fields of strangers mean: escapes are taken away once, tricks get words,
 * and only what the node takes as an id comes through. fuzz/route_fuzz.c does it with anything.
 *
 * Invariants: none of its own. Threads: one.
 */
#include "gateway/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static troupe_status parse(const char *path, tp_route *ret_route, const char **ret_reason)
{
    return tp_route_parse(troupe_str(path), ret_route, ret_reason);
}

static void assert_calls(const char *path, const char *id, const char *method)
{
    tp_route route;
    const char *reason = NULL;
    char text[TP_ID_MAX + 1];
    troupe_status status = parse(path, &route, &reason);
    if (status != TROUPE_OK)
        print_error("%s: %s\n", path, reason);
    assert_int_equal(status, TROUPE_OK);
    assert_int_equal(route.kind, TP_ROUTE_INVOKE);
    assert_false(route.is_open);
    troupe_id_print(route.id, text, sizeof text);
    assert_string_equal(text, id);
    assert_string_equal(route.name, method);
}

static void assert_refused(const char *path, troupe_status wanted, const char *words)
{
    tp_route route;
    const char *reason = NULL;
    troupe_status status = parse(path, &route, &reason);
    if (status != wanted)
        print_error("%s\n", path);
    assert_int_equal(status, wanted);
    assert_non_null(reason);
    if (strstr(reason, words) == NULL)
        print_error("%s: \"%s\" does not say \"%s\"\n", path, reason, words);
    assert_non_null(strstr(reason, words));
}

static void escapes_of_names_are_taken_away_once(void **state)
{
    (void)state;
    assert_calls("/v1.0/actors/account/alice/method/show", "account/alice", "show");
    assert_calls("/v1.0/actors/account/a%20b/method/show", "account/a b", "show");
    assert_calls("/v1.0/actors/account/%C3%A9%7c%40/method/s%68ow", "account/\xC3\xA9|@", "show");
    assert_calls("/v1.0/actors/account/\xC3\xA9/method/show", "account/\xC3\xA9", "show");
    assert_calls("/v1.0/actors/account/a%252Fb/method/show", "account/a%2Fb", "show");
    assert_calls("/v1.0/actors/account/a+b/method/show", "account/a+b", "show");
    assert_calls("/v1.0/actors/account/.../method/show", "account/...", "show");
    assert_calls("/v1.0/actors/acc%6Funt@eu/7/method/show", "account@eu/7", "show");
}

static void tricks_of_paths_are_refused_with_words(void **state)
{
    (void)state;
    static const struct {
        const char *name, *words;
    } tricks[] = {{"a%2Fb", "slash"}, {"a%2fb", "slash"}, {"a%5Cb", "slash"}, {"a\\b", "slash"},
        {"%00", "NUL"}, {"a%00b", "NUL"}, {"a%0d%0a", "control"}, {"a%7F", "control"},
        {"a%23", "'#'"}, {"a%3F", "'?'"}, {".", "\".\""}, {"..", "\"..\""}, {"%2e", "\"..\""},
        {"%2E%2e", "\"..\""}, {"a%", "hexadecimal"}, {"a%4", "hexadecimal"},
        {"a%4g", "hexadecimal"}, {"%%41", "hexadecimal"}, {"%ff", "UTF-8"}, {"a%c3", "UTF-8"},
        {"%c0%ae", "UTF-8"}, {"%ed%a0%80", "UTF-8"}, {"\xFF", "UTF-8"}};
    char path[200];
    for (size_t i = 0; i < sizeof tricks / sizeof tricks[0]; i++) {
        snprintf(path, sizeof path, "/v1.0/actors/account/%s/method/show", tricks[i].name);
        assert_refused(path, TROUPE_USAGE, tricks[i].words);
        snprintf(path, sizeof path, "/v1.0/actors/account/alice/method/%s", tricks[i].name);
        assert_refused(path, TROUPE_USAGE, tricks[i].words);
        snprintf(path, sizeof path, "/v1.0/actors/%s/alice/method/show", tricks[i].name);
        assert_refused(path, TROUPE_USAGE, tricks[i].words);
    }
    assert_refused("/v1.0/actors/account//method/show", TROUPE_USAGE, "empty");
    assert_refused("/v1.0/actors/account/alice/method/", TROUPE_USAGE, "empty");
    assert_refused("/v1.0/actors/acc ount/alice/method/show", TROUPE_USAGE, "");
    assert_refused("/v1.0/actors/account/alice/method/a/b", TROUPE_USAGE, "slash");
}

static void other_paths_are_no_pages(void **state)
{
    (void)state;
    static const char *const paths[] = {"", "/", "v1.0/healthz", "/v1.0", "/v1.0/actors",
        "/v1.0/actors/", "/v1.0/actors/account", "/v1.0/actors/account/alice",
        "/v1.0/actors/account/alice/method", "/v1.0/actors/account/alice/metho/show",
        "/v1.0/actors/account/alice/%6dethod/show", "/v1.0/healthz/", "/v1.0//healthz",
        "/v1.0/../v1.0/healthz", "/V1.0/healthz", "//v1.0/healthz", "/v1.0/state/store/key"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        assert_refused(paths[i], TROUPE_NOT_FOUND, "no such page");
}

static void only_the_state_of_an_actor_has_a_key(void **state)
{
    (void)state;
    tp_route route;
    const char *reason;
    assert_int_equal(parse("/v1.0/actors/account/a%20b/state/st%61te", &route, &reason), TROUPE_OK);
    assert_int_equal(route.kind, TP_ROUTE_STATE);
    assert_string_equal(route.name, "state");
    assert_true(troupe_slice_equal(route.id.key, troupe_str("a b")));
    assert_int_equal(route.verbs, TP_VERB_GET | TP_VERB_HEAD);
    assert_int_equal(parse("/v1.0/actors/account/alice/state", &route, &reason), TROUPE_OK);
    assert_int_equal(route.kind, TP_ROUTE_SAVE);
    assert_string_equal(route.name, "");
    assert_int_equal(route.verbs, TP_VERB_POST | TP_VERB_PUT);
    assert_refused("/v1.0/actors/account/alice/state/", TROUPE_USAGE, "empty");
    assert_refused("/v1.0/actors/account/alice/state/a/b", TROUPE_USAGE, "slash");
    assert_refused("/v1.0/actors/account/a%2Fb/state", TROUPE_USAGE, "slash");
}

static void tags_that_are_known_are_found_whatever_stands_around_them(void **state)
{
    (void)state;
    static const char *const known[] = {
        "\"17\"", "W/\"17\"", "*", " \"1\" , \"17\"", "\"17\",\"1\"", ",,\"17\" ,", "\"1\",*"};
    static const char *const other[] = {
        "", " ", ",", "\"1\"", "17", "\"17", "\"171\"", "w/\"17\"", "W/W/\"17\"", "\"1\" \"17\""};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_true(tp_route_tag_is_known(known[i], "\"17\""));
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        if (tp_route_tag_is_known(other[i], "\"17\""))
            print_error("%s\n", other[i]);
        assert_false(tp_route_tag_is_known(other[i], "\"17\""));
    }
}

static void own_pages_are_told_apart(void **state)
{
    (void)state;
    tp_route route;
    const char *reason;
    assert_int_equal(parse("/v1/troupe/actors", &route, &reason), TROUPE_OK);
    assert_int_equal(route.kind, TP_ROUTE_DISCOVER);
    assert_int_equal(route.id.key.size, 0);
    assert_int_equal(parse("/v1/troupe/actors/web@eu/a%20b", &route, &reason), TROUPE_OK);
    assert_int_equal(route.kind, TP_ROUTE_LOOKUP);
    assert_true(troupe_slice_equal(route.id.partition, troupe_str("eu")));
    assert_true(troupe_slice_equal(route.id.key, troupe_str("a b")));
    assert_int_equal(parse("/v1/troupe/actors/web/a/method/echo", &route, &reason), TROUPE_OK);
    assert_int_equal(route.kind, TP_ROUTE_ACTIVE);
    assert_string_equal(route.name, "echo");
    assert_int_equal(parse("/v1/troupe/actors/web/a/updates", &route, &reason), TROUPE_OK);
    assert_int_equal(route.kind, TP_ROUTE_UPDATES);
    assert_true(troupe_slice_equal(route.id.key, troupe_str("a")));
    assert_refused("/v1/troupe/actors/", TROUPE_NOT_FOUND, "no such page");
    assert_refused("/v1/troupe/actors/web/", TROUPE_USAGE, "empty");
    assert_refused("/v1/troupe/actors/web/a/b", TROUPE_USAGE, "slash");
}

static void values_of_a_query_lose_their_escapes_once(void **state)
{
    (void)state;
    char out[8] = "kept";
    assert_true(tp_route_value("a%2Fb%25", out, sizeof out));
    assert_string_equal(out, "a/b%");
    assert_true(tp_route_value("", out, sizeof out));
    assert_string_equal(out, "");
    assert_true(tp_route_value("%31234567", out, sizeof out));
    static const char *const wrong[] = {
        "12345678", "%", "%4", "%4g", "%00", "%0a", "\x7F", "%ff", "\xC3", "%c0%af"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(tp_route_value(wrong[i], out, sizeof out));
}

static void methods_of_http_are_told_apart(void **state)
{
    (void)state;
    assert_int_equal(tp_verb_of("GET"), TP_VERB_GET);
    assert_int_equal(tp_verb_of("DELETE"), TP_VERB_DELETE);
    assert_int_equal(tp_verb_of("get"), 0);
    assert_int_equal(tp_verb_of("PATCH"), 0);
    assert_string_equal(tp_verb_names(TP_VERB_READ), "GET, HEAD");
    assert_string_equal(tp_verb_names(TP_VERB_WRITE), "POST, PUT");
    assert_string_equal(tp_verb_names(TP_VERB_ANY), "POST, PUT, GET, DELETE");
}

static void pages_of_health_need_no_token(void **state)
{
    (void)state;
    tp_route route;
    const char *reason;
    assert_int_equal(parse("/v1.0/healthz", &route, &reason), TROUPE_OK);
    assert_int_equal(route.kind, TP_ROUTE_HEALTH);
    assert_true(route.is_open);
    assert_int_equal(parse("/readyz", &route, &reason), TROUPE_OK);
    assert_true(route.is_open);
    assert_int_equal(parse("/v1.0/metadata", &route, &reason), TROUPE_OK);
    assert_int_equal(route.kind, TP_ROUTE_METADATA);
    assert_false(route.is_open);
}

/* "/v1.0/actors/TYPE/KEY/method/NAME" of names so long, each byte `escape`. */
static troupe_status of_sizes(size_t type, size_t key, size_t name, const char *escape)
{
    static char path[3 * TP_ROUTE_PATH_MAX + 4096];
    const size_t sizes[] = {type, key, name};
    const char *const before[] = {"/v1.0/actors/", "/", "/method/"};
    size_t at = 0;
    for (int i = 0; i < 3; i++) {
        at += (size_t)snprintf(path + at, sizeof path - at, "%s", before[i]);
        for (size_t j = 0; j < sizes[i]; j++)
            at += (size_t)snprintf(path + at, sizeof path - at, "%s", escape);
    }
    tp_route route;
    const char *reason = NULL;
    troupe_status status = tp_route_parse(troupe_slice_of(path, at), &route, &reason);
    if (status == TROUPE_OK) {
        assert_int_equal(route.id.type.size, type);
        assert_int_equal(route.id.key.size, key);
        assert_int_equal(strlen(route.name), name);
    } else {
        assert_non_null(reason);
    }
    return status;
}

static void names_of_the_largest_sizes_pass_and_longer_ones_do_not(void **state)
{
    (void)state;
    static const char *const escapes[] = {"a", "%61"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(of_sizes(TP_NAME_MAX, TP_KEY_MAX, TP_NAME_MAX, escapes[i]), TROUPE_OK);
        assert_int_equal(of_sizes(TP_NAME_MAX + 1, 1, 1, escapes[i]), TROUPE_USAGE);
        assert_int_equal(of_sizes(2 * TP_NAME_MAX + 2, 1, 1, escapes[i]), TROUPE_USAGE);
        assert_int_equal(of_sizes(1, TP_KEY_MAX + 1, 1, escapes[i]), TROUPE_USAGE);
        assert_int_equal(of_sizes(1, 1, TP_NAME_MAX + 1, escapes[i]), TROUPE_USAGE);
        assert_int_equal(of_sizes(1, TP_ROUTE_PATH_MAX, 1, escapes[i]), TROUPE_USAGE);
    }
}

static void only_the_token_itself_is_the_token(void **state)
{
    (void)state;
    assert_true(tp_route_token_is("Bearer secret", true, "secret"));
    assert_true(tp_route_token_is("bearer  secret", true, "secret"));
    assert_true(tp_route_token_is("secret", false, "secret"));
    static const char *const wrong[] = {"", "s", "secre", "secret2", "secretsecret", "Secret",
        "Bearer", "Bearer ", "Basic secret", "Bearersecret"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(tp_route_token_is(wrong[i], true, "secret"));
        assert_false(tp_route_token_is(wrong[i], false, "secret"));
    }
    assert_false(tp_route_token_is(NULL, true, "secret"));
    assert_false(tp_route_token_is("", false, ""));
    assert_false(tp_route_token_is("x", false, ""));
}

static void only_names_of_this_machine_are_local(void **state)
{
    (void)state;
    static const char *const local[] = {"localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:7800",
        "127.9.8.7:1", "[::1]", "[::1]:7"};
    static const char *const foreign[] = {"", ":80", "evil.example", "localhost.evil.example:80",
        "127.evil.example", "127.0.0.1.evil.example:7800", "10.0.0.1", "[::2]", "[::1", "[::1]x",
        "::1", "127."};
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        assert_true(tp_route_host_is_local(local[i]));
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        if (tp_route_host_is_local(foreign[i]))
            print_error("%s\n", foreign[i]);
        assert_false(tp_route_host_is_local(foreign[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_of_names_are_taken_away_once),
        cmocka_unit_test(tricks_of_paths_are_refused_with_words),
        cmocka_unit_test(other_paths_are_no_pages),
        cmocka_unit_test(only_the_state_of_an_actor_has_a_key),
        cmocka_unit_test(tags_that_are_known_are_found_whatever_stands_around_them),
        cmocka_unit_test(own_pages_are_told_apart),
        cmocka_unit_test(values_of_a_query_lose_their_escapes_once),
        cmocka_unit_test(methods_of_http_are_told_apart),
        cmocka_unit_test(pages_of_health_need_no_token),
        cmocka_unit_test(names_of_the_largest_sizes_pass_and_longer_ones_do_not),
        cmocka_unit_test(only_the_token_itself_is_the_token),
        cmocka_unit_test(only_names_of_this_machine_are_local),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
