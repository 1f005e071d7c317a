//! Lists as RabbitMQ's API serves them: filtered, ordered, in pages, with chosen columns.
//!
//! `?name=` keeps items whose name contains a text, or with `use_regex=true` a pattern, in any case.
//! `?sort=path&sort_reverse=true` orders by a field, `?columns=a,b.c` keeps some fields, `?page=&page_size=` cuts a
//! page out, and `?disable_stats=true` leaves figures out. Without `sort` a list is ordered by vhost and name. Only what is
//! served is turned into JSON, and what it is ordered by.

use std::cmp::Ordering;
use std::collections::HashMap;

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use leveret_core::pattern::Pattern;
use leveret_protocol::admin::{
    Binding, Channel, Connection, Consumer, Exchange, Node, Page, Permission, Queue, TopicPermission, User,
    Vhost,
};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::columns::Columns;
use super::error::ApiError;

/// What a request wants of a list.
#[derive(Debug, Default)]
pub struct ListQuery {
    page: Option<PageNumber>,
    name: Option<NameFilter>,
    /// Path of the field to order by.
    sort: Option<String>,
    reverse: bool,
    columns: Option<Vec<String>>,
    disable_stats: bool,
    queue_totals: bool,
}

#[derive(Debug, Clone, Copy)]
struct PageNumber {
    /// From 1.
    number: usize,
    size: usize,
}

#[derive(Debug)]
enum NameFilter {
    /// In lower case.
    Contains(String),
    Matches(Pattern),
}

/// Something that is listed.
pub trait Item: Serialize {
    /// True when RabbitMQ serves it in pages; for others it ignores `?page=`, and tools expect a bare list.
    const PAGED: bool = false;
    /// The fields that `?disable_stats=true` leaves; empty leaves all.
    const BASIC: &'static [&'static str] = &[];

    /// "" for what belongs to no vhost.
    fn vhost(&self) -> &str {
        ""
    }
    /// What a list is ordered by and searched for.
    fn name(&self) -> &str;
}

/// An item with more fields than its type has.
pub struct Extended<T> {
    pub item: T,
    /// All of it.
    pub json: Value,
}

impl ListQuery {
    /// The answer to a request for `items`.
    pub fn respond<T: Item>(&self, mut items: Vec<T>) -> Result<Response, ApiError> {
        let total_count = items.len();
        if let Some(filter) = &self.name {
            items.retain(|item| filter.keeps(item.name()));
        }
        items.sort_by(|a, b| (a.vhost(), a.name()).cmp(&(b.vhost(), b.name())));
        let Some(path) = &self.sort else {
            if self.reverse {
                items.reverse();
            }
            return self.serve::<T, T>(items, total_count);
        };
        let key = Columns::new([path.as_str()]);
        let keyed = items.into_iter().map(|item| Ok((key.pick(&item)?, item)));
        let mut keyed: Vec<(Value, T)> =
            keyed.collect::<Result<_, serde_json::Error>>().map_err(unwritable)?;
        keyed.sort_by(|(a, _), (b, _)| compare(at_path(a, path), at_path(b, path)));
        if self.reverse {
            keyed.reverse();
        }
        self.serve::<T, T>(keyed.into_iter().map(|(_, item)| item).collect(), total_count)
    }

    /// True when a page is asked for.
    pub fn is_paged(&self) -> bool {
        self.page.is_some()
    }

