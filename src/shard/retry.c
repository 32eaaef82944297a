/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which calls are asked again, and when: `retry` of the call options, and calls once whose way
 * broke. Pure: who asks again is calls.c for turns, node/client.c for those outside, again.c for
 * those that do not wait.
 *
 * Threads: any.
 */
#include "shard/shard.h"

bool tp_retry_may(const troupe_call_options *options, troupe_status status, troupe_outcome outcome,
    uint32_t attempt)
{
    if (options == NULL || status == TROUPE_OK)
        return false;
    if (tp_retry_is_own(options))
        return status == TROUPE_UNKNOWN;
    bool once = options->once.size != 0;
    if (attempt >= options->retry.attempts || (outcome != TROUPE_NOT_DONE && !once))
        return false;
    if (once && status == TROUPE_UNKNOWN)
        return true; /* its way broke; INTERRUPTED is what it would hear again */
    troupe_kind kind = troupe_status_kind(status);
    return kind == TROUPE_KIND_BUSY || kind == TROUPE_KIND_UNAVAILABLE;
}

uint64_t tp_retry_pause(const troupe_retry *retry, uint32_t attempt, uint64_t chance)
{
    uint64_t pause = retry->backoff != 0 ? retry->backoff : TROUPE_MILLISECONDS(1);
    uint64_t cap = retry->backoff_cap != 0 ? retry->backoff_cap : TROUPE_SECONDS(1);
    for (uint32_t i = 1; i < attempt && pause < cap; i++)
        pause *= 2;
    if (pause > cap)
        pause = cap;
    uint32_t jitter = retry->jitter != 0 ? retry->jitter : 50;
    return pause - chance % (pause / 100 * jitter + 1);
}
