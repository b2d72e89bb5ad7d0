/* SPDX-License-Identifier: MIT */
#include "sup_meter.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sbx_time.h"
#include "sup_store.h"

void sup_meter_init(struct sup_meter *m, const struct sup_request *r, const struct sup_dir *d, const struct sup_cgroup *c,
		    pid_t runsc)
{
	memset(m, 0, sizeof(*m));
	m->runsc = runsc;
	m->memfd = m->statm = m->stat = m->pidfd = -1;
	m->cpu = -1;
	m->request = r;
	m->dir = d;
	m->cgroup = c;
}

void sup_meter_destroy(struct sup_meter *m)
{
	if (m->memfd >= 0)
		close(m->memfd);
	if (m->statm >= 0)
		close(m->statm);
	if (m->stat >= 0)
		close(m->stat);
	if (m->pidfd >= 0)
		close(m->pidfd);
	m->memfd = m->statm = m->stat = m->pidfd = -1;
}

static void walk(pid_t pid, void (*f)(pid_t, void *), void *arg, int depth)
{
	char path[96], text[16384];

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *dir = depth < 16 ? opendir(path) : NULL;

	if (!dir)
		return;
	for (struct dirent *d; (d = readdir(dir));) {
		if (d->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/task/%.16s/children", (int)pid, d->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		/* A read gives a page at most, and whole numbers (fs/seq_file.c). */
		for (ssize_t n; fd >= 0 && (n = read(fd, text, sizeof(text) - 1)) > 0;) {
			text[n] = '\0';
			for (char *p = text, *end;; p = end) {
				long child = strtol(p, &end, 10);

				if (end == p)
					break;
				f((pid_t)child, arg);
				walk((pid_t)child, f, arg, depth + 1);
			}
		}
		if (fd >= 0)
			close(fd);
	}
	closedir(dir);
}

void sup_meter_walk(pid_t pid, void (*f)(pid_t pid, void *arg), void *arg)
{
	walk(pid, f, arg, 0);
}

/* What waits to be reaped does not. */
static bool lives(pid_t pid)
{
	struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	bool ended = p.fd < 0 || poll(&p, 1, 0) != 0;

	if (p.fd >= 0)
		(void)close(p.fd);
	return !ended;
}

/* The sentry is the process that holds the guest's memory. */
static void look_for_sentry(pid_t pid, void *arg)
{
	struct sup_meter *m = arg;
	char path[64], link[64];

	if (m->sentry)
		return;
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *dir = opendir(path);

	if (!dir && lives(pid))
		m->hidden++;
	if (!dir)
		return;
	for (struct dirent *d; !m->sentry && (d = readdir(dir));) {
		ssize_t n = readlinkat(dirfd(dir), d->d_name, link, sizeof(link) - 1);

		if (n <= 0)
			continue;
		link[n] = '\0';
		if (strncmp(link, "/memfd:runsc-memory", 19) != 0)
			continue;
		m->memfd = openat(dirfd(dir), d->d_name, O_PATH | O_CLOEXEC);
		m->sentry = m->memfd >= 0 ? pid : 0;
	}
	closedir(dir);
	if (!m->sentry)
		return;
	(void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	m->statm = open(path, O_RDONLY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	m->stat = open(path, O_RDONLY | O_CLOEXEC);
	m->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
}

/* The guest's pages, in the sentry's memfd. */
static bool read_pages(struct sup_meter *m, uint64_t *bytes)
{
	struct stat st;

	if (m->memfd < 0 || fstat(m->memfd, &st) < 0)
		return false;
	*bytes = (uint64_t)st.st_blocks * 512;
	return true;
}

/* The sentry's own: what it knows of the guest's files, processes and connections. */
static bool read_heap(struct sup_meter *m, uint64_t *bytes)
{
	char text[128];
	unsigned long long rss = 0, shared = 0;
	ssize_t n = m->statm < 0 ? -1 : pread(m->statm, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	if (sscanf(text, "%*s %llu %llu", &rss, &shared) != 2)
		return false;
	*bytes = rss > shared ? (rss - shared) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
	return true;
}

/* The run's tmpfs. */
static bool read_store(struct sup_meter *m, uint64_t *bytes)
{
	unsigned long long used = 0;
	int full = 0;

	if (sup_store_usage(m->request, m->dir, &used, &full) < 0)
		return false;
	m->inodes_full |= full == SUP_STORE_NO_FILES;
	/* A store that nobody has counted the files of has as many as its bytes are worth. */
	if (m->request->disk && (full == SUP_STORE_NO_BYTES || (full && !m->request->inodes_held)))
		m->disk_full++;
	*bytes = used;
	return true;
}

/* A thread's stack in the kernel (arch/x86, arm64: THREAD_SIZE). */
#define THREAD_BYTES 16384u

static uint64_t field_of(const char *status, const char *key)
{
	const char *at = strstr(status, key);

	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

/* Page tables and kernel stacks of one, and its own memory; the sentry's is another source. */
static void add_kernel(pid_t pid, void *arg)
{
	struct sup_meter *m = arg;
	char path[64], text[4096];

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return;
	text[n] = '\0';
	m->kernel += field_of(text, "\nVmPTE:") * 1024 + field_of(text, "\nThreads:") * THREAD_BYTES +
		     (pid == m->sentry ? 0 : field_of(text, "\nRssAnon:") * 1024);
}

static bool parse_ticks(const char *text, unsigned long *ticks)
{
	unsigned long u = 0, s = 0;
	const char *p = strrchr(text, ')');	/* the name may hold anything */

	if (!p || sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &u, &s) != 2)
		return false;
	*ticks = u + s;
	return true;
}

/* A page table is filled by the sentry, which uses 40 ms for some tens of MB of them: no more often does anything have to be looked at. */
#define KERNEL_TICKS 4
/* And not at all for so many times as long as the last look took. */
#define KERNEL_REST 16
#define KERNEL_PAUSE 0.010

/* What the kernel holds for the sandbox: one shared page every 2 MiB costs as much again in each process. And the gofer's memory. */
static bool read_kernel(struct sup_meter *m, uint64_t *bytes)
{
	double now = sbx_time_now();
	unsigned long ticks = 0;
	char text[1024];

	*bytes = m->kernel;
	if (now < m->kernel_due)
		return true;
	ssize_t n = m->stat < 0 ? -1 : pread(m->stat, text, sizeof(text) - 1, 0);

	m->kernel_due = now + KERNEL_PAUSE;
	if (n <= 0)
		return false;
	text[n] = '\0';
	if (!parse_ticks(text, &ticks))
		return false;
	if (m->kernel && ticks < m->kernel_ticks + KERNEL_TICKS)
		return true;
	m->kernel_ticks = ticks;
	m->kernel = 0;
	sup_meter_walk(getpid(), add_kernel, m);
	*bytes = m->kernel;
	double took = sbx_time_now() - now;

	m->kernel_due = now + (took * KERNEL_REST > KERNEL_PAUSE ? took * KERNEL_REST : KERNEL_PAUSE);
	return true;
}

static const struct source {
	const char *name;
	/* How much it holds now; false: that cannot be known. Each is asked every 5 ms, so: some microseconds. */
	bool (*read)(struct sup_meter *m, uint64_t *bytes);
	bool slow;	/* now and then it takes longer */
} sources[SUP_METER_SOURCES] = {
	[SUP_METER_PAGES] = { "pages", read_pages },
	[SUP_METER_HEAP] = { "heap", read_heap },
	[SUP_METER_STORE] = { "store", read_store },
	[SUP_METER_KERNEL] = { "kernel", read_kernel, true },
};

const char *sup_meter_source(enum sup_meter_source i)
{
	return (unsigned)i < SUP_METER_SOURCES ? sources[i].name : NULL;
}

/* What all sources hold together. One that has become unreadable holds what it held: an end is no release. */
static uint64_t held(struct sup_meter *m, bool soon)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < SUP_METER_SOURCES; i++) {
		if (!soon || !sources[i].slow)
			m->known[i] = sources[i].read(m, &m->bytes[i]);
		sum += m->bytes[i];
	}
	return sum;
}

/* Measured: 40 to 108 KiB on every build. More is the guest's, seen late by a supervisor that got no processor at its start. */
#define PAGES_AT_START (1024u * 1024u)

/* Whether we may not look. A sandbox that has not got its memory yet, or has ended, is none of that. */
static bool is_refused(const struct sup_meter *m)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)m->runsc, (int)m->runsc);
	return !m->knows && (m->sentry || m->hidden || access(path, R_OK) < 0);
}

