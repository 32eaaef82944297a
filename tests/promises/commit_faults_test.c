/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults that were found in the commits of living actors, each with the steps that showed it:
 * stores that are slow or fail a commit, actors that leave, turns that come in beside others,
 * messages that come again. A scene runs in a process of its own, since some of them brought the
 * node down.
 *
 * Threads: a node with one shard; the scene is the thread outside.
 */
#include <sys/wait.h>

#include "tests/promises/scene.h"
#include "base/alloc.h"
#include "providers/table.h"
#include <unistd.h>

/* ---- a store that is slow, and fails chosen commits ---- */
typedef struct bad {
    troupe_store store;
    troupe_store *inner;
    _Atomic uint32_t fail_next; /* so many commits answer UNAVAILABLE, not done */
    _Atomic uint64_t delay_us;  /* each group */
    _Atomic uint32_t commits;
} bad;
static void bad_run(troupe_store *store, troupe_store_op *const *ops, size_t count)
{
    bad *self = (bad *)(void *)store;
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->kind == TROUPE_STORE_COMMIT || ops[i]->kind == TROUPE_STORE_LOAD) {
            uint64_t us = atomic_load(&self->delay_us);
            if (us != 0)
                usleep((useconds_t)us);
        }
        if (ops[i]->kind == TROUPE_STORE_COMMIT) {
            atomic_fetch_add(&self->commits, 1);
            if (atomic_load(&self->fail_next) != 0) {
                atomic_fetch_sub(&self->fail_next, 1);
                ops[i]->status = TROUPE_UNAVAILABLE;
                continue;
            }
        }
        self->inner->run(self->inner, &ops[i], 1);
    }
}
static void bad_close(troupe_store *store)
{
    (void)store;
}
static uint64_t a_time(void *c)
{
    (void)c;
    return 1;
}
static tp_env *env;
static bad store;
static void bad_open(void)
{
    static const troupe_store_host host = {.size = sizeof host, .now = a_time, .wall = a_time};
    troupe_store_host h = host;
    h.allocator = tp_allocator_system();
    char error[256];
    assert_ok(tp_memory_provider.open(&h, "memory:", &store.inner, error, sizeof error));
    store.store = (troupe_store){.size = sizeof(troupe_store),
        .promises = "bad",
        .durable = true,
        .run = bad_run,
        .close = bad_close};
    tp_real_options real = {
        .allocator = tp_allocator_system(), .blocking_threads = 1, .blocking_limit = 16};
    assert_ok(tp_real_env_create(&real, &env));
}
static troupe_node *node_on(
    const troupe_node_options *given, const troupe_type *const *types, size_t n)
{
    char error[256] = "";
    troupe_node *node = NULL;
    troupe_node_options o = {TROUPE_NODE_OPTIONS};
    if (given)
        o = *given;
    o.shards = 1;
    if (!o.log)
        o.log = "error,text";
    troupe_status s =
        tp_node_open_on(env, false, &store.store, &o, types, n, &node, error, sizeof error);
    if (s) {
        printf("open: %s\n", error);
        exit(2);
    }
    return node;
}
static int verdict(bool fine, const char *what)
{
    printf("%s: %s\n", fine ? "ok" : "FAULT", what);
    fflush(stdout);
    return fine ? 0 : 1;
}

