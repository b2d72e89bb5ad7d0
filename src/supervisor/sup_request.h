/* SPDX-License-Identifier: MIT
 *
 * sup_request: what a host asks for, read from the R frame. Strings point into the payload, which the request owns.
 * The keys, the kinds of run that may have each and those that must are one table (sup_request.c).
 */
#ifndef SUP_REQUEST_H
#define SUP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sup_error.h"

/* The kinds of run, by the request's first key, `mode`. What each does is in sup_kind.h. */
enum sup_mode {
	SUP_MODE_RUN,
	SUP_MODE_BOX,		/* a run whose first process is our helper: others' programs run in it */
	SUP_MODE_EXEC,		/* a program in a box, over the sentry's control socket */
	SUP_MODE_COMMAND,	/* the same by `runsc exec` */
	SUP_MODE_CALL,		/* one call of the sentry's control protocol, answered on stdout */
	SUP_MODE_TOOL,		/* runsc on the host, as for its version */
	SUP_MODE_SWEEP,		/* removes what the dead left */
	SUP_MODES
};

struct sup_list {
	const char **item;
	size_t n, room;
};

struct sup_request {
	char *payload;
	enum sup_mode mode;
	const char *id, *state_dir, *runsc, *platform, *rootfs, *rootfs_path, *cwd, *cgroup_parent, *disk_by;
	const char *bundle;		/* whose directory a rootfs_path and sources are relative to, that do not begin with / */
	const char *container;		/* runsc's name of the sandbox; the id where none is given */
	const char *net;		/* sandbox-net, for a network of the guest's own; absent: none */
	const char *net_guest, *net_edge, *net_mac, *net_resolver;
	const char *hold;		/* the directory of the image that the root is of: it is in use as long as we live */
	uint32_t ours;			/* processes of ours beside a program: what has its terminal; a helper that a box's always have is not told */
	const char *guest;		/* our helper on the host, which is the first process of a box, or of a run */
	const char *word;		/* hexadecimal: what the helper tells with that it becomes a run's program (sbx_word.h) */
	const char *box;		/* in a box: its directory */
	const char *first;		/* exec: a program to run ahead of the one that is to come: ExecArgs as JSON */
	const char *call;		/* call: the method, or "stats" */
	struct sup_list args, binds, symlinks, etc, dirs, files;
	struct sup_list etc_hide;	/* of the host's /etc, relative to it: what is not shown; none: only `etc` and `binds` of it are */
	struct sup_list etc_text;	/* "NAME CONTENT", of the guest's own /etc */
	struct sup_list sources, places;	/* of binds, one for one: "ro PATH" or "rw PATH" of the host, and where in the guest */
	struct sup_list cows, cow_places;	/* of directories under a private layer, one for one: "SIZE PATH" of the host, 0 for none of its own */
	struct sup_list volumes;	/* "ro SIZE PATH" or "rw SIZE PATH": what is held for this sandbox, DIR/NAME; bytes, 0: as it is (sup_volume.h) */
	bool rootless, host_network, work, tmp_host, trace, nodev, best_effort;
	bool inside;			/* /work and /tmp are part of the root, not mounts of the guest's */
	bool writable;			/* the guest may write to its root */
	bool own_root;			/* a rootfs that is root's is to be the guest's root's, where that can be */
	bool inodes_held;		/* `inodes` was asked for: the store's are counted from where the guest begins */
	bool store_root;		/* and what it writes there counts as disk: the upper layer lies in the store */
	bool output_tail, output_kill, stderr_to_stdout, stdin_open;
	bool whole_box;			/* in a box: the only program that it will ever run: what the box used is its own */
	bool cpus_later;		/* a box: the quota holds from its lease on, not from its start */
	bool direct;			/* exec: the program itself is started, with no helper that reports */
	bool tell_space;		/* the trace tells of calls that find no room: all of that is `disk` */
	bool prepared;			/* exec: it waits for its lease, with a pipe for its code and one for its own word */
	uint64_t code;			/* of a lease: so many bytes of what is fed are code, and go there */
	bool kept;			/* in a box: it goes on without a host (sup_keep.h) */
	bool alone;			/* in a box: the helper becomes the program; else it stays its parent */
	bool reach;			/* run: others may be started in it beside its program, as in a box */
	bool await;			/* in a box: it may still boot; its pid is not known yet */
	bool abstract;			/* the sentry's control socket is an abstract one */
	bool net_ipv6;
	uint32_t uid, gid, map_base, box_pid, net_bits;
	/* limits; 0 = off */
	double timeout, boot_timeout, cpu_time, cpus, idle_timeout;
	double boot_delay;		/* seconds to leave the machine to others before anything is made */
	uint64_t memory, pids, output, disk, inodes, file_size, open_files, stack, address_space;
};

/*
 * Reads a payload, which is taken over in every case. -1 and the error where a key is unknown, is none of this kind of run, comes
 * twice and is no list, or is missing, and where a value is no such thing. No value is part of a message.
 */
int sup_request_parse(struct sup_request *r, char *payload, size_t n, struct sup_error *e);

/* Takes over what a lease may change from another list of items. -1: e is set, and nothing that points into it was kept. */
int sup_request_update(struct sup_request *r, const char *payload, size_t n, struct sup_error *e);
void sup_request_destroy(struct sup_request *r);

#endif
