#if defined(__linux__)
#define _GNU_SOURCE 1
#endif

#include "CDPPeers.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/prctl.h>
#endif

/// Keeps a descriptor from programs that this process starts.
static int kept(int descriptor) {
  if (descriptor >= 0) fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  return descriptor;
}

#if defined(__linux__)

/// The address of a name in memory: a zero byte, then the name.
static socklen_t address_of(const char *name, size_t length, struct sockaddr_un *address) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (length > sizeof address->sun_path - 1) length = sizeof address->sun_path - 1;
  memcpy(address->sun_path + 1, name, length);
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
}

static int closed(int socket) {
  int reason = errno;
  close(socket);
  errno = reason;
  return -1;
}

int cdp_listen_by_name(const char *name, size_t length) {
  struct sockaddr_un address;
  socklen_t size = address_of(name, length, &address);
  int made = kept(socket(AF_UNIX, SOCK_STREAM, 0));
  if (made < 0) return -1;
  if (bind(made, (struct sockaddr *)&address, size) != 0 || listen(made, 128) != 0)
    return closed(made);
  return made;
}

int cdp_connect_by_name(const char *name, size_t length) {
  struct sockaddr_un address;
  socklen_t size = address_of(name, length, &address);
  // A call that blocks would wait without a deadline where more wait than are heard.
  int made = kept(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
  if (made < 0) return -1;
  if (connect(made, (struct sockaddr *)&address, size) != 0) return closed(made);
  return made;
}

int cdp_peer_user(int socket, uint32_t *user) {
  struct ucred who;
  socklen_t size = sizeof who;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return -1;
  *user = who.uid;
  return 0;
}

#else

int cdp_listen_by_name(const char *name, size_t length) {
  errno = ENOSYS;
  return -1;
}

int cdp_connect_by_name(const char *name, size_t length) {
  errno = ENOSYS;
  return -1;
}

int cdp_peer_user(int socket, uint32_t *user) {
  uid_t who;
  gid_t group;
  if (getpeereid(socket, &who, &group) != 0) return -1;
  *user = who;
  return 0;
}

#endif

int cdp_socket_pair(int sockets[2]) {
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0) return -1;
  kept(sockets[0]);
  kept(sockets[1]);
  return 0;
}

/// Room for one descriptor beside a message, aligned as its header has to be.
union control {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

int cdp_send_descriptor(int socket, int descriptor) {
  char byte = 1;
  struct iovec part = {&byte, 1};
  union control control;
  memset(&control, 0, sizeof control);
  struct msghdr message = {0};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
#if defined(__linux__)
  int flags = MSG_NOSIGNAL;
#else
  int flags = 0;
#endif
  return sendmsg(socket, &message, flags) == 1 ? 0 : -1;
}

int cdp_receive_descriptor(int socket) {
  char byte = 0;
  struct iovec part = {&byte, 1};
  union control control;
  struct msghdr message = {0};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  ssize_t count = recvmsg(socket, &message, 0);
  if (count < 0) return -1;
  struct cmsghdr *header = count == 1 ? CMSG_FIRSTHDR(&message) : NULL;
  if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
      header->cmsg_len != CMSG_LEN(sizeof(int))) {
    errno = EPROTO;
    return -1;
  }
  int descriptor;
  memcpy(&descriptor, CMSG_DATA(header), sizeof(int));
  return kept(descriptor);
}

int cdp_private_file(int descriptor) {
  struct stat status;
  if (fstat(descriptor, &status) != 0) return -1;
  if (!S_ISREG(status.st_mode)) return 1;
  if ((status.st_mode & 077) != 0) return 2;
  return status.st_uid == geteuid() || status.st_uid == 0 ? 0 : 3;
}

int cdp_forbid_dumps(void) {
  struct rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) return -1;
#if defined(__linux__)
  return prctl(PR_SET_DUMPABLE, 0);
#else
  return 0;
#endif
}

void cdp_erase(void *memory, size_t length) {
#if defined(__linux__)
  explicit_bzero(memory, length);
#else
  memset_s(memory, length, 0, length);
#endif
}
