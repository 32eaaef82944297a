/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens, drains and closes the server: libmicrohttpd with threads of its own, each with an epoll of
 * its own. What a request does is in request.c.
 *
 * Invariants: the library is stopped when no connection is suspended: every ask that was accepted
 * has been answered then, or the node has broken its promise, and the server is left as it is.
 * Threads: gateway.h.
 */
#include "gateway/server.h"

#include "gateway/inside.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    HEAD_MAX = 32 * 1024, /* bytes of a request's head, and of what is read of a body at a time */
};

#define TLS_VERSIONS "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* ---- what the library is told ---------------------------------------------------------------- */

/* Paths and values stay as they came: route.c takes the escapes away, once. */
static size_t keep_escapes(void *user, struct MHD_Connection *connection, char *text)
{
    (void)user;
    (void)connection;
    return strlen(text);
}

__attribute__((format(printf, 2, 0))) static void on_words(
    void *user, const char *format, va_list arguments)
{
    tp_gateway *gateway = user;
    char words[300];
    (void)vsnprintf(words, sizeof words, format, arguments);
    words[strcspn(words, "\r\n")] = 0;
    gateway->host.log(gateway->host.node, TROUPE_LOG_DEBUG, "http", words);
}

static unsigned seconds_of(uint64_t duration)
{
    uint64_t seconds = duration / TROUPE_SECONDS(1) + (duration % TROUPE_SECONDS(1) != 0);
    return seconds < 86400 ? (unsigned)seconds : 86400;
}

static struct MHD_Daemon *start(tp_gateway *gateway)
{
    const tp_gateway_host *host = &gateway->host;
    const struct MHD_OptionItem pool[] = {
        {host->threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, host->threads, NULL},
        {MHD_OPTION_END, 0, NULL}};
    bool is_tls = gateway->is_tls;
    const char *trust = is_tls ? tp_http_tls_trust(gateway->tls.newest) : NULL;
    const struct MHD_OptionItem tls[] = {{is_tls ? MHD_OPTION_NOTIFY_CONNECTION : MHD_OPTION_END,
                                             (intptr_t)tp_http_tls_connection, gateway},
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, tp_http_tls_retriever()},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_VERSIONS},
        {trust != NULL ? MHD_OPTION_HTTPS_MEM_TRUST : MHD_OPTION_END, 0, (void *)(uintptr_t)trust},
        {MHD_OPTION_END, 0, NULL}};
    /* Its threads are deaf to signals, as all of a node are. Linux: the mask of this thread. */
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO |
                             MHD_USE_ERROR_LOG | (is_tls ? MHD_USE_TLS : 0u),
            0, NULL, NULL, tp_request_handle, gateway, MHD_OPTION_EXTERNAL_LOGGER, on_words,
            gateway, MHD_OPTION_LISTEN_SOCKET, (MHD_socket)host->socket.handle,
            MHD_OPTION_CONNECTION_LIMIT, (unsigned)host->connections, MHD_OPTION_CONNECTION_TIMEOUT,
            seconds_of(host->timeout), MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_MAX,
            MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
            MHD_OPTION_NOTIFY_COMPLETED, tp_request_completed, gateway, MHD_OPTION_ARRAY, pool,
            MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return daemon;
}

/* ---- the port -------------------------------------------------------------------------------- */

static void release(tp_gateway *gateway)
{
    const troupe_allocator *allocator = gateway->host.allocator;
    size_t size = strlen(gateway->host.token) + 1;
    tp_http_tls_put(&gateway->tls, NULL);
    tp_limits_close(&gateway->limits, &gateway->host);
    tp_streams_release(gateway);
    explicit_bzero(gateway->token, size);
    tp_release(allocator, gateway->token, size);
    tp_release(allocator, gateway, sizeof *gateway);
}

