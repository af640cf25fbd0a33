/* malloc for a memory that only grows, and that a cell may fill and empty again.
 *
 * Free neighbours are merged at once and free chunks are binned by size, so that
 * after a memory bomb everything is one large chunk again. The memory's growth is
 * asked for directly: what the host adds in between (a mapped prompt) just makes a
 * gap, and the next piece of heap lies behind it.
 *
 * A chunk is a multiple of 16 bytes, with its payload on a multiple of 16:
 *
 *     before   size of the chunk before, valid only while that one is free
 *     head     own size, and the two flags below
 *     payload  up to and including the next chunk's `before`
 *
 * A piece of heap ends with a `before` and a `head` of size 0, marked as used. */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 65536u
#define ADDRESS_SPACE_PAGES 65536u
#define UNIT 16u
#define HEADER 8u
/* Bytes of a chunk that are not payload: `head` alone, as `before` is the next one's. */
#define OVERHEAD 4u
/* CPython's own limit, and a size whose arithmetic below cannot overflow. */
#define LARGEST (0x7FFFFFFFu - 2 * PAGE)
/* The heap grows by this much at least. */
#define GROWTH (1u << 20)

/* Chunks of one bin that are looked at before another way is tried. */
#define TRIES 32u

#define IN_USE 1u
#define BEFORE_IN_USE 2u
#define FLAGS (IN_USE | BEFORE_IN_USE)

struct chunk {
    uint32_t before;
    uint32_t head;
    /* While free: neighbours in the bin. */
    struct chunk *next;
    struct chunk *previous;
};

/* Bins of one size each up to SMALL, then eight for each power of two. */
#define SMALL 1024u
#define SMALL_BINS (SMALL / UNIT)
#define BINS (SMALL_BINS + 8 * (32 - 10))

#define WORDS ((BINS + 31) / 32)

static struct chunk *bins[BINS];
/* One bit for each bin that is not empty; one word more, read at the end of a search. */
static uint32_t filled[WORDS + 1];
/* Where the newest piece of heap ends: just behind its end mark. NULL: no heap yet. */
static uint8_t *heap_end;

/* ------------------------------------------------------------------- chunks */

static uint32_t
size_of(const struct chunk *chunk)
{
    return chunk->head & ~FLAGS;
}

static struct chunk *
at(const void *place, intptr_t offset)
{
    return (struct chunk *)((uintptr_t)place + (uintptr_t)offset);
}

static struct chunk *
after(const struct chunk *chunk)
{
    return at(chunk, size_of(chunk));
}

static void *
payload_of(struct chunk *chunk)
{
    return at(chunk, HEADER);
}

/* The chunk of a pointer that malloc gave out; anything else ends the guest, before
 * a broken heap does worse. */
static struct chunk *
chunk_of(const void *payload)
{
    struct chunk *chunk = at(payload, -(intptr_t)HEADER);
    if ((uintptr_t)payload % UNIT != 0 || !(chunk->head & IN_USE)) {
        __builtin_trap();
    }
    return chunk;
}

/* The size of a chunk with room for `bytes` of payload. */
static uint32_t
size_for(size_t bytes)
{
    return ((uint32_t)bytes + OVERHEAD + UNIT - 1) & ~(UNIT - 1);
}

/* --------------------------------------------------------------------- bins */

static unsigned
bin_of(uint32_t size)
{
    if (size < SMALL) {
        return size / UNIT;
    }
    unsigned log = 31 - __builtin_clz(size);
    return SMALL_BINS + (log - 10) * 8 + ((size >> (log - 3)) & 7);
}

/* Makes `chunk` a free chunk of `size` bytes. Its neighbours must be in use. */
static void
put(struct chunk *chunk, uint32_t size)
{
    chunk->head = size | BEFORE_IN_USE;
    after(chunk)->before = size;
    after(chunk)->head &= ~BEFORE_IN_USE;
    unsigned bin = bin_of(size);
    struct chunk *previous = NULL;
    struct chunk *next = bins[bin];
    if (size >= SMALL) {
        /* By address, as far as a few steps take it. */
        for (unsigned tries = TRIES; next != NULL && next < chunk && tries != 0; tries--) {
            previous = next;
            next = next->next;
        }
    }
    chunk->previous = previous;
    chunk->next = next;
    if (next != NULL) {
        next->previous = chunk;
    }
    if (previous != NULL) {
        previous->next = chunk;
    } else {
        bins[bin] = chunk;
        filled[bin / 32] |= 1u << bin % 32;
    }
}

static void
take(struct chunk *chunk)
{
    if (chunk->next != NULL) {
        chunk->next->previous = chunk->previous;
    }
    if (chunk->previous != NULL) {
        chunk->previous->next = chunk->next;
        return;
    }
    unsigned bin = bin_of(size_of(chunk));
    bins[bin] = chunk->next;
    if (chunk->next == NULL) {
        filled[bin / 32] &= ~(1u << bin % 32);
    }
}

