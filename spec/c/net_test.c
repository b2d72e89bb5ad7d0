/* SPDX-License-Identifier: MIT
 *
 * sandbox-net's parts: what a guest's questions are read as, what a policy allows, what a connection carries and what is told of it.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_dns.h"
#include "net_policy.h"
#include "net_report.h"
#include "net_way.h"

static int passed, failed;

static void check(const char *name, int good)
{
	if (good) {
		passed++;
	} else {
		failed++;
		printf("not ok %s\n", name);
	}
}

/* DNS ------------------------------------------------------------------------------------------------------------------- */

#define HEAD "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
#define TAIL "\x00\x00\x01\x00\x01"

static void dns(void)
{
	static const struct {
		const char *name;
		const char *packet;
		size_t n;
		int code;
		const char *host;
	} rows[] = {
#define P(text) text, sizeof(text) - 1
		{ "a question", P(HEAD "\x04pypi\x03org" TAIL), NET_DNS_OK, "pypi.org" },
		{ "capitals", P(HEAD "\x04PyPI\x03ORG" TAIL), NET_DNS_OK, "pypi.org" },
		{ "the root", P(HEAD TAIL), NET_DNS_OK, "" },
		{ "a pointer in a question", P(HEAD "\x04pypi\xc0\x0c" TAIL), NET_DNS_FORMERR, NULL },
		{ "a pointer to itself", P(HEAD "\xc0\x0c" TAIL), NET_DNS_FORMERR, NULL },
		{ "a label beyond the end", P(HEAD "\x3fpypi"), NET_DNS_FORMERR, NULL },
		{ "no end", P(HEAD "\x04pypi"), NET_DNS_FORMERR, NULL },
		{ "no type", P(HEAD "\x04pypi\x00\x00"), NET_DNS_FORMERR, NULL },
		{ "a NUL in a label", P(HEAD "\x04py\x00i\x03org" TAIL), NET_DNS_FORMERR, NULL },
		{ "a dot in a label", P(HEAD "\x08pypi.org" TAIL), NET_DNS_FORMERR, NULL },
		{ "a slash", P(HEAD "\x04py/i\x03org" TAIL), NET_DNS_FORMERR, NULL },
		{ "two questions", P("\x12\x34\x01\x00\x00\x02\x00\x00\x00\x00\x00\x00\x04pypi\x03org" TAIL), NET_DNS_FORMERR, NULL },
		{ "none", P("\x12\x34\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"), NET_DNS_FORMERR, NULL },
		{ "an answer", P("\x12\x34\x81\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04pypi\x03org" TAIL), -1, NULL },
		{ "a header cut short", P("\x12\x34\x01\x00\x00\x01"), -1, NULL },
		{ "an update", P("\x12\x34\x28\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04pypi\x03org" TAIL), NET_DNS_NOTIMP, NULL },
		{ "another class", P(HEAD "\x04pypi\x03org\x00\x00\x01\x00\x03"), NET_DNS_NOTIMP, NULL },
#undef P
	};
	unsigned char out[NET_DNS_MAX], big[NET_DNS_MAX + 1] = HEAD;
	struct net_question q;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int code = net_dns_read((const unsigned char *)rows[i].packet, rows[i].n, &q);

		check(rows[i].name, code == rows[i].code && (!rows[i].host || !strcmp(q.name, rows[i].host)));
		if (code >= 0)
			check("an answer fits", net_dns_answer(out, (const unsigned char *)rows[i].packet, &q, code, NULL, 0) <= rows[i].n);
	}
	check("more than a packet", net_dns_read(big, sizeof(big), &q) == NET_DNS_FORMERR);
	/* 4 labels of 63 are 256 bytes: too long; the bound is met by less. */
	size_t at = 12;

	for (int label = 0; label < 4; label++) {
		big[at++] = 63;
		memset(big + at, 'a', 63);
		at += 63;
	}
	memcpy(big + at, TAIL, 5);
	check("a name of 255 characters", net_dns_read(big, at + 5, &q) == NET_DNS_FORMERR);

	struct in_addr a = { .s_addr = htonl(0xc6130001) };
	const unsigned char *p = (const unsigned char *)HEAD "\x04pypi\x03org" TAIL;

	check("read", net_dns_read(p, 12 + 14, &q) == NET_DNS_OK);
	check("an address", net_dns_answer(out, p, &q, NET_DNS_OK, &a, 30) == 12 + 14 + 16 && !memcmp(out + 12 + 14 + 12, &a, 4) && out[7] == 1 &&
			    !memcmp(out, "\x12\x34\x81\x80", 4));
}

