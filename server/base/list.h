/* An intrusive doubly linked list. The head is a node of its own; an unlinked node points to itself. */
#ifndef TG_BASE_LIST_H
#define TG_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct tg_list {
    struct tg_list *prev, *next;
};

/* The struct of type `type` whose member `member` is the node `ptr`. */
#define TG_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void tg_list_init(struct tg_list *node)
{
    node->prev = node;
    node->next = node;
}

static inline bool tg_list_empty(const struct tg_list *head)
{
    return head->next == head;
}

static inline void tg_list_append(struct tg_list *head, struct tg_list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void tg_list_prepend(struct tg_list *head, struct tg_list *node)
{
    tg_list_append(head->next, node);
}

/* Safe on an unlinked, initialised node. */
static inline void tg_list_remove(struct tg_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    tg_list_init(node);
}

/* Unlinks and returns the first node, or NULL. */
static inline struct tg_list *tg_list_pop(struct tg_list *head)
{
    struct tg_list *node = head->next;
    if (node == head) {
        return NULL;
    }
    head->next = node->next;
    head->next->prev = head;
    tg_list_init(node);
    return node;
}

#endif
