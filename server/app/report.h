/* What a worker sends to the main thread: the answer to a question of the admin listener, whose number it
 * has. The first member of what it is about. */
#ifndef TG_APP_REPORT_H
#define TG_APP_REPORT_H

#include "server/io/loop.h"

enum tg_report_kind { TG_REPORT_STATS, TG_REPORT_ROSTER };

struct tg_report {
    struct tg_mail mail;
    enum tg_report_kind kind;
    uint64_t question;
};

void tg_report_free(struct tg_report *report);

#endif
