/* Media types by extension, and which content codings a client takes. */
#include "routes/static_private.h"

/* X(extension, type): the types of the web, as the IANA registry names them. Text says that it is UTF-8. */
#define TYPE_TABLE(X)                                                                                        \
    X("html", "text/html; charset=utf-8")                                                                    \
    X("htm", "text/html; charset=utf-8")                                                                     \
    X("css", "text/css; charset=utf-8")                                                                      \
    X("js", "text/javascript; charset=utf-8")                                                                \
    X("mjs", "text/javascript; charset=utf-8")                                                               \
    X("cjs", "text/javascript; charset=utf-8")                                                               \
    X("txt", "text/plain; charset=utf-8")                                                                    \
    X("text", "text/plain; charset=utf-8")                                                                   \
    X("log", "text/plain; charset=utf-8")                                                                    \
    X("md", "text/markdown; charset=utf-8")                                                                  \
    X("csv", "text/csv; charset=utf-8")                                                                      \
    X("tsv", "text/tab-separated-values; charset=utf-8")                                                     \
    X("ics", "text/calendar; charset=utf-8")                                                                 \
    X("vcf", "text/vcard; charset=utf-8")                                                                    \
    X("vtt", "text/vtt; charset=utf-8")                                                                      \
    X("yaml", "application/yaml")                                                                            \
    X("yml", "application/yaml")                                                                             \
    X("json", "application/json")                                                                            \
    X("map", "application/json")                                                                             \
    X("jsonld", "application/ld+json")                                                                       \
    X("geojson", "application/geo+json")                                                                     \
    X("webmanifest", "application/manifest+json")                                                            \
    X("xml", "application/xml")                                                                              \
    X("xsl", "application/xml")                                                                              \
    X("xhtml", "application/xhtml+xml")                                                                      \
    X("rss", "application/rss+xml")                                                                          \
    X("atom", "application/atom+xml")                                                                        \
    X("svg", "image/svg+xml")                                                                                \
    X("png", "image/png")                                                                                    \
    X("apng", "image/apng")                                                                                  \
    X("jpg", "image/jpeg")                                                                                   \
    X("jpeg", "image/jpeg")                                                                                  \
    X("gif", "image/gif")                                                                                    \
    X("webp", "image/webp")                                                                                  \
    X("avif", "image/avif")                                                                                  \
    X("heic", "image/heic")                                                                                  \
    X("bmp", "image/bmp")                                                                                    \
    X("ico", "image/vnd.microsoft.icon")                                                                     \
    X("tif", "image/tiff")                                                                                   \
    X("tiff", "image/tiff")                                                                                  \
    X("woff", "font/woff")                                                                                   \
    X("woff2", "font/woff2")                                                                                 \
    X("ttf", "font/ttf")                                                                                     \
    X("otf", "font/otf")                                                                                     \
    X("eot", "application/vnd.ms-fontobject")                                                                \
    X("mp3", "audio/mpeg")                                                                                   \
    X("m4a", "audio/mp4")                                                                                    \
    X("aac", "audio/aac")                                                                                    \
    X("ogg", "audio/ogg")                                                                                    \
    X("oga", "audio/ogg")                                                                                    \
    X("opus", "audio/ogg")                                                                                   \
    X("wav", "audio/wav")                                                                                    \
    X("flac", "audio/flac")                                                                                  \
    X("mp4", "video/mp4")                                                                                    \
    X("m4v", "video/mp4")                                                                                    \
    X("webm", "video/webm")                                                                                  \
    X("ogv", "video/ogg")                                                                                    \
    X("mov", "video/quicktime")                                                                              \
    X("mpeg", "video/mpeg")                                                                                  \
    X("m3u8", "application/vnd.apple.mpegurl")                                                               \
    X("ts", "video/mp2t")                                                                                    \
    X("mpd", "application/dash+xml")                                                                         \
    X("wasm", "application/wasm")                                                                            \
    X("pdf", "application/pdf")                                                                              \
    X("rtf", "application/rtf")                                                                              \
    X("zip", "application/zip")                                                                              \
    X("gz", "application/gzip")                                                                              \
    X("tgz", "application/gzip")                                                                             \
    X("bz2", "application/x-bzip2")                                                                          \
    X("xz", "application/x-xz")                                                                              \
    X("zst", "application/zstd")                                                                             \
    X("7z", "application/x-7z-compressed")                                                                   \
    X("tar", "application/x-tar")                                                                            \
    X("epub", "application/epub+zip")                                                                        \
    X("doc", "application/msword")                                                                           \
    X("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document")                     \
    X("xls", "application/vnd.ms-excel")                                                                     \
    X("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")                           \
    X("ppt", "application/vnd.ms-powerpoint")                                                                \
    X("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation")                   \
    X("odt", "application/vnd.oasis.opendocument.text")                                                      \
    X("ods", "application/vnd.oasis.opendocument.spreadsheet")

