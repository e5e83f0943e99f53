//! What `switchboard ctl`, `exec` and `top` ask of a lab.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

use serde_json::{Value, json};

use super::action;
use super::director::{Director, Ending, STARTED, token};
use super::programs::{self, Program, State};
use super::report;
use super::session::Heard;

impl Director {
    /// A client of the control socket has said something.
    pub(super) fn hear(&mut self, number: usize) {
        for heard in self.session.hear(number) {
            match heard {
                Heard::Request(request, fds) => {
                    if let Some(answer) = self.request(number, &request, fds) {
                        self.session.answer(number, &answer);
                        // What is left of it goes later.
                        self.held = true;
                    }
                }
                Heard::Gone => {
                    if let Some(stream) = self.session.drop_connection(number) {
                        self.built.room.unwatch(stream);
                    }
                    // Nobody waits for its program.
                    let mut own = self
                        .programs
                        .iter_mut()
                        .filter(|p| p.client == Some(number));
                    if let Some(program) = own.find(|program| program.is_alive()) {
                        program.signal(libc::SIGHUP);
                    }
                }
            }
        }
    }

    fn request(&mut self, client: usize, request: &Value, fds: Vec<OwnedFd>) -> Option<Value> {
        if let Some(words) = request.get("do").and_then(Value::as_array) {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            let done = self.command(&words);
            return Some(match done {
                Ok(text) => json!({ "text": text }),
                Err(what) => json!({ "error": what }),
            });
        }
        if request.get("status").is_some() {
            return Some(self.status());
        }
        if let Some(exec) = request.get("exec") {
            return self
                .exec(client, exec, fds)
                .err()
                .map(|what| json!({ "error": what }));
        }
        if let Some(signal) = request.get("signal").and_then(Value::as_i64) {
            let mut own = self
                .programs
                .iter_mut()
                .filter(|p| p.client == Some(client));
            if let Some(program) = own.find(|program| program.is_alive()) {
                program.signal(signal as i32);
            }
            return None;
        }
        Some(json!({ "error": "not understood: is the other side of the same version?" }))
    }

    /// What `switchboard ctl` shows or does.
    fn command(&mut self, words: &[&str]) -> Result<String, String> {
        match words {
            ["ps"] => Ok(self.ps()),
            ["links"] => Ok(report::links(&self.directions())),
            ["ss"] => Ok(self.ss(None)),
            ["ss", host] => Ok(self.ss(Some(action::find_host(&self.plan, host)?))),
            ["end"] => {
                self.ending.get_or_insert(Ending::Done);
                Ok(String::new())
            }
            words => {
                let mut verbs = action::verbs(action::FORMS);
                if !verbs.any(|verb| words.first() == Some(&verb)) {
                    let all = [action::CTL_FORMS, action::FORMS].concat().join(", ");
                    return Err(format!("{:?} is none of: {all}", words.join(" ")));
                }
                let action = action::parse(&self.plan, words)?;
                self.act(&action)?;
                let now = self.now();
                self.output
                    .note(&format!("{}: {}", self.time(now), words.join(" ")));
                Ok(String::new())
            }
        }
    }

    pub(super) fn directions(&self) -> Vec<report::Direction> {
        report::directions(&self.plan, &self.built.room.wires, &self.built.plugs)
    }

    fn ps(&self) -> String {
        let head = ["PROGRAM", "HOST", "PID", "STATE", "TIME", "LINES"];
        let mut rows = vec![head.map(String::from).to_vec()];
        let now = self.now();
        for program in &self.programs {
            let time = program.started.map(|at| {
                let end = program.ended.unwrap_or(now);
                report::seconds(end.saturating_sub(at))
            });
            rows.push(vec![
                program.name.clone(),
                self.plan.hosts[program.host].name.clone(),
                program
                    .pid()
                    .map_or("-".into(), |pid| pid.as_raw_nonzero().to_string()),
                program.word(),
                time.unwrap_or("-".into()),
                program.lines.to_string(),
            ]);
        }
        report::columns(&rows)
    }

