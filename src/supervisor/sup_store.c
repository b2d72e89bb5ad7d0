/* SPDX-License-Identifier: MIT */
#include "sup_store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sup_cow.h"

/* Directories of the layers and of /work and /tmp, for which the limit is raised by as many as there are in the end. */
#define LAYER_FILES 1024u

int sup_store_make(const struct sup_request *r, const struct sup_dir *d, struct sup_error *e)
{
	static const char *const names[] = { "work", "tmp" };
	char store[320], options[96], from[400], to[400];
	uid_t uid = r->rootless ? 0 : r->map_base + r->uid;
	gid_t gid = r->rootless ? 0 : r->map_base + r->gid;
	/* No limit of `disk`: memory is the bound, and half as much again lets its reading come first. */
	unsigned long long size = r->disk ? r->disk : r->memory ? r->memory + r->memory / 2 + (16u << 20) : 0;

	(void)mkdir(sup_dir_at(d, "m/d", store, sizeof(store)), 0711);
	(void)chmod(store, 0711);	/* our umask is for what is ours */
	int n = snprintf(options, sizeof(options), "mode=0711,nr_inodes=%llu", r->inodes ? (unsigned long long)r->inodes + LAYER_FILES : 0ULL);

	if (size)
		(void)snprintf(options + n, sizeof(options) - (size_t)n, ",size=%llu", size);
	if (mount("tmpfs", store, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
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

int sup_store_begin(const struct sup_request *r, const struct sup_dir *d)
{
	char store[320], options[96];
	struct statvfs s;
	int n = 0;

	if ((!r->inodes && !(r->store_root && r->disk)) || statvfs(sup_dir_at(d, "m/d", store, sizeof(store)), &s) < 0)
		return 0;
	if (r->store_root && r->disk)
		n = snprintf(options, sizeof(options), "size=%llu,", (unsigned long long)r->disk + (s.f_blocks - s.f_bfree) * s.f_frsize);
	if (r->inodes)
		(void)snprintf(options + n, sizeof(options) - (size_t)n, "nr_inodes=%llu", (unsigned long long)r->inodes + (s.f_files - s.f_ffree));
	return mount(NULL, store, NULL, MS_REMOUNT | MS_NOSUID | MS_NODEV, options);
}

int sup_store_usage(const struct sup_request *r, const struct sup_dir *d, unsigned long long *used, int *full)
{
	char store[320];
	struct statvfs s;

	if (!d->path[0] || statvfs(sup_dir_at(d, "m/d", store, sizeof(store)), &s) < 0 || !s.f_blocks)
		return -1;
	*used = (unsigned long long)(s.f_blocks - s.f_bfree) * s.f_frsize + sup_cow_usage(r, d);
	*full = s.f_bavail == 0 ? SUP_STORE_NO_BYTES : s.f_files && s.f_favail == 0 ? SUP_STORE_NO_FILES : 0;
	return 0;
}
