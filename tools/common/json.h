/* SPDX-License-Identifier: MIT */
/*
 * Records as JSON; what libjansson is needed for. Used by record.c alone.
 */
#ifndef JSON_H
#define JSON_H

#include "record.h"

/* As record_split(). */
const char *json_split(char *data, size_t len, const char *const names[], unsigned count, struct record_field fields[]);

/* ,"NAME": without the comma where FIRST. NAME needs no escapes. */
void json_put_name(struct out *out, const char *name, bool first);

/* A string, or {"base64":"..."} where DATA is not UTF-8. */
void json_put_bytes(struct out *out, const char *data, size_t len);

#endif
