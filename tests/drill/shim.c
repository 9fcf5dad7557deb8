/* Another clock and another disk for a process and its children, changed while they run.
 *
 * Loaded with LD_PRELOAD. The file that FRAMEWIRE_DRILL_SHIM names holds two 64-bit integers: seconds
 * to add to the time of day, and microseconds that every open, read, write and fsync of a file on a
 * disk is to take longer. The monotonic clock stays: a clock that is set does not move it either.
 *
 * A wait until a time of day that was computed with the other clock is handed to the kernel with the
 * seconds taken off again; it would last for the whole jump otherwise.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct settings {
    volatile int64_t clock_s;
    volatile int64_t disk_us;
};

static struct settings nothing;
static struct settings *settings = &nothing;
static dev_t shared_memory, processes;

__attribute__((constructor)) static void start(void)
{
    const char *name = getenv("FRAMEWIRE_DRILL_SHIM");
    struct stat found;
    int file = name ? (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        void *mapped = mmap(NULL, sizeof nothing, PROT_READ, MAP_SHARED, file, 0);
        if (mapped != MAP_FAILED)
            settings = mapped;
        syscall(SYS_close, file);
    }
    if (stat("/dev/shm", &found) == 0)
        shared_memory = found.st_dev;
    if (stat("/proc", &found) == 0)
        processes = found.st_dev;
}

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* The clock. */

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += settings->clock_s;
    return failed;
}

int gettimeofday(struct timeval *now, void *zone)
{
    int failed = (int)syscall(SYS_gettimeofday, now, zone);
    if (!failed)
        now->tv_sec += settings->clock_s;
    return failed;
}

time_t time(time_t *kept)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (kept)
        *kept = now.tv_sec;
    return now.tv_sec;
}

/* No machine has been up for so long, so a time beyond it is one of day. */
#define MONOTONIC_BEFORE 500000000

static struct timespec machine_time(const struct timespec *until)
{
    struct timespec machine = *until;
    if (machine.tv_sec > MONOTONIC_BEFORE)
        machine.tv_sec -= settings->clock_s;
    return machine;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                           const struct timespec *until)
{
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    struct timespec machine = machine_time(until);
    /* Without a version it would be the one of 1999, for other conditions. */
    if (!real && !(real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2")))
        real = next("pthread_cond_timedwait");
    return real(condition, mutex, &machine);
}

int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until)
{
    static int (*real)(pthread_mutex_t *, const struct timespec *);
    struct timespec machine = machine_time(until);
    if (!real)
        real = next("pthread_mutex_timedlock");
    return real(mutex, &machine);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until)
{
    static int (*real)(sem_t *, const struct timespec *);
    struct timespec machine = machine_time(until);
    if (!real)
        real = next("sem_timedwait");
    return real(semaphore, &machine);
}

/* What Triton's gRPC calls for its locks, past the functions above. Arguments that a call does not have
 * are passed on as they happen to be, as in glibc. */
long syscall(long number, ...)
{
    static long (*real)(long, ...);
    long argument[6];
    struct timespec machine;
    va_list rest;
    va_start(rest, number);
    for (int each = 0; each < 6; each++)
        argument[each] = va_arg(rest, long);
    va_end(rest);
    if (!real)
        real = next("syscall");
    /* Of a wait with a bitset the time is absolute. */
    if (number == SYS_futex && argument[3] && (argument[1] & FUTEX_CLOCK_REALTIME) &&
        (argument[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET) {
        machine = machine_time((const struct timespec *)argument[3]);
        argument[3] = (long)&machine;
    }
    return real(number, argument[0], argument[1], argument[2], argument[3], argument[4],
                argument[5]);
}

/* The disk. */

static void wait_for_disk(int file)
{
    struct stat found;
    int64_t delay_us = settings->disk_us;
    int error = errno;
    if (delay_us > 0 && fstat(file, &found) == 0 &&
        (S_ISREG(found.st_mode) || S_ISDIR(found.st_mode)) && found.st_dev != shared_memory && found.st_dev != processes) {
        struct timespec delay = {delay_us / 1000000, delay_us % 1000000 * 1000};
        nanosleep(&delay, NULL);
    }
    errno = error;
}

static int opened(int file)
{
    if (file >= 0)
        wait_for_disk(file);
    return file;
}

#define OPEN(before)                                                           \
    {                                                                          \
        va_list rest;                                                          \
        mode_t mode = 0;                                                       \
        va_start(rest, flags);                                                 \
        if (flags & (O_CREAT | O_TMPFILE)) /* else nobody passed one */        \
            mode = va_arg(rest, mode_t);                                       \
        va_end(rest);                                                          \
        return opened((int)syscall(SYS_openat, before, path, flags, mode));    \
    }

int open(const char *path, int flags, ...) OPEN(AT_FDCWD)
int open64(const char *path, int flags, ...) OPEN(AT_FDCWD)
int openat(int folder, const char *path, int flags, ...) OPEN(folder)
int openat64(int folder, const char *path, int flags, ...) OPEN(folder)

FILE *fopen(const char *path, const char *mode)
{
    static FILE *(*real)(const char *, const char *);
    if (!real)
        real = next("fopen");
    FILE *file = real(path, mode);
    if (file)
        wait_for_disk(fileno(file));
    return file;
}

FILE *fopen64(const char *path, const char *mode)
{
    return fopen(path, mode);
}

ssize_t read(int file, void *to, size_t count)
{
    wait_for_disk(file);
    static ssize_t (*real)(int, void *, size_t);
    if (!real)
        real = next("read");
    return real(file, to, count);
}

ssize_t write(int file, const void *from, size_t count)
{
    wait_for_disk(file);
    static ssize_t (*real)(int, const void *, size_t);
    if (!real)
        real = next("write");
    return real(file, from, count);
}

int fsync(int file)
{
    wait_for_disk(file);
    return (int)syscall(SYS_fsync, file);
}
