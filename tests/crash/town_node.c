/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The town's process, a fork of the test's, and the test's end of the line to it; see town.h. One
 * packet is one deed, or one answer.
 *
 * Threads: the test's one; in the town the main thread hears and the shards' threads answer.
 */
#include "town.h"

#include "base/alloc.h"
#include "node/node.h"
#include "testkit/faulty_store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Of the node: so few that there are points of how it does with fewer than it would need. */
enum { SENDERS = 2, ACTIVE = 11 };

static uint64_t clock_of(clockid_t id)
{
    struct timespec moment;
    clock_gettime(id, &moment);
    return (uint64_t)moment.tv_sec * TROUPE_SECONDS(1) + (uint64_t)moment.tv_nsec;
}

static uint64_t host_now(void *context)
{
    (void)context;
    return clock_of(CLOCK_MONOTONIC);
}

static uint64_t host_wall(void *context)
{
    (void)context;
    return clock_of(CLOCK_REALTIME);
}

static void host_log(void *context, int level, const char *event, const char *text)
{
    (void)context;
    (void)level;
    fprintf(stderr, "%s: %s\n", event, text);
}

troupe_store_host town_host(void)
{
    return (troupe_store_host){.size = sizeof(troupe_store_host),
        .allocator = tp_allocator_system(),
        .now = host_now,
        .wall = host_wall,
        .log = host_log};
}

/* ---- in the town ---------------------------------------------------------------------------- */

typedef struct asked {
    town_deed deed;
    int line;
} asked;

static void say(int line, const town_answer *answer)
{
    ssize_t size = send(line, answer, sizeof *answer, MSG_NOSIGNAL);
    if (size != (ssize_t)sizeof *answer)
        _exit(5);
}

static void answered(void *user, const troupe_answer *got)
{
    asked *self = user;
    town_answer answer = {.of = self->deed, .status = got->status, .outcome = got->outcome};
    int64_t numbers[2];
    if (self->deed.kind == TOWN_SHOW && got->payload.size == sizeof numbers) {
        memcpy(numbers, got->payload.data, sizeof numbers);
        answer.balance = numbers[0];
        answer.open = numbers[1];
    }
    if (got->status != TROUPE_OK)
        snprintf(answer.words, sizeof answer.words, "%.*s", (int)got->message.size,
            got->message.size != 0 ? (const char *)got->message.data : "");
    say(self->line, &answer);
    free(self);
}

static void ask(troupe_client *client, const town_deed *deed, int line, uint64_t timeout)
{
    static const char *const methods[] = {"add", "fail", "relay", "give", "move", "remind", "show"};
    asked *self = malloc(sizeof *self);
    if (self == NULL)
        _exit(5);
    *self = (asked){*deed, line};
    town_name name;
    town_name_of(deed->kind >= TOWN_GIVE, deed->age, deed->from, &name);
    char key[32];
    snprintf(key, sizeof key, "deed %u", deed->slot);
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = timeout};
    if (deed->once)
        options.once = troupe_str(key);
    troupe_status status = troupe_client_ask_callback(client, name.id, methods[deed->kind],
        troupe_slice_of(deed, sizeof *deed), &options, answered, self);
    if (status == TROUPE_OK)
        return;
    say(line, &(town_answer){.of = *deed, .status = status, .outcome = TROUPE_NOT_DONE});
    free(self);
}

/* A store that errs now and then: what is done after a commit that failed, or of which nobody
 * knows, has points, too. Nobody closes it: the process is killed. */
static troupe_store *err(troupe_store *store)
{
    tp_faulty_store *self =
        tp_faulty_store_create(tp_allocator_system(), store, (uint64_t)getpid());
    if (self == NULL)
        _exit(6);
    tp_fault_plan plan = {.late_most = 8};
    for (int fault = TP_FAULT_REFUSED; fault < TP_FAULTS; fault++)
        plan.chances[fault] = 40;
    tp_faulty_store_plan(self, &plan);
    return tp_faulty_store_get(self);
}

static troupe_status open_node(const town_place *place, const town_aim *aim, tp_env *env,
    troupe_node **ret_node, char *error, size_t size)
{
    troupe_store_host host = town_host();
    troupe_store *store = NULL;
    if (aim != NULL && place->is_sqlite)
        town_points_watch_sqlite();
    TROUPE_TRY(place->open(place->user, &host, &store, error, size));
    if (aim != NULL) {
        town_points_watch(env);
        env->mutants = place->mutants;
        store = town_points_wrap(aim->errs ? err(store) : store);
    }
    /* What has a key is asked again when its round is over, which takes minutes on a busy machine:
     * so long the answers have to be kept. */
    const troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = 2, .log = "warn,text",
        .senders_limit = SENDERS, .max_actors = ACTIVE,
        .ask_timeout = place->ask_timeout != 0 ? place->ask_timeout : TROUPE_SECONDS(20),
        .max_clock_skew = TROUPE_SECONDS(3600)};
    return tp_node_open_on(
        env, false, store, &options, town_types, town_type_count, ret_node, error, size);
}

