/* Where the variables of a request come from: the one look-up that mapping, selection, identity sources and
 * access logs use. The request pipeline implements it; whoever evaluates an expression borrows it for the
 * call. Names come without their prefix: `route.request.header.Foo` is TG_VAR_HEADER and "Foo". */
#ifndef TG_ROUTES_VARS_H
#define TG_ROUTES_VARS_H

#include "server/base/arena.h"

enum tg_var_scope {
    TG_VAR_HEADER,       /* one value, the one that events show; names ignore case */
    TG_VAR_MULTIHEADER,  /* every value in order; names ignore case */
    TG_VAR_QUERY,        /* one decoded value, the one that events show; names exact */
    TG_VAR_MULTIQUERY,   /* every decoded value in order; names exact */
    TG_VAR_PATH,         /* path parameter of an HTTP route */
    TG_VAR_REQUEST_PATH, /* of an HTTP request, as on the wire, without the stage; the name is empty */
    TG_VAR_BODY,         /* the whole body as received; the name is empty */
    TG_VAR_STAGE,        /* stageVariables.NAME */
    TG_VAR_CONTEXT,      /* context.NAME, dots included: "identity.sourceIp", "authorizer.principalId" */
    /* What the back end answered; only where an answer exists (spec 2.4). */
    TG_VAR_RESPONSE_STATUS, /* decimal; the name is empty */
    TG_VAR_RESPONSE_HEADER,
    TG_VAR_RESPONSE_MULTIHEADER,
    TG_VAR_RESPONSE_BODY, /* the name is empty */
    TG_VAR_SCOPES
};

/* No values (count 0): the variable does not exist. An empty value exists. */
struct tg_var_values {
    const struct tg_slice *items;
    size_t count;
};

struct tg_vars {
    /* Fills *out with slices that live at least as long as `arena`; memory for them and for `items` may come
     * from it. An unknown name or a scope without meaning here is TG_OK with no values. The only failure is
     * TG_ENOMEM. */
    enum tg_err (*lookup)(void *arg, enum tg_var_scope scope, struct tg_slice name, struct tg_arena *arena,
                          struct tg_var_values *out);
    void *arg;
};

/* vars may be NULL: nothing exists. */
static inline TG_MUST_CHECK enum tg_err tg_vars_get(const struct tg_vars *vars, enum tg_var_scope scope,
                                                    struct tg_slice name, struct tg_arena *arena,
                                                    struct tg_var_values *out)
{
    *out = (struct tg_var_values){NULL, 0};
    return vars != NULL ? vars->lookup(vars->arg, scope, name, arena, out) : TG_OK;
}

/* For implementers: makes *out the one value, in the arena. */
static inline TG_MUST_CHECK enum tg_err tg_vars_one(struct tg_arena *arena, struct tg_slice value,
                                                    struct tg_var_values *out)
{
    struct tg_slice *item = (struct tg_slice *)tg_arena_alloc(arena, sizeof *item);
    if (item == NULL) {
        return TG_ENOMEM;
    }
    *item = value;
    *out = (struct tg_var_values){item, 1};
    return TG_OK;
}

#endif
