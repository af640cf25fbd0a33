/* The guest's side of WASI preview1: three functions are the host's, the rest fail
 * here, so that they need no import. The names are those that libc calls. */

#include <errno.h>
#include <stdint.h>
#include <wasi/api.h>

#include "../capture.h"

#define IMPORTED(name) \
    __attribute__((import_module("wasi_snapshot_preview1"), import_name(name)))

IMPORTED("clock_time_get") int32_t host_clock_time_get(int32_t, int64_t, int32_t);
IMPORTED("random_get") int32_t host_random_get(int32_t, int32_t);
IMPORTED("poll_oneoff") int32_t host_poll_oneoff(int32_t, int32_t, int32_t, int32_t);

#define ADDRESS(pointer) ((int32_t)(uintptr_t)(pointer))

/* ------------------------------------------------------------- the host's own */

__wasi_errno_t
__wasi_clock_time_get(__wasi_clockid_t id, __wasi_timestamp_t precision, __wasi_timestamp_t *time)
{
    return (uint16_t)host_clock_time_get((int32_t)id, (int64_t)precision, ADDRESS(time));
}

__wasi_errno_t
__wasi_random_get(uint8_t *buffer, __wasi_size_t size)
{
    return (uint16_t)host_random_get(ADDRESS(buffer), (int32_t)size);
}

/* Sleeping is all there is to wait for: a subscription to a file is refused. */
__wasi_errno_t
__wasi_poll_oneoff(const __wasi_subscription_t *in, __wasi_event_t *out, __wasi_size_t count,
                   __wasi_size_t *happened)
{
    for (__wasi_size_t i = 0; i < count; i++) {
        if (in[i].u.tag != __WASI_EVENTTYPE_CLOCK) {
            return __WASI_ERRNO_NOTSUP;
        }
    }
    return (uint16_t)host_poll_oneoff(ADDRESS(in), ADDRESS(out), (int32_t)count,
                                      ADDRESS(happened));
}

/* ------------------------------------------------------------- answered here */

__wasi_errno_t
__wasi_clock_res_get(__wasi_clockid_t id, __wasi_timestamp_t *resolution)
{
    *resolution = 1;
    return __WASI_ERRNO_SUCCESS;
}

__wasi_errno_t
__wasi_sched_yield(void)
{
    return __WASI_ERRNO_SUCCESS;
}

_Noreturn void
__wasi_proc_exit(__wasi_exitcode_t code)
{
    __builtin_trap(); /* os._exit, abort: the host sees a trap */
}

/* What C code and `os.write` send to stdout and stderr is captured like all output. */
__wasi_errno_t
__wasi_fd_write(__wasi_fd_t fd, const __wasi_ciovec_t *pieces, size_t count, __wasi_size_t *size)
{
    if (fd != 1 && fd != 2) {
        return __WASI_ERRNO_BADF;
    }
    *size = 0;
    for (size_t i = 0; i < count; i++) {
        capture_bytes((int)fd, pieces[i].buf, pieces[i].buf_len);
        *size += pieces[i].buf_len;
    }
    return __WASI_ERRNO_SUCCESS;
}

__wasi_errno_t
__wasi_args_sizes_get(__wasi_size_t *count, __wasi_size_t *size)
{
    *count = *size = 0;
    return __WASI_ERRNO_SUCCESS;
}

__wasi_errno_t
__wasi_environ_sizes_get(__wasi_size_t *count, __wasi_size_t *size)
{
    *count = *size = 0;
    return __WASI_ERRNO_SUCCESS;
}

/* --------------------------------------------------------------- what fails */

/* zig's own `close` imports fd_close by itself. */
int
close(int fd)
{
    errno = EBADF;
    return -1;
}

/* Each name has its parameters' types as in <wasi/api.h>: the linker compares them. */
#define FAILS(name, error, ...)      \
    __wasi_errno_t                   \
    __wasi_##name(__VA_ARGS__)       \
    {                                \
        return __WASI_ERRNO_##error; \
    }

FAILS(args_get, NOSYS, uint8_t **a, uint8_t *b)
FAILS(environ_get, NOSYS, uint8_t **a, uint8_t *b)

