/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real servers for tests: each in a folder of its own, started and stopped by its number, and
 * killed by the kernel should the test die first. No server of the machine is touched. For the
 * tests of providers.
 *
 * Invariants: nothing here waits for a time to pass; it waits until something is so, with a
 * deadline that ends the test. Threads: the test's one.
 */
#ifndef TEST_STORE_SERVERS_H
#define TEST_STORE_SERVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SERVER_PATH = 200 };

typedef struct test_server {
    pid_t pid; /* 0: does not run */
    char folder[SERVER_PATH];
    uid_t user; /* who runs it and owns the folder; 0: who runs the test */
    gid_t group;
} test_server;

/* Path of a program; false: it is not installed. `elsewhere` (may be NULL): a folder besides PATH.
 */
bool server_find(const char *program, const char *elsewhere, char *out, size_t size);
/* A new folder below the temporary one. */
bool server_make_folder(test_server *self, const char *name);
/* Removes it with all that is in it. */
void server_remove_folder(test_server *self);
/* A port of 127.0.0.1 that nobody uses now. */
int server_free_port(void);

/* A listener that lets others connect and never says a word; -1: none. The caller closes it. */
int server_listen_mute(int *ret_port);

/* Starts argv[0]; what it says goes to `log` in the folder. */
bool server_start(test_server *self, const char *const *argv);
/* Ends it by `signal`, and by SIGKILL if that takes 20 s. Returns when it is gone. No-op: not
 * running. */
void server_end(test_server *self, int signal);
/* Returns when it stands still. */
bool server_pause(test_server *self);
bool server_continue(test_server *self);
/* Runs a program to its end as the server's user; its exit code, -1: none. */
int server_run(test_server *self, const char *const *argv);

/* Asks again and again; false after `seconds`. */
bool server_await(bool (*is_so)(void *user), void *user, int seconds);

#endif
