#include "text.h"

#include <stdint.h>

/* The free bytes that the contract puts before each text. */
#define HEADER_ROOM 32
#define PAGE_BYTES 65536ull

_Static_assert(sizeof(PyASCIIObject) <= HEADER_ROOM, "the contract's room");
_Static_assert(sizeof(PyCompactUnicodeObject) <= HEADER_ROOM, "the contract's room");

static int
is_mapped(size_t ptr, size_t chars, int kind)
{
    uint64_t end = (uint64_t)ptr + (uint64_t)chars * kind + kind;
    return ptr >= HEADER_ROOM && end <= __builtin_wasm_memory_size(0) * PAGE_BYTES;
}

static int
is_terminated(size_t ptr, size_t chars, int kind)
{
    const uint8_t *end = (const uint8_t *)ptr + chars * kind;
    for (int i = 0; i < kind; i++) {
        if (end[i] != 0) {
            return 0;
        }
    }
    return 1;
}

PyObject *
text_at(size_t ptr, size_t chars, int kind, int ascii)
{
    if ((kind != 1 && kind != 2 && kind != 4) || (ascii && kind != 1)) {
        return PyErr_Format(PyExc_ValueError, "a text cannot have kind %d, ascii %d", kind, ascii);
    }
    if (chars == 0) {
        return PyUnicode_New(0, 0); /* there is one empty str, and code compares by `is` */
    }
    if (chars > PY_SSIZE_T_MAX - HEADER_ROOM || !is_mapped(ptr, chars, kind)) {
        return PyErr_Format(PyExc_ValueError, "a text of %zu characters at %zu is not mapped",
                            chars, ptr);
    }
    if (!is_terminated(ptr, chars, kind)) {
        return PyErr_Format(PyExc_ValueError, "the text at %zu has no zero after it", ptr);
    }
    size_t header = ptr - (ascii ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject));
    if (header % _Alignof(PyASCIIObject) != 0) {
        return PyErr_Format(PyExc_ValueError, "the text at %zu is not aligned", ptr);
    }
    PyASCIIObject *text = (PyASCIIObject *)header;
    *text = (PyASCIIObject){
        .ob_base = {.ob_refcnt = _Py_IMMORTAL_REFCNT, .ob_type = &PyUnicode_Type},
        .length = (Py_ssize_t)chars,
        .hash = -1,
        .state = {
            .kind = kind,
            .compact = 1,
            .ascii = ascii != 0,
            .statically_allocated = 1,
        },
    };
    if (!ascii) {
        PyCompactUnicodeObject *wide = (PyCompactUnicodeObject *)header;
        wide->utf8_length = 0;
        wide->utf8 = NULL;
    }
    return (PyObject *)text;
}
