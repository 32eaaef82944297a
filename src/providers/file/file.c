/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The membership provider `file:`: views and lease registers in a folder of this machine, for
 * clusters of several processes on it, with nothing to install. In the library. Not for folders
 * that several machines share: the registers are words of a mapped file, and who is dead the kernel
 * says.
 *
 *   file:dev          the folder `troupe-UID/CLUSTER-dev` below $XDG_RUNTIME_DIR or /tmp
 *   file:/some/where  that folder; file:./here likewise. It is made if need be.
 *
 *   view.N       the text of view N; the newest is that of the greatest N. Made by link(2), which
 *                fails if it is there: that is the compare-and-set, and no process that stops in
 *                the middle of it blocks another one, as the holder of a lock would
 *   registers    a header, and words that are compared and set in place: incarnation, count,
 *                revoked in one, that of incarnation I at I modulo SLOTS; 0 is free
 *   alive.I      locked (flock) by the process that raised incarnation I first, until that handle
 *                is closed or the kernel closes it: its being free says that the holder has ended.
 *                Who watches the folder is told of the closing by inotify, and need not ask
 *   draft.P.N    a view before it is linked, of process P
 *
 * Invariants
 * 1. header.number only grows, and is at most the greatest N that was ever linked; views below it
 * by more than KEPT are removed. So a link of a long gone number can only succeed when
 * header.number says afterwards that it is long gone, and is then UNKNOWN and taken back.
 * 2. A word changes by compare-and-set only, from the value that the caller knows; it names its
 *    incarnation, so a word that was freed and taken by another is not mistaken.
 * 3. A text is synced before it is linked: after a power loss a view is there whole, or not at all.
 *
 * Threads: a handle's own; between processes only what is mapped, linked and locked.
 */
#include "providers/file/file.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDER_MAX = 400, PATH_MAX_BYTES = FOLDER_MAX + 64, SLOTS = 8192 };
enum { KEPT = 256, DRAFTS = 1000 };
enum { ENDING_MS = 20 }; /* from the kernel's word that a file was closed until its lock is free */
enum { INCARNATION_BITS = 26, COUNT_BITS = 37 };
#define MAGIC       UINT64_C(0x31524D45504F5254) /* "TROPEMR1" */
#define MILLISECOND UINT64_C(1000000)

_Static_assert(INCARNATION_BITS + COUNT_BITS + 1 == 64, "a register is one word");

typedef struct table {
    _Atomic uint64_t magic;
    _Atomic uint64_t number; /* of the newest view, or a little less */
    uint64_t reserved[6];
    _Atomic uint64_t words[SLOTS]; /* incarnation, count, revoked; from high bits to low */
} table;

typedef struct folder_handle {
    troupe_membership port;
    troupe_membership_host host;
    char folder[FOLDER_MAX];
    char promises[FOLDER_MAX + 128];
    table *table;
    int notify; /* inotify of the folder, once somebody watches */
    int bell;   /* readable: hurry */
    int alive;  /* the lock of the incarnation that was raised first by this handle */
    uint64_t held;
    atomic_bool hurried; /* published by hurry */
} folder_handle;

static folder_handle *handle_of(troupe_membership *port)
{
    return (folder_handle *)port;
}

static troupe_status fail(folder_handle *self, troupe_status status, const char *what)
{
    (void)snprintf(self->port.error, sizeof self->port.error, "file: %s in %.150s: %s", what,
        self->folder, strerror(errno));
    return status;
}

static bool is_hurried(folder_handle *self)
{
    if (!atomic_load_explicit(&self->hurried, memory_order_acquire))
        return false;
    (void)snprintf(self->port.error, sizeof self->port.error, "file: the node closes");
    return true;
}

static void path_of(const folder_handle *self, char *out, const char *name, uint64_t number)
{
    (void)snprintf(
        out, PATH_MAX_BYTES, "%s/%s%llu", self->folder, name, (unsigned long long)number);
}

/* ---- views ----------------------------------------------------------------------------------- */

static void note_number(table *at, uint64_t number)
{
    uint64_t before = atomic_load(&at->number);
    while (before < number && !atomic_compare_exchange_weak(&at->number, &before, number)) {
    }
}

/* The newest view: one that was linked and not yet noted counts, for its publisher may be dead. */
static uint64_t newest(folder_handle *self)
{
    char path[PATH_MAX_BYTES];
    uint64_t number = atomic_load(&self->table->number);
    for (;;) {
        path_of(self, path, "view.", number + 1);
        if (access(path, F_OK) != 0)
            return number;
        note_number(self->table, ++number);
        uint64_t noted = atomic_load(&self->table->number);
        number = noted > number ? noted : number;
    }
}

