//! The command line.

use crate::admin::arguments as admin;
use crate::{exit, json};
use clap::{Args, Parser, Subcommand, ValueEnum};
use leveret_client::{Backoff, Connection, Message, PERSISTENT, Properties, Table, Value};
use std::{path::PathBuf, time::Duration};

/// Messages over AMQP, administration over HTTP.
///
/// publish, consume, get, declare, delete, bind, unbind, purge and bench speak AMQP, to Leveret and every other broker of
/// AMQP 0-9-1: --uri. A connection that is lost is made again for as long as --timeout says; a message that was not
/// confirmed is then published again and may arrive twice. All other commands ask the admin API: --admin, --user,
/// --profile. What RabbitMQ has of that works with RabbitMQ. Data goes to stdout, everything else to stderr.
#[derive(Debug, Parser)]
#[command(name = "leveretctl", version, after_help = exit::HELP, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub connect: Connect,
}

/// How to reach the broker.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Connect {
    /// Broker, user, password and vhost: amqp://user:password@host:port/vhost
    ///
    /// Write the vhost / as %2f. amqps:// uses TLS and trusts the system's certificates, or those in the file that
    /// SSL_CERT_FILE names. A password in the environment is seen by fewer than one in the arguments.
    #[arg(
        long,
        global = true,
        env = "LEVERET_URI",
        hide_env_values = true,
        default_value = "amqp://guest:guest@127.0.0.1:5672/%2f"
    )]
    pub uri: String,
    /// What the connection is called in lists of connections
    #[arg(long, global = true, value_name = "NAME", default_value = "leveretctl")]
    pub connection_name: String,
    /// How long to try to connect, to reconnect, and to wait for an answer
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    pub timeout: Duration,
    /// Wait for the broker to come up, for as long as --timeout says, instead of failing when it is not there
    #[arg(long, global = true)]
    pub wait: bool,
    /// Show progress on stderr even when it is not a terminal
    #[arg(long, global = true)]
    pub progress: bool,
    /// Show no progress
    #[arg(long, short, global = true, conflicts_with = "progress")]
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Publish(Publish),
    Consume(Consume),
    Get(Get),
    /// Create a queue or an exchange
    #[command(subcommand)]
    Declare(Declare),
    /// Delete a queue or an exchange
    #[command(subcommand)]
    Delete(Delete),
    /// Route messages from an exchange to a queue or another exchange
    #[command(after_help = BIND_EXAMPLES)]
    Bind(Bind),
    /// Stop routing messages from an exchange to a queue or another exchange
    #[command(after_help = UNBIND_EXAMPLES)]
    Unbind(Bind),
    Purge(Purge),
    Bench(Bench),
    /// The broker at a glance
    Overview(admin::Single<admin::Nothing>),
    /// The busiest queues, live, until Ctrl-C
    Top(admin::Single<admin::TopArguments>),
    /// Queues and the messages in them: list, declare, peek, move, requeue, purge, pause
    #[command(after_help = admin::QUEUE_EXAMPLES)]
    Queues(admin::Group<admin::Queues>),
    /// Exchanges: list, declare, delete; where would a message go?
    Exchanges(admin::Group<admin::Exchanges>),
    /// Bindings: list, add, remove
    Bindings(admin::Group<admin::Bindings>),
    /// Connections: list, close
    Connections(admin::Group<admin::Connections>),
    /// Channels: list, close
    Channels(admin::Group<admin::Channels>),
    /// Consumers of the vhost: list, cancel
    Consumers(admin::Group<admin::Consumers>),
    /// Moves, copies and the like that go on in the background
    Operations(admin::Group<admin::Operations>),
    /// Messages that wait for their time in a delayed exchange
    Delayed(admin::Group<admin::Delayed>),
    /// Users: list, put, delete
    Users(admin::Group<admin::Users>),
    /// What users may do in vhosts
    Permissions(admin::Group<admin::Permissions>),
    /// Vhosts: list, put, delete
    Vhosts(admin::Group<admin::Vhosts>),
    /// Policies: list, set, preview, delete
    Policies(admin::Group<admin::Policies>),
    /// Limits of vhosts and users
    Limits(admin::Group<admin::Limits>),
    /// Export and import everything that is defined
    Definitions(admin::Group<admin::Definitions>),
    /// Who changed what, the latest first
    Audit(admin::Single<admin::AuditArguments>),
    /// What runs short, why, and who fills it
    Alarms(admin::Single<admin::Nothing>),
    /// Is the broker well? Exit code 7 when it is not
    Health(admin::Single<admin::Nothing>),
    /// Check a password and keep it in the keyring of the system; it is read from LEVERET_PASSWORD or stdin
    Login(admin::Single<admin::Nothing>),
    /// Take a password out of the keyring
    Logout(admin::Single<admin::Nothing>),
    /// Print completions for a shell, to be put where it looks for them
    Completions {
        shell: clap_complete::Shell,
    },
}

