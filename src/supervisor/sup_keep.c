/* SPDX-License-Identifier: MIT */
#include "sup_keep.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sbx_launch.h"
#include "sbx_time.h"
#include "sup_keep_part.h"
#include "sup_privilege.h"
#include "sup_stats.h"
#include "sup_tree.h"

#define BOX_SOCKET "k"
#define ABOUT_MAX (128u * 1024u)
#define HOUR 3600
#define FULL_MS 100	/* until a supervisor that takes nothing is spoken to again */

/* --- what is asked for ---------------------------------------------------------------------------------------------------- */

static bool parse_number(const char *value, double *out)
{
	char *end;

	*out = strtod(value, &end);
	return end != value && !*end && isfinite(*out) && *out >= 0;
}

/* false: no list of what there is to be said, or too much of it. */
static bool parse(struct sup_keep *k, const unsigned char *payload, uint32_t n)
{
	const struct {
		const char *key, **value;
	} texts[] = { { "id", &k->id }, { "name", &k->name }, { "run", &k->run }, { "about", &k->about } };
	size_t pos = 0, klen;
	const char *key, *value;
	double number = 0;
	int rc;

	if (n > ABOUT_MAX || !(k->payload = malloc((size_t)n + 1)))
		return false;
	memcpy(k->payload, payload, n);
	k->payload[n] = '\0';
	k->id = k->name = k->about = "";
	while ((rc = sbx_wire_next_item(k->payload, n, &pos, &key, &klen, &value)) > 0) {
		const char **text = NULL;

		for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]) && !text; i++)
			text = sbx_wire_is_key(texts[i].key, key, klen) ? texts[i].value : NULL;
		if (text)
			*text = value;
		else if (!parse_number(value, &number))
			return false;
		else if (sbx_wire_is_key("output", key, klen))
			k->output = (uint64_t)number;
		else if (sbx_wire_is_key("keep", key, klen))
			k->keep = number;
		else
			return false;
	}
	k->box = k->keep > 0;
	return rc == 0 && k->run && k->run[0] == '/' && k->box == !k->output;
}

/* --- the door ------------------------------------------------------------------------------------------------------------- */

/* By descriptor: the directory may be known by a longer path than an address has room for. Its mode is 0700, by our umask. */
static int bind_socket(struct sup_keep *k, const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s", k->dir.fd, name);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 64) == 0) {
		(void)snprintf(k->socket, sizeof(k->socket), "%s", name);
		k->listener = fd;
		return 0;
	}
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

/* NULL, or what is wrong: code and message. */
static const char *const *open_program(struct sup_keep *k)
{
	static const char *const gone[] = { "closed", "the box is gone" };
	static const char *const busy[] = { "busy", "as many detached programs as one box may have are there: end one with job:kill()" };
	static const char *const memory[] = { "system", "no memory for the program's output" };
	const struct sup_tree *tree = sup_dir_open(&k->dir, k->run) < 0 ? NULL : sup_tree_open(k->dir.fd);

	if (!tree)
		return gone;
	k->keeper = (int)syscall(SYS_pidfd_open, (pid_t)tree->keeper, 0);
	sup_tree_close(tree);
	if (k->keeper < 0 || !sup_dir_held(&k->dir))
		return gone;
	if (sup_tail_init(&k->tail, k->output) < 0)
		return memory;
	for (unsigned i = 0; i < SUP_KEEP_PROGRAMS; i++) {
		char name[8];

		(void)snprintf(name, sizeof(name), "p%u", i);
		if (bind_socket(k, name) == 0)
			return NULL;
	}
	return busy;
}

/* Once it has started its directory is there. What nobody would find does not outlive its host. */
static void open_box(struct sup_keep *k)
{
	if (sup_dir_open(&k->dir, k->run) < 0 || bind_socket(k, BOX_SOCKET) < 0)
		k->keep = 0;
}

/* --- the supervisor ------------------------------------------------------------------------------------------------------- */

static void store(struct sup_keep_blob *b, const unsigned char *bytes, uint32_t n)
{
	if (b->there)
		return;
	b->bytes = malloc((size_t)n + 1);
	b->there = b->bytes != NULL;
	b->n = b->bytes ? n : 0;
	if (b->bytes)
		memcpy(b->bytes, bytes, n);
}

/* Who does not read misses some of it, for the others' sake, and its end never. */
static void pass_on(struct sup_keep *k, uint8_t type, const unsigned char *payload, uint32_t n)
{
	for (unsigned i = 0; i < SUP_KEEP_HOSTS; i++)
		if (k->host[i].attached && sup_host_room(&k->host[i].h))
			(void)sup_host_put(&k->host[i].h, type, payload, n);
}

