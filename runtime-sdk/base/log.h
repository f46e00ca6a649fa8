/* log.h - leveled lines on stderr: "2026-11-23T10:00:00.123Z info agent: text key=value".
 *
 * Any thread. Libraries (runtime-sdk) log at debug only; the daemons decide the
 * rest. One write(2) a line, so lines of several processes do not mix. */
#pragma once

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* `program` is static or lives for ever. Level from ROUSE_LOG (debug|info|warn|error), else info.
 */
void log_init(const char *program);
void log_set_level(enum log_level level);
int log_enabled(enum log_level level);
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_enabled(LOG_DEBUG))                                                                \
            log_line(LOG_DEBUG, __VA_ARGS__);                                                      \
    } while (0)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
