#include "routes/credential.h"

bool tg_credential_lookup(void *model, struct tg_slice access_key_id, struct tg_sigv4_credential *out)
{
    const struct tg_model *from = model;
    const struct tg_credential *credential = tg_map_get(&from->credential_map, access_key_id);
    if (credential != NULL) {
        *out = (struct tg_sigv4_credential){
            .access_key_id = credential->access_key_id,
            .secret_access_key = credential->secret_access_key,
            .session_token = credential->session_token,
            .identity = credential,
        };
    }
    return credential != NULL;
}
