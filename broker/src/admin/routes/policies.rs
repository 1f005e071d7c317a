//! Policies and operator policies.

use leveret_core::policy::{Policy as CorePolicy, PolicyKind, Proposal};
use leveret_protocol::admin::policies::{Policy, PolicyMatch, PolicyPreview};
use leveret_protocol::admin::requests::PutPolicy;

use super::*;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/policies", Who::Management, "Policies.", list).query(LIST).gives::<Vec<Policy>>(),
        get("/api/policies/{vhost}", Who::SeesVhost, "Policies of a vhost.", list_in)
            .query(LIST)
            .gives::<Vec<Policy>>(),
        get("/api/policies/{vhost}/{policy}", Who::SeesVhost, "One policy.", one)
            .query(ONE)
            .gives::<Policy>(),
        put(
            "/api/policies/{vhost}/{policy}",
            Who::Policymaker,
            "Puts a policy in effect, in place of one of the same name.",
            set,
        )
        .takes::<PutPolicy>(),
        delete("/api/policies/{vhost}/{policy}", Who::Policymaker, "Takes a policy out of effect.", remove),
        post(
            "/api/policies/{vhost}/{policy}",
            Who::SeesVhost,
            "With `preview` in the place of the name: what a policy would fit, and what would be in effect there. \
             Changes nothing.",
            preview,
        )
        .takes::<PutPolicy>()
        .gives::<PolicyPreview>(),
        get("/api/operator-policies", Who::Management, "Operator policies.", list_operator)
            .query(LIST)
            .gives::<Vec<Policy>>(),
        get("/api/operator-policies/{vhost}", Who::SeesVhost, "Operator policies of a vhost.", list_operator_in)
            .query(LIST)
            .gives::<Vec<Policy>>(),
        get("/api/operator-policies/{vhost}/{policy}", Who::SeesVhost, "One operator policy.", one_operator)
            .query(ONE)
            .gives::<Policy>(),
        put(
            "/api/operator-policies/{vhost}/{policy}",
            Who::Administrator,
            "Puts an operator policy in effect, in place of one of the same name.",
            set_operator,
        )
        .takes::<PutPolicy>(),
        delete(
            "/api/operator-policies/{vhost}/{policy}",
            Who::Administrator,
            "Takes an operator policy out of effect.",
            remove_operator,
        ),
    ]
}

/// The policies of a vhost, or of all.
pub(in crate::admin) fn policies(broker: &Broker, kind: PolicyKind, vhost: Option<&str>) -> Vec<Policy> {
    let vhosts = match vhost {
        Some(name) => broker.vhost(name).into_iter().collect(),
        None => broker.all_vhosts(),
    };
    let mut policies = Vec::new();
    for vhost in vhosts {
        let topology = vhost.topology();
        let of_kind = topology.policies().of(kind).iter();
        policies.extend(of_kind.map(|policy| view(vhost.name(), policy)));
    }
    policies
}

fn view(vhost: &str, policy: &CorePolicy) -> Policy {
    let least_or_most = if policy.priority < 0 { i16::MIN } else { i16::MAX };
    Policy {
        vhost: vhost.to_owned(),
        name: policy.name.clone(),
        pattern: policy.pattern.as_str().to_owned(),
        apply_to: policy.apply_to.name().to_owned(),
        priority: i16::try_from(policy.priority).unwrap_or(least_or_most),
        definition: policy.definition.clone(),
    }
}

/// Puts a policy in effect that a request or a set of definitions describes. True when it is new.
pub(in crate::admin) fn put_policy(
    broker: &Broker,
    kind: PolicyKind,
    vhost: &str,
    name: &str,
    wanted: PutPolicy,
) -> Result<(bool, Ticket), ApiError> {
    let vhost = broker.vhost(vhost).ok_or_else(|| ApiError::not_found("Not Found"))?;
    let policy = checked(kind, name, wanted)?;
    let is_new = vhost.topology().policies().get(kind, name).is_none();
    Ok((is_new, broker.put_policy(&vhost, kind, policy)?))
}

fn checked(kind: PolicyKind, name: &str, wanted: PutPolicy) -> Result<CorePolicy, ApiError> {
    let PutPolicy { pattern, apply_to, priority, definition, name: _ } = wanted;
    let missing: Vec<&str> = [("pattern", pattern.is_none()), ("definition", definition.is_none())]
        .into_iter()
        .filter(|(_, is_missing)| *is_missing)
        .map(|(key, _)| key)
        .collect();
    let (Some(pattern), Some(definition)) = (pattern, definition) else {
        let missing: Vec<String> = missing.iter().map(|key| format!("{{key_missing,{key}}}")).collect();
        return Err(ApiError::bad_request(format!("[{}]", missing.join(","))));
    };
    let proposal = Proposal {
        pattern,
        apply_to: apply_to.unwrap_or_else(|| "all".into()),
        priority: priority.unwrap_or_else(|| 0.into()),
        definition,
    };
    CorePolicy::new(kind, name, &proposal).map_err(|error| ApiError::bad_request(error.to_string()))
}

// ---- policies ---------------------------------------------------------------------------------------------------

async fn list(broker: State<Arc<Broker>>, visitor: Visitor, query: ListQuery) -> Answer {
    list_all(broker, PolicyKind::Policy, visitor, query).await
}

