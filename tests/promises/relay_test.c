/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of outbox messages that are refused, and of what targets remember of their senders,
 * in a world on a store that outlives its nodes and can be looked into behind their back.
 *
 * Threads: one, the test's.
 */
#include "tests/promises/stand.h"

#include "shard/shard.h"

typedef struct till {
    uint64_t sent, came;
} till;

/* ---- actors ---------------------------------------------------------------------------------- */

/* "id method": an outbox tell. */
static troupe_status send(troupe_turn *turn, void *state, troupe_slice in)
{
    char words[96];
    snprintf(words, sizeof words, "%.*s", TROUPE_ARG(in));
    char *method = strchr(words, ' ');
    if (method == NULL)
        return TROUPE_USAGE;
    *method++ = 0;
    ((till *)state)->sent++;
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .outbox = true};
    TROUPE_TRY(troupe_tell(turn, id_of(words), method, troupe_str(""), &options));
    return troupe_reply_bytes(turn, troupe_str("sent"));
}

static troupe_status take(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)turn;
    (void)in;
    ((till *)state)->came++;
    return TROUPE_OK;
}

static troupe_status refuse(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    ((till *)state)->came++;
    return troupe_fail(turn, TROUPE_APPLICATION, "no");
}

/* A part of it is committed when it asks; then it fails for good. */
static troupe_status half(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    ((till *)state)->came++;
    troupe_answer answer = TROUPE_ANSWER_INIT;
    TROUPE_TRY(troupe_ask(turn, id_of("till/other"), "take", troupe_str(""), NULL, &answer));
    troupe_answer_release(&answer);
    return troupe_fail(turn, TROUPE_APPLICATION, "no more");
}

static troupe_status show(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)in;
    const till *self = state;
    return troupe_reply_format(turn, "%llu sent, %llu came", (unsigned long long)self->sent,
        (unsigned long long)self->came);
}

static troupe_status save(troupe_turn *turn, const void *state, troupe_writer *writer)
{
    (void)turn;
    return troupe_write(writer, state, sizeof(till));
}

static troupe_status load(troupe_turn *turn, void *state, troupe_slice saved)
{
    (void)turn;
    if (saved.size != sizeof(till))
        return TROUPE_CORRUPT;
    memcpy(state, saved.data, sizeof(till));
    return TROUPE_OK;
}

static const troupe_method methods[] = {TROUPE_METHOD(send), TROUPE_METHOD(take),
    TROUPE_METHOD(refuse), TROUPE_METHOD(half), TROUPE_READ_METHOD(show)};
static const troupe_type till_type = {TROUPE_TYPE("till"), .state_size = sizeof(till),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN};
static const troupe_type hook_type = {TROUPE_TYPE("hook"), .state_size = sizeof(till),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN, .save = save, .load = load};

static void open_stand(stand *self)
{
    static const troupe_type *const types[] = {&till_type, &hook_type};
    stand_open(self, 1,
        &(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 2, .idle = TROUPE_NEVER}, types, 2);
}

static uint32_t stored_rows(stand *self, const char *id, uint32_t kind)
{
    troupe_store_op op = {
        .kind = TROUPE_STORE_LOAD, .id = id_of(id), .allocator = tp_allocator_system()};
    troupe_store_op *list[] = {&op};
    self->inner->run(self->inner, list, 1);
    uint32_t count = 0;
    for (const troupe_store_item *item = op.items; item != NULL; item = item->next)
        count += item->kind == kind;
    troupe_store_release(&op);
    return count;
}

/* ---- promises -------------------------------------------------------------------------------- */

static void two_that_refuse_each_other_remember_it(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    call calls[2] = {{0}};
    troupe_client *client = NULL;
    assert_ok(troupe_client_open(at.node, &client));
    assert_ok(troupe_client_ask_callback(
        client, id_of("hook/a"), "send", troupe_str("hook/b refuse"), NULL, call_over, &calls[0]));
    stand_run(&at, MS(5)); /* that it was refused is known to the first, and not stored yet */
    assert_ok(troupe_client_ask_callback(
        client, id_of("hook/b"), "send", troupe_str("hook/a refuse"), NULL, call_over, &calls[1]));
    stand_run(&at, TROUPE_SECONDS(5));
    assert_heard(calls[0].got, TROUPE_OK);
    assert_heard(calls[1].got, TROUPE_OK);
    const char *const ids[] = {"hook/a", "hook/b"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(stored_rows(&at, ids[i], TROUPE_ROW_OUTBOX), 0);
        assert_int_equal(stored_rows(&at, ids[i], TROUPE_ROW_DEAD), 1);
        heard got = ask(at.node, ids[i], "show", "");
        assert_string_equal(got.text, "1 sent, 0 came");
    }
    assert_int_equal(stats_of(at.node).dead_letters, 2); /* none was forgotten */
    assert_int_equal(stats_of(at.node).outbox_again, 0);
    troupe_client_close(client);
    stand_close(&at);
}

static void what_was_refused_in_part_is_a_dead_letter_also_after_a_crash(void **state)
{
    (void)state;
    stand at;
    open_stand(&at);
    assert_heard(ask(at.node, "till/a", "send", "till/b half"), TROUPE_OK);
    while (stored_rows(&at, "till/b", TROUPE_ROW_SENDER) == 0)
        assert_true(tp_world_step(at.world));
    assert_int_equal(stored_rows(&at, "till/a", TROUPE_ROW_DEAD), 0);
    stand_crash(&at);
    stand_run(&at, TROUPE_SECONDS(5));
    assert_int_equal(stored_rows(&at, "till/a", TROUPE_ROW_OUTBOX), 0);
    assert_int_equal(stored_rows(&at, "till/a", TROUPE_ROW_DEAD), 1);
    heard got = ask(at.node, "till/b", "show", "");
    assert_string_equal(got.text, "0 sent, 1 came"); /* and it is not done again */
    assert_heard(ask(at.node, "till/a", "send", "till/b take"), TROUPE_OK);
    stand_run(&at, TROUPE_SECONDS(5));
    got = ask(at.node, "till/b", "show", "");
    assert_string_equal(got.text, "0 sent, 2 came");
    stand_close(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_refused_in_part_is_a_dead_letter_also_after_a_crash),
        cmocka_unit_test(two_that_refuse_each_other_remember_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
