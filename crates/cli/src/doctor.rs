//! `switchboard doctor`: what this machine allows, and what that means.

use std::fmt::Write;
use std::process::ExitCode;
use switchboard_notify::{Closings, Errno, Support, probe};

use crate::run::descriptors::ALLOW;

/// What to print, and the exit status.
pub(crate) fn text() -> (String, ExitCode) {
    let mut out = String::new();
    let report = probe();
    let _ = writeln!(out, "Linux {}", report.release);
    let mut usable = true;
    match &report.listener {
        Ok(()) => line(&mut out, "seccomp user notification", "yes", ""),
        Err(error) => {
            usable = false;
            line(
                &mut out,
                "seccomp user notification",
                &format!("no ({error})"),
                "nothing can be run here: the kernel, a container or an outer run refuses it",
            );
        }
    }
    let mut row = |name: &str, support: Support, without: &str, needed: bool| {
        if needed && !support.is_yes() {
            usable = false;
        }
        let note = if support.is_yes() { "" } else { without };
        line(&mut out, name, &support.to_string(), note);
    };
    row(
        "  replies with a descriptor (5.14)",
        report.add_fd_send,
        "no socket can be made",
        true,
    );
    row(
        "  synchronous wake-up (6.6)",
        report.sync_wake_up,
        "calls cost about a third more",
        false,
    );
    row(
        "process_vm_readv",
        report.process_vm,
        "/proc/PID/mem is used, slower",
        false,
    );
    row(
        "/proc/PID/mem",
        report.proc_mem,
        "no other way if process_vm_readv is refused too",
        !report.process_vm.is_yes(),
    );
    row(
        "pidfd_open",
        report.pidfd_open,
        &format!("a way round is taken, as without pidfd_getfd; {ALLOW}"),
        !report.proc_fd.is_yes(),
    );
    row(
        "  threads (6.9)",
        report.pidfd_thread,
        "the process's pidfd is used, with a check",
        false,
    );
    row(
        "pidfd_getfd",
        report.pidfd_getfd,
        &format!(
            "closes are looked for in /proc instead, which is slower and differs in details; {ALLOW}"
        ),
        !report.proc_fd.is_yes(),
    );
    row(
        "/proc/PID/fd",
        report.proc_fd,
        "no other way where pidfd_getfd is refused",
        !report.pidfd_getfd.is_yes(),
    );
    let closings = Closings::new().map(drop);
    row(
        "inotify of sockets",
        closings.map_or_else(Support::No, |()| Support::Yes),
        "a datagram socket's error shows as an arrival",
        false,
    );
    row(
        "ping sockets",
        ping_socket().map_or_else(
            |errno| Support::No(Errno(errno.raw_os_error())),
            |()| Support::Yes,
        ),
        "`--net nat` answers echo requests with \"Packet filtered\"; as root: sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"",
        false,
    );
    match report.ptrace_scope {
        None => line(&mut out, "Yama ptrace_scope", "none", ""),
        Some(scope @ 0..=1) => line(&mut out, "Yama ptrace_scope", &scope.to_string(), ""),
        Some(scope) => {
            usable = false;
            line(
                &mut out,
                "Yama ptrace_scope",
                &scope.to_string(),
                "other processes cannot be served",
            );
        }
    }
    if usable {
        out.push_str("Programs can be run here: switchboard run -- PROGRAM\n");
        (out, ExitCode::SUCCESS)
    } else {
        out.push_str("Programs cannot be run here, for the reasons above.\n");
        (out, ExitCode::FAILURE)
    }
}

/// What the gateway of `--net nat` sends echo requests by. icmp(7): net.ipv4.ping_group_range says who may have one.
fn ping_socket() -> rustix::io::Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};
    let (family, protocol) = (AddressFamily::INET, Some(ipproto::ICMP));
    socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, protocol).map(drop)
}

fn line(out: &mut String, name: &str, value: &str, note: &str) {
    if note.is_empty() {
        let _ = writeln!(out, "{name:36} {value}");
    } else {
        let _ = writeln!(out, "{name:36} {value}; {note}");
    }
}
