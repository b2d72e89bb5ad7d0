/* SPDX-License-Identifier: MIT */
#include "guest_terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "guest_session.h"
#include "sbx_wire.h"

/* What is typed and not read by the program waits here, so that a new size gets past it; beyond that the host waits. */
#define TYPED_MAX (1024u * 1024u)
#define PIECE (64u * 1024u)
/* gVisor keeps no more than this of what a program wrote; after the program's end others may write on for ever. */
#define LAST_WORDS (256u * 1024u)
#define ENDS 16u

/* What comes on stdin: frames, cut anywhere. */
static struct {
	unsigned char head[SBX_WIRE_HEADER], size[4];
	unsigned have, size_n;
	uint8_t type;
	uint32_t left;		/* of the frame's payload */
	bool open, broken;
} frames = { .open = true };

/* What is typed: bytes, and the places among them, counted from the first ever, where an end is. */
static struct {
	unsigned char bytes[TYPED_MAX];
	size_t off, len;
	uint64_t written, end[ENDS];
	unsigned ends;
	size_t line;		/* bytes of a line that is not ended: an end typed in it would only send it */
} typed;

static struct {
	unsigned char bytes[PIECE];
	size_t off, len;
} shown;

static volatile sig_atomic_t hangup;

/* --- the terminal --------------------------------------------------------------------------------------------------------- */

static int open_replica(int master)
{
	int unlocked = 0;
	unsigned n;
	char path[32];

	if (ioctl(master, TIOCSPTLCK, &unlocked) < 0 || ioctl(master, TIOCGPTN, &n) < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "/dev/pts/%u", n);
	return open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

int guest_terminal_open(struct guest_terminal *t, const char *size)
{
	struct termios modes;

	memset(&t->size, 0, sizeof(t->size));
	(void)sscanf(size, "%hux%hu", &t->size.ws_row, &t->size.ws_col);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, t->line) < 0)
		return -1;
	t->master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	t->replica = t->master < 0 ? -1 : open_replica(t->master);
	if (t->replica < 0)
		return -1;
	if (tcgetattr(t->replica, &modes) == 0) {
		modes.c_iflag |= IUTF8;		/* erasing takes a character, not a byte */
		(void)tcsetattr(t->replica, TCSANOW, &modes);
	}
	return 0;
}

int guest_terminal_enter(const struct guest_terminal *t)
{
	if (setsid() < 0 || ioctl(t->replica, TIOCSCTTY, 0) < 0)
		return -1;
	for (int fd = 0; fd < 3; fd++)
		if (dup2(t->replica, fd) < 0)
			return -1;
	(void)close(t->line[0]);	/* whose end, by the helper's, is what ends our process in the session */
	guest_session_begin(t->master, &t->size, t->line[1]);
	return 0;
}

static void hang_up(struct guest_terminal *t)
{
	if (!(t->does & GUEST_SESSION_SIZES))
		guest_session_signal(t->line[0], SIGHUP);
	(void)close(t->replica);
	(void)close(t->master);
	t->master = t->replica = -1;
}

/* --- what is typed -------------------------------------------------------------------------------------------------------- */

static void take_size(const struct guest_terminal *t)
{
	const unsigned char *z = frames.size;
	struct winsize size = { .ws_row = (unsigned short)(z[0] | z[1] << 8), .ws_col = (unsigned short)(z[2] | z[3] << 8) };

	(void)ioctl(t->master, TIOCSWINSZ, &size);
	if (!(t->does & GUEST_SESSION_SIZES))
		guest_session_signal(t->line[0], SIGWINCH);
}

static void type_end(void)
{
	if (typed.ends < ENDS)
		typed.end[typed.ends++] = typed.written + typed.len;
}

/* A frame has begun; the host is ours, so one of another kind is a mistake of ours. */
static void begin_frame(void)
{
	frames.have = frames.size_n = 0;
	if (sbx_wire_get_header(frames.head, SBX_WIRE_HEADER, &frames.type, &frames.left) != 1)
		frames.broken = true;
	else if (frames.type == SBX_WIRE_STDIN_END)
		type_end();
}

