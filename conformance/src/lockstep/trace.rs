//! What came back from a call, and how two of them differ.

use super::op::Op;
use crate::names::{ret_name, show_mask};

/// Everything a call returned, with what chance chose normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The value or negative errno; 0 for a new descriptor.
    pub(super) value: i64,
    /// Bytes that were written for the caller.
    pub(super) data: Vec<u8>,
    /// Addresses, lengths, flags and control messages, in words.
    pub(super) more: Vec<String>,
    /// The poll masks of all slots.
    pub(super) masks: Vec<Option<i16>>,
}

impl Record {
    /// In one line.
    pub(super) fn show(&self) -> String {
        let mut text = ret_name(self.value);
        if !self.data.is_empty() {
            let shown = &self.data[..self.data.len().min(16)];
            text += &format!(
                " data[{}]={:?}",
                self.data.len(),
                String::from_utf8_lossy(shown)
            );
        }
        for more in &self.more {
            text += &format!(" {more}");
        }
        text
    }

    /// The errno's name, or that there was none.
    pub(super) fn outcome(&self) -> String {
        match self.value {
            ..0 => ret_name(self.value),
            0 => "0".to_string(),
            1.. => "more than 0".to_string(),
        }
    }

    fn show_masks(&self) -> String {
        let shown = |mask: &Option<i16>| mask.map_or_else(|| "-".to_string(), show_mask);
        self.masks.iter().map(shown).collect::<Vec<_>>().join(" ")
    }
}

/// The first call that two kernels answered differently.
pub(super) struct Difference {
    pub(super) at: usize,
    pub(super) op: Op,
    pub(super) left: Record,
    pub(super) right: Record,
}

impl Difference {
    /// What differs, in a line that other sequences share.
    pub(super) fn kind(&self) -> String {
        let (left, right) = (&self.left, &self.right);
        let mut text = self.op.name();
        if left.value != right.value {
            return text + &format!(" = {}, not {}", right.outcome(), left.outcome());
        }
        text += &format!(" = {}:", left.outcome());
        if left.data != right.data {
            text += " other bytes";
        }
        if left.more != right.more {
            text += " other address, length, flags or control";
        }
        let pairs = left.masks.iter().zip(&right.masks);
        for (left, right) in pairs.filter(|(left, right)| left != right) {
            let (left, right) = (left.unwrap_or(0), right.unwrap_or(0));
            text += &format!(
                " mask without {} and with {}",
                show_mask(left & !right),
                show_mask(right & !left)
            );
        }
        text
    }

    /// Both answers, and what of them differs.
    pub(super) fn describe(&self) -> String {
        let mut text = format!("  call {} {:?}\n", self.at, self.op);
        text += &format!("    a: {}\n    b: {}", self.left.show(), self.right.show());
        if self.left.data != self.right.data {
            text += "\n    the bytes differ";
        }
        if self.left.masks != self.right.masks {
            text += &format!("\n    masks a: {}", self.left.show_masks());
            text += &format!("\n    masks b: {}", self.right.show_masks());
        }
        text
    }
}
