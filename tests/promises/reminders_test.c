/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reminders (A11) and waking (P7, "nobody sleeps on work"): in a world with virtual time, and with
 * threads and a file where the node has to be closed in between.
 */
#include "tests/promises/scene.h"

#include <unistd.h>

typedef struct bell {
    uint64_t rings, missed, number, due, late, gift;
} bell;

static _Atomic bool is_shut; /* then no `door` can be activated */

/* "name|schedule|method" */
static troupe_status set(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char text[256], *at = text;
    snprintf(text, sizeof text, "%.*s", TROUPE_ARG(in));
    const char *name = strsep(&at, "|"), *schedule = strsep(&at, "|"), *method = strsep(&at, "|");
    troupe_status status = troupe_remind(turn, name, schedule, method, troupe_str("ding"),
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .content_type = TROUPE_TEXT});
    if (status != TROUPE_OK)
        return troupe_fail(turn, status, "%s", troupe_status_name(status));
    return troupe_reply_bytes(turn, troupe_str("set"));
}

static troupe_status set_and_fail(troupe_turn *turn, void *state, troupe_slice in)
{
    TROUPE_TRY(set(turn, state, in));
    return TROUPE_FAILED;
}

static troupe_status cancel(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "%.*s", TROUPE_ARG(in));
    troupe_status status = troupe_remind_cancel(turn, name);
    return troupe_reply_format(turn, "%s", troupe_status_name(status));
}

static void add_line(void *user, const troupe_reminder *reminder)
{
    char *text = user;
    size_t size = strlen(text);
    snprintf(text + size, 512 - size, "%.*s: %.*s -> %.*s #%llu\n", TROUPE_ARG(reminder->name),
        TROUPE_ARG(reminder->schedule), TROUPE_ARG(reminder->method),
        (unsigned long long)reminder->number);
}

static troupe_status list(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    char text[512] = "";
    troupe_reminders_each(turn, add_line, text);
    return troupe_reply_bytes(turn, troupe_str(text));
}

/* Sets, cancels and replaces in one turn, and tells what the turn itself sees. */
static troupe_status shuffle(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    troupe_slice none = {NULL, 0};
    TROUPE_TRY(troupe_remind(turn, "a", "every 1h", "ring", none, NULL));
    TROUPE_TRY(troupe_remind(turn, "b", "every 1h", "ring", none, NULL));
    TROUPE_TRY(troupe_remind_cancel(turn, "a"));
    TROUPE_TRY(troupe_remind(turn, "b", "every 2h", "ring", none, NULL));
    TROUPE_TRY(troupe_remind(turn, "c", "every 3h", "ring", none, NULL));
    char text[512] = "";
    troupe_reminders_each(turn, add_line, text);
    return troupe_reply_bytes(turn, troupe_str(text));
}

/* As many as may be, and one more. */
static troupe_status set_many(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char name[16];
    uint32_t count = 0;
    troupe_status status = TROUPE_OK;
    while (status == TROUPE_OK) {
        snprintf(name, sizeof name, "%u", count);
        status = troupe_remind(turn, name, "every 1h", "ring", in, NULL);
        count += status == TROUPE_OK;
    }
    return troupe_reply_format(turn, "%u, then %s", count, troupe_status_name(status));
}

/* A schedule that is right, and longer than one may be. */
static troupe_status set_long(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    char schedule[2048] = "0";
    while (strlen(schedule) < sizeof schedule - 16)
        strcat(schedule, ",0");
    strcat(schedule, " * * * *");
    return troupe_remind(turn, "long", schedule, "ring", in, NULL);
}

static void heed(troupe_turn *turn, bell *self)
{
    troupe_reminder now;
    if (!troupe_turn_reminder(turn, &now))
        return;
    uint64_t late = troupe_wall(turn) - now.due;
    self->rings++;
    self->missed += now.missed;
    self->number = now.number;
    if (self->late == 0 || late < self->late)
        self->late = late + 1;
    if (troupe_wall(turn) < now.due || now.due <= self->due)
        self->rings += 1000; /* early, or the same twice */
    self->due = now.due;
}

static troupe_status ring(troupe_turn *turn, void *state, troupe_slice in)
{
    if (!troupe_slice_equal(in, troupe_str("ding")) && in.size != 0)
        return TROUPE_FAILED;
    heed(turn, state);
    return TROUPE_OK;
}