static const struct tg_string_pair types[] = {
#define X(extension, type) {TG_LIT_INIT(extension), TG_LIT_INIT(type)},
    TYPE_TABLE(X)
#undef X
};

static const struct tg_slice *look_up(const struct tg_string_pair *pairs, size_t count,
                                      struct tg_slice extension)
{
    for (size_t i = 0; i < count; i++) {
        if (tg_slice_eq_nocase(pairs[i].key, extension)) {
            return &pairs[i].value;
        }
    }
    return NULL;
}

/* What comes behind the last dot; of a name that only begins with a dot there is none. */
static struct tg_slice extension_of(struct tg_slice name)
{
    for (size_t i = name.len; i > 1 && name.ptr[i - 1] != '/'; i--) {
        if (name.ptr[i - 1] == '.' && name.ptr[i - 2] != '/') {
            return tg_slice_from(name, i);
        }
    }
    return TG_EMPTY;
}

struct tg_slice tg_static_type(const struct tg_static *files, struct tg_slice name)
{
    struct tg_slice extension = extension_of(name);
    const struct tg_slice *type = look_up(files->types.items, files->types.count, extension);
    if (type == NULL) {
        type = look_up(types, sizeof types / sizeof types[0], extension);
    }
    return type != NULL ? *type : TG_LIT("application/octet-stream");
}

/* ---- content codings ---- */

/* A weight in thousandths, `0.5` (RFC 9110 section 12.4.2); 0 for what is none. */
static int weight_of(struct tg_slice text)
{
    if (text.len == 0 || text.len > 5 || (text.ptr[0] != '0' && text.ptr[0] != '1') ||
        (text.len > 1 && text.ptr[1] != '.')) {
        return 0;
    }
    int weight = (text.ptr[0] - '0') * 1000, scale = 100;
    for (size_t i = 2; i < text.len; i++, scale /= 10) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return 0;
        }
        weight += (text.ptr[i] - '0') * scale;
    }
    return weight <= 1000 ? weight : 0;
}

static int weight_in(struct tg_slice parameters)
{
    while (parameters.len > 0) {
        struct tg_slice value;
        struct tg_slice parameter = tg_slice_cut(parameters, ';', &parameters);
        struct tg_slice name = tg_slice_trim(tg_slice_cut(parameter, '=', &value));
        if (tg_slice_eq_nocase(name, TG_LIT("q"))) {
            return weight_of(tg_slice_trim(value));
        }
    }
    return 1000;
}

/* The weights of gzip and brotli; -1: not told. */
static void read_weights(struct tg_slice list, int *gzip, int *brotli, int *any)
{
    while (list.len > 0) {
        struct tg_slice parameters;
        struct tg_slice coding =
            tg_slice_trim(tg_slice_cut(tg_slice_cut(list, ',', &list), ';', &parameters));
        int weight = weight_in(parameters);
        if (tg_slice_eq_nocase(coding, TG_LIT("gzip")) || tg_slice_eq_nocase(coding, TG_LIT("x-gzip"))) {
            *gzip = weight;
        } else if (tg_slice_eq_nocase(coding, TG_LIT("br"))) {
            *brotli = weight;
        } else if (tg_slice_eq(coding, TG_LIT("*"))) {
            *any = weight;
        }
    }
}

size_t tg_static_codings(const struct tg_headers *headers, enum tg_static_coding out[TG_STATIC_CODINGS])
{
    int gzip = -1, brotli = -1, any = -1;
    size_t count = 0;
    for (size_t i = 0; i < headers->count; i++) {
        if (tg_slice_eq_nocase(headers->items[i].name, TG_LIT("Accept-Encoding"))) {
            read_weights(headers->items[i].value, &gzip, &brotli, &any);
        }
    }
    gzip = gzip < 0 ? any : gzip;
    brotli = brotli < 0 ? any : brotli;
    if (brotli > 0 && brotli >= gzip) {
        out[count++] = TG_STATIC_BROTLI;
    }
    if (gzip > 0) {
        out[count++] = TG_STATIC_GZIP;
    }
    if (brotli > 0 && brotli < gzip) {
        out[count++] = TG_STATIC_BROTLI;
    }
    return count;
}

struct tg_slice tg_static_coding_suffix(enum tg_static_coding coding)
{
    return coding == TG_STATIC_BROTLI ? TG_LIT(".br") : coding == TG_STATIC_GZIP ? TG_LIT(".gz") : TG_EMPTY;
}

struct tg_slice tg_static_coding_name(enum tg_static_coding coding)
{
    return coding == TG_STATIC_BROTLI ? TG_LIT("br") : coding == TG_STATIC_GZIP ? TG_LIT("gzip") : TG_EMPTY;
}
