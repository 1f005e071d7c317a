//! The command line of what goes over the admin API.

use crate::json;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

// How to reach the admin API.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Admin API")]
pub struct AdminConnect {
    /// Address of the admin listener [default: that of the profile, or http://127.0.0.1:15672]
    #[arg(long, global = true, env = "LEVERET_ADMIN", value_name = "URL")]
    pub admin: Option<String>,
    /// Who logs in [default: that of the profile, or guest]. The password comes from LEVERET_PASSWORD, from
    /// --password-file, from the profile's password_file, or from the keyring (see login)
    #[arg(long, short = 'u', global = true, env = "LEVERET_USER")]
    pub user: Option<String>,
    /// File whose first line is the password
    #[arg(long, global = true, env = "LEVERET_PASSWORD_FILE", value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Certificate authorities to trust beside the system's, in PEM
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Profile of the configuration file [default: its default_profile]
    #[arg(long, global = true, env = "LEVERET_PROFILE", value_name = "NAME")]
    pub profile: Option<String>,
    /// Vhost [default: that of the profile, or /]
    #[arg(long, short = 'v', global = true, env = "LEVERET_VHOST")]
    pub vhost: Option<String>,
    /// Print JSON, for scripts
    #[arg(long, global = true)]
    pub json: bool,
    /// Do what cannot be undone without asking
    #[arg(long, short = 'y', global = true)]
    pub yes: bool,
}

// A group of commands for one kind of thing. No doc comment: help would show it.
#[derive(Debug, Args)]
pub struct Group<C: Subcommand> {
    #[command(subcommand)]
    pub command: C,
    #[command(flatten)]
    pub connect: AdminConnect,
}

// A single command.
#[derive(Debug, Args)]
pub struct Single<A: Args> {
    #[command(flatten)]
    pub arguments: A,
    #[command(flatten)]
    pub connect: AdminConnect,
}

#[derive(Debug, Clone, Args)]
pub struct ListArguments {
    /// Only those whose name contains this, in any case
    #[arg(long, short = 'n', value_name = "TEXT")]
    pub name: Option<String>,
    /// Only those whose name matches this regular expression
    #[arg(long, conflicts_with = "name", value_name = "REGEX")]
    pub matching: Option<String>,
    /// Order by this field, such as messages or message_stats.publish_details.rate
    #[arg(long, short, value_name = "FIELD")]
    pub sort: Option<String>,
    /// The other way round
    #[arg(long, short)]
    pub reverse: bool,
    /// Show so many
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Those of all vhosts
    #[arg(long)]
    pub all_vhosts: bool,
}

pub const QUEUE_EXAMPLES: &str = "\
Examples:
  leveretctl queues list --sort messages --reverse --limit 20
  leveretctl queues peek orders.dead --limit 5
  leveretctl queues requeue orders.dead --reason rejected --dry-run
  leveretctl queues move orders.dead --to orders.parked --routing-key '^eu\\.' --rate 500
  leveretctl queues unacked orders --json | jq '.[].holder'";

/// Queues, and the messages in them
#[derive(Debug, Subcommand)]
pub enum Queues {
    /// Queues with their figures
    List(ListArguments),
    /// One queue in full
    Show { queue: String },
    /// Create a queue, or check that it is there with these settings
    Declare(QueueSettings),
    /// Delete a queue with its messages
    Delete {
        queue: String,
        /// Only when it has no consumers
        #[arg(long)]
        if_unused: bool,
        /// Only when it has no messages
        #[arg(long)]
        if_empty: bool,
    },
    /// Look at messages; they stay where and as they are
    Peek(Peek),
    /// Messages that were handed out and not acknowledged: who holds them, and since when
    Unacked(Peek),
    /// Move messages to another queue, or to where an exchange routes them
    Move(Transfer),
    /// Copy messages to another queue, or to where an exchange routes them
    Copy(Transfer),
    /// Send dead messages back to where they were published when they died
    Requeue(Requeue),
    /// Delete some of a queue's messages
    DeleteMessages(Work),
    /// Remove all messages that nobody holds
    Purge { queue: String },
    /// Stop deliveries; the queue goes on to take messages in
    Pause { queue: String },
    /// Deliver again
    Resume { queue: String },
}

