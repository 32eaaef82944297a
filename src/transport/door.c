/* SPDX-License-Identifier: Apache-2.0 */
/* Listens, reads preambles, hands connections on. See door.h. */
#include "transport/door.h"

#include "base/alloc.h"
#include "base/list.h"

#include <stdio.h>

#define PATIENCE UINT64_C(5000000000)
#define REST_MAX 4096 /* that a guest may say behind its preamble before it is answered */

typedef struct guest {
    tp_link link;
    tp_door *door;
    tp_stream *stream;
    uint64_t since; /* 0: at the next pass */
    const char *broken;
    size_t size;
    char bytes[TP_PREAMBLE_BYTES + REST_MAX];
} guest;

struct tp_door {
    tp_door_options options;
    tp_listener *listener;
    tp_list guests;
    uint32_t guest_count;
    bool has_arrivals;
};

static void on_arrived(void *user, const void *bytes, size_t size)
{
    guest *self = user;
    self->door->has_arrivals = true;
    if (size > sizeof self->bytes - self->size) {
        self->broken = "it says too much before it was let in";
        return;
    }
    memcpy(self->bytes + self->size, bytes, size);
    self->size += size;
}

static void on_broken(void *user, const char *why)
{
    guest *self = user;
    self->broken = why;
    self->door->has_arrivals = true;
}

static const tp_stream_calls guest_calls = {.arrived = on_arrived, .broken = on_broken};

static void on_accepted(void *user, tp_socket socket)
{
    tp_door *door = user;
    const tp_door_options *options = &door->options;
    door->has_arrivals = true;
    guest *self = door->guest_count < TP_DOOR_GUESTS
                      ? tp_allocate_zeroed(options->allocator, sizeof *self)
                      : NULL;
    if (self == NULL) {
        options->env->net.drop(options->env, socket);
        return;
    }
    self->door = door;
    if (options->env->net.attach(options->env, options->runner, socket, &guest_calls, self,
            &self->stream) != TROUPE_OK) {
        tp_release(options->allocator, self, sizeof *self);
        return;
    }
    tp_list_push_back(&door->guests, &self->link);
    door->guest_count++;
}

static void guest_end(guest *self, const char *why)
{
    tp_door *door = self->door;
    const tp_door_options *options = &door->options;
    if (why != NULL && options->log != NULL) {
        char peer[TP_ADDRESS_MAX];
        options->env->net.peer(self->stream, peer, sizeof peer);
        options->log(options->user, self->size == 0 ? 0 : 2, "stranger_refused", peer, why);
    }
    options->env->net.close(self->stream);
    tp_list_remove(&self->link);
    door->guest_count--;
    tp_release(options->allocator, self, sizeof *self);
}

static void let_in(guest *self, tp_preamble preamble)
{
    const tp_door_options *options = &self->door->options;
    tp_socket socket = options->env->net.detach(self->stream);
    self->stream = NULL;
    options->come(options->user, socket, preamble, self->bytes + TP_PREAMBLE_BYTES,
        self->size - TP_PREAMBLE_BYTES);
    guest_end(self, NULL);
}

/* When to look again. */
static uint64_t look(guest *self, uint64_t now)
{
    if (self->since == 0)
        self->since = now;
    if (self->size >= TP_PREAMBLE_BYTES && self->broken == NULL) {
        tp_preamble preamble;
        const char *fault = tp_preamble_get(self->bytes, &preamble);
        if (fault == NULL)
            let_in(self, preamble);
        else
            guest_end(self, fault);
        return TP_NEVER;
    }
    uint64_t end = self->since + self->door->options.patience;
    if (self->broken == NULL && end > now)
        return end;
    guest_end(self, self->broken != NULL ? self->broken : "it did not say what it wants");
    return TP_NEVER;
}

uint64_t tp_door_pass(tp_door *door, uint64_t now)
{
    door->has_arrivals = false;
    uint64_t due = TP_NEVER;
    tp_link *next;
    for (tp_link *link = door->guests.head.next; link != &door->guests.head; link = next) {
        next = link->next;
        uint64_t again = look(TP_CONTAINER(link, guest, link), now);
        due = again < due ? again : due;
    }
    return due;
}

bool tp_door_has_arrivals(const tp_door *door)
{
    return door->has_arrivals;
}

void tp_door_address(const tp_door *door, char *out, size_t size)
{
    door->options.env->net.listener_address(door->listener, out, size);
}

troupe_status tp_door_open(
    const tp_door_options *options, tp_door **ret_door, char *error, size_t error_size)
{
    tp_door *door = tp_allocate_zeroed(options->allocator, sizeof *door);
    if (door == NULL) {
        (void)snprintf(error, error_size, "no memory");
        return TROUPE_NO_MEMORY;
    }
    door->options = *options;
    if (door->options.patience == 0)
        door->options.patience = PATIENCE;
    tp_list_init(&door->guests);
    troupe_status status = options->env->net.listen(options->env, options->runner, options->address,
        on_accepted, door, &door->listener, error, error_size);
    if (status != TROUPE_OK) {
        tp_release(options->allocator, door, sizeof *door);
        return status;
    }
    door->options.address = NULL; /* the caller's */
    *ret_door = door;
    return TROUPE_OK;
}

void tp_door_close(tp_door *door)
{
    if (door == NULL)
        return;
    door->options.env->net.listener_close(door->listener);
    while (!tp_list_is_empty(&door->guests))
        guest_end(TP_CONTAINER(tp_list_front(&door->guests), guest, link), NULL);
    tp_release(door->options.allocator, door, sizeof *door);
}
