/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway as its node and its tests open it; module.c exports it.
 *
 * Threads: gateway.h.
 */
#ifndef TP_GATEWAY_SERVER_H
#define TP_GATEWAY_SERVER_H

#include "gateway/gateway.h"

extern const tp_gateway_entry tp_gateway_server;

#endif
