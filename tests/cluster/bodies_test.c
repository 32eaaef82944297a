/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of a member that keeps to no rules, read by the parts of an outpost alone: what is
 * refused, and what it may use up. How a whole node bears them is fuzz/outpost_fuzz.c's; how a
 * session does, tests/wire/hostile_test.c's.
 */
#include "tests/promises/scene.h"

#include "cluster/mover.h"
#include "cluster/outpost_inside.h"
#include "cluster/words.h"

enum { SELF = 2, PEER = 1 };

static troupe_status add(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    return troupe_reply_bytes(turn, payload);
}

static const troupe_method methods[] = {TROUPE_METHOD(add)};
static const troupe_type note = {TROUPE_TYPE("note"), .state_size = 64, TROUPE_METHODS(methods)};
static const troupe_type *const types[] = {&note};

typedef struct reader {
    scene scene;
    tp_translator translator;
    tp_directory_view view;
} reader;

static const tp_directory_member members[] = {{PEER, 2}, {SELF, 1}};

static void open_reader(reader *self)
{
    scene_open(&self->scene, NULL, types, 1);
    assert_ok(tp_translator_init(&self->translator, self->scene.node->shared.shards[0], SELF));
    self->view = (tp_directory_view){.number = 2, .members = members, .member_count = 2};
    self->translator.view = &self->view;
}

static void close_reader(reader *self)
{
    tp_translator_deinit(&self->translator);
    scene_close(&self->scene);
}

static void spans_that_are_not_in_order_are_no_word(void **state)
{
    (void)state;
    static const tp_span lies[][2] = {{{5, 5}, {5, 5}}, {{5, 9}, {9, 12}}, {{5, 9}, {1, 2}},
        {{9, 5}, {10, 11}}, {{1, 2}, {4, 3}}};
    static const tp_span fine[] = {{0, 0}, {1, UINT64_MAX}};
    reader self;
    open_reader(&self);
    tp_word_room room = {.allocator = self.translator.shard->shared->allocator};
    char body[128];
    for (size_t i = 0; i <= sizeof lies / sizeof lies[0]; i++) {
        bool is_fine = i == sizeof lies / sizeof lies[0];
        tp_directory_word word = {.span_count = 2, .spans = is_fine ? fine : lies[i]}, read;
        size_t size = tp_word_size(&self.translator, &word);
        assert_true(size <= sizeof body);
        tp_word_put(&self.translator, body, &word);
        bool is_short;
        const char *fault = tp_word_get(
            &self.translator, &room, TP_WORD_SLICE, (troupe_slice){body, size}, &read, &is_short);
        assert_true(is_fine ? fault == NULL : fault != NULL);
        if (fault != NULL)
            assert_says(fault, "order");
    }
    tp_word_room_deinit(&room);
    close_reader(&self);
}

static uint64_t hash_of(const reader *self, const char *type, const char *key)
{
    return tp_types_hash(&self->translator.shard->shared->types, troupe_id_of(type, key));
}

static size_t put_copy(char *body, const char *type, uint64_t hash)
{
    char *at = tp_put_64(tp_put_64(body, 7), hash);
    at = tp_put_bytes(tp_put_8(at, (unsigned)strlen(type)), troupe_str(type));
    at = tp_put_bytes(tp_put_16(tp_put_8(at, 0), 1), troupe_str("k"));
    at = tp_put_32(tp_put_16(tp_put_32(at, 0), 0), 0);
    return (size_t)(at - body);
}

static void a_copy_of_a_type_that_has_no_number_is_not_kept(void **state)
{
    (void)state;
    reader self;
    open_reader(&self);
    tp_mover mover;
    tp_mover_init(&mover, self.translator.shard, &self.translator);
    char body[128], name[16];
    for (uint32_t i = 0; i < TP_FOREIGN_TOLD; i++) {
        snprintf(name, sizeof name, "t%u", i);
        assert_non_null(tp_foreign_learn(self.translator.shard->shared, troupe_str(name), 0));
    }
    static const char *const copied[] = {"note", "t7", "other"};
    for (int i = 0; i < 3; i++) {
        tp_directory_id id;
        uint64_t number;
        bool is_short;
        troupe_slice bytes = {body, put_copy(body, copied[i], hash_of(&self, copied[i], "k"))};
        assert_null(tp_mover_came(&mover, bytes, &id, &number, &is_short));
        assert_int_equal(is_short, i == 2);
        if (!is_short)
            tp_mover_drop(&mover, &id, number);
        assert_true(tp_list_is_empty(&mover.copies));
    }
    tp_mover_deinit(&mover);
    close_reader(&self);
}

