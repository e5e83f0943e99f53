//! Who a program is: in user and mount namespaces that it makes, and after execve(2). As without the runner.

use std::process::Command;

use crate::support::{Scratch, compiled, output, run};

/// Also where namespaces are refused.
const NAMESPACES: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void writes(const char *file, const char *text) {
    int fd = open(file, O_WRONLY);
    printf("%s %d\n", file, fd >= 0 && write(fd, text, strlen(text)) > 0);
    close(fd);
}

/* What a pair tells of its maker, and which credentials may be given. */
static void who(const char *when) {
    int pair[2], on = 1;
    struct ucred c = {0};
    socklen_t len = sizeof c;
    gid_t groups[64];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &c, &len);
    printf("%s: SO_PEERCRED %d %u %u\n", when, c.pid == getpid(), c.uid, c.gid);
    len = sizeof groups;
    if (!getsockopt(pair[0], SOL_SOCKET, SO_PEERGROUPS, groups, &len))
        for (unsigned i = 0; i < len / sizeof *groups; i++) printf("group %u\n", groups[i]);
    struct ucred gives[] = {{getpid(), getuid(), getgid()}, {getpid(), 5000, 6000}, {getpid(), 0, 0}, {1, 5000, 6000}};
    char byte = 'x', control[256];
    struct iovec iov = {&byte, 1};
    for (int i = -1; i < 4; i++) {
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
        if (i >= 0) {
            m.msg_control = control;
            m.msg_controllen = CMSG_SPACE(sizeof c);
            struct cmsghdr *cmsg = CMSG_FIRSTHDR(&m);
            cmsg->cmsg_level = SOL_SOCKET;
            cmsg->cmsg_type = SCM_CREDENTIALS;
            cmsg->cmsg_len = CMSG_LEN(sizeof c);
            memcpy(CMSG_DATA(cmsg), &gives[i], sizeof c);
        }
        if (sendmsg(pair[0], &m, 0) != 1) {
            printf("%d: %s\n", i, strerror(errno));
            continue;
        }
        m.msg_control = control;
        m.msg_controllen = sizeof control;
        recvmsg(pair[1], &m, 0);
        memcpy(&c, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof c);
        printf("%d: SCM_CREDENTIALS %d %u %u\n", i, c.pid == getpid(), c.uid, c.gid);
    }
    printf("raw: %s\n", socket(AF_INET, SOCK_RAW, 255) < 0 ? strerror(errno) : "may");
}

static int named(int (*call)(int, const struct sockaddr *, socklen_t), int fd, const char *path) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    strcpy(name.sun_path, path);
    int n = call(fd, (struct sockaddr *)&name, sizeof name);
    printf("%s: %s\n", path, n < 0 ? strerror(errno) : "ok");
    return n;
}

static void connects(const char *path) {
    named(connect, socket(AF_UNIX, SOCK_STREAM, 0), path);
}

int main(int argc, char **argv) {
    char map[64];
    struct stat st;
    int uid = getuid(), gid = getgid();
    chdir(argv[1]);
    if (unshare(CLONE_NEWUSER)) return puts("no user namespace"), 0;
    who("unmapped");
    writes("/proc/self/setgroups", "deny");
    sprintf(map, "5000 %d 1", uid);
    writes("/proc/self/uid_map", map);
    sprintf(map, "6000 %d 1", gid);
    writes("/proc/self/gid_map", map);
    who("mapped");

    char at[4096], path[4200];
    getcwd(at, sizeof at);
    mkdir("over", 0700);
    if (unshare(CLONE_NEWNS) || mount(0, "/", 0, MS_REC | MS_PRIVATE, 0)) return puts("no mount namespace"), 0;
    sprintf(path, "%s/over", at);
    if (mount("none", path, "tmpfs", 0, 0)) return puts("no mount"), 0;
    /* Names short enough for a sockaddr_un, and the same in each run. */
    if (mount(path, "/mnt", 0, MS_BIND, 0)) return puts("no bind"), 0;
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    named(bind, listener, "/mnt/s");
    listen(listener, 9);
    sprintf(path, "%s/over/s", at);
    printf("there: %d\n", !stat(path, &st) && S_ISSOCK(st.st_mode));
    connects("/mnt/s");
    chdir("/mnt");
    connects("s");
    mkdir("dir", 0755);
    symlink("/mnt/s", "link");
    connects("link");
    connects("/mnt/dir/../link");
    connects("/mnt/none");
    symlink("/s", "inner");
    mkdir("closed", 0700);
    if (chroot("/mnt")) return puts("no chroot"), 0;
    chdir("/");
    connects("/s");
    connects("/inner");
    connects("/../s");
    connects("/mnt/s");
    return 0;
}
"#;

/// Capabilities that somebody else than root has are lost.
const EXECVE: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{1 << CAP_NET_RAW, 1 << CAP_NET_RAW}};
    int again = !strcmp(argv[1], "again");
    if (!again) {
        prctl(PR_SET_KEEPCAPS, 1);
        setresuid(65534, 65534, 65534);
        syscall(SYS_capset, &header, data);
    }
    printf("%s\n", socket(AF_INET, SOCK_RAW, 255) < 0 ? strerror(errno) : "may");
    fflush(stdout);
    if (!again) execl(argv[0], argv[0], "again", NULL);
    return 0;
}
"#;

/// What is printed must be the same with and without the runner.
fn compare(name: &str, source: &str) {
    let scratch = Scratch::new(name);
    let program = compiled(&scratch, name, source);
    let anybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(scratch.path(), anybody).unwrap();
    let program = program.to_str().unwrap();
    let [native, inside] = ["native", "inside"].map(|name| {
        let dir = scratch.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        dir.to_str().unwrap().to_owned()
    });
    let mut alone = Command::new(program);
    alone.arg(native);
    let alone = output(alone);
    assert_eq!(alone.status, 0, "{alone:?}");
    let under = output(run(&[program, &inside]));
    assert_eq!((under.status, under.out), (0, alone.out), "{}", under.err);
}

#[test]
fn of_users_and_of_mounts() {
    compare("namespaces", NAMESPACES);
}

#[test]
fn execve_takes_capabilities() {
    compare("execve", EXECVE);
}
