/* SPDX-License-Identifier: MIT */
#include "sup_trace.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sbx_word.h"
#include "sup_json.h"

/* points/common.proto, MessageType */
enum { CONTAINER_START = 1, SENTRY_CLONE = 2, TASK_EXIT = 5, SYSCALL_RAW = 6 };

/* An event has some 100 bytes, and takes 768 of a socket's 212,992. */
#define PACKET 1024
#define BATCH 64
#define BATCHES 5

/* Their exits tell which forks failed. The guest's architecture is ours. */
static const int forks[] = {
	SYS_clone, SYS_clone3,
#ifdef SYS_fork
	SYS_fork, SYS_vfork,
#endif
};

/* Theirs tell of a place that is full, however soon the guest makes room again: each costs the guest some us. */
static const int writes[] = {
	SYS_write, SYS_writev, SYS_pwrite64, SYS_pwritev, SYS_pwritev2, SYS_openat, SYS_mkdirat, SYS_symlinkat, SYS_mknodat, SYS_fallocate,
	SYS_sendfile, SYS_splice, SYS_copy_file_range,
#ifdef SYS_open
	SYS_open, SYS_creat, SYS_mkdir, SYS_symlink, SYS_mknod,
#endif
};

static void point(struct sup_json *j, const char *name, const char *const fields[], unsigned n)
{
	sup_json_open(j, '{');
	sup_json_key(j, "name");
	sup_json_string(j, name);
	sup_json_key(j, "context_fields");
	sup_json_open(j, '[');
	for (unsigned i = 0; i < n; i++)
		sup_json_string(j, fields[i]);
	sup_json_close(j, ']');
	sup_json_close(j, '}');
}

/* The session that runsc opens (pkg/sentry/seccheck/config.go); NULL: the endpoint is no UTF-8. */
static const char *session(struct sup_json *j, const char *endpoint, bool space, bool word)
{
	static const char *const ids[] = { "group_id", "thread_id" };
	char name[48];

	sup_json_open(j, '{');
	sup_json_key(j, "trace_session");
	sup_json_open(j, '{');
	sup_json_key(j, "name");
	sup_json_string(j, "Default");
	sup_json_key(j, "points");
	sup_json_open(j, '[');
	point(j, "container/start", NULL, 0);
	point(j, "sentry/clone", ids, 1);
	point(j, "sentry/task_exit", ids, 2);
	for (unsigned i = 0; i < sizeof(forks) / sizeof(forks[0]); i++) {
		(void)snprintf(name, sizeof(name), "syscall/sysno/%d/exit", forks[i]);
		point(j, name, NULL, 0);
	}
	if (word) {
		(void)snprintf(name, sizeof(name), "syscall/sysno/%d/exit", SBX_WORD_CALL);
		point(j, name, NULL, 0);
	}
	for (unsigned i = 0; space && i < sizeof(writes) / sizeof(writes[0]); i++) {
		(void)snprintf(name, sizeof(name), "syscall/sysno/%d/exit", writes[i]);
		point(j, name, NULL, 0);
	}
	sup_json_close(j, ']');
	sup_json_key(j, "sinks");
	sup_json_open(j, '[');
	sup_json_open(j, '{');
	sup_json_key(j, "name");
	sup_json_string(j, "remote");
	sup_json_key(j, "config");
	sup_json_open(j, '{');
	sup_json_key(j, "endpoint");
	sup_json_string(j, endpoint);
	/* A task that makes events faster than we read waits, up to a second, instead of dropping them after a fifth of a ms (remote.go). */
	sup_json_key(j, "retries");
	sup_json_int(j, 100);
	for (const char *close = "}}]}}"; *close; close++)
		sup_json_close(j, *close);
	return sup_json_text(j);
}

