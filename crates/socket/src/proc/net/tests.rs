use crate::host::{Host, HostConfig};
use alloc::string::String;
use switchboard_engine::Instant;

fn text(host: &Host, name: &str) -> String {
    let file = host.proc_file(name).expect(name);
    host.proc_text(Instant::from_secs(1), &|_| 7, &file)
}

#[test]
fn an_idle_host() {
    let host = Host::new(HostConfig::default());
    let line = "00000000000000000000000000000001 01 80 10 80       lo\n";
    assert_eq!(text(&host, "net/if_inet6"), line);
    let tcp = text(&host, "net/tcp");
    assert_eq!((tcp.len(), tcp.lines().count()), (150, 1));
    let udp = text(&host, "net/udp");
    assert_eq!((udp.len(), udp.lines().count()), (128, 1));
    assert_eq!(text(&host, "net/route").len(), 128);
    let dev = text(&host, "net/dev");
    let lo = "    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0";
    assert_eq!(dev.lines().nth(2), Some(lo));
    let ipv6 = text(&host, "net/ipv6_route");
    let own = "00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000001 00000000 80200001       lo";
    assert_eq!(ipv6.lines().nth(1), Some(own));
    let first = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo";
    assert_eq!(
        (ipv6.lines().next(), ipv6.lines().count()),
        (Some(first), 3)
    );
}

#[test]
fn every_file_reads() {
    let host = Host::new(HostConfig::default());
    for path in host.proc_files() {
        let text = text(&host, &path);
        let empty = path == "net/dev_mcast" || path.ends_with("/flush");
        assert_eq!(text.is_empty(), empty, "{path}");
        assert!(empty || text.ends_with('\n'), "{path}");
    }
    assert_eq!(host.proc_file("net/nope"), None);
    assert_eq!(host.proc_file("sys/kernel/hostname"), None);
}

#[test]
fn names_and_values_stand_in_columns() {
    let host = Host::new(HostConfig::default());
    for path in ["net/snmp", "net/netstat"] {
        let text = text(&host, path);
        let lines: alloc::vec::Vec<&str> = text.lines().collect();
        for pair in lines.chunks(2) {
            let count = |line: &str| line.split(' ').count();
            assert_eq!(count(pair[0]), count(pair[1]), "{path}");
            assert_eq!(pair[0].split(':').next(), pair[1].split(':').next());
        }
    }
}
