/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real network (net.h): TCP sockets, polled by the libuv loop of the runner that uses them, and
 * read and written here, so that a write to a reset connection raises no signal in a host's thread
 * and a write mostly is one system call with nothing behind it.
 *
 *     connecting --the system says so--> open --end, error--> broken
 *     write: all taken at once, or the rest when the loop finds room
 *
 * Invariants
 * 1. A stream's memory outlives its poll handle, whose close the loop ends later.
 * 2. One descriptor is kept in reserve, so that connections can be refused when all others are
 * taken; else the listener would be ready for ever.
 *
 * Threads: the runner's; `drop` any.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "os/real.h"

#define BACKLOG     128
#define ACCEPTS_MAX 64 /* in a row, before others have their turn */
#define HOST_MAX    256
#define SERVICE_MAX 8

typedef struct address_parts {
    char host[HOST_MAX];
    char service[SERVICE_MAX];
} address_parts;

/* A name that is looked up; outlives its stream if need be. */
typedef struct name_search {
    uv_getaddrinfo_t request;
    const troupe_allocator *allocator;
    tp_stream *stream; /* NULL: closed meanwhile */
} name_search;

struct tp_stream {
    uv_poll_t poll;
    tp_seat *seat;
    tp_link link; /* in the seat's streams */
    const tp_stream_calls *calls;
    void *user;
    name_search *search;
    const char *rest; /* of the write under way */
    size_t rest_size;
    int descriptor; /* -1: none yet */
    bool connecting, paused, broken, closed;
};

struct tp_listener {
    uv_poll_t poll;
    tp_seat *seat;
    tp_link link;
    void (*accepted)(void *user, tp_socket socket);
    void *user;
    int descriptor;
    int reserve;
};

static tp_seat *seat_of(struct tp_env *base, struct tp_runner *runner)
{
    tp_real_env *env = tp_real(base);
    return env->driven != NULL && env->driven->runner == runner ? env->driven : runner->seat;
}

static void stir(tp_seat *seat)
{
    seat->is_stirred = true;
}

/* ---- addresses ------------------------------------------------------------------------------- */

/* host:port, or [v6]:port. */
static bool split(const char *address, address_parts *ret_parts)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address || colon[1] == 0)
        return false;
    const char *host = address;
    size_t host_size = (size_t)(colon - address);
    if (address[0] == '[') {
        if (colon[-1] != ']')
            return false;
        host++;
        host_size -= 2;
    } else if (strcspn(address, ":[]") != host_size) {
        return false;
    }
    size_t service_size = strlen(colon + 1);
    if (host_size == 0 || host_size >= HOST_MAX || service_size >= SERVICE_MAX ||
        strspn(colon + 1, "0123456789") != service_size)
        return false;
    memcpy(ret_parts->host, host, host_size);
    ret_parts->host[host_size] = 0;
    memcpy(ret_parts->service, colon + 1, service_size + 1);
    return true;
}

static void print_address(const struct sockaddr *address, socklen_t length, char *out, size_t size)
{
    char host[HOST_MAX], service[SERVICE_MAX];
    if (getnameinfo(address, length, host, sizeof host, service, sizeof service,
            NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        (void)snprintf(out, size, "(unknown)");
        return;
    }
    bool is_long = strchr(host, ':') != NULL;
    (void)snprintf(out, size, "%s%s%s:%s", is_long ? "[" : "", host, is_long ? "]" : "", service);
}

static struct addrinfo hints_for(bool to_listen)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (to_listen)
        hints.ai_flags = AI_PASSIVE;
    return hints;
}

/* Of numbers, at once. NULL: it is a name. */
static struct addrinfo *of_numbers(const address_parts *parts)
{
    struct addrinfo hints = hints_for(false), *found = NULL;
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    return getaddrinfo(parts->host, parts->service, &hints, &found) == 0 ? found : NULL;
}

/* ---- sockets --------------------------------------------------------------------------------- */

/* A non-blocking socket that no child inherits; -1: errno. */
static int socket_open(int family)
{
    int descriptor = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0)
        return -1;
    int yes = 1;
    (void)setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    return descriptor;
}