async fn list_in(broker: State<Arc<Broker>>, vhost: InPath<String>, query: ListQuery) -> Answer {
    list_of(broker, PolicyKind::Policy, vhost, query).await
}

async fn one(broker: State<Arc<Broker>>, path: InPath<(String, String)>, query: ListQuery) -> Answer {
    one_of(broker, PolicyKind::Policy, path, query).await
}

async fn set(
    broker: State<Arc<Broker>>,
    path: InPath<(String, String)>,
    wanted: InBody<PutPolicy>,
) -> Result<StatusCode, ApiError> {
    set_one(broker, PolicyKind::Policy, path, wanted).await
}

async fn remove(broker: State<Arc<Broker>>, path: InPath<(String, String)>) -> Result<StatusCode, ApiError> {
    remove_one(broker, PolicyKind::Policy, path).await
}

async fn preview(
    State(broker): State<Arc<Broker>>,
    InPath((vhost, word)): InPath<(String, String)>,
    InBody(wanted): InBody<PutPolicy>,
) -> Answer {
    if word != "preview" {
        return Err(ApiError::method_not_allowed());
    }
    answer(broker, move |broker| {
        let vhost = broker.vhost(&vhost).ok_or_else(|| ApiError::not_found("Not Found"))?;
        let name = wanted.name.clone().filter(|name| !name.is_empty());
        let policy = checked(PolicyKind::Policy, name.as_deref().unwrap_or(UNNAMED), wanted)?;
        let effects = vhost.topology().preview_policy(PolicyKind::Policy, policy);
        let matches = effects.into_iter().map(|effect| PolicyMatch {
            name: effect.name,
            kind: if effect.is_exchange { "exchange" } else { "queue" }.to_owned(),
            current: effect.current,
            wins: effect.wins,
            effective: effect.effective,
        });
        Ok(axum::Json(PolicyPreview { matches: matches.collect() }).into_response())
    })
    .await
}

// ---- operator policies ------------------------------------------------------------------------------------------

async fn list_operator(broker: State<Arc<Broker>>, visitor: Visitor, query: ListQuery) -> Answer {
    list_all(broker, PolicyKind::Operator, visitor, query).await
}

async fn list_operator_in(broker: State<Arc<Broker>>, vhost: InPath<String>, query: ListQuery) -> Answer {
    list_of(broker, PolicyKind::Operator, vhost, query).await
}

async fn one_operator(
    broker: State<Arc<Broker>>,
    path: InPath<(String, String)>,
    query: ListQuery,
) -> Answer {
    one_of(broker, PolicyKind::Operator, path, query).await
}

async fn set_operator(
    broker: State<Arc<Broker>>,
    path: InPath<(String, String)>,
    wanted: InBody<PutPolicy>,
) -> Result<StatusCode, ApiError> {
    set_one(broker, PolicyKind::Operator, path, wanted).await
}

async fn remove_operator(
    broker: State<Arc<Broker>>,
    path: InPath<(String, String)>,
) -> Result<StatusCode, ApiError> {
    remove_one(broker, PolicyKind::Operator, path).await
}

// ---- either -----------------------------------------------------------------------------------------------------

async fn list_all(
    State(broker): State<Arc<Broker>>,
    kind: PolicyKind,
    visitor: Visitor,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| query.respond(visible(&visitor, policies(broker, kind, None)))).await
}

async fn list_of(
    State(broker): State<Arc<Broker>>,
    kind: PolicyKind,
    InPath(vhost): InPath<String>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| query.respond(policies(broker, kind, Some(&vhost)))).await
}

async fn one_of(
    State(broker): State<Arc<Broker>>,
    kind: PolicyKind,
    InPath((vhost, name)): InPath<(String, String)>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        let not_found = || ApiError::not_found("Not Found");
        let vhost = broker.vhost(&vhost).ok_or_else(not_found)?;
        let policy = vhost.topology().policies().get(kind, &name).cloned();
        query.respond_one(&view(vhost.name(), &*policy.ok_or_else(not_found)?))
    })
    .await
}

async fn set_one(
    State(broker): State<Arc<Broker>>,
    kind: PolicyKind,
    InPath((vhost, name)): InPath<(String, String)>,
    InBody(wanted): InBody<PutPolicy>,
) -> Result<StatusCode, ApiError> {
    change(broker, move |broker| {
        let (is_new, ticket) = put_policy(broker, kind, &vhost, &name, wanted)?;
        Ok((created(is_new), ticket))
    })
    .await
}

async fn remove_one(
    State(broker): State<Arc<Broker>>,
    kind: PolicyKind,
    InPath((vhost, name)): InPath<(String, String)>,
) -> Result<StatusCode, ApiError> {
    change(broker, move |broker| {
        let not_found = |_| ApiError::not_found("Not Found");
        let vhost = broker.vhost(&vhost).ok_or_else(|| ApiError::not_found("Not Found"))?;
        Ok((StatusCode::NO_CONTENT, broker.remove_policy(&vhost, kind, &name).map_err(not_found)?))
    })
    .await
}

impl Item for Policy {
    fn vhost(&self) -> &str {
        &self.vhost
    }
    fn name(&self) -> &str {
        &self.name
    }
}

/// The name of a policy that is tried without one. It comes after all others, so that among policies of the same priority
/// those win that are there.
const UNNAMED: &str = "\u{10ffff}";
