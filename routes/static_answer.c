/* Status, headers and the parts of the file that go out. */
#include "routes/static_private.h"
#include "server/io/http1.h"

static enum tg_err add(struct tg_static_answer *answer, struct tg_arena *arena, struct tg_slice name,
                       struct tg_slice value)
{
    return value.len > 0 ? tg_headers_add(&answer->headers, arena, name, value) : TG_OK;
}

enum tg_err tg_static_refusal(int status, struct tg_arena *arena, struct tg_static_answer *out)
{
    struct tg_static_answer answer = {.status = status};
    enum tg_err err = tg_arena_printf(arena, &answer.body, "{\"message\":\"%s\"}", tg_http1_reason(status));
    answer.length = answer.body.len;
    if (err == TG_OK) {
        err = add(&answer, arena, TG_LIT("Content-Type"), TG_LIT("application/json"));
    }
    if (err == TG_OK && status == 405) {
        err = add(&answer, arena, TG_LIT("Allow"), TG_LIT("GET, HEAD"));
    }
    if (err == TG_OK) {
        *out = answer;
    }
    return err;
}

static enum tg_err redirect(const struct tg_static_question *question, struct tg_arena *arena,
                            struct tg_static_answer *out)
{
    struct tg_slice location;
    enum tg_err err = tg_static_location(arena, question->path, question->query, &location);
    *out = (struct tg_static_answer){.status = 301};
    return err == TG_OK ? add(out, arena, TG_LIT("Location"), location) : err;
}

/* The fields that a 200 has and a 304 repeats (RFC 9110 section 15.4.5). */
static enum tg_err add_validators(const struct tg_static *files,
                                  const struct tg_static_validators *validators, struct tg_arena *arena,
                                  struct tg_static_answer *answer)
{
    char date[TG_TIME_TEXT_MAX];
    struct tg_slice etag = TG_EMPTY, modified = TG_EMPTY;
    enum tg_err err = tg_arena_copy(arena, tg_slice_make(validators->etag, validators->etag_len), &etag);
    if (err == TG_OK) {
        size_t len = tg_time_http(validators->modified_s * 1000, date);
        err = tg_arena_copy(arena, tg_slice_make(date, len), &modified);
    }
    if (err == TG_OK) {
        err = add(answer, arena, TG_LIT("ETag"), etag);
    }
    if (err == TG_OK) {
        err = add(answer, arena, TG_LIT("Last-Modified"), modified);
    }
    if (err == TG_OK) {
        err = add(answer, arena, TG_LIT("Cache-Control"), files->cache_control);
    }
    if (err == TG_OK && files->precompressed) {
        err = add(answer, arena, TG_LIT("Vary"), TG_LIT("Accept-Encoding"));
    }
    return err;
}

static enum tg_err add_content(const struct tg_static *files, const struct tg_static_found *found,
                               struct tg_slice type, struct tg_arena *arena, struct tg_static_answer *answer)
{
    enum tg_err err = add(answer, arena, TG_LIT("Content-Type"), type);
    if (err == TG_OK) {
        err = add(answer, arena, TG_LIT("Content-Encoding"), tg_static_coding_name(found->coding));
    }
    if (err == TG_OK && !files->allow_sniffing) {
        err = add(answer, arena, TG_LIT("X-Content-Type-Options"), TG_LIT("nosniff"));
    }
    return err;
}

static enum tg_err content_range(struct tg_arena *arena, const struct tg_static_range *range, uint64_t size,
                                 struct tg_slice *out)
{
    return tg_arena_printf(arena, out, "bytes %llu-%llu/%llu", (unsigned long long)range->first,
                           (unsigned long long)(range->first + range->len - 1), (unsigned long long)size);
}

static enum tg_err new_parts(struct tg_arena *arena, size_t count, struct tg_static_answer *answer)
{
    answer->parts = tg_arena_zalloc(arena, count * sizeof *answer->parts);
    if (answer->parts == NULL) {
        return TG_ENOMEM;
    }
    answer->count = count;
    return TG_OK;
}

static enum tg_err whole(const struct tg_static *files, const struct tg_static_found *found, int status,
                         struct tg_arena *arena, struct tg_static_answer *answer)
{
    enum tg_err err = new_parts(arena, 1, answer);
    if (err != TG_OK) {
        return err;
    }
    answer->status = status;
    answer->parts[0].len = found->file.size;
    answer->length = found->file.size;
    err = add_content(files, found, found->type, arena, answer);
    if (err == TG_OK && status == 200) {
        err = add(answer, arena, TG_LIT("Accept-Ranges"), TG_LIT("bytes"));
    }
    return err;
}

static enum tg_err single(const struct tg_static *files, const struct tg_static_found *found,
                          const struct tg_static_range *range, struct tg_arena *arena,
                          struct tg_static_answer *answer)
{
    struct tg_slice text;
    enum tg_err err = new_parts(arena, 1, answer);
    if (err == TG_OK) {
        err = content_range(arena, range, found->file.size, &text);
    }
    if (err == TG_OK) {
        err = add(answer, arena, TG_LIT("Content-Range"), text);
    }
    if (err != TG_OK) {
        return err;
    }
    answer->status = 206;
    answer->parts[0] = (struct tg_static_part){.offset = range->first, .len = range->len};
    answer->length = range->len;
    return add_content(files, found, found->type, arena, answer);
}

