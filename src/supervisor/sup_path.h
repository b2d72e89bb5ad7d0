/* SPDX-License-Identifier: MIT
 *
 * sup_path: files and directories below a root that somebody else fills: a path is taken as it would be inside, links too, and
 * leads nowhere outside (openat2(2), RESOLVE_IN_ROOT). Each gives 0 or -1 and errno.
 */
#ifndef SUP_PATH_H
#define SUP_PATH_H

#include <sys/types.h>

/* As openat(2): a descriptor, close-on-exec and the caller's, or -1. */
int sup_path_open(int root, const char *path, int flags, mode_t mode);
/* A descriptor, O_PATH, of what lies beneath dir. -1: EXDEV or ELOOP where a link or ".." would lead out of it. */
int sup_path_beneath(int dir, const char *path);
/* Makes a directory and its parents, with an owner or, for -1, as it comes; 0 where it exists. */
int sup_path_mkdir(int root, const char *path, mode_t mode, uid_t uid, gid_t gid);
/* An empty file, as the mount point of a file, with its parents; 0 where there is something. */
int sup_path_file(int root, const char *path);
/* Copies the file that has this path outside. */
int sup_path_copy(int root, const char *path);

#endif
