/* SPDX-License-Identifier: MIT
 *
 * sup_zygote: the process that a host starts once, and that forks a supervisor for each connection it is sent. It does nothing
 * else and holds nothing; it ends with its host, and its supervisors do not end with it.
 */
#ifndef SUP_ZYGOTE_H
#define SUP_ZYGOTE_H

#include <stdbool.h>

/* Whether the socket that we were started with asks for a zygote. */
bool sup_zygote_asked(int control);

/*
 * Forks for as long as the host lives. true: we are a new supervisor, and `control` is its connection; false: the host has gone,
 * or needs us no more.
 */
bool sup_zygote_serve(int control);

#endif
