// A connection to a vfio-user server: one command, one reply, each bounded in time. Source: the
// vfio-user specification (QEMU's docs/interop/vfio-user.rst). Servers that send commands of
// their own are not understood: all memory is given to them as fds.
#include "preload.h"

#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 10000
#define MAX_FDS 8
#define MAX_SENT_BYTES 256
#define FLAG_REPLY 0x01
#define FLAG_ERROR 0x20

typedef struct {
  uint16_t id, command;
  uint32_t size, flags, error;
} header;

// Sends one message and receives its reply. `lost` becomes true unless a good reply or an error
// reply came: the stream is then out of step. The buffers are small because the fault handler may
// run this on a signal stack of 8 KiB.
static int exchange(ixy_client *client, unsigned command, const ixy_message *message,
                    ixy_reply *reply, bool *lost) {
  int64_t deadline_ms = ixy_now_ms() + TIMEOUT_MS;
  size_t sent = sizeof(header) + message->bytes;
  header out = {client->next_id++, command, sent, 0, 0}, in;
  int32_t fds[2] = {0, -1};
  ixy_fd_list passed = {fds, reply->takes_fd ? 2 : 0};
  char bytes[MAX_SENT_BYTES];
  if (sent > sizeof bytes) return -EMSGSIZE;
  memcpy(bytes, &out, sizeof out);
  if (message->bytes > 0) memcpy(bytes + sizeof out, message->payload, message->bytes);
  *lost = true;
  int bad = ixy_send_all(client->fd, bytes, sent, message->fds, message->fd_count, deadline_ms);
  if (bad == 0) bad = ixy_receive_all(client->fd, &in, sizeof in, passed, deadline_ms);
  if (bad == 0 && (in.size < sizeof in || in.size - sizeof in > reply->capacity ||
                   in.id != out.id || in.command != out.command ||
                   (in.flags & ~FLAG_ERROR) != FLAG_REPLY))
    bad = -EPROTO;
  if (bad == 0) {
    reply->bytes = in.size - sizeof in;
    bad = ixy_receive_all(client->fd, reply->payload, reply->bytes, passed, deadline_ms);
  }
  if (fds[0] > 0) reply->fd = fds[1];
  if (bad != 0) return bad;
  *lost = false;
  if (in.flags & FLAG_ERROR) return in.error >= 1 && in.error < 4096 ? -(int)in.error : -EIO;
  return 0;
}

int ixy_client_ask(ixy_client *client, unsigned command, const ixy_message *message,
                   ixy_reply *reply) {
  char spare[64];
  ixy_reply none = {.payload = spare, .capacity = sizeof spare};
  bool lost = false;
  if (reply == NULL) reply = &none;
  reply->bytes = 0;
  reply->fd = -1;
  IXY_HOLD(&client->lock);
  int result = client->fd < 0 ? -EIO : exchange(client, command, message, reply, &lost);
  if (lost) {
    ixy_log("connection lost in command %u: %s", command, strerror(-result));
    ixy_close(client->fd);
    client->fd = -1;
    result = -EIO;
  }
  if (reply->fd >= 0 && result != 0) {
    ixy_close(reply->fd);
    reply->fd = -1;
  }
  return result;
}

static unsigned version_number(const char *json, const char *name, unsigned absent) {
  const char *at = strstr(json, name);
  if (at == NULL) return absent;
  at += strlen(name) + 1; // past the closing quote
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
  ixy_reply reply = {.payload = in, .capacity = sizeof in - 1};
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
  int fd = (int)ixy_unix_connect(path, TIMEOUT_MS);
  if (fd < 0) return fd;
  client->fd = fd;
  int bad = agree_on_version(client);
  if (bad != 0) ixy_client_close(client);
  return bad;
}

void ixy_client_close(ixy_client *client) {
  IXY_HOLD(&client->lock);
  if (client->fd >= 0) ixy_close(client->fd);
  client->fd = -1;
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
  ixy_reply reply = {.payload = &in, .capacity = sizeof in};
  int bad = ixy_client_ask(client, IXY_USER_REGION_READ, &message, &reply);
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
  // The write is not posted: its reply says that the device has taken in every store before it.
  return ixy_client_ask(client, IXY_USER_REGION_WRITE, &message, NULL);
}
