//! TCP over loopback, through the calls of the socket layer.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use switchboard_engine::*;

const T0: Instant = Instant::from_secs(100);

fn after(ms: u64) -> Instant {
    T0 + Duration::from_millis(ms)
}

fn stack() -> Stack {
    Stack::new(Config {
        seed: [7; 32],
        ..Config::default()
    })
}

fn request(addr: &str) -> BindRequest {
    let addr: SocketAddr = addr.parse().unwrap();
    BindRequest {
        addr: addr.ip(),
        port: addr.port(),
        family: if addr.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        },
        v6only: false,
        device: None,
        reuse_addr: false,
        reuse_port: false,
        uid: 0,
    }
}

fn listen_at(stack: &mut Stack, addr: &str, backlog: u32) -> (TcpId, SocketAddr) {
    let request = request(addr);
    let id = stack.tcp_open(request.family);
    let local = stack.tcp_bind(id, request).unwrap();
    stack.tcp_listen(T0, id, backlog).unwrap();
    (id, local)
}

/// Client, server and listener.
fn pair_on(stack: &mut Stack, addr: &str) -> (TcpId, TcpId, TcpId) {
    let (listener, local) = listen_at(stack, addr, 16);
    let client = stack.tcp_open(if local.is_ipv4() {
        Family::V4
    } else {
        Family::V6
    });
    stack.tcp_connect(T0, client, local).unwrap();
    assert_eq!(stack.tcp_state(client), State::Established);
    let server = stack.tcp_accept(T0, listener).unwrap();
    assert_eq!(stack.tcp_state(server), State::Established);
    (client, server, listener)
}

fn pair(stack: &mut Stack) -> (TcpId, TcpId, TcpId) {
    pair_on(stack, "127.0.0.1:0")
}

fn send(stack: &mut Stack, now: Instant, id: TcpId, data: &[u8]) {
    stack.tcp_send(now, id, Bytes::copy_from_slice(data), SendFlags::default());
}

fn recv(stack: &mut Stack, now: Instant, id: TcpId) -> Vec<u8> {
    let data: Vec<u8> = stack
        .tcp_recv_queue(id)
        .iter()
        .flat_map(|c| c.to_vec())
        .collect();
    stack.tcp_consume(now, id, data.len());
    data
}

fn events(stack: &mut Stack, id: TcpId) -> EventKind {
    let mut kind = EventKind::empty();
    while let Some(event) = stack.poll_event() {
        if event.socket == SocketHandle::Tcp(id) {
            kind |= event.kind;
        }
    }
    kind
}

/// Runs all timers up to `until`.
fn run_until(stack: &mut Stack, until: Instant) {
    while let Some(at) = stack.poll_timeout().filter(|&at| at <= until) {
        stack.handle_timeout(at);
    }
}

#[test]
fn a_conversation() {
    let mut stack = stack();
    let (client, server, _) = pair(&mut stack);
    assert!(events(&mut stack, client).contains(EventKind::CONNECTED));
    send(&mut stack, T0, client, b"hello");
    assert!(events(&mut stack, server).contains(EventKind::READABLE));
    assert_eq!(recv(&mut stack, T0, server), b"hello");
    send(&mut stack, T0, server, b"world");
    assert_eq!(recv(&mut stack, T0, client), b"world");
    assert_eq!(stack.tcp_remote(client), stack.tcp_local(server));
    assert_eq!(stack.tcp_local(client), stack.tcp_remote(server));
}