/* ---- types ---- */
typedef struct st {
    int64_t n, runs, done, failed;
} st;
static troupe_status add(troupe_turn *t, void *s, troupe_slice in)
{
    (void)in;
    ((st *)s)->n++;
    return troupe_reply_format(t, "%lld", (long long)((st *)s)->n);
}
static troupe_status show(troupe_turn *t, const void *s, troupe_slice in)
{
    (void)in;
    const st *x = s;
    return troupe_reply_format(t, "n%lld runs%lld done%lld failed%lld", (long long)x->n,
        (long long)x->runs, (long long)x->done, (long long)x->failed);
}
static troupe_status noop_activate(troupe_turn *t, void *s)
{
    (void)t;
    (void)s;
    return TROUPE_OK;
}
static troupe_status slow(troupe_turn *t, void *s, troupe_slice in)
{
    (void)in;
    (void)troupe_sleep(t, MS(1500));
    ((st *)s)->runs++;
    return troupe_reply_bytes(t, troupe_str("x"));
}
static troupe_status nap(troupe_turn *t, void *s, troupe_slice in)
{
    (void)in;
    (void)s;
    (void)troupe_sleep(t, MS(300));
    return troupe_reply_bytes(t, troupe_str("x"));
}
static troupe_status quick(troupe_turn *t, void *s, troupe_slice in)
{
    (void)in;
    ((st *)s)->runs++;
    return troupe_reply_bytes(t, troupe_str("x"));
}
static troupe_status done(troupe_turn *t, void *s, troupe_slice in)
{
    (void)t;
    (void)in;
    ((st *)s)->done++;
    return TROUPE_OK;
}
static troupe_status failed(troupe_turn *t, void *s, troupe_slice in)
{
    (void)t;
    (void)in;
    ((st *)s)->failed++;
    return TROUPE_OK;
}
/* "type/key method": an outbox tell */
static troupe_status box(troupe_turn *t, void *s, troupe_slice in)
{
    char buf[128];
    snprintf(buf, sizeof buf, "%.*s", TROUPE_ARG(in));
    char *m = strchr(buf, ' ');
    *m++ = 0;
    ((st *)s)->n++;
    TROUPE_TRY(troupe_tell(t, id_of(buf), m, troupe_str(""),
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .outbox = true}));
    return troupe_reply_bytes(t, troupe_str("sent"));
}
static troupe_status boxbye(troupe_turn *t, void *s, troupe_slice in)
{
    TROUPE_TRY(box(t, s, in));
    troupe_deactivate(t);
    return TROUPE_OK;
}
static troupe_status box5(troupe_turn *t, void *s, troupe_slice in)
{
    (void)in;
    ((st *)s)->n++;
    for (int i = 0; i < 5; i++)
        TROUPE_TRY(troupe_tell(t, id_of("p/bob"), "quick", troupe_str(""),
            &(troupe_call_options){TROUPE_CALL_OPTIONS, .outbox = true}));
    return troupe_reply_bytes(t, troupe_str("sent"));
}
static troupe_status then_with(troupe_turn *t, void *s, troupe_slice in, uint64_t timeout)
{
    char buf[128];
    snprintf(buf, sizeof buf, "%.*s", TROUPE_ARG(in));
    char *m = strchr(buf, ' ');
    *m++ = 0;
    ((st *)s)->n++;
    TROUPE_TRY(troupe_ask_then(t, id_of(buf), m, troupe_str(""),
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .timeout = timeout},
        &(troupe_then){TROUPE_THEN, .done = "done", .failed = "failed"}));
    return troupe_reply_bytes(t, troupe_str("sent"));
}
static troupe_status then(troupe_turn *t, void *s, troupe_slice in)
{
    return then_with(t, s, in, 0);
}
static troupe_status then_short(troupe_turn *t, void *s, troupe_slice in)
{
    return then_with(t, s, in, MS(100));
}
static troupe_status ask_once_of(troupe_turn *t, void *s, troupe_slice in)
{
    (void)in;
    ((st *)s)->n++;
    troupe_answer a = TROUPE_ANSWER_INIT;
    troupe_status st_ = troupe_ask(t, id_of("p/bob"), "add", troupe_str(""),
        &(troupe_call_options){
            TROUPE_CALL_OPTIONS, .once = troupe_str("k"), .timeout = TROUPE_SECONDS(4)},
        &a);
    troupe_answer_release(&a);
    if (st_)
        return troupe_fail(t, st_, "ask failed");
    return troupe_reply_bytes(t, troupe_str("x"));
}
static troupe_status refuse(troupe_turn *t, void *s, troupe_slice in)
{
    (void)in;
    ((st *)s)->runs++;
    return troupe_fail(t, TROUPE_APPLICATION, "no");
}
static troupe_status sleeper_panics(troupe_turn *t, void *s, troupe_slice in)
{
    (void)in;
    (void)s;
    (void)troupe_sleep(t, MS(100));
    troupe_panic(t, "boom");
}
static troupe_status many(troupe_turn *t, void *s, troupe_slice in)
{
    (void)in;
    ((st *)s)->n++;
    long ok = 0;
    for (int i = 0; i < 300000; i++) {
        if (troupe_tell(t, id_of("v/sink"), "add", troupe_str("0123456789"), NULL))
            break;
        ok++;
    }
    return troupe_reply_format(t, "%ld", ok);
}
static const troupe_method wmethods[] = {TROUPE_METHOD(add), TROUPE_METHOD(slow),
    TROUPE_METHOD(nap), TROUPE_METHOD(quick), TROUPE_METHOD(done), TROUPE_METHOD(failed),
    TROUPE_METHOD(box), TROUPE_METHOD(boxbye), TROUPE_METHOD(box5), TROUPE_METHOD(then),
    TROUPE_METHOD(then_short), TROUPE_METHOD(ask_once_of), TROUPE_METHOD(refuse),
    TROUPE_METHOD(sleeper_panics), TROUPE_METHOD(many), TROUPE_READ_METHOD(show)};
