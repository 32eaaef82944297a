/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a shard promises to the port through which it knows other nodes (shard/away.h): it makes no
 * actor by itself, tells when one goes, sends answers where they belong, and lets nothing out while
 * the lease has run out. The other nodes are played by the test.
 */
#include "tests/promises/scene.h"

#include "shard/away.h"

#define HELD_MAX 16

/* The part of the other nodes. */
typedef struct elsewhere {
    tp_away port;
    tp_shard *shard;
    tp_message *absent[HELD_MAX];
    uint32_t absent_count;
    tp_message *sent[HELD_MAX];
    uint32_t sent_to[HELD_MAX], sent_count;
    uint32_t gone, roomy;
    bool grants; /* at once */
    bool has_lease;
} elsewhere;

static elsewhere *of(tp_away *away)
{
    return (elsewhere *)(void *)away;
}

static void absent(tp_away *away, tp_message *message)
{
    elsewhere *self = of(away);
    if (tp_lease_is_lost(self->shard->shared))
        tp_message_answer(self->shard, message, TROUPE_UNAVAILABLE, TROUPE_NOT_DONE, "put out");
    else if (self->grants && message->kind <= TP_ASK)
        tp_accept_granted(self->shard, message);
    else
        self->absent[self->absent_count++] = message;
}

/* To where the id is, as it seems. */
static void follow(tp_away *away, uint64_t node, tp_message *message)
{
    assert_int_equal(node, 0);
    absent(away, message);
}

static void send_away(tp_away *away, uint32_t to, tp_message *message)
{
    elsewhere *self = of(away);
    self->sent_to[self->sent_count] = to;
    self->sent[self->sent_count++] = message;
}

static bool wakes(const tp_away *away, const tp_type *type, uint64_t hash)
{
    (void)away;
    (void)type;
    (void)hash;
    return true;
}

static void has_room(tp_away *away, const tp_activation *actor)
{
    (void)actor;
    of(away)->roomy++;
}

static void gone(tp_away *away, const tp_activation *actor)
{
    (void)actor;
    of(away)->gone++;
}

static bool moves_on(tp_away *away, tp_activation *actor)
{
    (void)away;
    (void)actor;
    return false;
}

static bool pass(tp_away *away)
{
    return of(away)->has_lease;
}

static uint64_t flush(tp_away *away)
{
    (void)away;
    return TP_NEVER;
}

static bool has_arrivals(const tp_away *away)
{
    (void)away;
    return false;
}

static bool is_quiet(const tp_away *away)
{
    (void)away;
    return true;
}

static bool is_leaving(const tp_away *away)
{
    (void)away;
    return true;
}

static bool is_deserted(tp_away *away)
{
    (void)away;
    return true;
}

/* ---- actors ---------------------------------------------------------------------------------- */

static troupe_status add(troupe_turn *turn, void *state, troupe_slice payload)
{
    char *text = state;
    size_t at = strlen(text);
    snprintf(text + at, 64 - at, "%.*s", TROUPE_ARG(payload));
    return troupe_reply_format(turn, "%s", text);
}

static troupe_status relay(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    TROUPE_TRY(troupe_ask(turn, troupe_id_of("note", "b"), "add", payload, NULL, &answer));
    return troupe_reply_take(turn, &answer);
}

static troupe_status nap(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    TROUPE_TRY(troupe_sleep(turn, MS(100)));
    return troupe_reply_format(turn, "slept");
}

static uint32_t answers;

static troupe_status answered(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)turn;
    (void)state;
    (void)payload;
    answers++;
    return TROUPE_OK;
}

static void came_back(
    troupe_turn *turn, void *state, const troupe_answer *answer, void *user)
{
    (void)turn;
    (void)state;
    (void)answer;
    (void)user;
    answers++;
}

static troupe_status ask_then(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    TROUPE_TRY(troupe_ask_then(turn, troupe_id_of("note", "b"), "nap", payload, NULL,
        &(troupe_then){TROUPE_THEN, .done = "answered", .failed = "answered"}));
    return troupe_reply_format(turn, "asked");
}

static troupe_status ask_callback(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    TROUPE_TRY(troupe_ask_callback(
        turn, troupe_id_of("note", "b"), "nap", payload, NULL, came_back, NULL));
    return troupe_reply_format(turn, "asked");
}

