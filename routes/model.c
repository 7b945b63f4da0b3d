#include "routes/model.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void tg_model_unref(struct tg_model *model)
{
    if (atomic_fetch_sub_explicit(&model->refs, 1, memory_order_acq_rel) == 1) {
        model->destroy(model);
    }
}

/* ---- look-ups ---- */

const struct tg_api *tg_model_api_by_id(const struct tg_model *model, struct tg_slice api_id)
{
    return tg_map_get(&model->api_map, api_id);
}

const struct tg_stage *tg_api_stage(const struct tg_api *api, struct tg_slice name)
{
    for (size_t i = 0; i < api->stages.count; i++) {
        if (tg_slice_eq(api->stages.items[i].stage_name, name)) {
            return &api->stages.items[i];
        }
    }
    return NULL;
}

const struct tg_route *tg_api_route(const struct tg_api *api, struct tg_slice key)
{
    const struct tg_route *route = tg_map_get(&api->route_map, key);
    return route != NULL ? route : api->default_route;
}

struct tg_route_settings tg_stage_route_settings(const struct tg_stage *stage, struct tg_slice route_key)
{
    struct tg_route_settings result = stage->default_route_settings;
    for (size_t i = 0; i < stage->route_settings.count; i++) {
        const struct tg_route_settings *own = &stage->route_settings.items[i];
        if (!tg_slice_eq(own->route_key, route_key)) {
            continue;
        }
        double rate = result.throttling_rate_limit;
        int64_t burst = result.throttling_burst_limit;
        result = *own;
        if (own->throttling_rate_limit < 0) {
            result.throttling_rate_limit = rate;
        }
        if (own->throttling_burst_limit < 0) {
            result.throttling_burst_limit = burst;
        }
        break;
    }
    return result;
}

/* ---- files ---- */

static int open_destination(struct tg_slice destination)
{
    static const struct tg_slice file = TG_LIT_INIT("file:");
    char path[4096];
    if (tg_slice_eq(destination, TG_LIT("stderr"))) {
        return tg_log_open_stream(STDERR_FILENO);
    }
    if (!tg_slice_starts(destination, file)) {
        return tg_log_open_stream(STDOUT_FILENO);
    }
    struct tg_slice name = tg_slice_from(destination, file.len);
    if (name.len >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(path, name.ptr, name.len);
    path[name.len] = '\0';
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
}

enum tg_err tg_model_open(struct tg_model *model, struct tg_log *log)
{
    for (size_t i = 0; i < model->apis.count; i++) {
        struct tg_api *api = &model->apis.items[i];
        for (size_t j = 0; j < api->stages.count; j++) {
            struct tg_stage *stage = &api->stages.items[j];
            if (stage->access_log == NULL) {
                continue;
            }
            stage->access_fd = open_destination(stage->access_log_settings.destination_arn);
            if (stage->access_fd < 0) {
                tg_log(log, TG_LOG_ERROR, "access log not opened", TG_KV("api", api->api_id),
                       TG_KV("stage", stage->stage_name),
                       TG_KV("destination", stage->access_log_settings.destination_arn),
                       TG_KV_CSTR("reason", strerror(errno)));
                return TG_EIO;
            }
        }
    }
    return TG_OK;
}

void tg_model_release(struct tg_model *model)
{
    for (size_t i = 0; i < model->apis.count; i++) {
        struct tg_api *api = &model->apis.items[i];
        tg_map_free(&api->route_map, NULL);
        for (size_t j = 0; j < api->stages.count; j++) {
            if (api->stages.items[j].access_fd > STDERR_FILENO) {
                (void)close(api->stages.items[j].access_fd);
            }
        }
    }
    tg_map_free(&model->function_map, NULL);
    tg_map_free(&model->credential_map, NULL);
    tg_map_free(&model->api_map, NULL);
}
