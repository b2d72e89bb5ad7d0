/* SPDX-License-Identifier: MIT */
#include "sup_cgroup_part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "sbx_io.h"

int sup_cgroup_because(struct sup_cgroup *c, const char *fmt, ...)
{
	va_list ap;

	if (c->why[0])
		return -1;
	va_start(ap, fmt);
	(void)vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
	return -1;
}

const char *sup_cgroup_remedy(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
		return "it is not delegated to this user (systemd-run --user --scope -p Delegate=yes, or Delegate=yes and"
		       " DelegateSubgroup= in the service; of cgroup v1 one that root has made and chowned, as cgroup_parent)";
	case EROFS:
		return "it is mounted read-only (as containers do; mount it writable)";
	case EBUSY:
		return "there are processes in it (move them to a group below it, as systemd's DelegateSubgroup= does, or give"
		       " an empty one as cgroup_parent)";
	case ENOENT:
		return "it is not there (mkdir), or a controller is not enabled above it (echo +memory +pids >cgroup.subtree_control)";
	case EAGAIN:
		return "there are as many groups as may be (cgroup.max.descendants, cgroup.max.depth)";
	default:
		return strerror(error);
	}
}

int sup_cgroup_own_path(const char *controller, char *out, size_t size)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[1024];
	int rc = -1;

	while (f && rc < 0 && fgets(line, sizeof(line), f)) {
		char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		bool found = *controller ? false : !names[1];

		for (char *save = NULL, *t = strtok_r(names + 1, ",", &save); t && *controller; t = strtok_r(NULL, ",", &save))
			found = found || !strcmp(t, controller);
		if (found)
			rc = snprintf(out, size, "%s", strcmp(path, "/") ? path : "") < (int)size ? 0 : -1;
	}
	if (f)
		fclose(f);
	return rc;
}

int sup_cgroup_mount_point(const char *controller, char *out, size_t size)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[2048];
	int rc = -1;

	while (f && rc < 0 && fgets(line, sizeof(line), f)) {
		char root[512], point[512], type[32], options[512];
		char *dash = strstr(line, " - ");

		if (!dash || sscanf(line, "%*s %*s %*s %511s %511s", root, point) != 2 ||
		    sscanf(dash, " - %31s %*s %511s", type, options) != 2)
			continue;
		bool found = *controller ? false : !strcmp(type, "cgroup2");

		for (char *save = NULL, *t = strtok_r(options, ",", &save); t && *controller; t = strtok_r(NULL, ",", &save))
			found = found || (!strcmp(type, "cgroup") && !strcmp(t, controller));
		if (found)
			rc = snprintf(out, size, "%s", point) < (int)size ? 0 : -1;
	}
	if (f)
		fclose(f);
	return rc;
}

/* What a limit's file says where there is none: the kernel's Documentation/admin-guide/cgroup-v2.rst. */
static const char *const limits[][2] = {
	{ "memory.max", "max\n" }, { "memory.high", "max\n" }, { "cpu.max", "max " }, { "cpuset.cpus", "\n" }, { "pids.max", "max\n" },
};

/* Takes the last part of a path away; false: it is the one at the top. */
static bool up(char *path, size_t top)
{
	char *slash = strrchr(path, '/');

	if (!slash || (size_t)(slash - path) <= top)
		return false;
	*slash = '\0';
	return true;
}

bool sup_cgroup_bound(const char *point, const char *own, char *limit, size_t size)
{
	char path[1100], text[256];

	(void)snprintf(path, sizeof(path), "%s%s", point, own);
	for (bool more = own[0]; more; more = up(path, strlen(point)))
		for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
			(void)snprintf(limit, size, "%s/%s", path, limits[i][0]);
			if (sbx_io_read_at(AT_FDCWD, limit, text, sizeof(text)) > 0 && strncmp(text, limits[i][1], strlen(limits[i][1])) != 0)
				return true;
		}
	return false;
}

bool sup_cgroup_given(const char *point, const char *own)
{
	static const char *const marks[] = { "trusted.delegate", "user.delegate" };	/* systemd's src/core/cgroup.c */
	char path[1100], value[8];

	(void)snprintf(path, sizeof(path), "%s%s", point, own);
	for (bool more = own[0]; more; more = up(path, strlen(point)))
		for (unsigned i = 0; i < 2; i++)
			if (getxattr(path, marks[i], value, sizeof(value)) > 0 && value[0] == '1')
				return true;
	return false;
}
