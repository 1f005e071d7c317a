//! `leveretctl exchanges`, `bindings`, `connections`, `channels` and `consumers`.

use super::arguments::{
    BindingArguments, Bindings, Channels, Connections, Consumers, Exchanges, ListArguments,
};
use super::connect::Session;
use super::queues::{items, list_query};
use super::show::{age, arguments, bytes, rate};
use crate::exit::Failure;
use leveret_client::admin::types::topology::{RouteAnswer, RouteRequest, UnmatchedBinding};
use leveret_client::admin::types::{Binding, Channel, Connection, Consumer, Exchange};
use leveret_client::admin::{ConnectionTarget, DeclareExchange, NewBinding};

pub async fn exchanges(session: &Session, command: &Exchanges) -> anyhow::Result<()> {
    let (client, vhost) = (&session.client, session.vhost.as_str());
    match command {
        Exchanges::List(options) => {
            let vhost = (!options.all_vhosts).then_some(vhost);
            let exchanges = items(client.exchanges(vhost, &list_query(options)).await?);
            let stats = |exchange: &Exchange| exchange.message_stats.unwrap_or_default();
            session.list::<Exchange>(
                &exchanges,
                &[
                    ("vhost", &|exchange| exchange.vhost.clone()),
                    ("name", &|exchange| match exchange.name.as_str() {
                        "" => "(default)".to_owned(),
                        name => name.to_owned(),
                    }),
                    ("type", &|exchange| exchange.kind.clone()),
                    ("flags", &|exchange| {
                        let flags = [
                            (exchange.durable, "durable"),
                            (exchange.auto_delete, "auto-delete"),
                            (exchange.internal, "internal"),
                        ];
                        let set = flags.iter().filter(|(is, _)| *is).map(|(_, name)| *name);
                        set.collect::<Vec<_>>().join(" ")
                    }),
                    ("in", &|exchange| stats(exchange).publish_in.to_string()),
                    ("in/s", &|exchange| rate(stats(exchange).publish_in_details.per_second())),
                    ("out", &|exchange| stats(exchange).publish_out.to_string()),
                    ("out/s", &|exchange| rate(stats(exchange).publish_out_details.per_second())),
                    ("arguments", &|exchange| arguments(&exchange.arguments)),
                ],
            )
        }
        Exchanges::Show { exchange } => session.one(&client.exchange(vhost, exchange).await?),
        Exchanges::Declare { exchange, kind, transient, auto_delete, internal, arguments } => {
            let declare = DeclareExchange {
                kind: kind.clone(),
                durable: !transient,
                auto_delete: *auto_delete,
                internal: *internal,
                arguments: arguments.iter().cloned().collect(),
            };
            Ok(client.declare_exchange(vhost, exchange, &declare).await?)
        }
        Exchanges::Delete { exchange, if_unused } => {
            let bindings = client.bindings_from(vhost, exchange).await?.len();
            if bindings > 0 && !if_unused {
                session.confirm(&format!("Delete exchange '{exchange}' with {bindings} bindings?"))?;
            }
            Ok(client.delete_exchange(vhost, exchange, *if_unused).await?)
        }
        Exchanges::Route { exchange, key, headers } => {
            let message =
                RouteRequest { routing_key: key.clone(), headers: headers.iter().cloned().collect() };
            let answer = client.route_test(vhost, exchange, &message).await?;
            print_route(session, &answer)
        }
    }
}

fn print_route(session: &Session, answer: &RouteAnswer) -> anyhow::Result<()> {
    if session.json {
        return session.print_json(answer);
    }
    let mut text = String::new();
    if answer.queues.is_empty() {
        text += "it reaches no queue\n";
    }
    for queue in &answer.queues {
        let path: Vec<&str> =
            queue.path.iter().map(|name| if name.is_empty() { "(default)" } else { name }).collect();
        text += &format!("{}  by {}, key '{}'\n", queue.queue, path.join(" > "), queue.routing_key);
    }
    if let Some(alternate) = &answer.alternate_exchange {
        text += &format!("nothing matched, so the alternate exchange '{alternate}' took it\n");
    }
    if let Some(note) = &answer.note {
        text += &format!("{note}\n");
    }
    session.print(&text)?;
    if !answer.unmatched.is_empty() {
        session.print("\nnot to:")?;
        session.list::<UnmatchedBinding>(
            &answer.unmatched,
            &[
                ("destination", &|binding| format!("{} {}", binding.destination_type, binding.destination)),
                ("key", &|binding| binding.routing_key.clone()),
                ("why not", &|binding| binding.reason.clone()),
            ],
        )?;
    }
    Ok(())
}

pub async fn bindings(session: &Session, command: &Bindings) -> anyhow::Result<()> {
    let (client, vhost) = (&session.client, session.vhost.as_str());
    match command {
        Bindings::List { source, destination } => {
            let mut bindings = client.bindings(Some(vhost)).await?;
            bindings.retain(|binding| {
                let is = |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|it| it == name);
                !binding.source.is_empty()
                    && is(source, &binding.source)
                    && is(destination, &binding.destination)
            });
            session.list::<Binding>(
                &bindings,
                &[
                    ("source", &|binding| binding.source.clone()),
                    ("destination", &|binding| binding.destination.clone()),
                    ("to", &|binding| binding.destination_type.clone()),
                    ("key", &|binding| binding.routing_key.clone()),
                    ("arguments", &|binding| arguments(&binding.arguments)),
                ],
            )
        }
        Bindings::Add(binding) => Ok(client.bind(vhost, &new_binding(binding)).await?),
        Bindings::Remove(binding) => {
            let kind = if binding.to_exchange { "exchange" } else { "queue" };
            let wanted = new_binding(binding);
            let bindings = client.bindings_from(vhost, &binding.source).await?;
            let found = bindings.iter().find(|found| {
                found.destination == wanted.destination
                    && found.destination_type == kind
                    && found.routing_key == wanted.routing_key
                    && found.arguments == wanted.arguments
            });
            match found {
                Some(found) => Ok(client.unbind(found).await?),
                None => Err(Failure::Missing("there is no such binding".to_owned()).into()),
            }
        }
    }
}