static const troupe_type p_type = {TROUPE_TYPE("p"), .state_size = sizeof(st),
    TROUPE_METHODS(wmethods), .persist = TROUPE_PERSIST_EVERY_TURN};
static const troupe_type a_type = {TROUPE_TYPE("a"), .state_size = sizeof(st),
    TROUPE_METHODS(wmethods), .persist = TROUPE_PERSIST_EVERY_TURN,
    .reentrancy = TROUPE_REENTRANCY_ALWAYS};
static const troupe_type v_type = {
    TROUPE_TYPE("v"), .state_size = sizeof(st), TROUPE_METHODS(wmethods)};
static const troupe_type act_type = {TROUPE_TYPE("act"), .state_size = sizeof(st),
    TROUPE_METHODS(wmethods), .persist = TROUPE_PERSIST_EVERY_TURN, .on_activate = noop_activate};
static const troupe_type n_type = {TROUPE_TYPE("n"), .state_size = sizeof(st),
    TROUPE_METHODS(wmethods), .persist = TROUPE_PERSIST_EVERY_N, .snapshot_interval = 4};
static void bye(troupe_turn *t, void *s, troupe_reason r)
{
    (void)s;
    (void)r;
    (void)t;
}
static const troupe_type b_type = {TROUPE_TYPE("b"), .state_size = sizeof(st),
    TROUPE_METHODS(wmethods), .persist = TROUPE_PERSIST_EVERY_TURN, .on_deactivate = bye};
static const troupe_type rd_type = {TROUPE_TYPE("rd"), .state_size = sizeof(st),
    TROUPE_METHODS(wmethods), .persist = TROUPE_PERSIST_EVERY_TURN,
    .reentrancy = TROUPE_REENTRANCY_ALWAYS, .supervision = {.redeliver = true, .poison_after = 1}};
/* save hook that fails on demand */
static _Atomic int save_fails;
static troupe_status sv(troupe_turn *t, const void *s, troupe_writer *w)
{
    (void)t;
    if (atomic_load(&save_fails))
        return TROUPE_APPLICATION;
    return troupe_write(w, s, sizeof(st));
}
static troupe_status ld(troupe_turn *t, void *s, troupe_slice b)
{
    (void)t;
    memcpy(s, b.data, b.size);
    return TROUPE_OK;
}
static troupe_status ask_save(troupe_turn *t, void *s, troupe_slice in)
{
    (void)in;
    ((st *)s)->n++;
    atomic_store(&save_fails, 1);
    troupe_answer a = TROUPE_ANSWER_INIT;
    troupe_status r = troupe_sleep(t, MS(50));
    atomic_store(&save_fails, 0);
    troupe_answer_release(&a);
    return r ? r : troupe_reply_bytes(t, troupe_str("x"));
}
static const troupe_method smethods[] = {
    TROUPE_METHOD(ask_save), TROUPE_METHOD(add), TROUPE_READ_METHOD(show)};
static const troupe_type s_type = {TROUPE_TYPE("s"), .state_size = sizeof(st),
    TROUPE_METHODS(smethods), .persist = TROUPE_PERSIST_EVERY_TURN, .save = sv, .load = ld};
#define ALL TROUPE_TYPES(&p_type, &a_type, &v_type, &act_type, &n_type, &b_type, &rd_type, &s_type)

/* a gated type with on_activate and a read method: its stored state is overwritten by zeros at load
 */
