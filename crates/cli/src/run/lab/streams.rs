//! Standard streams of a lab's programs: two pipes to us each, read as far as somebody takes it.

use std::os::fd::OwnedFd;

use super::director::{Director, ERR, OUT, token};
use super::output::Lines;
use super::plan::Ready;
use super::programs::{self, Piped, STREAMS};

/// What a pipe holds that nobody has made larger.
const PIPE: usize = 64 * 1024;
/// How much is read at a time, in these: what a pipe can be made to hold (fs.pipe-max-size).
const PIPES: usize = 16;

impl Director {
    /// New standard streams of a program: nothing to read, and two pipes to us.
    pub(super) fn streams(&mut self, number: usize) -> Result<[Option<OwnedFd>; 3], String> {
        let name = self.programs[number].name.clone();
        let null = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        let null = rustix::fs::open("/dev/null", null, rustix::fs::Mode::empty());
        let mut stdio = [
            Some(null.map_err(|error| format!("/dev/null: {error}"))?),
            None,
            None,
        ];
        for (place, suffix) in ["out", "err"].into_iter().enumerate() {
            let (theirs, ours) = programs::pipe().map_err(|error| error.to_string())?;
            let path = self
                .results
                .as_ref()
                .map(|dir| dir.join(format!("{name}.{suffix}")));
            // A program that is started again goes on with its files.
            let again = self.programs[number].started.is_some();
            let umask = self.built.umask.as_raw_mode();
            let lines = Lines::new(path.as_deref(), umask, again).map_err(|error| {
                let path = path.unwrap_or_default();
                format!("{}: {error}", path.display())
            })?;
            let kind = if place == 0 { OUT } else { ERR };
            let watched = self.built.room.watch(&ours, token(kind, number));
            watched.map_err(|error| error.to_string())?;
            let piped = Piped {
                fd: ours,
                lines,
                held: false,
            };
            self.programs[number].streams[place] = Some(piped);
            stdio[place + 1] = Some(theirs);
        }
        Ok(stdio)
    }

    /// Reads what a program has written; whoever writes without end is read on in the next turn.
    pub(super) fn read(&mut self, number: usize, place: usize) {
        for _ in 0..PIPES {
            if self.output.is_full() {
                return self.hold(number, place);
            }
            if !self.read_once(number, place) {
                return;
            }
        }
    }

    /// What is left in its pipes, when nobody reads on after this.
    pub(super) fn read_rest(&mut self, number: usize) {
        for place in 0..STREAMS.len() {
            for _ in 0..PIPES {
                if !self.read_once(number, place) {
                    break;
                }
            }
        }
    }

    /// A pipe's worth. Whether there may be more.
    fn read_once(&mut self, number: usize, place: usize) -> bool {
        let mut bytes = [0; PIPE];
        loop {
            let Some(piped) = &mut self.programs[number].streams[place] else {
                return false;
            };
            match rustix::io::read(&piped.fd, &mut bytes) {
                Ok(0) => {
                    let rest = piped.lines.rest();
                    self.built.room.unwatch(&piped.fd);
                    self.programs[number].streams[place] = None;
                    self.lines(number, place, rest.into_iter().collect());
                    return false;
                }
                Ok(count) => {
                    let lines = piped.lines.push(&bytes[..count]);
                    self.lines(number, place, lines);
                    return true;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    fn lines(&mut self, number: usize, place: usize, lines: Vec<Vec<u8>>) {
        for line in lines {
            let text = String::from_utf8_lossy(&line).into_owned();
            let program = &mut self.programs[number];
            program.lines += 1;
            self.output
                .line(number, &program.name, STREAMS[place], &line);
            let Some(own) = self.plan.programs.get(number) else {
                continue;
            };
            program.seen.line(&own.expect, &text);
            if let Ready::Line(regex) = &own.ready
                && regex.is_match(&text)
            {
                self.make_ready(number);
            }
        }
    }

    /// Nobody takes the output: whoever writes has to wait.
    fn hold(&mut self, number: usize, place: usize) {
        if let Some(piped) = &mut self.programs[number].streams[place]
            && !piped.held
        {
            piped.held = true;
            self.built.room.unwatch(&piped.fd);
        }
        self.held = true;
    }

    pub(super) fn let_go_on(&mut self) {
        self.held = self.session.write_on();
        if self.output.is_full() {
            self.held = true;
            return;
        }
        for (number, program) in self.programs.iter_mut().enumerate() {
            for (kind, piped) in [OUT, ERR].into_iter().zip(&mut program.streams) {
                if let Some(piped) = piped
                    && piped.held
                {
                    piped.held = false;
                    let _ = self.built.room.watch(&piped.fd, token(kind, number));
                }
            }
        }
    }
}
