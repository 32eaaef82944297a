/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop of the admin socket: listener, connections, signals, and stopping in order. Not what a
 * request does, which is calls.c and inspect.c. Invariants and threads: server_inside.h.
 */
#include "trouped/notify.h"
#include "trouped/server_inside.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <troupe/cluster.h>
#include <unistd.h>

static void take_lines(daemon_connection *connection);

/* ---- connections ---- */

static void finish_if_over(daemon_server *server)
{
    if (server->stage != SERVER_SERVING && server->connection_count == 0) {
        server->stage = SERVER_OVER;
        uv_stop(&server->loop);
    }
}

static void connection_free_if_over(daemon_connection *connection)
{
    daemon_server *server = connection->server;
    if (!connection->is_closed || connection->in_flight > 0) return;
    *connection->link = connection->next;
    if (connection->next != NULL) connection->next->link = connection->link;
    if (connection->client != NULL) troupe_client_close(connection->client);
    if (connection->cancel != NULL) troupe_cancel_destroy(connection->cancel);
    admin_lines_deinit(&connection->lines);
    free(connection);
    server->connection_count--;
    finish_if_over(server);
}

static void on_closed(uv_handle_t *handle)
{
    daemon_connection *connection = handle->data;
    connection->is_closed = true;
    connection_free_if_over(connection);
}

static void connection_close(daemon_connection *connection)
{
    if (connection->is_closing) return;
    connection->is_closing = true;
    /* Nobody waits for these answers any more; what has not started need not start. */
    if (connection->in_flight > 0 && connection->cancel != NULL) {
        troupe_cancel_fire(connection->cancel);
    }
    uv_close((uv_handle_t *)&connection->pipe, on_closed);
}

/* At the end of its stream: has the caller gone, or only said that no more requests come? */
static bool is_gone(const daemon_connection *connection)
{
    uv_os_fd_t descriptor = -1;
    if (uv_fileno((const uv_handle_t *)&connection->pipe, &descriptor) != 0) return true;
    struct pollfd query = {.fd = descriptor};
    return poll(&query, 1, 0) > 0 && (query.revents & (POLLHUP | POLLERR)) != 0;
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    daemon_connection *connection = handle->data;
    (void)suggested;
    buffer->base = admin_lines_room(&connection->lines, ADMIN_READ_SIZE);
    buffer->len = buffer->base != NULL ? ADMIN_READ_SIZE : 0;
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    daemon_connection *connection = stream->data;
    (void)buffer;
    if (size == 0) return;
    if (size > 0) {
        admin_lines_add(&connection->lines, (size_t)size);
    } else {
        connection->is_ended = true;
        if (size != UV_EOF || is_gone(connection)) {
            /* Tells that were sent before it went still count. */
            take_lines(connection);
            connection_close(connection);
            return;
        }
    }
    take_lines(connection);
}

static bool may_go_on(const daemon_connection *connection)
{
    return connection->in_flight < ADMIN_IN_FLIGHT_MAX && !connection->is_closing &&
           uv_stream_get_write_queue_size((const uv_stream_t *)&connection->pipe) <= WRITE_PAUSE;
}

static void set_reading(daemon_connection *connection)
{
    uv_stream_t *stream = (uv_stream_t *)&connection->pipe;
    bool is_wanted = may_go_on(connection) && !connection->is_ended;
    if (is_wanted == connection->is_reading || connection->is_closing) return;
    connection->is_reading = is_wanted;
    if (!is_wanted) {
        uv_read_stop(stream);
    } else if (uv_read_start(stream, on_room, on_read) != 0) {
        connection_close(connection);
    }
}

/* Takes what may be taken, then reads on or not. Answers given at once come back here. */
static void take_lines(daemon_connection *connection)
{
    admin_line kind = ADMIN_LINE_TAKEN;
    troupe_slice line = {0};
    if (connection->is_taking) return;
    connection->is_taking = true;
    while (kind != ADMIN_LINE_NONE && may_go_on(connection)) {
        kind = admin_lines_take(&connection->lines, connection->is_ended, &line);
        if (kind == ADMIN_LINE_TAKEN) call_start(connection, line);
        if (kind == ADMIN_LINE_TOO_LONG) {
            call_refuse(connection, TROUPE_TOO_LARGE, "the line is longer than 12 MiB");
        }
    }
    connection->is_taking = false;
    set_reading(connection);
    if (connection->is_ended && kind == ADMIN_LINE_NONE && connection->in_flight == 0 &&
        connection->writing == 0) {
        connection_close(connection);
    }
}

