//! Topic exchanges: binding keys are patterns over the words between dots; `*` is any one word, `#` any number.
//!
//! Patterns form a trie, one edge per word:
//!
//! ```text
//!   "eu.*.created"  "eu.#"        root ── eu ──┬── * ── created    (targets of the first)
//!                                              └── #              (targets of the second)
//! ```
//!
//! A routing key walks it as a non-deterministic automaton, one word at a time, holding the set of nodes that the
//! words so far lead to. A node has one parent, so it can enter the set twice only by way of `#`; such nodes are marked
//! and enter once. That bounds a match by words × nodes whatever the patterns are, where recursion on `#.a.#.a.#`
//! would take time exponential in the pattern's length.
//!
//! Words are interned, so that each word of a key is hashed once, and an edge is looked up by two integers.

use hashbrown::HashMap;

use super::id_set::IdSet;
use super::key::Key;
use super::marks::Marks;

/// Patterns and where they lead.
#[derive(Debug)]
pub(crate) struct TopicMatcher {
    /// Every word on an edge.
    words: HashMap<Key, Word>,
    words_free: Vec<WordId>,
    /// Edges for words, but for one of each node; that one, and those for `*` and `#`, are in the nodes.
    edges: HashMap<(NodeId, WordId), NodeId>,
    nodes: Vec<Node>,
    nodes_free: Vec<NodeId>,
}

/// What one match needs, kept between matches so that none allocates.
#[derive(Debug, Default)]
pub(crate) struct TopicScratch {
    words: Vec<WordId>,
    /// Nodes that the words so far lead to.
    current: Vec<NodeId>,
    next: Vec<NodeId>,
    /// `#` nodes met so far that have children: they take every further word and stay.
    hashes: Vec<NodeId>,
    met: Marks,
}

type NodeId = u32;
type WordId = u32;

#[derive(Debug)]
struct Word {
    id: WordId,
    edges: u32,
}

#[derive(Debug)]
struct Node {
    targets: IdSet,
    star: NodeId,
    hash: NodeId,
    /// One edge for a word: most nodes have no more, and following it takes no look at the large map.
    near_word: WordId,
    near_child: NodeId,
    /// Edges for words that are in the map.
    far_edges: u32,
    /// True for a `#` below another `#`: the same match can come here more than once.
    recurring: bool,
}

impl Default for TopicMatcher {
    fn default() -> TopicMatcher {
        TopicMatcher {
            words: HashMap::new(),
            words_free: Vec::new(),
            edges: HashMap::new(),
            nodes: vec![Node::new(false)],
            nodes_free: Vec::new(),
        }
    }
}

impl TopicMatcher {
    pub fn bind(&mut self, pattern: &str, target: u32) {
        let mut node = ROOT;
        let mut below_hash = false;
        for word in split(pattern) {
            node = self.child_or_insert(node, word, below_hash);
            below_hash |= word == "#";
        }
        self.nodes[node as usize].targets.insert(target);
    }

    pub fn unbind(&mut self, pattern: &str, target: u32) {
        let mut path = vec![ROOT];
        for word in split(pattern) {
            let child = self.child(path[path.len() - 1], word);
            if child == NONE {
                return;
            }
            path.push(child);
        }
        self.nodes[path[path.len() - 1] as usize].targets.remove(target);
        for (word, depth) in split(pattern).rev().zip((1..path.len()).rev()) {
            if !self.nodes[path[depth] as usize].is_unused() {
                break;
            }
            self.remove_edge(path[depth - 1], word, path[depth]);
        }
    }

    /// Appends the targets of every pattern that matches `key`; a target of several patterns may come several times.
    pub fn route(&self, key: &str, scratch: &mut TopicScratch, out: &mut Vec<u32>) {
        let TopicScratch { words, current, next, hashes, met } = scratch;
        words.clear();
        words.extend(split(key).map(|word| self.word_id(word)));
        hashes.clear();
        met.clear();
        current.clear();
        current.push(ROOT);
        self.enter_hashes_of(ROOT, hashes, met, out);
        for &word in words.iter() {
            next.clear();
            for &node in current.iter().chain(hashes.iter()) {
                self.step(node, word, next);
            }
            for &node in next.iter() {
                self.enter_hashes_of(node, hashes, met, out);
            }
            std::mem::swap(current, next);
            if current.is_empty() && hashes.is_empty() {
                return;
            }
        }
        for &node in current.iter() {
            self.nodes[node as usize].targets.append_to(out);
        }
    }

    #[inline]
    fn step(&self, node_id: NodeId, word: WordId, next: &mut Vec<NodeId>) {
        let node = &self.nodes[node_id as usize];
        let child = self.word_child(node_id, word);
        if child != NONE {
            next.push(child);
        }
        if node.star != NONE {
            next.push(node.star);
        }
    }

