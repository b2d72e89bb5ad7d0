/* SPDX-License-Identifier: MIT
 *
 * guest_files and guest_unpack: the helper in a sandbox, told what to do by bytes of any kind, in a file system of its own that is
 * another one's root while it runs. The first byte says which of the two.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest_files.h"
#include "guest_pack.h"
#include "sbx_wire.h"

static int outside, inside, input;

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st;
	(void)flag;
	if (at->level)
		(void)remove(path);
	return 0;
}

/* Never on the machine's own files: without a root of its own it does nothing. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char dir[] = "/tmp/sbx-fuzz-XXXXXX";

	(void)argc;
	(void)argv;
	outside = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	MUST(unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0);
	MUST(mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) == 0 && mkdtemp(dir));
	MUST(mount("fuzz", dir, "tmpfs", MS_NOSUID | MS_NODEV, "size=8m,nr_inodes=2000") == 0);
	inside = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	input = memfd_create("fuzz", MFD_CLOEXEC);
	MUST(outside >= 0 && inside >= 0 && input >= 0);
	/* Outside of here it is empty, and goes. */
	pid_t pid = fork();

	if (pid == 0) {
		(void)umount2(dir, MNT_DETACH);
		_exit(rmdir(dir) < 0);
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static int runs, null = -1;
	int in, out, cwd;

	if (!n)
		return 0;
	if (null < 0)
		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	in = dup(0);
	out = dup(1);
	cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	MUST(in >= 0 && out >= 0 && cwd >= 0 && null >= 0);
	MUST(ftruncate(input, 0) == 0 && pwrite(input, bytes + 1, n - 1, 0) == (ssize_t)n - 1 && lseek(input, 0, SEEK_SET) == 0);
	MUST(dup2(input, 0) == 0 && dup2(null, 1) == 1);
	MUST(fchdir(inside) == 0 && chroot(".") == 0);
	if (runs++ % 64 == 0)
		(void)nftw("/", remove_one, 16, FTW_DEPTH | FTW_PHYS);
	(void)(bytes[0] & 1 ? guest_unpack("/") : guest_files(0));
	MUST(fchdir(outside) == 0 && chroot(".") == 0 && fchdir(cwd) == 0);
	MUST(dup2(in, 0) == 0 && dup2(out, 1) == 1);
	(void)close(in);
	(void)close(out);
	(void)close(cwd);
	return 0;
}
