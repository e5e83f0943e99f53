//! Addresses that mean the same on both kernels.

use crate::addr::Addr;

/// Ports and autobound names, numbered as they are first seen.
#[derive(Default)]
pub(super) struct Seen {
    ports: Vec<u16>,
    names: Vec<Vec<u8>>,
}

impl Seen {
    /// The address with everything that chance chose replaced by its number.
    pub(super) fn normal(&mut self, addr: &[u8], prefix: &[u8]) -> String {
        let whole = Addr(addr.to_vec());
        match (whole.family(), addr.len()) {
            // A cut address may show one byte of the port, or the two of it.
            (libc::AF_INET | libc::AF_INET6, 3) => "inet, cut".to_string(),
            (libc::AF_INET | libc::AF_INET6, 4..) => {
                let port = match whole.port() {
                    fixed @ (0 | 1) => format!("port {fixed}"),
                    chosen => format!("port #{}", number(&mut self.ports, chosen)),
                };
                let mut rest = addr[4..].to_vec();
                if let (libc::AF_INET6, Some([_, label @ ..])) = (whole.family(), rest.get_mut(..4))
                    && label.iter().any(|byte| *byte != 0)
                {
                    // A flow label: chance, too.
                    label.fill(1);
                }
                format!("family {} {port} {rest:?}", whole.family())
            }
            (libc::AF_UNIX, 8) if addr[2] == 0 => {
                format!("autobound #{}", number(&mut self.names, addr[2..].to_vec()))
            }
            (libc::AF_UNIX, 3..) if addr[2] == 0 => {
                let name = &addr[3..];
                // Cut short, a name may end inside the prefix.
                let rest = name.strip_prefix(prefix).unwrap_or(&[]);
                format!(
                    "abstract {} {:?}",
                    name.len(),
                    String::from_utf8_lossy(rest)
                )
            }
            _ => format!("{addr:?}"),
        }
    }
}

/// The index of `value`, which is added if it is new.
fn number<T: PartialEq>(seen: &mut Vec<T>, value: T) -> usize {
    if let Some(index) = seen.iter().position(|v| *v == value) {
        return index;
    }
    seen.push(value);
    seen.len() - 1
}
