//! AF_UNIX names in the file system. INODES: what the file system itself does with them.

use crate::addr::Addr;
use crate::check::{Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::{NB, TempDir};
use libc::{AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

tests! {
    bind_makes_a_socket_inode [INODES],
    name_gets_its_nul [PATHS],
    name_ends_at_the_first_nul [PATHS],
    name_of_108_bytes_without_nul [PATHS],
    mode_follows_umask [INODES],
    mode_follows_the_descriptor [INODES],
    owner_is_the_binder [INODES | DROP],
    taken_path_is_in_use [INODES],
    bind_again_removes_what_it_made [PATHS],
    missing_directory [INODES],
    file_as_directory [INODES],
    forbidden_directory [INODES | DROP | ROOT],
    connect_missing [PATHS],
    connect_stale [PATHS],
    connect_regular_file [INODES],
    connect_directory [INODES],
    connect_wrong_type [PATHS],
    connect_without_write_permission [INODES | DROP | ROOT],
    sendto_without_write_permission [INODES | DROP | ROOT],
    connect_through_symlink [INODES],
    connect_through_hard_link [INODES],
    rename_keeps_the_socket [INODES],
    unlink_ends_new_connections_only [PATHS],
    close_leaves_the_inode [INODES],
    relative_path [INODES],
    open_is_refused [INODES],
    by_a_descriptor_in_proc [INODES],
    sendto_path [PATHS],
    sendto_path_errors [PATHS],
    socket_and_inode_differ [INODES],
    peer_name_is_the_path_as_bound [INODES],
    dangling_symlink_is_in_use [INODES],
}

fn stream_at(k: &mut dyn Kernel, path: &Path) -> Result<i64, crate::check::Stop> {
    let fd = ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0));
    ret!(k.bind(fd, &Addr::path(path)), 0);
    ret!(k.listen(fd, 4), 0);
    Ok(fd)
}

fn client(k: &mut dyn Kernel) -> Result<i64, crate::check::Stop> {
    Ok(ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0)))
}

fn unlink(k: &mut dyn Kernel, path: &Path) -> i64 {
    let addr = Addr::path(path);
    k.call(libc::SYS_unlink, &[addr.ptr() + 2])
}

fn io<T>(result: std::io::Result<T>) -> Result<T, crate::check::Stop> {
    result.map_err(|error| crate::check::Stop::Fail(error.to_string()))
}

fn bind_makes_a_socket_inode(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let path = dir.join(&format!("s{kind}"));
        let fd = ok!(k.socket(AF_UNIX, kind, 0));
        ret!(k.bind(fd, &Addr::path(&path)), 0);
        check!(
            io(std::fs::symlink_metadata(&path))?
                .file_type()
                .is_socket(),
            "{path:?}"
        );
    }
    Ok(())
}

fn name_gets_its_nul(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let path = dir.join("s");
    let fd = client(k)?;
    ret!(k.bind(fd, &Addr::unix(path.as_os_str().as_bytes())), 0);
    eq!(k.sockname(fd)?, Addr::path(&path));
    Ok(())
}

fn name_ends_at_the_first_nul(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let path = dir.join("s");
    let fd = client(k)?;
    let mut addr = Addr::path(&path);
    addr.0.extend(b"garbage");
    ret!(k.bind(fd, &addr), 0);
    eq!(k.sockname(fd)?, Addr::path(&path));
    // The same with sizeof(struct sockaddr_un), as most programs pass it.
    let path = dir.join("t");
    let fd = client(k)?;
    ret!(k.bind(fd, &Addr::path(&path).padded(110)), 0);
    eq!(k.sockname(fd)?, Addr::path(&path));
    Ok(())
}

