/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection between one who calls and the daemon, in clear or by TLS, that is waited for: over
 * the network, or a Unix socket that its caller has opened. Not what is said (admin_codec.h), nor
 * the daemon's loop, which reads its Unix socket by itself.
 *
 * Invariants: 1. By TLS both sides show a certificate that the other's authority signed; version
 * 1.3. That of the node is of the name that was called: else whoever has any certificate of the
 * authority could stand in a node's place. 2. Nothing waits longer than `patience` for the other
 * end, nor behind `until`; no signal ends a wait.
 * Threads: one at a time per stream.
 */
#ifndef CMD_SHARED_STREAM_H
#define CMD_SHARED_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cmd_tls cmd_tls; /* certificates that were read */

typedef struct cmd_tls_files {
    const char *certificate, *key, *authority; /* PEM; NULL or "": none */
} cmd_tls_files;

typedef struct cmd_stream {
    int descriptor;
    void *ssl;         /* NULL: clear text */
    uint64_t patience; /* ns without a byte until a read or a write gives up; 0: never */
    uint64_t until;    /* by cmd_stream_now: all of them give up then; 0: never */
    bool is_late;      /* one has given up */
} cmd_stream;

/* ns of the clock that only goes forward. */
uint64_t cmd_stream_now(void);

/* OK with `*ret_tls` NULL: there are no files. False: `error` names the option and the reason. */
bool cmd_tls_open(const cmd_tls_files *files, bool is_server, cmd_tls **ret_tls, char *error,
                  size_t error_size);
void cmd_tls_close(cmd_tls *tls);

/* `address` as host:port. False: `error` says why. The descriptors are the caller's. `until`: for
 * all addresses that the host has, which share the time; looking them up is not counted. */
bool cmd_address_connect(const char *address, uint64_t until, int *ret_descriptor, char *error,
                         size_t error_size);
/* `ret_is_local`: no other machine reaches it. */
bool cmd_address_listen(const char *address, int *ret_descriptor, bool *ret_is_local, char *error,
                        size_t error_size);
/* The host of such an address, without its brackets. False: it is none. */
bool cmd_address_host(const char *address, char *out, size_t size);
/* host:port of this end, and of the other. */
void cmd_address_print(int descriptor, char *out, size_t size);
void cmd_address_print_peer(int descriptor, char *out, size_t size);

#define CMD_TOKEN_MAX 256
/* What the file holds, without the end of its line. False: `error`. */
bool cmd_token_read(const char *path, char token[CMD_TOKEN_MAX + 1], char *error,
                    size_t error_size);

/* `stream` has its descriptor and how long it waits; cmd_stream_close closes it, in any case. `tls`
 * may be NULL. `called`: the name that the other side's certificate must have, a host or an address
 * of the Internet Protocol; NULL: the other side has called. Waits for the other side. */
bool cmd_stream_open(cmd_stream *stream, cmd_tls *tls, const char *called, char *error,
                     size_t error_size);
/* Up to `size` bytes; 0: it has ended, or was cut, or nothing came in time. */
size_t cmd_stream_read(cmd_stream *stream, void *data, size_t size);
bool cmd_stream_write(cmd_stream *stream, const void *data, size_t size);
void cmd_stream_close(cmd_stream *stream);

#endif
