/* SPDX-License-Identifier: MIT
 *
 * sup_pump: the guest's stdin, stdout and stderr.
 *
 * Below the output limit the guest is read only while the host reads (backpressure, not memory); beyond it the bytes are
 * counted and dropped. With output_keep = "tail" the last bytes wait in a ring until the end. Pipes, never sockets:
 * /dev/stdout cannot be opened on a socket.
 */
#ifndef SUP_PUMP_H
#define SUP_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sup_host.h"
#include "sup_request.h"

struct sup_stream {
	int fd;			/* our end, -1: ended */
	uint8_t type;
	uint64_t bytes;		/* what the guest wrote */
	uint64_t limit;		/* 0: none */
	bool tail, truncated;
	unsigned char *ring;	/* tail: limit bytes */
	uint64_t sent;		/* tail, at the end: how much of the ring has been sent */
	int failed;		/* errno of a read that was refused: something that the guest wrote is lost */
	bool ending;		/* only `left` bytes of what is in the pipe are the guest's */
	uint64_t left;
};

struct sup_pump {
	struct sup_stream out[2];
	int in_fd;		/* our end of stdin, -1: closed */
	unsigned char *in;	/* SBX_WIRE_WINDOW bytes */
	size_t in_len, in_off, credit;
	bool in_end;
	int first_fd;		/* where the first first_left bytes of what is fed go, -1: nowhere else than to stdin */
	uint64_t first_left;
};

/* Makes the pipes; child[0..2] are the guest's ends, the caller closes them. */
int sup_pump_init(struct sup_pump *p, const struct sup_request *r, int child[3]);
/* What was written until now was not the program's: counts from here, up to this request's limit. -1: no memory for the tail. */
int sup_pump_restart(struct sup_pump *p, const struct sup_request *r);
void sup_pump_destroy(struct sup_pump *p);

/* The next bytes that are fed, so many, go to fd, which is taken over and closed after them; -1: nothing is changed. */
void sup_pump_first(struct sup_pump *p, int fd, uint64_t bytes);
/* Where what has been fed goes now, -1: nowhere. */
int sup_pump_in(const struct sup_pump *p);

/* Takes stdin bytes from the host. -1: more than the window. */
int sup_pump_feed(struct sup_pump *p, const unsigned char *bytes, size_t n);
void sup_pump_feed_end(struct sup_pump *p);
/* Writes what the guest takes and gives the host credit for it. */
void sup_pump_stdin(struct sup_pump *p, struct sup_host *h);

/* Whether the stream can be read now: somebody has room for it. */
bool sup_pump_wants(const struct sup_stream *s, struct sup_host *h);
/* Reads one piece. 1: some bytes; 0: nothing now or no room; -1: the stream has ended, which the host is told by an empty piece. */
int sup_pump_read(struct sup_stream *s, struct sup_host *h);
/* The guest has ended: what is in the pipes now is read, and nothing that is written later. Once more does nothing. */
void sup_pump_end(struct sup_pump *p);
/* Without a guest: these bytes are what stdout gave. -1: no memory. */
int sup_pump_answer(struct sup_pump *p, const void *bytes, size_t n);
/* After the guest's end: sends of the tail what fits; true when all of it went. */
bool sup_pump_tail(struct sup_stream *s, struct sup_host *h);

#endif