#[test]
fn numbers_are_those_of_linux() {
    // Checked with getsockopt on Linux 6.18, tcp_rmem 4096 131072 6291456, reno.
    let mut stack = stack();
    stack.sysctl_mut().tcp_rmem[2] = 6_291_456;
    stack.sysctl_mut().rmem_max = 212_992;
    let (client, server, _) = pair(&mut stack);
    let (c, s) = (stack.tcp_info(T0, client), stack.tcp_info(T0, server));
    assert_eq!((c.snd_mss, s.snd_mss), (32_741, 32_768));
    assert_eq!((c.advmss, s.advmss), (65_483, 65_483));
    assert_eq!((c.rcv_mss, s.rcv_mss), (536, 536));
    assert_eq!((c.rcv_ssthresh, s.rcv_ssthresh), (65_495, 65_483));
    assert_eq!((c.rcv_space, s.rcv_space), (65_495, 65_483));
    assert_eq!((c.snd_cwnd, s.snd_cwnd), (10, 10));
    // In ticks of 4 ms, however short the round trip.
    let ticks = Duration::from_millis(204);
    assert_eq!((c.rto, s.rto), (ticks, ticks));
    assert_eq!((c.pmtu, c.snd_wscale, c.rcv_wscale), (65_535, 7, 7));
    assert_eq!(stack.tcp_buffers(client), (2_626_560, 131_072));
    send(&mut stack, T0, client, b"x");
    recv(&mut stack, T0, server);
    let (c, s) = (stack.tcp_info(T0, client), stack.tcp_info(T0, server));
    assert_eq!((c.snd_mss, c.unacked, c.bytes_acked), (32_768, 0, 2));
    assert_eq!((s.ato, s.bytes_received), (Duration::from_millis(40), 1));
}

#[test]
fn bulk_arrives_in_order() {
    let mut stack = stack();
    let (client, server, _) = pair(&mut stack);
    let mut sent = 0u32;
    let mut got = 0u32;
    while got < 20_000_000 {
        while sent < 20_000_000 && stack.tcp_send_room(client) > 0 {
            let chunk: Vec<u8> = (sent..sent + 65_536)
                .map(|i| ((i * 31) >> 8) as u8)
                .collect();
            stack.tcp_send(T0, client, chunk.into(), SendFlags::default());
            sent += 65_536;
        }
        let data = recv(&mut stack, T0, server);
        if data.is_empty() {
            let at = stack.poll_timeout().expect("stuck");
            stack.handle_timeout(at);
        }
        for byte in data {
            assert_eq!(byte, ((got * 31) >> 8) as u8);
            got += 1;
        }
    }
}

#[test]
fn close_runs_through_time_wait() {
    let mut stack = stack();
    let (client, server, listener) = pair(&mut stack);
    stack.tcp_close(T0, client, None);
    assert_eq!(stack.tcp_state(server), State::CloseWait);
    assert!(stack.tcp_status(server).rcv_shutdown);
    assert!(events(&mut stack, server).contains(EventKind::HANGUP));
    stack.tcp_close(T0, server, None);
    stack.tcp_close(T0, listener, None);
    assert_eq!(stack.tcp_connection_count(), 1);
    run_until(&mut stack, after(59_900));
    assert_eq!(stack.tcp_connection_count(), 1);
    run_until(&mut stack, after(60_100));
    assert_eq!(stack.tcp_connection_count(), 0);
    assert_eq!(stack.poll_timeout(), None);
}

#[test]
fn half_close_lets_the_other_direction_go_on() {
    let mut stack = stack();
    let (client, server, _) = pair(&mut stack);
    send(&mut stack, T0, client, b"request");
    stack.tcp_shutdown(T0, client, Shutdown::Write).unwrap();
    // The ACK of the FIN is delayed, as a reply is likely to carry it.
    assert_eq!(stack.tcp_state(client), State::FinWait1);
    assert_eq!(stack.tcp_state(server), State::CloseWait);
    run_until(&mut stack, after(40));
    assert_eq!(stack.tcp_state(client), State::FinWait2);
    assert_eq!(recv(&mut stack, after(50), server), b"request");
    send(&mut stack, after(50), server, b"reply");
    assert_eq!(recv(&mut stack, after(50), client), b"reply");
    stack
        .tcp_shutdown(after(50), server, Shutdown::Write)
        .unwrap();
    // The client's socket is closed; a TIME_WAIT entry stays.
    assert_eq!(stack.tcp_state(client), State::Close);
    assert_eq!(stack.tcp_state(server), State::Close);
    assert_eq!(stack.tcp_status(client).error, None);
    assert_eq!(stack.tcp_connection_count(), 1);
}