/* ---- answers ---- */

void server_done(daemon_call *call)
{
    daemon_server *server = call->server;
    call->next = atomic_load_explicit(&server->done, memory_order_relaxed);
    /* Release: the loop that takes the list sees the filled call. */
    while (!atomic_compare_exchange_weak_explicit(&server->done, &call->next, call,
                                                  memory_order_release, memory_order_relaxed)) {
    }
    uv_async_send(&server->arrival);
}

static void deliver_all(daemon_server *server)
{
    daemon_call *list = atomic_exchange_explicit(&server->done, NULL, memory_order_acquire);
    daemon_call *in_order = NULL;
    while (list != NULL) {
        daemon_call *call = list;
        list = call->next;
        call->next = in_order;
        in_order = call;
    }
    while (in_order != NULL) {
        daemon_call *call = in_order;
        in_order = call->next;
        if (call_finish(call)) server_deliver(call);
    }
}

static void on_arrival(uv_async_t *async)
{
    deliver_all(async->data);
}

static void on_written(uv_write_t *write, int status)
{
    daemon_call *call = write->data;
    daemon_connection *connection = call->connection;
    call_destroy(call);
    connection->writing--;
    if (connection->is_closing) return;
    if (status != 0) {
        connection_close(connection);
    } else {
        take_lines(connection);
    }
}

static void write_out(daemon_call *call)
{
    daemon_connection *connection = call->connection;
    uv_stream_t *stream = (uv_stream_t *)&connection->pipe;
    uv_buf_t buffer = uv_buf_init(call->out.data, (unsigned)call->out.size);
    call->write.data = call;
    connection->writing++;
    if (uv_write(&call->write, stream, &buffer, 1, on_written) != 0) {
        connection->writing--;
        call_destroy(call);
        connection_close(connection);
        return;
    }
    if (uv_stream_get_write_queue_size(stream) <= WRITE_MAX) return;
    daemon_server *server = connection->server;
    voice_say(server->options.voice, TROUPE_LOG_WARN, "admin_slow",
                  "a caller does not read its answers: its connection is closed");
    connection_close(connection);
}

void server_deliver(daemon_call *call)
{
    daemon_connection *connection = call->connection;
    if (call->out.size > WRITE_MAX) {
        call->out.size = 0;
        admin_write_error(&call->out, call->request.id, TROUPE_TOO_LARGE, TROUPE_DONE,
                          troupe_str("it ran, but its answer is longer than 64 MiB"));
    }
    connection->in_flight--;
    if (connection->is_closing) {
        call_destroy(call);
        connection_free_if_over(connection);
    } else if (call->out.failed) {
        call_destroy(call);
        connection_close(connection); /* no memory for an answer: silence would look like waiting */
    } else {
        write_out(call);
        if (!connection->is_closing) take_lines(connection);
    }
}

/* ---- the listener ---- */

static void on_turned_away(uv_handle_t *handle)
{
    free(handle);
}

/* One line, as far as it fits into the socket at once, and the end. */
static void turn_away(uv_stream_t *listener, troupe_status status, const char *words)
{
    uv_os_fd_t descriptor = -1;
    cmd_bytes out = {0};
    uv_pipe_t *pipe = malloc(sizeof(*pipe));
    if (pipe == NULL || uv_pipe_init(listener->loop, pipe, 0) != 0) {
        free(pipe);
        return;
    }
    if (uv_accept(listener, (uv_stream_t *)pipe) == 0 &&
        uv_fileno((const uv_handle_t *)pipe, &descriptor) == 0) {
        admin_write_error(&out, "null", status, TROUPE_NOT_DONE, troupe_str(words));
        if (!out.failed) {
            ssize_t ignored = send(descriptor, out.data, out.size, MSG_NOSIGNAL | MSG_DONTWAIT);
            (void)ignored;
        }
        cmd_bytes_deinit(&out);
    }
    uv_close((uv_handle_t *)pipe, on_turned_away);
}

static void check_peer(daemon_connection *connection)
{
    uv_os_fd_t descriptor = -1;
    uid_t uid = (uid_t)-1;
    if (uv_fileno((const uv_handle_t *)&connection->pipe, &descriptor) == 0 &&
        listen_peer_is_allowed(descriptor, &uid)) {
        set_reading(connection);
        return;
    }
    daemon_server *server = connection->server;
    voice_say(server->options.voice, TROUPE_LOG_WARN, "admin_denied",
                  "a process of another user called: its connection is closed");
    connection->is_ended = true;
    call_refuse(connection, TROUPE_DENIED, "only the user that trouped runs as may call");
}