static const troupe_method methods[] = {TROUPE_METHOD(add), TROUPE_METHOD(relay),
    TROUPE_METHOD(nap), TROUPE_METHOD(ask_then), TROUPE_METHOD(ask_callback),
    TROUPE_METHOD(answered)};
static const troupe_type narrow = {
    TROUPE_TYPE("narrow"), .state_size = 64, TROUPE_METHODS(methods), .mailbox_limit = 4};
static const troupe_type note = {
    TROUPE_TYPE("note"), .state_size = 64, TROUPE_METHODS(methods), .idle = TROUPE_SECONDS(5)};
static const troupe_type worker = {
    TROUPE_TYPE("worker"), .state_size = 64, TROUPE_METHODS(methods), .stateless_workers = 2};
static const troupe_type kept = {TROUPE_TYPE("kept"), .state_size = 64, TROUPE_METHODS(methods),
    .persist = TROUPE_PERSIST_EVERY_TURN};

static uint32_t hooks;

static troupe_status on_activate(troupe_turn *turn, void *state)
{
    (void)turn;
    (void)state;
    hooks++;
    return TROUPE_OK;
}

static const troupe_type hooked = {TROUPE_TYPE("hooked"), .state_size = 64, TROUPE_METHODS(methods),
    .persist = TROUPE_PERSIST_EVERY_TURN, .on_activate = on_activate};
static const troupe_type *const types[] = {&note, &worker, &kept, &hooked, &narrow};

static void play(scene *self, elsewhere *other)
{
    scene_open(self, NULL, types, sizeof types / sizeof types[0]);
    *other = (elsewhere){.port = {.absent = absent,
                             .follow = follow,
                             .send = send_away,
                             .wakes = wakes,
                             .has_room = has_room,
                             .gone = gone,
                             .moves_on = moves_on,
                             .pass = pass,
                             .flush = flush,
                             .has_arrivals = has_arrivals,
                             .is_quiet = is_quiet,
                             .is_leaving = is_leaving,
                             .is_deserted = is_deserted},
        .shard = self->node->shared.shards[0],
        .has_lease = true};
    other->shard->away = &other->port;
}

static void grant(elsewhere *other)
{
    for (uint32_t i = 0; i < other->absent_count; i++) {
        if (i == 0)
            assert_true(tp_accept_granted(other->shard, other->absent[i]));
        else
            tp_accept(other->shard, other->absent[i]);
    }
    other->absent_count = 0;
    other->shard->env->runner_wake(other->shard->env, &other->shard->runner);
}

/* ---- scenes ---------------------------------------------------------------------------------- */

static void an_actor_is_made_when_it_is_granted_and_its_messages_keep_their_order(void **state)
{
    (void)state;
    scene self;
    elsewhere other;
    play(&self, &other);
    call calls[3];
    scene_ask(&self, &calls[0], "note/a", "add", "1", NULL);
    scene_ask(&self, &calls[1], "note/a", "add", "2", NULL);
    scene_run(&self, TROUPE_SECONDS(1));
    assert_int_equal(other.absent_count, 2);
    assert_int_equal(stats_of(self.node).activations, 0);
    grant(&other);
    scene_ask(&self, &calls[2], "note/a", "add", "3", NULL);
    scene_run(&self, TROUPE_SECONDS(1));
    assert_string_equal(calls[0].got.text, "1");
    assert_string_equal(calls[1].got.text, "12");
    assert_string_equal(calls[2].got.text, "123");
    assert_int_equal(other.absent_count, 0);
    scene_close(&self);
}

static void an_actor_that_goes_is_told_once_and_is_absent_again(void **state)
{
    (void)state;
    scene self;
    elsewhere other;
    play(&self, &other);
    other.grants = true;
    assert_string_equal(ask(self.node, "note/a", "add", "1").text, "1");
    scene_run(&self, TROUPE_SECONDS(20));
    assert_int_equal(other.gone, 1);
    other.grants = false;
    call later;
    scene_ask(&self, &later, "note/a", "add", "2", NULL);
    scene_run(&self, TROUPE_SECONDS(1));
    assert_int_equal(other.absent_count, 1);
    grant(&other);
    scene_await(&self, &later);
    assert_string_equal(later.got.text, "2");
    scene_close(&self);
}

