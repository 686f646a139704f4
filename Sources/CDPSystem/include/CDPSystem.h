// System calls that Swift's view of the C library lacks: variadic ones, macros, Linux's own.

#ifndef CDP_SYSTEM_H
#define CDP_SYSTEM_H

#include <stddef.h>
#include <stdint.h>

#include "CDPPeers.h"

/// A file that has no name and lives in memory, open for this process and for those it starts.
///
/// Returns a descriptor, or -1 with errno set; ENOSYS where the system has no such files.
int cdp_memory_file(const char *label);

/// Sleeps while `*word` is `expected`, until a wake or for at most `nanoseconds`; may wake early.
///
/// Works between processes that share the word's page. Where the system has no such call, sleeps for
/// 50 microseconds at most.
void cdp_wait_word(const uint32_t *word, uint32_t expected, int64_t nanoseconds);

/// Wakes all who sleep on `word`.
void cdp_wake_word(const uint32_t *word);

/// How many processors this process may run on; at least 1.
int cdp_processors(void);

/// Keeps this process on one part of the processors that it may run on: part `part` of `parts` equal
/// ones. 0, or -1 where there are fewer processors than parts, or no such call.
int cdp_keep_to_part(int part, int parts);

/// Has the system end this process when its parent ends; 0, or -1 where it cannot.
int cdp_end_with_parent(void);

/// Whether no process of a number is left: neither running nor waiting to be asked for its status.
int cdp_process_has_ended(int process);

/// A number that processes share for which numbers of processes mean the same; 0 where it is unknown.
uint32_t cdp_process_space(void);

/// Names TCP's congestion control; 0, or -1 with errno set.
int cdp_set_congestion_control(int socket, const char *name);

/// Lets other processors go first for a few cycles: for loops that wait.
static inline void cdp_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

#endif
