/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes libtroupe_redis.so a provider module: its one exported name. Not in the object library
 * that tests link, for each module has this name.
 *
 * Threads: none.
 */
#include "providers/redis/redis.h"

TROUPE_PROVIDER("redis", tp_redis_open);
