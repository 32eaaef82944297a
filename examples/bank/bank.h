/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bank's actor types and codes, for the program (bank.c) and the module (module.c).
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
    BANK_IN_DOUBT, /* nobody can tell whether the other account got the money */
};

/* account/NAME: deposit {"cents":N}, withdraw {"cents":N}, show, transfer {"to":NAME,"cents":N}.
 * Answers are {"balance":N,"in_doubt":N}. */
extern const troupe_type bank_account_type;

/* teller/NAME: pay {"from":NAME,"to":NAME,"cents":N}. Sends a transfer again that was the victim of
 * a deadlock. */
extern const troupe_type bank_teller_type;

#endif