static void a_cancel_follows_its_ask(void **state)
{
    (void)state;
    scene self;
    elsewhere other;
    play(&self, &other);
    call held;
    scene_ask(&self, &held, "note/a", "add", "1",
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .timeout = TROUPE_SECONDS(1)});
    scene_run(&self, TROUPE_SECONDS(3));
    assert_heard(held.got, TROUPE_TIMEOUT);
    assert_int_equal(other.absent_count, 2);
    assert_int_equal(other.absent[0]->kind, TP_ASK);
    assert_int_equal(other.absent[1]->kind, TP_CANCEL);
    assert_true(other.absent[0]->from.slot == other.absent[1]->from.slot);
    for (int i = 0; i < 2; i++)
        tp_pool_give(&other.shard->pool, other.absent[i]);
    scene_close(&self);
}

/* It went to another node, was cancelled, and its way broke: that is its end. */
static void what_was_cancelled_is_not_asked_again(void **state)
{
    (void)state;
    scene self;
    elsewhere other;
    play(&self, &other);
    call calls[2];
    troupe_cancel *cancel = NULL;
    assert_ok(troupe_cancel_create(self.node, &cancel));
    for (int i = 0; i < 2; i++) {
        const troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_SECONDS(20),
            .once = troupe_str("key"), .cancel = i == 0 ? cancel : NULL};
        scene_ask(&self, &calls[i], i == 0 ? "kept/a" : "kept/b", "add", "1", &options);
    }
    scene_run(&self, TROUPE_MILLISECONDS(10));
    troupe_cancel_fire(cancel);
    scene_run(&self, TROUPE_MILLISECONDS(10));
    assert_int_equal(other.absent_count, 3);
    assert_int_equal(other.absent[2]->kind, TP_CANCEL);
    for (int i = 0; i < 2; i++) { /* as who finds a channel broken answers */
        tp_message *reply = other.absent[i];
        reply->kind = TP_REPLY;
        reply->status = TROUPE_UNKNOWN;
        reply->outcome = TROUPE_UNKNOWN_OUTCOME;
        reply->payload_size = 0;
        reply->flags &= (uint8_t)~TP_MESSAGE_SLIP;
        tp_ask_reply_slowly(other.shard, reply);
    }
    tp_pool_give(&other.shard->pool, other.absent[2]);
    other.absent_count = 0;
    other.shard->env->runner_wake(other.shard->env, &other.shard->runner);
    scene_run(&self, TROUPE_SECONDS(1));
    assert_heard(calls[0].got, TROUPE_UNKNOWN);
    assert_int_equal(other.absent_count, 1); /* the other one, which nobody cancelled */
    grant(&other);
    scene_await(&self, &calls[1]);
    assert_string_equal(calls[1].got.text, "1");
    troupe_cancel_destroy(cancel);
    scene_close(&self);
}

static void the_answer_of_an_ask_from_another_node_goes_there(void **state)
{
    (void)state;
    scene self;
    elsewhere other;
    play(&self, &other);
    other.grants = true;
    assert_heard(ask(self.node, "note/a", "add", "1"), TROUPE_OK);
    /* As a codec would make it of a frame. */
    const tp_type *type = tp_types_find(&self.node->shared.types, troupe_str("note"));
    const tp_message_parts parts = {.key = troupe_str("a"), .payload = troupe_str("2")};
    const tp_message_head head = {
        .hash = tp_type_hash(&self.node->shared.types, type, (troupe_slice){0, 0}, troupe_str("a")),
        .type = type,
        .deadline = TP_NEVER,
        .from = {77, 5},
        .from_shard = TP_AWAY_FIRST + 3,
        .kind = TP_ASK};
    tp_message *message = tp_message_make_here(&other.shard->pool, &parts, &head);
    tp_accept(other.shard, message);
    other.shard->env->runner_wake(other.shard->env, &other.shard->runner);
    scene_run(&self, TROUPE_SECONDS(1));
    assert_int_equal(other.sent_count, 1);
    assert_int_equal(other.sent_to[0], TP_AWAY_FIRST + 3);
    assert_int_equal(other.sent[0]->kind, TP_REPLY);
    assert_int_equal(other.sent[0]->from.slot, 77);
    assert_int_equal(other.sent[0]->from.generation, 5);
    troupe_slice payload = tp_message_payload(other.sent[0]);
    assert_int_equal(payload.size, 2);
    assert_memory_equal(payload.data, "12", 2);
    tp_pool_give(&other.shard->pool, other.sent[0]);
    scene_close(&self);
}

