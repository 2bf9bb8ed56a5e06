/* Preloaded into the program under test: writes down each system call that matters to the custody of tokens, before and
 * after it, and ends the process with SIGKILL at the one it was told. The program knows nothing of it.
 *
 * STEPS_LOG    a file of STEPS_SIZE bytes, mapped and shared: what was written outlives the kill
 * STEPS_ARM    "start" counts from the first step; "write" from the first write to the write-ahead log, and leaves out
 *              what a checkpoint writes to the database itself, which may be any number of pages
 * STEPS_KILL   the number of the step to end at; 0 never
 * STEPS_CLOCK  seconds that the clock is ahead: time passes between two starts
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { STEP_SIZE = 128, STEP_MAX = 8192, TEXT_SIZE = 96 };

struct step {
    uint32_t number; /* counted from where it was armed; 0 where it does not count */
    uint32_t call;
    int64_t result;
    uint8_t is_after, is_written, file, pad[5];
    char text[TEXT_SIZE];
};
_Static_assert(sizeof(struct step) <= STEP_SIZE, "a step fits");

enum call { WRITE = 1, SYNC, TRUNCATE, CONNECT, SEND, RECEIVE };
enum file { NEITHER, DATABASE, LOG, SOCKET };

static unsigned char *steps;
static _Atomic uint32_t written, counted;
static _Atomic int armed;
static uint32_t kill_at;
static int counts_checkpoints;
static int64_t ahead;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("STEPS_LOG"), *arm = getenv("STEPS_ARM");
    const char *number = getenv("STEPS_KILL"), *clock = getenv("STEPS_CLOCK");
    ahead = clock ? atoll(clock) : 0;
    kill_at = number ? (uint32_t)atoi(number) : 0;
    armed = counts_checkpoints = arm && !strcmp(arm, "start");
    if (!path) return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *map = mmap(NULL, STEP_SIZE * STEP_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED) steps = map;
    close(fd);
    unsetenv("LD_PRELOAD");
}

static int is_internet(int fd) {
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    return getpeername(fd, (struct sockaddr *)&peer, &size) == 0
        && (peer.ss_family == AF_INET || peer.ss_family == AF_INET6);
}

static enum file kind(int fd) {
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t count = readlink(link, path, sizeof path - 1);
    if (count <= 0) return NEITHER;
    path[count] = 0;
    if (!strncmp(path, "socket:", 7)) return is_internet(fd) ? SOCKET : NEITHER;
    size_t length = (size_t)count;
    if (length > 11 && !strcmp(path + length - 11, ".sqlite-wal")) return LOG;
    if (length > 7 && !strcmp(path + length - 7, ".sqlite")) return DATABASE;
    return NEITHER;
}

static void note(enum call call, enum file file, int is_after, int64_t result, const char *bytes, size_t count) {
    if (!steps || file == NEITHER) return;
    int saved = errno;
    if (!armed && call == WRITE && file == LOG && !is_after) armed = 1;
    int counts = armed && (file != DATABASE || counts_checkpoints);
    uint32_t number = counts ? atomic_fetch_add(&counted, 1) + 1 : 0;
    uint32_t index = atomic_fetch_add(&written, 1);
    if (index < STEP_MAX) {
        struct step *step = (struct step *)(steps + (size_t)index * STEP_SIZE);
        step->number = number;
        step->call = call;
        step->result = result;
        step->is_after = (uint8_t)is_after;
        step->file = (uint8_t)file;
        if (bytes) memcpy(step->text, bytes, count < TEXT_SIZE ? count : TEXT_SIZE);
        step->is_written = 1;
    }
    if (kill_at && number == kill_at) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    errno = saved;
}

/* Of a request: its first line, or the refresh token that it presents. */
static void note_sent(enum file file, int is_after, int64_t result, const char *bytes, size_t count) {
    if (file != SOCKET) return;
    const char *token = bytes ? memmem(bytes, count, "refresh_token=", 14) : NULL;
    if (token)
        note(SEND, file, is_after, result, token, count - (size_t)(token - bytes));
    else
        note(SEND, file, is_after, result, bytes, count);
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define WRITER(name, parameters, arguments, written_bytes) \
    ssize_t name parameters { \
        REAL(name); \
        enum file file = steps ? kind(fd) : NEITHER; \
        if (file == SOCKET) note_sent(file, 0, 0, buffer, written_bytes); \
        else note(WRITE, file, 0, 0, NULL, 0); \
        ssize_t result = real arguments; \
        if (file == SOCKET) note_sent(file, 1, result, buffer, written_bytes); \
        else note(WRITE, file, 1, result, NULL, 0); \
        return result; \
    }

WRITER(write, (int fd, const void *buffer, size_t count), (fd, buffer, count), count)
WRITER(pwrite, (int fd, const void *buffer, size_t count, off_t at), (fd, buffer, count, at), count)
WRITER(pwrite64, (int fd, const void *buffer, size_t count, off64_t at), (fd, buffer, count, at), count)
WRITER(send, (int fd, const void *buffer, size_t count, int flags), (fd, buffer, count, flags), count)
WRITER(sendto, (int fd, const void *buffer, size_t count, int flags, const struct sockaddr *to, socklen_t size),
       (fd, buffer, count, flags, to, size), count)

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(sendmsg);
    enum file file = steps ? kind(fd) : NEITHER;
    const char *bytes = message->msg_iovlen ? message->msg_iov[0].iov_base : NULL;
    size_t count = message->msg_iovlen ? message->msg_iov[0].iov_len : 0;
    note_sent(file, 0, 0, bytes, count);
    ssize_t result = real(fd, message, flags);
    note_sent(file, 1, result, bytes, count);
    return result;
}

#define READER(name, parameters, arguments) \
    ssize_t name parameters { \
        REAL(name); \
        enum file file = steps ? kind(fd) : NEITHER; \
        ssize_t result = real arguments; \
        if (file == SOCKET && result > 0) note(RECEIVE, file, 1, result, buffer, (size_t)result); \
        return result; \
    }

READER(read, (int fd, void *buffer, size_t count), (fd, buffer, count))
READER(recv, (int fd, void *buffer, size_t count, int flags), (fd, buffer, count, flags))
READER(recvfrom, (int fd, void *restrict buffer, size_t count, int flags, struct sockaddr *restrict from,
                  socklen_t *restrict size), (fd, buffer, count, flags, from, size))

#define SYNCER(name, call, parameters, arguments) \
    int name parameters { \
        REAL(name); \
        enum file file = steps ? kind(fd) : NEITHER; \
        if (file == SOCKET) file = NEITHER; \
        note(call, file, 0, 0, NULL, 0); \
        int result = real arguments; \
        note(call, file, 1, result, NULL, 0); \
        return result; \
    }

SYNCER(fdatasync, SYNC, (int fd), (fd))
SYNCER(fsync, SYNC, (int fd), (fd))
SYNCER(ftruncate, TRUNCATE, (int fd, off_t length), (fd, length))
SYNCER(ftruncate64, TRUNCATE, (int fd, off64_t length), (fd, length))

int connect(int fd, const struct sockaddr *to, socklen_t size) {
    REAL(connect);
    int result = real(fd, to, size);
    if (to->sa_family == AF_INET || to->sa_family == AF_INET6) note(CONNECT, SOCKET, 1, result, NULL, 0);
    return result;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int result = real(clock, now);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += ahead;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    REAL(gettimeofday);
    int result = real(now, zone);
    if (!result) now->tv_sec += ahead;
    return result;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
