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
#include "sup_bind.h"
#include "sup_cow.h"
#include "sup_etc.h"
#include "sup_idmap.h"
#include "sup_meminfo.h"
#include "sup_path.h"
#include "sup_privilege.h"
#include "sup_refusal.h"
#include "sup_store.h"

/* Closes what was opened of the two; errno stays what it was. */
static void close_pair(int source, int target)
{
	int saved = errno;

	if (source >= 0)
		(void)close(source);
	if (target >= 0)
		(void)close(target);
	errno = saved;
}

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
	char why[SUP_REFUSAL_MAX];
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int flags = CLONE_NEWNS | (r->host_network ? 0 : CLONE_NEWNET) | (r->rootless ? CLONE_NEWUSER : 0);

	if (unshare(flags) < 0)
		return sup_error(e, "not_supported", "the kernel refuses %s: %s%s", r->rootless ? "user namespaces" : "namespaces",
				 strerror(errno), sup_refusal(SUP_REFUSED_NAMESPACE, errno, r->rootless, why));
	if (r->rootless && map_user(uid, gid) < 0)
		return sup_error(e, "not_supported", "cannot map the user in a user namespace: %s%s", strerror(errno),
				 sup_refusal(uid == 0 ? SUP_REFUSED_MAP_ROOT : SUP_REFUSED_MAP, errno, true, why));
	if (r->rootless)
		sup_privilege_rootless();
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return sup_error(e, "not_supported", "cannot make the mounts private: %s%s", strerror(errno),
				 sup_refusal(SUP_REFUSED_MOUNT, errno, r->rootless, why));
	return 0;
}

/*
 * The oldest build remounts its root without the flags that it has, which a mapped gofer may not: nodev=0 leaves them out.
 */
static unsigned long root_flags(const struct sup_request *r)
{
	return r->nodev ? MS_NOSUID | MS_NODEV : 0;
}

/* What is being composed: the descriptors are the composer's. */
struct composition {
	const struct sup_request *r;
	const struct sup_dir *d;
	const struct sup_volumes *volumes;
	int root;	/* of RUN/m/root */
	int bundle;	/* of the bundle's directory, -1: none */
	struct sup_error *e;
};

/* What is written to the layer lies in m, or in the store where it is counted. */
static int overlay(const struct composition *c, int lower, const char *name, int target)
{
	const struct sup_request *r = c->r;
	char layer[24];
	struct stat st;
	/* What is above shows its mode, too: of the root each user may make entries where it may be written at all. */
	mode_t mode = r->writable && !strcmp(name, "root") ? 0777 : fstat(lower, &st) < 0 ? 0755 : (st.st_mode & 07777) | 0555;
	int base = openat(c->d->fd, r->store_root ? "m/d" : "m", O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void)snprintf(layer, sizeof(layer), "layer-%.12s", name);
	int rc = base < 0 ? -1 : sup_bind_overlay(lower, target, base, layer, mode, root_flags(r), r->rootless), saved = errno;

	if (base >= 0)
		(void)close(base);
	errno = saved;
	return rc;
}

/* Read-only, or under a layer of its own where what is written there has to be counted. */
static int place_bind(const struct composition *c, size_t i)
{
	const char *path = c->r->binds.item[i];
	struct stat st;
	char name[24];
	int source = open(path, O_PATH | O_CLOEXEC), target = -1, rc = -1;

	(void)snprintf(name, sizeof(name), "%zu", i);
	if (source >= 0 && fstat(source, &st) == 0 &&
	    (S_ISDIR(st.st_mode) ? sup_path_mkdir(c->root, path, 0755, (uid_t)-1, (gid_t)-1) : sup_path_file(c->root, path)) == 0)
		target = sup_path_open(c->root, path, O_PATH, 0);
	if (target >= 0)
		rc = c->r->store_root && S_ISDIR(st.st_mode) ? overlay(c, source, name, target) :
			     sup_bind(source, target, SUP_BIND_RDONLY | SUP_BIND_NOSUID | SUP_BIND_NODEV);
	close_pair(source, target);
	return rc;
}

