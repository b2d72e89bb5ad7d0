/* SPDX-License-Identifier: MIT
 *
 * sbx_net: what the supervisor and sandbox-net agree on. The supervisor starts `sandbox-net serve` before it leaves the host's
 * network namespace, and `sandbox-net link` in the guest's:
 *
 *   serve UID GID RESOLVER 3: control, a SOCK_SEQPACKET of items "key=value\0", each message at most SBX_NET_MESSAGE; it ends with
 *                          this one. 4: where the link's sockets come from. 5: the page of counters.
 *   link GUEST EDGE BITS MAC IPV6     3: where the link's sockets go; "-" for no MAC, 0 or 1 for IPv6. What fails is said on 1.
 *
 * To serve: a policy (net_policy.h), at the start and whenever it changes. From it: `say=ready|policy|error` with `text=`;
 * `event=ID` with `at=` (seconds of the real-time clock), `host=`, `address=`, `port=`, `reason=` (absent: allowed); `end=ID`
 * with `bytes_in=`, `bytes_out=`. A message of at most SBX_NET_TELL has one `say`, or any number of the other two.
 */
#ifndef SBX_NET_H
#define SBX_NET_H

#include <stdint.h>

#define SBX_NET_CONTROL 3
#define SBX_NET_SOCKETS 4
#define SBX_NET_COUNTERS 5
#define SBX_NET_MESSAGE (128u * 1024u)
#define SBX_NET_TELL 8192u
#define SBX_NET_EVENTS 10000u	/* told at most, */
#define SBX_NET_EVENTS_SECOND 100u	/* and so many more with each second; what is beyond is counted */

/* Written by sandbox-net alone, read by the supervisor at any time. in: what came to the guest. */
struct sbx_net_counters {
	uint64_t connections, refused, bytes_in, bytes_out;
	uint64_t exceeded;	/* connections refused because there were as many as may be */
	uint64_t held;		/* microseconds for which bytes had to wait because as many had passed as may in a second */
	uint64_t lost;		/* events that were not told */
};

#endif
