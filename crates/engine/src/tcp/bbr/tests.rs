use super::*;

const MSS: u32 = 1000;
/// 1 MB/s.
const RATE: u32 = 1_000_000;

/// A path of this rate and 100 ms, on which nothing is lost, as BBR sees it: each acknowledgment is of a segment.
struct Pipe {
    bbr: Bbr,
    cwnd: u32,
    now: Instant,
    delivered: u64,
    /// The extra delay of a queue, and what waits in it.
    queue: u32,
}

impl Pipe {
    fn new() -> Pipe {
        let now = Instant::from_secs(1);
        Pipe {
            bbr: Bbr::new(now, 3),
            cwnd: 10 * MSS,
            now,
            delivered: 0,
            queue: 0,
        }
    }

    /// A round trip, with a window or what the pace makes of it in flight.
    fn round(&mut self) {
        let bdp = RATE / 10;
        let paced = (self.bbr.rate / 10).min(u64::from(u32::MAX)) as u32;
        let sent = if self.bbr.rate == 0 {
            self.cwnd
        } else {
            self.cwnd.min(paced.max(MSS))
        };
        let flight = self.cwnd.min((sent + self.queue).max(MSS));
        self.queue = flight.saturating_sub(bdp);
        let rtt = 100_000 + self.queue;
        let segments = flight / MSS;
        let began = self.delivered;
        for n in 0..segments {
            self.now += Duration::from_micros(u64::from(rtt / segments));
            self.delivered += u64::from(MSS);
            let told = Told {
                now: self.now,
                sample: RateSample {
                    delivered: flight,
                    interval_us: rtt,
                    app_limited: false,
                },
                acked: MSS,
                lost: 0,
                flight: flight - MSS,
                prior_flight: flight,
                rtt_us: Some(rtt),
                srtt_us: rtt,
                delivered: self.delivered,
                prior_delivered: began.saturating_sub(u64::from(n == 0)),
                phase: Phase::Open,
                mss: MSS,
            };
            self.cwnd = self.bbr.on_ack(self.cwnd, &told);
        }
    }
}

#[test]
fn startup_finds_the_bandwidth_and_drains() {
    let mut pipe = Pipe::new();
    let mut rounds = 0;
    while !pipe.bbr.full {
        pipe.round();
        rounds += 1;
        assert!(rounds < 20, "{:?}", pipe.bbr);
    }
    let bw = pipe.bbr.bandwidth();
    assert!((900_000..=1_050_000).contains(&bw), "{bw}");
    for _ in 0..10 {
        pipe.round();
    }
    assert_eq!(pipe.bbr.mode, Mode::ProbeBw);
    // Two bandwidth-delay products, and room for bursts.
    let window = pipe.cwnd;
    assert!((180_000..=260_000).contains(&window), "{window}");
}

#[test]
fn the_pace_cycles_around_the_bandwidth() {
    let mut pipe = Pipe::new();
    for _ in 0..30 {
        pipe.round();
    }
    let mut gains = alloc::collections::BTreeSet::new();
    for _ in 0..20 {
        pipe.round();
        gains.insert(pipe.bbr.pacing_gain());
        let rate = pipe.bbr.rate;
        assert!((600_000..=1_400_000).contains(&rate), "{rate}");
    }
    assert!(gains.contains(&320) && gains.contains(&192) && gains.contains(&256));
}

#[test]
fn every_ten_seconds_the_round_trip_is_measured_with_little_in_flight() {
    let mut pipe = Pipe::new();
    let mut probed = 0;
    for _ in 0..250 {
        pipe.round();
        probed += u32::from(pipe.bbr.mode == Mode::ProbeRtt && pipe.cwnd <= 4 * MSS);
    }
    assert!(probed > 0);
    assert_eq!(pipe.bbr.min_rtt_us, 100_000);
    assert!(pipe.cwnd > 100_000, "{}", pipe.cwnd);
}
