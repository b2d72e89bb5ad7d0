/* SPDX-License-Identifier: MIT */
#include "sup_request.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sbx_wire.h"

enum type { TEXT, LIST, FLAG, SIZE, ID, SECONDS };

/* Sets of kinds of run. */
#define OF(mode) (1u << SUP_MODE_##mode)
#define SANDBOX (OF(RUN) | OF(BOX))
#define PROGRAM (OF(EXEC) | OF(COMMAND))
#define INSIDE (PROGRAM | OF(CALL))

/* One row a key: who may have it and who must, what it is and where it goes. A FLAG is true for the one word given, false for the other. */
static const struct field {
	const char *key;
	unsigned may, must;
	unsigned lease;		/* whose lease may change it */
	enum type type;
	size_t offset;
	const char *yes, *no;
} fields[] = {
#define AT(member) offsetof(struct sup_request, member)
#define BIT(member) FLAG, AT(member), "1", "0"
	{ "id", SANDBOX | INSIDE, SANDBOX, 0, TEXT, AT(id), 0, 0 },
	{ "state_dir", SANDBOX | OF(SWEEP), SANDBOX | OF(SWEEP), 0, TEXT, AT(state_dir), 0, 0 },
	{ "runsc", SANDBOX | INSIDE | OF(TOOL), SANDBOX | OF(COMMAND) | OF(TOOL), 0, TEXT, AT(runsc), 0, 0 },
	{ "platform", SANDBOX | INSIDE, SANDBOX, 0, TEXT, AT(platform), 0, 0 },
	{ "rootfs", SANDBOX, SANDBOX, 0, TEXT, AT(rootfs), 0, 0 },
	{ "rootfs_path", SANDBOX, 0, 0, TEXT, AT(rootfs_path), 0, 0 },
	{ "bundle", SANDBOX, 0, 0, TEXT, AT(bundle), 0, 0 },
	{ "cwd", SANDBOX, 0, 0, TEXT, AT(cwd), 0, 0 },
	{ "container", SANDBOX | INSIDE, OF(BOX) | INSIDE, 0, TEXT, AT(container), 0, 0 },
	{ "hold", SANDBOX, 0, 0, TEXT, AT(hold), 0, 0 },
	{ "word", SANDBOX, 0, 0, TEXT, AT(word), 0, 0 },
	{ "guest", SANDBOX | OF(EXEC), OF(BOX), 0, TEXT, AT(guest), 0, 0 },
	{ "reach", OF(RUN), 0, 0, BIT(reach) },
	{ "box", INSIDE, INSIDE, 0, TEXT, AT(box), 0, 0 },
	{ "call", OF(CALL), OF(CALL), 0, TEXT, AT(call), 0, 0 },
	{ "first", OF(EXEC), 0, 0, TEXT, AT(first), 0, 0 },
	{ "await", INSIDE, 0, 0, BIT(await) },
	{ "box_pid", INSIDE, 0, 0, ID, AT(box_pid), 0, 0 },
	{ "ours", OF(RUN) | PROGRAM, 0, 0, ID, AT(ours), 0, 0 },
	{ "whole_box", PROGRAM, 0, 0, BIT(whole_box) },
	{ "cpus_later", OF(BOX), 0, 0, BIT(cpus_later) },
	{ "direct", OF(EXEC), 0, 0, BIT(direct) },
	{ "prepared", OF(EXEC), 0, 0, BIT(prepared) },
	{ "code", PROGRAM, 0, PROGRAM, SIZE, AT(code), 0, 0 },
	{ "kept", PROGRAM, 0, 0, BIT(kept) },
	{ "alone", PROGRAM, 0, 0, BIT(alone) },
	{ "tell_space", SANDBOX | PROGRAM, 0, 0, BIT(tell_space) },
	{ "abstract", INSIDE, 0, 0, BIT(abstract) },
	{ "boot_delay", SANDBOX, 0, 0, SECONDS, AT(boot_delay), 0, 0 },
	{ "idle_timeout", OF(BOX), 0, 0, SECONDS, AT(idle_timeout), 0, 0 },
	{ "disk_by", SANDBOX | PROGRAM, 0, 0, TEXT, AT(disk_by), 0, 0 },
	{ "cgroup_parent", SANDBOX, 0, 0, TEXT, AT(cgroup_parent), 0, 0 },
	{ "arg", SANDBOX | OF(TOOL), 0, 0, LIST, AT(args), 0, 0 },
	{ "bind", SANDBOX, 0, 0, LIST, AT(binds), 0, 0 },
	{ "symlink", SANDBOX, 0, 0, LIST, AT(symlinks), 0, 0 },
	{ "etc", SANDBOX, 0, 0, LIST, AT(etc), 0, 0 },
	{ "etc_hide", SANDBOX, 0, 0, LIST, AT(etc_hide), 0, 0 },
	{ "etc_text", SANDBOX, 0, 0, LIST, AT(etc_text), 0, 0 },
	{ "mkdir", SANDBOX, 0, 0, LIST, AT(dirs), 0, 0 },
	{ "mkfile", SANDBOX, 0, 0, LIST, AT(files), 0, 0 },
	{ "source", SANDBOX, 0, 0, LIST, AT(sources), 0, 0 },
	{ "place", SANDBOX, 0, 0, LIST, AT(places), 0, 0 },
	{ "cow", SANDBOX, 0, 0, LIST, AT(cows), 0, 0 },
	{ "cow_place", SANDBOX, 0, 0, LIST, AT(cow_places), 0, 0 },
	{ "volume", SANDBOX, 0, 0, LIST, AT(volumes), 0, 0 },
	{ "rootless", SANDBOX | INSIDE, 0, 0, BIT(rootless) },
	{ "network", SANDBOX, 0, 0, FLAG, AT(host_network), "host", "none" },
	{ "net", SANDBOX, 0, 0, TEXT, AT(net), 0, 0 },
	{ "net_guest", SANDBOX, 0, 0, TEXT, AT(net_guest), 0, 0 },
	{ "net_edge", SANDBOX, 0, 0, TEXT, AT(net_edge), 0, 0 },
	{ "net_bits", SANDBOX, 0, 0, ID, AT(net_bits), 0, 0 },
	{ "net_mac", SANDBOX, 0, 0, TEXT, AT(net_mac), 0, 0 },
	{ "net_ipv6", SANDBOX, 0, 0, BIT(net_ipv6) },
	{ "net_resolver", SANDBOX, 0, 0, TEXT, AT(net_resolver), 0, 0 },
	{ "work", SANDBOX, 0, 0, BIT(work) },
	{ "tmp", SANDBOX, 0, 0, FLAG, AT(tmp_host), "host", "guest" },
	{ "inside", SANDBOX, 0, 0, BIT(inside) },
	{ "writable", SANDBOX, 0, 0, BIT(writable) },
	{ "own_root", SANDBOX, 0, 0, BIT(own_root) },
	{ "inodes_held", SANDBOX | PROGRAM, 0, 0, BIT(inodes_held) },
	{ "store_root", SANDBOX, 0, 0, BIT(store_root) },
	{ "trace", SANDBOX, 0, 0, BIT(trace) },
	{ "nodev", SANDBOX, 0, 0, BIT(nodev) },
	{ "best_effort", SANDBOX | PROGRAM, 0, 0, BIT(best_effort) },
	{ "output_keep", SANDBOX | PROGRAM, 0, 0, FLAG, AT(output_tail), "tail", "head" },
	{ "output_kill", SANDBOX | PROGRAM, 0, PROGRAM, BIT(output_kill) },
	{ "stderr", SANDBOX | PROGRAM, 0, 0, FLAG, AT(stderr_to_stdout), "stdout", "pipe" },
	{ "stdin", SANDBOX | PROGRAM | OF(TOOL), 0, 0, FLAG, AT(stdin_open), "open", "closed" },
	{ "uid", SANDBOX, 0, 0, ID, AT(uid), 0, 0 },
	{ "gid", SANDBOX, 0, 0, ID, AT(gid), 0, 0 },
	{ "map_base", SANDBOX, 0, 0, ID, AT(map_base), 0, 0 },
	{ "timeout", SANDBOX | PROGRAM | OF(TOOL), 0, PROGRAM, SECONDS, AT(timeout), 0, 0 },
	{ "boot_timeout", SANDBOX | INSIDE, 0, 0, SECONDS, AT(boot_timeout), 0, 0 },
	{ "cpu_time", SANDBOX | PROGRAM, 0, PROGRAM, SECONDS, AT(cpu_time), 0, 0 },
	{ "cpus", SANDBOX | PROGRAM, 0, OF(BOX), SECONDS, AT(cpus), 0, 0 },
	{ "memory", SANDBOX | PROGRAM, 0, OF(BOX), SIZE, AT(memory), 0, 0 },
	{ "pids", SANDBOX | PROGRAM, 0, OF(BOX), SIZE, AT(pids), 0, 0 },
	{ "output", SANDBOX | PROGRAM | OF(TOOL), 0, PROGRAM, SIZE, AT(output), 0, 0 },
	{ "disk", SANDBOX | PROGRAM, 0, 0, SIZE, AT(disk), 0, 0 },
	{ "inodes", SANDBOX, 0, 0, SIZE, AT(inodes), 0, 0 },
	{ "file_size", SANDBOX | PROGRAM, 0, 0, SIZE, AT(file_size), 0, 0 },
	{ "open_files", SANDBOX | PROGRAM, 0, 0, SIZE, AT(open_files), 0, 0 },
	{ "stack", SANDBOX | PROGRAM, 0, 0, SIZE, AT(stack), 0, 0 },
	{ "address_space", SANDBOX | PROGRAM, 0, 0, SIZE, AT(address_space), 0, 0 },
#undef AT
#undef BIT
};

