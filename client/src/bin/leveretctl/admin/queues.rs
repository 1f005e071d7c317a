//! `leveretctl queues`.

use super::arguments::{Filter, ListArguments, Peek, QueueSettings, Queues, Transfer, Work};
use super::connect::Session;
use super::show::{age, arguments, bytes, line, rate};
use crate::exit::Failure;
use leveret_client::admin::types::messages::{
    MessageFilter, MessagePage, MessageState, QueuedMessage, Selection,
};
use leveret_client::admin::types::operations::{
    Operation, OperationKind, OperationPlan, OperationRequest, OperationState, OperationTarget,
};
use leveret_client::admin::types::{Arguments, Page, Queue};
use leveret_client::admin::{DeclareQueue, ListQuery, PeekQuery};

pub async fn run(session: &Session, command: &Queues) -> anyhow::Result<()> {
    let (client, vhost) = (&session.client, session.vhost.as_str());
    match command {
        Queues::List(options) => list(session, options).await,
        Queues::Show { queue } => session.one(&client.queue(vhost, queue).await?),
        Queues::Declare(settings) => declare(session, settings).await,
        Queues::Delete { queue, if_unused, if_empty } => {
            let messages = client.queue(vhost, queue).await?.totals.messages;
            if messages > 0 && !if_empty {
                session.confirm(&format!("Delete queue '{queue}' with {messages} messages?"))?;
            }
            Ok(client.delete_queue(vhost, queue, *if_unused, *if_empty).await?)
        }
        Queues::Peek(peek) => {
            let state = if peek.waiting { MessageState::Delayed } else { MessageState::Ready };
            print_messages(session, &look(session, peek, state).await?, state)
        }
        Queues::Unacked(peek) => {
            let page = look(session, peek, MessageState::Unacked).await?;
            print_messages(session, &page, MessageState::Unacked)
        }
        Queues::Move(transfer) => operate(session, OperationKind::Move, transfer_request(transfer)).await,
        Queues::Copy(transfer) => operate(session, OperationKind::Copy, transfer_request(transfer)).await,
        Queues::Requeue(requeue) => {
            let (work, request) = (&requeue.work, request_of(&requeue.work));
            let request = OperationRequest { forget_deaths: requeue.forget_deaths, ..request };
            operate(session, OperationKind::Requeue, (work, request)).await
        }
        Queues::DeleteMessages(work) => {
            operate(session, OperationKind::Delete, (work, request_of(work))).await
        }
        Queues::Purge { queue } => {
            let ready = client.queue(vhost, queue).await?.totals.messages_ready;
            session.confirm(&format!("Remove {ready} messages from queue '{queue}'?"))?;
            Ok(client.purge_queue(vhost, queue).await?)
        }
        Queues::Pause { queue } => Ok(client.pause_queue(vhost, queue).await?),
        Queues::Resume { queue } => Ok(client.resume_queue(vhost, queue).await?),
    }
}

/// What a list is asked for.
pub fn list_query(options: &ListArguments) -> ListQuery {
    let mut query = ListQuery::new();
    if let Some(name) = &options.name {
        query = query.name(name);
    }
    if let Some(pattern) = &options.matching {
        query = query.name_matches(pattern);
    }
    if let Some(field) = &options.sort {
        query = query.sort(field);
    }
    if options.reverse {
        query = query.reverse();
    }
    if let Some(limit) = options.limit {
        query = query.page(1, limit.min(500) as usize);
    }
    query
}

/// The items of a list, and a word on those that are not shown.
pub fn items<T>(page: Page<T>) -> Vec<T> {
    let hidden = page.filtered_count.saturating_sub(page.items.len());
    if hidden > 0 {
        eprintln!("{hidden} more are not shown");
    }
    page.items
}

