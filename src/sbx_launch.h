/* SPDX-License-Identifier: MIT
 *
 * sbx_launch: starts the supervisor from an arbitrary host process, which is left as it was: no SIGCHLD, no zombie, no
 * inherited descriptor. A host that reaps everything (nginx) cannot take what it never sees.
 */
#ifndef SBX_LAUNCH_H
#define SBX_LAUNCH_H

/*
 * Runs `path` with `control` as its descriptor 3, nothing else, and an empty environment. The caller keeps `control` and
 * closes it. 0, or an errno.
 */
int sbx_launch(const char *path, int control);

#endif
