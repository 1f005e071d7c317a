//! Users.

use leveret_core::auth::{Algorithm, PasswordHash, Tags, UsersError};
use leveret_protocol::admin::requests::{BulkDelete, PutUser};
use leveret_protocol::admin::{Permission, TopicPermission, User};

use super::*;
use crate::admin::{state, views};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/users", Who::Administrator, "Users.", list).query(PAGED).lists::<User>(),
        get(
            "/api/users/without-permissions",
            Who::Administrator,
            "Users who have permissions in no vhost.",
            without_permissions,
        )
        .query(PAGED)
        .lists::<User>(),
        post("/api/users/bulk-delete", Who::Administrator, "Deletes several users.", bulk_delete)
            .takes::<BulkDelete>(),
        get("/api/users/{user}", Who::Administrator, "One user.", one).query(ONE).gives::<User>(),
        put(
            "/api/users/{user}",
            Who::Administrator,
            "Creates a user, or changes password and tags of one who exists. Without a password or a hash nobody can \
             log in by one.",
            declare,
        )
        .takes::<PutUser>(),
        delete(
            "/api/users/{user}",
            Who::Administrator,
            "Deletes a user with all their permissions; their connections are closed.",
            remove,
        ),
        get("/api/users/{user}/permissions", Who::Administrator, "What a user may do in vhosts.", permissions)
            .query(LIST)
            .gives::<Vec<Permission>>(),
        get(
            "/api/users/{user}/topic-permissions",
            Who::Administrator,
            "What a user may do on which topics.",
            topic_permissions,
        )
        .query(LIST)
        .gives::<Vec<TopicPermission>>(),
    ]
}

async fn list(State(broker): State<Arc<Broker>>, query: ListQuery) -> Answer {
    answer(broker, move |broker| {
        query.respond(state::users(broker).iter().map(|user| views::user(user)).collect())
    })
    .await
}

async fn without_permissions(State(broker): State<Arc<Broker>>, query: ListQuery) -> Answer {
    answer(broker, move |broker| {
        let users = state::users(broker);
        let without = users.iter().filter(|user| user.permissions().len() == 0);
        query.respond(without.map(|user| views::user(user)).collect())
    })
    .await
}

async fn one(State(broker): State<Arc<Broker>>, InPath(name): InPath<String>, query: ListQuery) -> Answer {
    answer(broker, move |broker| query.respond_one(&views::user(&*user(broker, &name)?))).await
}

async fn declare(
    State(broker): State<Arc<Broker>>,
    InPath(name): InPath<String>,
    InBody(wanted): InBody<PutUser>,
) -> Result<StatusCode, ApiError> {
    let tags = match (wanted.tags, wanted.administrator) {
        (Some(tags), _) => Tags::new(tags),
        (None, Some(true)) => Tags::new(["administrator"]),
        (None, Some(false)) => Tags::default(),
        (None, None) => return Err(ApiError::bad_request("tags_not_present")),
    };
    let password = match (wanted.password, wanted.password_hash) {
        (Some(_), Some(_)) => {
            return Err(ApiError::bad_request("both_password_and_password_hash_are_provided"));
        }
        (Some(password), None) => broker.hash_password(password).await?,
        (None, Some(hash)) => imported(wanted.hashing_algorithm.as_deref(), &hash)?,
        (None, None) => PasswordHash::none(),
    };
    let is_new = broker.users().read().user(&name).is_none();
    let ticket = broker.change_users(|users| users.put_user(&name, password, tags)).map_err(refused)?;
    broker.await_durable(ticket).await?;
    Ok(created(is_new))
}

/// A hash as definitions carry it.
fn imported(algorithm: Option<&str>, hash: &str) -> Result<PasswordHash, ApiError> {
    let algorithm = algorithm.unwrap_or_else(|| Algorithm::of_unnamed(hash).name());
    PasswordHash::import(algorithm, hash).map_err(|error| ApiError::bad_request(error.to_string()))
}

async fn remove(
    State(broker): State<Arc<Broker>>,
    InPath(name): InPath<String>,
) -> Result<StatusCode, ApiError> {
    let ticket = broker.delete_user(&name).map_err(refused)?;
    broker.await_durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// As with RabbitMQ, those who are not there are passed over.
async fn bulk_delete(
    State(broker): State<Arc<Broker>>,
    InBody(wanted): InBody<BulkDelete>,
) -> Result<StatusCode, ApiError> {
    for name in &wanted.users {
        match broker.delete_user(name) {
            Ok(ticket) => broker.await_durable(ticket).await?,
            Err(UsersError::NoSuchUser(_)) => {}
            Err(error) => return Err(refused(error)),
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn permissions(
    State(broker): State<Arc<Broker>>,
    InPath(name): InPath<String>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| query.respond(views::permissions(&*user(broker, &name)?).collect())).await
}

async fn topic_permissions(
    State(broker): State<Arc<Broker>>,
    InPath(name): InPath<String>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| query.respond(views::topic_permissions(&*user(broker, &name)?).collect()))
        .await
}

fn user(broker: &Broker, name: &str) -> Result<Arc<leveret_core::auth::User>, ApiError> {
    broker.users().read().user(name).cloned().ok_or_else(|| ApiError::not_found("Not Found"))
}

fn refused(error: UsersError) -> ApiError {
    match error {
        UsersError::NoSuchUser(_) => ApiError::not_found("Not Found"),
        error => ApiError::bad_request(error.to_string()),
    }
}