fn name_of_108_bytes_without_nul(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let mut path = dir.join("").as_os_str().as_bytes().to_vec();
    check!(
        path.len() < 100,
        "the temporary directory's name is too long"
    );
    path.resize(108, b'x');
    let fd = client(k)?;
    ret!(k.bind(fd, &Addr::unix(&path)), 0);
    // The kernel adds the NUL: the name is longer than struct sockaddr_un.
    let name = k.sockname(fd)?;
    eq!(name.len(), 111);
    path.push(0);
    eq!(name, Addr::unix(&path));
    ret!(k.listen(fd, 1), 0);
    let c = client(k)?;
    ret!(k.connect(c, &Addr::unix(&path[..108])), 0);
    err!(k.connect(c, &Addr::unix(&path)), EINVAL);
    Ok(())
}

fn mode_follows_umask(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    for (mask, mode) in [(0, 0o777), (0o022, 0o755), (0o077, 0o700), (0o777, 0)] {
        k.call(libc::SYS_umask, &[mask]);
        let path = dir.join(&format!("s{mask}"));
        let fd = client(k)?;
        ret!(k.bind(fd, &Addr::path(&path)), 0);
        eq!(io(std::fs::metadata(&path))?.mode() & 0o7777, mode);
    }
    Ok(())
}

/// fchmod(2) of a socket before bind(2) makes a file that nobody else may connect to, from the first moment.
fn mode_follows_the_descriptor(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    for (own, mask, mode) in [
        (0o600u32, 0u64, 0o600u32),
        (0o666, 0o022, 0o644),
        (0o1700, 0, 0o1700),
    ] {
        k.call(libc::SYS_umask, &[mask]);
        for kind in [SOCK_STREAM, SOCK_DGRAM] {
            let path = dir.join(&format!("s{own}{kind}"));
            let fd = ok!(k.socket(AF_UNIX, kind, 0));
            ret!(k.call(libc::SYS_fchmod, &[fd as u64, own.into()]), 0);
            ret!(k.bind(fd, &Addr::path(&path)), 0);
            eq!(io(std::fs::metadata(&path))?.mode() & 0o7777, mode);
            // What comes later is the descriptor's own.
            ret!(k.call(libc::SYS_fchmod, &[fd as u64, 0o777]), 0);
            eq!(io(std::fs::metadata(&path))?.mode() & 0o7777, mode);
        }
    }
    Ok(())
}

fn owner_is_the_binder(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    io(std::fs::set_permissions(
        &dir.0,
        std::fs::Permissions::from_mode(0o777),
    ))?;
    check!(k.drop_privileges(), "could not become an ordinary user");
    let path = dir.join("s");
    let fd = client(k)?;
    ret!(k.bind(fd, &Addr::path(&path)), 0);
    let uid = k.call(libc::SYS_geteuid, &[]);
    eq!(i64::from(io(std::fs::metadata(&path))?.uid()), uid);
    Ok(())
}

fn taken_path_is_in_use(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let path = dir.join("s");
    let first = client(k)?;
    ret!(k.bind(first, &Addr::path(&path)), 0);
    let other = client(k)?;
    err!(k.bind(other, &Addr::path(&path)), EADDRINUSE);
    // Another type does not help, nor does the socket's end, nor that it never was a socket.
    let dgram = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    err!(k.bind(dgram, &Addr::path(&path)), EADDRINUSE);
    k.close(first);
    err!(k.bind(other, &Addr::path(&path)), EADDRINUSE);
    let file = dir.join("file");
    io(std::fs::write(&file, b""))?;
    err!(k.bind(other, &Addr::path(&file)), EADDRINUSE);
    err!(k.bind(other, &Addr::path(&dir.0)), EADDRINUSE);
    ret!(unlink(k, &path), 0);
    ret!(k.bind(other, &Addr::path(&path)), 0);
    Ok(())
}

fn bind_again_removes_what_it_made(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let (first, second) = (dir.join("first"), dir.join("second"));
    let fd = client(k)?;
    ret!(k.bind(fd, &Addr::path(&first)), 0);
    err!(k.bind(fd, &Addr::path(&second)), EINVAL);
    check!(!second.exists(), "the inode of the failed bind stayed");
    // The inode is made before the socket is looked at: this is in use, not invalid.
    err!(k.bind(fd, &Addr::path(&first)), EADDRINUSE);
    Ok(())
}

