/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bank's actor type and codes, for the program (bank.c) and the module (module.c).
 *
 * Threads: constants.
 */
#ifndef BANK_H
#define BANK_H

#include <troupe.h>

/* The bank's own answers: the actor did its work, and this is what it says. */
enum {
    BANK_TOO_POOR = TROUPE_APPLICATION,
    BANK_NO_AMOUNT, /* cents are missing, not positive, or too many */
    BANK_SAME_ACCOUNT,
};

/* account/NAME: deposit {"cents":N}, withdraw {"cents":N}, show, transfer {"to":NAME,"cents":N}.
 * Answers are {"balance":N,"on_the_way":N}. */
extern const troupe_type bank_account_type;

#endif