    /// Enters the `#` below `node`, which matches at once with no word at all and then with all words to come.
    #[inline]
    fn enter_hashes_of(
        &self,
        mut node: NodeId,
        hashes: &mut Vec<NodeId>,
        met: &mut Marks,
        out: &mut Vec<u32>,
    ) {
        loop {
            let hash_id = self.nodes[node as usize].hash;
            if hash_id == NONE {
                return;
            }
            let hash = &self.nodes[hash_id as usize];
            if hash.recurring && !met.insert(hash_id) {
                return;
            }
            hash.targets.append_to(out);
            if hash.star != NONE || hash.has_word_edges() {
                hashes.push(hash_id);
            }
            node = hash_id;
        }
    }

    fn child(&self, node: NodeId, word: &str) -> NodeId {
        match word {
            "*" => self.nodes[node as usize].star,
            "#" => self.nodes[node as usize].hash,
            _ => self.word_child(node, self.word_id(word)),
        }
    }

    #[inline]
    fn word_child(&self, node_id: NodeId, word: WordId) -> NodeId {
        let node = &self.nodes[node_id as usize];
        if word == NONE {
            NONE
        } else if node.near_word == word {
            node.near_child
        } else if node.far_edges > 0 {
            self.edges.get(&(node_id, word)).copied().unwrap_or(NONE)
        } else {
            NONE
        }
    }

    #[inline]
    fn word_id(&self, word: &str) -> WordId {
        self.words.get(word.as_bytes()).map_or(NONE, |word| word.id)
    }

    fn child_or_insert(&mut self, node: NodeId, word: &str, below_hash: bool) -> NodeId {
        let child = self.child(node, word);
        if child != NONE {
            return child;
        }
        let child = self.insert_node(Node::new(below_hash && word == "#"));
        match word {
            "*" => self.nodes[node as usize].star = child,
            "#" => self.nodes[node as usize].hash = child,
            _ => {
                let unused = self.words.len() as WordId;
                let word = self
                    .words
                    .entry(word.into())
                    .or_insert_with(|| Word { id: self.words_free.pop().unwrap_or(unused), edges: 0 });
                word.edges += 1;
                let parent = &mut self.nodes[node as usize];
                if parent.near_word == NONE {
                    (parent.near_word, parent.near_child) = (word.id, child);
                } else {
                    parent.far_edges += 1;
                    self.edges.insert((node, word.id), child);
                }
            }
        }
        child
    }

    fn insert_node(&mut self, node: Node) -> NodeId {
        match self.nodes_free.pop() {
            Some(id) => {
                self.nodes[id as usize] = node;
                id
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as NodeId - 1
            }
        }
    }

    fn remove_edge(&mut self, node: NodeId, word: &str, child: NodeId) {
        match word {
            "*" => self.nodes[node as usize].star = NONE,
            "#" => self.nodes[node as usize].hash = NONE,
            _ => {
                if let Some(entry) = self.words.get_mut(word.as_bytes()) {
                    let id = entry.id;
                    entry.edges -= 1;
                    if entry.edges == 0 {
                        self.words.remove(word.as_bytes());
                        self.words_free.push(id);
                    }
                    let parent = &mut self.nodes[node as usize];
                    if parent.near_word == id {
                        (parent.near_word, parent.near_child) = (NONE, NONE);
                    } else {
                        parent.far_edges -= 1;
                        self.edges.remove(&(node, id));
                    }
                }
            }
        }
        self.nodes_free.push(child);
    }
}

impl Node {
    fn new(recurring: bool) -> Node {
        Node {
            targets: IdSet::default(),
            star: NONE,
            hash: NONE,
            near_word: NONE,
            near_child: NONE,
            far_edges: 0,
            recurring,
        }
    }

    fn is_unused(&self) -> bool {
        self.targets.is_empty() && self.star == NONE && self.hash == NONE && !self.has_word_edges()
    }

    #[inline]
    fn has_word_edges(&self) -> bool {
        self.near_word != NONE || self.far_edges > 0
    }
}

/// The words of a key or pattern. An empty key has no words, as RabbitMQ has it, where "a." has two.
fn split(key: &str) -> impl DoubleEndedIterator<Item = &str> {
    (!key.is_empty()).then(|| key.split('.')).into_iter().flatten()
}

