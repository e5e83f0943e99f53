//! The directories of /proc/net and /proc/sys/net: what they list, and the ways into them.

use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::sys::Fd;
use libc::{O_DIRECTORY, O_PATH, O_RDONLY, SEEK_SET};
use std::ffi::CString;

tests! {
    lists_what_can_be_opened [FILES],
    has_what_there_is [FILES],
    in_pieces [FILES],
    from_a_position [FILES],
    old_entries_are_the_same [FILES],
    bad_buffers [FILES],
    interfaces_have_directories [FILES],
    relative_to_a_descriptor [FILES],
    a_path_descriptor [FILES],
    of_threads_and_processes [FILES],
    kinds_and_modes [FILES],
}

const DIRECTORIES: [&str; 9] = [
    "/proc/net",
    "/proc/self/net",
    "/proc/thread-self/net",
    "/proc/sys/net",
    "/proc/sys/net/core",
    "/proc/sys/net/ipv4",
    "/proc/sys/net/ipv4/conf",
    "/proc/sys/net/ipv4/conf/lo",
    "/proc/sys/net/unix",
];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    ino: u64,
    next: u64,
    kind: u8,
}

fn directory(k: &mut dyn Kernel, path: &str) -> Got<Fd> {
    Ok(ok!(k.open(path, O_RDONLY | O_DIRECTORY)))
}

/// One getdents64(2).
fn piece(k: &mut dyn Kernel, fd: Fd, size: usize) -> Got<Vec<Entry>> {
    let mut room = vec![0u8; size];
    let args = [fd as u64, room.as_mut_ptr() as u64, size as u64, 0, 0, 0];
    let count = ok!(k.syscall(libc::SYS_getdents64, args)) as usize;
    let mut entries = Vec::new();
    let mut at = 0;
    while at < count {
        let word = |from: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&room[at + from..at + from + 8]);
            u64::from_le_bytes(bytes)
        };
        let len = usize::from(room[at + 16]) | usize::from(room[at + 17]) << 8;
        let name = &room[at + 19..at + len];
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(0);
        entries.push(Entry {
            name: String::from_utf8_lossy(&name[..end]).into_owned(),
            ino: word(0),
            next: word(8),
            kind: room[at + 18],
        });
        at += len;
    }
    Ok(entries)
}

fn all(k: &mut dyn Kernel, fd: Fd, size: usize) -> Got<Vec<Entry>> {
    let mut entries = Vec::new();
    loop {
        match piece(k, fd, size)? {
            more if more.is_empty() => return Ok(entries),
            more => entries.extend(more),
        }
    }
}

fn listed(k: &mut dyn Kernel, path: &str) -> Got<Vec<Entry>> {
    let fd = directory(k, path)?;
    let entries = all(k, fd, 32 * 1024)?;
    k.close(fd);
    Ok(entries)
}

fn open_at(k: &mut dyn Kernel, dir: Fd, name: &str, flags: i32) -> i64 {
    let name = CString::new(name).unwrap_or_default();
    let args = [dir as u64, name.as_ptr() as u64, flags as u64, 0, 0, 0];
    k.syscall(libc::SYS_openat, args)
}

fn lists_what_can_be_opened(k: &mut dyn Kernel) -> Outcome {
    for path in DIRECTORIES {
        let dir = directory(k, path)?;
        let entries = all(k, dir, 32 * 1024)?;
        check!(entries.len() > 2, "{path}: {entries:?}");
        eq!(
            (entries[0].name.as_str(), entries[0].kind),
            (".", libc::DT_DIR)
        );
        eq!(
            (entries[1].name.as_str(), entries[1].kind),
            ("..", libc::DT_DIR)
        );
        for entry in &entries[2..] {
            let found = open_at(k, dir, &entry.name, O_RDONLY);
            // Some are written only.
            let open = found >= 0 || found == -i64::from(libc::EACCES);
            check!(open, "{path}/{}: {found}", entry.name);
            check!(entry.ino != 0, "{path}/{}", entry.name);
            if found >= 0 {
                k.close(found);
            }
        }
        k.close(dir);
    }
    Ok(())
}

