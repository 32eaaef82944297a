/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to towns on servers; see served.h.
 *
 * Threads: the test's one.
 */
#include "served.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { DEEDS = 320 };
#define OUTAGE   3.5 /* seconds */
#define DEADLINE TROUPE_SECONDS(2)

static town_siege siege;

static double now(void)
{
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (double)moment.tv_sec + (double)moment.tv_nsec / 1e9;
}

static troupe_status open_store(void *user, const troupe_store_host *host, troupe_store **ret_store,
    char *error, size_t error_size)
{
    served *self = user;
    return self->open(
        host, self->by_cable ? self->cable_url : self->url, ret_store, error, error_size);
}

bool served_begin(served *self)
{
    if (!server_make_folder(&self->folder, "crash"))
        return false;
    self->town = (town_place){.name = self->name, .open = open_store, .user = self};
    snprintf(self->town.folder, sizeof self->town.folder, "%s", self->folder.folder);
    return true;
}

void served_end(served *self)
{
    cable_close(&self->line);
    server_remove_folder(&self->folder);
}

static void node_dies(served *self, uint32_t kills)
{
    self->town.ask_timeout = 0;
    town_siege_begin(&siege, &self->town, 2);
    town_siege_run(&siege, kills);
    town_siege_end(&siege, 0);
}

/* ---- the server is killed ------------------------------------------------------------------- */

typedef struct fight {
    served *of;
    uint32_t kills, most, next; /* when so many were asked */
} fight;

static bool kill_server(void *user, uint32_t asked)
{
    fight *self = user;
    if (self->kills == self->most || asked < self->next)
        return self->kills == self->most;
    nanosleep(&(struct timespec){0, rand() % 4000000}, NULL);
    self->of->crash(self->of->user);
    assert_true(self->of->start(self->of->user));
    self->kills++;
    self->next += 15;
    return false;
}

static void server_dies(served *self, uint32_t kills)
{
    fight with = {.of = self, .most = kills, .next = 30};
    self->town.ask_timeout = 0; /* this process starts servers meanwhile, and hears late */
    town_siege_begin(&siege, &self->town, 3);
    siege.ledger.age = 8; /* actors that no other test has */
    town_siege_round(&siege, 30 + 15 * kills, kill_server, &with);
    siege.kills = with.kills;
    town_siege_end(&siege, 0);
}

/* ---- outages -------------------------------------------------------------------------------- */

typedef struct outage {
    served *of;
    void (*begin)(served *of);
    void (*end)(served *of);
    double since; /* 0: not yet */
    bool over;
} outage;

static bool suffer(void *user, uint32_t asked)
{
    outage *self = user;
    if (self->over || asked < 40)
        return self->over;
    if (self->since == 0) {
        self->since = now();
        self->begin(self->of);
    } else if (now() - self->since > OUTAGE) {
        self->end(self->of);
        self->over = true;
    }
    return self->over;
}

static void suffer_all(
    served *self, uint32_t age, void (*begin)(served *of), void (*end)(served *of))
{
    outage from = {.of = self, .begin = begin, .end = end};
    self->town.ask_timeout = DEADLINE;
    town_siege_begin(&siege, &self->town, age);
    siege.ledger.age = age;
    town_siege_round(&siege, DEEDS, suffer, &from);
    assert_true(from.over);
    town_siege_end(&siege, 0);
}

static void pause_server(served *self)
{
    assert_true(self->halt(self->user, true));
}

static void continue_server(served *self)
{
    assert_true(self->halt(self->user, false));
}

static void stop_server(served *self)
{
    server_end(self->server, SIGINT);
}

static void start_server(served *self)
{
    assert_true(self->start(self->user));
}

static void stall(served *self)
{
    cable_do(&self->line, CABLE_STALLS);
}

static void pass(served *self)
{
    cable_do(&self->line, CABLE_PASSES);
}

static void unplug(served *self)
{
    cable_do(&self->line, CABLE_UNPLUGGED);
}

static void server_stands_still(served *self)
{
    suffer_all(self, 20, pause_server, continue_server);
}

static void server_is_away(served *self)
{
    suffer_all(self, 22, stop_server, start_server);
}

/* Every few deeds. */
static bool cut_often(void *user, uint32_t asked)
{
    fight *self = user;
    if (self->kills == self->most || asked < self->next)
        return self->kills == self->most;
    cable_do(&self->of->line, CABLE_CUTS);
    self->kills++;
    self->next += 10;
    return false;
}

static void line_fails(served *self)
{
    assert_true(cable_open(&self->line, self->cable, self->socket));
    self->by_cable = true;
    suffer_all(self, 24, stall, pass);
    suffer_all(self, 26, unplug, pass);
    fight with = {.of = self, .most = 30, .next = 10};
    town_siege_begin(&siege, &self->town, 5);
    siege.ledger.age = 28;
    town_siege_round(&siege, DEEDS, cut_often, &with);
    town_siege_end(&siege, 0);
    self->by_cable = false;
    cable_close(&self->line);
}

/* ---- the tests of a program ----------------------------------------------------------------- */

static void a_node_that_is_killed_has_lost_nothing(void **state)
{
    node_dies(*state, town_scale(60));
}

static void a_server_that_is_killed_has_lost_nothing(void **state)
{
    server_dies(*state, town_scale(25));
}

static void a_server_that_stands_still_costs_errors_in_time(void **state)
{
    server_stands_still(*state);
}

static void a_server_that_was_away_is_found_again(void **state)
{
    server_is_away(*state);
}

static void a_line_that_stalls_and_breaks_loses_nothing(void **state)
{
    line_fails(*state);
}

int served_main(int count, char **words, int (*begin)(void **state), int (*end)(void **state))
{
    if (count > 1)
        cmocka_set_test_filter(words[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_that_is_killed_has_lost_nothing),
        cmocka_unit_test(a_server_that_is_killed_has_lost_nothing),
        cmocka_unit_test(a_server_that_stands_still_costs_errors_in_time),
        cmocka_unit_test(a_server_that_was_away_is_found_again),
        cmocka_unit_test(a_line_that_stalls_and_breaks_loses_nothing),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
