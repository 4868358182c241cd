/* SPDX-License-Identifier: MIT */
#include <shard/slot.h>
