//! Links: RTM_GETLINK, and RTM_NEWLINK where it changes one.

use super::super::message::{Answer, CREATE, EXCL, Message, Refusal, Request};
use super::super::serve::Asker;
use super::{
    Form, GROUP_LINK, Host, IFINFOMSG, RTM_DELLINK, RTM_NEWLINK, Teller, policies, strict, text_of,
    word_of,
};
use crate::inet::interface::{InterfaceSetting, interface_flags};
use alloc::string::String;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_engine::{IfIndex, Interface, InterfaceChange};

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_TXQLEN: u16 = 13;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_TARGET_NETNSID: u16 = 46;
const IFLA_ALT_IFNAME: u16 = 53;

/// IFF_UP, and IFF_LOWER_UP, which ioctl(2) does not tell.
const UP: u32 = 1;
const LOWER_UP: u32 = 0x1_0000;

impl Host {
    pub(super) fn link_dump(
        &self,
        asker: &Asker,
        request: &Request<'_>,
    ) -> Result<Answer, Refusal> {
        // rtnl_valid_dump_ifinfo_req()
        if asker.strict {
            let text = "Invalid header for link dump";
            let head: &[u8; IFINFOMSG] =
                (request.body().first_chunk()).ok_or(Refusal::new(Errno::EINVAL, text))?;
            if head[2..4] != [0; 2] || head[8..] != [0; 8] {
                let text = "Invalid values in header for link dump request";
                return Err(Refusal::new(Errno::EINVAL, text));
            }
            if head[4..8] != [0; 4] {
                let text = "Filter by device index not supported for link dumps";
                return Err(Refusal::new(Errno::EINVAL, text));
            }
            let known = [
                IFLA_MASTER,
                IFLA_LINKINFO,
                IFLA_EXT_MASK,
                IFLA_TARGET_NETNSID,
            ];
            request.check(IFINFOMSG, &policies::LINK, true)?;
            let text = "Unsupported attribute in link dump request";
            strict::only(asker, request, IFINFOMSG, &known, text)?;
        }
        let form = Form::part(RTM_NEWLINK, request, asker.port);
        let links = self.stack.interfaces();
        Ok(Answer::dump(
            links
                .map(|i| self.link_message(i, &form, 0).finish())
                .collect(),
        ))
    }

    /// __dev_get_by_index(), rtnl_dev_get(): by index, else by name. Nothing has another name.
    fn link_named(&self, request: &Request<'_>) -> Result<Option<&Interface>, Refusal> {
        let header: &[u8; IFINFOMSG] = request.body().first_chunk().ok_or(Errno::EINVAL)?;
        let index = i32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
        let name = request.attribute(IFINFOMSG, IFLA_IFNAME);
        let name = name.or_else(|| request.attribute(IFINFOMSG, IFLA_ALT_IFNAME));
        match (index, name) {
            (1.., _) => Ok(IfIndex::new(index as u32).and_then(|i| self.stack.interface(i))),
            (..0, _) => Err(Refusal::new(Errno::EINVAL, "ifindex can't be negative")),
            (0, Some(name)) => {
                let name = text_of(name);
                let mut all = self.stack.interfaces();
                Ok(all.find(|i| i.name().as_bytes() == name))
            }
            (0, None) => Err(Errno::EINVAL.into()),
        }
    }

    /// rtnl_valid_getlink_req()
    fn valid_get_link(&self, asker: &Asker, request: &Request<'_>) -> Result<(), Refusal> {
        let text = "Invalid header for get link";
        let head: &[u8; IFINFOMSG] =
            (request.body().first_chunk()).ok_or(Refusal::new(Errno::EINVAL, text))?;
        if asker.strict && (head[1..4] != [0; 3] || head[8..] != [0; 8]) {
            let text = "Invalid values in header for get link request";
            return Err(Refusal::new(Errno::EINVAL, text));
        }
        request.check(IFINFOMSG, &policies::LINK, asker.strict)?;
        let known = [
            IFLA_IFNAME,
            IFLA_ALT_IFNAME,
            IFLA_EXT_MASK,
            IFLA_TARGET_NETNSID,
        ];
        let text = "Unsupported attribute in get link request";
        strict::only(asker, request, IFINFOMSG, &known, text)
    }