/* multipart/byteranges (section 14.6). */
static enum tg_err multiple(const struct tg_static *files, const struct tg_static_question *question,
                            const struct tg_static_found *found, const struct tg_static_range *ranges,
                            size_t count, struct tg_arena *arena, struct tg_static_answer *answer)
{
    unsigned long long boundary = question->random;
    struct tg_slice type;
    enum tg_err err = new_parts(arena, count, answer);
    answer->status = 206;
    for (size_t i = 0; err == TG_OK && i < count; i++) {
        struct tg_static_part *part = &answer->parts[i];
        struct tg_slice text;
        *part = (struct tg_static_part){.offset = ranges[i].first, .len = ranges[i].len};
        err = content_range(arena, &ranges[i], found->file.size, &text);
        if (err == TG_OK) {
            err = tg_arena_printf(arena, &part->head,
                                  "%s--tidegate-%016llx\r\nContent-Type: %.*s\r\nContent-Range: %.*s\r\n\r\n",
                                  i > 0 ? "\r\n" : "", boundary, TG_FMT(found->type), TG_FMT(text));
        }
        answer->length += part->head.len + part->len;
    }
    if (err == TG_OK) {
        err = tg_arena_printf(arena, &answer->tail, "\r\n--tidegate-%016llx--\r\n", boundary);
        answer->length += answer->tail.len;
    }
    if (err == TG_OK) {
        err = tg_arena_printf(arena, &type, "multipart/byteranges; boundary=tidegate-%016llx", boundary);
    }
    return err == TG_OK ? add_content(files, found, type, arena, answer) : err;
}

static enum tg_err unsatisfiable(const struct tg_static_found *found, struct tg_arena *arena,
                                 struct tg_static_answer *answer)
{
    struct tg_slice text;
    enum tg_err err = tg_static_refusal(416, arena, answer);
    if (err == TG_OK) {
        err = tg_arena_printf(arena, &text, "bytes */%llu", (unsigned long long)found->file.size);
    }
    return err == TG_OK ? add(answer, arena, TG_LIT("Content-Range"), text) : err;
}

static enum tg_err send_ranges(const struct tg_static *files, const struct tg_static_question *question,
                               const struct tg_static_found *found, struct tg_arena *arena,
                               struct tg_static_answer *answer)
{
    struct tg_static_range ranges[TG_STATIC_RANGES_MAX];
    size_t count = 0;
    const struct tg_header *field = tg_headers_first(question->headers, TG_LIT("Range"));
    bool once = field != NULL && tg_headers_count(question->headers, TG_LIT("Range")) == 1;
    switch (once ? tg_static_range_parse(field->value, found->file.size, ranges, &count) : TG_STATIC_WHOLE) {
    case TG_STATIC_UNSATISFIABLE:
        return unsatisfiable(found, arena, answer);
    case TG_STATIC_PARTIAL:
        return count == 1 ? single(files, found, ranges, arena, answer)
                          : multiple(files, question, found, ranges, count, arena, answer);
    default:
        return whole(files, found, 200, arena, answer);
    }
}

static enum tg_err send_file(const struct tg_static *files, const struct tg_static_question *question,
                             const struct tg_static_found *found, struct tg_arena *arena,
                             struct tg_static_answer *out)
{
    struct tg_static_validators validators;
    struct tg_static_answer answer = {0};
    bool ranges = false;
    enum tg_err err;
    int status = found->outcome == TG_STATIC_FALLBACK ? files->fallback_status : 200;
    tg_static_validate(files, &found->file, question->now_ms, &validators);
    if (status != 200) { /* conditions and ranges are for what would be a 200 (sections 13.2.1, 14.2) */
        err = whole(files, found, status, arena, &answer);
        if (err == TG_OK && files->precompressed) {
            err = add(&answer, arena, TG_LIT("Vary"), TG_LIT("Accept-Encoding"));
        }
    } else {
        switch (tg_static_judge(question->headers, &validators, question->now_ms, &ranges)) {
        case TG_STATIC_FAILED:
            return tg_static_refusal(412, arena, out);
        case TG_STATIC_NOT_MODIFIED:
            answer.status = 304;
            err = TG_OK;
            break;
        default:
            err = ranges && !question->head ? send_ranges(files, question, found, arena, &answer)
                                            : whole(files, found, 200, arena, &answer);
        }
        if (err == TG_OK && answer.status != 416) {
            err = add_validators(files, &validators, arena, &answer);
        }
    }
    if (err == TG_OK) {
        *out = answer;
    }
    return err;
}

enum tg_err tg_static_answer(const struct tg_static *files, const struct tg_static_question *question,
                             const struct tg_static_found *found, struct tg_arena *arena,
                             struct tg_static_answer *out)
{
    switch (found->outcome) {
    case TG_STATIC_FOUND:
    case TG_STATIC_FALLBACK:
        return send_file(files, question, found, arena, out);
    case TG_STATIC_DIRECTORY:
        return redirect(question, arena, out);
    case TG_STATIC_MISSING:
        return tg_static_refusal(404, arena, out);
    case TG_STATIC_DENIED:
        return tg_static_refusal(403, arena, out);
    case TG_STATIC_BUSY:
        return tg_static_refusal(503, arena, out);
    default:
        return tg_static_refusal(500, arena, out);
    }
}
