//! The destinations of one binding key, each with the number of bindings that lead to it.
//!
//! Nearly every key leads to one destination, which is therefore stored inline: a set is 16 bytes and reading it
//! touches no other memory. Larger sets keep a list, and from [`INDEXED_FROM`] on an index of positions, so that
//! taking 100 000 queues off one key costs 100 000 steps and not their square.

use hashbrown::HashMap;

/// A counted set of ids. An id added twice has to be removed twice.
#[derive(Debug, Default)]
pub(crate) struct IdSet {
    /// Unused while its count is zero, and then `rest` is empty too.
    first: Counted,
    rest: Option<Box<Rest>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counted {
    id: u32,
    count: u32,
}

/// All ids but the first.
#[derive(Debug, Default)]
struct Rest {
    list: Vec<Counted>,
    /// Where each id is in `list`; empty until the list has reached [`INDEXED_FROM`].
    positions: HashMap<u32, u32>,
}

impl IdSet {
    /// Adds `id`, or counts it once more.
    pub fn insert(&mut self, id: u32) {
        if self.first.count == 0 {
            self.first = Counted { id, count: 1 };
        } else if self.first.id == id {
            self.first.count += 1;
        } else {
            self.rest.get_or_insert_default().insert(id);
        }
    }

    /// Counts `id` once less and drops it at zero. Unknown ids are ignored.
    pub fn remove(&mut self, id: u32) {
        if self.first.count > 0 && self.first.id == id {
            self.first.count -= 1;
            if self.first.count == 0 {
                self.first = self.rest.as_mut().and_then(|rest| rest.pop()).unwrap_or_default();
            }
        } else if let Some(rest) = &mut self.rest {
            rest.remove(id);
        }
        if self.rest.as_ref().is_some_and(|rest| rest.list.is_empty()) {
            self.rest = None;
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first.count == 0
    }

    pub fn len(&self) -> usize {
        usize::from(!self.is_empty()) + self.rest.as_ref().map_or(0, |rest| rest.list.len())
    }

    /// Every id once.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let first = (self.first.count > 0).then_some(self.first.id);
        let rest = self.rest.as_ref().map_or(&[][..], |rest| &rest.list);
        first.into_iter().chain(rest.iter().map(|counted| counted.id))
    }

    /// The id in this place, in an order that only changes when ids come and go.
    pub fn nth(&self, index: usize) -> Option<u32> {
        match index.checked_sub(1) {
            None => (!self.is_empty()).then_some(self.first.id),
            Some(index) => self.rest.as_ref()?.list.get(index).map(|counted| counted.id),
        }
    }

    /// Appends every id once.
    #[inline]
    pub fn append_to(&self, out: &mut Vec<u32>) {
        if self.first.count > 0 {
            out.push(self.first.id);
            if let Some(rest) = &self.rest {
                out.extend(rest.list.iter().map(|counted| counted.id));
            }
        }
    }
}

impl Rest {
    fn insert(&mut self, id: u32) {
        if let Some(position) = self.position(id) {
            self.list[position].count += 1;
            return;
        }
        self.list.push(Counted { id, count: 1 });
        if !self.positions.is_empty() {
            self.positions.insert(id, self.list.len() as u32 - 1);
        } else if self.list.len() >= INDEXED_FROM {
            self.positions =
                self.list.iter().zip(0..).map(|(counted, position)| (counted.id, position)).collect();
        }
    }

    fn remove(&mut self, id: u32) {
        let Some(position) = self.position(id) else { return };
        self.list[position].count -= 1;
        if self.list[position].count > 0 {
            return;
        }
        self.list.swap_remove(position);
        if !self.positions.is_empty() {
            self.positions.remove(&id);
            if let Some(moved) = self.list.get(position) {
                self.positions.insert(moved.id, position as u32);
            }
        }
    }

    fn pop(&mut self) -> Option<Counted> {
        let last = self.list.pop()?;
        self.positions.remove(&last.id);
        Some(last)
    }

    fn position(&self, id: u32) -> Option<usize> {
        if self.positions.is_empty() {
            self.list.iter().position(|counted| counted.id == id)
        } else {
            self.positions.get(&id).map(|&position| position as usize)
        }
    }
}

/// Shorter lists are searched from end to end: a cache line or two.
const INDEXED_FROM: usize = 32;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counts_like_a_map(steps in prop::collection::vec((any::<bool>(), 0u32..80), 0..600)) {
            let mut set = IdSet::default();
            let mut model = BTreeMap::<u32, u32>::new();
            for (add, id) in steps {
                if add {
                    set.insert(id);
                    *model.entry(id).or_default() += 1;
                } else {
                    set.remove(id);
                    if let Some(count) = model.get_mut(&id) {
                        *count -= 1;
                        if *count == 0 {
                            model.remove(&id);
                        }
                    }
                }
                let mut ids: Vec<u32> = set.iter().collect();
                ids.sort_unstable();
                prop_assert_eq!(&ids, &model.keys().copied().collect::<Vec<_>>());
                let mut numbered: Vec<u32> = (0..=set.len()).filter_map(|index| set.nth(index)).collect();
                numbered.sort_unstable();
                prop_assert_eq!(&numbered, &ids);
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.is_empty(), model.is_empty());
            }
        }
    }
}
