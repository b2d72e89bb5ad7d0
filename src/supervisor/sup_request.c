/* SPDX-License-Identifier: MIT */
#include "sup_request.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sbx_wire.h"

enum kind { TEXT, LIST, FLAG, WORD, SIZE, ID, SECONDS };

/* One row a key: what it is and where it goes. A FLAG is true for the one word given, false for the other. */
static const struct field {
	const char *key;
	enum kind kind;
	size_t offset;
	const char *yes, *no;
} fields[] = {
#define AT(member) offsetof(struct sup_request, member)
	{ "id", TEXT, AT(id), 0, 0 },
	{ "state_dir", TEXT, AT(state_dir), 0, 0 },
	{ "runsc", TEXT, AT(runsc), 0, 0 },
	{ "platform", TEXT, AT(platform), 0, 0 },
	{ "rootfs", TEXT, AT(rootfs), 0, 0 },
	{ "rootfs_path", TEXT, AT(rootfs_path), 0, 0 },
	{ "bundle", TEXT, AT(bundle), 0, 0 },
	{ "cwd", TEXT, AT(cwd), 0, 0 },
	{ "container", TEXT, AT(container), 0, 0 },
	{ "guest", TEXT, AT(guest), 0, 0 },
	{ "box", TEXT, AT(box), 0, 0 },
	{ "call", TEXT, AT(call), 0, 0 },
	{ "first", TEXT, AT(first), 0, 0 },
	{ "await", FLAG, AT(await), "1", "0" },
	{ "box_pid", ID, AT(box_pid), 0, 0 },
	{ "whole_box", FLAG, AT(whole_box), "1", "0" },
	{ "cli", FLAG, AT(cli), "1", "0" },
	{ "cpus_later", FLAG, AT(cpus_later), "1", "0" },
	{ "direct", FLAG, AT(direct), "1", "0" },
	{ "alone", FLAG, AT(alone), "1", "0" },
	{ "abstract", FLAG, AT(abstract), "1", "0" },
	{ "boot_delay", SECONDS, AT(boot_delay), 0, 0 },
	{ "idle_timeout", SECONDS, AT(idle_timeout), 0, 0 },
	{ "disk_by", TEXT, AT(disk_by), 0, 0 },
	{ "cgroup_parent", TEXT, AT(cgroup_parent), 0, 0 },
	{ "arg", LIST, AT(args), 0, 0 },
	{ "bind", LIST, AT(binds), 0, 0 },
	{ "symlink", LIST, AT(symlinks), 0, 0 },
	{ "etc", LIST, AT(etc), 0, 0 },
	{ "mkdir", LIST, AT(dirs), 0, 0 },
	{ "mkfile", LIST, AT(files), 0, 0 },
	{ "source", LIST, AT(sources), 0, 0 },
	{ "place", LIST, AT(places), 0, 0 },
	{ "rootless", FLAG, AT(rootless), "1", "0" },
	{ "network", FLAG, AT(host_network), "host", "none" },
	{ "work", FLAG, AT(work), "1", "0" },
	{ "tmp", FLAG, AT(tmp_host), "host", "guest" },
	{ "inside", FLAG, AT(inside), "1", "0" },
	{ "writable", FLAG, AT(writable), "1", "0" },
	{ "store_root", FLAG, AT(store_root), "1", "0" },
	{ "trace", FLAG, AT(trace), "1", "0" },
	{ "nodev", FLAG, AT(nodev), "1", "0" },
	{ "best_effort", FLAG, AT(best_effort), "1", "0" },
	{ "output_keep", FLAG, AT(output_tail), "tail", "head" },
	{ "output_kill", FLAG, AT(output_kill), "1", "0" },
	{ "stderr", FLAG, AT(stderr_to_stdout), "stdout", "pipe" },
	{ "stdin", FLAG, AT(stdin_open), "open", "closed" },
	{ "uid", ID, AT(uid), 0, 0 },
	{ "gid", ID, AT(gid), 0, 0 },
	{ "map_base", ID, AT(map_base), 0, 0 },
	{ "timeout", SECONDS, AT(timeout), 0, 0 },
	{ "boot_timeout", SECONDS, AT(boot_timeout), 0, 0 },
	{ "cpu_time", SECONDS, AT(cpu_time), 0, 0 },
	{ "cpus", SECONDS, AT(cpus), 0, 0 },
	{ "memory", SIZE, AT(memory), 0, 0 },
	{ "pids", SIZE, AT(pids), 0, 0 },
	{ "output", SIZE, AT(output), 0, 0 },
	{ "disk", SIZE, AT(disk), 0, 0 },
	{ "file_size", SIZE, AT(file_size), 0, 0 },
	{ "stack", SIZE, AT(stack), 0, 0 },
	{ "address_space", SIZE, AT(address_space), 0, 0 },
	{ "open_files", SIZE, AT(open_files), 0, 0 },
#undef AT
};

