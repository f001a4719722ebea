/* Preloaded: one system call of the thread that asks for it fails. Compiled by writes.py.
 *
 * fail_at(n, error, done) lets the nth call from now on fail with this error; done: it does its
 * work first. fail_at(0, 0, 0) ends that. failed_call() names the call that failed, or is NULL, and
 * calls_seen() counts the calls. Python's own calls of these functions are meant, not the C
 * library's inner ones. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

static __thread long at, seen;
static __thread int code, after;
static __thread const char *which;

void fail_at(long n, int error, int done) {
    at = n;
    seen = 0;
    code = error;
    after = done;
    which = NULL;
}
const char *failed_call(void) { return which; }
long calls_seen(void) { return seen; }

/* True if this call is the one to fail. */
static int turn(const char *name) {
    if (!at || ++seen != at) return 0;
    which = name;
    return 1;
}

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

/* A function with fixed arguments that returns `none` when it fails. */
#define FAILS(type, name, none, given, passed)        \
    type name given {                                 \
        static type(*real) given;                     \
        if (!real) real = (type(*) given)next(#name); \
        if (!turn(#name)) return real passed;         \
        if (after) (void)real passed;                 \
        errno = code;                                 \
        return none;                                  \
    }

/* open and its kin never do their work before they fail: the descriptor would leak. */
#define OPENS(name, given, passed)                                              \
    int name given {                                                            \
        static int (*real)();                                                   \
        va_list more;                                                           \
        va_start(more, flags);                                                  \
        const int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0; \
        va_end(more);                                                           \
        if (!real) real = (int (*)())next(#name);                               \
        if (!turn("open")) return real passed;                                  \
        errno = code;                                                           \
        return -1;                                                              \
    }

OPENS(open, (const char *path, int flags, ...), (path, flags, mode))
OPENS(open64, (const char *path, int flags, ...), (path, flags, mode))
OPENS(openat, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))

int fcntl64(int fd, int flags, ...) {
    static int (*real)(int, int, ...);
    va_list more;
    va_start(more, flags);
    void *argument = va_arg(more, void *);
    va_end(more);
    if (!real) real = (int (*)(int, int, ...))next("fcntl64");
    if (!turn("fcntl")) return real(fd, flags, argument);
    errno = code;
    return -1;
}

/* Half of what it should write, if that is not an error. */
ssize_t write(int fd, const void *bytes, size_t n) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = (ssize_t (*)(int, const void *, size_t))next("write");
    if (!turn("write")) return real(fd, bytes, n);
    if (after) return real(fd, bytes, (n + 1) / 2);
    errno = code;
    return -1;
}

/* As on Linux, the descriptor is gone after an error too. */
int close(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))next("close");
    const int failing = turn("close"), found = real(fd);
    if (failing) errno = code;
    return failing ? -1 : found;
}

FAILS(int, fsync, -1, (int fd), (fd))
FAILS(int, flock, -1, (int fd, int how), (fd, how))
FAILS(int, chmod, -1, (const char *path, mode_t mode), (path, mode))
FAILS(int, rename, -1, (const char *from, const char *to), (from, to))
FAILS(int, unlink, -1, (const char *path), (path))
FAILS(int, stat, -1, (const char *path, struct stat *found), (path, found))
FAILS(int, lstat, -1, (const char *path, struct stat *found), (path, found))
FAILS(int, fstat, -1, (int fd, struct stat *found), (fd, found))
FAILS(int, stat64, -1, (const char *path, struct stat64 *found), (path, found))
FAILS(int, lstat64, -1, (const char *path, struct stat64 *found), (path, found))
FAILS(int, fstat64, -1, (int fd, struct stat64 *found), (fd, found))
FAILS(ssize_t, readlink, -1, (const char *path, char *to, size_t n), (path, to, n))
FAILS(off_t, lseek, -1, (int fd, off_t to, int from), (fd, to, from))
FAILS(off64_t, lseek64, -1, (int fd, off64_t to, int from), (fd, to, from))
FAILS(struct dirent64 *, readdir64, NULL, (DIR * folder), (folder))

DIR *opendir(const char *path) {
    static DIR *(*real)(const char *);
    if (!real) real = (DIR * (*)(const char *)) next("opendir");
    if (!turn("opendir")) return real(path);
    errno = code;
    return NULL;
}
