//! The end of a lab: its programs are ended, and what they did is judged.

use std::time::Duration;

use rustix::process::Pid;

use super::TIMED_OUT;
use super::action;
use super::director::{Director, Ending};
use super::plan::Kind;
use super::programs::{Program, State};
use super::report;
use crate::complain;

/// How long programs that were asked to end may take.
const GRACE: Duration = Duration::from_secs(2);

impl Director {
    /// Asks all programs to end, and waits for those of the plan.
    pub(super) fn end_programs(&mut self) {
        // Stopped ones could not.
        for program in &mut self.programs {
            program.signal(libc::SIGTERM);
            program.signal(libc::SIGCONT);
        }
        let until = self.now() + GRACE;
        while self.programs.iter().any(Program::is_alive) && self.now() < until {
            let happened = match self.room().wait(Some(until)) {
                Ok(happened) => happened,
                Err(_) => return,
            };
            for token in happened {
                let was_starting: Vec<usize> = (0..self.programs.len())
                    .filter(|n| matches!(self.programs[*n].state, State::Starting(_)))
                    .collect();
                self.handle(token);
                // Those that were about to start end, too.
                for number in was_starting {
                    self.programs[number].signal(libc::SIGTERM);
                }
            }
            self.room().work();
        }
        let alive: Vec<Pid> = self.programs.iter().filter_map(Program::pid).collect();
        for pid in alive {
            // SAFETY: no memory involved.
            unsafe { libc::kill(-pid.as_raw_nonzero().get(), libc::SIGKILL) };
        }
        for number in 0..self.programs.len() {
            self.read_rest(number);
        }
    }

    /// The exit status, after all has ended: why it is not 0 is said in one line each.
    pub(super) fn judge(&mut self) -> u8 {
        let mut wrong: Vec<String> = Vec::new();
        let mut status = 0;
        match self.ending.take() {
            None | Some(Ending::Done) => {}
            Some(Ending::Failed(what)) => {
                wrong.push(what);
                status = 1;
            }
            Some(Ending::TimedOut(what)) => {
                wrong.push(what);
                status = TIMED_OUT;
            }
            Some(Ending::Interrupted(signal)) => {
                // Who was interrupted has not done what it might have.
                self.print_summary(true);
                complain(&format!("ended by {}", action::signal_name(signal)));
                return 128 + signal as u8;
            }
        }
        for (program, own) in self.programs.iter_mut().zip(&self.plan.programs) {
            if matches!(program.state, State::Waiting | State::Failed) {
                if !own.by_event && status == 0 {
                    program.wrong = Some("was never started".into());
                }
            } else if program.wrong.is_none() {
                program.wrong = program.seen.output(&own.expect);
            }
            if let Some(what) = &program.wrong {
                wrong.push(format!("{}: {what}", program.name));
                status = status.max(1);
            }
        }
        self.print_summary(false);
        for what in wrong {
            complain(&what);
        }
        status
    }

    fn print_summary(&mut self, interrupted: bool) {
        let summary = self.summary(interrupted);
        self.output.text(&summary);
        self.output.end();
    }

    /// The table at the end.
    fn summary(&self, interrupted: bool) -> String {
        let head = ["PROGRAM", "HOST", "END", "TIME", "LINES", "RESULT"];
        let mut rows = vec![head.map(String::from).to_vec()];
        for program in self
            .programs
            .iter()
            .filter(|program| program.client.is_none())
        {
            let time = program.started.map(|at| {
                let end = program.ended.unwrap_or(self.now());
                report::seconds(end.saturating_sub(at))
            });
            rows.push(vec![
                program.name.clone(),
                self.plan.hosts[program.host].name.clone(),
                match program.is_alive() {
                    true => "ended by the lab".into(),
                    false => program.word(),
                },
                time.unwrap_or("-".into()),
                program.lines.to_string(),
                match (&program.wrong, interrupted) {
                    (Some(_), _) => "FAIL",
                    (None, true) => "-",
                    (None, false) => "ok",
                }
                .to_owned(),
            ]);
        }
        let mut text = format!("\n{}", report::columns(&rows));
        let mut rows = vec![
            ["NETWORK", "SENT", "BYTES", "ARRIVED", "DROPPED"]
                .map(String::from)
                .to_vec(),
        ];
        let directions = self.directions();
        for (number, network) in self.plan.networks.iter().enumerate() {
            let mut sum = [0; 4];
            for direction in directions.iter().filter(|d| d.network == number) {
                let c = &direction.counters;
                let incoming = direction.name.ends_with("/in");
                if !incoming {
                    sum[0] += c.sent;
                    sum[1] += c.sent_bytes;
                }
                if incoming || network.kind == Kind::Link {
                    sum[2] += c.delivered;
                }
                sum[3] += c.dropped();
            }
            // What a partition cuts off has come to its end of the wire, and is not let in.
            let plug = self.built.plugs[number].first();
            let cut_off = plug.map_or(0, |plug| self.built.room.wires.cut_off(plug.network()));
            sum[2] -= cut_off.min(sum[2]);
            sum[3] += cut_off;
            rows.push(vec![
                network.name.clone(),
                sum[0].to_string(),
                report::bytes(sum[1]),
                sum[2].to_string(),
                sum[3].to_string(),
            ]);
        }
        if !self.plan.networks.is_empty() {
            text += &format!("\n{}", report::columns(&rows));
        }
        text
    }

    /// Says what could not be written. The exit status.
    pub(super) fn finish(mut self, status: u8) -> u8 {
        self.output.end();
        for supervisor in &self.built.room.supervisors {
            supervisor.end_trace();
        }
        for (path, capture) in &self.built.captures {
            if let Err(error) = capture.stop() {
                complain(&format!(
                    "some of the capture {} could not be written: {error}",
                    path.display()
                ));
            }
        }
        status
    }
}
