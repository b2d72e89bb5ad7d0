/* SPDX-License-Identifier: MIT */
#include "sup_judge.h"

#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

static struct sup_verdict of_status(int status)
{
	if (WIFSIGNALED(status))
		return (struct sup_verdict){ SUP_SIGNALED, WTERMSIG(status) };
	return (struct sup_verdict){ SUP_EXITED, WEXITSTATUS(status) };
}

/* What runsc returned, where no trace told better: 128 + n is a guest that died of signal n. */
static struct sup_verdict of_runsc(int status)
{
	int code = WEXITSTATUS(status);

	if (!WIFEXITED(status))
		return (struct sup_verdict){ SUP_CRASHED, 0 };
	if (code > 128 && code < 128 + NSIG)
		return (struct sup_verdict){ SUP_SIGNALED, code - 128 };
	return (struct sup_verdict){ SUP_EXITED, code };
}

static bool we_killed(const struct sup_facts *f) { return f->reason != SUP_EXITED; }
static bool kernel_killed(const struct sup_facts *f) { return f->oom_kills > 0 && f->started; }
/* 128 + n of runsc's has two meanings: where the trace's last word fits, it says which. */
static bool told_alike(const struct sup_facts *f)
{
	int code = WEXITSTATUS(f->runsc_status), st = f->guest_status;

	return f->guest_told && f->runsc_ended && WIFEXITED(f->runsc_status) && code == (WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st));
}
static bool told_by_trace(const struct sup_facts *f) { return f->guest_ended; }
static bool never_started(const struct sup_facts *f) { return f->traced ? !f->started : f->runsc_failed; }
/* A sandbox whose trace ended without the guest's end was killed from outside or crashed; never the guest's doing. */
static bool crashed(const struct sup_facts *f) { return !f->runsc_ended || f->runsc_failed || (f->traced && !f->lossy); }

static struct sup_verdict by_reason(const struct sup_facts *f) { return (struct sup_verdict){ f->reason, 0 }; }
static struct sup_verdict by_oom(const struct sup_facts *f) { (void)f; return (struct sup_verdict){ SUP_OOM_KILLED, 0 }; }
static struct sup_verdict by_trace(const struct sup_facts *f) { return of_status(f->guest_status); }
static struct sup_verdict by_absence(const struct sup_facts *f) { (void)f; return (struct sup_verdict){ SUP_NOT_STARTED, 0 }; }
static struct sup_verdict by_crash(const struct sup_facts *f) { (void)f; return (struct sup_verdict){ SUP_CRASHED, 0 }; }
static struct sup_verdict by_runsc(const struct sup_facts *f) { return of_runsc(f->runsc_status); }
static bool always(const struct sup_facts *f) { (void)f; return true; }

/* The first row that holds decides. */
static const struct {
	bool (*holds)(const struct sup_facts *);
	struct sup_verdict (*verdict)(const struct sup_facts *);
} rules[] = {
	{ we_killed, by_reason },
	{ kernel_killed, by_oom },
	{ told_by_trace, by_trace },
	{ never_started, by_absence },
	{ crashed, by_crash },
	{ told_alike, by_trace },
	{ always, by_runsc },
};

struct sup_verdict sup_judge(const struct sup_facts *f)
{
	size_t i = 0;

	while (!rules[i].holds(f))
		i++;
	return rules[i].verdict(f);
}

const char *sup_judge_status(enum sup_outcome o)
{
	static const char *const words[] = {
		[SUP_EXITED] = "exited", [SUP_SIGNALED] = "signaled", [SUP_TIMED_OUT] = "timed_out",
		[SUP_OOM_KILLED] = "oom_killed", [SUP_CPU_EXCEEDED] = "cpu_exceeded",
		[SUP_OUTPUT_EXCEEDED] = "output_exceeded", [SUP_KILLED] = "killed",
		[SUP_PIDS_EXCEEDED] = "killed", [SUP_IDLE] = "timed_out",
	};

	return (size_t)o < sizeof(words) / sizeof(words[0]) ? words[o] : NULL;
}
