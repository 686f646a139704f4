// What tests look at from outside of Swift: allocations and system calls of a thread.

#ifndef C_TEST_SUPPORT_H
#define C_TEST_SUPPORT_H

#include <stdint.h>

/// How often the calling thread has asked for memory; -1 where that is not counted.
///
/// Counted by functions that take the place of the C library's own, in every program that this target
/// is linked into: with the GNU C library, and without sanitizers, which have their own.
int64_t test_allocations(void);

/// Ends the process by SIGSYS at the calling thread's next system call, whichever it is.
///
/// Returns 0, or -1 where the system cannot do that.
int test_forbid_calls(void);

/// A system call that changes nothing.
void test_make_call(void);

#endif
