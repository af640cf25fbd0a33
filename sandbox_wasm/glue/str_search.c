/* `"key" in context` and `context.find(...)` sixteen places at a time.
 *
 * Where the needle begins, its first byte stands and its last byte so much further. Both
 * are looked for in whole blocks, and only where both are found are the bytes between
 * compared. CPython's own search, which skips by a table, comes to a third of this speed
 * here; but it has a bound, so texts that are full of near matches are left to it.
 *
 * Like `count`, this exchanges entries of `str` before the interpreter reads them. */

#include "str_search.h"

#include <string.h>
#include <wasm_simd128.h>

#include "str_methods.h"

#define BLOCK 16
#define STRIDE (4 * BLOCK)
/* Texts shorter than this are found as fast by CPython's own. */
#define LEAST_LENGTH 256
/* How many bytes may be compared in vain, beside one for each that was passed. */
#define LEAST_PATIENCE 4096

static PyCFunctionFast original_find, original_index;
static objobjproc original_contains;

struct search {
    const uint8_t *text, *needle;
    size_t needle_length;
    v128_t first, last;
    size_t in_vain;
};

/* The places of a block where the needle's first and last byte both match. */
static v128_t
candidates(const struct search *s, const uint8_t *p)
{
    v128_t first = wasm_i8x16_eq(wasm_v128_load(p), s->first);
    v128_t last = wasm_i8x16_eq(wasm_v128_load(p + s->needle_length - 1), s->last);
    return wasm_v128_and(first, last);
}

/* The first of `places` where the whole needle is, or NULL. */
static const uint8_t *
confirmed(struct search *s, const uint8_t *p, v128_t places)
{
    for (uint32_t left = wasm_i8x16_bitmask(places); left != 0; left &= left - 1) {
        const uint8_t *place = p + __builtin_ctz(left);
        if (memcmp(place + 1, s->needle + 1, s->needle_length - 2) == 0) {
            return place;
        }
        s->in_vain += s->needle_length;
    }
    return NULL;
}

Py_ssize_t
search_bytes(const uint8_t *text, size_t length, const uint8_t *needle, size_t needle_length)
{
    if (needle_length > length) {
        return SEARCH_ABSENT;
    }
    struct search s = {
        .text = text,
        .needle = needle,
        .needle_length = needle_length,
        .first = wasm_i8x16_splat((int8_t)needle[0]),
        .last = wasm_i8x16_splat((int8_t)needle[needle_length - 1]),
    };
    const uint8_t *p = text;
    /* The needle may begin anywhere before this. */
    const uint8_t *end = text + (length - needle_length + 1);
    while ((size_t)(end - p) >= STRIDE) {
        v128_t a = candidates(&s, p), b = candidates(&s, p + BLOCK);
        v128_t c = candidates(&s, p + 2 * BLOCK), d = candidates(&s, p + 3 * BLOCK);
        if (wasm_v128_any_true(wasm_v128_or(wasm_v128_or(a, b), wasm_v128_or(c, d)))) {
            const v128_t blocks[] = {a, b, c, d};
            for (int i = 0; i < 4; i++) {
                const uint8_t *found = confirmed(&s, p + i * BLOCK, blocks[i]);
                if (found != NULL) {
                    return found - text;
                }
            }
            if (s.in_vain > (size_t)(p - text) + LEAST_PATIENCE) {
                return SEARCH_GIVEN_UP;
            }
        }
        p += STRIDE;
    }
    for (; p < end; p++) {
        if (*p == *needle && memcmp(p, needle, needle_length) == 0) {
            return p - text;
        }
    }
    return SEARCH_ABSENT;
}

bool
is_searchable(PyObject *text, PyObject *needle)
{
    return PyUnicode_GET_LENGTH(text) >= LEAST_LENGTH && PyUnicode_Check(needle)
        && PyUnicode_KIND(text) == PyUnicode_1BYTE_KIND
        && PyUnicode_KIND(needle) == PyUnicode_1BYTE_KIND && PyUnicode_GET_LENGTH(needle) >= 2;
}

static Py_ssize_t
search(PyObject *text, PyObject *needle, Py_ssize_t start, Py_ssize_t end)
{
    Py_ssize_t found = search_bytes(PyUnicode_1BYTE_DATA(text) + start, (size_t)(end - start),
                                    PyUnicode_1BYTE_DATA(needle),
                                    (size_t)PyUnicode_GET_LENGTH(needle));
    return found < 0 ? found : found + start;
}

static int
str_contains(PyObject *text, PyObject *needle)
{
    if (is_searchable(text, needle)) {
        Py_ssize_t found = search(text, needle, 0, PyUnicode_GET_LENGTH(text));
        if (found != SEARCH_GIVEN_UP) {
            return found >= 0;
        }
    }
    return original_contains(text, needle);
}

/* A start or an end as slices have it, if it is a plain int. */
static bool
bound(PyObject *value, Py_ssize_t length, Py_ssize_t *place)
{
    if (!PyLong_CheckExact(value)) {
        return false;
    }
    Py_ssize_t number = PyLong_AsSsize_t(value);
    if (number == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return false;
    }
    number = number < 0 ? number + length : number;
    *place = number < 0 ? 0 : number > length ? length : number;
    return true;
}

/* Looks for `args[0]`, between the bounds in the others if there are any. False if it is
 * not for this search, or was given up: then CPython's own is to answer. */
static bool
answered(PyObject *self, PyObject *const *args, Py_ssize_t arguments, Py_ssize_t *found)
{
    if (arguments < 1 || arguments > 3 || !is_searchable(self, args[0])) {
        return false;
    }
    Py_ssize_t length = PyUnicode_GET_LENGTH(self), start = 0, end = length;
    if ((arguments > 1 && !bound(args[1], length, &start))
        || (arguments > 2 && !bound(args[2], length, &end))) {
        return false;
    }
    *found = start < end ? search(self, args[0], start, end) : SEARCH_ABSENT;
    return *found != SEARCH_GIVEN_UP;
}

static PyObject *
str_find(PyObject *self, PyObject *const *args, Py_ssize_t arguments)
{
    Py_ssize_t found;
    return answered(self, args, arguments, &found) ? PyLong_FromSsize_t(found)
                                                   : original_find(self, args, arguments);
}

static PyObject *
str_index(PyObject *self, PyObject *const *args, Py_ssize_t arguments)
{
    Py_ssize_t found;
    if (!answered(self, args, arguments, &found)) {
        return original_index(self, args, arguments);
    }
    if (found < 0) {
        PyErr_SetString(PyExc_ValueError, "substring not found");
        return NULL;
    }
    return PyLong_FromSsize_t(found);
}

void
str_search_install(void)
{
    PySequenceMethods *slots = PyUnicode_Type.tp_as_sequence;
    original_contains = slots->sq_contains;
    slots->sq_contains = str_contains;
    original_find = AS_FASTCALL(str_exchange("find", METH_FASTCALL, AS_METHOD(str_find)));
    original_index = AS_FASTCALL(str_exchange("index", METH_FASTCALL, AS_METHOD(str_index)));
}
