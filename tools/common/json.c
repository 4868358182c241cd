/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <stdint.h>
#include <string.h>

#include <jansson.h>

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* ---- base64 ---- */

static void put_base64(struct out *out, const unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t bits = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);
		char *to = out_reserve(out, 4);

		to[0] = base64_digits[bits >> 18];
		to[1] = base64_digits[bits >> 12 & 63];
		to[2] = n > 1 ? base64_digits[bits >> 6 & 63] : '=';
		to[3] = n > 2 ? base64_digits[bits & 63] : '=';
		out->len += 4;
	}
}

/* Decodes TEXT to TO (which has room for LEN bytes). Returns false where it is not base64. */
static bool decode_base64(const char *text, size_t len, char *to, size_t *to_len)
{
	size_t padding = 0;

	*to_len = 0;
	if (len % 4)
		return false;
	while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < len; i += 4) {
		uint32_t bits = 0;

		for (size_t j = i; j < i + 4; j++) {
			const char *digit = j < len - padding ? memchr(base64_digits, text[j], 64) : base64_digits;

			if (!digit)
				return false;
			bits = bits << 6 | (uint32_t)(digit - base64_digits);
		}
		for (int shift = 16; shift >= 0; shift -= 8)
			to[(*to_len)++] = (char)(bits >> shift);
	}
	*to_len -= padding;
	return true;
}

/* ---- reading ---- */

/* One member to TO, which holds as many bytes as the raw text had. Returns the end, or NULL. */
static char *take_member(const json_t *value, char *to, struct record_field *field)
{
	const json_t *base64 = json_object_get(value, "base64");
	size_t len;

	if (json_is_string(value)) {
		len = json_string_length(value);
		memcpy(to, json_string_value(value), len);
	} else if (!json_is_string(base64) ||
		   !decode_base64(json_string_value(base64), json_string_length(base64), to, &len)) {
		return NULL;
	}
	*field = (struct record_field){to, len};
	return to + len;
}

const char *json_split(char *data, size_t len, const char *const names[], unsigned count, struct record_field fields[])
{
	json_t *object = json_loadb(data, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
	const char *why = json_is_object(object) ? NULL : "not a JSON object";
	char *to = data;

	/* A decoded string is never longer than its text: the fields go where the text was. */
	for (unsigned i = 0; i < count && !why; i++) {
		to = take_member(json_object_get(object, names[i]), to, &fields[i]);
		if (!to)
			why = i ? "a \"value\" that is a string or {\"base64\":...} is missing"
				: "a \"key\" that is a string or {\"base64\":...} is missing";
	}
	json_decref(object);
	return why;
}

/* ---- writing ---- */

void json_put_name(struct out *out, const char *name, bool first)
{
	out_text(out, first ? "\"" : ",\"");
	out_text(out, name);
	out_text(out, "\":");
}

static int put_piece(const char *piece, size_t size, void *out)
{
	out_put(out, piece, size);
	return 0;
}

void json_put_bytes(struct out *out, const char *data, size_t len)
{
	json_t *string = record_is_utf8(data, len) ? json_stringn_nocheck(data, len) : NULL;

	if (string) {
		json_dump_callback(string, put_piece, out, JSON_ENCODE_ANY | JSON_COMPACT);
		json_decref(string);
		return;
	}
	out_text(out, "{\"base64\":\"");
	put_base64(out, (const unsigned char *)data, len);
	out_text(out, "\"}");
}
