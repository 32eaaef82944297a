/* SPDX-License-Identifier: Apache-2.0 */
/* The admin socket's file: see listen.h, also for invariants and threads. */
#include "trouped/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A folder that others may write to would let them put their own socket there. */
static bool check_folder(const char *folder, char *error, size_t error_size)
{
    struct stat status;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        snprintf(error, error_size, "cannot make the folder %s: %s; choose a place by --socket",
                 folder, strerror(errno));
        return false;
    }
    if (stat(folder, &status) != 0 || !S_ISDIR(status.st_mode)) {
        snprintf(error, error_size, "%s is no folder; choose another place by --socket", folder);
        return false;
    }
    bool is_sticky = (status.st_mode & S_ISVTX) != 0;
    bool is_ours = status.st_uid == geteuid() || status.st_uid == 0;
    if (!is_ours || ((status.st_mode & 0022) != 0 && !is_sticky)) {
        snprintf(error, error_size, "the folder %s belongs to somebody else or can be written by "
                 "others; choose another place by --socket", folder);
        return false;
    }
    return true;
}

static bool split_folder(const char *path, char folder[108])
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        snprintf(folder, 108, ".");
    } else if (slash == path) {
        snprintf(folder, 108, "/");
    } else {
        int length = snprintf(folder, 108, "%.*s", (int)(slash - path), path);
        return length < 108;
    }
    return true;
}

/* Takes away a socket at which nobody answers any more. */
static bool clear_place(const struct sockaddr_un *address, char *error, size_t error_size)
{
    const char *path = address->sun_path;
    struct stat status;
    if (lstat(path, &status) != 0) return true; /* bind reports anything but absence */
    if (!S_ISSOCK(status.st_mode)) {
        snprintf(error, error_size, "%s is there and no socket; remove it, or choose another "
                 "place by --socket", path);
        return false;
    }
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) {
        snprintf(error, error_size, "no socket: %s", strerror(errno));
        return false;
    }
    int result = connect(probe, (const struct sockaddr *)address, sizeof(*address));
    int reason = errno;
    close(probe);
    if (result == 0 || reason == EAGAIN) {
        snprintf(error, error_size, "a node answers at %s already; stop it (troupe --socket %s "
                 "shutdown), or choose another place by --socket", path, path);
        return false;
    }
    if (reason != ECONNREFUSED || unlink(path) != 0) {
        snprintf(error, error_size, "%s is there and cannot be replaced: %s", path,
                 strerror(reason != ECONNREFUSED ? reason : errno));
        return false;
    }
    return true;
}

static bool bind_there(listen_socket *self, const struct sockaddr_un *address, char *error,
                       size_t error_size)
{
    struct stat status;
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) {
        snprintf(error, error_size, "no socket: %s", strerror(errno));
        return false;
    }
    mode_t mask = umask(0177);
    int result = bind(descriptor, (const struct sockaddr *)address, sizeof(*address));
    int reason = errno;
    umask(mask);
    if (result != 0 || lstat(address->sun_path, &status) != 0) {
        snprintf(error, error_size, "cannot make the socket %s: %s", address->sun_path,
                 strerror(result != 0 ? reason : errno));
        close(descriptor);
        return false;
    }
    self->descriptor = descriptor;
    self->device = status.st_dev;
    self->inode = status.st_ino;
    return true;
}

bool listen_open(listen_socket *self, const char *path, char *error, size_t error_size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char folder[108];
    if (strlen(path) >= sizeof(address.sun_path) || !split_folder(path, folder)) {
        snprintf(error, error_size, "the path of the socket is longer than %zu bytes: choose a "
                 "shorter one by --socket", sizeof(address.sun_path) - 1);
        return false;
    }
    memcpy(address.sun_path, path, strlen(path));
    if (!check_folder(folder, error, error_size)) return false;

    /* Two daemons that start at once must not each take the other's socket for a dead one. */
    int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0 || flock(lock, LOCK_EX) != 0) {
        snprintf(error, error_size, "cannot lock the folder %s: %s", folder, strerror(errno));
        if (lock >= 0) close(lock);
        return false;
    }
    bool is_open = clear_place(&address, error, error_size) &&
                   bind_there(self, &address, error, error_size);
    /* The place is taken when somebody could connect. */
    if (is_open && listen(self->descriptor, 64) != 0) {
        snprintf(error, error_size, "cannot listen at %s: %s", path, strerror(errno));
        unlink(path);
        close(self->descriptor);
        is_open = false;
    }
    close(lock);
    self->path = path;
    return is_open;
}

void listen_remove(const listen_socket *self)
{
    struct stat status;
    if (lstat(self->path, &status) != 0) return;
    if (status.st_dev == self->device && status.st_ino == self->inode) unlink(self->path);
}

bool listen_peer_is_allowed(int descriptor, uid_t *ret_uid)
{
    struct ucred peer = {0};
    socklen_t size = sizeof(peer);
    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
    *ret_uid = peer.uid;
    return peer.uid == geteuid() || peer.uid == 0;
}
