/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the first message to the end of an activation: hooks, idle age, max_actors, memory_limit,
 * what is lost and what comes back, failing activations and saves, lifecycle events. In a world.
 */
#include "tests/promises/scene.h"

/* What the hooks of all actors of a test did, in order. */
typedef struct diary {
    char text[4096];
    bool refuse;      /* activations fail */
    bool refuse_save; /* saves fail */
    bool panic;       /* save and load hooks panic */
    uint64_t nap;     /* of on_deactivate */
} diary;

static void note(diary *self, const char *what, troupe_id id, const char *how)
{
    size_t size = strlen(self->text);
    snprintf(self->text + size, sizeof self->text - size, "%s %.*s%s%s;", what,
        TROUPE_ARG(id.key), *how ? " " : "", how);
}

typedef struct item {
    uint64_t count;
    char padding[1016];
} item;

static troupe_status add(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    item *self = state;
    self->count++;
    return troupe_reply_format(turn, "%llu", (unsigned long long)self->count);
}

static troupe_status get(troupe_turn *turn, const void *state, troupe_slice payload)
{
    (void)payload;
    return troupe_reply_format(turn, "%llu", (unsigned long long)((const item *)state)->count);
}

static troupe_status nap(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    TROUPE_TRY(troupe_sleep(turn, TROUPE_SECONDS(3)));
    return troupe_reply_format(turn, "rested");
}

static troupe_status rise(troupe_turn *turn, void *state)
{
    (void)state;
    diary *to = troupe_turn_user(turn);
    if (to->refuse)
        return TROUPE_APPLICATION + 3;
    note(to, "rise", troupe_turn_self(turn), "");
    return TROUPE_OK;
}

static void set(troupe_turn *turn, void *state, troupe_reason reason)
{
    (void)state;
    diary *to = troupe_turn_user(turn);
    note(to, "set", troupe_turn_self(turn), troupe_reason_name(reason));
    if (to->nap != 0)
        (void)troupe_sleep(turn, to->nap);
}

/* Written as text, so that the bytes of the state differ from those that are stored. */
static troupe_status save(troupe_turn *turn, const void *state, troupe_writer *writer)
{
    diary *to = troupe_turn_user(turn);
    if (to->refuse_save)
        return TROUPE_UNAVAILABLE;
    char text[32];
    int size = snprintf(text, sizeof text, "%llu",
        (unsigned long long)((const item *)state)->count);
    for (int i = 0; i < size; i++)
        TROUPE_TRY(troupe_write(writer, &text[i], 1));
    TROUPE_REQUIRE(turn, !to->panic);
    return TROUPE_OK;
}

static troupe_status load(troupe_turn *turn, void *state, troupe_slice saved)
{
    char text[32] = "";
    TROUPE_REQUIRE(turn, !((const diary *)troupe_turn_user(turn))->panic);
    if (saved.size >= sizeof text)
        return TROUPE_CORRUPT;
    memcpy(text, saved.data, saved.size);
    ((item *)state)->count = strtoull(text, NULL, 10);
    return TROUPE_OK;
}

static const troupe_method item_methods[] = {
    TROUPE_METHOD(add), TROUPE_READ_METHOD(get), TROUPE_METHOD(nap)};

typedef struct house {
    scene s;
    diary book;
    troupe_type loose, raw, hooked, still, plain;
} house;

static void open_house(house *self, const troupe_node_options *options)
{
    memset(&self->book, 0, sizeof self->book);
    self->loose = (troupe_type){TROUPE_TYPE("loose"), .state_size = sizeof(item),
        TROUPE_METHODS(item_methods), .on_activate = rise, .on_deactivate = set,
        .user = &self->book};
    self->raw = self->loose;
    self->raw.name = "raw";
    self->raw.persist = TROUPE_PERSIST_ON_DEACTIVATE;
    self->hooked = self->raw;
    self->hooked.name = "hooked";
    self->hooked.save = save;
    self->hooked.load = load;
    self->still = (troupe_type){TROUPE_TYPE("still"), TROUPE_METHODS(item_methods),
        .state_size = sizeof(item), .idle = TROUPE_NEVER};
    self->plain = self->still;
    self->plain.name = "plain";
    self->plain.idle = 0;
    scene_open(&self->s, options,
        TROUPE_TYPES(&self->loose, &self->raw, &self->hooked, &self->still, &self->plain));
}

