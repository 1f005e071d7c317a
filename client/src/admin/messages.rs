//! Messages in queues and in delayed exchanges, and operations on many of them.

use leveret_protocol::admin::delayed::DelayedPage;
use leveret_protocol::admin::messages::{MessageFilter, MessagePage, MessageState};
use leveret_protocol::admin::operations::{Operation, OperationKind, OperationPlan, OperationRequest};
use reqwest::Method;
use serde_json::json;

use super::path::{self, Path};
use super::{Client, Error, Result};

/// Which messages of a queue to look at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PeekQuery {
    /// Where the previous page said that the next one begins.
    pub cursor: Option<String>,
    pub limit: Option<u32>,
    /// Ready ones unless said otherwise.
    pub state: MessageState,
    /// Only so many bytes of each body.
    pub payload_max: Option<u64>,
    pub filter: MessageFilter,
}

impl Client {
    /// Looks at messages without touching them.
    pub async fn messages(&self, vhost: &str, queue: &str, query: &PeekQuery) -> Result<MessagePage> {
        self.peek(Path::new("queues").name(vhost).name(queue).fixed("messages"), query).await
    }

    /// Messages that were handed out and not acknowledged, with who holds them and since when.
    pub async fn unacked(&self, vhost: &str, queue: &str, query: &PeekQuery) -> Result<MessagePage> {
        let query = PeekQuery { state: MessageState::Unacked, ..query.clone() };
        self.peek(Path::new("queues").name(vhost).name(queue).fixed("unacked"), &query).await
    }

    async fn peek(&self, path: Path, query: &PeekQuery) -> Result<MessagePage> {
        let state = match query.state {
            MessageState::Ready => None,
            MessageState::Unacked => Some("unacked"),
            MessageState::Delayed => Some("delayed"),
        };
        let filter = if query.filter == MessageFilter::default() {
            None
        } else {
            let text = serde_json::to_string(&query.filter);
            Some(text.map_err(|error| Error::Unwritable { reason: error.to_string() })?)
        };
        self.get(
            path.query_if("cursor", query.cursor.as_deref())
                .query_if("limit", query.limit)
                .query_if("state", state)
                .query_if("payload_max", query.payload_max)
                .query_if("filter", filter),
        )
        .await
    }

    /// What an operation on a queue's messages would do. Nothing is changed.
    pub async fn plan_operation(
        &self,
        kind: OperationKind,
        vhost: &str,
        queue: &str,
        request: &OperationRequest,
    ) -> Result<OperationPlan> {
        let request = OperationRequest { dry_run: true, ..request.clone() };
        self.post(operation_path(kind, vhost, queue), &request).await
    }

    /// Starts an operation on a queue's messages; it goes on by itself.
    pub async fn start_operation(
        &self,
        kind: OperationKind,
        vhost: &str,
        queue: &str,
        request: &OperationRequest,
    ) -> Result<Operation> {
        let request = OperationRequest { dry_run: false, ..request.clone() };
        self.post(operation_path(kind, vhost, queue), &request).await
    }

    /// Operations that run, and those that ran lately.
    pub async fn operations(&self) -> Result<Vec<Operation>> {
        self.get(Path::new("operations")).await
    }

    /// How far one operation is.
    pub async fn operation(&self, id: &str) -> Result<Operation> {
        self.get(Path::new("operations").name(id)).await
    }

    /// Stops an operation. What it has done is done.
    pub async fn cancel_operation(&self, id: &str) -> Result<()> {
        self.delete(Path::new("operations").name(id)).await
    }

    /// Messages that wait for their time in a delayed exchange, the next due first.
    pub async fn delayed(
        &self,
        vhost: &str,
        exchange: &str,
        cursor: Option<&str>,
        limit: Option<u32>,
    ) -> Result<DelayedPage> {
        let path = delayed_path(vhost, exchange);
        self.get(path.query_if("cursor", cursor).query_if("limit", limit)).await
    }

    /// Removes a message that waits.
    pub async fn cancel_delayed(&self, vhost: &str, exchange: &str, id: &str) -> Result<()> {
        self.delete(delayed_path(vhost, exchange).name(id)).await
    }

    /// Sends a message on that waits, before its time.
    pub async fn release_delayed(&self, vhost: &str, exchange: &str, id: &str) -> Result<()> {
        let path = delayed_path(vhost, exchange).name(id).fixed("release");
        self.send(Method::POST, path, Some(&json!({}))).await
    }
}

fn operation_path(kind: OperationKind, vhost: &str, queue: &str) -> Path {
    let verb = match kind {
        OperationKind::Move => "move",
        OperationKind::Copy => "copy",
        OperationKind::Requeue => "requeue",
        OperationKind::Delete => "delete-messages",
    };
    Path::new("queues").name(vhost).name(queue).fixed(verb)
}

fn delayed_path(vhost: &str, exchange: &str) -> Path {
    Path::new("exchanges").name(vhost).name(path::exchange(exchange)).fixed("delayed")
}
