/* `context.lower()` sixteen letters at a time, where CPython's own looks up each. */

#include "str_case.h"

#include <Python.h>

#include <stdint.h>
#include <wasm_simd128.h>

#include "str_methods.h"

#define BLOCK 16
#define LEAST_LENGTH 64
#define LETTERS 26
/* Between a letter and the same in the other case. */
#define CASE_BIT 0x20

static PyCFunction original_lower, original_upper, original_casefold;

/* `text` with the letters from `first_letter` on in the other case, or NULL with an error. */
static PyObject *
with_case_changed(PyObject *text, uint8_t first_letter)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    PyObject *changed = PyUnicode_New(length, 127);
    if (changed == NULL) {
        return NULL;
    }
    const uint8_t *from = PyUnicode_1BYTE_DATA(text);
    uint8_t *to = PyUnicode_1BYTE_DATA(changed);
    const v128_t first = wasm_i8x16_splat((int8_t)first_letter);
    const v128_t letters = wasm_u8x16_const_splat(LETTERS);
    const v128_t bit = wasm_u8x16_const_splat(CASE_BIT);
    Py_ssize_t i = 0;
    for (; i + BLOCK <= length; i += BLOCK) {
        v128_t block = wasm_v128_load(from + i);
        v128_t is_letter = wasm_u8x16_lt(wasm_i8x16_sub(block, first), letters);
        wasm_v128_store(to + i, wasm_v128_xor(block, wasm_v128_and(is_letter, bit)));
    }
    for (; i < length; i++) {
        uint8_t is_letter = (uint8_t)(from[i] - first_letter) < LETTERS;
        to[i] = from[i] ^ (uint8_t)(is_letter ? CASE_BIT : 0);
    }
    return changed;
}

static int
is_long_ascii(PyObject *text)
{
    return PyUnicode_IS_ASCII(text) && PyUnicode_GET_LENGTH(text) >= LEAST_LENGTH;
}

static PyObject *
str_lower(PyObject *self, PyObject *nothing)
{
    return is_long_ascii(self) ? with_case_changed(self, 'A') : original_lower(self, nothing);
}

static PyObject *
str_upper(PyObject *self, PyObject *nothing)
{
    return is_long_ascii(self) ? with_case_changed(self, 'a') : original_upper(self, nothing);
}

static PyObject *
str_casefold(PyObject *self, PyObject *nothing)
{
    return is_long_ascii(self) ? with_case_changed(self, 'A') : original_casefold(self, nothing);
}

void
str_case_install(void)
{
    original_lower = str_exchange("lower", METH_NOARGS, str_lower);
    original_upper = str_exchange("upper", METH_NOARGS, str_upper);
    original_casefold = str_exchange("casefold", METH_NOARGS, str_casefold);
}
