//! `switchboard support`: what is implemented, option by option.

use std::process::ExitCode;
use switchboard_abi::number::{SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_TCP, SOL_UDP};
use switchboard_socket::{OptionRow, Status, support_table};

pub(crate) fn print(json: bool) -> ExitCode {
    if json {
        let rows: Vec<_> = support_table().iter().map(to_json).collect();
        println!("{}", serde_json::json!({ "options": rows }));
    } else {
        for row in support_table() {
            println!("{:12} {:28} {}", level(row), row.name, status(row));
        }
    }
    ExitCode::SUCCESS
}

fn level(row: &OptionRow) -> &'static str {
    match row.level {
        SOL_SOCKET => "SOL_SOCKET",
        SOL_TCP => "IPPROTO_TCP",
        SOL_UDP => "IPPROTO_UDP",
        SOL_IP => "IPPROTO_IP",
        SOL_IPV6 => "IPPROTO_IPV6",
        _ => "?",
    }
}

fn status(row: &OptionRow) -> &'static str {
    match (row.status, row.access()) {
        (Status::Done, (_, true)) => "done",
        (Status::Done, (_, false)) => "done, read-only",
        (Status::Stored, _) => "stored",
        (Status::Refused, _) => "refused",
    }
}

fn to_json(row: &OptionRow) -> serde_json::Value {
    let (get, set) = row.access();
    let status = match row.status {
        Status::Done => "done",
        Status::Stored => "stored",
        Status::Refused => "refused",
    };
    serde_json::json!({
        "level": level(row), "name": row.name, "number": row.number,
        "status": status, "get": get, "set": set,
    })
}
