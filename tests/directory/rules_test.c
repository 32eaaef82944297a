/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory machine alone: what one node does, effect by effect. What many do together is in
 * world_test.c.
 */
#include "directory/directory.h"

#include "base/alloc.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MEMBERS = 3, SAID = 64 };

typedef struct said {
    tp_directory_effect effect;
    tp_directory_item item; /* the first of a word */
} said;

/* Node 1 of nodes 1 to 3, in view 1; view 2 lacks node 2. */
typedef struct scene {
    tp_pool pool;
    tp_directory *directory;
    tp_directory_member members[2][MEMBERS];
    tp_ring *rings[2];
    tp_directory_view views[2];
    said said[SAID];
    uint32_t count;
    tp_letter letters[16];
    uint32_t letter_count;
    char keys[16][16];
    uint32_t key_count;
} scene;

static void make_view(scene *s, int which, const uint64_t *nodes, uint32_t count)
{
    tp_ring_member in_ring[MEMBERS];
    for (uint32_t i = 0; i < count; i++) {
        s->members[which][i] = (tp_directory_member){nodes[i], 1};
        in_ring[i] = (tp_ring_member){nodes[i] * 77, nodes[i], i};
    }
    assert_int_equal(
        tp_ring_create(tp_allocator_system(), in_ring, count, 16, &s->rings[which]), TROUPE_OK);
    s->views[which] =
        (tp_directory_view){(uint64_t)which + 1, s->members[which], count, s->rings[which]};
}

static scene *open_scene(const tp_directory_options *wished)
{
    scene *s = calloc(1, sizeof(*s));
    tp_directory_options options = *wished;
    options.self = 1;
    options.shards = 1;
    make_view(s, 0, (uint64_t[]){1, 2, 3}, 3);
    make_view(s, 1, (uint64_t[]){1, 3}, 2);
    assert_int_equal(tp_pool_init(&s->pool, tp_allocator_system(), 0, 1, true), TROUPE_OK);
    assert_int_equal(
        tp_directory_create(&options, &s->pool, tp_allocator_system(), &s->directory), TROUPE_OK);
    assert_int_equal(tp_directory_install(s->directory, &s->views[0]), TROUPE_OK);
    while (tp_directory_work(s->directory)) {
    }
    return s;
}

static void ignore(void *user, tp_letter *letter)
{
    (void)user;
    (void)letter;
}

static void close_scene(scene *s)
{
    tp_directory_destroy(s->directory, ignore, NULL);
    assert_int_equal(tp_pool_bytes(&s->pool), 0);
    tp_pool_deinit(&s->pool);
    tp_ring_destroy(s->rings[0]);
    tp_ring_destroy(s->rings[1]);
    free(s);
}

/* An id whose home is that node in view 1 and, unless 0, that in view 2. */
static tp_directory_id id_at(scene *s, uint64_t home, uint64_t next)
{
    static uint32_t made;
    char *key = s->keys[s->key_count++];
    for (;;) {
        uint64_t seed = ++made;
        uint64_t hash = tp_prng_split(&seed);
        uint64_t first = s->members[0][tp_directory_home(&s->views[0], hash)].node;
        uint64_t second = s->members[1][tp_directory_home(&s->views[1], hash)].node;
        if (first == home && (next == 0 || second == next)) {
            (void)snprintf(key, 16, "key-%u", made);
            return (tp_directory_id){hash, 5, troupe_str(""), troupe_str(key)};
        }
    }
}

static void listen(scene *s)
{
    const tp_directory_effect *effect;
    s->count = 0;
    while ((effect = tp_directory_effect_take(s->directory)) != NULL) {
        assert_true(s->count < SAID);
        said *one = &s->said[s->count++];
        one->effect = *effect;
        if (effect->kind == TP_DIRECTORY_WORD && effect->word.item_count > 0) {
            one->item = effect->word.items[0];
        }
    }
}

static void work(scene *s)
{
    while (tp_directory_work(s->directory)) {
    }
    listen(s);
}

static const tp_directory_effect *said_effect(scene *s, uint32_t kind)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->said[i].effect.kind == kind) {
            return &s->said[i].effect;
        }
    }
    return NULL;
}

static const said *said_word(scene *s, uint32_t kind)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->said[i].effect.kind == TP_DIRECTORY_WORD && s->said[i].effect.word.kind == kind) {
            return &s->said[i];
        }
    }
    return NULL;
}