    pub(super) fn one_link(&self, asker: &Asker, request: &Request<'_>) -> Result<Answer, Refusal> {
        self.valid_get_link(asker, request)?;
        let found = self.link_named(request)?.ok_or(Errno::ENODEV)?;
        let form = Form::part(RTM_NEWLINK, request, asker.port);
        Ok(Answer::One(self.link_message(found, &form, 0).finish()))
    }

    /// rtnl_dellink(): of the links only those of /dev/net/tun are of a kind that can be taken away.
    pub(super) fn delete_link(
        &mut self,
        asker: &Asker,
        request: &Request<'_>,
    ) -> Result<Answer, Refusal> {
        request.check(IFINFOMSG, &policies::LINK, false)?;
        let link = self.link_named(request)?.ok_or(Errno::ENODEV)?;
        let index = link.index();
        if !link.is_user() {
            return Err(Errno::EOPNOTSUPP.into());
        }
        self.remove_link(&Teller::of(asker, request), index);
        self.tun_lost(index);
        Ok(Answer::Done)
    }

    /// unregister_netdevice(): the link goes, and all that it has.
    pub(crate) fn remove_link(&mut self, teller: &Teller, index: IfIndex) {
        let down = InterfaceSetting::Flags(0);
        if self.stack.interface(index).is_some_and(Interface::is_up) {
            let _ = self.make_setting(teller, index, down);
        }
        for address in self.addresses_of(index) {
            self.remove_address(teller, index, &address);
        }
        self.remove_rules_of(teller, index);
        self.drop_queues(index);
        if let Some(interface) = self.stack.interface(index) {
            let message = self.link_message(interface, &Form::news(RTM_DELLINK), u32::MAX);
            self.tell(teller, GROUP_LINK, message);
        }
        if let Some(interface) = self.stack.interface(index) {
            let name = String::from(interface.name());
            self.rename_kept(&name, None);
        }
        self.stack.remove_interface(index);
    }

    /// A link is there, or another since it was told of last.
    pub(crate) fn tell_link(&mut self, teller: &Teller, index: IfIndex) {
        if let Some(interface) = self.stack.interface(index) {
            let message = self.link_message(interface, &Form::news(RTM_NEWLINK), u32::MAX);
            self.tell(teller, GROUP_LINK, message);
        }
    }

    fn link_message(&self, interface: &Interface, form: &Form, change: u32) -> Message {
        let qdisc = self.root_qdisc(interface.index());
        link(interface, qdisc, form, change)
    }

