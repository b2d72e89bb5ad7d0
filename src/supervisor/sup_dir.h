/* SPDX-License-Identifier: MIT
 *
 * sup_dir: the run's directory. It is made under another name and renamed once it is locked, so that whoever sweeps
 * never sees one that looks dead. The lock is held by a descriptor: it ends with the supervisor, however that ends.
 * What is in there is reached by descriptor; the path is for mounts, sockets and runsc.
 */
#ifndef SUP_DIR_H
#define SUP_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "sup_error.h"
#include "sup_request.h"

struct sup_dir {
	char path[256];		/* state_dir/run-ID; empty: none */
	int fd;			/* of it, -1: none */
	int lock;		/* -1: not ours */
};

#define SUP_DIR_NONE ((struct sup_dir){ .fd = -1, .lock = -1 })

/* Makes RUN with b and r (0700); RUN itself is 0711 as root, for a mapped gofer must pass it. */
int sup_dir_make(struct sup_dir *d, const struct sup_request *r, struct sup_error *e);
/* In a new mount namespace: reaches it by its mounts from now on. -1: it is not there, or another. */
int sup_dir_reopen(struct sup_dir *d);
/* Removes the tree, the lock last, never following a link nor entering another file system; and releases the lock. */
void sup_dir_remove(struct sup_dir *d);

/* Opens another's RUN, which stays that one's. -1: it is not there. */
int sup_dir_open(struct sup_dir *d, const char *path);
/* Whether its supervisor lives. */
bool sup_dir_held(const struct sup_dir *d);
void sup_dir_close(struct sup_dir *d);
/* Removes what runsc wrote into another's RUN while that was being removed; does nothing while it has its lock. */
void sup_dir_relict(const char *path);
/* Takes over state_dir/NAME where it is a RUN and its supervisor is dead: to be removed. -1: it is none, or lives. */
int sup_dir_adopt(struct sup_dir *d, const char *state_dir, const char *name);

/* RUN/name into out. */
const char *sup_dir_at(const struct sup_dir *d, const char *name, char *out, size_t size);
/* Writes a whole new file below RUN. */
int sup_dir_write(const struct sup_dir *d, const char *name, const void *bytes, size_t n);
/* Reads at most size-1 bytes of RUN/name; the length, 0 when absent. Ends with NUL. */
size_t sup_dir_read(const struct sup_dir *d, const char *name, char *out, size_t size);

#endif
