/* SPDX-License-Identifier: MIT
 *
 * sup_frame: what comes from the host, by the phase in which it may come.
 */
#ifndef SUP_FRAME_H
#define SUP_FRAME_H

#include "sup_run.h"

/* Takes one frame; one that is out of turn is an error. */
void sup_frame_take(struct sup_run *s, uint8_t type, const unsigned char *payload, uint32_t n);
/* The host wants a signal sent; 0 or SIGKILL: the end of all. */
void sup_frame_signal(struct sup_run *s, int signo);

#endif
