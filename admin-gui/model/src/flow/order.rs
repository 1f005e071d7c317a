//! The order of nodes in their columns: so that few edges cross, and so that it does not change without need.

/// Slots of a layered drawing, column by column, and which lead to which in the next column.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    /// Slots of each column from top to bottom.
    pub order: Vec<Vec<usize>>,
    /// Slots of the next column that a slot leads to.
    pub right: Vec<Vec<usize>>,
    /// Slots of the column before.
    pub left: Vec<Vec<usize>>,
}

/// Times that the columns are gone through from left to right and back.
const SWEEPS: usize = 12;

impl Columns {
    /// Orders all columns by the middle of their neighbours, and keeps the best order found.
    pub fn untangle(&mut self) {
        let mut best = (self.crossings(), self.order.clone());
        for sweep in 0..SWEEPS {
            if best.0 == 0 {
                break;
            }
            let count = self.order.len();
            for step in 1..count {
                let column = if sweep % 2 == 0 { step } else { count - 1 - step };
                self.sort_by_neighbours(column, sweep % 2 == 0);
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.order.clone());
            }
        }
        self.order = best.1;
    }

    fn sort_by_neighbours(&mut self, column: usize, from_left: bool) {
        let beside = if from_left { column.checked_sub(1) } else { Some(column + 1) };
        let mut place = vec![0.0_f32; self.right.len()];
        if let Some(beside) = beside.and_then(|beside| self.order.get(beside)) {
            for (at, slot) in beside.iter().enumerate() {
                place[*slot] = at as f32;
            }
        }
        let neighbours = if from_left { &self.left } else { &self.right };
        let slots = &self.order[column];
        let mut keyed: Vec<(f32, usize)> = slots
            .iter()
            .enumerate()
            .map(|(at, slot)| {
                let near = &neighbours[*slot];
                // Without neighbours a slot stays about where it is.
                let key = if near.is_empty() {
                    at as f32
                } else {
                    near.iter().map(|near| place[*near]).sum::<f32>() / near.len() as f32
                };
                (key, *slot)
            })
            .collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.order[column] = keyed.into_iter().map(|(_, slot)| slot).collect();
    }

    /// How many pairs of edges cross.
    pub fn crossings(&self) -> usize {
        let mut place = vec![0_usize; self.right.len()];
        for column in &self.order {
            for (at, slot) in column.iter().enumerate() {
                place[*slot] = at;
            }
        }
        let mut crossings = 0;
        for column in &self.order {
            // Ends of edges in the order of their starts: each pair that is the wrong way round crosses.
            let mut ends = Vec::new();
            for slot in column {
                let mut of_slot: Vec<usize> = self.right[*slot].iter().map(|to| place[*to]).collect();
                of_slot.sort_unstable();
                ends.extend(of_slot);
            }
            crossings += inversions(&ends);
        }
        crossings
    }
}

/// Pairs that are in falling order, counted with a Fenwick tree.
fn inversions(values: &[usize]) -> usize {
    let size = values.iter().max().map_or(0, |max| max + 1);
    let mut tree = vec![0_usize; size + 1];
    let mut inversions = 0;
    for (seen, value) in values.iter().enumerate() {
        let mut not_above = 0;
        let mut at = value + 1;
        while at > 0 {
            not_above += tree[at];
            at &= at - 1;
        }
        inversions += seen - not_above;
        let mut at = value + 1;
        while at <= size {
            tree[at] += 1;
            at += at & at.wrapping_neg();
        }
    }
    inversions
}

