/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A town on a real PostgreSQL server: the node is killed, the server is killed,
 * stands still, goes away, the line to it fails. Nothing answered is lost, nothing happens twice.
 *
 * Threads: the test's one.
 */
#include "served.h"
#include "tests/store/postgres_server.h"

#include "providers/postgres/postgres.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static postgres_server server;

static bool start(void *user)
{
    (void)user;
    return postgres_server_start(&server, "");
}

/* The number of a child process of this one that is a server's; 0: none. */
static pid_t find_orphan(void)
{
    char path[64], name[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *list = fopen(path, "r");
    int pid = 0;
    bool found = false;
    while (list != NULL && !found && fscanf(list, "%d", &pid) == 1) {
        snprintf(path, sizeof path, "/proc/%d/comm", pid);
        FILE *comm = fopen(path, "r");
        found = comm != NULL && fgets(name, sizeof name, comm) != NULL &&
                strcmp(name, "postgres\n") == 0;
        if (comm != NULL)
            fclose(comm);
    }
    if (list != NULL)
        fclose(list);
    return found ? pid : 0;
}

/* The first process dies, and the others, which become children of this one, with it: as long as
 * one lives the data are in use. */
static void crash(void *user)
{
    (void)user;
    server_end(&server.server, SIGKILL);
    for (pid_t pid = find_orphan(); pid != 0; pid = find_orphan()) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

static bool halt(void *user, bool halts)
{
    (void)user;
    return halts ? postgres_server_pause(&server) : postgres_server_continue(&server);
}

static int begin(void **state)
{
    static served self;
    self = (served){.name = "postgres",
        .server = &server.server,
        .start = start,
        .crash = crash,
        .halt = halt,
        .open = tp_postgres_open};
    if (!start(NULL) || !served_begin(&self))
        return -1;
    snprintf(self.socket, sizeof self.socket, "%s/.s.PGSQL.%d", server.server.folder, server.port);
    snprintf(self.cable, sizeof self.cable, "%s/.s.PGSQL.%d", self.folder.folder, server.port);
    postgres_server_url(&server, "", self.url, sizeof self.url);
    snprintf(self.cable_url, sizeof self.cable_url,
        "postgres:///postgres?host=%s&port=%d&user=postgres", self.folder.folder, server.port);
    *state = &self;
    return 0;
}

static int end(void **state)
{
    served_end(*state);
    postgres_server_remove(&server);
    return 0;
}

int main(int count, char **words)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    return served_main(count, words, begin, end);
}
