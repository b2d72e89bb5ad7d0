/* SPDX-License-Identifier: MIT */
#include "sup_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sbx_io.h"
#include "sup_path.h"

#ifndef MOUNT_ATTR_RDONLY
#define MOUNT_ATTR_RDONLY 0x1
#define MOUNT_ATTR_NOSUID 0x2
#define MOUNT_ATTR_NODEV 0x4
struct mount_attr {
	uint64_t attr_set, attr_clr, propagation, userns_fd;
};
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

/* The composed root, its copies of /etc files and the mount points: kilobytes. */
#define ROOT_SIZE "64m"

static int write_proc(const char *path, const char *text)
{
	return sbx_io_write_at(AT_FDCWD, path, 0, text, strlen(text));
}

static int map_user(uid_t uid, gid_t gid)
{
	char map[64];

	(void)snprintf(map, sizeof(map), "0 %u 1", (unsigned)uid);
	if (write_proc("/proc/self/uid_map", map) < 0)
		return -1;
	(void)snprintf(map, sizeof(map), "0 %u 1", (unsigned)gid);
	return write_proc("/proc/self/setgroups", "deny") < 0 ? -1 : write_proc("/proc/self/gid_map", map);
}

int sup_mount_unshare(const struct sup_request *r, struct sup_error *e)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int flags = CLONE_NEWNS | (r->host_network ? 0 : CLONE_NEWNET) | (r->rootless ? CLONE_NEWUSER : 0);

	if (unshare(flags) < 0)
		return sup_error(e, "not_supported",
				 "the kernel refuses %s: %s%s", r->rootless ? "user namespaces to ordinary users" : "namespaces",
				 strerror(errno),
				 r->rootless ? " (see sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone,"
					       " kernel.apparmor_restrict_unprivileged_userns)" : "");
	if (r->rootless && map_user(uid, gid) < 0)
		return sup_error(e, "not_supported", "cannot map the user in a user namespace: %s", strerror(errno));
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return sup_error(e, "not_supported", "cannot make the mounts private: %s", strerror(errno));
	return 0;
}

/* Read-only, with all that is mounted below it; only ever adds flags, so it works in a user namespace. */
static int bind_readonly(const char *source, const char *target)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV };

	if (mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0)
		return -1;
	return (int)syscall(SYS_mount_setattr, AT_FDCWD, target, AT_RECURSIVE, &attr, sizeof(attr));
}

/*
 * The oldest build remounts its root without the flags that it has, which a mapped gofer may not: nodev=0 leaves them out.
 */
static unsigned long root_flags(const struct sup_request *r)
{
	return r->nodev ? MS_NOSUID | MS_NODEV : 0;
}

/* A private overlay over a directory, which is never written. What is written lies in layer-NAME of m, or of the store. */
static int overlay(const struct sup_request *r, const struct sup_dir *d, int lower, const char *name, const char *target)
{
	char options[1200], layer[400], upper[420], work[420], base[32];
	struct stat st;

	(void)snprintf(base, sizeof(base), "%s/layer-%.12s", r->store_root ? "m/d" : "m", name);
	(void)sup_dir_at(d, base, layer, sizeof(layer));
	(void)snprintf(upper, sizeof(upper), "%s/u", layer);
	(void)snprintf(work, sizeof(work), "%s/w", layer);
	/* What is above shows its mode, too: of the root each user may make entries where it may be written at all. */
	mode_t mode = fstat(lower, &st) < 0 ? 0755 : st.st_mode & 07777;

	if (mkdir(layer, 0711) < 0 || mkdir(upper, 0755) < 0 || mkdir(work, 0700) < 0 ||
	    chmod(upper, r->writable && !strcmp(name, "root") ? 0777 : mode | 0555) < 0)
		return -1;
	/* By descriptor: a path may hold what overlay's options take for their own. */
	(void)snprintf(options, sizeof(options), "lowerdir=/proc/self/fd/%d,upperdir=%s,workdir=%s%s", lower, upper, work,
		       r->rootless ? ",userxattr" : "");
	return mount("overlay", target, "overlay", root_flags(r), options);
}

