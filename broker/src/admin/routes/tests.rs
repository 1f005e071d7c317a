//! The admin listener over real sockets, with a broker of its own behind it.

mod delayed;
mod messages;
mod objects;
mod people;
mod policies;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use leveret_core::auth::{PasswordHash, Permission, Tags};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::admin::{Limits, serve_with};
use crate::broker::Running;
use crate::config::{Config, SyncPolicy};

/// A broker with the vhosts `/` and `dev`, and an admin listener; gone when dropped.
///
/// Users are `root` (administrator), `eye` (monitoring), `dev` (management, may configure and write everything in the
/// vhost `dev`, and read from what begins with `readable`), `rules` (policymaker, in the vhost `dev`) and `nobody` (no
/// tags). Everybody's password is `pw`.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) broker: Arc<Broker>,
    task: JoinHandle<()>,
    _running: Running,
    _directory: TempDir,
}

impl Server {
    pub(super) async fn start() -> Server {
        Server::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Server {
        Server::with_tls(limits, None).await
    }

    async fn with_tls(limits: Limits, tls: Option<TlsAcceptor>) -> Server {
        let directory = tempfile::tempdir().expect("a directory for the broker's data");
        let mut config = Config { data_dir: directory.path().join("data"), ..Config::default() };
        config.amqp.listen = Vec::new();
        config.admin.listen = Vec::new();
        config.store.sync = SyncPolicy::Never;
        let running = Broker::start(config).await.expect("a broker in an empty directory");
        let broker = running.broker().clone();
        broker.put_vhost(leveret_core::vhosts::Vhost::new("dev")).expect("a new vhost");
        add_users(&broker);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(serve_with(broker.clone(), listener, tls, limits));
        Server { address, broker, task, _running: running, _directory: directory }
    }

    /// Sends bytes and reads until the server closes.
    async fn exchange(&self, request: &[u8]) -> String {
        let mut socket = TcpStream::connect(self.address).await.expect("the listener is open");
        socket.write_all(request).await.expect("sent");
        let mut answer = Vec::new();
        // A server that refuses a request before it read all of it may reset the connection.
        let _ = socket.read_to_end(&mut answer).await;
        String::from_utf8(answer).expect("text")
    }

    pub(super) async fn ask(&self, method: &str, path: &str, user: &str) -> Answer {
        self.send(method, path, user, "").await
    }

    pub(super) async fn put(&self, path: &str, user: &str, body: Value) -> Answer {
        self.send("PUT", path, user, &body.to_string()).await
    }

    pub(super) async fn post(&self, path: &str, user: &str, body: Value) -> Answer {
        self.send("POST", path, user, &body.to_string()).await
    }

    pub(super) async fn delete(&self, path: &str, user: &str) -> Answer {
        self.ask("DELETE", path, user).await
    }

    pub(super) async fn send(&self, method: &str, path: &str, user: &str, body: &str) -> Answer {
        let login = if user.is_empty() {
            String::new()
        } else {
            format!(
                "Authorization: Basic {}\r\n",
                BASE64.encode(if user.contains(':') { user.to_owned() } else { format!("{user}:pw") })
            )
        };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n{login}\r\n{body}"
        );
        Answer::parse(&self.exchange(request.as_bytes()).await)
    }

    pub(super) async fn get(&self, path: &str, user: &str) -> Answer {
        self.ask("GET", path, user).await
    }

    /// The names in the list at `path`, as `user` sees it.
    pub(super) async fn names(&self, path: &str, user: &str) -> Vec<String> {
        let answer = self.get(path, user).await;
        assert_eq!(answer.status, 200, "{path} as {user}: {answer:?}");
        let items = answer.json.as_array().unwrap_or_else(|| panic!("{path} is no list")).clone();
        let name = |item: &Value| {
            ["name", "source", "user"].iter().find_map(|field| item[field].as_str().map(str::to_owned))
        };
        items
            .iter()
            .filter_map(|item| name(item).or_else(|| item["queue"]["name"].as_str().map(str::to_owned)))
            .collect()
    }
}

