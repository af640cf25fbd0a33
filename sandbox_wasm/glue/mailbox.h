/* What the host reads of the guest without a call, even after a trap.
 * The layout is the contract's (CONTRACT.md, "The mailbox"). */

#ifndef RLM_MAILBOX_H
#define RLM_MAILBOX_H

#include <stddef.h>
#include <stdint.h>

#define MAILBOX_VERSION 1

struct mailbox {
    uint32_t version;
    uint32_t in_ptr;
    uint32_t in_cap;
    uint32_t result_ptr;
    uint32_t result_len;
    uint32_t out_ptr;
    uint32_t out_len;
    uint32_t out_cap;
    uint64_t out_chars;
    uint32_t err_ptr;
    uint32_t err_len;
    uint32_t err_cap;
    uint32_t reserved;
    uint64_t err_chars;
    uint32_t sigint_tripped;
    uint32_t is_tripped;
    uint32_t eval_breaker;
    uint32_t signals_pending_bit;
    uint32_t unicode_type;
};

_Static_assert(offsetof(struct mailbox, out_chars) == 32, "the contract's layout");
_Static_assert(offsetof(struct mailbox, err_chars) == 56, "the contract's layout");
_Static_assert(offsetof(struct mailbox, unicode_type) == 80, "the contract's layout");

extern struct mailbox mailbox;

#endif
