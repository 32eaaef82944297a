/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rounds of asking, killing and auditing; see town.h.
 *
 * Threads: the test's one.
 */
#include "town.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { WINDOW = 24, ROUND_MOST = 64, PATIENCE = 60, SLACK = 2, TRIES = 40 };

/* Where the town kills itself: points.def. */
static const struct {
    const char *name;
    bool errs, is_of_sqlite;
} points[] = {
#define TOWN_POINT(name, errs, sqlite) {name, errs, sqlite},
#define TOWN_NO_POINT(name, why)
#include "points.def"
#undef TOWN_POINT
#undef TOWN_NO_POINT
};
enum { POINTS = sizeof points / sizeof points[0] };

_Static_assert(sizeof points / sizeof points[0] <= TOWN_POINTS, "a siege counts for each");

/* Has this town that point? */
static bool has(const town_siege *self, uint32_t point)
{
    return self->ledger.place->is_sqlite || !points[point].is_of_sqlite;
}

static double now(void)
{
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (double)moment.tv_sec + (double)moment.tv_nsec / 1e9;
}

static uint32_t chance(town_siege *self)
{
    self->seed = self->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(self->seed >> 33);
}

uint32_t town_scale(uint32_t count)
{
    const char *scale = getenv("TROUPE_CRASH");
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    count = count / 5 + 1;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
    count = count / 5 + 1;
#endif
#endif
    return scale != NULL ? (uint32_t)((uint64_t)count * strtoul(scale, NULL, 10) / 100) : count;
}

void town_siege_begin(town_siege *self, const town_place *place, uint64_t seed)
{
    memset(self, 0, sizeof *self);
    self->ledger.place = place;
    self->seed = seed;
    self->since = now();
}

/* ---- asking --------------------------------------------------------------------------------- */

typedef struct flow {
    town town;
    uint32_t open, asked;
    bool gone;
} flow;

static void ask(flow *self, town_entry *entry)
{
    entry->fate = TOWN_ASKED;
    entry->asked = now();
    self->open++;
    self->asked++;
    town_ask(&self->town, &entry->deed);
}

/* What is once and was not answered is asked again; at most `most` at a time. */
static void ask_again(town_siege *siege, flow *self, uint32_t most)
{
    town_ledger *ledger = &siege->ledger;
    for (uint32_t slot = 0; slot < ledger->used && self->open < most; slot++)
        if (ledger->entries[ledger->age][slot].fate == TOWN_PENDING)
            ask(self, &ledger->entries[ledger->age][slot]);
}

static void ask_new(town_siege *siege, flow *self, uint32_t most)
{
    while (self->open < WINDOW && self->asked < most) {
        town_entry *entry = town_ledger_new(&siege->ledger, chance(siege));
        if (entry == NULL)
            return;
        ask(self, entry);
    }
}

/* An answer comes before its deadline, some slack for a busy machine, and says what is wrong. */
static void check_answer(const town_siege *siege, const town_answer *answer)
{
    const town_place *place = siege->ledger.place;
    double took = now() - siege->ledger.entries[answer->of.age][answer->of.slot].asked;
    if (place->ask_timeout != 0 && took > (double)place->ask_timeout / 1e9 + SLACK)
        fail_msg("%s: deed %u was answered %s after %.1f s", place->name, answer->of.slot,
            troupe_status_name(answer->status), took);
    if (answer->status != TROUPE_OK && answer->words[0] == '\0')
        fail_msg("%s: deed %u was answered %s without words", place->name, answer->of.slot,
            troupe_status_name(answer->status));
}

static void hear(town_siege *siege, flow *self, int milliseconds)
{
    town_answer answer;
    while (town_hear(&self->town, milliseconds, &answer, &self->gone)) {
        milliseconds = 0;
        if (answer.of.kind == TOWN_SHOW)
            continue;
        self->open--;
        check_answer(siege, &answer);
        siege->statuses[answer.status >= 0 && answer.status < 32 ? answer.status : 31]++;
        town_ledger_answer(&siege->ledger, &answer);
    }
}