async fn list(session: &Session, options: &ListArguments) -> anyhow::Result<()> {
    let vhost = (!options.all_vhosts).then_some(session.vhost.as_str());
    let queues = items(session.client.queues(vhost, &list_query(options)).await?);
    session.list::<Queue>(
        &queues,
        &[
            ("vhost", &|queue| queue.vhost.clone()),
            ("name", &|queue| queue.name.clone()),
            ("type", &|queue| queue.kind.clone()),
            ("state", &|queue| queue.state.clone()),
            ("ready", &|queue| queue.totals.messages_ready.to_string()),
            ("unacked", &|queue| queue.totals.messages_unacknowledged.to_string()),
            ("bytes", &|queue| bytes(queue.message_bytes)),
            ("consumers", &|queue| queue.consumers.to_string()),
            ("in/s", &|queue| rate(queue.message_stats.publish_details.per_second())),
            ("out/s", &|queue| rate(queue.message_stats.deliver_get_details.per_second())),
            ("ack/s", &|queue| rate(queue.message_stats.ack_details.per_second())),
            ("policy", &|queue| queue.policy.clone().unwrap_or_default()),
        ],
    )
}

async fn declare(session: &Session, settings: &QueueSettings) -> anyhow::Result<()> {
    let declare = DeclareQueue {
        durable: !settings.transient,
        auto_delete: settings.auto_delete,
        arguments: settings.arguments.iter().cloned().collect(),
    };
    Ok(session.client.declare_queue(&session.vhost, &settings.queue, &declare).await?)
}

async fn look(session: &Session, peek: &Peek, state: MessageState) -> anyhow::Result<MessagePage> {
    let (client, vhost) = (&session.client, session.vhost.as_str());
    let mut found = MessagePage::default();
    let mut query = PeekQuery {
        payload_max: Some(peek.payload),
        filter: filter_of(&peek.filter),
        state,
        ..PeekQuery::default()
    };
    loop {
        let missing = peek.limit - u32::try_from(found.items.len()).unwrap_or(peek.limit).min(peek.limit);
        query.limit = Some(missing.clamp(1, 500));
        let page = client.messages(vhost, &peek.queue, &query).await?;
        found.items.extend(page.items);
        found.scanned += page.scanned;
        found.next = page.next;
        if found.items.len() >= peek.limit as usize || found.next.is_none() {
            found.items.truncate(peek.limit as usize);
            return Ok(found);
        }
        query.cursor.clone_from(&found.next);
    }
}

fn print_messages(session: &Session, page: &MessagePage, state: MessageState) -> anyhow::Result<()> {
    if session.json {
        return session.print_json(&page.items);
    }
    let body = |message: &QueuedMessage| match message.payload_encoding.as_str() {
        "base64" => format!("<{} bytes>", message.payload_bytes),
        _ => line(&message.payload, 60),
    };
    let died = |message: &QueuedMessage| {
        message.deaths.first().map(|death| format!("{} in {}", death.reason, death.queue)).unwrap_or_default()
    };
    let holder = |message: &QueuedMessage| {
        message.holder.as_ref().map(|holder| {
            let channel = &holder.channel_details;
            format!("{} on {} ({})", holder.consumer_tag, channel.connection_name, channel.user)
        })
    };
    let since = |message: &QueuedMessage| message.holder.as_ref().map(|holder| age(holder.since));
    match state {
        MessageState::Unacked => session.list::<QueuedMessage>(
            &page.items,
            &[
                ("id", &|message| message.id.clone()),
                ("held by", &|message| holder(message).unwrap_or_default()),
                ("for", &|message| since(message).unwrap_or_default()),
                ("returns", &|message| message.delivery_count.to_string()),
                ("exchange", &|message| message.exchange.clone()),
                ("key", &|message| message.routing_key.clone()),
                ("body", &body),
            ],
        )?,
        MessageState::Delayed => session.list::<QueuedMessage>(
            &page.items,
            &[
                ("id", &|message| message.id.clone()),
                ("ready", &|message| message.due_at.map(age).unwrap_or_default()),
                ("returns", &|message| message.delivery_count.to_string()),
                ("exchange", &|message| message.exchange.clone()),
                ("key", &|message| message.routing_key.clone()),
                ("body", &body),
            ],
        )?,
        MessageState::Ready => session.list::<QueuedMessage>(
            &page.items,
            &[
                ("id", &|message| message.id.clone()),
                ("exchange", &|message| message.exchange.clone()),
                ("key", &|message| message.routing_key.clone()),
                ("bytes", &|message| message.payload_bytes.to_string()),
                ("redelivered", &|message| if message.redelivered { "yes" } else { "" }.to_owned()),
                ("died", &died),
                ("headers", &|message| {
                    let headers = message.properties.get("headers").and_then(|headers| headers.as_object());
                    headers.map(|headers| line(&arguments(headers), 40)).unwrap_or_default()
                }),
                ("body", &body),
            ],
        )?,
    }
    if page.next.is_some() {
        eprintln!("there are more: --limit");
    }
    Ok(())
}

