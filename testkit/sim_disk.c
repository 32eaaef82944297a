/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk of sim_disk.h: files as two images, what reads see (`now`) and what a power failure
 * leaves for certain (`safe`), and the changes from one to the other that were not synced. Called
 * by SQLite through the vfs, and by tests.
 *
 * The vfs has no shared memory, so SQLite takes WAL only with locking_mode EXCLUSIVE: one
 * connection, as the provider has it.
 *
 * Threads: as sim_disk.h.
 */
#include "testkit/sim_disk.h"

#include "base/assert.h"
#include "base/prng.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512u
#define FILES  16
#define NAME   256

typedef struct image {
    unsigned char *data;
    size_t size;
    size_t capacity;
} image;

typedef struct change {
    struct change *next;
    bool is_cut; /* to `size` bytes; else `size` bytes at `offset` */
    size_t offset;
    size_t size;
    unsigned char data[];
} change;

typedef struct disk_file {
    char name[NAME]; /* empty: the seat is free */
    bool is_now;
    bool is_safe; /* its name is */
    image now;
    image safe;
    change *first, **last;
    unsigned shared; /* handles with a lock */
    void *owner;     /* the handle that has more than a shared lock */
} disk_file;

struct tp_sim_disk {
    sqlite3_vfs vfs;
    char name[40];
    tp_prng prng;
    tp_sim_disk_plan plan;
    uint64_t changes;
    uint64_t planned; /* of them since the plan was set */
    unsigned life; /* grows with each crash */
    bool is_down;
    bool is_spared;
    disk_file files[FILES];
};

typedef struct handle {
    sqlite3_file file;
    tp_sim_disk *disk;
    disk_file *of;
    unsigned life;
    int level;
    bool goes;         /* deleted on close */
    bool syncs_folder; /* with its first sync, as the system's vfs does for new logs and journals */
} handle;

/* ---- images -------------------------------------------------------------------------------- */

static void fit(image *self, size_t size)
{
    if (size > self->capacity) {
        size_t capacity = self->capacity != 0 ? self->capacity : 4096;
        while (capacity < size)
            capacity *= 2;
        self->data = realloc(self->data, capacity);
        TP_ASSERT(self->data != NULL);
        self->capacity = capacity;
    }
    if (size > self->size)
        memset(self->data + self->size, 0, size - self->size);
    self->size = size;
}

static void put(image *self, size_t offset, const void *data, size_t size)
{
    if (offset + size > self->size)
        fit(self, offset + size);
    memcpy(self->data + offset, data, size);
}

/* The part of a change that is in one sector, or all of it. */
static void apply(image *self, const change *what, size_t offset, size_t size)
{
    if (what->is_cut) {
        if (what->size < self->size)
            fit(self, what->size);
    } else {
        put(self, offset, what->data + (offset - what->offset), size);
    }
}

static void forget(disk_file *self)
{
    while (self->first != NULL) {
        change *gone = self->first;
        self->first = gone->next;
        free(gone);
    }
    self->last = &self->first;
}

static void make_safe(disk_file *self)
{
    for (const change *what = self->first; what != NULL; what = what->next)
        apply(&self->safe, what, what->offset, what->size);
    forget(self);
}

/* Each sector of each change with the chance `kept` of 8. */
static void make_partly_safe(tp_sim_disk *disk, disk_file *self, uint64_t kept)
{
    for (const change *what = self->first; what != NULL; what = what->next) {
        size_t at = what->offset, end = what->offset + what->size;
        if (what->is_cut) {
            if (tp_prng_chance(&disk->prng, kept, 8))
                apply(&self->safe, what, 0, 0);
            continue;
        }
        while (at < end) {
            size_t next = (at / SECTOR + 1) * SECTOR;
            next = next < end ? next : end;
            if (tp_prng_chance(&disk->prng, kept, 8))
                apply(&self->safe, what, at, next - at);
            at = next;
        }
    }
    forget(self);
}

static void keep_change(disk_file *self, bool is_cut, size_t offset, const void *data, size_t size)
{
    change *made = malloc(sizeof *made + (is_cut ? 0 : size));
    TP_ASSERT(made != NULL);
    *made = (change){.is_cut = is_cut, .offset = offset, .size = size};
    if (!is_cut)
        memcpy(made->data, data, size);
    *self->last = made;
    self->last = &made->next;
}

/* ---- files --------------------------------------------------------------------------------- */

static disk_file *find_file(tp_sim_disk *disk, const char *name)
{
    for (size_t i = 0; i < FILES; i++)
        if (disk->files[i].name[0] != '\0' && strcmp(disk->files[i].name, name) == 0)
            return &disk->files[i];
    return NULL;
}

static void remove_file(disk_file *self)
{
    forget(self);
    free(self->now.data);
    free(self->safe.data);
    *self = (disk_file){.last = &self->first};
}

