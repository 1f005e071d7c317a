//! What the console says, in each of its languages.
//!
//! A text is declared once, with all languages beside one another, next to the screen that shows it:
//!
//! ```text
//! texts! {
//!     TITLE = "Queues" | "队列";
//!     SHOWN = "{} of {} queues" | "共 {} 个队列，显示 {} 个";
//! }
//! ui.heading(t(TITLE));
//! ui.label(SHOWN.with(&[&shown, &total]));
//! ```
//!
//! A language that is missing, or has another number of `{}`, does not compile. Where the number before it decides on a
//! word, both stand there: `"{} {message waits|messages wait}"`.

pub mod common;

use std::cell::Cell;
use std::fmt::Display;

/// A text in each language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    en: &'static str,
    zh: &'static str,
}

/// A language of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    English,
    Chinese,
}

thread_local! {
    /// The thread that draws is the only one that speaks.
    static LANGUAGE: Cell<Language> = const { Cell::new(Language::English) };
}

/// From now on everything is said in this language, on this thread.
pub fn speak(language: Language) {
    LANGUAGE.set(language);
}

pub fn language() -> Language {
    LANGUAGE.get()
}

/// The language of the system, as its environment tells.
pub fn system_language() -> Language {
    let set = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    match set {
        Some(value) if value.starts_with("zh") => Language::Chinese,
        _ => Language::English,
    }
}

impl Text {
    pub const fn new(en: &'static str, zh: &'static str) -> Text {
        assert!(blanks(en) == blanks(zh), "the languages have different numbers of blanks");
        Text { en, zh }
    }

    pub fn get(self) -> &'static str {
        match language() {
            Language::English => self.en,
            Language::Chinese => self.zh,
        }
    }

    /// With each `{}` replaced, in order, and of each `{one|many}` the word that goes with the value before it.
    pub fn with(self, values: &[&dyn Display]) -> String {
        let mut text = String::new();
        let mut values = values.iter();
        let mut is_one = false;
        let mut rest = self.get();
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let Some((blank, after)) = after.split_once('}') else { break };
            rest = after;
            if let Some((one, many)) = blank.split_once('|') {
                text.push_str(if is_one { one } else { many });
            } else if let Some(value) = values.next() {
                let value = value.to_string();
                is_one = value == "1";
                text.push_str(&value);
            }
        }
        text.push_str(rest);
        text
    }
}

/// The text in the language that is spoken.
pub fn t(text: Text) -> &'static str {
    text.get()
}

const fn blanks(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut count) = (0, 0);
    while at + 1 < bytes.len() {
        if bytes[at] == b'{' && bytes[at + 1] == b'}' {
            count += 1;
        }
        at += 1;
    }
    count
}

/// Declares texts; see the module.
#[macro_export]
macro_rules! texts {
    ($($(#[$meta:meta])* $name:ident = $en:literal | $zh:literal;)*) => {
        $($(#[$meta])* pub const $name: $crate::text::Text = $crate::text::Text::new($en, $zh);)*
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    texts! {
        SHOWN = "{} of {}" | "共 {} 个，{}";
        WAITING = "{} {message waits|messages wait} in {} {queue|queues}." | "{} 条消息在 {} 个队列中等待。";
    }

    #[test]
    fn blanks_are_filled_in_order() {
        speak(Language::English);
        assert_eq!(SHOWN.with(&[&3, &"ten"]), "3 of ten");
        assert_eq!(SHOWN.with(&[&3]), "3 of ");
        speak(Language::Chinese);
        assert_eq!(SHOWN.with(&[&3, &4]), "共 3 个，4");
    }

    #[test]
    fn words_go_with_the_number_before_them() {
        speak(Language::English);
        assert_eq!(WAITING.with(&[&1, &2]), "1 message waits in 2 queues.");
        assert_eq!(WAITING.with(&[&0, &"1"]), "0 messages wait in 1 queue.");
        speak(Language::Chinese);
        assert_eq!(WAITING.with(&[&1, &2]), "1 条消息在 2 个队列中等待。");
    }
}
