/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage providers that are in the library itself. Others are modules.
 */
#ifndef TP_PROVIDERS_TABLE_H
#define TP_PROVIDERS_TABLE_H

#include <troupe/provider.h>

extern const troupe_provider tp_memory_provider;
extern const troupe_provider tp_sqlite_provider; /* one file of this machine */

#endif
