//! /proc/sys/net: the host's tunables, by name.
//!
//! # Theory of operation
//! A tunable is a [`Row`]: its name, its range and where its value lives. Values that have an effect live where the effect
//! is (the engine's [`Sysctl`](switchboard_engine::Sysctl)); what is only kept, and what was written where the engine
//! knows only part of it (a switch that was set to 2), is in [`Kept`].
//!
//! # Limits
//! Tunables without a row do not exist here (`ENOENT`). A write is looked at up to a page.

mod number;
mod ports;
mod rows;

#[cfg(test)]
mod tests;

use crate::cred::{Caps, Cred};
use crate::host::Host;
use crate::options::Status;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_engine::{
    Conf, DadParams, IfIndex, Interface, InterfaceChange, NeighLimits, NeighParams, RaParams,
    Tunable4,
};

/// A tunable.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    status: Status,
    note: &'static str,
    mode: u16,
    form: Form,
    min: i64,
    max: i64,
    value: Value,
}

/// How it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// proc_dointvec() and kin.
    Int,
    /// proc_douintvec() and proc_dou8vec(), which leave the file's position where it is.
    Uint,
    /// proc_dostring().
    Text,
}

/// Where its value lives.
#[derive(Clone, Copy)]
enum Value {
    Number {
        get: fn(&Host) -> i64,
        set: fn(&mut Host, i64),
        /// What `get` says after this was set.
        means: fn(i64) -> i64,
    },
    Vector {
        len: usize,
        /// All are checked together; else each counts as soon as it is read.
        whole: bool,
        get: fn(&Host) -> [i64; 3],
        /// False where they do not go together.
        set: fn(&mut Host, [i64; 3]) -> bool,
    },
    Text {
        get: fn(&Host) -> String,
        set: fn(&mut Host, &[u8]) -> Result<(), Errno>,
    },
    /// Numbers up to the greatest and ranges of them, with commas between (proc_do_large_bitmap()).
    Ports {
        get: fn(&Host) -> &[(u16, u16)],
        set: fn(&mut Host, Vec<(u16, u16)>),
    },
    /// In [`Kept`], with this default.
    Stored(i64),
    /// The MTU of IPv6 on the interface in the name.
    Mtu,
    /// Whether IPv6 is switched off on what is in the name.
    DisableV6,
    /// Forwarding of what is in the name; of IPv6 when it is true.
    Forwarding(bool),
    /// A parameter of the neighbours of the interface in the name.
    Neigh {
        get: fn(&NeighParams) -> i64,
        set: fn(&mut NeighParams, i64),
    },
    /// A limit of all neighbours of the version in the name.
    NeighLimit {
        get: fn(&NeighLimits) -> i64,
        set: fn(&mut NeighLimits, i64),
    },
    /// What the stack knows of the IPv4 of what is in the name.
    Conf4(Tunable4),
    /// How addresses of what is in the name are probed for.
    Dad {
        get: fn(&DadParams) -> i32,
        set: fn(&mut DadParams, i32),
    },
    /// How routers on the link of what is in the name are listened to.
    Ra {
        get: fn(&RaParams) -> i64,
        set: fn(&mut RaParams, i64),
    },
    /// The hop limit of IPv6: the host's, or what a router has told of that link.
    HopLimit,
    /// Write-only: forgets cached routes.
    Flush,
}

/// Values that live nowhere else, by name.
pub(crate) type Kept = BTreeMap<String, i64>;

/// A tunable as the support table shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SysctlRow {
    /// Its name under /proc/sys/net; a `*` stands for `all`, `default` and interfaces.
    pub name: &'static str,
    /// Whether it has its effect.
    pub status: Status,
    /// Limits.
    pub note: &'static str,
}

/// Every tunable there is.
pub fn sysctl_table() -> impl Iterator<Item = SysctlRow> {
    rows::ROWS.iter().map(|row| SysctlRow {
        name: row.name,
        status: row.status,
        note: row.note,
    })
}

/// One tunable of a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tunable {
    /// Below /proc/sys/net.
    name: String,
    row: usize,
}

impl Tunable {
    /// Its name below /proc/sys/net, with slashes.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn row(&self) -> &'static Row {
        &rows::ROWS[self.row]
    }

    /// The mode of its file.
    pub fn mode(&self) -> u16 {
        self.row().mode
    }

    /// Whether somebody may open it like this: net_ctl_permissions(). Root and whoever administers the network have the
    /// owner's rights; nothing overrides the mode.
    pub fn permits(&self, cred: &Cred, read: bool, write: bool) -> bool {
        let shift = if cred.euid == 0 || cred.caps.contains(Caps::NET_ADMIN) {
            6
        } else if cred.egid == 0 || cred.groups.contains(&0) {
            3
        } else {
            0
        };
        let bits = self.mode() >> shift;
        (!read || bits & 4 != 0) && (!write || bits & 2 != 0)
    }
}