    /// rtnl_newlink() and do_setlink()
    pub(super) fn change_link(
        &mut self,
        asker: &Asker,
        request: &Request<'_>,
    ) -> Result<Answer, Refusal> {
        request.check(IFINFOMSG, &policies::LINK, false)?;
        // A request that names none finds none.
        let names = [IFLA_IFNAME, IFLA_ALT_IFNAME];
        let named = request.kinds(IFINFOMSG).any(|k| names.contains(&k));
        let nothing = !named && request.body().get(4..8) == Some(&[0; 4]);
        let found = match request.kind {
            RTM_NEWLINK if nothing => None,
            _ => self.link_named(request)?.map(Interface::index),
        };
        let Some(index) = found else {
            if request.kind == RTM_NEWLINK && request.flags & CREATE != 0 {
                return Err(Refusal::new(Errno::EOPNOTSUPP, "Unknown device type"));
            }
            return Err(Errno::ENODEV.into());
        };
        if request.kind == RTM_NEWLINK && request.flags & EXCL != 0 {
            return Err(Errno::EEXIST.into());
        }
        let known = [
            IFLA_ADDRESS,
            IFLA_IFNAME,
            IFLA_MTU,
            IFLA_TXQLEN,
            IFLA_EXT_MASK,
            IFLA_ALT_IFNAME,
        ];
        if let Some(other) = request.kinds(IFINFOMSG).find(|k| !known.contains(k)) {
            let text = if other == IFLA_LINKINFO {
                "Unknown device type"
            } else {
                "Not supported by this host"
            };
            return Err(Refusal::new(Errno::EOPNOTSUPP, text));
        }
        let body = request.body();
        let field = |at: usize| u32::from_ne_bytes(body[at..at + 4].try_into().unwrap_or([0; 4]));
        let (flags, change) = (field(8), field(12));
        let by_name = field(4) == 0;

        // Each is looked at before one is made: Linux may stop half-way.
        let interface = self.stack.interface(index).ok_or(Errno::ENODEV)?;
        let mut settings = Vec::new();
        if let Some(data) = request.attribute(IFINFOMSG, IFLA_ADDRESS) {
            let address = data.get(..6).and_then(|d| d.try_into().ok());
            let address = address.ok_or(Errno::EINVAL)?;
            // dev_set_mac_address(): lo takes any, an Ethernet link that of one station.
            settings.push(InterfaceSetting::Hardware(interface.link_type(), address));
        }
        if let Some(data) = request.attribute(IFINFOMSG, IFLA_MTU) {
            let mtu = word_of(data)? as i32;
            settings.push(InterfaceSetting::Mtu(mtu));
        }
        let new_name = request
            .attribute(IFINFOMSG, IFLA_IFNAME)
            .filter(|_| !by_name);
        if let Some(name) = new_name {
            let name = core::str::from_utf8(text_of(name)).map_err(|_| Errno::EINVAL)?;
            settings.push(InterfaceSetting::Name(name));
        }
        if let Some(data) = request.attribute(IFINFOMSG, IFLA_TXQLEN) {
            settings.push(InterfaceSetting::QueueLen(word_of(data)? as i32));
        }
        let old = shown_flags(interface);
        if flags != 0 || change != 0 {
            // rtnl_dev_combine_flags(): without a mask all of them.
            let wanted = match change {
                0 => flags,
                _ => flags & change | old & !change,
            };
            settings.push(InterfaceSetting::Flags(wanted as u16));
        }
        for setting in &settings {
            self.change_of(interface, *setting)?;
        }
        let teller = Teller::of(asker, request);
        for setting in settings {
            self.make_setting(&teller, index, setting)?;
        }
        Ok(Answer::Done)
    }

    /// Changes a link, and tells of it.
    pub(crate) fn make_setting(
        &mut self,
        teller: &Teller,
        index: IfIndex,
        setting: InterfaceSetting<'_>,
    ) -> Result<(), Errno> {
        let interface = self.stack.interface(index).ok_or(Errno::ENODEV)?;
        let old = shown_flags(interface);
        let before = (interface.mtu(), interface.queue_len(), interface.hardware());
        let change = self.change_of(interface, setting)?;
        let renamed = change.is_some() && matches!(setting, InterfaceSetting::Name(_));
        if let Some(change) = change {
            if let InterfaceChange::Name(new) = change {
                let (old, new) = (String::from(interface.name()), String::from(new));
                self.rename_kept(&old, Some(&new));
            }
            self.stack.change_interface(index, change);
        }
        let routes = self.routes_by(index);
        let addresses = self.addresses_of(index);
        let was_up = old & UP != 0;
        let up = match setting {
            InterfaceSetting::Flags(flags) => u32::from(flags) & UP != 0,
            _ => was_up,
        };
        if up != was_up {
            self.stack.change_interface(index, InterfaceChange::Up(up));
        }
        let Some(interface) = self.stack.interface(index) else {
            return Ok(());
        };
        let after = (interface.mtu(), interface.queue_len(), interface.hardware());
        let changed = old ^ shown_flags(interface);
        if changed != 0 || before != after || renamed {
            // rtmsg_ifinfo() tells what changed of the flags; of everything else that all may have.
            let mask = if changed != 0 { changed } else { u32::MAX };
            let message = self.link_message(interface, &Form::news(RTM_NEWLINK), mask);
            self.tell(teller, GROUP_LINK, message);
        }
        // Of IPv4's routes that go nobody is told (fib_flush()).
        if up && !was_up {
            self.tell_found(teller, index, &addresses);
            let now = switchboard_engine::Instant::from_nanos(teller.now);
            self.stack.solicit_routers(now, index);
        } else {
            self.tell_lost(teller, index, &addresses, &routes);
        }
        Ok(())
    }
}