/// Places as near as possible to `wanted`, in the given order and with at least `apart[i]` between `i - 1` and `i`.
///
/// The least sum of squares, by pooling neighbours that want to be nearer than they may.
pub(super) fn place(wanted: &[f32], apart: &[f32]) -> Vec<f32> {
    // Without the distances it is the regression to a rising line.
    let mut offset = 0.0;
    let mut pools: Vec<(f32, usize)> = Vec::new();
    let mut offsets = Vec::with_capacity(wanted.len());
    for (at, wanted) in wanted.iter().enumerate() {
        if at > 0 {
            offset += apart.get(at).copied().unwrap_or(0.0);
        }
        offsets.push(offset);
        let mut pool = (wanted - offset, 1);
        while let Some((mean, count)) = pools.last().copied() {
            if mean <= pool.0 {
                break;
            }
            pools.pop();
            let total = count + pool.1;
            pool = ((mean * count as f32 + pool.0 * pool.1 as f32) / total as f32, total);
        }
        pools.push(pool);
    }
    let means = pools.into_iter().flat_map(|(mean, count)| std::iter::repeat_n(mean, count));
    means.zip(offsets).map(|(mean, offset)| mean + offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn columns(order: Vec<Vec<usize>>, edges: &[(usize, usize)]) -> Columns {
        let count = order.iter().map(Vec::len).sum();
        let mut columns = Columns { order, right: vec![Vec::new(); count], left: vec![Vec::new(); count] };
        for (from, to) in edges {
            columns.right[*from].push(*to);
            columns.left[*to].push(*from);
        }
        columns
    }

    #[test]
    fn crossed_edges_are_untangled() {
        let mut columns = columns(vec![vec![0, 1, 2], vec![3, 4, 5]], &[(0, 5), (1, 4), (2, 3)]);
        assert_eq!(columns.crossings(), 3);
        columns.untangle();
        assert_eq!(columns.crossings(), 0);
    }

    #[test]
    fn what_cannot_be_better_stays_as_it_is() {
        let mut columns = columns(vec![vec![0, 1], vec![2, 3]], &[(0, 2), (0, 3), (1, 2), (1, 3)]);
        columns.untangle();
        assert_eq!(columns.order, [[0, 1], [2, 3]]);
        Columns::default().untangle();
    }

    #[test]
    fn places_keep_their_distance_and_stay_near_what_they_want() {
        assert_eq!(place(&[0.0, 100.0], &[0.0, 10.0]), [0.0, 100.0]);
        assert_eq!(place(&[50.0, 50.0], &[0.0, 10.0]), [45.0, 55.0]);
        assert_eq!(place(&[100.0, 0.0], &[0.0, 10.0]), [45.0, 55.0]);
        assert_eq!(place(&[], &[]), [0.0; 0]);
    }

    proptest! {
        #[test]
        fn crossings_are_those_of_a_naive_count(edges in prop::collection::vec((0_usize..5, 5_usize..10), 0..15)) {
            let columns = columns(vec![vec![2, 0, 4, 1, 3], vec![7, 9, 5, 6, 8]], &edges);
            let place = |slot: usize, column: &[usize]| column.iter().position(|known| *known == slot);
            let mut naive = 0;
            for (at, a) in edges.iter().enumerate() {
                for b in &edges[at + 1..] {
                    let starts = place(a.0, &columns.order[0]).cmp(&place(b.0, &columns.order[0]));
                    let ends = place(a.1, &columns.order[1]).cmp(&place(b.1, &columns.order[1]));
                    naive += usize::from(starts != std::cmp::Ordering::Equal && ends == starts.reverse() && ends != std::cmp::Ordering::Equal);
                }
            }
            prop_assert_eq!(columns.crossings(), naive);
        }

        #[test]
        fn untangling_never_makes_it_worse(edges in prop::collection::vec((0_usize..6, 6_usize..12), 0..20)) {
            let mut columns = columns(vec![(0..6).collect(), (6..12).collect()], &edges);
            let before = columns.crossings();
            columns.untangle();
            prop_assert!(columns.crossings() <= before);
        }

        #[test]
        fn places_are_apart(wanted in prop::collection::vec(-500.0_f32..500.0, 1..20)) {
            let apart = vec![12.0; wanted.len()];
            let placed = place(&wanted, &apart);
            prop_assert!(placed.windows(2).all(|pair| pair[1] - pair[0] > 11.99), "{:?}", placed);
        }
    }
}
