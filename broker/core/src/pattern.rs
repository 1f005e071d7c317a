//! Regular expressions as administrators write them for RabbitMQ: in permissions and in policies.
//!
//! RabbitMQ searches a name with PCRE, byte by byte and unanchored: `q` is found in `my-queue`. We search with an
//! engine whose time is linear in the name, because a pattern meets every name a client invents. Its syntax differs in
//! places, so a pattern is rewritten first: braces that are no repetition count and brackets inside a class mean
//! themselves, `\Q..\E`, `\h`, `\Z` and comments are known. Look-ahead is understood where people use it, right behind
//! the leading `^`, as in `^(?!amq\.).*`. What cannot be searched in linear time is an error, never another meaning.
//!
//! Two readings are stricter than PCRE's: `$` does not match in front of a final line feed, and a pattern that
//! contains letters beyond ASCII matches whole characters instead of bytes.

use std::fmt;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

/// A compiled pattern. Cloning it adds a reference.
#[derive(Clone)]
pub struct Pattern(Arc<Compiled>);

struct Compiled {
    source: String,
    matcher: Matcher,
}

enum Matcher {
    /// `.*` and its like: no engine needed for what most users are given.
    Everything,
    /// `^$`.
    EmptyOnly,
    Search(Regex),
    /// `^` followed by look-aheads, each matched at the start like what is left behind them.
    AfterLookahead {
        ahead: Vec<(Expect, Regex)>,
        rest: Regex,
    },
}

/// Which way a look-ahead decides.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Match,
    NoMatch,
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern '{pattern}' is not usable: {rule}")]
pub struct PatternError {
    /// What was given, cut to a readable length.
    pub pattern: String,
    /// What it violates.
    pub rule: String,
}

impl Pattern {
    /// Compiles `source`, whose length and compiled size are bounded.
    pub fn new(source: &str) -> Result<Pattern, PatternError> {
        let matcher = match source {
            "" | ".*" | "^.*" => Matcher::Everything,
            "^$" => Matcher::EmptyOnly,
            _ => compile(source).map_err(|rule| PatternError { pattern: excerpt(source), rule })?,
        };
        Ok(Pattern(Arc::new(Compiled { source: source.to_owned(), matcher })))
    }

    /// Like [`Pattern::new`], but an empty `source` fits only the empty name: what permissions mean by it.
    pub fn permission(source: &str) -> Result<Pattern, PatternError> {
        if source.is_empty() {
            return Ok(Pattern(Arc::new(Compiled { source: String::new(), matcher: Matcher::EmptyOnly })));
        }
        Pattern::new(source)
    }

    /// True when the pattern is found anywhere in `name`.
    pub fn is_match(&self, name: &str) -> bool {
        let name = name.as_bytes();
        match &self.0.matcher {
            Matcher::Everything => true,
            Matcher::EmptyOnly => name.is_empty(),
            Matcher::Search(regex) => regex.is_match(name),
            Matcher::AfterLookahead { ahead, rest } => {
                ahead.iter().all(|(expect, regex)| regex.is_match(name) == (*expect == Expect::Match))
                    && rest.is_match(name)
            }
        }
    }

    /// The pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.0.source
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.0.source)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// Most memory that one compiled pattern takes, in bytes. `^[a-z]{1,255}$` needs a tenth of it.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Deepest nesting of groups.
const NESTING_MAX: u32 = 50;

fn compile(source: &str) -> Result<Matcher, String> {
    if source.len() > PATTERN_BYTES_MAX {
        return Err(format!("longer than {PATTERN_BYTES_MAX} bytes"));
    }
    let pattern = Rewrite::new(source).run()?;
    let (ahead, rest) = split_lookaheads(&pattern)?;
    if ahead.is_empty() {
        return Ok(Matcher::Search(engine(&pattern)?));
    }
    let at_start = |part: &str| engine(&format!("\\A(?:{part})"));
    let ahead = ahead
        .into_iter()
        .map(|(expect, part)| Ok((expect, at_start(part)?)))
        .collect::<Result<Vec<_>, String>>()?;
    Ok(Matcher::AfterLookahead { ahead, rest: at_start(rest)? })
}

fn engine(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        // Without it the engine works on bytes and `\w` is ASCII, as RabbitMQ has it.
        .unicode(!pattern.is_ascii() || pattern.contains("\\p") || pattern.contains("\\P"))
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .nest_limit(NESTING_MAX)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "needs too much memory".to_owned(),
            // The engine draws the pattern with a marker; its last line says what is wrong.
            error => {
                let text = error.to_string();
                let line = text.lines().last().unwrap_or_default();
                line.strip_prefix("error: ").unwrap_or(line).to_owned()
            }
        })
}

