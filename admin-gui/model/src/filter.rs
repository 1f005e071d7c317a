//! The filter language of tables: `depth>1000 consumers=0 name:orders* -state:idle`.
//!
//! Terms are separated by spaces, and all have to hold:
//!
//! ```text
//! orders            the name contains it
//! name:orders*      that column contains it; with * or ? it has to match as a whole
//! depth>1k          numbers: = != > >= < <=, with k M G and Ki Mi Gi
//! -state:idle       not (so does !state:idle)
//! "two words"       with spaces
//! ```

use std::borrow::Cow;

/// A column that rows are filtered and sorted by. How it looks is `L`, which is nothing to this.
#[derive(Debug)]
pub struct Column<R, L = ()> {
    /// Its name in filters and in settings.
    pub key: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    pub value: fn(&R) -> Cell<'_>,
    pub look: L,
}

impl<R> Column<R> {
    pub const fn new(
        key: &'static str,
        aliases: &'static [&'static str],
        value: fn(&R) -> Cell<'_>,
    ) -> Column<R> {
        Column { key, aliases, value, look: () }
    }
}

impl<R, L> Column<R, L> {
    fn is_called(&self, name: &str) -> bool {
        std::iter::once(&self.key).chain(self.aliases).any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// What stands in a cell, for sorting, filtering and copying.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    /// Nothing is known. It sorts last, and no comparison holds.
    Nothing,
}

impl<'a> Cell<'a> {
    pub fn text(text: impl Into<Cow<'a, str>>) -> Cell<'a> {
        Cell::Text(text.into())
    }

    pub fn number(number: impl Into<f64>) -> Cell<'a> {
        Cell::Number(number.into())
    }

    pub fn count(number: u64) -> Cell<'a> {
        Cell::Number(number as f64)
    }
}

impl std::fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cell::Text(text) => f.write_str(text),
            Cell::Number(number) => write!(f, "{number}"),
            Cell::Nothing => Ok(()),
        }
    }
}

