/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limit of remote_tell, remote_1k and remote_64k: records behind their length go one way over
 * loopback to another process, put together into one buffer and written with one call; the other
 * side takes them apart and looks at each. Prints records per second. By hand: limit_stream [bytes
 * of payload] [bytes beside it] [--no-floor].
 *
 * Invariants: what is counted has been taken apart; the other side says so with one byte at the
 * end. Threads: one in each of two processes.
 */
#include "peers.h"

enum { BATCH = 1 << 16, ROOM = 1 << 18, HEAD = sizeof(uint32_t) };

static size_t payload_size, beside;

static void take_all(int socket)
{
    static char in[ROOM];
    struct limit_actor actor = {0};
    size_t held = 0;
    bool over = false;
    while (!over) {
        ssize_t got = recv(socket, in + held, ROOM - held, 0);
        limit_must(got > 0, "recv");
        held += (size_t)got;
        size_t at = 0;
        for (uint32_t size; !over && held - at >= HEAD; at += HEAD + size) {
            memcpy(&size, in + at, HEAD);
            over = size == 0;
            if (over || held - at - HEAD < size)
                break;
            /* As a receiver of any payload does: first and last word. */
            uint64_t first, last;
            memcpy(&first, in + at + HEAD + beside, sizeof first);
            memcpy(&last, in + at + HEAD + size - sizeof last, sizeof last);
            actor.received++;
            actor.sum += first + last;
        }
        held -= at;
        memmove(in, in + at, held);
    }
    limit_must(actor.sum != 1 && send(socket, "!", 1, 0) == 1, "send");
}

static void send_all(int socket, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(socket, bytes, size, 0);
        limit_must(sent > 0, "send");
        bytes += sent;
        size -= (size_t)sent;
    }
}

int main(int argc, char **argv)
{
    static char out[ROOM], payload[ROOM];
    pid_t peer;
    payload_size = limit_argument(argc, argv, 0, LIMIT_PAYLOAD);
    beside = limit_argument(argc, argv, 1, 0);
    uint32_t size = (uint32_t)(payload_size + beside);
    limit_must(payload_size >= 8 && HEAD + size <= ROOM / 2, "sizes");
    int socket = limit_peers(take_all, &peer);
    uint64_t count = 0, batch = BATCH / (HEAD + size), start = limit_now_ns();
    batch = batch == 0 ? 1 : batch;
    do {
        char *at = out;
        for (uint64_t i = 0; i < batch; i++, count++, at += HEAD + size) {
            memcpy(payload, &count, sizeof count);
            memcpy(at, &size, HEAD);
            memset(at + HEAD, 0, beside);
            memcpy(at + HEAD + beside, payload, payload_size);
        }
        send_all(socket, out, (size_t)(at - out));
    } while (limit_now_ns() - start < LIMIT_RUN_NS);
    char said;
    send_all(socket, "\0\0\0\0", HEAD);
    limit_must(recv(socket, &said, 1, 0) == 1, "recv");
    uint64_t end = limit_now_ns();
    limit_peers_end(peer);
    return limit_report(
        argc, argv, "stream", (double)count * 1e9 / (double)(end - start), "ops/s", 0);
}
