/* SPDX-License-Identifier: MIT */
#ifndef RPROXY_COMMAND_H
#define RPROXY_COMMAND_H

enum command_rule {
	RULE_KEYS,       /* by its keys, as the library finds them */
	RULE_FIRST_KEY,  /* the same; nutcracker: by its first argument, whatever the others are */
	RULE_SPLIT,      /* a server for each key */
	RULE_PAIRS,      /* the same, each key with its value */
	RULE_LOCAL,      /* rproxy's own */
	RULE_BEFORE_AUTH /* the same; allowed to who has said no password */
};

#endif
