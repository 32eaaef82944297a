/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views in memory: made from a shape by one copy into one block, stepped from v to v+1, counted,
 * searched. The text form is view_json.c. Called by the machine and by what reads views.
 *
 * Invariants: those of view.h. Threads: the count of references is any thread's.
 */
#include "member/view.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "member/view_inside.h"

#include <stdatomic.h>

typedef struct holder {
    atomic_uint references;
    const troupe_allocator *allocator;
    size_t size;
    tp_view view;
} holder;

#define HEAD ((sizeof(holder) + 15) & ~(size_t)15)

static const char *const status_names[] = {
    [TP_VIEW_ACTIVE] = "active", [TP_VIEW_LEAVING] = "leaving", [TP_VIEW_EMPTY] = "empty"};
static const char *const what_names[] = {[TP_VIEW_JOINED] = "joined",
    [TP_VIEW_BEGAN_LEAVING] = "leaving",
    [TP_VIEW_BECAME_EMPTY] = "empty",
    [TP_VIEW_LEFT] = "left",
    [TP_VIEW_REVOKED] = "revoked"};

const char *tp_view_status_name(tp_view_status status)
{
    return status_names[status];
}

const char *tp_view_what_name(tp_view_what what)
{
    return what_names[what];
}

/* ---- what a view must be --------------------------------------------------------------------- */

/* 1 to `most` printable ASCII characters: no text of a view needs an escape but for quotes. */
static bool is_name(troupe_slice text, size_t most)
{
    const unsigned char *at = text.data;
    if (text.size == 0 || text.size > most)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (at[i] < 0x20 || at[i] > 0x7E)
            return false;
    return true;
}

static const char *wrong_labels(const tp_view_member *member)
{
    if (member->label_count > TP_VIEW_LABELS_MAX)
        return "has more than 64 labels";
    for (size_t i = 0; i < member->label_count; i++) {
        const tp_view_label *label = &member->labels[i];
        if (!is_name(label->name, TP_VIEW_NAME_MAX) ||
            (label->value.size != 0 && !is_name(label->value, TP_VIEW_NAME_MAX)))
            return "has a label that is empty, longer than 128 bytes or not printable ASCII";
        for (size_t k = 0; k < i; k++)
            if (troupe_slice_equal(member->labels[k].name, label->name))
                return "has two labels of one name";
    }
    return NULL;
}

static const char *wrong_member(const tp_view_member *member)
{
    if (!is_name(member->name, TP_VIEW_NAME_MAX))
        return "has a name that is empty, longer than 128 bytes or not printable ASCII";
    if (!is_name(member->address, TP_VIEW_ADDRESS_MAX))
        return "has an address that is empty, longer than 256 bytes or not printable ASCII";
    if (member->shards == 0 || member->shards > TP_SHARDS_MAX)
        return "has no shards, or more than 256";
    if (member->nonce == 0 || member->nonce > INT64_MAX)
        return "has a nonce that is 0 or beyond 2^63 - 1";
    if (member->type_count > TP_VIEW_TYPES_MAX)
        return "hosts more than 1,024 types";
    for (size_t i = 0; i < member->type_count; i++)
        if (!is_name(member->types[i], TP_VIEW_NAME_MAX))
            return "hosts a type whose name is empty, longer than 128 bytes or not printable ASCII";
    return wrong_labels(member);
}

static const char *wrong_changes(const tp_view *shape)
{
    uint64_t view = shape->since;
    for (size_t i = 0; i < shape->change_count; i++) {
        const tp_view_change *change = &shape->changes[i];
        if (change->view < view || change->view == shape->since || change->view > shape->number)
            return "its changes are not those of the views behind `since`, in order";
        if (change->incarnation == 0 || change->incarnation >= shape->next_incarnation)
            return "a change is of nobody";
        view = change->view;
    }
    return NULL;
}

