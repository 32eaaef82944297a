/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator can do with what is stored: look at it without activating anybody, put an old
 * state back, delete an actor for good, send dead letters again. On a real file, with threads.
 */
#include "tests/promises/place.h"

#include <sqlite3.h>
#include <troupe/stored.h>

struct purse {
    int64_t coins;
    char owner[16];
};
static const troupe_field purse_fields[] = {
    TROUPE_FIELD_I64(struct purse, coins),
    TROUPE_FIELD_STRING(struct purse, owner, .otherwise = "nobody"),
};

static _Atomic int refuses; /* does `take` refuse? */

static troupe_status put(troupe_turn *turn, void *state, troupe_slice in)
{
    struct purse *self = state;
    self->coins += (int64_t)in.size;
    return troupe_reply_format(turn, "%lld %s", (long long)self->coins, self->owner);
}

static troupe_status show(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)in;
    const struct purse *self = state;
    return troupe_reply_format(turn, "%lld %s", (long long)self->coins, self->owner);
}

/* One coin to another, by the outbox. */
static troupe_status give(troupe_turn *turn, void *state, troupe_slice in)
{
    struct purse *self = state;
    char to[32];
    snprintf(to, sizeof to, "%.*s", TROUPE_ARG(in));
    self->coins--;
    TROUPE_TRY(troupe_tell(turn, troupe_id_of("purse", to), "take", troupe_str("x"),
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .outbox = true}));
    return troupe_reply_bytes(turn, troupe_str("given"));
}

static troupe_status take(troupe_turn *turn, void *state, troupe_slice in)
{
    if (atomic_load(&refuses))
        return troupe_fail(turn, TROUPE_APPLICATION + 3, "not now");
    return put(turn, state, in);
}

static troupe_status look_in_turn(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    char words[128] = "";
    troupe_status status = troupe_stored_delete(
        troupe_turn_node(turn), troupe_turn_self(turn), 0, words, sizeof words);
    return troupe_reply_format(turn, "%s", troupe_status_name(status));
}

static const troupe_method methods[] = {TROUPE_METHOD(put), TROUPE_READ_METHOD(show),
    TROUPE_METHOD(give), TROUPE_METHOD(take), TROUPE_METHOD(look_in_turn)};
#define PURSE TROUPE_STATE(struct purse, purse_fields), TROUPE_METHODS(methods)
static const troupe_type purse_type = {TROUPE_TYPE("purse"), PURSE,
    .persist = TROUPE_PERSIST_EVERY_TURN, .retention = {.max_snapshots = 10}};
static const troupe_type chest_type = {TROUPE_TYPE("chest"), PURSE,
    .persist = TROUPE_PERSIST_ON_DEACTIVATE, .retention = {.max_snapshots = 10}};
static const troupe_type crate_type = {TROUPE_TYPE("crate"), PURSE,
    .persist = TROUPE_PERSIST_EVERY_N, .snapshot_interval = 3, .retention = {.max_snapshots = 10}};
static const troupe_type sieve_type = {TROUPE_TYPE("sieve"), PURSE};
/* The same name, another state: what is stored of it looks damaged. */
static const troupe_type other_type = {TROUPE_TYPE("purse"), .state_size = 3,
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN};

static void open_with(place *self, const troupe_type *type)
{
    place_serve(self, TROUPE_TYPES(type, &chest_type, &crate_type, &sieve_type));
}

static void place_open(place *self)
{
    atomic_store(&refuses, 0);
    place_make(self);
    open_with(self, &purse_type);
}

static void place_again(place *self, const troupe_type *type)
{
    troupe_node_close(self->node);
    open_with(self, type);
}

/* ---- what visits find ----------------------------------------------------------------------- */

typedef struct found {
    uint32_t count;
    uint64_t version, time;
    uint32_t once, outbox, senders, dead;
    char keys[128], json[128], note[128];
} found;

static void note_stored(void *user, const troupe_stored *stored)
{
    found *self = user;
    size_t size = strlen(self->keys);
    snprintf(self->keys + size, sizeof self->keys - size, "%.*s:%llu ", TROUPE_ARG(stored->id.key),
        (unsigned long long)stored->version);
    snprintf(self->json, sizeof self->json, "%.*s", TROUPE_ARG(stored->json));
    snprintf(self->note, sizeof self->note, "%.*s", TROUPE_ARG(stored->note));
    self->count++;
    self->version = stored->version;
    self->time = stored->time;
    self->once = stored->once;
    self->outbox = stored->outbox;
    self->senders = stored->senders;
    self->dead = stored->dead;
}

