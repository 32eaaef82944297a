/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls by <troupe/client.h>, as lines of standard input say them, each answered by one line:
 *
 *   client (address|socket) WHERE
 *       ask ID METHOD PAYLOAD      STATUS OUTCOME CONTENT-TYPE PAYLOAD, or STATUS OUTCOME words
 *       tell ID METHOD PAYLOAD     the same
 *       once KEY ID METHOD PAYLOAD
 *       bytes ID METHOD            asks with all 256 bytes, and says whether they came back
 *       large ID METHOD            with 13 MiB
 *       misuse ID METHOD           with options that are not for it
 *       context ID METHOD          with a request context
 *       long ID METHOD             with a time-out of a day and a bit
 *
 *       soon ID METHOD             with a time-out of 200 ms
 *       rattled ID METHOD          the same, while a signal comes each millisecond
 *
 * TLS and token as $TROUPE_TLS_... and $TROUPE_TOKEN_FILE say. client_test.sh compiles it.
 * Invariants: signals are as the system has them: SIGPIPE would end it. Threads: one.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <troupe/client.h>

static char large[13 << 20];

static void print(const troupe_answer *answer)
{
    static const char *const outcomes[] = {"DONE", "NOT_DONE", "UNKNOWN"};
    printf("%s %s ", troupe_status_name(answer->status), outcomes[answer->outcome]);
    if (answer->status == TROUPE_OK)
        printf("%.*s %.*s\n", TROUPE_ARG(answer->content_type), TROUPE_ARG(answer->payload));
    else
        printf("%.*s\n", TROUPE_ARG(answer->message));
    fflush(stdout);
}

static void on_alarm(int number)
{
    (void)number;
}

/* Interrupts what the program waits for in the system. */
static void rattle(bool is_on)
{
    const struct timeval each = {.tv_usec = is_on ? 1000 : 0};
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm}, NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){each, each}, NULL);
}

static void run(troupe_remote *remote, const char *what, troupe_id id, const char *method,
    const char *payload, const char *key)
{
    troupe_answer answer;
    troupe_status status;
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_SECONDS(20)};
    troupe_slice bytes = troupe_str(payload);
    if (strcmp(what, "bytes") == 0) {
        for (int i = 0; i < 256; i++) large[i] = (char)i;
        bytes = troupe_slice_of(large, 256);
    } else if (strcmp(what, "large") == 0) {
        bytes = troupe_slice_of(large, sizeof large);
    } else if (strcmp(what, "misuse") == 0) {
        options.outbox = true;
    } else if (strcmp(what, "context") == 0) {
        static const troupe_context trace = {"trace", {"1", 1}};
        options.context = &trace;
        options.context_count = 1;
    } else if (strcmp(what, "long") == 0) {
        options.timeout = TROUPE_HOURS(24) + 1;
    } else if (strcmp(what, "soon") == 0 || strcmp(what, "rattled") == 0) {
        options.timeout = TROUPE_MILLISECONDS(200);
    } else if (strcmp(what, "once") == 0) {
        options.once = troupe_str(key);
    } else {
        options.content_type = TROUPE_TEXT;
    }
    rattle(strcmp(what, "rattled") == 0);
    if (strcmp(what, "tell") == 0)
        status = troupe_remote_tell(remote, id, method, bytes, &options, &answer);
    else
        status = troupe_remote_ask(remote, id, method, bytes, &options, &answer);
    rattle(false);
    if (status != answer.status) {
        puts("another status than its answer's");
    } else if (strcmp(what, "bytes") == 0 && status == TROUPE_OK) {
        puts(troupe_slice_equal(answer.payload, bytes) ? "the same" : "others");
        fflush(stdout);
    } else {
        print(&answer);
    }
}

int main(int argc, char **argv)
{
    char line[1000], error[600];
    troupe_remote *remote;
    if (argc != 3) return 2;
    troupe_remote_options options = {TROUPE_REMOTE_OPTIONS,
        .certificate = getenv("TROUPE_TLS_CERTIFICATE"),
        .key = getenv("TROUPE_TLS_KEY"),
        .authority = getenv("TROUPE_TLS_AUTHORITY"),
        .server_name = getenv("TROUPE_TLS_NAME"),
        .token_file = getenv("TROUPE_TOKEN_FILE")};
    *(strcmp(argv[1], "address") == 0 ? &options.address : &options.socket) = argv[2];
    troupe_status status = troupe_remote_open(&options, &remote, error, sizeof error);
    if (status != TROUPE_OK) {
        printf("%s %s\n", troupe_status_name(status), error);
        return 1;
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        char what[20], key[65] = "", text[200], method[100], payload[600] = "";
        troupe_id id;
        int used = 0;
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "%19s %n", what, &used) < 1) return 2;
        int more = 0;
        if (strcmp(what, "once") == 0 && sscanf(line + used, "%64s %n", key, &more) < 1) return 2;
        if (sscanf(line + used + more, "%199s %99s %599[^\n]", text, method, payload) < 2) return 2;
        if (troupe_id_parse(troupe_str(text), &id, NULL) != TROUPE_OK) return 2;
        run(remote, what, id, method, payload, key);
    }
    troupe_remote_close(remote);
    return 0;
}
