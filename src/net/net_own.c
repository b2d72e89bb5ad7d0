/* SPDX-License-Identifier: MIT */
#include "net_own.h"

#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>

#include "net_policy.h"
#include "sbx_time.h"

#define LOOK_SECONDS 5.0	/* how long they are believed */

static size_t count(const struct ifaddrs *list)
{
	size_t n = 0;

	for (; list; list = list->ifa_next)
		n++;
	return n;
}

static void take(struct net_own *o, const struct ifaddrs *list)
{
	struct in6_addr *own = malloc((count(list) + 1) * sizeof(*own));
	size_t n = 0;

	if (!own)
		return;
	for (; list; list = list->ifa_next) {
		if (list->ifa_addr && list->ifa_addr->sa_family == AF_INET)
			net_address_v4(&own[n++], ((const struct sockaddr_in *)(const void *)list->ifa_addr)->sin_addr);
		else if (list->ifa_addr && list->ifa_addr->sa_family == AF_INET6)
			own[n++] = ((const struct sockaddr_in6 *)(const void *)list->ifa_addr)->sin6_addr;
	}
	free(o->list);
	o->list = own;
	o->n = n;
	o->looked = sbx_time_now();
}

bool net_own_has(struct net_own *o, const struct in6_addr *a)
{
	struct ifaddrs *list;

	if ((o->looked <= 0 || sbx_time_now() >= o->looked + LOOK_SECONDS) && getifaddrs(&list) == 0) {
		take(o, list);
		freeifaddrs(list);
	}
	for (size_t i = 0; i < o->n; i++)
		if (IN6_ARE_ADDR_EQUAL(a, &o->list[i]))
			return true;
	return o->looked <= 0;
}

void net_own_destroy(struct net_own *o)
{
	free(o->list);
	memset(o, 0, sizeof(*o));
}