static troupe_status read_whole(folder_handle *self, int file, char **ret_text, size_t *ret_size)
{
    struct stat info;
    if (fstat(file, &info) != 0)
        return fail(self, TROUPE_UNAVAILABLE, "fstat of a view");
    if (info.st_size <= 0 || (uint64_t)info.st_size > TROUPE_VIEW_MAX)
        return fail(self, TROUPE_CORRUPT, "a view is empty or too large");
    size_t size = (size_t)info.st_size, got = 0;
    char *text = tp_allocate(self->host.allocator, size);
    if (text == NULL)
        return TROUPE_NO_MEMORY;
    while (got < size) {
        ssize_t more = pread(file, text + got, size - got, (off_t)got);
        if (more <= 0 && errno != EINTR) {
            tp_release(self->host.allocator, text, size);
            return fail(self, TROUPE_UNAVAILABLE, "reading a view");
        }
        got += more > 0 ? (size_t)more : 0;
    }
    *ret_text = text;
    *ret_size = size;
    return TROUPE_OK;
}

static troupe_status read_view(
    troupe_membership *port, uint64_t timeout, troupe_on_view *on_view, void *user)
{
    folder_handle *self = handle_of(port);
    char path[PATH_MAX_BYTES], *text = NULL;
    size_t size = 0;
    (void)timeout;
    if (is_hurried(self))
        return TROUPE_UNAVAILABLE;
    for (;;) {
        uint64_t number = newest(self);
        if (number == 0)
            return TROUPE_OK;
        path_of(self, path, "view.", number);
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file < 0 && errno == ENOENT && newest(self) != number)
            continue; /* removed, for newer ones came meanwhile */
        if (file < 0)
            return fail(self, TROUPE_UNAVAILABLE, "opening a view");
        troupe_status status = read_whole(self, file, &text, &size);
        (void)close(file);
        if (status == TROUPE_OK)
            on_view(user, number, troupe_slice_of(text, size));
        tp_release(self->host.allocator, text, size);
        return status;
    }
}

static bool write_whole(int file, troupe_slice text)
{
    size_t put = 0;
    while (put < text.size) {
        ssize_t more = write(file, (const char *)text.data + put, text.size - put);
        if (more < 0 && errno != EINTR)
            return false;
        put += more > 0 ? (size_t)more : 0;
    }
    return fsync(file) == 0;
}

static uint64_t incarnation_of(uint64_t word)
{
    return word >> (COUNT_BITS + 1);
}

/* Registers that nobody asks for any more, and views that nobody follows any more. */
static void remove_old(folder_handle *self, uint64_t number, const uint64_t *kept, size_t count)
{
    char path[PATH_MAX_BYTES];
    if (number > KEPT) {
        path_of(self, path, "view.", number - KEPT);
        (void)unlink(path);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        uint64_t word = atomic_load(&self->table->words[i]);
        bool is_kept = word == 0;
        for (size_t k = 0; k < count && !is_kept; k++)
            is_kept = kept[k] == incarnation_of(word);
        if (is_kept || !atomic_compare_exchange_strong(&self->table->words[i], &word, 0))
            continue;
        path_of(self, path, "alive.", incarnation_of(word));
        (void)unlink(path);
    }
}

/* After link(2) made view `number`: was it really the next one? See invariant 1. */
static troupe_status confirm(folder_handle *self, uint64_t number, const char *path)
{
    uint64_t noted = atomic_load(&self->table->number);
    if (noted > number && noted - number >= KEPT / 2) {
        (void)unlink(path);
        return TROUPE_UNKNOWN;
    }
    int folder = open(self->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        (void)fsync(folder);
        (void)close(folder);
    }
    note_number(self->table, number);
    return TROUPE_OK;
}

