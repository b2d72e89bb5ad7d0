/* SPDX-License-Identifier: MIT */
#include "sup_frame.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sbx_time.h"

/* --- up to G -------------------------------------------------------------------------------------------------------------- */

static void on_request(struct sup_run *s, const unsigned char *payload, uint32_t n)
{
	char *copy = malloc((size_t)n + 1);

	if (s->phase == SUP_PHASE_ATTACHED) {	/* to its box, some time ago: the time begins now */
		sup_request_destroy(&s->request);
		s->born = sbx_time_now();
	}
	s->phase = SUP_PHASE_REQUEST;
	if (!copy) {
		(void)sup_error(&s->error, "system", "no memory for the request");
		return;
	}
	memcpy(copy, payload, n);
	copy[n] = '\0';
	if (sup_request_parse(&s->request, copy, n, &s->error) < 0)
		return;
	s->kind = sup_kind_of(s->request.mode);
	s->spawn.request = &s->request;
	if (s->kind->prepare)
		(void)s->kind->prepare(s);
}

#define AWAIT_TICK 0.003

/*
 * Until the box has started, which its supervisor tells in its record. It makes that before it waits for a turn to boot: one
 * that does not appear, or is there no more, is no box.
 */
static int await_box(struct sup_run *s)
{
	struct sup_request *r = &s->request;
	double limit = sbx_time_now() + r->boot_timeout;
	bool seen = false;

	while (!r->box_pid) {
		struct sup_dir dir = SUP_DIR_NONE;
		int fd = sup_dir_open(&dir, r->box) < 0 ? -1 : sup_stats_open(dir.fd);
		struct sup_stats box = sup_stats_read(fd);

		sup_dir_close(&dir);
		if (fd >= 0)
			(void)close(fd);
		seen = seen || fd >= 0;
		if (box.ended || (fd < 0 && (seen || sbx_time_now() > limit)) || sup_host_sleep(s->host, box.pid ? 0 : AWAIT_TICK) < 0)
			return sup_error(&s->error, "closed", "the box is gone");
		r->box_pid = (uint32_t)box.pid;
	}
	return 0;
}

static void on_attach(struct sup_run *s, const unsigned char *payload, uint32_t n)
{
	static const char armed[] = "armed=1";
	struct sup_request *r = &s->request;

	on_request(s, payload, n);
	s->phase = SUP_PHASE_ATTACHED;
	if (!sup_error_set(&s->error) && s->kind != &sup_kind_exec)
		(void)sup_error(&s->error, "system", "only a program over a box's control socket can be attached ahead");
	if (sup_error_set(&s->error) || (r->await && await_box(s) < 0) || sup_exec_attach(&s->exec, &sup_exec_control, &s->error) < 0 ||
	    (r->first && sup_exec_first(&s->exec, r->first, &s->error) < 0)) {
		s->host_gone = r->first != NULL;	/* the end tells a pool that it has to see for itself */
	} else if (r->first) {
		(void)sup_host_put(s->host, SBX_WIRE_STARTED, armed, sizeof(armed));
		(void)sup_host_flush(s->host);
	}
}

static void on_config(struct sup_run *s, const unsigned char *payload, uint32_t n)
{
	if (s->configured)
		(void)sup_error(&s->error, "system", "a second configuration");
	else
		s->configured = s->kind->config(s, payload, n) == 0;
}

static void on_file(struct sup_run *s, const unsigned char *payload, uint32_t n)
{
	(void)sup_place_open(&s->place, &s->request, &s->dir, (const char *)payload, n, &s->error);
}

static void on_data(struct sup_run *s, const unsigned char *payload, uint32_t n)
{
	if (s->place.fd < 0)
		(void)sup_error(&s->error, "system", "data of no file");
	else
		(void)sup_place_write(&s->place, payload, n, &s->error);
}

static void on_go(struct sup_run *s, const unsigned char *payload, uint32_t n)
{
	(void)payload;
	(void)n;
	sup_place_close(&s->place);
	if (s->phase != SUP_PHASE_REQUEST)
		(void)sup_error(&s->error, "system", "no request came");
	else if (s->kind->config && !s->configured)
		(void)sup_error(&s->error, "system", "no configuration came");
	s->phase = SUP_PHASE_TURN;
}

/* --- after it ------------------------------------------------------------------------------------------------------------- */

static void on_stdin(struct sup_run *s, const unsigned char *payload, uint32_t n)
{
	s->pace_output = (struct sup_pace){ 0 };	/* an answer to what the guest wrote, perhaps: a talk is no flood */
	if (sup_pump_feed(&s->pump, payload, n) < 0)
		s->host_gone = true;
}

static void on_stdin_end(struct sup_run *s, const unsigned char *payload, uint32_t n)
{
	(void)payload;
	(void)n;
	sup_pump_feed_end(&s->pump);
}

