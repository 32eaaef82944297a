/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of the gateway. See tls.h. */
#include "gateway/tls.h"

#include "gateway/inside.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>

enum { CHAIN_MAX = 16 }; /* certificates that one side shows */

struct tp_http_tls {
    const troupe_allocator *allocator;
    _Atomic uint32_t holders;
    uint32_t count;
    gnutls_pcert_st chain[CHAIN_MAX];
    gnutls_privkey_t key;
    gnutls_x509_trust_list_t trust; /* NULL: callers need no certificate */
    size_t trust_size;
    char *trust_text;
};

/* Of one connection. */
typedef struct session {
    tp_http_tls *tls;
    enum { UNKNOWN, KNOWN, STRANGE } peer;
} session;

/* ---- contexts -------------------------------------------------------------------------------- */

void tp_http_tls_release(tp_http_tls *tls)
{
    if (tls == NULL || atomic_fetch_sub_explicit(&tls->holders, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < tls->count; i++)
        gnutls_pcert_deinit(&tls->chain[i]);
    if (tls->key != NULL)
        gnutls_privkey_deinit(tls->key);
    if (tls->trust != NULL)
        gnutls_x509_trust_list_deinit(tls->trust, 1);
    tp_release(tls->allocator, tls->trust_text, tls->trust_size);
    tp_release(tls->allocator, tls, sizeof *tls);
}

static gnutls_datum_t datum_of(troupe_slice bytes)
{
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)bytes.data, (unsigned)bytes.size};
}

/* What GnuTLS said of an option's file. */
static troupe_status judge(int rc, const char *option, char *error, size_t error_size)
{
    if (rc >= 0)
        return TROUPE_OK;
    (void)snprintf(error, error_size, "%s: %s", option, gnutls_strerror(rc));
    return rc == GNUTLS_E_MEMORY_ERROR ? TROUPE_NO_MEMORY : TROUPE_CORRUPT;
}

/* Does the key belong to the certificate? The library of credentials looks at that. */
static troupe_status match(const tp_gateway_files *files, char *error, size_t error_size)
{
    gnutls_certificate_credentials_t both;
    gnutls_datum_t certificate = datum_of(files->certificate), key = datum_of(files->key);
    int rc = gnutls_certificate_allocate_credentials(&both);
    if (rc < 0)
        return TROUPE_NO_MEMORY;
    rc = gnutls_certificate_set_x509_key_mem2(
        both, &certificate, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
    gnutls_certificate_free_credentials(both);
    return judge(rc, "http_tls_key", error, error_size);
}

static troupe_status read_own(
    tp_http_tls *tls, const tp_gateway_files *files, char *error, size_t error_size)
{
    gnutls_datum_t certificate = datum_of(files->certificate), key = datum_of(files->key);
    unsigned count = CHAIN_MAX;
    int rc =
        gnutls_pcert_list_import_x509_raw(tls->chain, &count, &certificate, GNUTLS_X509_FMT_PEM, 0);
    TROUPE_TRY(judge(rc, "http_tls_certificate", error, error_size));
    tls->count = count;
    rc = gnutls_privkey_init(&tls->key);
    if (rc >= 0)
        rc = gnutls_privkey_import_x509_raw(tls->key, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
    TROUPE_TRY(judge(rc, "http_tls_key", error, error_size));
    return match(files, error, error_size);
}

static troupe_status read_trust(
    tp_http_tls *tls, const tp_gateway_files *files, char *error, size_t error_size)
{
    gnutls_datum_t authority = datum_of(files->authority);
    if (authority.size == 0)
        return TROUPE_OK;
    tls->trust_text = tp_allocate(tls->allocator, authority.size + 1);
    if (tls->trust_text == NULL)
        return TROUPE_NO_MEMORY;
    tls->trust_size = authority.size + 1;
    memcpy(tls->trust_text, authority.data, authority.size);
    tls->trust_text[authority.size] = 0;
    int rc = gnutls_x509_trust_list_init(&tls->trust, 0);
    if (rc >= 0)
        rc = gnutls_x509_trust_list_add_trust_mem(
            tls->trust, &authority, NULL, GNUTLS_X509_FMT_PEM, 0, 0);
    return judge(
        rc == 0 ? GNUTLS_E_NO_CERTIFICATE_FOUND : rc, "http_tls_authority", error, error_size);
}

troupe_status tp_http_tls_create(const troupe_allocator *allocator, const tp_gateway_files *files,
    tp_http_tls **ret_tls, char *error, size_t error_size)
{
    tp_http_tls *tls = tp_allocate(allocator, sizeof *tls);
    if (tls == NULL)
        return TROUPE_NO_MEMORY;
    *tls = (tp_http_tls){.allocator = allocator};
    atomic_store_explicit(&tls->holders, 1, memory_order_relaxed);
    troupe_status status = read_own(tls, files, error, error_size);
    if (status == TROUPE_OK)
        status = read_trust(tls, files, error, error_size);
    if (status == TROUPE_OK)
        *ret_tls = tls;
    else
        tp_http_tls_release(tls);
    return status;
}

static void lock(tp_http_tls_slot *slot)
{
    while (atomic_flag_test_and_set_explicit(&slot->lock, memory_order_acquire)) {
    }
}

static void unlock(tp_http_tls_slot *slot)
{
    atomic_flag_clear_explicit(&slot->lock, memory_order_release);
}

void tp_http_tls_put(tp_http_tls_slot *slot, tp_http_tls *tls)
{
    lock(slot);
    tp_http_tls *before = slot->newest;
    slot->newest = tls;
    unlock(slot);
    tp_http_tls_release(before);
}

static tp_http_tls *retain_newest(tp_http_tls_slot *slot)
{
    lock(slot);
    tp_http_tls *newest = slot->newest;
    if (newest != NULL)
        atomic_fetch_add_explicit(&newest->holders, 1, memory_order_relaxed);
    unlock(slot);
    return newest;
}

const char *tp_http_tls_trust(const tp_http_tls *tls)
{
    return tls->trust_text;
}

/* ---- connections ----------------------------------------------------------------------------- */

void tp_http_tls_connection(void *user, struct MHD_Connection *connection, void **context,
    enum MHD_ConnectionNotificationCode code)
{
    tp_gateway *gateway = user;
    session *self = *context;
    (void)connection;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED && self != NULL) {
        tp_http_tls_release(self->tls);
        tp_release(gateway->host.allocator, self, sizeof *self);
        *context = NULL;
    } else if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        self = tp_allocate(gateway->host.allocator, sizeof *self);
        if (self != NULL) /* else there is no handshake */
            *self = (session){.tls = retain_newest(&gateway->tls)};
        *context = self;
    }
}

