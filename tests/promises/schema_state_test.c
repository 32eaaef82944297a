/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State that a table describes: defaults at the first activation, what is stored and read again
 * after the program has changed, what failing turns leave, and which types a node refuses. On a
 * real file; the tables themselves are tested in tests/schema.
 */
#include "tests/promises/place.h"

/* ---- the same account in two versions of a program ------------------------------------------ */

struct purse {
    int64_t balance;
    char owner[32];
};

static const troupe_field first_fields[] = {
    TROUPE_FIELD_I64(struct purse, balance, .since = 1),
};
static const troupe_field second_fields[] = {
    TROUPE_FIELD_I64(struct purse, balance, .since = 1),
    TROUPE_FIELD_STRING(struct purse, owner, .since = 2, .otherwise = "nobody"),
};

static troupe_status put(troupe_turn *turn, void *state, troupe_slice in)
{
    struct purse *self = state;
    self->balance += (int64_t)in.size;
    return troupe_reply_format(turn, "%lld %s", (long long)self->balance, self->owner);
}

static troupe_status show(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    const struct purse *self = state;
    return troupe_reply_format(turn, "%lld %s", (long long)self->balance, self->owner);
}

static troupe_status spill(troupe_turn *turn, void *state, troupe_slice in)
{
    struct purse *self = state;
    self->balance += (int64_t)in.size;
    return troupe_fail(turn, TROUPE_APPLICATION, "too poor");
}

static const troupe_method account_methods[] = {
    TROUPE_METHOD(put), TROUPE_METHOD(show), TROUPE_METHOD(spill)};
static const troupe_type first_type = {TROUPE_TYPE("account"),
    TROUPE_STATE(struct purse, first_fields), TROUPE_METHODS(account_methods),
    .persist = TROUPE_PERSIST_EVERY_TURN};
static const troupe_type second_type = {TROUPE_TYPE("account"),
    TROUPE_STATE(struct purse, second_fields), TROUPE_METHODS(account_methods),
    .persist = TROUPE_PERSIST_EVERY_TURN};
static const troupe_type lazy_type = {TROUPE_TYPE("account"),
    TROUPE_STATE(struct purse, second_fields), TROUPE_METHODS(account_methods),
    .persist = TROUPE_PERSIST_ON_DEACTIVATE};
static const troupe_type counted_type = {TROUPE_TYPE("account"),
    TROUPE_STATE(struct purse, second_fields), TROUPE_METHODS(account_methods),
    .persist = TROUPE_PERSIST_EVERY_N, .snapshot_interval = 3};
static const troupe_type passing_type = {TROUPE_TYPE("account"),
    TROUPE_STATE(struct purse, second_fields), TROUPE_METHODS(account_methods)};

/* ---- a state with parts on the heap --------------------------------------------------------- */

struct diary {
    char *text;
    uint32_t words;
};
static const troupe_field diary_fields[] = {
    TROUPE_FIELD_TEXT(struct diary, text, .otherwise = "dear diary"),
    TROUPE_FIELD_U32(struct diary, words),
};

static troupe_status note(troupe_turn *turn, void *state, troupe_slice in)
{
    struct diary *self = state;
    TROUPE_TRY(troupe_text_set(&self->text, in, NULL));
    self->words++;
    return troupe_reply_bytes(turn, troupe_str(self->text));
}

static troupe_status blot(troupe_turn *turn, void *state, troupe_slice in)
{
    struct diary *self = state;
    TROUPE_TRY(troupe_text_set(&self->text, in, NULL));
    return troupe_fail(turn, TROUPE_APPLICATION, "a blot");
}

static troupe_status look(troupe_turn *turn, const void *state, troupe_slice in)
{
    (void)in;
    const struct diary *self = state;
    return troupe_reply_format(turn, "%s, %u", self->text, self->words);
}

static troupe_status frown(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    return troupe_fail(turn, TROUPE_APPLICATION, "no");
}

static const troupe_method diary_methods[] = {
    TROUPE_METHOD(note), TROUPE_METHOD(blot), TROUPE_READ_METHOD(look), TROUPE_METHOD(frown)};
static const troupe_type diary_type = {TROUPE_TYPE("diary"),
    TROUPE_STATE(struct diary, diary_fields), TROUPE_METHODS(diary_methods),
    .persist = TROUPE_PERSIST_EVERY_TURN};

/* ---- places --------------------------------------------------------------------------------- */

static void open_with(place *self, const troupe_type *type)
{
    place_serve(self, TROUPE_TYPES(type, &diary_type));
}

static void place_open(place *self, const troupe_type *type)
{
    place_make(self);
    open_with(self, type);
}

static void place_again(place *self, const troupe_type *type)
{
    troupe_node_close(self->node);
    open_with(self, type);
}

/* ---- the promises --------------------------------------------------------------------------- */

static void a_state_begins_with_its_defaults_in_every_mode(void **state)
{
    (void)state;
    const troupe_type *types[] = {&second_type, &lazy_type, &counted_type, &passing_type};
    for (size_t i = 0; i < 4; i++) {
        place at;
        place_open(&at, types[i]);
        says(&at, "account/ann", "show", "", "0 nobody");
        says(&at, "account/ann", "put", "xxx", "3 nobody");
        place_again(&at, types[i]);
        says(&at, "account/ann", "show", "", i < 3 ? "3 nobody" : "0 nobody");
        place_close(&at);
    }
}