static tp_letter *letter_for(scene *s, tp_directory_id id)
{
    tp_letter *letter = &s->letters[s->letter_count++];
    letter->id = id;
    letter->deadline = UINT64_MAX;
    letter->bytes = 100;
    letter->token = s->letter_count;
    return letter;
}

static void request(scene *s, tp_directory_id id)
{
    tp_directory_request(s->directory, letter_for(s, id));
    listen(s);
}

static void arrive(scene *s, tp_directory_id id, uint64_t from, uint64_t order, tp_grant grant)
{
    tp_letter *letter = letter_for(s, id);
    letter->from = letter->origin = from;
    letter->order = letter->number = order;
    letter->grant = grant;
    tp_directory_arrived(s->directory, letter);
    listen(s);
}

static void word(scene *s, uint64_t from, uint64_t view, tp_directory_word w)
{
    w.view = view;
    assert_int_equal(tp_directory_word_came(s->directory, from, 0, &w), TROUPE_OK);
    listen(s);
}

static const tp_grant no_grant = {0, 0};

/* ---- the sender ---- */

static uint64_t follow(scene *s, tp_directory_id id)
{
    tp_directory_course course = {0};
    if (!tp_directory_follow(s->directory, &id, 0, &course)) {
        return 0;
    }
    assert_int_equal(course.node, 2);
    return course.ticket;
}

static void requests_follow_one_another_until_their_way_is_clear(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_directory_id id = id_at(s, 2, 0);
    assert_int_equal(follow(s, id), 0);
    request(s, id);
    uint64_t first = said_effect(s, TP_DIRECTORY_FORWARD)->number;
    uint64_t second = follow(s, id);
    assert_true(first != 0 && second != 0 && second != first);
    tp_directory_settled(s->directory, first, false);
    tp_directory_settled(s->directory, first, false); /* it is over: nothing */
    uint64_t third = follow(s, id);
    assert_true(third != 0 && third != first && third != second);
    tp_directory_settled(s->directory, third, false);
    tp_directory_settled(s->directory, second, false);
    assert_true(tp_directory_reached(s->directory, tp_directory_mark(s->directory)));
    assert_int_equal(follow(s, id), 0); /* nothing to follow */
    close_scene(s);
}

static void who_follows_is_looked_at_now_and_then(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_directory_id id = id_at(s, 2, 0);
    request(s, id);
    uint32_t count = 0;
    while (follow(s, id) != 0) {
        assert_true(count++ < 1000);
    }
    assert_true(count > 0);
    request(s, id);
    assert_true(follow(s, id) != 0);
    close_scene(s);
}

static void nobody_follows_past_a_letter_that_is_held(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_directory_id id = id_at(s, 2, 0);
    request(s, id);
    tp_letter *other = letter_for(s, id);
    other->hint = 3; /* another way: it waits for the first to settle */
    tp_directory_request(s->directory, other);
    listen(s);
    assert_int_equal(follow(s, id), 0);
    close_scene(s);
}

/* ---- the home ---- */

static void a_home_grants_an_activation_to_the_node_that_is_chosen(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_directory_id id = id_at(s, 1, 0);
    arrive(s, id, 2, 1, no_grant);
    assert_int_equal(s->count, 1);
    assert_int_equal(said_effect(s, TP_DIRECTORY_PLACE)->node, 2);
    tp_directory_placed(s->directory, &id, 3, TROUPE_OK);
    listen(s);
    const tp_directory_effect *forward = said_effect(s, TP_DIRECTORY_FORWARD);
    assert_int_equal(forward->node, 3);
    assert_true(forward->letter->grant.number >> TP_DIRECTORY_VIEW_SHIFT == 1);
    assert_int_equal(forward->letter->grant.home, 1);
    uint64_t ticket = forward->number;
    arrive(s, id, 2, 2, no_grant); /* the next goes there, and grants nothing */
    assert_int_equal(said_effect(s, TP_DIRECTORY_FORWARD)->letter->grant.number, 0);
    assert_null(said_effect(s, TP_DIRECTORY_SETTLE));
    tp_directory_settled(s->directory, ticket, false);
    listen(s);
    assert_int_equal(said_effect(s, TP_DIRECTORY_SETTLE)->node, 2);
    assert_int_equal(said_effect(s, TP_DIRECTORY_SETTLE)->number, 1);
    assert_int_equal(tp_directory_look(s->directory, &id).host, 3);
    close_scene(s);
}