#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static const char *const modes[SUP_MODES] = { "run", "box", "exec", "command", "call", "tool", "sweep" };

static int parse_number(const struct field *f, const char *value, void *out)
{
	char *end;

	errno = 0;
	if (f->type == SECONDS) {
		double d = strtod(value, &end);

		if (end == value || *end || !isfinite(d) || d < 0)
			return -1;
		*(double *)out = d;
		return 0;
	}
	unsigned long long u = strtoull(value, &end, 10);

	if (end == value || *end || *value == '-' || errno)
		return -1;
	if (f->type == SIZE)
		*(uint64_t *)out = u;
	else if (u > UINT32_MAX)
		return -1;
	else
		*(uint32_t *)out = (uint32_t)u;
	return 0;
}

/* gcc's analyzer does not see that the request, in which the list lies, owns what it holds (sup_request_destroy). */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wunknown-warning-option"
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
static int add(struct sup_list *list, const char *value)
{
	if (list->n == list->room) {
		size_t room = list->room ? 2 * list->room : 32;
		const char **item = reallocarray(list->item, room, sizeof(*item));

		if (!item)
			return -1;
		list->item = item;
		list->room = room;
	}
	list->item[list->n++] = value;
	return 0;
}
#pragma GCC diagnostic pop

static int parse_value(const struct field *f, const char *value, void *out)
{
	switch (f->type) {
	case TEXT:
		*(const char **)out = value;
		return 0;
	case LIST:
		return add(out, value);
	case FLAG:
		if (strcmp(value, f->yes) != 0 && strcmp(value, f->no) != 0)
			return -1;
		*(bool *)out = !strcmp(value, f->yes);
		return 0;
	default:
		return parse_number(f, value, out);
	}
}