static void take(struct sup_keep *k, uint8_t type, const unsigned char *payload, uint32_t n)
{
	uint32_t credit = 0;

	switch (type) {
	case SBX_WIRE_STDOUT:
	case SBX_WIRE_STDERR:
		if (n)
			sup_tail_add(&k->tail, type, payload, n);
		else
			k->over[type == SBX_WIRE_STDERR] = true;
		break;
	case SBX_WIRE_CREDIT:
		for (unsigned i = 0; i < 4 && i < n; i++)
			credit |= (uint32_t)payload[i] << (8 * i);
		sup_keep_credit(k, credit);
		break;
	case SBX_WIRE_STARTED:
		store(&k->started, payload, n);
		if (k->box)
			open_box(k);
		break;
	case SBX_WIRE_RESULT:
		store(&k->result, payload, n);
		break;
	case SBX_WIRE_NETWORK:
		pass_on(k, type, payload, n);
		break;
	default:
		break;
	}
}

static void serve_supervisor(struct sup_keep *k)
{
	const unsigned char *payload;
	uint8_t type;
	uint32_t n;
	int rc = sup_host_recv(&k->sup);

	while (sup_host_next(&k->sup, &type, &payload, &n) > 0) {
		take(k, type, payload, n);
		sup_host_drop(&k->sup);
	}
	if (rc >= 0)
		return;
	k->ended = true;
	sup_host_destroy(&k->sup);
	(void)waitpid(k->child, NULL, 0);
}

/* --- before it starts ----------------------------------------------------------------------------------------------------- */

static bool send_all(const struct sup_host *h, const unsigned char *bytes, size_t n)
{
	while (n) {
		ssize_t sent = send(h->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (sent < 0 && poll(&(struct pollfd){ .fd = h->fd, .events = POLLOUT }, 1, -1) < 0 && errno != EINTR)
			return false;
		bytes += sent < 0 ? 0 : sent;
		n -= sent < 0 ? 0 : (size_t)sent;
	}
	return true;
}

/* All up to G goes through as it comes; much of it is larger than what is queued later. */
static bool relay_request(struct sup_keep *k)
{
	struct sup_host *first = &k->host[0].h;
	unsigned char header[SBX_WIRE_HEADER];
	const unsigned char *payload;
	uint8_t type = 0;
	uint32_t n;

	while (type != SBX_WIRE_GO) {
		if (sup_host_wait(first, &type, &payload, &n) < 0)
			return false;
		sbx_wire_put_header(header, type, n);
		if (!send_all(&k->sup, header, sizeof(header)) || !send_all(&k->sup, payload, n))
			return false;
		sup_host_drop(first);
	}
	return true;
}

/* In the supervisor-to-be: what is its keeper's is let go. */
static void become_supervisor(struct sup_keep *k, struct sup_host *h, int control)
{
	(void)setsid();
	sup_host_destroy(h);
	sup_dir_close(&k->dir);
	if (k->listener >= 0)
		(void)close(k->listener);
	if (k->keeper >= 0)
		(void)close(k->keeper);
	sup_tail_destroy(&k->tail);
	(void)dup2(control, SBX_LAUNCH_CONTROL);
	if (control != SBX_LAUNCH_CONTROL)
		(void)close(control);
	if (sup_host_init(h, SBX_LAUNCH_CONTROL, -1) < 0)
		_exit(111);
}

/* 0: in the supervisor-to-be, which has h for its host; 1: in its keeper; -1: there is none. */
static int split(struct sup_keep *k, struct sup_host *h)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	k->child = fork();
	if (k->child == 0) {
		(void)close(pair[0]);
		become_supervisor(k, h, pair[1]);
		return 0;
	}
	(void)close(pair[1]);
	if (k->child > 0 && sup_host_init(&k->sup, pair[0], -1) == 0)
		return 1;
	(void)close(pair[0]);
	return -1;
}

/* The host is told as if by a supervisor. */
static void refuse(struct sup_host *h, const char *code, const char *message)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "error=%s%cmessage=%s", code, 0, message);

	if (n > 0 && (size_t)n < sizeof(text) && sup_host_put(h, SBX_WIRE_RESULT, text, (uint32_t)n + 1))
		(void)sup_host_drain(h);
	sup_host_destroy(h);
}

/* --- as long as it lives -------------------------------------------------------------------------------------------------- */

enum { P_SUP, P_LISTENER, P_KEEPER, P_HOSTS, P_COUNT = P_HOSTS + 2 * SUP_KEEP_HOSTS };

static void fill(const struct sup_keep *k, struct pollfd p[P_COUNT])
{
	p[P_SUP] = (struct pollfd){ .fd = k->sup.fd, .events = (short)(POLLIN | (k->sup.out_len ? POLLOUT : 0)) };
	p[P_LISTENER] = (struct pollfd){ .fd = k->listener, .events = POLLIN };
	p[P_KEEPER] = (struct pollfd){ .fd = k->box_gone ? -1 : k->keeper, .events = POLLIN };
	for (unsigned i = 0; i < SUP_KEEP_HOSTS; i++) {
		const struct sup_keep_host *h = &k->host[i];
		int events = (h->stalled ? 0 : POLLIN) | (h->h.out_len ? POLLOUT : 0);

		p[P_HOSTS + 2 * i] = (struct pollfd){ .fd = h->used ? h->h.fd : -1, .events = (short)events };
		p[P_HOSTS + 2 * i + 1] = (struct pollfd){ .fd = h->used ? h->h.pidfd : -1, .events = POLLIN };
	}
}