#[test]
fn refused() {
    let mut stack = stack();
    let client = stack.tcp_open(Family::V4);
    stack
        .tcp_connect(T0, client, "127.0.0.1:9".parse().unwrap())
        .unwrap();
    assert_eq!(stack.tcp_state(client), State::Close);
    assert_eq!(
        stack.tcp_take_error(client),
        Some(TcpError::ConnectionRefused)
    );
    assert_eq!(stack.tcp_take_error(client), None);
    // After disconnect the socket may try again.
    stack.tcp_disconnect(T0, client);
    let (_, local) = listen_at(&mut stack, "127.0.0.1:0", 1);
    stack.tcp_connect(T0, client, local).unwrap();
    assert_eq!(stack.tcp_state(client), State::Established);
}

#[test]
fn close_with_unread_data_resets() {
    let mut stack = stack();
    let (client, server, _) = pair(&mut stack);
    send(&mut stack, T0, client, b"unread");
    stack.tcp_close(T0, server, None);
    assert_eq!(stack.tcp_state(client), State::Close);
    let status = stack.tcp_status(client);
    assert_eq!(status.error, Some(TcpError::ConnectionReset));
    assert!(status.rcv_shutdown && status.snd_shutdown);
}

#[test]
fn linger_zero_resets() {
    let mut stack = stack();
    let (client, server, _) = pair(&mut stack);
    stack.tcp_close(T0, client, Some(Duration::ZERO));
    assert_eq!(
        stack.tcp_status(server).error,
        Some(TcpError::ConnectionReset)
    );
    assert_eq!(stack.tcp_connection_count(), 0);
}

#[test]
fn data_for_an_orphan_is_answered_with_a_reset() {
    let mut stack = stack();
    let (client, server, _) = pair(&mut stack);
    stack.tcp_close(T0, client, None);
    send(&mut stack, T0, server, b"too late");
    let status = stack.tcp_status(server);
    // RST in CLOSE_WAIT.
    assert_eq!(
        (status.state, status.error),
        (State::Close, Some(TcpError::BrokenPipe))
    );
}

#[test]
fn accept_queue_takes_backlog_plus_one() {
    let mut stack = stack();
    let (listener, local) = listen_at(&mut stack, "127.0.0.1:0", 2);
    let clients: Vec<TcpId> = (0..4)
        .map(|_| {
            let client = stack.tcp_open(Family::V4);
            stack.tcp_connect(T0, client, local).unwrap();
            client
        })
        .collect();
    let states: Vec<State> = clients.iter().map(|&c| stack.tcp_state(c)).collect();
    use State::{Established, SynSent};
    assert_eq!(states, [Established, Established, Established, SynSent]);
    // Room again: the SYN is repeated after a second and answered.
    assert!(stack.tcp_accept(T0, listener).is_some());
    run_until(&mut stack, after(1100));
    assert_eq!(stack.tcp_state(clients[3]), Established);
}

#[test]
fn closing_a_listener_resets_what_was_not_accepted() {
    let mut stack = stack();
    let (listener, local) = listen_at(&mut stack, "127.0.0.1:0", 2);
    let client = stack.tcp_open(Family::V4);
    stack.tcp_connect(T0, client, local).unwrap();
    stack.tcp_close(T0, listener, None);
    assert_eq!(
        stack.tcp_status(client).error,
        Some(TcpError::ConnectionReset)
    );
    assert_eq!(stack.tcp_connection_count(), 0);
}

#[test]
fn a_full_receiver_stops_the_sender_until_it_reads() {
    let mut stack = stack();
    let (client, server, _) = pair(&mut stack);
    let mut total = 0;
    while stack.tcp_send_room(client) > 0 {
        let data = Bytes::from(vec![1; 65_536]);
        total += data.len();
        stack.tcp_send(T0, client, data, SendFlags::default());
    }
    assert!(!stack.tcp_is_writable(client));
    assert!(
        stack.tcp_outq(client) > 2_000_000,
        "{}",
        stack.tcp_outq(client)
    );
    let before = stack.tcp_recv_available(server);
    // Linux: 127,973.
    assert!((100_000..140_000).contains(&before), "{before}");
    events(&mut stack, client);
    let mut got = 0;
    while got < total {
        let n = recv(&mut stack, T0, server).len();
        assert!(n > 0, "stuck after {got} of {total}");
        got += n;
    }
    assert!(events(&mut stack, client).contains(EventKind::WRITABLE));
    assert_eq!(stack.tcp_outq(client), 0);
}