static void askers_that_a_member_makes_up_take_no_number_from_others(void **state)
{
    (void)state;
    reader self;
    open_reader(&self);
    uint16_t first, other, made_up, from;
    assert_true(tp_translator_find_asker(&self.translator, PEER, 0, 1, &first));
    assert_true(tp_translator_find_asker(&self.translator, 99, 0, 1, &made_up));
    for (uint32_t i = 0; i < 2 * TP_CORRESPONDENTS_MAX; i++) {
        uint64_t node = i % 2 == 0 ? 100 + i : PEER;
        assert_true(
            tp_translator_find_asker(&self.translator, node, (uint16_t)(2 + i / 2), i, &from));
        assert_int_equal(from, made_up);
    }
    assert_true(tp_translator_find_asker(&self.translator, PEER, 1, 1, &other));
    assert_true(other != first && other != made_up && first != made_up);
    assert_true(tp_correspondents_at(&self.translator.correspondents, other)->peer == PEER);
    assert_true(tp_correspondents_at(&self.translator.correspondents, made_up)->peer == 0);
    assert_false(tp_translator_find_asker(&self.translator, SELF, 1, 1, &from));
    close_reader(&self);
}

static void types_that_a_member_makes_up_take_no_room_from_views(void **state)
{
    (void)state;
    reader self;
    open_reader(&self);
    tp_shared *shared = self.translator.shard->shared;
    char name[32];
    uint32_t learned = 0;
    for (uint32_t i = 0; i < TP_FOREIGN_MAX; i++) {
        (void)snprintf(name, sizeof name, "made-up-%u", i);
        learned += tp_foreign_learn(shared, troupe_str(name), 0) != NULL;
    }
    assert_int_equal(learned, TP_FOREIGN_TOLD);
    for (uint32_t i = learned; i < TP_FOREIGN_MAX; i++) {
        (void)snprintf(name, sizeof name, "hosted-%u", i);
        assert_non_null(tp_foreign_learn(shared, troupe_str(name), 2));
    }
    assert_null(tp_foreign_learn(shared, troupe_str("one-more"), 2));
    close_reader(&self);
}

static void items_of_types_without_a_number_are_left_out_of_a_word(void **state)
{
    (void)state;
    reader self;
    open_reader(&self);
    tp_shared *shared = self.translator.shard->shared;
    char name[32], body[512];
    for (uint32_t i = 0; i < TP_FOREIGN_TOLD; i++) {
        (void)snprintf(name, sizeof name, "made-up-%u", i);
        assert_non_null(tp_foreign_learn(shared, troupe_str(name), 0));
    }
    tp_directory_item items[3] = {0};
    static const char *const said[] = {"note", "made-up-7", "note"};
    static const char *const keys[] = {"k", "l", "m"};
    for (int i = 0; i < 3; i++)
        items[i].id = (tp_directory_id){.hash = hash_of(&self, said[i], keys[i]),
            .type = tp_type_known(shared, troupe_str(said[i]))->number,
            .key = troupe_str(keys[i])};
    const tp_directory_word word = {.item_count = 3, .items = items};
    size_t size = tp_word_size(&self.translator, &word);
    assert_true(size <= sizeof body);
    tp_word_put(&self.translator, body, &word);
    char *named = memmem(body, size, "made-up-7", 9);
    named[0] = 'M'; /* a name of the same length that nobody has heard of */
    tp_word_room room = {.allocator = shared->allocator};
    tp_directory_word read;
    bool is_short;
    assert_null(tp_word_get(&self.translator, &room, TP_WORD_SLICE, (troupe_slice){body, size},
        &read, &is_short));
    assert_false(is_short);
    assert_int_equal(read.item_count, 2);
    assert_true(read.items[0].id.hash == items[0].id.hash);
    assert_true(read.items[1].id.hash == items[2].id.hash);
    tp_word_room_deinit(&room);
    close_reader(&self);
}

