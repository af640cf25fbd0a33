#include "text.h"

#include <stdint.h>

/* The free bytes that the contract puts before each text. */
#define HEADER_ROOM 32
#define PAGE_BYTES 65536ull

_Static_assert(sizeof(PyASCIIObject) <= HEADER_ROOM, "the contract's room");
_Static_assert(sizeof(PyCompactUnicodeObject) <= HEADER_ROOM, "the contract's room");

/* As many as a `str` of this size of pointers can have; all else is no length at all. */
#define MOST_CHARS ((size_t)PY_SSIZE_T_MAX - HEADER_ROOM)

static bool
is_in_memory(size_t ptr, size_t chars, int kind)
{
    uint64_t end = (uint64_t)ptr + (uint64_t)chars * kind;
    return end <= __builtin_wasm_memory_size(0) * PAGE_BYTES;
}

static bool
is_kind(int kind)
{
    return kind == 1 || kind == 2 || kind == 4;
}

static PyObject *
refuse(size_t ptr, size_t chars)
{
    return PyErr_Format(PyExc_ValueError, "a text of %zu characters at %zu is not mapped", chars,
                        ptr);
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
text_at(size_t ptr, size_t chars, int kind, int ascii, bool counted)
{
    if (!is_kind(kind) || (ascii && kind != 1)) {
        return PyErr_Format(PyExc_ValueError, "a text cannot have kind %d, ascii %d", kind, ascii);
    }
    if (chars == 0) {
        return PyUnicode_New(0, 0); /* there is one empty str, and code compares by `is` */
    }
    if (chars > MOST_CHARS || ptr < HEADER_ROOM || !is_in_memory(ptr, chars + 1, kind)) {
        return refuse(ptr, chars);
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
        .ob_base = {
            .ob_refcnt = counted ? 1 : _Py_IMMORTAL_REFCNT,
            .ob_type = &PyUnicode_Type,
        },
        .length = (Py_ssize_t)chars,
        .hash = -1,
        .state = {
            .kind = kind,
            .compact = 1,
            .ascii = ascii != 0,
            .statically_allocated = 1, /* never freed, whatever becomes of its count */
        },
    };
    if (!ascii) {
        PyCompactUnicodeObject *wide = (PyCompactUnicodeObject *)header;
        wide->utf8_length = 0;
        wide->utf8 = NULL;
    }
    return (PyObject *)text;
}

PyObject *
text_copy(size_t ptr, size_t chars, int kind)
{
    if (!is_kind(kind)) {
        return PyErr_Format(PyExc_ValueError, "a text cannot have kind %d", kind);
    }
    if (chars > MOST_CHARS || !is_in_memory(ptr, chars, kind)) {
        return refuse(ptr, chars);
    }
    return PyUnicode_FromKindAndData(kind, (const void *)ptr, (Py_ssize_t)chars);
}

/* The UTF-8 that CPython keeps beside a text once C code has asked for it. */
static void
free_utf8(PyObject *text)
{
    if (!PyUnicode_IS_ASCII(text)) {
        PyCompactUnicodeObject *wide = (PyCompactUnicodeObject *)text;
        PyMem_Free(wide->utf8);
        wide->utf8 = NULL;
        wide->utf8_length = 0;
    }
}

int
text_release(PyObject *holder)
{
    if (!PyList_CheckExact(holder) || PyList_GET_SIZE(holder) != 1
        || !PyUnicode_CheckExact(PyList_GET_ITEM(holder, 0))) {
        PyErr_SetString(PyExc_TypeError, "release() wants a list of one text");
        return -1;
    }
    PyObject *text = PyList_GET_ITEM(holder, 0);
    /* What is interned is referred to by a table that does not count. */
    if (Py_REFCNT(text) != 1 || PyUnicode_CHECK_INTERNED(text)) {
        return 0;
    }
    free_utf8(text);
    return PyList_SetSlice(holder, 0, 1, NULL) < 0 ? -1 : 1;
}
