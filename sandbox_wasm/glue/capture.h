/* Captured output: what the guest writes to stdout and stderr, up to a cap. */

#ifndef RLM_CAPTURE_H
#define RLM_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

/* Puts the buffers into the mailbox. */
void capture_init(void);

/* Forgets what was captured; the caps stay as they are. */
void capture_reset(void);

/* Captures `count` characters of `kind` bytes each (1: latin-1, 2, 4), for fd 1 or 2.
 * Lone surrogates are kept, as UTF-8 would encode them. */
void capture_text(int fd, int kind, const void *characters, size_t count);

/* Captures bytes that are taken to be UTF-8. */
void capture_bytes(int fd, const uint8_t *bytes, size_t count);

#endif