static troupe_status ring_and_fail(troupe_turn *turn, void *state, troupe_slice in)
{
    TROUPE_TRY(ring(turn, state, in));
    return TROUPE_FAILED;
}

static troupe_status ring_and_panic(troupe_turn *turn, void *state, troupe_slice in)
{
    TROUPE_TRY(ring(turn, state, in));
    troupe_panic(turn, "too loud");
}

/* Sets itself anew while it fires. */
static troupe_status ring_again(troupe_turn *turn, void *state, troupe_slice in)
{
    bell *self = state;
    TROUPE_TRY(ring(turn, state, in));
    return self->rings < 3 ? troupe_remind(turn, "again", "in 7s", "ring_again", in, NULL)
                           : TROUPE_OK;
}

static troupe_status show(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)in;
    const bell *self = state;
    return troupe_reply_format(turn, "%llu rings, %llu missed, #%llu",
        (unsigned long long)self->rings, (unsigned long long)self->missed,
        (unsigned long long)self->number);
}

static troupe_status lateness(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)in;
    const bell *self = state;
    return troupe_reply_format(turn, "%llu", (unsigned long long)self->late);
}

static troupe_status read_and_set(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)state;
    return troupe_remind(turn, "x", "in 1s", "ring", in, NULL);
}

static troupe_status quit(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    troupe_deactivate(turn);
    return troupe_reply_bytes(turn, troupe_str("bye"));
}

static troupe_status bump(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    bell *self = state;
    self->gift++;
    return troupe_reply_format(turn, "%llu", (unsigned long long)self->gift);
}

/* By the outbox, to a door of the same key. */
static troupe_status give(troupe_turn *turn, void *state, troupe_slice in)
{
    bell *self = state;
    self->gift++;
    troupe_id to = {troupe_str("door"), {NULL, 0}, troupe_turn_self(turn).key};
    TROUPE_TRY(troupe_tell(
        turn, to, "bump", in, &(troupe_call_options){TROUPE_CALL_OPTIONS, .outbox = true}));
    return troupe_reply_bytes(turn, troupe_str("given"));
}

static troupe_status open_door(troupe_turn *turn, void *state)
{
    (void)turn;
    (void)state;
    return atomic_load(&is_shut) ? TROUPE_UNAVAILABLE : TROUPE_OK;
}

static const troupe_method methods[] = {TROUPE_METHOD(set), TROUPE_METHOD(set_and_fail),
    TROUPE_METHOD(cancel), TROUPE_READ_METHOD(list), TROUPE_METHOD(shuffle),
    TROUPE_METHOD(set_many), TROUPE_METHOD(set_long), TROUPE_METHOD(ring),
    TROUPE_METHOD(ring_and_fail), TROUPE_METHOD(ring_and_panic), TROUPE_METHOD(ring_again),
    TROUPE_READ_METHOD(show), TROUPE_READ_METHOD(lateness), TROUPE_READ_METHOD(read_and_set),
    TROUPE_METHOD(quit), TROUPE_METHOD(bump), TROUPE_METHOD(give)};
static const troupe_type bell_type = {TROUPE_TYPE("bell"), .state_size = sizeof(bell),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN};
static const troupe_type restarting_type = {TROUPE_TYPE("restarting"), .state_size = sizeof(bell),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN,
    .supervision = {.on_panic = TROUPE_SUPERVISE_RESTART}};
static const troupe_type seldom_type = {TROUPE_TYPE("seldom"), .state_size = sizeof(bell),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_N, .snapshot_interval = 3};
static const troupe_type late_type = {TROUPE_TYPE("late"), .state_size = sizeof(bell),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_ON_DEACTIVATE};
static const troupe_type door_type = {TROUPE_TYPE("door"), .state_size = sizeof(bell),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN, .on_activate = open_door};

#define ALL TROUPE_TYPES(&bell_type, &restarting_type, &seldom_type, &late_type, &door_type)

/* ---- in virtual time ------------------------------------------------------------------------- */

static void world_open(scene *self, uint64_t idle, uint32_t limit)
{
    scene_open(self,
        &(troupe_node_options){
            TROUPE_NODE_OPTIONS, .shards = 2, .idle = idle, .reminders_limit = limit},
        ALL);
}

