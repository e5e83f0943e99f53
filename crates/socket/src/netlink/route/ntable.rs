//! The tables of neighbours and their parameters, RTM_GETNEIGHTBL (ip-ntable(8)).
//!
//! # Limits
//! They are changed by /proc/sys/net alone: RTM_SETNEIGHTBL is EOPNOTSUPP. What nobody counts here is 0 of NDTA_STATS.

use super::super::message::{Answer, Message, Refusal, Request, attribute};
use super::super::serve::Asker;
use super::{Form, Host};
use alloc::vec::Vec;
use core::time::Duration;
use switchboard_abi::Errno;
use switchboard_abi::number::{AF_INET, AF_INET6};
use switchboard_engine::{IfIndex, NeighParams};

const RTM_NEWNEIGHTBL: u16 = 64;

/// `sizeof(struct ndtmsg)`
const NDTMSG: usize = 4;

const NDTA_NAME: u16 = 1;
const NDTA_THRESH1: u16 = 2;
const NDTA_THRESH2: u16 = 3;
const NDTA_THRESH3: u16 = 4;
const NDTA_CONFIG: u16 = 5;
const NDTA_PARMS: u16 = 6;
const NDTA_STATS: u16 = 7;
const NDTA_GC_INTERVAL: u16 = 8;

/// tbl->gc_interval, which nobody changes.
const GC_INTERVAL: u64 = 30_000;
/// `sizeof(struct ndt_stats)`
const STATS: usize = 88;
/// What an entry takes in Linux 6.18 (tbl->entry_size), of IPv4 and of IPv6.
const ENTRY: [u16; 2] = [336, 344];
/// nht->hash_shift is 3 at first.
const FIRST_BUCKETS: u32 = 8;
/// The bytes that a packet of unres_qlen stands for: SKB_TRUESIZE(ETH_FRAME_LEN).
const PACKET: u32 = 1514 + 256 + 320;

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// neightbl_fill_parms()
fn params(index: Option<IfIndex>, of: &NeighParams) -> Vec<u8> {
    let mut out = Vec::new();
    let mut word = |kind: u16, value: u32| out.extend(attribute(kind, &value.to_ne_bytes()));
    if let Some(index) = index {
        word(1, index.get());
    }
    // NDTPA_REFCNT; QUEUE_LENBYTES and QUEUE_LEN, PROXY_QLEN, APP_PROBES, UCAST_PROBES, MCAST_PROBES, MCAST_REPROBES
    word(2, 1);
    word(16, of.queue_bytes);
    word(8, of.queue_bytes / PACKET);
    word(14, 64);
    word(9, 0);
    word(10, of.ucast_probes);
    word(11, of.mcast_probes);
    word(17, of.mcast_reprobes);
    // NDTPA_REACHABLE_TIME, BASE_REACHABLE_TIME, GC_STALETIME, DELAY_PROBE_TIME, RETRANS_TIME, ANYCAST_DELAY, PROXY_DELAY,
    // LOCKTIME, INTERVAL_PROBE_TIME_MS
    let base = millis(of.base_reachable_time);
    for (kind, value) in [
        (3, base),
        (4, base),
        (6, millis(of.gc_stale_time)),
        (7, millis(of.delay_probe_time)),
        (5, millis(of.retrans_time)),
        (12, 1000),
        (13, 800),
        (15, millis(of.locktime)),
        (19, 5000),
    ] {
        out.extend(attribute(kind, &value.to_ne_bytes()));
    }
    out
}

impl Host {
    /// neightbl_dump_info()
    pub(super) fn neigh_tables(
        &self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Answer, Refusal> {
        // neightbl_valid_dump_info()
        if asker.strict {
            let refuse = |text| Refusal::new(Errno::EINVAL, text);
            let head: Option<&[u8; NDTMSG]> = request.body().first_chunk();
            let head = head.ok_or(refuse("Invalid header for neighbor table dump request"))?;
            if head[1..] != [0; 3] {
                return Err(refuse(
                    "Invalid values in header for neighbor table dump request",
                ));
            }
            if request.body().len() > NDTMSG {
                return Err(refuse(
                    "Invalid data after header in neighbor table dump request",
                ));
            }
        }
        let form = Form::part(RTM_NEWNEIGHTBL, request, asker.port);
        let mut messages = Vec::new();
        for (v6, of) in [(false, AF_INET), (true, AF_INET6)] {
            if family != 0 && i32::from(family) != of {
                continue;
            }
            messages.push(self.neigh_table(&form, v6).finish());
            for interface in self.stack.interfaces() {
                let index = Some(interface.index());
                let mut m = self.neigh_table_head(&form, v6);
                m.put(
                    NDTA_PARMS,
                    &params(index, &self.stack.neigh_params(v6, index)),
                );
                messages.push(m.finish());
            }
        }
        Ok(Answer::dump(messages))
    }

    fn neigh_table_head(&self, form: &Form, v6: bool) -> Message {
        let (family, name) = if v6 {
            (AF_INET6, "ndisc_cache")
        } else {
            (AF_INET, "arp_cache")
        };
        let mut m = form.message(&[family as u8, 0, 0, 0]);
        m.put_text(NDTA_NAME, name);
        m
    }

    /// neightbl_fill_info()
    fn neigh_table(&self, form: &Form, v6: bool) -> Message {
        let mut m = self.neigh_table_head(form, v6);
        m.put(NDTA_GC_INTERVAL, &GC_INTERVAL.to_ne_bytes());
        let limits = self.stack.neigh_limits(v6);
        m.put_u32(NDTA_THRESH1, limits.keep);
        m.put_u32(NDTA_THRESH2, limits.soft);
        m.put_u32(NDTA_THRESH3, limits.hard);
        let all = self.stack.neighbours();
        let entries = all.iter().filter(|n| n.addr.is_ipv6() == v6).count() as u32;
        // `struct ndt_config`: lengths of key and entry, entries, times of the last flush and of the last draw, hash.
        let key: u16 = if v6 { 16 } else { 4 };
        let mut config = Vec::new();
        config.extend(key.to_ne_bytes());
        config.extend(ENTRY[usize::from(v6)].to_ne_bytes());
        let mask = entries.next_power_of_two().max(FIRST_BUCKETS) - 1;
        for value in [entries, 0, 0, 0, mask, 0, 0] {
            config.extend(value.to_ne_bytes());
        }
        m.put(NDTA_CONFIG, &config);
        m.put(NDTA_STATS, &[0; STATS]);
        m.put(
            NDTA_PARMS,
            &params(None, &self.stack.neigh_params(v6, None)),
        );
        m
    }
}
