/* SPDX-License-Identifier: MIT
 *
 * listing DIR [LEFT-OUT…]: every file below DIR, a line each, sorted: kind and mode, owners, links and bytes (where it is no directory), the path, what a link says,
 * extended attributes; before them who we are. What begins with a path that is to be left out is not looked into. Static: it runs in any root.
 */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static char **lines, **without;
static size_t count, room;

static int is_left_out(const char *path)
{
	for (char **w = without; *w; w++)
		if (!strncmp(path, *w, strlen(*w)) && (path[strlen(*w)] == '/' || !path[strlen(*w)]))
			return 1;
	return 0;
}

/* Ours have one. */
static void attributes(FILE *out, const char *path)
{
	char names[4096], value[256];
	ssize_t n = llistxattr(path, names, sizeof(names));

	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
		ssize_t size = lgetxattr(path, names + at, value, sizeof(value));

		if (!strncmp(names + at, "security.selinux", 16))
			continue;
		fprintf(out, " %s=", names + at);
		for (ssize_t i = 0; i < size; i++)
			fprintf(out, "%02x", (unsigned char)value[i]);
	}
}

static int visit(const char *path, const struct stat *st, int flag, struct FTW *where)
{
	static const char kinds[] = "?pc?d?b?-?l?s???";
	char *line = NULL, to[4096];
	size_t size;

	(void)flag;
	(void)where;
	if (is_left_out(path))
		return FTW_SKIP_SUBTREE;
	FILE *out = open_memstream(&line, &size);

	if (!out)
		return -1;
	fprintf(out, "%s %c%04o %u:%u", path, kinds[(st->st_mode & S_IFMT) >> 12], st->st_mode & 07777, st->st_uid, st->st_gid);
	if (!S_ISDIR(st->st_mode))
		fprintf(out, " %lu %lld", (unsigned long)st->st_nlink, (long long)st->st_size);
	if (S_ISLNK(st->st_mode)) {
		ssize_t n = readlink(path, to, sizeof(to));

		fprintf(out, " -> %.*s", n < 0 ? 0 : (int)n, to);
	}
	attributes(out, path);
	(void)fclose(out);
	if (count == room)
		lines = realloc(lines, (room = room * 2 + 1024) * sizeof(*lines));
	lines[count++] = line;
	return FTW_CONTINUE;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	printf("as %u:%u\n", (unsigned)getuid(), (unsigned)getgid());
	without = argv + 2;
	if (chdir(argv[1]) < 0 || nftw(".", visit, 32, FTW_PHYS | FTW_ACTIONRETVAL) != 0) {
		perror(argv[1]);
		return 1;
	}
	qsort(lines, count, sizeof(*lines), by_bytes);
	for (size_t i = 0; i < count; i++)
		puts(lines[i]);
	return 0;
}
