/* SPDX-License-Identifier: MIT */
#include "sup_kind.h"

#include <signal.h>

#include "sbx_time.h"
#include "sup_run.h"
#include "sup_sweep.h"

const struct sup_kind *sup_kind_of(enum sup_mode mode)
{
	static const struct sup_kind *const kinds[SUP_MODES] = {
		[SUP_MODE_RUN] = &sup_kind_run, [SUP_MODE_BOX] = &sup_kind_box, [SUP_MODE_EXEC] = &sup_kind_exec,
		[SUP_MODE_COMMAND] = &sup_kind_command, [SUP_MODE_CALL] = &sup_kind_call, [SUP_MODE_TOOL] = &sup_kind_tool,
		[SUP_MODE_SWEEP] = &sup_kind_sweep,
	};

	return kinds[mode];
}

static int start(struct sup_run *s)
{
	s->child = sup_spawn_tool(&s->spawn, &s->error);
	s->trace.started = s->child > 0;
	return s->child > 0 ? 0 : -1;
}

static bool goes_on(const struct sup_run *s)
{
	return s->child > 0;
}

static void stop(struct sup_run *s)
{
	if (s->child > 0)
		(void)kill(s->child, SIGKILL);
}

/* It tells itself how it ended. */
static void facts(struct sup_run *s, struct sup_facts *f, char said[SUP_KIND_SAID])
{
	(void)said;
	f->guest_ended = s->child < 0;
	f->guest_status = s->child_status;
}

static struct sup_stats usage(struct sup_run *s)
{
	(void)s;
	return (struct sup_stats){ 0 };
}

const struct sup_kind sup_kind_tool = {
	.streams = true, .start = start, .goes_on = goes_on, .stop = stop, .facts = facts, .usage = usage, .privilege = SUP_PRIVILEGE_TOOL,
};

static int sweep(struct sup_run *s)
{
	sup_privilege_keep(SUP_PRIVILEGE_RUN);	/* it removes what a run would have */
	s->removed = sup_sweep(s->request.state_dir, &s->error);
	return s->removed < 0 ? -1 : 0;
}

const struct sup_kind sup_kind_sweep = { .start = sweep };
