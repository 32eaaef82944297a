/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trail of a letter: the nodes that it went through. When one of them is gone, the node that it
 * began at takes it for lost (views.c) and may send later ones by another way, while it is still on
 * its way behind the node that is gone. Who gets a later one has the view without that node by then
 * (the barrier of views), and so refuses the earlier one.
 *
 * Threads: the owner's of the directory.
 */
#include "directory/inside.h"

/* Was it sent here by a node that its trail lacks? The one that it began at is known anyway. */
static bool is_longer(const tp_letter *letter)
{
    const tp_directory_trail *trail = &letter->trail;
    bool is_known = letter->from == 0 || letter->from == letter->origin;
    for (uint32_t i = 0; i < trail->count; i++) {
        is_known |= trail->nodes[i] == letter->from;
    }
    return !is_known;
}

bool tp_trail_is_full(const tp_letter *letter)
{
    return letter->trail.count == TP_DIRECTORY_TRAIL && is_longer(letter);
}

void tp_trail_go_on(tp_letter *letter)
{
    if (is_longer(letter)) {
        letter->trail.nodes[letter->trail.count++] = letter->from;
    }
}

bool tp_trail_is_cut(const tp_directory *self, const tp_letter *letter)
{
    for (uint32_t i = 0; i < letter->trail.count; i++) {
        if (!tp_directory_is_member(self, letter->trail.nodes[i])) {
            return true;
        }
    }
    return false;
}
