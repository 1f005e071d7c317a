//! Which routing keys a topic pattern takes, word by word, so that a preview can show why.

/// True when `pattern` takes `key`: `*` is one word, `#` any number of words.
pub fn matches(pattern: &str, key: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('.').collect();
    // The empty key has no words, for `#` takes it and `*` does not.
    let key: Vec<&str> = if key.is_empty() { Vec::new() } else { key.split('.').collect() };
    // reached[i]: the first i words of the pattern take the words of the key so far.
    let mut reached = vec![false; pattern.len() + 1];
    reached[0] = true;
    skip_hashes(&pattern, &mut reached);
    for word in key {
        let mut next = vec![false; pattern.len() + 1];
        for (at, expected) in pattern.iter().enumerate() {
            if !reached[at] {
                continue;
            }
            match *expected {
                "#" => next[at] = true,
                "*" => next[at + 1] = true,
                literal => next[at + 1] |= literal == word,
            }
        }
        skip_hashes(&pattern, &mut next);
        reached = next;
    }
    reached[pattern.len()]
}

fn skip_hashes(pattern: &[&str], reached: &mut [bool]) {
    for (at, expected) in pattern.iter().enumerate() {
        if reached[at] && *expected == "#" {
            reached[at + 1] = true;
        }
    }
}

/// A key that `pattern` takes, for an example to start with.
pub fn example(pattern: &str) -> String {
    let words = pattern.split('.').enumerate().map(|(at, word)| match word {
        "*" => format!("word{}", at + 1),
        "#" => "any.words".to_owned(),
        literal => literal.to_owned(),
    });
    words.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_take_one_word_and_hashes_any_number() {
        let check = |pattern, key, expected| assert_eq!(matches(pattern, key), expected, "{pattern} {key}");
        check("a.b", "a.b", true);
        check("a.b", "a.c", false);
        check("a.*", "a.b", true);
        check("a.*", "a", false);
        check("a.*", "a.b.c", false);
        check("a.#", "a", true);
        check("a.#", "a.b.c", true);
        check("#.z", "z", true);
        check("#.z", "a.z", true);
        check("#", "", true);
        check("*", "", false);
        check("a.#.b.#.c", "a.x.b.c", true);
        check("a.#.b.#.c", "a.x.c", false);
        check("", "", false);
    }

    proptest! {
        #[test]
        fn the_example_is_taken(words in prop::collection::vec("[a-z]{1,3}|\\*|#", 1..6)) {
            let pattern = words.join(".");
            prop_assert!(matches(&pattern, &example(&pattern)), "{pattern}");
        }
    }
}
