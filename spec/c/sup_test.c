/* SPDX-License-Identifier: MIT
 *
 * The supervisor's pure parts: the judgement as a table, trace packets, runsc's log, requests, the output tail.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sbx_io.h"
#include "sbx_wire.h"
#include "sup_cgroup_part.h"
#include "sup_control.h"
#include "sup_dir.h"
#include "sup_exec.h"
#include "sup_gofer.h"
#include "sup_json.h"
#include "sup_judge.h"
#include "sup_log.h"
#include "sup_path.h"
#include "sup_programs.h"
#include "sup_pump.h"
#include "sup_request.h"
#include "sup_slot.h"
#include "sup_stats.h"
#include "sup_sweep.h"
#include "sup_tail.h"
#include "sbx_word.h"
#include "sup_trace.h"
#include "sbx_time.h"
#include "sup_tree.h"

static int passed, failed;

#define CHECK(name, cond) do { if (cond) passed++; else { failed++; printf("not ok: %s\n", name); } } while (0)

#define EXIT(n) ((n) << 8)

static void test_judge(void)
{
	static const struct {
		const char *name;
		struct sup_facts f;
		enum sup_outcome outcome;
		int code;
	} rows[] = {
		{ "exit 0 by the trace", { .started = 1, .traced = 1, .guest_ended = 1 }, SUP_EXITED, 0 },
		{ "exit 128 by the trace", { .started = 1, .traced = 1, .guest_ended = 1, .guest_status = EXIT(128) }, SUP_EXITED, 128 },
		{ "exit 137 is no signal", { .started = 1, .traced = 1, .guest_ended = 1, .guest_status = EXIT(137) }, SUP_EXITED, 137 },
		{ "SIGKILL of its own", { .started = 1, .traced = 1, .guest_ended = 1, .guest_status = SIGKILL }, SUP_SIGNALED, SIGKILL },
		{ "our deadline beats its end", { .reason = SUP_TIMED_OUT, .started = 1, .traced = 1, .guest_ended = 1 }, SUP_TIMED_OUT, 0 },
		{ "the kernel's kill beats its end", { .started = 1, .traced = 1, .guest_ended = 1, .guest_status = EXIT(1), .oom_kills = 1 }, SUP_OOM_KILLED, 0 },
		{ "a kill in the boot is no guest's", { .traced = 1, .oom_kills = 1, .runsc_ended = 1, .runsc_status = SIGKILL }, SUP_NOT_STARTED, 0 },
		{ "never started", { .traced = 1, .runsc_ended = 1, .runsc_status = EXIT(128), .runsc_failed = 1 }, SUP_NOT_STARTED, 0 },
		{ "killed from outside", { .started = 1, .traced = 1, .runsc_ended = 1, .runsc_status = EXIT(137) }, SUP_CRASHED, 0 },
		{ "events were lost: runsc's word", { .started = 1, .traced = 1, .lossy = 1, .runsc_ended = 1, .runsc_status = EXIT(7) }, SUP_EXITED, 7 },
		{ "events were lost, but one says which of two", { .started = 1, .traced = 1, .lossy = 1, .guest_told = 1, .guest_status = EXIT(137), .runsc_ended = 1, .runsc_status = EXIT(137) }, SUP_EXITED, 137 },
		{ "events were lost, and the last with them", { .started = 1, .traced = 1, .lossy = 1, .guest_told = 1, .runsc_ended = 1, .runsc_status = EXIT(3) }, SUP_EXITED, 3 },
		{ "events were lost, and it crashed", { .started = 1, .traced = 1, .lossy = 1, .runsc_ended = 1, .runsc_status = EXIT(2), .runsc_failed = 1 }, SUP_CRASHED, 0 },
		{ "Go panic", { .started = 1, .traced = 1, .runsc_ended = 1, .runsc_status = EXIT(2), .runsc_failed = 1 }, SUP_CRASHED, 0 },
		{ "no trace: exit code", { .started = 1, .runsc_ended = 1, .runsc_status = EXIT(7) }, SUP_EXITED, 7 },
		{ "no trace: signal", { .started = 1, .runsc_ended = 1, .runsc_status = EXIT(139) }, SUP_SIGNALED, SIGSEGV },
		{ "no trace: 128 of the guest", { .started = 1, .runsc_ended = 1, .runsc_status = EXIT(128) }, SUP_EXITED, 128 },
		{ "no trace: runsc failed", { .started = 1, .runsc_ended = 1, .runsc_status = EXIT(128), .runsc_failed = 1 }, SUP_NOT_STARTED, 0 },
		{ "no trace: runsc killed", { .started = 1, .runsc_ended = 1, .runsc_status = SIGKILL }, SUP_CRASHED, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sup_verdict v = sup_judge(&rows[i].f);

		CHECK(rows[i].name, v.outcome == rows[i].outcome && v.code == rows[i].code);
	}
	CHECK("an error has no status", !sup_judge_status(SUP_CRASHED) && !sup_judge_status(SUP_BOOT_TIMEOUT));
}

static void event(struct sup_trace *t, unsigned type, const void *body, size_t n)
{
	unsigned char p[64] = { 8, 0, (unsigned char)type, 0 };

	memcpy(p + 8, body, n);
	sup_trace_event(t, p, 8 + n);
}

/* The helper is not the program: it says that it becomes it, by a word that the guest does not know, or that it cannot. */
static void test_trace_word(void)
{
	struct sup_trace t = { .listener = -1, .conn = -1, .word = 0x55 };
	static const unsigned char becomes[] = { 0x12, 2, 0x10, 22, 0x20, 0xcf, 1, 0x28, 0x55, 0x30, 0x80, 0x80, 0xcc, 3 };
	static const unsigned char forged[] = { 0x12, 2, 0x10, 22, 0x20, 0xcf, 1, 0x28, 0x54, 0x30, 0x82, 0x80, 0xe0, 3 };
	static const unsigned char refused[] = { 0x12, 2, 0x10, 22, 0x20, 0xcf, 1, 0x28, 0x55, 0x30, 0x82, 0x80, 0xe0, 3 };

	event(&t, 1, "", 0);
	event(&t, 6, forged, sizeof(forged));
	CHECK("the helper is not the program", !t.started && t.live == 1 && t.group_live == 1);
	event(&t, 6, becomes, sizeof(becomes));
	event(&t, 6, forged, sizeof(forged));
	CHECK("it becomes it", t.started && !t.refusal);
	event(&t, 6, refused, sizeof(refused));
	CHECK("or not", SBX_WORD_LETTER(t.refusal) == SBX_WORD_EXECUTE && SBX_WORD_ERRNO(t.refusal) == ENOENT);
}

