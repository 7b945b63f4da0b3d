/* Connection ids: 13 bytes as 20 characters of URL-safe base64 ("...=="). They name the owner, so that a push
 * needs no look-up, and carry a keyed check value, so that an altered or invented id is told from an expired
 * one without storage (spec 3.6, 5.3: 400 and 410). Bits: node incarnation 24, worker 8, slot 24, generation
 * 24, check 24; the first ten bytes are masked by the check value, so that ids look random. Opaque to users.
 */
#ifndef TG_CONNMGR_CONNID_H
#define TG_CONNMGR_CONNID_H

#include "server/base/slice.h"

enum { TG_CONNID_LEN = 20, TG_CONNID_KEY_LEN = 16 };

struct tg_connid {
    uint32_t node;       /* incarnation of the owner, 24 bits */
    uint32_t worker;     /* 8 bits */
    uint32_t slot;       /* 24 bits */
    uint32_t generation; /* 24 bits, never 0 */
};

/* `out` gets TG_CONNID_LEN characters and a NUL. */
void tg_connid_encode(const unsigned char key[TG_CONNID_KEY_LEN], const struct tg_connid *id,
                      char out[TG_CONNID_LEN + 1]);
/* TG_ESYNTAX for anything that tg_connid_encode cannot have made with this key. */
enum tg_err tg_connid_decode(const unsigned char key[TG_CONNID_KEY_LEN], struct tg_slice text,
                             struct tg_connid *out) TG_MUST_CHECK;

/* Decodes, and keeps what the latest ids said: a call looks at its own several times, and most clients are
 * written to again. Plain memory, nothing to free. */
enum { TG_CONNID_RECENT = 128 };
struct tg_connid_reader {
    unsigned char key[TG_CONNID_KEY_LEN];
    struct {
        char text[TG_CONNID_LEN];
        struct tg_connid id; /* generation 0: none */
    } recent[TG_CONNID_RECENT];
};
void tg_connid_reader_init(struct tg_connid_reader *reader, const unsigned char key[TG_CONNID_KEY_LEN]);
/* As tg_connid_decode. */
enum tg_err tg_connid_read(struct tg_connid_reader *reader, struct tg_slice text,
                           struct tg_connid *out) TG_MUST_CHECK;

#endif
