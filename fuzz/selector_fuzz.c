/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds the parser of label selectors with anything. What it takes prints to a text that parses to
 * the same, and holds for the same labels; what it refuses comes with words. libFuzzer calls it.
 * Invariants: none of its own. Threads: one.
 */
#include "base/alloc.h"
#include "place/labels.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) abort();
}

static troupe_status parse(troupe_slice text, tp_selector **ret_selector)
{
    char words[200];
    tp_text error;
    tp_text_init(&error, words, sizeof words);
    troupe_status status = tp_selector_parse(tp_allocator_system(), text, ret_selector, &error);
    require(status == TROUPE_OK || (status == TROUPE_USAGE && error.size > 0));
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const tp_label labels[] = {{{"a", 1}, {"1", 1}}, {{"b", 1}, {"", 0}}};
    static char once[3 * TP_SELECTOR_TEXT_MAX], twice[3 * TP_SELECTOR_TEXT_MAX];
    tp_selector *selector = NULL;
    tp_selector *again = NULL;
    tp_text first, second;
    if (parse(troupe_slice_of(data, size), &selector) != TROUPE_OK) return 0;
    tp_text_init(&first, once, sizeof once);
    tp_selector_print(selector, &first);
    require(!first.is_cut);
    if (first.size <= TP_SELECTOR_TEXT_MAX) {
        require(parse(tp_text_slice(&first), &again) == TROUPE_OK);
        tp_text_init(&second, twice, sizeof twice);
        tp_selector_print(again, &second);
        require(troupe_slice_equal(tp_text_slice(&first), tp_text_slice(&second)));
        for (size_t count = 0; count <= 2; count++) {
            require(tp_selector_holds(selector, labels, count) ==
                    tp_selector_holds(again, labels, count));
        }
        tp_selector_destroy(again);
    }
    tp_selector_destroy(selector);
    return 0;
}