static void test_trace(void)
{
	struct sup_trace t = { .listener = -1, .conn = -1 };
	static const unsigned char clone_thread[] = { 0x20, 1 }, clone_process[] = { 0x20, 2 };
	static const unsigned char exit_1[] = { 0x0a, 4, 0x10, 1, 0x20, 1 };			/* tid 1 of group 1, status 0 */
	static const unsigned char exit_2[] = { 0x0a, 4, 0x10, 2, 0x20, 1, 0x10, 0x80, 0x0e };	/* tid 2 of group 1, exit 7 */
	static const unsigned char exit_other[] = { 0x0a, 4, 0x10, 3, 0x20, 2, 0x10, 9 };
	static const unsigned char eagain[] = { 0x12, 2, 0x10, 11, 0x20, 56 }, fine[] = { 0x12, 2, 0x08, 5, 0x20, 56 };

	event(&t, 1, "", 0);
	CHECK("start", t.started && t.live == 1 && !t.ended);
	event(&t, 2, clone_thread, sizeof(clone_thread));
	event(&t, 2, clone_process, sizeof(clone_process));
	CHECK("peak", t.peak == 3 && t.group_live == 2);
	event(&t, 5, exit_1, sizeof(exit_1));
	CHECK("the main thread's end is not the guest's", !t.ended);
	event(&t, 5, exit_other, sizeof(exit_other));
	CHECK("nor another process's", !t.ended);
	event(&t, 5, exit_2, sizeof(exit_2));
	CHECK("the last thread's is, with its status", t.ended && t.status == EXIT(7));
	event(&t, 6, eagain, sizeof(eagain));
	event(&t, 6, fine, sizeof(fine));
	CHECK("failed forks", t.failed_forks == 1);
	test_trace_word();
	for (unsigned n = 0; n < 10; n++) {	/* garbage and cut packets: nothing happens */
		static const unsigned char bad[] = { 8, 0, 5, 0, 0, 0, 0, 0, 0x0a, 0xff };

		sup_trace_event(&t, bad, n);
	}
	CHECK("garbage", t.failed_forks == 1 && !t.lossy);
	/* One was dropped: whose ends have come cannot be counted any more. */
	struct sup_tree *tree = calloc(1, sizeof(*tree));
	struct sup_trace lossy = { .listener = -1, .conn = -1, .tree = tree };
	static const unsigned char dropped[] = { 8, 0, 2, 0, 1, 0, 0, 0 };

	event(&lossy, 1, "", 0);
	sup_trace_event(&lossy, dropped, sizeof(dropped));
	event(&lossy, 5, exit_1, sizeof(exit_1));
	CHECK("after a loss runsc's end is waited for", lossy.lossy && !lossy.ended);
	CHECK("and nothing in a box can be proved", tree && tree->lost);
	free(tree);
}

