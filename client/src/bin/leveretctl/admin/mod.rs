//! `leveretctl` over the admin API: what operators do, beside the AMQP verbs.

mod access;
pub mod arguments;
mod broker;
mod connect;
mod keyring;
mod objects;
mod queues;
mod show;
mod top;

use crate::arguments::Command;
use connect::Session;
use std::time::Duration;

/// Runs a command that goes over the admin API; `None` for one that does not.
pub async fn run(command: &Command, timeout: Duration) -> Option<anyhow::Result<()>> {
    macro_rules! with {
        ($connect:expr, $run:path, $what:expr) => {
            match Session::open($connect, timeout) {
                Ok(session) => $run(&session, $what).await,
                Err(error) => Err(error),
            }
        };
    }
    Some(match command {
        Command::Queues(group) => with!(&group.connect, queues::run, &group.command),
        Command::Exchanges(group) => with!(&group.connect, objects::exchanges, &group.command),
        Command::Bindings(group) => with!(&group.connect, objects::bindings, &group.command),
        Command::Connections(group) => with!(&group.connect, objects::connections, &group.command),
        Command::Channels(group) => with!(&group.connect, objects::channels, &group.command),
        Command::Consumers(group) => with!(&group.connect, objects::consumers, &group.command),
        Command::Users(group) => with!(&group.connect, access::users, &group.command),
        Command::Permissions(group) => with!(&group.connect, access::permissions, &group.command),
        Command::Vhosts(group) => with!(&group.connect, access::vhosts, &group.command),
        Command::Policies(group) => with!(&group.connect, access::policies, &group.command),
        Command::Limits(group) => with!(&group.connect, access::limits, &group.command),
        Command::Definitions(group) => with!(&group.connect, broker::definitions, &group.command),
        Command::Operations(group) => with!(&group.connect, broker::operations, &group.command),
        Command::Delayed(group) => with!(&group.connect, broker::delayed, &group.command),
        Command::Audit(single) => with!(&single.connect, broker::audit, &single.arguments),
        Command::Alarms(single) => with!(&single.connect, broker::alarms, &single.arguments),
        Command::Health(single) => with!(&single.connect, broker::health, &single.arguments),
        Command::Overview(single) => with!(&single.connect, broker::overview, &single.arguments),
        Command::Login(single) => connect::log_in(&single.connect, timeout).await,
        Command::Logout(single) => connect::log_out(&single.connect),
        Command::Top(single) => with!(&single.connect, top::run, &single.arguments),
        _ => return None,
    })
}
