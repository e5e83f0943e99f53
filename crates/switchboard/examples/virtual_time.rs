//! A deterministic test: time is an argument, a day of it costs a moment.
//!
//! `cargo run -p switchboard --example virtual_time`
//!
//! In virtual time a call that has to wait does not sleep: the clock jumps to the next thing that
//! happens. The same seed gives the same ports, sequence numbers and times, on every machine.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;
use switchboard::{Net, TcpListener, TcpStream};

/// Ten requests to a server half a second away, then a day of silence, then nobody home.
fn scenario(seed: u64) -> std::io::Result<Vec<String>> {
    let mut log = Vec::new();
    let net = Net::virtual_time(seed);
    let delay = Duration::from_millis(250);
    let (near, far) = ("10.0.0.1", "10.0.0.2");
    let host = |name: &str, address: &str| {
        let address = address.parse().map_err(std::io::Error::other)?;
        net.host(name).address(address, 24).delay(delay).build()
    };
    let (client_host, server_host) = (host("client", near)?, host("server", far)?);
    let address = "10.0.0.2:7".parse().map_err(std::io::Error::other)?;

    let listener = TcpListener::bind(&server_host, address)?;
    let mut client = TcpStream::connect(&client_host, address)?;
    let (mut server, peer) = listener.accept()?;
    log.push(format!(
        "{:>12?} connected from port {}",
        net.now(),
        peer.port()
    ));

    let mut buf = [0; 16];
    for i in 0..10u8 {
        client.write_all(&[i])?;
        let n = server.read(&mut buf)?;
        server.write_all(&buf[..n])?;
        client.read_exact(&mut buf[..1])?;
        assert_eq!(buf[0], i);
    }
    log.push(format!("{:>12?} ten echoes", net.now()));

    // A time-out is a matter of arithmetic.
    client.set_read_timeout(Some(Duration::from_secs(60)))?;
    let error = client.read(&mut buf).expect_err("nothing was sent");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    log.push(format!("{:>12?} no answer for a minute", net.now()));

    net.advance(Duration::from_secs(24 * 60 * 60));
    client.write_all(b"still there?")?;
    let n = server.read(&mut buf)?;
    log.push(format!(
        "{:>12?} {}",
        net.now(),
        String::from_utf8_lossy(&buf[..n])
    ));

    // An address that nobody has: asked for three times on the link, a second apart, as Linux does.
    let error = TcpStream::connect(
        &client_host,
        "10.0.0.9:7".parse().map_err(std::io::Error::other)?,
    );
    let kind = error.err().map(|error| error.kind());
    log.push(format!("{:>12?} connect to nobody: {kind:?}", net.now()));
    Ok(log)
}

fn main() -> std::io::Result<()> {
    let log = scenario(42)?;
    log.iter().for_each(|line| println!("{line}"));
    assert_eq!(log, scenario(42)?, "the same seed gives the same run");
    assert_ne!(log, scenario(43)?, "another seed gives another port");
    Ok(())
}
