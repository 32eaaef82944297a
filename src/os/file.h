/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small files that the operator of a node names, such as certificates, read whole. Not the files of
 * state: those are the providers'. Called while a node opens, and when it is told to read anew.
 *
 * Threads: any; it blocks.
 */
#ifndef TP_OS_FILE_H
#define TP_OS_FILE_H

#include <troupe/base.h>
#include <troupe/status.h>

/* All of a file of up to `most` bytes; released with tp_file_release. NOT_FOUND, DENIED, TOO_LARGE,
 * NO_MEMORY, UNAVAILABLE: `error` has the reason, a few words. */
TROUPE_CHECK troupe_status tp_file_read(const troupe_allocator *allocator, const char *path,
    size_t most, troupe_slice *ret_bytes, char *error, size_t error_size);
/* Overwrites it before: it may have been a key. A slice without data is a no-op. */
void tp_file_release(const troupe_allocator *allocator, troupe_slice bytes);

#endif