static heard said(scene *self, const char *id, const char *method, const char *payload)
{
    call one;
    scene_ask(self, &one, id, method, payload, NULL);
    scene_await(self, &one);
    return one.got;
}

static void assert_said(
    scene *self, const char *id, const char *method, const char *payload, const char *text)
{
    heard got = said(self, id, method, payload);
    assert_ok(got.status);
    assert_string_equal(got.text, text);
}

static void a_turn_sets_thousands_of_reminders(void **state)
{
    (void)state;
    scene at;
    world_open(&at, 0, 3000);
    assert_said(&at, "bell/a", "set_many", "", "3000, then BUSY");
    scene_run(&at, TROUPE_HOURS(1) + TROUPE_SECONDS(1));
    assert_int_equal(stats_of(at.node).reminders, 3000);
    scene_close(&at);
}

static void a_reminder_fires_once_per_due_time_and_is_not_early(void **state)
{
    (void)state;
    scene at;
    world_open(&at, 0, 0);
    assert_said(&at, "bell/a", "set", "x|every 10s|ring", "set");
    scene_run(&at, TROUPE_SECONDS(9));
    assert_said(&at, "bell/a", "show", "", "0 rings, 0 missed, #0");
    scene_run(&at, TROUPE_SECONDS(26));
    assert_said(&at, "bell/a", "show", "", "3 rings, 0 missed, #3");
    assert_true(strtoull(said(&at, "bell/a", "lateness", "").text, NULL, 10) < 2 * TICK);
    assert_int_equal(stats_of(at.node).reminders, 3);
    scene_close(&at);
}

static void cron_wakes_an_actor_that_sleeps_in_between(void **state)
{
    (void)state;
    scene at;
    world_open(&at, TROUPE_MINUTES(1), 0);
    assert_said(&at, "bell/a", "set", "x|0 * * * *|ring", "set");
    scene_run(&at, TROUPE_MINUTES(5 * 60));
    troupe_stats stats = stats_of(at.node);
    assert_true(stats.deactivations >= 4);
    assert_true(stats.wakes >= 4);
    assert_true(stats.wakes <= 5);
    assert_said(&at, "bell/a", "show", "", "5 rings, 0 missed, #5");
    assert_true(strtoull(said(&at, "bell/a", "lateness", "").text, NULL, 10) < 10 * TICK);
    scene_close(&at);
}

static void a_reminder_within_the_next_scan_wakes_in_time(void **state)
{
    (void)state;
    scene at;
    world_open(&at, TROUPE_SECONDS(1), 0);
    assert_said(&at, "bell/a", "set", "x|in 20s|ring", "set");
    assert_said(&at, "bell/a", "quit", "", "bye");
    scene_run(&at, TROUPE_SECONDS(19));
    assert_int_equal(stats_of(at.node).active, 0);
    scene_run(&at, TROUPE_SECONDS(2));
    assert_said(&at, "bell/a", "show", "", "1 rings, 0 missed, #1");
    assert_said(&at, "bell/a", "list", "", "");
    assert_true(strtoull(said(&at, "bell/a", "lateness", "").text, NULL, 10) < 10 * TICK);
    scene_close(&at);
}

static void a_cancelled_or_replaced_reminder_does_not_fire(void **state)
{
    (void)state;
    scene at;
    world_open(&at, 0, 0);
    assert_said(&at, "bell/a", "set", "x|in 5s|ring", "set");
    assert_said(&at, "bell/a", "set", "y|in 5s|ring", "set");
    assert_said(&at, "bell/a", "cancel", "x", "OK");
    assert_said(&at, "bell/a", "cancel", "x", "NOT_FOUND");
    assert_said(&at, "bell/a", "set", "y|in 20s|ring", "set");
    scene_run(&at, TROUPE_SECONDS(15));
    assert_said(&at, "bell/a", "show", "", "0 rings, 0 missed, #0");
    assert_said(&at, "bell/a", "list", "", "y: in 20s -> ring #1\n");
    scene_run(&at, TROUPE_SECONDS(15));
    assert_said(&at, "bell/a", "show", "", "1 rings, 0 missed, #1");
    scene_close(&at);
}