static void a_grant_that_never_left_is_given_anew(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_directory_id id = id_at(s, 1, 0);
    request(s, id);
    tp_directory_placed(s->directory, &id, 3, TROUPE_OK);
    listen(s);
    uint64_t ticket = said_effect(s, TP_DIRECTORY_FORWARD)->number;
    uint64_t number = said_effect(s, TP_DIRECTORY_FORWARD)->letter->grant.number;
    tp_directory_unsent(s->directory, ticket);
    listen(s);
    assert_int_equal(tp_directory_look(s->directory, &id).host, 0);
    request(s, id);
    tp_directory_placed(s->directory, &id, 2, TROUPE_OK);
    listen(s);
    const tp_directory_effect *again = said_effect(s, TP_DIRECTORY_FORWARD);
    assert_int_equal(again->node, 2);
    assert_true(again->letter->grant.number > number);
    tp_directory_unsent(s->directory, ticket); /* it is over: nothing */
    assert_int_equal(tp_directory_look(s->directory, &id).host, 2);
    close_scene(s);
}

static void nobody_to_place_at_is_said_to_who_asked(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_directory_id id = id_at(s, 1, 0);
    request(s, id);
    tp_directory_placed(s->directory, &id, 0, TROUPE_NO_TYPE);
    listen(s);
    assert_int_equal(said_effect(s, TP_DIRECTORY_REFUSE)->status, TROUPE_NO_TYPE);
    close_scene(s);
}

static void only_if_active_never_activates(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_letter *letter = letter_for(s, id_at(s, 1, 0));
    letter->flags = TP_LETTER_ACTIVE;
    tp_directory_request(s->directory, letter);
    listen(s);
    assert_int_equal(s->count, 1);
    assert_int_equal(said_effect(s, TP_DIRECTORY_REFUSE)->status, TROUPE_NOT_FOUND);
    close_scene(s);
}

static void a_release_ends_the_entry_of_its_own_number_only(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_directory_id id = id_at(s, 1, 0);
    arrive(s, id, 2, 1, no_grant);
    tp_directory_placed(s->directory, &id, 3, TROUPE_OK);
    listen(s);
    uint64_t number = said_effect(s, TP_DIRECTORY_FORWARD)->letter->grant.number;
    word(s, 3, 1, (tp_directory_word){.kind = TP_WORD_RELEASE, .hash = id.hash, .number = 7});
    assert_non_null(said_word(s, TP_WORD_RELEASED));
    assert_int_equal(tp_directory_look(s->directory, &id).host, 3);
    word(s, 2, 1, (tp_directory_word){.kind = TP_WORD_RELEASE, .hash = id.hash, .number = number});
    assert_int_equal(tp_directory_look(s->directory, &id).host, 3);
    word(s, 3, 1, (tp_directory_word){.kind = TP_WORD_RELEASE, .hash = id.hash, .number = number});
    assert_int_equal(said_word(s, TP_WORD_RELEASED)->effect.word.number, number);
    assert_int_equal(tp_directory_look(s->directory, &id).host, 0);
    close_scene(s);
}

/* ---- the host ---- */

static void only_a_grant_creates_and_once(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_directory_id id = id_at(s, 2, 0);
    arrive(s, id, 3, 1, no_grant); /* a stale cache sent it here */
    assert_int_equal(said_effect(s, TP_DIRECTORY_FORWARD)->node, 2);
    tp_grant grant = {UINT64_C(1) << TP_DIRECTORY_VIEW_SHIFT | 5, 2};
    arrive(s, id_at(s, 2, 0), 2, 2, grant);
    const tp_directory_effect *made = said_effect(s, TP_DIRECTORY_DELIVER);
    assert_true(made->create && !made->guarded);
    assert_int_equal(made->number, grant.number);
    tp_directory_id again = made->id;
    arrive(s, again, 2, 3, grant);
    assert_false(said_effect(s, TP_DIRECTORY_DELIVER)->create);
    close_scene(s);
}

