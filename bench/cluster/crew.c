/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes in processes of their own. A nursery is forked while the program has one thread, and forks
 * the peers, since a program with threads is not forked safely.
 *
 * A crew that is apart lives in a network namespace of its own, which ends with its processes, and
 * each peer in another one; a bridge joins them: 10.98.0.1 is the first node, 10.98.0.2 peer 0.
 *
 * Invariants: see crew.h. Threads: one in the nursery; those of a node in each of the others.
 */
#include "crew.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COMMAND = 1000, PORT = 7000 };

typedef struct order {
    int peer;
    bool is_end; /* of that peer: it is waited for */
    char type[32], key[32];
} order;

/* Answers an order: a peer that was started (0: it was not), or the exit code of one that ended. */
typedef struct news {
    pid_t pid;
    int code;
} news;

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

/* Of a first node that hosts none of the types: a node has one at least. */
static troupe_status be_idle(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    return troupe_reply_bytes(turn, payload);
}

static const troupe_method idler_methods[] = {TROUPE_METHOD(be_idle)};
static const troupe_type idler_type = {TROUPE_TYPE("idler"), TROUPE_METHODS(idler_methods)};
static const troupe_type *const idlers[] = {&idler_type};

/* As trouped, which becomes a new process: what it had can begin elsewhere at once. */
static void end_dead(void *user)
{
    (void)user;
    _exit(1);
}

static troupe_node *open_node(
    const tp_crew *crew, const char *name, int peer, char *error, size_t size)
{
    char url[TP_CREW_FOLDER + 8], address[32];
    bool is_first = peer < 0, is_idle = is_first && crew->first_hosts_nothing;
    troupe_node *node = NULL;
    troupe_node_options options = crew->options;
    snprintf(url, sizeof url, "file:%s", crew->folder);
    snprintf(address, sizeof address, "10.98.0.%d:%d", is_first ? 1 : peer + 2, PORT);
    options.size = sizeof options;
    options.name = name;
    options.cluster = url;
    options.shards = 1;
    options.log = "off";
    options.on_died = is_first ? NULL : end_dead;
    if (crew->is_apart) {
        options.listen = address;
        options.allow_clear_text = true;
    }
    troupe_status status = troupe_node_open_explained(&options, is_idle ? idlers : crew->types,
        is_idle ? 1 : crew->type_count, &node, error, size);
    return status == TROUPE_OK ? node : NULL;
}

/* ---- networks -------------------------------------------------------------------------------- */

static bool run_command(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool run_command(const char *format, ...)
{
    char command[COMMAND];
    va_list list;
    va_start(list, format);
    vsnprintf(command, sizeof command, format, list);
    va_end(list);
    return system(command) == 0;
}

/* A network of the crew's own, with a bridge that the first node listens on. */
static bool go_apart(tp_crew *crew)
{
    if (!run_command("command -v ip nft nsenter >/dev/null 2>&1"))
        return (tp_bench_skip(crew->bench, "ip, nft or nsenter is not installed"), false);
    if (unshare(CLONE_NEWNET) != 0)
        return (tp_bench_skip(crew->bench, "network namespaces: %s", strerror(errno)), false);
    if (!run_command("ip link set lo up && ip link add hub type bridge && "
                     "ip addr add 10.98.0.1/24 dev hub && ip link set hub up"))
        return (tp_bench_skip(crew->bench, "no bridge of one's own"), false);
    return true;
}

/* In the peer, before its node. */
static bool leave_network(int peer)
{
    pid_t self = getpid(), crew = getppid();
    return unshare(CLONE_NEWNET) == 0 &&
           run_command("nsenter -t %d -n ip link add to%d type veth peer name eth0 netns %d",
               (int)crew, (int)self, (int)self) &&
           run_command("nsenter -t %d -n ip link set to%d master hub up", (int)crew, (int)self) &&
           run_command("ip addr add 10.98.0.%d/24 dev eth0 && ip link set eth0 up && "
                       "ip link set lo up",
               peer + 2);
}

bool tp_crew_cut(const tp_crew *crew, int at)
{
    return run_command("nsenter -t %d -n nft 'table inet cut { "
                       "chain in { type filter hook input priority 0; policy drop; }; "
                       "chain out { type filter hook output priority 0; policy drop; }; }'",
        (int)crew->peers[at]);
}

/* ---- peers ----------------------------------------------------------------------------------- */

static troupe_status place(troupe_node *node, const order *what)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    if (what->type[0] == 0)
        return TROUPE_OK;
    troupe_status status = troupe_node_ask(node, troupe_id_of(what->type, what->key), "place",
        (troupe_slice){NULL, 0}, NULL, &answer);
    troupe_answer_release(&answer);
    return status;
}

