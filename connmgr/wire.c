#include "connmgr/wire.h"

#include <msgpack.h>

#include "connmgr/push.h"

enum {
    VERSION = 1,
    ENVELOPE_ITEMS = 21,
    TEXTS = 4,
    ROW_FIXED = 10, /* elements before the pairs */
    PAIRS_MAX = 4096,
    ITEMS_MAX = ROW_FIXED + 4 * PAIRS_MAX
};

/* ---- writing ---- */

static int write_bytes(void *data, const char *bytes, size_t len)
{
    return tg_buf_append(data, tg_slice_make(bytes, len)) == TG_OK ? 0 : -1;
}

/* The first failure stays. */
struct writer {
    msgpack_packer packer;
    int failed;
};

static void put_number(struct writer *writer, int64_t number)
{
    writer->failed |= msgpack_pack_int64(&writer->packer, number);
}

static void put_count(struct writer *writer, uint64_t number)
{
    writer->failed |= msgpack_pack_uint64(&writer->packer, number);
}

static void put_bool(struct writer *writer, bool value)
{
    writer->failed |= value ? msgpack_pack_true(&writer->packer) : msgpack_pack_false(&writer->packer);
}

/* A NULL pointer is nil. */
static void put_text(struct writer *writer, struct tg_slice text)
{
    if (text.ptr == NULL) {
        writer->failed |= msgpack_pack_nil(&writer->packer);
        return;
    }
    writer->failed |= msgpack_pack_bin(&writer->packer, text.len);
    writer->failed |= msgpack_pack_bin_body(&writer->packer, text.ptr, text.len);
}

static void put_map(struct writer *writer, const struct tg_string_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        put_text(writer, map->items[i].key);
        put_text(writer, map->items[i].value);
    }
}

enum tg_err tg_wire_write_envelope(struct tg_buf *out, const struct tg_envelope *envelope, int64_t expires_ms)
{
    struct writer writer = {.failed = 0};
    msgpack_packer_init(&writer.packer, out, write_bytes);
    writer.failed |= msgpack_pack_array(&writer.packer, ENVELOPE_ITEMS);
    put_number(&writer, VERSION);
    put_number(&writer, envelope->kind);
    put_number(&writer, envelope->from.node);
    put_number(&writer, envelope->from.worker);
    put_count(&writer, envelope->correlation);
    put_number(&writer, envelope->verb);
    put_number(&writer, envelope->outcome);
    put_number(&writer, envelope->target.node);
    put_number(&writer, envelope->target.worker);
    put_number(&writer, envelope->target.slot);
    put_number(&writer, envelope->target.generation);
    put_bool(&writer, envelope->binary);
    put_count(&writer, envelope->timeout_ms);
    put_number(&writer, envelope->close_code);
    put_number(&writer, envelope->connected_at);
    put_number(&writer, envelope->last_active);
    put_number(&writer, expires_ms);
    for (size_t i = 0; i < TEXTS; i++) {
        put_text(&writer, envelope->text[i]);
    }
    return writer.failed == 0 ? TG_OK : TG_ENOMEM;
}

enum tg_err tg_wire_write_row(struct tg_buf *out, const struct tg_conn_info *info)
{
    struct writer writer = {.failed = 0};
    msgpack_packer_init(&writer.packer, out, write_bytes);
    if (info->authorizer.count > PAIRS_MAX || info->identity.count > PAIRS_MAX) {
        return TG_ELIMIT;
    }
    writer.failed |=
        msgpack_pack_array(&writer.packer, ROW_FIXED + 2 * (info->authorizer.count + info->identity.count));
    put_number(&writer, VERSION);
    put_number(&writer, info->connected_at_ms);
    put_bool(&writer, info->has_authorizer);
    put_text(&writer, info->api_id);
    put_text(&writer, info->stage);
    put_text(&writer, info->domain_name);
    put_text(&writer, info->source_ip);
    put_text(&writer, info->user_agent);
    put_count(&writer, info->authorizer.count);
    put_count(&writer, info->identity.count);
    put_map(&writer, &info->authorizer);
    put_map(&writer, &info->identity);
    return writer.failed == 0 ? TG_OK : TG_ENOMEM;
}

/* ---- reading ---- */

/* The library allocates for as many elements as an array says it has, at any depth: the outer count is
 * bounded, and inner arrays, maps and extensions are refused, before it sees the bytes. */
static bool read_size(struct tg_slice bytes, size_t at, size_t width, size_t *size)
{
    *size = 0;
    for (size_t i = 0; i < width; i++) {
        if (at + i >= bytes.len) {
            return false;
        }
        *size = *size << 8 | (unsigned char)bytes.ptr[at + i];
    }
    return true;
}

