//! What users may do in vhosts, and on which topics.

use leveret_core::auth::UsersError;
use leveret_protocol::admin::requests::{PutPermission, PutTopicPermission};
use leveret_protocol::admin::{Permission, TopicPermission};

use super::*;
use crate::admin::{state, views};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/permissions", Who::Administrator, "Permissions of all users.", list)
            .query(LIST)
            .gives::<Vec<Permission>>(),
        get("/api/permissions/{vhost}/{user}", Who::Administrator, "A user's permissions in a vhost.", one)
            .query(ONE)
            .gives::<Permission>(),
        put(
            "/api/permissions/{vhost}/{user}",
            Who::Administrator,
            "Gives a user permissions in a vhost.",
            set,
        )
        .takes::<PutPermission>(),
        delete(
            "/api/permissions/{vhost}/{user}",
            Who::Administrator,
            "Takes a user's permissions in a vhost away.",
            clear,
        ),
        get("/api/topic-permissions", Who::Administrator, "Topic permissions of all users.", list_topics)
            .query(LIST)
            .gives::<Vec<TopicPermission>>(),
        get(
            "/api/topic-permissions/{vhost}/{user}",
            Who::Administrator,
            "A user's topic permissions in a vhost.",
            topics,
        )
        .query(LIST)
        .gives::<Vec<TopicPermission>>(),
        put(
            "/api/topic-permissions/{vhost}/{user}",
            Who::Administrator,
            "Restricts a user to some routing keys of an exchange.",
            set_topic,
        )
        .takes::<PutTopicPermission>(),
        delete(
            "/api/topic-permissions/{vhost}/{user}",
            Who::Administrator,
            "Lifts a user's topic restrictions in a vhost.",
            clear_topics,
        ),
        delete(
            "/api/topic-permissions/{vhost}/{user}/{exchange}",
            Who::Administrator,
            "Lifts a user's restriction on the topics of an exchange.",
            clear_topic,
        ),
    ]
}

async fn list(State(broker): State<Arc<Broker>>, query: ListQuery) -> Answer {
    answer(broker, move |broker| {
        query.respond(state::users(broker).iter().flat_map(|user| views::permissions(user)).collect())
    })
    .await
}

async fn list_topics(State(broker): State<Arc<Broker>>, query: ListQuery) -> Answer {
    answer(broker, move |broker| {
        query.respond(state::users(broker).iter().flat_map(|user| views::topic_permissions(user)).collect())
    })
    .await
}

async fn one(
    State(broker): State<Arc<Broker>>,
    InPath((vhost, user)): InPath<(String, String)>,
    query: ListQuery,
) -> Answer {
    let found = permission(&broker, &vhost, &user).ok_or_else(|| ApiError::not_found("Not Found"))?;
    query.respond_one(&found)
}

async fn set(
    State(broker): State<Arc<Broker>>,
    InPath((vhost, user)): InPath<(String, String)>,
    InBody(wanted): InBody<PutPermission>,
) -> Result<StatusCode, ApiError> {
    must_exist(&broker, &vhost, &user)?;
    let is_new = permission(&broker, &vhost, &user).is_none();
    let rights = leveret_core::auth::Permission::new(&wanted.configure, &wanted.write, &wanted.read)
        .map_err(|error| ApiError::bad_request(error.to_string()))?;
    let ticket = broker.change_users(|users| users.set_permission(&user, &vhost, rights)).map_err(refused)?;
    broker.await_durable(ticket).await?;
    Ok(created(is_new))
}

async fn clear(
    State(broker): State<Arc<Broker>>,
    InPath((vhost, user)): InPath<(String, String)>,
) -> Result<StatusCode, ApiError> {
    if permission(&broker, &vhost, &user).is_none() {
        return Err(ApiError::not_found("Not Found"));
    }
    let ticket = broker.change_users(|users| users.clear_permission(&user, &vhost)).map_err(refused)?;
    broker.await_durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn topics(
    State(broker): State<Arc<Broker>>,
    InPath((vhost, user)): InPath<(String, String)>,
    query: ListQuery,
) -> Answer {
    let found = topic_permissions(&broker, &vhost, &user);
    if found.is_empty() {
        return Err(ApiError::not_found("Not Found"));
    }
    query.respond(found)
}

async fn set_topic(
    State(broker): State<Arc<Broker>>,
    InPath((vhost, user)): InPath<(String, String)>,
    InBody(wanted): InBody<PutTopicPermission>,
) -> Result<StatusCode, ApiError> {
    must_exist(&broker, &vhost, &user)?;
    let is_new = topic_permissions(&broker, &vhost, &user).is_empty();
    let PutTopicPermission { exchange, write, read } = wanted;
    let change = |users: &mut leveret_core::auth::Users| {
        users.set_topic_permission(&user, &vhost, &exchange, &write, &read)
    };
    let ticket = broker.change_users(change).map_err(refused)?;
    broker.await_durable(ticket).await?;
    Ok(created(is_new))
}

async fn clear_topics(
    broker: State<Arc<Broker>>,
    InPath((vhost, user)): InPath<(String, String)>,
) -> Result<StatusCode, ApiError> {
    clear_some(broker, &vhost, &user, None).await
}

async fn clear_topic(
    broker: State<Arc<Broker>>,
    InPath((vhost, user, exchange)): InPath<(String, String, String)>,
) -> Result<StatusCode, ApiError> {
    clear_some(broker, &vhost, &user, Some(exchange_name(&exchange))).await
}

async fn clear_some(
    State(broker): State<Arc<Broker>>,
    vhost: &str,
    user: &str,
    exchange: Option<&str>,
) -> Result<StatusCode, ApiError> {
    let found = topic_permissions(&broker, vhost, user);
    if !found.iter().any(|permission| exchange.is_none_or(|exchange| permission.exchange == exchange)) {
        return Err(ApiError::not_found("Not Found"));
    }
    let ticket =
        broker.change_users(|users| users.clear_topic_permission(user, vhost, exchange)).map_err(refused)?;
    broker.await_durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn permission(broker: &Broker, vhost: &str, user: &str) -> Option<Permission> {
    let user = broker.users().read().user(user)?.clone();
    views::permissions(&user).find(|permission| permission.vhost == vhost)
}

fn topic_permissions(broker: &Broker, vhost: &str, user: &str) -> Vec<TopicPermission> {
    let Some(user) = broker.users().read().user(user).cloned() else { return Vec::new() };
    views::topic_permissions(&user).filter(|permission| permission.vhost == vhost).collect()
}

fn must_exist(broker: &Broker, vhost: &str, user: &str) -> Result<(), ApiError> {
    if broker.vhost(vhost).is_some() && broker.users().read().user(user).is_some() {
        return Ok(());
    }
    Err(ApiError::bad_request("vhost_or_user_not_found"))
}

fn refused(error: UsersError) -> ApiError {
    ApiError::bad_request(error.to_string())
}
