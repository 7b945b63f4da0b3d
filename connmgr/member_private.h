/* What the files of the membership share; private to connmgr/member*.c. member.c keeps this node's number and
 * lease, member_look.c looks after the others'. */
#ifndef TG_CONNMGR_MEMBER_PRIVATE_H
#define TG_CONNMGR_MEMBER_PRIVATE_H

#include "connmgr/uplink.h"
#include "connmgr/member.h"

enum { TG_MEMBER_FORMERS = 16 };

struct tg_member_former {
    uint32_t node; /* 0: none */
    char token[TG_TOKEN_LEN];
    uint64_t known_until_ms; /* by tg_loop_boot_ms: Redis knows what others did with it */
};

struct tg_member {
    struct tg_cluster *cluster;
    struct tg_loop *loop;
    struct tg_log *log;
    const struct tg_member_events *events;
    void *arg;
    struct tg_uplink *link;
    struct tg_uplink_watch watch;
    struct tg_timer tick;
    uint32_t node; /* 0: none */
    char token[TG_TOKEN_LEN];
    uint64_t kept_ms;                    /* when the last success was sent */
    uint64_t sent_ms;                    /* when the command under way was */
    uint64_t kept_boot_ms, sent_boot_ms; /* the same by tg_loop_boot_ms */
    bool busy;                           /* a command about the own lease is under way */
    uint32_t wanted;                     /* the number that is being acquired */
    uint64_t clock_sent_ms, clock_due_ms;
    uint64_t look_due_ms;
    bool looking, leaving, left;
    bool standing_back;                                 /* the dead are left to others */
    struct tg_member_former formers[TG_MEMBER_FORMERS]; /* this process's own earlier numbers */
    size_t next_former;
    uint32_t claims[TG_MEMBER_CLAIMS]; /* being dealt with here; 0: free */
    uint64_t takeovers, losses;
};

/* Redis has forgotten that this node is there, and so perhaps others. */
void tg_member_enter_index(struct tg_member *member);
/* Looks for the dead, now. */
void tg_member_look(struct tg_member *member);

#endif
