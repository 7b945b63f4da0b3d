#include <assert.h>
#include <libwebsockets.h>
#include <pthread.h>
#include <stdlib.h>

#include "server/front/ws_internal.h"

/* The buffer that everything is received into, one an engine: the most that one recv() takes. The largest
 * frame that is usual arrives whole in it, and is decoded in place. */
enum { RECEIVE_SIZE = 65536 };

/* As Debian builds the library it formats log lines in one static buffer, which two engines would overrun,
 * and it says something at error level of every adoption. What goes wrong shows in what its calls return. */
static void silence(void)
{
    lws_set_log_level(0, NULL);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    return tg_ws_on_event(wsi, (int)reason, user, in, len);
}

static const struct lws_protocols protocols[] = {
    {.name = "", .callback = on_event},
    {0},
};

/* No validity checks: idle connections and pings are the owner's business. */
static const lws_retry_bo_t no_checks = {0};

/* Since 4.3 the library counts the users of a log, and by default all contexts share one, whose count is no
 * atomic: two threads break it. So each context has a log of its own, which says nothing. */
#if LWS_LIBRARY_VERSION_NUMBER >= 4003000
static void say_nothing(int level, const char *line)
{
    (void)level;
    (void)line;
}

static bool own_log(struct tg_ws_engine *engine, struct lws_context_creation_info *info)
{
    lws_log_cx_t *own = calloc(1, sizeof(*own));
    if (own != NULL) {
        own->u.emit = say_nothing;
        info->log_cx = own;
        engine->library_log = own;
    }
    return own != NULL;
}
#else
static bool own_log(struct tg_ws_engine *engine, struct lws_context_creation_info *info)
{
    (void)info;
    engine->library_log = NULL;
    return true;
}
#endif

static enum tg_err create_context(struct tg_ws_engine *engine, struct tg_log *log)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, silence);
    void *loops[] = {tg_loop_native(engine->loop)};
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .foreign_loops = loops,
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .vhost_name = "tidegate",
        .protocols = protocols,
        .retry_and_idle_policy = &no_checks,
        .pt_serv_buf_size = RECEIVE_SIZE,
        .user = engine,
    };
    if (!own_log(engine, &info)) {
        return TG_ENOMEM;
    }
    engine->context = lws_create_context(&info);
    if (engine->context == NULL) {
        tg_log(log, TG_LOG_ERROR, "libwebsockets did not make a context");
        return TG_EIO;
    }
    engine->vhost = lws_create_vhost(engine->context, &info);
    if (engine->vhost == NULL) {
        tg_log(log, TG_LOG_ERROR, "libwebsockets did not make a virtual host");
        return TG_EIO;
    }
    return TG_OK;
}

static void do_nothing(struct tg_task *task)
{
    (void)task;
}

/* The library closes its handles on a loop that is not its own in two rounds, and frees the rest when it is
 * asked a second time. */
static void destroy_context(struct tg_ws_engine *engine)
{
    enum { ROUNDS = 3 };
    struct tg_task awake;
    tg_task_init(&awake, do_nothing);
    lws_context_destroy(engine->context);
    for (int i = 0; i < ROUNDS; i++) {
        tg_task_defer(engine->loop, &awake);
        tg_loop_run_once(engine->loop);
    }
    tg_task_cancel(&awake);
    lws_context_destroy(engine->context);
}

enum tg_err tg_ws_engine_new(struct tg_loop *loop, struct tg_log *log, struct tg_ws_engine **out)
{
    struct tg_ws_engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL) {
        return TG_ENOMEM;
    }
    engine->loop = loop;
    enum tg_err err = tg_inflater_new(&engine->inflater);
    if (err == TG_OK) {
        err = create_context(engine, log);
    }
    if (err != TG_OK) {
        tg_ws_engine_free(engine);
        return err;
    }
    *out = engine;
    return TG_OK;
}

void tg_ws_engine_free(struct tg_ws_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    assert(engine->open == 0);
    if (engine->context != NULL) {
        destroy_context(engine);
    }
    tg_inflater_free(engine->inflater);
    free(engine->library_log);
    free(engine);
}
