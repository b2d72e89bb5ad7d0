/* SPDX-License-Identifier: MIT */
#include "sup_slot.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

/* A queue this long is none of ours: somebody wrote to the file. */
#define QUEUE_MAX 4096
#define QUEUE (-1)

/* state_dir/.boot-queue: the number of the next to come, and of the next to get a turn. */
struct sup_slot_queue {
	_Atomic uint32_t tail, head;
};

static int cores(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) < 0 ? 2 : CPU_COUNT(&set);

	return n < 2 ? 2 : n;
}

/* The n-th of the turns, or for QUEUE the queue. */
static int open_file(const char *state_dir, int n)
{
	char path[256], name[16] = "queue";

	if (n != QUEUE)
		(void)snprintf(name, sizeof(name), "%d", n);
	if (snprintf(path, sizeof(path), "%s/.boot-%s", state_dir, name) >= (int)sizeof(path))
		return -1;
	return open(path, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
}

/* Takes a number. Without the file nobody is held back. */
static void enqueue(struct sup_slot *s, const char *state_dir)
{
	int fd = open_file(state_dir, QUEUE);
	void *p = fd >= 0 && posix_fallocate(fd, 0, sizeof(*s->queue)) == 0 ?
		  mmap(NULL, sizeof(*s->queue), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;

	if (fd >= 0)
		(void)close(fd);
	s->queue = p == MAP_FAILED ? NULL : p;
	if (s->queue)
		s->number = atomic_fetch_add(&s->queue->tail, 1);
	s->waits = true;
}

/* How many are before us. Some of them may have died: that shows when a turn is free and they do not take it. */
static uint32_t ahead(const struct sup_slot *s)
{
	int32_t n = s->queue ? (int32_t)(s->number - atomic_load(&s->queue->head)) : 0;

	return n <= 0 || n > QUEUE_MAX ? 0 : (uint32_t)n;
}

static bool take(struct sup_slot *s, int fd)
{
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
		(void)close(fd);
		return false;
	}
	if (fd >= 0 && s->seen_free++ < ahead(s)) {
		(void)close(fd);
		return false;
	}
	s->lock = fd;	/* -1: a turn is a courtesy: what cannot have one boots all the same */
	if (s->queue && (int32_t)(s->number + 1 - atomic_load(&s->queue->head)) > 0)
		atomic_store(&s->queue->head, s->number + 1);
	return true;
}

bool sup_slot_try(struct sup_slot *s, const char *state_dir)
{
	int n = cores();

	if (!s->waits)
		enqueue(s, state_dir);
	for (int i = 0; i < n; i++)
		if (take(s, open_file(state_dir, ((int)getpid() + i) % n)))
			return true;
	return false;
}

void sup_slot_release(struct sup_slot *s)
{
	if (s->lock >= 0)
		(void)close(s->lock);
	if (s->queue)
		(void)munmap(s->queue, sizeof(*s->queue));
	s->lock = -1;
	s->queue = NULL;
}