/* Read-only, or under a layer of its own where what is written there has to be counted. */
static int place_bind(const struct sup_request *r, const struct sup_dir *d, size_t i, bool directory, const char *target)
{
	char name[24];

	if (!r->store_root || !directory)
		return bind_readonly(r->binds.item[i], target);
	int lower = open(r->binds.item[i], O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void)snprintf(name, sizeof(name), "%zu", i);
	int rc = lower < 0 ? -1 : overlay(r, d, lower, name, target), saved = errno;

	if (lower >= 0)
		close(lower);
	errno = saved;
	return rc;
}

static int compose_host(const struct sup_request *r, const struct sup_dir *d, int root, const char *path, struct sup_error *e)
{
	char target[4400];

	for (size_t i = 0; i < r->binds.n; i++) {
		struct stat st;
		const char *source = r->binds.item[i];

		(void)snprintf(target, sizeof(target), "%s%s", path, source);
		if (stat(source, &st) < 0)
			return sup_error(e, "bad_rootfs", "the host has no %s", source);
		int rc = S_ISDIR(st.st_mode) ? sup_path_mkdir(root, source, 0755, (uid_t)-1, (gid_t)-1) : sup_path_file(root, source);

		if (rc < 0 || place_bind(r, d, i, S_ISDIR(st.st_mode), target) < 0)
			return sup_error(e, "not_supported", "cannot put %s into the root: %s%s", source, strerror(errno),
					 r->store_root ? "" : " (mount_setattr needs Linux 5.12)");
	}
	for (size_t i = 0; i < r->etc.n; i++)
		if (sup_path_copy(root, r->etc.item[i]) < 0)
			return sup_error(e, "bad_rootfs", "cannot copy %s: %s", r->etc.item[i], strerror(errno));
	for (size_t i = 0; i < r->symlinks.n; i++) {
		char link[256];
		const char *space = strchr(r->symlinks.item[i], ' ');

		if (!space)
			return sup_error(e, "system", "a symlink without a target: %s", r->symlinks.item[i]);
		(void)snprintf(link, sizeof(link), "%s%.*s", "", (int)(space - r->symlinks.item[i]), r->symlinks.item[i]);
		if (symlinkat(space + 1, root, link + (link[0] == '/')) < 0)
			return sup_error(e, "system", "cannot make the link %s: %s", link, strerror(errno));
	}
	return 0;
}

