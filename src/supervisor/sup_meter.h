/* SPDX-License-Identifier: MIT
 *
 * sup_meter: what the guest uses, read from outside. Memory is a list of sources (sup_meter.c), each so many bytes or unknown;
 * what counts is their sum, less the same sum at the guest's start: one source alone is evaded (the guest's pages by 300,000
 * empty files).
 */
#ifndef SUP_METER_H
#define SUP_METER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sup_cgroup.h"
#include "sup_dir.h"
#include "sup_request.h"

/* The rows of the table in sup_meter.c. */
enum sup_meter_source { SUP_METER_PAGES, SUP_METER_HEAP, SUP_METER_STORE, SUP_METER_KERNEL, SUP_METER_SOURCES };

struct sup_meter {
	pid_t runsc;
	pid_t sentry;		/* 0: not found yet */
	int memfd, statm, pidfd;	/* of the sentry; -1 */
	int stat;		/* of the sentry, too */
	uint64_t kernel;	/* by the last look at all processes, which is read now and then */
	unsigned long kernel_ticks;	/* the sentry's CPU time at that look */
	double kernel_due;	/* when there may be another */
	bool baseline;
	bool knows;		/* the guest's memory could be read, so that a limit can be held */
	unsigned refused;	/* how often before that it was not to be looked for */
	unsigned hidden;	/* of the last look: processes of the sandbox that we may not look at */
	bool known[SUP_METER_SOURCES];		/* by the last reading */
	uint64_t bytes[SUP_METER_SOURCES];	/* then: what it held */
	uint64_t memory_base, memory, memory_peak;
	double cpu_base, cpu;	/* seconds; cpu < 0: not known */
	double reaped;		/* CPU of zombies that the supervisor reaped */
	uint32_t disk_full;	/* readings that found no room */
	bool inodes_full;	/* one found no file left */
	const struct sup_request *request;
	const struct sup_dir *dir;
	const struct sup_cgroup *cgroup;
};

void sup_meter_init(struct sup_meter *m, const struct sup_request *r, const struct sup_dir *d, const struct sup_cgroup *c,
		    pid_t runsc);
void sup_meter_destroy(struct sup_meter *m);
/* At the guest's start: what there is now is runsc's own. */
void sup_meter_start(struct sup_meter *m);
/* Reads memory and disk: some microseconds, but for a look at all processes after so much work of the sentry. */
void sup_meter_memory(struct sup_meter *m);
/* The same without that look, which somebody would wait for: what it found the last time counts. */
void sup_meter_memory_soon(struct sup_meter *m);
/* A source's name; NULL beyond the last. */
const char *sup_meter_source(enum sup_meter_source i);
/* Reads CPU time: a file as root, a walk over the processes else. */
void sup_meter_cpu(struct sup_meter *m);

/* Kills the sentry, waits for its end, and reads what it held then: the memfd outlives it by our descriptor. */
void sup_meter_kill(struct sup_meter *m);

/* Calls f for each descendant of pid. */
void sup_meter_walk(pid_t pid, void (*f)(pid_t pid, void *arg), void *arg);

#endif
