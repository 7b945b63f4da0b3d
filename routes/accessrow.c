#include "routes/accessrow.h"

#include <unistd.h>

#include "routes/accesslog.h"

enum { ROW_MAX = 65536 };

void tg_stage_log_row(const struct tg_stage *stage, const struct tg_vars *vars, struct tg_arena *arena,
                      struct tg_log *log)
{
    struct tg_buf row;
    if (stage->access_log == NULL || stage->access_fd < 0) {
        return;
    }
    tg_buf_init(&row, ROW_MAX);
    if (tg_accesslog_render(stage->access_log, vars, arena, &row) == TG_OK &&
        tg_buf_append_char(&row, '\n') == TG_OK) {
        struct tg_slice bytes = tg_buf_slice(&row);
        ssize_t written = write(stage->access_fd, bytes.ptr, bytes.len);
        if (written != (ssize_t)bytes.len && log != NULL) {
            (void)atomic_fetch_add(&log->dropped, 1);
        }
    }
    tg_buf_free(&row);
}