/* Bytes of a payload; how many were taken. */
static size_t take_payload(const struct guest_terminal *t, const unsigned char *p, size_t n)
{
	n = n < frames.left ? n : frames.left;
	if (frames.type == SBX_WIRE_STDIN) {
		memcpy(typed.bytes + typed.off + typed.len, p, n);
		typed.len += n;
	} else if (frames.type == SBX_WIRE_SIZE && frames.size_n + n <= sizeof(frames.size)) {
		memcpy(frames.size + frames.size_n, p, n);
		frames.size_n += (unsigned)n;
		if (frames.size_n == sizeof(frames.size))
			take_size(t);
	}
	frames.left -= (uint32_t)n;
	return n;
}

static void read_frames(const struct guest_terminal *t)
{
	unsigned char raw[PIECE];
	ssize_t n = read(STDIN_FILENO, raw, sizeof(raw));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		frames.open = false;
		type_end();
	}
	if (typed.off + typed.len + PIECE > TYPED_MAX) {
		memmove(typed.bytes, typed.bytes + typed.off, typed.len);
		typed.off = 0;
	}
	for (ssize_t at = 0; at < n && !frames.broken;) {
		if (frames.left) {
			at += (ssize_t)take_payload(t, raw + at, (size_t)(n - at));
			continue;
		}
		frames.head[frames.have++] = raw[at++];
		if (frames.have == SBX_WIRE_HEADER)
			begin_frame();
	}
	frames.open = frames.open && !frames.broken;
}

static bool is(const struct termios *modes, int what, unsigned char c)
{
	return modes->c_cc[what] && modes->c_cc[what] == c;
}

/* The signal that this character stands for, if gVisor sends none; else 0. */
static int signal_of(const struct guest_terminal *t, const struct termios *modes, unsigned char c)
{
	if (t->does & GUEST_SESSION_SIGNALS || !(modes->c_lflag & ISIG))
		return 0;
	return is(modes, VINTR, c) ? SIGINT : is(modes, VQUIT, c) ? SIGQUIT : is(modes, VSUSP, c) ? SIGTSTP : 0;
}

/* gVisor erases characters, if it does not know this one, which takes the whole line: as many as it may have. */
static bool kills(const struct termios *modes, unsigned char c)
{
	return modes->c_lflag & ICANON && modes->c_cc[VERASE] && is(modes, VKILL, c);
}

/* Whether a line goes on behind this byte. */
static bool goes_on(const struct termios *modes, unsigned char c)
{
	static const int ending[] = { VEOF, VEOL, VINTR, VQUIT, VSUSP };

	for (unsigned i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		if (is(modes, ending[i], c))
			return false;
	return c != '\n' && c != '\r';
}

/* Bytes for the terminal; how many it has taken, 0: none now. */
static size_t type(const struct guest_terminal *t, const unsigned char *p, size_t n)
{
	ssize_t w = n ? write(t->master, p, n) : 0;

	return w > 0 ? (size_t)w : 0;
}

/* The end, as the terminal has it now: where a line has begun the first sends that, and the second is read as an end. */
static bool write_end(const struct guest_terminal *t)
{
	struct termios modes;
	unsigned char end = 4;
	bool lines = tcgetattr(t->replica, &modes) == 0 && modes.c_lflag & ICANON;

	if (lines && modes.c_cc[VEOF])
		end = modes.c_cc[VEOF];
	if (lines && typed.line && !type(t, &end, 1))
		return false;
	typed.line = 0;
	return type(t, &end, 1) == 1;
}

/* Types the first of so many bytes, up to one that is ours to do. How many are done. */
static size_t write_some(const struct guest_terminal *t, const unsigned char *p, size_t n)
{
	struct termios modes;
	size_t plain = 0;

	if (tcgetattr(t->replica, &modes) < 0)
		return type(t, p, n);
	int signo = signal_of(t, &modes, p[0]);

	if (signo || (kills(&modes, p[0]) && !typed.line)) {
		if (signo)
			guest_session_signal(t->line[0], signo);
		return 1;
	}
	if (kills(&modes, p[0])) {	/* one at a time, and then we are here again */
		typed.line -= type(t, &modes.c_cc[VERASE], 1);
		return 0;
	}
	while (plain < n && !signal_of(t, &modes, p[plain]) && !kills(&modes, p[plain]))
		plain++;
	n = type(t, p, plain);
	for (size_t i = 0; i < n; i++)
		typed.line = goes_on(&modes, p[i]) ? typed.line + 1 : 0;
	return n;
}

static void write_typed(const struct guest_terminal *t)
{
	while (typed.len || typed.ends) {
		uint64_t until = typed.ends ? typed.end[0] - typed.written : typed.len;

		if (!until) {
			if (!write_end(t))
				return;
			memmove(typed.end, typed.end + 1, --typed.ends * sizeof(typed.end[0]));
			continue;
		}
		size_t line = typed.line, n = write_some(t, typed.bytes + typed.off, until < PIECE ? (size_t)until : PIECE);

		if (!n && typed.line == line)
			return;
		typed.off += n;
		typed.len -= n;
		typed.written += n;
	}
	typed.off = 0;
}

/* --- what is shown -------------------------------------------------------------------------------------------------------- */

/* Bytes that were read; 0: nothing now. */
static size_t read_shown(const struct guest_terminal *t)
{
	ssize_t n = read(t->master, shown.bytes, sizeof(shown.bytes));

	shown.off = 0;
	shown.len = n > 0 ? (size_t)n : 0;
	return shown.len;
}

/* Nobody takes it any more: the host is gone, and so shall we be. */
static void write_shown(void)
{
	ssize_t n = write(STDOUT_FILENO, shown.bytes + shown.off, shown.len);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	n = n < 0 ? (ssize_t)shown.len : n;
	shown.off += (size_t)n;
	shown.len -= (size_t)n;
}

/* What the program wrote before its end. */
static void finish(const struct guest_terminal *t)
{
	struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };
	size_t all = 0;

	do {
		while (shown.len) {
			(void)poll(&out, 1, -1);
			write_shown();
		}
		if (t->master < 0 || all > LAST_WORDS)
			return;
		all += read_shown(t);
	} while (shown.len);
}

