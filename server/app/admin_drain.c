/* /drain: how it stands, its beginning, and calling it off. */
#include "routes/reply.h"
#include "server/app/admin_private.h"

static void answer(const struct tg_admin *admin, struct tg_exchange *exchange, int status)
{
    struct tg_buf text;
    tg_buf_init(&text, 4096);
    tg_admin_reply_json(exchange, status, &text, tg_drain_status(&admin->app->drain, &text));
}

/* What browsers send from other sites without asking has one of these types. */
static bool is_form(struct tg_slice type)
{
    struct tg_slice rest;
    type = tg_slice_trim(tg_slice_cut(type, ';', &rest));
    return tg_slice_eq_nocase(type, TG_LIT("text/plain")) ||
           tg_slice_eq_nocase(type, TG_LIT("multipart/form-data")) ||
           tg_slice_eq_nocase(type, TG_LIT("application/x-www-form-urlencoded"));
}

void tg_admin_drain(struct tg_admin *admin, struct tg_exchange *exchange)
{
    struct tg_drain *drain = &admin->app->drain;
    bool is_post = tg_slice_eq(exchange->method, TG_LIT("POST"));
    if (!is_post && !tg_slice_eq(exchange->method, TG_LIT("DELETE"))) {
        answer(admin, exchange, 200);
        return;
    }
    if (!tg_admin_may_control(admin, exchange)) {
        return;
    }
    if (is_form(tg_exchange_header(exchange, TG_LIT("Content-Type")))) {
        tg_reply_message(exchange, 415, TG_LIT("not as a form: send no body, or JSON"));
    } else if (is_post) {
        tg_drain_begin(drain, false);
        answer(admin, exchange, 202);
    } else {
        answer(admin, exchange, tg_drain_cancel(drain) ? 200 : 409);
    }
}