fn new_binding(binding: &BindingArguments) -> NewBinding {
    NewBinding {
        source: binding.source.clone(),
        destination: binding.destination.clone(),
        to_exchange: binding.to_exchange,
        routing_key: binding.key.clone(),
        arguments: binding.arguments.iter().cloned().collect(),
    }
}

pub async fn connections(session: &Session, command: &Connections) -> anyhow::Result<()> {
    match command {
        Connections::List(options) => {
            let connections = items(session.client.connections(&list_query(options)).await?);
            session.list::<Connection>(
                &connections,
                &[
                    ("name", &|connection| connection.name.clone()),
                    ("client", &|connection| connection.user_provided_name.clone().unwrap_or_default()),
                    ("user", &|connection| connection.user.clone()),
                    ("vhost", &|connection| connection.vhost.clone()),
                    ("state", &|connection| connection.state.clone()),
                    ("channels", &|connection| connection.channels.to_string()),
                    ("in/s", &|connection| bytes(connection.recv_oct_details.per_second() as u64)),
                    ("out/s", &|connection| bytes(connection.send_oct_details.per_second() as u64)),
                    ("since", &|connection| age(connection.connected_at)),
                ],
            )
        }
        Connections::Close { name, of_user, reason } => {
            let target = match (name, of_user) {
                (Some(name), _) => ConnectionTarget::Name(name.clone()),
                (None, Some(user)) => {
                    session.confirm(&format!("Close all connections of user '{user}'?"))?;
                    ConnectionTarget::User(user.clone())
                }
                (None, None) => return Err(Failure::Usage("which connection?".to_owned()).into()),
            };
            Ok(session.client.close_connection(&target, reason).await?)
        }
    }
}

pub async fn channels(session: &Session, command: &Channels) -> anyhow::Result<()> {
    match command {
        Channels::List(options) => list_channels(session, options).await,
        Channels::Close { name, reason } => Ok(session.client.close_channel(name, reason).await?),
    }
}

async fn list_channels(session: &Session, options: &ListArguments) -> anyhow::Result<()> {
    let channels = items(session.client.channels(&list_query(options)).await?);
    session.list::<Channel>(
        &channels,
        &[
            ("name", &|channel| channel.name.clone()),
            ("user", &|channel| channel.user.clone()),
            ("vhost", &|channel| channel.vhost.clone()),
            ("state", &|channel| channel.state.clone()),
            ("mode", &|channel| match (channel.confirm, channel.transactional) {
                (true, _) => "confirm".to_owned(),
                (_, true) => "tx".to_owned(),
                _ => String::new(),
            }),
            ("consumers", &|channel| channel.consumer_count.to_string()),
            ("prefetch", &|channel| channel.prefetch_count.to_string()),
            ("unacked", &|channel| channel.messages_unacknowledged.to_string()),
            ("unconfirmed", &|channel| channel.messages_unconfirmed.to_string()),
        ],
    )
}

pub async fn consumers(session: &Session, command: &Consumers) -> anyhow::Result<()> {
    let (queue, tag) = match command {
        Consumers::List(options) => return list_consumers(session, options).await,
        Consumers::Cancel { queue, tag } => (queue, tag),
    };
    let consumers = session.client.consumers(Some(&session.vhost)).await?;
    let found: Vec<&Consumer> =
        consumers.iter().filter(|it| it.queue.name == *queue && it.consumer_tag == *tag).collect();
    match found.as_slice() {
        [] => Err(Failure::Missing(format!("queue '{queue}' has no consumer '{tag}'")).into()),
        [consumer] => Ok(session.client.cancel_consumer(consumer).await?),
        several => {
            session.confirm(&format!("Cancel {} consumers of this tag?", several.len()))?;
            for consumer in several {
                session.client.cancel_consumer(consumer).await?;
            }
            Ok(())
        }
    }
}

async fn list_consumers(session: &Session, options: &ListArguments) -> anyhow::Result<()> {
    let vhost = (!options.all_vhosts).then_some(session.vhost.as_str());
    let mut consumers = session.client.consumers(vhost).await?;
    if let Some(name) = &options.name {
        let name = name.to_lowercase();
        consumers.retain(|consumer| {
            consumer.consumer_tag.to_lowercase().contains(&name)
                || consumer.queue.name.to_lowercase().contains(&name)
        });
    }
    consumers.truncate(options.limit.unwrap_or(u32::MAX) as usize);
    session.list::<Consumer>(
        &consumers,
        &[
            ("queue", &|consumer| consumer.queue.name.clone()),
            ("tag", &|consumer| consumer.consumer_tag.clone()),
            ("channel", &|consumer| consumer.channel_details.name.clone()),
            ("user", &|consumer| consumer.channel_details.user.clone()),
            ("acks", &|consumer| if consumer.ack_required { "yes" } else { "no" }.to_owned()),
            ("prefetch", &|consumer| consumer.prefetch_count.to_string()),
            ("active", &|consumer| if consumer.active { "yes" } else { "no" }.to_owned()),
        ],
    )
}
