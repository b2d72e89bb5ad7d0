/* SPDX-License-Identifier: MIT */
#include "sbx_fdpass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

ssize_t sbx_fdpass_send(int sock, const void *bytes, size_t n, const int *fd, unsigned count, int flags)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * SBX_FDPASS_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec v = { .iov_base = (void *)bytes, .iov_len = n };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	if (count > SBX_FDPASS_MAX) {
		errno = EINVAL;
		return -1;
	}
	if (count) {
		memset(&control, 0, sizeof(control));
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(&control.align), fd, sizeof(int) * count);
	}
	return sendmsg(sock, &m, flags);
}

int sbx_fdpass_receive(int sock, int *fd, unsigned max)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * SBX_FDPASS_MAX)];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec v = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control.bytes,
			    /* no padding, in which there is room for one more */
			    .msg_controllen = CMSG_LEN(sizeof(int) * (max < SBX_FDPASS_MAX ? max : SBX_FDPASS_MAX)) };
	ssize_t n;

	while ((n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
		;
	struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;

	if (!head || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
		return -1;
	size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	memcpy(fd, CMSG_DATA(head), count * sizeof(int));
	return (int)count;
}