const char *tp_view_wrong(const tp_view *shape, uint64_t *ret_member)
{
    *ret_member = 0;
    if (shape->number == 0 || shape->number > INT64_MAX || shape->since >= shape->number)
        return "its number is 0, or not behind `since`";
    if (shape->next_incarnation == 0 || shape->next_incarnation > INT64_MAX)
        return "its next incarnation is no number from 1 to 2^63 - 1";
    if (shape->ttl < TROUPE_MILLISECONDS(1) || shape->ttl > TROUPE_HOURS(1) ||
        shape->ttl % TROUPE_MILLISECONDS(1) != 0)
        return "its ttl is not between a millisecond and an hour, in milliseconds";
    if (shape->member_count > TP_VIEW_MEMBERS_MAX)
        return "it has more than 4,096 members";
    for (size_t i = 0; i < shape->member_count; i++) {
        const tp_view_member *member = &shape->members[i];
        *ret_member = member->incarnation;
        if (member->incarnation >= shape->next_incarnation ||
            member->incarnation <= (i != 0 ? shape->members[i - 1].incarnation : 0))
            return "is not in ascending order, below the next incarnation";
        if (member->joined == 0 || member->joined > shape->number)
            return "joined in no view up to this one";
        const char *wrong = wrong_member(member);
        if (wrong != NULL)
            return wrong;
    }
    *ret_member = 0;
    return wrong_changes(shape);
}

/* ---- making one ------------------------------------------------------------------------------ */

static bool same_types(const tp_view_member *a, const tp_view_member *b)
{
    if (a->type_count != b->type_count)
        return false;
    for (size_t i = 0; a->types != b->types && i < a->type_count; i++)
        if (!troupe_slice_equal(a->types[i], b->types[i]))
            return false;
    return true;
}

/* leaders[i]: the first member that hosts the same types as member i. */
static void find_leaders(const tp_view *shape, uint32_t *leaders)
{
    for (uint32_t i = 0; i < shape->member_count; i++) {
        leaders[i] = i;
        for (uint32_t k = 0; k < i && leaders[i] == i; k++)
            if (leaders[k] == k && same_types(&shape->members[k], &shape->members[i]))
                leaders[i] = k;
    }
}

/* Takes parts of the block, in order; with no block it only counts. */
typedef struct cutter {
    char *block;
    size_t used;
} cutter;

static void *cut(cutter *self, size_t size, size_t align)
{
    self->used = (self->used + align - 1) & ~(align - 1);
    void *at = self->block != NULL ? self->block + self->used : NULL;
    self->used += size;
    return at;
}

static troupe_slice cut_text(cutter *self, troupe_slice text)
{
    char *at = cut(self, text.size + 1, 1);
    if (at != NULL) {
        if (text.size != 0)
            memcpy(at, text.data, text.size);
        at[text.size] = '\0';
    }
    return troupe_slice_of(at, text.size);
}

static const troupe_slice *cut_types(cutter *self, const tp_view_member *from)
{
    troupe_slice *types = cut(self, from->type_count * sizeof *types, _Alignof(troupe_slice));
    for (size_t i = 0; i < from->type_count; i++) {
        troupe_slice text = cut_text(self, from->types[i]);
        if (types != NULL)
            types[i] = text;
    }
    return types;
}

static const tp_view_label *cut_labels(cutter *self, const tp_view_member *from)
{
    tp_view_label *labels = cut(self, from->label_count * sizeof *labels, _Alignof(tp_view_label));
    for (size_t i = 0; i < from->label_count; i++) {
        tp_view_label label = {
            cut_text(self, from->labels[i].name), cut_text(self, from->labels[i].value)};
        if (labels != NULL)
            labels[i] = label;
    }
    return labels;
}

static void cut_view(cutter *self, const tp_view *shape, const uint32_t *leaders, tp_view *out)
{
    tp_view_member *members =
        cut(self, shape->member_count * sizeof *members, _Alignof(tp_view_member));
    tp_view_change *changes =
        cut(self, shape->change_count * sizeof *changes, _Alignof(tp_view_change));
    for (size_t i = 0; i < shape->member_count; i++) {
        const tp_view_member *from = &shape->members[i];
        tp_view_member member = *from;
        member.name = cut_text(self, from->name);
        member.address = cut_text(self, from->address);
        member.labels = cut_labels(self, from);
        if (leaders[i] == i)
            member.types = cut_types(self, from);
        else if (members != NULL)
            member.types = members[leaders[i]].types;
        if (members != NULL)
            members[i] = member;
    }
    *out = *shape;
    out->text = cut_text(self, shape->text);
    out->members = members;
    out->changes = changes;
    if (changes != NULL && shape->change_count != 0)
        memcpy(changes, shape->changes, shape->change_count * sizeof *changes);
}

