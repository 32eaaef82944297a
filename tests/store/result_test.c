/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store found: a first item that fits lies in the room of its operation and takes no block;
 * all others have blocks, and each is given back once.
 */
#include "base/alloc.h"

#include <troupe/provider.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct blocks {
    int out, taken;
} blocks;

static void *take(void *context, size_t size)
{
    blocks *self = context;
    self->out++;
    self->taken++;
    return malloc(size);
}

static void give(void *context, void *block, size_t size)
{
    blocks *self = context;
    (void)size;
    self->out--;
    free(block);
}

static void add(troupe_store_op *op, const char *value)
{
    assert_int_equal(
        troupe_store_add(op, &(troupe_store_item){.kind = 3, .value = troupe_str(value)}),
        TROUPE_OK);
    assert_true(troupe_slice_equal(op->last->value, troupe_str(value)));
    assert_int_equal(op->last->kind, 3);
}

static void the_first_item_takes_the_room_if_it_fits(void **state)
{
    (void)state;
    _Alignas(troupe_store_item) unsigned char room[sizeof(troupe_store_item) + 5];
    blocks counts = {0, 0};
    const troupe_allocator allocator = {&counts, take, NULL, give};
    troupe_store_op op = {.allocator = &allocator, .room = room, .room_size = sizeof room};
    for (int round = 0; round < 2; round++) {
        add(&op, "small");
        assert_ptr_equal(op.items, room);
        assert_int_equal(counts.taken, 0);
        troupe_store_release(&op);
        assert_null(op.items);
    }
    add(&op, "small");
    add(&op, "next");
    assert_int_equal(counts.taken, 1);
    assert_true(troupe_slice_equal(op.items->value, troupe_str("small")));
    troupe_store_release(&op);
    assert_int_equal(counts.out, 0);
    add(&op, "larger");
    assert_ptr_not_equal(op.items, room);
    add(&op, "small");
    assert_int_equal(counts.taken, 3);
    troupe_store_release(&op);
    assert_int_equal(counts.out, 0);
}

static void without_room_each_item_has_a_block(void **state)
{
    (void)state;
    blocks counts = {0, 0};
    const troupe_allocator allocator = {&counts, take, NULL, give};
    troupe_store_op op = {.allocator = &allocator};
    add(&op, "");
    assert_int_equal(counts.taken, 1);
    troupe_store_release(&op);
    assert_int_equal(counts.out, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_item_takes_the_room_if_it_fits),
        cmocka_unit_test(without_room_each_item_has_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