/// Adds everybody whom [`Server`] knows.
fn add_users(broker: &Broker) {
    // sha256 of four zero bytes and "pw": quick to verify.
    let hash = "AAAAALEkKvUBGEzMSFzin0zK97z+wnfsndrUYKOF2RUry1wo";
    let hash = PasswordHash::import("rabbit_password_hashing_sha256", hash).expect("valid");
    let users = [
        ("root", "administrator"),
        ("eye", "monitoring"),
        ("dev", "management"),
        ("rules", "policymaker"),
        ("nobody", ""),
    ];
    let permission = |user: &str, vhost: &str, permission: Permission| {
        broker.change_users(|users| users.set_permission(user, vhost, permission)).expect("the user exists");
    };
    for (name, tags) in users {
        broker.change_users(|users| users.put_user(name, hash.clone(), Tags::parse(tags))).expect("valid");
    }
    permission("root", "/", Permission::full());
    permission("root", "dev", Permission::full());
    permission("dev", "dev", Permission::new(".*", ".*", "^readable").expect("valid"));
    permission("rules", "dev", Permission::full());
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) text: String,
    /// Null when the body is no JSON.
    pub(super) json: Value,
}

impl Answer {
    fn parse(answer: &str) -> Answer {
        let (head, text) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Answer {
            status: status.unwrap_or_else(|| panic!("no status in {answer:?}")),
            head: head.to_lowercase(),
            text: text.to_owned(),
            json: serde_json::from_str(text).unwrap_or_default(),
        }
    }

    #[track_caller]
    pub(super) fn is(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
    }

    #[track_caller]
    pub(super) fn refused(&self, status: u16, error: &str, reason: &str) {
        assert_eq!(
            (self.status, &self.json),
            (status, &json!({"error": error, "reason": reason})),
            "{self:?}"
        );
    }
}

#[tokio::test]
async fn without_a_login_or_with_a_wrong_one_the_api_asks_for_one() {
    let server = Server::start().await;
    for user in ["", "root:wrong", "unknown"] {
        let answer = server.get("/api/overview", user).await;
        answer.refused(401, "not_authorized", "Not_Authorized");
        assert!(answer.head.contains("www-authenticate: basic realm=\"leveret\""), "{}", answer.head);
    }
    let bearer =
        "GET /api/whoami HTTP/1.1\r\nHost: t\r\nConnection: close\r\nAuthorization: Bearer x\r\n\r\n";
    Answer::parse(&server.exchange(bearer.as_bytes()).await).refused(401, "not_authorized", "Not_Authorized");
    let rubbish = bearer.replace("Bearer x", "Basic !!!");
    Answer::parse(&server.exchange(rubbish.as_bytes()).await).refused(
        400,
        "bad_request",
        "the authorization header is malformed",
    );
}

/// A path of the route with names that exist, so that nothing but who asks is in the way.
fn path_of(route: &Route) -> String {
    let mut path = route.path.to_owned();
    for (name, value) in [("{vhost}", "%2F"), ("{exchange}", "amq.direct"), ("{source}", "amq.direct")] {
        path = path.replace(name, value);
    }
    while let (Some(start), Some(end)) = (path.find('{'), path.find('}')) {
        path.replace_range(start..=end, "none");
    }
    path
}

/// Who may use which route, written down a second time: a route that is new, or that opens to others, fails here until
/// somebody has looked at it.
fn access() -> HashMap<&'static str, Who> {
    let lines = include_str!("tests/access.txt").lines().filter(|line| !line.starts_with('#'));
    let entries: Vec<_> = lines
        .map(|line| {
            let (who, route) = line.split_once(char::is_whitespace).expect("who, and a route");
            let known = [
                Who::Anyone,
                Who::Management,
                Who::SeesVhost,
                Who::UsesVhost,
                Who::Policymaker,
                Who::Monitor,
                Who::Administrator,
            ];
            let who = known.into_iter().find(|known| format!("{known:?}") == who);
            (route.trim(), who.unwrap_or_else(|| panic!("nobody is called as in {line}")))
        })
        .collect();
    let access: HashMap<_, _> = entries.iter().copied().collect();
    assert_eq!(access.len(), entries.len(), "a route is named once");
    access
}

