/* The string functions in CPython's hot paths, sixteen bytes at a time.
 *
 * `str.find`, `in`, `split` and comparisons of a mapped prompt run at the speed of
 * these. None reads outside the bytes it was given, except strlen, which reads
 * whole aligned blocks: those never cross the end of the memory. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <wasm_simd128.h>

#define BLOCK 16u
#define STRIDE (4 * BLOCK)

/* The compiler would make a call of the function itself from its loop. */
#define NOT_ITSELF __attribute__((no_builtin))

static uint32_t
matches(const uint8_t *block, v128_t wanted)
{
    return wasm_i8x16_bitmask(wasm_i8x16_eq(wasm_v128_load(block), wanted));
}

/* Whether any of the STRIDE bytes from `p` is the wanted one. */
static int
stride_has(const uint8_t *p, v128_t wanted)
{
    v128_t a = wasm_i8x16_eq(wasm_v128_load(p), wanted);
    v128_t b = wasm_i8x16_eq(wasm_v128_load(p + BLOCK), wanted);
    v128_t c = wasm_i8x16_eq(wasm_v128_load(p + 2 * BLOCK), wanted);
    v128_t d = wasm_i8x16_eq(wasm_v128_load(p + 3 * BLOCK), wanted);
    return wasm_v128_any_true(wasm_v128_or(wasm_v128_or(a, b), wasm_v128_or(c, d)));
}

NOT_ITSELF void *
memchr(const void *bytes, int value, size_t count)
{
    const uint8_t *p = bytes;
    const uint8_t *end = p + count;
    v128_t wanted = wasm_i8x16_splat((int8_t)value);
    while ((size_t)(end - p) >= STRIDE && !stride_has(p, wanted)) {
        p += STRIDE;
    }
    for (; (size_t)(end - p) >= BLOCK; p += BLOCK) {
        uint32_t found = matches(p, wanted);
        if (found != 0) {
            return (void *)(p + __builtin_ctz(found));
        }
    }
    for (; p < end; p++) {
        if (*p == (uint8_t)value) {
            return (void *)p;
        }
    }
    return NULL;
}

NOT_ITSELF void *
memrchr(const void *bytes, int value, size_t count)
{
    const uint8_t *start = bytes;
    const uint8_t *p = start + count;
    v128_t wanted = wasm_i8x16_splat((int8_t)value);
    while ((size_t)(p - start) >= STRIDE && !stride_has(p - STRIDE, wanted)) {
        p -= STRIDE;
    }
    for (; (size_t)(p - start) >= BLOCK; p -= BLOCK) {
        uint32_t found = matches(p - BLOCK, wanted);
        if (found != 0) {
            return (void *)(p - BLOCK + 31 - __builtin_clz(found));
        }
    }
    while (p > start) {
        if (*--p == (uint8_t)value) {
            return (void *)p;
        }
    }
    return NULL;
}

NOT_ITSELF int
memcmp(const void *left, const void *right, size_t count)
{
    const uint8_t *a = left, *b = right;
    for (; count >= BLOCK; a += BLOCK, b += BLOCK, count -= BLOCK) {
        uint32_t same = wasm_i8x16_bitmask(wasm_i8x16_eq(wasm_v128_load(a), wasm_v128_load(b)));
        if (same != 0xFFFF) {
            unsigned i = __builtin_ctz(~same);
            return a[i] - b[i];
        }
    }
    for (; count != 0; a++, b++, count--) {
        if (*a != *b) {
            return *a - *b;
        }
    }
    return 0;
}

NOT_ITSELF size_t
strlen(const char *text)
{
    const uint8_t *block = (const uint8_t *)((uintptr_t)text & ~(uintptr_t)(BLOCK - 1));
    unsigned before = (uintptr_t)text % BLOCK;
    const v128_t zero = wasm_i8x16_const_splat(0);
    uint32_t found = matches(block, zero) >> before << before;
    while (found == 0) {
        block += BLOCK;
        found = matches(block, zero);
    }
    return (size_t)(block - (const uint8_t *)text) + __builtin_ctz(found);
}
