/* SPDX-License-Identifier: MIT */
#include "sup_slot.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

static int cores(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) < 0 ? 2 : CPU_COUNT(&set);

	return n < 2 ? 2 : n;
}

bool sup_slot_try(const char *state_dir, int *lock)
{
	static int first = -1;
	char path[256];
	int n = cores();

	if (first < 0)
		first = (int)getpid() % n;
	for (int i = 0; i < n; i++) {
		if (snprintf(path, sizeof(path), "%s/.boot-%d", state_dir, (first + i) % n) >= (int)sizeof(path))
			return true;
		*lock = open(path, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
		if (*lock < 0)
			return true;	/* a turn is a courtesy: what cannot have one boots all the same */
		if (flock(*lock, LOCK_EX | LOCK_NB) == 0)
			return true;
		sup_slot_release(lock);
	}
	return false;
}

void sup_slot_release(int *lock)
{
	if (*lock >= 0)
		close(*lock);
	*lock = -1;
}
