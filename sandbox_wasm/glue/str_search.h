#ifndef RLM_STR_SEARCH_H
#define RLM_STR_SEARCH_H

#include <Python.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a search for bytes can end in beside the place where they are. */
#define SEARCH_ABSENT (-1)
/* So much looked like the needle and was not that a method with a bound is better. */
#define SEARCH_GIVEN_UP (-2)

/* The first place of `needle` in `text`, or one of the above. Both have two bytes or more. */
Py_ssize_t search_bytes(const uint8_t *text, size_t length, const uint8_t *needle,
                        size_t needle_length);

/* Whether `search_bytes` can look for `needle` in `text`, and it pays. */
bool is_searchable(PyObject *text, PyObject *needle);

/* Makes `in`, `str.find` and `str.index` use it; before the interpreter starts. */
void str_search_install(void);

#endif
