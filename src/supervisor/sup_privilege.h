/* SPDX-License-Identifier: MIT
 *
 * sup_privilege: what a supervisor may still do once it is set up: what its kind needs until its end, and no more.
 */
#ifndef SUP_PRIVILEGE_H
#define SUP_PRIVILEGE_H

enum sup_privilege {
	SUP_PRIVILEGE_ALL,	/* what it was started with */
	SUP_PRIVILEGE_ZYGOTE,	/* forks supervisors, and uses nothing itself */
	SUP_PRIVILEGE_RUN,	/* has started runsc, which may be other users': kills, measures and removes */
	SUP_PRIVILEGE_TOOL,	/* starts programs of runsc's, which get by their execve what they need */
	SUP_PRIVILEGE_COMMAND,	/* the same, of a box, for a program in it */
	SUP_PRIVILEGE_EXEC,	/* speaks over a socket that it has */
};

/*
 * Keeps the capabilities of a kind. As root, for as a user all there are are the user namespace's. An exec's supervisor can gain none by
 * execve any more, and has a filter that refuses new programs, processes and namespaces. What cannot be dropped stays.
 */
void sup_privilege_keep(enum sup_privilege kind);

/* Before runsc is started in a user namespace of ours, where no program is to gain anything by its file's bits. */
void sup_privilege_rootless(void);

/* For who was forked by a zygote: all that there was. */
void sup_privilege_restore(void);

#endif
