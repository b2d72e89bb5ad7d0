/* SPDX-License-Identifier: MIT
 *
 * sbx_fd: a descriptor of ours in a process that is not: a host may close all that it did not open (a daemon), fork, and give the
 * number to a file of its own. Known by number and inode, it is looked at before each use, and nothing of another's is touched.
 */
#ifndef SBX_FD_H
#define SBX_FD_H

#include <stdbool.h>
#include <sys/types.h>

struct sbx_fd {
	int number;		/* -1: none */
	dev_t dev;
	ino_t ino;
	mode_t type;
};

#define SBX_FD_NONE ((struct sbx_fd){ .number = -1 })

/*
 * Takes `fd`, moving it above the standard streams: a host may run with these closed, and what it prints must not go there. 0; or -1
 * and errno, and then it is closed. Of an fd of -1 errno stays what it was. Anonymous inodes (epoll, eventfd, pidfd) are all one and
 * cannot be told apart: for sockets, pipes and files.
 */
int sbx_fd_take(struct sbx_fd *f, int fd);

/* Its number, for this use; -1 and EBADF where there is none, or it was taken away. */
int sbx_fd_get(const struct sbx_fd *f);

/* Closes it if it is still ours; once more does no harm. */
void sbx_fd_close(struct sbx_fd *f);

/*
 * Makes all descriptors from `first` on close-on-exec, or closes them. By close_range(2), and where that is refused (an old kernel, a
 * seccomp filter) one by one. Only system calls, for use between vfork and exec.
 */
void sbx_fd_close_from(unsigned first, bool on_exec);

#endif
