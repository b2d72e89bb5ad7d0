/* SPDX-License-Identifier: MIT */
#include "sup_keep_part.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sbx_time.h"

/* --- words ---------------------------------------------------------------------------------------------------------------- */

struct words {
	char *text;
	size_t n, room;
};

static void add(struct words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct words *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(w->text + w->n, w->room - w->n, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < w->room - w->n)
		w->n += (size_t)n + 1;
}

static const char *state(const struct sup_keep *k)
{
	return k->result.there || k->ended ? "ended" : k->started.there ? "running" : "starting";
}

/* All that is to be known of what is kept. false: no room, or no memory. */
static bool tell_all(struct sup_keep *k, unsigned i)
{
	struct sup_keep_host *h = &k->host[i];
	struct words w = { .room = 512 + strlen(k->id) + strlen(k->name) + strlen(k->about) };
	unsigned hosts = 0;

	for (unsigned other = 0; other < SUP_KEEP_HOSTS; other++)
		hosts += k->host[other].used && k->host[other].attached;
	w.text = malloc(w.room);
	if (!w.text)
		return false;
	add(&w, "id=%s", k->id);
	add(&w, "name=%s", k->name);
	add(&w, "state=%s", state(k));
	add(&w, "age=%.3f", sbx_time_now() - k->born);
	add(&w, "first=%llu", (unsigned long long)k->tail.first);
	add(&w, "end=%llu", (unsigned long long)k->tail.end);
	add(&w, "hosts=%u", hosts);
	add(&w, "keep=%.6f", k->keep);
	add(&w, "stdin=%s", k->stdin_ended ? "closed" : "open");
	add(&w, "about=%s", k->about);
	if (h->attached)
		add(&w, "from=%llu", (unsigned long long)h->at);
	bool told = sup_host_put(&h->h, SBX_WIRE_HOLD, w.text, (uint32_t)w.n);

	free(w.text);
	return told;
}

static bool tell_one(struct sup_keep_host *h, const char *key, uint64_t value)
{
	char text[64];
	struct words w = { .text = text, .room = sizeof(text) };

	add(&w, "%s=%llu", key, (unsigned long long)value);
	return sup_host_put(&h->h, SBX_WIRE_HOLD, w.text, (uint32_t)w.n);
}

/* --- who writes ----------------------------------------------------------------------------------------------------------- */

static void grant(struct sup_keep *k)
{
	unsigned char le[4];

	for (unsigned i = 0; i < 4; i++)
		le[i] = (unsigned char)(k->due >> (8 * i));
	if (k->writer >= 0 && k->due && sup_host_put(&k->host[k->writer].h, SBX_WIRE_CREDIT, le, 4))
		k->due = 0;
}

void sup_keep_credit(struct sup_keep *k, uint32_t n)
{
	n = n < k->outstanding ? n : k->outstanding;
	k->outstanding -= n;
	if (k->writer < 0)
		return;
	k->granted += n;
	k->due += n;
	grant(k);
}

/* Who came last of those that want to. What the one before had sent is in order before it; what it may still send is dropped. */
static void elect(struct sup_keep *k)
{
	int before = k->writer;

	k->writer = -1;
	for (int i = 0; i < SUP_KEEP_HOSTS; i++) {
		const struct sup_keep_host *h = &k->host[i];

		if (h->used && h->attached && !h->mute && (k->writer < 0 || h->serial > k->host[k->writer].serial))
			k->writer = i;
	}
	if (k->writer == before)
		return;
	k->granted = k->due = 0;
	if (before >= 0 && k->host[before].used)
		(void)tell_one(&k->host[before], "writer", 0);
	if (k->writer < 0)
		return;
	(void)tell_one(&k->host[k->writer], "writer", 1);
	k->granted = k->due = SBX_WIRE_WINDOW - k->outstanding;
	grant(k);
}

/* --- coming and going ----------------------------------------------------------------------------------------------------- */

