//! Drives a lab: starts its programs, lets its events happen, and says in the end how it went.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use switchboard_device::Cable;
use switchboard_engine::{Instant, InterfaceChange};

use super::super::guard::Guard;
use super::super::room::{FIRST_OWN, Room};
use super::super::signals::Signals;
use super::super::{Failure, reap, setup};
use super::action::{Action, Cables};
use super::build::Built;
use super::judge;
use super::netem;
use super::output::Output;
use super::plan::{Kind, Plan, Ready};
use super::programs::{self, Ends, Program, State};
use super::report;
use super::session::Session;
use crate::args::LabArgs;

/// How often a port is looked for that is to be listened on, and a slow reader for whom something waits.
const LOOK: Duration = Duration::from_millis(10);

/// Of what is waited for, which: the lowest three bits, the rest is its number.
const SIGNAL: u64 = FIRST_OWN;
const SESSION: u64 = FIRST_OWN + 1;
pub(super) const STARTED: u64 = 2;
pub(super) const OUT: u64 = 3;
pub(super) const ERR: u64 = 4;
const CLIENT: u64 = 5;

pub(super) fn token(kind: u64, number: usize) -> u64 {
    FIRST_OWN + kind + 8 * number as u64
}

/// Why the lab ends.
pub(super) enum Ending {
    /// As it should.
    Done,
    Failed(String),
    TimedOut(String),
    Interrupted(i32),
}

pub(super) struct Director {
    pub(super) plan: Plan,
    pub(super) built: Built,
    pub(super) signals: Signals,
    pub(super) guard: Guard,
    pub(super) output: Output,
    pub(super) results: Option<PathBuf>,
    pub(super) session: Session,
    pub(super) programs: Vec<Program>,
    pub(super) ends: Ends,
    /// Which events are over.
    pub(super) happened: Vec<bool>,
    pub(super) began: Instant,
    pub(super) ending: Option<Ending>,
    /// Some stream or answer waits for somebody slow.
    pub(super) held: bool,
}

impl Director {
    pub(super) fn new(
        plan: Plan,
        built: Built,
        signals: Signals,
        guard: Guard,
        args: &LabArgs,
    ) -> Result<Director, Failure> {
        let name = args.session.as_deref().unwrap_or(&plan.name);
        let session = Session::start(name).map_err(setup)?;
        let room = &built.room;
        let watched = room
            .watch(&signals, SIGNAL)
            .and_then(|()| room.watch(session.fd(), SESSION));
        watched.map_err(|error| setup(format!("epoll: {error}")))?;
        let width = plan.programs.iter().map(|program| program.name.len()).max();
        let output = Output::new(width.unwrap_or(0), args.quiet)
            .map_err(|error| setup(format!("no thread: {error}")))?;
        let named = plan.programs.iter();
        let programs = named
            .map(|own| Program::new(own.name.clone(), own.host))
            .collect();
        let began = built.room.clock.now();
        Ok(Director {
            happened: vec![false; plan.events.len()],
            results: args.output.clone(),
            plan,
            built,
            signals,
            guard,
            output,
            session,
            programs,
            ends: Ends::default(),
            began,
            ending: None,
            held: false,
        })
    }

    pub(super) fn room(&mut self) -> &mut Room {
        &mut self.built.room
    }

    pub(super) fn now(&self) -> Instant {
        self.built.room.clock.now()
    }

    /// Runs the lab to its end. The exit status.
    pub(super) fn direct(&mut self) -> u8 {
        let name = &self.session.name;
        self.output
            .note(&format!("the lab is {name}: `switchboard ctl {name} ps`"));
        let mut next = None;
        let mut changed = true;
        while self.ending.is_none() {
            // Most turns are calls, which change nothing here.
            if changed || next.is_some_and(|at| at <= self.now()) {
                self.step();
                // Nothing more may happen that would be waited for.
                if self.ending.is_some() {
                    break;
                }
                next = self.deadline();
            }
            match self.turn(next) {
                Ok(happened) => changed = happened,
                Err(why) => self.fail(format!("the supervisor cannot go on: {why}")),
            }
        }
        self.end_programs();
        self.judge()
    }

    /// Waits for something, and handles it. Whether there was anything but calls and packets.
    fn turn(&mut self, until: Option<Instant>) -> Result<bool, String> {
        let happened = self.room().wait(until)?;
        for token in &happened {
            self.handle(*token);
        }
        self.room().work();
        Ok(!happened.is_empty())
    }

