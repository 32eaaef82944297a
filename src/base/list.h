/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two intrusive lists: a doubly linked one (any member leaves in constant time) and a singly linked
 * first-in-first-out queue. They own nothing; whoever embeds a link does.
 *
 * Invariants: 1. A tp_list is a ring through its own head, so it must not be moved once
 * initialised. 2. A link that is in no list has next == NULL.
 * Threads: one owner.
 */
#ifndef TP_BASE_LIST_H
#define TP_BASE_LIST_H

#include "base/assert.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct tp_link {
    struct tp_link *next;
    struct tp_link *previous;
} tp_link;

typedef struct tp_list {
    tp_link head;
} tp_list;

static inline void tp_list_init(tp_list *list)
{
    list->head.next = &list->head;
    list->head.previous = &list->head;
}

static inline bool tp_list_is_empty(const tp_list *list)
{
    return list->head.next == &list->head;
}

static inline bool tp_link_is_linked(const tp_link *link)
{
    return link->next != NULL;
}

static inline void tp_list_insert_between(tp_link *link, tp_link *before, tp_link *after)
{
    link->next = after;
    link->previous = before;
    before->next = link;
    after->previous = link;
}

static inline void tp_list_push_back(tp_list *list, tp_link *link)
{
    tp_list_insert_between(link, list->head.previous, &list->head);
}

static inline void tp_list_push_front(tp_list *list, tp_link *link)
{
    tp_list_insert_between(link, &list->head, list->head.next);
}

/* The link must be in a list; which one need not be known. */
static inline void tp_list_remove(tp_link *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    link->next = NULL;
    link->previous = NULL;
}

static inline tp_link *tp_list_front(const tp_list *list)
{
    return tp_list_is_empty(list) ? NULL : list->head.next;
}

static inline tp_link *tp_list_back(const tp_list *list)
{
    return tp_list_is_empty(list) ? NULL : list->head.previous;
}

static inline tp_link *tp_list_pop_front(tp_list *list)
{
    tp_link *link = tp_list_front(list);
    if (link != NULL) {
        tp_list_remove(link);
    }
    return link;
}

/* Walks front to back. The current link may be removed meanwhile, others may not. */
#define TP_LIST_EACH(list, link)                                                                   \
    for (tp_link *link = (list)->head.next, *link##_next = link->next; link != &(list)->head;      \
         link = link##_next, link##_next = link->next)

typedef struct tp_fifo_node {
    struct tp_fifo_node *next;
} tp_fifo_node;

/* A zeroed one is empty. It may be moved. */
typedef struct tp_fifo {
    tp_fifo_node *head;
    tp_fifo_node *tail; /* meaningful while head is not NULL */
} tp_fifo;

static inline void tp_fifo_init(tp_fifo *fifo)
{
    fifo->head = NULL;
    fifo->tail = NULL;
}

static inline bool tp_fifo_is_empty(const tp_fifo *fifo)
{
    return fifo->head == NULL;
}

static inline void tp_fifo_push_back(tp_fifo *fifo, tp_fifo_node *node)
{
    node->next = NULL;
    if (fifo->head == NULL) {
        fifo->head = node;
    } else {
        fifo->tail->next = node;
    }
    fifo->tail = node;
}

static inline void tp_fifo_push_front(tp_fifo *fifo, tp_fifo_node *node)
{
    if (fifo->head == NULL) {
        fifo->tail = node;
    }
    node->next = fifo->head;
    fifo->head = node;
}

static inline tp_fifo_node *tp_fifo_front(const tp_fifo *fifo)
{
    return fifo->head;
}

static inline tp_fifo_node *tp_fifo_pop_front(tp_fifo *fifo)
{
    tp_fifo_node *node = fifo->head;
    if (node != NULL) {
        fifo->head = node->next;
        node->next = NULL;
    }
    return node;
}

/* Walks front to back. Nothing may be removed meanwhile. */
#define TP_FIFO_EACH(fifo, node)                                                                   \
    for (tp_fifo_node *node = (fifo)->head; node != NULL; node = node->next)

#endif
