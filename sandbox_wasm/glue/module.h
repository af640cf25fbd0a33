/* The module `_rlm`: what the bootstrap, in Python, asks of the glue. */

#ifndef RLM_MODULE_H
#define RLM_MODULE_H

#include <Python.h>

PyObject *PyInit__rlm(void);

#endif
