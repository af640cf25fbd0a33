/* The standard library and the bootstrap as frozen modules. The recipe writes
 * `stdlib_modules.inc` (one FROZEN line a module) and the blobs of bytecode. */

#ifndef RLM_STDLIB_TABLE_H
#define RLM_STDLIB_TABLE_H

#include <Python.h>

extern const struct _frozen stdlib_table[];

#endif
