/* CPython counts a character in a loop that this target's compiler makes slow, and
 * `context.count("\n")` is what a model asks first. The methods of `str` are a plain
 * table that is read when the interpreter starts: its entry is exchanged before, and
 * whatever is not one character in the whole of a text goes on to CPython's own. */

#include "str_count.h"

#include <Python.h>

#include <stdint.h>
#include <string.h>
#include <wasm_simd128.h>

#define BLOCK 16

static PyCFunctionFast original;

/* A lane of the sums is a byte: it holds as many blocks. */
static size_t
count_bytes(const uint8_t *p, size_t length, uint8_t wanted)
{
    size_t count = 0;
    v128_t splat = wasm_u8x16_splat(wanted);
    while (length >= BLOCK) {
        size_t blocks = length / BLOCK < UINT8_MAX ? length / BLOCK : UINT8_MAX;
        v128_t sums = wasm_i8x16_const_splat(0);
        for (size_t i = 0; i < blocks; i++, p += BLOCK) {
            sums = wasm_i8x16_sub(sums, wasm_i8x16_eq(wasm_v128_load(p), splat));
        }
        length -= blocks * BLOCK;
        v128_t wider = wasm_u32x4_extadd_pairwise_u16x8(wasm_u16x8_extadd_pairwise_u8x16(sums));
        count += wasm_u32x4_extract_lane(wider, 0) + wasm_u32x4_extract_lane(wider, 1)
            + wasm_u32x4_extract_lane(wider, 2) + wasm_u32x4_extract_lane(wider, 3);
    }
    for (; length != 0; length--) {
        count += *p++ == wanted;
    }
    return count;
}

static size_t
count_pairs(const uint16_t *p, size_t length, uint16_t wanted)
{
    const size_t lanes = BLOCK / sizeof *p;
    size_t count = 0;
    v128_t splat = wasm_u16x8_splat(wanted);
    while (length >= lanes) {
        size_t blocks = length / lanes < UINT16_MAX ? length / lanes : UINT16_MAX;
        v128_t sums = wasm_i16x8_const_splat(0);
        for (size_t i = 0; i < blocks; i++, p += lanes) {
            sums = wasm_i16x8_sub(sums, wasm_i16x8_eq(wasm_v128_load(p), splat));
        }
        length -= blocks * lanes;
        v128_t wider = wasm_u32x4_extadd_pairwise_u16x8(sums);
        count += wasm_u32x4_extract_lane(wider, 0) + wasm_u32x4_extract_lane(wider, 1)
            + wasm_u32x4_extract_lane(wider, 2) + wasm_u32x4_extract_lane(wider, 3);
    }
    for (; length != 0; length--) {
        count += *p++ == wanted;
    }
    return count;
}

static PyObject *
str_count(PyObject *self, PyObject *const *args, Py_ssize_t arguments)
{
    int is_one_character =
        arguments == 1 && PyUnicode_Check(args[0]) && PyUnicode_GET_LENGTH(args[0]) == 1;
    if (!is_one_character || PyUnicode_KIND(self) == PyUnicode_4BYTE_KIND) {
        return original(self, args, arguments);
    }
    Py_UCS4 wanted = PyUnicode_READ_CHAR(args[0], 0);
    if (wanted > PyUnicode_MAX_CHAR_VALUE(self)) {
        return PyLong_FromLong(0);
    }
    size_t length = (size_t)PyUnicode_GET_LENGTH(self);
    const void *data = PyUnicode_DATA(self);
    return PyLong_FromSize_t(PyUnicode_KIND(self) == PyUnicode_1BYTE_KIND
                                 ? count_bytes(data, length, (uint8_t)wanted)
                                 : count_pairs(data, length, (uint16_t)wanted));
}

void
str_count_install(void)
{
    for (PyMethodDef *method = PyUnicode_Type.tp_methods; method->ml_name != NULL; method++) {
        if (strcmp(method->ml_name, "count") == 0 && method->ml_flags == METH_FASTCALL) {
            original = (PyCFunctionFast)(void (*)(void))method->ml_meth;
            method->ml_meth = (PyCFunction)(void (*)(void))str_count;
        }
    }
}
