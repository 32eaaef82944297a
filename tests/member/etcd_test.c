/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The membership provider `etcd` against the conformance suite, on a server of its own that is
 * stopped, killed and started again.
 *
 * Threads: the suite's.
 */
#include "suite.h"
#include "tests/store/servers.h"

#include "providers/etcd/etcd.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct etcd_server {
    test_server server;
    char program[SERVER_PATH];
    int port, peer_port;
    relay way;
} etcd_server;

static troupe_status open_with(const etcd_server *self, const char *host, const char *cluster,
    troupe_membership **ret_membership, char *error, size_t error_size)
{
    char url[300];
    snprintf(url, sizeof url, "etcd://%s127.0.0.1:%d/tests", host, self->way.port);
    return tp_etcd_member_open(&suite_host, url, cluster, ret_membership, error, error_size);
}

static troupe_status open_on(void *user, const char *cluster, troupe_membership **ret_membership)
{
    char error[600] = "";
    troupe_status status = open_with(user, "", cluster, ret_membership, error, sizeof error);
    if (status != TROUPE_OK)
        fprintf(stderr, "%s\n", error);
    return status;
}

static bool answers(void *user)
{
    char error[600] = "";
    troupe_membership *handle = NULL;
    if (open_with(user, "", "probe", &handle, error, sizeof error) != TROUPE_OK)
        return false;
    handle->close(handle);
    return true;
}

static bool start(void *user)
{
    etcd_server *self = user;
    char data[SERVER_PATH + 16], clients[64], peers[64], cluster[80];
    if (self->server.folder[0] == '\0') {
        if (!server_find("etcd", "/usr/bin", self->program, sizeof self->program)) {
            fprintf(stderr, "FAILED: etcd is not installed (make deps-test)\n");
            return false;
        }
        if (!server_make_folder(&self->server, "etcd"))
            return false;
        self->port = server_free_port();
        self->peer_port = server_free_port();
        if (!relay_start(&self->way, NULL, self->port))
            return false;
    }
    snprintf(data, sizeof data, "%s/data", self->server.folder);
    snprintf(clients, sizeof clients, "http://127.0.0.1:%d", self->port);
    snprintf(peers, sizeof peers, "http://127.0.0.1:%d", self->peer_port);
    snprintf(cluster, sizeof cluster, "one=%s", peers);
    const char *const argv[] = {self->program, "--name", "one", "--data-dir", data,
        "--listen-client-urls", clients, "--advertise-client-urls", clients, "--listen-peer-urls",
        peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", cluster, "--log-level",
        "error", NULL};
    return server_start(&self->server, argv) && server_await(answers, self, 30);
}

static bool stop(void *user)
{
    return server_pause(&((etcd_server *)user)->server);
}

static bool go(void *user)
{
    return server_continue(&((etcd_server *)user)->server);
}

static bool kill_server(void *user)
{
    server_end(&((etcd_server *)user)->server, SIGKILL);
    return true;
}

static void remove_server(void *user)
{
    etcd_server *self = user;
    server_end(&self->server, SIGKILL);
    server_remove_folder(&self->server);
}

static void an_endpoint_that_is_away_is_passed_over(void **state)
{
    char other[64], error[600] = "";
    troupe_membership *handle = NULL;
    snprintf(other, sizeof other, "127.0.0.1:%d,", server_free_port());
    assert_int_equal(
        open_with(*state, other, "endpoints", &handle, error, sizeof error), TROUPE_OK);
    assert_int_equal(handle->raise(handle, TROUPE_SECONDS(5), 1, 0), TROUPE_OK);
    assert_int_equal(handle->raise(handle, TROUPE_SECONDS(5), 1, 1), TROUPE_OK);
    handle->close(handle);
}

static void expect_refused(const char *url, const char *word)
{
    char error[600] = "";
    troupe_membership *handle = NULL;
    troupe_status status = tp_etcd_member_open(&suite_host, url, "c", &handle, error, sizeof error);
    assert_int_equal(status, TROUPE_USAGE);
    assert_null(handle);
    if (strstr(error, word) == NULL)
        fail_msg("%s: %s", url, error);
}

static void a_wrong_url_is_refused_with_reason(void **state)
{
    (void)state;
    expect_refused("etcd:nowhere", "etcd://");
    expect_refused("etcd:///prefix", "no host");
    expect_refused("etcd://a,,b", "empty");
    expect_refused("etcd://user@host", "login");
    expect_refused("etcd://host/p?colour=red", "parameters");
}

static int begin(void **state)
{
    static etcd_server server;
    *state = &server;
    return start(&server) ? 0 : -1;
}

static int end(void **state)
{
    etcd_server *server = *state;
    relay_stop(&server->way);
    remove_server(server);
    return 0;
}

int main(void)
{
    etcd_server server = {0};
    const suite place = {.name = "etcd",
        .open = open_on,
        .user = &server,
        .way = &server.way,
        .stop = stop,
        .go = go,
        .kill = kill_server,
        .start = start,
        .remove = remove_server};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_endpoint_that_is_away_is_passed_over),
        cmocka_unit_test(a_wrong_url_is_refused_with_reason),
    };
    int failed = suite_run(&place);
    return failed + cmocka_run_group_tests_name("etcd alone", tests, begin, end);
}