static int zeros(void)
{
    bad_open();
    troupe_node *n = node_on(NULL, ALL);
    long acked = 0;
    for (int i = 0; i < 6; i++) {
        heard g = ask(n, "act/x", "add", "");
        printf("add: %s %s\n", troupe_status_name(g.status), g.text);
        if (!g.status)
            acked = atol(g.text);
        usleep(20000);
    }
    troupe_node_close(n);
    uint32_t before = atomic_load(&store.commits);
    n = node_on(NULL, ALL);
    for (int i = 0; i < 3; i++) {
        heard h = ask(n, "act/x", "show", "");
        printf("2nd run %s %s\n", troupe_status_name(h.status), h.text);
        usleep(50000);
    }
    printf("commits of a run that only reads: %u\n", atomic_load(&store.commits) - before);
    troupe_node_close(n);
    n = node_on(NULL, ALL);
    heard h = {0};
    for (int i = 0; i < 3; i++) {
        h = ask(n, "act/x", "show", "");
        printf("3rd run %s %s\n", troupe_status_name(h.status), h.text);
        usleep(50000);
    }
    return verdict(acked == 6 && atol(h.text + 1) == acked,
        "on_activate + read method keeps what was acknowledged");
}
/* EVERY_N, N-1 turns, then it leaves */
static int every_n(void)
{
    bad_open();
    troupe_node *n = node_on(NULL, ALL);
    for (int i = 0; i < 3; i++)
        assert_ok(ask(n, "n/x", "add", "").status);
    troupe_node_close(n);
    n = node_on(NULL, ALL);
    heard h = ask(n, "n/x", "show", "");
    printf("%s %s\n", troupe_status_name(h.status), h.text);
    int r = verdict(strncmp(h.text, "n3 ", 3) == 0, "EVERY_N saves at deactivation");
    troupe_node_close(n);
    return r;
}
/* outbox to a reentrant persistent type that parks longer than the resend */
static int twice(void)
{
    bad_open();
    troupe_node *n = node_on(NULL, ALL);
    assert_ok(ask(n, "p/x", "box", "a/y slow").status);
    sleep(6);
    heard h = ask(n, "a/y", "show", "");
    printf("%s\n", h.text);
    return verdict(strstr(h.text, "runs1 ") != NULL, "an outbox message takes effect once");
}
/* zombie after a failed commit */
static int zombie(void)
{
    bad_open();
    troupe_node *n = node_on(
        &(troupe_node_options){TROUPE_NODE_OPTIONS, .drain_timeout = TROUPE_SECONDS(3)}, ALL);
    assert_ok(ask(n, "p/x", "add", "").status);
    atomic_store(&store.fail_next, 1);
    heard h = ask(n, "p/x", "add", "");
    printf("%s %s\n", troupe_status_name(h.status), h.text);
    usleep(100000);
    printf("deactivate: %s, active %llu\n",
        troupe_status_name(troupe_node_deactivate(n, id_of("p/x"))),
        (unsigned long long)stats_of(n).active);
    usleep(100000);
    printf("active %llu\n", (unsigned long long)stats_of(n).active);
    uint64_t t = clock_now();
    troupe_node_close(n);
    t = clock_now() - t;
    printf("close took %.2f s\n", (double)t / 1e9);
    return verdict(t < TROUPE_SECONDS(1), "an actor whose commit failed can leave");
}
/* ask_then to a target whose outbox is full */
static int lost_then(void)
{
    bad_open();
    troupe_node *n = node_on(&(troupe_node_options){TROUPE_NODE_OPTIONS, .outbox_limit = 1}, ALL);
    assert_ok(ask(n, "p/hub", "box", "v/z slow").status);
    assert_ok(ask(n, "p/x", "then", "p/hub quick").status);
    sleep(8);
    heard h = ask(n, "p/x", "show", ""), g = ask(n, "p/hub", "show", "");
    printf("asker %s; hub %s\n", h.text, g.text);
    return verdict(strstr(h.text, "done1") || strstr(h.text, "failed1"), "ask_then is answered");
}
/* ask_then that expires */
static int expired_then(void)
{
    bad_open();
    troupe_node *n = node_on(NULL, ALL);
    assert_ok(ask(n, "p/x", "then_short", "v/z slow").status);
    sleep(4);
    heard h = ask(n, "p/x", "show", "");
    printf("asker %s\n", h.text);
    return verdict(
        strstr(h.text, "done1") || strstr(h.text, "failed1"), "ask_then that expires is answered");
}
/* once ask held in the gate whose commit fails */
static int once_held(void)
{
    bad_open();
    troupe_node *n = node_on(NULL, ALL);
    assert_ok(ask(n, "p/x", "add", "").status);
    atomic_store(&store.fail_next, 1);
    uint64_t t = clock_now();
    heard h = ask_within(n, "p/x", "ask_once_of", "", TROUPE_SECONDS(10));
    t = clock_now() - t;
    printf("%s %s after %.2f s\n", troupe_status_name(h.status), h.text, (double)t / 1e9);
    return verdict(
        t < TROUPE_SECONDS(1), "an ask (once) that rests on a failed commit ends with it");
}
/* a call once that was done is asked again, and withdrawn before it runs: NOT_DONE would be said of
 * what is stored */
