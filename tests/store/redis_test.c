/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage provider `redis` against the conformance suite, by itself and under the wrapper of
 * faulty.h, on a server of its own that syncs each write, behind a socket in a temporary folder.
 * What happens when the server fails is in redis_faults_test.c.
 *
 * Threads: one.
 */
#include "faulty.h"
#include "redis_server.h"

#include "providers/redis/redis.h"

#include <stdio.h>

static int clean(void *user)
{
    return redis_server_clean(user) ? 0 : -1;
}

int main(void)
{
    static const troupe_provider provider = {
        sizeof provider, TROUPE_API_NUMBER, "redis", tp_redis_open};
    redis_server server = {0};
    if (!redis_server_start(&server, NULL)) {
        fprintf(stderr, "FAILED: redis-server does not start\n");
        return 1;
    }
    char url[300];
    snprintf(url, sizeof url, "redis://%s?prefix=conformance:&timeout=20s", server.socket);
    conformance place = {.name = "redis",
        .provider = &provider,
        .url = url,
        .clean = clean,
        .user = &server,
        .durable = true,
        .shared = true};
    int failed = conformance_run(&place);
    failed += faulty_run(&place, 0);
    redis_server_remove(&server);
    return failed;
}
