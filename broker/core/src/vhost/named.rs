//! Things with a name and an index.

use hashbrown::HashMap;

/// Finds things by name, and by the small integer that stands for them in bindings. Indices of things that are gone
/// are given out again.
#[derive(Debug)]
pub(crate) struct Named<T> {
    indices: HashMap<Box<str>, u32>,
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Named<T> {
    fn default() -> Named<T> {
        Named { indices: HashMap::new(), slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Named<T> {
    /// `name` must not be taken.
    pub fn insert(&mut self, name: &str, value: T) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.slots[index as usize] = Some(value);
        let taken = self.indices.insert(name.into(), index);
        assert!(taken.is_none(), "the name was not taken");
        index
    }

    pub fn remove(&mut self, name: &str) -> Option<(u32, T)> {
        let index = self.indices.remove(name)?;
        let value = self.slots[index as usize].take()?;
        self.free.push(index);
        Some((index, value))
    }

    #[inline]
    pub fn index(&self, name: &str) -> Option<u32> {
        self.indices.get(name).copied()
    }

    #[inline]
    pub fn get(&self, name: &str) -> Option<&T> {
        self.at(self.index(name)?)
    }

    #[inline]
    pub fn at(&self, index: u32) -> Option<&T> {
        self.slots.get(index as usize)?.as_ref()
    }

    pub fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// In the order of their indices.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().flatten()
    }

    /// With their indices.
    pub fn indexed_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        let slots = self.slots.iter_mut().enumerate();
        slots.filter_map(|(index, slot)| Some((index as u32, slot.as_mut()?)))
    }

    /// In the order of their indices.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }
}
