/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forks the processes of the cluster. Each has a pair of sockets with the driver: a byte asks for a
 * report or for an end of the work, the end of the stream means that it is to stop. The index is
 * read before, so that all share its pages.
 *
 * Invariants: 1. A process holds the driver's end of no socket but the driver, so that the end of
 * the driver is seen by all. 2. A peer's first report is not asked for: it says that its node is
 * open, or why not.
 * Threads: main.
 */
#include "peers.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <troupe/cluster.h>
#include <unistd.h>

enum { REPORT_SECONDS = 60, MEMBERS_SECONDS = 30 };
enum { ASK = '?', HALT = '.' }; /* what the driver says: one byte */

/* ---- a peer ---------------------------------------------------------------------------------- */

bool peers_report(struct member *member, struct node_report *ret_report)
{
    *ret_report = (struct node_report){.stats = {.size = sizeof(ret_report->stats)}};
    ret_report->busy = atomic_load(&member->book.busy);
    ret_report->trouble = atomic_load(&member->book.trouble);
    return troupe_node_stats(member->node, &ret_report->stats) == TROUPE_OK ||
           member_fail(member, "no statistics");
}

static bool say(int socket, const struct node_report *report)
{
    return send(socket, report, sizeof(*report), MSG_NOSIGNAL) == sizeof(*report);
}

/* Until the driver closes its end. */
static void serve(int socket, struct member *member)
{
    struct node_report report;
    char word = ASK;
    do {
        if (word == HALT)
            (void)book_note(&member->book, TROUPE_CANCELLED);
        else if (!peers_report(member, &report) || !say(socket, &report))
            return;
    } while (recv(socket, &word, 1, 0) == 1);
}

static int be_peer(const struct peers *peers, uint32_t number, int socket)
{
    struct node_report report = {0};
    struct member member = {
        .options = peers->options, .error = report.error, .error_size = sizeof(report.error)};
    bool good = member_open(&member, number, peers->url);
    if (good)
        serve(socket, &member);
    else
        (void)say(socket, &report);
    member_close(&member);
    return good ? 0 : 1;
}

/* ---- the driver's signals -------------------------------------------------------------------- */

static void signals_that_end(sigset_t *ret_set)
{
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGINT);
    sigaddset(ret_set, SIGTERM);
}

bool peers_nap(struct peers *peers, struct member *driver, long milliseconds)
{
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    sigset_t set;
    if (peers->count == 0) {
        nanosleep(&time, NULL);
        return true;
    }
    signals_that_end(&set);
    return sigtimedwait(&set, NULL, &time) < 0 || member_fail(driver, "stopped by a signal");
}

/* ---- beginning ------------------------------------------------------------------------------- */

static bool begin_one(struct peers *peers, const sigset_t *mask)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return false;
    int pid = fork();
    if (pid < 0) {
        close(pair[0]);
        close(pair[1]);
        return false;
    }
    if (pid == 0) {
        for (uint32_t i = 0; i < peers->count; i++)
            close(peers->sockets[i]);
        close(pair[0]);
        setpgid(0, 0); /* Ctrl-C is for the driver */
        sigprocmask(SIG_SETMASK, mask, NULL);
        _exit(be_peer(peers, peers->count + 2, pair[1]));
    }
    close(pair[1]);
    const struct timeval limit = {.tv_sec = REPORT_SECONDS};
    (void)setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    peers->sockets[peers->count] = pair[0];
    peers->pids[peers->count++] = pid;
    return true;
}

bool peers_begin(struct peers *peers, struct member *driver)
{
    const char *place = getenv("TMPDIR");
    sigset_t set, before;
    int length = snprintf(peers->folder, sizeof(peers->folder), "%s/troupe-demo-XXXXXX",
        place != NULL && place[0] != '\0' ? place : "/tmp");
    if (length >= (int)sizeof(peers->folder) || mkdtemp(peers->folder) == NULL) {
        peers->folder[0] = '\0';
        return member_fail(driver, "no temporary folder");
    }
    snprintf(peers->url, sizeof(peers->url), "file:%s", peers->folder);
    signals_that_end(&set);
    sigprocmask(SIG_BLOCK, &set, &before);
    fflush(NULL); /* what is in buffers would be written by each process */
    for (uint32_t i = 1; i < peers->options->nodes; i++)
        if (!begin_one(peers, &before))
            return member_fail(driver, "node-%u does not start: %s", i + 1, strerror(errno));
    return true;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool hear(
    struct peers *peers, uint32_t peer, struct member *driver, struct node_report *ret_report)
{
    ssize_t size = recv(peers->sockets[peer], ret_report, sizeof(*ret_report), 0);
    bool ended = size == 0 || (size < 0 && errno == ECONNRESET); /* reset: a word was not read */
    if (size != sizeof(*ret_report))
        return member_fail(driver, "node-%u %s", peer + 2, ended ? "has ended" : "is silent");
    return ret_report->error[0] == '\0' ||
           member_fail(driver, "node-%u: %s", peer + 2, ret_report->error);
}

bool peers_ask(
    struct peers *peers, uint32_t peer, struct member *driver, struct node_report *ret_report)
{
    const char word = ASK;
    if (send(peers->sockets[peer], &word, 1, MSG_NOSIGNAL) != 1)
        return member_fail(driver, "node-%u has ended", peer + 2);
    return hear(peers, peer, driver, ret_report);
}

static void count_member(void *user, const troupe_cluster_member *member)
{
    uint32_t *count = user;
    if (strcmp(member->status, "active") == 0)
        (*count)++;
}

bool peers_wait(struct peers *peers, struct member *driver)
{
    struct node_report report;
    for (uint32_t i = 0; i < peers->count; i++)
        if (!hear(peers, i, driver, &report))
            return false;
    double begin = plain_clock();
    for (;;) {
        uint32_t members = 0;
        troupe_status status = troupe_cluster_nodes(driver->node, count_member, &members);
        if (status != TROUPE_OK)
            return member_fail(driver, "no members: %s", troupe_status_text(status));
        if (members == peers->count + 1)
            return true;
        if (plain_clock() - begin > MEMBERS_SECONDS)
            return member_fail(driver, "only %u nodes found each other", members);
        if (!peers_nap(peers, driver, 10))
            return false;
    }
}

/* ---- ending ---------------------------------------------------------------------------------- */

/* The run failed: the actors are to send no more, else a node that leaves waits for them. */
static void halt(struct peers *peers, struct member *driver)
{
    const char word = HALT;
    (void)book_note(&driver->book, TROUPE_CANCELLED);
    for (uint32_t i = 0; i < peers->count; i++)
        (void)send(peers->sockets[i], &word, 1, MSG_NOSIGNAL); /* it may have ended */
}

bool peers_end(struct peers *peers, struct member *driver)
{
    bool good = true;
    if (driver->error[0] != '\0')
        halt(peers, driver);
    for (uint32_t i = 0; i < peers->count; i++) {
        int status = 0;
        close(peers->sockets[i]);
        if (waitpid(peers->pids[i], &status, 0) != peers->pids[i] || status == 0)
            continue;
        if (good && driver->error[0] == '\0')
            (void)member_fail(driver, "node-%u ended with status %d", i + 2, status);
        good = false;
    }
    peers->count = 0;
    return good;
}

static int take_away(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

void peers_clean(struct peers *peers)
{
    if (peers->folder[0] != '\0')
        (void)nftw(peers->folder, take_away, 8, FTW_DEPTH | FTW_PHYS);
}
