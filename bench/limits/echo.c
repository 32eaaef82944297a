/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limit of remote_ask_*: records of 64 bytes go over loopback to a libuv loop in another process,
 * and back. All that has come in is answered with one write, on both sides. Both poll so long
 * before they sleep: as long as those who are held beside it, since a wake costs more than all else
 * here. One in flight prints nanoseconds per round trip, more print round trips per second. By
 * hand: limit_echo [in flight] [ns to poll] [--no-floor].
 *
 * Invariants: as many records are under way as were asked for; each comes back with its number.
 * Threads: one in each of two processes.
 */
#include "peers.h"

#include <uv.h>

enum { ROOM = 1 << 18, FLIGHT_MAX = ROOM / LIMIT_PAYLOAD };

struct side {
    uv_loop_t loop;
    uv_tcp_t tcp;
    char in[ROOM], out[ROOM];
    size_t held; /* of a record that is not whole yet */
    bool asks, over, came;
    uint64_t spin, flight, asked, answered, start, end;
};

static struct side side;

static void on_room(uv_handle_t *handle, size_t wish, uv_buf_t *ret_room)
{
    (void)handle;
    (void)wish;
    *ret_room = uv_buf_init(side.in + side.held, (unsigned)(ROOM - side.held));
}

static void on_written(uv_write_t *request, int status)
{
    limit_must(status == 0, "write");
    free(request);
}

static void put(const char *bytes, size_t size)
{
    uv_buf_t all = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)size);
    int sent = uv_try_write((uv_stream_t *)&side.tcp, &all, 1);
    if (sent == (int)size)
        return;
    size_t gone = sent > 0 ? (size_t)sent : 0;
    uv_write_t *request = malloc(sizeof *request + size - gone);
    limit_must(request != NULL, "memory");
    memcpy(request + 1, bytes + gone, size - gone);
    uv_buf_t rest = uv_buf_init((char *)(request + 1), (unsigned)(size - gone));
    limit_must(uv_write(request, (uv_stream_t *)&side.tcp, &rest, 1, on_written) == 0, "uv_write");
}

static void ask(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        memset(side.out + i * LIMIT_PAYLOAD, 0, LIMIT_PAYLOAD);
        memcpy(side.out + i * LIMIT_PAYLOAD, &side.asked, sizeof side.asked);
        side.asked++;
    }
    put(side.out, count * LIMIT_PAYLOAD);
}

static void take_answers(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number;
        memcpy(&number, side.in + i * LIMIT_PAYLOAD, sizeof number);
        limit_must(number == side.answered++, "an answer out of order");
    }
    side.end = limit_now_ns();
    side.over = side.end - side.start >= LIMIT_RUN_NS;
    if (!side.over)
        ask(count);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    (void)buffer;
    if (got < 0) {
        side.over = true;
        uv_close((uv_handle_t *)stream, NULL);
        return;
    }
    side.held += (size_t)got;
    side.came = true;
    uint64_t count = side.held / LIMIT_PAYLOAD;
    if (count == 0)
        return;
    if (side.asks)
        take_answers(count);
    else
        put(side.in, count * LIMIT_PAYLOAD);
    side.held -= count * LIMIT_PAYLOAD;
    memmove(side.in, side.in + count * LIMIT_PAYLOAD, side.held);
}

static void open_side(int socket)
{
    limit_must(uv_loop_init(&side.loop) == 0 && uv_tcp_init(&side.loop, &side.tcp) == 0 &&
                   uv_tcp_open(&side.tcp, socket) == 0 &&
                   uv_read_start((uv_stream_t *)&side.tcp, on_room, on_read) == 0,
        "libuv");
}

static void run_side(void)
{
    for (uint64_t idle = limit_now_ns(); !side.over;) {
        side.came = false;
        bool polls = side.spin != 0 && limit_now_ns() - idle < side.spin;
        uv_run(&side.loop, polls ? UV_RUN_NOWAIT : UV_RUN_ONCE);
        if (side.came && side.spin != 0)
            idle = limit_now_ns();
    }
}

static void serve(int socket)
{
    open_side(socket);
    run_side();
}

int main(int argc, char **argv)
{
    pid_t peer;
    side.flight = limit_argument(argc, argv, 0, 1);
    side.spin = limit_argument(argc, argv, 1, 0);
    limit_must(side.flight > 0 && side.flight <= FLIGHT_MAX, "in flight");
    int socket = limit_peers(serve, &peer);
    side.asks = true;
    open_side(socket);
    side.start = limit_now_ns();
    ask(side.flight);
    run_side();
    shutdown(socket, SHUT_RDWR);
    limit_peers_end(peer);
    double ns = (double)(side.end - side.start) / (double)side.answered;
    if (side.flight > 1)
        return limit_report(argc, argv, "echo", 1e9 / ns, "ops/s", 0);
    return limit_report(argc, argv, "echo", ns, "ns", side.spin != 0 ? 12000 : 75000);
}