    /// When something is to be done although nothing happens.
    fn deadline(&self) -> Option<Instant> {
        let now = self.now();
        let mut times = vec![self.began + self.plan.time_limit];
        times.extend(self.plan.duration.map(|duration| self.began + duration));
        for number in 0..self.plan.events.len() {
            if !self.happened[number] {
                times.extend(self.event_time(number));
            }
        }
        let looked_for = |(number, program): (usize, &Program)| {
            let port = matches!(self.ready_when(number), Some(Ready::Port(_)));
            port && !program.ready && program.pid().is_some()
        };
        if self.held || self.programs.iter().enumerate().any(looked_for) {
            times.push(now + LOOK);
        }
        times.into_iter().min()
    }

    fn ready_when(&self, number: usize) -> Option<&Ready> {
        self.plan.programs.get(number).map(|own| &own.ready)
    }

    fn event_time(&self, number: usize) -> Option<Instant> {
        let event = &self.plan.events[number];
        let since = match event.after {
            None => self.began,
            Some(program) => self.programs[program].ready_at?,
        };
        Some(since + event.at)
    }

    /// What is due now: events, programs that may start, and the end.
    fn step(&mut self) {
        let now = self.now();
        if self.held {
            self.let_go_on();
        }
        let running = self.programs.iter().filter(|program| program.is_alive());
        self.output.set_running(running.count());
        for number in 0..self.programs.len() {
            self.look_for_port(number);
        }
        for number in 0..self.plan.events.len() {
            if !self.happened[number] && self.event_time(number).is_some_and(|at| at <= now) {
                self.happened[number] = true;
                let event = &self.plan.events[number];
                let (actions, text) = (event.actions.clone(), event.text.clone());
                self.output.note(&format!("{}: {text}", self.time(now)));
                for action in actions {
                    if let Err(what) = self.act(&action) {
                        self.fail(format!("{text}: {what}"));
                    }
                }
            }
        }
        for number in 0..self.plan.programs.len() {
            if self.may_start(number) {
                self.start(number);
            }
        }
        if self.ending.is_some() {
            return;
        }
        if now >= self.began + self.plan.time_limit {
            let alive = self.programs.iter().zip(&self.plan.programs);
            let alive = alive.filter(|(p, plan)| !plan.service && (p.is_alive() || !p.ready));
            let names: Vec<&str> = alive.map(|(program, _)| program.name.as_str()).collect();
            let limit = self.plan.time_limit;
            let mut what = format!("the time limit of {limit:?} is over");
            if !names.is_empty() {
                what += &format!("; not done: {}", names.join(", "));
            }
            self.ending = Some(Ending::TimedOut(what));
        } else if self.plan.duration.is_some_and(|d| now >= self.began + d) || self.is_done() {
            self.ending = Some(Ending::Done);
        }
    }

    /// Whether all programs have ended that end by themselves, if there are any.
    fn is_done(&self) -> bool {
        let mut any = false;
        for (number, own) in self.plan.programs.iter().enumerate() {
            if own.service {
                continue;
            }
            any = true;
            let started_later = |event: &usize| {
                let event = &self.plan.events[*event];
                event.actions.contains(&Action::Start { program: number })
            };
            let mut to_come = (0..self.plan.events.len()).filter(|event| !self.happened[*event]);
            match self.programs[number].state {
                State::Ended(_) | State::Failed if !to_come.any(|e| started_later(&e)) => {}
                State::Waiting if own.by_event && !to_come.any(|e| started_later(&e)) => {}
                _ => return false,
            }
        }
        any && self.plan.duration.is_none()
    }

    pub(super) fn fail(&mut self, what: String) {
        if self.ending.is_none() {
            self.ending = Some(Ending::Failed(what));
        }
    }

    /// `[ 1.234]`
    pub(super) fn time(&self, at: Instant) -> String {
        format!("{:.3} s", at.saturating_sub(self.began).as_secs_f64())
    }

    fn may_start(&self, number: usize) -> bool {
        let own = &self.plan.programs[number];
        let ready = |other: &usize| self.programs[*other].ready;
        matches!(self.programs[number].state, State::Waiting)
            && !own.by_event
            && own.after.iter().all(ready)
    }