/* All of /etc that is nobody's secret; where no overlay can be had of it, the parts that the request names, one by one. */
static bool place_etc(const struct composition *c)
{
	int base = c->r->etc_hide.n ? openat(c->d->fd, c->r->store_root ? "m/d" : "m", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	int rc = base < 0 ? -1 : sup_etc_mount(c->root, base, c->r, root_flags(c->r));

	if (base >= 0)
		(void)close(base);
	return rc == 0;
}

static int compose_host(const struct composition *c)
{
	const struct sup_request *r = c->r;
	struct sup_error *e = c->e;
	char why[SUP_REFUSAL_MAX];
	int root = c->root;
	bool whole = place_etc(c);

	for (size_t i = 0; i < r->binds.n; i++)
		if (!(whole && !strncmp(r->binds.item[i], "/etc/", 5)) && place_bind(c, i) < 0)
			return sup_error(e, "not_supported", "cannot put %s into the root: %s%s", r->binds.item[i], strerror(errno),
					 errno == ENOSYS ? " (mount_setattr needs Linux 5.12)" :
					 sup_refusal(SUP_REFUSED_MOUNT, errno, r->rootless, why));
	for (size_t i = 0; i < r->etc.n && !whole; i++)
		if (sup_path_copy(root, r->etc.item[i]) < 0)
			return sup_error(e, "bad_rootfs", "cannot copy %s: %s", r->etc.item[i], strerror(errno));
	if (sup_etc_write(root, r) < 0)
		return sup_error(e, "system", "cannot write the guest's /etc: %s", strerror(errno));
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

/* A path of the bundle's is taken as one of its directory, and never leads out of that. */
static int open_beneath(const struct composition *c, const char *path)
{
	return path[0] == '/' ? open(path, O_PATH | O_CLOEXEC) : sup_path_beneath(c->bundle, path);
}

static const char *why_not(int err)
{
	return err == EXDEV || err == ELOOP ? "it leads out of the bundle" : strerror(err);
}

/*
 * A directory that root unpacked belongs to no id of the guest's, and its root could neither write what is there nor enter /root. As
 * root it is mounted for the guest's ids; -1: it cannot be. Never the host's own root, whose secrets are root's.
 */
static int own_root(const struct composition *c, int lower)
{
	struct stat st, top;
	int m = -1, mapped = -1;

	if (!c->r->own_root || c->r->rootless || fstat(lower, &st) < 0 || stat("/", &top) < 0 || (st.st_dev == top.st_dev && st.st_ino == top.st_ino))
		return -1;
	m = openat(c->d->fd, "m", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (m >= 0)
		mapped = sup_idmap(lower, &(struct sup_idmap){ .base = c->r->map_base }, m, "mapped");
	close_pair(m, -1);
	return mapped;
}

static int compose_overlay(const struct composition *c, int target)
{
	const struct sup_request *r = c->r;
	struct stat st;
	int lower = open_beneath(c, r->rootfs_path);

	if (lower < 0)
		return sup_error(c->e, "bad_rootfs", "rootfs %s: %s", r->rootfs_path, why_not(errno));
	if (fstat(lower, &st) < 0 || !S_ISDIR(st.st_mode) || faccessat(lower, ".", R_OK | X_OK, AT_EACCESS) < 0) {
		int saved = S_ISDIR(st.st_mode) ? errno : ENOTDIR;

		(void)close(lower);
		return sup_error(c->e, "bad_rootfs", "rootfs %s cannot be read: %s", r->rootfs_path, strerror(saved));
	}
	int mapped = own_root(c, lower), rc = mapped < 0 ? -1 : overlay(c, mapped, "root", target);

	rc = rc < 0 ? overlay(c, lower, "root", target) : rc;	/* from Linux 5.19 on overlayfs takes a mapped one */
	int saved = errno;

	close_pair(mapped, lower);
	if (rc < 0)
		return sup_error(c->e, "not_supported", "cannot mount an overlay over rootfs %s: %s%s", r->rootfs_path, strerror(saved),
				 !r->rootless ? "" : saved == EINVAL ?
				 " (as an ordinary user a rootfs must not have other file systems mounted in it)" :
				 " (as an ordinary user that needs Linux 5.11, and a file system that overlayfs takes)");
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
	for (size_t i = 0; i < r->places.n; i++)
		if (strcmp(r->places.item[i], "/") != 0 && below(path, r->places.item[i]))
			return true;
	for (size_t i = 0; i < r->cow_places.n; i++)
		if (below(path, r->cow_places.item[i]))
			return true;
	return false;
}

/* A place of the root's to mount on, links taken as the guest will. 0, or -1 and errno; EISDIR: it is the root itself. */
static int make_place(int root, const char *path, bool directory)
{
	struct stat st, top;

	if ((directory ? sup_path_mkdir(root, path, 0755, (uid_t)-1, (gid_t)-1) : sup_path_file(root, path)) < 0)
		return -1;
	int fd = sup_path_open(root, path, O_PATH, 0);

	if (fd < 0)
		return -1;
	int rc = fstat(fd, &st) < 0 || fstat(root, &top) < 0 ? -1 : 0;

	(void)close(fd);
	if (rc == 0 && st.st_ino == top.st_ino && st.st_dev == top.st_dev) {
		errno = EISDIR;
		rc = -1;
	}
	return rc;
}

static int no_place(const struct composition *c, const char *path)
{
	return sup_error(c->e, "bad_rootfs", "rootfs has no place for %s: %s", path,
			 errno == EISDIR ? "a link leads to the root itself" : errno == EEXIST ? "a link leads nowhere" : strerror(errno));
}

/*
 * A mount's source is bound to RUN/m/s/N, and that is what runsc gets: what it was opened as, it stays, whoever puts a link in its
 * place meanwhile. The item: "ro " or "rw ", and the path.
 */
static int pin_source(const struct composition *c, size_t i)
{
	const char *item = c->r->sources.item[i], *path = item + 3;
	char why[SUP_REFUSAL_MAX];
	struct stat st;
	char name[32];
	int volume = sup_volume_mount(c->volumes, path), target, rc = -1;
	int source = volume < 0 ? open_beneath(c, path) : fcntl(volume, F_DUPFD_CLOEXEC, 0);

	if (source < 0)
		return sup_error(c->e, "bad_rootfs", "mount source %s: %s", path, why_not(errno));
	bool known = fstat(source, &st) == 0 && (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode));

	(void)snprintf(name, sizeof(name), "m/s/%zu", i);
	if (known && make_place(c->d->fd, name, S_ISDIR(st.st_mode)) == 0) {
		target = openat(c->d->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		rc = target < 0 ? -1 : sup_bind(source, target, SUP_BIND_NOSUID | SUP_BIND_NODEV | (item[1] == 'o' ? SUP_BIND_RDONLY : 0));
		int saved = errno;

		if (target >= 0)
			(void)close(target);
		errno = saved;
	}
	int saved = errno;

	(void)close(source);
	if (!known || (rc < 0 && saved == ENOENT))
		return sup_error(c->e, "bad_rootfs", "mount source %s: %s", path, known ? "was taken away" : "neither a directory nor a regular file");
	if (rc < 0)
		return sup_error(c->e, "not_supported", "cannot bind %s: %s%s", path, strerror(saved),
				 sup_refusal(SUP_REFUSED_MOUNT, saved, c->r->rootless, why));
	if (!strcmp(c->r->places.item[i], "/"))	/* what it is for is no bind, and has its place among the directories */
		return 0;
	return make_place(c->root, c->r->places.item[i], S_ISDIR(st.st_mode)) < 0 ? no_place(c, c->r->places.item[i]) : 0;
}

static int check_places(const struct composition *c)
{
	const struct sup_request *r = c->r;

	for (size_t i = 0; i < r->dirs.n; i++)
		if (make_place(c->root, r->dirs.item[i], true) < 0)
			return no_place(c, r->dirs.item[i]);
	for (size_t i = 0; i < r->files.n; i++)
		if (make_place(c->root, r->files.item[i], false) < 0)
			return no_place(c, r->files.item[i]);
	if (r->sources.n && (mkdirat(c->d->fd, "m/s", 0711) < 0 || fchmodat(c->d->fd, "m/s", 0711, 0) < 0))
		return sup_error(c->e, "system", "cannot make a place for mounts: %s", strerror(errno));
	if (sup_volume_place(c->volumes, c->d) < 0)
		return sup_error(c->e, "not_supported", "cannot mount a volume in a private namespace: %s", strerror(errno));
	for (size_t i = 0; i < r->sources.n; i++)
		if (pin_source(c, i) < 0)
			return -1;
	for (size_t i = 0; i < r->cows.n; i++)
		if (make_place(c->root, r->cow_places.item[i], true) < 0)
			return no_place(c, r->cow_places.item[i]);
	if (sup_cow_make(r, c->d, c->root, c->e) < 0)
		return -1;
	if (r->cwd && !below_mount(r, r->cwd)) {
		int fd = sup_path_open(c->root, r->cwd, O_PATH | O_DIRECTORY, 0);

		if (fd < 0)
			return sup_error(c->e, "bad_command", "cwd %s: %s in the guest", r->cwd, strerror(errno));
		(void)close(fd);
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
static int place_inside(const struct composition *c)
{
	static const char *const from[] = { "m/work", "m/tmp" }, *const to[] = { "/work", "/tmp" };
	const bool wanted[] = { c->r->work, c->r->tmp_host };
	int keep = openat(c->d->fd, "m/tmp/.keep", O_CREAT | O_WRONLY | O_CLOEXEC, 0444), rc = 0;

	if (keep < 0)
		return -1;
	(void)close(keep);
	for (unsigned i = 0; i < 2 && rc == 0; i++) {
		int source = wanted[i] ? openat(c->d->fd, from[i], O_PATH | O_CLOEXEC) : -1;
		int target = source < 0 ? -1 : sup_path_open(c->root, to[i], O_PATH | O_DIRECTORY, 0);

		if (wanted[i])
			rc = target < 0 ? -1 : sup_bind(source, target, 0);
		close_pair(source, target);
	}
	return rc;
}

/* Our helper, where a mapped gofer can reach it: its own place on the host may be below a private directory. */
static int place_guest(const struct composition *c)
{
	int target = openat(c->d->fd, "m/guest", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0555);
	int source = target < 0 ? -1 : open(c->r->guest, O_PATH | O_CLOEXEC);
	int rc = source < 0 ? -1 : sup_bind(source, target, SUP_BIND_RDONLY | SUP_BIND_NOSUID | SUP_BIND_NODEV);

	close_pair(source, target);
	return rc;
}

/* Opens RUN/m/root as it is once it is covered by its overlay, which a descriptor from before would not see. */
static int open_root(struct composition *c, const char *path)
{
	c->root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return c->root < 0 ? sup_error(c->e, "system", "cannot open %s: %s", path, strerror(errno)) : 0;
}

static int compose_root(struct composition *c, const char *path, bool host)
{
	const struct sup_request *r = c->r;

	if (r->bundle) {
		c->bundle = open(r->bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (c->bundle < 0)
			return sup_error(c->e, "bad_rootfs", "bundle %s: %s", r->bundle, strerror(errno));
	}
	if (open_root(c, path) < 0)
		return -1;
	if (!host) {
		if (compose_overlay(c, c->root) < 0)
			return -1;
		(void)close(c->root);
		if (open_root(c, path) < 0)
			return -1;
		if ((r->own_root || r->hold) && !r->rootless && fchownat(c->root, "", r->map_base, r->map_base, AT_EMPTY_PATH) < 0)
			return sup_error(c->e, "system", "cannot give the root to the guest's: %s", strerror(errno));
	}
	if ((host && compose_host(c) < 0) || check_places(c) < 0)
		return -1;
	if ((r->guest && place_guest(c) < 0) || (r->inside && place_inside(c) < 0) || sup_store_begin(r, c->d) < 0)
		return sup_error(c->e, "system", "cannot complete the root: %s", strerror(errno));
	return 0;
}

int sup_mount_compose(const struct sup_request *r, const struct sup_dir *d, const struct sup_volumes *v, struct sup_error *e)
{
	char path[320], m[320], why[SUP_REFUSAL_MAX];
	bool host = !strcmp(r->rootfs, "host");

	if (mount("tmpfs", sup_dir_at(d, "m", m, sizeof(m)), "tmpfs", root_flags(r), "mode=0711,size=" ROOT_SIZE) < 0)
		return sup_error(e, "not_supported", "cannot mount a tmpfs in a private namespace: %s%s", strerror(errno),
				 sup_refusal(SUP_REFUSED_MOUNT, errno, r->rootless, why));
	if (sup_store_make(r, d, e) < 0)
		return -1;
	(void)sup_dir_at(d, "m/root", path, sizeof(path));
	if (host ? make_root(r, d, path) < 0 : mkdir(path, 0755) < 0)
		return sup_error(e, "system", "cannot make %s: %s", path, strerror(errno));
	struct composition c = { .r = r, .d = d, .volumes = v, .root = -1, .bundle = -1, .e = e };
	int rc = compose_root(&c, path, host);

	if (c.root >= 0)
		(void)close(c.root);
	if (c.bundle >= 0)
		(void)close(c.bundle);
	if (rc == 0)
		sup_meminfo_place(r, d);
	return rc;
}