static found look(place *at, const char *id)
{
    found result = {0};
    char words[200] = "";
    troupe_status status =
        troupe_stored_look(at->node, id_of(id), note_stored, &result, words, sizeof words);
    check_status(status, TROUPE_OK, words, __FILE__, __LINE__);
    return result;
}

static found snapshots(place *at, const char *id)
{
    found result = {0};
    assert_ok(troupe_stored_each_snapshot(at->node, id_of(id), 0, note_stored, &result, NULL, 0));
    return result;
}

static uint64_t restore(place *at, const char *id, uint64_t version)
{
    uint64_t made = 0;
    char words[200] = "";
    troupe_status status =
        troupe_stored_restore(at->node, id_of(id), version, 0, &made, words, sizeof words);
    check_status(status, TROUPE_OK, words, __FILE__, __LINE__);
    return made;
}

static void erase(place *at, const char *id)
{
    char words[200] = "";
    troupe_status status = troupe_stored_delete(at->node, id_of(id), 0, words, sizeof words);
    check_status(status, TROUPE_OK, words, __FILE__, __LINE__);
}

/* ---- the promises --------------------------------------------------------------------------- */

static void what_is_stored_can_be_read_without_activating_anybody(void **state)
{
    (void)state;
    place at;
    place_open(&at);
    says(&at, "purse/ann", "put", "xx", "2 nobody");
    says(&at, "purse/ann", "put", "x", "3 nobody");
    says(&at, "purse/bob", "put", "x", "1 nobody");
    says(&at, "purse/cyd", "put", "x", "1 nobody");
    place_again(&at, &purse_type);
    found got = look(&at, "purse/ann");
    assert_int_equal(got.version, 2);
    assert_string_equal(got.json, "{\"coins\":3,\"owner\":\"nobody\"}");
    assert_string_equal(got.note, "");
    assert_true(got.time > UINT64_C(1500000000) * 1000000000);
    found all = {0};
    bool more = true;
    assert_ok(
        troupe_stored_each(at.node, "purse", troupe_str(""), 2, note_stored, &all, &more, NULL, 0));
    assert_string_equal(all.keys, "ann:2 bob:1 ");
    assert_true(more);
    assert_ok(troupe_stored_each(
        at.node, "purse", troupe_str("purse/bob"), 2, note_stored, &all, &more, NULL, 0));
    assert_string_equal(all.keys, "ann:2 bob:1 cyd:1 ");
    assert_false(more);
    assert_int_equal(stats_of(at.node).activations, 0);
    place_close(&at);
}

static void an_old_state_can_be_put_back(void **state)
{
    (void)state;
    static const char *const ids[] = {"purse/ann", "chest/ann", "crate/ann"};
    for (size_t i = 0; i < 3; i++) {
        place at;
        place_open(&at);
        for (int rounds = 0; rounds < 3; rounds++) {
            assert_heard(ask(at.node, ids[i], "put", "xx"), TROUPE_OK);
            place_again(&at, &purse_type); /* each mode saves here */
        }
        says(&at, ids[i], "show", "", "6 nobody");
        found kept = snapshots(&at, ids[i]);
        assert_string_equal(kept.keys, "ann:3 ann:2 ann:1 ");
        found first = {0};
        assert_ok(troupe_stored_snapshot(at.node, id_of(ids[i]), 1, note_stored, &first, NULL, 0));
        assert_string_equal(first.json, "{\"coins\":2,\"owner\":\"nobody\"}");
        assert_int_equal(restore(&at, ids[i], 1), 4);
        assert_string_equal(look(&at, ids[i]).json, "{\"coins\":2,\"owner\":\"nobody\"}");
        says(&at, ids[i], "show", "", "2 nobody");
        says(&at, ids[i], "put", "x", "3 nobody");
        place_again(&at, &purse_type);
        says(&at, ids[i], "show", "", "3 nobody");
        assert_int_equal(look(&at, ids[i]).version, 5);
        place_close(&at);
    }
}

