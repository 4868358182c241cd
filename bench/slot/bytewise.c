/* SPDX-License-Identifier: MIT */
#include "bytewise.h"

#define POLYNOMIAL 0x1021

static uint16_t table[256];

void bytewise_init(void)
{
	for (unsigned byte = 0; byte < 256; byte++) {
		uint16_t crc = (uint16_t)(byte << 8);

		for (int bit = 0; bit < 8; bit++)
			crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ POLYNOMIAL : crc << 1);
		table[byte] = crc;
	}
}

static uint16_t crc16(const char *data, size_t len)
{
	uint16_t crc = 0;

	for (size_t i = 0; i < len; i++)
		crc = (uint16_t)(crc << 8) ^ table[(uint8_t)(crc >> 8) ^ (uint8_t)data[i]];
	return crc;
}

unsigned bytewise_slot(const char *key, size_t len)
{
	size_t open, close;

	for (open = 0; open < len && key[open] != '{'; open++)
		;
	if (open == len)
		return crc16(key, len) % 16384;
	for (close = open + 1; close < len && key[close] != '}'; close++)
		;
	if (close == len || close == open + 1)
		return crc16(key, len) % 16384;
	return crc16(key + open + 1, close - open - 1) % 16384;
}