static disk_file *make_file(tp_sim_disk *disk, const char *name)
{
    for (size_t i = 0; i < FILES; i++) {
        disk_file *self = &disk->files[i];
        if (self->name[0] != '\0')
            continue;
        *self = (disk_file){.last = &self->first, .is_now = true};
        TP_ASSERT(strlen(name) < NAME);
        memcpy(self->name, name, strlen(name) + 1);
        return self;
    }
    return NULL;
}

/* Names are made and removed for certain with the folder only. */
static void sync_folder(tp_sim_disk *disk)
{
    for (size_t i = 0; i < FILES; i++) {
        disk_file *self = &disk->files[i];
        self->is_safe = self->is_now;
        if (self->name[0] != '\0' && !self->is_now)
            remove_file(self);
    }
}

/* What becomes of the change at hand. */
typedef enum fate { FATE_DONE, FATE_FAILS, FATE_DONE_BUT_FAILS } fate;

static fate next_change(tp_sim_disk *disk)
{
    if (disk->is_down)
        return FATE_FAILS;
    if (disk->is_spared)
        return FATE_DONE;
    disk->changes++;
    disk->planned++;
    fate failing = tp_prng_chance(&disk->prng, 1, 2) ? FATE_FAILS : FATE_DONE_BUT_FAILS;
    if (disk->plan.crash_at != 0 && disk->planned >= disk->plan.crash_at) {
        disk->is_down = true;
        return failing;
    }
    return tp_prng_chance(&disk->prng, disk->plan.errors, 1024) ? failing : FATE_DONE;
}

static bool is_dead(const handle *self)
{
    return self->disk->is_down || self->life != self->disk->life;
}

/* Who is spared still sees what the machine saw last. */
static bool is_unreadable(const handle *self)
{
    return self->disk->is_spared ? self->life != self->disk->life : is_dead(self);
}

/* ---- a file as SQLite sees it -------------------------------------------------------------- */

static int file_unlock(sqlite3_file *file, int level)
{
    handle *self = (handle *)file;
    if (self->life == self->disk->life) {
        if (self->level > SQLITE_LOCK_SHARED && level <= SQLITE_LOCK_SHARED)
            self->of->owner = NULL;
        if (self->level >= SQLITE_LOCK_SHARED && level == SQLITE_LOCK_NONE)
            self->of->shared--;
    }
    self->level = level;
    return SQLITE_OK;
}

static int file_lock(sqlite3_file *file, int level)
{
    handle *self = (handle *)file;
    disk_file *of = self->of;
    if (is_unreadable(self))
        return SQLITE_IOERR_LOCK;
    if (level <= self->level)
        return SQLITE_OK;
    bool is_other = of->owner != NULL && of->owner != self;
    bool has_company = of->shared > (self->level >= SQLITE_LOCK_SHARED ? 1u : 0u);
    if (is_other || (level == SQLITE_LOCK_EXCLUSIVE && has_company))
        return SQLITE_BUSY;
    if (self->level == SQLITE_LOCK_NONE)
        of->shared++;
    if (level > SQLITE_LOCK_SHARED)
        of->owner = self;
    self->level = level;
    return SQLITE_OK;
}

static int file_is_reserved(sqlite3_file *file, int *ret_is)
{
    *ret_is = ((handle *)file)->of->owner != NULL;
    return SQLITE_OK;
}

static int file_close(sqlite3_file *file)
{
    handle *self = (handle *)file;
    (void)file_unlock(file, SQLITE_LOCK_NONE);
    if (self->goes && self->life == self->disk->life)
        remove_file(self->of);
    self->file.pMethods = NULL;
    return SQLITE_OK;
}

static int file_read(sqlite3_file *file, void *out, int size, sqlite3_int64 offset)
{
    const handle *self = (const handle *)file;
    if (is_unreadable(self))
        return SQLITE_IOERR_READ;
    const image *now = &self->of->now;
    size_t at = (size_t)offset, wanted = (size_t)size;
    size_t there = at < now->size ? now->size - at : 0;
    if (there > wanted)
        there = wanted;
    if (there != 0)
        memcpy(out, now->data + at, there);
    memset((char *)out + there, 0, wanted - there);
    return there == wanted ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
    handle *self = (handle *)file;
    tp_sim_disk *disk = self->disk;
    size_t length = (size_t)size, at = (size_t)offset;
    if (is_dead(self))
        return SQLITE_IOERR_WRITE;
    int code = SQLITE_OK;
    fate lot = next_change(disk);
    if (lot != FATE_DONE) { /* a part of it is written, from the beginning on, or all */
        code = SQLITE_IOERR_WRITE;
        if (lot == FATE_FAILS)
            length = (size_t)tp_prng_below(&disk->prng, length + 1);
    }
    size_t more = at + length > self->of->now.size ? at + length - self->of->now.size : 0;
    uint64_t used = tp_sim_disk_bytes(disk);
    if (disk->plan.room != 0 && more != 0 && !disk->is_spared && used + more > disk->plan.room) {
        size_t left = disk->plan.room > used ? (size_t)(disk->plan.room - used) : 0;
        length = length - more + left;
        code = SQLITE_FULL;
    }
    if (length != 0) {
        put(&self->of->now, at, data, length);
        keep_change(self->of, false, at, data, length);
    }
    return code;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    handle *self = (handle *)file;
    if (is_dead(self))
        return SQLITE_IOERR_TRUNCATE;
    fate lot = next_change(self->disk);
    if (lot != FATE_FAILS && (size_t)size < self->of->now.size) {
        fit(&self->of->now, (size_t)size);
        keep_change(self->of, true, 0, NULL, (size_t)size);
    }
    return lot == FATE_DONE ? SQLITE_OK : SQLITE_IOERR_TRUNCATE;
}

