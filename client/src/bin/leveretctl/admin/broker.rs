//! `leveretctl definitions`, `operations`, `delayed`, `audit`, `alarms`, `health` and `overview`.

use super::arguments::{AuditArguments, Definitions, Delayed, Nothing, Operations};
use super::connect::Session;
use super::queues::print_outcome;
use super::show::{age, arguments, bytes, line, rate};
use crate::exit::Failure;
use anyhow::Context;
use leveret_client::admin::AuditQuery;
use leveret_client::admin::types::audit::AuditEntry;
use leveret_client::admin::types::delayed::DelayedMessage;
use leveret_client::admin::types::events::{TopPublisher, TopQueue};
use leveret_client::admin::types::operations::Operation;
use std::io::Read;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

pub async fn definitions(session: &Session, command: &Definitions) -> anyhow::Result<()> {
    let client = &session.client;
    let vhost = |of_vhost: bool| of_vhost.then_some(session.vhost.as_str());
    match command {
        Definitions::Export { file, of_vhost } => {
            let definitions = client.definitions(vhost(*of_vhost)).await?;
            match file {
                None => session.print_json(&definitions),
                Some(file) => {
                    let text = serde_json::to_string_pretty(&definitions)?;
                    std::fs::write(file, text + "\n")
                        .with_context(|| format!("cannot write {}", file.display()))
                }
            }
        }
        Definitions::Import { file, dry_run, of_vhost } => {
            let definitions: serde_json::Value = serde_json::from_str(&read(file)?)
                .with_context(|| format!("{} is no JSON", file.display()))?;
            if *dry_run {
                return session.print_json(&client.plan_definitions(vhost(*of_vhost), &definitions).await?);
            }
            let count =
                |kind: &str| definitions.get(kind).and_then(|list| list.as_array()).map_or(0, Vec::len);
            session.confirm(&format!(
                "Import {} queues, {} exchanges, {} bindings, {} users and {} policies into {}?",
                count("queues"),
                count("exchanges"),
                count("bindings"),
                count("users"),
                count("policies"),
                client.url()
            ))?;
            Ok(client.import_definitions(vhost(*of_vhost), &definitions).await?)
        }
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

pub async fn operations(session: &Session, command: &Operations) -> anyhow::Result<()> {
    let client = &session.client;
    match command {
        Operations::List => session.list::<Operation>(
            &client.operations().await?,
            &[
                ("id", &|operation| operation.id.clone()),
                ("kind", &|operation| format!("{:?}", operation.kind).to_lowercase()),
                ("state", &|operation| format!("{:?}", operation.state).to_lowercase()),
                ("vhost", &|operation| operation.vhost.clone()),
                ("queue", &|operation| operation.queue.clone()),
                ("seen", &|operation| operation.seen.to_string()),
                ("done", &|operation| operation.done.to_string()),
                ("of", &|operation| operation.total.to_string()),
                ("by", &|operation| operation.user.clone()),
                ("started", &|operation| age(operation.started_at)),
            ],
        ),
        Operations::Show { id } => session.one(&client.operation(id).await?),
        Operations::Watch { id } => {
            let ended = session.follow(client.operation(id).await?).await?;
            print_outcome(session, &ended)
        }
        Operations::Cancel { id } => Ok(client.cancel_operation(id).await?),
    }
}

pub async fn delayed(session: &Session, command: &Delayed) -> anyhow::Result<()> {
    let (client, vhost) = (&session.client, session.vhost.as_str());
    match command {
        Delayed::List { exchange, limit } => {
            let page = client.delayed(vhost, exchange, None, Some(*limit)).await?;
            session.list::<DelayedMessage>(
                &page.items,
                &[
                    ("id", &|message| message.id.clone()),
                    ("due", &|message| age(message.due_at)),
                    ("key", &|message| message.routing_key.clone()),
                    ("bytes", &|message| message.payload_bytes.to_string()),
                    ("body", &|message| line(&message.payload, 60)),
                ],
            )?;
            let hidden = page.total.saturating_sub(page.items.len() as u64);
            if hidden > 0 && !session.json {
                eprintln!("{hidden} more are not shown");
            }
            Ok(())
        }
        Delayed::Cancel { exchange, id } => Ok(client.cancel_delayed(vhost, exchange, id).await?),
        Delayed::Release { exchange, id } => Ok(client.release_delayed(vhost, exchange, id).await?),
    }
}

pub async fn audit(session: &Session, options: &AuditArguments) -> anyhow::Result<()> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let query = AuditQuery {
        limit: Some(options.limit),
        user: options.by.clone(),
        kind: options.kind.clone(),
        name: options.name.clone(),
        since: options.last.map(|seconds| now_ms.saturating_sub(seconds.saturating_mul(1000))),
        ..AuditQuery::default()
    };
    let page = session.client.audit(&query).await?;
    session.list::<AuditEntry>(
        &page.items,
        &[
            ("when", &|entry| age(entry.at)),
            ("user", &|entry| entry.user.clone()),
            ("via", &|entry| entry.via.clone()),
            ("from", &|entry| entry.source.clone()),
            ("action", &|entry| format!("{} {}", entry.action, entry.kind)),
            ("vhost", &|entry| entry.vhost.clone().unwrap_or_default()),
            ("name", &|entry| entry.name.clone()),
            ("result", &|entry| entry.result.clone()),
            ("details", &|entry| line(&arguments(&entry.details), 80)),
        ],
    )
}

pub async fn alarms(session: &Session, _: &Nothing) -> anyhow::Result<()> {
    let report = session.client.alarms().await?;
    if session.json {
        return session.print_json(&report);
    }
    let mut text = String::new();
    for alarm in &report.alarms {
        text += &format!("{} alarm for {}: {}\n", alarm.resource, age(alarm.since), alarm.cause);
        text += &format!("  {}\n", alarm.remedy);
    }
    if report.alarms.is_empty() {
        text += "no alarms\n";
    }
    text += &format!("memory  {} of {}\n", bytes(report.memory_used), bytes(report.memory_limit));
    text += &format!("disk    {} free, limit {}\n", bytes(report.disk_free), bytes(report.disk_free_limit));
    text += &format!("blocked connections  {}\n", report.blocked_connections);
    session.print(&text)?;
    if !report.top_publishers.is_empty() {
        session.print("\nwho publishes most:")?;
        session.list::<TopPublisher>(
            &report.top_publishers,
            &[
                ("connection", &|publisher| publisher.connection.clone()),
                ("client", &|publisher| publisher.application.clone()),
                ("user", &|publisher| publisher.user.clone()),
                ("vhost", &|publisher| publisher.vhost.clone()),
                ("messages/s", &|publisher| rate(publisher.rate)),
                ("bytes/s", &|publisher| bytes(publisher.bytes_rate as u64)),
            ],
        )?;
    }
    if !report.top_queues.is_empty() {
        session.print("\nwhich queues hold most:")?;
        session.list::<TopQueue>(
            &report.top_queues,
            &[
                ("vhost", &|queue| queue.vhost.clone()),
                ("queue", &|queue| queue.name.clone()),
                ("messages", &|queue| queue.messages.to_string()),
                ("bytes", &|queue| bytes(queue.message_bytes)),
                ("consumers", &|queue| queue.consumers.to_string()),
            ],
        )?;
    }
    Ok(())
}

pub async fn health(session: &Session, _: &Nothing) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    let mut results = serde_json::Map::new();
    for check in ["is-in-service", "alarms", "virtual-hosts"] {
        let answer = match session.client.health(check).await {
            // A broker without the check says nothing about it.
            Err(error) if error.status() == Some(404) => continue,
            answer => answer?,
        };
        let is_well = answer.status == "ok";
        let reason = answer.reason.clone().unwrap_or_default();
        if !session.json {
            let said = if is_well { "ok".to_owned() } else { format!("failed: {reason}") };
            session.print(&format!("{check:15} {said}"))?;
        }
        results.insert(check.to_owned(), serde_json::to_value(&answer)?);
        if !is_well {
            failed.push(check);
        }
    }
    if session.json {
        session.print_json(&results)?;
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Unwell(failed.join(", ")).into()) }
}

pub async fn overview(session: &Session, _: &Nothing) -> anyhow::Result<()> {
    let overview = session.client.overview().await?;
    if session.json {
        return session.print_json(&overview);
    }
    let (totals, stats, objects) = (&overview.queue_totals, &overview.message_stats, &overview.object_totals);
    session.print(&format!(
        "{} {}, cluster {}, node {}\n\
         messages     {} ready, {} unacked\n\
         published    {}, {}/s\n\
         delivered    {}, {}/s\n\
         acked        {}, {}/s\n\
         objects      {} queues, {} exchanges, {} connections, {} channels, {} consumers",
        overview.product_name,
        overview.product_version,
        overview.cluster_name,
        overview.node,
        totals.messages_ready,
        totals.messages_unacknowledged,
        stats.publish,
        rate(stats.publish_details.per_second()),
        stats.deliver_get,
        rate(stats.deliver_get_details.per_second()),
        stats.ack,
        rate(stats.ack_details.per_second()),
        objects.queues,
        objects.exchanges,
        objects.connections,
        objects.channels,
        objects.consumers,
    ))
}