/* By open(2), not mkostemp(3), which the thread sanitizer does not see. */
static int open_draft(const folder_handle *self, char *ret_path)
{
    int file = -1;
    for (unsigned turn = 0; file < 0 && turn < DRAFTS; turn++) {
        (void)snprintf(ret_path, PATH_MAX_BYTES, "%s/draft.%d.%u", self->folder, getpid(), turn);
        file = open(ret_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (file < 0 && errno != EEXIST)
            break;
    }
    return file;
}

static troupe_status cas_view(troupe_membership *port, uint64_t timeout, uint64_t number,
    troupe_slice text, const uint64_t *kept, size_t kept_count)
{
    folder_handle *self = handle_of(port);
    char path[PATH_MAX_BYTES], draft[PATH_MAX_BYTES];
    (void)timeout;
    if (is_hurried(self))
        return TROUPE_UNAVAILABLE;
    if (text.size == 0 || text.size > TROUPE_VIEW_MAX)
        return TROUPE_TOO_LARGE;
    if (newest(self) + 1 != number)
        return TROUPE_CONFLICT;
    path_of(self, path, "view.", number);
    int file = open_draft(self, draft);
    if (file < 0)
        return fail(self, TROUPE_UNAVAILABLE, "making a file");
    troupe_status status = TROUPE_OK;
    if (!write_whole(file, text))
        status = fail(self, TROUPE_UNAVAILABLE, "writing a view");
    else if (link(draft, path) != 0)
        status = errno == EEXIST ? TROUPE_CONFLICT : fail(self, TROUPE_UNAVAILABLE, "link");
    (void)close(file);
    (void)unlink(draft);
    if (status == TROUPE_OK)
        status = confirm(self, number, path);
    if (status == TROUPE_OK)
        remove_old(self, number, kept, kept_count);
    return status;
}

/* ---- registers ------------------------------------------------------------------------------- */

static uint64_t word_of(uint64_t incarnation, uint64_t count, bool is_revoked)
{
    return incarnation << (COUNT_BITS + 1) | count << 1 | is_revoked;
}

static troupe_status change(
    folder_handle *self, uint64_t incarnation, uint64_t count, uint64_t to, bool is_revoked)
{
    if (incarnation == 0 || incarnation >> INCARNATION_BITS != 0 || to >> COUNT_BITS != 0) {
        (void)snprintf(self->port.error, sizeof self->port.error,
            "file: incarnation or count is beyond what %.100s counts: stop the cluster and remove "
            "it",
            self->folder);
        return TROUPE_UNAVAILABLE;
    }
    _Atomic uint64_t *word = &self->table->words[incarnation % SLOTS];
    uint64_t expected = count != 0 ? word_of(incarnation, count, false) : 0;
    if (atomic_compare_exchange_strong(word, &expected, word_of(incarnation, to, is_revoked)))
        return TROUPE_OK;
    if (count != 0 || incarnation_of(expected) == incarnation)
        return TROUPE_CONFLICT;
    (void)snprintf(self->port.error, sizeof self->port.error,
        "file: the register of incarnation %llu is that of %llu, still",
        (unsigned long long)incarnation, (unsigned long long)incarnation_of(expected));
    return TROUPE_UNAVAILABLE;
}

static troupe_status hold_alive(folder_handle *self, uint64_t incarnation)
{
    char path[PATH_MAX_BYTES];
    path_of(self, path, "alive.", incarnation);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return fail(self, TROUPE_UNAVAILABLE, "opening a lock");
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
        bool is_anothers = errno == EWOULDBLOCK;
        troupe_status status = fail(self, TROUPE_UNAVAILABLE, "taking the lock of an incarnation");
        (void)close(file);
        return is_anothers ? TROUPE_CONFLICT : status;
    }
    self->alive = file;
    self->held = incarnation;
    return TROUPE_OK;
}

static troupe_status raise_register(
    troupe_membership *port, uint64_t timeout, uint64_t incarnation, uint64_t count)
{
    folder_handle *self = handle_of(port);
    (void)timeout;
    if (is_hurried(self))
        return TROUPE_UNAVAILABLE;
    if (count == 0 && self->held != incarnation) {
        if (self->alive >= 0)
            (void)close(self->alive);
        self->alive = -1;
        TROUPE_TRY(hold_alive(self, incarnation));
    }
    return change(self, incarnation, count, count + 1, false);
}

static troupe_status revoke_register(
    troupe_membership *port, uint64_t timeout, uint64_t incarnation, uint64_t count)
{
    folder_handle *self = handle_of(port);
    (void)timeout;
    return is_hurried(self) ? TROUPE_UNAVAILABLE : change(self, incarnation, count, count, true);
}

/* Its lock is there and free: nobody but a raise of this incarnation takes it for longer. */
static bool has_ended(folder_handle *self, uint64_t incarnation)
{
    char path[PATH_MAX_BYTES];
    if (incarnation == self->held)
        return false;
    path_of(self, path, "alive.", incarnation);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    bool is_free = flock(file, LOCK_SH | LOCK_NB) == 0;
    (void)close(file);
    return is_free;
}

