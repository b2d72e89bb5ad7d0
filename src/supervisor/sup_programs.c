/* SPDX-License-Identifier: MIT */
#include "sup_programs.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "sbx_time.h"

/* Several write: what was written before a store here is seen by who loads it. */
#define PUBLISH(where, value) __atomic_store_n(&(where), value, __ATOMIC_RELEASE)
#define SEEN(where) __atomic_load_n(&(where), __ATOMIC_ACQUIRE)

enum { RUNS, STILL, LIFTED };

static int map(struct sup_programs *p, int run, int flags)
{
	size_t size = sizeof(*p->map);

	*p = SUP_PROGRAMS_NONE;
	p->fd = openat(run, "programs", flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (p->fd < 0)
		return -1;
	int error = flags & O_CREAT ? posix_fallocate(p->fd, 0, (off_t)size) : 0;
	void *at = error ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);

	if (at == MAP_FAILED) {
		(void)close(p->fd);
		p->fd = -1;
		errno = error ? error : errno;
		return -1;
	}
	p->map = at;
	return 0;
}

int sup_programs_make(struct sup_programs *p, int run)
{
	return map(p, run, O_CREAT | O_EXCL);
}

int sup_programs_open(struct sup_programs *p, int run)
{
	return map(p, run, 0);
}

void sup_programs_close(struct sup_programs *p)
{
	if (p->map)
		(void)munmap(p->map, sizeof(*p->map));
	if (p->fd >= 0)
		(void)close(p->fd);
	*p = SUP_PROGRAMS_NONE;
}

/* The lock of an entry is on its byte of the file. It is the open descriptor's: whoever inherits that holds it, too. */
static int lock(const struct sup_programs *p, short type, unsigned slot)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = slot, .l_len = 1 };

	return fcntl(p->fd, F_OFD_SETLK, &l);
}

int sup_programs_enter(struct sup_programs *p, bool command, bool abstract, bool kept)
{
	for (unsigned i = 0; p->map && i < SUP_PROGRAMS_SLOTS; i++) {
		struct sup_programs_slot *s = &p->map->slot[i];

		if (SEEN(s->state) != SUP_PROGRAMS_FREE || lock(p, F_WRLCK, i) < 0)
			continue;
		if (SEEN(s->state) != SUP_PROGRAMS_FREE) {	/* another's, who has died since */
			(void)lock(p, F_UNLCK, i);
			continue;
		}
		s->pid = 0;
		s->command = command;
		s->abstract = abstract;
		s->kept = kept;
		PUBLISH(s->state, SUP_PROGRAMS_ASKED);
		for (uint32_t used = SEEN(p->map->used); used <= i;)
			if (__atomic_compare_exchange_n(&p->map->used, &used, i + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
				break;
		p->mine = (int)i;
		return 0;
	}
	return -1;
}

void sup_programs_known(struct sup_programs *p, int pid)
{
	if (p->mine < 0 || p->map->slot[p->mine].state == SUP_PROGRAMS_KNOWN)
		return;
	p->map->slot[p->mine].pid = pid;
	PUBLISH(p->map->slot[p->mine].state, SUP_PROGRAMS_KNOWN);
}

void sup_programs_leave(struct sup_programs *p)
{
	if (p->mine < 0)
		return;
	PUBLISH(p->map->slot[p->mine].state, SUP_PROGRAMS_FREE);
	(void)lock(p, F_UNLCK, (unsigned)p->mine);
	p->mine = -1;
}

/* Bytes behind those of the entries: the door, and what stands in front of it while somebody waits to shut it. */
enum { DOOR = SUP_PROGRAMS_SLOTS, QUEUE };
#define GATE_NS 200000

static void wait_for(const struct sup_programs *p, short type, unsigned byte, double limit)
{
	while (lock(p, type, byte) < 0 && sbx_time_now() < limit)
		(void)nanosleep(&(struct timespec){ .tv_nsec = GATE_NS }, NULL);
}

static void enter_gate(struct sup_programs *p, short type)
{
	double limit = sbx_time_now() + SUP_PROGRAMS_GATE_SECONDS;

	if (p->fd < 0)
		return;
	wait_for(p, type, QUEUE, limit);
	wait_for(p, type, DOOR, limit);
	(void)lock(p, F_UNLCK, QUEUE);
}

void sup_programs_pass(struct sup_programs *p) { enter_gate(p, F_RDLCK); }
void sup_programs_shut(struct sup_programs *p) { enter_gate(p, F_WRLCK); }

void sup_programs_open_gate(struct sup_programs *p)
{
	if (p->fd >= 0)
		(void)lock(p, F_UNLCK, DOOR);
}

unsigned sup_programs_kept(const struct sup_programs *p)
{
	unsigned n = 0;

	for (unsigned i = 0; p->map && i < SUP_PROGRAMS_SLOTS && i < SEEN(p->map->used); i++)
		n += SEEN(p->map->slot[i].state) != SUP_PROGRAMS_FREE && p->map->slot[i].kept;
	return n;
}

/* With its lock in our hand nobody enters or leaves: what it says is so. */
static bool orphaned(const struct sup_programs *p, unsigned i)
{
	if (SEEN(p->map->slot[i].state) == SUP_PROGRAMS_FREE || lock(p, F_WRLCK, i) < 0)
		return false;
	if (SEEN(p->map->slot[i].state) != SUP_PROGRAMS_FREE)
		return true;
	(void)lock(p, F_UNLCK, i);
	return false;
}

bool sup_programs_adopt(struct sup_programs *p)
{
	for (unsigned i = 0; p->map && p->mine < 0 && i < SUP_PROGRAMS_SLOTS && i < SEEN(p->map->used); i++)
		if (orphaned(p, i))
			p->mine = (int)i;
	return p->mine >= 0;
}

static bool change(struct sup_programs *p, uint32_t from, uint32_t to)
{
	return p->map && __atomic_compare_exchange_n(&p->map->still, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

bool sup_programs_still(const struct sup_programs *p) { return p->map && SEEN(p->map->still) != RUNS; }

void sup_programs_stands(struct sup_programs *p) { (void)change(p, RUNS, STILL); }
bool sup_programs_lift(struct sup_programs *p) { return change(p, STILL, LIFTED); }
bool sup_programs_lower(struct sup_programs *p) { return change(p, LIFTED, STILL); }

bool sup_programs_goes_on(struct sup_programs *p)
{
	return !change(p, LIFTED, RUNS) && change(p, STILL, RUNS);
}
