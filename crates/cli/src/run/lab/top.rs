//! `switchboard top`: a lab as it lives, on the whole screen.

use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Row, Table};
use serde_json::{Value, json};

use super::super::SETUP_FAILED;
use super::client::Client;
use super::netem::bits;
use crate::args::TopArgs;
use crate::complain;

/// How often the lab is asked.
const INTERVAL: Duration = Duration::from_millis(500);

pub(crate) fn top(args: &TopArgs) -> ExitCode {
    let client = Client::connect(args.session.as_deref());
    let mut client = match client {
        Ok(client) => client,
        Err(what) => {
            complain(&what);
            return ExitCode::from(SETUP_FAILED);
        }
    };
    if !io::stdout().is_terminal() {
        complain("top wants a terminal; `switchboard ctl links` and `ps` do without");
        return ExitCode::from(SETUP_FAILED);
    }
    let mut terminal = ratatui::init();
    let mut view = View::default();
    let ended = loop {
        match client.ask(&json!({ "status": true })) {
            Ok(status) => view.update(status),
            // Nothing is left to see.
            Err(_) => break Ok(()),
        }
        if let Err(error) = terminal.draw(|frame| view.draw(frame)) {
            break Err(error);
        }
        match is_over() {
            Ok(true) => break Ok(()),
            Ok(false) => {}
            Err(error) => break Err(error),
        }
    };
    ratatui::restore();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("the terminal: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Waits until the next look. Whether the user has seen enough.
fn is_over() -> io::Result<bool> {
    if !event::poll(INTERVAL)? {
        return Ok(false);
    }
    let Event::Key(key) = event::read()? else {
        return Ok(false);
    };
    let interrupt = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
    let quit = matches!(key.code, KeyCode::Char('q') | KeyCode::Esc);
    Ok(key.kind == KeyEventKind::Press && (quit || interrupt))
}

/// What was told last, and the rates since the time before.
#[derive(Default)]
struct View {
    status: Value,
    /// Bytes each direction had sent, calls each host had made, and when.
    before: HashMap<String, u64>,
    at: f64,
    /// Per second.
    rates: HashMap<String, f64>,
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

impl View {
    fn update(&mut self, status: Value) {
        let at = status
            .get("time")
            .and_then(Value::as_f64)
            .unwrap_or_default();
        let mut now = HashMap::new();
        for link in list(&status, "links") {
            now.insert(
                format!("link {}", text(link, "name")),
                number(link, "sent_bytes"),
            );
        }
        for host in list(&status, "hosts") {
            now.insert(
                format!("host {}", text(host, "name")),
                number(host, "calls"),
            );
        }
        let time = (at - self.at).max(1e-3);
        let rate = |(name, count): (&String, &u64)| {
            let before = self.before.get(name).copied().unwrap_or(*count);
            (name.clone(), count.saturating_sub(before) as f64 / time)
        };
        self.rates = now.iter().map(rate).collect();
        (self.before, self.at, self.status) = (now, at, status);
    }

    fn rate(&self, name: &str) -> f64 {
        self.rates.get(name).copied().unwrap_or_default()
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let hosts = list(&self.status, "hosts").len() as u16 + 3;
        let [head, hosts, links, programs] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Max(hosts),
            Constraint::Fill(2),
            Constraint::Fill(1),
        ])
        .areas(frame.area());
        let partitions = match number(&self.status, "partitions") {
            0 => String::new(),
            n => format!("   {n} partitions"),
        };
        let name = text(&self.status, "session");
        let title = format!("{name}   {:.0} s{partitions}   q quits", self.at);
        frame.render_widget(Line::from(title).style(Modifier::BOLD), head);
        self.hosts(frame, hosts);
        self.links(frame, links);
        self.programs(frame, programs);
    }

    fn hosts(&self, frame: &mut Frame<'_>, area: Rect) {
        let rows = list(&self.status, "hosts").iter().map(|host| {
            let name = text(host, "name");
            Row::new([
                name.to_owned(),
                number(host, "sockets").to_string(),
                number(host, "connections").to_string(),
                number(host, "listeners").to_string(),
                format!("{:.0}", self.rate(&format!("host {name}"))),
            ])
        });
        table(
            frame,
            area,
            "hosts",
            ["HOST", "SOCKETS", "CONNECTIONS", "LISTENERS", "CALLS/s"],
            rows,
        );
    }

    fn links(&self, frame: &mut Frame<'_>, area: Rect) {
        let links = list(&self.status, "links").iter();
        // Behind a switch nothing is to be seen, unless something was made to be.
        let shown = links.filter(|link| {
            let behind = text(link, "name").ends_with("/in");
            !behind || !text(link, "is").is_empty() || number(link, "dropped") > 0
        });
        let rows = shown.map(|link| {
            let name = text(link, "name");
            let row = Row::new([
                name.to_owned(),
                bits(self.rate(&format!("link {name}")) * 8.0),
                number(link, "sent").to_string(),
                number(link, "dropped").to_string(),
                number(link, "waiting").to_string(),
                text(link, "is").to_owned(),
            ]);
            match text(link, "is") {
                "" => row,
                is if is.starts_with("down") => row.style(Style::new().fg(Color::Red)),
                _ => row.style(Style::new().fg(Color::Yellow)),
            }
        });
        table(
            frame,
            area,
            "links",
            ["DIRECTION", "RATE", "PACKETS", "DROPPED", "WAITING", "IS"],
            rows,
        );
    }

    fn programs(&self, frame: &mut Frame<'_>, area: Rect) {
        let rows = list(&self.status, "programs").iter().map(|program| {
            Row::new([
                text(program, "name").to_owned(),
                text(program, "host").to_owned(),
                text(program, "state").to_owned(),
                number(program, "lines").to_string(),
            ])
        });
        table(
            frame,
            area,
            "programs",
            ["PROGRAM", "HOST", "STATE", "LINES"],
            rows,
        );
    }
}

fn table<'r, const N: usize>(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &'r str,
    head: [&'r str; N],
    rows: impl Iterator<Item = Row<'r>>,
) {
    let widths = [Constraint::Fill(1); N];
    let head = Row::new(head).style(Modifier::DIM);
    let table = Table::new(rows, widths).header(head);
    frame.render_widget(table.block(Block::bordered().title(title)), area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    #[test]
    fn rates_are_of_the_time_between() {
        let status = |time: f64, bytes: u64| {
            json!({ "session": "x", "time": time, "partitions": 1,
                "hosts": [{ "name": "a", "sockets": 2, "connections": 1, "listeners": 1, "calls": 0 }],
                "links": [{ "name": "lan/a", "sent_bytes": bytes, "sent": 3, "dropped": 1, "is": "loss 1%" }],
                "programs": [{ "name": "server", "host": "a", "state": "ready", "lines": 7 }] })
        };
        let mut view = View::default();
        view.update(status(1.0, 1000));
        view.update(status(3.0, 251_000));
        assert_eq!(view.rate("link lan/a"), 125_000.0);
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let screen = terminal.backend().to_string();
        for word in ["lan/a", "1mbit", "loss 1%", "server", "1 partitions"] {
            assert!(screen.contains(word), "{word}: {screen}");
        }
    }
}