const PUBLISH_EXAMPLES: &str = "\
Examples:
  leveretctl publish --queue orders 'hello'
  leveretctl publish -e logs -k web-1.error --persistent --header app=shop --header tries:=3 'disk full'
  tail -f access.log | leveretctl publish -e logs -k access --lines
  leveretctl publish --queue load --count 100000 --rate 5000 --progress 'x'
  leveretctl consume old --json --idle 2 | leveretctl publish --queue new --json";

/// Publish messages and wait until the broker has confirmed them
///
/// The body is the argument, or the file, or stdin; with --lines and --json there is one message per line.
#[derive(Debug, Args)]
#[command(after_help = PUBLISH_EXAMPLES)]
pub struct Publish {
    /// Exchange to publish to [default: the default exchange, which routes to the queue named by the key]
    #[arg(long, short, default_value = "", hide_default_value = true)]
    pub exchange: String,
    /// Routing key
    #[arg(long, short, default_value = "", hide_default_value = true)]
    pub key: String,
    /// Publish to this queue, by way of the default exchange; implies --mandatory
    #[arg(long, short = 'Q', conflicts_with_all = ["exchange", "key"])]
    pub queue: Option<String>,
    /// The body
    #[arg(conflicts_with = "file")]
    pub body: Option<String>,
    /// Read the body, or with --lines and --json the messages, from this file; - is stdin
    #[arg(long, short)]
    pub file: Option<PathBuf>,
    /// Each line is the body of a message
    #[arg(long, conflicts_with_all = ["json", "body"])]
    pub lines: bool,
    /// Each line is a message in JSON, as `consume --json` writes it
    ///
    /// Fields: body or body_base64, and optionally exchange, routing_key, properties. What a line does not say comes
    /// from the options.
    #[arg(long, conflicts_with = "body")]
    pub json: bool,
    /// Publish the message so many times; with --lines or --json, stop after so many
    #[arg(long, short = 'n')]
    pub count: Option<u64>,
    /// Publish at most so many messages per second
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// How many messages may be unconfirmed at a time
    #[arg(long, default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    pub window: u32,
    /// Keep the messages on disk, in durable queues
    #[arg(long, short)]
    pub persistent: bool,
    /// Fail with exit code 6 when a message reaches no queue
    #[arg(long, short)]
    pub mandatory: bool,
    #[command(flatten)]
    pub properties: PropertyArguments,
}

/// Properties of the messages.
#[derive(Debug, Args)]
#[command(next_help_heading = "Properties")]
pub struct PropertyArguments {
    /// Header: name=text, or name:=JSON for numbers, booleans, lists and tables; may be given several times
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE", value_parser = json::parse_argument)]
    pub headers: Vec<(String, Value)>,
    /// MIME type of the body
    #[arg(long)]
    pub content_type: Option<String>,
    /// MIME encoding of the body
    #[arg(long)]
    pub content_encoding: Option<String>,
    /// 0 to 255, for queues with x-max-priority
    #[arg(long)]
    pub priority: Option<u8>,
    /// Correlation id
    #[arg(long)]
    pub correlation_id: Option<String>,
    /// Queue for the answer
    #[arg(long)]
    pub reply_to: Option<String>,
    /// Milliseconds to live in a queue
    #[arg(long, value_name = "MS")]
    pub expiration: Option<u64>,
    /// Message id
    #[arg(long)]
    pub message_id: Option<String>,
    /// Seconds since 1970
    #[arg(long, value_name = "SECONDS")]
    pub timestamp: Option<u64>,
    /// The property `type`
    #[arg(long = "type")]
    pub kind: Option<String>,
    /// Must be the user of the connection
    #[arg(long)]
    pub user_id: Option<String>,
    /// Name of the publishing application
    #[arg(long)]
    pub app_id: Option<String>,
}