static void without_a_lease_no_turn_begins_and_nothing_is_lost(void **state)
{
    (void)state;
    scene self;
    elsewhere other;
    play(&self, &other);
    other.grants = true;
    assert_heard(ask(self.node, "note/a", "add", "1"), TROUPE_OK);
    other.has_lease = false;
    atomic_store(&self.node->shared.lease_until, tp_world_now(self.world));
    call later, hasty;
    scene_ask(&self, &later, "note/a", "add", "2", NULL);
    scene_ask(&self, &hasty, "note/a", "add", "3",
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .timeout = TROUPE_SECONDS(1)});
    scene_run(&self, TROUPE_SECONDS(3));
    assert_int_equal(atomic_load(&later.ends), 0);
    assert_int_equal(atomic_load(&hasty.ends), 1); /* its time is over all the same */
    assert_heard(hasty.got, TROUPE_TIMEOUT);
    other.has_lease = true;
    atomic_store(&self.node->shared.lease_until, TP_NEVER);
    self.node->shared.env->runner_wake(self.node->shared.env, &other.shard->runner);
    scene_await(&self, &later);
    assert_string_equal(later.got.text, "12");
    scene_close(&self);
}

/* What it found is no longer its own: others may have made the actor by then. Turns that wait end
 * while the node closes, so this is a step as any other; what it would begin is not. */
static void what_still_loads_when_its_node_is_put_out_runs_no_hook(void **state)
{
    (void)state;
    enum { CALLS = 48 };
    scene self;
    elsewhere other;
    call calls[CALLS];
    play(&self, &other);
    other.grants = true;
    hooks = 0;
    for (int i = 0; i < CALLS; i++) {
        char name[16];
        snprintf(name, sizeof name, "hooked/%d", i);
        scene_ask(&self, &calls[i], name, "add", "1", NULL);
    }
    scene_run(&self, MS(1));
    uint32_t before = hooks;
    assert_int_equal(other.shard->parked_count, CALLS - before);
    assert_in_range(before, 1, CALLS - 1); /* some load still */
    atomic_store(&self.node->shared.lease_until, 0);
    scene_run(&self, TROUPE_SECONDS(1));
    assert_int_equal(hooks, before);
    assert_int_equal(other.shard->parked_count, 0);
    tp_outside_let_go(other.shard, true);
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(atomic_load(&calls[i].ends), 1);
    scene_close(&self);
}

/* As the cluster does. */
static void put_out(elsewhere *other)
{
    tp_shard *shard = other->shard;
    atomic_store(&shard->shared->lease_until, 0);
    TP_LIST_EACH(&shard->recency, link)
        tp_activation_guard(shard, TP_CONTAINER(link, tp_activation, recency));
}

/* Turns that wait end while the node closes; the actors that they answer may be elsewhere. */
static void what_turns_of_a_node_that_was_put_out_answer_begins_nothing(void **state)
{
    (void)state;
    static const char *const askers[] = {"kept/a", "note/a"};
    static const char *const asks[] = {"ask_then", "ask_callback"};
    for (int i = 0; i < 4; i++) {
        bool is_lost = i >= 2;
        scene self;
        elsewhere other;
        play(&self, &other);
        other.grants = true;
        answers = 0;
        assert_heard(ask(self.node, askers[i % 2], asks[i % 2], ""), TROUPE_OK);
        scene_run(&self, MS(10));
        assert_int_equal(other.shard->parked_count, 1); /* who is asked */
        if (is_lost)
            put_out(&other);
        scene_run(&self, TROUPE_SECONDS(1));
        assert_int_equal(other.shard->parked_count, 0);
        assert_int_equal(answers, is_lost ? 0 : 1);
        assert_int_equal(other.shard->queued, 0);
        assert_int_equal(tp_cell_get(&other.shard->counters.dead_letters), 0);
        scene_close(&self);
    }
}

static void an_answer_that_was_computed_too_late_waits_for_the_lease(void **state)
{
    (void)state;
    for (int is_lost = 0; is_lost < 2; is_lost++) {
        scene self;
        elsewhere other;
        play(&self, &other);
        other.grants = true;
        /* The turn runs, but at the moment of its answer the lease is over. */
        atomic_store(&self.node->shared.lease_until, tp_world_now(self.world));
        call later;
        scene_ask(&self, &later, "note/a", "add", "1", NULL);
        scene_run(&self, TROUPE_SECONDS(1));
        assert_int_equal(atomic_load(&later.ends), 0);
        assert_int_equal(stats_of(self.node).activations, 1);
        atomic_store(&self.node->shared.lease_until, TP_NEVER);
        tp_outside_let_go(other.shard, is_lost);
        assert_int_equal(atomic_load(&later.ends), 1);
        if (is_lost) {
            assert_heard(later.got, TROUPE_UNKNOWN);
            assert_int_equal(later.got.outcome, TROUPE_UNKNOWN_OUTCOME);
        } else {
            assert_string_equal(later.got.text, "1");
        }
        scene_close(&self);
    }
}

