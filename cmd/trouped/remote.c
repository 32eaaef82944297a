/* SPDX-License-Identifier: Apache-2.0 */
/* Calls over the network: see remote.h, also for invariants and threads. */
#include "trouped/remote.h"

#include "shared/admin_codec.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#define HELLO_SECONDS 10 /* until a connection is let in, however much it says meanwhile */
#define HELLO_MAX 2048   /* the line of a token, each byte of it as \u00xx */
#define QUIET_SECONDS 300

struct remote_secrets {
    cmd_tls *tls; /* NULL: clear text */
    char token[CMD_TOKEN_MAX + 1];
    size_t holders; /* under the mutex */
};

typedef struct remote_link {
    daemon_remote *remote;
    uv_thread_t thread;
    bool is_used;  /* under the mutex, as all that follow */
    bool is_ended; /* the thread may be joined */
    bool is_in;    /* it has shown who it is */
    bool is_late;  /* it was cut, as it had not */
    uint64_t hello_until;
    int far, near; /* descriptors, while it has not ended; near -1: not yet */
} remote_link;

struct daemon_remote {
    remote_options options;
    int listener;
    char address[128];
    uv_thread_t thread;
    uv_mutex_t mutex; /* guards the following */
    bool is_started;
    bool is_closing;
    remote_secrets *secrets;
    remote_link links[REMOTE_CONNECTIONS_MAX];
};

/* ---- secrets ---- */

bool remote_read(const daemon_remote *remote, remote_secrets **ret_secrets, char *error,
                 size_t error_size)
{
    *ret_secrets = NULL;
    if (remote == NULL) return true;
    const remote_options *options = &remote->options;
    remote_secrets *secrets = calloc(1, sizeof(*secrets));
    if (secrets == NULL) {
        snprintf(error, error_size, "no memory");
        return false;
    }
    secrets->holders = 1;
    if (cmd_tls_open(&options->tls, true, &secrets->tls, error, error_size) &&
        (options->token_file == NULL ||
         cmd_token_read(options->token_file, secrets->token, error, error_size))) {
        *ret_secrets = secrets;
        return true;
    }
    remote_secrets_release(secrets);
    return false;
}

void remote_secrets_release(remote_secrets *secrets)
{
    if (secrets == NULL || --secrets->holders > 0) return;
    cmd_tls_close(secrets->tls);
    OPENSSL_cleanse(secrets->token, sizeof(secrets->token));
    free(secrets);
}

void remote_take(daemon_remote *remote, remote_secrets *secrets)
{
    if (remote == NULL) return;
    uv_mutex_lock(&remote->mutex);
    remote_secrets *before = remote->secrets;
    remote->secrets = secrets;
    remote_secrets_release(before);
    uv_mutex_unlock(&remote->mutex);
}

static remote_secrets *hold(daemon_remote *remote)
{
    uv_mutex_lock(&remote->mutex);
    remote_secrets *secrets = remote->secrets;
    secrets->holders++;
    uv_mutex_unlock(&remote->mutex);
    return secrets;
}

static void let_go(daemon_remote *remote, remote_secrets *secrets)
{
    uv_mutex_lock(&remote->mutex);
    remote_secrets_release(secrets);
    uv_mutex_unlock(&remote->mutex);
}

/* ---- one connection ---- */

static void refuse(cmd_stream *far, const char *id, troupe_status status, const char *words)
{
    cmd_bytes out = {0};
    admin_write_error(&out, id, status, TROUPE_NOT_DONE, troupe_str(words));
    if (!out.failed) cmd_stream_write(far, out.data, out.size);
    cmd_bytes_deinit(&out);
}

/* Of one who calls, into the log. */
__attribute__((format(printf, 2, 3))) static void say(remote_link *link, const char *format, ...)
{
    char peer[128];
    char text[500];
    va_list arguments;
    uv_mutex_lock(&link->remote->mutex);
    bool is_late = link->is_late;
    uv_mutex_unlock(&link->remote->mutex);
    cmd_address_print_peer(link->far, peer, sizeof(peer));
    int size = snprintf(text, sizeof(text), "%s: ", peer);
    va_start(arguments, format);
    if (is_late) {
        snprintf(text + size, sizeof(text) - (size_t)size, "it has not shown who it is within %d s",
                 HELLO_SECONDS);
    } else {
        vsnprintf(text + size, sizeof(text) - (size_t)size, format, arguments);
    }
    va_end(arguments);
    voice_say(link->remote->options.voice, TROUPE_LOG_WARN, "remote_refused", text);
}

