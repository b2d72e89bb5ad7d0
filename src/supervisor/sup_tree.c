/* SPDX-License-Identifier: MIT */
#include "sup_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void *map(int run, int flags, int protection)
{
	int fd = openat(run, "tree", flags | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return NULL;
	/* With all of its pages: a page that a full file system has no room for would be our SIGBUS. */
	int error = flags & O_CREAT ? posix_fallocate(fd, 0, sizeof(struct sup_tree)) : 0;
	void *p = error ? MAP_FAILED : mmap(NULL, sizeof(struct sup_tree), protection, MAP_SHARED, fd, 0);

	(void)close(fd);
	if (error)
		errno = error;
	return p == MAP_FAILED ? NULL : p;
}

struct sup_tree *sup_tree_make(int run, bool first)
{
	struct sup_tree *t = map(run, O_CREAT | O_EXCL | O_RDWR, PROT_READ | PROT_WRITE);

	if (!t)
		return NULL;
	t->keeper = getpid();
	t->first = first;
	return t;
}

const struct sup_tree *sup_tree_open(int run)
{
	return map(run, O_RDONLY, PROT_READ);
}

void sup_tree_close(const struct sup_tree *t)
{
	if (t)
		(void)munmap((void *)t, sizeof(*t));
}

/* One writes and others read meanwhile: what was written before a store here is seen by who loads it (arm64 has its own order). */
#define PUBLISH(where, value) __atomic_store_n(&(where), value, __ATOMIC_RELEASE)
#define SEEN(where) __atomic_load_n(&(where), __ATOMIC_ACQUIRE)

/*
 * Whoever asks notes how many questions were heard, and then asks, by a signal. The next that is heard may be an older one: it is heard
 * after the note was taken in any case, so that the look which follows sees what had happened until then. In one order for all, for the
 * keeper writes and then looks, while the other one has seen something and then reads.
 */
void sup_tree_hear(struct sup_tree *t)
{
	__atomic_store_n(&t->heard, t->heard + 1, __ATOMIC_SEQ_CST);
}

uint32_t sup_tree_ask(const struct sup_tree *t)
{
	return __atomic_load_n(&t->heard, __ATOMIC_SEQ_CST);
}

bool sup_tree_answers(const struct sup_tree *t, uint32_t asked)
{
	return (int32_t)(SEEN(t->answered) - asked) > 0;
}

void sup_tree_turn(struct sup_tree *t)
{
	if (t->answered == t->heard && t->ends_told == t->ends)
		return;
	t->ends_told = t->ends;
	PUBLISH(t->answered, t->heard);
	PUBLISH(t->news, t->news + 1);
	(void)syscall(SYS_futex, &t->news, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

uint32_t sup_tree_news(const struct sup_tree *t)
{
	return SEEN(t->news);
}

void sup_tree_wait(const struct sup_tree *t, uint32_t news, double seconds)
{
	struct timespec time = { .tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) };

	(void)syscall(SYS_futex, &t->news, FUTEX_WAIT, news, &time, NULL, 0);
}

static size_t start_of(int pid)
{
	return (size_t)((uint32_t)pid * 2654435761u) % SUP_TREE_SLOTS;
}

/* Never one of the marks that an empty slot has: a sentry may speak of any pid. */
static struct sup_tree_slot *find(struct sup_tree *t, int pid)
{
	if (pid <= 0)
		return NULL;
	for (size_t i = 0, at = start_of(pid); i < SUP_TREE_SLOTS; i++, at = (at + 1) % SUP_TREE_SLOTS) {
		if (t->slot[at].pid == pid)
			return &t->slot[at];
		if (t->slot[at].pid == 0)
			return NULL;
	}
	return NULL;
}

static struct sup_tree_slot *add(struct sup_tree *t, int pid, int root)
{
	for (size_t i = 0, at = start_of(pid); i < SUP_TREE_SLOTS; i++, at = (at + 1) % SUP_TREE_SLOTS)
		if (t->slot[at].pid <= 0) {
			t->slot[at].root = root;
			t->slot[at].threads = 1;
			PUBLISH(t->slot[at].pid, pid);
			PUBLISH(t->live, t->live + 1);
			return &t->slot[at];
		}
	PUBLISH(t->lost, t->lost + 1);
	return NULL;
}

int sup_tree_clone(struct sup_tree *t, int parent, int child)
{
	struct sup_tree_slot *from = find(t, parent);
	int known = 1;

	if (child <= 1 || parent <= 1) {	/* the helper starts nothing; a new thread of it is no process */
		if (t->first && child > 1)
			(void)add(t, child, 1);
		return t->first ? 1 : 0;
	}
	if (!from) {
		from = add(t, parent, 0);
		known = 2;
	}
	if (child != parent)
		(void)add(t, child, from && from->root ? from->root : parent);
	else if (from)
		from->threads++;
	return known;
}

bool sup_tree_status(const struct sup_tree *t, int pid, int *status)
{
	for (uint32_t ends = SEEN(t->ends), i = ends; i > 0 && i + SUP_TREE_ENDS > ends; i--) {
		const struct sup_tree_end *e = &t->end[(i - 1) % SUP_TREE_ENDS];

		if (e->pid == pid) {
			*status = e->status;
			return true;
		}
	}
	return false;
}

int sup_tree_exit(struct sup_tree *t, int group, int status)
{
	struct sup_tree_slot *s = find(t, group);

	if ((!s || (!s->root && s->threads <= 1)) && group > 1) {	/* nobody's child, and no thread of it is left: a program */
		t->end[t->ends % SUP_TREE_ENDS] = (struct sup_tree_end){ group, status };
		PUBLISH(t->ends, t->ends + 1);
	}
	if (s && --s->threads <= 0) {
		PUBLISH(s->pid, -1);
		PUBLISH(t->live, t->live - 1);
	}
	return s || (group <= 1 && t->first) ? 1 : 0;
}

int sup_tree_next(const struct sup_tree *t, int root, size_t *at)
{
	for (; *at < SUP_TREE_SLOTS; (*at)++) {
		const struct sup_tree_slot *s = &t->slot[*at];
		int pid = SEEN(s->pid);

		if (pid > 1 && s->root == root) {
			(*at)++;
			return pid;
		}
	}
	return 0;
}
