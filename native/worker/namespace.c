/* Namespaces, mounts and capabilities: thin faces of system calls. engine/worker/sandbox.py says what they are for. */
#define _GNU_SOURCE
#include "worker/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
enum { RECURSIVE = 0x8000 /* AT_RECURSIVE */, ATTR_RDONLY = 1 /* MOUNT_ATTR_RDONLY */ };

static int write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    ssize_t n = write(fd, text, strlen(text));
    int result = n < 0 ? -errno : 0;
    close(fd);
    return result;
}

int stk_enter_namespaces(int uid, int gid) {
    char users[64], groups[64];
    snprintf(users, sizeof users, "%d %d 1", uid, (int)geteuid());
    snprintf(groups, sizeof groups, "%d %d 1", gid, (int)getegid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) return -errno;
    int result = write_file("/proc/self/setgroups", "deny"); /* else it may not map a group: user_namespaces(7) */
    if (result == 0) result = write_file("/proc/self/uid_map", users);
    if (result == 0) result = write_file("/proc/self/gid_map", groups);
    if (result == 0 && mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) result = -errno;
    return result;
}

int stk_unshare_mounts(void) { return unshare(CLONE_NEWNS) < 0 ? -errno : 0; }

int stk_mount_new(const char *type, const char *target, const char *options) {
    return mount(type, target, type, MS_NOSUID | MS_NODEV, options) < 0 ? -errno : 0;
}

int stk_mount_bind(const char *source, const char *target) {
    return mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0 ? -errno : 0;
}

int stk_mount_read_only(const char *target, int recursive) {
    struct {
        uint64_t set, clear, propagation, user_namespace;
    } attributes = {.set = ATTR_RDONLY};
    if (syscall(SYS_mount_setattr, AT_FDCWD, target, recursive ? RECURSIVE : 0, &attributes, sizeof attributes) == 0) return 0;
    if (errno != ENOSYS) return -errno;
    /* Before Linux 5.12: the mount itself, with the flags that it has and must keep. */
    struct statvfs is;
    if (statvfs(target, &is) < 0) return -errno;
    unsigned long keep = is.f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME);
    return mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | keep, NULL) < 0 ? -errno : 0;
}

int stk_enter_root(void) {
    if (syscall(SYS_pivot_root, ".", ".") < 0) return -errno; /* the old root lies above the new one now */
    if (umount2(".", MNT_DETACH) < 0) return -errno;
    return chdir("/") < 0 ? -errno : 0;
}

static int set_capabilities(struct __user_cap_data_struct data[2]) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int stk_use_capabilities(int all) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0) return -errno;
    for (int i = 0; i < 2; i++) data[i].effective = all ? data[i].permitted : 0;
    return set_capabilities(data);
}

int stk_pass_capabilities(int on) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0) return -errno;
    for (int i = 0; i < 2; i++) {
        data[i].inheritable = on ? data[i].permitted : 0;
        data[i].effective = 0;
    }
    if (!on && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) return -errno;
    int result = set_capabilities(data);
    for (unsigned cap = 0; on && result == 0 && cap < 64; cap++)
        if (data[cap / 32].permitted >> cap % 32 & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0) result = -errno;
    return result;
}

int stk_drop_capabilities(void) {
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
    return set_capabilities(none);
}

static int probe(void) {
    int result = stk_enter_namespaces(1000, 1000);
    if (result == 0) result = stk_mount_new("tmpfs", "/proc", "size=64k");
    if (result == 0 && umount2("/proc", MNT_DETACH) < 0) result = -errno;
    if (result == 0) result = stk_enter_namespaces(1000, 1000);
    if (result == 0) result = stk_unshare_mounts();
    if (result == 0) result = stk_mount_new("tmpfs", "/proc", "size=64k");
    if (result == 0) result = stk_mount_read_only("/proc", 0);
    return result;
}

int stk_namespaces_probe(void) {
    int status;
    pid_t pid = fork();
    if (pid < 0) return -errno;
    if (pid == 0) _exit(-probe() & 0xFF);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return -errno;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EPERM;
}
