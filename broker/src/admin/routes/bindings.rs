//! Bindings.

use leveret_core::session::host::{Binding as Bind, Destination, Host};
use leveret_core::vhost::BindingDefinition;
use leveret_protocol::admin::Binding;
use leveret_protocol::admin::requests::BindingSpec;

use super::*;
use crate::admin::actor::{Actor, encoded_arguments};
use crate::admin::{state, views};

/// What a binding leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Queue,
    Exchange,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        get(
            "/api/bindings",
            Who::Management,
            "Bindings, those of the default exchange included.",
            in_every_vhost!(state::bindings),
        )
        .query(LIST)
        .gives::<Vec<Binding>>(),
        get(
            "/api/bindings/{vhost}",
            Who::SeesVhost,
            "Bindings in one vhost.",
            in_one_vhost!(state::bindings),
        )
        .query(LIST)
        .gives::<Vec<Binding>>(),
        get(
            "/api/bindings/{vhost}/e/{source}/q/{destination}",
            Who::SeesVhost,
            "Bindings from an exchange to a queue.",
            |broker, path, query| between(broker, path, query, Kind::Queue),
        )
        .query(LIST)
        .gives::<Vec<Binding>>(),
        get(
            "/api/bindings/{vhost}/e/{source}/e/{destination}",
            Who::SeesVhost,
            "Bindings from an exchange to another.",
            |broker, path, query| between(broker, path, query, Kind::Exchange),
        )
        .query(LIST)
        .gives::<Vec<Binding>>(),
        post(
            "/api/bindings/{vhost}/e/{source}/q/{destination}",
            Who::UsesVhost,
            "Binds a queue to an exchange. Needs the right to write to the queue and to read from the exchange.",
            |broker, visitor, path, body| bind(broker, visitor, path, body, Kind::Queue),
        )
        .takes::<BindingSpec>(),
        post(
            "/api/bindings/{vhost}/e/{source}/e/{destination}",
            Who::UsesVhost,
            "Binds an exchange to another. Needs the right to write to the destination and to read from the source.",
            |broker, visitor, path, body| bind(broker, visitor, path, body, Kind::Exchange),
        )
        .takes::<BindingSpec>(),
        get(
            "/api/bindings/{vhost}/e/{source}/q/{destination}/{props}",
            Who::SeesVhost,
            "One binding of a queue, by its `properties_key`.",
            |broker, path, query| one(broker, path, query, Kind::Queue),
        )
        .gives::<Binding>(),
        get(
            "/api/bindings/{vhost}/e/{source}/e/{destination}/{props}",
            Who::SeesVhost,
            "One binding of an exchange, by its `properties_key`.",
            |broker, path, query| one(broker, path, query, Kind::Exchange),
        )
        .gives::<Binding>(),
        delete(
            "/api/bindings/{vhost}/e/{source}/q/{destination}/{props}",
            Who::UsesVhost,
            "Removes a binding of a queue, by its `properties_key`.",
            |broker, visitor, path| unbind(broker, visitor, path, Kind::Queue),
        ),
        delete(
            "/api/bindings/{vhost}/e/{source}/e/{destination}/{props}",
            Who::UsesVhost,
            "Removes a binding of an exchange, by its `properties_key`.",
            |broker, visitor, path| unbind(broker, visitor, path, Kind::Exchange),
        ),
    ]
}

type Ends = InPath<(String, String, String)>;
type OneOf = InPath<(String, String, String, String)>;

async fn between(
    State(broker): State<Arc<Broker>>,
    InPath((vhost, source, destination)): Ends,
    query: ListQuery,
    kind: Kind,
) -> Answer {
    answer(broker, move |broker| {
        let (source, destination) = (exchange_name(&source), kind.name_of(&destination));
        let mut bindings = state::bindings(broker, Some(&vhost));
        bindings.retain(|it| {
            it.source == source && it.destination == destination && it.destination_type == kind.name()
        });
        query.respond(bindings)
    })
    .await
}

async fn bind(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((vhost, source, destination)): Ends,
    InBody(wanted): InBody<BindingSpec>,
    kind: Kind,
) -> Answer {
    if wanted.routing_key.len() > 255 {
        return Err(ApiError::bad_request("the routing key is longer than 255 bytes"));
    }
    let arguments = encoded_arguments(&wanted.arguments)?;
    let binding = Bind {
        source: exchange_name(&source),
        destination: kind.destination(kind.name_of(&destination)),
        routing_key: &wanted.routing_key,
        arguments: arguments.as_raw(),
    };
    let mut actor = Actor::new(&broker, &visitor, &vhost)?;
    let ticket = actor.host().bind(binding).map_err(ApiError::of_declaration)?;
    drop(actor);
    broker.await_durable(ticket).await?;
    let table = arguments.as_raw().to_table().unwrap_or_default();
    let key = views::properties_key(&wanted.routing_key, &table);
    let location = format!("{}/{}", views::in_path(&destination), views::in_path(&key));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)]).into_response())
}

async fn one(
    State(broker): State<Arc<Broker>>,
    InPath((vhost, source, destination, key)): OneOf,
    query: ListQuery,
    kind: Kind,
) -> Answer {
    answer(broker, move |broker| {
        let found = find(broker, &vhost, &source, &destination, &key, kind)?;
        query.respond_one(&state::view_binding(&vhost, &found.as_binding()))
    })
    .await
}

async fn unbind(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((vhost, source, destination, key)): OneOf,
    kind: Kind,
) -> Result<StatusCode, ApiError> {
    let found = find(&broker, &vhost, &source, &destination, &key, kind)?;
    let mut actor = Actor::new(&broker, &visitor, &vhost)?;
    let ticket = actor.host().unbind(found.as_binding()).map_err(ApiError::of_declaration)?;
    drop(actor);
    broker.await_durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The binding that `key` names among those of the same two ends.
fn find(
    broker: &Broker,
    vhost: &str,
    source: &str,
    destination: &str,
    key: &str,
    kind: Kind,
) -> Result<BindingDefinition, ApiError> {
    let not_found = || ApiError::not_found("Not Found");
    let (source, destination) = (exchange_name(source), kind.name_of(destination));
    let vhost = broker.vhost(vhost).ok_or_else(not_found)?;
    let topology = vhost.topology();
    let found = topology.bindings_to(kind.destination(destination)).find(|binding| {
        let arguments = binding.arguments.to_table().unwrap_or_default();
        binding.source == source && views::is_properties_key(key, binding.routing_key, &arguments)
    });
    found.map(|binding| BindingDefinition::from(&binding)).ok_or_else(not_found)
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Queue => "queue",
            Kind::Exchange => "exchange",
        }
    }

    fn destination(self, name: &str) -> Destination<'_> {
        match self {
            Kind::Queue => Destination::Queue(name),
            Kind::Exchange => Destination::Exchange(name),
        }
    }

    fn name_of(self, in_path: &str) -> &str {
        match self {
            Kind::Queue => in_path,
            Kind::Exchange => exchange_name(in_path),
        }
    }
}
