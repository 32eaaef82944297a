/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS between two nodes, by hand: certificates of one authority meet, others are refused with
 * words, bytes may be cut anywhere, and new certificates count for new connections.
 */
#include "transport/tls.h"

#include "base/alloc.h"
#include "base/prng.h"
#include "papers.h"
#include "tests/base/failing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static papers authority, stranger, alpha, beta, outsider, expired;

static int make_papers(void **state)
{
    (void)state;
    papers_make(&authority, NULL, "cluster", 24);
    papers_make(&stranger, NULL, "another cluster", 24);
    papers_make(&alpha, &authority, "alpha", 24);
    papers_make(&beta, &authority, "beta", 24);
    papers_make(&outsider, &stranger, "outsider", 24);
    papers_make(&expired, &authority, "expired", -1);
    return 0;
}

static int drop_papers(void **state)
{
    (void)state;
    papers *all[] = {&authority, &stranger, &alpha, &beta, &outsider, &expired};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        papers_drop(all[i]);
    return 0;
}

static tp_tls_context *context_of(const papers *node, const papers *by)
{
    tp_tls_files files = {troupe_str(node->certificate_pem), troupe_str(node->key_pem),
        troupe_str(by->certificate_pem)};
    tp_tls_context *context = NULL;
    char error[256] = "";
    troupe_status status =
        tp_tls_context_create(tp_allocator_system(), &files, &context, error, sizeof error);
    if (status != TROUPE_OK)
        fail_msg("%s", error);
    return context;
}

typedef struct meeting {
    tp_tls *sides[2];
    tp_prng prng;
    char got[2][100000];
    size_t got_size[2];
} meeting;

static void open_meeting(meeting *self, const papers *client, const papers *client_trusts,
    const papers *server, const papers *server_trusts)
{
    memset(self, 0, sizeof *self);
    tp_prng_seed(&self->prng, 7);
    tp_tls_context *of_client = context_of(client, client_trusts);
    tp_tls_context *of_server = context_of(server, server_trusts);
    self->sides[0] = tp_tls_create(of_client, tp_allocator_system(), true);
    self->sides[1] = tp_tls_create(of_server, tp_allocator_system(), false);
    assert_true(self->sides[0] != NULL && self->sides[1] != NULL);
    tp_tls_context_release(of_client); /* each holds its own */
    tp_tls_context_release(of_server);
}

static void close_meeting(meeting *self)
{
    tp_tls_destroy(self->sides[0]);
    tp_tls_destroy(self->sides[1]);
}

/* Until nothing moves; in random pieces up to `piece` bytes. */
static void carry(meeting *self, size_t piece)
{
    bool moved = true;
    while (moved) {
        moved = false;
        for (unsigned i = 0; i < 2; i++) {
            troupe_slice bytes;
            while (tp_tls_take(self->sides[i], &bytes)) {
                moved = true;
                const char *at = bytes.data;
                for (size_t left = bytes.size, part; left != 0; left -= part, at += part) {
                    part = 1 + tp_prng_next(&self->prng) % piece;
                    if (part > left)
                        part = left;
                    (void)!tp_tls_feed(self->sides[1 - i], troupe_slice_of(at, part));
                    size_t *size = &self->got_size[1 - i];
                    *size += tp_tls_read(
                        self->sides[1 - i], self->got[1 - i] + *size, sizeof self->got[0] - *size);
                }
            }
        }
    }
}

static void two_nodes_of_one_authority_speak_in_secret(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 7, 300, 100000};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        meeting *self = malloc(sizeof *self);
        open_meeting(self, &alpha, &authority, &beta, &authority);
        /* The hello may be said before the handshake has ended. */
        assert_true(tp_tls_write(self->sides[0], troupe_str("hello of the client")));
        carry(self, pieces[i]);
        assert_true(tp_tls_is_ready(self->sides[0]) && tp_tls_is_ready(self->sides[1]));
        assert_int_equal(self->got_size[1], 19);
        assert_memory_equal(self->got[1], "hello of the client", 19);
        char large[60000];
        for (size_t k = 0; k < sizeof large; k++)
            large[k] = (char)tp_prng_next(&self->prng);
        assert_true(tp_tls_write(self->sides[1], troupe_slice_of(large, sizeof large)));
        carry(self, pieces[i]);
        assert_int_equal(self->got_size[0], sizeof large);
        assert_memory_equal(self->got[0], large, sizeof large);
        close_meeting(self);
        free(self);
    }
}

static void nothing_is_readable_on_the_way(void **state)
{
    (void)state;
    meeting *self = malloc(sizeof *self);
    open_meeting(self, &alpha, &authority, &beta, &authority);
    carry(self, 1000);
    assert_true(tp_tls_write(self->sides[0], troupe_str("a secret of some length")));
    troupe_slice bytes;
    assert_true(tp_tls_take(self->sides[0], &bytes));
    assert_null(memmem(bytes.data, bytes.size, "secret", 6));
    close_meeting(self);
    free(self);
}

static void assert_never_meets(const papers *client, const papers *client_trusts,
    const papers *server, const papers *server_trusts, unsigned who_says, const char *words)
{
    meeting *self = malloc(sizeof *self);
    open_meeting(self, client, client_trusts, server, server_trusts);
    assert_true(tp_tls_write(self->sides[0], troupe_str("hello of the client")));
    carry(self, 1000);
    const char *reason = tp_tls_reason(self->sides[who_says]);
    assert_non_null(reason);
    if (strstr(reason, words) == NULL)
        fail_msg("'%s' lacks '%s'", reason, words);
    assert_int_equal(self->got_size[0] + self->got_size[1], 0);
    assert_non_null(tp_tls_reason(self->sides[1 - who_says])); /* it was told */
    assert_false(tp_tls_write(self->sides[who_says], troupe_str("more")));
    close_meeting(self);
    free(self);
}