/// What look-aheads expect, and their insides.
type Lookaheads<'a> = Vec<(Expect, &'a str)>;

/// Takes `^(?!..)(?=..)` off the front; the rest is what follows them.
fn split_lookaheads(pattern: &str) -> Result<(Lookaheads<'_>, &str), String> {
    let mut ahead = Vec::new();
    let Some(mut rest) = pattern.strip_prefix('^') else { return Ok((ahead, pattern)) };
    loop {
        let (expect, body) = if let Some(body) = rest.strip_prefix("(?!") {
            (Expect::NoMatch, body)
        } else if let Some(body) = rest.strip_prefix("(?=") {
            (Expect::Match, body)
        } else {
            break;
        };
        let end = top_level(body, b')').ok_or("a group is not closed")?;
        ahead.push((expect, &body[..end]));
        rest = &body[end + 1..];
        if rest.starts_with(['*', '+', '?', '{']) {
            return Err("a look-ahead cannot be repeated".to_owned());
        }
    }
    // `^(?!a)b|c` is two patterns, of which only the first has a look-ahead.
    if !ahead.is_empty() && top_level(rest, b'|').is_some() {
        return Err("alternatives behind a look-ahead need a group around them".to_owned());
    }
    Ok((ahead, rest))
}

/// Where `wanted` stands outside of groups, classes and escapes.
fn top_level(pattern: &str, wanted: u8) -> Option<usize> {
    let (mut depth, mut in_class, mut escaped) = (0_u32, false, false);
    for (at, &byte) in pattern.as_bytes().iter().enumerate() {
        if escaped {
            escaped = false;
            continue;
        }
        match byte {
            b'\\' => escaped = true,
            // Rewritten patterns keep no bare bracket inside a class but those of `[:alpha:]`.
            b']' if in_class && !pattern[..at].ends_with(':') => in_class = false,
            _ if in_class => {}
            _ if byte == wanted && depth == 0 => return Some(at),
            b'[' => in_class = true,
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

/// Turns PCRE's spelling into the engine's, in one pass.
struct Rewrite<'a> {
    rest: &'a str,
    out: String,
}

impl<'a> Rewrite<'a> {
    fn new(source: &'a str) -> Rewrite<'a> {
        Rewrite { rest: source, out: String::with_capacity(source.len() + 8) }
    }

    fn run(mut self) -> Result<String, String> {
        while let Some(c) = self.rest.chars().next() {
            match c {
                '\\' => {
                    self.escape("[ \\t]", "[^ \\t]")?;
                }
                '[' => self.class()?,
                '{' if repetition_len(self.rest).is_none() => {
                    self.take(1);
                    self.out.push_str("\\{");
                }
                '{' | '*' | '+' | '?' => self.repetition()?,
                '(' => self.group_start()?,
                _ => {
                    self.take(c.len_utf8());
                    self.out.push(c);
                }
            }
        }
        Ok(self.out)
    }

    /// Consumes `len` bytes.
    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    /// A backslash and what belongs to it. True when it stands for several characters.
    fn escape(&mut self, blank: &str, not_blank: &str) -> Result<bool, String> {
        let Some(c) = self.rest[1..].chars().next() else { return Err("ends with a backslash".to_owned()) };
        let escape = self.take(1 + c.len_utf8());
        match c {
            'Q' => {
                let end = self.rest.find("\\E").unwrap_or(self.rest.len());
                let literal = self.take(end);
                self.out.push_str(&regex::escape(literal));
                self.take(self.rest.len().min(2));
            }
            'E' => {}
            'h' => self.out.push_str(blank),
            'H' => self.out.push_str(not_blank),
            'Z' => self.out.push_str("(?:\\n?\\z)"),
            // The engine reads these as word boundaries.
            '<' | '>' => self.out.push(c),
            'p' | 'P' | 'x' if self.rest.starts_with('{') => {
                let end = self.rest.find('}').ok_or_else(|| format!("'{escape}{{' is not closed"))?;
                self.out.push_str(escape);
                let braces = self.take(end + 1);
                self.out.push_str(braces);
            }
            _ => self.out.push_str(escape),
        }
        Ok(matches!(c, 'h' | 'H' | 'w' | 'W' | 'd' | 'D' | 's' | 'S' | 'p' | 'P'))
    }

    /// `*`, `+`, `?` or `{n,m}`, perhaps lazy.
    fn repetition(&mut self) -> Result<(), String> {
        let count = self.take(repetition_len(self.rest).unwrap_or(1));
        self.out.push_str(count);
        if self.rest.starts_with('?') {
            self.take(1);
            self.out.push('?');
        }
        // `a++` never gives back what it took; the engine would read it as `(a+)+`, which matches more.
        if self.rest.starts_with('+') {
            return Err("possessive repetition is not supported".to_owned());
        }
        Ok(())
    }

    /// An opening parenthesis; comments are dropped.
    fn group_start(&mut self) -> Result<(), String> {
        if self.rest.starts_with("(?#") {
            let end = self.rest.find(')').ok_or("a comment is not closed")?;
            self.take(end + 1);
            return Ok(());
        }
        if self.rest.starts_with("(?R") || self.rest.starts_with("(*") {
            return Err("recursion and verbs are not supported".to_owned());
        }
        if self.rest.starts_with("(?>") {
            return Err("atomic groups are not supported".to_owned());
        }
        let start = if self.rest.starts_with("(?") { 2 } else { 1 };
        let start = self.take(start);
        self.out.push_str(start);
        Ok(())
    }

    /// A class from `[` to `]`.
    fn class(&mut self) -> Result<(), String> {
        self.take(1);
        self.out.push('[');
        if self.rest.starts_with('^') {
            self.take(1);
            self.out.push('^');
        }
        if self.rest.starts_with(']') {
            self.take(1);
            self.out.push_str("\\]");
        }
        let mut after_set = false;
        loop {
            let c = self.rest.chars().next().ok_or("a character class is not closed")?;
            let was_set = std::mem::take(&mut after_set);
            match c {
                ']' => {
                    self.take(1);
                    self.out.push(']');
                    return Ok(());
                }
                '\\' => after_set = self.escape(" \\t", "\\x00-\\x08\\x0a-\\x1f\\x21-\\xff")?,
                '[' if self.rest.starts_with("[:") && self.rest.contains(":]") => {
                    let end = self.rest.find(":]").ok_or("a character class is not closed")?;
                    let named = self.take(end + 2);
                    self.out.push_str(named);
                    after_set = true;
                }
                // `[\w-.]`: a range cannot begin with a set, so this is a plain hyphen. `--` would mean difference.
                '-' if was_set || self.rest.starts_with("--") => {
                    self.take(1);
                    self.out.push_str("\\-");
                }
                // The engine knows nested classes and set operators, PCRE does not.
                '[' | '&' | '~' => {
                    self.take(1);
                    self.out.push('\\');
                    self.out.push(c);
                }
                _ => {
                    self.take(c.len_utf8());
                    self.out.push(c);
                }
            }
        }
    }
}

/// The length of `{n}`, `{n,}` or `{n,m}` at the start; anything else in braces is text. One character for `*+?`.
fn repetition_len(rest: &str) -> Option<usize> {
    let Some(inside) = rest.strip_prefix('{') else { return Some(1) };
    let count = &inside[..inside.find('}')?];
    let (low, high) = count.split_once(',').unwrap_or((count, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (!low.is_empty() && digits(low) && digits(high)).then_some(count.len() + 2)
}

/// Enough of a pattern to recognise it.
fn excerpt(source: &str) -> String {
    source.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, name: &str, expected: bool) {
        let pattern = Pattern::new(pattern).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(pattern.is_match(name), expected, "{pattern:?} on {name:?}");
    }

    #[track_caller]
    fn refused(pattern: &str, rule: &str) {
        let error = Pattern::new(pattern).expect_err(pattern);
        assert!(error.rule.contains(rule), "{pattern}: {}", error.rule);
    }

    #[test]
    fn a_pattern_is_found_anywhere_in_the_name() {
        check("q", "my-queue", true);
        check("^q", "my-queue", false);
        check("queue$", "my-queue", true);
        check("^my-queue$", "my-queue", true);
        check("^my-queue$", "my-queue2", false);
        check("^(a|b)\\.", "b.c", true);
        check("^(a|b)\\.", "bc", false);
        check("", "anything", true);
        check(".*", "", true);
        check("^$", "", true);
        check("^$", "q", false);
    }

    // The expectations of the next three tests are what Erlang's re:run answers.

    #[test]
    fn braces_and_brackets_mean_themselves_where_pcre_takes_them_so() {
        check("x{y}", "x{y}", true);
        check("x{", "x{", true);
        check("^{a}-.*", "{a}-1", true);
        check("a{,3}", "a{,3}", true);
        check("^a{2,3}$", "aaa", true);
        check("^a{2,3}$", "a", false);
        check("^a{2}$", "aa", true);
        check("^a{2,}$", "aaaa", true);
        check("[[b]", "a[b", true);
        check("[]]", "]", true);
        check("[^]]", "x", true);
        check("[^]]", "]", false);
        check("[a&&b]$", "a&", true);
        check("[a-c--b]", "B", true); // a-c, and the range from - to b
        check("[~~]", "a~b", true);
        check("[\\w-.]+$", "a-b.c", true);
        check("^[[:alpha:]-]+$", "a-b", true);
        check("^[[:alpha:])(|]+$", "a)b", true);
    }

    #[test]
    fn escapes_are_read_as_pcre_reads_them() {
        check("a\\/b", "a/b", true);
        check("a\\_b", "a_b", true);
        check("a\\@b", "a@b", true);
        check("a\\#b", "a#b", true);
        check("a\\<b", "a<b", true);
        check("a\\hb", "a b", true);
        check("^[\\h]$", "\t", true);
        check("^[^\\h]$", "\t", false);
        check("a\\\\b", "a\\b", true);
        check("^a\\Q.*\\E$", "a.*", true);
        check("^a\\Q.*\\E$", "abb", false);
        check("^a\\Z", "a", true);
        check("^\\x{61}$", "a", true);
        check("(?#who)^a", "a", true);
        check("(?i)Q", "q", true);
        check("(?<n>a)", "a", true);
        check("(?:a|b)+?c", "abc", true);
    }

    #[test]
    fn names_are_bytes_unless_the_pattern_has_letters_beyond_ascii() {
        check("^.$", "ü", false);
        check("^..$", "ü", true);
        check("^\\w+$", "ü", false);
        check("^[ä-ü]$", "ü", true);
        check("^grün$", "grün", true);
    }

    #[test]
    fn lookahead_behind_the_anchor_is_understood() {
        check("^(?!amq\\.).*", "amq.direct", false);
        check("^(?!amq\\.).*", "orders", true);
        check("^(?!amq\\.|sys[.)])(?=.*x)o", "ox", true);
        check("^(?!amq\\.|sys[.)])(?=.*x)o", "orders", false);
        check("^(?!amq\\.|sys[.)])(?=.*x)o", "sys)x", false);
        check("^(?=a).b", "ab", true);
        check("^(?!a)(b|c)$", "c", true);
        refused("^(?!a)b|c", "need a group");
        refused("^(?!a)*b", "repeated");
        refused("^(?!a", "not closed");
        refused("x(?!a)", "look-around");
        refused("(?<!a)b", "look-around");
    }

    #[test]
    fn what_has_no_linear_search_is_refused_and_says_so() {
        refused("(", "unclosed group");
        refused("*", "repetition operator missing expression");
        refused("[a", "not closed");
        refused("a\\", "backslash");
        refused("(a)\\1", "backreferences");
        refused("a++b", "possessive");
        refused("a{2}+b", "possessive");
        refused("(?>a)", "atomic");
        refused("(?R)", "recursion");
        refused("(((a{100}){100}){100}){100}", "memory");
        refused(&"a".repeat(PATTERN_BYTES_MAX + 1), "longer than");
        refused(&format!("{}{}", "(".repeat(1000), ")".repeat(1000)), "nest");
    }

    #[test]
    fn an_error_names_pattern_and_rule() {
        let error = Pattern::new("a(").expect_err("unclosed");
        assert_eq!(error.to_string(), "pattern 'a(' is not usable: unclosed group");
    }

    proptest::proptest! {
        #[test]
        fn no_pattern_and_no_name_panics(pattern in "[\\[\\]\\\\(){}?*+^$|:!=#<>QEhpxüa&~,0-9-]{0,24}", name in ".{0,16}") {
            if let Ok(pattern) = Pattern::new(&pattern) {
                pattern.is_match(&name);
            }
        }

        #[test]
        fn an_escaped_name_matches_itself(name in ".{1,16}") {
            let pattern = Pattern::new(&format!("^{}$", regex::escape(&name))).expect("an escaped name is a pattern");
            proptest::prop_assert!(pattern.is_match(&name));
        }
    }
}
