/* SPDX-License-Identifier: MIT */
#include "sbx_zygote.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sbx_fdpass.h"
#include "sbx_launch.h"

int sbx_zygote_start(struct sbx_zygote *z, const char *path)
{
	int pair[2];

	z->fd = SBX_FD_NONE;
	/* The kind of its socket tells the supervisor what it is to be. */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return errno;
	sbx_self_read(&z->owner, pair[0]);
	int err = sbx_fd_take(&z->fd, pair[0]) < 0 ? errno : sbx_launch(path, pair[1], -1);

	close(pair[1]);
	if (err)
		sbx_zygote_close(z);
	return err;
}

bool sbx_zygote_serves(const struct sbx_zygote *z, int fresh)
{
	struct sbx_self now;

	if (sbx_fd_get(&z->fd) < 0)
		return false;
	sbx_self_read(&now, fresh);
	return sbx_self_same(&z->owner, &now);
}

int sbx_zygote_spawn(struct sbx_zygote *z, int control, int line, bool again)
{
	int err = ESTALE, fd[2] = { control, line };

	if (again ? sbx_fd_get(&z->fd) >= 0 : sbx_zygote_serves(z, line < 0 ? control : line)) {
		if (sbx_fdpass_send(z->fd.number, "", 1, fd, line < 0 ? 1 : 2, MSG_NOSIGNAL | MSG_DONTWAIT) == 1)
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
	sbx_fd_close(&z->fd);
}