/// `ip_forward` is another name of this.
fn forwarding_key(name: &str) -> &str {
    match name {
        "ipv4/ip_forward" => "ipv4/conf/all/forwarding",
        name => name,
    }
}

/// Whether a pattern of the table names this; `known` tells interfaces.
fn matches(pattern: &str, name: &str, known: impl Fn(&str) -> bool) -> bool {
    let (mut want, mut have) = (pattern.split('/'), name.split('/'));
    let conf = pattern.contains("/conf/");
    let mut place = 0;
    loop {
        match (want.next(), have.next()) {
            (None, None) => return true,
            (Some("*"), Some(word)) if place == 0 => {
                if word != "ipv4" && word != "ipv6" {
                    return false;
                }
            }
            (Some("*"), Some(word)) => {
                if !(word == "default" || (word == "all" && conf) || known(word)) {
                    return false;
                }
            }
            (Some(want), Some(have)) if want == have => {}
            _ => return false,
        }
        place += 1;
    }
}

impl Host {
    /// The tunable of this name: as below /proc/sys (`net/core/somaxconn`) or as sysctl(8) has it
    /// (`net.core.somaxconn`).
    pub fn tunable(&self, name: &str) -> Option<Tunable> {
        let name = match name.strip_prefix("net.") {
            // sysctl(8): dots separate, and a slash stands for a dot in an interface's name.
            Some(rest) => rest
                .chars()
                .map(|c| match c {
                    '.' => '/',
                    '/' => '.',
                    c => c,
                })
                .collect(),
            None => name.strip_prefix("net/")?.to_owned(),
        };
        let known = |word: &str| self.stack.interfaces().any(|i| i.name() == word);
        let row = rows::ROWS
            .iter()
            .position(|row| matches(row.name, &name, known))?;
        Some(Tunable { name, row })
    }

    /// Every tunable there is, as names below /proc/sys/net.
    pub fn tunables(&self) -> Vec<String> {
        let interfaces: Vec<&str> = self.stack.interfaces().map(Interface::name).collect();
        let mut names = Vec::new();
        for row in rows::ROWS {
            let families: &[&str] = match row.name.strip_prefix("*/") {
                Some(_) => &["ipv4", "ipv6"],
                None => &[""],
            };
            for family in families {
                let name = match row.name.strip_prefix("*/") {
                    Some(rest) => format!("{family}/{rest}"),
                    None => row.name.to_string(),
                };
                if !name.contains('*') {
                    names.push(name);
                    continue;
                }
                let all = name.contains("/conf/").then_some("all");
                for word in all
                    .into_iter()
                    .chain(["default"])
                    .chain(interfaces.iter().copied())
                {
                    names.push(name.replace('*', word));
                }
            }
        }
        names.sort();
        names
    }

    /// What a tunable says: the text of its file, with its newline. `EACCES` where it is write-only.
    pub fn sysctl(&self, name: &str) -> Result<String, Errno> {
        let tunable = self.tunable(name).ok_or(Errno::ENOENT)?;
        if tunable.mode() & 0o400 == 0 {
            return Err(Errno::EACCES);
        }
        Ok(self.sysctl_text(&tunable))
    }