/// dev_get_flags()
fn shown_flags(interface: &Interface) -> u32 {
    let lower = if interface.is_up() && interface.has_carrier() {
        LOWER_UP
    } else {
        0
    };
    u32::from(interface_flags(interface)) | lower
}

/// What lo says of itself beside, which depends on nothing.
fn limits_of_lo(m: &mut Message) {
    // IFLA_MIN_MTU, IFLA_MAX_MTU (none), IFLA_ALLMULTI; IFLA_GSO_MAX_SEGS; IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE and
    // those of IPv4; IFLA_TSO_MAX_SIZE, IFLA_TSO_MAX_SEGS; IFLA_CARRIER_CHANGES, _UP_COUNT and _DOWN_COUNT
    for (kind, value) in [
        (50, 0),
        (51, 0),
        (61, 0),
        (40, 65_535),
        (41, 65_536),
        (58, 65_536),
        (63, 65_536),
        (64, 65_536),
        (59, 524_280),
        (60, 65_535),
        (35, 0),
        (47, 0),
        (48, 0),
    ] {
        m.put_u32(kind, value);
    }
    // IFLA_NETNS_IMMUTABLE, IFLA_PROTO_DOWN
    m.put(67, &[1]);
    m.put(39, &[0]);
}

/// rtnl_fill_ifinfo()
fn link(interface: &Interface, qdisc: &str, form: &Form, change: u32) -> Message {
    let lo = interface.is_loopback();
    let mut head = [0; IFINFOMSG];
    head[2..4].copy_from_slice(&interface.link_type().to_ne_bytes());
    head[4..8].copy_from_slice(&interface.index().get().to_ne_bytes());
    head[8..12].copy_from_slice(&shown_flags(interface).to_ne_bytes());
    head[12..].copy_from_slice(&change.to_ne_bytes());
    let mut m = form.message(&head);
    m.put_text(IFLA_IFNAME, interface.name());
    // IFLA_TXQLEN, IFLA_OPERSTATE (down, or up, which lo does not say), IFLA_LINKMODE, IFLA_MTU, IFLA_GROUP,
    // IFLA_PROMISCUITY, IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES, IFLA_CARRIER, IFLA_QDISC, IFLA_ADDRESS, IFLA_BROADCAST
    m.put_u32(IFLA_TXQLEN, interface.queue_len());
    let state = match (interface.is_up() && interface.has_carrier(), lo) {
        (false, _) => 2,
        (true, true) => 0,
        // Nothing ever says of it that it is up.
        (true, false) if interface.is_user() => 0,
        (true, false) => 6,
    };
    m.put(16, &[state]);
    m.put(17, &[0]);
    m.put_u32(IFLA_MTU, interface.mtu());
    m.put_u32(27, 0);
    m.put_u32(30, 0);
    if lo {
        limits_of_lo(&mut m);
    }
    m.put_u32(31, 1);
    m.put_u32(32, 1);
    m.put(33, &[u8::from(interface.has_carrier())]);
    m.put_text(6, qdisc);
    if !interface.is_tunnel() {
        m.put(IFLA_ADDRESS, &interface.hardware());
        m.put(2, &[if lo { 0 } else { 0xff }; 6]);
    }
    // IFLA_STATS64 and IFLA_STATS: packets and bytes in and out, then what does not happen here.
    let t = interface.traffic();
    let counts = [t.received.0, t.sent.0, t.received.1, t.sent.1];
    let (mut wide, mut narrow) = (Vec::new(), Vec::new());
    for i in 0..25 {
        let n = match counts.get(i) {
            Some(count) => *count,
            None if i == 8 && !lo => t.multicast,
            None => 0,
        };
        wide.extend_from_slice(&n.to_ne_bytes());
        if i < 24 {
            narrow.extend_from_slice(&(n as u32).to_ne_bytes());
        }
    }
    m.put(23, &wide);
    m.put(7, &narrow);
    m
}
