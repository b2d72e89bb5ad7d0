/* SPDX-License-Identifier: MIT */
#include "guest_own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sbx_word.h"

#define DEPTH 200	/* descriptors: one for each directory on the way */
#define GROUPS 64

enum { OWNER, GROUP, UID, GID, GROUP_LIST, CAPABILITIES, TASKS, CWD, WORD, PATHS };

static uid_t owner;
static gid_t group;
static uint64_t word;	/* 0: nobody hears it */

static void tell(char letter, int err)
{
	if (word)
		(void)syscall(SBX_WORD_CALL, word, SBX_WORD(letter, err));
}

static __attribute__((noreturn)) void fail(char letter, const char *what)
{
	int saved = errno;

	tell(letter, saved);
	if (!word)
		(void)dprintf(2, "sandbox: %s: %s\n", what, strerror(saved));
	_exit(saved == ENOENT ? 127 : 126);
}

/* What is mounted read-only stays what it is. */
static int give_one(int dir, const char *name)
{
	return fchownat(dir, name, owner, group, AT_SYMLINK_NOFOLLOW) < 0 && errno != EROFS ? -1 : 0;
}

static int give_below(int fd, dev_t dev, int depth);

/* Not what is mounted there: a directory tells by its device. */
static int give_entry(int dir, const char *name, dev_t dev, int depth)
{
	struct stat st;
	int fd, rc;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if (!S_ISDIR(st.st_mode))
		return give_one(dir, name);
	if (st.st_dev != dev)
		return 0;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	rc = give_below(fd, dev, depth + 1);
	return rc < 0 ? -1 : give_one(dir, name);
}

/* Takes fd over. */
static int give_below(int fd, dev_t dev, int depth)
{
	DIR *d = depth > DEPTH ? NULL : fdopendir(fd);
	int rc = d ? 0 : -1;

	if (!d)
		(void)close(fd);
	for (struct dirent *e; rc == 0 && (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = give_entry(fd, e->d_name, dev, depth);
	if (d)
		(void)closedir(d);
	return rc;
}

/* And the directories that were made for it: everybody's, as no other of a root is that belongs to uid 0. */
static int give_above(char *path)
{
	struct stat st;
	char *slash;

	while ((slash = strrchr(path, '/')) && slash != path) {
		*slash = '\0';
		if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != 0 || (st.st_mode & 07777) != 0777)
			return 0;
		if (give_one(AT_FDCWD, path) < 0)
			return -1;
	}
	return 0;
}

static int give(char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0 || give_entry(AT_FDCWD, path, st.st_dev, 0) < 0)
		return -1;
	return give_above(path);
}

static int set_capabilities(uint64_t mask)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	for (unsigned i = 0; i < 2; i++) {
		uint32_t half = (uint32_t)(mask >> 32 * i);

		data[i] = (struct __user_cap_data_struct){ half, half, half };
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return -1;
	for (int cap = 0; cap < 64; cap++)
		if (mask >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return -1;
	return 0;
}

/* The bounding set goes while there is the capability to change it; the ids, before that goes that lets us. */
static int become(char **argv)
{
	uint64_t mask = strtoull(argv[CAPABILITIES], NULL, 10);
	gid_t gid = (gid_t)strtoul(argv[GID], NULL, 10), groups[GROUPS];
	uid_t uid = (uid_t)strtoul(argv[UID], NULL, 10);
	size_t n = 0;

	for (char *at = argv[GROUP_LIST]; *at && *at != '-' && n < GROUPS; at += *at == ',')
		groups[n++] = (gid_t)strtoul(at, &at, 10);
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!(mask >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -1;
	if (setgroups(n, groups) < 0 || setresgid(gid, gid, gid) < 0 || (mask && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) ||
	    setresuid(uid, uid, uid) < 0)
		return -1;
	return set_capabilities(mask);
}

/* As gVisor finds a container's program: in PATH, and nothing but what execve takes (execvp of the C library asks a shell, too). */
static void execute(char **argv)
{
	const char *path = getenv("PATH"), *end;
	char name[4096];
	int why = ENOENT;

	if (strchr(argv[0], '/')) {
		(void)execv(argv[0], argv);
		return;
	}
	for (const char *at = path ? path : "/usr/local/bin:/usr/bin:/bin"; *at; at = *end ? end + 1 : end) {
		end = strchrnul(at, ':');
		int n = snprintf(name, sizeof(name), "%.*s/%s", (int)(end - at), at, argv[0]);

		if (n < 0 || (size_t)n >= sizeof(name) || end == at)
			continue;
		(void)execv(name, argv);
		if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
			return;
		why = errno == EACCES ? EACCES : why;
	}
	errno = why;
}

void guest_own(int argc, char **argv)
{
	unsigned long paths = strtoul(argv[PATHS], NULL, 10);
	char **path = argv + GUEST_OWN_WORDS, **program = path + paths;

	owner = (uid_t)strtoul(argv[OWNER], NULL, 10);
	group = (gid_t)strtoul(argv[GROUP], NULL, 10);
	word = strtoull(argv[WORD], NULL, 16);
	if (paths >= (unsigned long)(argc - GUEST_OWN_WORDS))
		_exit(126);
	for (unsigned long i = 0; i < paths; i++)
		if (give(path[i]) < 0)
			fail(SBX_WORD_FAILED, path[i]);
	/* Our own task counts for the uid that it began as, and for no other's limit. */
	if (strcmp(argv[TASKS], "-") != 0) {
		rlim_t n = (rlim_t)strtoull(argv[TASKS], NULL, 10);

		(void)setrlimit(RLIMIT_NPROC, &(struct rlimit){ n - 1, n - 1 });
	}
	if (become(argv) < 0)
		fail(SBX_WORD_FAILED, "cannot become the program's user");
	if (chdir(argv[CWD]) < 0)
		fail(SBX_WORD_CWD, "cwd");
	tell(SBX_WORD_BECOMES, 0);
	execute(program);
	fail(SBX_WORD_EXECUTE, program[0]);
}