/* The row of a key; FIELDS: none. */
static size_t find(const char *key, size_t klen)
{
	size_t i = 0;

	while (i < FIELDS && !sbx_wire_is_key(fields[i].key, key, klen))
		i++;
	return i;
}

static int refuse(struct sup_error *e, const char *why, const char *key, size_t klen)
{
	return sup_error(e, "system", "the supervisor refuses the request: %s %.*s", why, klen > 40 ? 40 : (int)klen, key);
}

/* Everything depends on the kind of run: it comes first, and once. */
static int parse_mode(struct sup_request *r, const char *payload, size_t n, size_t *pos, struct sup_error *e)
{
	size_t klen;
	const char *key, *value;

	if (sbx_wire_next_item(payload, n, pos, &key, &klen, &value) > 0 && sbx_wire_is_key("mode", key, klen))
		for (unsigned i = 0; i < SUP_MODES; i++)
			if (!strcmp(value, modes[i])) {
				r->mode = (enum sup_mode)i;
				return 0;
			}
	return refuse(e, "it does not begin with a known", "mode", 4);
}

static int parse_items(struct sup_request *r, const char *payload, size_t n, size_t pos, bool seen[FIELDS], struct sup_error *e)
{
	size_t klen;
	const char *key, *value;
	int rc;

	while ((rc = sbx_wire_next_item(payload, n, &pos, &key, &klen, &value)) > 0) {
		size_t i = find(key, klen);

		if (i == FIELDS || !(fields[i].may & 1u << r->mode))
			return refuse(e, i == FIELDS ? "unknown key" : "not a key of this kind of run:", key, klen);
		if (seen[i] && fields[i].type != LIST)
			return refuse(e, "there twice:", key, klen);
		seen[i] = true;
		if (parse_value(&fields[i], value, (char *)r + fields[i].offset) < 0)
			return refuse(e, "not a value of", key, klen);
	}
	return rc < 0 ? refuse(e, "not a list of", "key=value", 9) : 0;
}

/* The id becomes part of paths and of a container's name. */
static bool good_id(const char *id)
{
	size_t n = strspn(id, "0123456789abcdef");

	return n >= 8 && n <= 64 && !id[n];
}

/* It becomes part of a path and of JSON. */
static bool good_container(const char *name)
{
	size_t n = strspn(name, "0123456789abcdefghijklmnopqrstuvwxyz");

	return n >= 1 && n <= 64 && !name[n];
}

