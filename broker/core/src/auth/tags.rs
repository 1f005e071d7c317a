//! User tags: what a user may do beside AMQP, through the admin API.

use serde::{Deserialize, Serialize};

/// A user's tags, in the order they were given, each once.
///
/// Any text is a tag; those below have a meaning. `administrator` includes `policymaker` and `monitoring`, and all
/// three include `management`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(Vec<String>);

impl Tags {
    /// The tags of a list; blanks around them and repeated ones are dropped.
    pub fn new<T: AsRef<str>>(tags: impl IntoIterator<Item = T>) -> Tags {
        let mut kept: Vec<String> = Vec::new();
        for tag in tags {
            let tag = tag.as_ref().trim();
            if !tag.is_empty() && !kept.iter().any(|known| known == tag) {
                kept.push(tag.to_owned());
            }
        }
        Tags(kept)
    }

    /// The tags of a comma-separated text, as older tools send them.
    pub fn parse(text: &str) -> Tags {
        Tags::new(text.split(','))
    }

    /// True when `tag` is among them.
    pub fn contains(&self, tag: &str) -> bool {
        self.0.iter().any(|known| known == tag)
    }

    /// May change users, vhosts and permissions, and see and close everything.
    pub fn is_administrator(&self) -> bool {
        self.contains("administrator")
    }

    /// May see connections, channels and nodes of everybody.
    pub fn may_monitor(&self) -> bool {
        self.is_administrator() || self.contains("monitoring")
    }

    /// May change policies and parameters of their vhosts.
    pub fn may_set_policies(&self) -> bool {
        self.is_administrator() || self.contains("policymaker")
    }

    /// May use the admin API at all.
    pub fn may_manage(&self) -> bool {
        self.may_monitor() || self.may_set_policies() || self.contains("management")
    }

    /// May publish messages whose `user_id` names somebody else.
    pub fn may_impersonate(&self) -> bool {
        self.contains("impersonator")
    }

    /// The tags as texts.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_from_lists_and_from_comma_separated_text() {
        assert_eq!(Tags::parse("administrator, foo,,foo , bar").as_slice(), ["administrator", "foo", "bar"]);
        assert_eq!(Tags::new(["administrator", " foo", "foo"]), Tags::parse("administrator,foo"));
        assert_eq!(Tags::parse(""), Tags::default());
    }

    #[test]
    fn each_tag_opens_what_it_names_and_what_it_includes() {
        let rights = |text| {
            let tags = Tags::parse(text);
            [tags.is_administrator(), tags.may_monitor(), tags.may_set_policies(), tags.may_manage()]
        };
        assert_eq!(rights("administrator"), [true, true, true, true]);
        assert_eq!(rights("monitoring"), [false, true, false, true]);
        assert_eq!(rights("policymaker"), [false, false, true, true]);
        assert_eq!(rights("management"), [false, false, false, true]);
        assert_eq!(rights("impersonator"), [false, false, false, false]);
        assert_eq!(rights("Administrator,admin"), [false, false, false, false]);
        assert!(Tags::parse("impersonator").may_impersonate());
        assert!(!Tags::parse("administrator").may_impersonate());
    }
}