#[test]
fn who_may_use_which_route_was_looked_at() {
    let mut access = access();
    let wrong: Vec<String> = table()
        .iter()
        .filter(|route| access.remove(&*format!("{} {}", route.method, route.path)) != Some(route.who))
        .map(|route| format!("{:<13} {} {}", format!("{:?}", route.who), route.method, route.path))
        .collect();
    assert!(wrong.is_empty(), "not in access.txt, or otherwise:\n{}", wrong.join("\n"));
    assert!(access.is_empty(), "in access.txt, but nowhere else: {access:?}");
}

#[tokio::test]
async fn every_route_is_open_to_those_whom_the_table_names_and_to_nobody_else() {
    let server = Server::start().await;
    let access = access();
    // `dev` may not use the vhost `/`, and `rules` neither.
    let reason = |who: Who, user: &str| match (who, user) {
        (Who::Anyone, _) | (_, "root") => None,
        (_, "") => Some("Not_Authorized"),
        (_, "nobody") => Some("Not management user"),
        (Who::Management, _) | (Who::Monitor | Who::SeesVhost, "eye") => None,
        (Who::Monitor, _) => Some("Not monitor user"),
        (Who::Administrator, _) => Some("Not administrator user"),
        (Who::Policymaker, _) => Some("User not authorised to access object"),
        (Who::SeesVhost | Who::UsesVhost, _) => Some("User not authorised to access virtual host"),
    };
    for route in table() {
        let names_a_vhost = route.path.contains("{vhost}");
        let who = access[&*format!("{} {}", route.method, route.path)];
        for user in ["", "nobody", "dev", "rules", "eye"] {
            let path = path_of(&route);
            let expected = match reason(who, user) {
                Some(reason) if user.is_empty() || user == "nobody" || names_a_vhost => Some(reason),
                Some(_) if matches!(who, Who::SeesVhost | Who::UsesVhost) => None,
                Some(_) if who == Who::Policymaker && user == "rules" => None,
                other => other,
            };
            let Some(reason) = expected else { continue };
            let answer = server.ask(route.method.as_str(), &path, user).await;
            let what = format!("{} {path} as {user:?} ({who:?})", route.method);
            assert_eq!((answer.status, &answer.json["reason"]), (401, &json!(reason)), "{what}: {answer:?}");
        }
    }
}

#[test]
fn a_path_and_method_is_in_the_table_once_and_described() {
    let mut seen = std::collections::HashSet::new();
    for route in table() {
        let what = format!("{} {}", route.method, route.path);
        assert!(route.summary.ends_with('.'), "{what}: {}", route.summary);
        assert!(!matches!(route.who, Who::SeesVhost | Who::UsesVhost) || what.contains("{vhost}"), "{what}");
        assert!(seen.insert(what.clone()), "{what} is there twice");
    }
}

#[tokio::test]
async fn whoami_tells_name_and_tags() {
    let server = Server::start().await;
    let answer = server.get("/api/whoami", "root").await;
    assert_eq!((answer.status, answer.json), (200, json!({"name": "root", "tags": ["administrator"]})));
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    assert!(answer.head.contains("cache-control: no-cache"), "{}", answer.head);
    assert_eq!(server.get("/api/whoami/", "root").await.status, 200, "with a slash at the end");
}

