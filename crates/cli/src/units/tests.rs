use super::*;

#[test]
fn times() {
    for (text, nanos) in [
        ("20ms", 20_000_000),
        ("1.5s", 1_500_000_000),
        ("300us", 300_000),
        ("0s", 0),
    ] {
        assert_eq!(time(text), Ok(Duration::from_nanos(nanos)), "{text}");
    }
    for text in ["20", "-1ms", "ms", "", "1h", "infs", "1e300s", "1 ms x"] {
        assert!(time(text).is_err(), "{text}");
    }
}

#[test]
fn rates() {
    for (text, bits) in [
        ("10mbit", 10_000_000),
        ("2.5Gbit", 2_500_000_000),
        ("64kbit", 64_000),
        ("9bit", 9),
    ] {
        assert_eq!(rate(text), Ok(bits), "{text}");
    }
    for text in ["10", "0mbit", "10mb", "-1bit", "1e300gbit", ""] {
        assert!(rate(text).is_err(), "{text}");
    }
}

#[test]
fn percentages() {
    assert_eq!(percent("1%"), Ok(1.0));
    assert_eq!(percent("0.1"), Ok(0.1));
    for text in ["101%", "-1%", "a", "1ms", ""] {
        assert!(percent(text).is_err(), "{text}");
    }
}
