/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flags of trouped that are no options of its node: the daemon reads its command line by this
 * list, and its help, its manual page and the shell's completion are made of it.
 */
#ifndef CMD_SHARED_DAEMON_FLAGS_H
#define CMD_SHARED_DAEMON_FLAGS_H

/* X(flag, "VALUE" or NULL, "meaning") */
#define DAEMON_FLAG_MAP(X)                                                                         \
    X("config", "FILE", "read options from a YAML file; also $TROUPE_CONFIG")                      \
    X("load", "FILE", "load a module of actor types; may be given again")                          \
    X("socket", "PATH", "where the admin socket is to be; also $TROUPE_SOCKET")                    \
    X("remote", "HOST:PORT", "let troupe --connect call; also $TROUPE_REMOTE")                     \
    X("remote-token", "FILE", "the token that it shows is in there; also $TROUPE_REMOTE_TOKEN")    \
    X("set", "NAME=VALUE", "set an option of the node, or of a type, as --NAME VALUE does")        \
    X("check", NULL, "load the modules, say whether all is as it has to be, and end")              \
    X("man", NULL, "print the manual page, as troff")                                              \
    X("help", NULL, "print this")                                                                  \
    X("version", NULL, "print the version")

#endif
