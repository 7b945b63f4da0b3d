/* The configured credentials as signature checks look them up (routes/sigv4.h). */
#ifndef TG_ROUTES_CREDENTIAL_H
#define TG_ROUTES_CREDENTIAL_H

#include "routes/model.h"
#include "routes/sigv4.h"

/* A tg_sigv4_lookup_fn whose argument is the struct tg_model; the identity is the struct tg_credential. */
bool tg_credential_lookup(void *model, struct tg_slice access_key_id, struct tg_sigv4_credential *out);

#endif