fn has_what_there_is(k: &mut dyn Kernel) -> Outcome {
    for (path, names) in [
        (
            "/proc/net",
            &["dev", "tcp", "udp", "unix", "snmp", "route"][..],
        ),
        ("/proc/self/net", &["tcp6", "raw", "sockstat"][..]),
        ("/proc/sys/net", &["core", "ipv4", "ipv6", "unix"][..]),
        ("/proc/sys/net/core", &["rmem_max", "somaxconn"][..]),
        (
            "/proc/sys/net/ipv4",
            &["conf", "tcp_rmem", "ip_default_ttl"][..],
        ),
        ("/proc/sys/net/unix", &["max_dgram_qlen"][..]),
    ] {
        let entries = listed(k, path)?;
        for name in names {
            let count = entries.iter().filter(|entry| entry.name == *name).count();
            check!(count == 1, "{path}/{name}: {count} times");
        }
    }
    // As the kernel sorts them: below /proc/net the shorter first.
    let tunables = listed(k, "/proc/sys/net/core")?;
    check!(
        tunables[2..].is_sorted_by_key(|entry| entry.name.clone()),
        "{tunables:?}"
    );
    Ok(())
}

fn in_pieces(k: &mut dyn Kernel) -> Outcome {
    for path in ["/proc/net", "/proc/sys/net/ipv4"] {
        let whole = listed(k, path)?;
        let fd = directory(k, path)?;
        for size in [64, 200, 1024] {
            eq!(all(k, fd, size)?, whole.clone());
            eq!(piece(k, fd, size)?, vec![]);
            ret!(k.lseek(fd, 0, SEEK_SET), 0);
        }
        k.close(fd);
    }
    Ok(())
}

fn from_a_position(k: &mut dyn Kernel) -> Outcome {
    for path in ["/proc/net", "/proc/sys/net/core"] {
        let whole = listed(k, path)?;
        let fd = directory(k, path)?;
        for at in [0, 1, 2, whole.len() / 2, whole.len() - 1] {
            let next = whole[at].next as i64;
            ret!(k.lseek(fd, next, SEEK_SET), next);
            eq!(all(k, fd, 4096)?, whole[at + 1..].to_vec());
        }
        // A copy has the same position.
        ret!(k.lseek(fd, 0, SEEK_SET), 0);
        let copy = ok!(k.call(libc::SYS_dup, &[fd as u64]));
        let first = piece(k, fd, 128)?;
        let rest = all(k, copy, 4096)?;
        eq!([first, rest].concat(), whole);
    }
    Ok(())
}

fn old_entries_are_the_same(k: &mut dyn Kernel) -> Outcome {
    let whole = listed(k, "/proc/sys/net/core")?;
    let fd = directory(k, "/proc/sys/net/core")?;
    let mut room = vec![0u8; 32 * 1024];
    let args = [
        fd as u64,
        room.as_mut_ptr() as u64,
        room.len() as u64,
        0,
        0,
        0,
    ];
    let count = ok!(k.syscall(libc::SYS_getdents, args)) as usize;
    let (mut at, mut names) = (0, Vec::new());
    while at < count {
        let len = usize::from(room[at + 16]) | usize::from(room[at + 17]) << 8;
        let name = &room[at + 18..at + len - 1];
        let end = name
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(name.len());
        let name = String::from_utf8_lossy(&name[..end]).into_owned();
        names.push((name, room[at + len - 1]));
        at += len;
    }
    let same: Vec<_> = whole.into_iter().map(|e| (e.name, e.kind)).collect();
    eq!(names, same);
    Ok(())
}

fn bad_buffers(k: &mut dyn Kernel) -> Outcome {
    let fd = directory(k, "/proc/sys/net/core")?;
    let mut room = [0u8; 8];
    let args = [fd as u64, room.as_mut_ptr() as u64, 8, 0, 0, 0];
    err!(k.syscall(libc::SYS_getdents64, args), EINVAL);
    err!(
        k.syscall(libc::SYS_getdents64, [fd as u64, 8, 4096, 0, 0, 0]),
        EFAULT
    );
    // Nothing was passed over.
    eq!(piece(k, fd, 64)?[0].name.as_str(), ".");
    let file = ok!(k.open("/proc/sys/net/core/somaxconn", O_RDONLY));
    let mut room = [0u8; 512];
    let args = [file as u64, room.as_mut_ptr() as u64, 512, 0, 0, 0];
    err!(k.syscall(libc::SYS_getdents64, args), ENOTDIR);
    Ok(())
}