static troupe_status server_open(
    const tp_gateway_host *host, tp_gateway **ret_gateway, char *error, size_t error_size)
{
    size_t token_size = strlen(host->token) + 1;
    tp_gateway *gateway = tp_allocate(host->allocator, sizeof *gateway);
    char *token = tp_allocate(host->allocator, token_size);
    if (gateway == NULL || token == NULL) {
        (void)snprintf(error, error_size, "http: no memory");
        (void)close((MHD_socket)host->socket.handle);
        tp_release(host->allocator, gateway, sizeof *gateway);
        tp_release(host->allocator, token, token_size);
        return TROUPE_NO_MEMORY;
    }
    memset(gateway, 0, sizeof *gateway);
    gateway->host = *host;
    gateway->listener = MHD_INVALID_SOCKET;
    gateway->token = token;
    gateway->host.token = memcpy(token, host->token, token_size);
    atomic_flag_clear(&gateway->tls.lock);
    tp_desk_init(&gateway->desk, host);
    gateway->is_tls = host->tls != NULL;
    gateway->host.tls = NULL;
    troupe_status status = host->tls != NULL ? tp_http_tls_create(host->allocator, host->tls,
                                                   &gateway->tls.newest, error, error_size)
                                             : TROUPE_OK;
    if (status == TROUPE_OK)
        status = tp_limits_open(&gateway->limits, host);
    if (status == TROUPE_OK)
        status = tp_watch_start(&gateway->watch, &gateway->host);
    if (status != TROUPE_OK) {
        if (status != TROUPE_CORRUPT)
            (void)snprintf(error, error_size, "http: %s", troupe_status_text(status));
        (void)close((MHD_socket)host->socket.handle);
        release(gateway);
        return status;
    }
    status = tp_streams_start(gateway);
    gateway->daemon = status == TROUPE_OK ? start(gateway) : NULL;
    if (gateway->daemon == NULL) {
        if (status == TROUPE_OK)
            (void)!tp_streams_stop(gateway); /* nothing is subscribed yet; the library has closed
                                                the socket */
        else
            (void)close((MHD_socket)host->socket.handle);
        (void)snprintf(error, error_size,
            "http: the server did not start: threads or open files (ulimit -n) are at their limit");
        tp_watch_stop(&gateway->watch);
        release(gateway);
        return TROUPE_UNAVAILABLE;
    }
    *ret_gateway = gateway;
    return TROUPE_OK;
}

static void server_drain(tp_gateway *gateway)
{
    atomic_store(&gateway->draining, true);
    tp_streams_drain(gateway);
    /* The library's threads may be at it until they have ended: nobody comes in, but it is open. */
    gateway->listener = MHD_quiesce_daemon(gateway->daemon);
    if (gateway->listener != MHD_INVALID_SOCKET)
        (void)shutdown(gateway->listener, SHUT_RDWR);
}

/* Until no call is under way, or it is so late. */
static void wait_for_calls(tp_gateway *gateway, uint64_t until)
{
    tp_env *env = gateway->host.env;
    tp_waiter waiter = {0};
    if (env->wait_begin(env, &waiter) != TROUPE_OK)
        return;
    atomic_store(&gateway->closer, &waiter);
    bool is_woken = atomic_load(&gateway->calls) != 0 && env->wait(env, &waiter, until);
    /* Whoever took the waiter is about to signal it. */
    if (atomic_exchange(&gateway->closer, NULL) == NULL && !is_woken)
        (void)env->wait(env, &waiter, TP_NEVER);
    env->wait_end(env, &waiter);
}

/* Shards that have answered the last calls are about to leave: no event tells when. */
static bool wait_for_shards(tp_gateway *gateway, uint64_t until)
{
    tp_env *env = gateway->host.env;
    while (atomic_load_explicit(&gateway->asked, memory_order_acquire) != 0) {
        tp_waiter waiter = {0};
        if (env->now(env) >= until)
            return false;
        if (env->wait_begin(env, &waiter) != TROUPE_OK)
            continue; /* no memory at the moment */
        (void)env->wait(env, &waiter, env->now(env) + TROUPE_MICROSECONDS(50));
        env->wait_end(env, &waiter);
    }
    return true;
}

static bool server_close(tp_gateway *gateway, uint64_t patience)
{
    uint64_t until = gateway->host.env->now(gateway->host.env) + patience;
    atomic_store(&gateway->draining, true);
    wait_for_calls(gateway, until);
    if (!wait_for_shards(gateway, until) || !tp_streams_stop(gateway)) {
        gateway->host.log(gateway->host.node, TROUPE_LOG_ERROR, "http_left",
            "asks of the gateway were not answered: its threads and memory stay");
        return false;
    }
    tp_request_resume_all(gateway); /* the library may not be stopped with suspended ones */
    MHD_stop_daemon(gateway->daemon);
    tp_watch_stop(&gateway->watch);
    if (gateway->listener != MHD_INVALID_SOCKET)
        (void)close(gateway->listener);
    release(gateway);
    return true;
}

static void server_count(const tp_gateway *gateway, tp_gateway_counts *ret_counts)
{
#define COUNT(name) ret_counts->name = atomic_load_explicit(&gateway->name, memory_order_relaxed);
    TP_GATEWAY_COUNTER_MAP(COUNT)
#undef COUNT
}

static troupe_status server_retls(
    tp_gateway *gateway, const tp_gateway_files *files, char *error, size_t error_size)
{
    tp_http_tls *tls;
    TROUPE_TRY(tp_http_tls_create(gateway->host.allocator, files, &tls, error, error_size));
    tp_http_tls_put(&gateway->tls, tls);
    return TROUPE_OK;
}

const tp_gateway_entry tp_gateway_server = {
    .size = sizeof(tp_gateway_entry),
    .number = TP_GATEWAY_NUMBER,
    .open = server_open,
    .drain = server_drain,
    .close = server_close,
    .count = server_count,
    .retls = server_retls,
};
