/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts and stops a PostgreSQL server for a test; see the header.
 *
 * Threads: the test's one.
 */
#include "postgres_server.h"

#include <glob.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool find_programs(postgres_server *self)
{
    glob_t found;
    if (glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) != 0) {
        fprintf(stderr, "FAILED: PostgreSQL is not installed (make deps-test)\n");
        return false;
    }
    const char *newest = found.gl_pathv[found.gl_pathc - 1];
    snprintf(self->programs, sizeof self->programs, "%.*s", (int)(strrchr(newest, '/') - newest),
        newest);
    globfree(&found);
    if (getuid() != 0)
        return true;
    const struct passwd *user = getpwnam("postgres");
    if (user == NULL) {
        fprintf(stderr, "FAILED: PostgreSQL refuses root, and there is no user postgres\n");
        return false;
    }
    self->server.user = user->pw_uid;
    self->server.group = user->pw_gid;
    return true;
}

static bool put_file(
    const postgres_server *self, const char *name, const char *how, const char *text)
{
    char path[SERVER_PATH + 32];
    snprintf(path, sizeof path, "%s/data/%s", self->server.folder, name);
    FILE *file = fopen(path, how);
    if (file == NULL)
        return false;
    bool put = fputs(text, file) >= 0;
    return fclose(file) == 0 && put;
}

static bool make(postgres_server *self)
{
    char program[SERVER_PATH + 16];
    if (!find_programs(self))
        return false;
    snprintf(program, sizeof program, "%s/initdb", self->programs);
    const char *const argv[] = {program, "-D", "data", "-U", "postgres", "-A", "trust", "-E",
        "UTF8", "--locale=C", "--no-sync", "--no-instructions", NULL};
    return server_make_folder(&self->server, "postgres") && server_run(&self->server, argv) == 0 &&
           put_file(self, "pg_hba.conf", "w",
               "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n");
}

/* Its own word: the socket is there before the recovery is over. */
static bool is_ready(void *user)
{
    postgres_server *self = user;
    char path[SERVER_PATH + 32], text[512];
    snprintf(path, sizeof path, "%s/data/postmaster.pid", self->server.folder);
    FILE *file = fopen(path, "r");
    size_t size = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file != NULL)
        fclose(file);
    text[size] = '\0';
    int pid = 0;
    return sscanf(text, "%d", &pid) == 1 && pid == self->server.pid &&
           strstr(text, "ready") != NULL;
}

static void show_log(const postgres_server *self)
{
    char path[SERVER_PATH + 8], line[512];
    snprintf(path, sizeof path, "%s/log", self->server.folder);
    FILE *log = fopen(path, "r");
    while (log != NULL && fgets(line, sizeof line, log) != NULL)
        fputs(line, stderr);
    if (log != NULL)
        fclose(log);
}

bool postgres_server_start(postgres_server *self, const char *settings)
{
    char text[1024], program[SERVER_PATH + 16];
    if (self->server.folder[0] == '\0' && !make(self)) {
        show_log(self);
        return false;
    }
    if (self->port == 0)
        self->port = server_free_port();
    snprintf(text, sizeof text,
        "\nlisten_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = '%s'\n"
        "logging_collector = off\nautovacuum_naptime = 1s\n%s\n",
        self->port, self->server.folder, settings);
    snprintf(program, sizeof program, "%s/postgres", self->programs);
    const char *const argv[] = {program, "-D", "data", NULL};
    if (put_file(self, "postgresql.conf", "a", text) && server_start(&self->server, argv) &&
        server_await(is_ready, self, 60))
        return true;
    show_log(self);
    return false;
}

/* To its sessions, each a process of its own; false: they are not known. */
static bool signal_sessions(const postgres_server *self, int signal)
{
    char path[64];
    int pid;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", self->server.pid, self->server.pid);
    FILE *children = fopen(path, "r");
    if (children == NULL)
        return false;
    while (fscanf(children, "%d", &pid) == 1)
        kill(pid, signal);
    fclose(children);
    return true;
}

bool postgres_server_pause(postgres_server *self)
{
    return server_pause(&self->server) && signal_sessions(self, SIGSTOP);
}

bool postgres_server_continue(postgres_server *self)
{
    return signal_sessions(self, SIGCONT) && server_continue(&self->server);
}

void postgres_server_stop(postgres_server *self)
{
    server_end(&self->server, SIGINT); /* "fast" */
}

void postgres_server_remove(postgres_server *self)
{
    server_end(&self->server, SIGQUIT);
    server_remove_folder(&self->server);
}

void postgres_server_url(const postgres_server *self, const char *options, char *url, size_t size)
{
    snprintf(url, size, "postgres:///postgres?host=%s&port=%d&user=postgres%s%s",
        self->server.folder, self->port, options[0] != '\0' ? "&" : "", options);
}