/* ---- activation ---------------------------------------------------------------------------- */

static void the_first_message_activates_and_later_ones_reuse(void **state)
{
    (void)state;
    house h;
    open_house(&h, NULL);
    for (int i = 1; i <= 20; i++)
        ask(h.s.node, "loose/a", "add", "");
    assert_string_equal(ask(h.s.node, "loose/a", "get", "").text, "20");
    assert_string_equal(h.book.text, "rise a;");
    assert_int_equal(stats_of(h.s.node).activations, 1);
    assert_int_equal(stats_of(h.s.node).active, 1);
    scene_close_node(&h.s);
    assert_string_equal(h.book.text, "rise a;set a closing;");
    scene_drop(&h.s);
}

static void an_activation_that_fails_fails_its_messages_and_is_tried_anew_by_the_next(void **state)
{
    (void)state;
    house h;
    open_house(&h, NULL);
    h.book.refuse = true;
    call calls[3];
    for (int i = 0; i < 3; i++)
        scene_ask(&h.s, &calls[i], "loose/a", "add", "", NULL);
    scene_run(&h.s, MS(1));
    for (int i = 0; i < 3; i++) {
        assert_heard(calls[i].got, TROUPE_APPLICATION + 3);
        assert_int_equal(calls[i].got.outcome, TROUPE_NOT_DONE);
        assert_says(calls[i].got.text, "activation");
    }
    assert_int_equal(stats_of(h.s.node).active, 0);
    assert_true(tape_count(h.s.log, "activation_failed") >= 1);
    h.book.refuse = false;
    assert_string_equal(ask(h.s.node, "loose/a", "add", "").text, "1");
    scene_close(&h.s);
}

/* ---- idling -------------------------------------------------------------------------------- */

static void an_idle_actor_is_deactivated_at_its_age_and_not_before(void **state)
{
    (void)state;
    house h;
    open_house(&h, &(troupe_node_options){TROUPE_NODE_OPTIONS, .idle = TROUPE_SECONDS(10)});
    ask(h.s.node, "loose/a", "add", "");
    ask(h.s.node, "still/never", "add", "");
    scene_run(&h.s, TROUPE_SECONDS(9));
    ask(h.s.node, "loose/a", "get", ""); /* that is use, too */
    scene_run(&h.s, TROUPE_SECONDS(9));
    assert_int_equal(stats_of(h.s.node).active, 2);
    scene_run(&h.s, TROUPE_SECONDS(2));
    assert_int_equal(stats_of(h.s.node).active, 1);
    assert_string_equal(h.book.text, "rise a;set a idle;");
    scene_run(&h.s, TROUPE_HOURS(100));
    assert_int_equal(stats_of(h.s.node).active, 1); /* a type may say never */
    scene_close(&h.s);
}

static void an_actor_with_a_parked_turn_or_a_pending_callback_is_not_idle(void **state)
{
    (void)state;
    house h;
    open_house(&h, &(troupe_node_options){TROUPE_NODE_OPTIONS, .idle = TROUPE_SECONDS(1)});
    assert_heard(ask(h.s.node, "loose/a", "nap", ""), TROUPE_OK);
    assert_string_equal(h.book.text, "rise a;");
    scene_run(&h.s, TROUPE_SECONDS(3));
    assert_string_equal(h.book.text, "rise a;set a idle;");
    scene_close(&h.s);
}