static void no_delay(int descriptor)
{
    int yes = 1;
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

/* ---- streams --------------------------------------------------------------------------------- */

static void on_ready(uv_poll_t *poll, int status, int events);

static void watch(tp_stream *stream)
{
    int events = 0;
    if (stream->connecting || stream->rest_size != 0)
        events |= UV_WRITABLE;
    if (!stream->connecting && !stream->paused)
        events |= UV_READABLE;
    if (events == 0 || stream->broken)
        (void)uv_poll_stop(&stream->poll);
    else
        (void)uv_poll_start(&stream->poll, events, on_ready);
}

static void break_off(tp_stream *stream, const char *why)
{
    if (stream->broken)
        return;
    stream->broken = true;
    stream->rest_size = 0;
    if (stream->descriptor >= 0)
        watch(stream);
    stir(stream->seat);
    stream->calls->broken(stream->user, why);
}

static int error_of(const tp_stream *stream)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(stream->descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    return error;
}

static void now_open(tp_stream *stream)
{
    int error = error_of(stream);
    if (error != 0) {
        break_off(stream, strerror(error));
        return;
    }
    stream->connecting = false;
    watch(stream);
    stir(stream->seat);
    if (stream->calls->opened != NULL)
        stream->calls->opened(stream->user);
}

/* How many bytes the system took; -1: broken. */
static ssize_t push(const tp_stream *stream, const char *bytes, size_t size)
{
    for (;;) {
        ssize_t sent = send(stream->descriptor, bytes, size, MSG_NOSIGNAL);
        if (sent >= 0)
            return sent;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return 0;
        if (errno != EINTR)
            return -1;
    }
}

static void write_rest(tp_stream *stream)
{
    ssize_t sent = push(stream, stream->rest, stream->rest_size);
    if (sent < 0) {
        break_off(stream, strerror(errno));
        return;
    }
    stream->rest += sent;
    stream->rest_size -= (size_t)sent;
    if (stream->rest_size != 0)
        return;
    watch(stream);
    stir(stream->seat);
    if (stream->calls->written != NULL)
        stream->calls->written(stream->user);
}

static void read_some(tp_stream *stream)
{
    tp_seat *seat = stream->seat;
    size_t room = 0;
    char *to = stream->calls->space != NULL ? stream->calls->space(stream->user, &room) : NULL;
    if (to == NULL) {
        to = seat->arriving;
        room = TP_ARRIVING;
    }
    ssize_t got = recv(stream->descriptor, to, room, 0);
    if (got > 0) {
        stir(seat);
        stream->calls->arrived(stream->user, to, (size_t)got);
    } else if (got == 0) {
        break_off(stream, "the other side has closed the connection");
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        break_off(stream, strerror(errno));
    }
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    tp_stream *stream = TP_CONTAINER(poll, tp_stream, poll);
    if (status < 0) {
        /* libuv says EBADF of every error of a socket; the socket itself knows better. */
        int error = error_of(stream);
        break_off(stream, error != 0 ? strerror(error) : uv_strerror(status));
        return;
    }
    if (stream->connecting) {
        now_open(stream);
        return;
    }
    if ((events & UV_WRITABLE) && stream->rest_size != 0)
        write_rest(stream);
    if ((events & UV_READABLE) && !stream->closed && !stream->broken && !stream->paused)
        read_some(stream);
}

static tp_stream *stream_create(tp_seat *seat, const tp_stream_calls *calls, void *user)
{
    const troupe_allocator *allocator = seat->env->allocator;
    if (seat->arriving == NULL)
        seat->arriving = tp_allocate(allocator, TP_ARRIVING);
    tp_stream *stream = tp_allocate_zeroed(allocator, sizeof *stream);
    if (seat->arriving == NULL || stream == NULL) {
        tp_release(allocator, stream, sizeof *stream);
        return NULL;
    }
    stream->seat = seat;
    stream->calls = calls;
    stream->user = user;
    stream->descriptor = -1;
    tp_list_push_back(&seat->streams, &stream->link);
    seat->sockets++;
    return stream;
}

static void stream_free(tp_stream *stream)
{
    tp_release(stream->seat->env->allocator, stream, sizeof *stream);
}

static void on_closed(uv_handle_t *handle)
{
    stream_free(TP_CONTAINER((uv_poll_t *)handle, tp_stream, poll));
}

static void stream_leave(tp_stream *stream)
{
    stream->closed = true;
    stream->broken = true;
    stream->rest_size = 0;
    tp_list_remove(&stream->link);
    stream->seat->sockets--;
    if (stream->search != NULL)
        stream->search->stream = NULL;
}

static void net_close(tp_stream *stream)
{
    if (stream == NULL)
        return;
    stream_leave(stream);
    if (stream->descriptor < 0) {
        stream_free(stream);
        return;
    }
    uv_close((uv_handle_t *)&stream->poll, on_closed);
    (void)close(stream->descriptor);
}

static tp_socket net_detach(tp_stream *stream)
{
    TP_ASSERT(stream->descriptor >= 0 && stream->rest_size == 0 && !stream->connecting);
    stream_leave(stream);
    tp_socket socket = {stream->descriptor};
    uv_close((uv_handle_t *)&stream->poll, on_closed);
    return socket;
}

static void net_drop(struct tp_env *env, tp_socket socket)
{
    (void)env;
    (void)close((int)socket.handle);
}

static bool poll_begin(tp_stream *stream, int descriptor)
{
    if (uv_poll_init(&stream->seat->loop, &stream->poll, descriptor) != 0)
        return false;
    stream->descriptor = descriptor;
    no_delay(descriptor);
    watch(stream);
    return true;
}

static troupe_status net_attach(struct tp_env *env, struct tp_runner *runner, tp_socket socket,
    const tp_stream_calls *calls, void *user, tp_stream **ret_stream)
{
    tp_stream *stream = stream_create(seat_of(env, runner), calls, user);
    if (stream == NULL) {
        net_drop(env, socket);
        return TROUPE_NO_MEMORY;
    }
    if (!poll_begin(stream, (int)socket.handle)) {
        net_drop(env, socket);
        net_close(stream);
        return TROUPE_UNAVAILABLE;
    }
    *ret_stream = stream;
    return TROUPE_OK;
}

/* NULL, or what went wrong at once. */
static const char *begin_connect(tp_stream *stream, const struct addrinfo *to)
{
    int descriptor = socket_open(to->ai_family);
    if (descriptor < 0)
        return strerror(errno);
    stream->connecting = true;
    if (connect(descriptor, to->ai_addr, to->ai_addrlen) != 0 && errno != EINPROGRESS) {
        int error = errno;
        (void)close(descriptor);
        return strerror(error);
    }
    if (!poll_begin(stream, descriptor)) {
        (void)close(descriptor);
        return "the event loop refuses the socket";
    }
    return NULL;
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    name_search *search = TP_CONTAINER(request, name_search, request);
    tp_stream *stream = search->stream;
    tp_release(search->allocator, search, sizeof *search);
    if (stream != NULL) {
        stream->search = NULL;
        const char *why = status != 0 ? uv_strerror(status) : begin_connect(stream, found);
        if (why != NULL)
            break_off(stream, why);
    }
    uv_freeaddrinfo(found);
}

static troupe_status begin_search(tp_stream *stream, const address_parts *parts)
{
    tp_seat *seat = stream->seat;
    name_search *search = tp_allocate_zeroed(seat->env->allocator, sizeof *search);
    if (search == NULL)
        return TROUPE_NO_MEMORY;
    search->allocator = seat->env->allocator;
    search->stream = stream;
    struct addrinfo hints = hints_for(false);
    if (uv_getaddrinfo(
            &seat->loop, &search->request, on_found, parts->host, parts->service, &hints) != 0) {
        tp_release(search->allocator, search, sizeof *search);
        return TROUPE_UNAVAILABLE;
    }
    stream->search = search;
    return TROUPE_OK;
}

static troupe_status net_connect(struct tp_env *env, struct tp_runner *runner, const char *address,
    const tp_stream_calls *calls, void *user, tp_stream **ret_stream)
{
    address_parts parts;
    if (!split(address, &parts))
        return TROUPE_USAGE;
    tp_stream *stream = stream_create(seat_of(env, runner), calls, user);
    if (stream == NULL)
        return TROUPE_NO_MEMORY;
    struct addrinfo *found = of_numbers(&parts);
    troupe_status status = TROUPE_OK;
    if (found == NULL) {
        status = begin_search(stream, &parts);
    } else {
        status = begin_connect(stream, found) == NULL ? TROUPE_OK : TROUPE_UNAVAILABLE;
        freeaddrinfo(found);
    }
    if (status != TROUPE_OK) {
        net_close(stream);
        return status;
    }
    *ret_stream = stream;
    return TROUPE_OK;
}

static bool net_write(tp_stream *stream, const void *bytes, size_t size)
{
    TP_ASSERT(stream->rest_size == 0);
    if (stream->broken || stream->connecting)
        return false;
    ssize_t sent = push(stream, bytes, size);
    if (sent == (ssize_t)size)
        return true;
    if (sent < 0)
        return false; /* the loop finds it broken, too, and says so */
    stream->rest = (const char *)bytes + sent;
    stream->rest_size = size - (size_t)sent;
    watch(stream);
    return false;
}

static void net_pause(tp_stream *stream, bool pause)
{
    if (stream->paused == pause)
        return;
    stream->paused = pause;
    if (stream->descriptor >= 0 && !stream->broken)
        watch(stream);
}

static void net_peer(tp_stream *stream, char *out, size_t size)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (stream->descriptor < 0 ||
        getpeername(stream->descriptor, (struct sockaddr *)&address, &length) != 0) {
        (void)snprintf(out, size, "(not connected)");
        return;
    }
    print_address((struct sockaddr *)&address, length, out, size);
}

