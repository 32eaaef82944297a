/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the cluster puts into frames has the bytes that docs/wire.md says, in which version 1 is
 * frozen: what goes along with calls, words of the directory, copies of actors that move. Frames
 * themselves: tests/wire/document_test.c.
 */
#include "tests/promises/scene.h"
#include "tests/wire/boxes.h"

#include "cluster/mover.h"
#include "cluster/say.h"
#include "cluster/words.h"

enum { SELF = 2 };

static troupe_status add(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    return troupe_reply_bytes(turn, payload);
}

static const troupe_method methods[] = {TROUPE_METHOD(add)};
static const troupe_type note = {TROUPE_TYPE("note"), .state_size = 64, TROUPE_METHODS(methods)};
static const troupe_type *const types[] = {&note};

typedef struct writer {
    scene scene;
    tp_translator translator;
    const tp_type *type;
    uint64_t hash; /* of note/k */
} writer;

static void open_writer(writer *self)
{
    scene_open(&self->scene, NULL, types, 1);
    tp_shard *shard = self->scene.node->shared.shards[0];
    assert_ok(tp_translator_init(&self->translator, shard, SELF));
    self->type = tp_type_known(shard->shared, troupe_str("note"));
    self->hash = tp_types_hash(&shard->shared->types, troupe_id_of("note", "k"));
}

static void close_writer(writer *self)
{
    tp_translator_deinit(&self->translator);
    scene_close(&self->scene);
}

static void what_goes_along_with_a_call_is_as_the_document_says(void **state)
{
    (void)state;
    writer self;
    open_writer(&self);
    tp_shard *shard = self.translator.shard;
    const tp_slip slip = {.flags = 1,
        .status = TROUPE_OK,
        .outcome = TROUPE_NOT_DONE,
        .errand = 0,
        .expires = 2,
        .number = {3, 4},
        .before = {5, 6},
        .remind = {.missed = 7, .more = true, .number = 8, .due = 9},
        .permit = 10,
        .once = troupe_str("once"),
        .done = troupe_str("done"),
        .failed = troupe_str("failed"),
        .context = troupe_str("context"),
        .baggage = troupe_str("baggage")};
    const tp_message_parts parts = {.key = troupe_str("k"), .slip = &slip};
    const tp_message_head head = {.hash = self.hash, .type = self.type, .deadline = TP_NEVER};
    tp_message *message = tp_message_make_here(&shard->pool, &parts, &head);
    assert_non_null(message);
    tp_parcel parcel;
    assert_true(tp_translator_pack(&self.translator, message, NULL, &parcel));
    assert_box("slip", parcel.slip);
    tp_pool_give(&shard->pool, message);
    close_writer(&self);
}

static void a_word_of_the_directory_is_as_the_document_says(void **state)
{
    (void)state;
    writer self;
    open_writer(&self);
    const tp_directory_item item = {
        .id = {.hash = self.hash, .type = self.type->number, .key = troupe_str("k")},
        .host = 1,
        .number = 2,
        .prev = 3,
        .peer = 4,
        .state = TP_DIRECTORY_SOURCE,
        .activations = 5};
    const tp_span span = {6, 7};
    const tp_directory_word word = {.view = 8,
        .hash = 9,
        .number = 10,
        .other = 11,
        .last = true,
        .items = &item,
        .item_count = 1,
        .spans = &span,
        .span_count = 1};
    char body[256];
    size_t size = tp_word_size(&self.translator, &word);
    assert_true(size <= sizeof body);
    tp_word_put(&self.translator, body, &word);
    assert_box("word", (troupe_slice){body, size});
    close_writer(&self);
}

static void a_copy_of_an_actor_is_read_as_the_document_says(void **state)
{
    (void)state;
    writer self;
    open_writer(&self);
    tp_mover mover;
    tp_mover_init(&mover, self.translator.shard, &self.translator);
    unsigned char body[512];
    size_t size = read_box("copy", body, sizeof body);
    tp_directory_id id;
    uint64_t number;
    bool is_short;
    for (size_t cut = 0; cut < size; cut++)
        assert_non_null(
            tp_mover_came(&mover, troupe_slice_of(body, cut), &id, &number, &is_short));
    assert_null(tp_mover_came(&mover, troupe_slice_of(body, size), &id, &number, &is_short));
    assert_false(is_short);
    assert_true(id.hash == self.hash && number == 7);
    assert_true(troupe_slice_equal(id.key, troupe_str("k")));
    tp_activation *actor = tp_mover_resume(&mover, &id);
    assert_non_null(actor);
    assert_int_equal(mover.lost, 0); /* state, timer and message made sense */
    assert_int_equal(actor->queued, 1);
    assert_true(troupe_slice_equal(tp_move_state(actor), troupe_str("four")));
    tp_mover_deinit(&mover);
    close_writer(&self);
}

static void kinds_of_words_keep_their_numbers(void **state)
{
    (void)state;
#define NAME(name) #name " "
    assert_string_equal(TP_DIRECTORY_WORD_MAP(NAME),
        "RELEASE RELEASED SWITCH GO VOIDED TAKE BACK GONE RUNNING RAN SYNC SYNCED CLAIM SLICE WANT "
        "ONE SURVEY ANSWER MORE AT COPY QUERY FOUND ");
    assert_int_equal(TP_WORD_RELEASE, 0);
    assert_true(TP_WORD_CANCEL == 250 && TP_WORD_PROBE == 251 && TP_WORD_INQUIRY == 252);
    assert_true(TP_WORD_INFORMED == 253 && TP_WORD_INSTALL == 254 && TP_WORD_LOST == 255);
    assert_true(TP_SAY_PROBE == 1 && TP_SAY_PROBED == 2 && TP_SAY_VOTE == 3);
    assert_true(TP_SAY_JOIN == 4 && TP_SAY_ECHO == 5 && TP_SAY_ECHOED == 6);
    assert_int_equal(TP_DIRECTORY_TARGET, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_along_with_a_call_is_as_the_document_says),
        cmocka_unit_test(a_word_of_the_directory_is_as_the_document_says),
        cmocka_unit_test(a_copy_of_an_actor_is_read_as_the_document_says),
        cmocka_unit_test(kinds_of_words_keep_their_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
