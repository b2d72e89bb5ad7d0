/* SPDX-License-Identifier: MIT
 *
 * sup_host: the connection to the host: frames in, frames out. Output is queued in one bounded buffer; who produces it
 * asks for room first. The descriptor is owned from init to destroy.
 *
 * A host whose connections are some request's (nginx) has a line to us as well, over which any may kill: each byte is a signal's
 * number, 0 the end of all. That it ends says nothing.
 */
#ifndef SUP_HOST_H
#define SUP_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sbx_wire.h"

#define SUP_HOST_OUT (512u * 1024u)
/* What the pump leaves free, so that a result and credits always fit. */
#define SUP_HOST_RESERVE (128u * 1024u)

struct sup_host {
	int fd;			/* -1: gone */
	int line;		/* -1: none */
	int pidfd;		/* of the host's process, -1: unknown */
	unsigned char *in;
	size_t in_len, in_cap;
	unsigned char *out;
	size_t out_off, out_len;
	double later;		/* until when what is queued may wait for more; 0: it goes with the next flush */
};

/* A pidfd of the process that made the connection, the caller's; -1: unknown. */
int sup_host_pidfd(int fd);

int sup_host_init(struct sup_host *h, int fd, int line);
void sup_host_destroy(struct sup_host *h);

/* The next signal that came over the line; -1: none now. */
int sup_host_signal(struct sup_host *h);

/* Reads what has come, once. 1: some bytes; 0: nothing now; -1: the host is gone. */
int sup_host_recv(struct sup_host *h);

/*
 * The next whole frame: 1, and *payload is valid until sup_host_drop, which must follow; 0: none yet; -1: the bytes are
 * no frame.
 */
int sup_host_next(struct sup_host *h, uint8_t *type, const unsigned char **payload, uint32_t *n);

/* Done with the frame that next or wait gave. */
void sup_host_drop(struct sup_host *h);

/* Waits for the next frame, for as long as the host lives. 1 or -1. */
int sup_host_wait(struct sup_host *h, uint8_t *type, const unsigned char **payload, uint32_t *n);

/* Where up to SBX_WIRE_DATA_MAX bytes of a data frame may be put, or NULL while there is no room. */
unsigned char *sup_host_room(struct sup_host *h);
/* Makes a frame of the n bytes that were put there. */
void sup_host_commit(struct sup_host *h, uint8_t type, uint32_t n);

/* Queues a small frame; false where not even the reserve has room. */
bool sup_host_put(struct sup_host *h, uint8_t type, const void *payload, uint32_t n);

/*
 * The same of one that nobody waits for: it goes with the next that is put, or after 4 ms. A host that is woken once for all that it is
 * told of a short program spends half the time.
 */
bool sup_host_put_later(struct sup_host *h, uint8_t type, const void *payload, uint32_t n);

/* Whether something is queued that is to be sent now. */
bool sup_host_sends(const struct sup_host *h);

/* Sends what can be sent now. -1: the host is gone. */
int sup_host_flush(struct sup_host *h);

/* For a program that is over: the host's questions are answered, and all else that it says is dropped. NULL: there is none. */
void sup_host_answer(struct sup_host *h);

/* Lets the time pass, or until the host is gone: then -1. What comes meanwhile is left. */
int sup_host_sleep(const struct sup_host *h, double seconds);

/* Waits until the host has taken all that is queued. -1: it is gone. */
int sup_host_drain(struct sup_host *h);

#endif