static int once_withdrawn(void)
{
    bad_open();
    troupe_node *n = node_on(NULL, ALL);
    troupe_client *c = NULL;
    assert_ok(troupe_client_open(n, &c));
    troupe_call_options o = {TROUPE_CALL_OPTIONS, .once = troupe_str("known")};
    assert_ok(ask_with(n, "p/x", "add", "", &o).status);
    static call calls[3];
    assert_ok(troupe_client_ask_callback(
        c, id_of("p/x"), "nap", troupe_str(""), NULL, call_over, &calls[0]));
    assert_ok(troupe_cancel_create(n, &o.cancel));
    for (int i = 1; i < 3; i++) {
        assert_ok(troupe_client_ask_callback(
            c, id_of("p/x"), "add", troupe_str(""), &o, call_over, &calls[i]));
        o.once = troupe_str("fresh");
    }
    troupe_cancel_fire(o.cancel);
    for (int i = 0; i < 3; i++)
        while (atomic_load(&calls[i].ends) == 0)
            usleep(1000);
    const heard *again = &calls[1].got, *first = &calls[2].got;
    printf("again: %s %d; first: %s %d\n", troupe_status_name(again->status), again->outcome,
        troupe_status_name(first->status), first->outcome);
    troupe_cancel_destroy(o.cancel);
    troupe_node_close(n);
    return verdict(again->status == TROUPE_WITHDRAWN && again->outcome == TROUPE_UNKNOWN_OUTCOME &&
                       first->status == TROUPE_WITHDRAWN && first->outcome == TROUPE_NOT_DONE,
        "NOT_DONE is said of a call once only if nobody with its key has run");
}
/* a refusal whose acknowledgement is lost is told as success when it comes again */
static int twins_lost(void)
{
    bad_open();
    troupe_node *n = node_on(NULL, ALL);
    troupe_client *c = NULL;
    assert_ok(troupe_client_open(n, &c));
    static call calls[2];
    troupe_call_options o = {
        TROUPE_CALL_OPTIONS, .once = troupe_str("k"), .timeout = TROUPE_SECONDS(3)};
    for (int i = 0; i < 2; i++)
        assert_ok(troupe_client_ask_callback(
            c, id_of("rd/x"), "sleeper_panics", troupe_str(""), &o, call_over, &calls[i]));
    usleep(1000000);
    for (int i = 0; i < 2; i++)
        printf("%d: ends %u %s\n", i, atomic_load(&calls[i].ends),
            troupe_status_name(calls[i].got.status));
    return verdict(
        atomic_load(&calls[1].ends) == 1, "a twin is answered when its first run was poisoned");
}
/* an ack arrives while the save of a deactivation is under way */
static int leave_race(void)
{
    bad_open();
    troupe_node *n = node_on(NULL, ALL);
    assert_ok(ask(n, "b/x", "box", "v/z nap").status); /* its ack comes after 300 ms */
    atomic_store(&store.delay_us, 400000);
    assert_ok(troupe_node_deactivate(n, id_of("b/x")));
    sleep(2);
    atomic_store(&store.delay_us, 0);
    heard h = ask(n, "b/x", "show", "");
    printf("%s %s\n", troupe_status_name(h.status), h.text);
    return verdict(strncmp(h.text, "n1", 2) == 0, "an ack during the save of a deactivation");
}
/* on_deactivate changes the state, tells and asks others */
static _Atomic int parting_asks[2]; /* of the first time, of the last */
static void parting(troupe_turn *t, void *s, troupe_reason r)
{
    (void)r;
    ((st *)s)->n++;
    (void)!troupe_tell(t, id_of("v/sink"), "add", troupe_str(""), NULL);
    troupe_answer a = TROUPE_ANSWER_INIT;
    int status = (int)troupe_ask(t, id_of("v/sink"), "add", troupe_str(""), NULL, &a);
    troupe_answer_release(&a);
    if (atomic_load(&parting_asks[0]) < 0)
        atomic_store(&parting_asks[0], status);
    (void)troupe_sleep(t, MS(5));
    atomic_store(&parting_asks[1], status);
}
static const troupe_type parting_type = {TROUPE_TYPE("parting"), .state_size = sizeof(st),
    TROUPE_METHODS(wmethods), .persist = TROUPE_PERSIST_EVERY_TURN, .on_deactivate = parting,
    .reentrancy = TROUPE_REENTRANCY_ALWAYS};
