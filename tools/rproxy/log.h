/* SPDX-License-Identifier: MIT */
/* The log: a line a call, written at once. Safe from any thread. */
#ifndef RPROXY_LOG_H
#define RPROXY_LOG_H

#include <stdbool.h>

/* nutcracker's levels, of which these are used. */
enum log_level { LOG_ERROR_ = 1, LOG_WARN_ = 4, LOG_NOTICE_ = 5, LOG_INFO_ = 6, LOG_DEBUG_ = 7 };

bool log_open(const char *path, int level); /* PATH NULL: stderr. False: an error was reported. */
void log_reopen(void);
void log_level_change(int by);
void log_line(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERROR_, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN_, __VA_ARGS__)
#define log_notice(...) log_line(LOG_NOTICE_, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO_, __VA_ARGS__)

#endif