int sup_trace_init(struct sup_trace *t, const struct sup_dir *d, bool space, uint64_t word, struct sup_error *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	memset(t, 0, sizeof(*t));
	t->conn = -1;
	t->word = word;
	t->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%.90s/trace.sock", d->path);
	if (t->listener < 0 || bind(t->listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(t->listener, 2) < 0)
		return sup_error(e, "system", "cannot listen at %s: %s", a.sun_path, strerror(errno));
	struct sup_json j = { .failed = false };
	const char *json = session(&j, a.sun_path, space, word != 0);
	int rc = json ? sup_dir_write(d, "b/trace.json", json, strlen(json)) : -1;

	sup_json_destroy(&j);
	if (!json)
		return sup_error(e, "system", "state_dir is no UTF-8: runsc takes its paths as JSON");
	if (rc < 0)
		return sup_error(e, "system", "cannot write below %s: %s", d->path, strerror(errno));
	return 0;
}

void sup_trace_destroy(struct sup_trace *t)
{
	if (t->listener >= 0)
		close(t->listener);
	if (t->conn >= 0)
		close(t->conn);
	t->listener = t->conn = -1;
}

/* One field of a protobuf message: a varint in *value, or bytes at *sub of *value length. 0 at the end or on garbage. */
static unsigned next_field(const unsigned char **p, const unsigned char *end, uint64_t *value, const unsigned char **sub)
{
	uint64_t v[2] = { 0, 0 };
	unsigned field = 0;

	*sub = NULL;
	for (unsigned i = 0; i < 2; i++) {
		unsigned shift = 0;

		for (;; shift += 7) {
			if (*p == end || shift > 63)
				return 0;
			v[i] |= (uint64_t)(**p & 0x7f) << shift;
			if (!(*(*p)++ & 0x80))
				break;
		}
		if (i == 0) {
			unsigned width = v[0] & 7, fixed = width == 1 ? 8 : width == 5 ? 4 : 0;

			field = (unsigned)(v[0] >> 3);
			if (fixed && (size_t)(end - *p) >= fixed) {
				*p += fixed;
				*value = 0;
				return field;
			}
			if (width != 0 && width != 2)
				return 0;
		}
	}
	*value = v[1];
	if ((v[0] & 7) == 2) {
		if ((uint64_t)(end - *p) < v[1])
			return 0;
		*sub = *p;
		*p += v[1];
	}
	return field;
}

/* The integer with number `inner` in the message that is field `outer`; outer 0: in the body itself. */
static uint64_t lookup(const unsigned char *p, const unsigned char *end, unsigned outer, unsigned inner)
{
	uint64_t value, found = 0;
	const unsigned char *sub;
	unsigned field;

	while (p < end && (field = next_field(&p, end, &value, &sub))) {
		if (outer && field == outer && sub)
			return lookup(sub, sub + value, 0, inner);
		if (!outer && field == inner && !sub)
			found = value;
	}
	return found;
}

static void on_exit_event(struct sup_trace *t, const unsigned char *p, const unsigned char *end)
{
	int group = (int)lookup(p, end, 1, 4);

	t->live -= t->tree ? sup_tree_exit(t->tree, group, (int)lookup(p, end, 0, 2)) : 1;
	if (group != 1)
		return;
	t->status = (int)lookup(p, end, 0, 2);
	t->told = true;
	/*
	 * The group's end, not thread 1's: a main thread may end first, or another thread may exec. Where events were lost
	 * nobody can count, and runsc's own end is waited for.
	 */
	if (--t->group_live > 0 || t->lossy)
		return;
	t->ended = true;
}

/* What our helper says, by the word that it alone knows: a letter, and an errno (sbx_word.h). */
static void on_word(struct sup_trace *t, uint64_t said)
{
	t->started = true;
	if (SBX_WORD_LETTER(said) != SBX_WORD_BECOMES)
		t->refusal = said;
}

static void on_call(struct sup_trace *t, const unsigned char *p, const unsigned char *end)
{
	uint64_t error = lookup(p, end, 2, 2), call = lookup(p, end, 0, 4);

	if (t->word && call == SBX_WORD_CALL && lookup(p, end, 0, 5) == t->word)
		on_word(t, lookup(p, end, 0, 6));
	if (error == ENOSPC)
		t->no_space++;
	if (!error && (call == SYS_write || call == SYS_pwrite64) && lookup(p, end, 2, 1) < lookup(p, end, 0, 7))
		t->short_writes++;
	for (unsigned i = 0; error == EAGAIN && i < sizeof(forks) / sizeof(forks[0]); i++)
		if ((int)call == forks[i])
			t->failed_forks++;
}

void sup_trace_event(struct sup_trace *t, const unsigned char *packet, size_t n)
{
	if (n < 8)
		return;
	size_t header = packet[0] | (size_t)packet[1] << 8;
	unsigned type = packet[2] | (unsigned)packet[3] << 8;

	if (header < 8 || header > n)
		return;
	const unsigned char *p = packet + header, *end = packet + n;

	/* How many events gVisor has dropped so far because we were too slow (remote.go, Header.DroppedCount). */
	if (packet[4] | packet[5] | packet[6] | packet[7]) {
		t->lossy = true;
		if (t->tree)
			t->tree->lost = 1;
	}
	switch (type) {
	case CONTAINER_START:
		if (!t->begun)
			t->group_live = t->live = t->peak = 1;
		t->begun = true;
		t->started = t->started || !t->word;
		break;
	case SENTRY_CLONE:
		t->live += t->tree ? sup_tree_clone(t->tree, (int)lookup(p, end, 1, 4), (int)lookup(p, end, 0, 4)) : 1;
		if (t->live > t->peak)
			t->peak = t->live;
		if (lookup(p, end, 0, 4) == 1)
			t->group_live++;
		break;
	case TASK_EXIT:
		on_exit_event(t, p, end);
		break;
	case SYSCALL_RAW:
		on_call(t, p, end);
		break;
	default:
		break;
	}
	if (t->begun && t->lossy)	/* the word may have been lost with others */
		t->started = true;
}

static void accept_conn(struct sup_trace *t)
{
	if (t->conn >= 0)
		return;
	t->conn = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

void sup_trace_answer(struct sup_trace *t)
{
	static const unsigned char answer[2] = { 0x08, 0x01 };	/* Handshake{version: 1} */

	t->asked = false;
	t->connected = true;
	(void)send(t->conn, answer, sizeof(answer), MSG_NOSIGNAL);
}

/* Takes in what is there, up to so many packets. Their number; 0: none now; -1: the end. */
static int take(struct sup_trace *t)
{
	static unsigned char bytes[BATCH][PACKET];	/* what is longer is cut: the fields that we ask for come first */
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];

	for (unsigned i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){ bytes[i], PACKET };
		messages[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &parts[i], .msg_iovlen = 1 } };
	}
	int n = recvmmsg(t->conn, messages, t->connected ? BATCH : 1, MSG_DONTWAIT, NULL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	for (int i = 0; i < n; i++) {
		if (messages[i].msg_len == 0)
			return -1;
		if (t->connected)
			sup_trace_event(t, bytes[i], messages[i].msg_len);
		else
			t->asked = true;
	}
	return n;
}

void sup_trace_read(struct sup_trace *t)
{
	int n;

	t->taken = 0;
	if (t->listener >= 0)
		accept_conn(t);
	/* As much as its socket can hold, no more: what comes meanwhile must not hold us. */
	for (unsigned i = 0; t->conn >= 0 && i < BATCHES; i++) {
		bool connected = t->connected;

		n = take(t);
		t->taken += n > 0 ? (unsigned)n : 0;
		if (n < 0) {
			close(t->conn);
			t->conn = -1;
			t->closed = t->connected;
		}
		if (n < (connected ? BATCH : 1))
			return;
	}
}
