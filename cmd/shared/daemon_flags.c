/* SPDX-License-Identifier: Apache-2.0 */
/* The list of flags: see daemon_flags.h, also for threads. */
#include "shared/daemon_flags.h"

#include <stddef.h>

const daemon_flag daemon_flags[] = {
    {"config", "FILE", "read options from a YAML file; also $TROUPE_CONFIG"},
    {"load", "FILE", "load a module of actor types; may be given again"},
    {"socket", "PATH", "where the admin socket is to be; also $TROUPE_SOCKET"},
    {"remote", "HOST:PORT", "let troupe --connect call; also $TROUPE_REMOTE"},
    {"remote-token", "FILE", "the token that it shows is in there; also $TROUPE_REMOTE_TOKEN"},
    {"set", "NAME=VALUE", "set an option of the node, or of a type, as --NAME VALUE does"},
    {"check", NULL, "load the modules, say whether all is as it has to be, and end"},
    {"man", NULL, "print the manual page, as troff"},
    {"help", NULL, "print this"},
    {"version", NULL, "print the version"},
};