/// A filter, ready to use.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq)]
struct Term {
    negated: bool,
    /// Which of the columns.
    column: usize,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    /// In lower case.
    Contains(String),
    Matches(Vec<char>),
    Is(String),
    Number(Comparison, f64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// What is wrong with a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterProblem {
    /// There is no such column; this one is called much like it.
    NoColumn { name: String, meant: Option<&'static str> },
    /// `>` and `<` want a number.
    NoNumber { value: String },
}

impl Filter {
    /// Reads a filter on `columns`; a bare word is about the first of them.
    pub fn parse<R, L>(text: &str, columns: &[Column<R, L>]) -> Result<Filter, FilterProblem> {
        let mut terms = Vec::new();
        for word in words(text) {
            let (negated, word) = match word.strip_prefix(['-', '!']) {
                Some(rest) if !rest.is_empty() => (true, rest),
                _ => (false, word.as_str()),
            };
            let Some((name, operator, value)) = split(word) else {
                terms.push(Term { negated, column: 0, test: text_test(word) });
                continue;
            };
            let Some(column) = columns.iter().position(|column| column.is_called(name)) else {
                // `10:30` or `a=b` in a name, rather than a column.
                if !name.chars().all(|c| c.is_alphabetic() || c == '_' || c == '-') {
                    terms.push(Term { negated, column: 0, test: text_test(word) });
                    continue;
                }
                return Err(FilterProblem::NoColumn { name: name.to_owned(), meant: nearest(name, columns) });
            };
            // While it is being typed it does not filter.
            if value.is_empty() {
                continue;
            }
            let comparison = match operator {
                ":" => None,
                "=" | "==" => Some(Comparison::Equal),
                "!=" => Some(Comparison::NotEqual),
                ">" => Some(Comparison::Greater),
                ">=" => Some(Comparison::GreaterOrEqual),
                "<" => Some(Comparison::Less),
                _ => Some(Comparison::LessOrEqual),
            };
            let (negated, test) = match (comparison, number(value)) {
                (None, _) => (negated, text_test(value)),
                (Some(comparison), Some(number)) => (negated, Test::Number(comparison, number)),
                (Some(Comparison::Equal), None) => (negated, Test::Is(value.to_lowercase())),
                (Some(Comparison::NotEqual), None) => (!negated, Test::Is(value.to_lowercase())),
                (Some(_), None) => return Err(FilterProblem::NoNumber { value: value.to_owned() }),
            };
            terms.push(Term { negated, column, test });
        }
        Ok(Filter { terms })
    }

    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// True when all terms hold for `row`.
    pub fn takes<R, L>(&self, row: &R, columns: &[Column<R, L>]) -> bool {
        self.terms.iter().all(|term| {
            let Some(column) = columns.get(term.column) else { return true };
            term.test.holds(&(column.value)(row)) != term.negated
        })
    }
}

impl Test {
    fn holds(&self, cell: &Cell<'_>) -> bool {
        match (self, cell) {
            (_, Cell::Nothing) => false,
            (Test::Number(comparison, wanted), Cell::Number(number)) => comparison.holds(*number, *wanted),
            (Test::Number(comparison, wanted), Cell::Text(text)) => match text.parse() {
                Ok(number) => comparison.holds(number, *wanted),
                Err(_) => matches!(comparison, Comparison::NotEqual),
            },
            (Test::Contains(part), Cell::Text(text)) => contains(text, part),
            (Test::Matches(pattern), Cell::Text(text)) => glob(pattern, text),
            (Test::Is(wanted), Cell::Text(text)) => text.to_lowercase() == *wanted,
            (test, Cell::Number(number)) => test.holds(&Cell::Text(number.to_string().into())),
        }
    }
}

impl Comparison {
    fn holds(self, number: f64, wanted: f64) -> bool {
        match self {
            Comparison::Equal => number == wanted,
            Comparison::NotEqual => number != wanted,
            Comparison::Greater => number > wanted,
            Comparison::GreaterOrEqual => number >= wanted,
            Comparison::Less => number < wanted,
            Comparison::LessOrEqual => number <= wanted,
        }
    }
}

fn text_test(value: &str) -> Test {
    let lower = value.to_lowercase();
    if value.contains(['*', '?']) { Test::Matches(lower.chars().collect()) } else { Test::Contains(lower) }
}

/// `part` is in lower case.
fn contains(text: &str, part: &str) -> bool {
    if part.is_ascii() {
        // Nearly always, and without a copy of the text.
        let part = part.as_bytes();
        part.is_empty() || text.as_bytes().windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
    } else {
        text.to_lowercase().contains(part)
    }
}

/// `*` is any text, `?` one character; `pattern` is in lower case.
fn glob(pattern: &[char], text: &str) -> bool {
    if text.is_ascii() {
        // Nearly always, and without a copy of the text.
        let text = text.as_bytes();
        matches(pattern, text.len(), |at| char::from(text[at].to_ascii_lowercase()))
    } else {
        let text: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
        matches(pattern, text.len(), |at| text[at])
    }
}

/// Whether a text of `length` characters, which `at` tells one by one, is as `pattern` says.
fn matches(pattern: &[char], length: usize, at: impl Fn(usize) -> char) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when it does not fit: after the last star, one character later.
    let mut retry: Option<(usize, usize)> = None;
    while t < length {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == at(t) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after_star, from)) = retry else { return false };
                retry = Some((after_star, from + 1));
                (p, t) = (after_star, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Splits at spaces outside of quotes, and drops the quotes.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut started) = (false, false);
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                started = true;
            }
            c if c.is_whitespace() && !quoted => {
                if started {
                    words.push(std::mem::take(&mut word));
                }
                started = false;
            }
            c => {
                word.push(c);
                started = true;
            }
        }
    }
    if started {
        words.push(word);
    }
    words
}

/// `name`, operator, `value`.
fn split(word: &str) -> Option<(&str, &str, &str)> {
    let at = word.find([':', '=', '>', '<', '!']).filter(|at| *at > 0)?;
    let (name, rest) = word.split_at(at);
    let operator =
        ["==", "!=", ">=", "<=", ":", "=", ">", "<"].into_iter().find(|known| rest.starts_with(known))?;
    Some((name, operator, &rest[operator.len()..]))
}