static int parting_words(void)
{
    bad_open();
    troupe_node *n = node_on(NULL, TROUPE_TYPES(&parting_type, &v_type));
    atomic_store(&parting_asks[0], -1);
    assert_ok(ask(n, "parting/x", "add", "").status);
    uint32_t before = atomic_load(&store.commits);
    atomic_store(&store.fail_next, UINT32_MAX);
    assert_ok(troupe_node_deactivate(n, id_of("parting/x")));
    while (atomic_load(&store.commits) < before + 2)
        usleep(1000);
    heard early = ask(n, "v/sink", "show", "");
    int first = atomic_load(&parting_asks[0]);
    printf("not saved: %s, its ask: %s\n", early.text, troupe_status_name((troupe_status)first));
    atomic_store(&store.fail_next, 0);
    heard late = early; /* it leaves again by itself */
    while (atol(late.text + 1) < 2) {
        usleep(1000);
        late = ask(n, "v/sink", "show", "");
    }
    heard own = ask(n, "parting/x", "show", "");
    int last = atomic_load(&parting_asks[1]);
    printf("saved: %s, its ask: %s, itself: %s\n", late.text,
        troupe_status_name((troupe_status)last), own.text);
    troupe_node_close(n);
    return verdict(strncmp(early.text, "n0 ", 3) == 0 && first == TROUPE_UNAVAILABLE &&
                       last == TROUPE_OK && strncmp(own.text, "n2 ", 3) == 0,
        "what on_deactivate sends waits for the save, and what it changed without is not seen");
}
/* it changes a state that its life has only read */
static int parting_reader(void)
{
    bad_open();
    troupe_node *n = node_on(NULL, TROUPE_TYPES(&parting_type, &v_type));
    heard own = ask(n, "parting/y", "show", "");
    assert_ok(troupe_node_deactivate(n, id_of("parting/y")));
    heard told = own;
    while (atol(told.text + 1) < 2) {
        usleep(1000);
        told = ask(n, "v/sink", "show", "");
    }
    own = ask(n, "parting/y", "show", "");
    printf("itself: %s\n", own.text);
    troupe_node_close(n);
    return verdict(strncmp(own.text, "n1 ", 3) == 0, "on_deactivate after a life that only read");
}
/* messages of a commit that failed leave with the next */
static int phantom(void)
{
    bad_open();
    troupe_node *n = node_on(NULL, ALL);
    assert_ok(ask(n, "a/y", "add", "").status);
    assert_ok(ask(n, "p/x", "then", "a/y nap").status); /* parks in a/y for 300 ms */
    usleep(100000);
    atomic_store(&store.fail_next, 1);
    heard h = ask(n, "a/y", "box5", "");
    printf("box5: %s %s\n", troupe_status_name(h.status), h.text);
    sleep(3);
    heard y = ask(n, "a/y", "show", ""), bob = ask(n, "p/bob", "show", ""),
          x = ask(n, "p/x", "show", "");
    printf("a/y %s; bob %s; x %s\n", y.text, bob.text, x.text);
    return verdict(
        strstr(bob.text, "runs0") != NULL, "a turn whose commit failed has sent nothing");
}
/* save hook fails at a park */
static int save_at_park(void)
{
    bad_open();
    troupe_node *n = node_on(NULL, ALL);
    for (int i = 0; i < 20; i++) {
        heard h = ask(n, "s/x", "ask_save", "");
        printf("%s ", troupe_status_name(h.status));
    }
    for (int i = 0; i < 50; i++) {
        char id[16];
        snprintf(id, sizeof id, "s/%d", i);
        (void)ask(n, id, "add", "");
    }
    usleep(300000);
    heard h = ask(n, "s/x", "show", "");
    printf("%s %s\n", troupe_status_name(h.status), h.text);
    troupe_node_close(n);
    return verdict(true, "a save hook that fails at a park (look for a trap, or ASAN)");
}
/* one turn holds without limit */
static int held_grows(void)
{
    bad_open();
    troupe_node *n = node_on(NULL, ALL);
    heard h = ask(n, "p/x", "many", "");
    printf("accepted %s\n", h.text);
    return verdict(atol(h.text) < 100000, "tells that one turn may hold are limited");
}
/* a refusal whose acknowledgement finds no sender is a success when it comes again */
static int dead_lost(void)
{
    bad_open();
    troupe_node *n = node_on(NULL, ALL);
    assert_ok(ask(n, "p/x", "box", "p/z refuse").status);
    usleep(5000); /* handled; the row's change to a dead letter waits up to 20 ms for a commit */
    atomic_store(&store.fail_next, 1); /* ... which fails: as a crash in between would */
    usleep(500000);
    heard h = ask(n, "p/x", "show", "");
    printf("%s\n", h.text);
    sleep(3);
    uint64_t dead = 0;
    troupe_stats st_ = stats_of(n);
    dead = st_.dead_letters;
    printf("dead letters counted %llu (first was undone by the failed commit)\n",
        (unsigned long long)dead);
    heard z = ask(n, "p/z", "show", "");
    printf("z %s\n", z.text);
    return verdict(dead >= 2, "a refused message is a dead letter, whatever crashes");
}
/* cancelling an ask that is held in the gate */
static _Atomic(troupe_cancel *) token;
static troupe_status ask_cancel(troupe_turn *t, void *s, troupe_slice in)
{
    (void)in;
    ((st *)s)->n++;
    troupe_answer a = TROUPE_ANSWER_INIT;
    troupe_status r = troupe_ask(t, id_of("v/z"), "slow", troupe_str(""),
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .cancel = atomic_load(&token)}, &a);
    troupe_answer_release(&a);
    return r ? troupe_fail(t, r, "ask ended") : troupe_reply_bytes(t, troupe_str("answered"));
}
static const troupe_method cmethods[] = {TROUPE_METHOD(ask_cancel)};
static const troupe_type c_type = {TROUPE_TYPE("c"), .state_size = sizeof(st),
    TROUPE_METHODS(cmethods), .persist = TROUPE_PERSIST_EVERY_TURN};
