//! What a list is asked for.

use super::path::Path;

/// Page, filter, order and columns of a list, as every list of the API takes them. Without a page all of it is
/// answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListQuery {
    page: Option<(usize, usize)>,
    name: Option<String>,
    use_regex: bool,
    sort: Option<String>,
    reverse: bool,
    columns: Vec<String>,
    disable_stats: bool,
    samples: Vec<(&'static str, u64, u64)>,
}

/// Which entries of the audit log are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditQuery {
    /// Where the previous page said that the next one begins.
    pub cursor: Option<String>,
    pub limit: Option<u32>,
    pub user: Option<String>,
    /// `queue`, `exchange`, `user` and so on.
    pub kind: Option<String>,
    /// What the name contains.
    pub name: Option<String>,
    /// Not earlier, in milliseconds since 1970.
    pub since: Option<u64>,
}

impl ListQuery {
    /// All of a list.
    pub fn new() -> ListQuery {
        ListQuery::default()
    }

    /// Only page `number`, from 1, of `size` items, 500 at most.
    #[must_use]
    pub fn page(mut self, number: usize, size: usize) -> ListQuery {
        self.page = Some((number, size));
        self
    }

    /// Only those whose name contains this, in any case.
    #[must_use]
    pub fn name(mut self, part: impl Into<String>) -> ListQuery {
        self.name = Some(part.into());
        self
    }

    /// Only those whose name matches this regular expression somewhere, in any case.
    #[must_use]
    pub fn name_matches(mut self, pattern: impl Into<String>) -> ListQuery {
        self.use_regex = true;
        self.name(pattern)
    }

    /// Ordered by this field, such as `messages` or `message_stats.publish_details.rate`.
    #[must_use]
    pub fn sort(mut self, field: impl Into<String>) -> ListQuery {
        self.sort = Some(field.into());
        self
    }

    /// The other way round.
    #[must_use]
    pub fn reverse(mut self) -> ListQuery {
        self.reverse = true;
        self
    }

    /// Only these fields; the others come with their defaults.
    #[must_use]
    pub fn columns(mut self, fields: impl IntoIterator<Item = impl Into<String>>) -> ListQuery {
        self.columns = fields.into_iter().map(Into::into).collect();
        self
    }

    /// Without figures.
    #[must_use]
    pub fn disable_stats(mut self) -> ListQuery {
        self.disable_stats = true;
        self
    }

    /// With samples of numbers of messages over the last `age_s` seconds, one every `step_s`.
    #[must_use]
    pub fn lengths(self, age_s: u64, step_s: u64) -> ListQuery {
        self.with_samples("lengths", age_s, step_s)
    }

    /// With samples of counters of messages, such as those published.
    #[must_use]
    pub fn message_rates(self, age_s: u64, step_s: u64) -> ListQuery {
        self.with_samples("msg_rates", age_s, step_s)
    }

    /// With samples of bytes sent and received.
    #[must_use]
    pub fn data_rates(self, age_s: u64, step_s: u64) -> ListQuery {
        self.with_samples("data_rates", age_s, step_s)
    }

    fn with_samples(mut self, of: &'static str, age_s: u64, step_s: u64) -> ListQuery {
        self.samples.push((of, age_s, step_s));
        self
    }

    pub(super) fn add_to(&self, mut path: Path) -> Path {
        if let Some((number, size)) = self.page {
            path = path.query("page", &number.to_string()).query("page_size", &size.to_string());
            if self.name.is_none() {
                // RabbitMQ of some versions takes neither for granted beside a page.
                path = path.query("name", "").query("use_regex", "false");
            }
        }
        if let Some(name) = &self.name {
            path = path.query("name", name).query("use_regex", if self.use_regex { "true" } else { "false" });
        }
        path = path.query_if("sort", self.sort.as_deref());
        if self.reverse {
            path = path.query("sort_reverse", "true");
        }
        if !self.columns.is_empty() {
            path = path.query("columns", &self.columns.join(","));
        }
        if self.disable_stats {
            path = path.query("disable_stats", "true");
        }
        for (of, age_s, step_s) in &self.samples {
            path = path
                .query(&format!("{of}_age"), &age_s.to_string())
                .query(&format!("{of}_incr"), &step_s.to_string());
        }
        path
    }
}

impl AuditQuery {
    pub(super) fn add_to(&self, path: Path) -> Path {
        path.query_if("cursor", self.cursor.as_deref())
            .query_if("limit", self.limit)
            .query_if("user", self.user.as_deref())
            .query_if("kind", self.kind.as_deref())
            .query_if("name", self.name.as_deref())
            .query_if("since", self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_what_it_was_told_and_nothing_else() {
        let text = |query: ListQuery| query.add_to(Path::new("queues")).into_text();
        assert_eq!(text(ListQuery::new()), "/api/queues");
        assert_eq!(
            text(ListQuery::new().sort("messages").reverse().page(2, 50).name_matches("^a")),
            "/api/queues?page=2&page_size=50&name=%5Ea&use_regex=true&sort=messages&sort_reverse=true"
        );
        assert_eq!(
            text(ListQuery::new().columns(["name", "a.b"]).disable_stats().lengths(60, 5)),
            "/api/queues?columns=name%2Ca.b&disable_stats=true&lengths_age=60&lengths_incr=5"
        );
    }
}
