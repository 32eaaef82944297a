/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for manual pages, escaped, to standard output. Both programs print theirs with it.
 * Threads: one.
 */
#ifndef CMD_SHARED_TROFF_H
#define CMD_SHARED_TROFF_H

/* One line of troff, whatever is in it; it ends with a newline. */
void cmd_troff_print(const char *text, int length);
void cmd_troff_text(const char *text);
/* .TP, the bold term, and what it means. */
void cmd_troff_item(const char *term, const char *meaning);

#endif