/* The first chunk of a bin with at least `size` bytes, among the `tries` first. */
static struct chunk *
first_fit(struct chunk *chunk, uint32_t size, unsigned tries)
{
    while (chunk != NULL && size_of(chunk) < size) {
        chunk = tries-- != 0 ? chunk->next : NULL;
    }
    return chunk;
}

/* The first chunk of the first filled bin from `bin` on, or NULL. */
static struct chunk *
smallest_from(unsigned bin)
{
    uint32_t bits = filled[bin / 32] >> bin % 32 << bin % 32;
    for (unsigned word = bin / 32; word < WORDS; bits = filled[++word]) {
        if (bits != 0) {
            return bins[word * 32 + __builtin_ctz(bits)];
        }
    }
    return NULL;
}

/* The chunk with the lowest address among `best` and the first ones of the filled bins
 * from `bin` on, or NULL. */
static struct chunk *
lowest_from(unsigned bin, struct chunk *best)
{
    uint32_t bits = filled[bin / 32] >> bin % 32 << bin % 32;
    for (unsigned word = bin / 32; word < WORDS; bits = filled[++word]) {
        for (; bits != 0; bits &= bits - 1) {
            struct chunk *chunk = bins[word * 32 + __builtin_ctz(bits)];
            best = best == NULL || chunk < best ? chunk : best;
        }
    }
    return best;
}

/* A free chunk of at least `size` bytes, or NULL.
 *
 * Large ones are taken from as low as can be, so that what outlives a bomb lies
 * together and the rest of the memory stays in one piece. All chunks in a higher bin
 * are large enough; the whole of the own bin is looked through only at the end. */
static struct chunk *
find(uint32_t size)
{
    unsigned bin = bin_of(size);
    if (size < SMALL) {
        return smallest_from(bin);
    }
    struct chunk *chunk = lowest_from(bin + 1, first_fit(bins[bin], size, TRIES));
    return chunk != NULL ? chunk : first_fit(bins[bin], size, UINT32_MAX);
}

/* ------------------------------------------------------- joining, splitting */

/* Frees a chunk in use, together with its free neighbours. */
static void
release(struct chunk *chunk)
{
    uint32_t size = size_of(chunk);
    struct chunk *next = after(chunk);
    if (!(next->head & IN_USE)) {
        take(next);
        size += size_of(next);
    }
    if (!(chunk->head & BEFORE_IN_USE)) {
        size += chunk->before;
        chunk = at(chunk, -(intptr_t)chunk->before);
        take(chunk);
    }
    put(chunk, size);
}

/* Cuts a chunk in use to `size` bytes and frees the rest. */
static void
cut(struct chunk *chunk, uint32_t size)
{
    uint32_t rest = size_of(chunk) - size;
    if (rest >= UNIT) {
        chunk->head = size | (chunk->head & FLAGS);
        struct chunk *tail = after(chunk);
        tail->head = rest | FLAGS;
        release(tail);
    }
}

/* Marks a chunk that was taken out of its bin as in use. */
static void
occupy(struct chunk *chunk)
{
    chunk->head |= IN_USE;
    after(chunk)->head |= BEFORE_IN_USE;
}

/* Lengthens a chunk in use by a free chunk after it, if that makes `size` bytes. */
static bool
lengthen(struct chunk *chunk, uint32_t size)
{
    struct chunk *next = after(chunk);
    if (next->head & IN_USE || size_of(chunk) + size_of(next) < size) {
        return false;
    }
    take(next);
    chunk->head += size_of(next);
    after(chunk)->head |= BEFORE_IN_USE;
    return true;
}

/* ------------------------------------------------------------------- growth */

static uint64_t
memory_bytes(void)
{
    return (uint64_t)__builtin_wasm_memory_size(0) * PAGE;
}

/* The end of the newest piece of heap, if the memory can be grown right behind it. */
static struct chunk *
open_end(void)
{
    bool is_open = heap_end != NULL && memory_bytes() == (uintptr_t)heap_end;
    return is_open ? at(heap_end, -(intptr_t)HEADER) : NULL;
}

