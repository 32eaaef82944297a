/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `troupe sim`: the simulator as a command. Called by cmd/troupe and by tests.
 *
 * Threads: the calling one; the work is in child processes.
 */
#ifndef TP_TESTKIT_SIM_MAIN_H
#define TP_TESTKIT_SIM_MAIN_H

/* argv[0] is the command's name. Returns 0, 1 for violations, 2 for wrong usage. */
int tp_sim_main(int argc, char **argv);

#endif