#[test]
fn dual_stack_listener_takes_both_families() {
    let mut stack = stack();
    let (listener, local) = listen_at(&mut stack, "[::]:0", 4);
    for remote in [
        format!("127.0.0.1:{}", local.port()),
        format!("[::1]:{}", local.port()),
    ] {
        let remote: SocketAddr = remote.parse().unwrap();
        let client = stack.tcp_open(if remote.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        });
        stack.tcp_connect(T0, client, remote).unwrap();
        assert_eq!(stack.tcp_state(client), State::Established);
        let server = stack.tcp_accept(T0, listener).unwrap();
        assert_eq!(stack.tcp_local(server), Some(remote));
        send(&mut stack, T0, client, b"x");
        assert_eq!(recv(&mut stack, T0, server), b"x");
    }
}

#[test]
fn a_socket_can_connect_to_itself() {
    // RFC 9293, 3.5, figure 7: simultaneous open, both ends on one socket, as Linux allows.
    let mut stack = stack();
    let id = stack.tcp_open(Family::V4);
    let local = stack.tcp_bind(id, request("127.0.0.1:0")).unwrap();
    stack.tcp_connect(T0, id, local).unwrap();
    assert_eq!(stack.tcp_state(id), State::Established);
    send(&mut stack, T0, id, b"echo");
    assert_eq!(recv(&mut stack, T0, id), b"echo");
}

#[test]
fn time_wait_is_reused_on_loopback_after_a_second() {
    let mut stack = stack();
    let (listener, local) = listen_at(&mut stack, "127.0.0.1:0", 4);
    // The only port there is.
    stack.sysctl_mut().ip_local_port_range = (40_000, 40_000);
    let connect = |now: Instant, stack: &mut Stack| {
        let client = stack.tcp_open(Family::V4);
        let result = stack.tcp_connect(now, client, local);
        (client, result)
    };
    let (client, result) = connect(T0, &mut stack);
    result.unwrap();
    let server = stack.tcp_accept(T0, listener).unwrap();
    stack.tcp_close(T0, client, None);
    stack.tcp_close(T0, server, None);
    let (early, result) = connect(after(500), &mut stack);
    assert_eq!(result, Err(ConnectError::AddrNotAvailable));
    stack.tcp_close(after(500), early, None);
    let (client, result) = connect(after(1600), &mut stack);
    result.unwrap();
    assert_eq!(stack.tcp_state(client), State::Established);
}

#[test]
fn urgent_data() {
    let mut stack = stack();
    let (client, server, _) = pair(&mut stack);
    let oob = SendFlags {
        oob: true,
        ..SendFlags::default()
    };
    stack.tcp_send(T0, client, Bytes::from_static(b"ab!"), oob);
    send(&mut stack, T0, client, b"cd");
    assert!(events(&mut stack, server).contains(EventKind::URGENT));
    let urgent = stack.tcp_urgent(server);
    assert_eq!(
        (urgent.offset, urgent.byte, urgent.pending),
        (Some(2), Some(b'!'), true)
    );
    assert_eq!(stack.tcp_inq(server), 2);
    stack.tcp_consume(T0, server, 2);
    assert!(stack.tcp_urgent(server).at_mark);
    stack.tcp_urgent_taken(server);
    assert!(!stack.tcp_urgent(server).valid);
    stack.tcp_consume(T0, server, 1);
    assert_eq!(stack.tcp_urgent(server).offset, None);
    assert_eq!(recv(&mut stack, T0, server), b"cd");
}

#[test]
fn a_thousand_connections_use_different_ports() {
    let mut stack = stack();
    let (listener, local) = listen_at(&mut stack, "127.0.0.1:0", 4096);
    let mut ports = std::collections::HashSet::new();
    for _ in 0..1000 {
        let client = stack.tcp_open(Family::V4);
        stack.tcp_connect(T0, client, local).unwrap();
        let port = stack.tcp_local(client).unwrap().port();
        // connect(2) uses even offsets into the range first.
        assert_eq!(port % 2, 0);
        assert!(ports.insert(port));
        assert!(stack.tcp_accept(T0, listener).is_some());
    }
}