/* Policies -------------------------------------------------------------------------------------------------------------- */

static struct in6_addr address(const char *text)
{
	struct in6_addr a;
	struct in_addr v4;

	memset(&a, 0, sizeof(a));
	if (inet_pton(AF_INET, text, &v4) == 1)
		net_address_v4(&a, v4);
	else
		(void)inet_pton(AF_INET6, text, &a);
	return a;
}

static void addresses(void)
{
	static const char *const private[] = {
		"0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1", "172.31.255.255",
		"192.0.0.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::1", "::",
		"fe80::1", "fd00::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1",
		"2001::1", "::7f00:1",
	};
	static const char *const public[] = { "1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "192.169.0.1", "2606:4700::1111", "2a00::1", "::ffff:8.8.8.8" };

	for (size_t i = 0; i < sizeof(private) / sizeof(private[0]); i++) {
		struct in6_addr a = address(private[i]);

		check(private[i], !net_address_public(&a));
	}
	for (size_t i = 0; i < sizeof(public) / sizeof(public[0]); i++) {
		struct in6_addr a = address(public[i]);

		check(public[i], net_address_public(&a));
	}
}

#define POLICY "allow=name:pypi.org 443-443\0allow=under:pythonhosted.org 443-443\0allow=net:10.1.2.0/24 5432-5433\0" \
	       "allow=net:2001:db8::1/128 443-443\0deny=name:bad.pythonhosted.org 1-65535\0deny=net:10.1.2.9/32 1-65535\0connections=7\0bandwidth=1000\0"

#define PUBLIC "public=1\0deny=name:evil.com 1-65535\0"

static void policies(void)
{
	static const struct { const char *name; unsigned port; int allowed; } names[] = {
		{ "pypi.org", 443, 1 }, { "pypi.org", 80, 0 }, { "www.pypi.org", 443, 0 }, { "xpypi.org", 443, 0 }, { "files.pythonhosted.org", 443, 1 },
		{ "a.b.pythonhosted.org", 443, 1 }, { "pythonhosted.org", 443, 0 }, { "xpythonhosted.org", 443, 0 }, { ".pythonhosted.org", 443, 0 },
		{ "bad.pythonhosted.org", 443, 0 }, { "", 443, 0 },
	};
	static const struct { const char *text; unsigned port; int by_name, own, allowed; } numbers[] = {
		{ "10.1.2.3", 5432, 0, 0, 1 }, { "10.1.2.3", 5434, 0, 0, 0 }, { "10.1.3.3", 5432, 0, 0, 0 }, { "10.1.2.9", 5432, 0, 0, 0 },
		{ "8.8.8.8", 443, 0, 0, 0 }, { "8.8.8.8", 443, 1, 0, 1 }, { "8.8.8.8", 443, 1, 1, 0 }, { "127.0.0.1", 443, 1, 0, 0 },
		{ "::ffff:127.0.0.1", 443, 1, 0, 0 }, { "169.254.169.254", 80, 1, 0, 0 }, { "10.1.2.3", 5432, 1, 1, 1 }, { "2001:db8::1", 443, 0, 0, 1 },
		{ "2001:db8::2", 443, 0, 0, 0 }, { "::ffff:10.1.2.3", 5432, 0, 0, 1 },
	};
	static const char *const bad[] = {
		"allow=name:pypi.org", "allow=name:pypi.org 0-1", "allow=name:pypi.org 2-1", "allow=name:pypi.org 1-65536", "allow=name:PyPI.org 1-1",
		"allow=name:a..b 1-1", "allow=name: 1-1", "allow=net:10.0.0.0/33 1-1", "allow=net:10.0.0/8 1-1", "allow=net:10.0.0.0 1-1", "allow=x:y 1-1",
		"allow=net:::/129 1-1", "other=1", "connections=0", "connections=99999999", "bandwidth=-1", "allow=name:a 1-1 ", "allow=name:a 1-1x",
	};
	struct net_policy p;
	const char *why;

	check("a policy", net_policy_read(&p, POLICY, sizeof(POLICY) - 1, &why) == 0 && p.n == 6 && p.connections == 7 && p.bandwidth == 1000);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		check(names[i].name, (net_policy_name_port(&p, names[i].name, (uint16_t)names[i].port) == NULL) == (bool)names[i].allowed);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct in6_addr a = address(numbers[i].text);

		check(numbers[i].text, (net_policy_address(&p, &a, (uint16_t)numbers[i].port, numbers[i].by_name, numbers[i].own) == NULL) == (bool)numbers[i].allowed);
	}
	net_policy_destroy(&p);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		check(bad[i], net_policy_read(&p, bad[i], strlen(bad[i]) + 1, &why) < 0);
		net_policy_destroy(&p);
	}
	check("no end", net_policy_read(&p, "public=1", 8, &why) < 0);
	net_policy_destroy(&p);
	check("public", net_policy_read(&p, PUBLIC, sizeof(PUBLIC) - 1, &why) == 0 && !net_policy_name(&p, "any.org") &&
			net_policy_name(&p, "evil.com"));
	net_policy_destroy(&p);
}

