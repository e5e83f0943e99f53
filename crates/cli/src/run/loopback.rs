//! `--pcap`, `--delay`, `--loss`, `--rate`: what is in the way of packets on `lo`, and who looks at them.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use switchboard_device::{
    Delay, Label, Loss, Pipe, PipeConfig, Random, Rate, Seen, capture_header, capture_packet,
};
use switchboard_engine::{IfIndex, Instant};
use switchboard_socket::Host;

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
}

struct Capture {
    out: File,
    /// Why some of it is missing.
    failed: Option<io::Error>,
}

impl Loopback {
    /// As the options have it; `None` when they have nothing to say.
    pub(super) fn new(args: &RunArgs, seed: [u8; 32]) -> io::Result<Option<Loopback>> {
        let impaired = args.delay.is_some() || args.loss.is_some() || args.rate.is_some();
        if !impaired && args.pcap.is_none() {
            return Ok(None);
        }
        let config = PipeConfig {
            delay: Delay::fixed(args.delay.unwrap_or_default()),
            loss: args.loss.map_or(Loss::NONE, Loss::percent),
            rate: args.rate.map(Rate::bits),
            // The interface's own MTU is looked at where packets are made.
            mtu: u32::MAX,
            ..PipeConfig::default()
        };
        let mut random = Random::new(seed, STREAM);
        Ok(Some(Loopback {
            pipe: Pipe::new(config, &mut random),
            random,
            capture: args.pcap.as_deref().map(Capture::create).transpose()?,
        }))
    }

    /// Carries what is sent on `lo`, until nothing moves now. `realtime` is `now` since the epoch.
    pub(super) fn carry(&mut self, host: &mut Host, now: Instant, realtime: Duration) {
        for _ in 0..BUDGET {
            self.send(host, now);
            // One at a time: what it makes the host send comes behind what is on its way.
            let arrived = self.pipe.poll_arrival_labelled(now, &mut self.random);
            let Some((_, packet, label)) = arrived else {
                return;
            };
            if let Some(capture) = &mut self.capture {
                capture.write(&capture_packet(0, realtime, Seen::Inbound, &packet, None));
            }
            host.deliver_tagged(now, IfIndex::LO, label.tag, packet);
        }
        self.send(host, now);
    }

    fn send(&mut self, host: &mut Host, now: Instant) {
        while let Some(outgoing) = host.poll_outgoing(now) {
            let label = Label {
                tag: outgoing.tag,
                ..Label::default()
            };
            (self.pipe).send_labelled(now, &mut self.random, outgoing.packet, label);
        }
    }

    /// When the next packet arrives.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.pipe.poll_timeout()
    }

    /// Why some of the capture is missing, if it is.
    pub(super) fn failed(&self) -> Option<&io::Error> {
        self.capture.as_ref()?.failed.as_ref()
    }
}

impl Capture {
    fn create(path: &Path) -> io::Result<Capture> {
        let mut out = File::create(path)?;
        out.write_all(&capture_header(&["lo"]))?;
        Ok(Capture { out, failed: None })
    }

    /// A packet is one write: whoever reads along sees whole ones. The run goes on without the capture when it fails.
    fn write(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.failed = self.out.write_all(bytes).err();
        }
    }
}
