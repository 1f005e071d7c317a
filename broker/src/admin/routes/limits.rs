//! Limits of vhosts and users.

use leveret_core::auth::{User, UserLimits as CoreUserLimits, UsersError};
use leveret_core::vhosts::Vhost as VhostRecord;
use leveret_protocol::admin::policies::{UserLimits, VhostLimits};
use leveret_protocol::admin::requests::PutValue;

use super::parameters::given;
use super::*;
use crate::admin::{state, views};
use crate::broker::NotSet;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/vhost-limits", Who::Management, "Limits of vhosts that have any.", vhosts)
            .query(LIST)
            .gives::<Vec<VhostLimits>>(),
        get("/api/vhost-limits/{vhost}", Who::SeesVhost, "Limits of one vhost.", of_vhost)
            .query(LIST)
            .gives::<Vec<VhostLimits>>(),
        put(
            "/api/vhost-limits/{vhost}/{limit}",
            Who::Administrator,
            "Sets `max-connections` or `max-queues` of a vhost; a negative value lifts it.",
            set_of_vhost,
        )
        .takes::<PutValue>(),
        delete(
            "/api/vhost-limits/{vhost}/{limit}",
            Who::Administrator,
            "Lifts a limit of a vhost.",
            lift_of_vhost,
        ),
        get("/api/user-limits", Who::Management, "Limits of users that have any.", users)
            .query(LIST)
            .gives::<Vec<UserLimits>>(),
        get("/api/user-limits/{user}", Who::Management, "Limits of one user.", of_user)
            .query(LIST)
            .gives::<Vec<UserLimits>>(),
        put(
            "/api/user-limits/{user}/{limit}",
            Who::Administrator,
            "Sets `max-connections` or `max-channels` of a user; a negative value lifts it.",
            set_of_user,
        )
        .takes::<PutValue>(),
        delete(
            "/api/user-limits/{user}/{limit}",
            Who::Administrator,
            "Lifts a limit of a user.",
            lift_of_user,
        ),
    ]
}

async fn vhosts(State(broker): State<Arc<Broker>>, visitor: Visitor, query: ListQuery) -> Answer {
    answer(broker, move |broker| {
        let records = broker.vhost_records().read();
        let limited = records.iter().filter_map(view_vhost);
        query.respond(visible(&visitor, limited.collect()))
    })
    .await
}

async fn of_vhost(
    State(broker): State<Arc<Broker>>,
    InPath(vhost): InPath<String>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        let records = broker.vhost_records().read();
        query.respond(records.get(&vhost).and_then(view_vhost).into_iter().collect())
    })
    .await
}

fn view_vhost(record: &VhostRecord) -> Option<VhostLimits> {
    let value = views::vhost_limits(&record.limits);
    (!value.is_empty()).then(|| VhostLimits { vhost: record.name.clone(), value })
}

async fn set_of_vhost(
    State(broker): State<Arc<Broker>>,
    InPath((vhost, limit)): InPath<(String, String)>,
    InBody(PutValue { value }): InBody<PutValue>,
) -> Result<StatusCode, ApiError> {
    let value = given(value)?;
    change(broker, move |broker| {
        let set =
            broker.change_vhost_limits(&vhost, |limits| limits.set(&limit, &value).map_err(NotSet::invalid));
        Ok((StatusCode::NO_CONTENT, set?))
    })
    .await
}

async fn lift_of_vhost(
    State(broker): State<Arc<Broker>>,
    InPath((vhost, limit)): InPath<(String, String)>,
) -> Result<StatusCode, ApiError> {
    change(broker, move |broker| {
        let ticket = broker.change_vhost_limits(&vhost, |limits| {
            limits.clear(&limit);
            Ok(())
        })?;
        Ok((StatusCode::NO_CONTENT, ticket))
    })
    .await
}

async fn users(State(broker): State<Arc<Broker>>, visitor: Visitor, query: ListQuery) -> Answer {
    answer(broker, move |broker| {
        let users = state::users(broker);
        let seen = users.iter().filter(|user| visitor.sees_user(user.name()));
        query.respond(seen.filter_map(|user| view_user(user)).collect())
    })
    .await
}

async fn of_user(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath(name): InPath<String>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        if !visitor.sees_user(&name) {
            visitor.must_monitor()?;
        }
        let user = broker.users().read().user(&name).cloned();
        let user = user.ok_or_else(|| ApiError::not_found("Not Found"))?;
        query.respond(view_user(&user).into_iter().collect())
    })
    .await
}

fn view_user(user: &User) -> Option<UserLimits> {
    let value = views::user_limits(&user.limits());
    (!value.is_empty()).then(|| UserLimits { user: user.name().to_owned(), value })
}

async fn set_of_user(
    State(broker): State<Arc<Broker>>,
    InPath((user, limit)): InPath<(String, String)>,
    InBody(PutValue { value }): InBody<PutValue>,
) -> Result<StatusCode, ApiError> {
    let value = given(value)?;
    change_user_limits(broker, user, move |limits| {
        limits.set(&limit, &value).map_err(|error| ApiError::bad_request(error.to_string()))
    })
    .await
}

async fn lift_of_user(
    State(broker): State<Arc<Broker>>,
    InPath((user, limit)): InPath<(String, String)>,
) -> Result<StatusCode, ApiError> {
    change_user_limits(broker, user, move |limits| {
        limits.clear(&limit);
        Ok(())
    })
    .await
}

async fn change_user_limits(
    broker: Arc<Broker>,
    name: String,
    apply: impl FnOnce(&mut CoreUserLimits) -> Result<(), ApiError> + Send + 'static,
) -> Result<StatusCode, ApiError> {
    change(broker, move |broker| {
        let mut applied = Err(ApiError::not_found("Not Found"));
        let changed = broker.change_users(|users| {
            let Some(user) = users.user(&name) else { return Err(UsersError::NoSuchUser(name)) };
            let mut limits = user.limits();
            applied = apply(&mut limits);
            if applied.is_ok() { users.set_limits(&name, limits) } else { Ok(Vec::new()) }
        });
        match changed {
            Ok(ticket) => applied.map(|()| (StatusCode::NO_CONTENT, ticket)),
            Err(_) => Err(ApiError::not_found("Not Found")),
        }
    })
    .await
}

impl Item for VhostLimits {
    fn vhost(&self) -> &str {
        &self.vhost
    }
    fn name(&self) -> &str {
        &self.vhost
    }
}

impl Item for UserLimits {
    fn name(&self) -> &str {
        &self.user
    }
}