/// `1000`, `1k`, `2.5M`, `64Ki`.
fn number(text: &str) -> Option<f64> {
    let digits_end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-')).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let factor = match unit.trim_end_matches(['B', 'b']).to_ascii_lowercase().as_str() {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "ki" => 1_024.0,
        "mi" => 1_048_576.0,
        "gi" => 1_073_741_824.0,
        _ => return None,
    };
    digits.parse::<f64>().ok().map(|number| number * factor)
}

/// The column whose name is most like `name`, if any is.
fn nearest<R, L>(name: &str, columns: &[Column<R, L>]) -> Option<&'static str> {
    let names =
        columns.iter().flat_map(|column| std::iter::once(column.key).chain(column.aliases.iter().copied()));
    let near = names.map(|known| (distance(name, known), known)).min_by_key(|(distance, _)| *distance)?;
    (near.0 <= 2 || near.1.starts_with(name)).then_some(near.1)
}

/// Edits between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x.to_ascii_lowercase() != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Row(&'static str, f64, Option<&'static str>);

    const COLUMNS: &[Column<Row>] = &[
        Column::new("name", &[], |row| Cell::text(row.0)),
        Column::new("ready", &["depth"], |row| Cell::number(row.1)),
        Column::new("policy", &[], |row| row.2.map_or(Cell::Nothing, Cell::text)),
    ];

    const ROWS: &[Row] = &[
        Row("orders.eu", 10.0, None),
        Row("orders.us", 2_000.0, Some("ttl")),
        Row("订单.支付", 0.0, Some("TTL-long")),
        Row("at 10:30", 65_536.0, None),
    ];

    #[track_caller]
    fn check(filter: &str, expected: &[&str]) {
        let filter = Filter::parse(filter, COLUMNS).expect("a filter");
        let taken = ROWS.iter().filter(|row| filter.takes(*row, COLUMNS)).map(|row| row.0);
        assert_eq!(taken.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn all_terms_have_to_hold() {
        check("", &["orders.eu", "orders.us", "订单.支付", "at 10:30"]);
        check("ORDERS", &["orders.eu", "orders.us"]);
        check("orders depth>1k", &["orders.us"]);
        check("name:orders*", &["orders.eu", "orders.us"]);
        check("name:rders*", &[]);
        check("*.?s", &["orders.us"]);
        check("订单", &["订单.支付"]);
        check("ready>=64Ki", &["at 10:30"]);
        check("ready=0", &["订单.支付"]);
        check("ready!=0 ready<100", &["orders.eu"]);
        check("policy:ttl", &["orders.us", "订单.支付"]);
        check("policy=ttl", &["orders.us"]);
        check("-policy:ttl", &["orders.eu", "at 10:30"]);
        check("!orders", &["订单.支付", "at 10:30"]);
        check("\"at 10\"", &["at 10:30"]);
        check("10:30", &["at 10:30"]);
    }

    #[test]
    fn a_term_that_is_being_typed_does_not_filter() {
        check("orders ready>", &["orders.eu", "orders.us"]);
        check("name:", &["orders.eu", "orders.us", "订单.支付", "at 10:30"]);
        check("-", &[]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let problem = |text| Filter::parse(text, COLUMNS).expect_err(text);
        let name = "dept".to_owned();
        assert_eq!(problem("dept>3"), FilterProblem::NoColumn { name, meant: Some("depth") });
        assert_eq!(problem("depth>many"), FilterProblem::NoNumber { value: "many".to_owned() });
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,24}") {
            if let Ok(filter) = Filter::parse(&text, COLUMNS) {
                for row in ROWS { filter.takes(row, COLUMNS); }
            }
        }

        #[test]
        fn globs_are_what_a_slow_matcher_says(pattern in "[ab*?]{0,6}", text in "[ab]{0,6}") {
            fn slow(pattern: &[char], text: &[char]) -> bool {
                match (pattern.split_first(), text.split_first()) {
                    (None, None) => true,
                    (Some(('*', rest)), None) => slow(rest, text),
                    (Some(('*', rest)), Some((_, others))) => slow(rest, text) || slow(pattern, others),
                    (Some((p, rest)), Some((t, others))) => (*p == '?' || p == t) && slow(rest, others),
                    _ => false,
                }
            }
            let pattern: Vec<char> = pattern.chars().collect();
            let letters: Vec<char> = text.chars().collect();
            prop_assert_eq!(glob(&pattern, &text), slow(&pattern, &letters));
        }
    }
}