static int file_sync(sqlite3_file *file, int flags)
{
    handle *self = (handle *)file;
    tp_sim_disk *disk = self->disk;
    (void)flags;
    if (is_dead(self))
        return SQLITE_IOERR_FSYNC;
    if (disk->plan.delay != 0 && !disk->is_spared) {
        uint64_t delay = tp_prng_below(&disk->prng, disk->plan.delay);
        if (disk->plan.wait != NULL)
            disk->plan.wait(disk->plan.user, delay);
    }
    fate lot = next_change(disk);
    if (lot == FATE_FAILS && !disk->is_down)
        make_partly_safe(disk, self->of, tp_prng_below(&disk->prng, 9));
    if (lot != FATE_FAILS && !disk->plan.lies) {
        make_safe(self->of);
        if (self->syncs_folder)
            sync_folder(disk);
        self->syncs_folder = false;
    }
    return lot == FATE_DONE ? SQLITE_OK : SQLITE_IOERR_FSYNC;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    const handle *self = (const handle *)file;
    if (is_dead(self))
        return SQLITE_IOERR_FSTAT;
    *ret_size = (sqlite3_int64)self->of->now.size;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *file, int what, void *with)
{
    (void)file;
    (void)what;
    (void)with;
    return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *file)
{
    (void)file;
    return (int)SECTOR;
}

static int file_traits(sqlite3_file *file)
{
    (void)file;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* ---- the vfs ------------------------------------------------------------------------------- */

static int disk_open(
    sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    static const sqlite3_io_methods methods = {.iVersion = 1,
        .xClose = file_close,
        .xRead = file_read,
        .xWrite = file_write,
        .xTruncate = file_truncate,
        .xSync = file_sync,
        .xFileSize = file_size,
        .xLock = file_lock,
        .xUnlock = file_unlock,
        .xCheckReservedLock = file_is_reserved,
        .xFileControl = file_control,
        .xSectorSize = file_sector,
        .xDeviceCharacteristics = file_traits};
    tp_sim_disk *disk = vfs->pAppData;
    handle *self = (handle *)file;
    memset(self, 0, sizeof *self);
    if (disk->is_down)
        return SQLITE_CANTOPEN;
    char own[NAME];
    if (name == NULL) {
        (void)snprintf(own, sizeof own, "temporary-%llu", (unsigned long long)disk->changes++);
        name = own;
    }
    disk_file *of = find_file(disk, name);
    bool is_new = of == NULL || !of->is_now;
    if (is_new) {
        if ((flags & SQLITE_OPEN_CREATE) == 0 || next_change(disk) != FATE_DONE)
            return SQLITE_CANTOPEN;
        if (of == NULL)
            of = make_file(disk, name);
        if (of == NULL)
            return SQLITE_CANTOPEN;
        of->is_now = true;
    }
    *self = (handle){.file.pMethods = &methods,
        .disk = disk,
        .of = of,
        .life = disk->life,
        .syncs_folder = is_new && (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL)) != 0,
        .goes = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0};
    if (ret_flags != NULL)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int disk_delete(sqlite3_vfs *vfs, const char *name, int with_folder)
{
    tp_sim_disk *disk = vfs->pAppData;
    disk_file *of = find_file(disk, name);
    if (disk->is_down)
        return SQLITE_IOERR_DELETE;
    if (of == NULL || !of->is_now)
        return SQLITE_IOERR_DELETE_NOENT;
    fate lot = next_change(disk);
    if (lot != FATE_FAILS) {
        of->is_now = false;
        of->now.size = 0;
        keep_change(of, true, 0, NULL, 0);
        if (with_folder != 0)
            sync_folder(disk);
    }
    return lot == FATE_DONE ? SQLITE_OK : SQLITE_IOERR_DELETE;
}

static int disk_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret_is)
{
    tp_sim_disk *disk = vfs->pAppData;
    const disk_file *of = find_file(disk, name);
    (void)flags;
    if (disk->is_down)
        return SQLITE_IOERR_ACCESS;
    *ret_is = of != NULL && of->is_now;
    return SQLITE_OK;
}