static bool is_token(const char *token, troupe_slice line)
{
    json_t *root = json_loadb(line.data, line.size, 0, NULL);
    json_t *given = json_object_get(root, "token");
    size_t size = strlen(token);
    bool is_good = json_is_string(given) && json_string_length(given) == size &&
                   CRYPTO_memcmp(json_string_value(given), token, size) == 0;
    if (json_is_string(given)) {
        OPENSSL_cleanse((void *)(uintptr_t)json_string_value(given), json_string_length(given));
    }
    json_decref(root);
    return is_good;
}

/* Of a request: may it come from afar? It is read as the admin socket reads it, so that nothing
 * means one thing here and another there. False: it was refused. */
static bool may_pass(cmd_stream *far, troupe_slice line)
{
    admin_request request;
    char words[200] = "";
    troupe_status status = admin_request_parse(&request, line);
    if (status == TROUPE_OK && !admin_is_remote(request.verb)) {
        status = TROUPE_DENIED;
        snprintf(words, sizeof(words), "this is not for the network: call at the node's admin "
                 "socket, on its machine");
    }
    if (status != TROUPE_OK) refuse(far, request.id, status, words[0] != 0 ? words : request.error);
    admin_request_deinit(&request);
    return status == TROUPE_OK;
}

/* The admin socket, for as long as the link lasts. False: told. */
static bool open_near(remote_link *link, cmd_stream *far, cmd_stream *ret_near)
{
    daemon_remote *remote = link->remote;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", remote->options.socket);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0 ||
        connect(descriptor, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        int reason = errno;
        if (descriptor >= 0) close(descriptor);
        say(link, "its admin socket does not answer: %s", strerror(reason));
        refuse(far, "null", TROUPE_UNAVAILABLE, "the node's admin socket does not answer");
        return false;
    }
    *ret_near = (cmd_stream){.descriptor = descriptor};
    uv_mutex_lock(&remote->mutex);
    link->near = descriptor; /* run_link closes it */
    bool is_closing = remote->is_closing;
    uv_mutex_unlock(&remote->mutex);
    return !is_closing;
}

/* The line there, and its answer back. False: one of the two has gone. */
static bool pass_on(cmd_stream *far, cmd_stream *near, troupe_slice line)
{
    static const char end = '\n';
    char block[65536];
    if (!cmd_stream_write(near, line.data, line.size) || !cmd_stream_write(near, &end, 1)) {
        return false;
    }
    for (;;) {
        size_t size = cmd_stream_read(near, block, sizeof(block));
        if (size == 0 || !cmd_stream_write(far, block, size)) return false;
        if (block[size - 1] == end) return true;
    }
}

/* The next line of at most `limit` bytes; false: it has ended, or was refused. */
static bool take_line(cmd_stream *far, admin_lines *lines, size_t limit, troupe_slice *ret_line)
{
    size_t step = limit < ADMIN_READ_SIZE ? limit : ADMIN_READ_SIZE;
    for (;;) {
        admin_line kind = admin_lines_take(lines, false, ret_line);
        bool is_taken = kind == ADMIN_LINE_TAKEN;
        size_t size = is_taken ? ret_line->size : lines->size - lines->begin;
        if (kind == ADMIN_LINE_TOO_LONG || size > limit) {
            char words[60];
            snprintf(words, sizeof(words), "the line is longer than %zu bytes", limit);
            refuse(far, "null", TROUPE_TOO_LARGE, words);
            return false;
        }
        if (is_taken) return true;
        char *room = admin_lines_room(lines, step);
        size = room != NULL ? cmd_stream_read(far, room, step) : 0;
        if (size == 0) return false;
        admin_lines_add(lines, size);
    }
}

/* It has shown who it is. False: too late, and that was told. */
static bool let_in(remote_link *link)
{
    uv_mutex_lock(&link->remote->mutex);
    bool is_in = link->is_in = !link->is_late;
    uv_mutex_unlock(&link->remote->mutex);
    if (!is_in) say(link, "too late");
    return is_in;
}

