use super::SeqNum;

#[test]
fn comparison_wraps() {
    let before = SeqNum(u32::MAX - 1);
    let after = before + 4;
    assert_eq!(after, SeqNum(2));
    assert!(before.lt(after) && before.leq(after) && after.gt(before) && after.geq(before));
    assert!(before.leq(before) && before.geq(before) && !before.lt(before) && !before.gt(before));
    assert_eq!(after - before, 4);
    assert_eq!(before - after, -4);
    assert_eq!(before.max(after), after);
    assert_eq!(before.min(after), before);
}

#[test]
fn window_is_half_open_and_wraps() {
    let start = SeqNum(u32::MAX);
    assert!(start.in_window(start, 1));
    assert!(!start.in_window(start, 0));
    assert!(SeqNum(0).in_window(start, 2));
    assert!(!SeqNum(1).in_window(start, 2));
    assert!(!(start - 1u32).in_window(start, 2));
}
