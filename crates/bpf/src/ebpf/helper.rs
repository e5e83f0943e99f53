//! The helpers: what a program may call, with what, and what comes back.

use super::program::ProgramKind;

/// A helper of `enum bpf_func_id`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Helper {
    MapLookup,
    MapUpdate,
    MapDelete,
    KtimeGetNs,
    PrandomU32,
    ProcessorId,
    NumaNode,
    SkbLoadBytes,
    SkbLoadBytesRelative,
    SocketCookie,
    SocketUid,
    SelectReuseport,
}

/// What an argument has to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arg {
    Nothing,
    Scalar,
    Context,
    Map,
    /// Memory that holds a key, or a value, of the map that came before it.
    MapKey,
    MapValue,
    /// Memory to write to, as long as the next argument says.
    Output,
    /// How long the memory is: at least one byte.
    Size,
}

/// What a call leaves in r0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Return {
    Scalar,
    /// A place in the map's values, or null.
    MapValue,
}

impl Helper {
    pub(super) fn from_number(number: i32) -> Option<Helper> {
        Some(match number {
            1 => Helper::MapLookup,
            2 => Helper::MapUpdate,
            3 => Helper::MapDelete,
            // Both clocks count from boot, and a virtual host does not sleep.
            5 | 125 | 160 => Helper::KtimeGetNs,
            7 => Helper::PrandomU32,
            8 => Helper::ProcessorId,
            42 => Helper::NumaNode,
            26 => Helper::SkbLoadBytes,
            68 => Helper::SkbLoadBytesRelative,
            46 => Helper::SocketCookie,
            47 => Helper::SocketUid,
            82 => Helper::SelectReuseport,
            _ => return None,
        })
    }

    /// Whether programs of a kind may call it.
    pub(super) fn is_for(self, kind: ProgramKind) -> bool {
        match self {
            Helper::SocketUid => kind == ProgramKind::SocketFilter,
            Helper::SelectReuseport => kind == ProgramKind::SkReuseport,
            _ => true,
        }
    }

    pub(super) fn args(self) -> [Arg; 5] {
        use Arg::*;
        const N: Arg = Nothing;
        match self {
            Helper::MapLookup | Helper::MapDelete => [Map, MapKey, N, N, N],
            Helper::MapUpdate => [Map, MapKey, MapValue, Scalar, N],
            Helper::KtimeGetNs | Helper::PrandomU32 | Helper::ProcessorId | Helper::NumaNode => {
                [N; 5]
            }
            Helper::SkbLoadBytes => [Context, Scalar, Output, Size, N],
            Helper::SkbLoadBytesRelative => [Context, Scalar, Output, Size, Scalar],
            Helper::SocketCookie | Helper::SocketUid => [Context, N, N, N, N],
            Helper::SelectReuseport => [Context, Map, MapKey, Scalar, N],
        }
    }

    pub(super) fn returns(self) -> Return {
        match self {
            Helper::MapLookup => Return::MapValue,
            _ => Return::Scalar,
        }
    }
}
