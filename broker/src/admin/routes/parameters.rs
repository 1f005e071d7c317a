//! Runtime parameters, of components and global.

use leveret_protocol::admin::policies::{GlobalParameter, Parameter};
use leveret_protocol::admin::requests::PutValue;

use super::*;
use crate::broker::NotSet;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/parameters", Who::Policymaker, "Parameters of components.", list)
            .query(LIST)
            .gives::<Vec<Parameter>>(),
        get("/api/parameters/{component}", Who::Policymaker, "Parameters of a component.", list_of)
            .query(LIST)
            .gives::<Vec<Parameter>>(),
        get(
            "/api/parameters/{component}/{vhost}",
            Who::Policymaker,
            "Parameters of a component in a vhost.",
            list_in,
        )
        .query(LIST)
        .gives::<Vec<Parameter>>(),
        get("/api/parameters/{component}/{vhost}/{parameter}", Who::Policymaker, "One parameter.", one)
            .query(ONE)
            .gives::<Parameter>(),
        put("/api/parameters/{component}/{vhost}/{parameter}", Who::Policymaker, "Sets a parameter.", set)
            .takes::<PutValue>(),
        delete(
            "/api/parameters/{component}/{vhost}/{parameter}",
            Who::Policymaker,
            "Takes a parameter away.",
            remove,
        ),
        get("/api/global-parameters", Who::Policymaker, "Global parameters.", list_global)
            .query(LIST)
            .gives::<Vec<GlobalParameter>>(),
        get("/api/global-parameters/{parameter}", Who::Policymaker, "One global parameter.", one_global)
            .query(ONE)
            .gives::<GlobalParameter>(),
        put("/api/global-parameters/{parameter}", Who::Policymaker, "Sets a global parameter.", set_global)
            .takes::<PutValue>(),
        delete(
            "/api/global-parameters/{parameter}",
            Who::Policymaker,
            "Takes a global parameter away.",
            remove_global,
        ),
    ]
}

/// All parameters of components.
pub(in crate::admin) fn parameters(broker: &Broker) -> Vec<Parameter> {
    let view = |parameter: crate::broker::ParameterOf| Parameter {
        vhost: parameter.vhost,
        component: parameter.component,
        name: parameter.name,
        value: parameter.value,
    };
    broker.all_parameters().into_iter().map(view).collect()
}

/// All global parameters.
pub(in crate::admin) fn global_parameters(broker: &Broker) -> Vec<GlobalParameter> {
    let parameters = broker.parameters().read();
    let view = |(name, value): (&str, &serde_json::Value)| GlobalParameter {
        name: name.to_owned(),
        value: value.clone(),
    };
    parameters.globals().map(view).collect()
}

async fn list(State(broker): State<Arc<Broker>>, visitor: Visitor, query: ListQuery) -> Answer {
    answer(broker, move |broker| query.respond(visible(&visitor, parameters(broker)))).await
}

async fn list_of(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath(component): InPath<String>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        let mut found = visible(&visitor, parameters(broker));
        found.retain(|parameter| parameter.component == component);
        query.respond(found)
    })
    .await
}

async fn list_in(
    State(broker): State<Arc<Broker>>,
    InPath((component, vhost)): InPath<(String, String)>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        let mut found = parameters(broker);
        found.retain(|parameter| parameter.component == component && parameter.vhost == vhost);
        query.respond(found)
    })
    .await
}

async fn one(
    State(broker): State<Arc<Broker>>,
    InPath((component, vhost, name)): InPath<(String, String, String)>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        let found = find(broker, &component, &vhost, &name);
        query.respond_one(&found.ok_or_else(|| ApiError::not_found("Not Found"))?)
    })
    .await
}

async fn set(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((component, vhost, name)): InPath<(String, String, String)>,
    InBody(PutValue { value }): InBody<PutValue>,
) -> Result<StatusCode, ApiError> {
    must_set(&visitor, &component)?;
    change(broker, move |broker| {
        let is_new = find(broker, &component, &vhost, &name).is_none();
        let ticket = broker.set_parameter(&component, &vhost, &name, given(value)?)?;
        Ok((created(is_new), ticket))
    })
    .await
}

async fn remove(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((component, vhost, name)): InPath<(String, String, String)>,
) -> Result<StatusCode, ApiError> {
    must_set(&visitor, &component)?;
    change(broker, move |broker| {
        let cleared = broker.clear_parameter(&component, &vhost, &name);
        Ok((StatusCode::NO_CONTENT, cleared.ok_or_else(|| ApiError::not_found("Not Found"))?))
    })
    .await
}

async fn list_global(State(broker): State<Arc<Broker>>, query: ListQuery) -> Answer {
    answer(broker, move |broker| query.respond(global_parameters(broker))).await
}

async fn one_global(
    State(broker): State<Arc<Broker>>,
    InPath(name): InPath<String>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        let value = broker.parameters().read().global(&name).cloned();
        let value = value.ok_or_else(|| ApiError::not_found("Not Found"))?;
        query.respond_one(&GlobalParameter { name, value })
    })
    .await
}

async fn set_global(
    State(broker): State<Arc<Broker>>,
    InPath(name): InPath<String>,
    InBody(PutValue { value }): InBody<PutValue>,
) -> Result<StatusCode, ApiError> {
    change(broker, move |broker| {
        let is_new = broker.parameters().read().global(&name).is_none();
        Ok((created(is_new), broker.set_global_parameter(&name, given(value)?)?))
    })
    .await
}

async fn remove_global(
    State(broker): State<Arc<Broker>>,
    InPath(name): InPath<String>,
) -> Result<StatusCode, ApiError> {
    change(broker, move |broker| {
        let cleared = broker.clear_global_parameter(&name);
        Ok((StatusCode::NO_CONTENT, cleared.ok_or_else(|| ApiError::not_found("Not Found"))?))
    })
    .await
}

fn find(broker: &Broker, component: &str, vhost: &str, name: &str) -> Option<Parameter> {
    let is_it = |parameter: &Parameter| {
        parameter.component == component && parameter.vhost == vhost && parameter.name == name
    };
    parameters(broker).into_iter().find(is_it)
}

/// What bounds users is not for policymakers to set, by whichever route.
fn must_set(visitor: &Visitor, component: &str) -> Result<(), ApiError> {
    if ["operator_policy", "vhost-limits"].contains(&component) {
        visitor.must_administrate()
    } else {
        Ok(())
    }
}

pub(super) fn given(value: Option<serde_json::Value>) -> Result<serde_json::Value, ApiError> {
    value.ok_or_else(|| ApiError::bad_request("[{key_missing,value}]"))
}

impl From<NotSet> for ApiError {
    fn from(error: NotSet) -> ApiError {
        match error {
            NotSet::NoVhost => ApiError::not_found("Not Found"),
            NotSet::Invalid(reason) => ApiError::bad_request(reason),
        }
    }
}

impl Item for Parameter {
    fn vhost(&self) -> &str {
        &self.vhost
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl Item for GlobalParameter {
    fn name(&self) -> &str {
        &self.name
    }
}