/* ---- killing -------------------------------------------------------------------------------- */

/* A moment after the node has opened, or (not NULL) a point; returns whether that was reached. */
static bool attack(town_siege *siege, const town_aim *point)
{
    flow self = {0};
    if (!town_start(&self.town, siege->ledger.place, point)) {
        town_bury(&self.town, siege->ledger.place);
        return true; /* a point of the node's opening */
    }
    uint32_t most = 8 + chance(siege) % ROUND_MOST;
    double end = now() + (point != NULL ? 1.2 : (double)(chance(siege) % 40000) / 1e6);
    while (!self.gone && now() < end) {
        ask_again(siege, &self, WINDOW);
        ask_new(siege, &self, most);
        hear(siege, &self, point != NULL ? 20 : 1);
        if (point != NULL && self.open == 0 && self.asked >= most && end > now() + 0.15)
            end = now() + 0.15; /* for what comes by itself */
    }
    bool reached = point != NULL && self.gone;
    town_kill(&self.town);
    while (!self.gone)
        hear(siege, &self, 1000);
    town_bury(&self.town, siege->ledger.place);
    town_ledger_lost(&siege->ledger);
    return reached;
}

/* False: it was not reached; the next time its first occurrence will do. */
static bool attack_at(town_siege *self, uint32_t point)
{
    town_aim aim = {.point = points[point].name,
        .nth = self->missed[point] ? 1 : 1 + chance(self) % 5,
        .errs = points[point].errs};
    bool reached = attack(self, &aim);
    self->missed[point] = !reached;
    self->hits[point] += reached;
    self->by_point += reached;
    return reached;
}

static void audit(town_siege *self)
{
    self->kills++;
    town_ledger_audit(&self->ledger, self->ledger.age, false);
    if (self->ledger.used > TOWN_SLOTS - 2 * ROUND_MOST)
        town_siege_settle(self);
}

void town_siege_run(town_siege *self, uint32_t kills)
{
    for (uint32_t i = 0; i < kills; i++) {
        if (i % 3 == 0) {
            attack(self, NULL);
        } else {
            while (!has(self, self->point % POINTS))
                self->point++;
            attack_at(self, self->point++ % POINTS);
        }
        audit(self);
    }
}

static uint32_t point_of(const char *name)
{
    for (uint32_t point = 0; point < POINTS; point++)
        if (strcmp(points[point].name, name) == 0)
            return point;
    fail_msg("there is no point '%s'", name);
    return 0;
}

/* Leaves calls behind that were begun, or done, and not answered: some points are reached by what
 * asks them again only, and an attempt in vain ends in peace. */
static void unsettle(town_siege *self, uint32_t tries)
{
    static const char *const names[] = {"gate opens", NULL, "once begun", "reply left"};
    const char *name = names[tries % (sizeof names / sizeof names[0])];
    if (name != NULL)
        attack_at(self, point_of(name));
    else
        attack(self, NULL);
    audit(self);
}

/* Those that chance has left out. */
static void make_up(town_siege *self, uint32_t least)
{
    for (uint32_t point = 0; point < POINTS; point++) {
        uint32_t tries = 0;
        for (; has(self, point) && self->hits[point] < least && tries < TRIES; tries++) {
            unsettle(self, tries);
            attack_at(self, point);
            audit(self);
        }
        if (tries == TRIES)
            fail_msg("%s: '%s' killed %u times only", self->ledger.place->name, points[point].name,
                self->hits[point]);
    }
}

/* ---- in peace ------------------------------------------------------------------------------- */

static bool all_answered(town_siege *siege, flow *self)
{
    ask_again(siege, self, WINDOW);
    if (self->open != 0)
        hear(siege, self, 20);
    return self->open == 0 && town_ledger_count(&siege->ledger, TOWN_PENDING) == 0;
}

