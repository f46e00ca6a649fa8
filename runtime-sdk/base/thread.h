/* thread.h - threads that no signal interrupts: signals are for the thread that was there first. */
#pragma once
#include <pthread.h>

/* Starts fn(arg) with every signal blocked; pthread_join() it. -errno */
int thread_start(pthread_t *ret, void *(*fn)(void *arg), void *arg);