static void on_connection(uv_stream_t *listener, int status)
{
    daemon_server *server = listener->data;
    if (status != 0) return;
    if (server->connection_count >= ADMIN_CONNECTIONS_MAX) {
        turn_away(listener, TROUPE_BUSY, "64 connections are open: try again later");
        return;
    }
    daemon_connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL || uv_pipe_init(&server->loop, &connection->pipe, 0) != 0) {
        free(connection);
        turn_away(listener, TROUPE_NO_MEMORY, "");
        return;
    }
    connection->pipe.data = connection;
    connection->server = server;
    connection->next = server->connections;
    connection->link = &server->connections;
    if (connection->next != NULL) connection->next->link = &connection->next;
    server->connections = connection;
    server->connection_count++;
    if (uv_accept(listener, (uv_stream_t *)&connection->pipe) != 0 ||
        troupe_client_open(server->options.node, &connection->client) != TROUPE_OK ||
        troupe_cancel_create(server->options.node, &connection->cancel) != TROUPE_OK) {
        connection_close(connection);
        return;
    }
    check_peer(connection);
}

/* ---- stopping ---- */

static void drain(daemon_server *server)
{
    notify_manager("STOPPING=1");
    server->stage = SERVER_DRAINING;
    uv_close((uv_handle_t *)&server->listener, NULL);
    listen_remove(server->options.socket);
    daemon_connection *next = NULL;
    for (daemon_connection *c = server->connections; c != NULL; c = next) {
        uv_os_fd_t descriptor = -1;
        next = c->next;
        /* What was sent before this is still read, and answered CLOSED; then comes the end. A later
         * write fails for the caller at once, so that it knows that nothing happened. */
        if (!c->is_closing && uv_fileno((const uv_handle_t *)&c->pipe, &descriptor) == 0) {
            shutdown(descriptor, SHUT_RD);
        }
    }
}

static void cancel_all(daemon_server *server)
{
    server->stage = SERVER_HURRYING;
    atomic_store_explicit(&server->is_hurried, true, memory_order_relaxed);
    for (daemon_connection *c = server->connections; c != NULL; c = c->next) {
        if (c->cancel != NULL) troupe_cancel_fire(c->cancel);
    }
}

static void close_all(daemon_server *server)
{
    server->stage = SERVER_OVER;
    daemon_connection *next = NULL;
    for (daemon_connection *c = server->connections; c != NULL; c = next) {
        next = c->next;
        connection_close(c);
    }
    uv_stop(&server->loop);
}

static void on_timer(uv_timer_t *timer)
{
    daemon_server *server = timer->data;
    if (server->stage == SERVER_DRAINING) {
        server_stop(server, true);
    } else {
        close_all(server);
    }
}

void server_stop(daemon_server *server, bool is_hurried)
{
    const daemon_server_options *options = &server->options;
    if (server->stage == SERVER_SERVING) {
        voice_say(options->voice, TROUPE_LOG_INFO, "stopping", is_hurried ? "stops at once"
                  : "stops when what was accepted has ended; once more: at once");
        drain(server);
        uint64_t wait = daemon_config_drain_timeout(options->config) / 1000000;
        uv_timer_start(&server->timer, on_timer, wait, 0);
    }
    if (is_hurried && server->stage == SERVER_DRAINING) {
        voice_say(options->voice, TROUPE_LOG_WARN, "hurrying", "asks under way are cancelled");
        cancel_all(server);
        uv_timer_start(&server->timer, on_timer, HURRY_TIME_MS, 0);
    } else if (is_hurried && server->stage == SERVER_HURRYING) {
        close_all(server);
    }
    finish_if_over(server);
}

/* [worker] Signals that come meanwhile may have been meant for what was just read: once more. */
static void reload(worker_job *job)
{
    void *holder = (char *)job - offsetof(daemon_server, reload);
    daemon_server *server = holder;
    unsigned seen;
    do {
        char error[1024];
        cmd_bytes answer = {0};
        seen = atomic_load(&server->hangups);
        /* What there is to say of it is in the log. */
        troupe_status ignored =
            daemon_config_reload(server->options.config, &answer, error, sizeof(error));
        (void)ignored;
        cmd_bytes_deinit(&answer);
    } while (atomic_fetch_sub(&server->hangups, seen) != seen);
}