static const troupe_type cv_type = {
    TROUPE_TYPE("cv"), .state_size = sizeof(st), TROUPE_METHODS(cmethods)};
static double cancelled_after(troupe_node *n, const char *id)
{
    troupe_cancel *c = NULL;
    assert_ok(troupe_cancel_create(n, &c));
    atomic_store(&token, c);
    troupe_client *cl = NULL;
    assert_ok(troupe_client_open(n, &cl));
    static call calls[2];
    static int at;
    call *k = &calls[at++];
    assert_ok(troupe_client_ask_callback(
        cl, id_of(id), "ask_cancel", troupe_str(""), NULL, call_over, k));
    usleep(350000); /* loaded; its commit is under way */
    uint64_t t = clock_now();
    troupe_cancel_fire(c);
    while (!atomic_load(&k->ends))
        usleep(1000);
    printf("%s: %s %s\n", id, troupe_status_name(k->got.status), k->got.text);
    return (double)(clock_now() - t) / 1e9;
}
static int cancel_held(void)
{
    bad_open();
    troupe_node *n = node_on(NULL, TROUPE_TYPES(&c_type, &cv_type, &v_type));
    double volatile_ = cancelled_after(n, "cv/x");
    sleep(2);
    atomic_store(&store.delay_us, 300000);
    double held_ = cancelled_after(n, "c/x");
    printf("not held: %.2f s, held: %.2f s\n", volatile_, held_);
    return verdict(held_ < 0.7, "cancelling an ask that waits in the gate");
}
/* the same as zeros, from a state that is stored already: what is in the store afterwards */
static int zeros_stored(void)
{
    static const troupe_type before = {TROUPE_TYPE("act"), .state_size = sizeof(st),
        TROUPE_METHODS(wmethods), .persist = TROUPE_PERSIST_EVERY_TURN};
    setvbuf(stdout, NULL, _IONBF, 0);
    troupe_node_options o = {TROUPE_NODE_OPTIONS, .drain_timeout = MS(200), .log = "off"};
    bad_open();
    troupe_node *n = node_on(&o, TROUPE_TYPES(&before));
    for (int i = 0; i < 3; i++)
        assert_ok(ask(n, "act/x", "add", "").status);
    troupe_node_close(n);
    n = node_on(&o, TROUPE_TYPES(&act_type));
    heard h;
    for (int i = 0; i < 4; i++) {
        h = ask_within(n, "act/x", "show", "", TROUPE_SECONDS(2));
        printf("with on_activate: %s %s\n", troupe_status_name(h.status), h.text);
    }
    troupe_node_close(n);
    n = node_on(&o, TROUPE_TYPES(&before));
    h = ask(n, "act/x", "show", "");
    printf("what is stored now: %s\n", h.text);
    return verdict(strncmp(h.text, "n3 ", 3) == 0,
        "reads of a type with on_activate leave the stored state alone");
}
/* The child may crash; its parent tells. */
static void in_its_own_process(int (*run)(void))
{
    fflush(stdout);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(run());
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status))
        print_error("the scene ended by signal %d\n", WTERMSIG(status));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define SCENE(test, run)           \
    static void test(void **state) \
    {                              \
        (void)state;               \
        in_its_own_process(run);   \
    }
