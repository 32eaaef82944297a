/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates for tests: an authority, and nodes that it vouches for. Not for use elsewhere: keys
 * are made in the process and thrown away. Included by the tests of this folder.
 *
 * Invariants: certificates are good from an hour ago for `hours`. Threads: one.
 */
#ifndef TEST_TRANSPORT_PAPERS_H
#define TEST_TRANSPORT_PAPERS_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <stdlib.h>
#include <string.h>

typedef struct papers {
    EVP_PKEY *key;
    X509 *certificate;
    char key_pem[2048], certificate_pem[4096];
} papers;

static inline void papers_print(papers *self)
{
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, self->certificate);
    int size = BIO_read(bio, self->certificate_pem, sizeof self->certificate_pem - 1);
    self->certificate_pem[size > 0 ? size : 0] = 0;
    PEM_write_bio_PrivateKey(bio, self->key, NULL, NULL, 0, NULL, NULL);
    size = BIO_read(bio, self->key_pem, sizeof self->key_pem - 1);
    self->key_pem[size > 0 ? size : 0] = 0;
    BIO_free(bio);
}

/* `by` NULL: an authority, signed by itself. */
static inline void papers_make(papers *self, const papers *by, const char *name, long hours)
{
    memset(self, 0, sizeof *self);
    self->key = EVP_EC_gen("P-256");
    X509 *certificate = self->certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), by == NULL ? 1 : 2);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -2 * 3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), hours * 3600);
    X509_set_pubkey(certificate, self->key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
        (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(
        certificate, X509_get_subject_name(by != NULL ? by->certificate : certificate));
    X509_EXTENSION *basic = X509V3_EXT_conf_nid(
        NULL, NULL, NID_basic_constraints, by == NULL ? "critical,CA:TRUE" : "critical,CA:FALSE");
    X509_add_ext(certificate, basic, -1);
    X509_EXTENSION_free(basic);
    X509_sign(certificate, by != NULL ? by->key : self->key, EVP_sha256());
    papers_print(self);
}

static inline void papers_drop(papers *self)
{
    X509_free(self->certificate);
    EVP_PKEY_free(self->key);
}

#endif
