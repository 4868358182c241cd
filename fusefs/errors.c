/* SPDX-License-Identifier: MIT */
#include "errors.h"

#include <errno.h>
#include <string.h>

static const int code_errno[SHARD_ERROR_COUNT] = {
	[SHARD_OK] = 0,
	[SHARD_ENOMEM] = ENOMEM,
	[SHARD_EINVAL] = EINVAL,
	[SHARD_EURI] = EINVAL,
	[SHARD_EPOOL] = EINVAL,
	[SHARD_EUNSUPPORTED] = EOPNOTSUPP,
	[SHARD_ECROSSSLOT] = EXDEV,
	[SHARD_EFORK] = EIO,
	[SHARD_ECANCELED] = EINTR,
	[SHARD_ERESOLVE] = EHOSTUNREACH,
	[SHARD_ECONNECT] = EHOSTUNREACH,
	[SHARD_EAUTH] = EACCES,
	[SHARD_ENOROUTE] = EHOSTUNREACH,
	[SHARD_ETIMEDOUT] = ETIMEDOUT,
	[SHARD_EUNKNOWN] = ETIMEDOUT,
	[SHARD_ESERVER] = EIO,
	[SHARD_EPROTOCOL] = EIO,
};

/* By the start of the server's words, the first that fits. */
static const struct {
	const char *start;
	int error;
} reply_errno[] = {
	{"OOM ", ENOSPC},
	{"ERR string exceeds maximum allowed size", EFBIG},
	{"ERR Protocol error: invalid bulk length", EFBIG}, /* proto-max-bulk-len */
	{"ERR ACL failure in script", EACCES},
	{"ERR The user executing the script can't run this command", EACCES},
	{"ERR no such key", ENOENT},
	{"ERR value is not a valid float", EINVAL},
	{"ERR resulting score is not a number", EINVAL},
	{"ERR index out of range", EINVAL},
	{"READONLY ", EROFS},
	{"NOAUTH ", EACCES},
	{"WRONGPASS ", EACCES},
	{"NOPERM ", EACCES},
	{"MISCONF ", EIO},
	{"LOADING ", ETIMEDOUT},
	{"TRYAGAIN ", ETIMEDOUT},
	{"MASTERDOWN ", ETIMEDOUT},
	{"BUSY ", ETIMEDOUT},
	{"BUSYKEY ", EEXIST},
	{"CLUSTERDOWN ", EHOSTUNREACH},
	{"WRONGTYPE ", ESTALE},
};

int errors_of_code(int error)
{
	return error >= 0 && error < SHARD_ERROR_COUNT ? code_errno[error] : EIO;
}

/* Before Redis 7 a script's error is "ERR Error running script (...): @user_script:1: -OOM ..." */
static const char *inner_words(const char *words)
{
	static const char script[] = "ERR Error running script";
	const char *inner = strncmp(words, script, sizeof(script) - 1) ? NULL : strstr(words, ": -");

	return inner ? inner + 3 : words;
}

int errors_of_words(const char *words)
{
	words = inner_words(words);
	for (size_t i = 0; i < sizeof(reply_errno) / sizeof(*reply_errno); i++)
		if (strncmp(words, reply_errno[i].start, strlen(reply_errno[i].start)) == 0)
			return reply_errno[i].error;
	return EIO;
}

int errors_of_reply(const shard_reply *reply)
{
	return errors_of_words(reply->str);
}

int errors_of_result(const shard_result *result)
{
	if (result->error == SHARD_ESERVER && result->reply)
		return errors_of_reply(result->reply);
	return errors_of_code(result->error);
}