FAILS(fd_advise, BADF, __wasi_fd_t a, __wasi_filesize_t b, __wasi_filesize_t c, __wasi_advice_t d)
FAILS(fd_allocate, BADF, __wasi_fd_t a, __wasi_filesize_t b, __wasi_filesize_t c)
FAILS(fd_close, BADF, __wasi_fd_t a)
FAILS(fd_datasync, BADF, __wasi_fd_t a)
FAILS(fd_fdstat_get, BADF, __wasi_fd_t a, __wasi_fdstat_t *b)
FAILS(fd_fdstat_set_flags, BADF, __wasi_fd_t a, __wasi_fdflags_t b)
FAILS(fd_fdstat_set_rights, BADF, __wasi_fd_t a, __wasi_rights_t b, __wasi_rights_t c)
FAILS(fd_filestat_get, BADF, __wasi_fd_t a, __wasi_filestat_t *b)
FAILS(fd_filestat_set_size, BADF, __wasi_fd_t a, __wasi_filesize_t b)
FAILS(fd_filestat_set_times, BADF, __wasi_fd_t a, __wasi_timestamp_t b, __wasi_timestamp_t c,
      __wasi_fstflags_t d)
FAILS(fd_pread, BADF, __wasi_fd_t a, const __wasi_iovec_t *b, size_t c, __wasi_filesize_t d,
      __wasi_size_t *e)
FAILS(fd_prestat_get, BADF, __wasi_fd_t a, __wasi_prestat_t *b)
FAILS(fd_prestat_dir_name, BADF, __wasi_fd_t a, uint8_t *b, __wasi_size_t c)
FAILS(fd_pwrite, BADF, __wasi_fd_t a, const __wasi_ciovec_t *b, size_t c, __wasi_filesize_t d,
      __wasi_size_t *e)
FAILS(fd_read, BADF, __wasi_fd_t a, const __wasi_iovec_t *b, size_t c, __wasi_size_t *d)
FAILS(fd_readdir, BADF, __wasi_fd_t a, uint8_t *b, __wasi_size_t c, __wasi_dircookie_t d,
      __wasi_size_t *e)
FAILS(fd_renumber, BADF, __wasi_fd_t a, __wasi_fd_t b)
FAILS(fd_seek, BADF, __wasi_fd_t a, __wasi_filedelta_t b, __wasi_whence_t c, __wasi_filesize_t *d)
FAILS(fd_sync, BADF, __wasi_fd_t a)
FAILS(fd_tell, BADF, __wasi_fd_t a, __wasi_filesize_t *b)

FAILS(path_create_directory, BADF, __wasi_fd_t a, const char *b)
FAILS(path_filestat_get, BADF, __wasi_fd_t a, __wasi_lookupflags_t b, const char *c,
      __wasi_filestat_t *d)
FAILS(path_filestat_set_times, BADF, __wasi_fd_t a, __wasi_lookupflags_t b, const char *c,
      __wasi_timestamp_t d, __wasi_timestamp_t e, __wasi_fstflags_t f)
FAILS(path_link, BADF, __wasi_fd_t a, __wasi_lookupflags_t b, const char *c, __wasi_fd_t d,
      const char *e)
FAILS(path_open, BADF, __wasi_fd_t a, __wasi_lookupflags_t b, const char *c, __wasi_oflags_t d,
      __wasi_rights_t e, __wasi_rights_t f, __wasi_fdflags_t g, __wasi_fd_t *h)
FAILS(path_readlink, BADF, __wasi_fd_t a, const char *b, uint8_t *c, __wasi_size_t d,
      __wasi_size_t *e)
FAILS(path_remove_directory, BADF, __wasi_fd_t a, const char *b)
FAILS(path_rename, BADF, __wasi_fd_t a, const char *b, __wasi_fd_t c, const char *d)
FAILS(path_symlink, BADF, const char *a, __wasi_fd_t b, const char *c)
FAILS(path_unlink_file, BADF, __wasi_fd_t a, const char *b)

FAILS(sock_accept, NOSYS, __wasi_fd_t a, __wasi_fdflags_t b, __wasi_fd_t *c)
FAILS(sock_recv, NOSYS, __wasi_fd_t a, const __wasi_iovec_t *b, size_t c, __wasi_riflags_t d,
      __wasi_size_t *e, __wasi_roflags_t *f)
FAILS(sock_send, NOSYS, __wasi_fd_t a, const __wasi_ciovec_t *b, size_t c, __wasi_siflags_t d,
      __wasi_size_t *e)
FAILS(sock_shutdown, NOSYS, __wasi_fd_t a, __wasi_sdflags_t b)
