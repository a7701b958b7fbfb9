// A connection to a vfio-user server: one command, one reply, each bounded in time. Source: the
// vfio-user specification (QEMU's docs/interop/vfio-user.rst). Servers that send commands of
// their own are not understood: all memory is given to them as fds.
#include "preload.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_MS 10000
#define MAX_FDS 8
#define FLAG_REPLY 0x01
#define FLAG_ERROR 0x20

typedef struct {
  uint16_t id, command;
  uint32_t size, flags, error;
} header;

typedef union {
  struct cmsghdr align;
  char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
} ancillary;

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static int wait_for(int fd, short events, int64_t deadline) {
  for (;;) {
    struct pollfd entry = {fd, events, 0};
    int64_t left = deadline - now_ms();
    if (left <= 0) return -ETIMEDOUT;
    int ready = poll(&entry, 1, (int)left);
    if (ready > 0) return 0;
    if (ready < 0 && errno != EINTR) return -errno;
  }
}

static int send_all(int fd, struct iovec *parts, const ixy_message *message, int64_t deadline) {
  ancillary control;
  struct msghdr out = {.msg_iov = parts, .msg_iovlen = 2};
  if (message->fd_count > 0) {
    memset(&control, 0, sizeof control);
    out.msg_control = &control;
    out.msg_controllen = CMSG_SPACE(message->fd_count * sizeof(int));
    struct cmsghdr *head = CMSG_FIRSTHDR(&out);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(message->fd_count * sizeof(int));
    memcpy(CMSG_DATA(head), message->fds, message->fd_count * sizeof(int));
  }
  while (parts[0].iov_len + parts[1].iov_len > 0) {
    ssize_t sent = sendmsg(fd, &out, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EINTR) {
      if (errno != EAGAIN) return -errno;
      int bad = wait_for(fd, POLLOUT, deadline);
      if (bad != 0) return bad;
    }
    if (sent <= 0) continue;
    out.msg_control = NULL; // the fds went with the first byte
    out.msg_controllen = 0;
    for (int i = 0; i < 2; i++) {
      size_t gone = (size_t)sent < parts[i].iov_len ? (size_t)sent : parts[i].iov_len;
      parts[i].iov_base = (char *)parts[i].iov_base + gone;
      parts[i].iov_len -= gone;
      sent -= gone;
    }
  }
  return 0;
}

static void keep_first_fd(struct msghdr *in, int *fd) {
  for (struct cmsghdr *head = CMSG_FIRSTHDR(in); head != NULL; head = CMSG_NXTHDR(in, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int got;
      memcpy(&got, CMSG_DATA(head) + i * sizeof(int), sizeof got);
      if (*fd < 0) *fd = got;
      else close(got);
    }
  }
}

static int receive_all(int fd, void *data, size_t bytes, int *passed, int64_t deadline) {
  for (size_t done = 0; done < bytes;) {
    ancillary control;
    struct iovec part = {(char *)data + done, bytes - done};
    struct msghdr in = {.msg_iov = &part,
                        .msg_iovlen = 1,
                        .msg_control = &control,
                        .msg_controllen = sizeof control};
    ssize_t got = recvmsg(fd, &in, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got == 0) return -EPIPE;
    if (got > 0) {
      keep_first_fd(&in, passed);
      done += got;
    } else if (errno == EAGAIN) {
      int bad = wait_for(fd, POLLIN, deadline);
      if (bad != 0) return bad;
    } else if (errno != EINTR) return -errno;
  }
  return 0;
}

// The exchange itself; a negative result other than an error reply means a stream out of step.
static int exchange(ixy_client *client, unsigned command, const ixy_message *message,
                    ixy_reply *reply, bool *lost) {
  int64_t deadline = now_ms() + TIMEOUT_MS;
  header out = {client->next_id++, command, sizeof out + message->bytes, 0, 0}, in;
  struct iovec parts[2] = {{&out, sizeof out}, {(void *)message->payload, message->bytes}};
  *lost = true;
  int bad = send_all(client->fd, parts, message, deadline);
  if (bad == 0) bad = receive_all(client->fd, &in, sizeof in, &reply->fd, deadline);
  if (bad != 0) return bad;
  size_t bytes = in.size - sizeof in;
  if (in.size < sizeof in || bytes > reply->capacity || in.id != out.id ||
      in.command != out.command || (in.flags & ~FLAG_ERROR) != FLAG_REPLY)
    return -EPROTO;
  bad = receive_all(client->fd, reply->payload, bytes, &reply->fd, deadline);
  if (bad != 0) return bad;
  *lost = false;
  reply->bytes = bytes;
  if (in.flags & FLAG_ERROR) return in.error >= 1 && in.error < 4096 ? -(int)in.error : -EIO;
  return 0;
}

