/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node that is played. See stand_in.h.
 * Invariants and threads: there.
 */
#include "stand_in.h"

#include "base/alloc.h"
#include "gateway/server.h"
#include "os/real.h"

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the host -------------------------------------------------------------------------------- */

/* The gateway hands this back wherever it names its node. */
static stand_in *of(troupe_node *node)
{
    return (stand_in *)(void *)node;
}

static troupe_status ask(troupe_client *client, troupe_id id, const char *method,
    troupe_slice payload, const troupe_call_options *options, troupe_client_done *done, void *user)
{
    const troupe_answer answer = {.payload = payload};
    (void)client, (void)id, (void)method, (void)options;
    done(user, &answer);
    return TROUPE_OK;
}

static troupe_status cancel_create(troupe_node *node, troupe_cancel **ret_cancel)
{
    (void)node;
    *ret_cancel = NULL;
    return TROUPE_OK;
}

static void cancel_nothing(troupe_cancel *cancel)
{
    assert_null(cancel);
}

static troupe_status stores(troupe_node *node, troupe_id id, char *error, size_t error_size)
{
    (void)node, (void)id, (void)error, (void)error_size;
    return TROUPE_OK;
}

static troupe_status load(
    troupe_node *node, troupe_id id, troupe_store_op *op, char *error, size_t error_size)
{
    (void)error, (void)error_size;
    atomic_fetch_add(&of(node)->loads, 1);
    op->id = id;
    op->found = 1;
    op->done(op);
    return TROUPE_OK;
}

static troupe_status show(troupe_node *node, troupe_store_op *op, troupe_stored_visit *visit,
    void *user, char *error, size_t error_size)
{
    const troupe_stored stored = {
        .id = op->id, .version = op->found, .has_state = true, .json = troupe_str("{}")};
    stand_in *self = of(node);
    (void)error, (void)error_size;
    atomic_fetch_add(&self->shows, 1);
    if (atomic_load(&self->failures) != 0) {
        atomic_fetch_sub(&self->failures, 1);
        return TROUPE_NO_MEMORY;
    }
    visit(user, &stored);
    return TROUPE_OK;
}

static troupe_status lookup(troupe_node *node, troupe_id id, troupe_consistency consistency,
    uint64_t timeout, troupe_cluster_place_visit *visit, void *user)
{
    stand_in *self = of(node);
    (void)id, (void)consistency, (void)timeout, (void)visit, (void)user;
    atomic_fetch_add(&self->looks, 1);
    while (atomic_load(&self->is_shut))
        (void)poll(NULL, 0, 1);
    return TROUPE_NOT_FOUND;
}

static troupe_status subscribe(
    troupe_node *node, troupe_lifecycle_visit *visit, void *user, uint64_t *ret_subscription)
{
    stand_in *self = of(node);
    (void)visit, (void)user;
    atomic_fetch_add(&self->looks, 1);
    while (atomic_load(&self->is_shut))
        (void)poll(NULL, 0, 1);
    *ret_subscription = 1;
    return TROUPE_OK;
}

static troupe_status unsubscribe(troupe_node *node, uint64_t subscription)
{
    (void)node, (void)subscription;
    return TROUPE_OK;
}

static troupe_status watch(troupe_node *node, void (*committed)(void *user, uint64_t hash),
    void *user, uint64_t *ret_subscription)
{
    (void)committed;
    return subscribe(node, NULL, user, ret_subscription);
}

static uint64_t hash_of(troupe_node *node, troupe_id id)
{
    (void)node;
    return id.key.size;
}

static troupe_status metrics(troupe_node *node, troupe_page_write *write, void *user)
{
    stand_in *self = of(node);
    atomic_store(&self->is_asked, true);
    while (atomic_load(&self->is_held))
        (void)poll(NULL, 0, 1);
    return write(user, troupe_str("none\n"));
}

static bool is_ready(troupe_node *node)
{
    (void)node;
    return true;
}

