/* SPDX-License-Identifier: MIT */
#include "sup_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/mount.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sbx_io.h"
#include "sup_spawn.h"

#define MKFS "/usr/sbin/mkfs.ext4"

/* Others take free loop devices, too: so often one is looked for. */
#define TRIES 1000

/* What a user of volumes does where there can be none of a size. */
#define REMEDY "; or keep it without a size, and let volume_dir be a file system of the size that all may have"

/* A loop device over the file: open, and its path. -1, errno, and the path of what could not be had. */
static int attach(int file, bool readonly, char path[32])
{
	struct loop_config config = { .fd = (uint32_t)file, .info.lo_flags = LO_FLAGS_AUTOCLEAR | (readonly ? LO_FLAGS_READ_ONLY : 0) };
	int control, fd = -1, rc = -1;

	(void)snprintf(path, 32, "/dev/loop-control");
	control = open(path, O_RDWR | O_CLOEXEC);
	for (int i = 0; control >= 0 && rc < 0 && i < TRIES; i++) {
		int n = ioctl(control, LOOP_CTL_GET_FREE);

		if (n < 0)
			break;
		(void)snprintf(path, 32, "/dev/loop%d", n);
		fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		rc = fd < 0 ? -1 : ioctl(fd, LOOP_CONFIGURE, &config);
		int saved = errno;

		if (fd >= 0 && rc < 0)
			(void)close(fd);
		errno = saved;
		if (rc < 0 && saved != EBUSY)
			break;
	}
	int saved = errno;

	if (control >= 0)
		(void)close(control);
	errno = saved;
	return rc < 0 ? -1 : fd;
}

/* The file keeps its blocks (nodiscard), and no thread of the kernel's writes what is empty (noinit_itable). */
static int mount_device(const char *path, bool readonly)
{
	static const char *const flags[] = { "nodiscard", "noinit_itable", "ro" };
	int fs = (int)syscall(SYS_fsopen, "ext4", FSOPEN_CLOEXEC), m = -1;
	int rc = fs < 0 ? -1 : (int)syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source", path, 0);

	for (unsigned i = 0; rc == 0 && i < (readonly ? 3u : 2u); i++)
		rc = (int)syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, flags[i], NULL, 0);
	if (rc == 0)
		rc = (int)syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (rc == 0)
		m = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (readonly ? MOUNT_ATTR_RDONLY : 0));
	int saved = errno;

	if (fs >= 0)
		(void)close(fs);
	errno = saved;
	return m;
}

int sup_disk_mount(int file, const char *name, bool readonly, struct sup_error *e)
{
	char path[32];
	int loop = attach(file, readonly, path), m;

	if (loop < 0)
		return sup_error(e, "not_supported", "volume %s cannot have a size here: a loop device is needed, and %s: %s (modprobe loop; a container has to be"
				 " given it and /dev/loopN)" REMEDY, name, path, strerror(errno));
	m = mount_device(path, readonly);
	int saved = errno;

	(void)close(loop);	/* the mount has it */
	if (m < 0 && readonly && saved == EROFS)
		return sup_error(e, "not_supported", "volume %s was in use when the machine went down: let it be mounted once by one who may write it", name);
	return m < 0 ? sup_error(e, "not_supported", "volume %s cannot have a size here: ext4 cannot be mounted: %s" REMEDY, name, strerror(saved)) : m;
}

/* Waits for mkfs: its status. -1: the host has gone, and it with that. */
static int wait_for(pid_t pid, const struct sup_host *h)
{
	int status = -1;
	pid_t got;

	while ((got = waitpid(pid, &status, WNOHANG)) == 0 || (got < 0 && errno == EINTR))
		if (sup_host_sleep(h, 0.002) < 0) {
			(void)kill(pid, SIGKILL);
			(void)waitpid(pid, &status, 0);
			return -1;
		}
	return got < 0 || !WIFEXITED(status) ? SUP_SPAWN_NO_EXEC : WEXITSTATUS(status);
}

/* Its standard input is the file: no path leads to it yet. */
static int format(int file, const char *name, const struct sup_request *r, const struct sup_host *h, struct sup_error *e)
{
	static const char *const argv[] = { MKFS, "-q", "-F", "-m", "0", "-e", "remount-ro", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", "/proc/self/fd/0", NULL };
	char said[200] = "";
	int words = memfd_create("mkfs", MFD_CLOEXEC), rc;
	struct sup_spawn s = { .request = r, .stdio = { file, -1, words } };
	pid_t pid = words < 0 ? sup_error(e, "system", "no memory for what mkfs.ext4 says") : sup_spawn_argv(&s, (char *const *)argv, e);

	rc = pid < 0 ? -1 : wait_for(pid, h);
	if (pid >= 0 && rc < 0)
		(void)sup_error(e, "closed", "the host has gone");
	else if (rc == 127)
		(void)sup_error(e, "not_supported", "volume %s cannot have a size here: there is no " MKFS " (Debian: apt install e2fsprogs)" REMEDY, name);
	else if (rc > 0) {
		ssize_t n = pread(words, said, sizeof(said) - 1, 0);

		said[n > 0 ? n : 0] = '\0';
		said[strcspn(said, "\n")] = '\0';
		(void)sup_error(e, "not_supported", "volume %s cannot have this size: mkfs.ext4 says %s", name, said);
	}
	if (words >= 0)
		(void)close(words);
	return rc == 0 ? 0 : -1;
}

/* Its root as a volume's is that has no size. */
static int open_to_all(int file, const char *name, struct sup_error *e)
{
	int m = sup_disk_mount(file, name, false, e), rc;

	if (m < 0)
		return -1;
	(void)unlinkat(m, "lost+found", AT_REMOVEDIR);
	rc = fchmodat(m, ".", 0777, 0);
	if (rc < 0)
		(void)sup_error(e, "system", "volume %s: %s", name, strerror(errno));
	(void)close(m);
	return rc;
}

int sup_disk_make(int dir, const char *name, uint64_t size, const struct sup_request *r, const struct sup_host *h, struct sup_error *e)
{
	char self[40];
	int file = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), rc = -1;

	/*
	 * The lock is the loop device's, too: who finds the name has to wait until that is gone. The size is taken from the disk now: where that
	 * was full later, what is written would be lost, and gVisor's guest would not be told, even by fsync.
	 */
	if (file < 0 || flock(file, LOCK_EX) < 0 || fallocate(file, 0, 0, (off_t)size) < 0) {
		(void)sup_error(e, "not_supported", "volume %s cannot have this size here: volume_dir cannot hold a file of %llu bytes (%s): %s" REMEDY, name,
				(unsigned long long)size, file < 0 ? "O_TMPFILE" : "fallocate", strerror(errno));
	} else if (format(file, name, r, h, e) == 0 && open_to_all(file, name, e) == 0) {
		(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", file);
		rc = fsync(file) < 0 || (linkat(AT_FDCWD, self, dir, name, AT_SYMLINK_FOLLOW) < 0 && errno != EEXIST) ?
		     sup_error(e, "system", "volume %s: %s", name, strerror(errno)) : 0;
	}
	if (file >= 0)
		(void)close(file);
	return rc;
}
