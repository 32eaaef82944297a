/* SPDX-License-Identifier: Apache-2.0 */
/* Text for manual pages: see troff.h. Invariants: none of its own. */
#include "shared/troff.h"

#include <stdio.h>
#include <string.h>

/* troff reads \ everywhere and . and ' at the begin of a line; - is a hyphen unless escaped. */
void cmd_troff_print(const char *text, int length)
{
    if (length > 0 && (text[0] == '.' || text[0] == '\'')) fputs("\\&", stdout);
    for (int i = 0; i < length; i++) {
        if (text[i] == '\\') fputs("\\e", stdout);
        else if (text[i] == '-') fputs("\\-", stdout);
        else if (text[i] == '\'') fputs("\\(aq", stdout);
        else putchar(text[i]);
    }
    putchar('\n');
}

void cmd_troff_text(const char *text)
{
    cmd_troff_print(text, (int)strlen(text));
}

void cmd_troff_item(const char *term, const char *meaning)
{
    fputs(".TP\n.B ", stdout);
    cmd_troff_text(term);
    cmd_troff_text(meaning);
}
