//! System-call numbers of the two architectures an x86-64 Linux runs, for the calls that reach the
//! socket layer.

use crate::socketcall::SocketCall;

/// Whose system-call table a number belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Arch {
    /// x86-64, LP64.
    X86_64,
    /// i386, ILP32.
    I386,
}

impl Arch {
    /// The word size of programs of this architecture.
    pub fn word(self) -> crate::Word {
        match self {
            Arch::X86_64 => crate::Word::Lp64,
            Arch::I386 => crate::Word::Ilp32,
        }
    }
}

/// A system call the layer answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs)]
pub enum Sysno {
    /// One of socketcall(2)'s calls by its direct number.
    Direct(SocketCall),
    /// recvmmsg(2) with 64-bit `timespec` on i386.
    RecvmmsgTime64,
    /// socketcall(2) itself.
    Socketcall,
    Read,
    Write,
    Readv,
    Writev,
    Preadv2,
    Pwritev2,
    Ioctl,
    Sendfile,
    /// sendfile64(2) of i386: a 64-bit offset.
    Sendfile64,
    Splice,
    Bpf,
    Close,
}

use SocketCall as S;
use Sysno::Direct;

const X86_64: &[(u32, Sysno)] = &[
    (0, Sysno::Read),
    (1, Sysno::Write),
    (3, Sysno::Close),
    (16, Sysno::Ioctl),
    (19, Sysno::Readv),
    (20, Sysno::Writev),
    (40, Sysno::Sendfile),
    (41, Direct(S::Socket)),
    (42, Direct(S::Connect)),
    (43, Direct(S::Accept)),
    (44, Direct(S::Sendto)),
    (45, Direct(S::Recvfrom)),
    (46, Direct(S::Sendmsg)),
    (47, Direct(S::Recvmsg)),
    (48, Direct(S::Shutdown)),
    (49, Direct(S::Bind)),
    (50, Direct(S::Listen)),
    (51, Direct(S::Getsockname)),
    (52, Direct(S::Getpeername)),
    (53, Direct(S::Socketpair)),
    (54, Direct(S::Setsockopt)),
    (55, Direct(S::Getsockopt)),
    (275, Sysno::Splice),
    (288, Direct(S::Accept4)),
    (299, Direct(S::Recvmmsg)),
    (307, Direct(S::Sendmmsg)),
    (321, Sysno::Bpf),
    (327, Sysno::Preadv2),
    (328, Sysno::Pwritev2),
];

const I386: &[(u32, Sysno)] = &[
    (3, Sysno::Read),
    (4, Sysno::Write),
    (6, Sysno::Close),
    (54, Sysno::Ioctl),
    (102, Sysno::Socketcall),
    (145, Sysno::Readv),
    (146, Sysno::Writev),
    (187, Sysno::Sendfile),
    (239, Sysno::Sendfile64),
    (313, Sysno::Splice),
    (337, Direct(S::Recvmmsg)),
    (345, Direct(S::Sendmmsg)),
    (357, Sysno::Bpf),
    (359, Direct(S::Socket)),
    (360, Direct(S::Socketpair)),
    (361, Direct(S::Bind)),
    (362, Direct(S::Connect)),
    (363, Direct(S::Listen)),
    (364, Direct(S::Accept4)),
    (365, Direct(S::Getsockopt)),
    (366, Direct(S::Setsockopt)),
    (367, Direct(S::Getsockname)),
    (368, Direct(S::Getpeername)),
    (369, Direct(S::Sendto)),
    (370, Direct(S::Sendmsg)),
    (371, Direct(S::Recvfrom)),
    (372, Direct(S::Recvmsg)),
    (373, Direct(S::Shutdown)),
    (378, Sysno::Preadv2),
    (379, Sysno::Pwritev2),
    (417, Sysno::RecvmmsgTime64),
];

/// The table of an architecture: number and call, ascending by number.
pub fn table(arch: Arch) -> &'static [(u32, Sysno)] {
    match arch {
        Arch::X86_64 => X86_64,
        Arch::I386 => I386,
    }
}

/// The call with this number, when it is one that the layer answers.
pub fn lookup(arch: Arch, nr: u32) -> Option<Sysno> {
    let table = table(arch);
    let at = table.binary_search_by_key(&nr, |entry| entry.0).ok()?;
    Some(table[at].1)
}
