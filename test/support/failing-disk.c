/* Put before libc with LD_PRELOAD. While the file named by the call exists in the folder FAILING_DISK, that call fails:
   "fdatasync" with EIO, "write" (any pwrite) with ENOSPC, "meta" (pwrite to the first two pages, where LMDB keeps which
   version of the tree is the current one) with ENOSPC. While "hang" exists, fdatasync takes as long. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define META_BYTES 8192

static int failing(const char *call) {
  const char *folder = getenv("FAILING_DISK");
  char path[4096];
  if (folder == NULL) return 0;
  snprintf(path, sizeof path, "%s/%s", folder, call);
  return access(path, F_OK) == 0;
}

int fdatasync(int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  while (failing("hang")) usleep(1000);
  if (failing("fdatasync")) {
    errno = EIO;
    return -1;
  }
  return real(fd);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
  ssize_t (*real)(int, const void *, size_t, off64_t) =
      (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
  if (failing("write") || (offset < META_BYTES && failing("meta"))) {
    errno = ENOSPC;
    return -1;
  }
  return real(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) { return pwrite64(fd, bytes, count, offset); }