static void log_nothing(
    troupe_node *node, troupe_log_level level, const char *event, const char *text)
{
    (void)node, (void)event;
    if (level == TROUPE_LOG_ERROR)
        fail_msg("%s", text);
}

void stand_in_init(stand_in *self)
{
    char error[128] = "";
    tp_socket socket;
    const tp_real_options options = {
        .allocator = tp_allocator_system(), .blocking_threads = 4, .blocking_limit = 1000};
    *self = (stand_in){.env = NULL};
    assert_int_equal(tp_real_env_create(&options, &self->env), TROUPE_OK);
    assert_int_equal(tp_net_bind("127.0.0.1:0", &socket, error, sizeof error), TROUPE_OK);
    tp_net_bound(socket, self->address, sizeof self->address);
    self->host = (tp_gateway_host){.env = self->env,
        .allocator = tp_allocator_system(),
        .ask = ask,
        .cancel_create = cancel_create,
        .cancel_fire = cancel_nothing,
        .cancel_destroy = cancel_nothing,
        .ended = tp_net_ended,
        .stores = stores,
        .load = load,
        .show = show,
        .lookup = lookup,
        .subscribe = subscribe,
        .watch = watch,
        .hash = hash_of,
        .unsubscribe = unsubscribe,
        .metrics = metrics,
        .is_ready = is_ready,
        .log = log_nothing,
        .node = (troupe_node *)(void *)self,
        .name = "played",
        .socket = socket,
        .token = "",
        .threads = 1,
        .connections = 200,
        .calls = 100,
        .pool = options.blocking_threads,
        .bytes = 1 << 24,
        .body = 1 << 20,
        .timeout = TROUPE_SECONDS(60)};
}

troupe_status stand_in_open(stand_in *self)
{
    char error[256] = "";
    return tp_gateway_server.open(&self->host, &self->gateway, error, sizeof error);
}

void stand_in_close(stand_in *self)
{
    if (self->gateway != NULL) {
        tp_gateway_server.drain(self->gateway);
        assert_true(tp_gateway_server.close(self->gateway, TROUPE_SECONDS(20)));
    }
    self->env->destroy(self->env);
}

/* ---- callers --------------------------------------------------------------------------------- */

int caller_send(const stand_in *self, const char *method, const char *path)
{
    char text[512];
    struct sockaddr_in at = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(strrchr(self->address, ':') + 1)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int caller = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(caller >= 0);
    assert_int_equal(connect(caller, (struct sockaddr *)&at, sizeof at), 0);
    int size = snprintf(text, sizeof text,
        "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        method, path);
    assert_int_equal(send(caller, text, (size_t)size, MSG_NOSIGNAL), size);
    return caller;
}

int caller_code(int caller, int patience_ms)
{
    char text[13] = "";
    struct pollfd wait = {caller, POLLIN, 0};
    if (poll(&wait, 1, patience_ms) != 1 || recv(caller, text, 12, MSG_WAITALL) != 12)
        return -1;
    return atoi(text + 9);
}

bool caller_shows(int caller, const char *text, int patience_ms)
{
    char seen[4096] = "";
    size_t size = 0;
    struct pollfd wait = {caller, POLLIN, 0};
    while (strstr(seen, text) == NULL) {
        if (size == sizeof seen - 1 || poll(&wait, 1, patience_ms) != 1)
            return false;
        ssize_t got = recv(caller, seen + size, sizeof seen - 1 - size, 0);
        if (got <= 0)
            return false;
        size += (size_t)got;
        seen[size] = 0;
    }
    return true;
}

bool caller_ends(int caller, int patience_ms)
{
    char text[4096];
    ssize_t got = 1;
    struct pollfd wait = {caller, POLLIN, 0};
    while (got > 0 && poll(&wait, 1, patience_ms) == 1)
        got = recv(caller, text, sizeof text, 0);
    (void)close(caller);
    return got == 0;
}

int caller_ask(const stand_in *self, const char *method, const char *path)
{
    int caller = caller_send(self, method, path);
    int code = caller_code(caller, 20000);
    (void)close(caller);
    return code;
}
