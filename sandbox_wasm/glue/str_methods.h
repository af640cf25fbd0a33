#ifndef RLM_STR_METHODS_H
#define RLM_STR_METHODS_H

#include <Python.h>

/* Puts `replacement` in the place of a method of `str` that takes its arguments as `flags`
 * say, and gives what it was. The methods are a plain table that is read when the
 * interpreter starts: call it before. */
PyCFunction str_exchange(const char *name, int flags, PyCFunction replacement);

#define AS_METHOD(function) ((PyCFunction)(void (*)(void))(function))
#define AS_FASTCALL(function) ((PyCFunctionFast)(void (*)(void))(function))

#endif