static void serve_hosts(struct sup_keep *k, const struct pollfd p[P_COUNT])
{
	for (unsigned i = 0; i < SUP_KEEP_HOSTS; i++) {
		struct sup_keep_host *h = &k->host[i];

		if (!h->used)
			continue;
		bool dead = p[P_HOSTS + 2 * i + 1].revents;	/* what it has said before that is heard */
		bool more = !h->stalled && (dead || p[P_HOSTS + 2 * i].revents & (POLLIN | POLLHUP | POLLERR));
		int got = more ? sup_host_recv(&h->h) : 0;

		sup_keep_hear(k, i);
		if (h->used && ((got < 0 && !h->stalled) || (got == 0 && dead)))
			sup_keep_drop(k, i);
		else if (h->used)
			sup_keep_tell(k, i);
	}
}

/* When a box without a host is to be ended, as its host's end would have ended it; 0: it has one, or is at its end. */
static double due(const struct sup_keep *k)
{
	return k->box && k->alone > 0 && !k->killed && !k->ended ? k->alone + k->keep : 0;
}

static void mind_the_time(struct sup_keep *k)
{
	bool alone = true;

	for (unsigned i = 0; i < SUP_KEEP_HOSTS; i++)
		alone = alone && !(k->host[i].used && k->host[i].attached);
	k->alone = !alone ? 0 : k->alone > 0 ? k->alone : sbx_time_now();
	if (due(k) > 0 && sbx_time_now() >= due(k))
		k->killed = sup_host_put(&k->sup, SBX_WIRE_KILL, "", 1);
}

static int until_due(const struct sup_keep *k)
{
	double left = due(k) - sbx_time_now();

	if (due(k) <= 0)
		return -1;
	return left <= 0 ? FULL_MS : left > HOUR ? HOUR * 1000 : (int)(left * 1000) + 1;
}

/* Whether nothing is left to be done. */
static bool is_done(const struct sup_keep *k)
{
	if (!k->ended)
		return false;
	for (unsigned i = 0; i < SUP_KEEP_HOSTS; i++)
		if (k->host[i].used && k->host[i].attached && ((k->result.there && !k->host[i].told_result) || k->host[i].h.out_len))
			return false;
	return k->box || k->box_gone || k->forgotten || !k->result.there || !k->started.there;
}

static void serve(struct sup_keep *k)
{
	struct pollfd p[P_COUNT];

	while (!is_done(k)) {
		fill(k, p);
		if (poll(p, P_COUNT, until_due(k)) < 0 && errno != EINTR)
			return;
		k->box_gone = k->box_gone || p[P_KEEPER].revents;
		if (p[P_SUP].revents && !k->ended)
			serve_supervisor(k);
		if (p[P_LISTENER].revents)
			sup_keep_accept(k);
		serve_hosts(k, p);
		mind_the_time(k);
		if (!k->ended)
			(void)sup_host_flush(&k->sup);
	}
}

/* In the keeper. Its first host's request goes on its way, and then it is one of them. */
static void keep(struct sup_keep *k, struct sup_host *h)
{
	sup_privilege_keep(SUP_PRIVILEGE_EXEC);
	for (unsigned i = 0; i < SUP_KEEP_HOSTS; i++)
		k->host[i].h.fd = k->host[i].h.pidfd = -1;
	k->host[0].h = *h;
	k->host[0].used = true;
	if (relay_request(k)) {
		sup_keep_attach(k, 0, 0, k->box);
		serve(k);
	}
}

bool sup_keep(struct sup_host *h)
{
	static struct sup_keep k;
	const unsigned char *payload;
	uint8_t type;
	uint32_t n;

	if (sup_host_wait(h, &type, &payload, &n) < 0 || type != SBX_WIRE_HOLD)
		return false;
	k = (struct sup_keep){ .dir = SUP_DIR_NONE, .listener = -1, .keeper = -1, .writer = -1, .born = sbx_time_now() };
	bool good = parse(&k, payload, n);

	sup_host_drop(h);
	const char *const *why = good && !k.box ? open_program(&k) : NULL;
	int side = good && !why ? split(&k, h) : -1;

	if (side == 0)
		return false;
	if (side > 0)
		keep(&k, h);
	else if (why)
		refuse(h, why[0], why[1]);
	else
		refuse(h, "system", good ? "cannot make a process for what is to be kept" : "the supervisor refuses what is to be kept");
	if (k.socket[0])
		(void)unlinkat(k.dir.fd, k.socket, 0);
	return true;
}