static int compose_overlay(const struct sup_request *r, const struct sup_dir *d, const char *root, struct sup_error *e)
{
	int lower = open(r->rootfs_path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (lower < 0)
		return sup_error(e, "bad_rootfs", "rootfs %s: %s", r->rootfs_path, strerror(errno));
	if (faccessat(lower, ".", R_OK | X_OK, AT_EACCESS) < 0) {
		close(lower);
		return sup_error(e, "bad_rootfs", "rootfs %s cannot be read: %s", r->rootfs_path, strerror(errno));
	}
	int rc = overlay(r, d, lower, "root", root), saved = errno;

	close(lower);
	if (rc < 0)
		return sup_error(e, "not_supported", "cannot mount an overlay over rootfs %s: %s%s", r->rootfs_path, strerror(saved),
				 !r->rootless ? "" : saved == EINVAL ?
				 " (as an ordinary user a rootfs must not have other file systems mounted in it)" :
				 " (as an ordinary user that needs Linux 5.11, and a file system that overlayfs takes)");
	return 0;
}

static int compose_store(const struct sup_request *r, const struct sup_dir *d, struct sup_error *e)
{
	static const char *const names[] = { "work", "tmp" };
	char store[320], options[96], from[400], to[400];
	uid_t uid = r->rootless ? 0 : r->map_base + r->uid;
	gid_t gid = r->rootless ? 0 : r->map_base + r->gid;
	/* No limit of `disk`: memory is the bound, and half as much again lets its reading come first. */
	unsigned long long size = r->disk ? r->disk : r->memory ? r->memory + r->memory / 2 + (16u << 20) : 0;

	(void)mkdir(sup_dir_at(d, "m/d", store, sizeof(store)), 0711);
	(void)chmod(store, 0711);	/* our umask is for what is ours */
	(void)snprintf(options, sizeof(options), "mode=0711,size=%llu,nr_inodes=%llu", size, size ? size / 1024 + 1024 : 0);
	if (mount("tmpfs", store, "tmpfs", MS_NOSUID | MS_NODEV, size ? options : "mode=0711") < 0)
		return sup_error(e, "not_supported", "cannot mount a tmpfs: %s", strerror(errno));
	for (unsigned i = 0; i < 2; i++) {
		(void)snprintf(from, sizeof(from), "%s/%s", store, names[i]);
		(void)snprintf(to, sizeof(to), "%s/m/%s", d->path, names[i]);
		if (mkdir(from, 0777) < 0 || chmod(from, 0777) < 0 || chown(from, uid, gid) < 0 || mkdir(to, 0777) < 0 ||
		    mount(from, to, NULL, MS_BIND, NULL) < 0)
			return sup_error(e, "not_supported", "cannot make %s: %s", to, strerror(errno));
	}
	return 0;
}

static bool below(const char *path, const char *place)
{
	size_t n = strlen(place);

	return !strncmp(path, place, n) && (path[n] == '/' || path[n] == '\0');
}

/* The path lies in a place that comes with a mount, so the root need not have it. */
static bool below_mount(const struct sup_request *r, const char *path)
{
	for (size_t i = 0; i < r->dirs.n; i++)
		if (below(path, r->dirs.item[i]))
			return true;
	return false;
}

static int check_places(const struct sup_request *r, int root, struct sup_error *e)
{
	for (size_t i = 0; i < r->dirs.n; i++)
		if (sup_path_mkdir(root, r->dirs.item[i], 0755, (uid_t)-1, (gid_t)-1) < 0)
			return sup_error(e, "bad_rootfs", "rootfs has no place for %s: %s", r->dirs.item[i], strerror(errno));
	for (size_t i = 0; i < r->files.n; i++)
		if (sup_path_file(root, r->files.item[i]) < 0)
			return sup_error(e, "bad_rootfs", "rootfs has no place for %s: %s", r->files.item[i], strerror(errno));
	for (size_t i = 0; i < r->sources.n; i++)
		if (access(r->sources.item[i], F_OK) < 0)
			return sup_error(e, "bad_rootfs", "mount source %s: %s", r->sources.item[i], strerror(errno));
	if (r->cwd && !below_mount(r, r->cwd)) {
		int fd = sup_path_open(root, r->cwd, O_PATH | O_DIRECTORY, 0);

		if (fd < 0)
			return sup_error(e, "bad_command", "cwd %s: %s in the guest", r->cwd, strerror(errno));
		close(fd);
	}
	return 0;
}

/* The root of the host's own parts: a directory of m, or of the store where its size counts. */
static int make_root(const struct sup_request *r, const struct sup_dir *d, const char *path)
{
	char stored[320];
	mode_t mode = r->writable ? 0777 : 0755;

	if (mkdir(path, mode) < 0 || chmod(path, mode) < 0)
		return -1;
	if (!r->store_root)
		return 0;
	(void)sup_dir_at(d, "m/d/root", stored, sizeof(stored));
	return mkdir(stored, mode) < 0 || chmod(stored, mode) < 0 ? -1 : mount(stored, path, NULL, MS_BIND, NULL);
}

/* /work and /tmp as parts of the root. gVisor would mount a tmpfs of any size over a /tmp that is empty (runsc/boot/vfs.go). */
static int place_inside(const struct sup_request *r, const struct sup_dir *d)
{
	static const char *const names[] = { "work", "tmp" };
	const bool wanted[] = { r->work, r->tmp_host };
	char from[320], to[320], name[16];
	int keep = open(sup_dir_at(d, "m/tmp/.keep", from, sizeof(from)), O_CREAT | O_WRONLY | O_CLOEXEC, 0444);

	if (keep < 0)
		return -1;
	close(keep);
	for (unsigned i = 0; i < 2; i++) {
		(void)snprintf(name, sizeof(name), "m/%s", names[i]);
		(void)sup_dir_at(d, name, from, sizeof(from));
		(void)snprintf(name, sizeof(name), "m/root/%s", names[i]);
		if (wanted[i] && mount(from, sup_dir_at(d, name, to, sizeof(to)), NULL, MS_BIND, NULL) < 0)
			return -1;
	}
	return 0;
}

/* Our helper, where a mapped gofer can reach it: its own place on the host may be below a private directory. */
static int place_guest(const struct sup_request *r, const struct sup_dir *d)
{
	char path[320];
	int fd = open(sup_dir_at(d, "m/guest", path, sizeof(path)), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0555);

	if (fd < 0)
		return -1;
	(void)close(fd);
	return bind_readonly(r->guest, path);
}

/* The layers' own needs are not the guest's: the store's size begins where it begins to write. */
static int make_up_for(const struct sup_request *r, const struct sup_dir *d)
{
	char store[320], options[64];
	unsigned long long used;
	int full;

	if (!r->store_root || !r->disk || sup_mount_usage(d, &used, &full) < 0)
		return 0;
	(void)snprintf(options, sizeof(options), "size=%llu", r->disk + used);
	return mount(NULL, sup_dir_at(d, "m/d", store, sizeof(store)), NULL, MS_REMOUNT | MS_NOSUID | MS_NODEV, options);
}

static int compose_root(const struct sup_request *r, const struct sup_dir *d, const char *path, bool host, struct sup_error *e)
{
	int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return sup_error(e, "system", "cannot open %s: %s", path, strerror(errno));
	int rc = host ? compose_host(r, d, root, path, e) : 0;

	if (rc == 0)
		rc = check_places(r, root, e);
	close(root);
	return rc;
}

/*
 * gVisor tells its guest as much memory as /proc/meminfo says to be there (runsc/sandbox/sandbox.go), and runtimes size their heaps
 * by that. Where it cannot be covered the guest sees the machine's: nothing is less bounded for it. The builds that mount a proc
 * in a user namespace may do so only where one is to be seen whole (mount_too_revealing in the kernel's fs/namespace.c): so it
 * stays to be seen in m.
 */
static void place_meminfo(const struct sup_request *r, const struct sup_dir *d)
{
	char path[320], whole[320], text[200];
	unsigned long long kib = r->memory / 1024;
	int n = snprintf(text, sizeof(text), "MemTotal:       %8llu kB\nMemFree:        %8llu kB\nMemAvailable:   %8llu kB\n", kib, kib, kib);
	int fd = r->memory ? open(sup_dir_at(d, "m/meminfo", path, sizeof(path)), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444) : -1;

	if (fd < 0)
		return;
	ssize_t w = write(fd, text, (size_t)n);

	(void)close(fd);
	if (w == n && mkdir(sup_dir_at(d, "m/proc", whole, sizeof(whole)), 0700) == 0) {
		(void)mount("/proc", whole, NULL, MS_BIND, NULL);
		(void)mount(path, "/proc/meminfo", NULL, MS_BIND, NULL);
	}
}

int sup_mount_compose(const struct sup_request *r, const struct sup_dir *d, struct sup_error *e)
{
	char path[320], m[320];
	bool host = !strcmp(r->rootfs, "host");

	if (mount("tmpfs", sup_dir_at(d, "m", m, sizeof(m)), "tmpfs", root_flags(r), "mode=0711,size=" ROOT_SIZE) < 0)
		return sup_error(e, "not_supported", "cannot mount a tmpfs in a private namespace: %s", strerror(errno));
	if (compose_store(r, d, e) < 0)
		return -1;
	(void)sup_dir_at(d, "m/root", path, sizeof(path));
	if (host ? make_root(r, d, path) < 0 : mkdir(path, 0755) < 0)
		return sup_error(e, "system", "cannot make %s: %s", path, strerror(errno));
	if ((!host && compose_overlay(r, d, path, e) < 0) || compose_root(r, d, path, host, e) < 0)
		return -1;
	if ((r->guest && place_guest(r, d) < 0) || (r->inside && place_inside(r, d) < 0) || make_up_for(r, d) < 0)
		return sup_error(e, "system", "cannot complete the root: %s", strerror(errno));
	place_meminfo(r, d);
	return 0;
}

int sup_mount_usage(const struct sup_dir *d, unsigned long long *used, int *full)
{
	char store[320];
	struct statvfs s;

	if (!d->path[0] || statvfs(sup_dir_at(d, "m/d", store, sizeof(store)), &s) < 0 || !s.f_blocks)
		return -1;
	*used = (unsigned long long)(s.f_blocks - s.f_bfree) * s.f_frsize;
	*full = s.f_bavail == 0 || (s.f_files && s.f_favail == 0);
	return 0;
}
