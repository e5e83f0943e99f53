//! The TCP MD5 signature option (RFC 2385), for who must speak to old BGP routers.
//!
//! # Theory of operation
//! A socket has keys for addresses or prefixes of peers; what it sends to such a peer is signed, and of what comes from
//! there only what is signed with the same key counts. A connection has its listener's key for its peer. Until some socket
//! of the host has had a key, a segment is only asked whether it carries a signature.
//!
//! # Limits
//! The signature covers the length of the header, which is worked out from the options that are known: a segment from
//! outside whose options are laid out otherwise than Linux and BSD do it is taken for a forgery.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use md5::{Digest, Md5};
use switchboard_wire::{IpHeader, TcpOptions, TcpSegment, tcp_fixed_header};

use super::connection::FourTuple;
use super::table::Kind;
use crate::event::TcpId;
use crate::iface::IfIndex;
use crate::stack::Stack;

/// What a key costs of net.core.optmem_max: sizeof(struct tcp_md5sig_key).
const KEY_COST: usize = 136;

/// Why a key was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Md5Error {
    /// There is none for that peer that could be removed.
    #[error("no such key")]
    NoSuchKey,
    /// The socket's keys would take more than optmem_max.
    #[error("too many keys")]
    NoMemory,
}

/// The key for a range of peers.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key {
    addr: IpAddr,
    prefix: u8,
    secret: Box<[u8]>,
}

impl core::fmt::Debug for Key {
    /// The key stays secret.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix)
    }
}

