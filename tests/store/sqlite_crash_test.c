/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sqlite:` when the power fails: random commits on the simulated disk, which loses, tears and
 * reorders what was not synced, and fails now and then before. Each commit of a scene writes a
 * state, a row, and an event that all hold the same number, so that half a commit shows.
 *
 * One seed again: SQLITE_CRASH_SEED=n. More of them: SQLITE_CRASH_SEEDS=n.
 *
 * Threads: one.
 */
#include "base/alloc.h"
#include "base/prng.h"
#include "providers/table.h"
#include "testkit/sim_disk.h"

#include <troupe.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ACTORS = 24, GROUP = 12, LIVES = 4, STATE_MOST = 3000 };

/* What a caller knows of an actor. */
typedef struct actor {
    uint64_t version; /* the last that was answered OK, or found */
    uint64_t number;  /* in it; 0: none */
    uint64_t pending; /* of the commit on top, if its outcome is not known; 0: there is none */
} actor;

typedef struct scene {
    uint64_t seed;
    tp_prng prng;
    tp_sim_disk *disk;
    troupe_store *store; /* NULL: closed */
    uint64_t writer;
    uint64_t numbers;
    actor actors[ACTORS];
    size_t answered; /* OK */
    size_t unknown;
    size_t refused;
} scene;

#define MUST(self, truth, ...)                                                           \
    do {                                                                                 \
        if (!(truth)) {                                                                  \
            print_message("SQLITE_CRASH_SEED=%llu: ", (unsigned long long)(self)->seed); \
            fail_msg(__VA_ARGS__);                                                       \
        }                                                                                \
    } while (0)

static troupe_status open_store(scene *self, char *error, size_t size)
{
    char url[120];
    troupe_store_host host = {.size = sizeof host, .allocator = tp_allocator_system()};
    snprintf(url, sizeof url, "sqlite:a.db?log=20&cache=1&page=1024&vfs=%s",
        tp_sim_disk_name(self->disk));
    return tp_sqlite_provider.open(&host, url, &self->store, error, size);
}

static void close_store(scene *self)
{
    if (self->store != NULL)
        self->store->close(self->store);
    self->store = NULL;
}

static troupe_status run_one(scene *self, troupe_store_op *op)
{
    troupe_store_op *ops[] = {op};
    op->allocator = tp_allocator_system();
    self->store->run(self->store, ops, 1);
    return op->status;
}

static troupe_id id_of(size_t at, char *room, size_t size)
{
    snprintf(room, size, "%zu", at);
    return troupe_id_of("user", room);
}

/* ---- a group of commits -------------------------------------------------------------------- */

typedef struct plan {
    troupe_store_op op;
    troupe_store_row row;
    troupe_store_event event;
    uint64_t number;
    size_t at;
    char key[24];
    uint64_t state[STATE_MOST / 8];
} plan;

static size_t size_of(uint64_t number)
{
    return 8 * (1 + (size_t)(number * UINT64_C(0x9e3779b97f4a7c15) >> 40) % (STATE_MOST / 8 - 1));
}

static void fill_plan(scene *self, plan *to, size_t at, uint64_t version, uint64_t number)
{
    size_t words = size_of(number) / 8;
    to->number = number;
    to->at = at;
    for (size_t i = 0; i < words; i++)
        to->state[i] = number;
    to->row = (troupe_store_row){.kind = TROUPE_ROW_ONCE,
        .key = troupe_str("number"),
        .value = troupe_slice_of(&to->number, 8)};
    to->event = (troupe_store_event){troupe_str("set"), troupe_slice_of(&to->number, 8)};
    to->op = (troupe_store_op){.kind = TROUPE_STORE_COMMIT,
        .id = id_of(at, to->key, sizeof to->key),
        .writer = self->writer,
        .version = version,
        .allocator = tp_allocator_system()};
    to->op.commit = (troupe_store_commit){.has_state = true,
        .snapshot = number % 3 == 0,
        .state = troupe_slice_of(to->state, words * 8),
        .rows = &to->row,
        .row_count = 1,
        .events = &to->event,
        .event_count = 1,
        .wake = number % 4 == 0 ? number : 0,
        .time = number};
}

static void take_answer(scene *self, const plan *did)
{
    actor *who = &self->actors[did->at];
    switch (did->op.status) {
    case TROUPE_OK:
        MUST(self, did->op.version == who->version, "OK on another version");
        *who = (actor){who->version + 1, did->number, 0};
        self->answered++;
        break;
    case TROUPE_UNKNOWN:
        who->pending = did->number;
        self->unknown++;
        break;
    case TROUPE_UNAVAILABLE:
        who->pending = 0; /* nor will what was sent before be: something was written over it */
        self->refused++;
        break;
    default:
        MUST(self, false, "user/%zu: a commit ended with %s", did->at,
            troupe_status_name(did->op.status));
    }
}

/* What is not known is sent again, the same. */
static void run_group(scene *self)
{
    static plan plans[GROUP];
    troupe_store_op *ops[GROUP];
    bool taken[ACTORS] = {false};
    size_t count = 1 + (size_t)tp_prng_below(&self->prng, GROUP), made = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = (size_t)tp_prng_below(&self->prng, ACTORS);
        if (taken[at])
            continue;
        taken[at] = true;
        const actor *who = &self->actors[at];
        uint64_t number = who->pending != 0 ? who->pending : ++self->numbers;
        fill_plan(self, &plans[made], at, who->version, number);
        ops[made] = &plans[made].op;
        made++;
    }
    self->store->run(self->store, ops, made);
    for (size_t i = 0; i < made; i++)
        take_answer(self, &plans[i]);
}

/* ---- what is there ------------------------------------------------------------------------- */

static void check_event(scene *self, size_t at, uint64_t version, uint64_t number)
{
    char key[24];
    troupe_store_op op = {.kind = TROUPE_STORE_READ_EVENTS, .id = id_of(at, key, sizeof key)};
    op.from = version != 0 ? version : 1;
    MUST(self, run_one(self, &op) == TROUPE_OK, "user/%zu: events do not read", at);
    if (version == 0)
        MUST(self, op.items == NULL, "user/%zu: an event without a commit", at);
    else
        MUST(self,
            op.items != NULL && op.items->next == NULL && op.items->number == version &&
                op.items->value.size == 8 && memcmp(op.items->value.data, &number, 8) == 0,
            "user/%zu: not the event of version %llu", at, (unsigned long long)version);
    troupe_store_release(&op);
}

/* The number that state and row hold; they must agree. */
static uint64_t number_in(scene *self, size_t at, const troupe_store_op *load)
{
    uint64_t number = 0, seen = 0;
    if (load->found == 0) {
        MUST(self, load->items == NULL, "user/%zu: something without a commit", at);
        return 0;
    }
    const troupe_store_item *state = load->items, *row = state != NULL ? state->next : NULL;
    MUST(self, row != NULL && row->next == NULL && row->value.size == 8,
        "user/%zu: no state and row", at);
    memcpy(&number, row->value.data, 8);
    MUST(self, state->value.size == size_of(number), "user/%zu: the state has another size", at);
    for (size_t i = 0; i < state->value.size; i += 8) {
        memcpy(&seen, (const char *)state->value.data + i, 8);
        MUST(self, seen == number, "user/%zu: a torn state", at);
    }
    return number;
}

static void check_all(scene *self)
{
    for (size_t at = 0; at < ACTORS; at++) {
        char key[24];
        actor *who = &self->actors[at];
        troupe_store_op load = {.kind = TROUPE_STORE_LOAD, .id = id_of(at, key, sizeof key)};
        MUST(self, run_one(self, &load) == TROUPE_OK, "user/%zu: does not load: %s", at,
            troupe_status_name(load.status));
        uint64_t number = number_in(self, at, &load);
        bool is_old = load.found == who->version && number == who->number;
        bool is_new = load.found == who->version + 1 && who->pending != 0 && number == who->pending;
        MUST(self, is_old || is_new, "user/%zu: version %llu number %llu, not %llu number %llu", at,
            (unsigned long long)load.found, (unsigned long long)number,
            (unsigned long long)who->version, (unsigned long long)who->number);
        *who = (actor){load.found, number, 0};
        troupe_store_release(&load);
        check_event(self, at, load.found, number);
    }
    troupe_store_op health = {.kind = TROUPE_STORE_HEALTH, .keep = 1};
    MUST(self, run_one(self, &health) == TROUPE_OK, "the check of the file: %.*s",
        health.items != NULL ? (int)health.items->value.size : 0,
        health.items != NULL ? (const char *)health.items->value.data : "");
    troupe_store_release(&health);
}

static void check_after_crash(scene *self)
{
    char error[400] = "";
    const tp_sim_disk_plan calm = {0};
    close_store(self);
    tp_sim_disk_crash(self->disk);
    tp_sim_disk_set(self->disk, &calm);
    troupe_status status = open_store(self, error, sizeof error);
    MUST(self, status == TROUPE_OK, "does not open after a crash: %s", error);
    check_all(self);
}

/* A life: from an open store until the power fails. */
static void live(scene *self)
{
    tp_sim_disk_plan evil = {.crash_at = 1 + tp_prng_below(&self->prng, 400),
        .errors = tp_prng_chance(&self->prng, 1, 2) ? 0 : (uint32_t)tp_prng_below(&self->prng, 60),
        .delay = TROUPE_MILLISECONDS(3)};
    if (tp_prng_chance(&self->prng, 1, 4))
        evil.room = tp_sim_disk_bytes(self->disk) + tp_prng_below(&self->prng, 60000);
    bool reopens = tp_prng_chance(&self->prng, 1, 3);
    if (reopens)
        close_store(self);
    tp_sim_disk_set(self->disk, &evil);
    char error[400] = "";
    if (reopens && open_store(self, error, sizeof error) != TROUPE_OK) {
        MUST(self, error[0] != '\0', "an open fails without words");
        return;
    }
    troupe_store_op older = {.kind = TROUPE_STORE_CLOSE_OLDER, .writer = ++self->writer};
    troupe_store_op writer = {.kind = TROUPE_STORE_OPEN_WRITER, .writer = self->writer};
    if (run_one(self, &older) != TROUPE_OK)
        return;
    troupe_status status = run_one(self, &writer);
    if (status != TROUPE_OK)
        return;
    for (int i = 0; i < 200 && !tp_sim_disk_is_down(self->disk); i++)
        run_group(self);
}

static void run_seed(scene *self, uint64_t seed)
{
    char error[400] = "";
    *self = (scene){.seed = seed, .writer = 1, .disk = tp_sim_disk_create(seed)};
    assert_non_null(self->disk);
    tp_prng_seed(&self->prng, seed * 7919 + 1);
    MUST(self, open_store(self, error, sizeof error) == TROUPE_OK, "does not open: %s", error);
    for (int i = 0; i < LIVES; i++) {
        live(self);
        check_after_crash(self);
    }
    close_store(self);
    tp_sim_disk_destroy(self->disk);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void whatever_was_answered_is_there_after_the_power_failed(void **state)
{
    (void)state;
    static scene self;
    uint64_t first = setting("SQLITE_CRASH_SEED", 0);
    uint64_t count = first != 0 ? 1 : setting("SQLITE_CRASH_SEEDS", 300);
    size_t answered = 0, unknown = 0, refused = 0;
    for (uint64_t seed = first != 0 ? first : 1; count-- > 0; seed++) {
        run_seed(&self, seed);
        answered += self.answered;
        unknown += self.unknown;
        refused += self.refused;
    }
    print_message("%zu commits answered, %zu unknown, %zu refused\n", answered, unknown, refused);
    if (first == 0)
        assert_true(answered > 1000 && unknown > 10 && refused > 10);
}

static void a_disk_without_room_refuses_commits_and_goes_on_when_there_is_some(void **state)
{
    (void)state;
    static scene self;
    char error[400];
    self = (scene){.seed = 5, .writer = 1, .disk = tp_sim_disk_create(5)};
    tp_prng_seed(&self.prng, 5);
    assert_int_equal(open_store(&self, error, sizeof error), TROUPE_OK);
    troupe_store_op writer = {.kind = TROUPE_STORE_OPEN_WRITER, .writer = 1};
    assert_int_equal(run_one(&self, &writer), TROUPE_OK);
    for (int round = 0; round < 5; round++) {
        const tp_sim_disk_plan tight = {.room = tp_sim_disk_bytes(self.disk) + 50000}, wide = {0};
        tp_sim_disk_set(self.disk, &tight);
        size_t refused = self.refused;
        for (int i = 0; i < 2000 && self.refused == refused; i++)
            run_group(&self);
        assert_true(self.refused > refused);
        troupe_store_op health = {.kind = TROUPE_STORE_HEALTH};
        assert_int_equal(run_one(&self, &health), TROUPE_UNAVAILABLE);
        assert_non_null(health.items);
        troupe_store_release(&health);
        tp_sim_disk_set(self.disk, &wide);
        refused = self.refused;
        for (int i = 0; i < 20; i++)
            run_group(&self);
        assert_int_equal(self.refused, refused);
        assert_int_equal(self.unknown, 0);
        check_all(&self);
    }
    close_store(&self);
    assert_int_equal(open_store(&self, error, sizeof error), TROUPE_OK);
    check_all(&self);
    close_store(&self);
    tp_sim_disk_destroy(self.disk);
}

static void a_damaged_page_ends_only_what_touches_it(void **state)
{
    (void)state;
    static scene self;
    char error[400], key[24];
    self = (scene){.seed = 9, .writer = 1, .disk = tp_sim_disk_create(9)};
    tp_prng_seed(&self.prng, 9);
    assert_int_equal(open_store(&self, error, sizeof error), TROUPE_OK);
    troupe_store_op writer = {.kind = TROUPE_STORE_OPEN_WRITER, .writer = 1};
    assert_int_equal(run_one(&self, &writer), TROUPE_OK);
    for (int i = 0; i < 200; i++)
        run_group(&self);
    close_store(&self);
    size_t corrupt = 0, well = 0, harmed = 0;
    /* One page after the other, mended again; the first has the schema. */
    for (uint64_t page = 1; tp_sim_disk_damage(self.disk, "a.db", page * 1024, 16); page++) {
        if (open_store(&self, error, sizeof error) != TROUPE_OK) {
            assert_true(error[0] != '\0');
        } else {
            for (size_t at = 0; at < ACTORS; at++) {
                troupe_store_op load = {
                    .kind = TROUPE_STORE_LOAD, .id = id_of(at, key, sizeof key)};
                troupe_status status = run_one(&self, &load);
                corrupt += status == TROUPE_CORRUPT;
                well += status == TROUPE_OK;
                harmed += status != TROUPE_OK && status != TROUPE_CORRUPT;
                troupe_store_release(&load);
            }
            close_store(&self);
        }
        assert_true(tp_sim_disk_damage(self.disk, "a.db", page * 1024, 16));
    }
    print_message("%zu loads found damage, %zu did not\n", corrupt, well);
    assert_true(corrupt > 0 && well > corrupt);
    assert_int_equal(harmed, 0);
    tp_sim_disk_destroy(self.disk);
}

static void a_damaged_page_fails_no_neighbour_of_a_group(void **state)
{
    (void)state;
    static scene self;
    static plan plans[ACTORS];
    char error[400];
    self = (scene){.seed = 9, .writer = 1, .disk = tp_sim_disk_create(9)};
    tp_prng_seed(&self.prng, 9);
    assert_int_equal(open_store(&self, error, sizeof error), TROUPE_OK);
    troupe_store_op writer = {.kind = TROUPE_STORE_OPEN_WRITER, .writer = 1};
    assert_int_equal(run_one(&self, &writer), TROUPE_OK);
    for (int i = 0; i < 100; i++)
        run_group(&self);
    close_store(&self);
    size_t mixed = 0;
    for (uint64_t page = 1; tp_sim_disk_damage(self.disk, "a.db", page * 1024, 16); page++) {
        size_t done = 0, corrupt = 0;
        bool is_open = open_store(&self, error, sizeof error) == TROUPE_OK;
        troupe_store_op *ops[ACTORS];
        /* Versions that are not there, so that the file stays as it is. */
        for (size_t at = 0; at < ACTORS && is_open; at++) {
            fill_plan(&self, &plans[at], at, self.actors[at].version + 7, ++self.numbers);
            ops[at] = &plans[at].op;
        }
        if (is_open)
            self.store->run(self.store, ops, ACTORS);
        for (size_t at = 0; at < ACTORS && is_open; at++) {
            done += plans[at].op.status == TROUPE_CONFLICT;
            corrupt += plans[at].op.status == TROUPE_CORRUPT;
        }
        assert_true(!is_open || done + corrupt == ACTORS);
        mixed += done != 0 && corrupt != 0;
        close_store(&self);
        assert_true(tp_sim_disk_damage(self.disk, "a.db", page * 1024, 16));
    }
    assert_true(mixed > 0);
    tp_sim_disk_destroy(self.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_was_answered_is_there_after_the_power_failed),
        cmocka_unit_test(a_disk_without_room_refuses_commits_and_goes_on_when_there_is_some),
        cmocka_unit_test(a_damaged_page_ends_only_what_touches_it),
        cmocka_unit_test(a_damaged_page_fails_no_neighbour_of_a_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
