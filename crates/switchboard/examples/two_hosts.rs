//! Two virtual hosts, joined by a link with a delay of 10 ms each way, talk HTTP.
//!
//! `cargo run -p switchboard --example two_hosts`
//!
//! Nothing here touches this machine's network: the hosts, their addresses and the link exist in
//! this process only.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;
use switchboard::{Host, Net, TcpListener, TcpStream};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let net = Net::real_time()?;
    let delay = Duration::from_millis(10);
    let client = net
        .host("client")
        .address("10.0.0.1".parse()?, 24)
        .delay(delay)
        .build()?;
    let server = net
        .host("server")
        .address("10.0.0.2".parse()?, 24)
        .delay(delay)
        .build()?;
    let address: SocketAddr = "10.0.0.2:80".parse()?;

    // A server, as one would write it with std::net.
    let listener = TcpListener::bind(&server, address)?;
    let serving = std::thread::spawn(move || serve(&listener, 3));

    for path in ["/", "/about", "/missing"] {
        let before = net.now();
        let answer = fetch(&client, address, path)?;
        let took = net.now() - before;
        println!("GET {path:10} {:5} bytes in {took:?}", answer.len());
        println!("    {}", answer.lines().next().unwrap_or_default());
    }
    serving.join().expect("the server thread")?;

    // The wrong port is refused by the other host's stack, one round trip later.
    let before = net.now();
    let refused = TcpStream::connect(&client, "10.0.0.2:81".parse()?).err();
    println!(
        "port 81: {:?} after {:?}",
        refused.map(|error| error.kind()),
        net.now() - before
    );
    Ok(())
}

fn serve(listener: &TcpListener, requests: usize) -> std::io::Result<()> {
    for _ in 0..requests {
        let (mut stream, peer) = listener.accept()?;
        let mut request = String::new();
        let _ = BufReader::new(&stream).read_line(&mut request)?;
        let path = request.split(' ').nth(1).unwrap_or_default();
        let (status, body) = match path {
            "/" => ("200 OK", format!("Hello, {peer}.\n")),
            "/about" => ("200 OK", "All of this is one process.\n".into()),
            _ => ("404 Not Found", "There is no such page.\n".into()),
        };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.0 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
    }
    Ok(())
}

fn fetch(host: &Host, address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(host, address)?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer)?;
    Ok(answer)
}
