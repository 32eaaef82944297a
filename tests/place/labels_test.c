/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Selectors of labels: what holds, what is refused and how it is said, and that what is printed is
 * what was meant.
 */
#include "place/labels.h"
#include "tests/base/failing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static failing memory;

static tp_selector *parse(const char *text)
{
    char words[200];
    tp_text error;
    tp_selector *selector = NULL;
    tp_text_init(&error, words, sizeof words);
    troupe_status status =
        tp_selector_parse(&memory.allocator, troupe_str(text), &selector, &error);
    if (status != TROUPE_OK) {
        fail_msg("%s: %s", text, words);
    }
    return selector;
}

static bool holds(const char *text)
{
    static const tp_label labels[] = {{{"empty", 5}, {"", 0}}, {{"gpu", 3}, {"true", 4}},
        {{"region", 6}, {"eu", 2}}, {{"zone", 4}, {"a-1", 3}}};
    tp_selector *selector = parse(text);
    bool result = tp_selector_holds(selector, labels, 4);
    char once[300], twice[300];
    tp_text first, second;
    tp_text_init(&first, once, sizeof once);
    tp_selector_print(selector, &first);
    tp_selector *again = parse(once);
    tp_text_init(&second, twice, sizeof twice);
    tp_selector_print(again, &second);
    assert_string_equal(once, twice);
    assert_int_equal(tp_selector_holds(again, labels, 4), result);
    tp_selector_destroy(selector);
    tp_selector_destroy(again);
    return result;
}

static void a_selector_holds_when_all_its_terms_do(void **state)
{
    (void)state;
    failing_init(&memory);
    static const char *const yes[] = {"", "  ", "gpu=true", " gpu = true ,region=eu",
        "region=us|eu", "gpu", "!spot", "region!=us", "region!=us|ap", "spot!=x", "empty=", "empty",
        "zone=a-1,!b", "zone=|a-1"};
    static const char *const no[] = {"gpu=false", "gpu=true,region=us", "spot", "!gpu",
        "region!=eu", "region!=us|eu", "gpu=", "spot=", "gpu=tru", "gpu=truer", "empty!="};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (!holds(yes[i])) {
            fail_msg("%s does not hold", yes[i]);
        }
    }
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        if (holds(no[i])) {
            fail_msg("%s holds", no[i]);
        }
    }
    assert_true(tp_selector_holds(NULL, NULL, 0));
    assert_int_equal(memory.bytes, 0);
}

static void what_is_wrong_is_said_with_its_column(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } wrong[] = {{",", "column 1: expected the name"},
        {"gpu=true,", "column 10: expected the name"}, {"gpu true", "column 5: expected `,`"},
        {"=x", "column 1: expected the name"}, {"!a=b", "column 4: write `name!=value`"},
        {"!a!=b", "is there already"}, {"a!b", "expected `=` behind `!`"},
        {"a=-b", "column 3: a value begins with a letter"}, {"-a", "expected the name"},
        {"a=b=c", "column 4: expected `,`"}, {"a=\x01", "column 3"}};
    failing_init(&memory);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char words[200];
        tp_text error;
        tp_selector *selector = NULL;
        tp_text_init(&error, words, sizeof words);
        assert_int_equal(
            tp_selector_parse(&memory.allocator, troupe_str(wrong[i].text), &selector, &error),
            TROUPE_USAGE);
        assert_null(selector);
        if (strstr(words, wrong[i].says) == NULL) {
            fail_msg("%s: %s", wrong[i].text, words);
        }
    }
    assert_int_equal(memory.bytes, 0);
}

static void limits_are_said(void **state)
{
    (void)state;
    char text[TP_SELECTOR_TEXT_MAX + 8], words[200];
    tp_text error;
    tp_selector *selector = NULL;
    failing_init(&memory);
    static const struct {
        const char *unit, *says;
        int times;
    } cases[] = {{"a,", "at most 32 terms", 33}, {"|a", "at most 16 values", 20},
        {"x", "at most 128 bytes", 129}, {" ", "at most 4096 bytes", TP_SELECTOR_TEXT_MAX + 1}};
    for (size_t i = 0; i < 4; i++) {
        size_t size = 0;
        text[0] = 0;
        if (i == 1) {
            size = (size_t)snprintf(text, sizeof text, "a=b");
        }
        for (int j = 0; j < cases[i].times; j++) {
            size += (size_t)snprintf(text + size, sizeof text - size, "%s", cases[i].unit);
        }
        tp_text_init(&error, words, sizeof words);
        assert_int_equal(
            tp_selector_parse(&memory.allocator, troupe_slice_of(text, size), &selector, &error),
            TROUPE_USAGE);
        assert_non_null(strstr(words, cases[i].says));
    }
    memory.fail_from = memory.calls + 1;
    memory.fail_count = 1;
    assert_int_equal(
        tp_selector_parse(&memory.allocator, troupe_str("a"), &selector, &error), TROUPE_NO_MEMORY);
    assert_null(selector);
}

static void labels_of_a_node_are_read_sorted_and_wrong_ones_are_named(void **state)
{
    (void)state;
    tp_label labels[3];
    size_t count = 9;
    char words[128];
    tp_text error;
    tp_text_init(&error, words, sizeof words);
    assert_int_equal(
        tp_labels_parse(troupe_str(" region=eu, gpu = true,ssd="), labels, 3, &count, &error),
        TROUPE_OK);
    assert_int_equal(count, 3);
    assert_true(troupe_slice_equal(labels[0].name, troupe_str("gpu")));
    assert_true(troupe_slice_equal(labels[0].value, troupe_str("true")));
    assert_true(troupe_slice_equal(labels[1].name, troupe_str("region")));
    assert_int_equal(labels[2].value.size, 0);
    assert_int_equal(tp_labels_parse(troupe_str("  "), labels, 3, &count, &error), TROUPE_OK);
    assert_int_equal(count, 0);
    static const char *const wrong[] = {
        "gpu", "gpu=a,", "=a", "gpu=a b=c", "a=1,a=2", "a=1,b=2,c=3,d=4", "gpu=a|b", "!gpu=a"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        tp_text_init(&error, words, sizeof words);
        assert_int_equal(
            tp_labels_parse(troupe_str(wrong[i]), labels, 3, &count, &error), TROUPE_USAGE);
        assert_non_null(strstr(words, "column"));
    }
}

static void labels_are_sorted_and_none_is_there_twice(void **state)
{
    (void)state;
    tp_label labels[] = {{{"b", 1}, {"1", 1}}, {{"a", 1}, {"2", 1}}, {{"ab", 2}, {"3", 1}}};
    troupe_slice value;
    assert_true(tp_labels_sort(labels, 3, NULL));
    assert_true(tp_label_find(labels, 3, troupe_str("ab"), &value));
    assert_true(troupe_slice_equal(value, troupe_str("3")));
    assert_false(tp_label_find(labels, 3, troupe_str("abc"), &value));
    labels[2].name = troupe_str("a");
    assert_false(tp_labels_sort(labels, 3, &value));
    assert_true(troupe_slice_equal(value, troupe_str("a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_selector_holds_when_all_its_terms_do),
        cmocka_unit_test(what_is_wrong_is_said_with_its_column),
        cmocka_unit_test(limits_are_said),
        cmocka_unit_test(labels_of_a_node_are_read_sorted_and_wrong_ones_are_named),
        cmocka_unit_test(labels_are_sorted_and_none_is_there_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
