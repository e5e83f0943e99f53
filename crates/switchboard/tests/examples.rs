//! The examples run, and print what their text says.

use std::process::Command;

fn output(example: &str) -> String {
    let ran = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "-p", "switchboard", "--example", example])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo, which runs this test");
    let text = String::from_utf8(ran.stdout).expect("text");
    let err = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{example}: {text}{err}");
    text
}

#[test]
fn an_emulator_passes_calls_on() {
    let wanted = "\
socketcall( 1, [2, 1, 0]) = 0
socketcall( 2, [0, 804a100, 10]) = 0
socketcall( 4, [0, 5]) = 0
socketcall( 1, [2, 1, 0]) = 1
socketcall( 3, [1, 804a100, 10]) = 0
socketcall( 5, [0, 0, 0]) = 2
socketcall( 9, [1, 804a200, 13, 0]) = 19
socketcall(17, [2, 804a300, 0]) = 19
received: \"from a 32-bit guest\"
socketcall( 3, [1, dead0000, 10]) = -14
socketcall( 1, [2, 1, 0]) = 3
socketcall( 2, [3, 804a100, 10]) = -13
";
    assert_eq!(output("emulator"), wanted);
}

#[test]
fn two_hosts_talk() {
    let text = output("two_hosts");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 7, "{text}");
    for (i, (path, bytes, status)) in [
        ("/", 62, "200 OK"),
        ("/about", 67, "200 OK"),
        ("/missing", 69, "404 Not Found"),
    ]
    .iter()
    .enumerate()
    {
        let request = format!("GET {path:10} {bytes:5} bytes in ");
        let took = lines[2 * i].strip_prefix(&request).expect("the request");
        // Connecting and asking cross the link twice each: 10 ms every time.
        assert!(milliseconds(took) >= 40.0, "{text}");
        assert_eq!(lines[2 * i + 1], format!("    HTTP/1.0 {status}"));
    }
    let refused = lines[6].strip_prefix("port 81: Some(ConnectionRefused) after ");
    assert!(
        milliseconds(refused.expect("the refusal")) >= 20.0,
        "{text}"
    );
}

/// A `Duration` as it is printed.
fn milliseconds(text: &str) -> f64 {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1.0),
        None => (text.strip_suffix('s').expect("seconds"), 1000.0),
    };
    number.parse::<f64>().expect("a number") * unit
}

#[test]
fn virtual_time_is_exact() {
    let text = output("virtual_time");
    let (first, rest) = text.split_once('\n').expect("lines");
    // The port is the seed's business.
    let port = first.strip_prefix("       1.25s connected from port ");
    let port: u16 = port
        .expect("ARP, and three crossings")
        .parse()
        .expect("a port");
    assert!((32768..=60999).contains(&port), "{text}");
    let wanted = "       6.25s ten echoes
      66.25s no answer for a minute
    86466.5s still there?
    86469.5s connect to nobody: Some(HostUnreachable)
";
    assert_eq!(rest, wanted);
    assert_eq!(output("virtual_time"), text, "every time the same");
}
