/* SPDX-License-Identifier: MIT */
#include "img_pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "img_say.h"
#include "img_store.h"
#include "img_tool.h"
#include "img_tree.h"

/* What a sandbox mounts on: a root that is read-only cannot be given these later. */
static int add_places(const char *tree)
{
	static const char *const dirs[] = { "proc", "sys", "dev", "tmp", "work" };
	char path[96];

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", tree, dirs[i]);
		if (mkdir(path, 0755) == 0)
			(void)chmod(path, 0755);
		else if (errno != EEXIST)
			return -1;
	}
	(void)snprintf(path, sizeof(path), "%s/.sandbox-guest", tree);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755);

	if (fd >= 0)
		(void)close(fd);
	return fd < 0 && errno != EEXIST ? -1 : 0;
}

/* From a copy: neither an image that is kept nor anybody's directory is changed. */
static int copy(const struct img_want *w, const char *tree)
{
	struct img_tool t = { .phase = "copy", .package = "coreutils", .watch = -1 };
	const char *argv[] = { "cp", "-a", "--reflink=auto", "--", w->source, tree, NULL };
	unsigned long base = w->ids && strcmp(w->ids, "user") != 0 ? strtoul(w->ids, NULL, 10) : 0;
	int rc = img_tool_run(&t, argv);

	if (rc)
		return rc > 0 ? img_fail("bad_rootfs", "cannot copy %s: %s", w->source, t.said) : rc;
	if (base && img_tree_unmap(tree, (uint32_t)base) < 0)
		return img_fail("system", "cannot give the files of %s to their owners: %s", w->source, strerror(errno));
	return add_places(tree) < 0 ? img_fail("bad_rootfs", "cannot make a place to mount on: %s", strerror(errno)) : 0;
}

/* gVisor maps the file: data that lies in inodes would not be at the place of a page. */
static int pack(const struct img_want *w, const char *tree, const char *to)
{
	struct img_tool t = { .phase = "pack", .package = "erofs-utils", .watch = -1 };
	/* Nor does it take inodes with attributes. An ordinary user's files are the guest's root's, as in a directory. */
	const char *all[] = { "mkfs.erofs", "-E", "noinline_data", "-x-1", "--quiet", to, tree, NULL };
	const char *user[] = { "mkfs.erofs", "-E", "noinline_data", "-x-1", "--quiet", "--force-uid=0", "--force-gid=0", to, tree, NULL };
	int rc = img_tool_run(&t, getuid() ? user : all);

	return rc > 0 ? img_fail("bad_rootfs", "mkfs.erofs failed on %s: %s", w->source, t.said) : rc;
}

/* Beside where it is to be, so that it can be renamed; the name has room for that. */
static int publish(const char *from, const char *out)
{
	struct img_tool t = { .phase = "write", .package = "coreutils", .watch = -1 };
	char part[4200];

	(void)snprintf(part, sizeof(part), "%.4000s.part-%d", out, (int)getpid());
	const char *argv[] = { "cp", "--", from, part, NULL };
	int rc = img_tool_run(&t, argv);

	if (rc == 0 && chmod(part, 0644) == 0 && rename(part, out) == 0)
		return 0;
	int saved = errno;

	(void)unlink(part);
	return rc < 0 ? rc : img_fail("system", "cannot put the file at %s: %s", out, rc > 0 ? t.said : strerror(saved));
}

int img_pack(const struct img_want *w)
{
	char tmp[40], tree[64], to[64];
	int holder = img_store_temporary(tmp), rc;

	if (holder < 0)
		return -1;
	(void)snprintf(tree, sizeof(tree), "%s/tree", tmp);
	(void)snprintf(to, sizeof(to), "%s/root.erofs", tmp);
	rc = copy(w, tree);
	rc = rc < 0 ? rc : pack(w, tree, to);
	rc = rc < 0 ? rc : publish(to, w->out);
	(void)img_tree_remove(tmp);
	(void)close(holder);
	if (rc == 0)
		img_done("", 1);
	return rc;
}
