/* SPDX-License-Identifier: MIT
 *
 * guest_files: files in and out of a box. Frames as in sbx_wire.h; strings in a payload end with NUL.
 *   in   P path mode      a file follows, in D frames         g path        send a file
 *        r path           remove, with all below it           l path        list a directory
 *        c max_bytes max_files pattern…   send what matches   G             the end
 *   out  F path mode size a file follows, in D frames         N name type mode size   an entry of a list
 *        E path reason    it failed                           S path reason   left out of c
 *        Z                the end; without it the answer is not whole
 * Only regular files come out, opened without following a link and without waiting.
 */
#ifndef GUEST_FILES_H
#define GUEST_FILES_H

/* Serves stdin until its end; the exit status. */
int guest_files(void);

#endif
