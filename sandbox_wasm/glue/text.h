/* Text that the host has mapped, as a `str`, without a copy. */

#ifndef RLM_TEXT_H
#define RLM_TEXT_H

#include <Python.h>

/* Builds the header of a compact `str` right before the `chars` characters at
 * `ptr` and returns it: immortal, hash not yet computed. `kind` is 1, 2 or 4 bytes
 * a character; `ascii` says that all are below 128 (kind 1 only).
 *
 * NULL with ValueError if the text, its 32 bytes before or its terminating zero
 * lie outside the memory, or if the header would not be aligned. */
PyObject *text_at(size_t ptr, size_t chars, int kind, int ascii);

#endif