fn interfaces_have_directories(k: &mut dyn Kernel) -> Outcome {
    for family in ["ipv4", "ipv6"] {
        let path = format!("/proc/sys/net/{family}/conf");
        let names: Vec<String> = listed(k, &path)?
            .into_iter()
            .filter(|entry| entry.kind == libc::DT_DIR)
            .map(|entry| entry.name)
            .collect();
        for name in ["all", "default", "lo"] {
            check!(names.iter().any(|known| known == name), "{path}: {names:?}");
        }
        for name in names.iter().filter(|name| !name.starts_with('.')) {
            let inside = listed(k, &format!("{path}/{name}"))?;
            let forwarding = inside.iter().any(|entry| entry.name == "forwarding");
            check!(forwarding, "{path}/{name}: {inside:?}");
        }
    }
    Ok(())
}

fn relative_to_a_descriptor(k: &mut dyn Kernel) -> Outcome {
    let want = k.get_tunable("core/somaxconn")?;
    let root = directory(k, "/proc/sys")?;
    let net = ok!(open_at(k, root, "net", O_RDONLY | O_DIRECTORY));
    for (dir, path) in [
        (root, "net/core/somaxconn"),
        (net, "core/somaxconn"),
        (net, "../net/./core//somaxconn"),
    ] {
        let fd = ok!(open_at(k, dir, path, O_RDONLY));
        let text = k.read_to_end(fd)?;
        eq!(text.trim_end(), want.as_str());
        k.close(fd);
    }
    err!(open_at(k, net, "core/none", O_RDONLY), ENOENT);
    Ok(())
}

fn a_path_descriptor(k: &mut dyn Kernel) -> Outcome {
    let dir = ok!(k.open("/proc/sys/net/core", O_PATH | O_DIRECTORY));
    let mut room = [0u8; 512];
    let args = [dir as u64, room.as_mut_ptr() as u64, 512, 0, 0, 0];
    err!(k.syscall(libc::SYS_getdents64, args), EBADF);
    let fd = ok!(open_at(k, dir, "somaxconn", O_RDONLY));
    let want = k.get_tunable("core/somaxconn")?;
    eq!(k.read_to_end(fd)?.trim_end(), want.as_str());
    let file = ok!(k.open("/proc/sys/net/core/somaxconn", O_PATH));
    err!(k.read(file, &mut [0; 4]), EBADF);
    // Opened again by its link, it is the same file.
    for links in ["/proc/self/fd", "/proc/thread-self/fd", "/dev/fd"] {
        let again = ok!(k.open(&format!("{links}/{file}"), O_RDONLY));
        eq!(k.read_to_end(again)?.trim_end(), want.as_str());
        let text = ok!(k.open("/proc/net/tcp", O_RDONLY));
        let again = ok!(k.open(&format!("{links}/{text}"), O_RDONLY));
        check!(
            k.read_to_end(again)?.starts_with("  sl  local_address"),
            "{links}"
        );
    }
    Ok(())
}

fn of_threads_and_processes(k: &mut dyn Kernel) -> Outcome {
    let (pid, tid) = (
        ok!(k.call(libc::SYS_getpid, &[])),
        ok!(k.call(libc::SYS_gettid, &[])),
    );
    let header = k.file_text("/proc/net/tcp")?;
    let header = header.lines().next().unwrap_or_default().to_string();
    for dir in [
        "/proc/self/net".to_string(),
        "/proc/thread-self/net".to_string(),
        format!("/proc/{pid}/net"),
        format!("/proc/{pid}/task/{tid}/net"),
        format!("/proc/self/task/{tid}/net"),
    ] {
        let text = k.file_text(&format!("{dir}/tcp"))?;
        eq!(text.lines().next().unwrap_or_default(), header.as_str());
        let entries = listed(k, &dir)?;
        check!(entries.iter().any(|entry| entry.name == "tcp"), "{dir}");
    }
    Ok(())
}

fn kinds_and_modes(k: &mut dyn Kernel) -> Outcome {
    for (path, mode) in [
        ("/proc/sys/net/core", libc::S_IFDIR | 0o555),
        ("/proc/self/net", libc::S_IFDIR | 0o555),
        ("/proc/sys/net/core/somaxconn", libc::S_IFREG | 0o644),
        ("/proc/net/tcp", libc::S_IFREG | 0o444),
    ] {
        let fd = ok!(k.open(path, O_RDONLY));
        let mut stat = [0u32; 36];
        let args = [fd as u64, stat.as_mut_ptr() as u64, 0, 0, 0, 0];
        ret!(k.syscall(libc::SYS_fstat, args), 0);
        // struct stat: st_mode is the seventh word of 32 bits.
        check!(stat[6] == mode, "{path}: {:o}", stat[6]);
    }
    Ok(())
}
