/* SPDX-License-Identifier: MIT
 *
 * sup_cli: programs in a box by way of runsc's own commands, `runsc exec`, `kill`, `pause`, `resume`: where the sentry's control
 * socket does not answer as it is known here. Each command is the start of a Go program, some 20 ms.
 */
#ifndef SUP_CLI_H
#define SUP_CLI_H

#include <stdbool.h>
#include <sys/types.h>

#include "sup_dir.h"
#include "sup_error.h"
#include "sup_request.h"
#include "sup_spawn.h"

/* Reads a file of the program ("exec-log", "pid") as sup_dir_read does. */
size_t sup_cli_read(const struct sup_dir *box, const struct sup_request *r, const char *kind, char *out, size_t size);
/* Starts `runsc exec` with an OCI process, as JSON; its pid, or -1. */
pid_t sup_cli_start(const struct sup_spawn *s, const struct sup_dir *box, const char *process, struct sup_error *e);
/* The program's pid in the guest, once it has one; 0: not yet. */
int sup_cli_pid(const struct sup_dir *box, const struct sup_request *r);
/* Starts `runsc VERB` for a process of the box and a signal; -1: it cannot be. */
pid_t sup_cli_spawn(const struct sup_spawn *s, const char *verb, int pid, int signo);
/* The same, and waits for its end. -1: it failed, or took too long. */
int sup_cli_call(const struct sup_spawn *s, const char *verb, int pid, int signo, double seconds);
/* Removes the program's files. */
void sup_cli_remove(const struct sup_dir *box, const struct sup_request *r);

#endif