static void state_that_is_not_persistent_is_lost_with_a_counter_and_a_line_that_say_so(void **state)
{
    (void)state;
    house h;
    open_house(&h, &(troupe_node_options){TROUPE_NODE_OPTIONS, .idle = TROUPE_SECONDS(1)});
    ask(h.s.node, "loose/written", "add", "");
    ask(h.s.node, "plain/read", "get", ""); /* its state is as it was made: nothing to lose */
    scene_run(&h.s, TROUPE_SECONDS(3));
    assert_int_equal(stats_of(h.s.node).active, 0);
    assert_int_equal(stats_of(h.s.node).lost_states, 1);
    assert_int_equal(tape_count(h.s.log, "state_lost"), 1);
    assert_says(tape_text(h.s.log, "state_lost"), "type=loose key=written reason=idle");
    assert_string_equal(ask(h.s.node, "loose/written", "get", "").text, "0");
    scene_close(&h.s);
}

static void persistent_state_comes_back_raw_or_by_hooks(void **state)
{
    (void)state;
    house h;
    open_house(&h, &(troupe_node_options){TROUPE_NODE_OPTIONS, .idle = TROUPE_SECONDS(1)});
    for (int i = 0; i < 3; i++) {
        ask(h.s.node, "raw/a", "add", "");
        ask(h.s.node, "raw@p/a", "add", "");
        ask(h.s.node, "raw@p/a", "add", "");
        ask(h.s.node, "hooked/a", "add", "");
        scene_run(&h.s, TROUPE_SECONDS(3));
        assert_int_equal(stats_of(h.s.node).active, 0);
    }
    assert_string_equal(ask(h.s.node, "raw/a", "get", "").text, "3");
    assert_string_equal(ask(h.s.node, "raw@p/a", "get", "").text, "6");
    assert_string_equal(ask(h.s.node, "hooked/a", "get", "").text, "3");
    assert_int_equal(stats_of(h.s.node).lost_states, 0);
    scene_close(&h.s);
}

/* ---- limits -------------------------------------------------------------------------------- */

static void beyond_max_actors_the_least_recently_used_idle_one_goes_first(void **state)
{
    (void)state;
    house h;
    open_house(&h, &(troupe_node_options){TROUPE_NODE_OPTIONS, .max_actors = 4});
    char id[32];
    for (int i = 0; i < 4; i++) {
        snprintf(id, sizeof id, "raw/%d", i);
        ask(h.s.node, id, "add", "");
    }
    ask(h.s.node, "raw/4", "add", ""); /* makes the hand pass once */
    scene_run(&h.s, MS(10));
    h.book.text[0] = 0;
    for (int i = 5; i < 40; i++) { /* a favourite, and a crowd that passes through */
        ask(h.s.node, "raw/favourite", "add", "");
        snprintf(id, sizeof id, "raw/%d", i);
        ask(h.s.node, id, "add", "");
        scene_run(&h.s, MS(10));
        assert_in_range(stats_of(h.s.node).active, 1, 4);
    }
    assert_null(strstr(h.book.text, "set favourite"));
    assert_non_null(strstr(h.book.text, " evicted;"));
    assert_int_equal(stats_of(h.s.node).lost_states, 0);
    assert_string_equal(ask(h.s.node, "raw/favourite", "get", "").text, "35");
    for (int i = 0; i < 40; i++) {
        snprintf(id, sizeof id, "raw/%d", i);
        assert_string_equal(ask(h.s.node, id, "get", "").text, "1");
    }
    scene_close(&h.s);
}

static void evicting_what_is_not_persistent_loses_its_state_and_says_so(void **state)
{
    (void)state;
    house h;
    open_house(&h, &(troupe_node_options){TROUPE_NODE_OPTIONS, .max_actors = 2});
    char id[32];
    for (int i = 0; i < 10; i++) {
        snprintf(id, sizeof id, "loose/%d", i);
        ask(h.s.node, id, "add", "");
        scene_run(&h.s, MS(1));
    }
    troupe_stats stats = stats_of(h.s.node);
    assert_int_equal(stats.evictions, 8);
    assert_int_equal(stats.lost_states, 8);
    assert_says(tape_text(h.s.log, "state_lost"), "reason=evicted");
    scene_close(&h.s);
}

