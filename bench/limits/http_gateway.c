/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limit of http_ask: libmicrohttpd with one thread, as the gateway starts it, answers every
 * request with the same 64 bytes at once; another process keeps connections busy. By hand:
 * limit_http_gateway [connections] [--no-floor].
 *
 * Invariants: each request is answered with 200. Threads: the library's one; the load is a process.
 */
#include "limits/http_load.h"

#include <microhttpd.h>

static char constant[LIMIT_PAYLOAD];

static enum MHD_Result answer(void *user, struct MHD_Connection *connection, const char *path,
    const char *method, const char *version, const char *upload, size_t *upload_size, void **seen)
{
    (void)user;
    (void)path;
    (void)method;
    (void)version;
    (void)upload;
    if (*seen == NULL || *upload_size != 0) {
        *seen = constant;
        *upload_size = 0;
        return MHD_YES;
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof constant, constant, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, "Content-Type", "application/octet-stream");
    enum MHD_Result result = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

int main(int argc, char **argv)
{
    limit_need_cores(2);
    memset(constant, '0', sizeof constant);
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO, 0, NULL, NULL, answer, NULL,
            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)32768, MHD_OPTION_END);
    limit_must(daemon != NULL, "the server did not start");
    int port = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    double value = http_load(port, "/v1.0/actors/echo/1/method/echo",
        (int)limit_argument(argc, argv, 0, 64), LIMIT_RUN_NS, 0);
    MHD_stop_daemon(daemon);
    return limit_report(argc, argv, "http_gateway", value, "ops/s", 0);
}
