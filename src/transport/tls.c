/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS by OpenSSL over two memory BIOs.
 *
 * What is written before the handshake has ended waits in `early`; it is a hello, so it is small.
 *
 * Threads: one owner; the context's count is atomic.
 */
#include "transport/tls.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/text.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <limits.h>
#include <stdatomic.h>

enum { EARLY_MAX = 4096, CHUNK = 16384 };

struct tp_tls_context {
    const troupe_allocator *allocator;
    SSL_CTX *context;
    atomic_uint count;
};

struct tp_tls {
    const troupe_allocator *allocator;
    tp_tls_context *context;
    SSL *ssl;
    BIO *in, *out; /* the connection's bytes; the SSL owns them */
    char *written; /* handed out by take */
    size_t written_room;
    size_t early_size;
    bool is_broken;
    char reason[256];
    char early[EARLY_MAX];
};

/* ---- contexts ------------------------------------------------------------------------------- */

/* Takes the oldest error of this thread's queue, which says most, and empties it. */
static const char *openssl_reason(void)
{
    unsigned long code = ERR_get_error();
    ERR_clear_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    return reason != NULL ? reason : "no reason was given";
}

static void say(char *error, size_t error_size, const char *option, const char *what)
{
    tp_text text;
    tp_text_init(&text, error, error_size);
    tp_text_printf(&text, "%s: %s", option, what);
}

static BIO *open_pem(troupe_slice pem)
{
    return pem.size <= INT_MAX ? BIO_new_mem_buf(pem.size != 0 ? pem.data : "", (int)pem.size)
                               : NULL;
}

static int no_words(char *out, int size, int writing, void *user)
{
    (void)out, (void)size, (void)writing, (void)user;
    return -1; /* a locked key is refused, not asked for at a terminal */
}

/* The first is the node's own, the others lie between it and the authority. */
static bool use_certificate(SSL_CTX *context, troupe_slice pem)
{
    BIO *bio = open_pem(pem);
    X509 *certificate = bio != NULL ? PEM_read_bio_X509(bio, NULL, no_words, NULL) : NULL;
    bool ok = certificate != NULL && SSL_CTX_use_certificate(context, certificate) == 1;
    X509_free(certificate);
    while (ok && (certificate = PEM_read_bio_X509(bio, NULL, no_words, NULL)) != NULL) {
        ok = SSL_CTX_add0_chain_cert(context, certificate) == 1;
        if (!ok)
            X509_free(certificate);
    }
    if (ok)
        ERR_clear_error(); /* the end of the file */
    BIO_free(bio);
    return ok;
}

static bool use_key(SSL_CTX *context, troupe_slice pem)
{
    BIO *bio = open_pem(pem);
    EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_words, NULL) : NULL;
    bool ok = key != NULL && SSL_CTX_use_PrivateKey(context, key) == 1 &&
              SSL_CTX_check_private_key(context) == 1;
    EVP_PKEY_free(key);
    BIO_free(bio);
    return ok;
}

static bool use_authority(SSL_CTX *context, troupe_slice pem)
{
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    BIO *bio = open_pem(pem);
    unsigned count = 0;
    bool ok = bio != NULL;
    X509 *certificate;
    while (ok && (certificate = PEM_read_bio_X509(bio, NULL, no_words, NULL)) != NULL) {
        ok = X509_STORE_add_cert(store, certificate) == 1;
        X509_free(certificate);
        count++;
    }
    if (ok && count != 0)
        ERR_clear_error();
    BIO_free(bio);
    return ok && count != 0;
}

static SSL_CTX *make_context(const tp_tls_files *files, char *error, size_t error_size)
{
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    if (context == NULL) {
        say(error, error_size, "tls", openssl_reason());
        return NULL;
    }
    const char *wrong = NULL;
    if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1)
        wrong = "tls";
    else if (!use_certificate(context, files->certificate))
        wrong = "tls_certificate";
    else if (!use_key(context, files->key))
        wrong = "tls_key";
    else if (!use_authority(context, files->authority))
        wrong = "tls_authority";
    if (wrong != NULL) {
        say(error, error_size, wrong, openssl_reason());
        SSL_CTX_free(context);
        return NULL;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    /* A node is client and server with one certificate: its extended usage is not looked at. */
    SSL_CTX_set_purpose(context, X509_PURPOSE_ANY);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0); /* links live long: they are not resumed */
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    return context;
}

troupe_status tp_tls_context_create(const troupe_allocator *allocator, const tp_tls_files *files,
    tp_tls_context **ret_context, char *error, size_t error_size)
{
    tp_tls_context *self = tp_allocate_zeroed(allocator, sizeof *self);
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    self->allocator = allocator;
    self->context = make_context(files, error, error_size);
    if (self->context == NULL) {
        tp_release(allocator, self, sizeof *self);
        return TROUPE_CORRUPT;
    }
    atomic_init(&self->count, 1);
    *ret_context = self;
    return TROUPE_OK;
}

void tp_tls_context_retain(tp_tls_context *context)
{
    atomic_fetch_add_explicit(&context->count, 1, memory_order_relaxed);
}

