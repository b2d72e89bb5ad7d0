/* SPDX-License-Identifier: MIT
 *
 * Theory of operation. A sandbox with a network has gVisor's own stack on one end of a veth pair, in a network namespace of its
 * own; the other end is in another, the edge (net_link). In the edge every address is local and every connection is handed to
 * one socket (net_nft), so nothing is ever forwarded by the kernel and nothing in the guest has to know. `sandbox-net link` makes
 * that, passes the sockets to `sandbox-net serve`, and ends. Serve, which never left the host's network namespace, answers
 * questions for names (net_answer, net_dns, net_names), judges connections (net_policy), joins those that are allowed to ones
 * that it makes itself (net_forward), and tells the supervisor (net_report). It is in a jail of its own (net_jail), and ends
 * with its supervisor's socket. What both sides agree on is in sbx_net.h.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_answer.h"
#include "net_forward.h"
#include "net_jail.h"
#include "net_link.h"
#include "sbx_fdpass.h"

struct serve {
	struct net_loop loop;
	struct net_policy policy;
	struct net_names names;
	struct net_report report;
	struct net_answer answer;
	struct net_forward forward;
	struct net_watch control, sockets;
	bool linked, ended;
};

/* link ------------------------------------------------------------------------------------------------------------------ */

static int read_mac(const char *text, unsigned char mac[6])
{
	unsigned b[6];
	char more;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &more) != 6)
		return -1;
	for (unsigned i = 0; i < 6; i++)
		mac[i] = (unsigned char)b[i];
	return 0;
}

static int run_link(char **arg)
{
	unsigned char mac[6];
	int sockets[NET_SOCKETS];
	const char *what;
	struct net_link l = { .guest = arg[0], .edge = arg[1], .bits = (unsigned)atoi(arg[2]), .ipv6 = !strcmp(arg[4], "1") };

	if (strcmp(arg[3], "-") != 0) {
		if (read_mac(arg[3], mac) < 0) {
			printf("%s is no MAC address", arg[3]);
			return 1;
		}
		l.mac = mac;
	}
	if (net_link_make(&l, sockets, &what) < 0) {
		printf("cannot %s: %s", what, strerror(errno));
		return 1;
	}
	if (sbx_fdpass_send(SBX_NET_CONTROL, "s", 1, sockets, l.ipv6 ? NET_SOCKETS : NET_SOCKET_TCP6, 0) != 1) {
		printf("cannot hand over the link: %s", strerror(errno));
		return 1;
	}
	return 0;
}

/* serve ----------------------------------------------------------------------------------------------------------------- */

static void take_policy(struct serve *s, const char *text, size_t n)
{
	struct net_policy p;
	const char *why;

	if (net_policy_read(&p, text, n, &why) < 0) {
		net_policy_destroy(&p);
		net_report_say(&s->report, "error", why);
		return;
	}
	net_policy_destroy(&s->policy);
	s->policy = p;
	if (s->linked)
		net_forward_judge_all(&s->forward);
	net_report_say(&s->report, "policy", "");
}

static void on_control(struct net_watch *w, uint32_t events)
{
	static char text[SBX_NET_MESSAGE];
	struct serve *s = w->owner;
	ssize_t n = recv(w->fd, text, sizeof(text), MSG_DONTWAIT);

	(void)events;
	if (n > 0)
		take_policy(s, text, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		s->ended = true;
}

static void on_sockets(struct net_watch *w, uint32_t events)
{
	struct serve *s = w->owner;
	int fd[NET_SOCKETS] = { -1, -1, -1, -1 };
	int n = sbx_fdpass_receive(w->fd, fd, NET_SOCKETS);

	(void)events;
	net_loop_drop(&s->loop, w);
	(void)close(w->fd);
	w->fd = -1;
	if (n < NET_SOCKET_TCP6) {
		net_report_say(&s->report, "error", "no link came");
		return;
	}
	net_answer_init(&s->answer, fd[NET_SOCKET_DNS], fd[NET_SOCKET_DNS_TCP]);
	net_forward_init(&s->forward, fd[NET_SOCKET_TCP], n > NET_SOCKET_TCP6 ? fd[NET_SOCKET_TCP6] : -1);
	s->linked = true;
	net_report_say(&s->report, "ready", "");
}

static void live(struct serve *s)
{
	while (!s->ended) {
		int limit = net_names_timeout(&s->names, s->linked ? 1000 : 60000);

		if (s->linked)
			limit = net_forward_timeout(&s->forward, limit);
		limit = net_report_timeout(&s->report, limit);
		if (net_loop_turn(&s->loop, limit) < 0)
			return;
		net_names_due(&s->names);
		if (s->linked) {
			net_forward_due(&s->forward);
			net_answer_due(&s->answer);
		}
		net_report_due(&s->report);
	}
}

static int begin(struct serve *s, char **arg)
{
	const char *what = "its resolver or a pipe";

	s->report.control = SBX_NET_CONTROL;
	s->report.counters = mmap(NULL, sizeof(*s->report.counters), PROT_READ | PROT_WRITE, MAP_SHARED, SBX_NET_COUNTERS, 0);
	if (s->report.counters == MAP_FAILED || net_loop_init(&s->loop) < 0)
		return -1;
	(void)close(SBX_NET_COUNTERS);
	s->answer.loop = s->forward.loop = &s->loop;
	s->answer.names = s->forward.names = &s->names;
	s->answer.policy = s->forward.policy = &s->policy;
	s->answer.report = s->forward.report = &s->report;
	s->policy.connections = 1;
	s->control = (struct net_watch){ .fd = SBX_NET_CONTROL, .ready = on_control, .owner = s };
	s->sockets = (struct net_watch){ .fd = SBX_NET_SOCKETS, .ready = on_sockets, .owner = s };
	if (net_names_init(&s->names, &s->loop, arg[2][0] ? arg[2] : NULL) < 0 || net_pipe_init(&s->forward.pipe) < 0 ||
	    net_jail_enter((uid_t)strtoul(arg[0], NULL, 10), (gid_t)strtoul(arg[1], NULL, 10), &what) < 0) {
		net_report_say(&s->report, "error", what);
		return -1;
	}
	return net_loop_watch(&s->loop, &s->control, EPOLLIN) < 0 || net_loop_watch(&s->loop, &s->sockets, EPOLLIN) < 0 ? -1 : 0;
}

static int run_serve(char **arg)
{
	static struct serve s;

	if (begin(&s, arg) < 0)
		return 1;
	live(&s);
	if (s.linked) {
		net_forward_destroy(&s.forward);
		net_answer_destroy(&s.answer);
	}
	net_report_flush(&s.report);
	net_names_destroy(&s.names);
	net_policy_destroy(&s.policy);
	net_loop_destroy(&s.loop);
	return 0;
}

int main(int argc, char **argv)
{
	(void)signal(SIGPIPE, SIG_IGN);
	if (argc == 7 && !strcmp(argv[1], "link"))
		return run_link(argv + 2);
	if (argc == 5 && !strcmp(argv[1], "serve"))
		return run_serve(argv + 2);
	(void)fprintf(stderr, "sandbox-net is started by sandbox-supervisor\n");
	return 2;
}
