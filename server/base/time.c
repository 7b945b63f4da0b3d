/* The dates of codec.h. Own calendar arithmetic, since the C library's takes a lock. */
#include <stdio.h>

#include "server/base/codec.h"

enum { MS_PER_DAY = 86400000, DAYS_PER_ERA = 146097 };

struct moment {
    int year, month, day, hour, minute, second, ms;
    int weekday; /* 0 is Sunday */
};

static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* 1 March 0000 starts the eras of 400 years, so that the leap day comes last in its year. */
static const int64_t days_before_1970 = 719468;
/* 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z: years of four digits. */
static const int64_t first_ms = -62167219200000, last_ms = 253402300799999;

static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * DAYS_PER_ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           days_before_1970;
}

static struct moment moment_of(int64_t wall_ms)
{
    wall_ms = wall_ms < first_ms ? first_ms : wall_ms > last_ms ? last_ms : wall_ms;
    int64_t ms = wall_ms % MS_PER_DAY;
    ms += ms < 0 ? MS_PER_DAY : 0;
    int64_t days = (wall_ms - ms) / MS_PER_DAY + days_before_1970;
    int64_t era = (days >= 0 ? days : days - DAYS_PER_ERA + 1) / DAYS_PER_ERA;
    int64_t day_of_era = days - era * DAYS_PER_ERA;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153; /* 0 is March */
    return (struct moment){
        .year = (int)(year_of_era + era * 400 + (month >= 10)),
        .month = (int)(month < 10 ? month + 3 : month - 9),
        .day = (int)(day_of_year - (153 * month + 2) / 5 + 1),
        .hour = (int)(ms / 3600000),
        .minute = (int)(ms / 60000 % 60),
        .second = (int)(ms / 1000 % 60),
        .ms = (int)(ms % 1000),
        .weekday = (int)(((days + 3) % 7 + 7) % 7), /* the first era began on a Wednesday */
    };
}

static size_t text_length(int written)
{
    return written < 0 ? 0 : written < TG_TIME_TEXT_MAX ? (size_t)written : TG_TIME_TEXT_MAX - 1;
}

size_t tg_time_clf(int64_t wall_ms, char out[TG_TIME_TEXT_MAX])
{
    struct moment at = moment_of(wall_ms);
    return text_length(snprintf(out, TG_TIME_TEXT_MAX, "%02d/%s/%04d:%02d:%02d:%02d +0000", at.day,
                                months[at.month - 1], at.year, at.hour, at.minute, at.second));
}

size_t tg_time_http(int64_t wall_ms, char out[TG_TIME_TEXT_MAX])
{
    static const char *const weekdays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    struct moment at = moment_of(wall_ms);
    return text_length(snprintf(out, TG_TIME_TEXT_MAX, "%s, %02d %s %04d %02d:%02d:%02d GMT",
                                weekdays[at.weekday], at.day, months[at.month - 1], at.year, at.hour,
                                at.minute, at.second));
}

size_t tg_time_iso(int64_t wall_ms, char out[TG_TIME_TEXT_MAX])
{
    struct moment at = moment_of(wall_ms);
    return text_length(snprintf(out, TG_TIME_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", at.year,
                                at.month, at.day, at.hour, at.minute, at.second, at.ms));
}

size_t tg_time_basic(int64_t wall_ms, char out[TG_TIME_TEXT_MAX])
{
    struct moment at = moment_of(wall_ms);
    return text_length(snprintf(out, TG_TIME_TEXT_MAX, "%04d%02d%02dT%02d%02d%02dZ", at.year, at.month,
                                at.day, at.hour, at.minute, at.second));
}

/* The number that `len` digits at text[at] make, or -1. */
static int digits_at(struct tg_slice text, size_t at, size_t len)
{
    int value = 0;
    for (size_t i = at; i < at + len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return -1;
        }
        value = value * 10 + (text.ptr[i] - '0');
    }
    return value;
}

enum tg_err tg_time_parse_basic(struct tg_slice text, int64_t *seconds)
{
    static const char days_in[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (text.len != sizeof "20260102T030405Z" - 1 || text.ptr[8] != 'T' || text.ptr[15] != 'Z') {
        return TG_ESYNTAX;
    }
    int year = digits_at(text, 0, 4), month = digits_at(text, 4, 2), day = digits_at(text, 6, 2);
    int hour = digits_at(text, 9, 2), minute = digits_at(text, 11, 2), second = digits_at(text, 13, 2);
    if (year < 0 || month < 1 || month > 12 || day < 1 || day > days_in[month - 1] || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 59) {
        return TG_ESYNTAX;
    }
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (month == 2 && day == 29 && !leap) {
        return TG_ESYNTAX;
    }
    *seconds = days_of(year, month, day) * 86400 + (int64_t)hour * 3600 + (int64_t)minute * 60 + second;
    return TG_OK;
}
