/* SPDX-License-Identifier: MIT
 *
 * lua_conn: the connection to one supervisor as a userdata: frames out, frames in, never waiting. With a descriptor of its
 * own, or without (core.frames), for hosts whose sockets carry the bytes.
 */
#ifndef LUA_CONN_H
#define LUA_CONN_H

#include "compat.h"

struct conn;

/* Pushes a connection that is not open yet. */
struct conn *lua_conn_new(lua_State *L);
/* Opens it: the other end, close-on-exec and the caller's, or -1 and errno. */
int lua_conn_open(struct conn *c);
void lua_conn_shut(struct conn *c);

#endif
