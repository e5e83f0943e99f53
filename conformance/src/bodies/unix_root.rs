//! AF_UNIX names where a program's root directory, or what is mounted there, is not everybody's.

use crate::addr::Addr;
use crate::check::{Outcome, Stop, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::{NB, TempDir};
use libc::{AF_UNIX, SOCK_STREAM};
use std::path::{Path, PathBuf};

tests! {
    in_another_root [INODES | ROOT],
    below_another_mount [INODES | ROOT],
}

fn socket(k: &mut dyn Kernel) -> Result<i64, Stop> {
    Ok(ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0)))
}

/// The files of the directories of a scene, with the sockets that were made in it.
fn names(dir: &Path) -> Result<Vec<PathBuf>, Stop> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_path_buf()];
    while let Some(at) = left.pop() {
        for entry in std::fs::read_dir(&at).map_err(|error| error.to_string())? {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path.is_dir() && !path.is_symlink() {
                left.push(path.clone());
            }
            found.push(path.strip_prefix(dir).unwrap_or(&path).to_path_buf());
        }
    }
    found.sort();
    Ok(found)
}

/// With `dir` as the root, until `body` ends: the scene's directory is removed by its old name.
fn with_root(
    k: &mut dyn Kernel,
    dir: &Path,
    body: impl FnOnce(&mut dyn Kernel) -> Outcome,
) -> Outcome {
    let (new, old) = (Addr::path(dir), Addr::path(Path::new(".")));
    let before = Addr::path(Path::new("/"));
    let flags = (libc::O_PATH | libc::O_DIRECTORY) as u64;
    let root = ok!(k.call(libc::SYS_open, &[before.ptr() + 2, flags]));
    match k.call(libc::SYS_chroot, &[new.ptr() + 2]) {
        0 => {}
        error => return Err(Stop::Skip(format!("chroot: {error}"))),
    }
    let outcome = body(k);
    ret!(k.call(libc::SYS_fchdir, &[root as u64]), 0);
    ret!(k.call(libc::SYS_chroot, &[old.ptr() + 2]), 0);
    outcome
}

fn in_another_root(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, dir.join(name)).map_err(|error| error.to_string())
    };
    std::fs::create_dir(dir.join("run")).map_err(|error| error.to_string())?;
    link("/run/swbd-s", "link")?;
    link("../../../run/swbd-s", "up")?;
    link("/run", "there")?;
    with_root(k, &dir.0, |k| {
        let listener = socket(k)?;
        ret!(k.bind(listener, &Addr::path(Path::new("/run/swbd-s"))), 0);
        ret!(k.listen(listener, 64), 0);
        let at = Addr::path(Path::new("/run"));
        ret!(k.call(libc::SYS_chdir, &[at.ptr() + 2]), 0);
        for path in [
            "/run/swbd-s",
            "/link",
            "/up",
            "/there/swbd-s",
            "/../../there/../run/swbd-s",
            "swbd-s",
            "../link",
            "../../../up",
            "../there/swbd-s",
            "../there/../../run/swbd-s",
        ] {
            let fd = socket(k)?;
            let result = k.connect(fd, &Addr::path(Path::new(path)));
            check!(result == 0, "{path}: {result}");
        }
        for (path, errno) in [
            ("/run/swbd-s", libc::EADDRINUSE),
            ("/link", libc::EADDRINUSE),
            ("../link", libc::EADDRINUSE),
            ("/there", libc::EADDRINUSE),
            ("/run/.", libc::EADDRINUSE),
            ("/", libc::EADDRINUSE),
            ("..", libc::EADDRINUSE),
            ("/run/swbd-a/", libc::ENOENT),
            ("/none/swbd-a", libc::ENOENT),
            ("/link/swbd-a", libc::ENOTDIR),
        ] {
            let fd = socket(k)?;
            let result = k.bind(fd, &Addr::path(Path::new(path)));
            check!(result == -i64::from(errno), "{path}: {result}");
        }
        for path in [
            "/there/swbd-t",
            "../there/swbd-u",
            "//run//swbd-v",
            "swbd-w",
        ] {
            let fd = socket(k)?;
            let result = k.bind(fd, &Addr::path(Path::new(path)));
            check!(result == 0, "{path}: {result}");
        }
        Ok(())
    })?;
    let made = ["s", "t", "u", "v", "w"].map(|name| format!("run/swbd-{name}"));
    let mut all: Vec<PathBuf> = made.into_iter().map(PathBuf::from).collect();
    all.extend(["link", "run", "there", "up"].map(PathBuf::from));
    all.sort();
    eq!(names(&dir.0)?, all);
    // Where the links lead outside, nothing was made.
    check!(!Path::new("/run/swbd-t").exists(), "made outside the root");
    Ok(())
}

/// What one mount namespace has mounted on a directory is not what others have there.
fn below_another_mount(k: &mut dyn Kernel) -> Outcome {
    let dir = TempDir::new()?;
    let path = dir.join("s");
    let outside = socket(k)?;
    ret!(k.bind(outside, &Addr::path(&path)), 0);
    ret!(k.listen(outside, 4), 0);
    match k.call(libc::SYS_unshare, &[libc::CLONE_NEWNS as u64]) {
        0 => {}
        error => return Err(Stop::Skip(format!("unshare: {error}"))),
    }
    let (here, none) = (Addr::path(&dir.0), Addr::path(Path::new("none")));
    let (all, tmpfs) = (Addr::path(Path::new("/")), Addr::path(Path::new("tmpfs")));
    let mut mount = |source: &Addr, target: &Addr, kind: &Addr, flags: u64| {
        let [source, target, kind] = [source, target, kind].map(|text| text.ptr() + 2);
        k.call(libc::SYS_mount, &[source, target, kind, flags, 0])
    };
    ret!(
        mount(&none, &all, &none, libc::MS_REC | libc::MS_PRIVATE),
        0
    );
    ret!(mount(&tmpfs, &here, &tmpfs, 0), 0);
    let fd = socket(k)?;
    err!(k.connect(fd, &Addr::path(&path)), ENOENT);
    let inside = socket(k)?;
    ret!(k.bind(inside, &Addr::path(&path)), 0);
    ret!(k.listen(inside, 4), 0);
    ret!(k.connect(fd, &Addr::path(&path)), 0);
    ok!(k.accept(inside));
    err!(k.accept(outside), EAGAIN);
    eq!(names(&dir.0)?, [PathBuf::from("s")]);
    ret!(k.call(libc::SYS_chdir, &[here.ptr() + 2]), 0);
    let fd = socket(k)?;
    ret!(k.connect(fd, &Addr::path(Path::new("s"))), 0);
    ok!(k.accept(inside));
    ret!(
        k.call(
            libc::SYS_umount2,
            &[here.ptr() + 2, libc::MNT_DETACH as u64]
        ),
        0
    );
    let fd = socket(k)?;
    ret!(k.connect(fd, &Addr::path(&path)), 0);
    ok!(k.accept(outside));
    Ok(())
}
