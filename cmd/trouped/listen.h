/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin socket's file: makes its folder, takes the place of a dead daemon's socket and never of
 * a live one's, and says who called. Not the protocol.
 *
 * Invariants: 1. The socket has mode 0600 from its first moment. 2. A socket at which somebody
 * answers is left alone. 3. Only the socket that was made here is removed.
 * Threads: one.
 */
#ifndef TROUPED_LISTEN_H
#define TROUPED_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct listen_socket {
    int descriptor; /* listens */
    dev_t device;   /* of the file, for knowing it again */
    ino_t inode;
    const char *path;
} listen_socket;

/* False: `error` says what is wrong and what to do. `path` must outlive the socket. */
bool listen_open(listen_socket *socket, const char *path, char *error, size_t error_size);
/* Removes the file, unless another one has taken its place. The descriptor is left to its owner. */
void listen_remove(const listen_socket *socket);
/* Does the caller at the other end run as this user, or as root? */
bool listen_peer_is_allowed(int descriptor, uid_t *ret_uid);

#endif