/* Whatever comes is read without a fault: bytes changed at random, a fixed seed. `net_test 10000000` for long. */
static void random_bytes(long times)
{
	unsigned char packet[64], out[NET_DNS_MAX];
	char text[sizeof(POLICY)];
	struct net_question q;
	struct net_policy p;
	const char *why;

	srand(1);
	for (long i = 0; i < times; i++) {
		memcpy(packet, HEAD "\x04pypi\x03org" TAIL, 26);
		for (int k = rand() % 6; k >= 0; k--)
			packet[rand() % 40] = (unsigned char)rand();
		size_t n = (size_t)rand() % sizeof(packet);
		int code = net_dns_read(packet, n, &q);

		if (code >= 0 && net_dns_answer(out, packet, &q, code, NULL, 0) > NET_DNS_MAX)
			failed++;
	}
	for (long i = 0; i < times; i++) {
		memcpy(text, POLICY, sizeof(text));
		for (int k = rand() % 4; k >= 0; k--)
			text[(size_t)rand() % sizeof(text)] = (char)rand();
		(void)net_policy_read(&p, text, (size_t)rand() % sizeof(text), &why);
		net_policy_destroy(&p);
	}
	check("random bytes", 1);
}

/* Bytes ----------------------------------------------------------------------------------------------------------------- */

#define MANY (3u << 20)

/* What a reader that is slow at first gets is what was sent, all of it, and then the end; no more than a buffer waits meanwhile. */
static void way(void)
{
	unsigned char *sent = malloc(MANY), *got = malloc(MANY + 1);
	size_t in_n = 0, out_n = 0, kept = 0;
	struct net_way w = { .ended = false };
	struct net_pipe p;
	int in[2], out[2], rc = 0;
	ssize_t n;

	for (size_t i = 0; i < MANY; i++)
		sent[i] = (unsigned char)(i * 7 + i / 251);
	check("sockets", net_pipe_init(&p) == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, in) == 0 &&
			 socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, out) == 0);
	while (rc == 0 && !w.closed) {
		if (in_n < MANY && (n = write(in[0], sent + in_n, MANY - in_n)) > 0 && (in_n += (size_t)n) == MANY)
			(void)shutdown(in[0], SHUT_WR);
		rc = net_way_write(&w, out[0]) < 0 || net_way_move(&w, &p, in[1], out[0], NET_WAY_BYTES) < 0 ? -1 : 0;
		kept = w.len > kept ? w.len : kept;
		if ((w.len || in_n == MANY) && (n = read(out[1], got + out_n, MANY + 1 - out_n)) > 0)
			out_n += (size_t)n;
	}
	while ((n = read(out[1], got + out_n, MANY + 1 - out_n)) > 0)
		out_n += (size_t)n;
	check("bytes arrive", rc == 0 && n == 0 && out_n == MANY && w.passed == MANY && !memcmp(sent, got, MANY));
	check("some had to wait", kept > 0 && kept <= NET_WAY_BYTES && !w.bytes);
	check("no more than asked for", write(out[1], sent, 100) == 100 && net_way_move(&(struct net_way){ .len = 0 }, &p, out[0], in[1], 7) == 7 &&
					read(in[0], got, 100) == 7);
	for (int i = 0; i < 2; i++) {
		(void)close(in[i]);
		(void)close(out[i]);
	}
	net_pipe_destroy(&p);
	free(sent);
	free(got);
}