/// Queues `a/ü` (one message) and `b` in `/`, `readable` (two messages) in `dev`, bound to `x` by `k`.
async fn with_queues() -> Server {
    let server = Server::start().await;
    for (vhost, queue) in [("%2F", "a%2F%C3%BC"), ("%2F", "b"), ("dev", "readable")] {
        server.put(&format!("/api/queues/{vhost}/{queue}"), "root", json!({"durable": true})).await.is(201);
    }
    server.put("/api/exchanges/dev/x", "dev", json!({"type": "direct"})).await.is(201);
    let bind = json!({"routing_key": "k"});
    server.post("/api/bindings/dev/e/amq.topic/q/readable", "root", bind).await.is(201);
    for (vhost, queue) in [("%2F", "a/ü"), ("dev", "readable"), ("dev", "readable")] {
        let message =
            json!({"routing_key": queue, "properties": {}, "payload": "x", "payload_encoding": "string"});
        let path = format!("/api/exchanges/{vhost}/amq.default/publish");
        assert_eq!(server.post(&path, "root", message).await.json, json!({"routed": true}));
    }
    server
}

#[tokio::test]
async fn lists_show_what_the_visitor_may_see() {
    let server = with_queues().await;
    let check = async |path: &str, user: &str, expected: &[&str]| {
        assert_eq!(server.names(path, user).await, expected, "{path} as {user}");
    };
    for user in ["root", "eye"] {
        check("/api/queues", user, &["a/ü", "b", "readable"]).await;
        check("/api/queues/%2F", user, &["a/ü", "b"]).await;
        check("/api/queues/%2f/", user, &["a/ü", "b"]).await;
        check("/api/exchanges/%2F?name=amq.&columns=name,vhost", user, &AMQ).await;
        check("/api/vhosts", user, &["/", "dev"]).await;
        check("/api/connections", user, &[]).await;
        check("/api/bindings/dev", user, &["", "amq.topic"]).await;
        assert_eq!(server.names("/api/nodes", user).await.len(), 1);
    }
    check("/api/queues", "dev", &["readable"]).await;
    check("/api/queues/dev", "dev", &["readable"]).await;
    check("/api/exchanges?name=x", "dev", &["x"]).await;
    check("/api/vhosts", "dev", &["dev"]).await;
    check("/api/consumers/%2F", "root", &[]).await;
    check("/api/users", "root", &["dev", "eye", "guest", "nobody", "root", "rules"]).await;
    check("/api/permissions", "root", &["guest", "root", "dev", "root", "rules"]).await;
    assert_eq!(server.get("/api/channels", "dev").await.json, json!([]));
}

const AMQ: [&str; 6] =
    ["amq.direct", "amq.fanout", "amq.headers", "amq.match", "amq.rabbitmq.trace", "amq.topic"];

#[tokio::test]
async fn one_thing_is_found_by_its_encoded_name_or_not_at_all() {
    let server = with_queues().await;
    let queue = server.get("/api/queues/%2F/a%2F%C3%BC", "root").await;
    assert_eq!((queue.status, &queue.json["name"], &queue.json["messages"]), (200, &json!("a/ü"), &json!(1)));
    let columns = server.get("/api/queues/dev/readable?columns=name,messages", "root").await;
    assert_eq!(columns.json, json!({"name": "readable", "messages": 2}));
    assert_eq!(server.get("/api/exchanges/%2F/amq.default", "root").await.json["name"], "");
    let missing = async |path: &str, reason: &str| {
        server.get(path, "root").await.refused(404, "Object Not Found", reason);
    };
    missing("/api/queues/%2F/none", "no queue 'none' in vhost '/'").await;
    missing("/api/exchanges/dev/none", "no exchange 'none' in vhost 'dev'").await;
    missing("/api/queues/nowhere", "vhost 'nowhere' not found").await;
    missing("/api/queues/nowhere/b", "vhost 'nowhere' not found").await;
    missing("/api/nothing", "Not Found").await;
    missing("/", "Not Found").await;
    server.get("/api/queues/%FF", "root").await.refused(400, "bad_request", "the path is malformed");
}