static void a_turn_sees_its_own_changes_of_reminders(void **state)
{
    (void)state;
    scene at;
    world_open(&at, 0, 0);
    const char *left = "b: every 2h -> ring #1\nc: every 3h -> ring #1\n";
    assert_said(&at, "bell/a", "shuffle", "", left);
    assert_said(&at, "bell/a", "list", "", left);
    assert_said(&at, "bell/a", "shuffle", "", left);
    assert_said(&at, "bell/a", "list", "", left);
    scene_close(&at);
}

static void a_turn_that_fails_sets_no_reminder(void **state)
{
    (void)state;
    scene at;
    world_open(&at, 0, 0);
    assert_status(said(&at, "bell/a", "set_and_fail", "x|in 1s|ring").status, TROUPE_FAILED);
    assert_said(&at, "bell/a", "list", "", "");
    scene_run(&at, TROUPE_SECONDS(5));
    assert_said(&at, "bell/a", "show", "", "0 rings, 0 missed, #0");
    scene_close(&at);
}

static void a_failing_method_consumes_its_due_time_only(void **state)
{
    (void)state;
    scene at;
    world_open(&at, 0, 0);
    assert_said(&at, "bell/a", "set", "x|every 10s|ring_and_fail", "set");
    assert_said(&at, "restarting/a", "set", "x|every 10s|ring_and_panic", "set");
    scene_run(&at, TROUPE_SECONDS(35));
    assert_int_equal(stats_of(at.node).reminders, 6);
    assert_int_equal(stats_of(at.node).restarts, 3);
    assert_said(&at, "bell/a", "show", "", "0 rings, 0 missed, #0");
    assert_said(&at, "bell/a", "list", "", "x: every 10s -> ring_and_fail #4\n");
    assert_said(&at, "restarting/a", "list", "", "x: every 10s -> ring_and_panic #4\n");
    scene_close(&at);
}

static void a_reminder_may_set_itself_anew(void **state)
{
    (void)state;
    scene at;
    world_open(&at, 0, 0);
    assert_said(&at, "bell/a", "set", "again|in 7s|ring_again", "set");
    scene_run(&at, TROUPE_SECONDS(60));
    assert_said(&at, "bell/a", "show", "", "3 rings, 0 missed, #1");
    assert_said(&at, "bell/a", "list", "", "");
    scene_close(&at);
}

static void what_is_wrong_with_a_reminder_is_said(void **state)
{
    (void)state;
    scene at;
    world_open(&at, 0, 2);
    assert_status(said(&at, "bell/a", "set", "x|every so often|ring").status, TROUPE_USAGE);
    assert_says(tape_text(at.log, "reminder_refused"), "column");
    assert_status(said(&at, "bell/a", "set", "x|in 1s|rang").status, TROUPE_NO_METHOD);
    assert_status(said(&at, "bell/a", "set", "|in 1s|ring").status, TROUPE_USAGE);
    assert_says(tape_text(at.log, "reminder_refused"), "1 to 128 bytes");
    assert_status(said(&at, "bell/a", "set_long", "").status, TROUPE_USAGE);
    assert_says(tape_text(at.log, "reminder_refused"), "256 bytes");
    assert_status(said(&at, "late/a", "set", "x|in 1s|ring").status, TROUPE_USAGE);
    assert_says(tape_text(at.log, "reminder_refused"), "persist every turn");
    assert_status(said(&at, "bell/a", "read_and_set", "").status, TROUPE_USAGE);
    assert_said(&at, "bell/a", "set", "x|every 1h|ring", "set");
    assert_said(&at, "bell/a", "set", "y|every 1h|ring", "set");
    assert_status(said(&at, "bell/a", "set", "z|every 1h|ring").status, TROUPE_BUSY);
    assert_int_equal(stats_of(at.node).busy_reminders, 1);
    assert_said(&at, "bell/a", "set", "y|every 2h|ring", "set");
    char words[128] = "";
    uint64_t due = 0;
    assert_status(
        troupe_schedule_next("99 * * * *", 0, 0, &due, words, sizeof words), TROUPE_USAGE);
    assert_says(words, "column");
    assert_ok(troupe_schedule_next("every 1h", 5, 6, &due, NULL, 0));
    assert_int_equal(due, 5 + TROUPE_HOURS(1));
    assert_status(
        troupe_schedule_next("in 1s", 0, TROUPE_SECONDS(2), &due, NULL, 0), TROUPE_NOT_FOUND);
    scene_close(&at);
}