static troupe_status read_registers(troupe_membership *port, uint64_t timeout,
    troupe_on_register *on_register, void *user, uint64_t *ret_run)
{
    folder_handle *self = handle_of(port);
    (void)timeout;
    if (is_hurried(self))
        return TROUPE_UNAVAILABLE;
    for (size_t i = 0; i < SLOTS; i++) {
        uint64_t word = atomic_load(&self->table->words[i]);
        if (word == 0)
            continue;
        troupe_register found = {.incarnation = incarnation_of(word),
            .count = word >> 1 & ((UINT64_C(1) << COUNT_BITS) - 1),
            .revoked = (word & 1) != 0};
        /* One that never was raised has no lock yet, or a process that is about to raise it. */
        found.ended = found.count > 0 && has_ended(self, found.incarnation);
        on_register(user, &found);
    }
    *ret_run = 0;
    return TROUPE_OK;
}

/* ---- watching -------------------------------------------------------------------------------- */

/* Of an incarnation whose lock was closed. The kernel tells of it an instant before the lock is
 * free. */
static bool ends_now(folder_handle *self, uint64_t incarnation)
{
    char path[PATH_MAX_BYTES];
    path_of(self, path, "alive.", incarnation);
    for (int i = 0; i < ENDING_MS && access(path, F_OK) == 0; i++) {
        struct pollfd bell = {self->bell, POLLIN, 0};
        if (has_ended(self, incarnation))
            return true;
        if (poll(&bell, 1, 1) > 0)
            break;
    }
    return false;
}

/* What the kernel told of the folder. True: a holder has ended, or may have. */
static bool take_notes(folder_handle *self)
{
    _Alignas(struct inotify_event) char bytes[4096];
    static const char lock[] = "alive.";
    bool is_end = false;
    ssize_t size;
    while ((size = read(self->notify, bytes, sizeof bytes)) > 0) {
        const struct inotify_event *note;
        for (const char *at = bytes; at < bytes + size; at += sizeof *note + note->len) {
            note = (const struct inotify_event *)(const void *)at;
            if ((note->mask & IN_Q_OVERFLOW) != 0)
                is_end = true; /* notes were lost */
            if (is_end || (note->mask & IN_CLOSE_WRITE) == 0 || note->len == 0 ||
                strncmp(note->name, lock, sizeof lock - 1) != 0)
                continue;
            is_end = ends_now(self, strtoull(note->name + sizeof lock - 1, NULL, 10));
        }
    }
    return is_end;
}

/* Who holds a lock has its file open to write, so the kernel tells of its end as of any file's that
 * is closed after writing. */
static void watch_folder(folder_handle *self)
{
    self->notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (self->notify < 0 || inotify_add_watch(self->notify, self->folder,
                                IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE) >= 0)
        return;
    (void)close(self->notify); /* the system has no watch left: it is looked at more often */
    self->notify = -1;
}

static troupe_status watch(troupe_membership *port, uint64_t timeout, uint64_t number)
{
    folder_handle *self = handle_of(port);
    uint64_t end = self->host.now(self->host.context) + timeout;
    if (self->notify < 0)
        watch_folder(self);
    for (;;) {
        if (is_hurried(self))
            return TROUPE_UNAVAILABLE;
        if (newest(self) != number)
            return TROUPE_OK;
        uint64_t now = self->host.now(self->host.context);
        if (now >= end)
            return TROUPE_TIMEOUT;
        struct pollfd files[] = {{self->bell, POLLIN, 0}, {self->notify, POLLIN, 0}};
        uint64_t left = (end - now) / MILLISECOND + 1, most = self->notify >= 0 ? 1000 : 50;
        (void)poll(files, self->notify >= 0 ? 2 : 1, (int)(left < most ? left : most));
        if (self->notify >= 0 && take_notes(self))
            return TROUPE_OK;
    }
}

static void hurry(troupe_membership *port)
{
    folder_handle *self = handle_of(port);
    uint64_t one = 1;
    atomic_store_explicit(&self->hurried, true, memory_order_release);
    ssize_t written = write(self->bell, &one, sizeof one);
    (void)written; /* full: it rings already */
}

/* ---- opening --------------------------------------------------------------------------------- */

static void close_handle(troupe_membership *port)
{
    folder_handle *self = handle_of(port);
    if (self->table != NULL)
        (void)munmap(self->table, sizeof *self->table);
    const int files[] = {self->notify, self->bell, self->alive};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (files[i] >= 0)
            (void)close(files[i]);
    tp_release(self->host.allocator, self, sizeof *self);
}

/* A folder of ours alone: in /tmp anybody may have made one of that name. */
static bool make_folder(const char *path)
{
    struct stat info;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return false;
    if (stat(path, &info) != 0)
        return false;
    if (S_ISDIR(info.st_mode) && (info.st_uid == getuid() || getuid() == 0))
        return true;
    errno = EACCES;
    return false;
}