#[tokio::test]
async fn lists_come_in_pages_when_asked() {
    let server = with_queues().await;
    let page = server
        .get("/api/queues?page=2&page_size=1&sort=messages&sort_reverse=true&columns=name", "root")
        .await;
    assert_eq!(
        page.json,
        json!({"filtered_count": 3, "item_count": 1, "items": [{"name": "a/ü"}], "page": 2, "page_count": 3,
               "page_size": 1, "total_count": 3})
    );
    server.get("/api/queues?page=9", "root").await.refused(
        400,
        "page_out_of_range",
        "Page out of range, page: 9 page size: 100, len: 3",
    );
    let encoded = server.names("/api/queues?name=%C3%BC", "root").await;
    assert_eq!(encoded, ["a/ü"]);
}

#[tokio::test]
async fn the_overview_counts_what_the_visitor_sees() {
    let server = with_queues().await;
    let all = server.get("/api/overview", "root").await.json;
    assert_eq!((&all["queue_totals"]["messages"], &all["object_totals"]["queues"]), (&json!(3), &json!(3)));
    let own = server.get("/api/overview", "dev").await.json;
    assert_eq!((&own["queue_totals"]["messages"], &own["object_totals"]["queues"]), (&json!(2), &json!(1)));
    assert_eq!((&own["listeners"], &own["object_totals"]["connections"]), (&json!([]), &json!(0)));
    assert_eq!(own["cluster_name"], "leveret");
}

#[tokio::test]
async fn purging_needs_the_right_to_read() {
    let server = with_queues().await;
    let purge =
        async |path: &str, user: &str| server.delete(&format!("/api/queues/{path}/contents"), user).await;
    let done = purge("%2F/a%2F%C3%BC", "root").await;
    assert_eq!((done.status, done.text.as_str()), (204, ""));
    assert_eq!(purge("dev/readable", "dev").await.status, 204);
    assert_eq!(server.get("/api/overview", "root").await.json["queue_totals"]["messages"], 0);

    purge("%2F/none", "root").await.refused(404, "Object Not Found", "Not Found");
    let reason = "User not authorised to access virtual host";
    purge("dev/readable", "eye").await.refused(401, "not_authorised", reason);
    purge("%2F/b", "dev").await.refused(401, "not_authorised", reason);
    server.put("/api/queues/dev/secret", "root", json!({})).await.is(201);
    let reason = "read access to queue 'secret' in vhost 'dev' refused for user 'dev'";
    purge("dev/secret", "dev").await.refused(401, "not_authorised", reason);
    assert_eq!(purge("%2F/b", "").await.status, 401);
}

#[tokio::test]
async fn health_checks_say_ok_or_fail_with_503() {
    let server = Server::start().await;
    assert_eq!(server.get("/api/health/checks/alarms", "dev").await.json, json!({"status": "ok"}));
    assert_eq!(server.get("/api/health/checks/alarms", "").await.status, 401);
    // The broker behind it has no listener of its own: it does not serve.
    let service = server.get("/api/health/checks/is-in-service", "").await;
    assert_eq!((service.status, &service.json["status"]), (503, &json!("failed")));
}

#[tokio::test]
async fn prometheus_needs_no_login() {
    let server = with_queues().await;
    let metrics = server.get("/metrics", "").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.head.contains("content-type: text/plain; version=0.0.4"), "{}", metrics.head);
    assert!(metrics.text.contains("rabbitmq_global_messages_received_total{protocol=\"amqp091\"} 3\n"));
}

#[tokio::test]
async fn other_methods_are_refused_with_those_that_are_allowed() {
    let server = Server::start().await;
    let answer = server.ask("POST", "/api/queues", "root").await;
    answer.refused(405, "method_not_allowed", "Method Not Allowed");
    assert!(answer.head.contains("allow: get,head"), "{}", answer.head);
    let head = server.ask("HEAD", "/api/whoami", "root").await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
}

#[tokio::test]
async fn a_fault_of_ours_is_a_500() {
    let server = Server::start().await;
    let error = answer(server.broker.clone(), |_| panic!("a fault of ours")).await.expect_err("a panic");
    assert_eq!((error.status().as_u16(), error.reason()), (500, "the request failed; see the broker's log"));
}

