/* SPDX-License-Identifier: MIT
 *
 * guest_shell: what a prepared shell is leased, made into text that it can eval. A shell by itself would need a process for each
 * part: it cannot read so many bytes and no more, nor hold a NUL.
 */
#ifndef GUEST_SHELL_H
#define GUEST_SHELL_H

/* From stdin, not a byte beyond: "ARGS CODE\n", arguments each ended by NUL, code. To stdout: `set -- …` and the code. An exit status. */
int guest_shell(void);

#endif
