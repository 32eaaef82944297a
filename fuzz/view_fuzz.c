/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses arbitrary bytes as the text of a view, under the number that its first byte names. Seeds:
 * fuzz/corpus/view. libFuzzer calls it.
 *
 * Invariants: what does not parse has a reason; what does keeps its text, and its next view parses,
 * with the members of it. Threads: one.
 */
#include "member/view.h"

#include "base/alloc.h"
#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_next(const tp_view *view)
{
    const tp_view *next = NULL, *again = NULL;
    char error[256];
    const tp_view_member join = {
        .nonce = INT64_MAX, .name = troupe_str("fuzz"), .address = troupe_str("h:1"), .shards = 1};
    const tp_view_step step = {.joins = &join, .join_count = 1};
    if (tp_view_follow(tp_allocator_system(), view, &step, &next) != TROUPE_OK)
        return; /* a limit */
    TP_ASSERT(tp_view_parse(tp_allocator_system(), next->number, next->text, &again, error,
                  sizeof error) == TROUPE_OK);
    TP_ASSERT(again->member_count == next->member_count);
    TP_ASSERT(again->change_count == next->change_count);
    for (size_t i = 0; i < view->member_count; i++) {
        const tp_view_member *member = tp_view_find(again, view->members[i].incarnation);
        TP_ASSERT(member != NULL && member->type_count == view->members[i].type_count);
        TP_ASSERT(troupe_slice_equal(member->name, view->members[i].name));
    }
    tp_view_release(again);
    tp_view_release(next);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[256] = "";
    const tp_view *view = NULL;
    if (size < 1)
        return 0;
    troupe_slice text = troupe_slice_of(data + 1, size - 1);
    if (tp_view_parse(tp_allocator_system(), data[0], text, &view, error, sizeof error) !=
        TROUPE_OK) {
        TP_ASSERT(error[0] != '\0');
        return 0;
    }
    TP_ASSERT(view->number == data[0] && troupe_slice_equal(view->text, text));
    check_next(view);
    tp_view_release(view);
    return 0;
}
