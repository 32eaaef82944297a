/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that calls actors of a cluster and is no part of it: far TYPE/KEY METHOD [PAYLOAD].
 * Where the cluster is it reads from the environment, as the tool does: TROUPE_CONNECT, and files
 * for TLS or a token, or TROUPE_SOCKET. Try it beside trouped with the account example:
 *     TROUPE_SOCKET=... ./example_far account/alice deposit '{"cents": 500}'
 * Threads: one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <troupe/client.h>

int main(int argc, char **argv)
{
    const char *address = getenv("TROUPE_CONNECT");
    troupe_remote_options options = {
        TROUPE_REMOTE_OPTIONS,
        .address = address,
        .socket = address == NULL || address[0] == 0 ? getenv("TROUPE_SOCKET") : NULL,
        .certificate = getenv("TROUPE_TLS_CERTIFICATE"),
        .key = getenv("TROUPE_TLS_KEY"),
        .authority = getenv("TROUPE_TLS_AUTHORITY"),
        .server_name = getenv("TROUPE_TLS_NAME"),
        .token_file = getenv("TROUPE_TOKEN_FILE"),
    };
    char error[600];
    troupe_remote *remote;
    troupe_id id;
    if (argc < 3 || troupe_id_parse(troupe_str(argv[1]), &id, NULL) != TROUPE_OK) {
        fprintf(stderr, "usage: %s TYPE/KEY METHOD [PAYLOAD]\n", argv[0]);
        return 2;
    }
    if (troupe_remote_open(&options, &remote, error, sizeof error) != TROUPE_OK) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    troupe_answer answer;
    troupe_call_options call = {
        TROUPE_CALL_OPTIONS, .timeout = TROUPE_SECONDS(5), .content_type = TROUPE_JSON};
    troupe_status status = troupe_remote_ask(
        remote, id, argv[2], troupe_str(argc > 3 ? argv[3] : ""), &call, &answer);
    if (status == TROUPE_OK)
        printf("%.*s\n", TROUPE_ARG(answer.payload));
    else
        fprintf(stderr, "%s: %.*s\n", troupe_status_name(status), TROUPE_ARG(answer.message));
    troupe_remote_close(remote);
    return status == TROUPE_OK ? 0 : 1;
}
