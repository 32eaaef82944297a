/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trouped, the daemon: loads modules, opens a node, serves the admin socket, and closes in order.
 * What is done when is here; how is in options.c, modules.c, listen.c, server.c.
 *
 * Invariants: 1. Exit codes: 0 stopped as asked, 1 failed, 2 wrong command line or file. 2. Before
 * the ready line nothing is served; after the socket is gone no new request is taken.
 * Threads: this one runs the loop of the socket; the node has its own.
 */
#include "trouped/notify.h"
#include "trouped/options.h"
#include "trouped/restart.h"
#include "trouped/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <troupe/inspect.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define ERROR_SIZE 1024

/* ---- words ---- */

static int fail(int code, const char *words)
{
    fprintf(stderr, "trouped: %s\n", words);
    return code;
}

/* ---- the ready line ---- */

static void print_ready(const daemon_options *options, const daemon_modules *modules,
                        troupe_node *node, const char *remote)
{
    const troupe_type *first = modules->types[0];
    printf("trouped: %s serves", troupe_node_name(node));
    for (size_t i = 0; i < modules->type_count; i++) {
        printf("%s %s", i > 0 ? "," : "", modules->types[i]->name);
    }
    printf(" at %s; call: troupe", options->socket);
    /* A socket at the usual place need not be named. */
    if (options->socket != options->usual_socket && getenv("TROUPE_SOCKET") == NULL) {
        printf(" --socket %s", options->socket);
    }
    const char *method = first->method_count > 0 ? first->methods[0].name : "METHOD";
    printf(" ask %s/1 %s", first->name, method);
    if (troupe_node_http(node) != NULL) {
        const char *certificate = options->node.http_tls_certificate;
        bool is_tls = certificate != NULL && certificate[0] != 0;
        printf(", or curl %s://%s/v1.0/actors/%s/1/method/%s", is_tls ? "https" : "http",
               troupe_node_http(node), first->name, method);
    }
    if (remote != NULL) printf(", or from afar with --connect %s", remote);
    printf("\n");
    fflush(stdout);
}

/* What a daemon has besides its node. */
typedef struct run_parts {
    listen_socket *socket;
    daemon_remote *remote; /* NULL: none */
    daemon_restart *restart;
    daemon_voice *voice;
} run_parts;

/* ---- from start to end ---- */

static void say_restart(void *user)
{
    voice_say(user, TROUPE_LOG_WARN, "restart", "this process becomes a new trouped with the same "
              "command line, and joins the cluster as a new incarnation");
}

static int serve(const daemon_options *options, const daemon_modules *modules, troupe_node *node,
                 const run_parts *parts)
{
    listen_socket *socket = parts->socket;
    daemon_remote *remote = parts->remote;
    daemon_server *server = NULL;
    daemon_server_options server_options = {
        .node = node,
        .types = options->type_list,
        .type_count = modules->type_count,
        .config = daemon_config_create(options, modules, node, remote, parts->voice),
        .socket = socket,
        .voice = parts->voice,
    };
    if (server_options.config == NULL || !server_create(&server_options, &server) ||
        !remote_start(remote)) {
        listen_remove(socket);
        remote_close(remote);
        troupe_node_close(node);
        daemon_config_destroy(server_options.config);
        return fail(EXIT_FAILED, "no memory or threads for the admin socket");
    }
    print_ready(options, modules, node, remote_address(remote));
    restart_arm(parts->restart);
    notify_manager("READY=1");
    server_run(server);
    restart_disarm(parts->restart);
    remote_close(remote);
    server_close_clients(server);
    troupe_node_close(node);
    server_destroy(server);
    daemon_config_destroy(server_options.config);
    return EXIT_OK;
}

/* What opening a node would say of the options. */
static int check(const daemon_options *options)
{
    char error[ERROR_SIZE];
    if (troupe_options_check(&options->node, error, sizeof(error)) != TROUPE_OK) {
        daemon_options_place(options, error, sizeof(error));
        return fail(EXIT_USAGE, error);
    }
    printf("trouped: ok\n");
    return EXIT_OK;
}

static int run(daemon_options *options, daemon_modules *modules, daemon_restart *restart,
               daemon_voice *voice)
{
    char error[ERROR_SIZE];
    listen_socket socket;
    troupe_node *node = NULL;
    for (size_t i = 0; i < options->load_count; i++) {
        if (!modules_load(modules, options->loads[i], error, sizeof(error))) {
            return fail(EXIT_FAILED, error);
        }
    }
    if (modules->type_count == 0) {
        return fail(EXIT_USAGE, "nothing to serve: give --load FILE, a module of actor types "
                    "(see trouped --help)");
    }
    if (!daemon_options_apply(options, modules, error, sizeof(error))) {
        return fail(EXIT_USAGE, error);
    }
    if (options->is_check) return check(options);
    if (!listen_open(&socket, options->socket, error, sizeof(error))) {
        return fail(EXIT_FAILED, error);
    }
    run_parts parts = {&socket, NULL, restart, voice};
    const remote_options remote = {options->remote, options->remote_token,
                                   {options->node.tls_certificate, options->node.tls_key,
                                    options->node.tls_authority}, options->socket, voice};
    if (!remote_open(&remote, &parts.remote, error, sizeof(error))) {
        listen_remove(&socket);
        return fail(EXIT_USAGE, error);
    }
    error[0] = 0;
    options->node.on_died = restart_on_died;
    options->node.on_died_user = restart;
    troupe_status status = troupe_node_open_explained(&options->node, options->type_list,
                                                      modules->type_count, &node, error,
                                                      sizeof(error));
    if (status != TROUPE_OK) {
        listen_remove(&socket);
        remote_close(parts.remote);
        daemon_options_place(options, error, sizeof(error));
        return fail(status == TROUPE_USAGE ? EXIT_USAGE : EXIT_FAILED,
                    error[0] != 0 ? error : troupe_status_text(status));
    }
    options->node.name = troupe_node_name(node); /* as it is with references resolved */
    voice_name(voice, options->node.name);
    int code = serve(options, modules, node, &parts);
    options->node.name = NULL; /* it went with the node */
    return code;
}

/* What it is told by that before it serves it hears then: the server lets it on (server.c). */
static void hold_hangups(void)
{
    sigset_t held;
    sigemptyset(&held);
    sigaddset(&held, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &held, NULL);
}

/* Connections need open files, and none of this process selects by bits. */
static void raise_open_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    char error[ERROR_SIZE];
    daemon_options options;
    daemon_modules modules = {0};
    int code = EXIT_OK;
    signal(SIGPIPE, SIG_IGN);
    hold_hangups();
    raise_open_files();
    if (!daemon_options_read(&options, argc, argv, error, sizeof(error))) {
        code = fail(EXIT_USAGE, error);
    } else if (options.is_help) {
        daemon_options_print_help();
    } else if (options.is_manual) {
        daemon_options_print_manual();
    } else if (options.is_version) {
        printf("trouped %s, API number %d\n", TROUPE_VERSION, TROUPE_API_NUMBER);
    } else {
        daemon_voice voice = VOICE_INIT;
        voice_set(&voice, options.node.log);
        voice_name(&voice, options.node.name);
        daemon_restart *restart = restart_create(argv, say_restart, &voice);
        code = restart != NULL ? run(&options, &modules, restart, &voice)
                               : fail(EXIT_FAILED, "no memory");
        free(restart);
    }
    modules_deinit(&modules);
    daemon_options_deinit(&options);
    return code;
}