/* A flood of events that never stops must not hold the reader: it takes what was there when it came. */
static void test_trace_flood(void)
{
	int pair[2];
	static const unsigned char packet[] = { 8, 0, 6, 0, 0, 0, 0, 0, 0x12, 2, 0x10, 11, 0x20, 56 };

	assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	pid_t pid = fork();

	if (pid == 0) {
		close(pair[0]);
		while (send(pair[1], packet, sizeof(packet), MSG_NOSIGNAL) > 0)
			;
		_exit(0);
	}
	struct sup_trace t = { .listener = -1, .conn = pair[0], .connected = true };

	close(pair[1]);
	(void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
	while (t.failed_forks < 10000)	/* each comes back, though the writer never stops */
		sup_trace_read(&t);
	CHECK("a flood is read, and holds nobody", t.conn >= 0);
	sup_trace_destroy(&t);
	CHECK("its writer ends", waitpid(pid, NULL, 0) == pid);
}

static void test_paths(void)
{
	char dir[] = "/tmp/sbt-paths-XXXXXX", deep[1100] = "";
	int root;

	assert(mkdtemp(dir) && (root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0);
	for (unsigned i = 0; i < 500; i++)
		strcat(deep, "a/");
	strcat(deep, "b");
	errno = 0;
	CHECK("a path that is too deep is refused", sup_path_mkdir(root, deep, 0700, (uid_t)-1, (gid_t)-1) < 0 && errno == ENAMETOOLONG);
	CHECK("one of ten directories is made", sup_path_mkdir(root, deep + strlen(deep) - 21, 0700, (uid_t)-1, (gid_t)-1) == 0);
	for (char *p = deep + strlen(deep) - 21, *slash; *p; slash = strrchr(p, '/'), *(slash ? slash : p) = '\0')
		CHECK("and removed", unlinkat(root, p, AT_REMOVEDIR) == 0);
	close(root);
	CHECK("nothing else was made", rmdir(dir) == 0);
}

static void test_log(void)
{
	char out[256];
	const char two[] = "{\"msg\":\"fine\",\"level\":\"info\"}{\"level\":\"error\",\"msg\":\"failed to load /x: no such file\"}"
			   "{\"level\":\"error\",\"msg\":\"later\"}";
	struct sup_error e = { .code = "" };

	CHECK("first error", sup_log_first_error(two, sizeof(two) - 1, out, sizeof(out)) == 1 && strstr(out, "/x"));
	CHECK("none", sup_log_first_error("{\"level\":\"info\",\"msg\":\"a\"}", 26, out, sizeof(out)) == 0);
	CHECK("garbage", sup_log_first_error("\xff\x00{{", 4, out, sizeof(out)) == 0);
	static const char *const hostile[] = {
		"{\"level\":null,\"msg\":\"x\"}", "{\"level\":\"error\",\"msg\":null}", "{\"level\":1e999,\"msg\":[]}", "{\"level\":\"error\"}", "{\"level\":\"error\",\"msg\":[1]}", "null", "[[[[",
		"{\"level\":{\"level\":\"error\"},\"msg\":123456789012345678901234567890}",
	};

	for (unsigned i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++)
		CHECK(hostile[i], sup_log_first_error(hostile[i], strlen(hostile[i]), out, sizeof(out)) == 0);
	CHECK("cut", sup_log_first_error(two, 50, out, sizeof(out)) == 0);
	sup_log_explain("starting: failed to load /x: no such file", &e);
	CHECK("bad_command", strcmp(e.code, "bad_command") == 0);
	sup_log_explain("anything", &e);
	CHECK("the first error wins", strcmp(e.code, "bad_command") == 0);
}

static int parse(struct sup_request *r, const char *text, size_t n)
{
	struct sup_error e = { .code = "" };
	char *copy = malloc(n + 1);

	assert(copy);
	memcpy(copy, text, n);
	copy[n] = '\0';
	return sup_request_parse(r, copy, n, &e);
}

static void test_request(void)
{
	static const char good[] = "mode=run\0id=0123456789abcdef\0state_dir=/s\0runsc=/r\0platform=ptrace\0rootfs=host\0"
				   "map_base=100000\0timeout=1.5\0memory=1024\0arg=a\0arg=b";
#define ROW(text) { text, sizeof(text) }
	static const struct { const char *text; size_t n; } bad[] = {
		ROW("mode=run\0id=../x\0state_dir=/s\0runsc=/r\0platform=p\0rootfs=host"),
		ROW("mode=bogus"),
		ROW("mode=tool\0runsc=rel"),
		ROW("mode=tool\0runsc=/r\0timeout=nan"),
		ROW("mode=tool\0runsc=/r\0memory=-1"),
		ROW("mode=tool\0runsc=/r\0nosuchkey=1"),
		ROW("mode=tool\0runsc=/r\0uid=4294967296"),
		ROW("runsc=/r\0mode=tool"),				/* the kind comes first */
		ROW("mode=tool\0runsc=/r\0runsc=/s"),			/* twice */
		ROW("mode=tool\0runsc=/r\0mode=run"),
		ROW("mode=tool\0runsc=/r\0rootfs=host"),			/* another kind's */
		ROW("mode=sweep\0state_dir=/s\0runsc=/r"),
		ROW("mode=tool"),					/* missing */
		ROW("mode=call\0container=box\0box=/b\0box_pid=7"),
		ROW("mode=exec\0container=b\"x\0box=/b\0box_pid=7"),
		ROW("mode=run\0id=0123456789abcdef\0state_dir=/s\0runsc=/r\0platform=p\0rootfs=host\0map_base=4294967290\0uid=10"),
		ROW("mode=run\0id=0123456789abcdef\0state_dir=/s\0runsc=/r\0platform=p\0rootfs=host\0uid=10"),
	};
	struct sup_request r;

	CHECK("good", parse(&r, good, sizeof(good)) == 0 && r.timeout == 1.5 && r.memory == 1024 && r.args.n == 2);
	sup_request_destroy(&r);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK(bad[i].text, parse(&r, bad[i].text, bad[i].n) < 0);
		sup_request_destroy(&r);
	}
	static char many[300 * 6 + 32] = "mode=tool";
	size_t n = sizeof("mode=tool");

	memcpy(many + n, "runsc=/r", 9);
	n += 9;
	for (unsigned i = 0; i < 300; i++, n += 6)
		memcpy(many + n, "arg=x", 6);
	CHECK("a list has no end of its own", parse(&r, many, n) == 0 && r.args.n == 300 && !strcmp(r.args.item[299], "x"));
	sup_request_destroy(&r);
	CHECK("a message has no value", ({
		struct sup_error e = { .code = "" };

		(void)sup_request_parse(&r, strdup("mode=s3cr3t"), sizeof("mode=s3cr3t"), &e);
		!strcmp(e.code, "system") && !strstr(e.message, "s3cr3t");
	}));
	sup_request_destroy(&r);
	CHECK("not ended", parse(&r, "mode=tool\0runsc=/r", 18) < 0);
	sup_request_destroy(&r);
}

/* What a lease may change, and for whom. */
static void test_lease(void)
{
	static const struct { const char *text; enum sup_mode mode; bool good; } rows[] = {
		{ "timeout=2", SUP_MODE_EXEC, true }, { "memory=5", SUP_MODE_BOX, true }, { "memory=5", SUP_MODE_EXEC, false },
		{ "timeout=2", SUP_MODE_BOX, false }, { "runsc=/x", SUP_MODE_BOX, false }, { "timeout=x", SUP_MODE_EXEC, false },
		{ "nosuch=1", SUP_MODE_EXEC, false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sup_request r = { .mode = rows[i].mode, .timeout = 1, .memory = 1 };
		struct sup_error e = { .code = "" };
		int rc = sup_request_update(&r, rows[i].text, strlen(rows[i].text) + 1, &e);

		CHECK(rows[i].text, rows[i].good ? rc == 0 && r.timeout + (double)r.memory > 2 : rc < 0 && r.timeout == 1 && r.memory == 1 && !r.runsc);
	}
}

static void test_json(void)
{
	struct sup_json j = { .failed = false }, bad = { .failed = false };
	const char *text;

	sup_json_open(&j, '{');
	sup_json_key(&j, "a\"b");
	sup_json_string(&j, "x\\\n\xc3\xa4\x01");
	sup_json_key(&j, "l");
	sup_json_open(&j, '[');
	sup_json_int(&j, -7);
	sup_json_open(&j, '{');
	sup_json_close(&j, '}');
	sup_json_close(&j, ']');
	sup_json_close(&j, '}');
	text = sup_json_text(&j);
	CHECK("strings are escaped", text && !strcmp(text, "{\"a\\u0022b\":\"x\\u005c\\u000a\xc3\xa4\\u0001\",\"l\":[-7,{}]}"));
	sup_json_destroy(&j);
	sup_json_string(&bad, "\xed\xa0\x80");	/* a surrogate */
	CHECK("what is no UTF-8 fails", !sup_json_text(&bad));
	sup_json_destroy(&bad);
}

/* Writes `n` digits through a stream and returns what came out for the host. */
static size_t pump(const struct sup_request *r, size_t n, char *got, size_t size, struct sup_pump *p)
{
	static struct sup_host h;
	int pair[2], child[3];
	size_t len = 0;
	unsigned char buf[4096];
	ssize_t k;

	assert(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && sup_host_init(&h, pair[0], -1) == 0);
	assert(sup_pump_init(p, r, child) == 0);
	for (size_t i = 0; i < n; i++)
		assert(write(child[1], &"0123456789"[i % 10], 1) == 1);
	while (sup_pump_read(&p->out[0], &h) > 0)
		;
	CHECK("tail goes", sup_pump_tail(&p->out[0], &h));
	(void)sup_host_flush(&h);
	sup_host_destroy(&h);
	while ((k = read(pair[1], buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < k;) {
			uint8_t type;
			uint32_t m = 0;

			assert(sbx_wire_get_header(buf + i, (size_t)(k - i), &type, &m) == 1 && len + m <= size);
			memcpy(got + len, buf + i + SBX_WIRE_HEADER, m);
			len += m;
			i += (ssize_t)(SBX_WIRE_HEADER + m);
		}
	close(pair[1]);
	for (unsigned i = 0; i < 3; i++)
		close(child[i]);
	return len;
}

static void test_pump(void)
{
	struct sup_request r = { .output = 10 };
	struct sup_pump p;
	char got[64];

	CHECK("head", pump(&r, 25, got, sizeof(got), &p) == 10 && !memcmp(got, "0123456789", 10));
	CHECK("counted", p.out[0].bytes == 25 && p.out[0].truncated);
	sup_pump_destroy(&p);
	CHECK("exactly the limit", pump(&r, 10, got, sizeof(got), &p) == 10 && !p.out[0].truncated);
	sup_pump_destroy(&p);
	r.output_tail = true;
	CHECK("tail", pump(&r, 25, got, sizeof(got), &p) == 10 && !memcmp(got, "5678901234", 10));
	sup_pump_destroy(&p);
	CHECK("short tail", pump(&r, 4, got, sizeof(got), &p) == 4 && !memcmp(got, "0123", 4));
	sup_pump_destroy(&p);
}

/* Found by fault injection: what could not be read was taken for the stream's end, and the rest was lost without a word. */
static void test_pump_fails(void)
{
	static struct sup_host h;
	struct sup_stream s = { .fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), .type = SBX_WIRE_STDOUT };
	int pair[2];

	assert(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && sup_host_init(&h, pair[0], -1) == 0 && s.fd >= 0);
	CHECK("a read that is refused is no end", sup_pump_read(&s, &h) < 0 && s.failed == EISDIR && s.fd < 0);
	sup_host_destroy(&h);
	close(pair[1]);
}

/* After the end what is in the pipe is all there is, though somebody goes on writing. */
static void test_pump_end(void)
{
	struct sup_request r = { .output = 0 };
	struct sup_pump p;
	static struct sup_host h;
	int pair[2], child[3];

	assert(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && sup_host_init(&h, pair[0], -1) == 0 && sup_pump_init(&p, &r, child) == 0);
	assert(write(child[1], "end", 3) == 3);
	sup_pump_end(&p);
	assert(write(child[1], "later", 5) == 5);
	sup_pump_end(&p);
	while (sup_pump_read(&p.out[0], &h) > 0)
		;
	CHECK("what is written after the end is nobody's", p.out[0].bytes == 3 && p.out[0].fd < 0);
	sup_pump_destroy(&p);
	r = (struct sup_request){ .output = 10, .output_tail = true };
	for (unsigned i = 0; i < 3; i++)
		close(child[i]);
	assert(sup_pump_init(&p, &r, child) == 0);
	r.output = 0;
	CHECK("a lease without a limit has no tail", sup_pump_restart(&p, &r) == 0 && write(child[1], "x", 1) == 1 && sup_pump_read(&p.out[0], &h) > 0);
	CHECK("an answer goes out as output", sup_pump_answer(&p, "42", 2) == 0 && sup_pump_tail(&p.out[0], &h) && p.out[0].bytes == 2);
	sup_pump_destroy(&p);
	sup_host_destroy(&h);
	close(pair[1]);
	for (unsigned i = 0; i < 3; i++)
		close(child[i]);
}

/* What nobody waits for goes with the next frame, or by the clock. */
static void test_host_later(void)
{
	static struct sup_host h;
	char got[64];
	int pair[2];

	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0 && sup_host_init(&h, pair[0], -1) == 0);
	CHECK("it is queued", sup_host_put_later(&h, SBX_WIRE_STDOUT, NULL, 0) && h.later > 0);
	h.later = 1e18;		/* the clock stands still */
	CHECK("it waits", sup_host_flush(&h) == 0 && !sup_host_sends(&h) && recv(pair[1], got, sizeof(got), 0) < 0);
	CHECK("it goes with the next", sup_host_put(&h, SBX_WIRE_STDERR, "x", 1) && sup_host_sends(&h) && sup_host_flush(&h) == 0 &&
	      recv(pair[1], got, sizeof(got), 0) == 2 * SBX_WIRE_HEADER + 1);
	CHECK("it holds up nothing that is queued", sup_host_put(&h, SBX_WIRE_STDERR, "x", 1) && sup_host_put_later(&h, SBX_WIRE_STDOUT, NULL, 0) &&
	      sup_host_flush(&h) == 0 && recv(pair[1], got, sizeof(got), 0) == 2 * SBX_WIRE_HEADER + 1);
	CHECK("it is queued again", sup_host_put_later(&h, SBX_WIRE_STDOUT, NULL, 0));
	h.later = 1e-9;		/* its time is over */
	CHECK("it goes by the clock", sup_host_sends(&h) && sup_host_flush(&h) == 0 && recv(pair[1], got, sizeof(got), 0) == SBX_WIRE_HEADER);
	sup_host_destroy(&h);
	close(pair[1]);
}

/* An entry is its supervisor's until that ends, and then the box's. */
/* Whether somebody who waits for the gate gets through it. */
static bool passes(int run, bool shuts, unsigned seconds)
{
	struct sup_programs c;
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		(void)alarm(seconds);
		if (sup_programs_open(&c, run) < 0)
			_exit(1);
		(shuts ? sup_programs_shut : sup_programs_pass)(&c);
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void test_gate(struct sup_programs *box, struct sup_programs *a, int run)
{
	sup_programs_pass(a);
	CHECK("two start programs at once, and nobody shuts the gate meanwhile", passes(run, false, 30) && !passes(run, true, 1));
	sup_programs_open_gate(a);
	sup_programs_shut(box);
	CHECK("nobody starts one while it is shut", !passes(run, false, 1) && !passes(run, true, 1));
	sup_programs_open_gate(box);
	CHECK("then both do", passes(run, false, 30) && passes(run, true, 30));
}

/* What is kept of two streams, against a log that keeps all. */
static void test_tail(void)
{
	static unsigned char log[100000], types[100000], got[4096];
	struct sup_tail t;
	size_t n = 0;
	bool same = sup_tail_init(&t, 1000) == 0;

	srand(1);
	for (unsigned round = 0; round < 2000 && n < sizeof(log) - 1500; round++) {
		size_t piece = (size_t)(rand() % (round % 50 ? 40 : 1500));
		uint8_t type = rand() % 2 ? '1' : '2', whose = 0;

		for (size_t i = 0; i < piece; i++) {
			log[n + i] = (unsigned char)rand();
			types[n + i] = type;
		}
		sup_tail_add(&t, type, log + n, piece);
		n += piece;
		same = same && t.end == n && t.first == (n > 1000 ? n - 1000 : 0);
		for (uint64_t at = t.first; at < t.end;) {
			size_t k = sup_tail_read(&t, at, &whose, got, 1 + (size_t)rand() % 300);

			same = same && k && !memcmp(got, log + at, k);
			for (size_t i = 0; i < k; i++)
				same = same && types[at + i] == whose;
			at += k ? k : 1;
		}
	}
	CHECK("a tail is the end of what came, each byte its stream's", same);
	CHECK("nothing behind the end, nor before the beginning", !sup_tail_read(&t, t.end, types, got, 9) && !sup_tail_read(&t, t.first - 1, types, got, 9));
	sup_tail_destroy(&t);
	CHECK("turns are bounded", sup_tail_init(&t, 1 << 20) == 0);
	for (unsigned i = 0; i < 3 * SUP_TAIL_TURNS; i++)
		sup_tail_add(&t, i % 2 ? '1' : '2', (const unsigned char *)"x", 1);
	CHECK("and what is older is let go", t.end == 3 * SUP_TAIL_TURNS && t.first == 2 * SUP_TAIL_TURNS && t.turns == SUP_TAIL_TURNS);
	sup_tail_destroy(&t);
}

static void test_programs(void)
{
	char dir[] = "/tmp/sbx-programs-XXXXXX", path[64];
	int run = mkdtemp(dir) ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	struct sup_programs box, a, b;

	CHECK("the record is shared", !sup_programs_make(&box, run) && !sup_programs_open(&a, run) && !sup_programs_open(&b, run));
	CHECK("two programs have two entries", !sup_programs_enter(&a, false, false, false) && !sup_programs_enter(&b, true, false, false) && a.mine != b.mine);
	sup_programs_known(&b, 7);
	CHECK("none is an orphan", !sup_programs_adopt(&box));
	int mine = b.mine;

	sup_programs_close(&b);
	CHECK("one is", sup_programs_adopt(&box) && box.mine == mine && box.map->slot[mine].pid == 7 && box.map->slot[mine].command);
	sup_programs_leave(&box);
	sup_programs_leave(&a);
	CHECK("no more", !sup_programs_adopt(&box) && !sup_programs_enter(&a, false, false, false));
	test_gate(&box, &a, run);
	sup_programs_close(&a);
	sup_programs_stands(&box);
	CHECK("one lifts it, and lowers it", sup_programs_lift(&box) && !sup_programs_lift(&box) && sup_programs_lower(&box));
	CHECK("a host that lets it go on meanwhile need not", sup_programs_lift(&box) && !sup_programs_goes_on(&box) && !sup_programs_lower(&box));
	sup_programs_stands(&box);
	CHECK("else it must, once", sup_programs_goes_on(&box) && !sup_programs_goes_on(&box));
	sup_programs_close(&box);
	close(run);
	(void)snprintf(path, sizeof(path), "%s/programs", dir);
	(void)unlink(path);
	(void)rmdir(dir);
}

/* As files of the kernel's, for this needs no hierarchy of v2. */
static void test_cgroup_bounds(void)
{
	char dir[] = "/tmp/sbx-cgroup-XXXXXX", limit[700];
	static const char *const files[][2] = { { "memory.max", "max\n" }, { "memory.high", "max\n" }, { "cpu.max", "max 100000\n" },
						{ "cpuset.cpus", "\n" }, { "pids.max", "max\n" } };
	int top = mkdtemp(dir) ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	CHECK("groups", !mkdirat(top, "a", 0700) && !mkdirat(top, "a/b", 0700) && !mkdirat(top, "a/b/c", 0700));
	(void)sbx_io_write_at(top, "memory.max", O_CREAT, "1", 1);	/* the one at the top has no such file */
	int group = openat(top, "a", O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (unsigned i = 0; i < 5; i++)
		(void)sbx_io_write_at(group, files[i][0], O_CREAT | O_TRUNC, files[i][1], strlen(files[i][1]));
	CHECK("nothing bounds the one at the top", !sup_cgroup_bound(dir, "", limit, sizeof(limit)));
	CHECK("nothing bounds a group without limits", !sup_cgroup_bound(dir, "/a/b/c", limit, sizeof(limit)));
	for (unsigned i = 0; i < 5; i++) {
		(void)sbx_io_write_at(group, files[i][0], O_TRUNC, "5 100000\n", 9);
		CHECK("a limit further up does", sup_cgroup_bound(dir, "/a/b/c", limit, sizeof(limit)) && strstr(limit, files[i][0]));
		(void)sbx_io_write_at(group, files[i][0], O_TRUNC, files[i][1], strlen(files[i][1]));
	}
	CHECK("a group is nobody's", !sup_cgroup_given(dir, "/a/b/c"));
	char marked[64];

	(void)snprintf(marked, sizeof(marked), "%s/a/b", dir);
	if (setxattr(marked, "user.delegate", "1", 1, 0) == 0 || errno != EOPNOTSUPP)
		CHECK("but for who it was delegated to, and below", sup_cgroup_given(dir, "/a/b") && sup_cgroup_given(dir, "/a/b/c") && !sup_cgroup_given(dir, "/a"));
	for (unsigned i = 0; i < 5; i++)
		(void)unlinkat(group, files[i][0], 0);
	(void)unlinkat(top, "memory.max", 0);
	(void)unlinkat(top, "a/b/c", AT_REMOVEDIR);
	(void)unlinkat(top, "a/b", AT_REMOVEDIR);
	(void)unlinkat(top, "a", AT_REMOVEDIR);
	(void)rmdir(dir);
	close(group);
	close(top);
}

/* A group is named in the run's directory before it is made: whoever dies between the two leaves none that nobody knows of. */
static void test_cgroup_record(void)
{
	char dir[] = "/tmp/sbx-record-XXXXXX", text[SUP_CGROUP_PATHS], line[64];
	struct sup_cgroup c = { .record = mkdtemp(dir) ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1 };
	int run = c.record;

	(void)snprintf(line, sizeof(line), "%s/lua-sandbox-7\n", dir);
	CHECK("no group is where no process may be put in", sup_cgroup_add(&c, dir, "7") < 0 && strstr(c.why, "no process may"));
	CHECK("but it is named", sbx_io_read_at(run, SUP_CGROUP_RECORD, text, sizeof(text)) > 0 && !strcmp(text, line));
	c = (struct sup_cgroup){ .record = -1 };
	CHECK("one that cannot be named is not made", sup_cgroup_add(&c, dir, "7") < 0 && strstr(c.why, "no group can be made"));
	CHECK("nothing is left of it", sup_cgroup_sweep(text, "7") && !unlinkat(run, SUP_CGROUP_RECORD, 0) && !rmdir(dir));
	close(run);
}

/* Who comes from which program, however its parents end. */
static void test_tree(void)
{
	char dir[] = "/tmp/sbx-tree-XXXXXX", path[64];
	int run = mkdtemp(dir) ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	struct sup_tree *t = run >= 0 ? sup_tree_make(run, false) : NULL;
	const struct sup_tree *seen = sup_tree_open(run);
	size_t at = 0;

	CHECK("the tree is shared", t && seen && t != seen);
	int tasks = sup_tree_clone(t, 10, 11);	/* 10 is a program, 11 its child, 12 its grandchild */

	tasks += sup_tree_clone(t, 11, 12);
	tasks += sup_tree_clone(t, 20, 21);	/* another's */
	tasks += sup_tree_clone(t, 12, 12);	/* a second thread */
	tasks += sup_tree_clone(t, 1, 5);	/* the helper's: nobody's */
	CHECK("tasks are counted, programs that make some among them", tasks == 6);
	CHECK("nor is what no process can be", sup_tree_exit(t, 0, 0) == 0 && sup_tree_exit(t, -1, 0) == 0 && sup_tree_clone(t, 0, -1) == 0 && t->live == 5);
	CHECK("and one that is not known is none", sup_tree_exit(t, 98, 0) == 0 && sup_tree_exit(t, 11, 0) == 1);
	CHECK("an orphan is still its program's", sup_tree_next(seen, 10, &at) == 12 && sup_tree_next(seen, 10, &at) == 0);
	sup_tree_exit(t, 12, 0);
	at = 0;
	CHECK("one thread less is no end", sup_tree_next(seen, 10, &at) == 12);
	sup_tree_exit(t, 12, 0);
	at = 0;
	CHECK("none is left", sup_tree_next(seen, 10, &at) == 0 && !seen->lost);
	at = 0;
	CHECK("the other's is", sup_tree_next(seen, 20, &at) == 21);
	int status = 0;

	sup_tree_exit(t, 20, 7 << 8);
	CHECK("a program's end is told", sup_tree_status(seen, 20, &status) && status == 7 << 8 && !sup_tree_status(seen, 99, &status));
	sup_tree_clone(t, 40, 40);
	sup_tree_exit(t, 40, 0);
	CHECK("a thread's end is not its program's", !sup_tree_status(seen, 40, &status));
	sup_tree_exit(t, 40, 3 << 8);
	CHECK("but the last one's", sup_tree_status(seen, 40, &status) && status == 3 << 8);
	uint32_t asked = sup_tree_ask(seen), news = sup_tree_news(seen);
	sup_tree_turn(t);
	CHECK("a turn tells of ends, and answers nobody who has asked", sup_tree_news(seen) == news + 1 && !sup_tree_answers(seen, asked));
	sup_tree_turn(t);
	CHECK("one without either is no news", sup_tree_news(seen) == news + 1);
	sup_tree_hear(t);
	uint32_t late = sup_tree_ask(seen);
	CHECK("what was heard is not answered before the turn has ended", !sup_tree_answers(seen, asked));
	sup_tree_turn(t);
	CHECK("and who asks when it was heard already is not answered by it", sup_tree_answers(seen, asked) && !sup_tree_answers(seen, late));
	double began = sbx_time_now();
	sup_tree_wait(seen, news, 60);
	CHECK("nobody waits for news that was there", sbx_time_now() - began < 30);
	for (int i = 0; i < SUP_TREE_SLOTS + 5; i++)
		sup_tree_clone(t, 30, 1000 + i);
	CHECK("a full table says so", t->lost >= 5);
	sup_tree_close(t);
	sup_tree_close(seen);
	(void)snprintf(path, sizeof(path), "%s/tree", dir);
	(void)unlink(path);
	t = sup_tree_make(run, true);	/* the first process is a program, and makes 2, which makes 3; 9 was started beside it */
	CHECK("so is the first", t && sup_tree_clone(t, 1, 2) + sup_tree_clone(t, 1, 1) + sup_tree_clone(t, 2, 3) == 3);
	at = 0;
	CHECK("what is beside it", sup_tree_exit(t, 9, 0) == 0 && sup_tree_next(t, 9, &at) == 0);
	CHECK("and its ends", sup_tree_exit(t, 1, 0) + sup_tree_exit(t, 2, 0) + sup_tree_exit(t, 3, 0) == 3);
	sup_tree_close(t);
	close(run);
	(void)unlink(path);
	(void)rmdir(dir);
}

/* A sentry that answers as it likes. */
static void test_control(void)
{
	static const struct {
		const char *name, *answer, *code;
		int result;
	} rows[] = {
		{ "an answer", "{\"success\":true,\"err\":\"\",\"result\":42}", "", 42 },
		{ "a refusal", "{\"success\":false,\"err\":\"no such process\"}", "runsc_failed", 0 },
		{ "a refusal without words", "{\"success\":false,\"err\":null}", "runsc_failed", 0 },
		{ "a refusal with other words", "{\"success\":false,\"err\":{\"a\":[1]}}", "runsc_failed", 0 },
		{ "success that is null", "{\"success\":null}", "runsc_failed", 0 },
		{ "null", "null", "closed", 0 },
		{ "a list", "[1,2,3]", "runsc_failed", 0 },
		{ "no success", "{\"result\":1}", "runsc_failed", 0 },
		{ "success that is no boolean", "{\"success\":\"yes\",\"result\":1}", "runsc_failed", 0 },
		{ "garbage", "\x00\xff{{{", "closed", 0 },
		{ "too deep", "[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]", "closed", 0 },
		{ "half an answer, then the end", "{\"success\":tr", "closed", 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sup_error e = { .code = "" };
		struct json_object *result = NULL;
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
			abort();
		struct sup_control c = { .fd = pair[0] };

		if (write(pair[1], rows[i].answer, rows[i].answer[0] ? strlen(rows[i].answer) : 5) < 0)
			abort();
		(void)shutdown(pair[1], SHUT_WR);
		(void)sup_control_call(&c, "containerManager.WaitPID", "{}", NULL, 0, 5, &result, &e);
		CHECK(rows[i].name, !strcmp(e.code, rows[i].code) && (result ? json_object_get_int(result) : 0) == rows[i].result);
		json_object_put(result);
		sup_control_close(&c);
		close(pair[1]);
	}
}

static void test_control_number(void)
{
	static const struct { const char *json; int number; } rows[] = {
		{ "42", 42 }, { "0", 0 }, { "-1", -1 }, { "4294967338", -1 }, { "99999999999999999999999", -1 }, { "1.5", -1 }, { "\"7\"", -1 }, { "null", -1 },
		{ "[7]", -1 }, { "true", -1 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK(rows[i].json, sup_control_number(json_tokener_parse(rows[i].json), INT32_MAX) == rows[i].number);
}

/* A peer that takes nothing: sending waits for nobody, and a whole call has one deadline. */
static void test_control_send(void)
{
	struct sup_error e = { .code = "" };
	size_t n = 8u << 20;
	char *big = malloc(n + 1);
	int pair[2];

	assert(big && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	memset(big, '1', n);
	big[n] = '\0';
	struct sup_control c = { .fd = pair[0] };
	struct json_object *reply = NULL;

	CHECK("a large request is begun", sup_control_send(&c, "x", big, NULL, 0) == 0 && (sup_control_events(&c) & POLLOUT));
	CHECK("nothing is sent in between", sup_control_send(&c, "y", "1", NULL, 0) < 0);
	CHECK("and nobody waits", sup_control_receive(&c, &reply) == 0);
	sup_control_close(&c);
	close(pair[1]);
	assert(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	c = (struct sup_control){ .fd = pair[0] };
	CHECK("a call ends in time", sup_control_call(&c, "x", big, NULL, 0, 0.05, NULL, &e) < 0 && !strcmp(e.code, "closed"));
	sup_control_close(&c);
	close(pair[1]);
	free(big);
}

/* An answer that never ends, and one that never comes. */
static void test_control_bounds(void)
{
	static char flood[1 << 20];
	struct sup_error e = { .code = "" };
	struct json_object *reply = NULL;
	int pair[2], rc = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0)
		abort();
	struct sup_control c = { .fd = pair[0] };

	memset(flood, ' ', sizeof(flood));
	for (unsigned i = 0; i < 100000 && rc == 0; i++) {
		(void)!write(pair[1], flood, sizeof(flood));
		rc = sup_control_receive(&c, &reply);
	}
	CHECK("an endless answer is given up", rc < 0);
	sup_control_close(&c);
	close(pair[1]);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		abort();
	c = (struct sup_control){ .fd = pair[0] };
	CHECK("silence is given up", sup_control_call(&c, "x", "{}", NULL, 0, 0.05, NULL, &e) < 0 && !strcmp(e.code, "closed"));
	sup_control_close(&c);
	close(pair[1]);
}

/* A process that lives until it is killed, by the name that a gofer has. */
static pid_t sleeper(int *pidfd)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)execl("/bin/sleep", "runsc-gofer", "1000", (char *)NULL);
		_exit(127);
	}
	*pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	assert(pid > 0 && *pidfd >= 0);
	return pid;
}

static void kill_now(pid_t pid)
{
	siginfo_t info;

	assert(kill(pid, SIGKILL) == 0 && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
}

static bool is_named(pid_t pid)
{
	char path[48], name[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	return sbx_io_read_at(AT_FDCWD, path, name, sizeof(name)) > 0 && !strcmp(name, "runsc-gofer");
}

/* In the order of `deaths` (g: the gofer, s: the sentry, t: something of the trace) before anybody looks: whether it is told as killed. */
static void gofer_case(const char *deaths, bool killed, bool told)
{
	struct sup_gofer g;
	int trace[2], sentry_fd, gofer_fd;
	pid_t sentry = fork();

	if (sentry == 0) {
		(void)pause();
		_exit(0);
	}
	sentry_fd = (int)syscall(SYS_pidfd_open, sentry, 0);
	pid_t gofer = sleeper(&gofer_fd);

	while (!is_named(gofer))
		(void)sched_yield();
	assert(sentry > 0 && sentry_fd >= 0 && pipe(trace) == 0);
	sup_gofer_init(&g);
	sup_gofer_find(&g, getpid(), sentry_fd, trace[0]);
	assert(g.pid == gofer && g.fd >= 0 && !sup_gofer_ended(&g));
	sup_gofer_look(&g, sentry_fd, false);
	assert(!g.killed && g.fd >= 0);		/* it lives */
	for (const char *d = deaths; *d; d++) {
		if (*d == 't')
			assert(write(trace[1], "x", 1) == 1);
		else
			kill_now(*d == 'g' ? gofer : sentry);
	}
	assert(sup_gofer_ended(&g) == (strchr(deaths, 'g') != NULL) && g.told == told);
	sup_gofer_look(&g, sentry_fd, false);
	assert(g.killed == killed);
	sup_gofer_close(&g);
	(void)kill(gofer, SIGKILL);
	(void)kill(sentry, SIGKILL);
	assert(waitpid(gofer, NULL, 0) == gofer && waitpid(sentry, NULL, 0) == sentry);
	assert(close(trace[0]) == 0 && close(trace[1]) == 0 && close(sentry_fd) == 0 && close(gofer_fd) == 0);
}

static void test_gofer(void)
{
	gofer_case("g", true, false);
	gofer_case("gt", true, false);
	gofer_case("tg", true, true);
	gofer_case("gts", true, false);		/* a supervisor that got no processor until all was over */
	gofer_case("gs", true, false);
	gofer_case("sg", false, false);		/* runsc kills it, its sentry having ended */
	gofer_case("tsg", false, true);
	gofer_case("s", false, false);
}

/* Turns to boot in the order of asking, also past those who died while they waited. */
static void test_slots(void)
{
	char dir[] = "/tmp/sbt-slots-XXXXXX", path[64];
	struct sup_slot holder[64], a = { .lock = -1 }, b = { .lock = -1 }, dead = { .lock = -1 }, last = { .lock = -1 };
	int n = 0, tries = 0;

	CHECK("a directory for turns", mkdtemp(dir) != NULL);
	for (; n < 64; n++) {
		holder[n] = (struct sup_slot){ .lock = -1 };
		if (!sup_slot_try(&holder[n], dir))
			break;
	}
	CHECK("as many turns as cores, at least two", n >= 2 && n < 64);
	CHECK("those who come later wait", !sup_slot_try(&a, dir) && !sup_slot_try(&b, dir) && !sup_slot_try(&dead, dir) && !sup_slot_try(&last, dir));
	sup_slot_release(&holder[n]);	/* it has the number before a's, and will never come */
	sup_slot_release(&holder[0]);
	CHECK("who asked first has been dead for too long", !sup_slot_try(&a, dir) && sup_slot_try(&a, dir));
	sup_slot_release(&holder[1]);
	CHECK("the last leaves a free turn to those before it", !sup_slot_try(&last, dir));
	CHECK("the next takes it at once", sup_slot_try(&b, dir));
	sup_slot_release(&dead);
	sup_slot_release(&a);
	while (!sup_slot_try(&last, dir) && tries < 10)
		tries++;
	CHECK("the dead hold it up for a try each", tries <= 1);
	sup_slot_release(&b);
	sup_slot_release(&last);
	for (int i = 2; i < n; i++)
		sup_slot_release(&holder[i]);
	CHECK("released twice", (sup_slot_release(&last), true));
	for (int i = 0; i < n; i++) {
		(void)snprintf(path, sizeof(path), "%s/.boot-%d", dir, i);
		CHECK("a file a turn", unlink(path) == 0);
	}
	(void)snprintf(path, sizeof(path), "%s/.boot-queue", dir);
	CHECK("one for the queue, and nothing else", unlink(path) == 0 && rmdir(dir) == 0);
	CHECK("a directory that is not there gives turns to all", sup_slot_try(&a, dir) && a.lock == -1);
	sup_slot_release(&a);
}

/* A run's directory as a crash leaves it: whole, or when all but the directory itself has been removed. */
static int leave(const char *dir, const char *id, bool locked)
{
	struct sup_request r = { .state_dir = (char *)dir, .id = (char *)id };
	struct sup_error e = { 0 };
	struct sup_dir d;
	char path[320];

	if (sup_dir_make(&d, &r, &e) < 0)
		return -1;
	(void)close(d.lock);
	(void)close(d.fd);
	for (unsigned i = 0; !locked && i < 4; i++)
		(void)remove(sup_dir_at(&d, (const char *const[]){ "b", "r", "m", "lock" }[i], path, sizeof(path)));
	return 0;
}

/* Who sweeps takes what the dead left, and counts nothing that its owner was just removing. */
static void test_sweep(void)
{
	char dir[] = "/tmp/sbt-sweep-XXXXXX", path[64];
	struct sup_error e = { 0 };
	int removed = 0, status = 1;

	CHECK("a directory to sweep", mkdtemp(dir) != NULL);
	CHECK("what a crash left", leave(dir, "crash", true) == 0 && sup_sweep(dir, &e) == 1);
	CHECK("what was left by a crash in its own removal", leave(dir, "end", false) == 0 && sup_sweep(dir, &e) == 0);
	pid_t pid = fork();

	if (pid == 0) {
		for (int i = 0; i < 2000; i++) {
			struct sup_dir d;
			struct sup_request r = { .state_dir = dir, .id = (char *)"live" };

			if (sup_dir_make(&d, &r, &e) < 0)
				_exit(1);
			sup_dir_remove(&d);
		}
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		removed += sup_sweep(dir, &e);
	CHECK("the living's runs are made and removed", status == 0);
	CHECK("and never taken for the dead's", removed == 0);
	CHECK("nothing is left in the end", sup_sweep(dir, &e) == 0);
	CHECK("what lives is no relict", leave(dir, "box", true) == 0 && (sup_dir_relict(strcat(strcpy(path, dir), "/run-box")), access(path, F_OK) == 0));
	(void)unlink(strcat(path, "/lock"));
	sup_dir_relict(strcat(strcpy(path, dir), "/run-box"));
	CHECK("without its lock it loses what runsc may have written, and no more", access(strcat(path, "/r"), F_OK) < 0 && access(strcat(strcpy(path, dir), "/run-box/b"), F_OK) == 0);
	(void)rmdir(path);
	(void)rmdir(strcat(strcpy(path, dir), "/run-box/m"));
	CHECK("it goes with the last of it", (sup_dir_relict(strcat(strcpy(path, dir), "/run-box")), access(path, F_OK) < 0));
	CHECK("another directory stays", mkdir(strcat(strcpy(path, dir), "/x"), 0700) == 0 && mkdir(strcat(path, "/r"), 0700) == 0 &&
	      (sup_dir_relict(strcat(strcpy(path, dir), "/x")), rmdir(strcat(path, "/r")) == 0));
	CHECK("nothing is left", rmdir(strcat(strcpy(path, dir), "/x")) == 0 && rmdir(dir) == 0);
}

int main(void)
{
	test_sweep();
	test_trace_flood();
	test_paths();
	test_gofer();
	test_slots();
	test_programs();
	test_tail();
	test_cgroup_bounds();
	test_cgroup_record();
	test_tree();
	test_control();
	test_control_bounds();
	test_control_number();
	test_control_send();
	test_lease();
	test_json();
	test_pump_fails();
	test_pump_end();
	test_host_later();
	test_judge();
	test_trace();
	test_log();
	test_request();
	test_pump();
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}
