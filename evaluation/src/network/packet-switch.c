/* A network of its own for network namespaces: packet-switch SEED NAMESPACE...
   Makes the device edge0 in each namespace (a path like /proc/PID/ns/net) and carries IPv4 packets between them, counting
   them. The last number of an address says where a packet goes: 1 is the first namespace. Obeys lines on stdin:
     set FROM TO DELAY_US LOSS_PPM BYTES_PER_S   what one direction does to packets; answered with "ok"
     count FROM TO                               answered with bytes and packets that were sent that way so far
   Ends with stdin. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define ENDS_MAX 17
#define PACKET_MAX 2048
/* What waits for a slow link: a router's buffer of a quarter of a second, and never less than a window's beginning. */
#define BUFFER_US 250000
#define BUFFER_BYTES_MIN 65536
/* Packets under way in one direction, on a link of any speed. */
#define UNDER_WAY_MAX 16384

struct packet {
  struct packet *next;
  int64_t due_us;
  size_t length;
  unsigned char bytes[PACKET_MAX];
};

struct path {
  int64_t delay_us, bytes_per_s;
  uint32_t loss_ppm;
  /* When the link will have sent what was given to it so far. */
  int64_t sent_by_us;
  uint64_t bytes, packets;
  struct packet *first, *last;
  int under_way;
};

static int ends;
static int device[ENDS_MAX];
static struct path paths[ENDS_MAX][ENDS_MAX];
static uint64_t chance;