static void types_that_save_seldom_have_reminders_too(void **state)
{
    (void)state;
    scene at;
    world_open(&at, TROUPE_MINUTES(1), 0);
    assert_said(&at, "seldom/a", "bump", "", "1");
    assert_said(&at, "seldom/a", "set", "x|every 30m|ring", "set");
    scene_run(&at, TROUPE_MINUTES(125));
    assert_true(stats_of(at.node).wakes >= 3);
    assert_said(&at, "seldom/a", "show", "", "4 rings, 0 missed, #4");
    assert_said(&at, "seldom/a", "bump", "", "2");
    scene_close(&at);
}

static void a_sleeping_sender_is_woken_until_its_outbox_is_empty(void **state)
{
    (void)state;
    scene at;
    world_open(&at, TROUPE_SECONDS(5), 0);
    atomic_store(&is_shut, true);
    assert_said(&at, "bell/a", "give", "", "given");
    scene_run(&at, TROUPE_MINUTES(5));
    assert_true(stats_of(at.node).wakes >= 2);
    atomic_store(&is_shut, false);
    scene_run(&at, TROUPE_MINUTES(2));
    assert_said(&at, "door/a", "bump", "", "2");
    uint64_t wakes = stats_of(at.node).wakes;
    scene_run(&at, TROUPE_MINUTES(30)); /* nothing is left to be woken for */
    assert_int_equal(stats_of(at.node).wakes, wakes);
    assert_int_equal(stats_of(at.node).active, 0);
    scene_close(&at);
}

static void a_node_where_nobody_has_anything_to_do_sleeps(void **state)
{
    (void)state;
    scene at;
    world_open(&at, TROUPE_SECONDS(1), 0);
    assert_said(&at, "bell/a", "bump", "", "1");
    scene_run(&at, TROUPE_MINUTES(1));
    uint64_t before = stats_of(at.node).passes;
    scene_run(&at, TROUPE_MINUTES(60));
    assert_true(stats_of(at.node).passes - before < 60 * 6);
    scene_close(&at);
}

/* ---- with threads, a file, and a node that goes ---------------------------------------------- */

typedef struct place {
    char folder[64];
    char url[96];
    tape *log;
    troupe_node *node;
} place;

static void open_node(place *self, const troupe_type *const *types, size_t count)
{
    char error[256] = "";
    troupe_status status = troupe_node_open_explained(
        &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 2, .storage = self->url,
            .on_log = tape_write, .on_log_user = self->log},
        types, count, &self->node, error, sizeof error);
    check_status(status, TROUPE_OK, error, __FILE__, __LINE__);
}

static void place_open(place *self)
{
    strcpy(self->folder, "/tmp/troupe-remind-XXXXXX");
    assert_non_null(mkdtemp(self->folder));
    snprintf(self->url, sizeof self->url, "sqlite:%s/state.db", self->folder);
    self->log = malloc(sizeof *self->log);
    assert_non_null(self->log);
    tape_init(self->log);
    open_node(self, ALL);
}

static void place_again(place *self)
{
    troupe_node_close(self->node);
    open_node(self, ALL);
}

static void place_close(place *self)
{
    troupe_node_close(self->node);
    free(self->log);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", self->folder);
    assert_int_equal(system(command), 0);
}

static bool has_rung(void *user)
{
    return stats_of(user).reminders >= 1;
}

static bool has_rung_often(void *user)
{
    return stats_of(user).reminders >= 20;
}

static void a_reminder_survives_a_restart_before_it_is_due(void **state)
{
    (void)state;
    place at;
    place_open(&at);
    assert_ok(ask(at.node, "bell/a", "set", "x|in 400ms|ring").status);
    place_again(&at);
    assert_true(comes_true(has_rung, at.node)); /* nobody calls the actor */
    assert_string_equal(ask(at.node, "bell/a", "show", "").text, "1 rings, 0 missed, #1");
    place_again(&at);
    assert_string_equal(ask(at.node, "bell/a", "list", "").text, "");
    assert_string_equal(ask(at.node, "bell/a", "show", "").text, "1 rings, 0 missed, #1");
    place_close(&at);
}

