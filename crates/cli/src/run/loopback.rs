//! `--pcap`, `--delay`, `--loss`, `--rate`: what is in the way of packets on `lo`, and who looks at them.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use switchboard::wires::{Capture, Tap};
use switchboard_device::{Label, Pipe, PipeConfig, Random, Seen};
use switchboard_engine::{Departure, IfIndex, Instant};
use switchboard_socket::Host;
use switchboard_wire::FrameBody;

use super::outside::NetMode;
use super::owners::Owners;
use crate::args::RunArgs;

/// Which of a seed's streams of chances is that of `lo`.
const STREAM: u64 = 1;

/// How many packets are carried before others get their turn: what answers itself for ever must not stop the run.
const BUDGET: usize = 1 << 16;

/// A `lo` whose packets are carried here. Without these options there is none, and nothing is slower for it.
pub(super) struct Loopback {
    pipe: Pipe,
    random: Random,
    capture: Option<Capture>,
    tap: Option<Tap>,
    /// What leaves by other interfaces.
    others: VecDeque<Departure>,
}

impl Loopback {
    /// As a run's options have it; `None` when they have nothing to say.
    pub(super) fn of(args: &RunArgs, seed: [u8; 32]) -> io::Result<Option<Loopback>> {
        let impairment = args.impairment();
        if impairment.is_none() && args.pcap.is_none() {
            return Ok(None);
        }
        let config = impairment.unwrap_or_default();
        let eth0 = ("eth0", !matches!(args.net, NetMode::Tun(_)));
        let names = [("lo", false), eth0];
        let names = &names[..1 + usize::from(args.leads_outside())];
        let capture = args.pcap.as_deref().map(|path| create(path, names));
        let capture = capture.transpose()?;
        let tap = capture.as_ref().map(|capture| capture.tap(0));
        Ok(Some(Loopback {
            capture,
            ..Loopback::new(config, tap, seed)
        }))
    }

    /// A `lo` like this, at which somebody may look.
    pub(super) fn new(config: PipeConfig, tap: Option<Tap>, seed: [u8; 32]) -> Loopback {
        let config = PipeConfig {
            // The interface's own MTU is looked at where packets are made.
            mtu: u32::MAX,
            ..config
        };
        let mut random = Random::new(seed, STREAM);
        Loopback {
            pipe: Pipe::new(config, &mut random),
            random,
            tap,
            capture: None,
            others: VecDeque::new(),
        }
    }

    /// The capture's look at `eth0`.
    pub(super) fn tap_of_eth0(&self) -> Option<Tap> {
        self.capture.as_ref().map(|capture| capture.tap(1))
    }

    /// Carries what is sent on `lo`, until nothing moves now. `realtime` is `now` since the epoch.
    pub(super) fn carry(
        &mut self,
        host: &mut Host,
        owners: Option<&Owners>,
        now: Instant,
        realtime: Duration,
    ) {
        for _ in 0..BUDGET {
            self.send(host, now);
            // One at a time: what it makes the host send comes behind what is on its way.
            let arrived = self.pipe.poll_frame(now, &mut self.random);
            let Some((_, frame, label)) = arrived else {
                return;
            };
            if let Some(tap) = &self.tap {
                let program = owners.and_then(|owners| owners.of_both(&frame));
                tap.frame(realtime, Seen::Inbound, &frame, program.as_deref());
            }
            if let FrameBody::Ip(packet) = frame.body {
                host.deliver_tagged(now, IfIndex::LO, label.tag, packet);
            }
        }
        self.send(host, now);
    }

    fn send(&mut self, host: &mut Host, now: Instant) {
        while let Some(departure) = host.poll_frame(now) {
            if departure.interface == IfIndex::LO {
                self.take(now, departure);
            } else {
                self.others.push_back(departure);
            }
        }
    }

    fn take(&mut self, now: Instant, departure: Departure) {
        let label = Label {
            tag: departure.tag,
            ..Label::default()
        };
        if let FrameBody::Ip(packet) = departure.frame.body {
            (self.pipe).send_labelled(now, &mut self.random, packet, label);
        }
    }

    /// The next frame that leaves by another interface. What is sent on `lo` on the way there is carried next time.
    pub(super) fn departure(&mut self, host: &mut Host, now: Instant) -> Option<Departure> {
        if self.others.is_empty() {
            self.send(host, now);
        }
        self.others.pop_front()
    }

    /// When the next packet arrives.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.pipe.poll_timeout()
    }

    /// Why some of the capture is missing, if it is.
    pub(super) fn failed(&self) -> Option<io::Error> {
        self.capture.as_ref()?.stop().err()
    }
}

/// A packet is one write: whoever reads along sees whole ones. The run goes on without the capture when it fails.
fn create(path: &Path, names: &[(&str, bool)]) -> io::Result<Capture> {
    let out = Box::new(File::create(path)?);
    Capture::start_of(names, out)
}
