/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names an address of this process for a person: function, module, offset. Methods of actors are
 * mostly static functions, which the dynamic symbols do not know, so it reads the symbol table of
 * the module's file. Not fast: it is for `troupe where`.
 *
 * Invariants: 1. It never fails; at worst it prints the bare address.
 * Threads: any.
 */
#ifndef TROUPED_SYMBOLS_H
#define TROUPED_SYMBOLS_H

#include <stddef.h>

/* "transfer+0x2a (libbank.so+0x1234)", "libbank.so+0x1234" or "0x7f…". `address` is a return
 * address: the call before it is what is named. */
void symbol_print(const void *address, char *out, size_t size);

#endif
