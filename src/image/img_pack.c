/* SPDX-License-Identifier: MIT */
#include "img_pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "img_say.h"
#include "img_store.h"
#include "img_tool.h"
#include "img_tree.h"

/* gVisor maps the file: data that lies in inodes would not be at the place of a page. */
static int pack(const struct img_want *w, const char *to)
{
	struct img_tool t = { .phase = "pack", .package = "erofs-utils", .watch = -1 };
	const char *argv[] = { "mkfs.erofs", "-E", "noinline_data", "--quiet", to, w->source, NULL };
	int rc = img_tool_run(&t, argv);

	return rc > 0 ? img_fail("bad_rootfs", "mkfs.erofs failed on %s: %s", w->source, t.said) : rc;
}

int img_pack(const struct img_want *w)
{
	char tmp[40], to[64];
	int holder = img_store_temporary(tmp), rc;

	if (holder < 0)
		return -1;
	(void)snprintf(to, sizeof(to), "%s/root.erofs", tmp);
	rc = pack(w, to);
	if (rc == 0 && rename(to, w->out) < 0)
		rc = img_fail("system", "cannot put the file at %s: %s", w->out, strerror(errno));
	(void)img_tree_remove(tmp);
	(void)close(holder);
	if (rc == 0)
		img_done("", 1);
	return rc;
}