static void a_releasing_host_holds_until_the_home_knows(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_directory_id id = id_at(s, 2, 0);
    tp_grant grant = {UINT64_C(1) << TP_DIRECTORY_VIEW_SHIFT | 5, 2};
    arrive(s, id, 2, 1, grant);
    assert_int_equal(tp_directory_release(s->directory, &id), TROUPE_OK);
    listen(s);
    assert_int_equal(said_word(s, TP_WORD_RELEASE)->effect.node, 2);
    request(s, id);
    assert_int_equal(s->count, 0);
    tp_directory_tick(s->directory, UINT64_C(2000000000)); /* it asks again */
    listen(s);
    assert_non_null(said_word(s, TP_WORD_RELEASE));
    word(s, 2, 1,
        (tp_directory_word){.kind = TP_WORD_RELEASED, .hash = id.hash, .number = grant.number});
    assert_int_equal(said_effect(s, TP_DIRECTORY_FORWARD)->node, 2);
    close_scene(s);
}

static void an_actor_that_is_made_here_waits_for_what_is_on_its_way(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_directory_id id = id_at(s, 2, 0);
    tp_grant grant = {UINT64_C(1) << TP_DIRECTORY_VIEW_SHIFT | 5, 2};
    request(s, id); /* to the home */
    uint64_t ticket = said_effect(s, TP_DIRECTORY_FORWARD)->number;
    arrive(s, id, 3, 1, grant); /* another's letter makes the actor here */
    assert_true(said_effect(s, TP_DIRECTORY_DELIVER)->guarded);
    request(s, id);
    assert_int_equal(s->count, 0);
    tp_directory_settled(s->directory, ticket, false);
    listen(s);
    assert_int_equal(s->count, 2);
    assert_int_equal(s->said[0].effect.kind, TP_DIRECTORY_DELIVER);
    assert_int_equal(s->said[1].effect.kind, TP_DIRECTORY_UNGUARD);
    close_scene(s);
}

static void a_letter_that_comes_back_goes_before_newer_ones(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_directory_id id = id_at(s, 2, 0);
    tp_grant grant = {UINT64_C(1) << TP_DIRECTORY_VIEW_SHIFT | 5, 2};
    tp_letter *first = letter_for(s, id);
    first->hint = 3;
    tp_directory_request(s->directory, first);
    listen(s);
    assert_int_equal(said_effect(s, TP_DIRECTORY_FORWARD)->node, 3);
    request(s, id); /* by the home: another way, so it waits */
    assert_int_equal(s->count, 0);
    tp_letter *back = letter_for(s, id);
    back->from = 2;
    back->origin = 1;
    back->order = 1;
    back->grant = grant;
    back->hops = 3;
    tp_directory_arrived(s->directory, back);
    listen(s);
    assert_int_equal(s->count, 3);
    assert_int_equal(s->said[2].effect.kind, TP_DIRECTORY_UNGUARD);
    assert_ptr_equal(s->said[0].effect.letter, back);
    assert_true(s->said[0].effect.create);
    assert_int_equal(s->said[1].effect.letter->order, 2);
    assert_true(tp_directory_reached(s->directory, tp_directory_mark(s->directory)));
    close_scene(s);
}

/* ---- limits ---- */

static void letters_that_wait_are_bounded_and_end_in_time(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){.held_id_max = 2});
    tp_directory_id id = id_at(s, 1, 0);
    for (int i = 0; i < 2; i++) {
        tp_letter *letter = letter_for(s, id);
        letter->deadline = UINT64_C(1000000000);
        tp_directory_request(s->directory, letter);
    }
    listen(s);
    request(s, id);
    assert_int_equal(said_effect(s, TP_DIRECTORY_REFUSE)->status, TROUPE_BUSY);
    tp_directory_tick(s->directory, UINT64_C(1000000000));
    listen(s);
    assert_int_equal(s->count, 2);
    assert_int_equal(s->said[0].effect.status, TROUPE_EXPIRED);
    close_scene(s);
}

static void a_letter_that_was_accepted_waits_beyond_the_limits(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){.held_id_max = 2, .held_max = 4});
    tp_directory_id id = id_at(s, 1, 0);
    assert_false(tp_directory_is_filling(s->directory));
    for (int i = 0; i < 5; i++) {
        tp_letter *letter = letter_for(s, id);
        letter->flags = TP_LETTER_WAITS;
        tp_directory_request(s->directory, letter);
    }
    listen(s);
    assert_null(said_effect(s, TP_DIRECTORY_REFUSE));
    assert_int_equal(tp_directory_held_of(s->directory, &id), 5);
    assert_true(tp_directory_is_filling(s->directory)); /* for its sender to know */
    request(s, id);
    assert_int_equal(said_effect(s, TP_DIRECTORY_REFUSE)->status, TROUPE_BUSY);
    close_scene(s);
}

