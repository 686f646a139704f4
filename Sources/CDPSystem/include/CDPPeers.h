// System calls for ranks that find each other: sockets of this machine, credentials, descriptors.

#ifndef CDP_PEERS_H
#define CDP_PEERS_H

#include <stddef.h>
#include <stdint.h>

/// Listens on a name that lives in memory alone, of `length` bytes; it is gone with its last
/// descriptor. Returns a descriptor, or -1 with errno set; ENOSYS where the system has no such names.
int cdp_listen_by_name(const char *name, size_t length);

/// Connects to a name of `cdp_listen_by_name`. Returns a descriptor, which never blocks, or -1 with errno
/// set; EAGAIN where more wait there than are heard.
int cdp_connect_by_name(const char *name, size_t length);

/// Two connected sockets; 0, or -1 with errno set.
int cdp_socket_pair(int sockets[2]);

/// The user at the other end of a socket of this machine; 0, or -1 with errno set.
int cdp_peer_user(int socket, uint32_t *user);

/// Gives a descriptor to the process at the other end; 0, or -1 with errno set.
int cdp_send_descriptor(int socket, int descriptor);

/// Takes a descriptor that the other end gives; -1 with errno set, EPROTO where none came.
int cdp_receive_descriptor(int socket);

/// What can be said of an open file's safety: 0 where it is a regular file that only its owner can
/// use, who is this process's user or the system's; 1 where it is no regular file, 2 where others can
/// use it, 3 where it is another user's; -1 with errno set.
int cdp_private_file(int descriptor);

/// A lock at which threads also wait for news.
struct cdp_monitor;

/// A monitor, or NULL where there is no memory.
struct cdp_monitor *cdp_monitor_make(void);
/// Ends a monitor that nobody uses.
void cdp_monitor_end(struct cdp_monitor *monitor);
/// Takes the lock.
void cdp_monitor_lock(struct cdp_monitor *monitor);
/// Gives the lock back.
void cdp_monitor_unlock(struct cdp_monitor *monitor);
/// Wakes all who wait.
void cdp_monitor_announce(struct cdp_monitor *monitor);
/// Waits for news, without the lock meanwhile; may wake early.
void cdp_monitor_wait(struct cdp_monitor *monitor, int64_t nanoseconds);

/// Starts a thread that takes no signals; 0, or an error's number. `*thread` is for the join.
int cdp_thread_start(void (*body)(void *), void *context, uintptr_t *thread);
/// Waits for a thread's end; once.
void cdp_thread_join(uintptr_t thread);

/// Keeps this process's memory out of core files and away from other processes of the user; 0, or -1
/// with errno set.
int cdp_forbid_dumps(void);

/// Overwrites memory with zeros, also where nobody looks at it again.
void cdp_erase(void *memory, size_t length);

#endif
