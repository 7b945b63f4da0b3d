/* Texts of policies and requests as numbers, dates and networks. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "routes/policy_condition.h"

enum { NUMBER_MAX = 64 };

bool tg_policy_read_number(struct tg_slice text, struct tg_policy_operand *out)
{
    char copy[NUMBER_MAX], *end;
    if (text.len == 0 || text.len >= sizeof copy) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\0' || strchr("0123456789+-.eE", text.ptr[i]) == NULL) {
            return false; /* strtod would take blanks, hexadecimal digits and "inf" */
        }
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    double number = strtod(copy, &end);
    if (*end != '\0' || !isfinite(number)) {
        return false;
    }
    out->number = number;
    return true;
}

bool tg_policy_read_bool(struct tg_slice text, struct tg_policy_operand *out)
{
    bool yes = tg_slice_eq_nocase(text, TG_LIT("true"));
    if (!yes && !tg_slice_eq_nocase(text, TG_LIT("false"))) {
        return false;
    }
    out->number = yes;
    return true;
}

/* Takes `len` digits off the text. */
static bool take_digits(struct tg_slice *text, size_t len, int *value)
{
    *value = 0;
    if (text->len < len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (text->ptr[i] < '0' || text->ptr[i] > '9') {
            return false;
        }
        *value = *value * 10 + (text->ptr[i] - '0');
    }
    *text = tg_slice_from(*text, len);
    return true;
}

static bool take_char(struct tg_slice *text, char c)
{
    bool found = text->len > 0 && text->ptr[0] == c;
    *text = tg_slice_from(*text, found ? 1 : 0);
    return found;
}

/* `Z`, `+hh:mm` or `-hh:mm` and nothing behind; seconds that local time is ahead. */
static bool take_zone(struct tg_slice text, int *ahead)
{
    int hours = 0, minutes = 0, sign = 1;
    if (take_char(&text, 'Z')) {
        *ahead = 0;
        return text.len == 0;
    }
    if (!take_char(&text, '+')) {
        sign = -1;
        if (!take_char(&text, '-')) {
            return false;
        }
    }
    bool ok = take_digits(&text, 2, &hours) && take_char(&text, ':') && take_digits(&text, 2, &minutes);
    *ahead = sign * (hours * 3600 + minutes * 60);
    return ok && text.len == 0 && hours < 24 && minutes < 60;
}

static double take_fraction(struct tg_slice *text)
{
    double fraction = 0, unit = 0.1;
    int digit;
    while (take_digits(text, 1, &digit)) {
        fraction += digit * unit;
        unit /= 10;
    }
    return fraction;
}

/* `T03:04`, `T03:04:05`, `T03:04:05.6`, each with a zone. */
static bool take_clock(struct tg_slice text, int clock[3], double *fraction, int *ahead)
{
    if (!take_char(&text, 'T') || !take_digits(&text, 2, &clock[0]) || !take_char(&text, ':') ||
        !take_digits(&text, 2, &clock[1])) {
        return false;
    }
    if (take_char(&text, ':')) {
        if (!take_digits(&text, 2, &clock[2])) {
            return false;
        }
        if (take_char(&text, '.')) {
            *fraction = take_fraction(&text);
        }
    }
    return take_zone(text, ahead);
}

bool tg_policy_read_date(struct tg_slice text, struct tg_policy_operand *out)
{
    int date[3] = {0, 1, 1}, clock[3] = {0}, ahead = 0;
    double fraction = 0;
    int64_t seconds;
    struct tg_slice rest = text;
    if (tg_time_parse_basic(text, &seconds) == TG_OK) {
        out->number = (double)seconds;
        return true;
    }
    if (!take_digits(&rest, 4, &date[0]) || (rest.len > 0 && rest.ptr[0] != '-')) {
        return tg_policy_read_number(text, out);
    }
    for (size_t i = 1; i < 3 && take_char(&rest, '-'); i++) {
        if (!take_digits(&rest, 2, &date[i])) {
            return false;
        }
    }
    if (rest.len > 0 && !take_clock(rest, clock, &fraction, &ahead)) {
        return false;
    }
    char basic[TG_TIME_TEXT_MAX];
    int len = snprintf(basic, sizeof basic, "%04d%02d%02dT%02d%02d%02dZ", date[0], date[1], date[2], clock[0],
                       clock[1], clock[2]);
    if (len < 0 || tg_time_parse_basic(tg_slice_make(basic, (size_t)len), &seconds) != TG_OK) {
        return false;
    }
    out->number = (double)(seconds - ahead) + fraction;
    return true;
}

bool tg_policy_read_network(struct tg_slice text, struct tg_policy_operand *out)
{
    return tg_network_parse(text, &out->network) == TG_OK;
}
