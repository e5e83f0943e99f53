//! `switchboard ctl` and `switchboard exec`: the other end of a lab's control socket.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, ErrorKind, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};

use super::super::SETUP_FAILED;
use super::super::signals::Signals;
use super::{action, session};
use crate::args::{CtlArgs, ExecArgs};
use crate::{complain, show};

/// What is said where there is no lab any more.
pub(super) const ENDED: &str = "the lab has ended";
/// How long `switchboard ctl` waits. A lab answers at once, unless the machine is very busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Words of `switchboard ctl` that are no session's name.
fn verbs() -> impl Iterator<Item = &'static str> {
    action::verbs(action::CTL_FORMS).chain(action::verbs(action::FORMS))
}

/// A connection to a session.
pub(super) struct Client {
    stream: UnixStream,
    answers: BufReader<UnixStream>,
}

impl Client {
    /// The session of this name; the only one there is when none is named.
    pub(super) fn connect(name: Option<&str>) -> Result<Client, String> {
        let name = match name {
            Some(name) => name.to_owned(),
            None => only_session()?,
        };
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                format!("no lab {name:?} runs; {}", known())
            }
            _ => format!("{name}: {error}"),
        };
        let stream = UnixStream::connect(session::path(&name)).map_err(failed)?;
        let answers = BufReader::new(stream.try_clone().map_err(|error| error.to_string())?);
        Ok(Client { stream, answers })
    }

    pub(super) fn send(&mut self, request: &Value) -> Result<(), String> {
        let line = format!("{request}\n");
        let sent = self.stream.write_all(line.as_bytes());
        sent.map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => ENDED.into(),
            _ => format!("the lab does not hear: {error}"),
        })
    }

    /// An answer that takes longer will not come: the lab is stopped, for instance.
    pub(super) fn wait_at_most(&self, time: Duration) {
        // Without it we wait as long as it takes.
        let _ = self.stream.set_read_timeout(Some(time));
    }

    /// The next answer; none when the lab has ended.
    pub(super) fn answer(&mut self) -> Result<Option<Value>, String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) => serde_json::from_str(&line)
                .map(Some)
                .map_err(|error| format!("the lab's answer is not understood: {error}")),
            Err(error) => match error.kind() {
                ErrorKind::ConnectionReset => Ok(None),
                ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                    Err("the lab does not answer: is it stopped, or the machine busy?".into())
                }
                _ => Err(format!("the lab does not answer: {error}")),
            },
        }
    }

    pub(super) fn ask(&mut self, request: &Value) -> Result<Value, String> {
        self.send(request)?;
        let answer = self.answer()?.ok_or(ENDED)?;
        match answer.get("error").and_then(Value::as_str) {
            Some(what) => Err(what.to_owned()),
            None => Ok(answer),
        }
    }
}

