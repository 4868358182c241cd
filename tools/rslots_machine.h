/* SPDX-License-Identifier: MIT */
/*
 * Which servers of two pools are the same machine: those with the same address, whatever their names.
 */
#ifndef RSLOTS_MACHINE_H
#define RSLOTS_MACHINE_H

#include <shard/pool.h>

/* Out: a number for each server of A and of B; the same one for the same address. */
void machines_number(const shard_pool *a, const shard_pool *b, unsigned *number_a, unsigned *number_b);

#endif
