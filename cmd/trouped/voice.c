/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the daemon's own: see voice.h, also for invariants and threads. */
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

static void say(const daemon_voice *voice, const struct timespec *at, troupe_log_level level,
                const char *event, const char *text, unsigned suppressed)
{
    char date[40] = "";
    struct tm parts;
    const char *word = troupe_log_level_name(level);
    gmtime_r(&at->tv_sec, &parts);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
    cmd_bytes line = {0};
    if (atomic_load(&voice->is_text)) {
        cmd_bytes_printf(&line, "%s.%09ldZ %s %s %s: %s", date, at->tv_nsec, word, voice->name,
                         event, text);
        if (suppressed > 0) cmd_bytes_printf(&line, " suppressed=%u", suppressed);
        cmd_bytes_text(&line, "\n");
    } else {
        cmd_bytes_printf(&line, "{\"time\":\"%s.%09ldZ\",\"level\":\"%s\",\"node\":\"%s\","
                         "\"event\":\"%s\",", date, at->tv_nsec, word, voice->name, event);
        if (suppressed > 0) cmd_bytes_printf(&line, "\"suppressed\":%u,", suppressed);
        cmd_bytes_text(&line, "\"text\":");
        cmd_bytes_json(&line, troupe_str(text));
        cmd_bytes_text(&line, "}\n");
    }
    if (!line.failed) fwrite(line.data, 1, line.size, stderr);
    cmd_bytes_deinit(&line);
}

static bool may_pass(daemon_voice *voice, const char *event, time_t now, unsigned *ret_suppressed)
{
    size_t i = 0;
    while (atomic_flag_test_and_set_explicit(&voice->lock, memory_order_acquire)) {
    }
    while (i + 1 < VOICE_EVENTS && voice->rates[i].event != NULL &&
           strcmp(voice->rates[i].event, event) != 0) {
        i++;
    }
    voice_rate *rate = &voice->rates[i];
    rate->event = event; /* names are literals */
    if (rate->second != now) {
        rate->second = now;
        rate->passed = 0;
    }
    bool passes = rate->passed < VOICE_RATE;
    if (passes) {
        rate->passed++;
        *ret_suppressed = rate->suppressed;
        rate->suppressed = 0;
    } else {
        rate->suppressed++;
    }
    atomic_flag_clear_explicit(&voice->lock, memory_order_release);
    return passes;
}

void voice_say(daemon_voice *voice, troupe_log_level level, const char *event, const char *text)
{
    struct timespec now;
    unsigned suppressed = 0;
    if (level > atomic_load(&voice->level)) return;
    clock_gettime(CLOCK_REALTIME, &now);
    if (may_pass(voice, event, now.tv_sec, &suppressed)) {
        say(voice, &now, level, event, text, suppressed);
    }
}

void voice_report(daemon_voice *voice, troupe_log_level level, const char *event, const char *text)
{
    struct timespec now;
    if (level > atomic_load(&voice->level)) return;
    clock_gettime(CLOCK_REALTIME, &now);
    say(voice, &now, level, event, text, 0);
}
