//! The live feed.
//!
//! Server-sent events and not a WebSocket: it is one more answer of the same listener, so that logins, permissions, TLS
//! and proxies are those of every other request and there is one path to keep safe; a shell reads it with curl; and
//! nothing goes the other way that a request of its own could not say better.

use axum::extract::Query;
use axum::http::HeaderValue;
use leveret_protocol::admin::events::{EventData, Topic};

use super::*;
use crate::admin::live::feed::{self, FeedRequest};
use crate::admin::live::{EVERY_MAX, EVERY_MIN, Topics};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get(
            "/api/events",
            Who::Management,
            "What happens, as server-sent events: a snapshot of each topic, then what changes.",
            events,
        )
        .query(&[
            ("topics", "Which topics, with commas between; all of them if not given."),
            ("vhost", "Only what is in this vhost."),
            ("max_rate", "Updates a second at most: 1 if not given, and not more than that."),
        ])
        .streams::<EventData>(),
    ]
}

async fn events(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    query: Result<Query<HashMap<String, String>>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(query) = query.map_err(|_| ApiError::bad_request("the query string is malformed"))?;
    let vhost = query.get("vhost").filter(|vhost| !vhost.is_empty()).cloned();
    if let Some(vhost) = &vhost {
        visitor.must_see_vhost(&broker, vhost)?;
    }
    let request = FeedRequest {
        topics: topics(query.get("topics").map(String::as_str))?,
        vhost,
        every: every(query.get("max_rate").map(String::as_str))?,
    };
    let body = feed::open(&broker, visitor, request)
        .ok_or_else(|| ApiError::unavailable("too many read the live feed at a time"))?;
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // A proxy that collects answers before it passes them on would pass nothing on.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn topics(text: Option<&str>) -> Result<Topics, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Topics::all()) };
    text.split(',')
        .map(|name| {
            Topic::from_name(name.trim()).ok_or_else(|| {
                let names: Vec<&str> = Topic::ALL.iter().map(|topic| topic.name()).collect();
                ApiError::bad_request(format!("no topic '{name}'; there are {}", names.join(", ")))
            })
        })
        .collect()
}

fn every(max_rate: Option<&str>) -> Result<std::time::Duration, ApiError> {
    let Some(text) = max_rate.filter(|text| !text.is_empty()) else { return Ok(EVERY_MIN) };
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => {
            let seconds = (1.0 / rate).clamp(EVERY_MIN.as_secs_f64(), EVERY_MAX.as_secs_f64());
            Ok(std::time::Duration::from_secs_f64(seconds))
        }
        _ => Err(ApiError::bad_request("max_rate is no positive number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_what_and_how_often() {
        assert_eq!(topics(None), Ok(Topics::all()));
        assert_eq!(topics(Some("queues, alarms")).map(|topics| topics.iter().count()), Ok(2));
        assert!(topics(Some("queues,nonsense")).is_err());
        let seconds = |text| every(Some(text)).map(|every| every.as_secs_f64());
        assert_eq!((seconds("0.5"), seconds("1000"), seconds("1e-9")), (Ok(2.0), Ok(1.0), Ok(60.0)));
        assert!(seconds("0").is_err() && seconds("x").is_err() && seconds("NaN").is_err());
    }
}
