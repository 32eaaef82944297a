/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two nodes in two processes. A nursery is forked while the program has one thread, and forks the
 * second processes, since a program with threads is not forked safely.
 *
 * Invariants: see pair.h. Threads: one in the nursery; those of a node in each of the others.
 */
#include "pair.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct order {
    char type[32], key[32];
} order;

static bool read_all(int from, void *bytes, size_t size)
{
    for (char *at = bytes; size > 0;) {
        ssize_t got = read(from, at, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t)got;
    }
    return true;
}

static troupe_node *open_node(const tp_pair *pair, const char *name, char *error, size_t size)
{
    char url[TP_PAIR_FOLDER + 8];
    troupe_node *node = NULL;
    snprintf(url, sizeof url, "file:%s", pair->folder);
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .name = name, .cluster = url, .shards = 1,
        .log = "error", .spin = pair->spin};
    troupe_status status =
        troupe_node_open_explained(&options, pair->types, pair->type_count, &node, error, size);
    return status == TROUPE_OK ? node : NULL;
}

/* The second process. */
static void be_peer(const tp_pair *pair, const order *what, int news)
{
    char error[200] = "", name[32];
    pid_t pid = getpid();
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    tp_bench_pin(1);
    snprintf(name, sizeof name, "peer-%d", (int)pid);
    troupe_node *node = open_node(pair, name, error, sizeof error);
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = node != NULL ? troupe_node_ask(node, troupe_id_of(what->type, what->key),
                                              "place", (troupe_slice){NULL, 0}, NULL, &answer)
                                        : TROUPE_FAILED;
    if (status != TROUPE_OK) {
        fprintf(stderr, "bench: the second node: %s %s\n", troupe_status_name(status), error);
        pid = 0;
    }
    if (write(news, &pid, sizeof pid) == (ssize_t)sizeof pid && pid != 0)
        for (;;)
            pause();
    _exit(1);
}

static void be_nursery(const tp_pair *pair, int orders, int news)
{
    order what;
    pid_t child = -1;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (read_all(orders, &what, sizeof what)) {
        if (child > 0)
            (void)waitpid(child, NULL, 0); /* it was killed */
        child = fork();
        if (child == 0)
            be_peer(pair, &what, news);
    }
    if (child > 0)
        kill(child, SIGKILL);
    _exit(0);
}

bool tp_pair_open(tp_pair *pair)
{
    int orders[2], news[2];
    char error[200] = "";
    snprintf(pair->folder, sizeof pair->folder, "/tmp/troupe-bench-XXXXXX");
    if (tp_bench_cores() < 2)
        return (tp_bench_skip(pair->bench, "needs 2 cores"), false);
    if (mkdtemp(pair->folder) == NULL || pipe(orders) != 0 || pipe(news) != 0)
        return (tp_bench_fail(pair->bench, "%s", strerror(errno)), false);
    pair->nursery = fork();
    if (pair->nursery == 0) {
        close(orders[1]);
        close(news[0]);
        be_nursery(pair, orders[0], news[1]);
    }
    close(orders[0]);
    close(news[1]);
    pair->orders = orders[1];
    pair->news = news[0];
    tp_bench_pin(0);
    pair->node = open_node(pair, "first", error, sizeof error);
    if (pair->node == NULL)
        return (tp_bench_fail(pair->bench, "the first node: %s", error), false);
    return true;
}

bool tp_pair_start(tp_pair *pair, const char *type, const char *key)
{
    order what = {0};
    snprintf(what.type, sizeof what.type, "%s", type);
    snprintf(what.key, sizeof what.key, "%s", key);
    pair->peer = 0;
    if (write(pair->orders, &what, sizeof what) != (ssize_t)sizeof what ||
        !read_all(pair->news, &pair->peer, sizeof pair->peer) || pair->peer == 0)
        return (tp_bench_fail(pair->bench, "the second node did not open"), false);
    return true;
}

void tp_pair_kill(tp_pair *pair)
{
    if (pair->peer > 0)
        kill(pair->peer, SIGKILL);
    pair->peer = 0;
}

void tp_pair_close(tp_pair *pair)
{
    char command[TP_PAIR_FOLDER + 16];
    tp_pair_kill(pair);
    close(pair->orders);
    close(pair->news);
    if (pair->nursery > 0)
        (void)waitpid(pair->nursery, NULL, 0);
    troupe_node_close(pair->node);
    snprintf(command, sizeof command, "rm -rf %s", pair->folder);
    if (system(command) != 0)
        fprintf(stderr, "bench: %s stays\n", pair->folder);
}
