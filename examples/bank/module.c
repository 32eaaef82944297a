/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bank as a module: `trouped --load libbank.so` serves its accounts.
 *
 * Threads: constants.
 */
#include <troupe/module.h>

#include "bank.h"

TROUPE_MODULE(&bank_account_type)
