/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of control groups, of trees of files as Linux has them: version 2, version 1, containers,
 * and what is no limit.
 *
 * Invariants: the trees are in a folder of the test's own. Threads: one.
 */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/cgroup.h"

#define NONE UINT64_MAX

static char root[64];

static void write_file(const char *name, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void assert_limits(const char *own, uint64_t cores, uint64_t memory)
{
    tp_cgroup_limits limits = tp_cgroup_read(root, own);
    assert_true(limits.cores == cores);
    assert_true(limits.memory == memory);
}

static void without_groups_there_is_no_limit(void **state)
{
    (void)state;
    assert_limits("", NONE, NONE);
    assert_limits("0::/\n", NONE, NONE);
    assert_limits("0::/a/b\n4:memory:/c\n3:cpu:/d\nnonsense\n5:\n6:x", NONE, NONE);
}

static void the_least_of_the_groups_around_counts(void **state)
{
    (void)state;
    write_file("shop/node/cpu.max", "400000 100000\n");
    write_file("shop/node/memory.max", "max\n");
    assert_limits("0::/shop/node\n", 4, NONE);
    write_file("shop/cpu.max", "250000 100000\n");
    write_file("shop/memory.max", "1073741824\n");
    assert_limits("0::/shop/node\n", 2, 1073741824);
    assert_limits("0::/shop\n", 2, 1073741824);
    assert_limits("0::/other\n", NONE, NONE);
    write_file("cpu.max", "max 100000\n");
    assert_limits("0::/shop/node\n", 2, 1073741824);
    /* In a container: the path is the host's, the limits are at the root. */
    write_file("cpu.max", "50000 100000\n");
    write_file("memory.max", "536870912\n");
    assert_limits("0::/kubepods/pod1/x\n", 1, 536870912);
    assert_limits("0::/", 1, 536870912);
}

static void version_1_has_a_tree_for_each_controller(void **state)
{
    (void)state;
    write_file("cpu/shop/cpu.cfs_quota_us", "300000\n");
    write_file("cpu/shop/cpu.cfs_period_us", "100000\n");
    write_file("memory/shop/memory.limit_in_bytes", "268435456\n");
    assert_limits("5:cpuacct,cpu:/shop\n4:memory:/shop\n0::/\n", 3, 268435456);
    assert_limits("5:cpuacct,cpux:/shop\n4:memoryx:/shop\n", NONE, NONE);
    write_file("cpu/cpu.cfs_quota_us", "-1\n");
    write_file("cpu/cpu.cfs_period_us", "100000\n");
    write_file("memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_limits("5:cpuacct,cpu:/shop\n4:memory:/shop\n", 3, 268435456);
    assert_limits("5:cpu,cpuacct:/\n4:memory:/\n", NONE, 9223372036854771712u);
}

static void what_makes_no_sense_is_no_limit(void **state)
{
    (void)state;
    write_file("a/cpu.max", "");
    write_file("a/memory.max", "");
    write_file("b/cpu.max", "100000");
    write_file("b/memory.max", "lots");
    write_file("c/cpu.max", "100000 0");
    write_file("c/memory.max", "0");
    assert_limits("0::/a\n", NONE, NONE);
    assert_limits("0::/b\n", NONE, NONE);
    assert_limits("0::/c\n", NONE, NONE);
}

static void of_this_process_there_is_an_answer(void **state)
{
    (void)state;
    tp_cgroup_limits limits = tp_cgroup_own();
    assert_true(limits.cores > 0 && limits.memory > 0);
}

static int prepare(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof(root), "/tmp/troupe-cgroup.XXXXXX");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    return remove(path);
}

static int clean(void **state)
{
    (void)state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_groups_there_is_no_limit, prepare, clean),
        cmocka_unit_test_setup_teardown(the_least_of_the_groups_around_counts, prepare, clean),
        cmocka_unit_test_setup_teardown(version_1_has_a_tree_for_each_controller, prepare, clean),
        cmocka_unit_test_setup_teardown(what_makes_no_sense_is_no_limit, prepare, clean),
        cmocka_unit_test(of_this_process_there_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
