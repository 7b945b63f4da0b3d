/* The Lua scripts of connmgr/lua/, which say at their head what they take and return. Their texts are made
 * into a C source by cmake/scripts.cmake. Each touches the keys of one node alone. */
#ifndef TG_CONNMGR_SCRIPT_H
#define TG_CONNMGR_SCRIPT_H

#include "server/base/slice.h"

enum tg_script {
    TG_SCRIPT_ACQUIRE,
    TG_SCRIPT_CLAIM,
    TG_SCRIPT_FINISH,
    TG_SCRIPT_LEAVE,
    TG_SCRIPT_PUT,
    TG_SCRIPT_READ,
    TG_SCRIPT_REFRESH,
    TG_SCRIPT_REMOVE,
    TG_SCRIPT_STATE,
    TG_SCRIPT_TOLD,
    TG_SCRIPT_COUNT
};

extern const struct tg_slice tg_script_texts[TG_SCRIPT_COUNT];

#endif
