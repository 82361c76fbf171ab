/* A network of its own for network namespaces: packet-switch SEED NAMESPACE...
   Makes the device mesh0 in each namespace (a path like /proc/PID/ns/net) and carries IPv4 packets between them. The last
   number of an address says where a packet goes: 1 is the first namespace. What happens on the way from one to another is
   told on stdin, a line "FROM TO CUT DELAY_MS LOSS_PPM" for each direction, and answered with "ok". Ends with stdin. */
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

#define ENDS_MAX 16
#define PACKET_MAX 2048
/* Packets under way in one direction; more are dropped, as a router's full queue would. */
#define QUEUE_MAX 4096

struct packet {
  struct packet *next;
  int64_t due_us;
  size_t length;
  unsigned char bytes[PACKET_MAX];
};

struct path {
  int cut;
  int64_t delay_us;
  uint32_t loss_ppm;
  struct packet *first, *last;
  int queued;
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
  strcpy(request.ifr_name, "mesh0");
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (ioctl(tun, TUNSETIFF, &request) < 0) fail("TUNSETIFF");
  return tun;
}

static void hand_over(int to, const unsigned char *bytes, size_t length) {
  /* A device that is down or full takes nothing; to those who speak it is a lost packet. */
  if (write(device[to], bytes, length) < 0 && errno != EAGAIN && errno != EIO && errno != EINVAL) fail("write");
}

static void carry(int from, const unsigned char *bytes, size_t length) {
  if (length < 20 || bytes[0] >> 4 != 4) return;
  int to = bytes[19] - 1;
  if (to < 0 || to >= ends || to == from) return;
  struct path *path = &paths[from][to];
  if (path->cut || (path->loss_ppm > 0 && draw_ppm() < path->loss_ppm)) return;
  if (path->delay_us == 0 && path->first == NULL) {
    hand_over(to, bytes, length);
    return;
  }
  if (path->queued >= QUEUE_MAX) return;
  struct packet *packet = malloc(sizeof *packet);
  if (packet == NULL) fail("malloc");
  packet->next = NULL;
  packet->due_us = now_us() + path->delay_us;
  packet->length = length;
  memcpy(packet->bytes, bytes, length);
  if (path->first == NULL) path->first = packet;
  else path->last->next = packet;
  path->last = packet;
  path->queued++;
}

/* Hands over what is due; gives back how long until the next one is, -1 when nothing waits. */
static int release(void) {
  int64_t now = now_us(), next = -1;
  for (int from = 0; from < ends; from++)
    for (int to = 0; to < ends; to++) {
      struct path *path = &paths[from][to];
      while (path->first != NULL && (path->cut || path->first->due_us <= now)) {
        struct packet *packet = path->first;
        if (!path->cut) hand_over(to, packet->bytes, packet->length);
        path->first = packet->next;
        path->queued--;
        free(packet);
      }
      if (path->first != NULL && (next < 0 || path->first->due_us < next)) next = path->first->due_us;
    }
  return next < 0 ? -1 : (int)((next - now + 999) / 1000);
}

static void obey(const char *line) {
  int from, to, cut;
  long long delay_ms, loss_ppm;
  if (sscanf(line, "%d %d %d %lld %lld", &from, &to, &cut, &delay_ms, &loss_ppm) != 5 || from < 1 || from > ends ||
      to < 1 || to > ends) {
    fprintf(stderr, "packet-switch: not understood: %s\n", line);
    exit(1);
  }
  struct path *path = &paths[from - 1][to - 1];
  path->cut = cut;
  path->delay_us = delay_ms * 1000;
  path->loss_ppm = (uint32_t)loss_ppm;
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
    if (poll(polled, (nfds_t)ends + 1, release()) < 0 && errno != EINTR) fail("poll");
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
        puts("ok");
        line = end + 1;
      }
      fflush(stdout);
      held -= (size_t)(line - input);
      memmove(input, line, held);
    }
  }
}
