/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A town on `sqlite:` is killed some hundred times, at chance moments and at every named point, and
 * each time all that it had answered is found, and nothing twice.
 *
 *   TROUPE_CRASH=1000   ten times as many kills
 *
 * Threads: one in the test's process.
 */
#include "town.h"

#include "providers/table.h"
#include "shard/shard.h"
#include "tests/store/servers.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { KILLS = 400 };

typedef struct place {
    town_place town;
    test_server folder; /* runs nothing */
    char file[240];
} place;

static town_siege siege;
static uint64_t planted; /* mistakes, in a run that must fail */

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
    snprintf(self.file, sizeof self.file, "%s/town.db", self.folder.folder);
    self.town = (town_place){
        .name = "sqlite", .open = open_store, .user = &self, .is_sqlite = true, .mutants = planted};
    snprintf(self.town.folder, sizeof self.town.folder, "%s", self.folder.folder);
    *state = &self;
    return 0;
}

static int remove_place(void **state)
{
    place *self = *state;
    server_remove_folder(&self->folder);
    return 0;
}

static int note_first(void *user, int count, char **values, char **names)
{
    (void)names;
    snprintf(user, 64, "%s", count > 0 && values[0] != NULL ? values[0] : "");
    return 0;
}

static void check_integrity(const place *at)
{
    sqlite3 *db = NULL;
    char said[64] = "";
    assert_int_equal(sqlite3_open(at->file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA integrity_check", note_first, said, NULL), SQLITE_OK);
    assert_string_equal(said, "ok");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void nothing_answered_is_lost_and_nothing_happens_twice(void **state)
{
    place *at = *state;
    uint32_t kills = town_scale(KILLS);
    town_siege_begin(&siege, &at->town, 1);
    for (uint32_t done = 0; done < kills; done += 40) {
        town_siege_run(&siege, kills - done < 40 ? kills - done : 40);
        check_integrity(at);
    }
    town_siege_end(&siege, kills >= KILLS ? 1 : 0);
    check_integrity(at);
}

/* This program again, with a mistake in the runtime. */
static void see(place *at, unsigned mutant)
{
    char number[32];
    snprintf(number, sizeof number, "%llu", 1ull << mutant);
    const char *const argv[] = {"/proc/self/exe", number, NULL};
    if (server_run(&at->folder, argv) != 1)
        fail_msg("mutant %u was not seen", mutant);
}

static void planted_mistakes_are_seen(void **state)
{
    place *at = *state;
    see(at, TP_MUTANT_NO_GATE);
    see(at, TP_MUTANT_RUN_TWICE);
    see(at, TP_MUTANT_RING_TWICE);
}

int main(int count, char **words)
{
    if (count > 1) {
        planted = strtoull(words[1], NULL, 10);
        const struct CMUnitTest test[] = {cmocka_unit_test_setup_teardown(
            nothing_answered_is_lost_and_nothing_happens_twice, make_place, remove_place)};
        return cmocka_run_group_tests(test, NULL, NULL);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            nothing_answered_is_lost_and_nothing_happens_twice, make_place, remove_place),
        cmocka_unit_test_setup_teardown(planted_mistakes_are_seen, make_place, remove_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