    /// Starts a program of the plan, for the first time or again.
    fn start(&mut self, number: usize) {
        let own = &self.plan.programs[number];
        let name = own.name.clone();
        let run: Vec<OsString> = own.run.iter().map(OsString::from).collect();
        let made = self.streams(number).and_then(|stdio| {
            let own = &self.plan.programs[number];
            let mut environment: HashMap<OsString, OsString> = std::env::vars_os().collect();
            environment.extend(own.env.iter().map(|(k, v)| (k.into(), v.into())));
            let mut spawn = programs::spawn(&run, self.built.umask.as_raw_mode(), stdio)
                .environment(environment.into_iter().collect());
            if !own.cwd.as_os_str().is_empty() {
                spawn = spawn.current_dir(&own.cwd);
            }
            let spawner = &self.built.spawners[own.host];
            let pending = spawner.spawn(&spawn).map_err(|errno| errno.to_string())?;
            let watched = self.built.room.watch(&pending, token(STARTED, number));
            watched.map_err(|error| error.to_string())?;
            Ok(pending)
        });
        match made {
            Ok(pending) => {
                self.programs[number].state = State::Starting(pending);
                self.programs[number].started = Some(self.now());
            }
            Err(what) => {
                self.programs[number].state = State::Failed;
                self.fail(format!("{name}: {what}"));
            }
        }
    }

    pub(super) fn handle(&mut self, which: u64) {
        match which {
            SIGNAL => return self.on_signal(),
            SESSION => {
                while let Some((number, fd)) = self.session.accept() {
                    let _ = self.built.room.watch(fd, token(CLIENT, number));
                }
                return;
            }
            _ => {}
        }
        let number = ((which - FIRST_OWN) / 8) as usize;
        match (which - FIRST_OWN) % 8 {
            STARTED => self.started(number),
            OUT => self.read(number, 0),
            ERR => self.read(number, 1),
            CLIENT => self.hear(number),
            _ => {}
        }
    }

    /// A program has been started, or could not be.
    fn started(&mut self, number: usize) {
        let State::Starting(pending) = &self.programs[number].state else {
            return;
        };
        let Some(outcome) = pending.try_wait() else {
            return;
        };
        self.built.room.unwatch(pending);
        match outcome {
            Ok(child) => {
                let Some(pid) = programs::pid_of(&child) else {
                    return;
                };
                self.programs[number].state = State::Running(pid);
                if let Some(client) = self.programs[number].client {
                    self.session
                        .answer(client, &json!({ "started": child.pid }));
                }
                if !reap::has_ended(&child.pidfd) {
                    // An end of this number was an earlier process's.
                    self.ends.forget(pid);
                }
                match self.ready_when(number) {
                    Some(Ready::Started) => self.make_ready(number),
                    _ => self.look_for_port(number),
                }
                // It may have ended before we knew who it is.
                self.children();
            }
            Err(error) => {
                let run = match self.plan.programs.get(number) {
                    Some(own) => own.run[0].clone(),
                    None => self.programs[number].name.clone(),
                };
                let directory = self.plan.programs.get(number).map(|own| own.cwd.as_path());
                let what = programs::not_started(&run, directory, &error);
                self.programs[number].state = State::Failed;
                match self.programs[number].client {
                    Some(client) => {
                        let status = programs::status_of(&error);
                        let answer = json!({ "error": what, "status": status });
                        self.session.answer(client, &answer);
                    }
                    None => {
                        let name = self.programs[number].name.clone();
                        self.fail(format!("{name}: {what}"));
                    }
                }
            }
        }
    }

    pub(super) fn make_ready(&mut self, number: usize) {
        let now = self.now();
        let program = &mut self.programs[number];
        if !program.ready {
            program.ready = true;
            program.ready_at = Some(now);
        }
    }

    fn look_for_port(&mut self, number: usize) {
        let Some(Ready::Port(port)) = self.ready_when(number) else {
            return;
        };
        let (port, program) = (*port, &self.programs[number]);
        if program.ready || program.pid().is_none() {
            return;
        }
        let host = &self.built.room.supervisors[program.host].host;
        if report::listens(host, self.now(), port) {
            self.make_ready(number);
        }
    }

    fn on_signal(&mut self) {
        while let Some(signal) = self.signals.next() {
            if self.guard.is_gone() {
                self.fail("nobody waits for the lab any more".into());
                return;
            }
            match signal.number {
                libc::SIGCHLD => self.children(),
                libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT => {
                    self.ending
                        .get_or_insert(Ending::Interrupted(signal.number));
                }
                _ => {}
            }
        }
    }

    /// Some children have ended.
    fn children(&mut self) {
        let ended = self.ends.collect();
        for number in 0..self.programs.len() {
            if let Some(pid) = self.programs[number].pid()
                && let Some(status) = ended.get(&pid)
            {
                self.ends.forget(pid);
                self.ended(number, *status);
            }
        }
    }

