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

/* Seconds since 1970 of a date whose parts may be none at all (-1). */
static enum tg_err seconds_of(struct moment at, int64_t *seconds)
{
    static const char days_in[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (at.year < 0 || at.month < 1 || at.month > 12 || at.day < 1 || at.day > days_in[at.month - 1] ||
        at.hour < 0 || at.hour > 23 || at.minute < 0 || at.minute > 59 || at.second < 0 || at.second > 60) {
        return TG_ESYNTAX;
    }
    bool leap = (at.year % 4 == 0 && at.year % 100 != 0) || at.year % 400 == 0;
    if (at.month == 2 && at.day == 29 && !leap) {
        return TG_ESYNTAX;
    }
    *seconds = days_of(at.year, at.month, at.day) * 86400 + (int64_t)at.hour * 3600 +
               (int64_t)at.minute * 60 + at.second;
    return TG_OK;
}

static int month_at(struct tg_slice text, size_t at)
{
    for (int i = 0; i < 12; i++) {
        if (memcmp(text.ptr + at, months[i], 3) == 0) {
            return i + 1;
        }
    }
    return -1;
}

/* Whether `text` has the form of `pattern`, in which 'a' stands for a letter, '0' for a digit, '_' for a
 * digit or a blank, and everything else for itself. */
static bool has_form(struct tg_slice text, struct tg_slice pattern)
{
    if (text.len != pattern.len) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i], p = pattern.ptr[i];
        bool digit = c >= '0' && c <= '9';
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (p == 'a' ? !letter : p == '0' ? !digit : p == '_' ? !digit && c != ' ' : c != p) {
            return false;
        }
    }
    return true;
}

static void clock_at(struct tg_slice text, size_t at, struct moment *out)
{
    out->hour = digits_at(text, at, 2);
    out->minute = digits_at(text, at + 3, 2);
    out->second = digits_at(text, at + 6, 2);
}

/* The year of two digits that is at most 50 years ahead (RFC 9110 section 5.6.7). */
static int full_year(int two, int64_t now_s)
{
    int now = moment_of(now_s < last_ms / 1000 && now_s > 0 ? now_s * 1000 : 0).year;
    int year = now - now % 100 + two;
    return year > now + 50 ? year - 100 : year <= now - 50 ? year + 100 : year;
}

enum tg_err tg_time_parse_http(struct tg_slice text, int64_t now_s, int64_t *seconds)
{
    struct moment at = {0};
    struct tg_slice date;
    (void)tg_slice_cut(text, ',', &date);
    if (has_form(text, TG_LIT("aaa, 00 aaa 0000 00:00:00 GMT"))) {
        at.day = digits_at(text, 5, 2);
        at.month = month_at(text, 8);
        at.year = digits_at(text, 12, 4);
        clock_at(text, 17, &at);
    } else if (has_form(text, TG_LIT("aaa aaa _0 00:00:00 0000"))) {
        at.day = text.ptr[8] == ' ' ? digits_at(text, 9, 1) : digits_at(text, 8, 2);
        at.month = month_at(text, 4);
        at.year = digits_at(text, 20, 4);
        clock_at(text, 11, &at);
    } else if (has_form(date, TG_LIT(" 00-aaa-00 00:00:00 GMT"))) {
        at.day = digits_at(date, 1, 2);
        at.month = month_at(date, 4);
        at.year = full_year(digits_at(date, 8, 2), now_s);
        clock_at(date, 11, &at);
    } else {
        return TG_ESYNTAX;
    }
    return seconds_of(at, seconds);
}

enum tg_err tg_time_parse_basic(struct tg_slice text, int64_t *seconds)
{
    if (text.len != sizeof "20260102T030405Z" - 1 || text.ptr[8] != 'T' || text.ptr[15] != 'Z') {
        return TG_ESYNTAX;
    }
    struct moment at = {
        .year = digits_at(text, 0, 4),
        .month = digits_at(text, 4, 2),
        .day = digits_at(text, 6, 2),
        .hour = digits_at(text, 9, 2),
        .minute = digits_at(text, 11, 2),
        .second = digits_at(text, 13, 2),
    };
    return at.second == 60 ? TG_ESYNTAX : seconds_of(at, seconds); /* no leap seconds here */
}