fn sessions() -> Vec<String> {
    let entries = std::fs::read_dir(session::directory())
        .into_iter()
        .flatten()
        .flatten();
    let alive = entries.filter(|entry| UnixStream::connect(entry.path()).is_ok());
    let names = alive.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_suffix(".sock").map(str::to_owned)
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn known() -> String {
    match sessions().as_slice() {
        [] => "none does".into(),
        names => format!("there are {}", names.join(", ")),
    }
}

fn only_session() -> Result<String, String> {
    match sessions().as_slice() {
        [] => Err("no lab runs".into()),
        [name] => Ok(name.clone()),
        names => Err(format!("which lab? There are {}", names.join(", "))),
    }
}

pub(crate) fn ctl(args: &CtlArgs) -> ExitCode {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let is_verb = |word: &str| verbs().any(|verb| verb == word);
    let (name, words) = match words.as_slice() {
        [] => {
            let names: String = sessions().iter().map(|name| format!("{name}\n")).collect();
            return show(&names, ExitCode::SUCCESS);
        }
        // A lab may have the name of a verb, such as that of links.toml: two verbs follow each other then.
        [name, rest @ ..]
            if is_verb(name)
                && rest.first().is_some_and(|word| is_verb(word))
                && sessions().iter().any(|known| known == name) =>
        {
            (Some(*name), rest)
        }
        [first, ..] if is_verb(first) => (None, words.as_slice()),
        [name, rest @ ..] => (Some(*name), rest),
    };
    if words.is_empty() {
        let verbs: Vec<&str> = verbs().collect();
        complain(&format!("what is to be done? {}", verbs.join(", ")));
        return ExitCode::from(SETUP_FAILED);
    }
    let answer = Client::connect(name).and_then(|mut client| {
        client.wait_at_most(PATIENCE);
        client.ask(&json!({ "do": words }))
    });
    match answer {
        Ok(answer) => {
            let text = answer
                .get("text")
                .and_then(Value::as_str)
                .unwrap_or_default();
            show(text, ExitCode::SUCCESS)
        }
        Err(what) => {
            complain(&what);
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn exec(args: &ExecArgs) -> ExitCode {
    match run(args) {
        Ok(status) => ExitCode::from(status),
        Err(what) => {
            complain(&what);
            ExitCode::from(SETUP_FAILED)
        }
    }
}

/// What is not UTF-8 goes as a list of bytes.
fn text(text: &OsStr) -> Value {
    match text.to_str() {
        Some(text) => text.into(),
        None => text.as_bytes().into(),
    }
}

/// The exit status of the program.
fn run(args: &ExecArgs) -> Result<u8, String> {
    let mut client = Client::connect(Some(&args.session))?;
    let run: Vec<Value> = args.program.iter().map(|word| text(word)).collect();
    let env: Vec<Value> = std::env::vars_os()
        .flat_map(|(name, value)| [text(&name), text(&value)])
        .collect();
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(umask);
    let cwd = std::env::current_dir().map_err(|error| format!("the working directory: {error}"))?;
    let request = json!({ "exec": {
        "host": args.host, "run": run, "env": env, "cwd": text(cwd.as_os_str()),
        "umask": umask.as_raw_mode(),
    }});
    // Before anything is started that they are for.
    let mut signals = Signals::block().map_err(|error| format!("no signalfd: {error}"))?;
    let line = format!("{request}\n");
    let streams = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let fds = [streams.0.as_fd(), streams.1.as_fd(), streams.2.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    // The descriptors go with the first byte.
    let pieces = [IoSlice::new(&line.as_bytes()[..1])];
    sendmsg(&client.stream, &pieces, &mut control, SendFlags::NOSIGNAL)
        .map_err(|error| format!("the lab does not hear: {error}"))?;
    let rest = client.stream.write_all(&line.as_bytes()[1..]);
    rest.map_err(|error| format!("the lab does not hear: {error}"))?;
    loop {
        while let Some(signal) = signals.next() {
            // A terminal's signals come to us alone.
            if !matches!(
                signal.number,
                libc::SIGCHLD | libc::SIGWINCH | libc::SIGCONT
            ) {
                client.send(&json!({ "signal": signal.number }))?;
            }
        }
        if client.answers.buffer().is_empty() && !wait(&client.stream, &signals)? {
            continue;
        }
        let answer = client.answer()?.ok_or(ENDED)?;
        if let Some(status) = answer.get("exit").and_then(Value::as_u64) {
            return Ok(status as u8);
        }
        if let Some(what) = answer.get("error").and_then(Value::as_str) {
            let status = answer.get("status").and_then(Value::as_u64);
            complain(what);
            return Ok(status.map_or(SETUP_FAILED, |status| status as u8));
        }
    }
}

/// Waits for an answer or a signal. Whether there is an answer.
fn wait(stream: &UnixStream, signals: &Signals) -> Result<bool, String> {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut fds = [
        PollFd::new(stream, PollFlags::IN),
        PollFd::new(signals, PollFlags::IN),
    ];
    match poll(&mut fds, None) {
        Ok(_) => Ok(!fds[0].revents().is_empty()),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(format!("poll: {error}")),
    }
}
