/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the daemon's own: see voice.h, also for threads. Invariants: none of its own. */
#include "trouped/voice.h"

#include "shared/bytes.h"

#include <stdio.h>
#include <time.h>

void voice_name(daemon_voice *voice, const char *node)
{
    snprintf(voice->name, sizeof(voice->name), "%s", node != NULL ? node : "node-1");
}

void voice_set(daemon_voice *voice, const char *log)
{
    troupe_log_level level = TROUPE_LOG_WARN;
    if (log == NULL) log = "warn";
    for (int i = TROUPE_LOG_OFF; i <= TROUPE_LOG_DEBUG; i++) {
        const char *name = troupe_log_level_name((troupe_log_level)i);
        if (strncmp(log, name, strlen(name)) == 0) level = (troupe_log_level)i;
    }
    atomic_store(&voice->is_text, strstr(log, ",text") != NULL);
    atomic_store(&voice->level, level);
}

void voice_say(daemon_voice *voice, troupe_log_level level, const char *event, const char *text)
{
    char date[40] = "";
    struct timespec now;
    struct tm parts;
    if (level > atomic_load(&voice->level)) return;
    const char *word = troupe_log_level_name(level);
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
    cmd_bytes line = {0};
    if (atomic_load(&voice->is_text)) {
        cmd_bytes_printf(&line, "%s.%09ldZ %s %s %s: %s\n", date, now.tv_nsec, word, voice->name,
                         event, text);
    } else {
        cmd_bytes_printf(&line, "{\"time\":\"%s.%09ldZ\",\"level\":\"%s\",\"node\":\"%s\","
                         "\"event\":\"%s\",\"text\":", date, now.tv_nsec, word, voice->name, event);
        cmd_bytes_json(&line, troupe_str(text));
        cmd_bytes_text(&line, "}\n");
    }
    if (!line.failed) fwrite(line.data, 1, line.size, stderr);
    cmd_bytes_deinit(&line);
}
