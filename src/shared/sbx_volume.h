/* SPDX-License-Identifier: MIT
 *
 * sbx_volume: what those that have a volume and those that remove one agree upon.
 */
#ifndef SBX_VOLUME_H
#define SBX_VOLUME_H

/* So long is waited for who has just ended, and may have its lock a little longer: seconds, for a busy machine. */
#define SBX_VOLUME_SECONDS 10

#endif