void sup_keep_attach(struct sup_keep *k, unsigned i, uint64_t at, bool mute)
{
	struct sup_keep_host *h = &k->host[i];

	h->attached = true;
	h->mute = mute;
	h->serial = ++k->serial;
	h->at = at < k->tail.first ? k->tail.first : at > k->tail.end ? k->tail.end : at;
	(void)tell_all(k, i);
	elect(k);
}

void sup_keep_drop(struct sup_keep *k, unsigned i)
{
	struct sup_keep_host *h = &k->host[i];

	while (h->busy && sup_host_put(&k->sup, SBX_WIRE_BUSY, "", 1))
		h->busy--;
	sup_host_destroy(&h->h);
	memset(h, 0, sizeof(*h));
	h->h.fd = h->h.pidfd = -1;
	if (k->writer == (int)i)
		elect(k);
}

/* A free place, or that of the one which has waited the longest without a word; -1: none. */
static int place(struct sup_keep *k)
{
	int found = -1;

	for (int i = 0; i < SUP_KEEP_HOSTS; i++) {
		const struct sup_keep_host *h = &k->host[i];

		if (!h->used)
			return i;
		if (!h->attached && (found < 0 || h->serial < k->host[found].serial))
			found = i;
	}
	if (found >= 0)
		sup_keep_drop(k, (unsigned)found);
	return found;
}

static bool is_ours(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.uid == geteuid();
}

