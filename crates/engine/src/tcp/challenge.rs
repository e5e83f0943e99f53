//! Challenge ACKs of the whole host, counted (RFC 5961, 10; net.ipv4.tcp_challenge_ack_limit).

use crate::hash::Random;
use crate::time::Instant;

/// How many are left of a second's.
#[derive(Debug, Default)]
pub(crate) struct Challenges {
    second: u64,
    left: u32,
}

impl Challenges {
    /// tcp_send_challenge_ack: whether one may be sent. Each second's number is drawn from around the limit, so that nobody
    /// can tell from it what connections of others do (CVE-2016-5696).
    pub(super) fn take(&mut self, now: Instant, limit: u32, random: &mut Random) -> bool {
        // From the second 1 on: at first there is no second.
        let second = now.as_millis() / 1000 + 1;
        if second != self.second {
            self.second = second;
            // From half of it to one and a half. Of none Linux draws from all numbers.
            let half = limit.div_ceil(2);
            self.left = match limit {
                0 => u32::MAX,
                _ => half + random.below(limit),
            };
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(limit: u32, at: u64, challenges: &mut Challenges, random: &mut Random) -> usize {
        let now = Instant::from_millis(at);
        (0..1000)
            .filter(|_| challenges.take(now, limit, random))
            .count()
    }

    #[test]
    fn around_the_limit_each_second() {
        let mut random = Random::new([3; 32]);
        let mut challenges = Challenges::default();
        let mut seen = alloc::collections::BTreeSet::new();
        for second in 0..50 {
            let n = allowed(100, second * 1000 + 7, &mut challenges, &mut random);
            assert!((50..150).contains(&n), "{n}");
            seen.insert(n);
            assert_eq!(
                allowed(100, second * 1000 + 999, &mut challenges, &mut random),
                0
            );
        }
        assert!(seen.len() > 20);
    }

    #[test]
    fn none_is_no_limit() {
        let mut random = Random::new([3; 32]);
        let mut challenges = Challenges::default();
        assert_eq!(allowed(0, 5, &mut challenges, &mut random), 1000);
    }

    #[test]
    fn of_one_it_is_one() {
        let mut random = Random::new([3; 32]);
        let mut challenges = Challenges::default();
        assert_eq!(allowed(1, 5, &mut challenges, &mut random), 1);
    }
}