static void at_max_actors_with_none_idle_callers_get_busy(void **state)
{
    (void)state;
    house h;
    open_house(&h, &(troupe_node_options){TROUPE_NODE_OPTIONS, .max_actors = 2, .max_fibers = 2});
    call calls[8];
    char id[32];
    for (int i = 0; i < 8; i++) { /* parked ones do not count, but max_fibers bounds them */
        snprintf(id, sizeof id, "loose/%d", i);
        scene_ask(&h.s, &calls[i], id, "nap", "", NULL);
        scene_run(&h.s, MS(1));
    }
    scene_run(&h.s, TROUPE_SECONDS(10));
    int done = 0, busy = 0;
    for (int i = 0; i < 8; i++) {
        assert_int_equal(calls[i].ends, 1);
        done += calls[i].got.status == TROUPE_OK;
        busy += calls[i].got.status == TROUPE_BUSY && calls[i].got.outcome == TROUPE_NOT_DONE;
    }
    assert_int_equal(done, 2);
    assert_int_equal(busy, 6);
    scene_close(&h.s);
}

static void beyond_memory_limit_idle_actors_go_by_bytes(void **state)
{
    (void)state;
    house h;
    const uint64_t limit = 200000;
    open_house(&h, &(troupe_node_options){TROUPE_NODE_OPTIONS, .memory_limit = limit});
    char id[32];
    for (int i = 0; i < 1000; i++) { /* a kilobyte and more each */
        snprintf(id, sizeof id, "raw/%d", i);
        ask(h.s.node, id, "add", "");
        scene_run(&h.s, MS(1));
        assert_true(stats_of(h.s.node).bytes < limit + 8192);
    }
    troupe_stats stats = stats_of(h.s.node);
    assert_true(stats.evictions > 700);
    assert_in_range(stats.active, 20, 200);
    assert_string_equal(ask(h.s.node, "raw/0", "get", "").text, "1");
    scene_close(&h.s);
}

static void messages_that_come_while_an_actor_leaves_go_to_its_next_activation(void **state)
{
    (void)state;
    house h;
    open_house(&h, NULL);
    h.book.nap = MS(100);
    ask(h.s.node, "raw/a", "add", "");
    assert_ok(troupe_node_deactivate(h.s.node, id_of("raw/a")));
    scene_run(&h.s, MS(10));
    call calls[3];
    for (int i = 0; i < 3; i++)
        scene_ask(&h.s, &calls[i], "raw/a", "add", "", NULL);
    scene_run(&h.s, MS(50));
    assert_int_equal(calls[0].ends, 0);
    scene_run(&h.s, MS(100));
    for (int i = 0; i < 3; i++) {
        char want[16];
        snprintf(want, sizeof want, "%d", i + 2); /* the state came along, the order was kept */
        assert_heard(calls[i].got, TROUPE_OK);
        assert_string_equal(calls[i].got.text, want);
    }
    assert_string_equal(h.book.text, "rise a;set a asked;rise a;");
    h.book.nap = 0;
    scene_close(&h.s);
}