int ixy_client_ask(ixy_client *client, unsigned command, const ixy_message *message,
                   ixy_reply *reply) {
  char spare[64];
  ixy_reply none = {spare, sizeof spare, 0, -1};
  sigset_t saved;
  bool lost = false;
  if (reply == NULL) reply = &none;
  reply->bytes = 0;
  reply->fd = -1;
  ixy_lock(&client->lock, &saved);
  int result = client->fd < 0 ? -EIO : exchange(client, command, message, reply, &lost);
  if (lost) {
    ixy_log("connection lost in command %u: %s", command, strerror(-result));
    close(client->fd);
    client->fd = -1;
    result = -EIO;
  }
  ixy_unlock(&client->lock, &saved);
  if (reply->fd >= 0 && (result != 0 || reply == &none)) {
    close(reply->fd);
    reply->fd = -1;
  }
  return result;
}

static unsigned version_number(const char *json, const char *name, unsigned absent) {
  const char *at = strstr(json, name);
  if (at == NULL) return absent;
  at += strlen(name) + 1; // the closing quote
  at += strspn(at, " \t\r\n:");
  return *at >= '0' && *at <= '9' ? (unsigned)strtoul(at, NULL, 10) : absent;
}

static int agree_on_version(ixy_client *client) {
  static const char json[] = "{\"capabilities\":{\"max_msg_fds\":8,"
                             "\"max_data_xfer_size\":1048576}}";
  char out[4 + sizeof json], in[4096];
  memset(out, 0, 4); // version 0.0
  memcpy(out + 4, json, sizeof json);
  ixy_message message = {.payload = out, .bytes = sizeof out};
  ixy_reply reply = {in, sizeof in - 1, 0, -1};
  int bad = ixy_client_ask(client, IXY_USER_VERSION, &message, &reply);
  if (bad != 0) return bad;
  uint16_t major;
  in[reply.bytes] = '\0';
  if (reply.bytes < 4 || (memcpy(&major, in, 2), major != 0)) return -EPROTO;
  client->max_fds = version_number(reply.bytes > 4 ? in + 4 : "", "max_msg_fds", 1);
  if (client->max_fds > MAX_FDS) client->max_fds = MAX_FDS;
  return 0;
}

int ixy_client_connect(ixy_client *client, const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  client->fd = fd;
  int bad = agree_on_version(client);
  if (bad != 0) ixy_client_close(client);
  return bad;
}

void ixy_client_close(ixy_client *client) {
  sigset_t saved;
  ixy_lock(&client->lock, &saved);
  if (client->fd >= 0) close(client->fd);
  client->fd = -1;
  ixy_unlock(&client->lock, &saved);
}

typedef struct {
  uint64_t offset;
  uint32_t region, count;
  uint64_t data;
} access_message;

int ixy_client_read(ixy_client *client, unsigned region, uint64_t offset, unsigned width,
                    uint64_t *value) {
  access_message out = {offset, region, width, 0}, in;
  ixy_message message = {.payload = &out, .bytes = 16};
  ixy_reply reply = {&in, sizeof in, 0, -1};
  int bad = ixy_client_ask(client, IXY_USER_REGION_READ, &message, &reply);
  if (reply.fd >= 0) close(reply.fd);
  *value = ~0ULL;
  if (bad == 0 && reply.bytes != 16 + width) bad = -EPROTO;
  if (bad != 0) return bad;
  *value = 0;
  memcpy(value, &in.data, width);
  return 0;
}

int ixy_client_write(ixy_client *client, unsigned region, uint64_t offset, unsigned width,
                     uint64_t value) {
  access_message out = {offset, region, width, value};
  ixy_message message = {.payload = &out, .bytes = 16 + width};
  // Not posted: the reply says that the device has taken in every store before this one.
  return ixy_client_ask(client, IXY_USER_REGION_WRITE, &message, NULL);
}
