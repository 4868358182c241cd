/* SPDX-License-Identifier: MIT */
/* Doubly linked lists whose links live in their members; a head is a link of its own. */
#ifndef SHARD_BASE_LIST_H
#define SHARD_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define list_entry(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

static inline void list_init(struct list *head)
{
	head->next = head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_push(struct list *head, struct list *link) /* at the end */
{
	link->prev = head->prev;
	link->next = head;
	head->prev->next = link;
	head->prev = link;
}

static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	link->next = link->prev = link;
}

static inline struct list *list_pop(struct list *head)
{
	struct list *link = head->next;

	list_remove(link);
	return link;
}

/* Moves the members of FROM that stand before STOP (its head: all) behind those of TO. */
static inline void list_move_front(struct list *to, struct list *from, struct list *stop)
{
	struct list *first = from->next, *last = stop->prev;

	if (first == stop)
		return;
	from->next = stop;
	stop->prev = from;
	first->prev = to->prev;
	to->prev->next = first;
	last->next = to;
	to->prev = last;
}

/* Moves all of FROM behind the members of TO. */
static inline void list_splice(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#endif