static void read_memory(struct sup_meter *m, bool soon)
{
	m->hidden = 0;
	if (!m->sentry)
		look_for_sentry(m->runsc, m);
	if (!m->sentry)
		sup_meter_walk(m->runsc, look_for_sentry, m);
	m->refused += is_refused(m);
	if (!m->sentry)
		return;
	uint64_t now = held(m, soon), pages = m->bytes[SUP_METER_PAGES];

	m->knows = m->knows || (m->known[SUP_METER_PAGES] && m->known[SUP_METER_HEAP]);
	if (!m->baseline) {
		m->baseline = true;
		m->memory_base = now - (pages > PAGES_AT_START ? pages - PAGES_AT_START : 0);
	}
	m->memory = now > m->memory_base ? now - m->memory_base : 0;
	if (m->memory > m->memory_peak)
		m->memory_peak = m->memory;
}

void sup_meter_memory(struct sup_meter *m) { read_memory(m, false); }
void sup_meter_memory_soon(struct sup_meter *m) { read_memory(m, true); }

/* A killed process with hundreds of MB to give back is gone within some milliseconds. */
#define SENTRY_END 100

void sup_meter_kill(struct sup_meter *m)
{
	struct pollfd p = { .fd = m->pidfd, .events = POLLIN };

	if (m->pidfd < 0 || syscall(SYS_pidfd_send_signal, m->pidfd, SIGKILL, NULL, 0) < 0)
		return;
	(void)poll(&p, 1, SENTRY_END);
	sup_meter_memory(m);
}

static void add_cpu(pid_t pid, void *arg)
{
	char path[64], text[1024];
	unsigned long u = 0, s = 0;
	long cu = 0, cs = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return;
	text[n] = '\0';
	char *p = strrchr(text, ')');	/* the name may hold anything */

	if (p && sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld", &u, &s, &cu, &cs) == 4)
		*(double *)arg += (double)(u + s + (unsigned long)cu + (unsigned long)cs) / (double)sysconf(_SC_CLK_TCK);
}

static double total_cpu(struct sup_meter *m)
{
	double total = sup_cgroup_cpu_time(m->cgroup);

	if (total >= 0)
		return total;
	total = m->reaped;
	add_cpu(m->runsc, &total);
	sup_meter_walk(m->runsc, add_cpu, &total);
	return total;
}

void sup_meter_cpu(struct sup_meter *m)
{
	double now = total_cpu(m) - m->cpu_base;

	if (now > m->cpu)	/* processes that ended take their ticks with them */
		m->cpu = now;
}

void sup_meter_start(struct sup_meter *m)
{
	m->cpu_base = total_cpu(m);
	m->cpu = 0;
	sup_meter_memory(m);
}
