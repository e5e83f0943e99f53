//! What was seen at interfaces, written as it happens.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use switchboard_device::{Seen, capture_frame, capture_header_of};
use switchboard_wire::Frame;

/// A pcapng file in the making, of one interface or more. It ends at the first error, which is told when the capture is stopped.
#[derive(Clone)]
pub struct Capture {
    file: Arc<Mutex<File>>,
}

struct File {
    writer: Box<dyn Write + Send>,
    error: Option<io::Error>,
}

/// A capture's look at one interface.
#[derive(Clone)]
pub struct Tap {
    capture: Capture,
    number: u32,
}

impl Capture {
    /// Of the interfaces with these names, which all have Ethernet.
    pub fn start(names: &[&str], writer: Box<dyn Write + Send>) -> io::Result<Capture> {
        let ethernet: Vec<(&str, bool)> = names.iter().map(|name| (*name, true)).collect();
        Capture::start_of(&ethernet, writer)
    }

    /// Of the interfaces with these names, which have Ethernet or not.
    pub fn start_of(
        names: &[(&str, bool)],
        mut writer: Box<dyn Write + Send>,
    ) -> io::Result<Capture> {
        writer.write_all(&capture_header_of(names))?;
        let file = File {
            writer,
            error: None,
        };
        Ok(Capture {
            file: Arc::new(Mutex::new(file)),
        })
    }

    /// The interface of this number among the names.
    pub fn tap(&self, number: u32) -> Tap {
        Tap {
            capture: self.clone(),
            number,
        }
    }

    /// Writes what is left. The error that it ended with earlier, if it did.
    pub fn stop(&self) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        match file.error.take() {
            Some(error) => Err(error),
            None => file.writer.flush(),
        }
    }
}

impl Tap {
    /// A frame, `at` this time since the epoch. `comment` is shown next to it: which program it is of.
    pub fn frame(&self, at: Duration, seen: Seen, frame: &Frame, comment: Option<&str>) {
        let file = &self.capture.file;
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.error.is_none() {
            let bytes = capture_frame(self.number, at, seen, frame, comment);
            file.error = file.writer.write_all(&bytes).err();
        }
    }

    /// Ends its capture.
    pub(crate) fn stop(self) -> io::Result<()> {
        self.capture.stop()
    }
}
