/* What is done to every byte of a payload, 64 at a time: finding the end of a run, masking. Pure functions
 * over borrowed bytes. For short texts a loop of the caller's own costs less than the call. */
#ifndef TG_BASE_BYTES_H
#define TG_BASE_BYTES_H

#include "server/base/slice.h"

/* Length of the leading run of bytes below 0x80. */
size_t tg_bytes_ascii(struct tg_slice bytes);
/* How many bytes may be passed, from the first on, without meeting `quote` (one of 0x20 to 0x3f), `\` or one
 * below 0x20: a multiple of 64, less than 64 short of the first of these. Sets the top bit of *high when one
 * of them is 0x80 or above. */
size_t tg_bytes_plain(struct tg_slice bytes, char quote, uint64_t *high);
/* XORs bytes[i] with key[i % 8]. True: every byte is below 0x80 then. */
bool tg_bytes_mask(char *bytes, size_t len, const unsigned char key[8]);

#endif
