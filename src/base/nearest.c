/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name that somebody who mistyped one probably meant: by the least number of insertions,
 * deletions, replacements and swaps of neighbours (optimal string alignment). For error texts only.
 *
 * Invariants: names longer than NAME_BYTES have no nearest name. Threads: pure.
 */
#include <string.h>

#include <troupe/config.h>

#define NAME_BYTES 64

static unsigned char fold(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (unsigned char)(c - 'A' + 'a');
    }
    return c == '-' ? '_' : (unsigned char)c;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Both are at most NAME_BYTES long. */
static size_t distance(const char *left, const char *right)
{
    size_t left_size = strlen(left);
    size_t right_size = strlen(right);
    size_t rows[3][NAME_BYTES + 1]; /* of the table: this one, the last, the one before */
    for (size_t j = 0; j <= right_size; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= left_size; i++) {
        size_t *row = rows[i % 3];
        const size_t *last = rows[(i + 2) % 3];
        const size_t *before = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= right_size; j++) {
            size_t cost = fold(left[i - 1]) != fold(right[j - 1]);
            row[j] = least(least(last[j] + 1, row[j - 1] + 1), last[j - 1] + cost);
            if (i > 1 && j > 1 && fold(left[i - 1]) == fold(right[j - 2]) &&
                fold(left[i - 2]) == fold(right[j - 1])) {
                row[j] = least(row[j], before[j - 2] + 1);
            }
        }
    }
    return rows[left_size % 3][right_size];
}

const char *troupe_nearest_name(const char *name, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    size_t size = strlen(name);
    /* Beyond a third of the letters, plus one, a guess helps nobody. */
    size_t best = size / 3 + 2;
    if (size == 0 || size > NAME_BYTES) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (strlen(names[i]) > NAME_BYTES) {
            continue;
        }
        size_t steps = distance(name, names[i]);
        if (steps < best) {
            best = steps;
            nearest = names[i];
        }
    }
    return nearest;
}