static void certificates_of_others_are_refused_by_either_side(void **state)
{
    (void)state;
    assert_never_meets(&outsider, &authority, &beta, &authority, 1, "certificate");
    assert_never_meets(&alpha, &authority, &outsider, &authority, 0, "certificate");
    assert_never_meets(&alpha, &authority, &expired, &authority, 0, "expired");
    assert_never_meets(&expired, &authority, &beta, &authority, 1, "expired");
    assert_never_meets(&alpha, &stranger, &beta, &authority, 0, "tls_authority");
}

static void garbage_breaks_it_with_a_reason(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        meeting *self = malloc(sizeof *self);
        open_meeting(self, &alpha, &authority, &beta, &authority);
        assert_false(
            tp_tls_feed(self->sides[i], troupe_str("GET / HTTP/1.1\r\nHost: here\r\n\r\n")));
        assert_non_null(tp_tls_reason(self->sides[i]));
        close_meeting(self);
        free(self);
    }
    meeting *self = malloc(sizeof *self);
    open_meeting(self, &alpha, &authority, &beta, &authority);
    carry(self, 1000);
    assert_true(tp_tls_write(self->sides[0], troupe_str("bytes")));
    troupe_slice bytes;
    assert_true(tp_tls_take(self->sides[0], &bytes));
    char changed[200];
    memcpy(changed, bytes.data, bytes.size);
    changed[bytes.size - 1] = (char)(changed[bytes.size - 1] ^ 1);
    (void)!tp_tls_feed(self->sides[1], troupe_slice_of(changed, bytes.size));
    assert_int_equal(tp_tls_read(self->sides[1], changed, sizeof changed), 0);
    assert_non_null(tp_tls_reason(self->sides[1]));
    close_meeting(self);
    free(self);
}

static void a_file_that_is_none_is_named(void **state)
{
    (void)state;
    const tp_tls_files good = {troupe_str(alpha.certificate_pem), troupe_str(alpha.key_pem),
        troupe_str(authority.certificate_pem)};
    tp_tls_files bad[4] = {good, good, good, good};
    bad[0].certificate = troupe_str("not a certificate");
    bad[1].key = troupe_str(beta.key_pem); /* of another certificate */
    bad[2].authority = troupe_str("");
    bad[3].key = troupe_str("");
    static const char *const names[4] = {
        "tls_certificate: ", "tls_key: ", "tls_authority: ", "tls_key: "};
    for (unsigned i = 0; i < 4; i++) {
        tp_tls_context *context = NULL;
        char error[256] = "";
        assert_int_equal(
            tp_tls_context_create(tp_allocator_system(), &bad[i], &context, error, sizeof error),
            TROUPE_CORRUPT);
        assert_null(context);
        assert_non_null(strstr(error, names[i]));
    }
}

/* The old authority's connections stay as they are; new ones are made under the new. */
static void new_certificates_count_for_new_connections(void **state)
{
    (void)state;
    papers next, gamma;
    papers_make(&next, NULL, "cluster, next year", 24);
    papers_make(&gamma, &next, "alpha", 24);
    meeting *old = malloc(sizeof *old);
    open_meeting(old, &alpha, &authority, &beta, &authority);
    carry(old, 1000);
    meeting *new = malloc(sizeof *new);
    open_meeting(new, &gamma, &next, &gamma, &next);
    carry(new, 1000);
    assert_true(tp_tls_is_ready(new->sides[0]) && tp_tls_is_ready(new->sides[1]));
    assert_true(tp_tls_write(old->sides[0], troupe_str("still here")));
    carry(old, 1000);
    assert_int_equal(old->got_size[1], 10);
    close_meeting(old);
    close_meeting(new);
    free(old);
    free(new);
    assert_never_meets(&gamma, &next, &beta, &authority, 0, "certificate");
    papers_drop(&next);
    papers_drop(&gamma);
}

static void own_allocations_may_fail(void **state)
{
    (void)state;
    tp_tls_context *context = context_of(&alpha, &authority);
    failing memory;
    failing_init(&memory);
    memory.fail_from = 1;
    memory.fail_count = 1;
    assert_null(tp_tls_create(context, &memory.allocator, true));
    memory.fail_from = 3;
    tp_tls *tls = tp_tls_create(context, &memory.allocator, true);
    assert_non_null(tls);
    troupe_slice bytes;
    assert_false(tp_tls_take(tls, &bytes));
    assert_string_equal(tp_tls_reason(tls), "TLS: no memory");
    tp_tls_destroy(tls);
    assert_int_equal(memory.bytes, 0);
    tp_tls_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_nodes_of_one_authority_speak_in_secret),
        cmocka_unit_test(nothing_is_readable_on_the_way),
        cmocka_unit_test(certificates_of_others_are_refused_by_either_side),
        cmocka_unit_test(garbage_breaks_it_with_a_reason),
        cmocka_unit_test(a_file_that_is_none_is_named),
        cmocka_unit_test(new_certificates_count_for_new_connections),
        cmocka_unit_test(own_allocations_may_fail),
    };
    return cmocka_run_group_tests(tests, make_papers, drop_papers);
}
