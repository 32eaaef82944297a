/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What callers may have of the gateway: calls a second of one caller, one type, one partition, and
 * calls under way of one type. A caller is an address; of IPv6 the first 64 bits, which one machine
 * may choose behind. The tables are rate.c's.
 *
 * Invariants
 * 1. A call that one of its limits holds back counts for none of them.
 * Threads: the library's; `lock` is held over no call of anybody else.
 */
#include "gateway/inside.h"

#include <netinet/in.h>

enum { CALLER, TYPE, PARTITION, KINDS };

static void lock(tp_limits *self)
{
    while (atomic_flag_test_and_set_explicit(&self->lock, memory_order_acquire)) {
    }
}

static void unlock(tp_limits *self)
{
    atomic_flag_clear_explicit(&self->lock, memory_order_release);
}

troupe_status tp_limits_open(tp_limits *self, const tp_gateway_host *host)
{
    atomic_flag_clear(&self->lock);
    host->env->entropy(host->env, &self->seed, sizeof self->seed);
    if (host->rate_caller + host->rate_type + host->rate_partition != 0) {
        self->rates = tp_allocate(host->allocator, sizeof *self->rates);
        if (self->rates == NULL)
            return TROUPE_NO_MEMORY;
        memset(self->rates, 0, sizeof *self->rates);
    }
    if (host->type_calls != 0) {
        self->crowd = tp_allocate(host->allocator, sizeof *self->crowd);
        if (self->crowd == NULL)
            return TROUPE_NO_MEMORY;
        memset(self->crowd, 0, sizeof *self->crowd);
    }
    return TROUPE_OK;
}

void tp_limits_close(tp_limits *self, const tp_gateway_host *host)
{
    tp_release(host->allocator, self->rates, sizeof *self->rates);
    tp_release(host->allocator, self->crowd, sizeof *self->crowd);
}

static troupe_slice address_of(const tp_request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info != NULL ? info->client_addr : NULL;
    if (address != NULL && address->sa_family == AF_INET)
        return troupe_slice_of(&((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
    if (address != NULL && address->sa_family == AF_INET6)
        return troupe_slice_of(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 8);
    return (troupe_slice){NULL, 0};
}

static uint64_t key_of(const tp_limits *self, uint32_t kind, troupe_slice text)
{
    return tp_rate_key(self->seed, kind, text.data, text.size);
}

uint64_t tp_limits_wait(tp_request *request)
{
    tp_limits *self = &request->gateway->limits;
    const tp_gateway_host *host = &request->gateway->host;
    if (self->rates == NULL)
        return 0;
    bool has_type = request->route.id.type.size != 0;
    const uint32_t limits[KINDS] = {host->rate_caller, has_type ? host->rate_type : 0,
        request->route.id.partition.size != 0 ? host->rate_partition : 0};
    const troupe_slice texts[KINDS] = {
        address_of(request), request->route.id.type, request->route.id.partition};
    uint64_t keys[KINDS], wait = 0;
    for (uint32_t i = 0; i < KINDS; i++)
        keys[i] = key_of(self, i, texts[i]);
    lock(self);
    for (int i = 0; i < KINDS; i++) {
        uint64_t one =
            limits[i] != 0 ? tp_rates_wait(self->rates, keys[i], limits[i], request->began) : 0;
        wait = one > wait ? one : wait;
    }
    for (int i = 0; wait == 0 && i < KINDS; i++)
        if (limits[i] != 0)
            tp_rates_take(self->rates, keys[i], limits[i], request->began);
    unlock(self);
    return wait;
}

bool tp_limits_enter(tp_request *request)
{
    tp_limits *self = &request->gateway->limits;
    if (self->crowd == NULL || request->route.id.type.size == 0)
        return true;
    request->crowd = key_of(self, TYPE, request->route.id.type);
    lock(self);
    request->is_in_crowd =
        tp_crowd_enter(self->crowd, request->crowd, request->gateway->host.type_calls);
    unlock(self);
    return request->is_in_crowd;
}

void tp_limits_leave(tp_request *request)
{
    tp_limits *self = &request->gateway->limits;
    if (!request->is_in_crowd)
        return;
    request->is_in_crowd = false;
    lock(self);
    tp_crowd_leave(self->crowd, request->crowd);
    unlock(self);
}