static void a_newer_program_reads_what_an_older_one_has_stored(void **state)
{
    (void)state;
    place at;
    place_open(&at, &first_type);
    says(&at, "account/ann", "put", "xxxxx", "5 ");
    place_again(&at, &second_type);
    says(&at, "account/ann", "show", "", "5 nobody");
    assert_int_equal(stats_of(at.node).commits, 0); /* reading it is no reason to write it */
    says(&at, "account/ann", "put", "x", "6 nobody");
    place_again(&at, &first_type);
    assert_heard(ask(at.node, "account/ann", "show", ""), TROUPE_UNAVAILABLE);
    place_again(&at, &second_type);
    says(&at, "account/ann", "show", "", "6 nobody");
    place_close(&at);
}

static void only_what_changed_is_committed(void **state)
{
    (void)state;
    place at;
    place_open(&at, &second_type);
    says(&at, "account/ann", "put", "", "0 nobody");
    says(&at, "diary/ann", "look", "", "dear diary, 0");
    assert_int_equal(stats_of(at.node).commits, 0);
    says(&at, "account/ann", "put", "x", "1 nobody");
    says(&at, "account/ann", "show", "", "1 nobody");
    assert_int_equal(stats_of(at.node).commits, 1);
    place_close(&at);
}

static void a_failed_turn_leaves_a_described_state_as_it_was(void **state)
{
    (void)state;
    place at;
    place_open(&at, &second_type);
    says(&at, "account/ann", "put", "xx", "2 nobody");
    heard got = ask(at.node, "account/ann", "spill", "xxxxx");
    assert_heard(got, TROUPE_APPLICATION);
    assert_int_equal(got.outcome, TROUPE_NOT_DONE);
    says(&at, "account/ann", "show", "", "2 nobody");
    place_close(&at);
}

static void a_failed_turn_gives_owned_parts_back(void **state)
{
    (void)state;
    place at;
    place_open(&at, &second_type);
    heard got = ask(at.node, "diary/ann", "blot", "never stored");
    assert_heard(got, TROUPE_APPLICATION);
    assert_int_equal(got.outcome, TROUPE_NOT_DONE);
    says(&at, "diary/ann", "look", "", "dear diary, 0");
    says(&at, "diary/ann", "note", "one", "one");
    says(&at, "diary/ann", "note", "two", "two");
    assert_heard(ask(at.node, "diary/ann", "blot", "three"), TROUPE_APPLICATION);
    says(&at, "diary/ann", "look", "", "two, 2");
    uint64_t activations = stats_of(at.node).activations;
    assert_heard(ask(at.node, "diary/ann", "frown", ""), TROUPE_APPLICATION);
    says(&at, "diary/ann", "look", "", "two, 2");
    assert_int_equal(stats_of(at.node).activations, activations); /* nothing was to be put back */
    place_again(&at, &second_type);
    says(&at, "diary/ann", "look", "", "two, 2");
    place_close(&at);
}

static void turns_since_the_last_save_are_saved_at_deactivation(void **state)
{
    (void)state;
    for (int turns = 1; turns <= 7; turns++) {
        char text[32];
        place at;
        place_open(&at, &counted_type);
        for (int i = 0; i < turns; i++)
            assert_heard(ask(at.node, "account/ann", "put", "x"), TROUPE_OK);
        place_again(&at, &counted_type);
        snprintf(text, sizeof text, "%d nobody", turns);
        says(&at, "account/ann", "show", "", text);
        place_close(&at);
    }
}

/* ---- refusals ------------------------------------------------------------------------------- */

static troupe_status save_nothing(troupe_turn *turn, const void *state, troupe_writer *writer)
{
    (void)turn;
    (void)state;
    (void)writer;
    return TROUPE_OK;
}

static troupe_status load_nothing(troupe_turn *turn, void *state, troupe_slice saved)
{
    (void)turn;
    (void)state;
    (void)saved;
    return TROUPE_OK;
}

static void refuses(const troupe_type *type, const char *words)
{
    char error[400] = "";
    troupe_node *node = NULL;
    assert_status(troupe_node_open_explained(NULL, TROUPE_TYPES(type), &node, error, sizeof error),
        TROUPE_USAGE);
    assert_null(node);
    assert_says(error, type->name);
    assert_says(error, words);
}

static void types_that_contradict_themselves_are_refused_in_words(void **state)
{
    (void)state;
    static const troupe_field twice[] = {
        TROUPE_FIELD_I64(struct purse, balance), TROUPE_FIELD_I64(struct purse, balance)};
    troupe_type type = second_type;
    type.state_size++;
    refuses(&type, "state_size differs");
    type = second_type;
    type.save = save_nothing;
    type.load = load_nothing;
    refuses(&type, "one of them says what is stored");
    type = (troupe_type){TROUPE_TYPE("account"), TROUPE_STATE(struct purse, twice)};
    refuses(&type, "the table of its state is wrong");
    type = second_type;
    type.snapshot_interval = 5;
    refuses(&type, "snapshot_interval means nothing here");
    type = passing_type;
    type.retention.max_snapshots = 5;
    refuses(&type, "not persistent");
    type = (troupe_type){TROUPE_TYPE("account"), .persist = TROUPE_PERSIST_EVERY_TURN};
    refuses(&type, "neither state nor a save hook");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_begins_with_its_defaults_in_every_mode),
        cmocka_unit_test(a_newer_program_reads_what_an_older_one_has_stored),
        cmocka_unit_test(only_what_changed_is_committed),
        cmocka_unit_test(a_failed_turn_leaves_a_described_state_as_it_was),
        cmocka_unit_test(a_failed_turn_gives_owned_parts_back),
        cmocka_unit_test(turns_since_the_last_save_are_saved_at_deactivation),
        cmocka_unit_test(types_that_contradict_themselves_are_refused_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
