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
#include <time.h>
#include <troupe/inspect.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define ERROR_SIZE 1024

/* ---- words ---- */

static int fail(int code, const char *words)
{
    fprintf(stderr, "trouped: %s\n", words);
    return code;
}

/* A line like those of the node's log, and by the same option. */
static void say(void *user, bool is_warning, const char *event, const char *text)
{
    const daemon_options *options = user;
    const char *log = options->node.log != NULL ? options->node.log : "warn";
    const char *level = is_warning ? "warn" : "info";
    char date[40] = "";
    struct timespec now;
    struct tm parts;
    bool is_heard = strncmp(log, "info", 4) == 0 || strncmp(log, "debug", 5) == 0 ||
                    (is_warning && strncmp(log, "warn", 4) == 0);
    if (!is_heard) return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
    cmd_bytes line = {0};
    const char *name = options->node.name != NULL ? options->node.name : "node-1";
    if (strstr(log, ",text") != NULL) {
        cmd_bytes_printf(&line, "%s.%09ldZ %s %s %s %s\n", date, now.tv_nsec, level, name, event,
                         text);
    } else {
        cmd_bytes_printf(&line, "{\"time\":\"%s.%09ldZ\",\"level\":\"%s\",\"node\":\"%s\","
                         "\"event\":\"%s\",\"text\":", date, now.tv_nsec, level, name, event);
        cmd_bytes_json(&line, troupe_str(text));
        cmd_bytes_text(&line, "}\n");
    }
    if (!line.failed) fwrite(line.data, 1, line.size, stderr);
    cmd_bytes_deinit(&line);
}

/* ---- what the socket's "config" answers ---- */

typedef struct config_writer {
    const daemon_options *options;
    const troupe_node *node;
    cmd_bytes *out;
    bool is_first;
} config_writer;

static void write_member(cmd_bytes *out, const char *name, const char *value)
{
    cmd_bytes_printf(out, ",\"%s\":", name);
    cmd_bytes_json(out, troupe_str(value));
}

static void write_option(void *user, const troupe_option_info *info)
{
    config_writer *writer = user;
    char value[512];
    const char *from = daemon_options_origin(writer->options, info->name);
    troupe_options_get(&writer->options->node, info->name, value, sizeof(value));
    if (strcmp(value, "0") == 0) { /* it may mean: what the machine has */
        troupe_node_option(writer->node, info->name, value, sizeof(value));
        if (strcmp(value, "0") != 0) from = "machine";
    }
    cmd_bytes_text(writer->out, writer->is_first ? "{\"name\":" : ",{\"name\":");
    cmd_bytes_json(writer->out, troupe_str(info->name));
    write_member(writer->out, "value", value);
    write_member(writer->out, "from", from);
    write_member(writer->out, "default", info->standard);
    cmd_bytes_text(writer->out, "}");
    writer->is_first = false;
}

static void write_config(const daemon_options *options, const troupe_node *node, cmd_bytes *out)
{
    config_writer writer = {options, node, out, true};
    write_member(out, "socket", options->socket);
    if (options->config != NULL) write_member(out, "file", options->config);
    cmd_bytes_text(out, ",\"options\":[");
    troupe_options_each(write_option, &writer);
    cmd_bytes_text(out, "]");
}

static uint64_t drain_timeout_of(const daemon_options *options)
{
    char value[64];
    troupe_node_options known = {TROUPE_NODE_OPTIONS};
    char error[256];
    troupe_options_get(&options->node, "drain_timeout", value, sizeof(value));
    if (troupe_options_set(&known, "drain_timeout", value, error, sizeof(error)) != TROUPE_OK) {
        return TROUPE_SECONDS(30);
    }
    return known.drain_timeout;
}

/* ---- the ready line ---- */

static void print_ready(const daemon_options *options, const daemon_modules *modules,
                        troupe_node *node)
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
        printf(", or curl http://%s/v1.0/actors/%s/1/method/%s", troupe_node_http(node),
               first->name, method);
    }
    printf("\n");
    fflush(stdout);
}

/* ---- from start to end ---- */

static void say_restart(void *user)
{
    say(user, true, "restart", "this process becomes a new trouped with the same command line, and "
        "joins the cluster as a new incarnation");
}

static int serve(const daemon_options *options, const daemon_modules *modules, troupe_node *node,
                 listen_socket *socket, daemon_restart *restart)
{
    cmd_bytes config = {0};
    daemon_server *server = NULL;
    write_config(options, node, &config);
    daemon_server_options server_options = {
        .node = node,
        .types = modules->types,
        .type_count = modules->type_count,
        .config = {config.data, config.size},
        .drain_timeout = drain_timeout_of(options),
        .socket = socket,
        .say = say,
        .user = (void *)options,
    };
    if (config.failed || !server_create(&server_options, &server)) {
        listen_remove(socket);
        troupe_node_close(node);
        cmd_bytes_deinit(&config);
        return fail(EXIT_FAILED, "no memory or threads for the admin socket");
    }
    print_ready(options, modules, node);
    restart_arm(restart);
    notify_manager("READY=1");
    server_run(server);
    restart_disarm(restart);
    notify_manager("STOPPING=1");
    server_close_clients(server);
    troupe_node_close(node);
    server_destroy(server);
    cmd_bytes_deinit(&config);
    return EXIT_OK;
}

static int run(daemon_options *options, daemon_modules *modules, daemon_restart *restart)
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
    if (!listen_open(&socket, options->socket, error, sizeof(error))) {
        return fail(EXIT_FAILED, error);
    }
    error[0] = 0;
    options->node.on_died = restart_on_died;
    options->node.on_died_user = restart;
    troupe_status status = troupe_node_open_explained(&options->node, modules->types,
                                                      modules->type_count, &node, error,
                                                      sizeof(error));
    if (status != TROUPE_OK) {
        listen_remove(&socket);
        return fail(status == TROUPE_USAGE ? EXIT_USAGE : EXIT_FAILED,
                    error[0] != 0 ? error : troupe_status_text(status));
    }
    options->node.name = troupe_node_name(node); /* as it is with references resolved */
    int code = serve(options, modules, node, &socket, restart);
    options->node.name = NULL; /* it went with the node */
    return code;
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
    raise_open_files();
    if (!daemon_options_read(&options, argc, argv, error, sizeof(error))) {
        code = fail(EXIT_USAGE, error);
    } else if (options.is_help) {
        daemon_options_print_help();
    } else if (options.is_version) {
        printf("trouped %s, API number %d\n", TROUPE_VERSION, TROUPE_API_NUMBER);
    } else {
        daemon_restart *restart = restart_create(argv, say_restart, &options);
        code = restart != NULL ? run(&options, &modules, restart)
                               : fail(EXIT_FAILED, "no memory");
        free(restart);
    }
    modules_deinit(&modules);
    daemon_options_deinit(&options);
    return code;
}
