//! Which ids were met before, during one walk.

/// One bit per id; cleared in time proportional to what was marked, so that one value serves many walks.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    bits: Vec<u64>,
    marked: Vec<u32>,
}

impl Marks {
    /// True the first time `id` is marked since the last [`Marks::clear`].
    #[inline]
    pub fn insert(&mut self, id: u32) -> bool {
        let (word, bit) = ((id / 64) as usize, 1 << (id % 64));
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        let new = self.bits[word] & bit == 0;
        if new {
            self.bits[word] |= bit;
            self.marked.push(id);
        }
        new
    }

    /// Forgets all marks.
    #[inline]
    pub fn clear(&mut self) {
        for id in self.marked.drain(..) {
            self.bits[(id / 64) as usize] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once_until_cleared() {
        let mut marks = Marks::default();
        for id in [0, 63, 64, 1_000] {
            assert!(marks.insert(id));
            assert!(!marks.insert(id));
        }
        marks.clear();
        assert!(marks.insert(63));
        assert!(marks.insert(1_000));
    }
}
