/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a status is in HTTP: the one table of codes, and the JSON that an error comes with. It is
 * the JSON of the Dapr actors API ("errorCode", "message") with what Troupe knows more: status,
 * number (the actor's own, if it is one of the application), kind and outcome.
 *
 * Invariants: every status has a row, and every row a test (tests/gateway/codes_test.c).
 * Threads: pure.
 */
#ifndef TP_GATEWAY_CODES_H
#define TP_GATEWAY_CODES_H

#include "base/text.h"

#include <troupe.h>

/* X(STATUS, code, "why this one"). What is NOT_DONE and passes gets a code that clients and proxies
 * take for "again later"; what may have run gets one that they do not repeat a POST for. */
#define TP_HTTP_CODE_MAP(X)                                           \
    X(OK, 200, "204 if there is no payload")                          \
    X(BUSY, 503, "with Retry-After")                                  \
    X(TIMEOUT, 504, "it may have run")                                \
    X(EXPIRED, 408, "it did not run: the same again, with more time") \
    X(CANCELLED, 500, "it may have run in part")                      \
    X(WITHDRAWN, 503, "with Retry-After")                             \
    X(UNAVAILABLE, 503, "with Retry-After")                           \
    X(UNKNOWN, 502, "the way to the actor broke: it may have run")    \
    X(DEADLOCK, 508, "a circle of asks")                              \
    X(TOO_LARGE, 413, "max_message, or the room of all bodies")       \
    X(NO_TYPE, 404, "")                                               \
    X(NO_METHOD, 404, "")                                             \
    X(NOT_FOUND, 404, "")                                             \
    X(CONFLICT, 409, "")                                              \
    X(DENIED, 403, "")                                                \
    X(USAGE, 400, "")                                                 \
    X(CLOSED, 503, "with Retry-After: another node serves it")        \
    X(CORRUPT, 500, "")                                               \
    X(NO_MEMORY, 503, "with Retry-After")                             \
    X(PANIC, 500, "it may have run")                                  \
    X(INTERRUPTED, 502, "it may have run in part")                    \
    X(BUG, 500, "")                                                   \
    X(POISONED, 500, "")                                              \
    X(FAILED, 500, "it may have run")

/* An application's own code: the actor ran and said no, so nobody in between should try again. */
#define TP_HTTP_APPLICATION 422

/* 500 for a number that is nobody's. Where the outcome is unknown though the status does not say so
 * (no memory for the answer of a call that ran), no code that asks to repeat it: 502. */
unsigned tp_http_code(troupe_status status, troupe_outcome outcome);

/* May the same call come again later, by itself? It then has a Retry-After. */
bool tp_http_passes(unsigned code);

/* {"errorCode":…,"message":…,"status":…,"code":…,"kind":…,"outcome":…} An empty message: the
 * words of the status. What does not fit is cut in the message, and the JSON stays whole. */
void tp_http_error(tp_text *text, const char *error_code, troupe_status status,
    troupe_outcome outcome, troupe_slice message);

#endif