static void a_deleted_actor_is_gone_but_its_versions_go_on(void **state)
{
    (void)state;
    static const char *const ids[] = {"purse/ann", "chest/ann", "crate/ann"};
    for (size_t i = 0; i < 3; i++) {
        place at;
        place_open(&at);
        assert_heard(ask(at.node, ids[i], "put", "xx"), TROUPE_OK);
        place_again(&at, &purse_type);
        says(&at, ids[i], "put", "x", "3 nobody");
        erase(&at, ids[i]);
        char words[128] = "";
        found got = {0};
        assert_status(
            troupe_stored_look(at.node, id_of(ids[i]), note_stored, &got, words, sizeof words),
            TROUPE_NOT_FOUND);
        assert_says(words, "nothing is stored of it any more");
        assert_int_equal(snapshots(&at, ids[i]).count, 0);
        assert_status(
            troupe_stored_delete(at.node, id_of(ids[i]), 0, words, sizeof words), TROUPE_NOT_FOUND);
        says(&at, ids[i], "show", "", "0 nobody");
        says(&at, ids[i], "put", "x", "1 nobody");
        place_again(&at, &purse_type);
        says(&at, ids[i], "show", "", "1 nobody");
        assert_true(look(&at, ids[i]).version > 2);
        place_close(&at);
    }
}

static void calls_once_are_remembered_over_a_restore_and_forgotten_by_a_delete(void **state)
{
    (void)state;
    place at;
    troupe_call_options once = {TROUPE_CALL_OPTIONS, .once = troupe_str("k")};
    place_open(&at);
    assert_string_equal(ask_with(at.node, "purse/ann", "put", "xx", &once).text, "2 nobody");
    says(&at, "purse/ann", "put", "x", "3 nobody");
    restore(&at, "purse/ann", 1);
    assert_int_equal(look(&at, "purse/ann").once, 1);
    assert_string_equal(ask_with(at.node, "purse/ann", "put", "xx", &once).text, "2 nobody");
    says(&at, "purse/ann", "show", "", "2 nobody");
    erase(&at, "purse/ann");
    assert_string_equal(ask_with(at.node, "purse/ann", "put", "x", &once).text, "1 nobody");
    place_close(&at);
}

static void an_actor_that_cannot_be_read_can_be_restored_or_deleted(void **state)
{
    (void)state;
    place at;
    place_open(&at);
    says(&at, "purse/ann", "put", "xx", "2 nobody");
    says(&at, "purse/ann", "put", "x", "3 nobody");
    says(&at, "purse/bob", "put", "x", "1 nobody");
    place_again(&at, &other_type);
    assert_heard(ask(at.node, "purse/ann", "show", ""), TROUPE_CORRUPT);
    assert_int_equal(restore(&at, "purse/ann", 1), 3);
    erase(&at, "purse/bob");
    place_again(&at, &purse_type);
    says(&at, "purse/ann", "show", "", "2 nobody");
    says(&at, "purse/bob", "show", "", "0 nobody");
    place_close(&at);
}