static void ids_whose_letters_wait_leave_room_for_others(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){.held_max = 4});
    tp_directory_id stuck = id_at(s, 1, 0);
    listen(s);
    for (int i = 0; i < 5; i++) {
        request(s, stuck);
        bool is_refused = said_effect(s, TP_DIRECTORY_REFUSE) != NULL;
        assert_int_equal(is_refused, i >= 2);
    }
    for (uint32_t i = 1; i < 5; i++) {
        request(s, id_at(s, 1, 0));
        bool is_refused = said_effect(s, TP_DIRECTORY_REFUSE) != NULL;
        assert_int_equal(is_refused, i >= 3);
    }
    close_scene(s);
}

static void strangers_are_refused(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_directory_id id = id_at(s, 1, 0);
    arrive(s, id, 9, 1, (tp_grant){UINT64_C(1) << TP_DIRECTORY_VIEW_SHIFT | 1, 9});
    assert_non_null(said_effect(s, TP_DIRECTORY_DISCARD));
    assert_int_equal(tp_directory_state_of(s->directory, &id), TP_DIRECTORY_ABSENT);
    word(s, 9, 1, (tp_directory_word){.kind = TP_WORD_SYNC});
    assert_int_equal(s->count, 0);
    close_scene(s);
}

/* ---- views ---- */

static void ways_to_a_node_that_is_gone_are_told_lost(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    request(s, id_at(s, 2, 0));
    assert_false(tp_directory_reached(s->directory, tp_directory_mark(s->directory)));
    assert_int_equal(tp_directory_install(s->directory, &s->views[1]), TROUPE_OK);
    work(s);
    assert_int_equal(said_effect(s, TP_DIRECTORY_LOST)->token, 1);
    assert_true(tp_directory_reached(s->directory, tp_directory_mark(s->directory)));
    close_scene(s);
}

static void a_home_after_a_crash_asks_all_before_it_grants(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_directory_id id = id_at(s, 2, 1);
    assert_int_equal(tp_directory_install(s->directory, &s->views[1]), TROUPE_OK);
    work(s);
    const said *survey = said_word(s, TP_WORD_SURVEY);
    assert_int_equal(survey->effect.node, 3);
    uint64_t number = survey->effect.word.number;
    request(s, id);
    assert_int_equal(s->count, 0);
    assert_false(tp_directory_look(s->directory, &id).settled);
    tp_directory_item item = {.id = id,
        .number = UINT64_C(1) << TP_DIRECTORY_VIEW_SHIFT | 9,
        .state = TP_DIRECTORY_ACTIVE};
    word(s, 3, 2,
        (tp_directory_word){.kind = TP_WORD_ANSWER,
            .number = number,
            .last = true,
            .items = &item,
            .item_count = 1});
    work(s);
    assert_int_equal(said_effect(s, TP_DIRECTORY_FORWARD)->node, 3);
    assert_int_equal(said_effect(s, TP_DIRECTORY_FORWARD)->letter->grant.number, 0);
    close_scene(s);
}

static void who_answered_a_survey_refuses_older_grants(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_directory_id id = id_at(s, 2, 3);
    assert_int_equal(tp_directory_install(s->directory, &s->views[1]), TROUPE_OK);
    work(s);
    tp_span all = {0, UINT64_MAX};
    word(s, 3, 2,
        (tp_directory_word){.kind = TP_WORD_SURVEY, .number = 1, .spans = &all, .span_count = 1});
    work(s);
    assert_non_null(said_word(s, TP_WORD_ANSWER));
    tp_grant old = {UINT64_C(1) << TP_DIRECTORY_VIEW_SHIFT | 5, 2};
    arrive(s, id, 3, 1, old);
    assert_null(said_effect(s, TP_DIRECTORY_DELIVER));
    assert_int_equal(said_effect(s, TP_DIRECTORY_FORWARD)->node, 3);
    close_scene(s);
}

/* Its origin was told that it is lost, and may have sent newer ones by another way. */
static void what_a_node_sent_that_is_gone_is_not_passed_on(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_directory_id id = id_at(s, 1, 1);
    arrive(s, id, 2, 1, no_grant);
    assert_int_equal(tp_directory_install(s->directory, &s->views[1]), TROUPE_OK);
    work(s);
    assert_non_null(said_effect(s, TP_DIRECTORY_REFUSE));
    tp_directory_placed(s->directory, &id, 3, TROUPE_OK);
    listen(s);
    assert_null(said_effect(s, TP_DIRECTORY_FORWARD));
    close_scene(s);
}

