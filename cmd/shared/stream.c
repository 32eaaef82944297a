/* SPDX-License-Identifier: Apache-2.0 */
/* Connections over the network: see stream.h, also for invariants and threads. */
#include "shared/stream.h"

#include "shared/config_file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct cmd_tls {
    SSL_CTX *context;
};

/* ---- certificates ---- */

static const char *tls_words(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *words = code != 0 ? ERR_reason_error_string(code) : NULL;
    return words != NULL ? words : "it cannot be read";
}

static bool load(SSL_CTX *context, const cmd_tls_files *files, char *error, size_t error_size)
{
    const char *option = NULL;
    const char *file = NULL;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context, files->certificate) != 1) {
        option = "tls_certificate";
        file = files->certificate;
    } else if (SSL_CTX_use_PrivateKey_file(context, files->key, SSL_FILETYPE_PEM) != 1) {
        option = "tls_key";
        file = files->key;
    } else if (SSL_CTX_load_verify_file(context, files->authority) != 1) {
        option = "tls_authority";
        file = files->authority;
    }
    if (option == NULL) return true;
    snprintf(error, error_size, "%s: %s: %s", option, file, tls_words());
    return false;
}

bool cmd_tls_open(const cmd_tls_files *files, bool is_server, cmd_tls **ret_tls, char *error,
                  size_t error_size)
{
    const char *all[] = {files->certificate, files->key, files->authority};
    int given = 0;
    for (int i = 0; i < 3; i++) given += all[i] != NULL && all[i][0] != 0;
    *ret_tls = NULL;
    if (given == 0) return true;
    if (given != 3) {
        snprintf(error, error_size, "TLS needs a certificate, its key and the authority: one of "
                 "them is missing");
        return false;
    }
    cmd_tls *tls = calloc(1, sizeof(*tls));
    SSL_CTX *context = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    if (tls == NULL || context == NULL) {
        snprintf(error, error_size, "no memory");
        SSL_CTX_free(context);
        free(tls);
        return false;
    }
    tls->context = context;
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (!load(context, files, error, error_size)) {
        cmd_tls_close(tls);
        return false;
    }
    *ret_tls = tls;
    return true;
}

void cmd_tls_close(cmd_tls *tls)
{
    if (tls == NULL) return;
    SSL_CTX_free(tls->context);
    free(tls);
}

/* ---- waiting ---- */

uint64_t cmd_stream_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Until the descriptor is ready, or `until` (0: never) is there: false then. */
static bool wait_until(int descriptor, short events, uint64_t until)
{
    for (;;) {
        struct pollfd query = {.fd = descriptor, .events = events};
        uint64_t now = cmd_stream_now();
        uint64_t left = until > now ? (until - now) / 1000000 + 1 : 0;
        if (left > INT32_MAX) left = INT32_MAX;
        int count = poll(&query, 1, until == 0 ? -1 : (int)left);
        if (count > 0) return true;
        if (count < 0 && errno != EINTR) return false;
        if (count == 0 && until <= cmd_stream_now()) return false;
    }
}

static bool wait_for(cmd_stream *stream, short events)
{
    uint64_t until = stream->until;
    uint64_t patient = stream->patience > 0 ? cmd_stream_now() + stream->patience : 0;
    if (patient > 0 && (until == 0 || patient < until)) until = patient;
    bool is_ready = wait_until(stream->descriptor, events, until);
    stream->is_late = stream->is_late || !is_ready;
    return is_ready;
}

/* After an operation of TLS that gave `result`: is it to be tried again, now? */
static bool may_go_on(cmd_stream *stream, int result)
{
    int wanted = SSL_get_error(stream->ssl, result);
    if (wanted == SSL_ERROR_WANT_READ) return wait_for(stream, POLLIN);
    return wanted == SSL_ERROR_WANT_WRITE && wait_for(stream, POLLOUT);
}

/* ---- addresses ---- */

bool cmd_address_host(const char *address, char *out, size_t size)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address) return false;
    bool is_bracketed = colon - address > 2 && address[0] == '[' && colon[-1] == ']';
    int length = (int)(colon - address) - 2 * is_bracketed;
    snprintf(out, size, "%.*s", length, address + is_bracketed);
    return (size_t)length < size;
}

