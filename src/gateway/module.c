/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes libtroupe_gateway.so a module: its one exported name. Not in the object library that
 * tests link.
 *
 * Threads: none.
 */
#include "gateway/server.h"

TROUPE_API extern const tp_gateway_entry *const troupe_gateway_entry;
const tp_gateway_entry *const troupe_gateway_entry = &tp_gateway_server;
