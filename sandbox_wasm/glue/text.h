/* Text that the host has mapped, as a `str`. */

#ifndef RLM_TEXT_H
#define RLM_TEXT_H

#include <Python.h>

#include <stdbool.h>

/* Builds the header of a compact `str` right before the `chars` characters at
 * `ptr` and returns it: no copy, hash not yet computed. `kind` is 1, 2 or 4 bytes
 * a character; `ascii` says that all are below 128 (kind 1 only). It is immortal, or
 * `counted`: then the caller has the only reference, to be given back by `text_release`.
 *
 * NULL with ValueError if the text, its 32 bytes before or its terminating zero
 * lie outside the memory, or if the header would not be aligned. */
PyObject *text_at(size_t ptr, size_t chars, int kind, int ascii, bool counted);

/* An ordinary `str` with the `chars` characters at `ptr`, which need no zero after them.
 * NULL with ValueError if they lie outside the memory, or with MemoryError. */
PyObject *text_copy(size_t ptr, size_t chars, int kind);

/* Takes a counted text out of `holder`, a list that holds nothing else, if that is the only
 * reference to it: then its memory may be given to another. False if others refer to it,
 * and the list stays as it is. -1 with TypeError if it is no such list. */
int text_release(PyObject *holder);

#endif
