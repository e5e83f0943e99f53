use super::*;
use crate::testing::{at, ms, packet, port, random};
use crate::{Delay, Loss};

#[test]
fn directions_are_their_own() {
    let mut random = random(1);
    let mut link = Link::new(PipeConfig::default(), &mut random);
    let slow = PipeConfig {
        delay: Delay::fixed(ms(30)),
        ..PipeConfig::default()
    };
    link.change(at(0), &mut random, End::A, slow);
    link.send(at(0), &mut random, End::A, packet(1, 100));
    link.send(at(10), &mut random, End::B, packet(2, 100));
    assert_eq!(link.poll_timeout(), Some(at(10)));
    let mut next = || {
        link.poll_arrival(at(50), &mut random)
            .map(|(end, at, p)| (end, at, port(&p)))
    };
    assert_eq!(next(), Some((End::A, at(10), 2)));
    assert_eq!(next(), Some((End::B, at(30), 1)));
    assert_eq!(next(), None);
    let gone = PipeConfig {
        loss: Loss::percent(100.0),
        ..PipeConfig::default()
    };
    link.change(at(50), &mut random, End::B, gone);
    link.send(at(50), &mut random, End::B, packet(3, 100));
    assert_eq!(link.counters(End::B).lost, 1);
    assert_eq!(link.counters(End::A).sent, 1);
    assert_eq!(link.poll_timeout(), None);
}
