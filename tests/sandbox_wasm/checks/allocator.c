/* A random user of the allocator, and a walk through its heap. Each export gives 0, or
 * the line of the check that failed. */

#include <stdint.h>

/* Pieces of heap, as the allocator asked for them: start and end, neighbours joined. */
static struct piece {
    uintptr_t start, end;
} pieces[4096];
static int piece_count;

static __SIZE_TYPE__ recorded_grow(__SIZE_TYPE__ pages);
static __SIZE_TYPE__
plain_grow(__SIZE_TYPE__ pages)
{
    return __builtin_wasm_memory_grow(0, pages);
}

#define __builtin_wasm_memory_grow(memory, pages) recorded_grow(pages)
#include "../../../sandbox_wasm/glue/libc/allocator.c"

#define EXPORTED(name) __attribute__((export_name(#name)))
#define CHECK(claim)         \
    do {                     \
        if (!(claim)) {      \
            return __LINE__; \
        }                    \
    } while (0)

static size_t
recorded_grow(size_t pages)
{
    size_t first = plain_grow(pages);
    if (first != SIZE_MAX) {
        struct piece *last = &pieces[piece_count - 1];
        uintptr_t start = first * PAGE;
        if (first + pages == ADDRESS_SPACE_PAGES) {
            pages--; /* the last page stays unused */
        }
        if (piece_count > 0 && last->end == start) {
            last->end += pages * PAGE;
        } else {
            pieces[piece_count++] = (struct piece){start, start + pages * PAGE};
        }
    }
    return first;
}

static uint32_t state;

static uint32_t
random_below(uint32_t limit)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % limit;
}

/* --------------------------------------------------------------------- the walk */

static int
is_binned(struct chunk *wanted)
{
    struct chunk *chunk = bins[bin_of(size_of(wanted))];
    while (chunk != NULL && chunk != wanted) {
        chunk = chunk->next;
    }
    return chunk == wanted;
}

static int free_chunks;

EXPORTED(walk)
int
walk(void)
{
    free_chunks = 0;
    for (int i = 0; i < piece_count; i++) {
        struct chunk *chunk = (struct chunk *)(pieces[i].start + HEADER);
        uint32_t before_in_use = BEFORE_IN_USE;
        uint32_t size_before = 0;
        while (size_of(chunk) != 0) {
            CHECK(((uintptr_t)chunk + HEADER) % UNIT == 0);
            CHECK((chunk->head & BEFORE_IN_USE) == before_in_use);
            CHECK(before_in_use || chunk->before == size_before);
            if (!(chunk->head & IN_USE)) {
                CHECK(before_in_use); /* two free neighbours would have been merged */
                CHECK(is_binned(chunk));
                free_chunks++;
            }
            size_before = size_of(chunk);
            before_in_use = chunk->head & IN_USE ? BEFORE_IN_USE : 0;
            chunk = after(chunk);
            CHECK((uintptr_t)chunk < pieces[i].end);
        }
        CHECK((uintptr_t)chunk == pieces[i].end - HEADER);
        CHECK(chunk->head & IN_USE);
        CHECK((chunk->head & BEFORE_IN_USE) == before_in_use);
    }
    int binned = 0;
    for (unsigned bin = 0; bin < BINS; bin++) {
        CHECK((bins[bin] != NULL) == (filled[bin / 32] >> bin % 32 & 1));
        for (struct chunk *chunk = bins[bin]; chunk != NULL; chunk = chunk->next) {
            CHECK(chunk->next == NULL || chunk->next->previous == chunk);
            binned++;
        }
    }
    CHECK(binned == free_chunks);
    return 0;
}

EXPORTED(pieces_of_heap)
int
pieces_of_heap(void)
{
    return piece_count;
}

EXPORTED(free_chunks_seen)
int
free_chunks_seen(void)
{
    return free_chunks;
}

/* --------------------------------------------------------------- the random user */

#define SLOTS 400
static struct slot {
    uint8_t *payload;
    size_t size;
} slots[SLOTS];

