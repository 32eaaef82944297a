/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A town on `sqlite:` whose disk is full for a while, one whose disk takes seconds for each sync,
 * and one with a record that was damaged: what cannot be stored is refused in time and in words,
 * nothing answered is lost, and one bad record stops one actor.
 *
 * Threads: one in the test's process; in the town any syncs.
 */
#include "town.h"

#include "providers/table.h"
#include "tests/store/servers.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEEDS = 900, FULL_AT = 60 };
#define FULL_FOR 2.0 /* seconds */
#define SLOW_FOR 9.0
#define SYNC     3 /* seconds that each sync takes then: more than the deadline */

typedef struct place {
    town_place town;
    test_server folder; /* runs nothing */
    char disk[240], file[260], ballast[260];
    bool is_mounted, is_full, is_slow, is_over;
    double since;
} place;

static town_siege siege;

static troupe_status open_store(void *user, const troupe_store_host *host, troupe_store **ret_store,
    char *error, size_t error_size)
{
    place *self = user;
    char url[300];
    snprintf(url, sizeof url, "sqlite:%s", self->file);
    return tp_sqlite_provider.open(host, url, ret_store, error, error_size);
}

static int make_place(void **state)
{
    static place self;
    self = (place){0};
    if (!server_make_folder(&self.folder, "crash"))
        return -1;
    snprintf(self.disk, sizeof self.disk, "%s/disk", self.folder.folder);
    snprintf(self.file, sizeof self.file, "%s/town.db", self.disk);
    snprintf(self.ballast, sizeof self.ballast, "%s/ballast", self.disk);
    if (mkdir(self.disk, 0700) != 0)
        return -1;
    self.town = (town_place){.name = "sqlite", .open = open_store, .user = &self};
    snprintf(self.town.folder, sizeof self.town.folder, "%s", self.folder.folder);
    *state = &self;
    return 0;
}

static int remove_place(void **state)
{
    place *self = *state;
    if (self->is_mounted)
        umount2(self->disk, MNT_DETACH);
    server_remove_folder(&self->folder);
    return 0;
}

/* ---- a full disk ---------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (double)moment.tv_sec + (double)moment.tv_nsec / 1e9;
}

static void fill(const place *self)
{
    static const char much[65536];
    int file = open(self->ballast, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(file >= 0);
    size_t size = sizeof much;
    while (size != 0)
        if (write(file, much, size) <= 0)
            size /= 2; /* the last bytes, too */
    close(file);
}

static bool suffer(void *user, uint32_t asked)
{
    place *self = user;
    if (self->is_over || asked < FULL_AT)
        return self->is_over;
    if (!self->is_full) {
        self->is_full = true;
        self->since = now();
        fill(self);
    } else if (now() - self->since > FULL_FOR && siege.statuses[TROUPE_UNAVAILABLE] != 0) {
        self->is_over = unlink(self->ballast) == 0;
    }
    return self->is_over;
}

static void a_full_disk_costs_errors_in_time_and_nothing_answered(void **state)
{
    place *at = *state;
    if (mount("tmpfs", at->disk, "tmpfs", 0, "size=12m") != 0) {
        printf("SKIPPED: no file system can be mounted here: a full disk was NOT tested\n");
        skip();
    }
    at->is_mounted = true;
    at->town.ask_timeout = TROUPE_SECONDS(2);
    town_siege_begin(&siege, &at->town, 7);
    town_siege_round(&siege, DEEDS, suffer, at);
    assert_true(siege.statuses[TROUPE_UNAVAILABLE] != 0);
    town_siege_end(&siege, 0);
}

/* ---- a slow disk ---------------------------------------------------------------------------- */

/* Shared with the town; NULL: no test of it has begun. */
static _Atomic uint32_t *sync_seconds, *syncs;

static void dawdle(void)
{
    if (sync_seconds == NULL || atomic_load(sync_seconds) == 0)
        return;
    atomic_fetch_add(syncs, 1);
    nanosleep(&(struct timespec){atomic_load(sync_seconds), 0}, NULL);
}

