/* SPDX-License-Identifier: MIT
 *
 * sup_request: what a host asks for, read from the R frame. Strings point into the payload, which the request owns.
 */
#ifndef SUP_REQUEST_H
#define SUP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sup_error.h"

enum sup_mode { SUP_MODE_RUN, SUP_MODE_TOOL, SUP_MODE_SWEEP, SUP_MODE_EXEC };

#define SUP_LIST_MAX 256

struct sup_list {
	const char *item[SUP_LIST_MAX];
	size_t n;
};

struct sup_request {
	char *payload;
	enum sup_mode mode;
	const char *id, *state_dir, *runsc, *platform, *rootfs, *rootfs_path, *cwd, *cgroup_parent, *disk_by;
	const char *bundle;		/* whose directory a rootfs_path and sources are relative to, that do not begin with / */
	const char *container;		/* runsc's name of the sandbox; the id where none is given */
	const char *guest;		/* a box: our helper on the host, which is its first process */
	const char *box;		/* exec: the box's directory */
	const char *first;		/* exec: a program to run ahead of the one that is to come: ExecArgs as JSON */
	const char *call;		/* exec: not a program but one call of the sentry's control protocol, answered on stdout */
	struct sup_list args, binds, symlinks, etc, dirs, files;
	struct sup_list sources, places;	/* of binds, one for one: "ro PATH" or "rw PATH" of the host, and where in the guest */
	bool rootless, host_network, work, tmp_host, trace, nodev, best_effort;
	bool inside;			/* /work and /tmp are part of the root, not mounts of the guest's */
	bool writable;			/* the guest may write to its root */
	bool store_root;		/* and what it writes there counts as disk: the upper layer lies in the store */
	bool output_tail, output_kill, stderr_to_stdout, stdin_open;
	bool whole_box;			/* exec: the only program that this box will ever run: what the box used is its own */
	bool cli;			/* exec: by `runsc exec`, not over the control socket */
	bool cpus_later;		/* a box: the quota holds from its lease on, not from its start */
	bool direct;			/* exec: the program itself is started, with no helper that reports */
	bool alone;			/* exec: the helper becomes the program; else it stays its parent */
	bool await;			/* exec: the box may still boot; its pid is not known yet */
	bool abstract;			/* the sentry's control socket is an abstract one */
	uint32_t uid, gid, map_base, box_pid;
	/* limits; 0 = off */
	double timeout, boot_timeout, cpu_time, cpus, idle_timeout;
	double boot_delay;		/* seconds to leave the machine to others before anything is made */
	uint64_t memory, pids, output, disk, file_size, open_files, stack, address_space;
};

/*
 * Reads a payload, which is taken over in every case. -1 and the error where a key is unknown, a value is no such thing,
 * or what a mode needs is absent.
 */
int sup_request_parse(struct sup_request *r, char *payload, size_t n, struct sup_error *e);

/* Takes over limits from another list of items; nothing that would have to point into it. -1: e is set. */
int sup_request_update(struct sup_request *r, const char *payload, size_t n, struct sup_error *e);
void sup_request_destroy(struct sup_request *r);

#endif