const ROOT: NodeId = 0;
/// No such node, no such word.
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, key: &str, matches: bool) {
        let mut matcher = TopicMatcher::default();
        matcher.bind(pattern, 7);
        assert_eq!(targets(&matcher, key) == [7], matches, "pattern {pattern:?}, key {key:?}");
        assert_eq!(naive(pattern, key), matches, "naive, pattern {pattern:?}, key {key:?}");
        matcher.unbind(pattern, 7);
        assert_eq!(targets(&matcher, key), [0; 0]);
        assert_empty(&matcher);
    }

    fn targets(matcher: &TopicMatcher, key: &str) -> Vec<u32> {
        let mut out = Vec::new();
        matcher.route(key, &mut TopicScratch::default(), &mut out);
        out.sort_unstable();
        out.dedup();
        out
    }

    fn assert_empty(matcher: &TopicMatcher) {
        assert!(matcher.words.is_empty() && matcher.edges.is_empty());
        assert_eq!(matcher.nodes.len(), matcher.nodes_free.len() + 1);
        assert!(matcher.nodes[ROOT as usize].is_unused());
    }

    fn naive(pattern: &str, key: &str) -> bool {
        fn matches(pattern: &[&str], key: &[&str]) -> bool {
            match (pattern, key) {
                ([], []) => true,
                (["#", rest @ ..], _) => {
                    matches(rest, key) || key.split_first().is_some_and(|(_, key)| matches(pattern, key))
                }
                (["*", rest @ ..], [_, key @ ..]) => matches(rest, key),
                ([word, rest @ ..], [first, key @ ..]) => word == first && matches(rest, key),
                _ => false,
            }
        }
        matches(&split(pattern).collect::<Vec<_>>(), &split(key).collect::<Vec<_>>())
    }

    #[test]
    fn words_match_themselves() {
        check("a.b.c", "a.b.c", true);
        check("a.b.c", "a.b", false);
        check("a.b", "a.b.c", false);
        check("a", "b", false);
        check("a", "", false);
    }

    #[test]
    fn a_star_is_exactly_one_word() {
        check("*", "a", true);
        check("*", "a.b", false);
        check("*", "", false);
        check("a.*.c", "a.b.c", true);
        check("a.*.c", "a.c", false);
        check("*.*", "a.b", true);
        check("a*", "ab", false);
    }

    #[test]
    fn a_hash_is_any_number_of_words() {
        for key in ["", "a", "a.b", "a.b.c.d.e"] {
            check("#", key, true);
            check("#.#", key, true);
        }
        check("a.#", "a", true);
        check("a.#", "b.a", false);
        check("#.a", "a", true);
        check("#.a", "b.c.a", true);
        check("#.a", "a.b", false);
        check("a.#.c", "a.c", true);
        check("a.#.c", "a.b.b.c", true);
        check("#.a.#.a.#", "x.a.y", false);
        check("#.a.#.a.#", "x.a.y.a", true);
        check("#.*", "", false);
        check("#.*", "a", true);
        check("*.#.*", "a", false);
        check("*.#.*", "a.b.c", true);
    }

    #[test]
    fn empty_words_are_words() {
        check("", "", true);
        check("", "a", false);
        check("a.", "a.", true);
        check("a.*", "a.", true);
        check("a.", "a", false);
        check(".", "..", false);
        check("*.*.*", "..", true);
    }

    #[test]
    fn a_pattern_bound_twice_is_unbound_twice() {
        let mut matcher = TopicMatcher::default();
        matcher.bind("a.#", 1);
        matcher.bind("a.#", 1);
        matcher.unbind("a.#", 1);
        assert_eq!(targets(&matcher, "a.b"), [1]);
        matcher.unbind("a.#", 1);
        assert_eq!(targets(&matcher, "a.b"), [0; 0]);
        assert_empty(&matcher);
    }

    #[test]
    fn many_hashes_do_not_take_exponential_time() {
        let mut matcher = TopicMatcher::default();
        matcher.bind(&"#.a.".repeat(60), 1);
        matcher.bind(&["#.a"; 60].join("."), 2);
        let key = ["a"; 120].join(".");
        assert_eq!(targets(&matcher, &key), [2]);
    }

    fn words() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "c", ""]), 0..6)
            .prop_map(|words| words.join("."))
    }

    fn patterns() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "*", "#", "#", ""]), 0..6)
            .prop_map(|words| words.join("."))
    }

    proptest! {
        #[test]
        fn matches_what_a_naive_matcher_matches(
            patterns in prop::collection::vec(patterns(), 1..30),
            unbound in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            keys in prop::collection::vec(words(), 1..10),
        ) {
            let mut matcher = TopicMatcher::default();
            let mut bound: Vec<(u32, &String)> = (0..).zip(&patterns).collect();
            for (id, pattern) in &bound {
                matcher.bind(pattern, *id);
            }
            for index in unbound {
                if !bound.is_empty() {
                    let (id, pattern) = bound.swap_remove(index.index(bound.len()));
                    matcher.unbind(pattern, id);
                }
            }
            let mut scratch = TopicScratch::default();
            for key in keys {
                let mut found = Vec::new();
                matcher.route(&key, &mut scratch, &mut found);
                found.sort_unstable();
                found.dedup();
                let mut expected: Vec<u32> =
                    bound.iter().filter(|(_, pattern)| naive(pattern, &key)).map(|(id, _)| *id).collect();
                expected.sort_unstable();
                prop_assert_eq!(found, expected, "key {:?}", key);
            }
            for (id, pattern) in bound {
                matcher.unbind(pattern, id);
            }
            assert_empty(&matcher);
        }
    }
}