static troupe_status copy(const troupe_allocator *allocator, const tp_view *shape,
    const uint32_t *leaders, const tp_view **ret_view)
{
    cutter knife = {.used = HEAD};
    tp_view measured;
    cut_view(&knife, shape, leaders, &measured);
    size_t size = knife.used;
    holder *self = tp_allocate(allocator, size);
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    atomic_init(&self->references, 1);
    self->allocator = allocator;
    self->size = size;
    knife.block = (char *)self;
    knife.used = HEAD;
    cut_view(&knife, shape, leaders, &self->view);
    *ret_view = &self->view;
    return TROUPE_OK;
}

troupe_status tp_view_make(
    const troupe_allocator *allocator, const tp_view *shape, const tp_view **ret_view)
{
    size_t leaders_size = shape->member_count * sizeof(uint32_t), room = 0;
    uint32_t *leaders = tp_allocate(allocator, leaders_size);
    if (leaders == NULL)
        return TROUPE_NO_MEMORY;
    find_leaders(shape, leaders);
    tp_view whole = *shape;
    troupe_status status = TROUPE_OK;
    if (whole.text.data == NULL)
        status = tp_view_encode(allocator, shape, leaders, &whole.text, &room);
    if (status == TROUPE_OK)
        status = copy(allocator, &whole, leaders, ret_view);
    if (room != 0)
        tp_release(allocator, (void *)(uintptr_t)whole.text.data, room);
    tp_release(allocator, leaders, leaders_size);
    return status;
}

/* ---- from v to v+1 --------------------------------------------------------------------------- */

static const tp_view_change *find_change(const tp_view_step *step, uint64_t incarnation)
{
    for (size_t i = step->change_count; i-- > 0;)
        if (step->changes[i].incarnation == incarnation)
            return &step->changes[i];
    return NULL;
}

/* The changes list while it is being made. */
typedef struct change_list {
    tp_view_change *items;
    size_t count;
} change_list;

static void add_change(change_list *list, uint64_t view, uint64_t incarnation, tp_view_what what)
{
    list->items[list->count++] = (tp_view_change){view, incarnation, what};
}

/* Whole views go, oldest first. */
static void trim(tp_view *shape, change_list *list)
{
    size_t first = 0;
    while (list->count - first > TP_VIEW_CHANGES && list->items[first].view < shape->number) {
        shape->since = list->items[first].view;
        while (first < list->count && list->items[first].view == shape->since)
            first++;
    }
    shape->changes = list->items + first;
    shape->change_count = list->count - first;
}

static void take_members(const tp_view *view, const tp_view_step *step, tp_view *shape,
    tp_view_member *members, change_list *list)
{
    for (size_t i = 0; i < view->member_count; i++) {
        const tp_view_member *member = &view->members[i];
        const tp_view_change *change = find_change(step, member->incarnation);
        if (change != NULL)
            add_change(list, shape->number, member->incarnation, change->what);
        if (change != NULL && (change->what == TP_VIEW_LEFT || change->what == TP_VIEW_REVOKED))
            continue;
        members[shape->member_count] = *member;
        if (change != NULL && change->what == TP_VIEW_BEGAN_LEAVING)
            members[shape->member_count].status = TP_VIEW_LEAVING;
        if (change != NULL && change->what == TP_VIEW_BECAME_EMPTY)
            members[shape->member_count].status = TP_VIEW_EMPTY;
        shape->member_count++;
    }
}

static bool is_there(const tp_view *shape, uint64_t nonce)
{
    for (size_t i = 0; i < shape->member_count; i++)
        if (shape->members[i].nonce == nonce)
            return true;
    return false;
}