static void stateless_workers_are_made_where_they_are_asked_for(void **state)
{
    (void)state;
    scene self;
    elsewhere other;
    play(&self, &other);
    assert_string_equal(ask(self.node, "worker/a", "add", "1").text, "1");
    assert_int_equal(other.absent_count, 0);
    scene_close(&self);
    assert_int_equal(other.gone, 0);
}

static void an_actor_asks_one_that_is_absent_as_any_caller_does(void **state)
{
    (void)state;
    scene self;
    elsewhere other;
    play(&self, &other);
    call first;
    scene_ask(&self, &first, "note/a", "relay", "x", NULL);
    scene_run(&self, TROUPE_SECONDS(1));
    grant(&other); /* note/a */
    scene_run(&self, TROUPE_SECONDS(1));
    assert_int_equal(other.absent_count, 1);
    grant(&other); /* note/b */
    scene_await(&self, &first);
    assert_string_equal(first.got.text, "x");
    scene_close(&self);
}

static void what_another_node_says_of_a_mailbox_that_is_here_is_nothing(void **state)
{
    (void)state;
    scene self;
    elsewhere other;
    play(&self, &other);
    other.grants = true;
    assert_string_equal(ask(self.node, "note/a", "add", "1").text, "1");
    const tp_activation *actor =
        TP_CONTAINER(tp_list_front(&other.shard->recency), tp_activation, recency);
    tp_mark_full(other.shard, actor->hash);
    assert_string_equal(ask(self.node, "note/a", "add", "2").text, "12");
    tp_mark_full(other.shard, actor->hash + 1);
    assert_int_equal(other.shard->mark_count, 1);
    assert_true(tp_full_has(&other.shard->full, actor->hash + 1));
    tp_mark_clear(other.shard, actor->hash + 1);
    assert_false(tp_full_has(&other.shard->full, actor->hash + 1));
    scene_close(&self);
}

static void a_mailbox_that_was_full_tells_once_that_it_has_room(void **state)
{
    (void)state;
    scene self;
    elsewhere other;
    play(&self, &other);
    other.grants = true;
    tell(self.node, "narrow/a", "nap", "");
    scene_run(&self, MS(1));
    for (int i = 0; i < 6; i++) /* under way at once: two are beyond */
        tell(self.node, "narrow/a", "add", "x");
    scene_run(&self, MS(50));
    const tp_activation *actor =
        TP_CONTAINER(tp_list_front(&other.shard->recency), tp_activation, recency);
    assert_true(tp_full_has(&other.shard->full, actor->hash));
    assert_int_equal(other.roomy, 0);
    scene_run(&self, MS(100));
    assert_false(tp_full_has(&other.shard->full, actor->hash));
    assert_int_equal(other.roomy, 1);
    scene_close(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_actor_is_made_when_it_is_granted_and_its_messages_keep_their_order),
        cmocka_unit_test(an_actor_that_goes_is_told_once_and_is_absent_again),
        cmocka_unit_test(a_cancel_follows_its_ask),
        cmocka_unit_test(what_was_cancelled_is_not_asked_again),
        cmocka_unit_test(the_answer_of_an_ask_from_another_node_goes_there),
        cmocka_unit_test(without_a_lease_no_turn_begins_and_nothing_is_lost),
        cmocka_unit_test(what_still_loads_when_its_node_is_put_out_runs_no_hook),
        cmocka_unit_test(what_turns_of_a_node_that_was_put_out_answer_begins_nothing),
        cmocka_unit_test(an_answer_that_was_computed_too_late_waits_for_the_lease),
        cmocka_unit_test(stateless_workers_are_made_where_they_are_asked_for),
        cmocka_unit_test(an_actor_asks_one_that_is_absent_as_any_caller_does),
        cmocka_unit_test(what_another_node_says_of_a_mailbox_that_is_here_is_nothing),
        cmocka_unit_test(a_mailbox_that_was_full_tells_once_that_it_has_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
