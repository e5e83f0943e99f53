//! What came of routers' advertisements and of time: RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWPREFIX and RTM_NEWNDUSEROPT for those
//! who listen.

use super::rows::Row;
use super::{
    Form, GROUP_ND_USEROPT, GROUP_V6_PREFIX, Host, RTM_DELROUTE, RTM_NEWADDR, RTM_NEWNDUSEROPT,
    RTM_NEWPREFIX, RTM_NEWROUTE, Teller,
};
use switchboard_abi::number::AF_INET6;
use switchboard_engine::{IfIndex, RouterNews};

/// ND_ROUTER_ADVERT
const ADVERTISEMENT: u8 = 134;

impl Host {
    /// The end of an address's time comes here, too: it goes now.
    pub(crate) fn tell_router_news(&mut self) {
        while let Some(news) = self.stack.poll_router_news() {
            let teller = Teller::ioctl(self.asked_at);
            match news {
                RouterNews::Route(route) => {
                    let aged = self.aged(&route);
                    let row = Row {
                        aged,
                        ..Row::added(&route)
                    };
                    self.tell_route(&teller, &Form::news(RTM_NEWROUTE), &row);
                }
                RouterNews::NoRoute(route) => {
                    let row = Row::added(&route);
                    self.tell_route(&teller, &Form::news(RTM_DELROUTE), &row);
                }
                RouterNews::Address(index, address) => {
                    let Some(interface) = self.stack.interface(index) else {
                        continue;
                    };
                    let life = interface.traits(address.addr).lifetime;
                    if life.is_some_and(|life| life.created == life.updated) {
                        let rows = self.brought(interface, &address);
                        self.tell_routes(&teller, RTM_NEWROUTE, rows);
                    }
                    self.tell_address(&teller, RTM_NEWADDR, index, &address, false);
                }
                RouterNews::Over(index, address) => {
                    // Whoever said meanwhile that it lasts has been heard.
                    let interface = self.stack.interface(index);
                    if interface.is_some_and(|i| {
                        let traits = i.traits(address.addr);
                        traits.deprecated && traits.lifetime.is_none()
                    }) {
                        self.remove_address(&teller, index, &address);
                    }
                }
                RouterNews::Prefix(index, option) => self.tell_prefix(&teller, index, &option),
                RouterNews::Option(index, router, option) => {
                    // struct nduseroptmsg, with the option behind it.
                    let mut head = [0; 16].to_vec();
                    head[0] = AF_INET6 as u8;
                    head[2..4].copy_from_slice(&(option.len() as u16).to_ne_bytes());
                    head[4..8].copy_from_slice(&index.get().to_ne_bytes());
                    head[8] = ADVERTISEMENT;
                    head.extend_from_slice(&option);
                    let mut m = Form::news(RTM_NEWNDUSEROPT).message(&head);
                    // NDUSEROPT_SRCADDR
                    m.put(1, &router.octets());
                    self.tell(&teller, GROUP_ND_USEROPT, m);
                }
            }
        }
    }

    /// inet6_fill_prefix()
    fn tell_prefix(&mut self, teller: &Teller, index: IfIndex, option: &[u8]) {
        let Some(option) = option.first_chunk::<32>() else {
            return;
        };
        // struct prefixmsg. Its flags are the option's as they are, and not IF_PREFIX_*.
        let mut head = [0; 12];
        head[0] = AF_INET6 as u8;
        head[4..8].copy_from_slice(&index.get().to_ne_bytes());
        head[8..10].copy_from_slice(&[option[0], option[2]]);
        head[10] = option[3];
        let mut m = Form::news(RTM_NEWPREFIX).message(&head);
        let word = |at: usize| {
            let bytes = [option[at], option[at + 1], option[at + 2], option[at + 3]];
            u32::from_be_bytes(bytes).to_ne_bytes()
        };
        // PREFIX_ADDRESS; PREFIX_CACHEINFO: preferred, valid.
        m.put(1, &option[16..]);
        m.put(2, &[word(8), word(4)].concat());
        self.tell(teller, GROUP_V6_PREFIX, m);
    }
}