/* It began at 3 and comes from there, after it was at `through`. */
static void arrive_through(scene *s, tp_directory_id id, uint64_t through, uint64_t order)
{
    tp_letter *letter = letter_for(s, id);
    letter->from = letter->origin = 3;
    letter->order = letter->number = order;
    letter->trail = (tp_directory_trail){.nodes = {through}, .count = 1};
    letter->hops = 3;
    tp_directory_arrived(s->directory, letter);
    listen(s);
}

static void what_went_through_a_node_that_is_gone_is_not_taken(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_directory_id id = id_at(s, 1, 1);
    arrive_through(s, id, 2, 1);
    assert_null(said_effect(s, TP_DIRECTORY_REFUSE));
    assert_int_equal(tp_directory_install(s->directory, &s->views[1]), TROUPE_OK);
    work(s);
    assert_non_null(said_effect(s, TP_DIRECTORY_REFUSE));
    arrive_through(s, id, 2, 2);
    assert_non_null(said_effect(s, TP_DIRECTORY_REFUSE));
    arrive_through(s, id, 1, 3);
    assert_null(said_effect(s, TP_DIRECTORY_REFUSE));
    close_scene(s);
}

static void a_letter_tells_which_nodes_it_went_through(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_directory_id id = id_at(s, 2, 0);
    tp_letter *letter = letter_for(s, id);
    letter->from = letter->origin = 3;
    letter->order = letter->number = 1;
    tp_directory_arrived(s->directory, letter);
    listen(s);
    const tp_directory_effect *effect = said_effect(s, TP_DIRECTORY_FORWARD);
    assert_non_null(effect);
    assert_int_equal(effect->letter->trail.count, 0); /* it began there */
    id = id_at(s, 2, 0);
    letter = letter_for(s, id);
    letter->from = 3;
    letter->origin = 2;
    letter->order = letter->number = 2;
    tp_directory_arrived(s->directory, letter);
    listen(s);
    effect = said_effect(s, TP_DIRECTORY_FORWARD);
    assert_non_null(effect);
    assert_int_equal(effect->letter->trail.count, 1);
    assert_int_equal(effect->letter->trail.nodes[0], 3);
    id = id_at(s, 2, 0);
    letter = letter_for(s, id);
    letter->from = 3;
    letter->origin = 2;
    letter->order = letter->number = 3;
    letter->trail.count = TP_DIRECTORY_TRAIL; /* all of them others */
    tp_directory_arrived(s->directory, letter);
    listen(s);
    assert_non_null(said_effect(s, TP_DIRECTORY_REFUSE));
    close_scene(s);
}

static void a_switch_that_fails_gives_the_actor_back_at_once(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    tp_directory_id id = id_at(s, 2, 1);
    assert_int_equal(tp_directory_install(s->directory, &s->views[1]), TROUPE_OK);
    work(s);
    uint64_t former = UINT64_C(1) << TP_DIRECTORY_VIEW_SHIFT | 9;
    tp_directory_item source = {
        .id = id, .number = former, .peer = 1, .state = TP_DIRECTORY_SOURCE};
    word(s, 3, 2,
        (tp_directory_word){.kind = TP_WORD_ANSWER,
            .number = said_word(s, TP_WORD_SURVEY)->effect.word.number,
            .last = true,
            .items = &source,
            .item_count = 1});
    work(s);
    word(s, 1, 2, (tp_directory_word){.kind = TP_WORD_SWITCH, .hash = id.hash, .number = former});
    const said *back = said_word(s, TP_WORD_BACK);
    assert_non_null(back);
    assert_int_equal(back->effect.node, 3);
    assert_int_equal(back->effect.word.number, former);
    assert_true(back->effect.word.other > former);
    close_scene(s);
}

