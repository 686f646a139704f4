#if defined(__linux__)
#define _GNU_SOURCE 1
#endif

#include "CDPSystem.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int cdp_process_has_ended(int process) { return kill(process, 0) != 0 && errno == ESRCH; }

#if defined(__linux__)

#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

int cdp_memory_file(const char *label) { return memfd_create(label, 0); }

void cdp_wait_word(const uint32_t *word, uint32_t expected, int64_t nanoseconds) {
  struct timespec timeout = {nanoseconds / 1000000000, nanoseconds % 1000000000};
  // Not FUTEX_PRIVATE: the word may lie in memory that processes share.
  syscall(SYS_futex, word, FUTEX_WAIT, expected, &timeout, NULL, 0);
}

void cdp_wake_word(const uint32_t *word) {
  syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

int cdp_processors(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return (int)sysconf(_SC_NPROCESSORS_ONLN);
  return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}

int cdp_keep_to_part(int part, int parts) {
  cpu_set_t allowed, own;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return -1;
  int count = CPU_COUNT(&allowed);
  if (part < 0 || parts < 1 || part >= parts || count < parts) return -1;
  int first = count * part / parts, end = count * (part + 1) / parts;
  CPU_ZERO(&own);
  for (int cpu = 0, seen = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    if (seen >= first && seen < end) CPU_SET(cpu, &own);
    seen++;
  }
  return sched_setaffinity(0, sizeof own, &own);
}

int cdp_end_with_parent(void) { return prctl(PR_SET_PDEATHSIG, SIGKILL); }

uint32_t cdp_process_space(void) {
  struct stat space;
  return stat("/proc/self/ns/pid", &space) == 0 ? (uint32_t)space.st_ino : 0;
}

int cdp_set_congestion_control(int socket, const char *name) {
  return setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name));
}

#else

int cdp_memory_file(const char *label) {
  errno = ENOSYS;
  return -1;
}

void cdp_wait_word(const uint32_t *word, uint32_t expected, int64_t nanoseconds) {
  int64_t most = nanoseconds < 50000 ? nanoseconds : 50000;
  struct timespec pause = {0, most > 0 ? most : 0};
  if (*(volatile const uint32_t *)word == expected) nanosleep(&pause, NULL);
}

void cdp_wake_word(const uint32_t *word) {}

int cdp_processors(void) {
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count > 0 ? (int)count : 1;
}

int cdp_keep_to_part(int part, int parts) { return -1; }

int cdp_end_with_parent(void) { return -1; }

uint32_t cdp_process_space(void) { return 0; }

int cdp_set_congestion_control(int socket, const char *name) {
  errno = ENOSYS;
  return -1;
}

#endif
