/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds a hello with arbitrary bytes: the first byte says which side it is and how the bytes are
 * cut; a client first gets a good CHALLENGE, if it says so. Seeds: fuzz/corpus/hello. libFuzzer
 * calls it.
 *
 * Invariants: nobody who cannot know the token comes to be judged; a refusal has a reason and a
 * status; no more bytes are used than were given. Threads: one.
 */
#include "wire/hello.h"

#include "base/assert.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(tp_hello *hello, const char *bytes, size_t size, size_t piece)
{
    tp_hello_event event = TP_HELLO_MORE;
    while (size != 0 && event == TP_HELLO_MORE) {
        size_t used = 0, part = piece < size ? piece : size;
        char *exact = malloc(part);
        TP_ASSERT(exact != NULL);
        memcpy(exact, bytes, part);
        event = tp_hello_feed(hello, exact, part, &used);
        free(exact);
        TP_ASSERT(used <= part);
        bytes += used;
        size -= used;
    }
    TP_ASSERT(event == TP_HELLO_MORE || event == TP_HELLO_REFUSED);
    if (event == TP_HELLO_REFUSED)
        TP_ASSERT(hello->reason[0] != 0 && hello->status != TROUPE_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 + TP_PREAMBLE_BYTES)
        return 0;
    unsigned how = data[0];
    const char *bytes = (const char *)data + 1;
    tp_preamble preamble = {0};
    (void)!tp_preamble_get(bytes, &preamble);
    tp_hello_options options = {
        .self = {.incarnation = 9, .view = 12, .shard = 1, .shards = 2, .node = troupe_str("beta")},
        .cluster = troupe_str("shop"),
        .token = troupe_str("a token of which no fuzzer knows"),
        .nonce = "sixteen bytes --"};
    tp_hello *hello = malloc(sizeof *hello);
    TP_ASSERT(hello != NULL);
    if (how & 1)
        tp_hello_init_client(hello, &options);
    else
        tp_hello_init_server(hello, &options);
    troupe_slice said;
    (void)tp_hello_take(hello, &said);
    if ((how & 3) == 3)
        feed(hello, "\2\0\x12\0\1\0sixteen bytes of", 22, 22);
    feed(hello, bytes, size - 1, 1 + (how >> 2));
    (void)tp_hello_take(hello, &said);
    free(hello);
    return 0;
}