fn filter_of(filter: &Filter) -> MessageFilter {
    MessageFilter {
        routing_key: filter.routing_key.clone(),
        exchange: filter.exchange.clone(),
        headers: filter.headers.iter().cloned().collect::<Arguments>(),
        reason: filter.reason.clone(),
        died_in: filter.died_in.clone(),
        text: filter.text.clone(),
        min_age_ms: filter.older_than.map(|seconds| seconds.saturating_mul(1000)),
        max_age_ms: filter.younger_than.map(|seconds| seconds.saturating_mul(1000)),
    }
}

fn request_of(work: &Work) -> OperationRequest {
    let selection = match work.ids.is_empty() {
        true => Selection::Filter(filter_of(&work.filter)),
        false => Selection::Ids(work.ids.clone()),
    };
    OperationRequest { selection, rate: work.rate, ..OperationRequest::default() }
}

fn transfer_request(transfer: &Transfer) -> (&Work, OperationRequest) {
    let destination = match (&transfer.to, &transfer.to_exchange) {
        (Some(queue), _) => Some(OperationTarget::Queue(queue.clone())),
        (None, Some(name)) => {
            Some(OperationTarget::Exchange { name: name.clone(), routing_key: transfer.with_key.clone() })
        }
        (None, None) => None,
    };
    (&transfer.work, OperationRequest { destination, ..request_of(&transfer.work) })
}

async fn operate(
    session: &Session,
    kind: OperationKind,
    (work, request): (&Work, OperationRequest),
) -> anyhow::Result<()> {
    let (client, vhost) = (&session.client, session.vhost.as_str());
    let plan = client.plan_operation(kind, vhost, &work.queue, &request).await?;
    if work.dry_run {
        return print_plan(session, &plan);
    }
    if kind == OperationKind::Delete {
        session.confirm(&format!(
            "Delete {} of {} messages from queue '{}'?",
            plan.selected, plan.total, work.queue
        ))?;
    }
    let operation = client.start_operation(kind, vhost, &work.queue, &request).await?;
    if work.detach {
        return if session.json { session.print_json(&operation) } else { session.print(&operation.id) };
    }
    let ended = session.follow(operation).await?;
    print_outcome(session, &ended)
}

fn print_plan(session: &Session, plan: &OperationPlan) -> anyhow::Result<()> {
    if session.json {
        return session.print_json(plan);
    }
    let mut text = format!("{} of {} messages are selected\n", plan.selected, plan.total);
    for route in &plan.routes {
        let exchange = if route.exchange.is_empty() { "the default exchange" } else { &route.exchange };
        text += &format!(
            "{} would go to {exchange} with key '{}', which reaches {}\n",
            route.messages,
            route.routing_key,
            if route.queues.is_empty() { "no queue".to_owned() } else { route.queues.join(", ") }
        );
    }
    for skipped in &plan.skipped {
        text += &format!("{} would stay: {}\n", skipped.messages, skipped.reason);
    }
    session.print(&text)
}

/// Says how an operation ended; one that did not reach its end is a failure.
pub fn print_outcome(session: &Session, operation: &Operation) -> anyhow::Result<()> {
    if session.json {
        session.print_json(operation)?;
    } else {
        let mut text = format!("{} of {} messages done\n", operation.done, operation.seen);
        for skipped in &operation.skipped {
            text += &format!("{} stayed: {}\n", skipped.messages, skipped.reason);
        }
        session.print(&text)?;
    }
    match operation.state {
        OperationState::Running | OperationState::Done => Ok(()),
        OperationState::Cancelled => Err(Failure::Incomplete("it was cancelled".to_owned()).into()),
        OperationState::Interrupted => Err(Failure::Incomplete("the broker was stopped".to_owned()).into()),
        OperationState::Failed => {
            Err(Failure::Incomplete(operation.error.clone().unwrap_or_default()).into())
        }
    }
}
