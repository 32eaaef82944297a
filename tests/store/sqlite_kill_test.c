/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sqlite:` on a real disk with real syncs: a process that commits is killed (SIGKILL) in the
 * middle, again and again, and all that it had said OK to is found by the next one; and a second
 * process is kept off the file while the first one lives.
 *
 * Threads: one in each process; the child says what was answered through a pipe.
 */
#include "base/alloc.h"
#include "providers/table.h"

#include <troupe.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ACTORS = 8, ROUNDS = 12 };

static troupe_status open_store(const char *url, troupe_store **ret_store, char *error, size_t size)
{
    const troupe_store_host host = {.size = sizeof host, .allocator = tp_allocator_system()};
    return tp_sqlite_provider.open(&host, url, ret_store, error, size);
}

static void must(bool truth)
{
    if (!truth)
        _exit(3);
}

/* Commits to all actors, version after version, and says each version after it was answered. */
static void commit_until_killed(const char *url, uint64_t writer, uint64_t version, int out)
{
    static char keys[ACTORS][8];
    troupe_store *store = NULL;
    char error[400];
    must(open_store(url, &store, error, sizeof error) == TROUPE_OK);
    troupe_store_op opening = {.kind = TROUPE_STORE_OPEN_WRITER, .writer = writer};
    troupe_store_op *one = &opening;
    store->run(store, &one, 1);
    must(opening.status == TROUPE_OK);
    for (;; version++) {
        troupe_store_op ops[ACTORS], *list[ACTORS];
        uint64_t state = version + 1;
        for (size_t i = 0; i < ACTORS; i++) {
            snprintf(keys[i], sizeof keys[i], "%zu", i);
            ops[i] = (troupe_store_op){.kind = TROUPE_STORE_COMMIT,
                .id = troupe_id_of("user", keys[i]),
                .writer = writer,
                .version = version,
                .allocator = tp_allocator_system(),
                .commit = {.has_state = true, .state = troupe_slice_of(&state, sizeof state)}};
            list[i] = &ops[i];
        }
        store->run(store, list, ACTORS);
        for (size_t i = 0; i < ACTORS; i++)
            must(ops[i].status == TROUPE_OK);
        must(write(out, &state, sizeof state) == (ssize_t)sizeof state);
    }
}

/* The version that all actors have; they were committed in one group. */
static uint64_t find_version(const char *url)
{
    troupe_store *store = NULL;
    char error[400] = "", key[8];
    uint64_t version = 0;
    if (open_store(url, &store, error, sizeof error) != TROUPE_OK)
        fail_msg("%s", error);
    for (size_t i = 0; i < ACTORS; i++) {
        snprintf(key, sizeof key, "%zu", i);
        troupe_store_op load = {.kind = TROUPE_STORE_LOAD,
            .id = troupe_id_of("user", key),
            .allocator = tp_allocator_system()};
        troupe_store_op *one = &load;
        store->run(store, &one, 1);
        assert_int_equal(load.status, TROUPE_OK);
        uint64_t state = 0;
        if (load.items != NULL)
            memcpy(&state, load.items->value.data, sizeof state);
        assert_int_equal(state, load.found);
        assert_true(i == 0 || load.found == version);
        version = load.found;
        troupe_store_release(&load);
    }
    store->close(store);
    return version;
}

typedef struct place {
    char folder[200];
    char url[240];
} place;

static int make_place(void **state)
{
    static place self;
    const char *temporary = getenv("TMPDIR");
    snprintf(self.folder, sizeof self.folder, "%s/troupe-kill-XXXXXX",
        temporary != NULL ? temporary : "/tmp");
    if (mkdtemp(self.folder) == NULL)
        return -1;
    snprintf(self.url, sizeof self.url, "sqlite:%s/a.db?log=60", self.folder);
    *state = &self;
    return 0;
}

static int remove_place(void **state)
{
    static const char *const ends[] = {"", "-wal", "-lock", "-journal"};
    const place *self = *state;
    char path[256];
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        snprintf(path, sizeof path, "%s/a.db%s", self->folder, ends[i]);
        unlink(path);
    }
    return rmdir(self->folder);
}

static pid_t start_child(const place *at, uint64_t writer, uint64_t version, int *ret_from)
{
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(pipes[0]);
        commit_until_killed(at->url, writer, version, pipes[1]);
    }
    close(pipes[1]);
    *ret_from = pipes[0];
    return child;
}

static void what_a_killed_process_answered_is_there(void **state)
{
    const place *at = *state;
    uint64_t version = 0;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        int from = -1, how = 0;
        pid_t child = start_child(at, round + 1, version, &from);
        uint64_t answered = version, said = 0;
        for (uint64_t i = 0; i < 5 + round * 7 && read(from, &said, sizeof said) == 8; i++)
            answered = said;
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &how, 0), child);
        assert_true(WIFSIGNALED(how));
        while (read(from, &said, sizeof said) == 8)
            answered = said;
        close(from);
        assert_true(answered > version);
        version = find_version(at->url);
        assert_true(version == answered || version == answered + 1);
    }
}

static void a_second_process_is_refused_and_told_who_has_the_file(void **state)
{
    const place *at = *state;
    char error[400] = "", number[32];
    troupe_store *store = NULL, *again = NULL;
    int from = -1, how = 0;
    uint64_t said = 0;
    pid_t child = start_child(at, 1, 0, &from);
    assert_int_equal(read(from, &said, sizeof said), 8);
    assert_int_equal(open_store(at->url, &store, error, sizeof error), TROUPE_UNAVAILABLE);
    snprintf(number, sizeof number, "process %ld:", (long)child);
    if (strstr(error, number) == NULL)
        fail_msg("%s", error);
    assert_null(store);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &how, 0), child);
    close(from);
    assert_int_equal(open_store(at->url, &store, error, sizeof error), TROUPE_OK);
    /* Nor may this process open it twice. */
    assert_int_equal(open_store(at->url, &again, error, sizeof error), TROUPE_UNAVAILABLE);
    assert_null(again);
    store->close(store);
}

static void a_file_that_is_not_ours_is_refused_with_words(void **state)
{
    const place *at = *state;
    char path[256], error[400] = "";
    troupe_store *store = NULL;
    snprintf(path, sizeof path, "%s/a.db", at->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 500; i++)
        fputs("this is no database", file);
    fclose(file);
    assert_int_equal(open_store(at->url, &store, error, sizeof error), TROUPE_CORRUPT);
    assert_non_null(strstr(error, "no database"));
    assert_int_equal(
        open_store("sqlite:/nowhere/at/all/a.db", &store, error, sizeof error), TROUPE_UNAVAILABLE);
    assert_non_null(strstr(error, "/nowhere/at/all/a.db"));
    assert_int_equal(open_store("sqlite:", &store, error, sizeof error), TROUPE_USAGE);
    assert_int_equal(open_store("sqlite:a.db?speed=9", &store, error, sizeof error), TROUPE_USAGE);
    assert_non_null(strstr(error, "speed"));
    assert_null(store);
}

#define ON_A_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_PLACE(what_a_killed_process_answered_is_there),
        ON_A_PLACE(a_second_process_is_refused_and_told_who_has_the_file),
        ON_A_PLACE(a_file_that_is_not_ours_is_refused_with_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