/* Makes a free chunk of at least `size` bytes at the memory's end. */
static bool
grow(uint32_t size)
{
    struct chunk *end = open_end();
    uint32_t have = end != NULL && !(end->head & BEFORE_IN_USE) ? end->before : 0;
    uint32_t wanted = have < size ? size - have : UNIT;
    wanted += end == NULL ? 2 * HEADER : 0;
    uint32_t pages = (wanted + PAGE - 1) / PAGE;
    uint32_t ample = pages < GROWTH / PAGE ? GROWTH / PAGE : pages;
    size_t first = __builtin_wasm_memory_grow(0, ample);
    if (first == SIZE_MAX && ample > pages) {
        ample = pages;
        first = __builtin_wasm_memory_grow(0, pages);
    }
    if (first == SIZE_MAX) {
        return false;
    }
    uint8_t *start = (uint8_t *)(first * PAGE);
    if (first + ample == ADDRESS_SPACE_PAGES) {
        ample--; /* the end of the very last page has no address */
    }
    if (ample == 0) {
        return false;
    }
    struct chunk *chunk = end;
    if (chunk == NULL) {
        chunk = at(start, HEADER);
        chunk->head = FLAGS;
    }
    heap_end = start + ample * PAGE;
    struct chunk *mark = at(heap_end, -(intptr_t)HEADER);
    mark->head = FLAGS;
    chunk->head = (uint32_t)((uintptr_t)mark - (uintptr_t)chunk) | (chunk->head & FLAGS);
    release(chunk);
    return true;
}

static void *
refuse(void)
{
    errno = ENOMEM;
    return NULL;
}

/* ------------------------------------------------------------- the interface */

void *
malloc(size_t bytes)
{
    if (bytes > LARGEST) {
        return refuse();
    }
    uint32_t size = size_for(bytes);
    struct chunk *chunk = find(size);
    if (chunk == NULL && grow(size)) {
        chunk = find(size);
    }
    if (chunk == NULL) {
        return refuse();
    }
    take(chunk);
    occupy(chunk);
    cut(chunk, size);
    return payload_of(chunk);
}

void
free(void *payload)
{
    if (payload != NULL) {
        release(chunk_of(payload));
    }
}

/* Or the compiler makes the two calls in it one, of calloc. */
__attribute__((no_builtin("calloc"))) void *
calloc(size_t count, size_t bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total)) {
        return refuse();
    }
    void *payload = malloc(total);
    return payload != NULL ? memset(payload, 0, total) : NULL;
}

/* Lengthens the last chunk of the heap by growing the memory: a text that a loop
 * appends to is not copied for each piece. */
static bool
lengthen_at_end(struct chunk *chunk, uint32_t size)
{
    struct chunk *end = open_end();
    struct chunk *next = after(chunk);
    bool is_last = next == end || (!(next->head & IN_USE) && after(next) == end);
    return is_last && end != NULL && grow(size - size_of(chunk)) && lengthen(chunk, size);
}

void *
realloc(void *payload, size_t bytes)
{
    if (payload == NULL) {
        return malloc(bytes);
    }
    struct chunk *chunk = chunk_of(payload);
    if (bytes > LARGEST) {
        return refuse();
    }
    uint32_t size = size_for(bytes);
    if (size_of(chunk) >= size || lengthen(chunk, size) || lengthen_at_end(chunk, size)) {
        cut(chunk, size);
        return payload;
    }
    void *moved = malloc(bytes);
    if (moved != NULL) {
        memcpy(moved, payload, size_of(chunk) - OVERHEAD);
        release(chunk);
    }
    return moved;
}

static void *
allocate_aligned(size_t alignment, size_t bytes)
{
    if (alignment <= UNIT) {
        return malloc(bytes);
    }
    if (alignment > LARGEST / 2 || bytes > LARGEST - alignment) {
        return refuse();
    }
    void *payload = malloc(bytes + alignment);
    if (payload == NULL) {
        return NULL;
    }
    struct chunk *chunk = chunk_of(payload);
    uintptr_t aligned = ((uintptr_t)payload + alignment - 1) & ~(uintptr_t)(alignment - 1);
    uint32_t front = (uint32_t)(aligned - (uintptr_t)payload); /* a multiple of UNIT */
    if (front != 0) {
        struct chunk *moved = at(chunk, front);
        moved->head = (size_of(chunk) - front) | FLAGS;
        chunk->head = front | (chunk->head & FLAGS);
        release(chunk);
        chunk = moved;
    }
    cut(chunk, size_for(bytes));
    return payload_of(chunk);
}

void *
aligned_alloc(size_t alignment, size_t bytes)
{
    return allocate_aligned(alignment, bytes);
}

void *
memalign(size_t alignment, size_t bytes)
{
    return allocate_aligned(alignment, bytes);
}

int
posix_memalign(void **place, size_t alignment, size_t bytes)
{
    if (alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0) {
        return EINVAL;
    }
    void *payload = allocate_aligned(alignment, bytes);
    if (payload == NULL) {
        return ENOMEM;
    }
    *place = payload;
    return 0;
}

size_t
malloc_usable_size(void *payload)
{
    return payload != NULL ? size_of(chunk_of(payload)) - OVERHEAD : 0;
}
