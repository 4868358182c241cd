/* SPDX-License-Identifier: MIT */
/*
 * What users may set in the configuration of the nodes of a local cluster.
 */
#ifndef RCLUSTER_CONF_H
#define RCLUSTER_CONF_H

/*
 * The line "KEY VALUE" of --conf's argument "KEY=VALUE"; malloc'ed. What no
 * local cluster can have is a usage error.
 */
char *conf_line(const char *arg);

#endif
