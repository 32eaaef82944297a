/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Simulations of users (troupe/sim.h): found in a shared object, and run like a scenario of ours.
 *
 * Threads: one, as world.h.
 */
#ifndef TP_TESTKIT_USER_SIM_H
#define TP_TESTKIT_USER_SIM_H

#define TROUPE_SIM_NO_TABLE
#include "testkit/stage.h"

#include <troupe/sim.h>

typedef struct tp_user_module {
    void *handle;
    const troupe_simulation *const *simulations;
    size_t count;
} tp_user_module;

/* False: `error` says why. */
bool tp_user_module_open(
    const char *path, tp_user_module *ret_module, char *error, size_t error_size);
void tp_user_module_close(tp_user_module *module);

/* A tp_subject_run; `subject` is a troupe_simulation. */
void tp_user_sim_run(
    const void *subject, const tp_stage_options *options, tp_stage_result *ret_result);

#endif