static struct addrinfo *look_up(const char *address, bool is_server, char *error,
                                size_t error_size)
{
    char host[256];
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = is_server ? AI_PASSIVE : 0};
    if (!cmd_address_host(address, host, sizeof(host))) {
        snprintf(error, error_size, "\"%.100s\" is no address: write HOST:PORT", address);
        return NULL;
    }
    int code = getaddrinfo(host, strrchr(address, ':') + 1, &hints, &found);
    if (code == 0) return found;
    snprintf(error, error_size, "%.200s: %s", address, gai_strerror(code));
    return NULL;
}

/* 0, or the reason. */
static int connect_to(int descriptor, const struct addrinfo *to, uint64_t until)
{
    int reason = 0;
    socklen_t size = sizeof(reason);
    if (connect(descriptor, to->ai_addr, to->ai_addrlen) == 0) return 0;
    if (errno != EINPROGRESS) return errno;
    if (!wait_until(descriptor, POLLOUT, until)) return ETIMEDOUT;
    return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &reason, &size) == 0 ? reason : errno;
}

bool cmd_address_connect(const char *address, uint64_t until, int *ret_descriptor, char *error,
                         size_t error_size)
{
    struct addrinfo *list = look_up(address, false, error, error_size);
    if (list == NULL) return false;
    int reason = 0;
    uint64_t count = 0;
    for (const struct addrinfo *at = list; at != NULL; at = at->ai_next) count++;
    for (const struct addrinfo *at = list; at != NULL; at = at->ai_next) {
        uint64_t now = cmd_stream_now();
        uint64_t share = until > now ? (until - now) / count-- : 0;
        int descriptor = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        reason = descriptor >= 0 ? connect_to(descriptor, at, now + share) : errno;
        if (reason == 0) {
            freeaddrinfo(list);
            *ret_descriptor = descriptor;
            return true;
        }
        if (descriptor >= 0) close(descriptor);
    }
    freeaddrinfo(list);
    snprintf(error, error_size, "no node answers at %.200s (%s)", address, strerror(reason));
    return false;
}

static bool is_local(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, address, sizeof(four));
        return ntohl(four.sin_addr.s_addr) >> 24 == 127;
    }
    struct sockaddr_in6 six;
    memcpy(&six, address, sizeof(six));
    return IN6_IS_ADDR_LOOPBACK(&six.sin6_addr);
}

bool cmd_address_listen(const char *address, int *ret_descriptor, bool *ret_is_local, char *error,
                        size_t error_size)
{
    struct addrinfo *list = look_up(address, true, error, error_size);
    if (list == NULL) return false;
    int yes = 1;
    int descriptor = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_open = descriptor >= 0 &&
                   setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
                   bind(descriptor, list->ai_addr, list->ai_addrlen) == 0 &&
                   listen(descriptor, 64) == 0;
    *ret_is_local = is_local(list->ai_addr);
    freeaddrinfo(list);
    if (is_open) {
        *ret_descriptor = descriptor;
        return true;
    }
    snprintf(error, error_size, "cannot listen at %.200s: %s", address, strerror(errno));
    if (descriptor >= 0) close(descriptor);
    return false;
}

typedef int name_of(int descriptor, struct sockaddr *address, socklen_t *length);

static void print_address(name_of *of, int descriptor, char *out, size_t size)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    char host[80] = "?";
    char port[16] = "?";
    if (of(descriptor, (struct sockaddr *)&address, &length) == 0) {
        getnameinfo((const struct sockaddr *)&address, length, host, sizeof(host), port,
                    sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
    }
    bool is_six = strchr(host, ':') != NULL;
    snprintf(out, size, "%s%s%s:%s", is_six ? "[" : "", host, is_six ? "]" : "", port);
}

void cmd_address_print(int descriptor, char *out, size_t size)
{
    print_address(getsockname, descriptor, out, size);
}

void cmd_address_print_peer(int descriptor, char *out, size_t size)
{
    print_address(getpeername, descriptor, out, size);
}

/* ---- tokens ---- */

bool cmd_token_read(const char *path, char token[CMD_TOKEN_MAX + 1], char *error,
                    size_t error_size)
{
    char *data = NULL;
    size_t size = 0;
    if (!cmd_file_read(path, &data, &size, error, error_size)) return false;
    size_t whole = size;
    while (size > 0 && (data[size - 1] == '\n' || data[size - 1] == '\r')) size--;
    bool is_good = size > 0 && size <= CMD_TOKEN_MAX;
    if (is_good) {
        memcpy(token, data, size);
        token[size] = 0;
    } else {
        snprintf(error, error_size, "%s: a token has 1 to %d bytes", path, CMD_TOKEN_MAX);
    }
    OPENSSL_cleanse(data, whole);
    free(data);
    return is_good;
}

