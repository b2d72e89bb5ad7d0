/* SPDX-License-Identifier: MIT
 *
 * sbx_launch: starts the supervisor from an arbitrary host process, which is left as it was: no SIGCHLD, no zombie, no
 * inherited descriptor. A host that reaps everything (nginx) cannot take what it never sees.
 */
#ifndef SBX_LAUNCH_H
#define SBX_LAUNCH_H

#define SBX_LAUNCH_CONTROL 3
#define SBX_LAUNCH_LINE 4

/*
 * Runs `path` with `control` as its descriptor 3 and `line`, unless that is -1, as 4; nothing else, and an empty environment.
 * The caller keeps both and closes them. 0, or an errno.
 */
int sbx_launch(const char *path, int control, int line);

#endif