impl Key {
    fn is_for(&self, peer: IpAddr) -> bool {
        match (self.addr, peer) {
            (IpAddr::V4(mine), IpAddr::V4(peer)) => {
                let differ = mine.to_bits() ^ peer.to_bits();
                differ.checked_shr(32 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V6(mine), IpAddr::V6(peer)) => {
                let differ = mine.to_bits() ^ peer.to_bits();
                differ
                    .checked_shr(128 - u32::from(self.prefix))
                    .unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }

    /// RFC 2385, 2.0: over the pseudo header, the header without options and with a checksum of zero, the data, the key.
    fn digest(&self, ip: &IpHeader, segment: &TcpSegment) -> [u8; 16] {
        let len = segment.header_len() + segment.payload.len();
        let mut md5 = Md5::new();
        match (ip.src, ip.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                md5.update(src.octets());
                md5.update(dst.octets());
                md5.update([0, 6]);
                md5.update((len as u16).to_be_bytes());
            }
            (src, dst) => {
                for addr in [src, dst] {
                    match addr {
                        IpAddr::V4(v4) => md5.update(v4.to_ipv6_mapped().octets()),
                        IpAddr::V6(v6) => md5.update(v6.octets()),
                    }
                }
                // RFC 8200, 8.1.
                md5.update((len as u32).to_be_bytes());
                md5.update([0, 0, 0, 6]);
            }
        }
        md5.update(tcp_fixed_header(segment));
        for chunk in &segment.payload {
            md5.update(chunk);
        }
        md5.update(&self.secret);
        md5.finalize().into()
    }

    /// Signs a segment. A Fast Open cookie that there is no room for any more is left out.
    pub(super) fn sign(&self, ip: &IpHeader, segment: &mut TcpSegment) {
        segment.options.md5 = Some([0; 16]);
        if segment.options.wire_len() > TcpOptions::MAX_LEN {
            segment.options.fastopen = None;
        }
        segment.options.md5 = Some(self.digest(ip, segment));
    }
}

/// A socket's keys, the newest last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys(Vec<Key>);

impl Keys {
    /// tcp_md5_do_lookup: of the longest prefix the newest.
    pub(super) fn get(&self, peer: IpAddr) -> Option<&Key> {
        let peer = peer.to_canonical();
        let fitting = self.0.iter().filter(|key| key.is_for(peer));
        fitting.max_by_key(|key| key.prefix)
    }

    /// tcp_md5_key_copy: what a connection to this peer has of its listener's keys.
    pub(super) fn only_for(&self, peer: IpAddr) -> Keys {
        let key = self.get(peer).map(|key| Key {
            addr: peer.to_canonical(),
            prefix: if peer.to_canonical().is_ipv4() {
                32
            } else {
                128
            },
            secret: key.secret.clone(),
        });
        Keys(key.into_iter().collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// tcp_md5_do_add and tcp_md5_do_del.
    fn set(&mut self, new: Key, room: usize) -> Result<(), Md5Error> {
        let same = |key: &Key| (key.addr, key.prefix) == (new.addr, new.prefix);
        let at = self.0.iter().position(same);
        match (at, new.secret.is_empty()) {
            (Some(at), true) => drop(self.0.remove(at)),
            (None, true) => return Err(Md5Error::NoSuchKey),
            (Some(at), false) => self.0[at] = new,
            (None, false) if (self.0.len() + 1) * KEY_COST >= room => {
                return Err(Md5Error::NoMemory);
            }
            (None, false) => self.0.push(new),
        }
        Ok(())
    }
}

/// All of these panic when `id` names a socket that was closed.
impl Stack {
    /// `setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, ...)`: the key for the peers of a prefix; an empty one takes it away.
    pub fn tcp_set_md5_key(
        &mut self,
        id: TcpId,
        addr: IpAddr,
        prefix: u8,
        secret: &[u8],
    ) -> Result<(), Md5Error> {
        let room = self.sysctl.optmem_max as usize;
        let conn = &mut self.tcp.open_mut(id).conn;
        let new = Key {
            addr: addr.to_canonical(),
            prefix,
            secret: secret.into(),
        };
        let mut keys = conn.opts.md5_keys().cloned().unwrap_or_default();
        keys.set(new, room)?;
        conn.opts.set_md5_keys(keys);
        // The option takes its part of each segment.
        if conn.state.is_synchronized() {
            conn.sync_mss(&self.sysctl);
        }
        self.tcp.signs = true;
        Ok(())
    }

    /// The key for segments of this connection, or of who listens for it.
    pub(super) fn tcp_md5_key(&self, tuple: &FourTuple, interface: IfIndex) -> Option<&Key> {
        let owner = match self.tcp.find(tuple) {
            Some(index) => match &self.tcp.entries[index as usize].kind {
                Kind::Socket(socket) => return socket.conn.opts.md5_key(tuple.remote),
                Kind::TimeWait(time_wait) => return time_wait.md5.as_deref(),
                Kind::Request(request) => request.listener,
            },
            None => self.tcp.find_listener(tuple, interface, None)?,
        };
        self.tcp.get(owner)?.conn.opts.md5_key(tuple.remote)
    }

    /// tcp_inbound_hash: whether the segment is signed as it should be. What is not is counted, and dropped.
    pub(super) fn tcp_is_authentic(
        &mut self,
        interface: IfIndex,
        ip: &IpHeader,
        tuple: &FourTuple,
        segment: &TcpSegment,
    ) -> bool {
        // TIME_WAIT does not ask.
        if let Some(index) = self.tcp.find(tuple)
            && matches!(self.tcp.entries[index as usize].kind, Kind::TimeWait(_))
        {
            return true;
        }
        let counter = match (self.tcp_md5_key(tuple, interface), segment.options.md5) {
            (None, None) => return true,
            (Some(key), Some(signature)) if key.digest(ip, segment) == signature => return true,
            (None, Some(_)) => &mut self.counters.tcp_md5_unexpected,
            (Some(_), None) => &mut self.counters.tcp_md5_not_found,
            (Some(_), Some(_)) => &mut self.counters.tcp_md5_failure,
        };
        *counter += 1;
        false
    }
}

#[cfg(test)]
mod tests {
    use switchboard_wire::{Payload, SeqNum, TcpFlags};

    use super::*;

    fn key(addr: &str, prefix: u8, secret: &[u8]) -> Key {
        Key {
            addr: addr.parse().unwrap(),
            prefix,
            secret: secret.into(),
        }
    }

    /// A segment that Linux 6.18 signed.
    #[test]
    fn signs_as_linux_does() {
        let ip = IpHeader::new([127, 9, 8, 6].into(), [127, 9, 8, 7].into());
        let mut segment = TcpSegment {
            src_port: 0xc25f,
            dst_port: 0xb1b5,
            seq: SeqNum(0xb6c6_fa51),
            ack: SeqNum(0xabe1_0fef),
            flags: TcpFlags::PSH | TcpFlags::ACK,
            window: 0x40,
            urgent: 0,
            options: TcpOptions::default(),
            payload: Payload::from(&b"hello"[..]),
            gso: 0,
        };
        key("127.9.8.7", 32, b"a secret").sign(&ip, &mut segment);
        let want = 0x8e9d_59f2_6b46_9065_57da_abfc_588e_3e8c_u128;
        assert_eq!(segment.options.md5, Some(want.to_be_bytes()));
        assert_eq!(segment.header_len(), 40);
    }

    /// One over IPv6.
    #[test]
    fn signs_over_ipv6_as_linux_does() {
        let lo = IpAddr::from(core::net::Ipv6Addr::LOCALHOST);
        let ip = IpHeader::new(lo, lo);
        let mut segment = TcpSegment {
            src_port: 0xbdde,
            dst_port: 0xdc63,
            seq: SeqNum(0x6f27_7c57),
            ack: SeqNum(0x7158_1b06),
            flags: TcpFlags::PSH | TcpFlags::ACK,
            window: 0x40,
            urgent: 0,
            options: TcpOptions::default(),
            payload: Payload::from(&b"hello"[..]),
            gso: 0,
        };
        key("::1", 128, b"a secret").sign(&ip, &mut segment);
        let want = 0x9542_7b21_e928_3276_e47a_8afa_b730_5146_u128;
        assert_eq!(segment.options.md5, Some(want.to_be_bytes()));
    }

    #[test]
    fn the_longest_prefix_counts() {
        let mut keys = Keys::default();
        let room = 5 * KEY_COST;
        keys.set(key("10.0.0.0", 8, b"a"), room).unwrap();
        keys.set(key("0.0.0.0", 0, b"any"), room).unwrap();
        keys.set(key("10.1.0.0", 16, b"b"), room).unwrap();
        let of = |keys: &Keys, peer: &str| {
            let key = keys.get(peer.parse().unwrap());
            key.map(|key| key.secret.to_vec())
        };
        assert_eq!(of(&keys, "10.1.2.3"), Some(b"b".to_vec()));
        assert_eq!(of(&keys, "::ffff:10.2.2.3"), Some(b"a".to_vec()));
        assert_eq!(of(&keys, "9.9.9.9"), Some(b"any".to_vec()));
        assert_eq!(of(&keys, "::1"), None);
        keys.set(key("10.1.0.0", 16, b"new"), room).unwrap();
        assert_eq!(of(&keys, "10.1.2.3"), Some(b"new".to_vec()));
        keys.set(key("::", 0, b"six"), room).unwrap();
        assert_eq!(of(&keys, "::1"), Some(b"six".to_vec()));
        let more = keys.set(key("::1", 128, b"x"), room);
        assert_eq!(more, Err(Md5Error::NoMemory));
        keys.set(key("10.1.0.0", 16, b""), room).unwrap();
        let gone = keys.set(key("10.1.0.0", 16, b""), room);
        assert_eq!(gone, Err(Md5Error::NoSuchKey));
        assert_eq!(of(&keys, "10.1.2.3"), Some(b"a".to_vec()));
    }
}
