/* A v4l2loopback device for tests, where the kernel has none: LD_PRELOAD this, and what is
 * written to FAKE_CAMERA_DEVICE lands in the file FAKE_CAMERA_FILE. pyvirtualcam's own native
 * code runs as it is; only these four calls of libc are answered here, for that device alone. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

static int device = -1;
static struct v4l2_format format;

static const char *fake_name(void) { return getenv("FAKE_CAMERA_DEVICE"); }

int open(const char *path, int flags, ...) {
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    const char *name = fake_name(), *file = getenv("FAKE_CAMERA_FILE");
    mode_t mode = 0;
    if (flags & (O_CREAT | __O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    if (name && file && strcmp(path, name) == 0) {
        if (getenv("FAKE_CAMERA_DENIED")) {
            errno = EACCES;
            return -1;
        }
        return device = real(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    }
    return real(path, flags, mode);
}

static int capabilities(struct v4l2_capability *told) {
    memset(told, 0, sizeof *told);
    strcpy((char *)told->driver, "v4l2 loopback");
    strcpy((char *)told->card, "fake");
    told->capabilities = V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_READWRITE;
    return 0;
}

int ioctl(int fd, unsigned long request, ...) {
    int (*real)(int, unsigned long, ...) =
        (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (device < 0 || fd != device)
        return real(fd, request, argument);
    switch (request) {
    case VIDIOC_QUERYCAP:
        return capabilities(argument);
    case VIDIOC_S_FMT:
        format = *(struct v4l2_format *)argument;
        return 0;
    case VIDIOC_G_FMT:
        *(struct v4l2_format *)argument = format;
        return 0;
    default:
        errno = ENOTTY;
        return -1;
    }
}

int close(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "close");
    if (fd == device)
        device = -1;
    return real(fd);
}