/* ---- listeners ------------------------------------------------------------------------------- */

static int take_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* No descriptor is left: the connection is taken with the one in reserve, and closed. */
static void refuse_one(tp_listener *listener)
{
    if (listener->reserve >= 0)
        (void)close(listener->reserve);
    int descriptor = accept4(listener->descriptor, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (descriptor >= 0)
        (void)close(descriptor);
    listener->reserve = take_reserve();
}

static void on_knock(uv_poll_t *poll, int status, int events)
{
    (void)events;
    tp_listener *listener = TP_CONTAINER(poll, tp_listener, poll);
    for (int i = 0; status == 0 && i < ACCEPTS_MAX && listener->descriptor >= 0; i++) {
        int descriptor = accept4(listener->descriptor, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (descriptor < 0) {
            if (errno == EMFILE || errno == ENFILE)
                refuse_one(listener);
            return;
        }
        stir(listener->seat);
        listener->accepted(listener->user, (tp_socket){descriptor});
    }
}

/* -1: `error` says why. */
static int bind_to(const struct addrinfo *at, char *error, size_t error_size)
{
    int descriptor = socket_open(at->ai_family);
    if (descriptor >= 0 && bind(descriptor, at->ai_addr, at->ai_addrlen) == 0 &&
        listen(descriptor, BACKLOG) == 0)
        return descriptor;
    (void)snprintf(error, error_size, "%s", strerror(errno));
    if (descriptor >= 0)
        (void)close(descriptor);
    return -1;
}

static void on_listener_closed(uv_handle_t *handle)
{
    tp_listener *listener = TP_CONTAINER((uv_poll_t *)handle, tp_listener, poll);
    tp_release(listener->seat->env->allocator, listener, sizeof *listener);
}

static void net_listener_close(tp_listener *listener)
{
    if (listener == NULL)
        return;
    tp_list_remove(&listener->link);
    listener->seat->sockets--;
    uv_close((uv_handle_t *)&listener->poll, on_listener_closed);
    (void)close(listener->descriptor);
    if (listener->reserve >= 0)
        (void)close(listener->reserve);
    listener->descriptor = -1;
}

static troupe_status listener_begin(
    tp_seat *seat, int descriptor, tp_listener *listener, char *error, size_t error_size)
{
    if (uv_poll_init(&seat->loop, &listener->poll, descriptor) != 0) {
        (void)snprintf(error, error_size, "the event loop refuses the socket");
        (void)close(descriptor);
        tp_release(seat->env->allocator, listener, sizeof *listener);
        return TROUPE_UNAVAILABLE;
    }
    listener->seat = seat;
    listener->descriptor = descriptor;
    listener->reserve = take_reserve();
    tp_list_push_back(&seat->listeners, &listener->link);
    seat->sockets++;
    (void)uv_poll_start(&listener->poll, UV_READABLE, on_knock);
    return TROUPE_OK;
}

troupe_status tp_net_bind(
    const char *address, tp_socket *ret_socket, char *error, size_t error_size)
{
    address_parts parts;
    struct addrinfo hints = hints_for(true), *found = NULL;
    if (!split(address, &parts)) {
        (void)snprintf(
            error, error_size, "'%s' is not an address: write host:port, or [v6]:port", address);
        return TROUPE_USAGE;
    }
    int rc = getaddrinfo(parts.host, parts.service, &hints, &found);
    if (rc != 0) {
        (void)snprintf(error, error_size, "%s: %s", address, gai_strerror(rc));
        return TROUPE_UNAVAILABLE;
    }
    char why[128] = "";
    int descriptor = bind_to(found, why, sizeof why);
    freeaddrinfo(found);
    if (descriptor < 0) {
        (void)snprintf(error, error_size, "cannot listen on %s: %s", address, why);
        return TROUPE_UNAVAILABLE;
    }
    ret_socket->handle = descriptor;
    return TROUPE_OK;
}

void tp_net_bound(tp_socket socket, char *out, size_t size)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getsockname((int)socket.handle, (struct sockaddr *)&address, &length) != 0)
        length = 0;
    print_address((struct sockaddr *)&address, length, out, size);
}

