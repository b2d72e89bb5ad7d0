/* SPDX-License-Identifier: MIT
 *
 * sup_dir: the run's directory. It is made under another name and renamed once it is locked, so that whoever sweeps
 * never sees one that looks dead. The lock is held by a descriptor: it ends with the supervisor, however that ends.
 */
#ifndef SUP_DIR_H
#define SUP_DIR_H

#include <stdbool.h>
#include <stddef.h>

#include "sup_error.h"
#include "sup_request.h"

struct sup_dir {
	char path[256];		/* state_dir/run-ID; empty: none made */
	int lock;
};

/* Makes RUN with b and r (0700); RUN itself is 0711 as root, for a mapped gofer must pass it. */
int sup_dir_make(struct sup_dir *d, const struct sup_request *r, struct sup_error *e);
/* Removes the tree, the lock last, never following a link nor entering another file system; and releases the lock. */
void sup_dir_remove(struct sup_dir *d);
/* Removes what came into another's RUN while that was being removed; does nothing while it has its lock. */
void sup_dir_relict(const char *path);
/* RUN/name into out. */
const char *sup_dir_at(const struct sup_dir *d, const char *name, char *out, size_t size);
/* Writes a whole new file below RUN. */
int sup_dir_write(const struct sup_dir *d, const char *name, const void *bytes, size_t n);
/* Reads at most size-1 bytes of RUN/name; the length, 0 when absent. Ends with NUL. */
size_t sup_dir_read(const struct sup_dir *d, const char *name, char *out, size_t size);

/* Removes what dead supervisors left in state_dir; the number of runs, or -1. */
int sup_dir_sweep(const char *state_dir, struct sup_error *e);

#endif
