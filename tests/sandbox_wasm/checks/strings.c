/* The SIMD string functions against plain loops, at every alignment and length of
 * interest, with the last byte of the memory as the last byte of the text. */

#include "../../../sandbox_wasm/glue/libc/strings.c"

#define EXPORTED(name) __attribute__((export_name(#name)))
#define CHECK(claim)         \
    do {                     \
        if (!(claim)) {      \
            return __LINE__; \
        }                    \
    } while (0)

#define LENGTHS 150u

static uint8_t *
memory_end(void)
{
    return (uint8_t *)(__builtin_wasm_memory_size(0) * 65536);
}

static void
fill(uint8_t *bytes, int value, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ((volatile uint8_t *)bytes)[i] = (uint8_t)value;
    }
}

EXPORTED(check_search)
int
check_search(void)
{
    for (unsigned shift = 0; shift < 17; shift++) {
        for (unsigned length = 0; length < LENGTHS; length++) {
            uint8_t *text = memory_end() - shift - length;
            fill(text - 20, 'x', 20); /* found only by a search that looks outside */
            fill(text, 'a', length);
            fill(text + length, 'x', shift);
            CHECK(memchr(text, 'x', length) == NULL);
            CHECK(memrchr(text, 'x', length) == NULL);
            for (unsigned i = 0; i < length; i++) {
                text[i] = 'x';
                CHECK(memchr(text, 'x', length) == text + i);
                CHECK(memrchr(text, 0x100 + 'x', length) == text + i); /* its low byte counts */
                text[length - 1 - i / 2] = 'x';
                uint8_t *first = text + (i < length - 1 - i / 2 ? i : length - 1 - i / 2);
                uint8_t *last = text + (i > length - 1 - i / 2 ? i : length - 1 - i / 2);
                CHECK(memchr(text, 'x', length) == first);
                CHECK(memrchr(text, 'x', length) == last);
                fill(text, 'a', length);
            }
        }
    }
    return 0;
}

EXPORTED(check_compare)
int
check_compare(void)
{
    static uint8_t other[LENGTHS + 32];
    for (unsigned shift = 0; shift < 17; shift++) {
        for (unsigned length = 0; length < LENGTHS; length++) {
            uint8_t *left = memory_end() - length;
            uint8_t *right = other + shift;
            fill(left, 200, length);
            fill(right, 200, length);
            right[length] = 7; /* outside: must not count */
            CHECK(memcmp(left, right, length) == 0);
            for (unsigned i = 0; i < length; i++) {
                right[i] = 100; /* less, as unsigned bytes are compared */
                right[length - 1] = i + 1 < length ? 255 : 100;
                CHECK(memcmp(left, right, length) > 0);
                CHECK(memcmp(right, left, length) < 0);
                right[i] = right[length - 1] = 200;
            }
        }
    }
    return 0;
}

EXPORTED(check_length)
int
check_length(void)
{
    for (unsigned after = 0; after < 17; after++) {
        for (unsigned length = 0; length < LENGTHS; length++) {
            char *text = (char *)memory_end() - 1 - length - after;
            fill((uint8_t *)text - 20, 0, 20);
            fill((uint8_t *)text, 0x80, length);
            fill((uint8_t *)text + length, 0, 1 + after);
            CHECK(strlen(text) == length);
        }
    }
    return 0;
}
