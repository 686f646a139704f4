#if defined(__linux__)
#define _GNU_SOURCE 1
#endif

#include "CTestSupport.h"

#include <unistd.h>

void test_make_call(void) { (void)getppid(); }

#if defined(__linux__)

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

int test_forbid_calls(void) {
  struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
  struct sock_fprog program = {1, all};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

#else

int test_forbid_calls(void) { return -1; }

#endif