static void due_times_that_a_node_slept_through_fire_as_one(void **state)
{
    (void)state;
    place at;
    place_open(&at);
    assert_ok(ask(at.node, "bell/a", "set", "x|every 100ms|ring").status);
    troupe_node_close(at.node);
    nanosleep(&(struct timespec){0, 650000000}, NULL); /* time that passes */
    open_node(&at, ALL);
    assert_true(comes_true(has_rung, at.node));
    heard got = ask(at.node, "bell/a", "show", "");
    unsigned long long rings = 0, missed = 0, number = 0;
    assert_int_equal(
        sscanf(got.text, "%llu rings, %llu missed, #%llu", &rings, &missed, &number), 3);
    assert_true(missed >= 5);
    assert_true(rings <= number);
    assert_true(rings + missed >= number);
    place_close(&at);
}

static void reminders_come_within_milliseconds(void **state)
{
    (void)state;
    place at;
    place_open(&at);
    assert_ok(ask(at.node, "bell/a", "set", "x|every 50ms|ring").status);
    assert_true(comes_true(has_rung_often, at.node));
    /* The best of twenty: the machine may be busy. */
    assert_true(
        strtoull(ask(at.node, "bell/a", "lateness", "").text, NULL, 10) < TROUPE_MILLISECONDS(5));
    place_close(&at);
}

static bool has_sent_again(void *user)
{
    return stats_of(user).outbox_again >= 1 && stats_of(user).activations >= 2;
}

static void an_outbox_is_sent_after_a_restart_without_any_call(void **state)
{
    (void)state;
    place at;
    place_open(&at);
    atomic_store(&is_shut, true);
    assert_ok(ask(at.node, "bell/a", "give", "").status);
    troupe_node_close(at.node);
    atomic_store(&is_shut, false);
    open_node(&at, ALL);
    assert_true(comes_true(has_sent_again, at.node));
    assert_string_equal(ask(at.node, "door/a", "bump", "").text, "2");
    place_close(&at);
}

static bool has_told(void *user)
{
    return tape_count(user, "sleeper_unknown") != 0;
}

static void sleepers_of_a_type_that_is_gone_are_left_alone_and_told(void **state)
{
    (void)state;
    place at;
    place_open(&at);
    assert_ok(ask(at.node, "bell/a", "set", "x|in 1ms|ring_and_fail").status);
    assert_ok(ask(at.node, "bell/b", "set", "x|in 200ms|ring").status);
    assert_ok(ask(at.node, "bell/c", "set", "x|in 200ms|ring").status);
    troupe_node_close(at.node);
    open_node(&at, TROUPE_TYPES(&door_type));
    assert_true(comes_true(has_told, at.log));
    assert_int_equal(tape_count(at.log, "sleeper_unknown"), 1);
    place_again(&at);
    assert_true(comes_true(has_rung, at.node));
    place_close(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_sets_thousands_of_reminders),
        cmocka_unit_test(a_reminder_fires_once_per_due_time_and_is_not_early),
        cmocka_unit_test(cron_wakes_an_actor_that_sleeps_in_between),
        cmocka_unit_test(a_reminder_within_the_next_scan_wakes_in_time),
        cmocka_unit_test(a_cancelled_or_replaced_reminder_does_not_fire),
        cmocka_unit_test(a_turn_sees_its_own_changes_of_reminders),
        cmocka_unit_test(a_turn_that_fails_sets_no_reminder),
        cmocka_unit_test(a_failing_method_consumes_its_due_time_only),
        cmocka_unit_test(a_reminder_may_set_itself_anew),
        cmocka_unit_test(what_is_wrong_with_a_reminder_is_said),
        cmocka_unit_test(types_that_save_seldom_have_reminders_too),
        cmocka_unit_test(a_sleeping_sender_is_woken_until_its_outbox_is_empty),
        cmocka_unit_test(a_node_where_nobody_has_anything_to_do_sleeps),
        cmocka_unit_test(a_reminder_survives_a_restart_before_it_is_due),
        cmocka_unit_test(due_times_that_a_node_slept_through_fire_as_one),
        cmocka_unit_test(reminders_come_within_milliseconds),
        cmocka_unit_test(an_outbox_is_sent_after_a_restart_without_any_call),
        cmocka_unit_test(sleepers_of_a_type_that_is_gone_are_left_alone_and_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