static void be_peer(const tp_crew *crew, const order *what, int to)
{
    char error[200] = "", name[32];
    news told = {.pid = getpid()};
    sigset_t end;
    int signal;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigprocmask(SIG_BLOCK, &end, NULL); /* of the node's threads, too */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!crew->is_free)
        tp_bench_pin(1);
    if (crew->is_apart && !leave_network(what->peer))
        snprintf(error, sizeof error, "its network");
    snprintf(name, sizeof name, "peer-%d", (int)told.pid);
    troupe_node *node =
        error[0] == 0 ? open_node(crew, name, what->peer, error, sizeof error) : NULL;
    troupe_status status = node != NULL ? place(node, what) : TROUPE_FAILED;
    if (status != TROUPE_OK) {
        fprintf(stderr, "bench: peer %d: %s %s\n", what->peer, troupe_status_name(status), error);
        told.pid = 0;
    }
    if (write(to, &told, sizeof told) != (ssize_t)sizeof told || told.pid == 0 ||
        sigwait(&end, &signal) != 0)
        _exit(1);
    troupe_node_close(node);
    _exit(0);
}

static void be_nursery(const tp_crew *crew, int orders, int to)
{
    order what;
    pid_t children[TP_CREW_PEERS] = {0};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (read_all(orders, &what, sizeof what)) {
        pid_t *child = &children[what.peer];
        news told = {.code = -1};
        if (*child > 0 && waitpid(*child, &told.code, 0) == *child) { /* it ends, or was killed */
            if (crew->is_apart)
                (void)run_command("ip link del to%d 2>/dev/null", (int)*child);
            *child = 0;
        }
        if (!what.is_end)
            *child = fork();
        else if (write(to, &told, sizeof told) != (ssize_t)sizeof told)
            break;
        if (!what.is_end && *child == 0)
            be_peer(crew, &what, to);
    }
    for (int i = 0; i < TP_CREW_PEERS; i++)
        if (children[i] > 0)
            kill(children[i], SIGKILL);
    _exit(0);
}

static bool send_order(tp_crew *crew, const order *what, news *ret_news)
{
    return write(crew->orders, what, sizeof *what) == (ssize_t)sizeof *what &&
           read_all(crew->news, ret_news, sizeof *ret_news);
}

/* ---- the first ------------------------------------------------------------------------------- */

bool tp_crew_open(tp_crew *crew)
{
    int orders[2], told[2];
    char error[200] = "";
    snprintf(crew->folder, sizeof crew->folder, "/tmp/troupe-bench-XXXXXX");
    if (tp_bench_cores() < 2)
        return (tp_bench_skip(crew->bench, "needs 2 cores"), false);
    if (crew->is_apart && !go_apart(crew))
        return false;
    if (mkdtemp(crew->folder) == NULL || pipe(orders) != 0 || pipe(told) != 0)
        return (tp_bench_fail(crew->bench, "%s", strerror(errno)), false);
    crew->nursery = fork();
    if (crew->nursery == 0) {
        close(orders[1]);
        close(told[0]);
        be_nursery(crew, orders[0], told[1]);
    }
    close(orders[0]);
    close(told[1]);
    crew->orders = orders[1];
    crew->news = told[0];
    if (!crew->is_free)
        tp_bench_pin(0);
    crew->node = open_node(crew, "first", -1, error, sizeof error);
    if (crew->node == NULL)
        return (tp_bench_fail(crew->bench, "the first node: %s", error), false);
    return true;
}

static bool begin(tp_crew *crew, const order *what)
{
    news told = {0};
    crew->peers[what->peer] = 0;
    if (!send_order(crew, what, &told) || told.pid == 0)
        return (tp_bench_fail(crew->bench, "peer %d did not open", what->peer), false);
    crew->peers[what->peer] = told.pid;
    return true;
}

bool tp_crew_begin(tp_crew *crew, int at)
{
    return begin(crew, &(order){.peer = at});
}

bool tp_crew_start(tp_crew *crew, const char *type, const char *key)
{
    order what = {0};
    snprintf(what.type, sizeof what.type, "%s", type);
    snprintf(what.key, sizeof what.key, "%s", key);
    return begin(crew, &what);
}

void tp_crew_signal(const tp_crew *crew, int at, int signal)
{
    if (crew->peers[at] > 0)
        kill(crew->peers[at], signal);
}

void tp_crew_kill(tp_crew *crew, int at)
{
    tp_crew_signal(crew, at, SIGKILL);
    crew->peers[at] = 0;
}

bool tp_crew_end(tp_crew *crew, int at)
{
    news told = {0};
    tp_crew_signal(crew, at, SIGTERM);
    crew->peers[at] = 0;
    if (!send_order(crew, &(order){.peer = at, .is_end = true}, &told) || told.code != 0)
        return (tp_bench_fail(crew->bench, "peer %d did not end in order", at), false);
    return true;
}

void tp_crew_close(tp_crew *crew)
{
    if (crew->nursery == 0)
        return; /* it did not open */
    for (int i = 0; i < TP_CREW_PEERS; i++)
        tp_crew_kill(crew, i);
    close(crew->orders);
    close(crew->news);
    (void)waitpid(crew->nursery, NULL, 0);
    troupe_node_close(crew->node);
    if (!run_command("rm -rf %s", crew->folder))
        fprintf(stderr, "bench: %s stays\n", crew->folder);
}
