/* SPDX-License-Identifier: MIT
 *
 * guest_files: files in and out of a box. Frames as in guest_io.h.
 *   in   P path mode      a file follows, in D frames         g path max    send a file
 *        r path           remove, with all below it           l path depth max   list a directory, so many entries
 *        s path           what it is                          m path        make a directory, with those above
 *        v from to        rename                              y from to     copy, with all below it
 *        c seconds max_bytes max_files max_skips max_names pattern…   send what matches (guest_collect.h)
 *        G                the end
 *   out  F path mode size a file follows, in D frames         N name type mode size mtime target   an entry
 *        E path reason    it failed                           S path reason   left out of c; of one that came before, too
 *        Z                the end; without it the answer is not whole
 * Only regular files come out, opened without following a link and without waiting.
 */
#ifndef GUEST_FILES_H
#define GUEST_FILES_H

/* Serves stdin until its end; the exit status. now: of guest_io_now, when what is bounded in time began. */
int guest_files(double now);

#endif
