//! What skbs cost.

use super::super::queue::{dgram_truesize, stream_piece};

/// Measured with SIOCOUTQ on Linux 6.18 (sum over as many sends as fit, divided by them).
#[test]
fn costs_are_linux_truesizes() {
    let stream = [
        (1, 768),
        (192, 768),
        (193, 1280),
        (704, 1280),
        (705, 2304),
        (1728, 2304),
        (1729, 4352),
        (3776, 4352),
        (3777, 4864),
        (4096, 4864),
        (7872, 8448),
        (7873, 8960),
        (36_544, 37_120),
    ];
    for (len, cost) in stream {
        assert_eq!(stream_piece(212_992, len), (len, cost), "stream {len}");
    }
    assert_eq!(stream_piece(212_992, 36_545).0, 36_544);
    let dgram = [
        (0, 768),
        (1, 768),
        (193, 1280),
        (4000, 8448),
        (16_064, 16_640),
        (16_065, 20_736),
        (20_160, 20_736),
        (20_161, 24_832),
        (85_696, 86_272),
        (85_697, 102_656),
        (90_000, 102_656),
        (212_960, 332_032),
    ];
    for (len, cost) in dgram {
        assert_eq!(dgram_truesize(len), cost, "dgram {len}");
    }
}
