/* SPDX-License-Identifier: MIT */
#include "sup_etc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sbx_io.h"
#include "sup_bind.h"
#include "sup_path.h"

/* What is deeper, or comes later, is not looked at, and not shown. */
#define DEPTH 8
#define ENTRIES 20000

struct view {
	const struct sup_request *r;
	int upper;	/* the layer's root */
	unsigned seen;
	char path[PATH_MAX];	/* below /etc, of what is being looked at */
};

static void close_quietly(int fd)
{
	int saved = errno;

	if (fd >= 0)
		(void)close(fd);
	errno = saved;
}

/*
 * Takes a name of the lower directory away, as overlayfs has it: a character device 0, 0, which a user namespace may make, too. The
 * layer is ours alone yet, and no path has a "..": none leads out of it.
 */
static int hide(int upper, const char *path)
{
	char parent[PATH_MAX];
	int rc = mknodat(upper, path, S_IFCHR, makedev(0, 0));

	if (rc < 0 && errno == ENOENT && strchr(path, '/')) {
		(void)snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(path, '/') - path), path);
		rc = sup_path_mkdir(upper, parent, 0755, (uid_t)-1, (gid_t)-1) < 0 ? -1 : mknodat(upper, path, S_IFCHR, makedev(0, 0));
	}
	return rc < 0 && errno == EEXIST ? 0 : rc;
}

static bool is_hidden(const struct view *v)
{
	for (size_t i = 0; i < v->r->etc_hide.n; i++)
		if (!strcmp(v->r->etc_hide.item[i], v->path))
			return true;
	return false;
}

/* Everybody may read it, and enter it. What a link leads to is judged where it lies. */
static bool is_open(const struct stat *st)
{
	return S_ISDIR(st->st_mode) ? (st->st_mode & 05) == 05 : S_ISREG(st->st_mode) && (st->st_mode & 04);
}

static int walk(struct view *v, int at, unsigned depth);

/* v->path names an entry of the directory `at`, `name` there. */
static int look(struct view *v, int at, const char *name, unsigned depth)
{
	struct stat st;

	if (is_hidden(v))
		return 0;
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || (!S_ISLNK(st.st_mode) && !is_open(&st)))
		return hide(v->upper, v->path);
	if (!S_ISDIR(st.st_mode))
		return 0;
	int fd = depth < DEPTH ? openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
	int rc = fd < 0 ? hide(v->upper, v->path) : walk(v, fd, depth + 1);

	close_quietly(fd);
	return rc;
}

static int enter(struct view *v, int at, const struct dirent64 *e, unsigned depth)
{
	size_t n = strlen(v->path);
	int w = snprintf(v->path + n, sizeof(v->path) - n, "%s%s", n ? "/" : "", e->d_name), rc = -1;

	v->seen++;
	if (w < 0 || (size_t)w >= sizeof(v->path) - n)
		errno = ENAMETOOLONG;
	else
		rc = v->seen > ENTRIES ? hide(v->upper, v->path) : e->d_type == DT_LNK ? 0 : look(v, at, e->d_name, depth);
	v->path[n] = '\0';
	return rc;
}

static int walk(struct view *v, int at, unsigned depth)
{
	_Alignas(struct dirent64) char entries[8192];
	ssize_t n;

	while ((n = getdents64(at, entries, sizeof(entries))) > 0)
		for (ssize_t i = 0; i < n;) {
			const struct dirent64 *e = (const struct dirent64 *)(entries + i);

			i += e->d_reclen;
			if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && enter(v, at, e, depth) < 0)
				return -1;
		}
	return n < 0 ? -1 : 0;
}

/* Fills the layer. A guest whose ids are nobody's on the host cannot read what is not everybody's: there is no need to look. */
static int cover(int lower, int upper, const struct sup_request *r)
{
	struct view v = { .r = r, .upper = upper };
	int top, rc;

	for (size_t i = 0; i < r->etc_hide.n; i++)
		if (faccessat(lower, r->etc_hide.item[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0 && hide(upper, r->etc_hide.item[i]) < 0)
			return -1;
	if (!r->rootless)
		return 0;
	top = openat(lower, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = top < 0 ? -1 : walk(&v, top, 1);
	close_quietly(top);
	return rc;
}

int sup_etc_mount(int root, int base, const struct sup_request *r, unsigned long flags)
{
	struct stat st;
	struct sup_bind_layer layer;
	int lower, target, rc = -1;

	if (sup_path_mkdir(root, "etc", 0755, (uid_t)-1, (gid_t)-1) < 0)
		return -1;
	lower = open("/etc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	target = sup_path_open(root, "etc", O_PATH | O_DIRECTORY, 0);
	if (lower >= 0 && target >= 0 && fstat(lower, &st) == 0 && is_open(&st) && sup_bind_layer_make(&layer, base, "layer-etc", 0755) == 0) {
		if (cover(lower, layer.upper, r) == 0)
			rc = sup_bind_layer_mount(&layer, lower, target, flags, r->rootless);
		sup_bind_layer_close(&layer);
	}
	close_quietly(lower);
	close_quietly(target);
	return rc;
}

static int write_one(int etc, const char *item, const struct sup_request *r)
{
	const char *space = strchr(item, ' ');
	char name[NAME_MAX + 1];

	if (!space || space == item || (size_t)(space - item) >= sizeof(name) || memchr(item, '/', (size_t)(space - item))) {
		errno = EINVAL;
		return -1;
	}
	(void)snprintf(name, sizeof(name), "%.*s", (int)(space - item), item);
	int fd = sup_path_open(etc, name, O_CREAT | O_WRONLY | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, 0644);
	uid_t own = r->rootless ? (uid_t)-1 : r->map_base;
	int rc = fd < 0 || sbx_io_write(fd, space + 1, strlen(space + 1)) < 0 || fchmod(fd, 0644) < 0 || fchown(fd, own, own) < 0 ? -1 : 0;

	close_quietly(fd);
	return rc;
}

int sup_etc_write(int root, const struct sup_request *r)
{
	int rc = r->etc_text.n ? sup_path_mkdir(root, "etc", 0755, (uid_t)-1, (gid_t)-1) : 0;
	/* As it is once it is covered. */
	int etc = rc < 0 || !r->etc_text.n ? -1 : sup_path_open(root, "etc", O_PATH | O_DIRECTORY, 0);

	if (etc < 0)
		return r->etc_text.n ? -1 : 0;
	for (size_t i = 0; i < r->etc_text.n && rc == 0; i++)
		rc = write_one(etc, r->etc_text.item[i], r);
	close_quietly(etc);
	return rc;
}
