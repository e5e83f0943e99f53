//! What was seen at an interface, written as it happens.

use std::io::{self, Write};
use std::time::Duration;
use switchboard_device::{Seen, capture_header, capture_packet};
use switchboard_wire::Packet;

/// A pcapng file in the making. It ends at the first error, which is told when the capture is stopped.
pub(crate) struct Capture {
    writer: Box<dyn Write + Send>,
    error: Option<io::Error>,
}

impl Capture {
    pub(crate) fn start(name: &str, mut writer: Box<dyn Write + Send>) -> io::Result<Capture> {
        writer.write_all(&capture_header(&[name]))?;
        Ok(Capture {
            writer,
            error: None,
        })
    }

    /// A packet, `at` this time since the epoch.
    pub(crate) fn packet(&mut self, at: Duration, seen: Seen, packet: &Packet) {
        if self.error.is_none() {
            let bytes = capture_packet(0, at, seen, packet, None);
            self.error = self.writer.write_all(&bytes).err();
        }
    }

    pub(crate) fn stop(mut self) -> io::Result<()> {
        match self.error.take() {
            Some(error) => Err(error),
            None => self.writer.flush(),
        }
    }
}
