//! How much of the past a request wants to see: `?lengths_age=600&lengths_incr=5` and their like.
//!
//! Rates are always shown; samples are added where a window is asked for, into the same `.._details` as RabbitMQ's.

use std::collections::HashMap;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::list::{ListQuery, PAGE_SIZE_MAX};
use crate::history::{Past, Window};

/// The windows of a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ages {
    /// Of how full queues are.
    pub lengths: Option<Window>,
    /// Of what happens to messages.
    pub msg_rates: Option<Window>,
    /// Of what goes over connections.
    pub data_rates: Option<Window>,
    /// Of what a node uses.
    pub node_stats: Option<Window>,
}

/// A field with its `_details`, and the figures that it is the sum of.
pub type Field = (&'static str, &'static [usize]);

impl<S: Send + Sync> FromRequestParts<S> for Ages {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Ages, ApiError> {
        let query = Query::<HashMap<String, String>>::from_request_parts(parts, state).await;
        let Query(query) = query.map_err(|_| ApiError::bad_request("the query string is malformed"))?;
        let number = |name: String| query.get(&name).map(|text| text.parse::<u64>()).transpose();
        let window = |of: &str| {
            let (age, incr) = (number(format!("{of}_age")), number(format!("{of}_incr")));
            match (age, incr) {
                (Ok(Some(age_s)), Ok(Some(step_s))) if step_s > 0 => Ok(Some(Window { age_s, step_s })),
                (Ok(None), _) | (_, Ok(None)) => Ok(None),
                _ => Err(ApiError::bad_request(format!("{of}_age and {of}_incr must be positive integers"))),
            }
        };
        Ok(Ages {
            lengths: window("lengths")?,
            msg_rates: window("msg_rates")?,
            data_rates: window("data_rates")?,
            node_stats: window("node_stats")?,
        })
    }
}

impl Ages {
    /// True when some part of the past is asked for.
    pub fn any(&self) -> bool {
        [self.lengths, self.msg_rates, self.data_rates, self.node_stats].iter().any(Option::is_some)
    }

    /// True when what is listed shows its past: on pages, and in lists that are no longer than one.
    pub fn any_in(&self, query: &ListQuery, items: usize) -> bool {
        self.any() && (query.is_paged() || items <= PAGE_SIZE_MAX)
    }

    /// How far back it goes, in seconds.
    pub fn oldest_s(&self) -> u64 {
        let windows = [self.lengths, self.msg_rates, self.data_rates, self.node_stats];
        windows.iter().flatten().map(|window| window.age_s).max().unwrap_or(0)
    }
}

/// Adds the samples of `fields` to an object, where a window is asked for.
pub fn add_samples<const N: usize>(
    object: &mut Json,
    fields: &[Field],
    past: Option<&Past<N>>,
    window: Option<Window>,
) {
    let (Some(past), Some(window)) = (past, window) else { return };
    for (name, figures) in fields {
        let samples = summed(past, figures, window);
        let (Some(newest), Some(oldest)) = (samples.first(), samples.last()) else { continue };
        let seconds = newest.1.saturating_sub(oldest.1) as f64 / 1000.0;
        let avg_rate = if seconds > 0.0 { (newest.0 as f64 - oldest.0 as f64) / seconds } else { 0.0 };
        let sum: f64 = samples.iter().map(|(sample, _)| *sample as f64).sum();
        let details = &mut object[format!("{name}_details")];
        details["samples"] =
            samples.iter().map(|(sample, at)| json!({"sample": sample, "timestamp": at})).collect();
        details["avg_rate"] = json!(avg_rate);
        details["avg"] = json!(sum / samples.len() as f64);
    }
}

fn summed<const N: usize>(past: &Past<N>, figures: &[usize], window: Window) -> Vec<(u64, u64)> {
    let mut sums: Vec<(u64, u64)> = Vec::new();
    for figure in figures {
        let samples = past.window(*figure, window);
        if sums.is_empty() {
            sums = samples;
        } else {
            sums.iter_mut().zip(samples).for_each(|(sum, sample)| sum.0 += sample.0);
        }
    }
    sums
}
