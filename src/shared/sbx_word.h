/* SPDX-License-Identifier: MIT
 *
 * sbx_word: what our helper tells from within a sandbox in which it has no pipe to us: a call that the trace shows with its arguments,
 * the first of which is a number that nobody in the guest knows, for the helper's command line goes with its execve. The call itself
 * does nothing: there is no such context.
 */
#ifndef SBX_WORD_H
#define SBX_WORD_H

#include <stdint.h>
#include <sys/syscall.h>

#define SBX_WORD_CALL SYS_io_destroy

/* Its second argument: a letter, and an errno. */
#define SBX_WORD(letter, err) ((uint64_t)(unsigned char)(letter) << 16 | (unsigned)(err))
#define SBX_WORD_LETTER(said) ((char)((said) >> 16 & 0xff))
#define SBX_WORD_ERRNO(said) ((int)((said) & 0xffff))

/* It becomes the program now; it could not enter cwd; not execute the program; not give files their owner, or become the user. */
enum { SBX_WORD_BECOMES = 's', SBX_WORD_CWD = 'c', SBX_WORD_EXECUTE = 'x', SBX_WORD_FAILED = 'f' };

#endif
