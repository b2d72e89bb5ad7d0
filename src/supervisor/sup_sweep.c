/* SPDX-License-Identifier: MIT */
#include "sup_sweep.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "sup_cgroup.h"
#include "sup_dir.h"

int sup_sweep(const char *state_dir, struct sup_error *e)
{
	DIR *dir = opendir(state_dir);
	int removed = 0;

	if (!dir && errno == ENOENT)
		return 0;
	if (!dir)
		return sup_error(e, "system", "cannot read state_dir %s: %s", state_dir, strerror(errno));
	for (struct dirent *entry; (entry = readdir(dir));) {
		char paths[SUP_CGROUP_PATHS];
		struct sup_dir d;

		if (sup_dir_adopt(&d, state_dir, entry->d_name) < 0)
			continue;
		(void)sup_dir_read(&d, SUP_CGROUP_RECORD, paths, sizeof(paths));
		if (!sup_cgroup_sweep(paths, strrchr(d.path, '-') + 1)) {
			sup_dir_close(&d);	/* the next one's */
			continue;
		}
		sup_dir_remove(&d);
		removed++;
	}
	closedir(dir);
	return removed;
}