static void take_joins(
    const tp_view_step *step, tp_view *shape, tp_view_member *members, change_list *list)
{
    for (size_t i = 0; i < step->join_count; i++) {
        if (is_there(shape, step->joins[i].nonce))
            continue;
        tp_view_member *member = &members[shape->member_count++];
        *member = step->joins[i];
        member->incarnation = shape->next_incarnation++;
        member->joined = shape->number;
        member->status = TP_VIEW_ACTIVE;
        add_change(list, shape->number, member->incarnation, TP_VIEW_JOINED);
    }
}

troupe_status tp_view_follow(const troupe_allocator *allocator, const tp_view *view,
    const tp_view_step *step, const tp_view **ret_view)
{
    size_t members_size = (view->member_count + step->join_count) * sizeof(tp_view_member);
    size_t changes_size =
        (view->change_count + view->member_count + step->join_count) * sizeof(tp_view_change);
    char *block = tp_allocate(allocator, members_size + changes_size);
    if (block == NULL)
        return TROUPE_NO_MEMORY;
    tp_view_member *members = (tp_view_member *)(void *)block;
    change_list list = {(tp_view_change *)(void *)(block + members_size), view->change_count};
    if (view->change_count != 0)
        memcpy(list.items, view->changes, view->change_count * sizeof *list.items);
    tp_view shape = *view;
    shape.number = view->number + 1;
    shape.text = (troupe_slice){NULL, 0};
    shape.members = members;
    shape.member_count = 0;
    take_members(view, step, &shape, members, &list);
    take_joins(step, &shape, members, &list);
    trim(&shape, &list);
    uint64_t who;
    troupe_status status = TROUPE_OK;
    if (shape.member_count > TP_VIEW_MEMBERS_MAX)
        status = TROUPE_TOO_LARGE;
    else if (tp_view_wrong(&shape, &who) != NULL)
        status = TROUPE_USAGE;
    if (status == TROUPE_OK)
        status = tp_view_make(allocator, &shape, ret_view);
    tp_release(allocator, block, members_size + changes_size);
    return status;
}

troupe_status tp_view_begin(const troupe_allocator *allocator, uint64_t ttl,
    const unsigned char secret[TP_VIEW_SECRET], const tp_view_step *step, const tp_view **ret_view)
{
    tp_view nothing = {.next_incarnation = 1, .ttl = ttl};
    memcpy(nothing.secret, secret, TP_VIEW_SECRET);
    return tp_view_follow(allocator, &nothing, step, ret_view);
}

/* ---- counting and finding -------------------------------------------------------------------- */

static holder *holder_of(const tp_view *view)
{
    return (holder *)((uintptr_t)view - offsetof(holder, view));
}

const tp_view *tp_view_retain(const tp_view *view)
{
    atomic_fetch_add_explicit(&holder_of(view)->references, 1, memory_order_relaxed);
    return view;
}

void tp_view_release(const tp_view *view)
{
    if (view == NULL)
        return;
    holder *self = holder_of(view);
    /* Releases what this thread read; the last one acquires what all others did. */
    if (atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) == 1)
        tp_release(self->allocator, self, self->size);
}

const tp_view_member *tp_view_find(const tp_view *view, uint64_t incarnation)
{
    size_t low = 0, high = view->member_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (view->members[middle].incarnation < incarnation)
            low = middle + 1;
        else
            high = middle;
    }
    return low < view->member_count && view->members[low].incarnation == incarnation
               ? &view->members[low]
               : NULL;
}

const tp_view_member *tp_view_find_nonce(const tp_view *view, uint64_t nonce)
{
    for (size_t i = 0; i < view->member_count; i++)
        if (view->members[i].nonce == nonce)
            return &view->members[i];
    return NULL;
}

const tp_view_member *tp_view_find_name(const tp_view *view, troupe_slice name)
{
    for (size_t i = view->member_count; i-- > 0;)
        if (troupe_slice_equal(view->members[i].name, name))
            return &view->members[i];
    return NULL;
}