    /// Sets a tunable, as root would: `ENOENT` for a name there is not, `EACCES` where it is read-only, `EINVAL` for a
    /// bad value, also where Linux would take the beginning of it.
    pub fn set_sysctl(&mut self, name: &str, value: &str) -> Result<(), Errno> {
        let tunable = self.tunable(name).ok_or(Errno::ENOENT)?;
        if tunable.mode() & 0o200 == 0 {
            return Err(Errno::EACCES);
        }
        let mut offset = 0;
        let taken = self.sysctl_write(&tunable, &mut offset, value.as_bytes())?;
        if taken < value.len() {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// What reading the file gives.
    pub(super) fn sysctl_text(&self, tunable: &Tunable) -> String {
        let row = tunable.row();
        let list = |values: &[i64]| {
            let words: Vec<String> = values.iter().map(ToString::to_string).collect();
            words.join("\t")
        };
        let kept = || self.kept.get(&tunable.name).copied();
        let mut text = match row.value {
            Value::Number { get, means, .. } => {
                let now = get(self);
                // What was written, as long as it is what is meant.
                list(&[kept().filter(|kept| means(*kept) == now).unwrap_or(now)])
            }
            Value::Vector { len, get, .. } => list(&get(self)[..len]),
            Value::Text { get, .. } => get(self),
            Value::Ports { get, .. } => ports::shown(get(self)),
            Value::Stored(default) => list(&[kept().unwrap_or(default)]),
            Value::Mtu => list(&[self.mtu_named(&tunable.name)]),
            Value::DisableV6 => list(&[self.disable_v6_shown(&tunable.name)]),
            Value::Forwarding(v6) => list(&[self.forwarding_shown(v6, &tunable.name)]),
            Value::Conf4(which) => {
                let conf = self.conf_named(&tunable.name);
                let value = conf.map(|conf| self.stack.conf4(conf, which));
                list(&[value.unwrap_or_default().into()])
            }
            Value::Neigh { get, .. } => {
                let (v6, interface) = self.neigh_conf_named(&tunable.name);
                list(&[get(&self.stack.neigh_params(v6, interface))])
            }
            Value::Dad { get, .. } => {
                let conf = self.conf_named(&tunable.name);
                let params = conf.map(|conf| self.stack.dad_params(conf));
                list(&[params.map_or(0, |params| get(&params).into())])
            }
            Value::Ra { get, .. } => {
                let conf = self.conf_named(&tunable.name);
                let params = conf.map(|conf| self.stack.ra_params(conf));
                list(&[params.map_or(0, |params| get(&params))])
            }
            Value::HopLimit => {
                let told = match self.conf_named(&tunable.name) {
                    Some(Conf::Interface(index)) => {
                        self.stack.interface(index).and_then(Interface::hop_limit)
                    }
                    _ => None,
                };
                let own = self.stack.sysctl().ipv6_hop_limit;
                list(&[told.unwrap_or(own).into()])
            }
            Value::NeighLimit { get, .. } => {
                let (v6, _) = self.neigh_conf_named(&tunable.name);
                list(&[get(&self.stack.neigh_limits(v6))])
            }
            Value::Flush => return String::new(),
        };
        text.push('\n');
        text
    }

    /// What `forwarding` of a `conf` directory says: what was written, as long as it is what is meant.
    pub(crate) fn forwarding_shown(&self, v6: bool, name: &str) -> i64 {
        let on = self
            .conf_named(name)
            .is_some_and(|conf| self.stack.forwarding(v6, conf));
        let kept = self.kept.get(forwarding_key(name)).copied();
        kept.filter(|kept| (*kept != 0) == on).unwrap_or(on.into())
    }

    /// devinet_sysctl_forward(), addrconf_fixup_forwarding(): a change of all goes to the default and to each interface.
    fn set_forwarding_shown(&mut self, v6: bool, name: &str, value: i64) {
        let Some(conf) = self.conf_named(name) else {
            return;
        };
        if value == self.forwarding_shown(v6, name) {
            return;
        }
        self.stack.set_forwarding(v6, conf, value != 0);
        let mut names = alloc::vec![forwarding_key(name).to_owned()];
        if conf == Conf::All {
            let family = if v6 { "ipv6" } else { "ipv4" };
            let all = self.stack.interfaces().map(Interface::name);
            let each = all.chain(["default"]);
            names.extend(each.map(|word| format!("{family}/conf/{word}/forwarding")));
        }
        for name in names {
            self.kept.insert(name, value);
        }
    }

    /// An interface has another name, or is gone: so are its directories.
    pub(crate) fn rename_kept(&mut self, old: &str, new: Option<&str>) {
        let of_it = |name: &String| {
            let words: Vec<&str> = name.splitn(4, '/').collect();
            matches!(words[..], [_, "conf" | "neigh", word, _] if word == old)
        };
        let names: Vec<String> = self
            .kept
            .keys()
            .filter(|name| of_it(name))
            .cloned()
            .collect();
        for name in names {
            let value = self.kept.remove(&name);
            if let (Some(value), Some(new)) = (value, new) {
                let renamed = name.replacen(&format!("/{old}/"), &format!("/{new}/"), 1);
                self.kept.insert(renamed, value);
            }
        }
    }

    /// An interface is new: it has what `default` has (inetdev_init(), ipv6_add_dev()).
    pub fn inherit_conf(&mut self, index: IfIndex) {
        let Some(interface) = self.stack.interface(index) else {
            return;
        };
        let word = format!("/conf/{}/", interface.name());
        let given: Vec<(String, i64)> = (self.kept.iter())
            .filter(|(name, _)| name.contains("/conf/default/") && !name.ends_with("/mtu"))
            .map(|(name, value)| (name.replacen("/conf/default/", &word, 1), *value))
            .collect();
        for (name, value) in given {
            if name.ends_with("/disable_ipv6") {
                self.disable_v6(index, value != 0);
            }
            self.kept.insert(name, value);
        }
    }

    /// Whom the entry of a `conf` directory is for.
    fn conf_named(&self, name: &str) -> Option<Conf> {
        match forwarding_key(name).split('/').nth(2)? {
            "all" => Some(Conf::All),
            "default" => Some(Conf::Default),
            word => {
                let found = self.stack.interfaces().find(|i| i.name() == word)?;
                Some(Conf::Interface(found.index()))
            }
        }
    }

    /// Whose neighbours the entry of a `neigh` directory is for: the version, and the interface if it is one.
    fn neigh_conf_named(&self, name: &str) -> (bool, Option<IfIndex>) {
        let word = name.split('/').nth(2).unwrap_or_default();
        let found = self.stack.interfaces().find(|i| i.name() == word);
        (name.starts_with("ipv6/"), found.map(Interface::index))
    }

    fn mtu_named(&self, name: &str) -> i64 {
        let word = name.split('/').nth(2).unwrap_or_default();
        let interface = self.stack.interfaces().find(|i| i.name() == word);
        // IPV6_MIN_MTU stands in the entries that are no interface's.
        let kept = || self.kept.get(name).copied().unwrap_or(1280);
        interface.map_or_else(kept, |i| i.mtu6().into())
    }

    /// What was written, as long as it is what is meant.
    fn disable_v6_shown(&self, name: &str) -> i64 {
        let on = match self.conf_named(name) {
            Some(Conf::Interface(index)) => {
                let interface = self.stack.interface(index);
                Some(interface.is_some_and(Interface::is_v6_disabled))
            }
            _ => None,
        };
        let kept = self.kept.get(name).copied();
        let kept = kept.filter(|kept| on.is_none_or(|on| (*kept != 0) == on));
        kept.unwrap_or(i64::from(on == Some(true)))
    }

    /// addrconf_disable_ipv6(): a change of all goes to the default and to each interface.
    fn set_disable_v6(&mut self, name: &str, value: i64) {
        let Some(conf) = self.conf_named(name) else {
            return;
        };
        self.kept.insert(name.to_owned(), value);
        let all: Vec<(IfIndex, String)> = (self.stack.interfaces())
            .filter(|i| conf == Conf::All || conf == Conf::Interface(i.index()))
            .map(|i| (i.index(), format!("ipv6/conf/{}/disable_ipv6", i.name())))
            .collect();
        if conf == Conf::All {
            self.kept
                .insert("ipv6/conf/default/disable_ipv6".to_owned(), value);
        }
        for (index, name) in all {
            self.kept.insert(name, value);
            self.disable_v6(index, value != 0);
        }
    }

    /// write(2) on the file: how much was taken. `offset` is the file's position.
    pub(super) fn sysctl_write(
        &mut self,
        tunable: &Tunable,
        offset: &mut u64,
        data: &[u8],
    ) -> Result<usize, Errno> {
        let row = tunable.row();
        if data.is_empty() {
            return Ok(0);
        }
        match row.form {
            // Only what stands at the beginning is a value (proc_first_pos_non_zero_ignore).
            Form::Int if *offset != 0 => {
                *offset += data.len() as u64;
                Ok(data.len())
            }
            Form::Int => {
                let taken = self.write_numbers(tunable, data)?;
                *offset += taken as u64;
                Ok(taken)
            }
            Form::Uint => self.write_numbers(tunable, data).map(|_| data.len()),
            Form::Text => self.write_text(row, data),
        }
    }

    fn write_text(&mut self, row: &Row, data: &[u8]) -> Result<usize, Errno> {
        let set = match row.value {
            Value::Text { set, .. } => set,
            Value::Ports { set, .. } => {
                let ranges = ports::parse(data)?;
                let last = ranges.last().map_or(0, |(_, last)| i64::from(*last));
                if last > row.max {
                    return Err(Errno::EINVAL);
                }
                set(self, ranges);
                return Ok(data.len());
            }
            _ => return Err(Errno::EINVAL),
        };
        let end = data.iter().position(|byte| matches!(byte, 0 | b'\n'));
        set(self, &data[..end.unwrap_or(data.len())])?;
        Ok(data.len())
    }

    fn write_numbers(&mut self, tunable: &Tunable, data: &[u8]) -> Result<usize, Errno> {
        let row = tunable.row();
        let (min, max, len) = match row.value {
            Value::Vector { len, .. } => (row.min, row.max, len),
            Value::Mtu => {
                let interface = match self.conf_named(&tunable.name) {
                    Some(Conf::Interface(index)) => self.stack.interface(index),
                    _ => None,
                };
                (row.min, interface.map_or(row.max, |i| i.mtu().into()), 1)
            }
            _ => (row.min, row.max, 1),
        };
        let parsed = number::parse(data, len, min, max);
        let first = parsed.values.first().copied();
        match row.value {
            Value::Vector {
                whole, get, set, ..
            } => {
                if !(parsed.bad && whole) {
                    // Those that are not given stay.
                    let mut values = get(self);
                    values[..parsed.values.len()].copy_from_slice(&parsed.values);
                    if !parsed.values.is_empty() && !set(self, values) {
                        return Err(Errno::EINVAL);
                    }
                }
            }
            Value::Number {
                set, get, means, ..
            } => {
                if let Some(value) = first {
                    set(self, value);
                    if value == means(value) && value == get(self) {
                        self.kept.remove(&tunable.name);
                    } else {
                        self.kept.insert(tunable.name.clone(), value);
                    }
                }
            }
            Value::Stored(default) => match first {
                Some(value) if value != default => {
                    self.kept.insert(tunable.name.clone(), value);
                }
                Some(_) => {
                    self.kept.remove(&tunable.name);
                }
                None => {}
            },
            Value::Forwarding(v6) => {
                if let Some(value) = first {
                    self.set_forwarding_shown(v6, &tunable.name, value);
                }
            }
            Value::Conf4(which) => {
                if let (Some(value), Some(conf)) = (first, self.conf_named(&tunable.name)) {
                    let value = i32::try_from(value).unwrap_or(i32::MAX);
                    self.stack.set_conf4(conf, which, value);
                }
            }
            Value::Neigh { set, .. } => {
                if let Some(value) = first {
                    let (v6, interface) = self.neigh_conf_named(&tunable.name);
                    let mut params = self.stack.neigh_params(v6, interface);
                    set(&mut params, value);
                    self.stack.set_neigh_params(v6, interface, params);
                }
            }
            Value::Dad { set, .. } => {
                if let (Some(value), Some(conf)) = (first, self.conf_named(&tunable.name)) {
                    let mut params = self.stack.dad_params(conf);
                    set(&mut params, i32::try_from(value).unwrap_or(i32::MAX));
                    self.stack.set_dad_params(conf, params);
                }
            }
            Value::Ra { set, .. } => {
                if let (Some(value), Some(conf)) = (first, self.conf_named(&tunable.name)) {
                    let mut params = self.stack.ra_params(conf);
                    set(&mut params, value);
                    self.stack.set_ra_params(conf, params);
                }
            }
            Value::HopLimit => {
                if let Some(value) = first {
                    self.stack.sysctl_mut().ipv6_hop_limit = value as u8;
                    if let Some(Conf::Interface(index)) = self.conf_named(&tunable.name) {
                        self.stack.forget_hop_limit(index);
                    }
                }
            }
            Value::NeighLimit { set, .. } => {
                if let Some(value) = first {
                    let (v6, _) = self.neigh_conf_named(&tunable.name);
                    let mut limits = self.stack.neigh_limits(v6);
                    set(&mut limits, value);
                    self.stack.set_neigh_limits(v6, limits);
                }
            }
            Value::Flush => self.stack.forget_routes(),
            Value::Mtu => {
                if let (Some(value), Some(conf)) = (first, self.conf_named(&tunable.name)) {
                    if let Conf::Interface(index) = conf {
                        let change = InterfaceChange::Mtu6(u32::try_from(value).ok());
                        self.stack.change_interface(index, change);
                    } else {
                        self.kept.insert(tunable.name.clone(), value);
                    }
                }
            }
            Value::DisableV6 => {
                if let Some(value) = first {
                    self.set_disable_v6(&tunable.name, value);
                }
            }
            Value::Text { .. } | Value::Ports { .. } => {}
        }
        if parsed.bad {
            Err(Errno::EINVAL)
        } else {
            Ok(parsed.taken)
        }
    }
}
