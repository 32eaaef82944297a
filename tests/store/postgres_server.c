/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts and stops a PostgreSQL server for a test; see the header.
 *
 * Threads: one.
 */
#include "postgres_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int find_programs(postgres_server *server)
{
    glob_t found;
    if (glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) != 0) {
        fprintf(stderr, "SKIPPED: PostgreSQL is not installed (make deps-test)\n");
        return 77;
    }
    const char *newest = found.gl_pathv[found.gl_pathc - 1];
    snprintf(server->programs, sizeof server->programs, "%.*s",
        (int)(strrchr(newest, '/') - newest), newest);
    globfree(&found);
    server->as_other = getuid() == 0;
    if (!server->as_other)
        return 0;
    const struct passwd *user = getpwnam("postgres");
    if (user == NULL) {
        fprintf(stderr, "SKIPPED: PostgreSQL refuses root, and there is no user postgres\n");
        return 77;
    }
    server->user = user->pw_uid;
    server->group = user->pw_gid;
    return 0;
}

/* In the child: never returns. The server ends with the test, however that ends. */
static void become(const postgres_server *server, const char *program, char *const *arguments)
{
    char path[300], log[200];
    snprintf(path, sizeof path, "%s/%s", server->programs, program);
    snprintf(log, sizeof log, "%s/log", server->folder);
    if (chdir(server->folder) != 0)
        _exit(126);
    if (server->as_other &&
        (setgroups(0, NULL) != 0 || setgid(server->group) != 0 || setuid(server->user) != 0))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (out < 0 || in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(126);
    execv(path, arguments);
    _exit(127);
}

static void show_log(const postgres_server *server)
{
    char path[200], line[512];
    snprintf(path, sizeof path, "%s/log", server->folder);
    FILE *log = fopen(path, "r");
    while (log != NULL && fgets(line, sizeof line, log) != NULL)
        fputs(line, stderr);
    if (log != NULL)
        fclose(log);
}

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int port = -1;
    if (bind(fd, (struct sockaddr *)&address, size) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &size) == 0)
        port = ntohs(address.sin_port);
    close(fd);
    return port;
}

static int set(const postgres_server *server, const char *settings)
{
    char path[200];
    snprintf(path, sizeof path, "%s/data/postgresql.conf", server->folder);
    FILE *file = fopen(path, "a");
    if (file == NULL)
        return 1;
    fprintf(file,
        "\nlisten_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = '%s'\n"
        "logging_collector = off\n%s\n",
        server->port, server->folder, settings);
    return fclose(file);
}

int postgres_server_create(postgres_server *server, const char *settings)
{
    *server = (postgres_server){0};
    int missing = find_programs(server);
    if (missing != 0)
        return missing;
    const char *temporary = getenv("TMPDIR");
    snprintf(server->folder, sizeof server->folder, "%s/troupe-postgres-XXXXXX",
        temporary != NULL ? temporary : "/tmp");
    if (mkdtemp(server->folder) == NULL ||
        (server->as_other && chown(server->folder, server->user, server->group) != 0))
        return 1;
    char *arguments[] = {"initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8",
        "--locale=C", "--no-sync", "--no-instructions", NULL};
    pid_t child = fork();
    if (child == 0)
        become(server, "initdb", arguments);
    int status = 1;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        show_log(server);
        return 1;
    }
    return postgres_server_start(server, settings);
}

/* It takes connections, or its process has ended. */
static int await(postgres_server *server)
{
    char path[200];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(path, sizeof path, "%s/.s.PGSQL.%d", server->folder, server->port);
    memcpy(address.sun_path, path, strlen(path) + 1);
    /* The socket takes connections before the recovery is over: the file says "ready". */
    snprintf(path, sizeof path, "%s/data/postmaster.pid", server->folder);
    for (int i = 0; i < 3000; i++) {
        char text[512] = "";
        FILE *file = fopen(path, "r");
        size_t size = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
        if (file != NULL)
            fclose(file);
        text[size] = '\0';
        if (atoi(text) == server->process && strstr(text, "ready") != NULL)
            return 0;
        if (waitpid(server->process, NULL, WNOHANG) != 0) {
            server->process = 0;
            break;
        }
        nanosleep(&(struct timespec){0, 10000000}, NULL); /* between two looks at the file */
    }
    show_log(server);
    return 1;
}

int postgres_server_start(postgres_server *server, const char *more_settings)
{
    char *arguments[] = {"postgres", "-D", "data", NULL};
    if (server->port == 0)
        server->port = free_port();
    if (set(server, more_settings) != 0)
        return 1;
    server->process = fork();
    if (server->process == 0)
        become(server, "postgres", arguments);
    return server->process > 0 ? await(server) : 1;
}

void postgres_server_signal(postgres_server *server, int number)
{
    if (server->process > 0)
        kill(server->process, number);
}

static void end(postgres_server *server, int number)
{
    if (server->process <= 0)
        return;
    kill(server->process, number);
    while (waitpid(server->process, NULL, 0) < 0 && errno == EINTR)
        ;
    server->process = 0;
}

void postgres_server_stop(postgres_server *server)
{
    end(server, SIGINT); /* "fast" */
}

void postgres_server_kill(postgres_server *server)
{
    end(server, SIGQUIT); /* "immediate": nothing is tidied up, the next start recovers */
}

void postgres_server_destroy(postgres_server *server)
{
    postgres_server_kill(server);
    if (server->folder[0] == '\0')
        return;
    pid_t child = fork();
    if (child == 0) {
        execlp("rm", "rm", "-rf", "--", server->folder, (char *)NULL);
        _exit(127);
    }
    if (child > 0)
        waitpid(child, NULL, 0);
}

void postgres_server_url(const postgres_server *server, const char *options, char *url, size_t size)
{
    snprintf(url, size, "postgres:///postgres?host=%s&port=%d&user=postgres%s%s", server->folder,
        server->port, options[0] != '\0' ? "&" : "", options);
}