static bool find_folder(folder_handle *self, const char *place, const char *cluster)
{
    if (strchr(place, '/') != NULL) {
        int size = snprintf(self->folder, sizeof self->folder, "%s", place);
        return size < (int)sizeof self->folder && make_folder(self->folder);
    }
    const char *below = secure_getenv("XDG_RUNTIME_DIR");
    if (below == NULL || below[0] != '/')
        below = "/tmp";
    (void)snprintf(
        self->folder, sizeof self->folder, "%.200s/troupe-%u", below, (unsigned)getuid());
    if (!make_folder(self->folder))
        return false;
    size_t size = strlen(self->folder);
    (void)snprintf(self->folder + size, sizeof self->folder - size, "/%.64s-%.64s", cluster, place);
    return make_folder(self->folder);
}

static troupe_status map_table(folder_handle *self)
{
    char path[PATH_MAX_BYTES];
    (void)snprintf(path, sizeof path, "%s/registers", self->folder);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return fail(self, TROUPE_USAGE, "opening `registers`");
    struct stat info;
    int wrong = 0;
    if (fstat(file, &info) != 0 || info.st_size < (off_t)sizeof(table))
        wrong = posix_fallocate(file, 0, (off_t)sizeof(table));
    void *mapped = wrong == 0
                       ? mmap(NULL, sizeof(table), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)
                       : MAP_FAILED;
    (void)close(file);
    if (wrong != 0)
        errno = wrong;
    if (mapped == MAP_FAILED)
        return fail(self, TROUPE_UNAVAILABLE, "mapping `registers`");
    self->table = mapped;
    uint64_t none = 0;
    if (!atomic_compare_exchange_strong(&self->table->magic, &none, MAGIC) && none != MAGIC) {
        errno = EINVAL;
        return fail(self, TROUPE_USAGE, "`registers` is none of this version of Troupe");
    }
    return TROUPE_OK;
}

/* After a crash of the machine the header may be ahead of the folder. Nobody else is there then. */
static void mend_number(folder_handle *self)
{
    char path[PATH_MAX_BYTES];
    uint64_t noted = atomic_load(&self->table->number), number = noted;
    while (number > 0 && noted - number < KEPT) {
        path_of(self, path, "view.", number);
        if (access(path, F_OK) == 0)
            break;
        number--;
    }
    if (number < noted)
        (void)atomic_compare_exchange_strong(&self->table->number, &noted, number);
}

static troupe_status open_handle(folder_handle *self, const char *place, const char *cluster)
{
    if (!find_folder(self, place, cluster))
        return fail(self, TROUPE_USAGE, "making the folder (it must be this user's own)");
    TROUPE_TRY(map_table(self));
    mend_number(self);
    self->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return self->bell >= 0 ? TROUPE_OK : fail(self, TROUPE_UNAVAILABLE, "eventfd");
}

troupe_status tp_member_file_open(const troupe_membership_host *host, const char *url,
    const char *cluster, troupe_membership **ret_membership, char *error, size_t error_size)
{
    static const char scheme[] = "file:";
    const char *place = strncmp(url, scheme, sizeof scheme - 1) == 0 ? url + sizeof scheme - 1 : "";
    if (strncmp(place, "//", 2) == 0)
        place += 2;
    if (place[0] == '\0' || strlen(place) >= FOLDER_MAX || strchr(place, '?') != NULL) {
        (void)snprintf(error, error_size,
            "membership '%s': it is file:NAME, or file:/a/folder of at most %d bytes", url,
            FOLDER_MAX - 1);
        return TROUPE_USAGE;
    }
    folder_handle *self = tp_allocate_zeroed(host->allocator, sizeof *self);
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    self->host = *host;
    self->notify = self->bell = self->alive = -1;
    self->port = (troupe_membership){.size = sizeof self->port,
        .promises = self->promises,
        .read_view = read_view,
        .cas_view = cas_view,
        .raise = raise_register,
        .revoke = revoke_register,
        .read_registers = read_registers,
        .watch = watch,
        .hurry = hurry,
        .close = close_handle};
    troupe_status status = open_handle(self, place, cluster);
    if (status != TROUPE_OK) {
        (void)snprintf(error, error_size, "%s", self->port.error);
        close_handle(&self->port);
        return status;
    }
    (void)snprintf(self->promises, sizeof self->promises,
        "file %s: processes of this machine only; the dead are seen at once", self->folder);
    *ret_membership = &self->port;
    return TROUPE_OK;
}

const troupe_membership_provider tp_member_file_provider = {
    sizeof(troupe_membership_provider), TROUPE_API_NUMBER, "file", tp_member_file_open};
