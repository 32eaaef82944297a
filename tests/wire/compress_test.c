/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compression: what was squeezed comes out the same, never beyond the room given, and bytes that
 * are not what the codec writes are refused.
 */
#include "wire/compress.h"

#include "base/prng.h"
#include "tests/base/failing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *text_of(size_t size)
{
    static const char words[] = "{\"order\":17,\"customer\":\"c-4\"},";
    char *text = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        text[i] = words[(i + i / 1000) % (sizeof words - 1)];
    return text;
}

static void what_was_squeezed_comes_out_the_same(void **state)
{
    (void)state;
    static const size_t sizes[] = {40, 100, 1024, 65536, 262144, 3000000};
    failing memory;
    failing_init(&memory);
    tp_squeezer squeezer;
    tp_squeezer_init(&squeezer, &memory.allocator, 0);
    for (tp_codec codec = TP_CODEC_LZ4; codec < TP_CODECS; codec++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            size_t size = sizes[i];
            char *text = text_of(size), *out = malloc(size), *again = malloc(size + 1);
            size_t squeezed =
                tp_squeeze(&squeezer, codec, troupe_slice_of(text, size), out, size - 1);
            if (size > 100)
                assert_in_range(squeezed, 1, size / 2);
            if (squeezed != 0) {
                troupe_slice bytes = {out, squeezed};
                again[size] = 0x5a;
                assert_int_equal(tp_unsqueeze(&squeezer, codec, bytes, again, size), TROUPE_OK);
                assert_memory_equal(again, text, size);
                assert_int_equal(again[size], 0x5a);
                assert_int_equal(
                    tp_unsqueeze(&squeezer, codec, bytes, again, size - 1), TROUPE_CORRUPT);
                assert_int_equal(
                    tp_unsqueeze(&squeezer, codec, bytes, again, size + 1), TROUPE_CORRUPT);
                bytes.size--;
                assert_int_equal(
                    tp_unsqueeze(&squeezer, codec, bytes, again, size), TROUPE_CORRUPT);
            }
            free(text);
            free(out);
            free(again);
        }
    }
    tp_squeezer_deinit(&squeezer);
    assert_int_equal(memory.bytes, 0);
}

static void noise_does_not_get_smaller_and_opens_to_nothing(void **state)
{
    (void)state;
    failing memory;
    failing_init(&memory);
    tp_squeezer squeezer;
    tp_squeezer_init(&squeezer, &memory.allocator, 3);
    tp_prng prng;
    tp_prng_seed(&prng, 1);
    for (unsigned i = 0; i < 2000; i++) {
        char noise[600], out[600];
        size_t size = 1 + tp_prng_next(&prng) % sizeof noise;
        for (size_t k = 0; k < size; k++)
            noise[k] = (char)tp_prng_next(&prng);
        tp_codec codec = (tp_codec)(1 + i % 2);
        troupe_slice bytes = {noise, size};
        if (size > 30)
            assert_int_equal(tp_squeeze(&squeezer, codec, bytes, out, size - 1), 0);
        size_t room = 1 + tp_prng_next(&prng) % sizeof out;
        char *exact = malloc(room);
        (void)!tp_unsqueeze(&squeezer, codec, bytes, exact, room);
        free(exact);
    }
    assert_int_equal(tp_squeeze(&squeezer, TP_CODEC_LZ4, troupe_str(""), NULL, 0), 0);
    tp_squeezer_deinit(&squeezer);
    assert_int_equal(memory.bytes, 0);
}

static void without_memory_nothing_is_squeezed_and_nothing_breaks(void **state)
{
    (void)state;
    for (tp_codec codec = TP_CODEC_LZ4; codec < TP_CODECS; codec++) {
        for (uint64_t fail = 1; fail < 8; fail++) {
            failing memory;
            failing_init(&memory);
            memory.fail_from = fail;
            memory.fail_count = 1;
            tp_squeezer squeezer;
            tp_squeezer_init(&squeezer, &memory.allocator, 0);
            char *text = text_of(5000), out[5000], again[5000];
            troupe_slice bytes = {text, 5000};
            size_t size = 0;
            while (size == 0)
                size = tp_squeeze(&squeezer, codec, bytes, out, sizeof out - 1);
            troupe_status status = TROUPE_NO_MEMORY;
            for (unsigned i = 0; i < 3 && status != TROUPE_OK; i++)
                status =
                    tp_unsqueeze(&squeezer, codec, troupe_slice_of(out, size), again, sizeof again);
            assert_int_equal(status, TROUPE_OK);
            assert_memory_equal(again, text, sizeof again);
            free(text);
            tp_squeezer_deinit(&squeezer);
            assert_int_equal(memory.bytes, 0);
            assert_int_equal(memory.wrong_sizes, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_squeezed_comes_out_the_same),
        cmocka_unit_test(noise_does_not_get_smaller_and_opens_to_nothing),
        cmocka_unit_test(without_memory_nothing_is_squeezed_and_nothing_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
