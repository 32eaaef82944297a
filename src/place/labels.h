/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels of members, and selectors over them: the text `gpu=true, region=eu|us, !spot` made a list
 * of terms that a member meets or not. Placement filters candidates by it; options and the command
 * line parse it. Not the policy.
 *
 *   selector  term {"," term}        all must hold; an empty text holds for every member
 *   term      name=value{|value}     the label is there with one of the values
 *             name!=value{|value}    the label is absent, or has none of the values
 *             name                   the label is there, with any value
 *             !name                  it is absent
 *
 * Names are 1 to TP_NAME_MAX of A-Z a-z 0-9 _ . - and begin with a letter or digit; values are the
 * same but may be empty. Blanks around names, values and signs count for nothing.
 *
 * Invariants: what is printed parses to the same selector. Threads: any may read.
 */
#ifndef TP_PLACE_LABELS_H
#define TP_PLACE_LABELS_H

#include "base/text.h"

#include <troupe/status.h>

#define TP_SELECTOR_TEXT_MAX  4096
#define TP_SELECTOR_TERMS_MAX 32
#define TP_TERM_VALUES_MAX    16

/* Of a member, sorted by name, each name once. */
typedef struct tp_label {
    troupe_slice name, value;
} tp_label;

typedef struct tp_term {
    troupe_slice name;
    bool is_not;
    uint8_t value_count; /* 0: any value will do */
    troupe_slice values[TP_TERM_VALUES_MAX];
} tp_term;

typedef struct tp_selector tp_selector;

/* Copies what it needs of `text`. USAGE: `error` says what is wrong where and what is allowed.
 * NO_MEMORY. */
TROUPE_CHECK troupe_status tp_selector_parse(const troupe_allocator *allocator, troupe_slice text,
    tp_selector **ret_selector, tp_text *error);
void tp_selector_destroy(tp_selector *selector);

/* NULL holds for all. */
bool tp_selector_holds(const tp_selector *selector, const tp_label *labels, size_t count);

/* Its text, in the plainest form. */
void tp_selector_print(const tp_selector *selector, tp_text *text);

/* The value of a label; false: it is absent. */
bool tp_label_find(
    const tp_label *labels, size_t count, troupe_slice name, troupe_slice *ret_value);

/* Reads `name=value, name=value`; slices of `text`. USAGE: `error`; a name is there twice, too;
 * more than `room`. An empty text has none. */
TROUPE_CHECK troupe_status tp_labels_parse(
    troupe_slice text, tp_label *ret_labels, size_t room, size_t *ret_count, tp_text *error);

/* Sorts by name. False: a name is there twice (`*ret_name`, may be NULL). */
bool tp_labels_sort(tp_label *labels, size_t count, troupe_slice *ret_name);

#endif
