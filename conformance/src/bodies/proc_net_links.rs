//! /proc/net of interfaces, addresses, routes, groups: the format to the column, and true numbers.

use super::proc_net::growth;
use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, fail, here, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use libc::{AF_INET, AF_INET6, SOCK_DGRAM};

tests! {
    tree_of_routes,
    figures_of_the_trees [ROOT],
    of_schedulers_and_processors,
    bytes_on_lo [ROOT],
    addresses_and_routes [ROOT],
    groups,
    sources_of_groups,
    no_link_groups_of_lo,
}

/// fib_trie: a table's name, then inner nodes, addresses and the routes to them, each deeper than what it is of.
fn tree_of_routes(k: &mut dyn Kernel) -> Outcome {
    let text = k.file_text("/proc/net/fib_trie")?;
    let lines: Vec<&str> = text.lines().collect();
    for table in ["Main:", "Local:"] {
        let Some(at) = lines.iter().position(|line| *line == table) else {
            return fail(here!(), format!("no {table}\n{text}"));
        };
        let root = lines.get(at + 1).copied().unwrap_or_default();
        check!(
            root.starts_with("  +-- ") || root.starts_with("  |-- "),
            "{text}"
        );
    }
    let own = lines.windows(2).any(|pair| {
        let depth = pair[0].len() - pair[0].trim_start().len();
        pair[0].trim_start() == "|-- 127.0.0.1"
            && pair[1] == format!("{:1$}/32 host LOCAL", "", depth + 3)
    });
    check!(own, "{text}");
    for line in lines.iter().filter(|line| line.contains("+--")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let numbers: Vec<u32> = words[2..].iter().filter_map(|n| n.parse().ok()).collect();
        check!(words.len() == 5 && numbers.len() == 3, "{line}");
        check!(
            words[1].contains('/') && numbers[2] < 1 << numbers[0],
            "{line}"
        );
    }
    Ok(())
}

/// fib_triestat: of each table the same figures, which are those of the tree that fib_trie shows.
fn figures_of_the_trees(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let text = k.file_text("/proc/net/fib_triestat")?;
    let tree = k.file_text("/proc/net/fib_trie")?;
    let mut lines = text.lines();
    eq!(
        lines.next(),
        Some("Basic info: size of leaf: 48 bytes, size of tnode: 40 bytes.")
    );
    for table in ["Main:", "Local:"] {
        let shown = tree.split_once(table).map_or("", |(_, rest)| rest);
        let shown = shown.split("Local:").next().unwrap_or_default();
        let count = |mark: &str| shown.lines().filter(|line| line.contains(mark)).count();
        eq!(lines.next(), Some(table));
        let rest: Vec<&str> = lines.by_ref().take(9).collect();
        check!(rest.len() == 9, "{text}");
        let figure = |name: &str| {
            let line = rest.iter().find_map(|line| line.strip_prefix(name));
            line.map(|line| line.trim().to_string())
        };
        eq!(figure("\tLeaves:"), Some(count("|--").to_string()));
        eq!(figure("\tPrefixes:"), Some(count(" /").to_string()));
        eq!(figure("\tInternal nodes:"), Some(count("+--").to_string()));
        let depth = |line: &str| (line.len() - line.trim_start().len()) / 3;
        let leaves = shown.lines().filter(|line| line.contains("|--"));
        let depths: Vec<usize> = leaves.map(depth).collect();
        let deepest = depths.iter().max().copied().unwrap_or_default();
        eq!(figure("\tMax depth:"), Some(deepest.to_string()));
        let average = depths.iter().sum::<usize>() * 100 / depths.len().max(1);
        let average = format!("{}.{:02}", average / 100, average % 100);
        eq!(figure("\tAver depth:"), Some(average));
        let nodes = shown.lines().filter(|line| line.contains("+--"));
        let (mut pointers, mut empty) = (0, 0);
        for node in nodes {
            let words: Vec<usize> = node
                .split_whitespace()
                .filter_map(|w| w.parse().ok())
                .collect();
            pointers += 1 << words[0];
            empty += words[2];
        }
        eq!(figure("\tPointers:"), Some(pointers.to_string()));
        eq!(figure("Null ptrs:"), Some(empty.to_string()));
        eq!(figure("Total size:"), Some("1  kB".to_string()));
    }
    eq!(lines.next(), None);
    Ok(())
}