    fn ss(&self, only: Option<usize>) -> String {
        let head = [
            "HOST", "NETID", "STATE", "RECV-Q", "SEND-Q", "LOCAL", "PEER",
        ];
        let mut rows = vec![head.map(String::from).to_vec()];
        for (number, host) in self.plan.hosts.iter().enumerate() {
            if only.is_some_and(|only| only != number) {
                continue;
            }
            let layer = &self.built.room.supervisors[number].host;
            for socket in report::sockets(layer, self.now()) {
                rows.push(vec![
                    host.name.clone(),
                    socket.kind,
                    socket.state.to_owned(),
                    socket.queues.0.to_string(),
                    socket.queues.1.to_string(),
                    socket.local,
                    socket.remote,
                ]);
            }
        }
        report::columns(&rows)
    }

    /// What `switchboard top` shows.
    fn status(&self) -> Value {
        let now = self.now();
        let programs = self.programs.iter().map(|program| {
            json!({
                "name": program.name, "host": self.plan.hosts[program.host].name,
                "state": program.word(), "lines": program.lines,
            })
        });
        let hosts = self.plan.hosts.iter().zip(&self.built.room.supervisors);
        let hosts = hosts.map(|(host, supervisor)| {
            let sockets = report::sockets(&supervisor.host, now);
            let in_state = |state: &str| sockets.iter().filter(|s| s.state == state).count();
            json!({
                "name": host.name, "sockets": supervisor.host.socket_count(),
                "connections": in_state("ESTAB"), "listeners": in_state("LISTEN"),
                "calls": supervisor.stats.calls,
            })
        });
        json!({
            "session": self.session.name,
            "time": now.saturating_sub(self.began).as_secs_f64(),
            "partitions": self.built.room.wires.partitions(),
            "hosts": hosts.collect::<Vec<_>>(),
            "programs": programs.collect::<Vec<_>>(),
            "links": report::links_json(&self.directions()),
        })
    }

    /// One more program, on behalf of a client whose standard streams it gets.
    fn exec(&mut self, client: usize, exec: &Value, fds: Vec<OwnedFd>) -> Result<(), String> {
        let texts = |name: &str| -> Vec<OsString> {
            let all = exec.get(name).and_then(Value::as_array);
            all.into_iter().flatten().filter_map(text).collect()
        };
        let host = exec.get("host").and_then(Value::as_str).unwrap_or_default();
        let host = action::find_host(&self.plan, host)?;
        let run = texts("run");
        if run.is_empty() {
            return Err("no program is named".into());
        }
        let [stdin, stdout, stderr] = <[OwnedFd; 3]>::try_from(fds)
            .map_err(|_| "the three standard streams are wanted".to_owned())?;
        let environment = texts("env")
            .chunks_exact(2)
            .map(|p| (p[0].clone(), p[1].clone()))
            .collect();
        let umask = exec.get("umask").and_then(Value::as_u64).unwrap_or(0o022) as u32;
        let stdio = [Some(stdin), Some(stdout), Some(stderr)];
        let mut spawn = programs::spawn(&run, umask, stdio).environment(environment);
        if let Some(directory) = exec.get("cwd").and_then(text) {
            spawn = spawn.current_dir(directory);
        }
        // In the place of one that a client has waited for until its end: the table does not grow with each.
        let over =
            |p: &Program| p.client.is_some() && matches!(p.state, State::Ended(_) | State::Failed);
        let number = self.programs.iter().position(over);
        let number = number.unwrap_or(self.programs.len());
        let spawner = &self.built.spawners[host];
        let pending = spawner.spawn(&spawn).map_err(|errno| errno.to_string())?;
        let watched = self.built.room.watch(&pending, token(STARTED, number));
        watched.map_err(|error| error.to_string())?;
        let mut program = Program::new(run[0].to_string_lossy().into_owned(), host);
        program.client = Some(client);
        program.started = Some(self.now());
        program.state = State::Starting(pending);
        match self.programs.get_mut(number) {
            Some(place) => *place = program,
            None => self.programs.push(program),
        }
        Ok(())
    }
}

/// A string, or the bytes of one that is not UTF-8.
fn text(value: &Value) -> Option<OsString> {
    if let Some(text) = value.as_str() {
        return Some(text.into());
    }
    let bytes = value.as_array()?.iter();
    let bytes = bytes.map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok()));
    bytes.collect::<Option<Vec<u8>>>().map(OsString::from_vec)
}