const CONSUME_EXAMPLES: &str = "\
Examples:
  leveretctl consume orders --count 10
  leveretctl consume orders --json --idle 5 > backup.jsonl
  leveretctl consume --exchange logs --key '*.error' --key '#.fatal'
  leveretctl consume orders --rate 10 | while read -r line; do handle \"$line\"; done";

/// Print messages as they come, acknowledging each after it was written
///
/// Without --count and --idle it runs until Ctrl-C. A message that was not written goes back to the queue.
#[derive(Debug, Args)]
#[command(after_help = CONSUME_EXAMPLES)]
pub struct Consume {
    /// Queue to consume
    #[arg(required_unless_present = "exchange", conflicts_with = "exchange")]
    pub queue: Option<String>,
    /// Consume what this exchange routes, with a queue of our own that goes when we go
    #[arg(long, short)]
    pub exchange: Option<String>,
    /// Binding key for --exchange; may be given several times (default: #)
    #[arg(long, short, requires = "exchange", conflicts_with = "queue")]
    pub key: Vec<String>,
    /// Stop after so many messages
    #[arg(long, short = 'n')]
    pub count: Option<u64>,
    /// Stop when no message came for so long: exit code 4 if fewer than --count came, else 0
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub idle: Option<Duration>,
    /// Take at most so many messages per second
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// How many messages may be unacknowledged at a time
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u16).range(1..))]
    pub prefetch: u16,
    /// Let the broker forget messages as it sends them
    #[arg(long)]
    pub auto_ack: bool,
    /// Refuse to share the queue with other consumers
    #[arg(long)]
    pub exclusive: bool,
    /// Consumer tag [default: chosen by the broker]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub tag: String,
    /// Argument of the subscription: name=text or name:=JSON, such as x-priority:=10
    #[arg(long = "argument", short = 'a', value_name = "NAME=VALUE", value_parser = json::parse_argument)]
    pub arguments: Vec<(String, Value)>,
    #[command(flatten)]
    pub format: FormatArguments,
}

const GET_EXAMPLES: &str = "\
Examples:
  leveretctl get orders || echo nothing there
  leveretctl get orders --count 5 --requeue --json   # look without taking";

