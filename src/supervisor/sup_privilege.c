/* SPDX-License-Identifier: MIT */
#include "sup_privilege.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sup_arch.h"

#define KEPT_MAX 8

static const struct {
	bool permitted;		/* all stays permitted: others will need it */
	bool alone;		/* starts no program: nothing new, and the filter */
	int n;
	cap_value_t kept[KEPT_MAX];
} kinds[] = {
	[SUP_PRIVILEGE_ZYGOTE] = { .permitted = true },
	/* The sandbox's processes are of mapped users, and so is what they leave; its memory is read below /proc; mounts are taken down.
	 * `runsc kill` gets by its execve what it needs: the bounding set stays. */
	[SUP_PRIVILEGE_RUN] = { .n = 5, .kept = { CAP_KILL, CAP_SYS_PTRACE, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_SYS_ADMIN } },
	[SUP_PRIVILEGE_TOOL] = { .n = 0 },
	[SUP_PRIVILEGE_COMMAND] = { .n = 1, .kept = { CAP_KILL } },
	[SUP_PRIVILEGE_EXEC] = { .alone = true },
};

/* The calls that an exec's supervisor has no use for, and an intruder would begin with. */
static const unsigned refused[] = {
	SYS_execve, SYS_execveat, SYS_clone, SYS_clone3, SYS_unshare, SYS_setns, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot,
	SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup,
	SYS_open_by_handle_at, SYS_init_module, SYS_finit_module, SYS_kexec_load, SYS_reboot, SYS_keyctl, SYS_add_key, SYS_request_key,
	SYS_move_mount, SYS_fsopen, SYS_open_tree, SYS_mount_setattr, SYS_pidfd_getfd, SYS_delete_module,
#ifdef SYS_fork		/* not on arm64 */
	SYS_fork, SYS_vfork,
#endif
};
#define REFUSED (sizeof(refused) / sizeof(refused[0]))

static void filter(void)
{
	struct sock_filter code[REFUSED + 7];
	unsigned n = 0;

	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SUP_ARCH, 0, REFUSED + 3);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	/* x86-64's second set of numbers (x32) has the same calls. */
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, REFUSED + 1, 0);
	for (unsigned i = 0; i < REFUSED; i++)
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refused[i], (unsigned char)(REFUSED - i), 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	struct sock_fprog prog = { .len = (unsigned short)n, .filter = code };

	(void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

/* The effective and, unless they stay, the permitted ones: those of `kept` that there are. */
static void keep(const cap_value_t *kept, int n, bool permitted)
{
	cap_t have = cap_get_proc(), want = cap_init();
	cap_flag_value_t has;

	for (int i = 0; have && want && i < n; i++)
		if (cap_get_flag(have, kept[i], CAP_PERMITTED, &has) == 0 && has == CAP_SET) {
			(void)cap_set_flag(want, CAP_EFFECTIVE, 1, &kept[i], CAP_SET);
			(void)cap_set_flag(want, CAP_PERMITTED, 1, &kept[i], CAP_SET);
		}
	if (have && permitted)
		(void)cap_clear_flag(have, CAP_EFFECTIVE);
	if (have && want)
		(void)cap_set_proc(permitted ? have : want);
	(void)cap_free(have);
	(void)cap_free(want);
}

void sup_privilege_keep(enum sup_privilege kind)
{
	bool root = geteuid() == 0;

	if (kind == SUP_PRIVILEGE_ALL)
		return;
	if (kinds[kind].alone)
		(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (root) {
		keep(kinds[kind].kept, kinds[kind].n, kinds[kind].permitted);
		/* A user's tools may look at their own processes; root's have no need of this. */
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	}
	if (kinds[kind].alone)
		filter();
}

void sup_privilege_rootless(void)
{
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

void sup_privilege_restore(void)
{
	cap_t have = cap_get_proc();
	cap_flag_value_t has;

	for (cap_value_t cap = 0; have && cap <= CAP_LAST_CAP; cap++)
		if (cap_get_flag(have, cap, CAP_PERMITTED, &has) == 0)
			(void)cap_set_flag(have, CAP_EFFECTIVE, 1, &cap, has);
	if (have)
		(void)cap_set_proc(have);
	(void)cap_free(have);
}
