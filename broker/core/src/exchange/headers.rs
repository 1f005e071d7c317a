//! Headers exchanges: a binding's arguments are conditions on the message's headers.
//!
//! `x-match` says whether all conditions have to hold or any one; names that begin with `x-` are conditions only with
//! `all-with-x` and `any-with-x`. A condition without a value (void) asks that the header is present. Values are
//! compared as Erlang's `==` does, because RabbitMQ's users rely on it: 1, 1 as another integer type and 1.0 are equal.
//!
//! RabbitMQ tries every binding. Here each is filed under conditions that must hold for it to match: under one for
//! `all`, the rarest at the time, and under every one for `any`. A message's headers then lead to the few candidates.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap};
use leveret_protocol::table::{RawTable, RawValue, Value};

use super::id_set::IdSet;
use super::marks::Marks;
use crate::fault::Fault;
use crate::term::Term;

/// Conditions and where they lead.
#[derive(Debug, Default)]
pub(crate) struct HeadersMatcher {
    patterns: Vec<Option<Pattern>>,
    patterns_free: Vec<PatternId>,
    /// Bindings with the same arguments share a pattern.
    by_arguments: HashMap<Arc<[u8]>, PatternId>,
    /// Patterns filed under a name and value, by their hash; other names and values may share it.
    by_value: HashMap<u64, IdSet>,
    /// Patterns filed under a name that has to be present.
    by_name: HashMap<Box<str>, IdSet>,
    /// Patterns without conditions that match everything.
    always: IdSet,
    hasher: DefaultHashBuilder,
}

type PatternId = u32;

#[derive(Debug)]
struct Pattern {
    /// Entries of a field table that was validated.
    arguments: Arc<[u8]>,
    rule: Rule,
    targets: IdSet,
    filed: Filed,
}

/// What `x-match` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    all: bool,
    with_x: bool,
}

/// Where a pattern is filed.
#[derive(Debug)]
enum Filed {
    Always,
    ByValue(u64),
    ByName(Box<str>),
    /// Under each condition.
    Everywhere,
}

/// Refuses bindings whose `x-match` is not one of the four words.
pub(crate) fn validate(arguments: RawTable<'_>) -> Result<(), Fault> {
    Rule::parse(arguments).map(|_| ())
}

impl HeadersMatcher {
    /// `arguments` have passed [`validate`].
    pub fn bind(&mut self, arguments: RawTable<'_>, target: u32) {
        let id = match self.by_arguments.get(arguments.as_bytes()) {
            Some(&id) => id,
            None => self.insert_pattern(arguments),
        };
        if let Some(pattern) = &mut self.patterns[id as usize] {
            pattern.targets.insert(target);
        }
    }

    pub fn unbind(&mut self, arguments: RawTable<'_>, target: u32) {
        let Some(&id) = self.by_arguments.get(arguments.as_bytes()) else { return };
        let slot = &mut self.patterns[id as usize];
        if let Some(pattern) = slot {
            pattern.targets.remove(target);
            if pattern.targets.is_empty()
                && let Some(pattern) = slot.take()
            {
                self.unfile(id, &pattern);
                self.by_arguments.remove(&pattern.arguments);
                self.patterns_free.push(id);
            }
        }
    }

    /// Appends the targets of every pattern that matches; a target of several patterns comes several times.
    pub fn route(&self, headers: RawTable<'_>, met: &mut Marks, out: &mut Vec<u32>) {
        for id in self.always.iter() {
            self.append_targets(id, out);
        }
        met.clear();
        for (name, value) in headers.iter() {
            let by_value = self.by_value.get(&self.hash(name, value));
            let by_name = if self.by_name.is_empty() { None } else { self.by_name.get(name) };
            for id in [by_value, by_name].into_iter().flatten().flat_map(IdSet::iter) {
                if met.insert(id)
                    && let Some(pattern) = &self.patterns[id as usize]
                    && pattern.matches(headers)
                {
                    pattern.targets.append_to(out);
                }
            }
        }
    }

    fn append_targets(&self, id: PatternId, out: &mut Vec<u32>) {
        if let Some(pattern) = &self.patterns[id as usize] {
            pattern.targets.append_to(out);
        }
    }

    fn insert_pattern(&mut self, arguments: RawTable<'_>) -> PatternId {
        let rule = Rule::parse(arguments).unwrap_or(Rule::DEFAULT);
        let bytes: Arc<[u8]> = arguments.as_bytes().into();
        let id = self.patterns_free.pop().unwrap_or_else(|| {
            self.patterns.push(None);
            self.patterns.len() as PatternId - 1
        });
        let filed = self.file(id, rule, arguments);
        self.by_arguments.insert(bytes.clone(), id);
        self.patterns[id as usize] =
            Some(Pattern { arguments: bytes, rule, targets: IdSet::default(), filed });
        id
    }

