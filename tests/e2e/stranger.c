/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody who has no business at the port of a node: `stranger HOST PORT` scans, sends garbage of
 * many sorts, half a hello, and nothing at all, and says how many connections the node ended.
 * strangers_test.sh compiles it. Invariants: it sends no whole hello. Threads: one.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in address;

static int call_node(void)
{
    int socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(socket_, (struct sockaddr *)&address, sizeof(address)) == 0)
        return socket_;
    perror("connect");
    exit(1);
}

/* Has the node ended it within the time? */
static bool is_ended(int socket_, int milliseconds)
{
    char bytes[4096];
    for (;;) {
        struct pollfd ready = {.fd = socket_, .events = POLLIN};
        if (poll(&ready, 1, milliseconds) <= 0)
            return false;
        if (recv(socket_, bytes, sizeof(bytes), 0) <= 0)
            return true;
    }
}

static int ended, calls;

static void say(const void *bytes, size_t size)
{
    int socket_ = call_node();
    (void)!send(socket_, bytes, size, MSG_NOSIGNAL);
    calls++;
    ended += is_ended(socket_, 12000);
    close(socket_);
}

int main(int argc, char **argv)
{
    char garbage[65536];
    if (argc != 3)
        return 2;
    address = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &address.sin_addr);
    for (int i = 0; i < 200; i++) /* a scanner */
        close(call_node());
    say("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
    say("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11); /* TLS where there is none */
    say("TRP", 3);
    for (int i = 0; i < 40; i++) { /* after a preamble for control, or for a shard */
        for (size_t k = 0; k < sizeof(garbage); k++)
            garbage[k] = (char)random();
        memcpy(garbage, "TRP\x01", 4);
        garbage[4] = garbage[5] = (char)(i % 2 == 0 ? 0xFF : i % 3);
        garbage[5] = (char)(i % 2 == 0 ? 0xFF : 0);
        garbage[6] = garbage[7] = 0;
        say(garbage, 8 + (size_t)random() % (sizeof(garbage) - 8));
    }
    int silent[50]; /* half open */
    for (int i = 0; i < 50; i++)
        silent[i] = call_node();
    for (int i = 0; i < 50; i++) {
        calls++;
        ended += is_ended(silent[i], 15000);
        close(silent[i]);
    }
    printf("%d of %d connections were ended by the node\n", ended, calls);
    return ended == calls ? 0 : 1;
}