SCENE(a_read_beside_on_activate_keeps_what_was_acknowledged, zeros)
SCENE(a_type_that_saves_every_n_turns_saves_at_deactivation, every_n)
SCENE(a_refused_message_is_a_dead_letter_though_its_answer_was_lost, dead_lost)
SCENE(an_ask_that_waits_in_the_gate_can_be_cancelled, cancel_held)
SCENE(reads_leave_a_stored_state_alone, zeros_stored)
SCENE(an_outbox_message_that_comes_beside_itself_takes_effect_once, twice)
SCENE(an_actor_whose_commit_failed_can_leave, zombie)
SCENE(ask_then_is_answered_though_the_outbox_of_its_target_is_full, lost_then)
SCENE(ask_then_that_is_given_up_runs_its_failed_method, expired_then)
SCENE(an_ask_once_that_rests_on_a_failed_commit_ends_with_it, once_held)
SCENE(a_call_that_waited_for_its_twin_is_answered_when_that_was_poisoned, twins_lost)
SCENE(an_acknowledgement_may_come_during_the_save_of_a_deactivation, leave_race)
SCENE(a_call_once_that_was_done_is_not_told_that_it_was_not, once_withdrawn)
SCENE(what_on_deactivate_sends_rests_on_its_save, parting_words)
SCENE(what_on_deactivate_changes_is_stored, parting_reader)
SCENE(a_turn_whose_commit_failed_has_sent_nothing, phantom)
SCENE(a_save_hook_that_fails_at_a_park_fails_the_turn, save_at_park)
SCENE(what_one_turn_may_hold_is_limited, held_grows)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_beside_on_activate_keeps_what_was_acknowledged),
        cmocka_unit_test(a_type_that_saves_every_n_turns_saves_at_deactivation),
        cmocka_unit_test(a_refused_message_is_a_dead_letter_though_its_answer_was_lost),
        cmocka_unit_test(an_ask_that_waits_in_the_gate_can_be_cancelled),
        cmocka_unit_test(reads_leave_a_stored_state_alone),
        cmocka_unit_test(an_outbox_message_that_comes_beside_itself_takes_effect_once),
        cmocka_unit_test(an_actor_whose_commit_failed_can_leave),
        cmocka_unit_test(ask_then_is_answered_though_the_outbox_of_its_target_is_full),
        cmocka_unit_test(ask_then_that_is_given_up_runs_its_failed_method),
        cmocka_unit_test(an_ask_once_that_rests_on_a_failed_commit_ends_with_it),
        cmocka_unit_test(a_call_that_waited_for_its_twin_is_answered_when_that_was_poisoned),
        cmocka_unit_test(an_acknowledgement_may_come_during_the_save_of_a_deactivation),
        cmocka_unit_test(a_call_once_that_was_done_is_not_told_that_it_was_not),
        cmocka_unit_test(what_on_deactivate_sends_rests_on_its_save),
        cmocka_unit_test(what_on_deactivate_changes_is_stored),
        cmocka_unit_test(a_turn_whose_commit_failed_has_sent_nothing),
        cmocka_unit_test(a_save_hook_that_fails_at_a_park_fails_the_turn),
        cmocka_unit_test(what_one_turn_may_hold_is_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
