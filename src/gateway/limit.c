/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What callers may have of the gateway: calls a second of one caller, one type, one partition, and
 * calls under way of one type; wrong tokens a second of one caller. A caller is an address. The
 * tables are rate.c's.
 *
 * Invariants
 * 1. A call that one of its limits holds back counts for none of them.
 * Threads: the library's; `lock` is held over no call of anybody else.
 */
#include "gateway/inside.h"

enum { CALLER, TYPE, PARTITION, KINDS, GUESSES = KINDS };

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
    bool has_rates = host->rate_caller + host->rate_type + host->rate_partition != 0;
    if (has_rates || host->token[0] != 0) {
        self->rates = tp_allocate(host->allocator, sizeof *self->rates);
        if (self->rates == NULL)
            return TROUPE_NO_MEMORY;
        memset(self->rates, 0, sizeof *self->rates);
    }
    if (host->type_calls != 0) {
        self->tally = tp_allocate(host->allocator, sizeof *self->tally);
        if (self->tally == NULL)
            return TROUPE_NO_MEMORY;
        memset(self->tally, 0, sizeof *self->tally);
    }
    return TROUPE_OK;
}

void tp_limits_close(tp_limits *self, const tp_gateway_host *host)
{
    tp_release(host->allocator, self->rates, sizeof *self->rates);
    tp_release(host->allocator, self->tally, sizeof *self->tally);
}

static troupe_slice address_of(const tp_request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return tp_rate_address(info != NULL ? info->client_addr : NULL);
}

static uint64_t key_of(const tp_limits *self, uint32_t kind, troupe_slice text)
{
    return tp_rate_key(self->seed, kind, text.data, text.size);
}

uint64_t tp_limits_wait(tp_request *request)
{
    tp_limits *self = &request->gateway->limits;
    const tp_gateway_host *host = &request->gateway->host;
    if (host->rate_caller + host->rate_type + host->rate_partition == 0)
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

uint64_t tp_limits_guess_wait(tp_request *request)
{
    tp_limits *self = &request->gateway->limits;
    uint64_t key = key_of(self, GUESSES, address_of(request));
    lock(self);
    uint64_t wait = tp_rates_wait(self->rates, key, TP_GUESSES, request->began);
    unlock(self);
    return wait;
}

void tp_limits_guessed(tp_request *request)
{
    tp_limits *self = &request->gateway->limits;
    uint64_t key = key_of(self, GUESSES, address_of(request));
    lock(self);
    tp_rates_take(self->rates, key, TP_GUESSES, request->began);
    unlock(self);
}

bool tp_limits_enter(tp_request *request)
{
    tp_limits *self = &request->gateway->limits;
    if (self->tally == NULL || request->route.id.type.size == 0)
        return true;
    request->tally = key_of(self, TYPE, request->route.id.type);
    lock(self);
    request->is_tallied =
        tp_tally_enter(self->tally, request->tally, request->gateway->host.type_calls);
    unlock(self);
    return request->is_tallied;
}

void tp_limits_leave(tp_request *request)
{
    tp_limits *self = &request->gateway->limits;
    if (!request->is_tallied)
        return;
    request->is_tallied = false;
    lock(self);
    tp_tally_leave(self->tally, request->tally);
    unlock(self);
}
