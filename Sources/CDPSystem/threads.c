#if defined(__linux__)
#define _GNU_SOURCE 1
#endif

#include "CDPPeers.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

struct cdp_monitor {
  pthread_mutex_t lock;
  pthread_cond_t news;
};

struct cdp_monitor *cdp_monitor_make(void) {
  struct cdp_monitor *monitor = malloc(sizeof *monitor);
  if (monitor == NULL) return NULL;
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
#if defined(__linux__)
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
#endif
  pthread_mutex_init(&monitor->lock, NULL);
  pthread_cond_init(&monitor->news, &attributes);
  pthread_condattr_destroy(&attributes);
  return monitor;
}

void cdp_monitor_end(struct cdp_monitor *monitor) {
  pthread_cond_destroy(&monitor->news);
  pthread_mutex_destroy(&monitor->lock);
  free(monitor);
}

void cdp_monitor_lock(struct cdp_monitor *monitor) { pthread_mutex_lock(&monitor->lock); }

void cdp_monitor_unlock(struct cdp_monitor *monitor) { pthread_mutex_unlock(&monitor->lock); }

void cdp_monitor_announce(struct cdp_monitor *monitor) { pthread_cond_broadcast(&monitor->news); }

void cdp_monitor_wait(struct cdp_monitor *monitor, int64_t nanoseconds) {
  struct timespec moment;
#if defined(__linux__)
  clock_gettime(CLOCK_MONOTONIC, &moment);
#else
  clock_gettime(CLOCK_REALTIME, &moment);
#endif
  int64_t end = moment.tv_nsec + (nanoseconds > 0 ? nanoseconds : 0);
  moment.tv_sec += end / 1000000000;
  moment.tv_nsec = end % 1000000000;
  pthread_cond_timedwait(&monitor->news, &monitor->lock, &moment);
}

/// What a new thread is told.
struct start {
  void (*body)(void *);
  void *context;
};

static void *run(void *argument) {
  struct start start = *(struct start *)argument;
  free(argument);
  start.body(start.context);
  return NULL;
}

int cdp_thread_start(void (*body)(void *), void *context, uintptr_t *thread) {
  struct start *start = malloc(sizeof *start);
  if (start == NULL) return -1;
  start->body = body;
  start->context = context;
  // Signals go to the threads that were there before.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t made;
  int failure = pthread_create(&made, NULL, run, start);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (failure != 0) free(start);
  *thread = (uintptr_t)made;
  return failure;
}

void cdp_thread_join(uintptr_t thread) { pthread_join((pthread_t)thread, NULL); }
