#include "server/io/resolver.h"

#include <assert.h>
#include <netdb.h>
#include <stdlib.h>
#include <uv.h>

#include "server/base/map.h"

enum { NAME_MAX_LEN = 253, MAX_ADDRESSES = 16 };

struct lookup;

/* What is known of a name. Held by the cache, by each question that waits for it, and while it calls back. */
struct entry {
    struct tg_list node;      /* in tg_resolver.answered, or by itself while the lookup runs */
    struct tg_list questions; /* waiting for the lookup */
    struct lookup *lookup;    /* NULL: answered */
    uint64_t expires_ms;
    unsigned references;
    enum tg_err err;
    size_t count;
    struct tg_address addresses[MAX_ADDRESSES];
    size_t name_len;
    char name[NAME_MAX_LEN + 1];
};

/* A call of getaddrinfo on another thread; cannot be recalled, so it may outlive whoever asked. */
struct lookup {
    uv_getaddrinfo_t uv;
    struct tg_resolver *resolver;
    struct entry *entry; /* NULL: nobody is interested any more */
};

struct tg_resolver {
    struct tg_loop *loop;
    struct tg_resolver_options options;
    struct tg_map entries;   /* lower-case name to entry */
    struct tg_list answered; /* entries, the oldest answer first */
};

struct tg_resolve {
    struct tg_list node; /* in entry.questions */
    struct tg_task task; /* for an answer known at once */
    struct entry *entry;
    uint16_t port;
    tg_resolved_fn *done;
    void *arg;
};

static struct entry *entry_new(void)
{
    struct entry *entry = calloc(1, sizeof(*entry));
    if (entry != NULL) {
        tg_list_init(&entry->node);
        tg_list_init(&entry->questions);
        entry->references = 1;
    }
    return entry;
}

static void entry_unref(struct entry *entry)
{
    if (--entry->references == 0) {
        free(entry);
    }
}

/* Takes an entry out of the cache. */
static void forget(struct tg_resolver *resolver, struct entry *entry)
{
    struct entry *taken = tg_map_remove(&resolver->entries, tg_slice_make(entry->name, entry->name_len));
    assert(taken == entry);
    (void)taken;
    tg_list_remove(&entry->node);
    entry_unref(entry);
}

/* Frees the question and calls back. */
static void answer(struct tg_resolve *question)
{
    struct tg_address addresses[MAX_ADDRESSES];
    struct tg_resolve asked = *question;
    struct entry *entry = asked.entry;
    enum tg_err err = entry->err;
    size_t count = entry->count;
    free(question);
    for (size_t i = 0; i < count; i++) {
        addresses[i] = entry->addresses[i];
        tg_address_set_port(&addresses[i], asked.port);
    }
    entry_unref(entry);
    asked.done(asked.arg, err, addresses, count);
}

static void on_task(struct tg_task *task)
{
    answer(TG_CONTAINER(task, struct tg_resolve, task));
}

static void take_addresses(struct entry *entry, const struct addrinfo *info)
{
    for (; info != NULL && entry->count < MAX_ADDRESSES; info = info->ai_next) {
        if (info->ai_family == AF_INET || info->ai_family == AF_INET6) {
            struct tg_address *address = &entry->addresses[entry->count++];
            memcpy(&address->storage, info->ai_addr, info->ai_addrlen);
            address->len = info->ai_addrlen;
        }
    }
}

static void on_lookup(uv_getaddrinfo_t *request, int status, struct addrinfo *info)
{
    struct lookup *lookup = request->data;
    struct tg_resolver *resolver = lookup->resolver;
    struct entry *entry = lookup->entry;
    free(lookup);
    if (entry == NULL) {
        uv_freeaddrinfo(info);
        return;
    }
    if (status == 0) {
        take_addresses(entry, info);
    }
    uv_freeaddrinfo(info);
    entry->err = entry->count > 0 ? TG_OK : TG_EDNS;
    entry->lookup = NULL;
    uint64_t ttl = entry->err == TG_OK ? resolver->options.ttl_ms : resolver->options.negative_ttl_ms;
    entry->expires_ms = tg_loop_now_ms(resolver->loop) + ttl;
    tg_list_append(&resolver->answered, &entry->node);
    /* From here on a callback may free the resolver. */
    entry->references++;
    struct tg_list *node;
    while ((node = tg_list_pop(&entry->questions)) != NULL) {
        answer(TG_CONTAINER(node, struct tg_resolve, node));
    }
    entry_unref(entry);
}