fn missing_directory(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let fd = client(k)?;
    err!(k.bind(fd, &Addr::path(&dir.join("no/such"))), ENOENT);
    Ok(())
}

fn file_as_directory(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let fd = client(k)?;
    io(std::fs::write(dir.join("file"), b""))?;
    err!(k.bind(fd, &Addr::path(&dir.join("file/s"))), ENOTDIR);
    err!(k.connect(fd, &Addr::path(&dir.join("file/s"))), ENOTDIR);
    Ok(())
}

fn forbidden_directory(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let path = dir.join("s");
    let _listener = stream_at(k, &path)?;
    io(std::fs::set_permissions(
        &dir.0,
        std::fs::Permissions::from_mode(0o700),
    ))?;
    check!(k.drop_privileges(), "could not become an ordinary user");
    let fd = client(k)?;
    err!(k.bind(fd, &Addr::path(&dir.join("t"))), EACCES);
    err!(k.connect(fd, &Addr::path(&path)), EACCES);
    // It is not told whether there is such a name.
    err!(k.connect(fd, &Addr::path(&dir.join("missing"))), EACCES);
    Ok(())
}

fn connect_missing(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let fd = ok!(k.socket(AF_UNIX, kind, 0));
        err!(k.connect(fd, &Addr::path(&dir.join("missing"))), ENOENT);
    }
    Ok(())
}

fn connect_stale(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let path = dir.join("s");
    let listener = stream_at(k, &path)?;
    k.close(listener);
    let fd = client(k)?;
    err!(k.connect(fd, &Addr::path(&path)), ECONNREFUSED);
    Ok(())
}

fn connect_regular_file(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let path = dir.join("file");
    io(std::fs::write(&path, b""))?;
    let fd = client(k)?;
    err!(k.connect(fd, &Addr::path(&path)), ECONNREFUSED);
    Ok(())
}

fn connect_directory(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let fd = client(k)?;
    err!(k.connect(fd, &Addr::path(&dir.0)), ECONNREFUSED);
    Ok(())
}

fn connect_wrong_type(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let path = dir.join("s");
    let _listener = stream_at(k, &path)?;
    for kind in [SOCK_DGRAM, SOCK_SEQPACKET] {
        let fd = ok!(k.socket(AF_UNIX, kind, 0));
        err!(k.connect(fd, &Addr::path(&path)), EPROTOTYPE);
    }
    let fd = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    err!(k.sendto(fd, b"x", 0, &Addr::path(&path)), EPROTOTYPE);
    Ok(())
}

fn connect_without_write_permission(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    io(std::fs::set_permissions(
        &dir.0,
        std::fs::Permissions::from_mode(0o755),
    ))?;
    let path = dir.join("s");
    let _listener = stream_at(k, &path)?;
    let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode));
    io(set(0o755))?;
    // Root is asked for nothing.
    let fd = client(k)?;
    ret!(k.connect(fd, &Addr::path(&path)), 0);
    check!(k.drop_privileges(), "could not become an ordinary user");
    let fd = client(k)?;
    err!(k.connect(fd, &Addr::path(&path)), EACCES);
    Ok(())
}