/// psched and softnet_stat have no headers.
fn of_schedulers_and_processors(k: &mut dyn Kernel) -> Outcome {
    let text = k.file_text("/proc/net/psched")?;
    eq!(text.as_str(), "000003e8 00000040 000f4240 3b9aca00\n");
    let text = k.file_text("/proc/net/softnet_stat")?;
    check!(!text.is_empty(), "no processor");
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        eq!(words.len(), 15);
        check!(words.iter().all(|word| word.len() == 8), "{line}");
    }
    Ok(())
}

fn bytes_on_lo(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let columns = [
        ("netstat", "IpExt", "InOctets"),
        ("netstat", "IpExt", "OutOctets"),
    ];
    let lo = |k: &mut dyn Kernel| -> Got<Vec<i64>> {
        let text = k.file_text("/proc/net/dev")?;
        let line = text
            .lines()
            .find(|line| line.starts_with("    lo: "))
            .unwrap_or_default();
        let numbers: Vec<i64> = line
            .split_whitespace()
            .skip(1)
            .filter_map(|word| word.parse().ok())
            .collect();
        // dev_seq_printf_stats(): the columns are filled up, and wider where there is more to say.
        let widths = [7, 7, 4, 4, 4, 5, 10, 9, 8, 7, 4, 4, 4, 5, 7, 10];
        let columns: Vec<String> = numbers
            .iter()
            .zip(widths)
            .map(|(number, width)| format!("{number:>width$}"))
            .collect();
        eq!(line, format!("    lo: {}", columns.join(" ")));
        Ok(numbers)
    };
    let before = lo(k)?;
    let grown = growth(k, &columns, |k| {
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
        ret!(k.bind(fd, &Addr::lo4(0)), 0);
        let addr = k.sockname(fd)?;
        ret!(k.sendto(fd, &[0; 100], 0, &addr), 100);
        Ok(())
    })?;
    eq!(grown, [128, 128]);
    let after = lo(k)?;
    eq!(after.len(), 16);
    // Received bytes and packets, then those sent.
    for (at, by) in [(0, 128), (1, 1), (8, 128), (9, 1)] {
        eq!((at, after[at] - before[at]), (at, by));
    }
    Ok(())
}

fn addresses_and_routes(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    eq!(
        k.file_text("/proc/net/if_inet6")?,
        format!("{:031}1 01 80 10 80       lo\n", 0)
    );
    eq!(k.file_text("/proc/net/route")?.lines().count(), 1);
    let zero = format!("{:032}", 0);
    let null = format!("{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo");
    let own = format!("{:031}1 80 {zero} 00 {zero} 00000000 ", 0);
    let text = k.file_text("/proc/net/ipv6_route")?;
    let lines: Vec<&str> = text.lines().collect();
    eq!(
        (lines.first(), lines.last()),
        (Some(&null.as_str()), Some(&null.as_str()))
    );
    let found = lines.iter().find(|line| line.starts_with(&own));
    check!(
        found.is_some_and(|line| line.ends_with(" 80200001       lo")),
        "{text}"
    );
    Ok(())
}

fn groups(k: &mut dyn Kernel) -> Outcome {
    // A group of this process's own, so that others on the machine are not counted.
    let id = std::process::id().to_be_bytes();
    let group = [239, id[1], id[2], id[3]];
    let shown = format!("{:08X}", u32::from_ne_bytes(group));
    let users = |k: &mut dyn Kernel| -> Got<Option<String>> {
        let text = k.file_text("/proc/net/igmp")?;
        let line = text.lines().find(|line| line.contains(&shown));
        // A machine whose links are asked for their groups has timers that run: `1:` and what is left.
        let idle = |line: &str| match line.split_once(" 1:") {
            Some((before, after)) => format!("{before} 0:00000000{}", &after[8..]),
            None => line.to_string(),
        };
        Ok(line.map(|line| idle(line.trim_start())))
    };
    check!(users(k)?.is_none(), "{shown}");
    let mut request = Vec::from(group);
    request.extend([127, 0, 0, 1]);
    let fds = [
        ok!(k.socket(AF_INET, SOCK_DGRAM, 0)),
        ok!(k.socket(AF_INET, SOCK_DGRAM, 0)),
    ];
    for (n, fd) in fds.into_iter().enumerate() {
        ret!(
            k.setsockopt(fd, libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, &request),
            0
        );
        eq!(
            users(k)?,
            Some(format!("{shown} {:5} 0:00000000\t\t0", n + 1))
        );
    }
    for fd in fds {
        k.close(fd);
    }
    check!(users(k)?.is_none(), "{shown}");
    // Every interface is in the group of all hosts, and of all nodes.
    let text = k.file_text("/proc/net/igmp")?;
    check!(
        text.contains("\t\t\t\t010000E0     1 0:00000000\t\t0\n"),
        "{text}"
    );
    let text = k.file_text("/proc/net/igmp6")?;
    let all = format!("1    lo              ff02{:028}     1 0000000C 0\n", 1);
    check!(text.contains(&all), "{text}");
    Ok(())
}