static int parse_number(const struct field *f, const char *value, void *out)
{
	char *end;

	errno = 0;
	if (f->kind == SECONDS) {
		double d = strtod(value, &end);

		if (end == value || *end || !isfinite(d) || d < 0)
			return -1;
		*(double *)out = d;
		return 0;
	}
	unsigned long long u = strtoull(value, &end, 10);

	if (end == value || *end || *value == '-' || errno)
		return -1;
	if (f->kind == SIZE)
		*(uint64_t *)out = u;
	else if (u > UINT32_MAX)
		return -1;
	else
		*(uint32_t *)out = (uint32_t)u;
	return 0;
}

static int parse_value(const struct field *f, const char *value, void *out)
{
	struct sup_list *list = out;

	switch (f->kind) {
	case TEXT:
		*(const char **)out = value;
		return 0;
	case LIST:
		if (list->n == SUP_LIST_MAX)
			return -1;
		list->item[list->n++] = value;
		return 0;
	case FLAG:
		if (strcmp(value, f->yes) != 0 && strcmp(value, f->no) != 0)
			return -1;
		*(bool *)out = !strcmp(value, f->yes);
		return 0;
	default:
		return parse_number(f, value, out);
	}
}

static int parse_mode(struct sup_request *r, const char *value)
{
	static const char *const names[] = { "run", "tool", "sweep", "exec" };

	for (unsigned i = 0; i < 4; i++)
		if (!strcmp(value, names[i])) {
			r->mode = (enum sup_mode)i;
			return 0;
		}
	return -1;
}

static int parse_item(struct sup_request *r, const char *key, size_t klen, const char *value)
{
	if (klen == 4 && !memcmp(key, "mode", 4))
		return parse_mode(r, value);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (strlen(fields[i].key) == klen && !memcmp(key, fields[i].key, klen))
			return parse_value(&fields[i], value, (char *)r + fields[i].offset);
	return -1;
}

/* The id becomes part of paths and of a container's name. */
static bool good_id(const char *id)
{
	size_t n = id ? strspn(id, "0123456789abcdef") : 0;

	return n >= 8 && n <= 64 && !id[n];
}

static bool absolute(const char *path)
{
	return path && path[0] == '/';
}

/* It becomes part of a path and of JSON. */
static bool good_container(const char *name)
{
	size_t n = strspn(name, "0123456789abcdefghijklmnopqrstuvwxyz");

	return n >= 1 && n <= 64 && !name[n];
}

static bool good_sources(const struct sup_request *r)
{
	if (r->sources.n != r->places.n)
		return false;
	for (size_t i = 0; i < r->sources.n; i++) {
		const char *item = r->sources.item[i];

		if ((strncmp(item, "ro ", 3) != 0 && strncmp(item, "rw ", 3) != 0) || !absolute(r->places.item[i]))
			return false;
		if (!item[3] || (item[3] != '/' && !r->bundle))
			return false;
	}
	return true;
}

static bool complete(const struct sup_request *r)
{
	if (r->mode == SUP_MODE_TOOL)
		return absolute(r->runsc);
	if (r->mode == SUP_MODE_SWEEP)
		return absolute(r->state_dir);
	if (!good_container(r->container))
		return false;
	if (r->mode == SUP_MODE_EXEC)
		return absolute(r->box) && (r->await || (r->box_pid > 1 && r->box_pid <= INT32_MAX));
	if (r->bundle ? !absolute(r->bundle) || !r->rootfs_path : r->rootfs && strcmp(r->rootfs, "host") && !absolute(r->rootfs_path))
		return false;
	return absolute(r->runsc) && absolute(r->state_dir) && good_id(r->id) && r->rootfs && r->platform && good_sources(r);
}

int sup_request_parse(struct sup_request *r, char *payload, size_t n, struct sup_error *e)
{
	size_t pos = 0, klen;
	const char *key, *value;
	int rc;

	memset(r, 0, sizeof(*r));
	r->payload = payload;
	r->boot_timeout = 10;
	while ((rc = sbx_wire_next_item(payload, n, &pos, &key, &klen, &value)) > 0)
		if (parse_item(r, key, klen, value) < 0)
			return sup_error(e, "system", "the supervisor does not understand %.*s=%s", (int)klen, key, value);
	if (!r->container)
		r->container = r->id ? r->id : "";
	if (rc < 0 || !complete(r))
		return sup_error(e, "system", "the supervisor got an incomplete request");
	return 0;
}

int sup_request_update(struct sup_request *r, const char *payload, size_t n, struct sup_error *e)
{
	size_t pos = 0, klen;
	const char *key, *value;
	int rc;

	while ((rc = sbx_wire_next_item(payload, n, &pos, &key, &klen, &value)) > 0)
		for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
			if ((fields[i].kind == SIZE || fields[i].kind == SECONDS || fields[i].kind == FLAG) &&
			    strlen(fields[i].key) == klen && !memcmp(key, fields[i].key, klen))
				(void)parse_value(&fields[i], value, (char *)r + fields[i].offset);
	return rc < 0 ? sup_error(e, "system", "a malformed lease") : 0;
}

void sup_request_destroy(struct sup_request *r)
{
	free(r->payload);
	r->payload = NULL;
}
