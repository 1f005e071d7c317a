//! Operations on many messages: started on a queue, followed and cancelled by their numbers.

use leveret_core::auth::{Access, Resource};
use leveret_core::queue::ConnectionId;
use leveret_protocol::admin::operations::{
    Operation, OperationAnswer, OperationKind, OperationRequest, OperationTarget,
};

use super::*;
use crate::operations::{self, Work};

pub(super) fn routes() -> Vec<Route> {
    vec![
        start(
            "/api/queues/{vhost}/{queue}/move",
            "Moves messages to another queue or an exchange. Needs the rights to read from the queue and to write to \
             where they go.",
            OperationKind::Move,
        ),
        start(
            "/api/queues/{vhost}/{queue}/copy",
            "Copies messages to another queue or an exchange. Needs the rights to read from the queue and to write to \
             where they go.",
            OperationKind::Copy,
        ),
        start(
            "/api/queues/{vhost}/{queue}/requeue",
            "Sends dead letters back to where they were published. Needs the right to read from the queue; those whose \
             exchange the user may not write to stay.",
            OperationKind::Requeue,
        ),
        start(
            "/api/queues/{vhost}/{queue}/delete-messages",
            "Deletes messages. Needs the right to read from the queue.",
            OperationKind::Delete,
        ),
        get(
            "/api/operations",
            Who::Management,
            "Operations that go on, and those that did lately, the latest first.",
            list,
        )
        .gives::<Vec<Operation>>(),
        get("/api/operations/{id}", Who::Management, "How far an operation is.", one).gives::<Operation>(),
        delete(
            "/api/operations/{id}",
            Who::Management,
            "Ends an operation; what it has done is done. Needs the right to read from its queue.",
            cancel,
        ),
    ]
}

fn start(path: &'static str, summary: &'static str, kind: OperationKind) -> Route {
    let begin = move |State(broker): State<Arc<Broker>>,
                      visitor: Visitor,
                      InPath((vhost, queue)): InPath<(String, String)>,
                      InBody(request): InBody<OperationRequest>| {
        begin(broker, visitor, vhost, queue, kind, request)
    };
    post(path, Who::UsesVhost, summary, begin).takes::<OperationRequest>().gives::<OperationAnswer>()
}

async fn begin(
    broker: Arc<Broker>,
    visitor: Visitor,
    vhost: String,
    queue: String,
    kind: OperationKind,
    request: OperationRequest,
) -> Answer {
    let user = visitor.user().clone();
    user.check(&vhost, Resource::Queue(&queue), Access::Read)?;
    let Some(found) = broker.vhost(&vhost) else {
        return Err(ApiError::not_found(format!("vhost '{vhost}' not found")));
    };
    let cell = found.queue(&queue, NOBODY)?;
    check_target(&found, &visitor, kind, &request)?;
    if request.rate == Some(0) {
        return Err(ApiError::bad_request("a rate of 0 messages per second would never end"));
    }
    let work = Work::new(broker.clone(), found, cell, user.clone(), kind, &request)
        .map_err(ApiError::bad_request)?;
    if request.dry_run {
        // It may look at all of a long queue.
        return answer(broker, move |_| {
            let plan = operations::plan(work)?;
            Ok(axum::Json(OperationAnswer::Plan(plan)).into_response())
        })
        .await;
    }
    let started = broker.operations().start(&broker, work, kind, (&vhost, &queue, user.name()), &request);
    let (operation, after) = started.map_err(|error| ApiError::unavailable(error.to_string()))?;
    broker.await_durable(after).await?;
    Ok(axum::Json(OperationAnswer::Started(operation)).into_response())
}

/// The destination has to fit the operation, exist, and be the user's to write to.
fn check_target(
    vhost: &crate::broker::Vhost,
    visitor: &Visitor,
    kind: OperationKind,
    request: &OperationRequest,
) -> Result<(), ApiError> {
    let needs_one = matches!(kind, OperationKind::Move | OperationKind::Copy);
    match &request.destination {
        None if needs_one => Err(ApiError::bad_request("a destination is needed")),
        None => Ok(()),
        Some(_) if !needs_one => Err(ApiError::bad_request("there is no choice of destination here")),
        Some(OperationTarget::Queue(queue)) => {
            visitor.user().check(vhost.name(), Resource::Queue(queue), Access::Write)?;
            vhost.queue(queue, NOBODY)?;
            Ok(())
        }
        Some(OperationTarget::Exchange { name, .. }) => {
            visitor.user().check(vhost.name(), Resource::Exchange(name), Access::Write)?;
            if name.is_empty() || vhost.topology().exchange(name).is_some() {
                return Ok(());
            }
            Err(ApiError::not_found(format!("no exchange '{name}' in vhost '{}'", vhost.name())))
        }
    }
}

async fn list(State(broker): State<Arc<Broker>>, visitor: Visitor) -> Answer {
    let mut operations = broker.operations().list();
    operations.retain(|operation| visitor.sees_vhost(&operation.vhost));
    Ok(axum::Json(operations).into_response())
}

async fn one(State(broker): State<Arc<Broker>>, visitor: Visitor, InPath(id): InPath<String>) -> Answer {
    let operation = seen(&broker, &visitor, &id)?;
    Ok(axum::Json(operation).into_response())
}

async fn cancel(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath(id): InPath<String>,
) -> Result<StatusCode, ApiError> {
    let operation = seen(&broker, &visitor, &id)?;
    visitor.user().check(&operation.vhost, Resource::Queue(&operation.queue), Access::Read)?;
    broker.operations().cancel(&id);
    Ok(StatusCode::NO_CONTENT)
}

/// The operation of that number, if it is in a vhost that the visitor sees.
fn seen(broker: &Broker, visitor: &Visitor, id: &str) -> Result<Operation, ApiError> {
    let found = broker.operations().find(id).filter(|operation| visitor.sees_vhost(&operation.vhost));
    found.ok_or_else(|| ApiError::not_found(format!("no operation '{id}'")))
}

/// Not the number of any connection: exclusive queues belong to somebody else.
const NOBODY: ConnectionId = ConnectionId(0);
