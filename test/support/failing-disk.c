/* Put before libc with LD_PRELOAD. While the file named by the call exists in the folder FAILING_DISK, that call fails:
   "fdatasync" with EIO; "write" (whatever writes to a file) with ENOSPC; "torn" with ENOSPC, too, after all but the last
   bytes of what LevelDB had in its buffer are written. While "hang" exists, fdatasync takes as long. With KILL_AT_SYNC=n the
   n-th fdatasync kills the process. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TORN_BYTES 100

static int failing(const char *call) {
  const char *folder = getenv("FAILING_DISK");
  char path[4096];
  if (folder == NULL) return 0;
  snprintf(path, sizeof path, "%s/%s", folder, call);
  return access(path, F_OK) == 0;
}

static int is_file(int fd) {
  struct stat found;
  return fstat(fd, &found) == 0 && S_ISREG(found.st_mode);
}

int fdatasync(int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  static int syncs = 0;
  const char *last = getenv("KILL_AT_SYNC");
  if (last != NULL && __atomic_add_fetch(&syncs, 1, __ATOMIC_SEQ_CST) == atoi(last)) kill(getpid(), SIGKILL);
  while (failing("hang")) usleep(1000);
  if (failing("fdatasync")) {
    errno = EIO;
    return -1;
  }
  return real(fd);
}

size_t fwrite_unlocked(const void *bytes, size_t size, size_t count, FILE *file) {
  size_t (*real)(const void *, size_t, size_t, FILE *) =
      (size_t(*)(const void *, size_t, size_t, FILE *))dlsym(RTLD_NEXT, "fwrite_unlocked");
  if (failing("write")) {
    errno = ENOSPC;
    return 0;
  }
  return real(bytes, size, count, file);
}

int fflush_unlocked(FILE *file) {
  int (*real)(FILE *) = (int (*)(FILE *))dlsym(RTLD_NEXT, "fflush_unlocked");
  int result = real(file);
  struct stat found;
  if (!failing("torn") || fstat(fileno(file), &found) != 0 || found.st_size < TORN_BYTES) return result;
  if (ftruncate(fileno(file), found.st_size - TORN_BYTES) != 0) abort();
  errno = ENOSPC;
  return EOF;
}

ssize_t write(int fd, const void *bytes, size_t count) {
  ssize_t (*real)(int, const void *, size_t) = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
  if (is_file(fd) && (failing("write") || failing("torn"))) {
    errno = ENOSPC;
    return -1;
  }
  return real(fd, bytes, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
  ssize_t (*real)(int, const void *, size_t, off64_t) =
      (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
  if (failing("write") || failing("torn")) {
    errno = ENOSPC;
    return -1;
  }
  return real(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) { return pwrite64(fd, bytes, count, offset); }