/* In place of the C library's, for this program and the sqlite that it is linked with. */
__attribute__((visibility("default"))) int fdatasync(int file)
{
    dawdle();
    return (int)syscall(SYS_fdatasync, file);
}

__attribute__((visibility("default"))) int fsync(int file)
{
    dawdle();
    return (int)syscall(SYS_fsync, file);
}

static bool bear(void *user, uint32_t asked)
{
    place *self = user;
    if (self->is_over || asked < FULL_AT)
        return self->is_over;
    if (!self->is_slow) {
        self->is_slow = true;
        self->since = now();
        atomic_store(sync_seconds, SYNC);
    } else if (now() - self->since > SLOW_FOR) {
        atomic_store(sync_seconds, 0);
        self->is_over = true;
    }
    return self->is_over;
}

static void a_disk_that_takes_seconds_costs_errors_in_time_and_nothing_answered(void **state)
{
    place *at = *state;
    _Atomic uint32_t *shared =
        mmap(NULL, 2 * sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    sync_seconds = shared;
    syncs = shared + 1;
    at->town.ask_timeout = TROUPE_SECONDS(2);
    town_siege_begin(&siege, &at->town, 9);
    town_siege_round(&siege, DEEDS, bear, at);
    assert_in_range(atomic_load(syncs), 2, UINT32_MAX);
    assert_true(siege.statuses[TROUPE_TIMEOUT] != 0);
    town_siege_end(&siege, 0);
    sync_seconds = syncs = NULL;
    munmap(shared, 2 * sizeof *shared);
}

/* ---- a damaged record ----------------------------------------------------------------------- */

static bool stay_calm(void *user, uint32_t asked)
{
    (void)user;
    (void)asked;
    return true;
}

/* Changes the last byte of the state of one actor. */
static void damage(const place *at, const char *id)
{
    static const char sql[] = "UPDATE actor SET state = CAST(substr(state, 1, length(state) - 1) "
                              "|| x'5a' AS BLOB) WHERE CAST(id AS TEXT) = ?";
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open(at->file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_DONE);
    assert_int_equal(sqlite3_changes(db), 1);
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static town_answer ask(town *self, uint32_t kind, uint32_t from)
{
    town_answer answer;
    bool gone = false;
    town_deed deed = {.kind = kind, .slot = TOWN_SLOTS - 1, .from = from};
    town_ask(self, &deed);
    assert_true(town_hear(self, 30000, &answer, &gone));
    return answer;
}

static void a_damaged_record_stops_one_actor_which_is_named(void **state)
{
    place *at = *state;
    town here;
    town_siege_begin(&siege, &at->town, 8);
    town_siege_round(&siege, 100, stay_calm, NULL);
    damage(at, "tally/0-2");
    assert_true(town_start(&here, &at->town, NULL));
    for (uint32_t i = 0; i < TOWN_TALLIES; i++) {
        town_answer got = ask(&here, TOWN_ADD, i);
        assert_int_equal(got.status, i == 2 ? TROUPE_CORRUPT : TROUPE_OK);
        if (i == 2 && strstr(got.words, "tally/0-2") == NULL)
            fail_msg("'%s' does not name the actor", got.words);
    }
    for (uint32_t i = 0; i < TOWN_ACCOUNTS; i++)
        assert_int_equal(ask(&here, TOWN_SHOW, i).status, TROUPE_OK);
    assert_true(town_stop(&here, &at->town));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_full_disk_costs_errors_in_time_and_nothing_answered, make_place, remove_place),
        cmocka_unit_test_setup_teardown(
            a_disk_that_takes_seconds_costs_errors_in_time_and_nothing_answered, make_place,
            remove_place),
        cmocka_unit_test_setup_teardown(
            a_damaged_record_stops_one_actor_which_is_named, make_place, remove_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
