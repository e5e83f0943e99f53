use super::*;

const MAPS: &str = "\
00001000-00003000 r--p 00000000 00:00 0
00003000-00004000 rw-p 00000000 00:00 0
00004000-00005000 ---p 00000000 00:00 0
00006000-00007000 --xp 00000000 00:00 0                  [name with 1-2 rw]
";

#[test]
fn protections_bound_the_transfer() {
    assert_eq!(accessible(MAPS, 0x1000, 0x10, false), 0x10);
    assert_eq!(accessible(MAPS, 0x1800, 0x10000, false), 0x2800);
    assert_eq!(accessible(MAPS, 0x1000, 0x10, true), 0);
    assert_eq!(accessible(MAPS, 0x3ff0, 0x20, true), 0x10);
    assert_eq!(accessible(MAPS, 0x4000, 1, false), 0);
    assert_eq!(accessible(MAPS, 0x5000, 1, false), 0);
    assert_eq!(accessible(MAPS, 0x6000, 0x2000, false), 0x1000);
    assert_eq!(accessible(MAPS, 0x0, 0x2000, false), 0);
    assert_eq!(accessible(MAPS, u64::MAX, 10, false), 0);
}

#[test]
fn cursor_cuts_and_advances() {
    let pieces = [
        RemoteSlice {
            address: 100,
            len: 0,
        },
        RemoteSlice {
            address: 200,
            len: 5,
        },
        RemoteSlice {
            address: 300,
            len: 0,
        },
        RemoteSlice {
            address: 4090,
            len: 10,
        },
    ];
    let mut cursor = Cursor::new(&pieces, |p: &RemoteSlice| (p.address, p.len));
    let mut room = [const { MaybeUninit::uninit() }; IOV_MAX];
    let list = |batch: (&[libc::iovec], u64)| -> (Vec<(usize, usize)>, u64) {
        (
            batch
                .0
                .iter()
                .map(|v| (v.iov_base as usize, v.iov_len))
                .collect(),
            batch.1,
        )
    };
    assert_eq!(
        list(cursor.batch(&mut room, u64::MAX)),
        (vec![(200, 5), (4090, 10)], 15)
    );
    assert_eq!(
        list(cursor.batch(&mut room, 7)),
        (vec![(200, 5), (4090, 2)], 7)
    );
    cursor.advance(3);
    assert_eq!(list(cursor.batch(&mut room, 2)), (vec![(203, 2)], 2));
    assert_eq!(cursor.to_page_end(), Some(2));
    cursor.advance(2);
    assert_eq!(cursor.to_page_end(), Some(6));
    cursor.advance(6);
    assert_eq!(list(cursor.batch(&mut room, 100)), (vec![(4096, 4)], 4));
    assert_eq!(cursor.to_page_end(), Some(4));
    cursor.advance(4);
    assert_eq!(cursor.to_page_end(), None);
}
