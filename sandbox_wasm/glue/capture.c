#include "capture.h"

#include <stdbool.h>
#include <string.h>

#include "mailbox.h"

/* Zero pages until they are written to, so they cost a fork nothing. */
#define CAPTURE_BYTES (1u << 20)

static uint8_t buffers[2][CAPTURE_BYTES];
/* Once something did not fit, nothing more is kept: what is shown has no holes. */
static bool full[2];

/* The mailbox's fields of one stream. */
struct stream {
    uint8_t *bytes;
    uint32_t *len;
    uint32_t cap;
    uint64_t *chars;
    bool *full;
};

static struct stream
stream_of(int fd)
{
    int i = fd == 2;
    uint32_t cap = i ? mailbox.err_cap : mailbox.out_cap;
    return (struct stream){
        .bytes = buffers[i],
        .len = i ? &mailbox.err_len : &mailbox.out_len,
        .cap = cap < CAPTURE_BYTES ? cap : CAPTURE_BYTES,
        .chars = i ? &mailbox.err_chars : &mailbox.out_chars,
        .full = &full[i],
    };
}

void
capture_init(void)
{
    mailbox.out_ptr = (uint32_t)(uintptr_t)buffers[0];
    mailbox.err_ptr = (uint32_t)(uintptr_t)buffers[1];
    mailbox.out_cap = mailbox.err_cap = CAPTURE_BYTES;
}

void
capture_reset(void)
{
    mailbox.out_len = mailbox.err_len = 0;
    mailbox.out_chars = mailbox.err_chars = 0;
    full[0] = full[1] = false;
}

static uint32_t
character(int kind, const void *characters, size_t i)
{
    switch (kind) {
    case 1:
        return ((const uint8_t *)characters)[i];
    case 2:
        return ((const uint16_t *)characters)[i];
    default:
        return ((const uint32_t *)characters)[i];
    }
}

static size_t
encode(uint32_t c, uint8_t out[4])
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xC0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xE0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

void
capture_text(int fd, int kind, const void *characters, size_t count)
{
    struct stream stream = stream_of(fd);
    *stream.chars += count;
    for (size_t i = 0; i < count && !*stream.full; i++) {
        uint8_t encoded[4];
        size_t size = encode(character(kind, characters, i), encoded);
        if (*stream.len > stream.cap || stream.cap - *stream.len < size) {
            *stream.full = true;
            break;
        }
        memcpy(stream.bytes + *stream.len, encoded, size);
        *stream.len += size;
    }
}

static bool
starts_character(uint8_t byte)
{
    return (byte & 0xC0) != 0x80;
}

void
capture_bytes(int fd, const uint8_t *bytes, size_t count)
{
    struct stream stream = stream_of(fd);
    for (size_t i = 0; i < count; i++) {
        *stream.chars += starts_character(bytes[i]);
    }
    if (*stream.full || *stream.len > stream.cap) {
        return;
    }
    size_t room = stream.cap - *stream.len;
    size_t kept = count;
    if (kept > room) {
        *stream.full = true;
        for (kept = room; kept > 0 && !starts_character(bytes[kept]); kept--) {
        }
    }
    memcpy(stream.bytes + *stream.len, bytes, kept);
    *stream.len += kept;
}
