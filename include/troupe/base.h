/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values that every call of Troupe shares: slices, the allocator, durations, and the marks on
 * functions. It declares no behaviour of a node; <troupe.h> includes it.
 *
 * Invariants: 1. A slice borrows: it never owns and is never freed. 2. A slice of size 0 may have
 * any data pointer, NULL too.
 * Threads: all functions here are pure. An allocator must be callable from any thread.
 */
#ifndef TROUPE_BASE_H
#define TROUPE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define TROUPE_API __attribute__((visibility("default")))
#define TROUPE_CHECK __attribute__((warn_unused_result))
#define TROUPE_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#else
#define TROUPE_API
#define TROUPE_CHECK
#define TROUPE_PRINTF(text, first)
#endif

/* g++ warns of each member that a designated initializer leaves out, though leaving out is what it
 * is for (GCC bug 96868); options and types are written so. clang++ and C compilers do not. */
#if defined(__cplusplus) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Borrowed bytes. They live as long as the function that hands them over says. */
typedef struct troupe_slice {
    const void *data;
    size_t size;
} troupe_slice;

/*
 * Where memory comes from. Every member is needed and must be thread-safe.
 * allocate: 16-aligned block of `size` > 0 bytes, NULL on failure.
 * reallocate: as realloc; on failure NULL and the old block stays. `block` is not NULL.
 * release: `size` is the size last asked for. `block` is not NULL.
 */
typedef struct troupe_allocator {
    void *context;
    void *(*allocate)(void *context, size_t size);
    void *(*reallocate)(void *context, void *block, size_t old_size, size_t new_size);
    void (*release)(void *context, void *block, size_t size);
} troupe_allocator;

/* printf("%.*s", TROUPE_ARG(slice)) */
#define TROUPE_ARG(s) (int)(s).size, (const char *)(s).data

/* Durations are nanoseconds in a uint64_t. */
#define TROUPE_NANOSECONDS(n) ((uint64_t)(n))
#define TROUPE_MICROSECONDS(n) ((uint64_t)(n) * UINT64_C(1000))
#define TROUPE_MILLISECONDS(n) ((uint64_t)(n) * UINT64_C(1000000))
#define TROUPE_SECONDS(n) ((uint64_t)(n) * UINT64_C(1000000000))
#define TROUPE_MINUTES(n) ((uint64_t)(n) * UINT64_C(60000000000))
#define TROUPE_HOURS(n) ((uint64_t)(n) * UINT64_C(3600000000000))

/* [any thread] The bytes of a C string without its end mark; NULL is the empty slice. */
static inline troupe_slice troupe_str(const char *text)
{
    troupe_slice slice = {text, text != NULL ? strlen(text) : 0};
    return slice;
}

/* [any thread] `size` bytes at `data`. */
static inline troupe_slice troupe_slice_of(const void *data, size_t size)
{
    troupe_slice slice = {data, size};
    return slice;
}

/* [any thread] The same bytes? */
static inline bool troupe_slice_equal(troupe_slice a, troupe_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

#ifdef __cplusplus
}
#endif

#endif
