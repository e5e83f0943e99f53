//! What programs write: with their names before it on our standard output, and in files.
//!
//! A terminal that is stopped must stop nobody but who writes to it: so a thread of its own writes, and when much waits for
//! it, programs' pipes are not read any more until it has gone on. On a terminal it also says, when nothing is written for
//! a while, that the lab goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ratatui::crossterm;

/// How much may wait for the terminal.
const MOST: usize = 1 << 20;
/// Colours that are read well on dark and light.
const COLOURS: [u8; 6] = [32, 33, 34, 35, 36, 31];

/// How long nothing is written before progress is, and how often after that.
const SILENCE: Duration = Duration::from_secs(1);

/// Which of a program's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

pub(super) struct Output {
    lines: Option<mpsc::Sender<(Stream, Vec<u8>)>>,
    writer: Option<JoinHandle<()>>,
    waiting: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
    coloured: bool,
    quiet: bool,
    width: usize,
}

impl Output {
    /// `width`: of the longest name.
    pub(super) fn new(width: usize, quiet: bool) -> io::Result<Output> {
        let (lines, written) = mpsc::channel::<(Stream, Vec<u8>)>();
        let waiting = Arc::new(AtomicUsize::new(0));
        let running = Arc::new(AtomicUsize::new(0));
        let writer = Writer {
            written: waiting.clone(),
            running: running.clone(),
            terminal: io::stdout().is_terminal() && io::stderr().is_terminal(),
        };
        let write = move || writer.write(&written);
        let writer = std::thread::Builder::new()
            .name("output".into())
            .spawn(write)?;
        Ok(Output {
            lines: Some(lines),
            writer: Some(writer),
            waiting,
            running,
            coloured: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            quiet,
            width,
        })
    }

    /// A line of a program, the `number`-th.
    pub(super) fn line(&self, number: usize, name: &str, stream: Stream, line: &[u8]) {
        if self.quiet {
            return;
        }
        let width = self.width;
        let mut text = if self.coloured {
            let colour = COLOURS[number % COLOURS.len()];
            format!("\x1b[{colour}m{name:width$} |\x1b[0m ").into_bytes()
        } else {
            format!("{name:width$} | ").into_bytes()
        };
        text.extend_from_slice(line);
        text.push(b'\n');
        self.send(stream, text);
    }

    /// A line of the lab itself.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            let width = self.width;
            let star = if self.coloured {
                "\x1b[1m*\x1b[0m"
            } else {
                "*"
            };
            self.send(
                Stream::Out,
                format!("{:width$} {star} {text}\n", "").into_bytes(),
            );
        }
    }

    /// As it is.
    pub(super) fn text(&self, text: &str) {
        self.send(Stream::Out, text.as_bytes().to_vec());
    }

    fn send(&self, stream: Stream, line: Vec<u8>) {
        if let Some(lines) = &self.lines {
            self.waiting.fetch_add(line.len(), Ordering::Relaxed);
            let _ = lines.send((stream, line));
        }
    }

    /// How many programs run.
    pub(super) fn set_running(&self, count: usize) {
        self.running.store(count, Ordering::Relaxed);
    }

    /// More is not to be read now.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > MOST
    }

    /// Waits until all is written.
    pub(super) fn end(&mut self) {
        drop(self.lines.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// What the thread has.
struct Writer {
    written: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
    terminal: bool,
}

impl Writer {
    #[allow(clippy::disallowed_methods, reason = "a lab lives in real time")]
    fn write(&self, lines: &mpsc::Receiver<(Stream, Vec<u8>)>) {
        let start = Instant::now();
        let mut progress = false;
        loop {
            let next = lines.recv_timeout(SILENCE);
            // Whoever does not read does not want it.
            if progress && !matches!(next, Err(mpsc::RecvTimeoutError::Timeout)) {
                let _ = io::stderr().write_all(b"\r\x1b[K");
                progress = false;
            }
            match next {
                Ok((stream, line)) => {
                    let _ = match stream {
                        Stream::Out => io::stdout().lock().write_all(&line),
                        Stream::Err => io::stderr().lock().write_all(&line),
                    };
                    self.written.fetch_sub(line.len(), Ordering::Relaxed);
                }
                Err(mpsc::RecvTimeoutError::Timeout) if self.terminal => {
                    let running = self.running.load(Ordering::Relaxed);
                    let time = start.elapsed().as_secs();
                    let width = crossterm::terminal::size().map_or(80, |(width, _)| width);
                    let line = progress_line(time, running, width);
                    let _ = write!(io::stderr(), "\r\x1b[K{line}");
                    progress = true;
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        let _ = io::stdout().flush();
    }
}

/// No wider than the terminal, since what wraps cannot be taken away again.
fn progress_line(seconds: u64, running: usize, width: u16) -> String {
    let programs = if running == 1 {
        "program runs"
    } else {
        "programs run"
    };
    let mut line = format!("{seconds} s, {running} {programs}");
    line.truncate(usize::from(width).saturating_sub(1));
    line
}

/// The bytes of a stream in lines.
pub(super) struct Lines {
    partial: Vec<u8>,
    file: Option<File>,
}

/// Longer lines are several.
const LONGEST: usize = 64 * 1024;

impl Lines {
    /// `file` gets the bytes as they are, behind those of earlier starts if it goes `on`; its mode is what `umask` leaves,
    /// since ours leaves all.
    pub(super) fn new(file: Option<&Path>, umask: u32, on: bool) -> io::Result<Lines> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(!on).append(on);
        options.mode(0o666 & !umask);
        Ok(Lines {
            partial: Vec::new(),
            file: file.map(|path| options.open(path)).transpose()?,
        })
    }

    /// The whole lines that there are with these bytes, without their ends.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        if let Some(file) = &mut self.file
            && file.write_all(bytes).is_err()
        {
            // A full disk is not the lab's end; what is there ends here.
            self.file = None;
        }
        self.partial.extend_from_slice(bytes);
        let mut lines = Vec::new();
        let mut from = 0;
        loop {
            let rest = &self.partial[from..];
            match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    lines.push(
                        rest[..end]
                            .strip_suffix(b"\r")
                            .unwrap_or(&rest[..end])
                            .to_vec(),
                    );
                    from += end + 1;
                }
                None if rest.len() >= LONGEST => {
                    lines.push(rest[..LONGEST].to_vec());
                    from += LONGEST;
                }
                None => break,
            }
        }
        self.partial.drain(..from);
        lines
    }

    /// What is left at the end.
    pub(super) fn rest(&mut self) -> Option<Vec<u8>> {
        let rest = std::mem::take(&mut self.partial);
        (!rest.is_empty()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::{Lines, progress_line};

    #[test]
    fn progress_fits_the_terminal() {
        assert_eq!(progress_line(7, 1, 80), "7 s, 1 program runs");
        assert_eq!(progress_line(12, 345, 20), "12 s, 345 programs ");
        assert_eq!(progress_line(12, 345, 0), "");
    }

    #[test]
    fn bytes_become_lines() {
        let mut lines = Lines::new(None, 0, false).unwrap();
        assert!(lines.push(b"one").is_empty());
        assert_eq!(
            lines.push(b" line\r\ntwo\n\nth"),
            [&b"one line"[..], b"two", b""]
        );
        assert_eq!(lines.rest().as_deref(), Some(&b"th"[..]));
        assert_eq!(lines.rest(), None);
        assert_eq!(lines.push(&vec![b'x'; 2 * super::LONGEST + 5]).len(), 2);
    }
}