static void an_item_is_read_as_it_was_written(void **state)
{
    (void)state;
    reader self;
    open_reader(&self);
    tp_shared *shared = self.translator.shard->shared;
    char body[256];
    tp_directory_item item = {.id = {.hash = hash_of(&self, "note", "k"), .key = troupe_str("k")},
        .host = 1,
        .number = 2,
        .prev = 3,
        .peer = 4,
        .state = TP_DIRECTORY_SOURCE,
        .activations = 5};
    item.id.type = tp_type_known(shared, troupe_str("note"))->number;
    tp_directory_word word = {.item_count = 1, .items = &item}, read;
    tp_word_room room = {.allocator = shared->allocator};
    size_t size = tp_word_size(&self.translator, &word);
    bool is_short;
    tp_word_put(&self.translator, body, &word);
    assert_null(tp_word_get(
        &self.translator, &room, TP_WORD_SLICE, (troupe_slice){body, size}, &read, &is_short));
    const tp_directory_item *got = &read.items[0];
    assert_true(got->host == 1 && got->number == 2 && got->prev == 3 && got->peer == 4);
    assert_true(got->state == TP_DIRECTORY_SOURCE && got->activations == 5);
    assert_true(got->id.hash == item.id.hash && got->id.type == item.id.type);
    assert_true(troupe_slice_equal(got->id.key, item.id.key) && got->id.partition.size == 0);
    tp_word_room_deinit(&room);
    close_reader(&self);
}

/* Sends it over a channel to a session of PEER, and reads there what became of it. */
static void travel(reader *self, const tp_letter *letter, tp_letter *ret_arrived)
{
    tp_shard *shard = self->translator.shard;
    const tp_session_options options = {
        .allocator = shard->shared->allocator, .incarnation = SELF, .peer = PEER, .view = 2};
    tp_session_options theirs = options;
    theirs.incarnation = PEER;
    theirs.peer = SELF;
    tp_channel out = {.peer = PEER}, in = {.peer = SELF};
    tp_session_init(&out.session, &options);
    tp_session_init(&in.session, &theirs);
    assert_ok(tp_session_connected(&out.session, 0));
    assert_ok(tp_session_connected(&in.session, 0));

    const tp_message_parts parts = {.key = troupe_str("k"), .method = troupe_str("add")};
    const tp_message_head head = {.hash = hash_of(self, "note", "k"),
        .type = tp_type_known(shard->shared, troupe_str("note")),
        .deadline = TP_NEVER};
    tp_message *message = tp_message_make_here(&shard->pool, &parts, &head);
    assert_non_null(message);
    tp_trail_room room;
    const tp_postmark mark = tp_postmark_of(&self->translator, letter, &room);
    uint64_t number;
    assert_ok(tp_translator_put(&self->translator, &out, message, &mark, &number));
    tp_pool_give(&shard->pool, message);

    troupe_slice bytes;
    tp_session_frame frame;
    tp_parcel parcel;
    tp_postmark read;
    const char *fault;
    assert_true(tp_session_take(&out.session, 1, &bytes));
    assert_ok(tp_session_feed(&in.session, bytes));
    do
        assert_int_equal(tp_session_next(&in.session, &frame), TP_SESSION_FRAME);
    while (frame.kind != TP_FRAME_REQUEST);
    assert_null(tp_parcel_get(frame.body, &parcel));
    message = tp_translator_read(
        &self->translator, &in.session, SELF, frame.kind, &parcel, &read, &fault);
    assert_non_null(message);
    *ret_arrived = (tp_letter){.from = SELF};
    tp_postmark_read(&read, ret_arrived);
    tp_pool_give(&shard->pool, message);
    tp_session_deinit(&out.session);
    tp_session_deinit(&in.session);
}

/* Also one that passes the node that it began at: it is refused all the same when one of those that
 * it went through is gone. */