/* Where the element after the one at *at begins. */
static bool skip_scalar(struct tg_slice bytes, size_t *at)
{
    size_t width = 0, size = 0;
    if (*at >= bytes.len) {
        return false;
    }
    unsigned mark = (unsigned char)bytes.ptr[(*at)++];
    if (mark <= 0x7f || mark >= 0xe0 || mark == 0xc0 || mark == 0xc2 || mark == 0xc3) {
        return true; /* small numbers, nil, booleans */
    }
    if (mark >= 0xa0 && mark <= 0xbf) {
        size = mark & 0x1f;
    } else if (mark >= 0xcc && mark <= 0xd3) { /* numbers of 1, 2, 4, 8 bytes, without and with a sign */
        size = (size_t)1 << ((mark - 0xcc) & 3);
    } else if ((mark >= 0xc4 && mark <= 0xc6) || (mark >= 0xd9 && mark <= 0xdb)) {
        width = (size_t)1 << (mark >= 0xd9 ? mark - 0xd9 : mark - 0xc4);
        if (!read_size(bytes, *at, width, &size)) {
            return false;
        }
    } else {
        return false; /* floats, arrays, maps, extensions */
    }
    *at += width;
    if (size > bytes.len - (*at < bytes.len ? *at : bytes.len)) {
        return false;
    }
    *at += size;
    return true;
}

static bool is_flat_array(struct tg_slice bytes)
{
    size_t at = 1, count = 0;
    unsigned mark = bytes.len > 0 ? (unsigned char)bytes.ptr[0] : 0;
    if (mark >= 0x90 && mark <= 0x9f) {
        count = mark & 0x0f;
    } else if (mark == 0xdc && read_size(bytes, at, 2, &count)) {
        at += 2;
    } else {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!skip_scalar(bytes, &at)) {
            return false;
        }
    }
    return at == bytes.len && count <= ITEMS_MAX;
}

struct reader {
    const msgpack_object *items;
    size_t count, at;
    bool bad;
};

static const msgpack_object *next(struct reader *reader)
{
    static const msgpack_object nil = {.type = MSGPACK_OBJECT_NIL};
    if (reader->at >= reader->count) {
        reader->bad = true;
        return &nil;
    }
    return &reader->items[reader->at++];
}

static int64_t get_number(struct reader *reader, int64_t min, int64_t max)
{
    const msgpack_object *item = next(reader);
    int64_t value = 0;
    if (item->type == MSGPACK_OBJECT_POSITIVE_INTEGER && item->via.u64 <= INT64_MAX) {
        value = (int64_t)item->via.u64;
    } else if (item->type == MSGPACK_OBJECT_NEGATIVE_INTEGER) {
        value = item->via.i64;
    } else {
        reader->bad = true;
    }
    if (value < min || value > max) {
        reader->bad = true;
        return min;
    }
    return value;
}

static uint32_t get_bits(struct reader *reader, unsigned bits)
{
    return (uint32_t)get_number(reader, 0, (INT64_C(1) << bits) - 1);
}

static uint64_t get_u64(struct reader *reader)
{
    const msgpack_object *item = next(reader);
    if (item->type != MSGPACK_OBJECT_POSITIVE_INTEGER) {
        reader->bad = true;
        return 0;
    }
    return item->via.u64;
}

static bool get_bool(struct reader *reader)
{
    const msgpack_object *item = next(reader);
    reader->bad = reader->bad || item->type != MSGPACK_OBJECT_BOOLEAN;
    return item->type == MSGPACK_OBJECT_BOOLEAN && item->via.boolean;
}

static struct tg_slice get_text(struct reader *reader)
{
    const msgpack_object *item = next(reader);
    if (item->type == MSGPACK_OBJECT_BIN) {
        return tg_slice_make(item->via.bin.size > 0 ? item->via.bin.ptr : "", item->via.bin.size);
    }
    reader->bad = reader->bad || item->type != MSGPACK_OBJECT_NIL;
    return TG_EMPTY;
}

/* The elements of a flat array of this version; msgpack_unpacked_destroy is the caller's on TG_OK. */
static enum tg_err open_reader(struct tg_slice bytes, msgpack_unpacked *unpacked, struct reader *reader)
{
    size_t at = 0;
    if (!is_flat_array(bytes)) {
        return TG_ESYNTAX;
    }
    msgpack_unpacked_init(unpacked);
    msgpack_unpack_return got = msgpack_unpack_next(unpacked, bytes.ptr, bytes.len, &at);
    if (got != MSGPACK_UNPACK_SUCCESS || unpacked->data.type != MSGPACK_OBJECT_ARRAY) {
        msgpack_unpacked_destroy(unpacked);
        return got == MSGPACK_UNPACK_NOMEM_ERROR ? TG_ENOMEM : TG_ESYNTAX;
    }
    *reader = (struct reader){.items = unpacked->data.via.array.ptr, .count = unpacked->data.via.array.size};
    if (get_number(reader, VERSION, VERSION) != VERSION || reader->bad) {
        msgpack_unpacked_destroy(unpacked);
        return TG_ESYNTAX;
    }
    return TG_OK;
}