static uint8_t
mark_of(int slot, size_t i)
{
    return (uint8_t)(slot * 31 + i * 7 + (i >> 8));
}

static void
paint(int slot)
{
    for (size_t i = 0; i < slots[slot].size; i++) {
        slots[slot].payload[i] = mark_of(slot, i);
    }
}

static int
is_painted(int slot, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (slots[slot].payload[i] != mark_of(slot, i)) {
            return 0;
        }
    }
    return 1;
}

/* Small sizes mostly, and now and then one of up to `1 << bits` bytes. */
static size_t
random_size(unsigned bits)
{
    return random_below(1u << random_below(bits + 1));
}

static int
make(int slot, unsigned bits)
{
    size_t size = random_size(bits);
    size_t alignment = 16;
    uint8_t *payload;
    switch (random_below(4)) {
    case 0:
        payload = calloc(1 + random_below(3), size);
        for (size_t i = 0; payload != NULL && i < size; i++) {
            CHECK(payload[i] == 0);
        }
        break;
    case 1:
        alignment = 1u << random_below(14);
        payload = aligned_alloc(alignment, size);
        break;
    default:
        payload = malloc(size);
    }
    slots[slot] = (struct slot){payload, payload ? size : 0};
    CHECK((uintptr_t)payload % alignment == 0);
    CHECK(payload == NULL || malloc_usable_size(payload) >= size);
    paint(slot);
    return 0;
}

static int
change(int slot, unsigned bits)
{
    size_t size = random_size(bits);
    size_t kept = size < slots[slot].size ? size : slots[slot].size;
    uint8_t *payload = realloc(slots[slot].payload, size);
    if (payload == NULL) { /* and the old one is as it was */
        CHECK(is_painted(slot, slots[slot].size));
        return 0;
    }
    slots[slot] = (struct slot){payload, size};
    CHECK(is_painted(slot, kept));
    paint(slot);
    return 0;
}

EXPORTED(use)
int
use(uint32_t seed, int steps, int bits, int gaps)
{
    state = seed;
    for (int step = 0; step < steps; step++) {
        int slot = (int)random_below(SLOTS);
        int failed = 0;
        if (gaps && random_below(2000) == 0) {
            plain_grow(1); /* the host takes a page, as for a mapped prompt */
        } else if (slots[slot].payload == NULL) {
            failed = make(slot, bits);
        } else if (random_below(3) == 0) {
            failed = change(slot, bits);
        } else {
            CHECK(is_painted(slot, slots[slot].size));
            free(slots[slot].payload);
            slots[slot] = (struct slot){NULL, 0};
        }
        if (failed) {
            return failed;
        }
    }
    return 0;
}

EXPORTED(free_all)
int
free_all(void)
{
    for (int slot = 0; slot < SLOTS; slot++) {
        CHECK(is_painted(slot, slots[slot].size));
        free(slots[slot].payload);
        slots[slot] = (struct slot){NULL, 0};
    }
    return 0;
}

/* Allocates until there is no more, then frees every second one and then the rest;
 * how many there were. */
EXPORTED(exhaust)
int
exhaust(uint32_t bytes)
{
    void **last = NULL, **payload;
    int count = 0;
    while ((payload = malloc(bytes)) != NULL) {
        payload[0] = last;
        last = payload;
        count++;
    }
    void **kept = NULL;
    for (int i = 0; last != NULL; i++) {
        void **next = last[0];
        if (i % 2) {
            last[0] = kept;
            kept = last;
        } else {
            free(last);
        }
        last = next;
    }
    while (kept != NULL) {
        void **next = kept[0];
        free(kept);
        kept = next;
    }
    return count;
}

/* For single calls from outside. */
EXPORTED(allocate) void *
allocate(uint32_t bytes)
{
    return malloc(bytes);
}

EXPORTED(reallocate) void *
reallocate(void *payload, uint32_t bytes)
{
    return realloc(payload, bytes);
}

EXPORTED(release_payload)
void
release_payload(void *payload)
{
    free(payload);
}
