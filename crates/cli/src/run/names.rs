//! Names of hosts: what /etc/hosts, /etc/resolv.conf and the answers of a name server say.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::PTR;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::outside::Names;

/// Files of /etc that each host of a lab has for itself.
pub(super) const ETC: [&str; 3] = ["hosts", "resolv.conf", "hostname"];

/// Where a host asks for names: an address of its own loopback interface, as systemd-resolved has it.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);

/// How long an answer may be kept, in seconds. Nothing changes while a lab runs.
const TTL: u32 = 60;

/// What is too long for a datagram without EDNS (RFC 1035, 4.2.1).
const PLAIN: usize = 512;

/// All hosts of a lab and their addresses.
#[derive(Default)]
pub(super) struct Directory {
    /// Each with the number of its network.
    hosts: Vec<(String, Vec<(usize, IpAddr)>)>,
    /// By name, as DNS has it: in lower case and with a dot at the end.
    names: BTreeMap<String, usize>,
    /// `in-addr.arpa` and `ip6.arpa`
    reverse: BTreeMap<String, usize>,
}

impl Directory {
    /// One more host.
    pub(super) fn add(&mut self, name: &str, addresses: Vec<(usize, IpAddr)>) {
        let number = self.hosts.len();
        for (_, addr) in &addresses {
            let name = Name::from(*addr).to_ascii();
            self.reverse.entry(name).or_insert(number);
        }
        self.names
            .insert(format!("{}.", name.to_lowercase()), number);
        self.hosts.push((name.to_owned(), addresses));
    }

    /// The addresses of a host, those on one of these networks first.
    fn addresses(&self, host: usize, near: &[usize]) -> Vec<IpAddr> {
        let mut addresses = self.hosts[host].1.clone();
        addresses.sort_by_key(|(network, _)| !near.contains(network));
        addresses.into_iter().map(|(_, addr)| addr).collect()
    }
}

/// A host with a name, among others.
pub(super) struct Named {
    pub(super) nodename: String,
    /// Its place in the directory.
    own: usize,
    directory: Rc<Directory>,
    /// The networks it is on.
    near: Vec<usize>,
    /// It has a name server.
    server: bool,
    /// Where it asks for the names of others, if it has a way out.
    outer: Option<Names>,
}

/// An answer of a host's own, or none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Known(Vec<u8>),
    /// The name is none of the directory's.
    Unknown(Vec<u8>),
}

impl Named {
    pub(super) fn new(
        own: usize,
        directory: Rc<Directory>,
        near: Vec<usize>,
        server: bool,
        outer: Option<Names>,
    ) -> Named {
        Named {
            nodename: directory.hosts[own].0.clone(),
            own,
            directory,
            near,
            server,
            outer,
        }
    }

    /// What a file of /etc says that is the host's own ([`ETC`]).
    pub(super) fn etc(&self, name: &[u8]) -> Option<String> {
        match name {
            b"hosts" => Some(self.hosts()),
            b"resolv.conf" => Some(self.resolver()),
            b"hostname" => Some(format!("{}\n", self.directory.hosts[self.own].0)),
            _ => None,
        }
    }

    /// Where the names of others are asked for.
    pub(super) fn resolver_outside(&self) -> Option<IpAddr> {
        self.outer.as_ref().map(|names| names.resolver)
    }

    /// hosts(5)
    fn hosts(&self) -> String {
        let mut text =
            String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
        for (host, (name, _)) in self.directory.hosts.iter().enumerate() {
            for addr in self.directory.addresses(host, &self.near) {
                let _ = writeln!(text, "{addr}\t{name}");
            }
        }
        text
    }

    /// resolv.conf(5)
    fn resolver(&self) -> String {
        if self.server {
            format!("nameserver {SERVER}\noptions edns0\n")
        } else if let Some(outer) = &self.outer {
            outer.resolv_conf.clone()
        } else {
            // Without a line resolv.conf(5) takes the local machine.
            String::new()
        }
    }

