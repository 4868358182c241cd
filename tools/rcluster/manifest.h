/* SPDX-License-Identifier: MIT */
/*
 * What a backup holds: DIR/manifest.json, written last, so that a directory
 * without one is no backup.
 */
#ifndef RCLUSTER_MANIFEST_H
#define RCLUSTER_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#define MANIFEST_FILE "manifest.json"
#define MANIFEST_VERSION 1

/* Writes it whole or not at all. NODES is an array, which it takes over. False: an error was reported. */
bool manifest_write(const char *dir, json_t *nodes);

/*
 * Reads it and checks that every file is there, as long as it was and with its
 * sha256. Returns the nodes' array, for json_decref(); NULL: what is wrong was
 * reported. Each node has the strings "id", "address", "slots", "file",
 * "sha256" and the integers "bytes" and "keys".
 */
json_t *manifest_read(const char *dir);

#endif