/* In the words of a result; as a whole or not at all, for a socket that nobody has written to takes it. */
static void refuse(int fd)
{
	static const char words[] = "error=busy\0message=as many as may be are attached to it already: 16 at once";
	unsigned char frame[SBX_WIRE_HEADER + sizeof(words)];

	sbx_wire_put_header(frame, SBX_WIRE_RESULT, sizeof(words));
	memcpy(frame + SBX_WIRE_HEADER, words, sizeof(words));
	(void)send(fd, frame, sizeof(frame), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void sup_keep_accept(struct sup_keep *k)
{
	int fd = accept4(k->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	bool ours = fd >= 0 && is_ours(fd);
	int i = ours ? place(k) : -1;

	if (i < 0) {
		if (ours)
			refuse(fd);
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	k->host[i].used = true;
	k->host[i].serial = ++k->serial;
	if (sup_host_init(&k->host[i].h, fd, -1) < 0)
		sup_keep_drop(k, (unsigned)i);
}

/* --- what they say -------------------------------------------------------------------------------------------------------- */

/* Asks what there is, or from where it wants to have it. false: no list. */
static bool on_hold(struct sup_keep *k, unsigned i, const char *payload, uint32_t n)
{
	struct sup_keep_host *h = &k->host[i];
	uint64_t at = k->tail.first;
	bool mute = false;
	size_t pos = 0, klen;
	const char *key, *value;
	int rc;

	while ((rc = sbx_wire_next_item(payload, n, &pos, &key, &klen, &value)) > 0) {
		if (sbx_wire_is_key("ask", key, klen))
			h->asked = true;
		else if (sbx_wire_is_key("mute", key, klen))
			mute = true;
		else if (sbx_wire_is_key("from", key, klen) && strcmp(value, "start") != 0)
			at = !strcmp(value, "now") ? k->tail.end : strtoull(value, NULL, 10);
	}
	if (rc < 0 || h->attached)
		return false;
	if (h->asked)
		return tell_all(k, i);
	sup_keep_attach(k, i, at, mute);
	return true;
}

/* What is passed on: 1, or 0 where there is no room for it now; -1: it is out of turn. */
static int on_stdin(struct sup_keep *k, unsigned i, const unsigned char *payload, uint32_t n)
{
	if (k->writer != (int)i || k->stdin_ended)
		return 1;
	if (n > k->granted)
		return -1;
	if (!sup_host_put(&k->sup, SBX_WIRE_STDIN, payload, n))
		return 0;
	k->granted -= n;
	k->outstanding += n;
	return 1;
}

/* Whose programs are at work in a box is known, for with them their host's end is theirs. */
static int on_busy(struct sup_keep *k, struct sup_keep_host *h, const unsigned char *payload, uint32_t n)
{
	bool more = n && payload[0];

	if (!more && !h->busy)
		return 1;
	if (!sup_host_put(&k->sup, SBX_WIRE_BUSY, payload, n))
		return 0;
	h->busy += more ? 1u : -1u;
	return 1;
}

static int on_frame(struct sup_keep *k, unsigned i, uint8_t type, const unsigned char *payload, uint32_t n)
{
	struct sup_keep_host *h = &k->host[i];

	if (type == SBX_WIRE_HOLD)
		return on_hold(k, i, (const char *)payload, n) ? 1 : -1;
	if (!h->attached)
		return -1;
	if (k->ended || k->result.there) {	/* killed, it is forgotten: nothing else can be said to it */
		k->forgotten = k->forgotten || type == SBX_WIRE_KILL;
		return 1;
	}
	switch (type) {
	case SBX_WIRE_STDIN:
		return on_stdin(k, i, payload, n);
	case SBX_WIRE_STDIN_END:
		if (k->writer != (int)i || k->stdin_ended)
			return 1;
		k->stdin_ended = sup_host_put(&k->sup, type, NULL, 0);
		return k->stdin_ended;
	case SBX_WIRE_KILL:
		return sup_host_put(&k->sup, type, payload, n);
	case SBX_WIRE_BUSY:
		return k->box ? on_busy(k, h, payload, n) : -1;
	case SBX_WIRE_NETWORK:
		return k->box ? sup_host_put(&k->sup, type, payload, n) : -1;
	default:
		return -1;
	}
}

void sup_keep_hear(struct sup_keep *k, unsigned i)
{
	struct sup_keep_host *h = &k->host[i];
	const unsigned char *payload;
	uint8_t type;
	uint32_t n;
	int rc, taken = 1;

	h->stalled = false;
	while ((rc = sup_host_next(&h->h, &type, &payload, &n)) > 0 && (taken = on_frame(k, i, type, payload, n)) > 0)
		sup_host_drop(&h->h);
	h->stalled = taken == 0;
	if (rc < 0 || taken < 0)
		sup_keep_drop(k, i);
}

/* --- what they are told --------------------------------------------------------------------------------------------------- */

/* A piece of the output; false: there is none for it, or no room. */
static bool tell_piece(struct sup_keep *k, struct sup_keep_host *h)
{
	unsigned char *to;
	uint8_t type;

	if (h->at == k->tail.end)
		return false;
	if (h->at < k->tail.first) {	/* it was too slow */
		if (!sup_host_room(&h->h) || !tell_one(h, "from", k->tail.first))
			return false;
		h->at = k->tail.first;
	}
	to = sup_host_room(&h->h);
	size_t n = to ? sup_tail_read(&k->tail, h->at, &type, to, SBX_WIRE_DATA_MAX) : 0;

	if (!n)
		return false;
	sup_host_commit(&h->h, type, (uint32_t)n);
	h->at += n;
	return true;
}

static void tell_blob(struct sup_keep_host *h, uint8_t type, const struct sup_keep_blob *b, bool *told)
{
	if (b->there && !*told)
		*told = sup_host_put(&h->h, type, b->bytes, b->n);
}

void sup_keep_tell(struct sup_keep *k, unsigned i)
{
	struct sup_keep_host *h = &k->host[i];

	if (h->attached) {
		tell_blob(h, SBX_WIRE_STARTED, &k->started, &h->told_started);
		while (tell_piece(k, h))
			(void)sup_host_flush(&h->h);
		for (unsigned s = 0; s < 2; s++)
			if (h->at == k->tail.end && k->over[s] && !h->told_over[s])
				h->told_over[s] = sup_host_put(&h->h, s ? SBX_WIRE_STDERR : SBX_WIRE_STDOUT, NULL, 0);
		if (h->at == k->tail.end)
			tell_blob(h, SBX_WIRE_RESULT, &k->result, &h->told_result);
		if (k->writer == (int)i)
			grant(k);
	}
	if (sup_host_flush(&h->h) < 0 || (h->asked && !h->h.out_len) ||
	    (h->attached && k->ended && !k->box && (h->told_result || !k->result.there) && !h->h.out_len))
		sup_keep_drop(k, i);	/* a box's go at once, with us, when nothing of it is left */
}