    fn file(&mut self, id: PatternId, rule: Rule, arguments: RawTable<'_>) -> Filed {
        if !rule.all {
            for (name, wanted) in conditions(rule, arguments) {
                match wanted {
                    RawValue::Void => self.by_name.entry(name.into()).or_default().insert(id),
                    value => self.by_value.entry(self.hash(name, value)).or_default().insert(id),
                }
            }
            return Filed::Everywhere;
        }
        let rarest_value = conditions(rule, arguments)
            .filter(|(_, wanted)| *wanted != RawValue::Void)
            .map(|(name, wanted)| self.hash(name, wanted))
            .min_by_key(|hash| self.by_value.get(hash).map_or(0, IdSet::len));
        if let Some(hash) = rarest_value {
            self.by_value.entry(hash).or_default().insert(id);
            return Filed::ByValue(hash);
        }
        let rarest_name = conditions(rule, arguments)
            .map(|(name, _)| name)
            .min_by_key(|name| self.by_name.get(*name).map_or(0, IdSet::len));
        match rarest_name {
            Some(name) => {
                self.by_name.entry(name.into()).or_default().insert(id);
                Filed::ByName(name.into())
            }
            None => {
                self.always.insert(id);
                Filed::Always
            }
        }
    }

    fn unfile(&mut self, id: PatternId, pattern: &Pattern) {
        match &pattern.filed {
            Filed::Always => self.always.remove(id),
            Filed::ByValue(hash) => self.unfile_value(*hash, id),
            Filed::ByName(name) => self.unfile_name(name, id),
            Filed::Everywhere => {
                for (name, wanted) in pattern.conditions() {
                    match wanted {
                        RawValue::Void => self.unfile_name(name, id),
                        value => self.unfile_value(self.hash(name, value), id),
                    }
                }
            }
        }
    }

    fn unfile_value(&mut self, hash: u64, id: PatternId) {
        if let Some(ids) = self.by_value.get_mut(&hash) {
            ids.remove(id);
            if ids.is_empty() {
                self.by_value.remove(&hash);
            }
        }
    }

    fn unfile_name(&mut self, name: &str, id: PatternId) {
        if let Some(ids) = self.by_name.get_mut(name) {
            ids.remove(id);
            if ids.is_empty() {
                self.by_name.remove(name);
            }
        }
    }

    fn hash(&self, name: &str, value: RawValue<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        name.hash(&mut hasher);
        Comparable::from(value).hash(&mut hasher);
        hasher.finish()
    }
}

impl Pattern {
    fn conditions(&self) -> impl Iterator<Item = (&str, RawValue<'_>)> {
        conditions(self.rule, RawTable::new_unchecked_valid(&self.arguments))
    }

    fn matches(&self, headers: RawTable<'_>) -> bool {
        let mut conditions = self.conditions();
        let holds = |(name, wanted): (&str, RawValue<'_>)| {
            headers.get(name).is_some_and(|value| {
                wanted == RawValue::Void || Comparable::from(wanted) == Comparable::from(value)
            })
        };
        if self.rule.all { conditions.all(holds) } else { conditions.any(holds) }
    }
}

/// The arguments that are conditions.
fn conditions(rule: Rule, arguments: RawTable<'_>) -> impl Iterator<Item = (&str, RawValue<'_>)> {
    arguments.iter().filter(move |(name, _)| *name != "x-match" && (rule.with_x || !name.starts_with("x-")))
}

impl Rule {
    const DEFAULT: Rule = Rule { all: true, with_x: false };

    fn parse(arguments: RawTable<'_>) -> Result<Rule, Fault> {
        match arguments.get("x-match") {
            None => Ok(Rule::DEFAULT),
            Some(RawValue::LongString(b"all")) => Ok(Rule::DEFAULT),
            Some(RawValue::LongString(b"any")) => Ok(Rule { all: false, with_x: false }),
            Some(RawValue::LongString(b"all-with-x")) => Ok(Rule { all: true, with_x: true }),
            Some(RawValue::LongString(b"any-with-x")) => Ok(Rule { all: false, with_x: true }),
            Some(RawValue::LongString(other)) => Err(Fault::precondition_failed(format!(
                "Invalid x-match field value <<\"{}\">>; expected all, any, all-with-x, or any-with-x",
                String::from_utf8_lossy(other)
            ))),
            Some(other) => Err(Fault::precondition_failed(format!(
                "Invalid x-match field type {} (value {}); expected longstr",
                other.type_name(),
                Term(&other.to_value().unwrap_or(Value::Void))
            ))),
        }
    }
}