static void on_signal(uv_signal_t *signal, int number)
{
    daemon_server *server = signal->data;
    if (number == SIGHUP) {
        if (server->stage == SERVER_SERVING && atomic_fetch_add(&server->hangups, 1) == 0) {
            worker_add(&server->worker, &server->reload);
        }
        return;
    }
    server_stop(server, server->stage != SERVER_SERVING);
}

/* Held since the process began. */
static void let_hangups_on(void)
{
    sigset_t held;
    sigemptyset(&held);
    sigaddset(&held, SIGHUP);
    pthread_sigmask(SIG_UNBLOCK, &held, NULL);
}

static void on_leaver(uv_timer_t *timer)
{
    deliver_all(timer->data); /* what is answered already is not left */
    calls_leave(timer->data);
}

static void on_watchdog(uv_timer_t *timer)
{
    (void)timer;
    notify_manager("WATCHDOG=1");
}

/* ---- life ---- */

static bool start_handles(daemon_server *server)
{
    static const int numbers[3] = {SIGTERM, SIGINT, SIGHUP};
    uv_loop_t *loop = &server->loop;
    if (uv_async_init(loop, &server->arrival, on_arrival) != 0) return false;
    server->arrival.data = server;
    uv_timer_init(loop, &server->timer);
    server->timer.data = server;
    uv_timer_init(loop, &server->leaver);
    server->leaver.data = server;
    uv_timer_start(&server->leaver, on_leaver, LEFT_AFTER_MS / 4, LEFT_AFTER_MS / 4);
    uv_unref((uv_handle_t *)&server->leaver);
    uint64_t watchdog = notify_watchdog_interval();
    uv_timer_init(loop, &server->watchdog);
    if (watchdog != 0) uv_timer_start(&server->watchdog, on_watchdog, watchdog, watchdog);
    uv_unref((uv_handle_t *)&server->watchdog); /* it is no reason to go on */
    for (size_t i = 0; i < 3; i++) {
        uv_signal_init(loop, &server->signals[i]);
        server->signals[i].data = server;
        if (uv_signal_start(&server->signals[i], on_signal, numbers[i]) != 0) return false;
    }
    let_hangups_on();
    uv_pipe_init(loop, &server->listener, 0);
    server->listener.data = server;
    return uv_pipe_open(&server->listener, server->options.socket->descriptor) == 0 &&
           uv_listen((uv_stream_t *)&server->listener, 64, on_connection) == 0;
}

bool server_create(const daemon_server_options *options, daemon_server **ret_server)
{
    daemon_server *server = calloc(1, sizeof(*server));
    if (server == NULL) return false;
    server->options = *options;
    server->reload.run = reload;
    if (uv_loop_init(&server->loop) != 0) {
        free(server);
        return false;
    }
    if (!start_handles(server) || !worker_start(&server->worker) ||
        !worker_start(&server->store_worker)) {
        server_destroy(server);
        return false;
    }
    *ret_server = server;
    return true;
}

static void stop_workers(daemon_server *server)
{
    worker_stop(&server->worker);
    worker_stop(&server->store_worker);
}

void server_run(daemon_server *server)
{
    uv_run(&server->loop, UV_RUN_DEFAULT);
    /* From here a signal ends the process: what follows has no loop that could look at it. */
    for (size_t i = 0; i < 3; i++) uv_signal_stop(&server->signals[i]);
    uv_timer_stop(&server->leaver);
    stop_workers(server);
    deliver_all(server);
}

void server_close_clients(daemon_server *server)
{
    for (daemon_connection *c = server->connections; c != NULL; c = c->next) {
        if (c->client != NULL) troupe_client_close(c->client);
        c->client = NULL;
        /* Calls that closing the node will end still name it, and it cannot outlive the node. The
         * process is about to end: better left than freed too early. */
        c->cancel = NULL;
    }
}

static void close_handle(uv_handle_t *handle, void *argument)
{
    (void)argument;
    if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

void server_destroy(daemon_server *server)
{
    if (server == NULL) return;
    stop_workers(server);
    /* The node is closed: every call came back, and the connections go with the last of them. */
    deliver_all(server);
    while (server->connections != NULL && uv_run(&server->loop, UV_RUN_ONCE) != 0) {
    }
    uv_walk(&server->loop, close_handle, NULL);
    uv_run(&server->loop, UV_RUN_DEFAULT);
    uv_loop_close(&server->loop);
    free(server);
}
