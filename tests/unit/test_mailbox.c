#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "server/io/loop.h"

enum { SENDERS = 4, MAILS = 2000 };

struct letter {
    struct tg_mail mail;
    int sender;
    int number;
};

struct office {
    struct tg_loop *loop;
    struct tg_mailbox *box;
    int received, dropped;
    int last[SENDERS];
    int close_at; /* closes the box when so many were received */
};

struct sender {
    struct office *office;
    pthread_t thread;
    int id;
};

static struct letter *letter_new(int sender, int number)
{
    struct letter *letter = calloc(1, sizeof(*letter));
    assert_non_null(letter);
    letter->sender = sender;
    letter->number = number;
    return letter;
}

static void drop(void *arg, struct tg_mail *mail)
{
    struct office *office = arg;
    office->dropped++;
    free(TG_CONTAINER(mail, struct letter, mail));
}

static void deliver(void *arg, struct tg_mail *mail)
{
    struct office *office = arg;
    struct letter *letter = TG_CONTAINER(mail, struct letter, mail);
    assert_int_equal(letter->number, office->last[letter->sender] + 1);
    office->last[letter->sender] = letter->number;
    office->received++;
    free(letter);
    if (office->received == office->close_at) {
        tg_mailbox_close(office->box, drop);
        tg_mailbox_free(office->box);
        office->box = NULL;
    }
}

static void post(struct office *office, int sender, int number)
{
    assert_int_equal(tg_mailbox_post(office->box, &letter_new(sender, number)->mail), TG_OK);
}

static void *send_all(void *arg)
{
    struct sender *sender = arg;
    for (int number = 1; number <= MAILS; number++) {
        struct letter *letter = letter_new(sender->id, number);
        while (tg_mailbox_post(sender->office->box, &letter->mail) == TG_EBUSY) {
            sched_yield();
        }
    }
    return NULL;
}

static void test_many_threads_keep_order(void **state)
{
    (void)state;
    struct office office = {0};
    struct sender senders[SENDERS];
    assert_int_equal(tg_loop_new(&office.loop), TG_OK);
    assert_int_equal(tg_mailbox_new(office.loop, 100, deliver, &office, &office.box), TG_OK);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.office = &office, .id = i};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
    }
    while (office.received < SENDERS * MAILS) {
        tg_loop_run_once(office.loop);
    }
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
        assert_int_equal(office.last[i], MAILS);
    }
    tg_mailbox_close(office.box, drop);
    tg_mailbox_free(office.box);
    tg_loop_free(office.loop);
    assert_int_equal(office.dropped, 0);
}

static void test_limit_and_close(void **state)
{
    (void)state;
    struct office office = {0};
    assert_int_equal(tg_loop_new(&office.loop), TG_OK);
    assert_int_equal(tg_mailbox_new(office.loop, 3, deliver, &office, &office.box), TG_OK);
    struct letter *extra = letter_new(0, 4);
    post(&office, 0, 1);
    post(&office, 0, 2);
    post(&office, 0, 3);
    assert_int_equal(tg_mailbox_post(office.box, &extra->mail), TG_EBUSY);
    assert_int_equal(office.received, 0); /* never from inside the post */
    tg_loop_run_once(office.loop);
    assert_int_equal(office.received, 3);
    assert_int_equal(tg_mailbox_post(office.box, &extra->mail), TG_OK);
    post(&office, 0, 5);
    tg_mailbox_close(office.box, drop);
    assert_int_equal(office.dropped, 2);
    extra = letter_new(0, 6);
    assert_int_equal(tg_mailbox_post(office.box, &extra->mail), TG_ECLOSED);
    free(extra);
    tg_mailbox_free(office.box);
    tg_mailbox_free(NULL);
    tg_loop_free(office.loop);
    assert_int_equal(office.received, 3);
}

static void test_closed_and_freed_by_a_delivery(void **state)
{
    (void)state;
    struct office office = {.close_at = 2};
    assert_int_equal(tg_loop_new(&office.loop), TG_OK);
    assert_int_equal(tg_mailbox_new(office.loop, 10, deliver, &office, &office.box), TG_OK);
    for (int number = 1; number <= 5; number++) {
        post(&office, 0, number);
    }
    tg_loop_run_once(office.loop);
    assert_int_equal(office.received, 2);
    assert_int_equal(office.dropped, 3);
    assert_null(office.box);
    tg_loop_free(office.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_threads_keep_order),
        cmocka_unit_test(test_limit_and_close),
        cmocka_unit_test(test_closed_and_freed_by_a_delivery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
