//! Which rows of a list are shown, in which order, and which are selected.
//!
//! The list itself is never copied: an index holds positions, and is computed again only when the list, the filter or
//! the order changed.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::hash::Hash;
use std::ops::Range;

use crate::filter::{Cell, Column, Filter, FilterProblem};

/// By which column, and in which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    pub key: &'static str,
    pub descending: bool,
}

impl Sort {
    pub const fn ascending(key: &'static str) -> Sort {
        Sort { key, descending: false }
    }

    pub const fn descending(key: &'static str) -> Sort {
        Sort { key, descending: true }
    }
}

/// Positions of the rows that are shown, in order.
#[derive(Debug, Default)]
pub struct Index {
    rows: Vec<u32>,
    of: Option<Made>,
    problem: Option<FilterProblem>,
}

/// What an index was made from.
#[derive(Debug, PartialEq)]
struct Made {
    version: u64,
    scope: String,
    filter: String,
    sort: Sort,
    total: usize,
}

impl Index {
    /// Brings it up to date with `list` of `version`; `scope` names which rows `in_scope` takes before the filter.
    /// True when something changed.
    #[expect(clippy::too_many_arguments, reason = "all of it decides what is shown")]
    pub fn update<R, L>(
        &mut self,
        list: &[R],
        version: u64,
        columns: &[Column<R, L>],
        scope: &str,
        in_scope: impl Fn(&R) -> bool,
        filter: &str,
        sort: Sort,
    ) -> bool {
        let made =
            Made { version, scope: scope.to_owned(), filter: filter.to_owned(), sort, total: list.len() };
        if self.of.as_ref() == Some(&made) {
            return false;
        }
        self.of = Some(made);
        let filter = match Filter::parse(filter, columns) {
            Ok(filter) => {
                self.problem = None;
                filter
            }
            Err(problem) => {
                // Rows do not vanish because of a slip of the finger: the text does not filter until it is right.
                self.problem = Some(problem);
                Filter::default()
            }
        };
        self.rows.clear();
        for (position, row) in list.iter().enumerate() {
            if in_scope(row) && (filter.is_empty() || filter.takes(row, columns)) {
                self.rows.push(position as u32);
            }
        }
        if let Some(column) = columns.iter().find(|column| column.key == sort.key) {
            sort_rows(&mut self.rows, list, column, sort.descending);
        }
        true
    }

    /// Positions in the list, in the order of the screen.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows of the list that it was made from.
    pub fn total(&self) -> usize {
        self.of.as_ref().map_or(0, |made| made.total)
    }

    pub fn problem(&self) -> Option<&FilterProblem> {
        self.problem.as_ref()
    }
}

/// A cell made fast to compare.
enum SortKey {
    Number(f64),
    /// Where the bytes are whose order is the natural order of the text. `head` is the first of them that are not the
    /// same in all texts: it tells most apart without a look at the rest.
    Text {
        head: u64,
        bytes: Range<usize>,
    },
    Nothing,
}

fn sort_rows<R, L>(rows: &mut Vec<u32>, list: &[R], column: &Column<R, L>, descending: bool) {
    // Of all texts, one after the other: ten thousand small allocations would cost more than the sorting.
    let mut bytes = Vec::new();
    let mut keyed: Vec<(SortKey, u32)> = Vec::with_capacity(rows.len());
    for position in rows.iter() {
        let key = match (column.value)(&list[*position as usize]) {
            Cell::Number(number) => SortKey::Number(number),
            Cell::Text(text) => {
                let start = bytes.len();
                natural(&text, &mut bytes);
                SortKey::Text { head: 0, bytes: start..bytes.len() }
            }
            Cell::Nothing => SortKey::Nothing,
        };
        keyed.push((key, *position));
    }
    take_heads(&mut keyed, &bytes);
    let direct = |ordering: Ordering| if descending { ordering.reverse() } else { ordering };
    keyed.sort_unstable_by(|(a, a_at), (b, b_at)| {
        let ordering = match (a, b) {
            (SortKey::Number(a), SortKey::Number(b)) => direct(a.total_cmp(b)),
            (SortKey::Text { head: a, bytes: a_bytes }, SortKey::Text { head: b, bytes: b_bytes }) => {
                direct(a.cmp(b).then_with(|| bytes[a_bytes.clone()].cmp(&bytes[b_bytes.clone()])))
            }
            (SortKey::Nothing, SortKey::Nothing) => Ordering::Equal,
            // What is unknown stays at the end, whatever the direction.
            (SortKey::Nothing, _) => Ordering::Greater,
            (_, SortKey::Nothing) => Ordering::Less,
            (SortKey::Number(_), SortKey::Text { .. }) => direct(Ordering::Less),
            (SortKey::Text { .. }, SortKey::Number(_)) => direct(Ordering::Greater),
        };
        ordering.then(a_at.cmp(b_at))
    });
    rows.clear();
    rows.extend(keyed.into_iter().map(|(_, position)| position));
}