#[tokio::test]
async fn who_is_at_home_only_is_refused_elsewhere() {
    let server = Server::start().await;
    let mut headers = axum::http::HeaderMap::new();
    let login = format!("Basic {}", BASE64.encode("guest:guest")).parse().expect("a header");
    headers.insert(header::AUTHORIZATION, login);
    let log_in = async |peer: [u8; 4]| Visitor::log_in(&server.broker, &headers, peer.into()).await;
    assert!(log_in([127, 0, 0, 1]).await.is_ok());
    let refused = log_in([10, 0, 0, 1]).await.err().expect("a stranger");
    assert_eq!((refused.status().as_u16(), refused.reason()), (401, "User can only log in via localhost"));
}

#[tokio::test]
async fn bodies_and_headers_are_bounded() {
    let limits = Limits { body_bytes: 100, header_bytes: 8192, ..Limits::default() };
    let server = Server::with(limits).await;
    for length in ["101", "99999999999999999999999"] {
        let request = format!(
            "DELETE /api/queues/%2F/b/contents HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n\r\n"
        );
        let answer = server.exchange(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{length}: {answer}");
    }
    let request = format!("GET /api/whoami HTTP/1.1\r\nHost: t\r\nX: {}\r\n\r\n", "x".repeat(10_000));
    let answer = server.exchange(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let answer = server.exchange(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_closed_and_makes_room() {
    let limits = Limits { connections: 1, headers: Duration::from_millis(50), ..Limits::default() };
    let server = Server::with(limits).await;
    let mut silent = TcpStream::connect(server.address).await.expect("the listener is open");
    let mut half = TcpStream::connect(server.address).await.expect("the listener is open");
    half.write_all(b"GET /api/whoami HTT").await.expect("sent");
    // Both wait in front of this one, for which there is room only when they are gone.
    assert_eq!(server.get("/api/whoami", "root").await.status, 200);
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).await.expect("closed");
    half.read_to_end(&mut rest).await.expect("closed");
}

#[tokio::test]
async fn an_old_connection_is_closed_between_requests() {
    let limits = Limits { age: Duration::from_millis(50), ..Limits::default() };
    let server = Server::with(limits).await;
    let mut socket = TcpStream::connect(server.address).await.expect("the listener is open");
    socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.expect("closed after the answer");
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn dropping_the_server_closes_listener_and_connections() {
    let server = Server::start().await;
    let mut socket = TcpStream::connect(server.address).await.expect("the listener is open");
    socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n").await.expect("sent");
    let mut first = [0; 12];
    socket.read_exact(&mut first).await.expect("an answer");
    let address = server.address;
    server.task.abort();
    let mut rest = Vec::new();
    // Closed or reset: over in any case.
    let _ = socket.read_to_end(&mut rest).await;
    assert!(TcpStream::connect(address).await.is_err());
}

/// A server with a new certificate for `localhost`, and a client that trusts it.
fn tls() -> (TlsAcceptor, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate.clone()], key))
        .expect("a key that belongs to its certificate");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client)))
}

#[tokio::test]
async fn over_tls_it_is_the_same() {
    let (acceptor, connector) = tls();
    let server = Server::with_tls(Limits::default(), Some(acceptor)).await;
    let socket = TcpStream::connect(server.address).await.expect("the listener is open");
    let name = "localhost".try_into().expect("a name");
    let mut stream = connector.connect(name, socket).await.expect("a handshake");
    let login = BASE64.encode("root:pw");
    let request = format!(
        "GET /api/whoami HTTP/1.1\r\nHost: t\r\nConnection: close\r\nAuthorization: Basic {login}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer, and a proper end");
    assert_eq!(Answer::parse(&answer).json["name"], "root");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let limits = Limits { handshake: Duration::from_millis(50), ..Limits::default() };
    let server = Server::with_tls(limits, Some(tls().0)).await;
    let mut silent = TcpStream::connect(server.address).await.expect("the listener is open");
    let mut nothing = Vec::new();
    silent.read_to_end(&mut nothing).await.expect("closed");
    assert_eq!(nothing, b"");
}
