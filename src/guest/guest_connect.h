/* SPDX-License-Identifier: MIT
 *
 * guest_connect: a server inside, reached from outside: our stdin and stdout joined to a TCP connection of the guest's loopback.
 */
#ifndef GUEST_CONNECT_H
#define GUEST_CONNECT_H

/*
 * Connects to 127.0.0.1:port, or ::1 where nobody answers there, trying again for so many milliseconds while it is refused; then
 * says "+" and carries bytes both ways, each to its own end. 0: both have ended; 1: nobody answered; 2: the connection broke.
 */
int guest_connect(unsigned port, unsigned milliseconds);

#endif