static int disk_path(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
    (void)vfs;
    return snprintf(out, (size_t)size, "%s", name) < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int disk_randomness(sqlite3_vfs *vfs, int size, char *out)
{
    tp_sim_disk *disk = vfs->pAppData;
    for (int i = 0; i < size; i++)
        out[i] = (char)tp_prng_next(&disk->prng);
    return size;
}

static int disk_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    return microseconds;
}

static int disk_time(sqlite3_vfs *vfs, double *ret_days)
{
    (void)vfs;
    *ret_days = 2460000.5;
    return SQLITE_OK;
}

static int disk_error(sqlite3_vfs *vfs, int size, char *out)
{
    (void)vfs;
    (void)size;
    (void)out;
    return 0;
}

/* ---- for tests ----------------------------------------------------------------------------- */

tp_sim_disk *tp_sim_disk_create(uint64_t seed)
{
    tp_sim_disk *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    tp_prng_seed(&self->prng, seed);
    (void)snprintf(self->name, sizeof self->name, "sim-disk-%p", (void *)self);
    for (size_t i = 0; i < FILES; i++)
        self->files[i].last = &self->files[i].first;
    self->vfs = (sqlite3_vfs){.iVersion = 1,
        .szOsFile = (int)sizeof(handle),
        .mxPathname = NAME - 1,
        .zName = self->name,
        .pAppData = self,
        .xOpen = disk_open,
        .xDelete = disk_delete,
        .xAccess = disk_access,
        .xFullPathname = disk_path,
        .xRandomness = disk_randomness,
        .xSleep = disk_sleep,
        .xCurrentTime = disk_time,
        .xGetLastError = disk_error};
    if (sqlite3_vfs_register(&self->vfs, 0) != SQLITE_OK) {
        free(self);
        return NULL;
    }
    return self;
}

void tp_sim_disk_destroy(tp_sim_disk *disk)
{
    if (disk == NULL)
        return;
    (void)sqlite3_vfs_unregister(&disk->vfs);
    for (size_t i = 0; i < FILES; i++)
        remove_file(&disk->files[i]);
    free(disk);
}

const char *tp_sim_disk_name(const tp_sim_disk *disk)
{
    return disk->name;
}

void tp_sim_disk_set(tp_sim_disk *disk, const tp_sim_disk_plan *plan)
{
    disk->plan = *plan;
    disk->planned = 0;
}

bool tp_sim_disk_is_down(const tp_sim_disk *disk)
{
    return disk->is_down;
}

void tp_sim_disk_crash(tp_sim_disk *disk)
{
    static const uint64_t parts[] = {0, 1, 4, 4, 7, 8};
    uint64_t kept = parts[tp_prng_below(&disk->prng, sizeof parts / sizeof parts[0])];
    for (size_t i = 0; i < FILES; i++) {
        disk_file *self = &disk->files[i];
        if (self->name[0] == '\0')
            continue;
        if (self->is_now != self->is_safe)
            self->is_safe = tp_prng_chance(&disk->prng, 1, 2);
        make_partly_safe(disk, self, kept);
        self->is_now = self->is_safe;
        self->shared = 0;
        self->owner = NULL;
        if (!self->is_now) {
            remove_file(self);
            continue;
        }
        self->now.size = 0;
        fit(&self->now, self->safe.size);
        if (self->safe.size != 0)
            memcpy(self->now.data, self->safe.data, self->safe.size);
    }
    disk->life++;
    disk->is_down = false;
    disk->plan.crash_at = 0;
}

void tp_sim_disk_kill(tp_sim_disk *disk)
{
    for (size_t i = 0; i < FILES; i++) {
        disk->files[i].shared = 0;
        disk->files[i].owner = NULL;
    }
    disk->life++;
    disk->plan.crash_at = 0;
}

void tp_sim_disk_spare(tp_sim_disk *disk, bool spared)
{
    disk->is_spared = spared;
}

uint64_t tp_sim_disk_bytes(const tp_sim_disk *disk)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < FILES; i++)
        bytes += disk->files[i].now.size;
    return bytes;
}

bool tp_sim_disk_damage(tp_sim_disk *disk, const char *path, uint64_t offset, size_t size)
{
    disk_file *of = find_file(disk, path);
    if (of == NULL || offset + size > of->now.size)
        return false;
    make_safe(of);
    for (size_t i = 0; i < size; i++) {
        of->now.data[offset + i] ^= 0xFF;
        of->safe.data[offset + i] ^= 0xFF;
    }
    return true;
}