static void fail(const char *what) {
  fprintf(stderr, "packet-switch: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* xorshift64*: the same seed loses the same packets. */
static uint32_t draw_ppm(void) {
  chance ^= chance >> 12;
  chance ^= chance << 25;
  chance ^= chance >> 27;
  return (uint32_t)((chance * 0x2545F4914F6CDD1DULL) >> 32) % 1000000;
}

static int make_device(const char *namespace) {
  struct ifreq request;
  int entered = open(namespace, O_RDONLY | O_CLOEXEC);
  if (entered < 0 || setns(entered, CLONE_NEWNET) < 0) fail(namespace);
  close(entered);
  int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tun < 0) fail("/dev/net/tun");
  memset(&request, 0, sizeof request);
  strcpy(request.ifr_name, "edge0");
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (ioctl(tun, TUNSETIFF, &request) < 0) fail("TUNSETIFF");
  return tun;
}

static void hand_over(int to, const unsigned char *bytes, size_t length) {
  /* A device that is down or full takes nothing; to those who speak it is a lost packet. */
  if (write(device[to], bytes, length) < 0 && errno != EAGAIN && errno != EIO && errno != EINVAL) fail("write");
}

/* Whether the link has room; then `sent_by_us` is when this packet has left. */
static int send_on_link(struct path *path, size_t length, int64_t now) {
  int64_t begin = path->sent_by_us > now ? path->sent_by_us : now;
  int64_t waiting = (begin - now) * path->bytes_per_s / 1000000;
  if (waiting > BUFFER_BYTES_MIN && begin - now > BUFFER_US) return 0;
  path->sent_by_us = begin + (int64_t)length * 1000000 / path->bytes_per_s;
  return 1;
}

static void carry(int from, const unsigned char *bytes, size_t length) {
  if (length < 20 || bytes[0] >> 4 != 4) return;
  int to = bytes[19] - 1;
  if (to < 0 || to >= ends || to == from) return;
  struct path *path = &paths[from][to];
  path->bytes += length;
  path->packets++;
  if (path->loss_ppm > 0 && draw_ppm() < path->loss_ppm) return;
  if (path->delay_us == 0 && path->bytes_per_s == 0 && path->first == NULL) {
    hand_over(to, bytes, length);
    return;
  }
  int64_t now = now_us();
  if (path->under_way >= UNDER_WAY_MAX) return;
  if (path->bytes_per_s == 0) path->sent_by_us = now;
  else if (!send_on_link(path, length, now)) return;
  struct packet *packet = malloc(sizeof *packet);
  if (packet == NULL) fail("malloc");
  packet->next = NULL;
  packet->due_us = path->sent_by_us + path->delay_us;
  packet->length = length;
  memcpy(packet->bytes, bytes, length);
  if (path->first == NULL) path->first = packet;
  else path->last->next = packet;
  path->last = packet;
  path->under_way++;
}

/* Hands over what is due; gives back in how many microseconds the next one is, -1 when nothing waits. */
static int64_t release(void) {
  int64_t now = now_us(), next = -1;
  for (int from = 0; from < ends; from++)
    for (int to = 0; to < ends; to++) {
      struct path *path = &paths[from][to];
      while (path->first != NULL && path->first->due_us <= now) {
        struct packet *packet = path->first;
        hand_over(to, packet->bytes, packet->length);
        path->first = packet->next;
        path->under_way--;
        free(packet);
      }
      if (path->first != NULL && (next < 0 || path->first->due_us < next)) next = path->first->due_us;
    }
  return next < 0 ? -1 : next - now;
}

static struct path *path_between(int from, int to) {
  if (from < 1 || from > ends || to < 1 || to > ends) {
    fprintf(stderr, "packet-switch: there is no way from %d to %d\n", from, to);
    exit(1);
  }
  return &paths[from - 1][to - 1];
}

static void obey(const char *line) {
  int from, to;
  long long delay_us, loss_ppm, bytes_per_s;
  if (sscanf(line, "set %d %d %lld %lld %lld", &from, &to, &delay_us, &loss_ppm, &bytes_per_s) == 5) {
    struct path *path = path_between(from, to);
    path->delay_us = delay_us;
    path->loss_ppm = (uint32_t)loss_ppm;
    path->bytes_per_s = bytes_per_s;
    puts("ok");
  } else if (sscanf(line, "count %d %d", &from, &to) == 2) {
    struct path *path = path_between(from, to);
    printf("%llu %llu\n", (unsigned long long)path->bytes, (unsigned long long)path->packets);
  } else {
    fprintf(stderr, "packet-switch: not understood: %s\n", line);
    exit(1);
  }
}

int main(int count, char **words) {
  static char input[65536];
  size_t held = 0;
  struct pollfd polled[ENDS_MAX + 1];
  ends = count - 2;
  if (ends < 1 || ends > ENDS_MAX) {
    fprintf(stderr, "packet-switch: 1 to %d namespaces\n", ENDS_MAX);
    return 1;
  }
  chance = strtoull(words[1], NULL, 10) * 0x9E3779B97F4A7C15ULL + 1;
  for (int i = 0; i < ends; i++) {
    device[i] = make_device(words[i + 2]);
    polled[i] = (struct pollfd){.fd = device[i], .events = POLLIN};
  }
  polled[ends] = (struct pollfd){.fd = 0, .events = POLLIN};
  puts("ready");
  fflush(stdout);
  for (;;) {
    int64_t wait_us = release();
    struct timespec wait = {wait_us / 1000000, wait_us % 1000000 * 1000};
    if (ppoll(polled, (nfds_t)ends + 1, wait_us < 0 ? NULL : &wait, NULL) < 0 && errno != EINTR) fail("poll");
    for (int i = 0; i < ends; i++) {
      unsigned char bytes[PACKET_MAX];
      ssize_t length;
      while ((length = read(device[i], bytes, sizeof bytes)) > 0) carry(i, bytes, (size_t)length);
    }
    if (polled[ends].revents != 0) {
      ssize_t got = read(0, input + held, sizeof input - 1 - held);
      if (got <= 0) return 0;
      held += (size_t)got;
      input[held] = '\0';
      char *line = input, *end;
      while ((end = strchr(line, '\n')) != NULL) {
        *end = '\0';
        obey(line);
        line = end + 1;
      }
      fflush(stdout);
      held -= (size_t)(line - input);
      memmove(input, line, held);
    }
  }
}