static void a_letter_keeps_its_trail_wherever_it_passes(void **state)
{
    (void)state;
    reader self;
    open_reader(&self);
    for (uint64_t origin = PEER; origin <= 3; origin++)
        for (uint8_t count = 0; count <= TP_DIRECTORY_TRAIL; count++) {
            tp_letter sent = {.origin = origin,
                .order = 17,
                .grant = {5, PEER},
                .hops = 4,
                .flags = TP_LETTER_ACTIVE | TP_LETTER_WAITS,
                .trail.count = count};
            tp_letter got;
            for (uint8_t i = 0; i < count; i++)
                sent.trail.nodes[i] = 100 + i;
            travel(&self, &sent, &got);
            assert_int_equal(got.trail.count, count);
            assert_memory_equal(got.trail.nodes, sent.trail.nodes, count * sizeof(uint64_t));
            assert_int_equal(got.origin, origin);
            assert_int_equal(got.order, 17);
            assert_int_equal(got.hops, 4);
            assert_int_equal(got.flags, TP_LETTER_ACTIVE); /* the other does not travel */
            assert_true(got.grant.number == 5 && got.grant.home == PEER);
        }
    close_reader(&self);
}

/* Else it would be in the place of one that did hear it, and waits to hear of room. */
static void who_could_not_be_told_of_a_full_mailbox_is_not_noted(void **state)
{
    (void)state;
    reader self;
    open_reader(&self);
    tp_view nobody = {0};
    tp_chart chart = {.members = &nobody, .view = self.view};
    tp_outpost *outpost = calloc(1, sizeof *outpost);
    assert_non_null(outpost);
    outpost->shard = self.translator.shard;
    outpost->chart = &chart;
    tp_activation actor = {.hash = 7};
    for (actor.queued = 1; actor.queued <= 64; actor.queued++)
        tp_outpost_say_mailbox_full(outpost, 99, &actor);
    assert_int_equal(outpost->told_full_at, 0);
    assert_int_equal(outpost->told_full[0].origin, 0);
    free(outpost);
    close_reader(&self);
}

/* An id with two hashes would be two actors. */
static void an_id_with_the_hash_of_another_is_none(void **state)
{
    (void)state;
    reader self;
    open_reader(&self);
    tp_mover mover;
    tp_mover_init(&mover, self.translator.shard, &self.translator);
    uint64_t right = hash_of(&self, "note", "k");
    for (uint64_t off = 0; off < 2; off++) {
        char body[256];
        tp_directory_id id;
        uint64_t number;
        bool is_short;
        size_t size = put_copy(body, "note", right + off);
        const char *fault =
            tp_mover_came(&mover, (troupe_slice){body, size}, &id, &number, &is_short);
        assert_int_equal(fault != NULL, off);
        tp_parcel parcel = {.bits = TP_PARCEL_NAMES,
            .hash = right + off,
            .key = troupe_str("k"),
            .type = troupe_str("note"),
            .method = troupe_str("add"),
            .remaining = TP_WIRE_NEVER};
        tp_postmark mark;
        tp_message *message = tp_translator_read(
            &self.translator, NULL, PEER, TP_FRAME_REQUEST, &parcel, &mark, &fault);
        assert_int_equal(message == NULL, off);
        assert_int_equal(fault != NULL, off);
        tp_pool_give(&self.translator.shard->pool, message);
        tp_directory_item item = {.id = {.hash = right + off, .key = troupe_str("k")}};
        item.id.type = tp_type_known(self.translator.shard->shared, troupe_str("note"))->number;
        tp_directory_word word = {.item_count = 1, .items = &item}, read;
        tp_word_room room = {.allocator = self.translator.shard->shared->allocator};
        size = tp_word_size(&self.translator, &word);
        tp_word_put(&self.translator, body, &word);
        fault = tp_word_get(
            &self.translator, &room, TP_WORD_SLICE, (troupe_slice){body, size}, &read, &is_short);
        assert_int_equal(fault != NULL, off);
        tp_word_room_deinit(&room);
    }
    tp_mover_deinit(&mover);
    close_reader(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_that_are_not_in_order_are_no_word),
        cmocka_unit_test(a_copy_of_a_type_that_has_no_number_is_not_kept),
        cmocka_unit_test(askers_that_a_member_makes_up_take_no_number_from_others),
        cmocka_unit_test(types_that_a_member_makes_up_take_no_room_from_views),
        cmocka_unit_test(items_of_types_without_a_number_are_left_out_of_a_word),
        cmocka_unit_test(an_item_is_read_as_it_was_written),
        cmocka_unit_test(a_letter_keeps_its_trail_wherever_it_passes),
        cmocka_unit_test(who_could_not_be_told_of_a_full_mailbox_is_not_noted),
        cmocka_unit_test(an_id_with_the_hash_of_another_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
