/* SPDX-License-Identifier: MIT */
#include "sbx_zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sbx_fdpass.h"
#include "sbx_launch.h"

int sbx_zygote_start(struct sbx_zygote *z, const char *path)
{
	int pair[2];

	/* The kind of its socket tells the supervisor what it is to be. */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return errno;
	*z = (struct sbx_zygote){ .fd = pair[0], .owner = getpid(), .uid = geteuid(), .gid = getegid() };
	if (z->fd < 3) {	/* a host may run with its standard streams closed */
		z->fd = fcntl(pair[0], F_DUPFD_CLOEXEC, 3);
		close(pair[0]);
	}
	int err = z->fd < 0 ? EMFILE : sbx_launch(path, pair[1], -1);

	close(pair[1]);
	if (err)
		sbx_zygote_close(z);
	return err;
}

bool sbx_zygote_serves(const struct sbx_zygote *z)
{
	return z->fd >= 0 && z->owner == getpid() && z->uid == geteuid() && z->gid == getegid();
}

int sbx_zygote_spawn(struct sbx_zygote *z, int control, int line)
{
	int err = ESTALE, fd[2] = { control, line };

	if (sbx_zygote_serves(z)) {
		if (sbx_fdpass_send(z->fd, "", 1, fd, line < 0 ? 1 : 2, MSG_NOSIGNAL | MSG_DONTWAIT) == 1)
			return 0;
		err = errno;
		/* Only too much on its way: of descriptors there is a limit, too. */
		if (err == EAGAIN || err == EINTR || err == ETOOMANYREFS)
			return err;
	}
	sbx_zygote_close(z);
	return err;
}

void sbx_zygote_close(struct sbx_zygote *z)
{
	if (z->fd >= 0)
		close(z->fd);
	z->fd = -1;
}
