/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and times for a person: see print.h, also for invariants and threads. */
#include "troupe/print.h"

#include "shared/names.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void cli_table_init(cli_table *table, int columns, unsigned right)
{
    *table = (cli_table){.columns = columns, .right = right};
}

/* Takes the text. */
static void add(cli_table *table, char *text)
{
    if (text != NULL && table->count == table->capacity) {
        size_t capacity = table->capacity < 64 ? 64 : table->capacity * 2;
        char **cells = realloc(table->cells, capacity * sizeof(*cells));
        if (cells != NULL) {
            table->cells = cells;
            table->capacity = capacity;
        }
    }
    if (text == NULL || table->count == table->capacity) {
        free(text);
        table->failed = true;
        return;
    }
    table->cells[table->count++] = text;
}

void cli_table_add(cli_table *table, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    add(table, length >= 0 ? text : NULL);
}

static char *visible(const void *data, size_t size)
{
    cmd_bytes bytes = {0};
    cmd_bytes_visible(&bytes, troupe_slice_of(data, size));
    cmd_bytes_add(&bytes, "", 1);
    if (bytes.failed) cmd_bytes_deinit(&bytes);
    return bytes.data;
}

void cli_table_add_heads(cli_table *table, const char *const *heads, const json_t *rows)
{
    for (int i = 0; i < table->columns && json_array_size(rows) > 0; i++) {
        cli_table_add(table, "%s", heads[i]);
    }
}

void cli_table_add_json(cli_table *table, const json_t *value)
{
    if (json_is_string(value)) {
        add(table, visible(json_string_value(value), json_string_length(value)));
    } else if (json_is_integer(value)) {
        cli_table_add(table, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else {
        cli_table_add(table, "%s", json_is_true(value) ? "true" : "");
    }
}

const char *cli_time_text(const json_t *value, char *out, size_t size)
{
    if (!json_is_integer(value)) {
        snprintf(out, size, "never");
        return out;
    }
    return cmd_duration_print((uint64_t)json_integer_value(value), out, size);
}

void cli_table_add_time(cli_table *table, const json_t *value)
{
    char text[32];
    cli_table_add(table, "%s", cli_time_text(value, text, sizeof(text)));
}

char *cli_id_text(const json_t *object, const char *name)
{
    char other[40];
    json_t *text = json_object_get(object, name);
    if (json_is_string(text)) return visible(json_string_value(text), json_string_length(text));
    snprintf(other, sizeof(other), "%s_base64", name);
    json_t *base64 = json_object_get(object, other);
    size_t size = 0;
    troupe_slice from = troupe_slice_of(json_string_value(base64), json_string_length(base64));
    char *data = malloc(from.size + 1);
    char *result = NULL;
    if (data != NULL && cmd_base64_decode(from, data, &size)) result = visible(data, size);
    free(data);
    return result;
}

/* Columns that a text takes: characters, not bytes. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text != 0; text++) width += (*text & 0xc0) != 0x80;
    return width;
}

static void print_cell(const cli_table *table, const char *text, int column, int width)
{
    bool is_last = column + 1 == table->columns;
    int blanks = width - width_of(text);
    if ((table->right >> column & 1) != 0) {
        printf("%*s%s", blanks, "", text);
    } else {
        printf("%s%*s", text, is_last ? 0 : blanks, "");
    }
    fputs(is_last ? "\n" : "  ", stdout);
}

bool cli_table_print(cli_table *table)
{
    int widths[TABLE_COLUMNS_MAX] = {0};
    size_t columns = (size_t)table->columns;
    for (size_t i = 0; i < table->count; i++) {
        int width = width_of(table->cells[i]);
        if (width > widths[i % columns]) widths[i % columns] = width;
    }
    for (size_t i = 0; i < table->count; i++) {
        if (!table->failed) {
            int column = (int)(i % columns);
            print_cell(table, table->cells[i], column, widths[column]);
        }
        free(table->cells[i]);
    }
    free(table->cells);
    table->cells = NULL;
    return !table->failed;
}
