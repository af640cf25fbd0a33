/* CPython counts a character in a loop that this target's compiler makes slow, and
 * `context.count("\n")` is what a model asks first; words are searched for as `find` does.
 * Whatever is not counted in the whole of a text goes on to CPython's own. */

#include "str_count.h"

#include <Python.h>

#include <stdint.h>
#include <wasm_simd128.h>

#include "str_methods.h"
#include "str_search.h"

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

/* How often `needle` stands in `text`, or SEARCH_GIVEN_UP. */
static Py_ssize_t
count_words(PyObject *text, PyObject *needle)
{
    const uint8_t *data = PyUnicode_1BYTE_DATA(text);
    size_t left = (size_t)PyUnicode_GET_LENGTH(text);
    size_t step = (size_t)PyUnicode_GET_LENGTH(needle);
    for (Py_ssize_t count = 0;; count++) {
        Py_ssize_t found = search_bytes(data, left, PyUnicode_1BYTE_DATA(needle), step);
        if (found < 0) {
            return found == SEARCH_ABSENT ? count : found;
        }
        data += (size_t)found + step;
        left -= (size_t)found + step;
    }
}

static Py_ssize_t
count_character(PyObject *text, Py_UCS4 wanted)
{
    if (wanted > PyUnicode_MAX_CHAR_VALUE(text)) {
        return 0;
    }
    size_t length = (size_t)PyUnicode_GET_LENGTH(text);
    return (Py_ssize_t)(PyUnicode_KIND(text) == PyUnicode_1BYTE_KIND
                            ? count_bytes(PyUnicode_1BYTE_DATA(text), length, (uint8_t)wanted)
                            : count_pairs(PyUnicode_2BYTE_DATA(text), length, (uint16_t)wanted));
}

static PyObject *
str_count(PyObject *self, PyObject *const *args, Py_ssize_t arguments)
{
    Py_ssize_t count = SEARCH_GIVEN_UP;
    if (arguments == 1 && is_searchable(self, args[0])) {
        count = count_words(self, args[0]);
    } else if (arguments == 1 && PyUnicode_Check(args[0]) && PyUnicode_GET_LENGTH(args[0]) == 1
               && PyUnicode_KIND(self) != PyUnicode_4BYTE_KIND) {
        count = count_character(self, PyUnicode_READ_CHAR(args[0], 0));
    }
    return count >= 0 ? PyLong_FromSsize_t(count) : original(self, args, arguments);
}

void
str_count_install(void)
{
    original = AS_FASTCALL(str_exchange("count", METH_FASTCALL, AS_METHOD(str_count)));
}