/* --- both ----------------------------------------------------------------------------------------------------------------- */

static void on_signal(int signo)
{
	if (signo == SIGHUP)
		hangup = 1;
}

static bool has_ended(pid_t program, int *status)
{
	pid_t pid;
	int st;

	while ((pid = waitpid(-1, &st, WNOHANG)) > 0)
		if (pid == program) {
			*status = st;
			return true;
		}
	return pid < 0 && errno == ECHILD;
}

static void carry(const struct guest_terminal *t, const sigset_t *while_waiting)
{
	short want = (short)((shown.len ? 0 : POLLIN) | (typed.len || typed.ends ? POLLOUT : 0));
	struct pollfd p[] = {
		{ .fd = frames.open && t->master >= 0 && typed.len + PIECE <= TYPED_MAX ? STDIN_FILENO : -1, .events = POLLIN },
		{ .fd = want ? t->master : -1, .events = want },
		{ .fd = shown.len ? STDOUT_FILENO : -1, .events = POLLOUT },
	};

	if (ppoll(p, 3, NULL, while_waiting) < 0)
		return;
	if (p[0].revents)
		read_frames(t);
	if (p[1].revents & POLLOUT || (p[0].revents && t->master >= 0))
		write_typed(t);
	if (p[2].revents)
		write_shown();
	if (p[1].revents & POLLIN && read_shown(t))
		write_shown();
}

int guest_terminal_serve(struct guest_terminal *t, pid_t program)
{
	static const int ours[] = { SIGCHLD, SIGHUP };
	struct sigaction heard = { .sa_handler = on_signal };
	sigset_t blocked, before;
	int status = 126 << 8;

	(void)sigemptyset(&blocked);
	for (unsigned i = 0; i < 2; i++) {
		(void)sigaddset(&blocked, ours[i]);
		(void)sigaction(ours[i], &heard, NULL);
	}
	(void)sigprocmask(SIG_BLOCK, &blocked, &before);	/* they come while we wait, and never between */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)close(t->line[1]);
	t->does = guest_session_does(t->line[0]);
	for (int fd = 0; fd < 2; fd++)
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	(void)fcntl(t->master, F_SETFL, fcntl(t->master, F_GETFL) | O_NONBLOCK);
	while (!has_ended(program, &status)) {
		if (hangup && t->master >= 0)
			hang_up(t);
		carry(t, &before);
	}
	finish(t);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return status;
}
