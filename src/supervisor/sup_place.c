/* SPDX-License-Identifier: MIT */
#include "sup_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sbx_io.h"
#include "sup_path.h"

/* The directory of RUN/m that holds a guest path, and the rest of that path. */
static const char *place_of(const char *path, const char **rest)
{
	static const struct { const char *prefix, *dir; } places[] = { { "/work/", "m/work" }, { "/tmp/", "m/tmp" } };

	for (unsigned i = 0; i < 2; i++) {
		size_t n = strlen(places[i].prefix);

		if (!strncmp(path, places[i].prefix, n)) {
			*rest = path + n;
			return places[i].dir;
		}
	}
	*rest = path + 1;
	return "m/root";
}

static int create(const char *rest, int root, mode_t mode, uid_t uid, gid_t gid)
{
	char parent[4096];
	const char *slash = strrchr(rest, '/');

	(void)snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - rest) : 0, rest);
	if (*parent && sup_path_mkdir(root, parent, 0777, uid, gid) < 0)
		return -1;
	int fd = sup_path_open(root, rest, O_CREAT | O_WRONLY | O_TRUNC | O_NONBLOCK, 0600);

	if (fd >= 0 && (fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* The file that the host has looked at, "SIZE DEV INO", open; -1: the error is set. */
static int open_seen(const char *from, const char *seen, unsigned long long *size, struct sup_error *e)
{
	unsigned long long dev, ino;
	struct stat st;
	int in = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (in < 0)
		return sup_error(e, "bad_rootfs", "file %s: %s", from, strerror(errno));
	if (sscanf(seen, "%llu %llu %llu", size, &dev, &ino) != 3 || fstat(in, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_dev != dev || st.st_ino != ino || (unsigned long long)st.st_size > *size) {
		close(in);
		return sup_error(e, "bad_rootfs", "file %s: it is another by now, or has grown", from);
	}
	return in;
}

/* No more of it than it had when it was looked at. */
static int copy_from(struct sup_place *p, const char *from, const char *seen, struct sup_error *e)
{
	char buf[65536];
	unsigned long long left = 0;
	ssize_t n = 0;
	int in = open_seen(from, seen, &left, e);

	if (in < 0)
		return -1;
	while (left && (n = read(in, buf, left < sizeof(buf) ? (size_t)left : sizeof(buf))) > 0) {
		if (sup_place_write(p, buf, (size_t)n, e) < 0)
			break;
		left -= (unsigned long long)n;
	}
	close(in);
	return sup_error_set(e) ? -1 : n < 0 ? sup_error(e, "bad_rootfs", "file %s cannot be read", from) : 0;
}

int sup_place_open(struct sup_place *p, const struct sup_request *r, const struct sup_dir *d, const char *payload, size_t n,
		   struct sup_error *e)
{
	const char *part[4], *rest;
	size_t pos = 0;

	sup_place_close(p);
	for (unsigned i = 0; i < 4; i++) {
		const char *end = pos < n ? memchr(payload + pos, '\0', n - pos) : NULL;

		if (!end)
			return sup_error(e, "system", "a malformed file frame");
		part[i] = payload + pos;
		pos += (size_t)(end - part[i]) + 1;
	}
	(void)snprintf(p->name, sizeof(p->name), "%s", part[0]);
	const char *place = place_of(part[0], &rest);
	int root = openat(d->fd, place, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	uid_t uid = r->rootless ? 0 : r->map_base + r->uid;
	gid_t gid = r->rootless ? 0 : r->map_base + r->gid;

	p->fd = root < 0 ? -1 : create(rest, root, (mode_t)(strtoul(part[1], NULL, 8) & 07777), uid, gid);
	int saved = errno;

	if (root >= 0)
		close(root);
	if (p->fd < 0)
		return sup_error(e, "bad_rootfs", "cannot put file %s in place: %s", p->name, strerror(saved));
	return part[2][0] ? copy_from(p, part[2], part[3], e) : 0;
}

int sup_place_write(struct sup_place *p, const void *bytes, size_t n, struct sup_error *e)
{
	if (sbx_io_write(p->fd, bytes, n) < 0)
		return sup_error(e, "bad_rootfs", "cannot put file %s in place: %s", p->name, strerror(errno));
	return 0;
}

void sup_place_close(struct sup_place *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}
