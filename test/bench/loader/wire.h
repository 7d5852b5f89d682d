/* Wire of the loader: options, clock, sockets, WebSocket frames (RFC 6455) and the chunks of SSE. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull

static int arg_count;
static char **arg_list;

__attribute__((noreturn)) static void die(const char *what, const char *more) {
  fprintf(stderr, "loader: %s %.300s (%s)\n", what, more, errno ? strerror(errno) : "-");
  exit(1);
}

/* Options are given as name=value. */
static const char *text_of(const char *name, const char *otherwise) {
  size_t size = strlen(name);
  for (int n = 1; n < arg_count; n++)
    if (!strncmp(arg_list[n], name, size) && arg_list[n][size] == '=') return arg_list[n] + size + 1;
  return otherwise;
}

static double number_of(const char *name, const char *otherwise) { return atof(text_of(name, otherwise)); }

static uint64_t read_clock(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * SECOND + t.tv_nsec;
}

static uint64_t now(void) { return read_clock(CLOCK_MONOTONIC); }

static uint64_t hex_of(const char *text, int digits) {
  uint64_t value = 0;
  for (int n = 0; n < digits; n++) value = value << 4 | (text[n] <= '9' ? text[n] - '0' : (text[n] & 15) + 9);
  return value;
}

/* Source of an epoll event: first member of every struct with a socket. */
struct io { enum { CLIENT, SENDER } kind; int fd; };

static int epoll;
static const char *host;

static void listen_to(struct io *io, uint32_t events, int how) {
  struct epoll_event event = {.events = events, .data.ptr = io};
  if (epoll_ctl(epoll, how, io->fd, &event) < 0) die("epoll_ctl", "");
}

static int dial(int port, int receive_bytes) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = inet_addr(host)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket", "");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
  if (receive_bytes) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(int));
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) die("connect", "");
  return fd;
}

/* Writes all bytes; waits while the other end is full. */
static void say(int fd, const char *bytes, size_t size) {
  while (size > 0) {
    ssize_t taken = send(fd, bytes, size, MSG_NOSIGNAL);
    if (taken < 0 && errno != EAGAIN) return; /* it is gone, which reading will tell */
    if (taken < 0) poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
    else bytes += taken, size -= taken;
  }
}

enum { TEXT = 1, PING = 9, PONG = 10 };

#define MAX_FRAME 4096

/* One frame of a client, masked with zeros. */
static void say_frame(int fd, int opcode, const char *payload, size_t size) {
  char frame[8 + MAX_FRAME] = {(char)(0x80 | opcode), (char)(0x80 | (size < 126 ? size : 126))};
  size_t head = size < 126 ? 6 : 8;
  if (size > MAX_FRAME) die("a frame too long", "");
  if (head == 8) frame[2] = (char)(size >> 8), frame[3] = (char)size;
  memcpy(frame + head, payload, size);
  say(fd, frame, head + size);
}

struct frame { int opcode; const char *payload; size_t size; };

/* Reads the first frame: its length, or 0 if incomplete. Servers do not mask. */
static size_t read_frame(const char *bytes, size_t size, struct frame *frame) {
  const uint8_t *byte = (const uint8_t *)bytes;
  if (size < 2) return 0;
  size_t head = byte[1] < 126 ? 2 : byte[1] == 126 ? 4 : 10, length = byte[1];
  if (size < head) return 0;
  if (head == 4) length = byte[2] << 8 | byte[3];
  if (head == 10) length = be64toh(*(const uint64_t *)(byte + 2));
  if (size < head + length) return 0;
  *frame = (struct frame){byte[0] & 15, bytes + head, length};
  return head + length;
}

/* Position of a connection in a chunked body (RFC 9112 §7.1). */
struct chunk { enum { SIZE, DATA } in; size_t left; };

/* Removes the chunk framing in place; returns the remaining size. */
static size_t dechunk(struct chunk *chunk, char *bytes, size_t size) {
  char *out = bytes;
  for (char *in = bytes, *end = bytes + size; in < end;) {
    if (chunk->in == DATA) {
      size_t some = chunk->left < (size_t)(end - in) ? chunk->left : (size_t)(end - in);
      memmove(out, in, some);
      out += some, in += some;
      if ((chunk->left -= some) == 0) chunk->in = SIZE;
    } else { /* a line break ends the chunk before; then hexadecimal digits, and another */
      char c = *in++;
      if (c == '\n' && chunk->left) chunk->in = DATA;
      else if (c != '\r' && c != '\n') chunk->left = chunk->left << 4 | hex_of(&c, 1);
    }
  }
  return (size_t)(out - bytes);
}