void sup_frame_signal(struct sup_run *s, int signo)
{
	if (s->phase < SUP_PHASE_TURN) {	/* given up before it began */
		s->reason = SUP_KILLED;
		(void)sup_error(&s->error, "closed", "killed before the start");
	} else if (s->phase > SUP_PHASE_RUN || signo >= 64 || signo < 0) {
		return;		/* to nobody: it has ended */
	} else if (signo == 0 || signo == SIGKILL) {
		sup_run_end(s, SUP_KILLED);
	} else if (s->phase < SUP_PHASE_RUN) {
		s->pending_signals |= 1ull << signo;
	} else if (s->kind->signal) {
		s->kind->signal(s, signo);
	}
}

static void on_kill(struct sup_run *s, const unsigned char *payload, uint32_t n)
{
	sup_frame_signal(s, n ? payload[0] : 0);
}

static void on_lease(struct sup_run *s, const unsigned char *payload, uint32_t n)
{
	if (s->phase == SUP_PHASE_RUN && sup_request_update(&s->request, (const char *)payload, n, &s->error) == 0)
		s->kind->lease(s);
}

static void on_busy(struct sup_run *s, const unsigned char *payload, uint32_t n)
{
	s->programs += n && payload[0] ? 1u : s->programs ? -1u : 0u;
	s->idle_since = sbx_time_now();
}

static void on_network(struct sup_run *s, const unsigned char *payload, uint32_t n)
{
	static const char gone[] = "say=error\0text=sandbox-net has ended";

	if (sup_net_policy(&s->net, payload, n) == 0)
		return;
	if (s->phase == SUP_PHASE_REQUEST)
		(void)sup_net_gone(&s->error);
	else
		(void)sup_host_put(s->host, SBX_WIRE_NETWORK, gone, sizeof(gone));
}

#define IN(phase) (1u << SUP_PHASE_##phase)
#define OF(mode) (1u << SUP_MODE_##mode)
#define BEFORE_GO (IN(NEW) | IN(ATTACHED) | IN(REQUEST))
#define STARTED (IN(RUN) | IN(DRAIN) | IN(LINGER))
#define AFTER_GO (IN(TURN) | IN(BOOT) | STARTED)
#define SANDBOX (OF(RUN) | OF(BOX))
#define PROGRAM (OF(EXEC) | OF(COMMAND))
#define ALL ((1u << SUP_MODES) - 1)

/* Which frame may come when, and for which kinds of run. What comes after an end may have been sent before that was known. */
static const struct frame {
	uint8_t type;
	unsigned phases, modes;
	void (*take)(struct sup_run *s, const unsigned char *payload, uint32_t n);
} frames[] = {
	{ SBX_WIRE_ATTACH, IN(NEW), ALL, on_attach },
	{ SBX_WIRE_REQUEST, IN(NEW) | IN(ATTACHED), ALL, on_request },
	{ SBX_WIRE_CONFIG, IN(REQUEST), SANDBOX | PROGRAM | OF(CALL), on_config },
	{ SBX_WIRE_FILE, IN(REQUEST), SANDBOX, on_file },
	{ SBX_WIRE_DATA, IN(REQUEST), SANDBOX, on_data },
	{ SBX_WIRE_NETWORK, IN(REQUEST) | IN(TURN) | IN(BOOT) | STARTED, SANDBOX, on_network },
	{ SBX_WIRE_GO, BEFORE_GO, ALL, on_go },
	{ SBX_WIRE_STDIN, AFTER_GO, SANDBOX | PROGRAM | OF(TOOL), on_stdin },
	{ SBX_WIRE_STDIN_END, AFTER_GO, SANDBOX | PROGRAM | OF(TOOL), on_stdin_end },
	{ SBX_WIRE_KILL, BEFORE_GO | AFTER_GO, ALL, on_kill },
	{ SBX_WIRE_LEASE, STARTED, OF(BOX) | PROGRAM, on_lease },
	{ SBX_WIRE_BUSY, AFTER_GO, OF(BOX), on_busy },
};

void sup_frame_take(struct sup_run *s, uint8_t type, const unsigned char *payload, uint32_t n)
{
	const struct frame *f = frames, *end = frames + sizeof(frames) / sizeof(frames[0]);

	/* After an error all up to G is taken and dropped: the host is still sending it. */
	if (s->phase < SUP_PHASE_TURN && sup_error_set(&s->error))
		return;
	while (f < end && f->type != type)
		f++;
	if (f < end && (f->phases & 1u << s->phase) && (!s->kind || (f->modes & 1u << s->request.mode)))
		f->take(s, payload, n);
	else if (s->phase < SUP_PHASE_DRAIN)
		(void)sup_error(&s->error, "system", "a frame out of turn: %c", type);
	else
		s->host_gone = true;	/* it has, or will have, its result */
}
