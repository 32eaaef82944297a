/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads small files whole. See file.h.
 *
 * Threads: any.
 */
#include "os/file.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static troupe_status fail(char *error, size_t error_size, int number)
{
    (void)snprintf(error, error_size, "%s", strerror(number));
    return number == ENOENT || number == ENOTDIR ? TROUPE_NOT_FOUND
           : number == EACCES || number == EPERM ? TROUPE_DENIED
                                                 : TROUPE_UNAVAILABLE;
}

/* Up to `size` bytes; fewer if the file is shorter by now. -1: errno. */
static ssize_t read_all(int descriptor, char *out, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t part = read(descriptor, out + got, size - got);
        if (part < 0 && errno == EINTR)
            continue;
        if (part < 0)
            return -1;
        if (part == 0)
            break;
        got += (size_t)part;
    }
    return (ssize_t)got;
}

static troupe_status read_open(const troupe_allocator *allocator, int descriptor, size_t most,
    troupe_slice *ret_bytes, char *error, size_t error_size)
{
    struct stat about;
    if (fstat(descriptor, &about) != 0)
        return fail(error, error_size, errno);
    if (!S_ISREG(about.st_mode)) {
        (void)snprintf(error, error_size, "it is no file");
        return TROUPE_UNAVAILABLE;
    }
    size_t size = (size_t)about.st_size;
    if (size == 0 || size > most) {
        (void)snprintf(
            error, error_size, size == 0 ? "it is empty" : "it is larger than %zu bytes", most);
        return size == 0 ? TROUPE_UNAVAILABLE : TROUPE_TOO_LARGE;
    }
    char *bytes = tp_allocate(allocator, size);
    if (bytes == NULL) {
        (void)snprintf(error, error_size, "no memory");
        return TROUPE_NO_MEMORY;
    }
    ssize_t got = read_all(descriptor, bytes, size);
    if (got != (ssize_t)size) {
        troupe_status status = fail(error, error_size, got < 0 ? errno : EAGAIN);
        tp_file_release(allocator, (troupe_slice){bytes, size});
        return status;
    }
    *ret_bytes = (troupe_slice){bytes, size};
    return TROUPE_OK;
}

troupe_status tp_file_read(const troupe_allocator *allocator, const char *path, size_t most,
    troupe_slice *ret_bytes, char *error, size_t error_size)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return fail(error, error_size, errno);
    troupe_status status = read_open(allocator, descriptor, most, ret_bytes, error, error_size);
    (void)close(descriptor);
    return status;
}

void tp_file_release(const troupe_allocator *allocator, troupe_slice bytes)
{
    if (bytes.data == NULL)
        return;
    explicit_bzero((char *)bytes.data, bytes.size);
    tp_release(allocator, (char *)bytes.data, bytes.size);
}