static bool absolute(const char *path)
{
	return !path || path[0] == '/';
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

static bool good_cows(const struct sup_request *r)
{
	if (r->cows.n != r->cow_places.n)
		return false;
	for (size_t i = 0; i < r->cows.n; i++) {
		const char *item = r->cows.item[i];
		size_t digits = strspn(item, "0123456789");

		if (!digits || digits > 16 || strncmp(item + digits, " /", 2) != 0 || r->cow_places.item[i][0] != '/')
			return false;
	}
	return true;
}

/* "ro SIZE DIR/NAME" or "rw SIZE DIR/NAME", of an absolute path and one name. */
static bool good_volumes(const struct sup_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const char *item = l->item[i], *name = strrchr(item, '/');
		bool known = !strncmp(item, "ro ", 3) || !strncmp(item, "rw ", 3);
		size_t digits = known ? strspn(item + 3, "0123456789") : 0;

		if (!digits || digits > 16 || strncmp(item + 3 + digits, " /", 2) != 0 || name == item + 3 + digits + 1 || !name[1] || name[1] == '.' ||
		    strlen(item) > 4000)
			return false;
	}
	return true;
}

/* Relative, and below where it begins: it is part of a path that is made. */
static bool is_below(const char *path)
{
	bool good = *path && *path != '/';

	for (const char *part = path; good && part; part = strchr(part, '/')) {
		part += *part == '/';
		good = strncmp(part, "..", 2) != 0 || (part[2] && part[2] != '/');
	}
	return good;
}

static bool good_hides(const struct sup_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (!is_below(l->item[i]))
			return false;
	return true;
}

/* The key whose value cannot be; NULL: none. What is missing was found before. */
static const char *wrong(const struct sup_request *r)
{
	unsigned of = 1u << r->mode;

	if (r->id && !good_id(r->id))
		return "id";
	if (r->container && !good_container(r->container))
		return "container";
	if (!absolute(r->state_dir))
		return "state_dir";
	if (!absolute(r->runsc))
		return "runsc";
	if (!absolute(r->box))
		return "box";
	if ((of & INSIDE) && !r->await && (r->box_pid <= 1 || r->box_pid > INT32_MAX))
		return "box_pid";
	if (!absolute(r->bundle))
		return "bundle";
	if (!absolute(r->hold))
		return "hold";
	if ((of & SANDBOX) && (r->bundle || strcmp(r->rootfs, "host") != 0) && (!r->rootfs_path || (!r->bundle && !absolute(r->rootfs_path))))
		return "rootfs_path";
	if (!good_sources(r))
		return "source";
	if (!good_cows(r))
		return "cow";
	if (!good_volumes(&r->volumes))
		return "volume";
	if (!good_hides(&r->etc_hide))
		return "etc_hide";
	/* The guest's ids are those above map_base on the host: never one of the host's own. */
	if ((of & SANDBOX) && !r->rootless && !r->map_base)
		return "map_base";
	if (r->uid >= UINT32_MAX - r->map_base)
		return "uid";
	return r->gid >= UINT32_MAX - r->map_base ? "gid" : NULL;
}

int sup_request_parse(struct sup_request *r, char *payload, size_t n, struct sup_error *e)
{
	bool seen[FIELDS] = { false };
	size_t pos = 0;

	memset(r, 0, sizeof(*r));
	r->payload = payload;
	r->boot_timeout = 10;
	if (parse_mode(r, payload, n, &pos, e) < 0 || parse_items(r, payload, n, pos, seen, e) < 0)
		return -1;
	for (size_t i = 0; i < FIELDS; i++)
		if (!seen[i] && fields[i].must & 1u << r->mode)
			return refuse(e, "missing:", fields[i].key, strlen(fields[i].key));
	const char *key = wrong(r);

	if (key)
		return refuse(e, "not a value of", key, strlen(key));
	if (!r->container)
		r->container = r->id ? r->id : "";
	return 0;
}

int sup_request_update(struct sup_request *r, const char *payload, size_t n, struct sup_error *e)
{
	bool seen[FIELDS] = { false };
	struct sup_request new = *r;
	size_t pos = 0, klen;
	const char *key, *value;
	int rc;

	while ((rc = sbx_wire_next_item(payload, n, &pos, &key, &klen, &value)) > 0) {
		size_t i = find(key, klen);

		if (i == FIELDS || !(fields[i].lease & 1u << r->mode) || seen[i] ||
		    parse_value(&fields[i], value, (char *)&new + fields[i].offset) < 0)
			return refuse(e, "not for a lease:", key, klen);
		seen[i] = true;
	}
	if (rc < 0)
		return refuse(e, "not a list of", "key=value", 9);
	*r = new;
	return 0;
}

void sup_request_destroy(struct sup_request *r)
{
	struct sup_list *const lists[] = { &r->args, &r->binds, &r->symlinks, &r->etc, &r->etc_hide, &r->etc_text, &r->dirs, &r->files, &r->sources, &r->places,
		&r->cows, &r->cow_places, &r->volumes };

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		free(lists[i]->item);
		*lists[i] = (struct sup_list){ 0 };
	}
	free(r->payload);
	r->payload = NULL;
}