/// Take messages that are in a queue now; exit code 3 when it is empty
#[derive(Debug, Args)]
#[command(after_help = GET_EXAMPLES)]
pub struct Get {
    /// Queue to take from
    pub queue: String,
    /// Take up to so many
    #[arg(long, short = 'n', default_value = "1")]
    pub count: u64,
    /// Put them back afterwards, marked as redelivered
    #[arg(long)]
    pub requeue: bool,
    #[command(flatten)]
    pub format: FormatArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct FormatArguments {
    /// Write bodies, each followed by a newline (the default)
    #[arg(long, conflicts_with_all = ["json", "raw"])]
    pub lines: bool,
    /// Write bodies with nothing between them
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
    /// Write one JSON object per message, with all properties
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Declare {
    Queue(DeclareQueue),
    Exchange(DeclareExchange),
}

/// Create a queue, or check that it is there with these settings
///
/// Prints its name, messages and consumers.
#[derive(Debug, Args)]
pub struct DeclareQueue {
    /// Name; empty for one the broker chooses
    #[arg(default_value = "")]
    pub name: String,
    /// Lost when the broker restarts
    #[arg(long)]
    pub transient: bool,
    /// Goes with its last consumer
    #[arg(long)]
    pub auto_delete: bool,
    /// Only check that it exists; its settings do not matter
    #[arg(long)]
    pub passive: bool,
    /// Queue type, short for --argument x-queue-type=...
    #[arg(long = "type", value_enum)]
    pub queue_type: Option<QueueType>,
    /// Argument: name=text or name:=JSON, such as x-max-length:=1000
    #[arg(long = "argument", short = 'a', value_name = "NAME=VALUE", value_parser = json::parse_argument)]
    pub arguments: Vec<(String, Value)>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum QueueType {
    Classic,
    Quorum,
    Stream,
}

/// Create an exchange, or check that it is there with these settings
#[derive(Debug, Args)]
pub struct DeclareExchange {
    /// Name
    pub name: String,
    /// direct, fanout, topic, headers, or another type the broker has
    #[arg(default_value = "direct")]
    pub kind: String,
    /// Lost when the broker restarts
    #[arg(long)]
    pub transient: bool,
    /// Goes with its last binding
    #[arg(long)]
    pub auto_delete: bool,
    /// Takes messages from other exchanges only
    #[arg(long)]
    pub internal: bool,
    /// Only check that it exists; its settings do not matter
    #[arg(long)]
    pub passive: bool,
    /// Argument: name=text or name:=JSON, such as alternate-exchange=unrouted
    #[arg(long = "argument", short = 'a', value_name = "NAME=VALUE", value_parser = json::parse_argument)]
    pub arguments: Vec<(String, Value)>,
}

#[derive(Debug, Subcommand)]
pub enum Delete {
    /// Delete a queue with its messages and print how many there were
    Queue {
        /// Name
        name: String,
        /// Only when it has no consumers
        #[arg(long)]
        if_unused: bool,
        /// Only when it has no messages
        #[arg(long)]
        if_empty: bool,
    },
    /// Delete an exchange
    Exchange {
        /// Name
        name: String,
        /// Only when nothing is bound to it
        #[arg(long)]
        if_unused: bool,
    },
}

const BIND_EXAMPLES: &str = "\
Examples:
  leveretctl bind logs errors --key '*.error'
  leveretctl bind logs archive --to-exchange --key '#'
  leveretctl bind amq.headers images --argument x-match=any --argument type=png";

const UNBIND_EXAMPLES: &str = "\
Examples:
  leveretctl unbind logs errors --key '*.error'   # key and arguments as they were given to bind";

/// A binding.
#[derive(Debug, Args)]
pub struct Bind {
    /// Exchange the messages come from
    pub source: String,
    /// Queue they go to
    pub destination: String,
    /// The destination is an exchange
    #[arg(long)]
    pub to_exchange: bool,
    /// Routing key or pattern; may be given several times
    #[arg(long, short, default_value = "", hide_default_value = true)]
    pub key: Vec<String>,
    /// Argument: name=text or name:=JSON
    #[arg(long = "argument", short = 'a', value_name = "NAME=VALUE", value_parser = json::parse_argument)]
    pub arguments: Vec<(String, Value)>,
}

/// Remove all messages from a queue that nobody holds, and print how many
#[derive(Debug, Args)]
pub struct Purge {
    /// Queue to purge
    pub queue: String,
}

const BENCH_EXAMPLES: &str = "\
Examples:
  leveretctl bench --persistent
  leveretctl bench --publishers 4 --consumers 4 --queues 4 --size 100 --duration 30
  leveretctl bench --fanout --queues 10               # each message goes to ten queues
  leveretctl bench --backlog --persistent -n 1000000  # fill a queue, then drain it
  leveretctl bench --rate 1000 --window 1 --json      # latency at a given load";

/// Measure throughput and latency with publishers and consumers of our own
///
/// Each publisher and consumer has a connection of its own. Queues are made for the purpose and deleted afterwards.
/// Latency is from handing a message to the client until its confirm (confirm) or until it was consumed (delivery),
/// so beyond what the broker sustains it measures the window, not the broker: use --rate.
#[derive(Debug, Args)]
#[command(after_help = BENCH_EXAMPLES)]
pub struct Bench {
    /// Publishing connections
    #[arg(long, default_value = "1")]
    pub publishers: u32,
    /// Consuming connections [default: 1; with --fanout one for each queue]
    #[arg(long)]
    pub consumers: Option<u32>,
    /// Publish to a fanout exchange that all queues are bound to: each of them gets every message
    #[arg(long)]
    pub fanout: bool,
    /// Consume only when everything is published
    #[arg(long)]
    pub backlog: bool,
    /// Queues; publishers and consumers take turns with them
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    pub queues: u32,
    /// Bytes of a message, at least 8
    #[arg(long, default_value = "1024", value_parser = clap::value_parser!(u32).range(8..))]
    pub size: u32,
    /// Persistent messages
    #[arg(long, short)]
    pub persistent: bool,
    /// Messages a publisher may have unconfirmed
    #[arg(long, default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    pub window: u32,
    /// Messages a consumer may have unacknowledged
    #[arg(long, default_value = "1000", value_parser = clap::value_parser!(u16).range(1..))]
    pub prefetch: u16,
    /// Consume without acknowledgements
    #[arg(long)]
    pub auto_ack: bool,
    /// How long to publish
    #[arg(long, short, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    pub duration: Duration,
    /// Stop after so many messages, if that is earlier
    #[arg(long, short = 'n')]
    pub count: Option<u64>,
    /// Publish so many messages per second, over all publishers
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// Name of the queues; a number is added [default: a new one]
    #[arg(long)]
    pub queue: Option<String>,
    /// Argument of the queues: name=text or name:=JSON
    #[arg(long = "argument", short = 'a', value_name = "NAME=VALUE", value_parser = json::parse_argument)]
    pub arguments: Vec<(String, Value)>,
    /// Leave the queues behind
    #[arg(long)]
    pub keep: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

impl Bench {
    /// How many consuming connections there are.
    pub fn consumers(&self) -> u32 {
        self.consumers.unwrap_or(if self.fanout { self.queues } else { 1 })
    }
}

impl Command {
    /// Whether the command itself puts things in order when it is interrupted.
    pub fn minds_interrupts(&self) -> bool {
        matches!(self, Command::Consume(_) | Command::Bench(_))
    }
}

impl Connect {
    /// Connects as the options say.
    pub async fn open(&self) -> leveret_client::Result<Connection> {
        let backoff = Backoff { give_up_after: Some(self.timeout), ..Backoff::default() };
        let mut builder =
            Connection::builder(&self.uri).name(&self.connection_name).connect_timeout(self.timeout);
        builder = builder.backoff(backoff);
        if self.wait {
            builder = builder.wait_for_broker();
        }
        builder.open().await
    }
}

impl Publish {
    /// What the options say about every message.
    pub fn template(&self) -> Message {
        let (exchange, routing_key) = match &self.queue {
            Some(queue) => (String::new(), queue.clone()),
            None => (self.exchange.clone(), self.key.clone()),
        };
        let properties = &self.properties;
        Message {
            exchange,
            routing_key,
            mandatory: self.mandatory || self.queue.is_some(),
            properties: Properties {
                content_type: properties.content_type.clone(),
                content_encoding: properties.content_encoding.clone(),
                headers: (!properties.headers.is_empty()).then(|| table(&properties.headers)),
                delivery_mode: self.persistent.then_some(PERSISTENT),
                priority: properties.priority,
                correlation_id: properties.correlation_id.clone(),
                reply_to: properties.reply_to.clone(),
                expiration: properties.expiration.map(|ms| ms.to_string()),
                message_id: properties.message_id.clone(),
                timestamp: properties.timestamp,
                kind: properties.kind.clone(),
                user_id: properties.user_id.clone(),
                app_id: properties.app_id.clone(),
                cluster_id: None,
            },
            body: Default::default(),
        }
    }
}

/// Arguments as AMQP sends them. Their names were checked when they were parsed.
pub fn table(arguments: &[(String, Value)]) -> Table {
    let mut table = Table::default();
    for (name, value) in arguments {
        table.insert(name.as_str().into(), value.clone());
    }
    table
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "not a possible duration".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && f64::is_finite(rate) => Ok(rate),
        _ => Err("not a positive number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_become_a_message() {
        let line = "leveretctl publish -e logs -k a.b -p -m -H app=shop -H n:=3 --expiration 500 hello";
        let Command::Publish(publish) = parse(line).expect("correct").command else { panic!("not publish") };
        let message = publish.template();
        assert_eq!((message.exchange.as_str(), message.routing_key.as_str()), ("logs", "a.b"));
        assert!(message.mandatory);
        assert_eq!(message.properties.delivery_mode, Some(2));
        assert_eq!(message.properties.expiration.as_deref(), Some("500"));
        let headers = message.properties.headers.expect("two headers");
        assert_eq!(headers.inner().get("n"), Some(&Value::LongLongInt(3)));
        assert_eq!(publish.body.as_deref(), Some("hello"));
    }

    #[test]
    fn contradictions_are_usage_errors() {
        let check = |line: &str| {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        };
        check("leveretctl");
        check("leveretctl publish --lines --json");
        check("leveretctl publish --queue q -k key body");
        check("leveretctl publish --rate 0 body");
        check("leveretctl publish -H nothing body");
        check("leveretctl consume");
        check("leveretctl consume q --exchange x");
        check("leveretctl consume q --key k");
        check("leveretctl consume q --json --raw");
        check("leveretctl bench --size 7");
        check("leveretctl --timeout soon get q");
    }

    #[test]
    fn global_options_go_anywhere() {
        let arguments = parse("leveretctl get q --uri amqp://h/v --timeout 0.5 --quiet").expect("correct");
        assert_eq!(arguments.connect.uri, "amqp://h/v");
        assert_eq!(arguments.connect.timeout, Duration::from_millis(500));
        assert!(arguments.connect.quiet);
    }
}
