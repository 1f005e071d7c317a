//! Vhosts.

use leveret_core::vhosts::{Vhost as Record, VhostsError};
use leveret_protocol::admin::definitions::DefinedVhost;
use leveret_protocol::admin::requests::PutVhost;
use leveret_protocol::admin::{Channel, Connection, Permission, TopicPermission, Vhost};

use super::*;
use crate::admin::{state, views};
use crate::definitions::merged_vhost;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/vhosts", Who::Management, "Vhosts.", list).query(PAGED).lists::<Vhost>(),
        get("/api/vhosts/{vhost}", Who::SeesVhost, "One vhost.", one).query(ONE).gives::<Vhost>(),
        put(
            "/api/vhosts/{vhost}",
            Who::Administrator,
            "Creates a vhost, or changes what is given of one that exists. Who creates it gets all permissions there.",
            declare,
        )
        .takes::<PutVhost>(),
        delete("/api/vhosts/{vhost}", Who::Administrator, "Deletes a vhost with all that is in it.", remove),
        post(
            "/api/vhosts/{vhost}/deletion/protection",
            Who::Administrator,
            "Protects a vhost from deletion.",
            protect,
        ),
        delete(
            "/api/vhosts/{vhost}/deletion/protection",
            Who::Administrator,
            "Lets a vhost be deleted again.",
            unprotect,
        ),
        post(
            "/api/vhosts/{vhost}/start/{node}",
            Who::Administrator,
            "Starts a vhost on a node. It runs already: nothing is done.",
            start,
        ),
        get(
            "/api/vhosts/{vhost}/permissions",
            Who::Administrator,
            "Everybody's permissions in a vhost.",
            permissions,
        )
        .query(LIST)
        .gives::<Vec<Permission>>(),
        get(
            "/api/vhosts/{vhost}/topic-permissions",
            Who::Administrator,
            "Everybody's topic permissions in a vhost.",
            topic_permissions,
        )
        .query(LIST)
        .gives::<Vec<TopicPermission>>(),
        get("/api/vhosts/{vhost}/connections", Who::SeesVhost, "Open connections to a vhost.", connections)
            .query(PAGED)
            .lists::<Connection>(),
        get("/api/vhosts/{vhost}/channels", Who::SeesVhost, "Open channels to a vhost.", channels)
            .query(PAGED)
            .lists::<Channel>(),
    ]
}

async fn list(State(broker): State<Arc<Broker>>, visitor: Visitor, query: ListQuery) -> Answer {
    answer(broker, move |broker| {
        let mut vhosts = state::vhosts(broker);
        vhosts.retain(|vhost| visitor.sees_vhost(&vhost.name));
        query.respond(vhosts)
    })
    .await
}

async fn one(State(broker): State<Arc<Broker>>, InPath(name): InPath<String>, query: ListQuery) -> Answer {
    answer(broker, move |broker| {
        let found = state::vhosts(broker).into_iter().find(|vhost| vhost.name == name);
        query.respond_one(&found.ok_or_else(|| ApiError::not_found("Not Found"))?)
    })
    .await
}

async fn declare(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath(name): InPath<String>,
    InBody(wanted): InBody<PutVhost>,
) -> Result<StatusCode, ApiError> {
    let before = broker.vhost_records().read().get(&name).cloned();
    let is_new = before.is_none();
    let defined = DefinedVhost {
        name: name.clone(),
        description: wanted.description,
        tags: wanted.tags,
        default_queue_type: wanted.default_queue_type,
        protected_from_deletion: wanted.protected_from_deletion,
        metadata: wanted.metadata,
    };
    let record = merged_vhost(before.unwrap_or_else(|| Record::new(&name)), &defined)
        .map_err(ApiError::bad_request)?;
    let (_, ticket) = broker.put_vhost(record).map_err(refused)?;
    broker.await_durable(ticket).await?;
    if is_new {
        let user = visitor.user().name();
        let full = leveret_core::auth::Permission::full();
        // Whoever was deleted meanwhile gets none.
        if let Ok(ticket) = broker.change_users(|users| users.set_permission(user, &name, full)) {
            broker.await_durable(ticket).await?;
        }
    }
    Ok(created(is_new))
}

async fn remove(
    State(broker): State<Arc<Broker>>,
    InPath(name): InPath<String>,
) -> Result<StatusCode, ApiError> {
    let deleted = tokio::task::spawn_blocking({
        let broker = broker.clone();
        move || broker.delete_vhost(&name)
    });
    let deleted =
        deleted.await.map_err(|_| ApiError::internal("the request failed; see the broker's log"))?;
    broker.await_durable(deleted.map_err(refused)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn protect(broker: State<Arc<Broker>>, name: InPath<String>) -> Result<StatusCode, ApiError> {
    set_protection(broker, name, true).await
}

async fn unprotect(broker: State<Arc<Broker>>, name: InPath<String>) -> Result<StatusCode, ApiError> {
    set_protection(broker, name, false).await
}

async fn set_protection(
    State(broker): State<Arc<Broker>>,
    InPath(name): InPath<String>,
    protected_from_deletion: bool,
) -> Result<StatusCode, ApiError> {
    let record = broker.vhost_records().read().get(&name).cloned();
    let record = record.ok_or_else(|| ApiError::not_found("Not Found"))?;
    let (_, ticket) = broker.put_vhost(Record { protected_from_deletion, ..record }).map_err(refused)?;
    broker.await_durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn start(
    State(broker): State<Arc<Broker>>,
    InPath((vhost, node)): InPath<(String, String)>,
) -> Result<StatusCode, ApiError> {
    if broker.vhost(&vhost).is_none() || node != state::node_name() {
        return Err(ApiError::not_found("Not Found"));
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn permissions(
    State(broker): State<Arc<Broker>>,
    InPath(vhost): InPath<String>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        must_exist(broker, &vhost)?;
        let users = state::users(broker);
        let all = users.iter().flat_map(|user| views::permissions(user));
        query.respond(all.filter(|permission| permission.vhost == vhost).collect())
    })
    .await
}

async fn topic_permissions(
    State(broker): State<Arc<Broker>>,
    InPath(vhost): InPath<String>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        must_exist(broker, &vhost)?;
        let users = state::users(broker);
        let all = users.iter().flat_map(|user| views::topic_permissions(user));
        query.respond(all.filter(|permission| permission.vhost == vhost).collect())
    })
    .await
}

async fn connections(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath(vhost): InPath<String>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        let mut connections = state::connections(broker);
        connections.retain(|it| it.vhost == vhost && visitor.sees_user(&it.user));
        query.respond(connections)
    })
    .await
}

async fn channels(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath(vhost): InPath<String>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        let mut channels = state::channels(broker);
        channels.retain(|it| it.vhost == vhost && visitor.sees_user(&it.user));
        query.respond(channels)
    })
    .await
}

fn must_exist(broker: &Broker, vhost: &str) -> Result<(), ApiError> {
    broker.vhost(vhost).map(drop).ok_or_else(|| ApiError::not_found("Not Found"))
}

fn refused(error: VhostsError) -> ApiError {
    match error {
        VhostsError::NoSuchVhost(_) => ApiError::not_found("Not Found"),
        VhostsError::Protected(_) => ApiError::precondition_failed(error.to_string()),
        VhostsError::InvalidName => ApiError::bad_request(error.to_string()),
    }
}
