/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage provider `sqlite:` against the conformance suite, by itself and under the wrapper of
 * faulty.h, on a file of the temporary folder.
 *
 * Threads: one.
 */
#include "faulty.h"

#include "providers/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int clean(void *user)
{
    static const char *const ends[] = {"", "-wal", "-lock", "-journal"};
    const char *folder = user;
    char path[256];
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        snprintf(path, sizeof path, "%s/a.db%s", folder, ends[i]);
        unlink(path);
    }
    return 0;
}

int main(void)
{
    const char *temporary = getenv("TMPDIR");
    char folder[200], url[256];
    snprintf(
        folder, sizeof folder, "%s/troupe-sqlite-XXXXXX", temporary != NULL ? temporary : "/tmp");
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(url, sizeof url, "sqlite:%s/a.db?log=50", folder);
    conformance place = {.name = "sqlite",
        .provider = &tp_sqlite_provider,
        .url = url,
        .clean = clean,
        .user = folder,
        .durable = true};
    int failed = conformance_run(&place);
    failed += faulty_run(&place, 2000);
    rmdir(folder);
    return failed;
}