static session *session_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

static int retrieve(gnutls_session_t tls, const gnutls_datum_t *names, int name_count,
    const gnutls_pk_algorithm_t *kinds, int kind_count, gnutls_pcert_st **ret_chain,
    unsigned *ret_count, gnutls_privkey_t *ret_key)
{
    struct MHD_Connection *connection = gnutls_session_get_ptr(tls);
    session *self = connection != NULL ? session_of(connection) : NULL;
    (void)names, (void)name_count, (void)kinds, (void)kind_count;
    if (self == NULL)
        return -1;
    *ret_chain = self->tls->chain;
    *ret_count = self->tls->count;
    *ret_key = self->tls->key;
    return 0;
}

void *tp_http_tls_retriever(void)
{
    return (void *)(uintptr_t)retrieve;
}

static bool verify(gnutls_session_t tls, gnutls_x509_trust_list_t trust)
{
    gnutls_x509_crt_t chain[CHAIN_MAX];
    unsigned count = 0, taken = 0, verdict = GNUTLS_CERT_INVALID;
    const gnutls_datum_t *shown = gnutls_certificate_get_peers(tls, &count);
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
        .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT};
    if (shown == NULL || count > CHAIN_MAX)
        return false;
    for (; taken < count; taken++) {
        if (gnutls_x509_crt_init(&chain[taken]) < 0)
            break;
        if (gnutls_x509_crt_import(chain[taken], &shown[taken], GNUTLS_X509_FMT_DER) < 0) {
            gnutls_x509_crt_deinit(chain[taken]);
            break;
        }
    }
    int rc = taken == count && count != 0 ? gnutls_x509_trust_list_verify_crt2(
                                                trust, chain, count, &purpose, 1, 0, &verdict, NULL)
                                          : GNUTLS_E_NO_CERTIFICATE_FOUND;
    while (taken != 0)
        gnutls_x509_crt_deinit(chain[--taken]);
    return rc >= 0 && verdict == 0;
}

bool tp_http_tls_knows(struct MHD_Connection *connection)
{
    session *self = session_of(connection);
    if (self == NULL)
        return false; /* there was no memory for it: nothing is known of the caller */
    if (self->tls->trust == NULL)
        return true;
    if (self->peer == UNKNOWN) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        bool is_known =
            info != NULL && verify((gnutls_session_t)info->tls_session, self->tls->trust);
        self->peer = is_known ? KNOWN : STRANGE;
    }
    return self->peer == KNOWN;
}