fn sendto_without_write_permission(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let set = |path: &Path, mode| {
        io(std::fs::set_permissions(
            path,
            std::fs::Permissions::from_mode(mode),
        ))
    };
    set(&dir.0, 0o755)?;
    let path = dir.join("s");
    let addr = Addr::path(&path);
    let receiver = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    ret!(k.bind(receiver, &addr), 0);
    set(&path, 0o755)?;
    let early = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    ret!(k.connect(early, &addr), 0);
    check!(k.drop_privileges(), "could not become an ordinary user");
    let late = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    err!(k.connect(late, &addr), EACCES);
    err!(k.sendto(late, b"x", 0, &addr), EACCES);
    // Connected, it is asked for nothing any more, but for a name it is.
    ret!(k.send(early, b"x", 0), 1);
    err!(k.sendto(early, b"x", 0, &addr), EACCES);
    ret!(k.recv(receiver, &mut [0; 4], 0), 1);
    err!(k.recv(receiver, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn connect_through_symlink(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let _listener = stream_at(k, &dir.join("s"))?;
    io(std::os::unix::fs::symlink(dir.join("s"), dir.join("link")))?;
    let fd = client(k)?;
    ret!(k.connect(fd, &Addr::path(&dir.join("link"))), 0);
    // The peer's name is what it was bound to.
    eq!(k.peername(fd)?, Addr::path(&dir.join("s")));
    Ok(())
}

fn connect_through_hard_link(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let _listener = stream_at(k, &dir.join("s"))?;
    io(std::fs::hard_link(dir.join("s"), dir.join("link")))?;
    let fd = client(k)?;
    ret!(k.connect(fd, &Addr::path(&dir.join("link"))), 0);
    Ok(())
}

fn rename_keeps_the_socket(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let listener = stream_at(k, &dir.join("old"))?;
    io(std::fs::rename(dir.join("old"), dir.join("new")))?;
    let fd = client(k)?;
    err!(k.connect(fd, &Addr::path(&dir.join("old"))), ENOENT);
    ret!(k.connect(fd, &Addr::path(&dir.join("new"))), 0);
    eq!(k.sockname(listener)?, Addr::path(&dir.join("old")));
    Ok(())
}

fn unlink_ends_new_connections_only(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let path = dir.join("s");
    let listener = stream_at(k, &path)?;
    let fd = client(k)?;
    ret!(k.connect(fd, &Addr::path(&path)), 0);
    ret!(unlink(k, &path), 0);
    let late = client(k)?;
    err!(k.connect(late, &Addr::path(&path)), ENOENT);
    let server = ok!(k.accept(listener));
    ret!(k.send(fd, b"still", 0), 5);
    eq!(k.recv_now(server)?, b"still");
    // The name may be taken by another.
    let _second = stream_at(k, &path)?;
    ret!(k.connect(late, &Addr::path(&path)), 0);
    err!(k.accept(listener), EAGAIN);
    Ok(())
}

fn close_leaves_the_inode(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let path = dir.join("s");
    let fd = stream_at(k, &path)?;
    k.close(fd);
    check!(path.exists(), "{path:?}");
    Ok(())
}

fn relative_path(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let here = Addr::path(&dir.0);
    ret!(k.call(libc::SYS_chdir, &[here.ptr() + 2]), 0);
    let listener = stream_at(k, Path::new("s"))?;
    eq!(k.sockname(listener)?, Addr::path(Path::new("s")));
    let fd = client(k)?;
    ret!(k.connect(fd, &Addr::path(&dir.join("s"))), 0);
    eq!(k.peername(fd)?, Addr::path(Path::new("s")));
    let other = client(k)?;
    ret!(k.connect(other, &Addr::path(Path::new("./s"))), 0);
    Ok(())
}

fn open_is_refused(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let path = dir.join("s");
    let _listener = stream_at(k, &path)?;
    let addr = Addr::path(&path);
    err!(
        k.call(libc::SYS_open, &[addr.ptr() + 2, libc::O_RDWR as u64]),
        ENXIO
    );
    Ok(())
}

/// How programs get by the 108 bytes of a sockaddr_un: a descriptor of the socket's file, or of its directory.
fn by_a_descriptor_in_proc(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let listener = stream_at(k, &dir.join("s"))?;
    ret!(k.listen(listener, 64), 0);
    let file = Addr::path(&dir.join("s"));
    let whole = Addr::path(&dir.0);
    let flags = libc::O_PATH as u64;
    let file = ok!(k.call(libc::SYS_open, &[file.ptr() + 2, flags]));
    let whole = ok!(k.call(libc::SYS_open, &[whole.ptr() + 2, flags]));
    for proc in [
        "/proc/self/fd",
        "/proc/thread-self/fd",
        "/dev/fd",
        "//proc/./self//fd",
    ] {
        for path in [format!("{proc}/{file}"), format!("{proc}/{whole}/s")] {
            let fd = client(k)?;
            eq!(
                (k.connect(fd, &Addr::path(Path::new(&path))), &path),
                (0, &path)
            );
            ret!(k.close(fd), 0);
        }
        let fd = client(k)?;
        err!(
            k.connect(fd, &Addr::path(Path::new(&format!("{proc}/{whole}")))),
            ECONNREFUSED
        );
        err!(
            k.connect(fd, &Addr::path(Path::new(&format!("{proc}/999")))),
            ENOENT
        );
    }
    let bound = client(k)?;
    let name = Addr::path(Path::new(&format!("/proc/self/fd/{whole}/t")));
    ret!(k.bind(bound, &name), 0);
    eq!(k.sockname(bound)?, name.clone());
    check!(
        io(std::fs::symlink_metadata(dir.join("t")))?
            .file_type()
            .is_socket(),
        "{name:?}"
    );
    let here = Addr::path(&dir.0);
    ret!(k.call(libc::SYS_chdir, &[here.ptr() + 2]), 0);
    let fd = client(k)?;
    ret!(k.connect(fd, &Addr::path(Path::new("/proc/self/cwd/s"))), 0);
    ret!(
        k.call(
            libc::SYS_chdir,
            &[Addr::path(Path::new("/proc/self")).ptr() + 2]
        ),
        0
    );
    let fd = client(k)?;
    ret!(
        k.connect(fd, &Addr::path(Path::new(&format!("fd/{file}")))),
        0
    );
    Ok(())
}

fn sendto_path(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let (to, from) = (dir.join("to"), dir.join("from"));
    let a = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    let b = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    ret!(k.bind(a, &Addr::path(&to)), 0);
    ret!(k.bind(b, &Addr::path(&from)), 0);
    ret!(k.sendto(b, b"letter", 0, &Addr::path(&to)), 6);
    let mut buf = [0; 16];
    eq!(k.recvfrom(a, &mut buf, 0), (6, Addr::path(&from)));
    Ok(())
}

fn sendto_path_errors(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let fd = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    err!(
        k.sendto(fd, b"x", 0, &Addr::path(&dir.join("missing"))),
        ENOENT
    );
    let path = dir.join("s");
    let gone = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    ret!(k.bind(gone, &Addr::path(&path)), 0);
    k.close(gone);
    err!(k.sendto(fd, b"x", 0, &Addr::path(&path)), ECONNREFUSED);
    err!(k.sendto(fd, b"x", 0, &Addr::unix(b"")), EINVAL);
    Ok(())
}

fn socket_and_inode_differ(k: &mut dyn Kernel) -> Outcome {
    // fstat of the descriptor is a socket of sockfs, not the inode that was made.
    let dir = TempDir::new()?;
    let path = dir.join("s");
    let fd = stream_at(k, &path)?;
    // SAFETY: stat is integers, for which zero is a value.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    ret!(
        k.call(libc::SYS_fstat, &[fd as u64, &raw mut stat as u64]),
        0
    );
    eq!(stat.st_mode & libc::S_IFMT, libc::S_IFSOCK);
    check!(
        stat.st_ino != io(std::fs::metadata(&path))?.ino(),
        "inode {}",
        stat.st_ino
    );
    Ok(())
}

fn peer_name_is_the_path_as_bound(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let twisted = dir
        .join("./../")
        .join(dir.0.file_name().unwrap_or_default())
        .join("s");
    let _listener = stream_at(k, &twisted)?;
    let fd = client(k)?;
    ret!(k.connect(fd, &Addr::path(&dir.join("s"))), 0);
    eq!(k.peername(fd)?, Addr::path(&twisted));
    Ok(())
}

fn dangling_symlink_is_in_use(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    io(std::os::unix::fs::symlink(
        dir.join("nowhere"),
        dir.join("link"),
    ))?;
    let fd = client(k)?;
    err!(k.bind(fd, &Addr::path(&dir.join("link"))), EADDRINUSE);
    err!(k.connect(fd, &Addr::path(&dir.join("link"))), ENOENT);
    Ok(())
}