/// Finds what all texts begin with, and takes the heads behind it.
fn take_heads(keyed: &mut [(SortKey, u32)], bytes: &[u8]) {
    let mut common: Option<&[u8]> = None;
    for (key, _) in keyed.iter() {
        let SortKey::Text { bytes: range, .. } = key else { continue };
        let text = &bytes[range.clone()];
        let so_far = common.unwrap_or(text);
        let shared = so_far.iter().zip(text).take_while(|(a, b)| a == b).count();
        common = Some(&so_far[..shared]);
    }
    let skip = common.map_or(0, <[u8]>::len);
    for (key, _) in keyed {
        let SortKey::Text { head, bytes: range } = key else { continue };
        let rest = &bytes[range.start + skip..range.end];
        let mut first = [0; 8];
        let length = rest.len().min(8);
        first[..length].copy_from_slice(&rest[..length]);
        // Where one ends and the other goes on with zeros the heads are the same, and the bytes decide.
        *head = u64::from_be_bytes(first);
    }
}

/// Adds bytes that sort as people count: `q2` before `q10`, small and capital letters together.
fn natural(text: &str, key: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(byte) = rest.first() {
        if !byte.is_ascii_digit() {
            key.push(byte.to_ascii_lowercase());
            rest = &rest[1..];
            continue;
        }
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let zeros = rest[..length - 1].iter().take_while(|digit| **digit == b'0').count();
        // Numbers sort by their length, then by their digits. `0` keeps them where digits are among characters.
        key.push(b'0');
        key.push(u8::try_from(length - zeros).unwrap_or(u8::MAX));
        key.extend_from_slice(&rest[zeros..length]);
        rest = &rest[length..];
    }
}

/// Rows that are selected, by what names them: they stay selected when the order changes.
#[derive(Debug)]
pub struct Selection<K> {
    selected: HashSet<K>,
    /// Where a range starts.
    anchor: Option<K>,
    /// The row that keys act on.
    cursor: Option<K>,
}

impl<K> Default for Selection<K> {
    fn default() -> Selection<K> {
        Selection { selected: HashSet::new(), anchor: None, cursor: None }
    }
}

/// How a click or key selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// This one only.
    One,
    /// This one too, or no more (Ctrl).
    Toggle,
    /// From the last one to this one (Shift).
    Range,
    /// Moves the cursor, and selects nothing.
    Point,
}

impl<K: Clone + Eq + Hash> Selection<K> {
    /// Selects `key`, where `position` and `key_at` tell the order on the screen.
    pub fn pick(
        &mut self,
        key: K,
        pick: Pick,
        position: impl Fn(&K) -> Option<usize>,
        key_at: impl Fn(usize) -> K,
    ) {
        match pick {
            Pick::Point => {}
            Pick::One => {
                self.selected.clear();
                self.selected.insert(key.clone());
                self.anchor = Some(key.clone());
            }
            Pick::Toggle => {
                if !self.selected.remove(&key) {
                    self.selected.insert(key.clone());
                }
                self.anchor = Some(key.clone());
            }
            Pick::Range => {
                let end = position(&key);
                let start = self.anchor.as_ref().and_then(&position).or(end);
                if let (Some(start), Some(end)) = (start, end) {
                    self.selected = (start.min(end)..=start.max(end)).map(key_at).collect();
                }
                self.anchor.get_or_insert_with(|| key.clone());
            }
        }
        self.cursor = Some(key);
    }

    pub fn select_all(&mut self, keys: impl Iterator<Item = K>) {
        self.selected = keys.collect();
    }

    /// Nothing selected, and true if something was.
    pub fn clear(&mut self) -> bool {
        self.anchor = None;
        let was = !self.selected.is_empty();
        self.selected.clear();
        was
    }

    /// Forgets what does not exist any more.
    pub fn retain(&mut self, exists: impl Fn(&K) -> bool) {
        self.selected.retain(&exists);
    }

    pub fn contains(&self, key: &K) -> bool {
        self.selected.contains(key)
    }

    pub fn cursor(&self) -> Option<&K> {
        self.cursor.as_ref()
    }

    pub fn len(&self) -> usize {
        self.selected.len()
    }

