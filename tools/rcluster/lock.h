/* SPDX-License-Identifier: MIT */
/*
 * One rcluster at a time changes a directory: DIR/lock, held with flock().
 */
#ifndef RCLUSTER_LOCK_H
#define RCLUSTER_LOCK_H

/*
 * Takes the lock, waiting for another holder up to WAIT_MS.
 * Returns a descriptor for lock_release(), or -1: an error was printed.
 */
int lock_take(const char *dir, unsigned wait_ms);
void lock_release(int lock); /* -1 is fine */

/* Removes the lock's file; before lock_release(). */
void lock_remove(const char *dir);

#endif