#[derive(Debug, Args)]
pub struct QueueSettings {
    pub queue: String,
    /// Lost when the broker restarts
    #[arg(long)]
    pub transient: bool,
    /// Goes with its last consumer
    #[arg(long)]
    pub auto_delete: bool,
    /// Argument: name=text or name:=JSON, such as x-max-length:=1000
    #[arg(long = "argument", short = 'a', value_name = "NAME=VALUE", value_parser = json::parse_json_argument)]
    pub arguments: Vec<(String, serde_json::Value)>,
}

#[derive(Debug, Args)]
pub struct Peek {
    pub queue: String,
    /// Show so many
    #[arg(long, default_value = "20", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Bytes of each body
    #[arg(long, default_value = "1000")]
    pub payload: u64,
    /// Those that were returned and wait for their next try, instead of those that are ready
    #[arg(long)]
    pub waiting: bool,
    #[command(flatten)]
    pub filter: Filter,
}

// Which messages are meant.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which messages; all of them when nothing is said")]
pub struct Filter {
    /// The routing key matches this regular expression
    #[arg(long, value_name = "REGEX")]
    pub routing_key: Option<String>,
    /// Published to this exchange
    #[arg(long)]
    pub exchange: Option<String>,
    /// Has this header: name, name=text or name:=JSON; may be given several times
    #[arg(long = "header", short = 'H', value_name = "NAME[=VALUE]", value_parser = json::parse_json_condition)]
    pub headers: Vec<(String, serde_json::Value)>,
    /// Died of this last: rejected, expired, maxlen or delivery_limit
    #[arg(long)]
    pub reason: Option<String>,
    /// Died in this queue last
    #[arg(long, value_name = "QUEUE")]
    pub died_in: Option<String>,
    /// The body contains this text
    #[arg(long)]
    pub text: Option<String>,
    /// Older than so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub older_than: Option<u64>,
    /// Younger than so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub younger_than: Option<u64>,
}

#[derive(Debug, Args)]
pub struct Work {
    pub queue: String,
    #[command(flatten)]
    pub filter: Filter,
    /// These messages, by the ids that peek shows
    #[arg(long = "id", value_name = "ID", conflicts_with_all = [
        "routing_key", "exchange", "headers", "reason", "died_in", "text", "older_than", "younger_than",
    ])]
    pub ids: Vec<String>,
    /// Only say what would happen
    #[arg(long)]
    pub dry_run: bool,
    /// Messages per second at most
    #[arg(long)]
    pub rate: Option<u32>,
    /// Start it, and do not wait for its end
    #[arg(long)]
    pub detach: bool,
}

#[derive(Debug, Args)]
pub struct Transfer {
    #[command(flatten)]
    pub work: Work,
    /// The queue to send them to
    #[arg(
        long,
        value_name = "QUEUE",
        required_unless_present = "to_exchange",
        conflicts_with = "to_exchange"
    )]
    pub to: Option<String>,
    /// The exchange to publish them to
    #[arg(long, value_name = "EXCHANGE")]
    pub to_exchange: Option<String>,
    /// With this routing key instead of each message's own
    #[arg(long, value_name = "KEY", requires = "to_exchange")]
    pub with_key: Option<String>,
}

#[derive(Debug, Args)]
pub struct Requeue {
    #[command(flatten)]
    pub work: Work,
    /// Take the history of their deaths off them
    #[arg(long)]
    pub forget_deaths: bool,
}

/// Exchanges, and where they route
#[derive(Debug, Subcommand)]
pub enum Exchanges {
    /// Exchanges with what goes through them
    List(ListArguments),
    /// One exchange in full
    Show { exchange: String },
    /// Create an exchange, or check that it is there with these settings
    Declare {
        exchange: String,
        /// direct, fanout, topic, headers, or another type the broker has
        #[arg(default_value = "direct")]
        kind: String,
        /// Lost when the broker restarts
        #[arg(long)]
        transient: bool,
        /// Goes with its last binding
        #[arg(long)]
        auto_delete: bool,
        /// Takes messages from other exchanges only
        #[arg(long)]
        internal: bool,
        /// Argument: name=text or name:=JSON
        #[arg(long = "argument", short = 'a', value_name = "NAME=VALUE", value_parser = json::parse_json_argument)]
        arguments: Vec<(String, serde_json::Value)>,
    },
    /// Delete an exchange with its bindings
    Delete {
        exchange: String,
        /// Only when no bindings lead away from it
        #[arg(long)]
        if_unused: bool,
    },
    /// Where would a message go, and why not elsewhere? Nothing is published
    Route {
        /// The exchange; empty for the default exchange
        exchange: String,
        /// Routing key
        #[arg(long, short, default_value = "", hide_default_value = true)]
        key: String,
        /// Header: name=text or name:=JSON; may be given several times
        #[arg(long = "header", short = 'H', value_name = "NAME=VALUE", value_parser = json::parse_json_argument)]
        headers: Vec<(String, serde_json::Value)>,
    },
}

