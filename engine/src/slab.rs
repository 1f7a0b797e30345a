//! A table with stable keys: a key of something removed never names what came later.

/// Names an entry: index and a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(u64);

impl Key {
    /// As a number, for tokens outside.
    pub const fn token(self) -> u64 {
        self.0
    }

    /// From [`Self::token`].
    pub const fn from_token(token: u64) -> Self {
        Self(token)
    }

    #[allow(clippy::cast_possible_truncation)] // the halves of the number
    const fn parts(self) -> (usize, u32) {
        (self.0 as u32 as usize, (self.0 >> 32) as u32)
    }
}

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// See the module.
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    pub fn insert(&mut self, value: T) -> Key {
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            slot.value = Some(value);
            return Key(u64::from(slot.generation) << 32 | u64::from(index));
        }
        let index = self.slots.len() as u64 & 0xffff_ffff;
        self.slots.push(Slot { generation: 0, value: Some(value) });
        Key(index)
    }

    pub fn remove(&mut self, key: Key) -> Option<T> {
        let (index, generation) = key.parts();
        let slot = self.slots.get_mut(index).filter(|slot| slot.generation == generation)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(u32::try_from(index).ok()?);
        Some(value)
    }

    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (index, generation) = key.parts();
        self.slots.get_mut(index).filter(|slot| slot.generation == generation)?.value.as_mut()
    }

    pub fn get(&self, key: Key) -> Option<&T> {
        let (index, generation) = key.parts();
        self.slots.get(index).filter(|slot| slot.generation == generation)?.value.as_ref()
    }

    /// Every entry with its key.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let value = slot.value.as_ref()?;
            Some((Key(u64::from(slot.generation) << 32 | index as u64), value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_key_never_names_a_new_entry() {
        let mut slab = Slab::new();
        let a = slab.insert('a');
        assert_eq!(slab.remove(a), Some('a'));
        let b = slab.insert('b');
        assert_ne!(a, b);
        assert_eq!((slab.get(a), slab.get(b)), (None, Some(&'b')));
        assert_eq!(slab.remove(a), None);
        assert_eq!(Key::from_token(b.token()), b);
        assert_eq!(slab.iter().map(|(key, v)| (key, *v)).collect::<Vec<_>>(), [(b, 'b')]);
    }
}