    /// As [`ListQuery::respond`], for many things that are costly to show: where the order is known without showing
    /// them, only those on the page are. `key` is the vhost and name of one, `figure` the value of the field at a path,
    /// and `show` is `None` for what is gone.
    pub fn respond_lazily<R, T: Item>(
        &self,
        rows: Vec<R>,
        key: impl Fn(&R) -> (&str, &str),
        figure: impl Fn(&R, &str) -> Option<f64>,
        show: impl Fn(&R) -> Option<T>,
    ) -> Result<Response, ApiError> {
        let total_count = rows.len();
        let figures: Option<Vec<f64>> = match &self.sort {
            None => Some(vec![0.0; rows.len()]),
            Some(path) => rows.iter().map(|row| figure(row, path)).collect(),
        };
        let (Some(number), Some(figures), true) = (self.page, figures, T::PAGED) else {
            return self.respond(rows.iter().filter_map(show).collect());
        };
        let mut ordered: Vec<(f64, R)> = figures.into_iter().zip(rows).collect();
        if let Some(filter) = &self.name {
            ordered.retain(|(_, row)| filter.keeps(key(row).1));
        }
        ordered.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| key(&a.1).cmp(&key(&b.1))));
        if self.reverse {
            ordered.reverse();
        }
        let page = number.cut(ordered, total_count)?;
        let items: Vec<T> = page.items.iter().filter_map(|(_, row)| show(row)).collect();
        self.serve_page::<T, T>(Page {
            item_count: items.len(),
            items,
            filtered_count: page.filtered_count,
            page: page.page,
            page_count: page.page_count,
            page_size: page.page_size,
            total_count,
        })
    }

    /// The answer to a request for one thing, of which columns may be chosen too.
    pub fn respond_one<T: Serialize>(&self, item: &T) -> Result<Response, ApiError> {
        let Some(columns) = &self.columns else { return Ok(Json(item).into_response()) };
        let columns = Columns::new(columns.iter().map(String::as_str));
        Ok(Json(columns.pick(item).map_err(unwritable)?).into_response())
    }

    /// Serves ordered items of the kind `T`, which may be JSON already.
    fn serve<T: Item, I: Serialize>(&self, items: Vec<I>, total_count: usize) -> Result<Response, ApiError> {
        let Some(number) = self.page.filter(|_| T::PAGED) else {
            return Ok(match self.columns_of::<T>() {
                None => Json(items).into_response(),
                Some(columns) => Json(pick_all(&items, &columns)?).into_response(),
            });
        };
        self.serve_page::<T, I>(number.cut(items, total_count)?)
    }

    fn serve_page<T: Item, I: Serialize>(&self, page: Page<I>) -> Result<Response, ApiError> {
        Ok(match self.columns_of::<T>() {
            None => Json(page).into_response(),
            Some(columns) => Json(Page {
                items: pick_all(&page.items, &columns)?,
                filtered_count: page.filtered_count,
                item_count: page.item_count,
                page: page.page,
                page_count: page.page_count,
                page_size: page.page_size,
                total_count: page.total_count,
            })
            .into_response(),
        })
    }

    fn columns_of<T: Item>(&self) -> Option<Columns> {
        if let Some(columns) = &self.columns {
            return Some(Columns::new(columns.iter().map(String::as_str)));
        }
        if !self.disable_stats || T::BASIC.is_empty() {
            return None;
        }
        let totals: &[&str] =
            if self.queue_totals { &["messages", "messages_ready", "messages_unacknowledged"] } else { &[] };
        Some(Columns::new(T::BASIC.iter().chain(totals).copied()))
    }

    fn parse(parameters: &HashMap<String, String>) -> Result<ListQuery, ApiError> {
        let text = |name: &str| parameters.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let is_true = |name| text(name) == Some("true");
        let name = match text("name") {
            Some(pattern) if is_true("use_regex") => {
                let pattern = Pattern::new(&format!("(?i){pattern}"))
                    .map_err(|error| ApiError::bad_request(error.to_string()))?;
                Some(NameFilter::Matches(pattern))
            }
            name => name.map(|name| NameFilter::Contains(name.to_lowercase())),
        };
        Ok(ListQuery {
            page: PageNumber::parse(text("page"), text("page_size"))?,
            name,
            sort: text("sort").map(str::to_owned),
            reverse: is_true("sort_reverse"),
            columns: text("columns")
                .map(|columns| columns.split(',').map(|name| name.trim().to_owned()).collect()),
            disable_stats: is_true("disable_stats"),
            queue_totals: is_true("enable_queue_totals"),
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ListQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<ListQuery, ApiError> {
        let query = Query::<HashMap<String, String>>::from_request_parts(parts, state).await;
        let Query(parameters) = query.map_err(|_| ApiError::bad_request("the query string is malformed"))?;
        ListQuery::parse(&parameters)
    }
}

impl PageNumber {
    /// No page unless a number is given; the size alone asks for nothing.
    fn parse(number: Option<&str>, size: Option<&str>) -> Result<Option<PageNumber>, ApiError> {
        let Some(number) = number else { return Ok(None) };
        let integer = |text: &str| {
            text.parse::<i64>().map_err(|_| ApiError::bad_request("Pagination parameters are invalid"))
        };
        let number = integer(number)?;
        let size = size.map(integer).transpose()?;
        let invalid = || {
            let size = size.map_or_else(|| "undefined".to_owned(), |size| size.to_string());
            ApiError::bad_request_as(
                "invalid_pagination_parameters",
                format!("Invalid pagination parameters: page number {number}, page size {size}"),
            )
        };
        let size = usize::try_from(size.unwrap_or(PAGE_SIZE_DEFAULT)).map_err(|_| invalid())?;
        let number = usize::try_from(number).map_err(|_| invalid())?;
        if number == 0 || size == 0 || size > PAGE_SIZE_MAX {
            return Err(invalid());
        }
        Ok(Some(PageNumber { number, size }))
    }

    fn cut<I>(self, items: Vec<I>, total_count: usize) -> Result<Page<I>, ApiError> {
        let PageNumber { number, size } = self;
        let filtered_count = items.len();
        let start = (number - 1).saturating_mul(size);
        // The first page of nothing is empty; every other page has to have something on it.
        if start >= filtered_count && number != 1 {
            return Err(ApiError::bad_request_as(
                "page_out_of_range",
                format!("Page out of range, page: {number} page size: {size}, len: {filtered_count}"),
            ));
        }
        let items: Vec<I> = items.into_iter().skip(start).take(size).collect();
        Ok(Page {
            filtered_count,
            item_count: items.len(),
            items,
            page: number,
            page_count: filtered_count.div_ceil(size),
            page_size: size,
            total_count,
        })
    }
}

impl NameFilter {
    fn keeps(&self, name: &str) -> bool {
        match self {
            NameFilter::Contains(text) => name.to_lowercase().contains(text.as_str()),
            NameFilter::Matches(pattern) => pattern.is_match(name),
        }
    }
}

impl Item for Queue {
    const PAGED: bool = true;
    const BASIC: &'static [&'static str] =
        &["name", "vhost", "type", "durable", "auto_delete", "exclusive", "arguments", "node", "state"];

    fn vhost(&self) -> &str {
        &self.vhost
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl<T: Item> Item for Extended<T> {
    const PAGED: bool = T::PAGED;
    const BASIC: &'static [&'static str] = T::BASIC;

    fn vhost(&self) -> &str {
        self.item.vhost()
    }
    fn name(&self) -> &str {
        self.item.name()
    }
}

impl<T> Serialize for Extended<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

impl Item for Exchange {
    const PAGED: bool = true;
    const BASIC: &'static [&'static str] =
        &["name", "vhost", "type", "durable", "auto_delete", "internal", "arguments"];

    fn vhost(&self) -> &str {
        &self.vhost
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl Item for Connection {
    const PAGED: bool = true;

    fn vhost(&self) -> &str {
        &self.vhost
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl Item for Channel {
    const PAGED: bool = true;

    fn vhost(&self) -> &str {
        &self.vhost
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl Item for Vhost {
    const PAGED: bool = true;
    const BASIC: &'static [&'static str] =
        &["name", "description", "tags", "default_queue_type", "metadata", "tracing", "cluster_state"];

    fn name(&self) -> &str {
        &self.name
    }
}

impl Item for Binding {
    fn vhost(&self) -> &str {
        &self.vhost
    }
    fn name(&self) -> &str {
        &self.source
    }
}

impl Item for Consumer {
    fn vhost(&self) -> &str {
        &self.queue.vhost
    }
    fn name(&self) -> &str {
        &self.queue.name
    }
}

impl Item for Node {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Item for User {
    const PAGED: bool = true;

    fn name(&self) -> &str {
        &self.name
    }
}

impl Item for Permission {
    fn vhost(&self) -> &str {
        &self.vhost
    }
    fn name(&self) -> &str {
        &self.user
    }
}

impl Item for TopicPermission {
    fn vhost(&self) -> &str {
        &self.vhost
    }
    fn name(&self) -> &str {
        &self.user
    }
}

/// RabbitMQ's.
const PAGE_SIZE_DEFAULT: i64 = 100;
pub const PAGE_SIZE_MAX: usize = 500;

fn pick_all<T: Serialize>(items: &[T], columns: &Columns) -> Result<Vec<Value>, ApiError> {
    items.iter().map(|item| columns.pick(item)).collect::<Result<_, _>>().map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> ApiError {
    ApiError::internal(error.to_string())
}

fn at_path<'a>(item: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(item, |value, name| value.get(name))
}

/// Missing before everything, then by kind, numbers by size and text by bytes.
fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    fn rank(value: Option<&Value>) -> u8 {
        match value {
            None | Some(Value::Null) => 0,
            Some(Value::Bool(_)) => 1,
            Some(Value::Number(_)) => 2,
            Some(Value::String(_)) => 3,
            Some(Value::Array(_)) => 4,
            Some(Value::Object(_)) => 5,
        }
    }
    match (a, b) {
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a.cmp(b),
        (Some(Value::Number(a)), Some(Value::Number(b))) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64().unwrap_or_default().total_cmp(&b.as_f64().unwrap_or_default()),
        },
        (Some(Value::String(a)), Some(Value::String(b))) => a.cmp(b),
        (Some(Value::Array(a)), Some(Value::Array(b))) => a.len().cmp(&b.len()),
        _ => rank(a).cmp(&rank(b)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Serialize)]
    struct Thing {
        vhost: &'static str,
        name: String,
        size: Option<u64>,
        stats: Value,
    }

    impl Item for Thing {
        const PAGED: bool = true;
        const BASIC: &'static [&'static str] = &["name"];

        fn vhost(&self) -> &str {
            self.vhost
        }
        fn name(&self) -> &str {
            &self.name
        }
    }

    #[derive(Serialize)]
    struct Bare(&'static str);

    impl Item for Bare {
        fn name(&self) -> &str {
            self.0
        }
    }

    fn thing(vhost: &'static str, name: &str, size: Option<u64>) -> Thing {
        let stats = json!({"publish": size, "deep": {"x": name}});
        Thing { vhost, name: name.to_owned(), size, stats }
    }

    fn things() -> Vec<Thing> {
        vec![thing("b", "Ab", Some(3)), thing("a", "c", None), thing("a", "Bb", Some(20))]
    }

    fn query(text: &str) -> Result<ListQuery, ApiError> {
        let parameters = text
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        ListQuery::parse(&parameters)
    }

    fn ask<T: Item>(text: &str, items: Vec<T>) -> Result<Value, ApiError> {
        let response = query(text)?.respond(items)?;
        let body = axum::body::to_bytes(response.into_body(), usize::MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let body = runtime.block_on(body).expect("a body in memory");
        Ok(serde_json::from_slice(&body).expect("JSON"))
    }

    #[track_caller]
    fn names(text: &str, expected: &[&str]) {
        let answer = ask(text, things()).expect("a list");
        let items = answer.get("items").unwrap_or(&answer).as_array().expect("items").clone();
        let names: Vec<&str> = items.iter().filter_map(|item| item["name"].as_str()).collect();
        assert_eq!(names, expected, "{text}");
    }

    #[track_caller]
    fn refused(text: &str, reason: &str) {
        let error = ask(text, things()).expect_err(text);
        assert!(format!("{error:?}").contains(reason), "{error:?}");
    }

    #[test]
    fn a_list_is_ordered_by_vhost_and_name_or_by_a_field() {
        names("", &["Bb", "c", "Ab"]);
        names("sort_reverse=true", &["Ab", "c", "Bb"]);
        names("sort=size", &["c", "Ab", "Bb"]);
        names("sort=size&sort_reverse=true", &["Bb", "Ab", "c"]);
        names("sort=stats.deep.x", &["Ab", "Bb", "c"]);
        names("sort=no.such.field", &["Bb", "c", "Ab"]);
        names("sort=", &["Bb", "c", "Ab"]);
    }

    #[test]
    fn names_are_searched_in_any_case() {
        names("name=B", &["Bb", "Ab"]);
        names("name=^b&use_regex=true", &["Bb"]);
        names("name=^b", &[]);
        refused("name=(&use_regex=true", "unclosed group");
    }

    #[test]
    fn a_page_tells_where_it_is() {
        let page = ask("page=2&page_size=1&columns=name&name=b", things()).expect("a page");
        assert_eq!(
            page,
            json!({"filtered_count": 2, "item_count": 1, "items": [{"name": "Ab"}], "page": 2, "page_count": 2,
                   "page_size": 1, "total_count": 3})
        );
        let empty = ask("page=1&name=nothing", things()).expect("an empty page");
        assert_eq!((&empty["page_count"], &empty["items"]), (&json!(0), &json!([])));
        names("page=1&page_size=2&sort=size", &["c", "Ab"]);
        assert!(ask("page_size=1", things()).expect("a list").is_array(), "a size alone asks for no page");
    }

    #[test]
    fn impossible_pages_are_refused_in_rabbitmqs_words() {
        refused("page=0", "Invalid pagination parameters: page number 0, page size undefined");
        refused("page=-1", "Invalid pagination parameters: page number -1, page size undefined");
        refused("page=1&page_size=501", "Invalid pagination parameters: page number 1, page size 501");
        refused("page=1&page_size=0", "Invalid pagination parameters: page number 1, page size 0");
        refused("page=99", "Page out of range, page: 99 page size: 100, len: 3");
        refused(
            "page=9223372036854775807",
            "Page out of range, page: 9223372036854775807 page size: 100, len: 3",
        );
        refused("page=x", "Pagination parameters are invalid");
        refused("page=2&name=nothing", "Page out of range, page: 2 page size: 100, len: 0");
    }

    #[test]
    fn what_rabbitmq_does_not_page_stays_a_bare_list() {
        assert_eq!(ask("page=7", vec![Bare("b"), Bare("a")]), Ok(json!(["a", "b"])));
    }

    #[test]
    fn columns_are_kept_in_the_objects_they_were_in() {
        let columns = |text| ask(text, vec![thing("a", "c", Some(1))]).expect("a list")[0].clone();
        assert_eq!(columns("columns=name,size"), json!({"name": "c", "size": 1}));
        assert_eq!(columns("columns=stats.publish"), json!({"stats": {"publish": 1}}));
        assert_eq!(
            columns("columns=stats.deep.x,stats.publish"),
            json!({"stats": {"publish": 1, "deep": {"x": "c"}}})
        );
        assert_eq!(columns("columns=stats,stats.publish")["stats"]["deep"], json!({"x": "c"}));
        assert_eq!(columns("columns=size.x,nothing"), json!({}));
        assert_eq!(columns("disable_stats=true"), json!({"name": "c"}));
    }
}
