//! Maps: what programs and processes share.
//!
//! # Theory of operation
//!
//! The values of a map lie in one piece of memory, a slot each, so that a program's pointer to a
//! value is a place in it. A slot that was deleted keeps its bytes until it is taken again, as
//! Linux's preallocated elements do: a pointer that a program still holds is harmless.
//!
//! # Limits
//!
//! A map takes [`MAX_BYTES`] at most; larger ones are ENOMEM, as where memory is short.

use super::Errno;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use spin::Mutex;

/// The most memory one map takes.
pub const MAX_BYTES: u64 = 64 << 20;

/// A socket in a sockarray.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SocketRef {
    /// What the embedder knows it by.
    pub id: u64,
    /// Its `SO_COOKIE`.
    pub cookie: u64,
}

/// `enum bpf_map_type`, as far as there is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapKind {
    /// `BPF_MAP_TYPE_HASH`
    Hash,
    /// `BPF_MAP_TYPE_ARRAY`
    Array,
    /// `BPF_MAP_TYPE_PERCPU_HASH`
    PercpuHash,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`
    PercpuArray,
    /// `BPF_MAP_TYPE_LRU_HASH`
    LruHash,
    /// `BPF_MAP_TYPE_REUSEPORT_SOCKARRAY`: its values are sockets, by a number of the embedder's.
    ReuseportSockarray,
}

impl MapKind {
    /// By Linux's number.
    pub fn from_number(number: u32) -> Option<MapKind> {
        Some(match number {
            1 => MapKind::Hash,
            2 => MapKind::Array,
            5 => MapKind::PercpuHash,
            6 => MapKind::PercpuArray,
            9 => MapKind::LruHash,
            20 => MapKind::ReuseportSockarray,
            _ => return None,
        })
    }

    /// Linux's number.
    pub fn number(self) -> u32 {
        match self {
            MapKind::Hash => 1,
            MapKind::Array => 2,
            MapKind::PercpuHash => 5,
            MapKind::PercpuArray => 6,
            MapKind::LruHash => 9,
            MapKind::ReuseportSockarray => 20,
        }
    }

    fn is_array(self) -> bool {
        matches!(
            self,
            MapKind::Array | MapKind::PercpuArray | MapKind::ReuseportSockarray
        )
    }

    fn is_percpu(self) -> bool {
        matches!(self, MapKind::PercpuArray | MapKind::PercpuHash)
    }
}

/// What a map is made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapSpec {
    /// Its kind.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// How many there may be.
    pub max_entries: u32,
    /// `BPF_F_*`
    pub flags: u32,
    /// How many processors the values of percpu maps are told for. Programs run on the first.
    pub cpus: u32,
}

impl MapSpec {
    /// From one slot to the next.
    fn stride(&self) -> usize {
        let rounded = (self.value_size as usize).next_multiple_of(8);
        match self.kind {
            kind if kind.is_percpu() => rounded * self.cpus.max(1) as usize,
            _ => rounded,
        }
    }
}

/// `BPF_NOEXIST`: only what is not there.
const NOEXIST: u64 = 1;
/// `BPF_EXIST`: only what is there.
const EXIST: u64 = 2;
/// `BPF_F_NO_PREALLOC`, which makes no difference here.
const NO_PREALLOC: u32 = 1;

/// A map.
#[derive(Debug)]
pub struct Map {
    spec: MapSpec,
    storage: Mutex<Storage>,
}

#[derive(Debug, Default)]
struct Storage {
    values: Vec<u8>,
    /// Slot by key, and keys by slot.
    slots: BTreeMap<Vec<u8>, u32>,
    keys: Vec<Option<Vec<u8>>>,
    free: Vec<u32>,
    /// When each slot was last used, for the least recently used.
    used: Vec<u64>,
    clock: u64,
    /// The sockets of a sockarray.
    sockets: Vec<Option<SocketRef>>,
}

impl Map {
    /// `BPF_MAP_CREATE`
    pub fn new(spec: MapSpec) -> Result<Map, Errno> {
        let MapSpec {
            kind,
            key_size,
            value_size,
            max_entries,
            flags,
            ..
        } = spec;
        if max_entries == 0 || value_size == 0 || key_size == 0 {
            return Err(Errno::INVAL);
        }
        let allowed = match kind {
            MapKind::Hash | MapKind::PercpuHash => NO_PREALLOC,
            _ => 0,
        };
        if flags & !allowed != 0 || (kind.is_array() && key_size != 4) {
            return Err(Errno::INVAL);
        }
        if kind == MapKind::ReuseportSockarray && value_size != 4 && value_size != 8 {
            return Err(Errno::INVAL);
        }
        // htab_map_alloc_check(): a key has to fit the stack.
        if key_size > 512 || value_size > i32::MAX as u32 {
            return Err(Errno::TOO_BIG);
        }
        let stride = spec.stride();
        let whole = stride as u64 + u64::from(key_size);
        if whole.saturating_mul(u64::from(max_entries)) > MAX_BYTES {
            return Err(Errno::NO_MEMORY);
        }
        let mut storage = Storage::default();
        match kind {
            MapKind::ReuseportSockarray => storage.sockets = vec![None; max_entries as usize],
            _ if kind.is_array() => {
                storage.values = vec![0; max_entries as usize * stride];
            }
            // The slots of a hash come when they are wanted.
            _ => {}
        }
        Ok(Map {
            spec,
            storage: Mutex::new(storage),
        })
    }

    /// What it was made with.
    pub fn spec(&self) -> &MapSpec {
        &self.spec
    }

    /// How many bytes a process reads and writes as one value.
    pub fn user_value_size(&self) -> usize {
        match self.spec.kind {
            kind if kind.is_percpu() => self.stride(),
            _ => self.spec.value_size as usize,
        }
    }

    fn stride(&self) -> usize {
        self.spec.stride()
    }

    fn index(&self, key: &[u8]) -> Option<u32> {
        let key = u32::from_ne_bytes(key.get(..4)?.try_into().ok()?);
        (key < self.spec.max_entries).then_some(key)
    }

    fn slot(&self, storage: &mut Storage, key: &[u8]) -> Option<u32> {
        if self.spec.kind.is_array() {
            return self.index(key);
        }
        let slot = *storage.slots.get(key)?;
        storage.clock += 1;
        let clock = storage.clock;
        if let Some(used) = storage.used.get_mut(slot as usize) {
            *used = clock;
        }
        Some(slot)
    }

    /// bpf_map_lookup_elem() of a program: where the value is, for [`Map::load`] and
    /// [`Map::store`].
    pub(crate) fn find(&self, key: &[u8]) -> Option<u64> {
        let storage = &mut *self.storage.lock();
        if self.spec.kind == MapKind::ReuseportSockarray {
            return None;
        }
        let slot = self.slot(storage, key)?;
        Some(u64::from(slot) * self.stride() as u64)
    }

    /// Copies bytes of values; false when they are not there.
    pub(crate) fn load(&self, at: u64, out: &mut [u8]) -> bool {
        let storage = self.storage.lock();
        let range = usize::try_from(at)
            .ok()
            .and_then(|at| storage.values.get(at..at.checked_add(out.len())?));
        range.map(|bytes| out.copy_from_slice(bytes)).is_some()
    }

    /// Changes bytes of values; false when they are not there.
    pub(crate) fn store(&self, at: u64, data: &[u8]) -> bool {
        let storage = &mut *self.storage.lock();
        let range = usize::try_from(at)
            .ok()
            .and_then(|at| storage.values.get_mut(at..at.checked_add(data.len())?));
        range.map(|bytes| bytes.copy_from_slice(data)).is_some()
    }

    /// `BPF_MAP_LOOKUP_ELEM`: a copy of the value, of all processors.
    pub fn lookup(&self, key: &[u8]) -> Result<Vec<u8>, Errno> {
        let storage = &mut *self.storage.lock();
        if self.spec.kind == MapKind::ReuseportSockarray {
            // Only what can hold a cookie can be told.
            if self.spec.value_size != 8 {
                return Err(Errno::NO_SPACE);
            }
            let index = self.index(key).ok_or(Errno::NO_ENTRY)?;
            let socket = storage.sockets[index as usize].ok_or(Errno::NO_ENTRY)?;
            return Ok(socket.cookie.to_ne_bytes().to_vec());
        }
        let slot = self.slot(storage, key).ok_or(Errno::NO_ENTRY)?;
        let at = slot as usize * self.stride();
        Ok(storage.values[at..at + self.user_value_size()].to_vec())
    }

    /// `BPF_MAP_UPDATE_ELEM`, and bpf_map_update_elem(). `value` of a percpu map is all processors'
    /// when it comes from a process, the first one's when it comes from a program.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags > EXIST || self.spec.kind == MapKind::ReuseportSockarray {
            return Err(Errno::INVAL);
        }
        let storage = &mut *self.storage.lock();
        let slot = match self.slot(storage, key) {
            Some(_) if flags == NOEXIST => return Err(Errno::EXISTS),
            Some(slot) => slot,
            None if self.spec.kind.is_array() => return Err(Errno::TOO_BIG),
            None if flags == EXIST => return Err(Errno::NO_ENTRY),
            None => self.new_slot(storage, key)?,
        };
        let at = slot as usize * self.stride();
        let room = &mut storage.values[at..at + self.stride()];
        let n = value.len().min(room.len());
        room[..n].copy_from_slice(&value[..n]);
        Ok(())
    }

    fn new_slot(&self, storage: &mut Storage, key: &[u8]) -> Result<u32, Errno> {
        if storage.slots.len() >= self.spec.max_entries as usize {
            if self.spec.kind != MapKind::LruHash {
                return Err(Errno::TOO_BIG);
            }
            let oldest = storage.slots.values().copied();
            let oldest = oldest.min_by_key(|slot| storage.used[*slot as usize]);
            let gone = oldest.and_then(|slot| storage.keys[slot as usize].clone());
            if let Some(gone) = gone {
                self.remove(storage, &gone);
            }
        }
        let stride = self.stride();
        let slot = match storage.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = storage.keys.len();
                storage.keys.push(None);
                storage.used.push(0);
                storage.values.resize((slot + 1) * stride, 0);
                slot as u32
            }
        };
        let at = slot as usize * stride;
        storage.values[at..at + stride].fill(0);
        storage.clock += 1;
        storage.used[slot as usize] = storage.clock;
        storage.keys[slot as usize] = Some(key.to_vec());
        storage.slots.insert(key.to_vec(), slot);
        Ok(slot)
    }

    fn remove(&self, storage: &mut Storage, key: &[u8]) -> bool {
        let Some(slot) = storage.slots.remove(key) else {
            return false;
        };
        storage.keys[slot as usize] = None;
        storage.free.push(slot);
        true
    }

    /// `BPF_MAP_DELETE_ELEM`, and bpf_map_delete_elem().
    pub fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        let storage = &mut *self.storage.lock();
        if self.spec.kind == MapKind::ReuseportSockarray {
            let index = self.index(key).ok_or(Errno::TOO_BIG)?;
            return match storage.sockets[index as usize].take() {
                Some(_) => Ok(()),
                None => Err(Errno::NO_ENTRY),
            };
        }
        if self.spec.kind.is_array() {
            return Err(Errno::INVAL);
        }
        if self.remove(storage, key) {
            Ok(())
        } else {
            Err(Errno::NO_ENTRY)
        }
    }

    /// `BPF_MAP_GET_NEXT_KEY`: the key after this one; the first when there is no such key.
    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        let storage = &*self.storage.lock();
        if self.spec.kind.is_array() {
            let index =
                key.and_then(|key| Some(u32::from_ne_bytes(key.get(..4)?.try_into().ok()?)));
            let next = match index {
                Some(index) if index < self.spec.max_entries => index + 1,
                _ => 0,
            };
            return if next < self.spec.max_entries {
                Ok(next.to_ne_bytes().to_vec())
            } else {
                Err(Errno::NO_ENTRY)
            };
        }
        let after = key.and_then(|key| storage.slots.get(key));
        let from = after.map_or(0, |slot| *slot as usize + 1);
        let rest = storage.keys.get(from..).unwrap_or(&[]);
        let next = rest.iter().flatten().next();
        next.cloned().ok_or(Errno::NO_ENTRY)
    }

    /// Puts a socket in a sockarray.
    pub fn set_socket(&self, key: &[u8], socket: SocketRef, flags: u64) -> Result<(), Errno> {
        let index = self.check_place(key, flags)?;
        self.storage.lock().sockets[index] = Some(socket);
        Ok(())
    }

    /// Whether [`Map::set_socket`] with these flags finds the place that it wants, and which it is.
    pub fn check_place(&self, key: &[u8], flags: u64) -> Result<usize, Errno> {
        if flags > EXIST {
            return Err(Errno::INVAL);
        }
        let index = self.index(key).ok_or(Errno::TOO_BIG)? as usize;
        match self.storage.lock().sockets[index] {
            Some(_) if flags == NOEXIST => Err(Errno::EXISTS),
            None if flags == EXIST => Err(Errno::NO_ENTRY),
            _ => Ok(index),
        }
    }

    /// The socket at a place of a sockarray.
    pub(crate) fn socket(&self, key: &[u8]) -> Option<u64> {
        let index = self.index(key)? as usize;
        let socket = *self.storage.lock().sockets.get(index)?;
        socket.map(|socket| socket.id)
    }

    /// A socket is gone: it leaves the sockarray.
    pub fn forget_socket(&self, id: u64) {
        for place in &mut self.storage.lock().sockets {
            if place.is_some_and(|socket| socket.id == id) {
                *place = None;
            }
        }
    }

    /// Whether a socket is in the sockarray.
    pub fn has_socket(&self, id: u64) -> bool {
        let storage = self.storage.lock();
        let mut sockets = storage.sockets.iter().flatten();
        sockets.any(|socket| socket.id == id)
    }
}