/* Is all money where it should be? Nobody sends any: what is missing is on its way. */
static bool is_settled(town_siege *siege, flow *self)
{
    int64_t sum = 0, open = 0;
    for (uint32_t i = 0; i < TOWN_ACCOUNTS; i++) {
        town_deed show = {.kind = TOWN_SHOW, .age = siege->ledger.age, .from = i};
        town_answer answer;
        town_ask(&self->town, &show);
        if (!town_hear(&self->town, PATIENCE * 1000, &answer, &self->gone))
            fail_msg("%s: an account does not answer", siege->ledger.place->name);
        if (answer.status != TROUPE_OK)
            return false;
        sum += answer.balance;
        open += answer.open;
    }
    return sum == 0 && open == 0;
}

static void until(
    town_siege *siege, flow *self, bool (*holds)(town_siege *, flow *), const char *what)
{
    double end = now() + PATIENCE;
    while (!holds(siege, self)) {
        if (self->gone || now() > end) {
            town_kill(&self->town);
            town_show_log(siege->ledger.place);
            fail_msg("%s, age %u: %s: %s", siege->ledger.place->name, siege->ledger.age, what,
                self->gone ? "the town died" : "for a minute");
        }
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
}

void town_siege_settle(town_siege *self)
{
    flow peace = {0};
    assert_true(town_start(&peace.town, self->ledger.place, NULL));
    until(self, &peace, all_answered, "not all was answered");
    until(self, &peace, is_settled, "money is under way");
    if (!town_stop(&peace.town, self->ledger.place))
        fail_msg("%s: the node does not close well", self->ledger.place->name);
    town_ledger_audit(&self->ledger, self->ledger.age, true);
    self->ledger.age++;
    self->ledger.used = 0;
    assert_true(self->ledger.age < TOWN_AGES);
}

void town_siege_end(town_siege *self, uint32_t least)
{
    const town_ledger *ledger = &self->ledger;
    make_up(self, least);
    town_siege_settle(self);
    for (uint32_t age = 0; age < self->ledger.age; age++)
        town_ledger_audit(&self->ledger, age, true);
    printf("%s: %u kills, %u of them at points, %.0f s, %u ages; answers: %llu done, %llu not "
           "done, %llu interrupted, %llu lost, %llu asked again; %llu audits\n",
        ledger->place->name, self->kills, self->by_point, now() - self->since, ledger->age,
        (unsigned long long)ledger->counts[TOWN_DONE],
        (unsigned long long)ledger->counts[TOWN_NOT_DONE],
        (unsigned long long)ledger->counts[TOWN_INTERRUPTED],
        (unsigned long long)ledger->counts[TOWN_UNKNOWN],
        (unsigned long long)ledger->counts[TOWN_PENDING], (unsigned long long)ledger->audits);
    for (int32_t i = 1; i < 31; i++)
        if (self->statuses[i] != 0)
            printf("  %-24s %u answers\n", troupe_status_name(i), self->statuses[i]);
    for (uint32_t i = 0; self->by_point != 0 && i < POINTS; i++)
        if (has(self, i))
            printf("  %-34s %u\n", points[i].name, self->hits[i]);
}

void town_siege_round(
    town_siege *siege, uint32_t count, bool (*meanwhile)(void *user, uint32_t asked), void *user)
{
    flow self = {0};
    assert_true(town_start(&self.town, siege->ledger.place, NULL));
    bool over = false;
    while (self.asked < count || !over) {
        ask_new(siege, &self, self.asked < count ? self.asked + 1 : 0);
        over = meanwhile(user, self.asked);
        hear(siege, &self, 1);
        if (self.gone)
            town_show_log(siege->ledger.place);
        assert_false(self.gone);
    }
    until(siege, &self, all_answered, "not all was answered");
    assert_true(town_stop(&self.town, siege->ledger.place));
    town_ledger_audit(&siege->ledger, siege->ledger.age, false);
}