/// mcfilter and mcfilter6: whom members of groups want to hear only, and whom not.
fn sources_of_groups(k: &mut dyn Kernel) -> Outcome {
    let id = std::process::id().to_be_bytes();
    let group = [239, id[1], id[2], id[3]];
    let rows = |k: &mut dyn Kernel, file: &str, group: &str| -> Got<Vec<String>> {
        let text = k.file_text(file)?;
        let mine = text.lines().filter(|line| line.contains(group));
        Ok(mine.map(str::to_string).collect())
    };
    let head = "Idx Device        MCA        SRC    INC    EXC\n";
    check!(
        k.file_text("/proc/net/mcfilter")?.starts_with(head),
        "the first line"
    );
    let shown = format!("{:#010x}", u32::from_be_bytes(group));
    let request = |source: u8| [&group[..], &[127, 0, 0, 1, 10, 0, 0, source]].concat();
    let mut fds = Vec::new();
    for _ in 0..3 {
        fds.push(ok!(k.socket(AF_INET, SOCK_DGRAM, 0)));
    }
    let level = libc::IPPROTO_IP;
    for (fd, source) in [(fds[0], 9), (fds[0], 1), (fds[1], 9)] {
        let option = libc::IP_ADD_SOURCE_MEMBERSHIP;
        ret!(k.setsockopt(fd, level, option, &request(source)), 0);
    }
    let join = [&group[..], &[127, 0, 0, 1]].concat();
    ret!(
        k.setsockopt(fds[2], level, libc::IP_ADD_MEMBERSHIP, &join),
        0
    );
    ret!(
        k.setsockopt(fds[2], level, libc::IP_BLOCK_SOURCE, &request(9)),
        0
    );
    eq!(
        rows(k, "/proc/net/mcfilter", &shown)?,
        [
            format!("  1     lo {shown} 0x0a000009      2      1"),
            format!("  1     lo {shown} 0x0a000001      1      0"),
        ]
    );
    for fd in fds {
        k.close(fd);
    }
    eq!(rows(k, "/proc/net/mcfilter", &shown)?, [""; 0]);

    let head = "Idx Device                Multicast Address                   Source Address    INC    EXC\n";
    check!(
        k.file_text("/proc/net/mcfilter6")?.starts_with(head),
        "the first line"
    );
    // struct group_source_req: the interface, the group and the source.
    let address = |bytes: [u8; 16]| {
        let mut raw = Vec::from((libc::AF_INET6 as u16).to_ne_bytes());
        raw.extend([0; 6]);
        raw.extend(bytes);
        raw.resize(128, 0);
        raw
    };
    let (mut group, mut source) = ([0; 16], [0; 16]);
    (group[0], group[1], source[0], source[15]) = (0xff, 0x15, 0xfd, 9);
    group[12..].copy_from_slice(&id);
    let mut request = vec![1, 0, 0, 0, 0, 0, 0, 0];
    request.extend(address(group));
    request.extend(address(source));
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    // MCAST_JOIN_SOURCE_GROUP
    ret!(k.setsockopt(fd, libc::IPPROTO_IPV6, 46, &request), 0);
    let shown = format!("ff15{:020}{:08x}", 0, u32::from_be_bytes(id));
    eq!(
        rows(k, "/proc/net/mcfilter6", &shown)?,
        [format!("  1     lo {shown} fd{:030}      1      0", 9)]
    );
    k.close(fd);
    eq!(rows(k, "/proc/net/mcfilter6", &shown)?, [""; 0]);
    Ok(())
}

/// Groups of the link layer, which lo has not: dev_mcast.
fn no_link_groups_of_lo(k: &mut dyn Kernel) -> Outcome {
    let text = k.file_text("/proc/net/dev_mcast")?;
    let of_lo = |line: &&str| line.split_whitespace().nth(1) == Some("lo");
    eq!(text.lines().find(of_lo), None);
    Ok(())
}
