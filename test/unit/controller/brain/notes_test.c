/* Notes: counted when they happen again, bounded, gone after an hour. */
#include "brain/notes.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct notes *notes;
static struct note **found;
static size_t count;
static uint64_t latest;

static void begin(void)
{
    ck_assert_int_eq(notes_new(100, &notes), 0);
}

static void forget(void)
{
    for (size_t i = 0; i < count; i++)
        note_unref(found[i]);
    free(found);
    found = NULL;
    count = 0;
}

static void end(void)
{
    forget();
    notes_free(notes);
}

static void add(const char *ns, const char *name, const char *reason, const char *message, uint64_t at)
{
    ck_assert_int_eq(notes_add(notes,
                               &(struct note_of){.kind = *ns ? "Function" : "Node",
                                                 .ns = ns,
                                                 .name = name,
                                                 .object_uid = "u-1",
                                                 .reason = reason,
                                                 .message = message},
                               at),
                     0);
}

static void look_some(const char *ns, uint64_t after, size_t most, uint64_t at)
{
    forget();
    ck_assert_int_eq(notes_since(notes, ns, after, most, at, &found, &count, &latest), 0);
}

static void look(const char *ns, uint64_t after, uint64_t at)
{
    look_some(ns, after, 0, at);
}

START_TEST(again_is_counted)
{
    char uid[37];

    begin();
    add("a", "f", "Failed", "so", 1000);
    add("a", "f", "ScaledUp", "from 0 to 1", 1001);
    look(NULL, 0, 1001);
    strcpy(uid, found[0]->uid);
    add("a", "f", "Failed", "so", 1005);
    add("a", "f", "Failed", "otherwise", 1006);
    add("a", "g", "Failed", "so", 1007);
    look("", 0, 1010);
    ck_assert_uint_eq(count, 4); /* in the order in which they were heard of last */
    ck_assert_str_eq(found[0]->reason, "ScaledUp");
    ck_assert_str_eq(found[1]->message, "so");
    ck_assert_str_eq(found[1]->uid, uid);
    ck_assert_uint_eq(found[1]->count, 2);
    ck_assert_uint_eq(found[1]->first_s, 1000);
    ck_assert_uint_eq(found[1]->last_s, 1005);
    ck_assert_uint_eq(found[2]->count, 1);
    ck_assert_str_eq(found[3]->name, "g");
    ck_assert_uint_eq(latest, 105);
    ck_assert_uint_eq(found[3]->rv, 105);
    end();
}
END_TEST

START_TEST(since_and_namespace)
{
    begin();
    add("a", "f", "One", "", 1000);
    add("b", "f", "Two", "", 1000);
    add("", "n1", "Three", "", 1000); /* a node's are in default */
    look("b", 0, 1000);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(found[0]->reason, "Two");
    look("default", 0, 1000);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(found[0]->kind, "Node");
    look(NULL, 101, 1000);
    ck_assert_uint_eq(count, 2);
    look(NULL, 103, 1000);
    ck_assert_uint_eq(count, 0);
    add("a", "f", "One", "", 1001); /* what happened again is news */
    look(NULL, 103, 1001);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(found[0]->count, 2);
    end();
}
END_TEST

/* Page by page nothing is missed, twice, or another namespace's. */
START_TEST(so_many_at_once)
{
    char name[16];

    begin();
    for (int i = 0; i < 9; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        add(i % 2 ? "b" : "a", name, "One", "", 1000);
    }
    look_some("a", 0, 2, 1000);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(found[1]->name, "f2");
    ck_assert_uint_eq(latest, 103);
    add("a", "f0", "One", "", 1001);
    look_some("a", latest, 2, 1001);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(found[0]->name, "f4");
    look_some("a", latest, 2, 1001);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(found[1]->name, "f0");
    ck_assert_uint_eq(found[1]->first_rv, 101); /* it is no new one */
    look_some("a", latest, 2, 1001);
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(latest, 110);
    end();
}
END_TEST

START_TEST(after_an_hour)
{
    begin();
    add("a", "f", "One", "", 1000);
    add("a", "f", "Two", "", 1100);
    look(NULL, 0, 1000 + NOTE_SECONDS);
    ck_assert_uint_eq(count, 2);
    look(NULL, 0, 1001 + NOTE_SECONDS);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(found[0]->reason, "Two");
    add("a", "g", "Three", "", 9000);
    look(NULL, 0, 9000);
    ck_assert_uint_eq(count, 1);
    end();
}
END_TEST

START_TEST(bounded)
{
    char name[32], message[NOTE_MESSAGE_MAX + 2];

    begin();
    for (int i = 0; i < NOTES_PER_OBJECT + 5; i++) {
        snprintf(name, sizeof(name), "%d", i);
        add("a", "f", "Scaled", name, 1000);
    }
    look(NULL, 0, 1000);
    ck_assert_uint_eq(count, NOTES_PER_OBJECT);
    ck_assert_str_eq(found[0]->message, "5");
    for (int i = 0; i < NOTES_MAX + 5; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        add("b", name, "Scaled", "", 1000);
    }
    look(NULL, 0, 1000);
    ck_assert_uint_eq(count, NOTES_MAX);
    ck_assert_str_eq(found[0]->name, "f5");
    add("b", "f5", "Other", "", 1000); /* the oldest of all is its own and its only one */
    look("b", 0, 1000);
    ck_assert_uint_eq(count, NOTES_MAX);
    ck_assert_str_eq(found[0]->name, "f6");
    memset(message, 'x', sizeof(message));
    message[sizeof(message) - 1] = '\0';
    add("b", "long", "Scaled", message, 1000);
    look("b", latest, 1000);
    ck_assert_uint_eq(strlen(found[0]->message), NOTE_MESSAGE_MAX);
    end();
}
END_TEST

UNIT_MAIN("notes", again_is_counted, since_and_namespace, so_many_at_once, after_an_hour, bounded)
