//! Finding things by a few of their letters.

/// How well `needle` fits `text`: `None` not at all, more is better. Letters have to come in order; those at starts of
/// words and in a row count more, and short texts before long ones.
pub fn score(needle: &str, text: &str) -> Option<i32> {
    positions(needle, text).map(|(score, _)| score)
}

/// The score, and which characters of `text` were found.
pub fn positions(needle: &str, text: &str) -> Option<(i32, Vec<usize>)> {
    let needle: Vec<char> =
        needle.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect();
    let original: Vec<char> = text.chars().collect();
    let text: Vec<char> = original.iter().map(|c| c.to_lowercase().next().unwrap_or(*c)).collect();
    if needle.is_empty() {
        return Some((0, Vec::new()));
    }
    // Most texts lack a letter, which is seen at a glance.
    let mut rest = text.iter();
    if !needle.iter().all(|wanted| rest.any(|letter| letter == wanted)) {
        return None;
    }
    // best[j]: the best score with the current letter of the needle at text[j].
    const NONE: i32 = i32::MIN / 2;
    let mut best = vec![NONE; text.len()];
    let mut came_from: Vec<Vec<usize>> = Vec::with_capacity(needle.len());
    for (at, wanted) in needle.iter().enumerate() {
        let mut next = vec![NONE; text.len()];
        let mut from = vec![usize::MAX; text.len()];
        // The best place of the letter before, that is not right before this one.
        let mut before = (NONE, usize::MAX);
        for j in 0..text.len() {
            if text[j] == *wanted {
                let bonus = if starts_word(&original, j) { 8 } else { 0 };
                if at == 0 {
                    next[j] = bonus - (j.min(8) as i32);
                } else {
                    let adjacent = j.checked_sub(1).map_or(NONE, |previous| best[previous]) + 10;
                    let apart = before.0 - 2;
                    if adjacent >= apart && j > 0 {
                        (next[j], from[j]) = (adjacent + bonus, j - 1);
                    } else {
                        (next[j], from[j]) = (apart + bonus, before.1);
                    }
                }
                if next[j] < NONE / 2 {
                    next[j] = NONE;
                }
            }
            if best[j] > before.0 {
                before = (best[j], j);
            }
        }
        came_from.push(from);
        best = next;
    }
    let (end, score) =
        best.iter().copied().enumerate().max_by_key(|(at, score)| (*score, usize::MAX - at))?;
    if score <= NONE / 2 {
        return None;
    }
    let mut found = vec![end; needle.len()];
    for at in (1..needle.len()).rev() {
        found[at - 1] = *came_from[at].get(found[at]).filter(|from| **from < text.len())?;
    }
    Some((score * 4 - text.len().min(60) as i32, found))
}

fn starts_word(text: &[char], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|before| text[before]) else { return true };
    !before.is_alphanumeric() || (before.is_lowercase() && text[at].is_uppercase())
}

/// The best of `items` by what `text` says of them, best first, at most `limit`.
pub fn rank<T>(
    needle: &str,
    items: impl IntoIterator<Item = T>,
    text: impl Fn(&T) -> String,
    limit: usize,
) -> Vec<T> {
    let mut scored: Vec<(i32, usize, T)> = Vec::new();
    for (order, item) in items.into_iter().enumerate() {
        if let Some(score) = score(needle, &text(&item)) {
            scored.push((score, order, item));
        }
    }
    scored.sort_by_key(|(score, order, _)| (-score, *order));
    scored.truncate(limit);
    scored.into_iter().map(|(_, _, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn starts_of_words_come_before_letters_in_the_middle() {
        let check = |needle: &str, expected: &[&str]| {
            let mut items = expected.to_vec();
            items.reverse();
            assert_eq!(rank(needle, items, |item| (*item).to_owned(), 10), expected, "{needle}");
        };
        check("oe", &["orders.eu", "home"]);
        check("dead", &["Dead letters", "orders.dead", "d.e.a.d.x"]);
        check("que", &["Queues", "Purge queue"]);
        check("订单", &["订单", "支付.订单.x"]);
    }

    #[test]
    fn what_does_not_have_the_letters_in_order_is_not_found() {
        assert_eq!(score("ba", "ab"), None);
        assert_eq!(score("abc", "ab"), None);
        assert!(score("", "anything").is_some());
    }

    proptest! {
        #[test]
        fn found_letters_spell_the_needle(text in "[a-cA-C. ]{0,12}", needle in "[a-c]{1,4}") {
            let letters: Vec<char> = text.chars().collect();
            let mut rest = needle.chars().peekable();
            for c in letters.iter().map(char::to_ascii_lowercase) {
                if rest.peek() == Some(&c) { rest.next(); }
            }
            match positions(&needle, &text) {
                Some((_, found)) => {
                    prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
                    let spelled: String = found.iter().map(|at| letters[*at].to_ascii_lowercase()).collect();
                    prop_assert_eq!(spelled, needle);
                }
                None => prop_assert!(rest.peek().is_some()),
            }
        }
    }
}
