//! The admin listener over real sockets, with a made-up broker behind it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use leveret_core::auth::{PasswordHash, Permission, Tags, User, Users};
use leveret_core::fault::Fault;
use leveret_core::vhosts;
use leveret_protocol::admin::{
    Alarm, Arguments, Binding, Channel, Connection, ConnectionDetails, Consumer, Exchange, Listener, Node,
    ObjectTotals, Overview, Queue, QueueName, QueueTotals, Vhost,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

/// Users `root` (administrator), `eye` (monitoring), `dev` (management, rights in vhost `dev`), `nobody` (no tags) and
/// `guest`, who is at home only. Everybody's password is `pw`.
struct FakeState {
    users: Users,
    alarms: Mutex<Vec<Alarm>>,
    in_service: Mutex<bool>,
    purged: Mutex<Vec<(String, String)>>,
}

impl FakeState {
    fn new() -> FakeState {
        let mut users = Users::new(["guest".to_owned()]);
        for (name, tags) in [
            ("root", "administrator"),
            ("eye", "monitoring"),
            ("dev", "management"),
            ("nobody", ""),
            ("guest", "administrator"),
        ] {
            // sha256 of four zero bytes and "pw": quick to verify.
            let hash = "AAAAALEkKvUBGEzMSFzin0zK97z+wnfsndrUYKOF2RUry1wo";
            let hash = PasswordHash::import("rabbit_password_hashing_sha256", hash).expect("valid");
            users.put_user(name, hash, Tags::parse(tags)).expect("valid");
        }
        users.set_permission("root", "/", Permission::full()).expect("exists");
        let permission = Permission::new("", "", "^readable").expect("valid");
        users.set_permission("dev", "dev", permission).expect("exists");
        FakeState { users, alarms: Mutex::default(), in_service: Mutex::new(true), purged: Mutex::default() }
    }
}

fn in_vhost<T>(items: Vec<T>, vhost: Option<&str>, of: impl Fn(&T) -> &str) -> Vec<T> {
    items.into_iter().filter(|item| vhost.is_none_or(|vhost| of(item) == vhost)).collect()
}

impl AdminState for FakeState {
    async fn authenticate(
        &self,
        user: &str,
        password: &[u8],
        peer: IpAddr,
    ) -> Result<Arc<User>, LoginRefused> {
        if user == "busy" {
            return Err(LoginRefused::Busy);
        }
        let user = self.users.user(user).ok_or(LoginRefused::Credentials)?;
        if !user.password().verify(password) {
            return Err(LoginRefused::Credentials);
        }
        // Tests connect from 127.0.0.1; the fake has its home elsewhere.
        if !self.users.may_log_in_from(user.name(), IpAddr::from([10, 0, 0, 1])) && peer.is_loopback() {
            return Err(LoginRefused::NotFromHere);
        }
        Ok(user.clone())
    }

    fn overview(&self) -> Overview {
        let listener = Listener {
            node: "leveret@test".to_owned(),
            protocol: "amqp".to_owned(),
            ip_address: "127.0.0.1".to_owned(),
            port: 5672,
            tls: false,
        };
        Overview {
            cluster_name: "test".to_owned(),
            object_totals: ObjectTotals { queues: 3, ..ObjectTotals::default() },
            queue_totals: QueueTotals { messages: 60, ..QueueTotals::default() },
            listeners: vec![listener],
            exchange_types: views::exchange_types(),
            ..Overview::default()
        }
    }

    fn nodes(&self) -> Vec<Node> {
        vec![Node { name: "leveret@test".to_owned(), ..Node::default() }]
    }

    fn vhosts(&self) -> Vec<Vhost> {
        ["dev", "/"].map(|name| views::vhost(&vhosts::Vhost::new(name), "leveret@test")).to_vec()
    }

    fn has_vhost(&self, name: &str) -> bool {
        name == "/" || name == "dev"
    }

    fn queues(&self, vhost: Option<&str>) -> Vec<Queue> {
        let queue = |vhost: &str, name: &str, messages| Queue {
            name: name.to_owned(),
            vhost: vhost.to_owned(),
            kind: "classic".to_owned(),
            totals: QueueTotals { messages, ..QueueTotals::default() },
            ..Queue::default()
        };
        let queues = vec![queue("dev", "readable", 20), queue("/", "b", 30), queue("/", "a/ü", 10)];
        in_vhost(queues, vhost, |queue| &queue.vhost)
    }

    fn queue(&self, vhost: &str, name: &str) -> Option<Queue> {
        assert_ne!(name, "panics", "a fault of ours");
        self.queues(Some(vhost)).into_iter().find(|queue| queue.name == name)
    }

    fn exchanges(&self, vhost: Option<&str>) -> Vec<Exchange> {
        let exchange = |name: &str| Exchange {
            name: name.to_owned(),
            vhost: "/".to_owned(),
            kind: "direct".to_owned(),
            ..Exchange::default()
        };
        in_vhost(vec![exchange("amq.direct"), exchange("")], vhost, |exchange| &exchange.vhost)
    }

    fn exchange(&self, vhost: &str, name: &str) -> Option<Exchange> {
        self.exchanges(Some(vhost)).into_iter().find(|exchange| exchange.name == name)
    }

    fn bindings(&self, vhost: Option<&str>) -> Vec<Binding> {
        let binding = Binding { vhost: "dev".to_owned(), source: "x".to_owned(), ..Binding::default() };
        in_vhost(vec![binding], vhost, |binding| &binding.vhost)
    }

    fn connections(&self) -> Vec<Connection> {
        ["root", "dev"]
            .map(|user| Connection { name: user.to_owned(), user: user.to_owned(), ..Connection::default() })
            .to_vec()
    }

    fn channels(&self) -> Vec<Channel> {
        let connection_details =
            ConnectionDetails { name: "root".to_owned(), ..ConnectionDetails::default() };
        vec![Channel { user: "root".to_owned(), connection_details, ..Channel::default() }]
    }

    fn consumers(&self, vhost: Option<&str>) -> Vec<Consumer> {
        let queue = QueueName { name: "readable".to_owned(), vhost: "dev".to_owned() };
        let arguments = Arguments::default();
        in_vhost(vec![Consumer { queue, arguments, ..Consumer::default() }], vhost, |consumer| {
            &consumer.queue.vhost
        })
    }

    fn users(&self) -> Vec<Arc<User>> {
        self.users.iter().cloned().collect()
    }

    fn alarms(&self) -> Vec<Alarm> {
        self.alarms.lock().clone()
    }

    fn is_in_service(&self) -> bool {
        *self.in_service.lock()
    }

    fn metrics(&self) -> Metrics {
        Metrics { received: 5, ..Metrics::default() }
    }

    async fn purge(&self, vhost: &str, queue: &str) -> Result<u64, Fault> {
        match self.queues(Some(vhost)).iter().find(|it| it.name == queue) {
            None => Err(Fault::not_found(format!("no queue '{queue}' in vhost '{vhost}'"))),
            Some(_) if queue == "b" => Err(Fault::resource_locked("it belongs to somebody")),
            Some(found) => {
                self.purged.lock().push((vhost.to_owned(), queue.to_owned()));
                Ok(found.totals.messages)
            }
        }
    }
}

/// A listener with the fake behind it; gone when dropped.
struct Server {
    address: SocketAddr,
    state: Arc<FakeState>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start() -> Server {
        Server::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Server {
        Server::with_tls(limits, None).await
    }

    async fn with_tls(limits: Limits, tls: Option<TlsAcceptor>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(FakeState::new());
        let task = tokio::spawn(serve_with(state.clone(), listener, tls, limits));
        Server { address, state, task }
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

    async fn ask(&self, method: &str, path: &str, user: &str) -> Answer {
        let login = if user.is_empty() {
            String::new()
        } else {
            format!("Authorization: Basic {}\r\n", BASE64.encode(format!("{user}:pw")))
        };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{login}\r\n");
        Answer::parse(&self.exchange(request.as_bytes()).await)
    }

    async fn get(&self, path: &str, user: &str) -> Answer {
        self.ask("GET", path, user).await
    }

    /// The names in the list at `path`, as `user` sees it.
    async fn names(&self, path: &str, user: &str) -> Vec<String> {
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

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    text: String,
    /// Null when the body is no JSON.
    json: Value,
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
    fn refused(&self, status: u16, error: &str, reason: &str) {
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

#[tokio::test]
async fn who_may_not_use_the_api_is_told_why() {
    let server = Server::start().await;
    server.get("/api/whoami", "nobody").await.refused(401, "not_authorised", "Not management user");
    let elsewhere = "User can only log in via localhost";
    server.get("/api/whoami", "guest").await.refused(401, "not_authorised", elsewhere);
    server.get("/api/whoami", "busy").await.refused(503, "service_unavailable", "Too many logins at a time");
    for path in ["/api/users", "/api/permissions", "/api/topic-permissions"] {
        server.get(path, "eye").await.refused(401, "not_authorised", "Not administrator user");
    }
    server.get("/api/nodes", "dev").await.refused(401, "not_authorised", "Not monitor user");
    for path in ["/api/queues/%2F", "/api/queues/%2F/b", "/api/exchanges/%2F", "/api/bindings/%2F"] {
        let reason = "User not authorised to access virtual host";
        server.get(path, "dev").await.refused(401, "not_authorised", reason);
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

#[tokio::test]
async fn lists_show_what_the_visitor_may_see() {
    let server = Server::start().await;
    let check = async |path: &str, user: &str, expected: &[&str]| {
        assert_eq!(server.names(path, user).await, expected, "{path} as {user}");
    };
    for user in ["root", "eye"] {
        check("/api/queues", user, &["a/ü", "b", "readable"]).await;
        check("/api/queues/%2F", user, &["a/ü", "b"]).await;
        check("/api/queues/%2f/", user, &["a/ü", "b"]).await;
        check("/api/exchanges", user, &["", "amq.direct"]).await;
        check("/api/vhosts", user, &["/", "dev"]).await;
        check("/api/connections", user, &["dev", "root"]).await;
        check("/api/bindings/dev", user, &["x"]).await;
        check("/api/nodes", user, &["leveret@test"]).await;
    }
    check("/api/queues", "dev", &["readable"]).await;
    check("/api/queues/dev", "dev", &["readable"]).await;
    check("/api/exchanges", "dev", &[]).await;
    check("/api/vhosts", "dev", &["dev"]).await;
    check("/api/connections", "dev", &["dev"]).await;
    check("/api/consumers", "dev", &["readable"]).await;
    check("/api/consumers/%2F", "root", &[]).await;
    check("/api/users", "root", &["dev", "eye", "guest", "nobody", "root"]).await;
    check("/api/permissions", "root", &["root", "dev"]).await;
    assert_eq!(server.get("/api/channels", "dev").await.json, json!([]));
    assert_eq!(server.get("/api/channels", "root").await.json.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn one_thing_is_found_by_its_encoded_name_or_not_at_all() {
    let server = Server::start().await;
    let queue = server.get("/api/queues/%2F/a%2F%C3%BC", "root").await;
    assert_eq!(
        (queue.status, &queue.json["name"], &queue.json["messages"]),
        (200, &json!("a/ü"), &json!(10))
    );
    let columns = server.get("/api/queues/%2F/b?columns=name,messages", "root").await;
    assert_eq!(columns.json, json!({"name": "b", "messages": 30}));
    assert_eq!(server.get("/api/exchanges/%2F/amq.default", "root").await.json["name"], "");
    let missing = async |path: &str, reason: &str| {
        server.get(path, "root").await.refused(404, "Object Not Found", reason);
    };
    missing("/api/queues/%2F/none", "no queue 'none' in vhost '/'").await;
    missing("/api/exchanges/dev/amq.default", "no exchange 'amq.default' in vhost 'dev'").await;
    missing("/api/queues/nowhere", "vhost 'nowhere' not found").await;
    missing("/api/queues/nowhere/b", "vhost 'nowhere' not found").await;
    missing("/api/nothing", "Not Found").await;
    missing("/", "Not Found").await;
    server.get("/api/queues/%FF", "root").await.refused(400, "bad_request", "the path is malformed");
}

#[tokio::test]
async fn lists_come_in_pages_when_asked() {
    let server = Server::start().await;
    let page = server
        .get("/api/queues?page=2&page_size=1&sort=messages&sort_reverse=true&columns=name", "root")
        .await;
    assert_eq!(
        page.json,
        json!({"filtered_count": 3, "item_count": 1, "items": [{"name": "readable"}], "page": 2, "page_count": 3,
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
    let server = Server::start().await;
    let all = server.get("/api/overview", "root").await.json;
    assert_eq!((&all["queue_totals"]["messages"], &all["object_totals"]["queues"]), (&json!(60), &json!(3)));
    assert_eq!(all["listeners"][0]["port"], 5672);
    let own = server.get("/api/overview", "dev").await.json;
    assert_eq!((&own["queue_totals"]["messages"], &own["object_totals"]["queues"]), (&json!(20), &json!(1)));
    assert_eq!((&own["listeners"], &own["object_totals"]["connections"]), (&json!([]), &json!(1)));
    assert_eq!(own["cluster_name"], "test");
}

#[tokio::test]
async fn purging_needs_the_right_to_read() {
    let server = Server::start().await;
    let purge = async |path: &str, user: &str| {
        server.ask("DELETE", &format!("/api/queues/{path}/contents"), user).await
    };
    let done = purge("%2F/a%2F%C3%BC", "root").await;
    assert_eq!((done.status, done.text.as_str()), (204, ""));
    assert_eq!(purge("dev/readable", "dev").await.status, 204);
    let expected = [("/".to_owned(), "a/ü".to_owned()), ("dev".to_owned(), "readable".to_owned())];
    assert_eq!(*server.state.purged.lock(), expected);

    purge("%2F/none", "root").await.refused(404, "Object Not Found", "no queue 'none' in vhost '/'");
    purge("%2F/b", "root").await.refused(400, "bad_request", "405 RESOURCE_LOCKED - it belongs to somebody");
    let reason = "read access to queue 'readable' in vhost 'dev' refused for user 'eye'";
    purge("dev/readable", "eye").await.refused(401, "not_authorised", reason);
    let reason = "User not authorised to access virtual host";
    purge("%2F/b", "dev").await.refused(401, "not_authorised", reason);
    assert_eq!(purge("%2F/b", "").await.status, 401);
    assert_eq!(server.state.purged.lock().len(), 2);
}

#[tokio::test]
async fn health_checks_fail_with_503() {
    let server = Server::start().await;
    assert_eq!(server.get("/api/health/checks/alarms", "dev").await.json, json!({"status": "ok"}));
    assert_eq!(server.get("/api/health/checks/is-in-service", "").await.json, json!({"status": "ok"}));
    assert_eq!(server.get("/api/health/checks/alarms", "").await.status, 401);

    *server.state.in_service.lock() = false;
    server.state.alarms.lock().push(Alarm { node: "n".to_owned(), resource: "disk".to_owned() });
    let alarms = server.get("/api/health/checks/alarms", "dev").await;
    assert_eq!(
        (alarms.status, alarms.json),
        (
            503,
            json!({"status": "failed", "reason": "There are alarms in effect in the cluster",
                   "alarms": [{"node": "n", "resource": "disk"}]})
        )
    );
    let service = server.get("/api/health/checks/is-in-service", "").await;
    assert_eq!((service.status, &service.json["status"]), (503, &json!("failed")));
}

#[tokio::test]
async fn prometheus_needs_no_login() {
    let server = Server::start().await;
    let metrics = server.get("/metrics", "").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.head.contains("content-type: text/plain; version=0.0.4"), "{}", metrics.head);
    assert!(metrics.text.contains("rabbitmq_global_messages_received_total{protocol=\"amqp091\"} 5\n"));
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
async fn a_fault_of_ours_is_a_500_and_the_listener_goes_on() {
    let server = Server::start().await;
    server.get("/api/queues/%2F/panics", "root").await.refused(
        500,
        "internal_server_error",
        "the request failed; see the broker's log",
    );
    assert_eq!(server.get("/api/whoami", "root").await.status, 200);
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