void tp_tls_context_release(tp_tls_context *context)
{
    if (context == NULL || atomic_fetch_sub_explicit(&context->count, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(context->context);
    tp_release(context->allocator, context, sizeof *context);
}

void tp_tls_context_give(_Atomic(tp_tls_context *) *slot, tp_tls_context *context)
{
    tp_tls_context_retain(context);
    tp_tls_context_release(atomic_exchange(slot, context));
}

tp_tls_context *tp_tls_context_take(_Atomic(tp_tls_context *) *slot)
{
    if (atomic_load_explicit(slot, memory_order_relaxed) == NULL)
        return NULL;
    return atomic_exchange(slot, NULL);
}

/* ---- one connection ------------------------------------------------------------------------- */

tp_tls *tp_tls_create(tp_tls_context *context, const troupe_allocator *allocator, bool is_client)
{
    tp_tls *self = tp_allocate_zeroed(allocator, sizeof *self);
    if (self == NULL)
        return NULL;
    self->allocator = allocator;
    self->ssl = SSL_new(context->context);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (self->ssl == NULL || in == NULL || out == NULL) {
        BIO_free(in);
        BIO_free(out);
        SSL_free(self->ssl);
        tp_release(allocator, self, sizeof *self);
        return NULL;
    }
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(self->ssl, in, out);
    self->in = in;
    self->out = out;
    if (is_client)
        SSL_set_connect_state(self->ssl);
    else
        SSL_set_accept_state(self->ssl);
    tp_tls_context_retain(context);
    self->context = context;
    return self;
}

void tp_tls_destroy(tp_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_free(tls->ssl);
    tp_tls_context_release(tls->context);
    tp_release(tls->allocator, tls->written, tls->written_room);
    tp_release(tls->allocator, tls, sizeof *tls);
}

static bool fail(tp_tls *self, const char *reason)
{
    tp_text text;
    tp_text_init(&text, self->reason, sizeof self->reason);
    long verified = SSL_get_verify_result(self->ssl);
    if (verified != X509_V_OK)
        tp_text_printf(&text, "TLS: the peer's certificate: %s; check tls_authority of both nodes",
            X509_verify_cert_error_string(verified));
    else
        tp_text_printf(&text, "TLS: %s", reason);
    self->is_broken = true;
    return false;
}

/* What SSL_get_error said of a call that did not do it all. */
static bool look_at_error(tp_tls *self, int result)
{
    switch (SSL_get_error(self->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
    case SSL_ERROR_NONE:
    case SSL_ERROR_ZERO_RETURN: /* the peer has ended it in order: no more bytes come */
        return true;
    default:
        return fail(self, openssl_reason());
    }
}

static bool encrypt(tp_tls *self, const char *at, size_t size)
{
    while (size != 0) {
        int part = size < CHUNK ? (int)size : CHUNK;
        ERR_clear_error();
        int result = SSL_write(self->ssl, at, part);
        if (result <= 0)
            return look_at_error(self, result) ? fail(self, "it takes no more") : false;
        at += result;
        size -= (size_t)result;
    }
    return true;
}

static bool shake_hands(tp_tls *self)
{
    if (self->is_broken)
        return false;
    if (SSL_is_init_finished(self->ssl))
        return true;
    ERR_clear_error();
    int result = SSL_do_handshake(self->ssl);
    if (result != 1)
        return look_at_error(self, result);
    size_t early = self->early_size;
    self->early_size = 0;
    return encrypt(self, self->early, early);
}

bool tp_tls_feed(tp_tls *tls, troupe_slice bytes)
{
    if (tls->is_broken)
        return false;
    const char *at = bytes.data;
    size_t size = bytes.size;
    while (size != 0) {
        int part = size < INT_MAX ? (int)size : INT_MAX;
        if (BIO_write(tls->in, at, part) != part)
            return fail(tls, "no memory");
        at += part;
        size -= (size_t)part;
    }
    return shake_hands(tls);
}

size_t tp_tls_read(tp_tls *tls, void *out, size_t room)
{
    size_t size = 0;
    while (size < room && !tls->is_broken && SSL_is_init_finished(tls->ssl)) {
        int part = room - size < INT_MAX ? (int)(room - size) : INT_MAX;
        ERR_clear_error();
        int result = SSL_read(tls->ssl, (char *)out + size, part);
        if (result <= 0) {
            (void)look_at_error(tls, result);
            break;
        }
        size += (size_t)result;
    }
    return size;
}

bool tp_tls_write(tp_tls *tls, troupe_slice bytes)
{
    if (!shake_hands(tls))
        return false;
    if (SSL_is_init_finished(tls->ssl))
        return encrypt(tls, bytes.data, bytes.size);
    if (bytes.size > EARLY_MAX - tls->early_size)
        return fail(tls, "too much was said before the handshake ended");
    memcpy(tls->early + tls->early_size, bytes.data, bytes.size);
    tls->early_size += bytes.size;
    return true;
}

bool tp_tls_take(tp_tls *tls, troupe_slice *ret_bytes)
{
    (void)shake_hands(tls); /* a client begins */
    size_t size = BIO_ctrl_pending(tls->out);
    if (size == 0)
        return false;
    if (size > tls->written_room) {
        void *room = tp_reallocate(tls->allocator, tls->written, tls->written_room, size);
        if (room == NULL) {
            size = tls->written_room; /* as much as there is room for */
        } else {
            tls->written = room;
            tls->written_room = size;
        }
    }
    int part = size < INT_MAX ? (int)size : INT_MAX;
    int got = part != 0 ? BIO_read(tls->out, tls->written, part) : 0;
    if (got <= 0) {
        (void)fail(tls, "no memory");
        return false;
    }
    *ret_bytes = troupe_slice_of(tls->written, (size_t)got);
    return true;
}

bool tp_tls_is_ready(const tp_tls *tls)
{
    return !tls->is_broken && SSL_is_init_finished(tls->ssl);
}

const char *tp_tls_reason(const tp_tls *tls)
{
    return tls->is_broken ? tls->reason : NULL;
}