/// A header's value in the form that decides equality.
#[derive(Debug, PartialEq)]
enum Comparable<'a> {
    /// Integers, timestamps, and floats without a fraction.
    Integer(i128),
    /// Bits of other floats.
    Float(u64),
    Bytes(&'a [u8]),
    Other(RawValue<'a>),
}

impl<'a> From<RawValue<'a>> for Comparable<'a> {
    fn from(value: RawValue<'a>) -> Comparable<'a> {
        match value {
            RawValue::LongString(bytes) | RawValue::Bytes(bytes) => Comparable::Bytes(bytes),
            RawValue::Timestamp(seconds) => Comparable::Integer(seconds.into()),
            RawValue::F32(float) => float_comparable(float.into()),
            RawValue::F64(float) => float_comparable(float),
            other => {
                other.as_i64().map_or(Comparable::Other(other), |integer| Comparable::Integer(integer.into()))
            }
        }
    }
}

fn float_comparable<'a>(float: f64) -> Comparable<'a> {
    // Beyond 2^64 no integer of the wire can be equal to it.
    if float.fract() == 0.0 && float.abs() < 2.0_f64.powi(65) {
        Comparable::Integer(float as i128)
    } else {
        Comparable::Float(float.to_bits())
    }
}

impl Hash for Comparable<'_> {
    fn hash<S: Hasher>(&self, state: &mut S) {
        match self {
            Comparable::Integer(integer) => integer.hash(state),
            Comparable::Float(bits) => bits.hash(state),
            Comparable::Bytes(bytes) => bytes.hash(state),
            // Booleans, decimals, tables, arrays: few enough that the name alone will do.
            Comparable::Other(value) => value.type_name().hash(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use leveret_protocol::table::Table;
    use proptest::prelude::*;

    use super::*;

    fn encoded(table: &Table) -> Vec<u8> {
        let mut bytes = Vec::new();
        table.encode_entries(&mut bytes);
        bytes
    }

    fn bind(matcher: &mut HeadersMatcher, arguments: &Table, target: u32) {
        matcher.bind(RawTable::validate(&encoded(arguments)).unwrap(), target);
    }

    fn unbind(matcher: &mut HeadersMatcher, arguments: &Table, target: u32) {
        matcher.unbind(RawTable::validate(&encoded(arguments)).unwrap(), target);
    }

    fn targets(matcher: &HeadersMatcher, headers: &Table) -> Vec<u32> {
        let mut out = Vec::new();
        matcher.route(RawTable::validate(&encoded(headers)).unwrap(), &mut Marks::default(), &mut out);
        out.sort_unstable();
        out
    }

    fn assert_empty(matcher: &HeadersMatcher) {
        assert!(matcher.by_arguments.is_empty() && matcher.by_value.is_empty() && matcher.by_name.is_empty());
        assert!(matcher.always.is_empty() && matcher.patterns.iter().all(Option::is_none));
    }

    fn check<const A: usize, const H: usize>(
        arguments: [(&str, Value); A],
        headers: [(&str, Value); H],
        expected: bool,
    ) {
        let (arguments, headers) = (Table::from(arguments), Table::from(headers));
        let mut matcher = HeadersMatcher::default();
        bind(&mut matcher, &arguments, 3);
        assert_eq!(targets(&matcher, &headers) == [3], expected, "{arguments:?} on {headers:?}");
        assert_eq!(naive(&arguments, &headers), expected, "naive: {arguments:?} on {headers:?}");
        unbind(&mut matcher, &arguments, 3);
        assert_empty(&matcher);
    }

    /// RabbitMQ's description, word by word.
    fn naive(arguments: &Table, headers: &Table) -> bool {
        let rule = arguments.get("x-match").and_then(Value::as_str).unwrap_or("all");
        let mut conditions = arguments
            .iter()
            .filter(|(name, _)| *name != "x-match" && (rule.ends_with("-with-x") || !name.starts_with("x-")))
            .map(|(name, wanted)| match (wanted, headers.get(name)) {
                (_, None) => false,
                (Value::Void, Some(_)) => true,
                (wanted, Some(value)) => match (number(wanted), number(value)) {
                    (Some(wanted), Some(value)) => wanted == value,
                    _ => wanted == value,
                },
            });
        if rule.starts_with("all") { conditions.all(|holds| holds) } else { conditions.any(|holds| holds) }
    }

    fn number(value: &Value) -> Option<f64> {
        match value {
            Value::F64(float) => Some(*float),
            Value::Timestamp(seconds) => Some(*seconds as f64),
            other => other.as_i64().map(|integer| integer as f64),
        }
    }

    #[test]
    fn all_conditions_have_to_hold_unless_any_is_asked_for() {
        let (pdf, zip) = (|| ("format", "pdf".into()), || ("format", Value::from("zip")));
        let report = || ("type", Value::from("report"));
        let any = || ("x-match", Value::from("any"));
        check([pdf(), report()], [pdf(), report()], true);
        check([pdf(), report()], [pdf()], false);
        check([pdf(), report()], [zip(), report()], false);
        check([("x-match", "all".into()), pdf()], [report(), pdf()], true);
        check([any(), pdf(), report()], [zip(), report()], true);
        check([any(), pdf(), report()], [zip()], false);
        check([any(), pdf(), report()], [], false);
    }

    #[test]
    fn no_condition_at_all_matches_everything_for_all_and_nothing_for_any() {
        check([], [], true);
        check([], [("a", 1.into())], true);
        check([("x-match", "all".into()), ("x-a", 1.into())], [], true);
        check([("x-match", "any".into())], [("a", 1.into())], false);
        check([("x-match", "any".into()), ("x-a", 1.into())], [("x-a", 1.into())], false);
    }

    #[test]
    fn names_with_x_count_only_when_asked_for() {
        check([("x-a", 1.into())], [("x-a", 2.into())], true);
        check([("x-match", "all-with-x".into()), ("x-a", 1.into())], [("x-a", 2.into())], false);
        check([("x-match", "all-with-x".into()), ("x-a", 1.into())], [("x-a", 1.into())], true);
        check(
            [("x-match", "any-with-x".into()), ("x-a", 1.into()), ("b", 1.into())],
            [("x-a", 1.into())],
            true,
        );
    }

    #[test]
    fn void_asks_for_presence() {
        check([("a", Value::Void)], [("a", 5.into())], true);
        check([("a", Value::Void)], [("b", 5.into())], false);
        check([("a", Value::Void), ("b", 1.into())], [("a", "x".into()), ("b", 1.into())], true);
        check([("x-match", "any".into()), ("a", Value::Void), ("b", 1.into())], [("a", "x".into())], true);
        check([("a", 5.into())], [("a", Value::Void)], false);
    }

    #[test]
    fn numbers_are_equal_by_value() {
        check([("a", Value::I32(1))], [("a", Value::I64(1))], true);
        check([("a", Value::I32(1))], [("a", Value::F64(1.0))], true);
        check([("a", Value::F64(1.5))], [("a", Value::F64(1.5))], true);
        check([("a", Value::I32(1))], [("a", Value::F64(1.5))], false);
        check([("a", Value::I32(1))], [("a", "1".into())], false);
        check([("a", Value::Bool(true))], [("a", Value::Bool(true))], true);
        check([("a", Value::Bool(true))], [("a", Value::Bool(false))], false);
        check([("a", Value::Array(vec![1.into()]))], [("a", Value::Array(vec![1.into()]))], true);
    }

    #[test]
    fn an_unknown_x_match_is_refused() {
        let refused = |value: Value| {
            let table = encoded(&Table::from([("x-match", value)]));
            validate(RawTable::validate(&table).unwrap()).unwrap_err().text
        };
        assert_eq!(
            refused("some".into()),
            "Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x"
        );
        assert_eq!(refused(1.into()), "Invalid x-match field type signedint (value 1); expected longstr");
    }

    fn tables(rules: Vec<&'static str>) -> impl Strategy<Value = Table> {
        let values = prop::sample::select(vec![
            Value::Void,
            Value::I32(1),
            Value::I64(1),
            Value::F64(1.0),
            Value::F64(0.5),
            Value::from("s"),
            Value::Bool(true),
        ]);
        let names = prop::sample::select(vec!["a", "b", "c", "x-d"]);
        let entries = prop::collection::btree_map(names, values, 0..4);
        (prop::sample::select(rules), entries).prop_map(|(rule, entries)| {
            let mut table: Table = entries.into_iter().collect();
            if !rule.is_empty() {
                table.insert("x-match", rule);
            }
            table
        })
    }

    proptest! {
        #[test]
        fn matches_what_a_naive_matcher_matches(
            bindings in prop::collection::vec(tables(vec!["", "all", "any", "all-with-x", "any-with-x"]), 1..30),
            unbound in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            messages in prop::collection::vec(tables(vec![""]), 1..10),
        ) {
            let mut matcher = HeadersMatcher::default();
            let mut bound: Vec<(u32, &Table)> = (0..).zip(&bindings).collect();
            for (id, arguments) in &bound {
                bind(&mut matcher, arguments, *id);
            }
            for index in unbound {
                if !bound.is_empty() {
                    let (id, arguments) = bound.swap_remove(index.index(bound.len()));
                    unbind(&mut matcher, arguments, id);
                }
            }
            for headers in messages {
                let mut expected: Vec<u32> =
                    bound.iter().filter(|(_, arguments)| naive(arguments, &headers)).map(|(id, _)| *id).collect();
                expected.sort_unstable();
                prop_assert_eq!(targets(&matcher, &headers), expected, "headers {:?}", headers);
            }
            for (id, arguments) in bound {
                unbind(&mut matcher, arguments, id);
            }
            assert_empty(&matcher);
        }
    }
}