    /// A program has ended.
    fn ended(&mut self, number: usize, status: u8) {
        let now = self.now();
        // What it wrote last is in the pipes.
        for place in 0..2 {
            self.read(number, place);
        }
        let program = &mut self.programs[number];
        program.state = State::Ended(status);
        program.ended = Some(now);
        if let Some(client) = program.client {
            return self.session.answer(client, &json!({ "exit": status }));
        }
        let Some(own) = self.plan.programs.get(number) else {
            return;
        };
        let asked = program.asked || self.ending.is_some();
        program.wrong = judge::status(&own.expect, status, asked, own.service);
        let ready_now = matches!(own.ready, Ready::Exit) && program.wrong.is_none();
        if ready_now {
            return self.make_ready(number);
        }
        let waited_for = self
            .plan
            .programs
            .iter()
            .any(|other| other.after.contains(&number));
        if !program.ready && waited_for {
            let what = format!(
                "{}: {} before it was ready",
                program.name,
                judge::ended(status)
            );
            self.fail(what);
        }
    }

    /// Does what an event or `switchboard ctl` says.
    pub(super) fn act(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Carrier { cables, up } => self.change(cables, true, &|config| config.up = *up),
            Action::Set { cables, words } => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                self.change(cables, false, &|config| {
                    // It was tried when it was understood.
                    let _ = netem::apply(config, &words);
                });
                if words.contains(&"mtu") {
                    self.change_interfaces(cables);
                }
            }
            Action::Partition { sets } => {
                let wires = &mut self.built.room.wires;
                if let [alone] = sets.as_slice() {
                    let others = (0..self.plan.hosts.len()).filter(|host| !alone.contains(host));
                    wires.partition(alone.iter().copied(), others);
                }
                for (n, one) in sets.iter().enumerate() {
                    for other in &sets[n + 1..] {
                        wires.partition(one.iter().copied(), other.iter().copied());
                    }
                }
            }
            Action::Heal => self.built.room.wires.heal_all(),
            Action::Signal { program, signal } => {
                let program = &mut self.programs[*program];
                if program.pid().is_none() {
                    return Err(format!("{} does not run", program.name));
                }
                program.asked |= !matches!(*signal, libc::SIGSTOP | libc::SIGCONT);
                program.signal(*signal);
            }
            Action::Start { program } => {
                let known = &mut self.programs[*program];
                if known.is_alive() {
                    return Err(format!("{} runs already", known.name));
                }
                (known.asked, known.wrong, known.ended) = (false, None, None);
                self.start(*program);
            }
        }
        Ok(())
    }

    /// Interfaces send what the cables take that their hosts send into.
    fn change_interfaces(&mut self, cables: &Cables) {
        let network = &self.plan.networks[cables.network];
        let plugs = &self.built.plugs[cables.network];
        let room = &mut self.built.room;
        for (member, plug) in network.members.iter().zip(plugs) {
            if let Some(interface) = room.wires.interface(*plug)
                && let Some(mtu) = room.wires.pipe(*plug, Cable::Up).map(|p| p.config().mtu)
            {
                let stack = room.supervisors[member.host].host.stack_mut();
                stack.change_interface(interface, InterfaceChange::Mtu(mtu));
            }
        }
    }

    /// Changes cables; `both`: in both directions where a member is named.
    fn change(
        &mut self,
        cables: &Cables,
        both: bool,
        change: &dyn Fn(&mut switchboard_device::PipeConfig),
    ) {
        let network = &self.plan.networks[cables.network];
        let plugs = self.built.plugs[cables.network].clone();
        let (now, room) = (self.built.room.clock.now(), &mut self.built.room);
        for (number, (member, plug)) in network.members.iter().zip(&plugs).enumerate() {
            if cables.host.is_some_and(|host| host != member.host) {
                continue;
            }
            let incoming = cables.incoming;
            if both || !incoming {
                room.wires.change(now, *plug, Cable::Up, change);
            }
            let gets = both || incoming;
            match network.kind {
                Kind::Segment if gets => room.wires.change(now, *plug, Cable::Down, change),
                // What one end gets is what the other one sends.
                Kind::Link if gets && (incoming || cables.host.is_some()) => {
                    room.wires.change(now, plugs[1 - number], Cable::Up, change);
                }
                _ => {}
            }
        }
    }
}