static void a_save_that_fails_keeps_the_actor_and_is_tried_again(void **state)
{
    (void)state;
    house h;
    open_house(&h, NULL);
    ask(h.s.node, "hooked/a", "add", "");
    h.book.refuse_save = true;
    assert_ok(troupe_node_deactivate(h.s.node, id_of("hooked/a")));
    scene_run(&h.s, MS(100));
    assert_int_equal(stats_of(h.s.node).save_failures, 1);
    assert_int_equal(tape_count(h.s.log, "save_failed"), 1);
    assert_int_equal(stats_of(h.s.node).active, 1);
    assert_string_equal(ask(h.s.node, "hooked/a", "add", "").text, "2");
    h.book.refuse_save = false;
    assert_ok(troupe_node_deactivate(h.s.node, id_of("hooked/a")));
    scene_run(&h.s, MS(100));
    assert_int_equal(stats_of(h.s.node).active, 0);
    assert_string_equal(ask(h.s.node, "hooked/a", "get", "").text, "2");
    scene_close(&h.s);
}

static void hooks_that_panic_hurt_their_own_activation_and_leak_nothing(void **state)
{
    (void)state;
    house h;
    open_house(&h, NULL);
    ask(h.s.node, "hooked/a", "add", "");
    assert_ok(troupe_node_deactivate(h.s.node, id_of("hooked/a")));
    scene_run(&h.s, MS(100));
    h.book.panic = true;
    heard got = ask(h.s.node, "hooked/a", "add", ""); /* its load panics */
    assert_heard(got, TROUPE_PANIC);
    assert_int_equal(stats_of(h.s.node).active, 0);
    h.book.panic = false;
    assert_string_equal(ask(h.s.node, "hooked/a", "add", "").text, "2");
    h.book.panic = true;
    assert_ok(troupe_node_deactivate(h.s.node, id_of("hooked/a"))); /* its save panics */
    scene_run(&h.s, MS(100));
    assert_int_equal(stats_of(h.s.node).panics, 2);
    assert_int_equal(stats_of(h.s.node).active, 0);
    h.book.panic = false;
    assert_heard(ask(h.s.node, "hooked/a", "add", ""), TROUPE_OK);
    assert_heard(ask(h.s.node, "loose/b", "add", ""), TROUPE_OK);
    scene_close(&h.s);
}

/* ---- sight --------------------------------------------------------------------------------- */

static void see(void *user, const troupe_lifecycle *event)
{
    diary *to = user;
    char how[64];
    snprintf(how, sizeof how, "%s%s",
        event->kind == TROUPE_LIFECYCLE_DEACTIVATED ? troupe_reason_name(event->reason) : "",
        event->kind == TROUPE_LIFECYCLE_FAILED ? troupe_status_name(event->status) : "");
    note(to, troupe_lifecycle_kind_name(event->kind), event->id, how);
}

static void subscribers_see_the_life_of_actors_until_they_leave(void **state)
{
    (void)state;
    house h;
    open_house(&h, &(troupe_node_options){TROUPE_NODE_OPTIONS, .idle = TROUPE_SECONDS(1)});
    diary seen = {.text = ""};
    uint64_t subscription, more[16];
    assert_ok(troupe_node_subscribe(h.s.node, see, &seen, &subscription));
    ask(h.s.node, "loose/a", "add", "");
    scene_run(&h.s, TROUPE_SECONDS(3));
    ask(h.s.node, "loose/b", "add", "");
    assert_ok(troupe_node_deactivate(h.s.node, id_of("loose/b")));
    scene_run(&h.s, MS(1));
    h.book.refuse = true;
    ask(h.s.node, "loose/c", "add", "");
    assert_string_equal(seen.text,
        "activated a;deactivated a idle;activated b;deactivated b asked;failed c APPLICATION;");
    int made = 0;
    while (troupe_node_subscribe(h.s.node, see, &seen, &more[made]) == TROUPE_OK)
        made++;
    assert_int_equal(made, 15); /* sixteen in all */
    for (int i = 0; i < made; i++)
        assert_ok(troupe_node_unsubscribe(h.s.node, more[i]));
    assert_ok(troupe_node_unsubscribe(h.s.node, subscription));
    seen.text[0] = 0;
    h.book.refuse = false;
    ask(h.s.node, "loose/d", "add", "");
    assert_string_equal(seen.text, "");
    scene_close(&h.s);
}

