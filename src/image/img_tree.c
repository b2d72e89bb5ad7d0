/* SPDX-License-Identifier: MIT */
#include "img_tree.h"

#include <errno.h>
#include <fts.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* fts changes into each directory, and looks whether it came where it wanted: no path grows too long, no link is gone through. */
static FTS *begin(const char *path)
{
	char *const paths[] = { (char *)path, NULL };

	return fts_open(paths, FTS_PHYSICAL | FTS_XDEV, NULL);
}

/* umoci gives away what layers speak of, and makes the rest as its own. */
static int adopt(const FTSENT *e, uint32_t base)
{
	const struct stat *st = e->fts_statp;

	if (!base || (st->st_uid >= base && st->st_uid - base < 65536))
		return 0;
	return lchown(e->fts_accpath, base, base);
}

int img_tree_look(const char *path, uint32_t base, struct img_tree *t)
{
	FTS *walk = begin(path);
	int rc = walk ? 0 : -1;

	memset(t, 0, sizeof(*t));
	for (FTSENT *e; rc == 0 && (e = fts_read(walk)) != NULL;) {
		if (e->fts_info == FTS_DP)
			continue;
		t->files++;
		if (e->fts_info == FTS_NS || !e->fts_statp)
			continue;
		t->bytes += (uint64_t)e->fts_statp->st_blocks * 512;
		if (e->fts_info == FTS_DEFAULT && (S_ISCHR(e->fts_statp->st_mode) || S_ISBLK(e->fts_statp->st_mode))) {
			t->devices++;
			rc = unlink(e->fts_accpath);
		} else {
			rc = adopt(e, base);
		}
	}
	int saved = errno;

	if (walk)
		(void)fts_close(walk);
	errno = saved;
	return rc;
}

static uint32_t less(uint32_t id, uint32_t base)
{
	return id >= base && id - base < 65536 ? id - base : id;
}

int img_tree_unmap(const char *path, uint32_t base)
{
	FTS *walk = begin(path);
	int rc = walk ? 0 : -1;

	for (FTSENT *e; rc == 0 && (e = fts_read(walk)) != NULL;) {
		if (e->fts_info == FTS_D || !e->fts_statp)
			continue;
		rc = lchown(e->fts_accpath, less(e->fts_statp->st_uid, base), less(e->fts_statp->st_gid, base));
		if (rc == 0 && !S_ISLNK(e->fts_statp->st_mode))	/* a change of the owner takes set-user-ID away */
			rc = chmod(e->fts_accpath, e->fts_statp->st_mode & 07777);
	}
	int saved = errno;

	if (walk)
		(void)fts_close(walk);
	errno = saved;
	return rc;
}

int img_tree_remove(const char *path)
{
	FTS *walk = begin(path);
	int rc = walk ? 0 : -1, why = errno;

	for (FTSENT *e; walk && (e = fts_read(walk)) != NULL;) {
		int done = 0;

		if (e->fts_info == FTS_D)	/* an image's directory may forbid its owner to go in; as root that is nothing */
			(void)(getuid() ? chmod(e->fts_accpath, 0700) : 0);
		else if (e->fts_info == FTS_DP)
			done = rmdir(e->fts_accpath);
		else
			done = unlink(e->fts_accpath);
		if (done < 0 && errno != ENOENT) {
			why = errno;
			rc = -1;
		}
	}
	if (walk)
		(void)fts_close(walk);
	errno = why;
	return rc;
}