/* What breaks leaves nothing in the pipe that would be another's. */
static void broken_way(void)
{
	struct net_way w = { .len = 0 }, other = { .len = 0 };
	unsigned char got[16];
	struct net_pipe p;
	int in[2], out[2];

	check("sockets", net_pipe_init(&p) == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, in) == 0 &&
			 socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, out) == 0);
	(void)!write(in[0], "secret", 6);
	check("broken", shutdown(out[0], SHUT_WR) == 0 && net_way_move(&w, &p, in[1], out[0], NET_WAY_BYTES) < 0);
	(void)!write(in[0], "mine", 4);
	check("another's", net_way_move(&other, &p, in[1], in[1], 4) == 4 && read(in[0], got, sizeof(got)) == 4 && !memcmp(got, "mine", 4));
	net_way_destroy(&w);
	for (int i = 0; i < 2; i++) {
		(void)close(in[i]);
		(void)close(out[i]);
	}
	net_pipe_destroy(&p);
}

/* Events in quick succession are one message; a word is a message of its own, and comes after them. */
static void report(void)
{
	struct sbx_net_counters counters = { 0 };
	static struct net_report r;
	char text[SBX_NET_TELL];
	int fd[2];

	check("socket", socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fd) == 0);
	r.control = fd[0];
	r.counters = &counters;
	net_report_due(&r);
	for (int i = 0; i < 3; i++)
		(void)net_report_event(&r, &(struct net_event){ .host = "a.org", .port = 80, .reason = i ? "no" : NULL });
	net_report_end(&r, 0, 5, 6);
	net_report_say(&r, "policy", "");
	ssize_t n = recv(fd[1], text, sizeof(text), 0);
	unsigned records = 0;

	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(text + at) + 1)
		records += !strncmp(text + at, "event=", 6) || !strncmp(text + at, "end=0", 5);
	check("together", records == 4);
	n = recv(fd[1], text, sizeof(text), 0);
	check("a word", n > 0 && !strcmp(text, "say=policy") && recv(fd[1], text, sizeof(text), 0) < 0);
	for (unsigned i = 0; i < 2 * SBX_NET_EVENTS; i++)
		net_report_end(&r, net_report_event(&r, &(struct net_event){ .port = 1 }), 0, 0);
	/* Nobody has read: what had no room is counted, each of it. */
	net_report_flush(&r);
	for (records = 0; (n = recv(fd[1], text, sizeof(text), 0)) > 0;)
		for (ssize_t at = 0; at < n; at += (ssize_t)strlen(text + at) + 1)
			records += !strncmp(text + at, "event=", 6);
	check("bounded", records > 0 && counters.connections == 2 * SBX_NET_EVENTS + 1 && counters.refused == 2 && counters.lost > SBX_NET_EVENTS / 2 &&
			 records + counters.lost >= 2 * SBX_NET_EVENTS && net_report_timeout(&r, 1000) == 1000);
	(void)close(fd[0]);
	(void)close(fd[1]);
}

int main(int argc, char **argv)
{
	(void)signal(SIGPIPE, SIG_IGN);		/* as sandbox-net has it */
	dns();
	way();
	broken_way();
	report();
	addresses();
	policies();
	random_bytes(argc > 1 ? atol(argv[1]) : 50000);
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}
