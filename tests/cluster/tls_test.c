/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What certificates promise to a cluster: nodes that have them answer each other, who has none, or
 * wrong ones, is not let in and is named in the log, and new files count without a restart.
 * Intruders are written here on sockets, so that they may say what no node would.
 */
#include "nodes.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>
#include <troupe/cluster.h>
#include <troupe/config.h>
#include <troupe/log.h>

#include <cmocka.h>

#include "tests/transport/papers.h"
#include "wire/hello.h"

static const troupe_type *const types[] = {&seat};

/* Lines of the log of all nodes, of which only that they came matters. */
typedef struct lines {
    pthread_mutex_t lock;
    size_t size;
    char text[1 << 18];
} lines;

typedef struct scene {
    nodes nodes;
    lines lines;
    char folder[128];
    char files[3][160]; /* certificate, key, authority of all nodes */
    papers authority, stranger, alpha, outsider, expired;
} scene;

static void on_log(void *user, const troupe_log_line *line)
{
    lines *self = user;
    pthread_mutex_lock(&self->lock);
    size_t room = sizeof self->text - self->size;
    int size = snprintf(self->text + self->size, room, "%s: %s\n", line->event, line->text);
    if (size > 0 && (size_t)size < room)
        self->size += (size_t)size;
    pthread_mutex_unlock(&self->lock);
}

static bool has_line(nodes *unused, void *user)
{
    (void)unused;
    void **both = user;
    lines *self = both[0];
    pthread_mutex_lock(&self->lock);
    bool has = strstr(self->text, both[1]) != NULL;
    pthread_mutex_unlock(&self->lock);
    return has;
}

static void await_line(scene *self, const char *words)
{
    void *both[2] = {&self->lines, (void *)(uintptr_t)words};
    nodes_await(has_line, &self->nodes, both);
}

static void forget_lines(scene *self)
{
    pthread_mutex_lock(&self->lines.lock);
    self->lines.size = 0;
    self->lines.text[0] = 0;
    pthread_mutex_unlock(&self->lines.lock);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
}

static void write_papers(scene *self, const papers *node, const papers *by)
{
    write_file(self->files[0], node->certificate_pem);
    write_file(self->files[1], node->key_pem);
    write_file(self->files[2], by->certificate_pem);
}

static scene *scene_open(void)
{
    scene *self = calloc(1, sizeof *self);
    assert_non_null(self);
    pthread_mutex_init(&self->lines.lock, NULL);
    papers_make(&self->authority, NULL, "cluster", 24);
    papers_make(&self->stranger, NULL, "another cluster", 24);
    papers_make(&self->alpha, &self->authority, "alpha", 24);
    papers_make(&self->outsider, &self->stranger, "outsider", 24);
    papers_make(&self->expired, &self->authority, "expired", -1);
    const char *temporary = getenv("TMPDIR");
    (void)snprintf(self->folder, sizeof self->folder, "%.90s/troupe-papers-XXXXXX",
        temporary != NULL ? temporary : "/tmp");
    assert_non_null(mkdtemp(self->folder));
    static const char *const names[3] = {"node.pem", "node.key", "authority.pem"};
    for (int i = 0; i < 3; i++)
        (void)snprintf(self->files[i], sizeof self->files[i], "%s/%s", self->folder, names[i]);
    write_papers(self, &self->alpha, &self->authority);
    return self;
}

static void scene_close(scene *self)
{
    papers *all[] = {
        &self->authority, &self->stranger, &self->alpha, &self->outsider, &self->expired};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        papers_drop(all[i]);
    for (int i = 0; i < 3; i++)
        (void)unlink(self->files[i]);
    assert_int_equal(rmdir(self->folder), 0);
    free(self);
}

static troupe_node_options secret_options(scene *self)
{
    return (troupe_node_options){TROUPE_NODE_OPTIONS, .tls_certificate = self->files[0],
        .tls_key = self->files[1], .tls_authority = self->files[2], .placement = "random",
        .log = "warn,text", .on_log = on_log, .on_log_user = &self->lines};
}

static void open_three(scene *self)
{
    const troupe_node_options one = secret_options(self);
    const troupe_node_options options[NODES] = {one, one, one};
    nodes_open(&self->nodes, options, types, 1);
}

/* From each node to actors of each: so many that chance leaves none out (less than 1 in 10^13). */
static void assert_all_answer(scene *self, const char *prefix)
{
    bool seen[NODES][NODES] = {{false}};
    for (int i = 0; i < 80 * NODES; i++) {
        char key[64];
        (void)snprintf(key, sizeof key, "%s%d", prefix, i);
        seen[i % NODES][nodes_where(&self->nodes, i % NODES, "seat", key)] = true;
    }
    for (int from = 0; from < NODES; from++)
        for (int to = 0; to < NODES; to++)
            assert_true(seen[from][to]);
}

/* ---- intruders ------------------------------------------------------------------------------- */