    /// The answer to a query of RFC 1035; `None` for what is no query.
    pub(super) fn answer(&self, query: &[u8]) -> Option<Answer> {
        let query = Message::from_vec(query).ok()?;
        if query.metadata.message_type != MessageType::Query {
            return None;
        }
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.metadata.recursion_desired = query.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.metadata.authoritative = true;
        answer.queries = query.queries.clone();
        answer.metadata.response_code = match (query.metadata.op_code, query.queries.as_slice()) {
            (OpCode::Query, [question]) if question.query_class() == DNSClass::IN => {
                self.look_up(question.name(), question.query_type(), &mut answer.answers)
            }
            (OpCode::Query, [_]) => ResponseCode::Refused,
            (OpCode::Query, _) => ResponseCode::FormErr,
            _ => ResponseCode::NotImp,
        };
        let room = usize::from(query.max_payload()).max(PLAIN);
        let bytes = answer.to_vec().ok()?;
        if answer.metadata.response_code == ResponseCode::NXDomain {
            return Some(Answer::Unknown(bytes));
        }
        if bytes.len() <= room {
            return Some(Answer::Known(bytes));
        }
        answer.answers.clear();
        answer.metadata.truncation = true;
        answer.to_vec().ok().map(Answer::Known)
    }

    /// RFC 2308: a name that there is without what was asked for is no error.
    fn look_up(&self, name: &Name, kind: RecordType, answers: &mut Vec<Record>) -> ResponseCode {
        let mut key = name.to_lowercase().to_ascii();
        if !key.ends_with('.') {
            key.push('.');
        }
        if let Some(host) = self.directory.reverse.get(&key) {
            let target = format!("{}.", self.directory.hosts[*host].0);
            if matches!(kind, RecordType::PTR | RecordType::ANY)
                && let Ok(target) = Name::from_ascii(target)
            {
                answers.push(Record::from_rdata(
                    name.clone(),
                    TTL,
                    RData::PTR(PTR(target)),
                ));
            }
            return ResponseCode::NoError;
        }
        let addresses = if key == "localhost." {
            vec![
                Ipv4Addr::LOCALHOST.into(),
                std::net::Ipv6Addr::LOCALHOST.into(),
            ]
        } else if let Some(host) = self.directory.names.get(&key) {
            self.directory.addresses(*host, &self.near)
        } else {
            return ResponseCode::NXDomain;
        };
        for addr in addresses {
            let wanted = match kind {
                RecordType::A => addr.is_ipv4(),
                RecordType::AAAA => addr.is_ipv6(),
                kind => kind == RecordType::ANY,
            };
            if wanted {
                answers.push(Record::from_rdata(name.clone(), TTL, RData::from(addr)));
            }
        }
        ResponseCode::NoError
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::Query;

    fn named() -> Named {
        let mut directory = Directory::default();
        directory.add(
            "a",
            vec![
                (0, "10.0.1.1".parse().unwrap()),
                (0, "fd00::1".parse().unwrap()),
            ],
        );
        let b = [(0, "10.0.1.2"), (1, "10.0.2.1")];
        directory.add("b", b.map(|(n, addr)| (n, addr.parse().unwrap())).to_vec());
        Named::new(0, Rc::new(directory), vec![1], true, None)
    }

    fn ask(name: &str, kind: RecordType) -> (ResponseCode, Vec<String>) {
        let mut query = Message::new(7, MessageType::Query, OpCode::Query);
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let answer = match named().answer(&query.to_vec().unwrap()).unwrap() {
            Answer::Known(answer) | Answer::Unknown(answer) => answer,
        };
        let answer = Message::from_vec(&answer).unwrap();
        let data = answer.answers.iter().map(|record| record.data.to_string());
        (answer.metadata.response_code, data.collect())
    }

    #[test]
    fn names_and_addresses_are_found() {
        let found = |texts: &[&str]| {
            (
                ResponseCode::NoError,
                texts.iter().map(|t| (*t).to_owned()).collect(),
            )
        };
        assert_eq!(ask("a.", RecordType::A), found(&["10.0.1.1"]));
        assert_eq!(ask("A.", RecordType::AAAA), found(&["fd00::1"]));
        // The near one first.
        assert_eq!(ask("b.", RecordType::A), found(&["10.0.2.1", "10.0.1.2"]));
        assert_eq!(ask("b.", RecordType::AAAA), found(&[]));
        assert_eq!(
            ask("2.1.0.10.in-addr.arpa.", RecordType::PTR),
            found(&["b."])
        );
        assert_eq!(ask("c.", RecordType::A).0, ResponseCode::NXDomain);
        assert_eq!(ask("example.org.", RecordType::A).0, ResponseCode::NXDomain);
    }

    #[test]
    fn files_say_the_same() {
        let named = named();
        let [hosts, resolv_conf, hostname] = ETC.map(|name| named.etc(name.as_bytes()).unwrap());
        assert!(hosts.contains("10.0.2.1\tb\n10.0.1.2\tb\n"), "{hosts}");
        assert!(resolv_conf.contains("127.0.0.53"));
        assert_eq!(hostname, "a\n");
        assert_eq!(named.answer(b"x"), None);
    }
}