    pub fn is_empty(&self) -> bool {
        self.selected.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &K> {
        self.selected.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Row = (String, Option<f64>);

    const COLUMNS: &[Column<Row>] = &[
        Column::new("name", &[], |row| Cell::text(row.0.as_str())),
        Column::new("ready", &[], |row| row.1.map_or(Cell::Nothing, Cell::Number)),
    ];

    fn rows() -> Vec<Row> {
        [("q10", Some(1.0)), ("q2", None), ("Q1", Some(7.0)), ("r", Some(3.0))]
            .map(|(name, ready)| (name.to_owned(), ready))
            .to_vec()
    }

    fn shown(index: &Index, rows: &[Row]) -> Vec<String> {
        index.rows().iter().map(|at| rows[*at as usize].0.clone()).collect()
    }

    #[test]
    fn text_sorts_as_people_count_and_the_unknown_comes_last() {
        let rows = rows();
        let mut index = Index::default();
        let mut check = |sort, expected: [&str; 4]| {
            index.update(&rows, 1, COLUMNS, "", |_| true, "", sort);
            assert_eq!(shown(&index, &rows), expected, "{sort:?}");
        };
        check(Sort::ascending("name"), ["Q1", "q2", "q10", "r"]);
        check(Sort::descending("name"), ["r", "q10", "q2", "Q1"]);
        check(Sort::ascending("ready"), ["q10", "r", "Q1", "q2"]);
        check(Sort::descending("ready"), ["Q1", "r", "q10", "q2"]);
    }

    #[test]
    fn it_is_computed_again_only_when_something_changed() {
        let rows = rows();
        let mut index = Index::default();
        let sort = Sort::ascending("name");
        assert!(index.update(&rows, 1, COLUMNS, "", |_| true, "q", sort));
        assert!(!index.update(&rows, 1, COLUMNS, "", |_| true, "q", sort));
        assert!(index.update(&rows, 2, COLUMNS, "", |_| true, "q", sort));
        assert!(index.update(&rows, 2, COLUMNS, "", |_| true, "r", sort));
        assert!(index.update(&rows, 2, COLUMNS, "none", |_| false, "r", sort));
        assert!(index.is_empty());
    }

    #[test]
    fn a_filter_with_a_mistake_says_so_and_hides_nothing() {
        let rows = rows();
        let mut index = Index::default();
        index.update(&rows, 1, COLUMNS, "", |_| true, "reedy>1", Sort::ascending("name"));
        assert_eq!(index.len(), 4);
        assert!(matches!(index.problem(), Some(FilterProblem::NoColumn { meant: Some("ready"), .. })));
    }

    #[test]
    fn selections_follow_the_names_and_not_the_places() {
        let order = ["a", "b", "c", "d"];
        let mut selection = Selection::default();
        let mut pick = |key, pick| {
            let position = |key: &&str| order.iter().position(|known| known == key);
            selection.pick(key, pick, position, |at| order[at]);
            let mut selected: Vec<&str> = selection.iter().copied().collect();
            selected.sort_unstable();
            selected.concat()
        };
        assert_eq!(pick("b", Pick::One), "b");
        assert_eq!(pick("d", Pick::Range), "bcd");
        assert_eq!(pick("a", Pick::Range), "ab");
        assert_eq!(pick("d", Pick::Toggle), "abd");
        assert_eq!(pick("a", Pick::Toggle), "bd");
        assert_eq!(pick("c", Pick::Point), "bd");
        assert_eq!(pick("c", Pick::One), "c");
    }

    fn key_of(text: &str) -> Vec<u8> {
        let mut key = Vec::new();
        natural(text, &mut key);
        key
    }

    proptest! {
        #[test]
        fn texts_sort_by_all_of_their_bytes(names in prop::collection::vec("common[.][a-cA\\x00]{0,12}", 0..30)) {
            let rows: Vec<Row> = names.iter().map(|name| (name.clone(), None)).collect();
            let mut index = Index::default();
            index.update(&rows, 1, COLUMNS, "", |_| true, "", Sort::ascending("name"));
            let mut expected = names;
            expected.sort_by_key(|name| key_of(name));
            prop_assert_eq!(shown(&index, &rows), expected);
        }

        #[test]
        fn numbers_sort_by_value(mut numbers in prop::collection::vec(0_u64..100_000, 2..20)) {
            let mut keys: Vec<(Vec<u8>, u64)> =
                numbers.iter().map(|number| (key_of(&format!("q{number}.x")), *number)).collect();
            keys.sort();
            numbers.sort_unstable();
            prop_assert_eq!(keys.into_iter().map(|(_, number)| number).collect::<Vec<_>>(), numbers);
        }
    }
}