/* ---- streams ---- */

/* False: no memory. */
static bool set_name(SSL *ssl, const char *called)
{
    unsigned char number[sizeof(struct in6_addr)];
    X509_VERIFY_PARAM *wanted = SSL_get0_param(ssl);
    if (inet_pton(AF_INET, called, number) == 1 || inet_pton(AF_INET6, called, number) == 1) {
        return X509_VERIFY_PARAM_set1_ip_asc(wanted, called) == 1;
    }
    X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(wanted, called, 0) == 1 &&
           SSL_set_tlsext_host_name(ssl, called) == 1;
}

static void tell_refusal(const cmd_stream *stream, const char *called, char *error,
                         size_t error_size)
{
    long verified = SSL_get_verify_result(stream->ssl);
    bool is_other = verified == X509_V_ERR_HOSTNAME_MISMATCH ||
                    verified == X509_V_ERR_IP_ADDRESS_MISMATCH;
    if (stream->is_late) {
        snprintf(error, error_size, "TLS: the other end is silent");
    } else if (is_other) {
        snprintf(error, error_size, "TLS: the certificate there is not of %.200s; --server-name "
                 "says whose it is to be", called);
    } else {
        snprintf(error, error_size, "TLS: %s",
                 verified != X509_V_OK ? X509_verify_cert_error_string(verified) : tls_words());
    }
}

static bool shake_hands(cmd_stream *stream, bool is_caller)
{
    for (;;) {
        ERR_clear_error();
        int result = is_caller ? SSL_connect(stream->ssl) : SSL_accept(stream->ssl);
        if (result == 1) return true;
        if (!may_go_on(stream, result)) return false;
    }
}

bool cmd_stream_open(cmd_stream *stream, cmd_tls *tls, const char *called, char *error,
                     size_t error_size)
{
    int yes = 1;
    int descriptor = stream->descriptor;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK); /* TLS knows no flags */
    if (tls == NULL) return true;
    ERR_clear_error();
    SSL *ssl = SSL_new(tls->context);
    stream->ssl = ssl;
    if (ssl == NULL || SSL_set_fd(ssl, descriptor) != 1 ||
        (called != NULL && !set_name(ssl, called))) {
        snprintf(error, error_size, "TLS: no memory");
    } else if (shake_hands(stream, called != NULL)) {
        return true;
    } else {
        tell_refusal(stream, called, error, error_size);
    }
    SSL_free(ssl);
    stream->ssl = NULL;
    return false;
}

static size_t read_tls(cmd_stream *stream, void *data, size_t size)
{
    for (;;) {
        size_t taken = 0;
        ERR_clear_error();
        int result = SSL_read_ex(stream->ssl, data, size, &taken);
        if (result == 1) return taken;
        if (!may_go_on(stream, result)) return 0;
    }
}

size_t cmd_stream_read(cmd_stream *stream, void *data, size_t size)
{
    if (stream->ssl != NULL) return read_tls(stream, data, size);
    for (;;) {
        ssize_t taken = recv(stream->descriptor, data, size, MSG_DONTWAIT);
        if (taken >= 0) return (size_t)taken;
        if (errno == EINTR) continue;
        if (errno != EAGAIN || !wait_for(stream, POLLIN)) return 0;
    }
}

static bool write_tls(cmd_stream *stream, const void *data, size_t size)
{
    for (;;) {
        size_t sent = 0;
        ERR_clear_error();
        int result = SSL_write_ex(stream->ssl, data, size, &sent);
        if (result == 1) return sent == size;
        if (!may_go_on(stream, result)) return false;
    }
}

bool cmd_stream_write(cmd_stream *stream, const void *data, size_t size)
{
    const char *at = data;
    if (size == 0) return true;
    if (stream->ssl != NULL) return write_tls(stream, data, size);
    while (size > 0) {
        ssize_t sent = send(stream->descriptor, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno == EAGAIN && wait_for(stream, POLLOUT)) continue;
        if (sent < 0) return false;
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

void cmd_stream_close(cmd_stream *stream)
{
    if (stream->ssl != NULL) {
        SSL_shutdown(stream->ssl);
        SSL_free(stream->ssl);
    }
    close(stream->descriptor);
    *stream = (cmd_stream){.descriptor = -1};
}
