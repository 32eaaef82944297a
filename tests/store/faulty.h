/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store of any provider behind the wrapper that lets things go wrong (testkit/faulty_store.h):
 * the conformance suite with operations that are done twice, in cut groups, and each fault by
 * itself. For the tests of providers.
 *
 * Threads: one.
 */
#ifndef TEST_STORE_FAULTY_H
#define TEST_STORE_FAULTY_H

#include "conformance.h"

/* After the provider's own run, at the same place, which is cleaned. 0: passed. */
int faulty_run(const conformance *place, size_t rounds);

#endif
