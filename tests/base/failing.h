/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An allocator for the tests of base: it counts what is out, checks the sizes it gets back, and
 * refuses on command. Not thread-safe, except while it neither fails nor is read.
 *
 * Invariants: bytes is the sum of the sizes of all blocks out.
 */
#ifndef TEST_BASE_FAILING_H
#define TEST_BASE_FAILING_H

#include <troupe/base.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct failing {
    troupe_allocator allocator;
    _Atomic uint64_t calls;   /* allocations asked for */
    uint64_t fail_from;       /* the first call refused; 0: none */
    uint64_t fail_count;      /* how many in a row */
    _Atomic uint64_t bytes;
    _Atomic uint64_t wrong_sizes;
} failing;

static inline bool failing_refuses(failing *self)
{
    uint64_t call = atomic_fetch_add(&self->calls, 1) + 1;
    return self->fail_from != 0 && call >= self->fail_from &&
           call - self->fail_from < self->fail_count;
}

static inline void *failing_allocate(void *context, size_t size)
{
    failing *self = context;
    if (failing_refuses(self)) {
        return NULL;
    }
    char *base = malloc(size + 16);
    if (base == NULL) {
        return NULL;
    }
    memcpy(base, &size, sizeof(size));
    memset(base + 16, 0xA5, size < 4096 ? size : 4096); /* nobody may count on zeroes */
    atomic_fetch_add(&self->bytes, size);
    return base + 16;
}

static inline void failing_release(void *context, void *block, size_t size)
{
    failing *self = context;
    size_t real;
    char *base = (char *)block - 16;
    memcpy(&real, base, sizeof(real));
    if (real != size) {
        atomic_fetch_add(&self->wrong_sizes, 1);
    }
    atomic_fetch_sub(&self->bytes, real);
    free(base);
}

static inline void *failing_reallocate(void *context, void *block, size_t old_size, size_t new_size)
{
    void *moved = failing_allocate(context, new_size);
    if (moved != NULL) {
        memcpy(moved, block, old_size < new_size ? old_size : new_size);
        failing_release(context, block, old_size);
    }
    return moved;
}

static inline void failing_init(failing *self)
{
    memset(self, 0, sizeof(*self));
    self->allocator.context = self;
    self->allocator.allocate = failing_allocate;
    self->allocator.reallocate = failing_reallocate;
    self->allocator.release = failing_release;
}

#endif
