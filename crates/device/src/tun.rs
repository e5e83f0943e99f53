//! A TUN or TAP device of the real host: what its kernel routes to the interface comes out here, and the other way
//! round. See Documentation/networking/tuntap.rst in Linux's sources.

// The ioctls have no safe wrapper; nothing else of the crate has unsafe code.
#![allow(unsafe_code)]

use std::boxed::Box;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::string::String;
use std::vec;

use switchboard_wire::{Ethernet, Frame, FrameBody, Packet, emit, parse};

/// The largest packet there is: an IPv6 header and what its length field can say. In a frame.
const LARGEST: usize = Ethernet::LEN + 40 + 0xffff;

/// What crosses the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunKind {
    /// IP packets.
    Tun,
    /// Ethernet frames.
    Tap,
}

/// Which device to open, or to make.
#[derive(Clone, Debug)]
pub struct TunConfig {
    /// Its name; one that does not exist is made, and goes when it is closed. `%d` in it stands for the first number
    /// that is free; an empty name is `tun%d` or `tap%d`.
    pub name: String,
    /// What crosses it.
    pub kind: TunKind,
    /// One of several queues of the device (IFF_MULTI_QUEUE).
    pub multi_queue: bool,
}

/// An open device. Reads and writes do not wait: they fail with [`ErrorKind::WouldBlock`].
#[derive(Debug)]
pub struct Tun {
    file: File,
    name: String,
    kind: TunKind,
    buffer: Box<[u8]>,
    malformed: u64,
}

impl Tun {
    /// `open("/dev/net/tun", O_RDWR | O_NONBLOCK)` and `ioctl(fd, TUNSETIFF, ...)`. Wants CAP_NET_ADMIN, but for a
    /// persistent device that belongs to the caller.
    pub fn open(config: &TunConfig) -> io::Result<Tun> {
        let mut request = request(&config.name)?;
        let mut flags = libc::IFF_NO_PI;
        flags |= match config.kind {
            TunKind::Tun => libc::IFF_TUN,
            TunKind::Tap => libc::IFF_TAP,
        };
        if config.multi_queue {
            flags |= libc::IFF_MULTI_QUEUE;
        }
        request.ifr_ifru.ifru_flags = flags as libc::c_short;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")?;
        // SAFETY: TUNSETIFF reads and writes one `ifreq`, which lives through the call.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        let name = request.ifr_name.iter().take_while(|&&c| c != 0);
        Ok(Tun {
            file,
            name: name.map(|&c| char::from(c as u8)).collect(),
            kind: config.kind,
            buffer: vec![0; LARGEST].into_boxed_slice(),
            malformed: 0,
        })
    }

    /// The name that the interface has.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What crosses it.
    pub fn kind(&self) -> TunKind {
        self.kind
    }

    /// `ioctl(fd, TUNSETPERSIST, on)`: whether the interface outlives its last descriptor.
    pub fn set_persistent(&self, on: bool) -> io::Result<()> {
        // SAFETY: the argument is a number.
        let result = unsafe {
            libc::ioctl(
                self.file.as_raw_fd(),
                libc::TUNSETPERSIST,
                libc::c_ulong::from(on),
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// `read(fd, ...)`: the next packet or frame, as bytes. What does not fit is cut off.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }

    /// `write(fd, ...)`: one packet or frame for the real host.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        // A device takes a packet as a whole.
        (&self.file).write(bytes).map(|_| ())
    }

    /// The next packet of a TUN device; `None` when none waits. What is no IP packet, or has a wrong checksum, is passed
    /// over and counted.
    pub fn recv_packet(&mut self) -> io::Result<Option<Packet>> {
        loop {
            let Some(n) = self.fill()? else {
                return Ok(None);
            };
            match parse(&self.buffer[..n]) {
                Ok(packet) => return Ok(Some(packet)),
                Err(_) => self.malformed += 1,
            }
        }
    }

    /// Reads one of them into the buffer: its length.
    fn fill(&mut self) -> io::Result<Option<usize>> {
        loop {
            match (&self.file).read(&mut self.buffer) {
                Ok(n) => return Ok(Some(n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next frame of a TAP device; of a TUN device [`recv_packet`](Self::recv_packet).
    pub fn recv_frame(&mut self) -> io::Result<Option<Frame>> {
        if self.kind == TunKind::Tun {
            return Ok(self.recv_packet()?.map(Frame::from));
        }
        loop {
            let Some(n) = self.fill()? else {
                return Ok(None);
            };
            match Frame::parse(&self.buffer[..n]) {
                Some(frame) => return Ok(Some(frame)),
                None => self.malformed += 1,
            }
        }
    }

    /// A frame for the real host. By a TUN device only what is an IP packet gets there.
    pub fn send_frame(&self, frame: &Frame) -> io::Result<()> {
        match (self.kind, &frame.body) {
            (TunKind::Tap, _) => self.send(&frame.emit()),
            (TunKind::Tun, FrameBody::Ip(packet)) => self.send_packet(packet),
            (TunKind::Tun, _) => Ok(()),
        }
    }

    /// A packet for the real host, by a TUN device.
    pub fn send_packet(&self, packet: &Packet) -> io::Result<()> {
        self.send(&emit(packet))
    }

    /// How many packets [`recv_packet`](Self::recv_packet) could not read.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }
}

impl AsFd for Tun {
    /// To wait until there is something to read.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// An `ifreq` with this name.
fn request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: an `ifreq` is numbers and unions of numbers: zeroes are one.
    let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
    // The last character is the terminator's.
    if name.len() >= request.ifr_name.len() || name.contains('\0') {
        return Err(ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

#[cfg(test)]
mod tests;
