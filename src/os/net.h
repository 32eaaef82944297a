/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network part of the seam (env.h): byte streams between processes, each used on one runner's
 * thread. The real implementation is net.c (sockets polled by libuv); the simulated one is
 * testkit/world_net.c. Knows nothing of frames or sessions: those are wire/ and transport/.
 *
 * Invariants
 * 1. A stream's calls are made on its runner's thread, between steps of the runner, never inside
 * one; the runner is stepped after them. So they only enqueue.
 * 2. After `close` no call of that stream is made, and no buffer of its user is touched.
 * 3. Bytes arrive in the order written, each once, or the stream breaks.
 *
 * Threads: all functions on the runner's thread (in its step, or in a call), but for `attach`'s
 * socket, which any thread may carry from one runner to another.
 *
 * Bounded: one write per stream at a time. How many streams there are is their user's to limit.
 */
#ifndef TP_OS_NET_H
#define TP_OS_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "troupe/status.h"

struct tp_env;
struct tp_runner;
typedef struct tp_stream tp_stream;
typedef struct tp_listener tp_listener;

#define TP_ADDRESS_MAX 300 /* of an address in words: host:port, [v6]:port; with its 0 */

/* A connection that no runner has, on its way from one to another. */
typedef struct tp_socket {
    intptr_t handle;
} tp_socket;

/* What a stream tells its user. Any may be NULL but arrived and broken. */
typedef struct tp_stream_calls {
    /* A connect has succeeded: bytes may be written. */
    void (*opened)(void *user);
    /* The bytes are the env's, until the call returns; or they lie where `space` said. */
    void (*arrived)(void *user, const void *bytes, size_t size);
    /* The write that was under way is with the system. */
    void (*written)(void *user);
    /* The other side has ended it, or it could not be opened, or it broke: `why`, in words. The
     * last call of the stream; its user is to close it, now or later. */
    void (*broken)(void *user, const char *why);
    /* Where the next bytes are to be read to: `arrived` follows with them, or nothing does. NULL,
     * or when it is not there: wherever the env likes. */
    void *(*space)(void *user, size_t *ret_room);
} tp_stream_calls;

typedef struct tp_net {
    /* Binds and listens; `accepted` gets each connection, and attaches or drops it. Port 0: one
     * that is free. USAGE: not an address; UNAVAILABLE: in use, or not one of this machine; `error`
     * says which. */
    troupe_status (*listen)(struct tp_env *env, struct tp_runner *runner, const char *address,
        void (*accepted)(void *user, tp_socket socket), void *user, tp_listener **ret_listener,
        char *error, size_t error_size);
    /* The address in words, with the port that was taken. */
    void (*listener_address)(tp_listener *listener, char *out, size_t size);
    void (*listener_close)(tp_listener *listener);

    /* Begins to connect; ends by `opened` or `broken`. USAGE: not an address; NO_MEMORY,
     * UNAVAILABLE: then there is no stream. */
    troupe_status (*connect)(struct tp_env *env, struct tp_runner *runner, const char *address,
        const tp_stream_calls *calls, void *user, tp_stream **ret_stream);
    /* A connection becomes a stream of this runner. On failure the socket is dropped. */
    troupe_status (*attach)(struct tp_env *env, struct tp_runner *runner, tp_socket socket,
        const tp_stream_calls *calls, void *user, tp_stream **ret_stream);
    /* The stream ends here, its connection goes on. Nothing may be under way. */
    tp_socket (*detach)(tp_stream *stream);
    void (*drop)(struct tp_env *env, tp_socket socket); /* [any thread] */

    /* True: all bytes are with the system already. False: the buffer stays as it is until
     * `written`, and nothing else may be written before. Of a broken stream: false, and nothing
     * comes. */
    bool (*write)(tp_stream *stream, const void *bytes, size_t size);
    /* Nothing arrives while paused; what the other side sends waits with the systems, and in the
     * end with it. */
    void (*pause)(tp_stream *stream, bool pause);
    void (*peer)(tp_stream *stream, char *out, size_t size); /* its address, in words */
    void (*close)(tp_stream *stream);                        /* NULL is a no-op */
} tp_net;

/* [any thread, real machines only] A socket that listens, for a library that accepts by itself: it
 * does not block, and no child inherits it. As `listen`. */
TROUPE_CHECK troupe_status tp_net_bind(
    const char *address, tp_socket *ret_socket, char *error, size_t error_size);
/* Its address in words, with the port that was taken. */
void tp_net_bound(tp_socket socket, char *out, size_t size);
/* So many connections may such a library have: what this process may open, less what the rest of it
 * is left (TP_NET_SPARE, or half). */
uint64_t tp_net_room(void);
#define TP_NET_SPARE 256
/* Which of these connections has the other side ended, or broken? At most TP_NET_GLANCE. Does not
 * wait. */
#define TP_NET_GLANCE 64
void tp_net_ended(const tp_socket *sockets, size_t count, bool *ret_ended);

#endif