static void a_replica_shortens_the_wait_and_grants_nothing(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){.replicas = 1});
    tp_directory_id mine = id_at(s, 1, 0), its = id_at(s, 2, 1);
    arrive(s, mine, 2, 1, no_grant);
    tp_directory_placed(s->directory, &mine, 3, TROUPE_OK);
    listen(s);
    assert_int_equal(said_word(s, TP_WORD_COPY)->item.host, 3);
    while (true) { /* an id of node 2's whose copy is here */
        const tp_ring_member *members[2];
        (void)tp_ring_successors(s->rings[0], its.hash, members, 2);
        if (members[1]->incarnation == 1) {
            break;
        }
        s->key_count--;
        its = id_at(s, 2, 1);
    }
    tp_directory_item item = {
        .id = its, .host = 3, .number = UINT64_C(1) << TP_DIRECTORY_VIEW_SHIFT | 9};
    word(s, 2, 1, (tp_directory_word){.kind = TP_WORD_COPY, .items = &item, .item_count = 1});
    assert_int_equal(tp_directory_install(s->directory, &s->views[1]), TROUPE_OK);
    listen(s);
    request(s, its);
    assert_int_equal(said_effect(s, TP_DIRECTORY_FORWARD)->node, 3);
    assert_int_equal(said_effect(s, TP_DIRECTORY_FORWARD)->letter->grant.number, 0);
    assert_false(tp_directory_look(s->directory, &its).settled);
    close_scene(s);
}

/* ---- questions ---- */

static void count_item(void *user, const tp_directory_item *item)
{
    (void)item;
    ++*(uint32_t *)user;
}

static void active_ids_are_paged_each_once(void **state)
{
    (void)state;
    scene *s = open_scene(&(tp_directory_options){0});
    for (uint64_t i = 1; i <= 7; i++) {
        tp_directory_id id = id_at(s, 1, 0);
        arrive(s, id, 2, i, no_grant);
        tp_directory_placed(s->directory, &id, 1, TROUPE_OK);
        listen(s);
        assert_true(said_effect(s, TP_DIRECTORY_DELIVER)->create);
    }
    uint64_t cursor = 0;
    uint32_t seen = 0, pages = 0;
    do {
        uint32_t before = seen;
        assert_true(tp_directory_page(s->directory, 5, &cursor, 2, NULL, count_item, &seen));
        assert_true(seen - before <= 2);
        pages++;
    } while (cursor != 0);
    assert_int_equal(seen, 7);
    assert_true(pages >= 4);
    assert_int_equal(tp_directory_lookup(s->directory, &s->letters[0].id, 42), TROUPE_OK);
    listen(s);
    assert_int_equal(said_effect(s, TP_DIRECTORY_FOUND)->token, 42);
    assert_int_equal(said_effect(s, TP_DIRECTORY_FOUND)->node, 1);
    close_scene(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_follow_one_another_until_their_way_is_clear),
        cmocka_unit_test(who_follows_is_looked_at_now_and_then),
        cmocka_unit_test(nobody_follows_past_a_letter_that_is_held),
        cmocka_unit_test(a_home_grants_an_activation_to_the_node_that_is_chosen),
        cmocka_unit_test(a_grant_that_never_left_is_given_anew),
        cmocka_unit_test(nobody_to_place_at_is_said_to_who_asked),
        cmocka_unit_test(only_if_active_never_activates),
        cmocka_unit_test(a_release_ends_the_entry_of_its_own_number_only),
        cmocka_unit_test(only_a_grant_creates_and_once),
        cmocka_unit_test(a_releasing_host_holds_until_the_home_knows),
        cmocka_unit_test(an_actor_that_is_made_here_waits_for_what_is_on_its_way),
        cmocka_unit_test(a_letter_that_comes_back_goes_before_newer_ones),
        cmocka_unit_test(letters_that_wait_are_bounded_and_end_in_time),
        cmocka_unit_test(a_letter_that_was_accepted_waits_beyond_the_limits),
        cmocka_unit_test(ids_whose_letters_wait_leave_room_for_others),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(ways_to_a_node_that_is_gone_are_told_lost),
        cmocka_unit_test(a_home_after_a_crash_asks_all_before_it_grants),
        cmocka_unit_test(who_answered_a_survey_refuses_older_grants),
        cmocka_unit_test(what_a_node_sent_that_is_gone_is_not_passed_on),
        cmocka_unit_test(what_went_through_a_node_that_is_gone_is_not_taken),
        cmocka_unit_test(a_letter_tells_which_nodes_it_went_through),
        cmocka_unit_test(a_switch_that_fails_gives_the_actor_back_at_once),
        cmocka_unit_test(a_replica_shortens_the_wait_and_grants_nothing),
        cmocka_unit_test(active_ids_are_paged_each_once),
    };
    return cmocka_run_group_tests_name("directory/rules", tests, NULL, NULL);
}