/// Bindings
#[derive(Debug, Subcommand)]
pub enum Bindings {
    /// Bindings of the vhost, but not the default exchange's
    List {
        /// Only those that lead away from this exchange
        #[arg(long)]
        source: Option<String>,
        /// Only those that lead to this queue or exchange
        #[arg(long)]
        destination: Option<String>,
    },
    /// Bind a queue or exchange to an exchange
    Add(BindingArguments),
    /// Take a binding away: key and arguments as they were given
    Remove(BindingArguments),
}

#[derive(Debug, Args)]
pub struct BindingArguments {
    /// Exchange the messages come from
    pub source: String,
    /// Queue they go to
    pub destination: String,
    /// The destination is an exchange
    #[arg(long)]
    pub to_exchange: bool,
    /// Routing key or pattern
    #[arg(long, short, default_value = "", hide_default_value = true)]
    pub key: String,
    /// Argument: name=text or name:=JSON
    #[arg(long = "argument", short = 'a', value_name = "NAME=VALUE", value_parser = json::parse_json_argument)]
    pub arguments: Vec<(String, serde_json::Value)>,
}

/// Users
#[derive(Debug, Subcommand)]
pub enum Users {
    /// Users, without their passwords
    List,
    /// Add a user, or give one another password; it is read from LEVERET_NEW_PASSWORD or stdin
    Put {
        name: String,
        /// administrator, monitoring, policymaker, management, or others; with commas between
        #[arg(long, value_delimiter = ',')]
        tags: Vec<String>,
        /// Nobody logs in as them with a password
        #[arg(long)]
        no_password: bool,
    },
    /// Give a user other tags
    Tags {
        name: String,
        #[arg(value_delimiter = ',')]
        tags: Vec<String>,
    },
    /// Delete a user with their permissions
    Delete { name: String },
}

/// What users may do in vhosts
#[derive(Debug, Subcommand)]
pub enum Permissions {
    /// Permissions of all users
    List,
    /// Give a user rights on the vhost, as regular expressions for names
    Set {
        name: String,
        #[arg(long, default_value = ".*")]
        configure: String,
        #[arg(long, default_value = ".*")]
        write: String,
        #[arg(long, default_value = ".*")]
        read: String,
    },
    /// Take a user's rights on the vhost away
    Clear { name: String },
}

/// Vhosts
#[derive(Debug, Subcommand)]
pub enum Vhosts {
    /// Vhosts with the messages in them
    List,
    /// Add a vhost, or change what is said of it
    Put {
        name: String,
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
        #[arg(long, value_delimiter = ',')]
        tags: Vec<String>,
    },
    /// Delete a vhost with all that is in it
    Delete { name: String },
    /// Keep a vhost from being deleted
    Protect { name: String },
    /// Let a vhost be deleted again
    Unprotect { name: String },
}

/// Policies
#[derive(Debug, Subcommand)]
pub enum Policies {
    /// Policies of the vhost
    List {
        /// Operator policies
        #[arg(long)]
        operator: bool,
    },
    /// Put a policy in effect
    Set(PolicyArguments),
    /// Which queues and exchanges would a policy match, and what would be in effect there?
    Preview(PolicyArguments),
    /// Take a policy out of effect
    Delete {
        name: String,
        /// An operator policy
        #[arg(long)]
        operator: bool,
    },
}

#[derive(Debug, Args)]
pub struct PolicyArguments {
    pub name: String,
    /// Regular expression for names
    pub pattern: String,
    /// Settings: name=text or name:=JSON, such as max-length:=1000
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = json::parse_json_argument)]
    pub definition: Vec<(String, serde_json::Value)>,
    /// queues, classic_queues, quorum_queues, exchanges or all
    #[arg(long, default_value = "all")]
    pub apply_to: String,
    /// The highest that matches is applied
    #[arg(long, default_value = "0")]
    pub priority: i16,
    /// An operator policy
    #[arg(long)]
    pub operator: bool,
}