/* The line of the token, if one is wanted. False: it is not let in, and that was told. */
static bool take_hello(remote_link *link, cmd_stream *far, const char *token, admin_lines *lines)
{
    troupe_slice line = {"", 0};
    bool is_good = token[0] == 0;
    if (!is_good && take_line(far, lines, HELLO_MAX, &line)) {
        is_good = is_token(token, line);
        if (!is_good) refuse(far, "null", TROUPE_DENIED, "another token than this node's, or none");
        OPENSSL_cleanse((void *)(uintptr_t)line.data, line.size);
    }
    if (!is_good) say(link, "another token than this node's, or none");
    return is_good && let_in(link);
}

static void serve(remote_link *link, cmd_stream *far, const char *token)
{
    admin_lines lines = {0};
    troupe_slice line;
    cmd_stream near;
    if (take_hello(link, far, token, &lines) && open_near(link, far, &near)) {
        bool is_good = true;
        far->patience = TROUPE_SECONDS(QUIET_SECONDS);
        while (is_good && take_line(far, &lines, ADMIN_LINE_MAX, &line)) {
            if (may_pass(far, line)) is_good = pass_on(far, &near, line);
        }
    }
    admin_lines_deinit(&lines);
}

static void run_link(void *argument)
{
    remote_link *link = argument;
    daemon_remote *remote = link->remote;
    remote_secrets *secrets = hold(remote);
    cmd_stream far = {.descriptor = link->far, .patience = TROUPE_SECONDS(HELLO_SECONDS)};
    char error[300];
    if (cmd_stream_open(&far, secrets->tls, NULL, error, sizeof(error))) {
        serve(link, &far, secrets->token);
    } else {
        say(link, "%s", error);
    }
    let_go(remote, secrets);
    uv_mutex_lock(&remote->mutex);
    link->is_ended = true; /* from here on nobody else touches the descriptors */
    uv_mutex_unlock(&remote->mutex);
    cmd_stream_close(&far);
    if (link->near >= 0) close(link->near);
}

/* ---- the listener ---- */

/* A place that is free, or whose thread has ended; NULL: none. */
static remote_link *find_link(daemon_remote *remote)
{
    for (size_t i = 0; i < REMOTE_CONNECTIONS_MAX; i++) {
        remote_link *link = &remote->links[i];
        uv_mutex_lock(&remote->mutex);
        bool is_ended = link->is_ended;
        bool is_free = !link->is_used;
        link->is_used = link->is_used && !is_ended;
        link->is_ended = false;
        uv_mutex_unlock(&remote->mutex);
        if (is_ended) uv_thread_join(&link->thread);
        if (is_ended || is_free) return link;
    }
    return NULL;
}

static void begin_link(daemon_remote *remote, int descriptor)
{
    remote_link *link = find_link(remote);
    if (link == NULL) {
        char text[200];
        char peer[128];
        cmd_address_print_peer(descriptor, peer, sizeof(peer));
        snprintf(text, sizeof(text), "%s: there are %d connections, and no more are taken", peer,
                 REMOTE_CONNECTIONS_MAX);
        voice_say(remote->options.voice, TROUPE_LOG_WARN, "remote_full", text);
        close(descriptor);
        return;
    }
    uv_mutex_lock(&remote->mutex);
    link->remote = remote;
    link->far = descriptor;
    link->near = -1;
    link->is_ended = link->is_in = link->is_late = false;
    link->hello_until = uv_hrtime() + HELLO_SECONDS * TROUPE_SECONDS(1);
    link->is_used = !remote->is_closing && uv_thread_create(&link->thread, run_link, link) == 0;
    if (!link->is_used) close(descriptor);
    uv_mutex_unlock(&remote->mutex);
}

/* Cuts those that have not shown in time who they are. Milliseconds until it is to be called again;
 * -1: when there are new ones. */
static int cut_late(daemon_remote *remote)
{
    uint64_t now = uv_hrtime();
    uint64_t next = UINT64_MAX;
    uv_mutex_lock(&remote->mutex);
    for (size_t i = 0; i < REMOTE_CONNECTIONS_MAX; i++) {
        remote_link *link = &remote->links[i];
        if (!link->is_used || link->is_ended || link->is_in || link->is_late) continue;
        link->is_late = link->hello_until <= now;
        if (link->is_late) {
            shutdown(link->far, SHUT_RDWR);
        } else if (link->hello_until < next) {
            next = link->hello_until;
        }
    }
    uv_mutex_unlock(&remote->mutex);
    return next == UINT64_MAX ? -1 : (int)((next - now) / TROUPE_MILLISECONDS(1)) + 1;
}