enum tg_err tg_wire_read_envelope(struct tg_slice bytes, struct tg_envelope **out, int64_t *expires_ms)
{
    msgpack_unpacked unpacked;
    struct reader reader;
    enum tg_err err = open_reader(bytes, &unpacked, &reader);
    if (err != TG_OK) {
        return err;
    }
    struct tg_envelope model = {.kind =
                                    (enum tg_envelope_kind)get_number(&reader, 0, TG_ENVELOPE_BATCH_ANSWER)};
    model.from.node = get_bits(&reader, 24);
    model.from.worker = get_bits(&reader, 8);
    model.correlation = get_u64(&reader);
    model.verb = (int)get_number(&reader, 0, TG_PUSH_DELETE);
    model.outcome = (int)get_number(&reader, 0, TG_PUSH_FAILED);
    model.target.node = get_bits(&reader, 24);
    model.target.worker = get_bits(&reader, 8);
    model.target.slot = get_bits(&reader, 24);
    model.target.generation = get_bits(&reader, 24);
    model.binary = get_bool(&reader);
    model.timeout_ms = (uint64_t)get_number(&reader, 0, INT32_MAX);
    model.close_code = (int)get_number(&reader, 0, 4999);
    model.connected_at = get_number(&reader, INT64_MIN, INT64_MAX);
    model.last_active = get_number(&reader, INT64_MIN, INT64_MAX);
    int64_t expires = get_number(&reader, 0, INT64_MAX);
    for (size_t i = 0; i < TEXTS; i++) {
        model.text[i] = get_text(&reader);
    }
    err = reader.bad || reader.at != reader.count ? TG_ESYNTAX : tg_envelope_new(&model, out);
    if (err == TG_OK) {
        *expires_ms = expires;
    }
    msgpack_unpacked_destroy(&unpacked);
    return err;
}

static struct tg_string_map get_map(struct tg_arena *arena, struct reader *reader, size_t count,
                                    enum tg_err *err)
{
    struct tg_string_map map = {.count = count};
    map.items = count > 0 ? tg_arena_zalloc(arena, count * sizeof *map.items) : NULL;
    if (count > 0 && map.items == NULL) {
        *err = TG_ENOMEM;
        return (struct tg_string_map){0};
    }
    for (size_t i = 0; *err == TG_OK && i < count; i++) {
        *err = tg_arena_copy(arena, get_text(reader), &map.items[i].key);
        if (*err == TG_OK) {
            *err = tg_arena_copy(arena, get_text(reader), &map.items[i].value);
        }
    }
    return map;
}

/* An absent text stays absent. */
static void copy_text(struct tg_arena *arena, struct tg_slice text, struct tg_slice *out, enum tg_err *err)
{
    *out = TG_EMPTY;
    if (*err == TG_OK && text.ptr != NULL) {
        *err = tg_arena_copy(arena, text, out);
    }
}

enum tg_err tg_wire_read_row(struct tg_arena *arena, struct tg_slice bytes, struct tg_conn_info *out)
{
    msgpack_unpacked unpacked;
    struct reader reader;
    enum tg_err err = open_reader(bytes, &unpacked, &reader);
    if (err != TG_OK) {
        return err;
    }
    struct tg_conn_info info = {.connected_at_ms = get_number(&reader, INT64_MIN, INT64_MAX)};
    info.has_authorizer = get_bool(&reader);
    copy_text(arena, get_text(&reader), &info.api_id, &err);
    copy_text(arena, get_text(&reader), &info.stage, &err);
    copy_text(arena, get_text(&reader), &info.domain_name, &err);
    copy_text(arena, get_text(&reader), &info.source_ip, &err);
    copy_text(arena, get_text(&reader), &info.user_agent, &err);
    size_t authorizer = (size_t)get_number(&reader, 0, PAIRS_MAX);
    size_t identity = (size_t)get_number(&reader, 0, PAIRS_MAX);
    if (err == TG_OK && (reader.bad || reader.count - reader.at != 2 * (authorizer + identity))) {
        err = TG_ESYNTAX;
    }
    if (err == TG_OK) {
        info.authorizer = get_map(arena, &reader, authorizer, &err);
        info.identity = get_map(arena, &reader, identity, &err);
    }
    if (err == TG_OK && reader.bad) {
        err = TG_ESYNTAX;
    }
    if (err == TG_OK) {
        *out = info;
    }
    msgpack_unpacked_destroy(&unpacked);
    return err;
}
