/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses and applies the selectors of place/labels.h.
 *
 * Invariants and threads: see place/labels.h.
 */
#include "place/labels.h"

#include "base/alloc.h"
#include "base/limits.h"

#include <stdlib.h>

struct tp_selector {
    const troupe_allocator *allocator;
    size_t bytes;
    size_t count;
    tp_term terms[TP_SELECTOR_TERMS_MAX];
    char text[];
};

typedef struct reader {
    const char *data;
    size_t size, at;
    tp_text *error;
} reader;

static void skip_blanks(reader *self)
{
    while (self->at < self->size && (self->data[self->at] == ' ' || self->data[self->at] == '\t')) {
        self->at++;
    }
}

static bool takes(reader *self, char sign)
{
    skip_blanks(self);
    if (self->at < self->size && self->data[self->at] == sign) {
        self->at++;
        return true;
    }
    return false;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_word(char c)
{
    return is_letter(c) || c == '_' || c == '.' || c == '-';
}

static bool fail(reader *self, const char *what)
{
    tp_text_printf(self->error, "column %zu: %s", self->at + 1, what);
    return false;
}

static bool read_word(reader *self, const char *what, bool may_be_empty, troupe_slice *ret_word)
{
    skip_blanks(self);
    size_t begin = self->at;
    while (self->at < self->size && is_word(self->data[self->at])) {
        self->at++;
    }
    size_t size = self->at - begin;
    if (size > TP_NAME_MAX) {
        self->at = begin;
        return fail(self, "a name or value has at most 128 bytes");
    }
    if (size == 0 ? !may_be_empty : !is_letter(self->data[begin])) {
        self->at = begin;
        return fail(self, what);
    }
    *ret_word = troupe_slice_of(self->data + begin, size);
    return true;
}

static bool read_values(reader *self, tp_term *term)
{
    do {
        if (term->value_count == TP_TERM_VALUES_MAX) {
            return fail(self, "a term has at most 16 values");
        }
        if (!read_word(self, "a value begins with a letter or digit", true,
                &term->values[term->value_count])) {
            return false;
        }
        term->value_count++;
    } while (takes(self, '|'));
    return true;
}

static bool read_term(reader *self, tp_term *term)
{
    *term = (tp_term){.is_not = takes(self, '!')};
    if (!read_word(self, "expected the name of a label, as in `gpu=true, region=eu|us, !spot`",
            false, &term->name)) {
        return false;
    }
    if (takes(self, '!')) {
        if (term->is_not) {
            return fail(self, "`!` is there already: write `name!=value` or `!name`");
        }
        if (!takes(self, '=')) {
            return fail(self, "expected `=` behind `!`");
        }
        term->is_not = true;
        return read_values(self, term);
    }
    if (!takes(self, '=')) {
        return true;
    }
    if (term->is_not) {
        return fail(self, "write `name!=value`, or `!name` without a value");
    }
    return read_values(self, term);
}

static bool read_selector(reader *self, tp_selector *selector)
{
    skip_blanks(self);
    if (self->at == self->size) {
        return true;
    }
    do {
        if (selector->count == TP_SELECTOR_TERMS_MAX) {
            return fail(self, "a selector has at most 32 terms");
        }
        if (!read_term(self, &selector->terms[selector->count])) {
            return false;
        }
        selector->count++;
    } while (takes(self, ','));
    return self->at == self->size || fail(self, "expected `,`, `=`, `!=` or the end");
}

troupe_status tp_selector_parse(const troupe_allocator *allocator, troupe_slice text,
    tp_selector **ret_selector, tp_text *error)
{
    if (text.size > TP_SELECTOR_TEXT_MAX) {
        tp_text_printf(error, "a selector has at most %d bytes", TP_SELECTOR_TEXT_MAX);
        return TROUPE_USAGE;
    }
    size_t bytes = sizeof(tp_selector) + text.size;
    tp_selector *selector = tp_allocate(allocator, bytes);
    if (selector == NULL) {
        return TROUPE_NO_MEMORY;
    }
    selector->allocator = allocator;
    selector->bytes = bytes;
    selector->count = 0;
    if (text.size != 0) {
        memcpy(selector->text, text.data, text.size);
    }
    reader self = {selector->text, text.size, 0, error};
    if (!read_selector(&self, selector)) {
        tp_selector_destroy(selector);
        return TROUPE_USAGE;
    }
    *ret_selector = selector;
    return TROUPE_OK;
}

void tp_selector_destroy(tp_selector *selector)
{
    if (selector != NULL) {
        tp_release(selector->allocator, selector, selector->bytes);
    }
}

static int compare(troupe_slice left, troupe_slice right)
{
    size_t size = left.size < right.size ? left.size : right.size;
    int order = size != 0 ? memcmp(left.data, right.data, size) : 0;
    return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

bool tp_label_find(const tp_label *labels, size_t count, troupe_slice name, troupe_slice *ret_value)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(labels[middle].name, name);
        if (order == 0) {
            *ret_value = labels[middle].value;
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

static bool term_holds(const tp_term *term, const tp_label *labels, size_t count)
{
    troupe_slice value;
    bool is_there = tp_label_find(labels, count, term->name, &value);
    bool matches = is_there && term->value_count == 0;
    for (uint8_t i = 0; is_there && !matches && i < term->value_count; i++) {
        matches = troupe_slice_equal(value, term->values[i]);
    }
    return matches != term->is_not;
}

bool tp_selector_holds(const tp_selector *selector, const tp_label *labels, size_t count)
{
    for (size_t i = 0; selector != NULL && i < selector->count; i++) {
        if (!term_holds(&selector->terms[i], labels, count)) {
            return false;
        }
    }
    return true;
}

void tp_selector_print(const tp_selector *selector, tp_text *text)
{
    for (size_t i = 0; selector != NULL && i < selector->count; i++) {
        const tp_term *term = &selector->terms[i];
        bool is_bare = term->value_count == 0;
        tp_text_printf(text, "%s%s%.*s", i > 0 ? ", " : "", is_bare && term->is_not ? "!" : "",
            TROUPE_ARG(term->name));
        for (uint8_t j = 0; j < term->value_count; j++) {
            const char *sign = j > 0 ? "|" : term->is_not ? "!=" : "=";
            tp_text_printf(text, "%s%.*s", sign, TROUPE_ARG(term->values[j]));
        }
    }
}

static int by_name(const void *a, const void *b)
{
    return compare(((const tp_label *)a)->name, ((const tp_label *)b)->name);
}

bool tp_labels_sort(tp_label *labels, size_t count, troupe_slice *ret_name)
{
    if (count > 1) {
        qsort(labels, count, sizeof(*labels), by_name);
    }
    for (size_t i = 1; i < count; i++) {
        if (troupe_slice_equal(labels[i - 1].name, labels[i].name)) {
            if (ret_name != NULL) {
                *ret_name = labels[i].name;
            }
            return false;
        }
    }
    return true;
}

troupe_status tp_labels_parse(
    troupe_slice text, tp_label *ret_labels, size_t room, size_t *ret_count, tp_text *error)
{
    reader self = {text.data, text.size, 0, error};
    size_t count = 0;
    skip_blanks(&self);
    while (self.at < self.size || count != 0) {
        tp_label label = {0};
        if (count == room) {
            (void)fail(&self, "there are too many labels");
            return TROUPE_USAGE;
        }
        if (!read_word(&self, "expected the name of a label, as in `gpu=true, region=eu`", false,
                &label.name)) {
            return TROUPE_USAGE;
        }
        if (!takes(&self, '=')) {
            (void)fail(&self, "expected `=` and a value behind the name");
            return TROUPE_USAGE;
        }
        if (!read_word(&self, "a value begins with a letter or digit", true, &label.value)) {
            return TROUPE_USAGE;
        }
        ret_labels[count++] = label;
        if (!takes(&self, ',')) {
            break;
        }
    }
    skip_blanks(&self);
    if (self.at < self.size) {
        (void)fail(&self, "expected `,` and another label");
        return TROUPE_USAGE;
    }
    if (!tp_labels_sort(ret_labels, count, NULL)) {
        (void)fail(&self, "a label is there twice");
        return TROUPE_USAGE;
    }
    *ret_count = count;
    return TROUPE_OK;
}