static void note_port(void *user, const troupe_cluster_member *member)
{
    int *port = user;
    char text[128];
    if (!member->is_self)
        return;
    (void)snprintf(text, sizeof text, "%.*s", TROUPE_ARG(member->address));
    *port = atoi(strrchr(text, ':') + 1);
}

/* At the control runner of a node, behind a preamble. */
static int intrude(scene *self, int node, unsigned flags)
{
    int port = 0;
    assert_int_equal(troupe_cluster_nodes(self->nodes.list[node], note_port, &port), TROUPE_OK);
    struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int socket_ = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(socket_, (struct sockaddr *)&address, sizeof address), 0);
    struct timeval patience = {.tv_sec = 20};
    (void)setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char preamble[TP_PREAMBLE_BYTES];
    tp_preamble_put(preamble, (tp_preamble){.shard = TP_SHARD_CONTROL, .flags = (uint8_t)flags});
    assert_int_equal(write(socket_, preamble, sizeof preamble), sizeof preamble);
    return socket_;
}

/* Nothing comes but the end. */
static void assert_refused(int socket_)
{
    char byte;
    assert_true(read(socket_, &byte, 1) <= 0);
    close(socket_);
}

/* By TLS with these papers (NULL: none); it must not get a byte from within. */
static void intrude_by_tls(scene *self, int node, const papers *with)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    assert_non_null(context);
    if (with != NULL) {
        assert_int_equal(SSL_CTX_use_certificate(context, with->certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(context, with->key), 1);
    }
    int socket_ = intrude(self, node, TP_PREAMBLE_TLS);
    SSL *ssl = SSL_new(context);
    assert_int_equal(SSL_set_fd(ssl, socket_), 1);
    /* A client of TLS 1.3 may believe that it is in until it reads. */
    if (SSL_connect(ssl) == 1) {
        char bytes[16];
        assert_true(SSL_read(ssl, bytes, sizeof bytes) <= 0);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(socket_);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void nodes_with_certificates_of_one_authority_answer_each_other(void **state)
{
    (void)state;
    scene *self = scene_open();
    open_three(self);
    assert_all_answer(self, "a");
    nodes_close(&self->nodes);
    scene_close(self);
}

static void who_has_no_good_certificate_is_refused_with_a_line_in_the_log(void **state)
{
    (void)state;
    scene *self = scene_open();
    open_three(self);
    forget_lines(self);
    assert_refused(intrude(self, 0, 0));
    await_line(self, "it speaks clear text, and this node wants TLS");
    intrude_by_tls(self, 0, NULL);
    await_line(self, "peer did not return a certificate");
    intrude_by_tls(self, 0, &self->expired);
    await_line(self, "certificate has expired");
    intrude_by_tls(self, 0, &self->outsider);
    await_line(self, "check tls_authority");
    assert_all_answer(self, "b");
    nodes_close(&self->nodes);
    scene_close(self);
}

static void on_died(void *user)
{
    atomic_store((atomic_bool *)user, true);
}

static bool is_set(nodes *unused, void *user)
{
    (void)unused;
    return atomic_load((atomic_bool *)user);
}

/* The store lets it into the view; nobody speaks with it, and it is put out again. */
static void a_node_of_another_authority_or_without_certificates_is_put_out(void **state)
{
    (void)state;
    scene *self = scene_open();
    open_three(self);
    char url[160], error[512];
    (void)snprintf(url, sizeof url, "file:%s", self->nodes.folder);
    for (int i = 0; i < 2; i++) {
        write_papers(self, &self->outsider, &self->stranger);
        troupe_node_options options = secret_options(self);
        options.name = "intruder";
        options.cluster = url;
        options.shards = 1;
        options.join_timeout = TROUPE_SECONDS(5);
        atomic_bool died = false;
        options.on_died = on_died;
        options.on_died_user = &died;
        if (i == 1)
            options.tls_certificate = options.tls_key = options.tls_authority = "";
        troupe_node *node = NULL;
        forget_lines(self);
        troupe_status status =
            troupe_node_open_explained(&options, types, 1, &node, error, sizeof error);
        await_line(self, i == 0 ? "check tls_authority" : "it speaks clear text");
        if (status == TROUPE_OK) {
            nodes_await(is_set, &self->nodes, &died);
            troupe_node_close(node);
        }
        nodes_await(nodes_see_all, &self->nodes, NULL);
        assert_all_answer(self, i == 0 ? "c" : "g");
    }
    nodes_close(&self->nodes);
    scene_close(self);
}

static void clear_text_is_let_in_where_it_is_allowed(void **state)
{
    (void)state;
    scene *self = scene_open();
    troupe_node_options one = secret_options(self);
    one.allow_clear_text = true;
    const troupe_node_options options[NODES] = {one, one, one};
    nodes_open(&self->nodes, options, types, 1);
    int socket_ = intrude(self, 0, 0);
    /* It is not dropped: it is waited for until it says hello, and what it says is answered. */
    char byte;
    assert_int_equal(recv(socket_, &byte, 1, MSG_DONTWAIT), -1);
    char nonsense[512];
    memset(nonsense, 'x', sizeof nonsense);
    assert_int_equal(write(socket_, nonsense, sizeof nonsense), sizeof nonsense);
    assert_refused(socket_);
    pthread_mutex_lock(&self->lines.lock);
    assert_null(strstr(self->lines.text, "it speaks clear text"));
    pthread_mutex_unlock(&self->lines.lock);
    nodes_close(&self->nodes);
    scene_close(self);
}

static void files_that_are_no_certificates_are_named(void **state)
{
    (void)state;
    scene *self = scene_open();
    char error[512];
    troupe_node *node;
    troupe_node_options options = secret_options(self);
    options.cluster = "file:/nowhere";
    write_file(self->files[1], self->outsider.key_pem); /* of another certificate */
    assert_int_equal(
        troupe_node_open_explained(&options, types, 1, &node, error, sizeof error), TROUPE_USAGE);
    assert_non_null(strstr(error, "tls_key"));
    assert_non_null(strstr(error, self->files[1]));
    write_file(self->files[1], self->alpha.key_pem);
    write_file(self->files[2], "no authority");
    assert_int_equal(
        troupe_node_open_explained(&options, types, 1, &node, error, sizeof error), TROUPE_USAGE);
    assert_non_null(strstr(error, "tls_authority"));
    options.tls_certificate = "/nowhere/node.pem";
    assert_int_equal(
        troupe_node_open_explained(&options, types, 1, &node, error, sizeof error), TROUPE_USAGE);
    assert_non_null(strstr(error, "tls_certificate: /nowhere/node.pem cannot be read: No such"));
    scene_close(self);
}

/* All three change over to another authority, one after the other, while they run. */
static void count_file(void *user, const troupe_reload_change *change)
{
    int *count = user;
    *count += change->is_taken && strncmp(change->name, "tls_", 4) == 0;
}

static void certificates_are_replaced_while_nodes_run(void **state)
{
    (void)state;
    scene *self = scene_open();
    open_three(self);
    assert_all_answer(self, "d");
    char error[512];

    write_file(self->files[0], "nonsense");
    forget_lines(self);
    assert_int_equal(
        troupe_node_reload_tls(self->nodes.list[0], error, sizeof error), TROUPE_USAGE);
    assert_non_null(strstr(error, "tls_certificate"));
    await_line(self, "the certificates that were read before stay");
    forget_lines(self);
    intrude_by_tls(self, 0, &self->outsider); /* the old ones count still */
    await_line(self, "check tls_authority");

    write_papers(self, &self->outsider, &self->stranger);
    for (int i = 1; i < NODES; i++)
        assert_int_equal(
            troupe_node_reload_tls(self->nodes.list[i], error, sizeof error), TROUPE_OK);
    const troupe_node_options same = secret_options(self); /* one of all options does it */
    int files = 0;
    assert_int_equal(troupe_node_reload(self->nodes.list[0], &same, types, 1, count_file, &files,
                         error, sizeof error),
        TROUPE_OK);
    assert_int_equal(files, 3);
    assert_all_answer(self, "e"); /* by the connections that are */
    forget_lines(self);
    intrude_by_tls(self, 1, &self->alpha); /* was good, and is no more */
    await_line(self, "check tls_authority");

    /* Who comes now has the new ones, and speaks with all shards. */
    char url[160];
    (void)snprintf(url, sizeof url, "file:%s", self->nodes.folder);
    troupe_node_close(self->nodes.list[2]);
    troupe_node_options options = secret_options(self);
    options.name = self->nodes.names[2];
    options.cluster = url;
    options.shards = 1;
    if (troupe_node_open_explained(&options, types, 1, &self->nodes.list[2], error, sizeof error) !=
        TROUPE_OK)
        fail_msg("%s", error);
    assert_all_answer(self, "f");
    nodes_close(&self->nodes);
    scene_close(self);
}

static void a_node_without_certificates_has_none_to_reload(void **state)
{
    (void)state;
    troupe_node *node;
    char error[512];
    assert_int_equal(troupe_node_open(NULL, types, 1, &node), TROUPE_OK);
    assert_int_equal(troupe_node_reload_tls(node, error, sizeof error), TROUPE_USAGE);
    assert_non_null(strstr(error, "tls_certificate"));
    assert_int_equal(troupe_node_reload_tls(node, NULL, 0), TROUPE_USAGE);
    troupe_node_close(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_with_certificates_of_one_authority_answer_each_other),
        cmocka_unit_test(who_has_no_good_certificate_is_refused_with_a_line_in_the_log),
        cmocka_unit_test(a_node_of_another_authority_or_without_certificates_is_put_out),
        cmocka_unit_test(clear_text_is_let_in_where_it_is_allowed),
        cmocka_unit_test(files_that_are_no_certificates_are_named),
        cmocka_unit_test(certificates_are_replaced_while_nodes_run),
        cmocka_unit_test(a_node_without_certificates_has_none_to_reload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