static void damage_snapshots(const place *at)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(at->url + strlen("sqlite:"), &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "UPDATE snapshot SET state = zeroblob(40)", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_damaged_snapshot_is_not_put_in_place_of_a_sound_state(void **state)
{
    (void)state;
    place at;
    char words[200] = "";
    uint64_t made = 77;
    place_open(&at);
    says(&at, "purse/ann", "put", "xx", "2 nobody");
    says(&at, "purse/ann", "put", "x", "3 nobody");
    troupe_node_close(at.node);
    damage_snapshots(&at);
    open_with(&at, &purse_type);
    troupe_status status =
        troupe_stored_restore(at.node, id_of("purse/ann"), 1, 0, &made, words, sizeof words);
    assert_status(status, TROUPE_CORRUPT);
    assert_says(words, "the snapshot is damaged");
    assert_int_equal(made, 77);
    says(&at, "purse/ann", "show", "", "3 nobody");
    assert_int_equal(look(&at, "purse/ann").version, 2);
    place_close(&at);
}

/* ---- dead letters --------------------------------------------------------------------------- */

typedef struct letters {
    uint32_t count;
    char number[40], text[200];
} letters;

static void note_letter(void *user, const troupe_dead_letter *letter)
{
    letters *self = user;
    char target[64];
    self->count++;
    troupe_id_print(letter->target, target, sizeof target);
    snprintf(self->number, sizeof self->number, "%s", letter->number);
    snprintf(self->text, sizeof self->text, "%s %.*s %.*s: %d %.*s", target,
        TROUPE_ARG(letter->method), TROUPE_ARG(letter->payload), (int)letter->reason,
        TROUPE_ARG(letter->words));
}

static letters dead_of(place *at)
{
    letters seen = {0};
    assert_ok(troupe_stored_each_dead(at->node, id_of("purse/ann"), note_letter, &seen, NULL, 0));
    return seen;
}

static bool has_two(void *user)
{
    return dead_of(user).count == 2;
}

static bool has_none(void *user)
{
    return dead_of(user).count == 0;
}

static bool bob_has_one(void *user)
{
    place *at = user;
    return strcmp(ask(at->node, "purse/bob", "show", "").text, "1 nobody") == 0;
}

static void dead_letters_are_listed_sent_again_and_dropped(void **state)
{
    (void)state;
    place at;
    char words[128] = "";
    place_open(&at);
    atomic_store(&refuses, 1);
    says(&at, "purse/ann", "give", "bob", "given");
    says(&at, "purse/ann", "give", "bob", "given");
    assert_true(comes_true(has_two, &at));
    assert_int_equal(look(&at, "purse/ann").dead, 2);
    place_again(&at, &purse_type);
    letters seen = dead_of(&at);
    assert_says(seen.text, "purse/bob take x: 1003 ");
    assert_says(seen.text, "not now");
    atomic_store(&refuses, 0);
    assert_ok(troupe_stored_replay(at.node, id_of("purse/ann"), seen.number, 0, NULL, 0));
    assert_true(comes_true(bob_has_one, &at));
    assert_status(
        troupe_stored_replay(at.node, id_of("purse/ann"), seen.number, 0, words, sizeof words),
        TROUPE_NOT_FOUND);
    assert_says(words, "no such dead letter");
    seen = dead_of(&at);
    assert_int_equal(seen.count, 1);
    assert_ok(troupe_stored_drop(at.node, id_of("purse/ann"), seen.number, 0, NULL, 0));
    assert_true(has_none(&at));
    assert_status(troupe_stored_drop(at.node, id_of("purse/ann"), "seven", 0, words, sizeof words),
        TROUPE_USAGE);
    place_again(&at, &purse_type);
    says(&at, "purse/bob", "show", "", "1 nobody");
    assert_true(has_none(&at));
    place_close(&at);
}

static void what_is_not_there_is_said_in_words(void **state)
{
    (void)state;
    place at;
    char words[200] = "";
    found got = {0};
    place_open(&at);
    troupe_node *node = at.node;
    assert_status(
        troupe_stored_look(node, id_of("sieve/x"), note_stored, &got, words, sizeof words),
        TROUPE_USAGE);
    assert_says(words, "not persistent");
    assert_status(
        troupe_stored_look(node, id_of("nothing/x"), note_stored, &got, words, sizeof words),
        TROUPE_NO_TYPE);
    assert_says(words, "nothing");
    assert_status(
        troupe_stored_look(node, id_of("purse/x"), note_stored, &got, words, sizeof words),
        TROUPE_NOT_FOUND);
    assert_status(troupe_stored_restore(node, id_of("purse/x"), 7, 0, NULL, words, sizeof words),
        TROUPE_NOT_FOUND);
    assert_says(words, "no snapshot of version 7");
    says(&at, "purse/ann", "look_in_turn", "", "USAGE");
    place_close(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stored_can_be_read_without_activating_anybody),
        cmocka_unit_test(an_old_state_can_be_put_back),
        cmocka_unit_test(a_deleted_actor_is_gone_but_its_versions_go_on),
        cmocka_unit_test(calls_once_are_remembered_over_a_restore_and_forgotten_by_a_delete),
        cmocka_unit_test(an_actor_that_cannot_be_read_can_be_restored_or_deleted),
        cmocka_unit_test(a_damaged_snapshot_is_not_put_in_place_of_a_sound_state),
        cmocka_unit_test(dead_letters_are_listed_sent_again_and_dropped),
        cmocka_unit_test(what_is_not_there_is_said_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