static enum tg_err start_lookup(struct tg_resolver *resolver, struct entry *entry)
{
    struct addrinfo hints = {.ai_flags = AI_ADDRCONFIG, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (lookup == NULL) {
        return TG_ENOMEM;
    }
    lookup->uv.data = lookup;
    lookup->resolver = resolver;
    lookup->entry = entry;
    uv_loop_t *loop = tg_loop_native(resolver->loop);
    int status = uv_getaddrinfo(loop, &lookup->uv, on_lookup, entry->name, NULL, &hints);
    if (status != 0) {
        free(lookup);
        return status == UV_ENOMEM ? TG_ENOMEM : TG_EINVAL; /* a name that IDNA does not allow */
    }
    entry->lookup = lookup;
    return TG_OK;
}

/* Makes room for one more name; TG_EBUSY when every one is being looked up. */
static enum tg_err make_room(struct tg_resolver *resolver)
{
    if (resolver->entries.count < resolver->options.max_entries) {
        return TG_OK;
    }
    if (tg_list_empty(&resolver->answered)) {
        return TG_EBUSY;
    }
    forget(resolver, TG_CONTAINER(resolver->answered.next, struct entry, node));
    return TG_OK;
}

static enum tg_err look_up(struct tg_resolver *resolver, struct tg_slice name, struct entry **out)
{
    enum tg_err err = make_room(resolver);
    if (err != TG_OK) {
        return err;
    }
    struct entry *entry = entry_new();
    if (entry == NULL) {
        return TG_ENOMEM;
    }
    memcpy(entry->name, name.ptr, name.len);
    entry->name_len = name.len;
    err = tg_map_add(&resolver->entries, name, entry);
    if (err != TG_OK) {
        entry_unref(entry);
        return err;
    }
    err = start_lookup(resolver, entry);
    if (err != TG_OK) {
        forget(resolver, entry);
        return err;
    }
    *out = entry;
    return TG_OK;
}

/* The cached, running or new entry of a name; the reference to it is the cache's. */
static enum tg_err find_entry(struct tg_resolver *resolver, struct tg_slice host, struct entry **out)
{
    char name[NAME_MAX_LEN];
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        name[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
    }
    struct tg_slice key = tg_slice_make(name, host.len);
    struct entry *entry = tg_map_get(&resolver->entries, key);
    if (entry != NULL && entry->lookup == NULL && entry->expires_ms <= tg_loop_now_ms(resolver->loop)) {
        forget(resolver, entry);
        entry = NULL;
    }
    if (entry == NULL) {
        return look_up(resolver, key, out);
    }
    *out = entry;
    return TG_OK;
}

/* An entry of a literal address, outside the cache; the reference to it is the caller's. */
static enum tg_err literal_entry(const struct tg_address *address, struct entry **out)
{
    struct entry *entry = entry_new();
    if (entry == NULL) {
        return TG_ENOMEM;
    }
    entry->addresses[0] = *address;
    entry->count = 1;
    *out = entry;
    return TG_OK;
}

enum tg_err tg_resolver_ask(struct tg_resolver *resolver, struct tg_slice host, uint16_t port,
                            tg_resolved_fn *done, void *arg, struct tg_resolve **out)
{
    struct tg_address address;
    struct entry *entry;
    if (host.len == 0 || host.len > NAME_MAX_LEN || memchr(host.ptr, '\0', host.len) != NULL) {
        return TG_EINVAL;
    }
    struct tg_resolve *question = calloc(1, sizeof(*question));
    if (question == NULL) {
        return TG_ENOMEM;
    }
    bool literal = tg_address_parse_ip(host, &address) == TG_OK;
    enum tg_err err = literal ? literal_entry(&address, &entry) : find_entry(resolver, host, &entry);
    if (err != TG_OK) {
        free(question);
        return err;
    }
    *question = (struct tg_resolve){.entry = entry, .port = port, .done = done, .arg = arg};
    tg_list_init(&question->node);
    tg_task_init(&question->task, on_task);
    entry->references += literal ? 0 : 1;
    if (entry->lookup != NULL) {
        tg_list_append(&entry->questions, &question->node);
    } else {
        tg_task_defer(resolver->loop, &question->task);
    }
    *out = question;
    return TG_OK;
}

/* A lookup that nobody waits for any more goes on and fills the cache. */
void tg_resolve_cancel(struct tg_resolve *question)
{
    if (question == NULL) {
        return;
    }
    tg_list_remove(&question->node);
    tg_task_cancel(&question->task);
    entry_unref(question->entry);
    free(question);
}

enum tg_err tg_resolver_new(struct tg_loop *loop, const struct tg_resolver_options *options,
                            struct tg_resolver **out)
{
    struct tg_resolver *resolver = calloc(1, sizeof(*resolver));
    if (resolver == NULL) {
        return TG_ENOMEM;
    }
    resolver->loop = loop;
    resolver->options = *options;
    tg_map_init(&resolver->entries, tg_loop_now_ns());
    tg_list_init(&resolver->answered);
    *out = resolver;
    return TG_OK;
}

static void drop_entry(void *value)
{
    struct entry *entry = value;
    if (entry->lookup != NULL) {
        entry->lookup->entry = NULL;
        (void)uv_cancel((uv_req_t *)&entry->lookup->uv);
    }
    tg_list_remove(&entry->node);
    entry_unref(entry);
}

void tg_resolver_free(struct tg_resolver *resolver)
{
    if (resolver != NULL) {
        tg_map_free(&resolver->entries, drop_entry);
        free(resolver);
    }
}