uint64_t tp_net_room(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit.rlim_cur > 2 * TP_NET_SPARE ? limit.rlim_cur - TP_NET_SPARE : limit.rlim_cur / 2;
}

void tp_net_ended(const tp_socket *sockets, size_t count, bool *ret_ended)
{
    struct pollfd polls[TP_NET_GLANCE];
    for (size_t i = 0; i < count; i++)
        polls[i] = (struct pollfd){.fd = (int)sockets[i].handle, .events = POLLRDHUP};
    bool is_known = poll(polls, count, 0) > 0;
    for (size_t i = 0; i < count; i++)
        ret_ended[i] = is_known && polls[i].revents != 0;
}

static troupe_status net_listen(struct tp_env *env, struct tp_runner *runner, const char *address,
    void (*accepted)(void *user, tp_socket socket), void *user, tp_listener **ret_listener,
    char *error, size_t error_size)
{
    tp_socket socket;
    troupe_status status = tp_net_bind(address, &socket, error, error_size);
    if (status != TROUPE_OK)
        return status;
    tp_seat *seat = seat_of(env, runner);
    tp_listener *listener = tp_allocate_zeroed(seat->env->allocator, sizeof *listener);
    if (listener == NULL) {
        (void)close((int)socket.handle);
        (void)snprintf(error, error_size, "no memory");
        return TROUPE_NO_MEMORY;
    }
    listener->accepted = accepted;
    listener->user = user;
    status = listener_begin(seat, (int)socket.handle, listener, error, error_size);
    if (status == TROUPE_OK)
        *ret_listener = listener;
    return status;
}

static void net_listener_address(tp_listener *listener, char *out, size_t size)
{
    tp_net_bound((tp_socket){listener->descriptor}, out, size);
}

/* ---- together -------------------------------------------------------------------------------- */

void tp_seat_net_close(tp_seat *seat)
{
    while (!tp_list_is_empty(&seat->streams))
        net_close(TP_CONTAINER(tp_list_front(&seat->streams), tp_stream, link));
    while (!tp_list_is_empty(&seat->listeners))
        net_listener_close(TP_CONTAINER(tp_list_front(&seat->listeners), tp_listener, link));
}

const tp_net tp_real_net = {
    .listen = net_listen,
    .listener_address = net_listener_address,
    .listener_close = net_listener_close,
    .connect = net_connect,
    .attach = net_attach,
    .detach = net_detach,
    .drop = net_drop,
    .write = net_write,
    .pause = net_pause,
    .peer = net_peer,
    .close = net_close,
};
