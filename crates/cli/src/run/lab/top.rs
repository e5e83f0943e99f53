//! `switchboard top`: a lab as it lives, on the whole screen.

use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Row, Table};
use serde_json::{Value, json};

use super::super::SETUP_FAILED;
use super::client::{Client, ENDED};
use super::netem::bits;
use crate::args::TopArgs;
use crate::complain;

/// How often the lab is asked.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long it may take to answer. No key is looked at meanwhile.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many rows a page is.
const PAGE: usize = 10;

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
    client.wait_at_most(PATIENCE);
    let mut terminal = ratatui::init();
    let mut view = View::default();
    let ended = loop {
        match client.ask(&json!({ "status": true })) {
            Ok(status) => view.update(status),
            // Nothing is left to see.
            Err(what) if what == ENDED => break Ok(()),
            Err(what) => break Err(what),
        }
        let asked = terminal.draw(|frame| view.draw(frame));
        let asked = asked.and_then(|_| wait(&mut view));
        match asked.map_err(|error| format!("the terminal: {error}")) {
            Ok(true) => break Ok(()),
            Ok(false) => {}
            Err(what) => break Err(what),
        }
    };
    ratatui::restore();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            complain(&what);
            ExitCode::FAILURE
        }
    }
}

/// Waits until the next look, which is at once when the user wants to see something else. Whether he has seen enough.
fn wait(view: &mut View) -> io::Result<bool> {
    if !event::poll(INTERVAL)? {
        return Ok(false);
    }
    match event::read()? {
        Event::Key(key) if key.kind == KeyEventKind::Press => Ok(view.key(key)),
        _ => Ok(false),
    }
}

/// What was told last, and the rates since the time before.
#[derive(Default)]
struct View {
    /// How many rows of each table are above what is shown.
    above: usize,
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
    /// Whether it ends.
    fn key(&mut self, key: KeyEvent) -> bool {
        let rows = ["hosts", "links", "programs"].map(|name| list(&self.status, name).len());
        let last = rows.into_iter().max().unwrap_or(0).saturating_sub(1);
        match key.code {
            KeyCode::Char('c') => return key.modifiers.contains(KeyModifiers::CONTROL),
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Down | KeyCode::Char('j') => self.above += 1,
            KeyCode::Up | KeyCode::Char('k') => self.above = self.above.saturating_sub(1),
            KeyCode::PageDown => self.above += PAGE,
            KeyCode::PageUp => self.above = self.above.saturating_sub(PAGE),
            KeyCode::Home => self.above = 0,
            _ => {}
        }
        self.above = self.above.min(last);
        false
    }

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
        // Many hosts leave room for links.
        let hosts = list(&self.status, "hosts").len() as u16 + 3;
        let hosts = hosts.min((frame.area().height / 3).max(4));
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
        let title = format!(
            "{name}   {:.0} s{partitions}   q quits, arrows scroll",
            self.at
        );
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
        self.table(
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
        self.table(
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
        self.table(
            frame,
            area,
            "programs",
            ["PROGRAM", "HOST", "STATE", "LINES"],
            rows,
        );
    }

    /// From the row on that is the first to be shown; the last ones stay where there are no more.
    fn table<'r, const N: usize>(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        title: &'r str,
        head: [&'r str; N],
        rows: impl Iterator<Item = Row<'r>>,
    ) {
        let rows: Vec<Row<'r>> = rows.collect();
        // The border and the head.
        let room = area.height.saturating_sub(3) as usize;
        let above = self.above.min(rows.len().saturating_sub(room));
        let title = match rows.len() {
            count if count > room => format!("{title}, {count}"),
            _ => title.to_owned(),
        };
        let widths = [Constraint::Fill(1); N];
        let head = Row::new(head).style(Modifier::DIM);
        let table = Table::new(rows.into_iter().skip(above), widths).header(head);
        frame.render_widget(table.block(Block::bordered().title(title)), area);
    }
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

    /// As text, on a terminal of this size.
    fn drawn(view: &View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn a_hundred_hosts_leave_room_for_links_and_are_scrolled_through() {
        let hosts = (0..100).map(|n| json!({ "name": format!("h{n}") }));
        let links = (0..100).map(|n| json!({ "name": format!("lan/h{n}"), "is": "" }));
        let mut view = View::default();
        view.update(json!({ "session": "x", "time": 1.0,
            "hosts": hosts.collect::<Vec<_>>(), "links": links.collect::<Vec<_>>(),
            "programs": [{ "name": "server", "host": "h0", "state": "ready" }] }));
        let screen = drawn(&view, 80, 24);
        for word in ["hosts, 100", "lan/h0 ", "server"] {
            assert!(screen.contains(word), "{word}: {screen}");
        }
        for _ in 0..50 {
            assert!(!view.key(KeyCode::PageDown.into()));
        }
        let screen = drawn(&view, 80, 24);
        for word in ["h99", "lan/h99", "server"] {
            assert!(screen.contains(word), "{word}: {screen}");
        }
        view.key(KeyCode::Home.into());
        assert!(drawn(&view, 80, 24).contains("lan/h0 "));
        assert!(view.key(KeyCode::Char('q').into()));
    }

    #[test]
    fn no_terminal_is_too_small() {
        let mut view = View::default();
        view.update(
            json!({ "session": "x", "hosts": [{ "name": "a" }], "links": [], "programs": [] }),
        );
        for (width, height) in [(1, 1), (20, 5), (20, 24), (300, 2)] {
            drawn(&view, width, height);
        }
    }
}
