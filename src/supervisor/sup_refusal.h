/* SPDX-License-Identifier: MIT
 *
 * sup_refusal: why the kernel would refuse what a sandbox is made of, in the place that we are in: a container's filter, capabilities that
 * are missing, AppArmor, settings. Read when something was refused, never before.
 */
#ifndef SUP_REFUSAL_H
#define SUP_REFUSAL_H

#include <stddef.h>

#define SUP_REFUSAL_MAX 400

enum sup_refused {
	SUP_REFUSED_NAMESPACE,	/* unshare */
	SUP_REFUSED_MAP,	/* /proc/self/uid_map and its like */
	SUP_REFUSED_MAP_ROOT,	/* the same where uid 0 is mapped */
	SUP_REFUSED_MOUNT,	/* mount(2) and its successors */
};

/*
 * The likeliest reason and its remedy as " (words)", or an empty string for another errno than EPERM and EACCES, and where none is
 * known. `rootless`: it was tried in a user namespace. Returns buf.
 */
const char *sup_refusal(enum sup_refused what, int err, int rootless, char buf[SUP_REFUSAL_MAX]);

/* The same for what runsc said when it could not boot. */
const char *sup_refusal_of_runsc(const char *said, char buf[SUP_REFUSAL_MAX]);

#endif
