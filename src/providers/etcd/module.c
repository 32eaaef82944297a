/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes libtroupe_etcd.so a provider module, of membership only: its one exported name. Not in
 * the object library that tests link, for each module has this name.
 *
 * Threads: none.
 */
#include "providers/etcd/etcd.h"

TROUPE_MEMBERSHIP("etcd", tp_etcd_member_open);
