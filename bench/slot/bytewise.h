/* SPDX-License-Identifier: MIT */
/*
 * Slots as nearly every client computes them: a loop over the bytes for the
 * hash tag, and CRC16-XMODEM by a table of 256 entries, a byte a step.
 */
#ifndef BENCH_BYTEWISE_H
#define BENCH_BYTEWISE_H

#include <stddef.h>
#include <stdint.h>

/* Fills the table; call it once, first. */
void bytewise_init(void);

unsigned bytewise_slot(const char *key, size_t len);

#endif