typedef struct sight {
    int count;
    char text[2048];
    troupe_actor_info info;
} sight;

static void view(void *user, const troupe_actor_info *info)
{
    sight *to = user;
    to->count++;
    to->info = *info;
    size_t size = strlen(to->text);
    troupe_id_print(info->id, to->text + size, sizeof to->text - size - 2);
    strcat(to->text, ";");
}

static void actors_are_looked_up_and_listed_without_being_touched(void **state)
{
    (void)state;
    house h;
    open_house(&h, &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 2});
    for (int i = 0; i < 30; i++) {
        char id[32];
        snprintf(id, sizeof id, "loose/user-%d", i);
        ask(h.s.node, id, "add", "");
    }
    ask(h.s.node, "still/x", "get", "");
    ask(h.s.node, "loose/user-7", "get", "");
    uint64_t turns = stats_of(h.s.node).turns;
    sight one = {0}, all = {0}, some = {0}, few = {0}, none = {0};
    assert_ok(troupe_node_lookup(h.s.node, id_of("loose/user-7"), view, &one));
    assert_string_equal(one.text, "loose/user-7;");
    assert_int_equal(one.info.received, 2);
    assert_int_equal(one.info.processed, 2 + 1); /* with on_activate */
    assert_int_equal(one.info.errors, 0);
    assert_string_equal(one.info.phase, "active");
    assert_true(one.info.bytes >= sizeof(item));
    const troupe_slice nothing = {0, 0};
    assert_ok(troupe_node_each_actor(h.s.node, nothing, nothing, 1000, view, &all));
    assert_int_equal(all.count, 31);
    assert_ok(troupe_node_each_actor(
        h.s.node, troupe_str("loose"), troupe_str("user-2*"), 1000, view, &some));
    assert_int_equal(some.count, 11);
    assert_ok(troupe_node_each_actor(h.s.node, troupe_str("loose"), nothing, 5, view, &few));
    assert_int_equal(few.count, 5);
    assert_status(
        troupe_node_lookup(h.s.node, id_of("loose/nobody"), view, &none), TROUPE_NOT_FOUND);
    assert_status(troupe_node_deactivate(h.s.node, id_of("loose/nobody")), TROUPE_NOT_FOUND);
    assert_int_equal(none.count, 0);
    assert_int_equal(stats_of(h.s.node).turns, turns);
    assert_int_equal(stats_of(h.s.node).activations, 31);
    scene_close(&h.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_message_activates_and_later_ones_reuse),
        cmocka_unit_test(an_activation_that_fails_fails_its_messages_and_is_tried_anew_by_the_next),
        cmocka_unit_test(an_idle_actor_is_deactivated_at_its_age_and_not_before),
        cmocka_unit_test(an_actor_with_a_parked_turn_or_a_pending_callback_is_not_idle),
        cmocka_unit_test(
            state_that_is_not_persistent_is_lost_with_a_counter_and_a_line_that_say_so),
        cmocka_unit_test(persistent_state_comes_back_raw_or_by_hooks),
        cmocka_unit_test(beyond_max_actors_the_least_recently_used_idle_one_goes_first),
        cmocka_unit_test(evicting_what_is_not_persistent_loses_its_state_and_says_so),
        cmocka_unit_test(at_max_actors_with_none_idle_callers_get_busy),
        cmocka_unit_test(beyond_memory_limit_idle_actors_go_by_bytes),
        cmocka_unit_test(messages_that_come_while_an_actor_leaves_go_to_its_next_activation),
        cmocka_unit_test(a_save_that_fails_keeps_the_actor_and_is_tried_again),
        cmocka_unit_test(hooks_that_panic_hurt_their_own_activation_and_leak_nothing),
        cmocka_unit_test(subscribers_see_the_life_of_actors_until_they_leave),
        cmocka_unit_test(actors_are_looked_up_and_listed_without_being_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
