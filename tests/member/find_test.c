/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Providers of membership are found by the scheme of their URL, in the library or as modules beside
 * it, and what is not found is told with where it was looked for.
 *
 * Threads: one.
 */
#include "node/membership.h"
#include "node/storage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_found(const char *url, const char *scheme, bool is_module)
{
    const troupe_membership_provider *found = NULL;
    void *module = NULL;
    char error[700] = "";
    if (tp_membership_find(url, &found, &module, error, sizeof error) != TROUPE_OK)
        fail_msg("%s", error);
    assert_string_equal(found->scheme, scheme);
    assert_true((module != NULL) == is_module);
    tp_provider_release(module);
}

static void a_scheme_finds_its_provider(void **state)
{
    (void)state;
    expect_found("file:dev", "file", false);
    const char *build = getenv("TROUPE_BUILD");
    static const char *const modules[] = {"redis", "postgres", "etcd"};
    for (size_t i = 0; build != NULL && i < sizeof modules / sizeof modules[0]; i++) {
        char path[500], url[64];
        snprintf(path, sizeof path, "%s/libtroupe_%s.so", build, modules[i]);
        if (access(path, R_OK) != 0)
            continue; /* its client library is not installed */
        assert_int_equal(setenv("TROUPE_PROVIDER_PATH", build, 1), 0);
        snprintf(url, sizeof url, "%s://host", modules[i]);
        expect_found(url, modules[i], true);
    }
}

static void expect_refused(const char *url, const char *word)
{
    const troupe_membership_provider *found = NULL;
    void *module = NULL;
    char error[700] = "";
    assert_int_equal(tp_membership_find(url, &found, &module, error, sizeof error), TROUPE_USAGE);
    assert_null(module);
    if (strstr(error, word) == NULL)
        fail_msg("%s: %s", url, error);
}

static void what_is_not_found_is_told_with_where_it_was_looked_for(void **state)
{
    (void)state;
    expect_refused("consul://host", "libtroupe_consul.so");
    expect_refused("consul://host", "membership");
    expect_refused("dev", "scheme");
    expect_refused("sqlite:db", "libtroupe_sqlite.so");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scheme_finds_its_provider),
        cmocka_unit_test(what_is_not_found_is_told_with_where_it_was_looked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
