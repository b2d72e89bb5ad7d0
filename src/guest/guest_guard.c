/* SPDX-License-Identifier: MIT */
#include "guest_guard.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* The low half of an argument on the architectures that gVisor runs on; flags and requests have no other. */
#define ARG(n) ((unsigned)(offsetof(struct seccomp_data, args) + (n) * sizeof(__u64)))
#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)(offset))
#define IF(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(value), yes, no)
#define IF_SET(bits, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (unsigned)(bits), yes, no)
#define ANSWER(what) BPF_STMT(BPF_RET | BPF_K, what)

int guest_guard(bool traced)
{
	/* Jumps skip so many lines. */
	struct sock_filter code[] = {
		LOAD(offsetof(struct seccomp_data, nr)),
		IF(SYS_clone3, 12, 0),
		IF(SYS_unshare, 8, 0),
		IF(SYS_clone, 7, 0),
		IF(traced ? SYS_ptrace : -1, 0, 10),
		LOAD(ARG(0)),
		IF(PTRACE_SYSCALL, 6, 0),
		IF(PTRACE_SETOPTIONS, 1, 0),
		IF(PTRACE_SEIZE, 0, 6),
		LOAD(ARG(3)),
		IF_SET(PTRACE_O_TRACESECCOMP, 2, 4),
		LOAD(ARG(0)),
		IF_SET(CLONE_NEWUSER, 0, 2),
		ANSWER(SECCOMP_RET_ERRNO | EPERM),
		ANSWER(SECCOMP_RET_ERRNO | ENOSYS),
		ANSWER(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -1 : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
