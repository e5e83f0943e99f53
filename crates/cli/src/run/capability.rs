//! `--cap`: capabilities over the virtual host, for programs of whoever.
//!
//! Linux asks a user namespace whether somebody may administer its network. A virtual host is its user's as a namespace is
//! that he has made: he may give what capabilities over it he likes. They count where the socket layer asks for them, and
//! nowhere else: no file of the machine and no process is anybody's for it.

use std::str::FromStr;

use switchboard_socket::Caps;

/// One that can be given, by its name of capabilities(7): `net_admin`, or `CAP_NET_ADMIN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capability(Caps);

const NAMES: &[(&str, Caps)] = &[
    ("net_admin", Caps::NET_ADMIN),
    ("net_raw", Caps::NET_RAW),
    ("net_bind_service", Caps::NET_BIND_SERVICE),
];

impl FromStr for Capability {
    type Err = String;

    fn from_str(text: &str) -> Result<Capability, String> {
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_prefix("cap_").unwrap_or(&lower);
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, cap)| Capability(*cap)).ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            format!("{text:?} is none of {}", names.join(", "))
        })
    }
}

/// All of these.
pub(super) fn all(given: &[Capability]) -> Caps {
    given.iter().fold(Caps::empty(), |all, one| all | one.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_manual() {
        let given: Vec<Capability> = ["net_raw", "CAP_NET_ADMIN"]
            .iter()
            .map(|name| name.parse().expect(name))
            .collect();
        assert_eq!(all(&given), Caps::NET_RAW | Caps::NET_ADMIN);
        assert!("sys_admin".parse::<Capability>().is_err());
    }
}