static void live(const town_place *place, int line, const town_aim *aim)
{
    tp_env *env = NULL;
    troupe_node *node = NULL;
    troupe_client *client = NULL;
    town_answer is_open = {.of = {.age = UINT32_MAX}};
    tp_real_options real = {.blocking_threads = 1, .blocking_limit = 16};
    if (tp_real_env_create(&real, &env) != TROUPE_OK)
        _exit(6);
    is_open.status = open_node(place, aim, env, &node, is_open.words, sizeof is_open.words);
    if (is_open.status == TROUPE_OK)
        is_open.status = troupe_client_open(node, &client);
    say(line, &is_open);
    town_deed deed;
    uint64_t timeout = place->ask_timeout;
    while (recv(line, &deed, sizeof deed, 0) == (ssize_t)sizeof deed && deed.kind != TOWN_STOP)
        ask(client, &deed, line, timeout);
    troupe_client_close(client);
    troupe_node_close(node);
    env->destroy(env);
    _exit(0);
}

/* ---- in the test ---------------------------------------------------------------------------- */

void town_show_log(const town_place *place)
{
    char path[220], line[512];
    snprintf(path, sizeof path, "%s/town.log", place->folder);
    FILE *log = fopen(path, "r");
    if (log != NULL && fseek(log, -20000, SEEK_END) != 0)
        rewind(log);
    while (log != NULL && fgets(line, sizeof line, log) != NULL)
        fputs(line, stderr);
    if (log != NULL)
        fclose(log);
}

static void become_town(const town_place *place, int line, const town_aim *aim, pid_t parent)
{
    char path[220];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    snprintf(path, sizeof path, "%s/town.log", place->folder);
    int log = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (log >= 0)
        dup2(log, STDERR_FILENO);
    if (aim != NULL)
        town_points_arm(aim->point, aim->nth);
    live(place, line, aim);
}

bool town_start(town *self, const town_place *place, const town_aim *aim)
{
    int line[2];
    pid_t parent = getpid();
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line), 0);
    fflush(stdout);
    fflush(stderr);
    self->pid = fork();
    assert_true(self->pid >= 0);
    if (self->pid == 0) {
        close(line[0]);
        become_town(place, line[1], aim, parent);
    }
    close(line[1]);
    self->line = line[0];
    town_answer answer;
    bool gone = false;
    if (!town_hear(self, 60000, &answer, &gone)) {
        if (!gone)
            fail_msg("%s: the town does not open its node", place->name);
        return false;
    }
    if (answer.status != TROUPE_OK) {
        town_show_log(place);
        fail_msg(
            "%s: no node: %s: %s", place->name, troupe_status_name(answer.status), answer.words);
    }
    return true;
}

void town_ask(town *self, const town_deed *deed)
{
    ssize_t size = send(self->line, deed, sizeof *deed, MSG_NOSIGNAL);
    assert_true(size == (ssize_t)sizeof *deed || errno == EPIPE || errno == ECONNRESET);
}

bool town_hear(town *self, int milliseconds, town_answer *ret_answer, bool *ret_gone)
{
    struct pollfd wait = {.fd = self->line, .events = POLLIN};
    int ready = poll(&wait, 1, milliseconds);
    if (ready <= 0)
        return false;
    ssize_t size = recv(self->line, ret_answer, sizeof *ret_answer, 0);
    if (size == (ssize_t)sizeof *ret_answer)
        return true;
    *ret_gone = true; /* nothing, or reset */
    return false;
}

void town_kill(town *self)
{
    kill(self->pid, SIGKILL);
}

void town_bury(town *self, const town_place *place)
{
    int how = 0;
    town_kill(self);
    assert_int_equal(waitpid(self->pid, &how, 0), self->pid);
    self->pid = 0;
    close(self->line);
    if (!WIFSIGNALED(how) || WTERMSIG(how) != SIGKILL) {
        town_show_log(place);
        fail_msg("%s: the town died by itself: status %d", place->name, how);
    }
}

bool town_stop(town *self, const town_place *place)
{
    int how = 0;
    town_answer late;
    bool gone = false;
    town_ask(self, &(town_deed){.kind = TOWN_STOP});
    for (int i = 0; i < 300 && !gone; i++)
        town_hear(self, 100, &late, &gone);
    if (!gone)
        town_kill(self);
    assert_int_equal(waitpid(self->pid, &how, 0), self->pid);
    self->pid = 0;
    close(self->line);
    if (how != 0)
        town_show_log(place);
    return how == 0;
}
