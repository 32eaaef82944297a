/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes libtroupe_redis.so a provider module, of storage and of membership: its two exported
 * names. Not in the object library that tests link, for each module has these names.
 *
 * Threads: none.
 */
#include "providers/redis/member.h"
#include "providers/redis/redis.h"

TROUPE_PROVIDER("redis", tp_redis_open);
TROUPE_MEMBERSHIP("redis", tp_redis_member_open);
