//! What no single key is to blame for.

use std::collections::BTreeMap;

use super::super::action::Action;
use super::super::plan::Plan;
use super::super::reader::{Result, Table};
use super::{HOST, LO, NETWORK};

/// Who waits for itself, over others, would never start.
pub(super) fn order(plan: &Plan, table: &Table<'_>) -> Result<()> {
    let mut started = vec![false; plan.programs.len()];
    let may_start = |number: usize, started: &[bool]| {
        let starts = |event: &&super::EventPlan| {
            let start = Action::Start { program: number };
            event.actions.contains(&start)
        };
        let mut events = plan.events.iter().filter(starts).peekable();
        if plan.programs[number].by_event {
            // Without an event it is somebody at `switchboard ctl` who starts it.
            return events.peek().is_none()
                || events.any(|event| event.after.is_none_or(|other| started[other]));
        }
        (plan.programs[number].after.iter()).all(|other| started[*other])
    };
    loop {
        let before = started.clone();
        for number in 0..started.len() {
            started[number] = started[number] || may_start(number, &started);
        }
        if started.iter().all(|started| *started) {
            return Ok(());
        }
        if started == before {
            let stuck = started.iter().position(|started| !started).unwrap_or(0);
            let name = &plan.programs[stuck].name;
            let programs = table.need("program")?.named()?;
            let value = programs.iter().find(|(known, _)| known == name);
            let what = match plan.programs[stuck].by_event {
                true => "waits for itself, over what the events come after that start it",
                false => "waits for itself, over what it comes after",
            };
            return Err(match value {
                Some((_, value)) => value.problem(what),
                None => table.problem(what),
            });
        }
    }
}

/// Two that write to one file would write over each other.
pub(super) fn results(table: &Table<'_>) -> Result<()> {
    let mut written = BTreeMap::new();
    for (key, known) in [("host", HOST), ("segment", NETWORK), ("link", NETWORK)] {
        let named = table.get(key).map_or(Ok(Vec::new()), |value| value.named());
        for (_, value) in named? {
            let own = value.table(known)?;
            let mut paths = vec![own.get("pcap")];
            if key == "host" {
                let lo = own.get("lo").map(|value| value.table(LO)).transpose()?;
                paths.extend([own.get("trace"), lo.and_then(|lo| lo.get("pcap"))]);
            }
            for value in paths.into_iter().flatten() {
                if let Some(other) = written.insert(value.text()?, value.key.clone()) {
                    let what = format!("{other} is written to this file, too");
                    return Err(value.problem(what));
                }
            }
        }
    }
    Ok(())
}
