/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boxes of bytes in docs/wire.md, for tests that hold the code against them: version 1 is
 * frozen by them. Threads: the test's.
 */
#ifndef TESTS_WIRE_BOXES_H
#define TESTS_WIRE_BOXES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <troupe/base.h>

#include <cmocka.h>

/* The bytes of a box; text behind `|` is for people. */
static inline size_t read_box(const char *name, unsigned char *out, size_t room)
{
    const char *source = getenv("TROUPE_SOURCE");
    char path[4096], line[512], head[64];
    snprintf(path, sizeof path, "%s/docs/wire.md", source != NULL ? source : ".");
    FILE *file = fopen(path, "r");
    if (file == NULL)
        fail_msg("%s cannot be read: set TROUPE_SOURCE", path);
    snprintf(head, sizeof head, "```%s\n", name);
    bool inside = false;
    size_t size = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (inside && strncmp(line, "```", 3) == 0)
            break;
        char *words = strchr(line, '|');
        if (words != NULL)
            *words = 0;
        unsigned value;
        int used;
        for (const char *at = line; inside && sscanf(at, " %2x%n", &value, &used) == 1; at += used)
            if (size < room)
                out[size++] = (unsigned char)value;
        inside = inside || strcmp(line, head) == 0;
    }
    fclose(file);
    return size;
}

static inline void assert_box(const char *name, troupe_slice wanted)
{
    unsigned char found[2048];
    size_t size = read_box(name, found, sizeof found);
    if (troupe_slice_equal(wanted, troupe_slice_of(found, size)))
        return;
    printf("```%s\n", name);
    for (size_t i = 0; i < wanted.size; i += 16) {
        const unsigned char *row = (const unsigned char *)wanted.data + i;
        size_t count = wanted.size - i < 16 ? wanted.size - i : 16;
        for (size_t k = 0; k < 16; k++)
            k < count ? printf("%02x ", row[k]) : printf("   ");
        printf("| ");
        for (size_t k = 0; k < count; k++)
            putchar(row[k] >= 0x20 && row[k] < 0x7f ? row[k] : '.');
        putchar('\n');
    }
    printf("```\n");
    fail_msg("docs/wire.md, box %s: these are the bytes", name);
}

#endif