/// Limits of vhosts and users
#[derive(Debug, Subcommand)]
pub enum Limits {
    /// Limits that are set
    List,
    /// Set a limit: max-connections or max-queues of a vhost, max-connections or max-channels of a user
    Set {
        of: LimitOf,
        name: String,
        limit: String,
        /// Below zero is no limit
        #[arg(allow_hyphen_values = true)]
        value: i64,
    },
    /// Take a limit away
    Clear { of: LimitOf, name: String, limit: String },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LimitOf {
    Vhost,
    User,
}

/// All that is defined: vhosts, users, policies, exchanges, queues, bindings
#[derive(Debug, Subcommand)]
pub enum Definitions {
    /// Write definitions as JSON
    Export {
        /// To this file instead of stdout
        file: Option<PathBuf>,
        /// Only those of the vhost that --vhost names
        #[arg(long)]
        of_vhost: bool,
    },
    /// Add definitions from JSON, all or none
    Import {
        /// The file; - is stdin
        file: PathBuf,
        /// Only say what would change
        #[arg(long)]
        dry_run: bool,
        /// Into the vhost that --vhost names
        #[arg(long)]
        of_vhost: bool,
    },
}

/// Connections
#[derive(Debug, Subcommand)]
pub enum Connections {
    /// Open connections
    List(ListArguments),
    /// Close a connection, or all of a user
    Close {
        /// Its name, as list shows it
        #[arg(required_unless_present = "of_user", conflicts_with = "of_user")]
        name: Option<String>,
        /// All connections of this user
        #[arg(long, value_name = "USER")]
        of_user: Option<String>,
        /// What the client is told
        #[arg(long, default_value = "closed by an operator")]
        reason: String,
    },
}

/// Channels
#[derive(Debug, Subcommand)]
pub enum Channels {
    /// Open channels
    List(ListArguments),
    /// Close a channel; its connection stays
    Close {
        /// Its name, as list shows it
        name: String,
        /// What the client is told
        #[arg(long, default_value = "closed by an operator")]
        reason: String,
    },
}

/// Consumers
#[derive(Debug, Subcommand)]
pub enum Consumers {
    /// Consumers of the vhost
    List(ListArguments),
    /// Cancel a consumer; its channel stays, with what the consumer holds
    Cancel {
        /// The queue it consumes from
        queue: String,
        /// Its tag, as list shows it
        tag: String,
    },
}

/// Operations on many messages that go on in the background
#[derive(Debug, Subcommand)]
pub enum Operations {
    /// Those that run, and those that ran lately
    List,
    /// How far one is
    Show { id: String },
    /// Follow one to its end
    Watch { id: String },
    /// Stop one; what it has done is done
    Cancel { id: String },
}

/// Messages that wait for their time in a delayed exchange
#[derive(Debug, Subcommand)]
pub enum Delayed {
    /// The next due first
    List {
        exchange: String,
        #[arg(long, default_value = "50")]
        limit: u32,
    },
    /// Remove one
    Cancel { exchange: String, id: String },
    /// Send one on now
    Release { exchange: String, id: String },
}

/// Who changed what, the latest first
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// Show so many
    #[arg(long, default_value = "50")]
    pub limit: u32,
    /// Only changes by this user
    #[arg(long)]
    pub by: Option<String>,
    /// Only changes of this: queue, exchange, user, policy and so on
    #[arg(long)]
    pub kind: Option<String>,
    /// Only changes of what has this in its name
    #[arg(long, short = 'n')]
    pub name: Option<String>,
    /// Only those of the last so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub last: Option<u64>,
}

/// The busiest queues, live, until Ctrl-C
#[derive(Debug, Args)]
pub struct TopArguments {
    /// Order: messages, publish, deliver, ack, unacked or memory
    #[arg(long, short, value_enum, default_value = "messages")]
    pub sort: TopOrder,
    /// Show so many queues
    #[arg(long, default_value = "20", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub limit: u32,
    /// Seconds between two looks
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    pub interval: u32,
    /// Stop after so many looks
    #[arg(long, short = 'c')]
    pub count: Option<u32>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum TopOrder {
    Messages,
    Publish,
    Deliver,
    Ack,
    Unacked,
    Memory,
}

// A command without arguments of its own.
#[derive(Debug, Args)]
pub struct Nothing {}
