/* Makes the disk and the clock of a program as a test wants them: syncs fail, writes find the disk full, the wall clock
 * is somewhere else. The harness loads it with LD_PRELOAD; the program is the real one. It obeys a file of three
 * numbers, which it has mapped, so a test changes them while the program runs. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct orders {
    int64_t clock_ahead_seconds;
    int64_t syncs_fail;
    int64_t disk_full;
};

static const struct orders none;
static volatile const struct orders *orders = &none;

__attribute__((constructor)) static void obey(void) {
    const char *path = getenv("PORTCULLIS_SHIM");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    void *mapped = mmap(NULL, sizeof(struct orders), PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED)
        orders = mapped;
    close(file);
}

/* The next definition of a symbol, looked up once. */
#define NEXT(type, name)                                                                                               \
    static type (*next)();                                                                                             \
    if (next == NULL)                                                                                                  \
    next = (type(*)())dlsym(RTLD_NEXT, name)

static int is_regular(int file) {
    struct stat status;
    return fstat(file, &status) == 0 && S_ISREG(status.st_mode);
}

static int no_room(int file) {
    if (!orders->disk_full || !is_regular(file))
        return 0;
    errno = ENOSPC;
    return 1;
}

static int no_sync(void) {
    if (!orders->syncs_fail)
        return 0;
    errno = EIO;
    return 1;
}

int fsync(int file) {
    NEXT(int, "fsync");
    return no_sync() ? -1 : next(file);
}

int fdatasync(int file) {
    NEXT(int, "fdatasync");
    return no_sync() ? -1 : next(file);
}

ssize_t write(int file, const void *bytes, size_t count) {
    NEXT(ssize_t, "write");
    return no_room(file) ? -1 : next(file, bytes, count);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) {
    NEXT(ssize_t, "pwrite");
    return no_room(file) ? -1 : next(file, bytes, count, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    NEXT(ssize_t, "pwrite64");
    return no_room(file) ? -1 : next(file, bytes, count, at);
}

ssize_t pwritev(int file, const struct iovec *parts, int count, off_t at) {
    NEXT(ssize_t, "pwritev");
    return no_room(file) ? -1 : next(file, parts, count, at);
}

ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t at) {
    NEXT(ssize_t, "pwritev64");
    return no_room(file) ? -1 : next(file, parts, count, at);
}

int posix_fallocate(int file, off_t at, off_t length) {
    NEXT(int, "posix_fallocate");
    return no_room(file) ? ENOSPC : next(file, at, length);
}

int posix_fallocate64(int file, off64_t at, off64_t length) {
    NEXT(int, "posix_fallocate64");
    return no_room(file) ? ENOSPC : next(file, at, length);
}

int ftruncate64(int file, off64_t length) {
    NEXT(int, "ftruncate64");
    return no_room(file) && length > 0 ? -1 : next(file, length);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    NEXT(int, "clock_gettime");
    int result = next(clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        time->tv_sec += orders->clock_ahead_seconds;
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    NEXT(int, "gettimeofday");
    int result = next(time, zone);
    if (result == 0)
        time->tv_sec += orders->clock_ahead_seconds;
    return result;
}

time_t time(time_t *result) {
    NEXT(time_t, "time");
    time_t now = next(NULL) + orders->clock_ahead_seconds;
    if (result != NULL)
        *result = now;
    return now;
}
