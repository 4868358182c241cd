/* SPDX-License-Identifier: MIT */
#include <shard/error.h>

static const char *const phrases[SHARD_ERROR_COUNT] = {
	[SHARD_OK] = "done",
	[SHARD_ENOMEM] = "out of memory",
	[SHARD_EINVAL] = "invalid argument",
	[SHARD_EURI] = "invalid URI",
	[SHARD_EPOOL] = "the file of the pool is wrong",
	[SHARD_EUNSUPPORTED] = "not supported on a shared connection",
	[SHARD_ECROSSSLOT] = "the keys are in several slots, or on several servers",
	[SHARD_EFORK] = "the client was made before a fork",
	[SHARD_ECANCELED] = "cancelled",
	[SHARD_ERESOLVE] = "the host name cannot be resolved",
	[SHARD_ECONNECT] = "no connection",
	[SHARD_EAUTH] = "access refused",
	[SHARD_ENOROUTE] = "no node serves the slot",
	[SHARD_ETIMEDOUT] = "timed out",
	[SHARD_EUNKNOWN] = "outcome unknown: sent, and no answer came",
	[SHARD_ESERVER] = "the server answered with an error",
	[SHARD_EPROTOCOL] = "not a RESP2 reply",
};

const char *shard_strerror(int error)
{
	if (error < 0 || error >= SHARD_ERROR_COUNT || !phrases[error])
		return "unknown error";
	return phrases[error];
}