static void run_listener(void *argument)
{
    daemon_remote *remote = argument;
    for (;;) {
        struct pollfd wait = {.fd = remote->listener, .events = POLLIN};
        poll(&wait, 1, cut_late(remote));
        int descriptor = accept4(remote->listener, NULL, NULL, SOCK_CLOEXEC);
        bool is_short = descriptor < 0 && (errno == EMFILE || errno == ENFILE ||
                                           errno == ENOMEM || errno == ENOBUFS);
        uv_mutex_lock(&remote->mutex);
        bool is_closing = remote->is_closing;
        uv_mutex_unlock(&remote->mutex);
        if (descriptor >= 0 && !is_closing) {
            begin_link(remote, descriptor);
        } else if (descriptor >= 0) {
            close(descriptor);
        } else if (is_short && !is_closing) {
            uv_sleep(10); /* no descriptors, for a while */
        }
        if (is_closing) return;
    }
}

/* ---- life ---- */

static bool is_guarded(const daemon_remote *remote, bool is_local, char *error, size_t error_size)
{
    if (remote->secrets->tls != NULL) return true;
    if (is_local && remote->options.token_file != NULL) return true;
    snprintf(error, error_size, is_local ? "remote: %s: anybody on this machine could call: give "
             "--remote-token FILE, or certificates (tls_certificate, tls_key, tls_authority)"
             : "remote: %s is reached from other machines, and would be without encryption: give "
             "tls_certificate, tls_key and tls_authority", remote->address);
    return false;
}

/* The node resolves its references by itself, and tells nobody. */
static bool are_paths(const cmd_tls_files *files, char *error, size_t error_size)
{
    const char *const all[] = {files->certificate, files->key, files->authority};
    for (int i = 0; i < 3; i++) {
        if (all[i] == NULL || strstr(all[i], "${") == NULL) continue;
        snprintf(error, error_size, "remote: \"%.200s\": with --remote write the paths of "
                 "certificates themselves, not references", all[i]);
        return false;
    }
    return true;
}

bool remote_open(const remote_options *options, daemon_remote **ret_remote, char *error,
                 size_t error_size)
{
    bool is_local = false;
    *ret_remote = NULL;
    if (options->address == NULL || options->address[0] == 0) return true;
    if (!are_paths(&options->tls, error, error_size)) return false;
    daemon_remote *remote = calloc(1, sizeof(*remote));
    if (remote == NULL || uv_mutex_init(&remote->mutex) != 0) {
        snprintf(error, error_size, "no memory");
        free(remote);
        return false;
    }
    remote->options = *options;
    remote->listener = -1;
    if (remote_read(remote, &remote->secrets, error, error_size) &&
        cmd_address_listen(options->address, &remote->listener, &is_local, error, error_size)) {
        fcntl(remote->listener, F_SETFL, O_NONBLOCK); /* it is polled */
        cmd_address_print(remote->listener, remote->address, sizeof(remote->address));
        if (is_guarded(remote, is_local, error, error_size)) {
            *ret_remote = remote;
            return true;
        }
    }
    remote_close(remote);
    return false;
}

const char *remote_address(const daemon_remote *remote)
{
    return remote != NULL ? remote->address : NULL;
}

bool remote_start(daemon_remote *remote)
{
    if (remote == NULL) return true;
    remote->is_started = uv_thread_create(&remote->thread, run_listener, remote) == 0;
    return remote->is_started;
}

void remote_close(daemon_remote *remote)
{
    if (remote == NULL) return;
    uv_mutex_lock(&remote->mutex);
    remote->is_closing = true;
    for (size_t i = 0; i < REMOTE_CONNECTIONS_MAX; i++) {
        remote_link *link = &remote->links[i];
        bool is_open = link->is_used && !link->is_ended;
        if (is_open) shutdown(link->far, SHUT_RDWR);
        if (is_open && link->near >= 0) shutdown(link->near, SHUT_RDWR);
    }
    uv_mutex_unlock(&remote->mutex);
    if (remote->listener >= 0) shutdown(remote->listener, SHUT_RDWR);
    if (remote->is_started) uv_thread_join(&remote->thread);
    for (size_t i = 0; i < REMOTE_CONNECTIONS_MAX; i++) {
        if (remote->links[i].is_used) uv_thread_join(&remote->links[i].thread);
    }
    if (remote->listener >= 0) close(remote->listener);
    remote_secrets_release(remote->secrets);
    uv_mutex_destroy(&remote->mutex);
    free(remote);
}
