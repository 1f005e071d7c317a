//! The client against a listener that answers what it is told to.

use leveret_protocol::admin::events::EventData;
use leveret_protocol::admin::messages::{MessageFilter, MessageState};
use leveret_protocol::admin::operations::{OperationKind, OperationRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

/// Answers one request per connection, in order, and gives back what was asked.
async fn server(answers: Vec<String>) -> (Client, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let serving = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut request = Vec::new();
            loop {
                let mut buffer = [0; 4096];
                let read = socket.read(&mut buffer).await.expect("reads");
                request.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    assert!(read > 0, "the request was cut: {text}");
                    continue;
                };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
                if body.len() >= length {
                    asked.push(text);
                    break;
                }
            }
            socket.write_all(answer.as_bytes()).await.expect("writes");
        }
        asked
    });
    let client = Client::builder(url).login("anna", "p:w").timeout(Duration::from_secs(20)).build();
    (client.expect("a good address"), serving)
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

#[tokio::test]
async fn requests_carry_login_names_and_content() {
    let (client, serving) = server(vec![
        answer("200 OK", r#"{"name":"anna","tags":["monitoring"]}"#),
        answer("201 Created", ""),
        answer("204 No Content", ""),
        answer("200 OK", r#"{"items":[]}"#),
        answer("200 OK", r#"{"total":3,"selected":2}"#),
        answer("204 No Content", ""),
    ])
    .await;
    assert_eq!(client.whoami().await.expect("answered").tags, ["monitoring"]);
    client.declare_queue("/", "a b", &DeclareQueue::default()).await.expect("declared");
    client.delete_queue("/", "q", true, false).await.expect("deleted");
    let query = PeekQuery {
        limit: Some(5),
        state: MessageState::Delayed,
        filter: MessageFilter { text: Some("x".to_owned()), ..MessageFilter::default() },
        ..PeekQuery::default()
    };
    client.messages("v", "q", &query).await.expect("a page");
    let plan = client
        .plan_operation(OperationKind::Requeue, "/", "q", &OperationRequest::default())
        .await
        .expect("a plan");
    assert_eq!((plan.total, plan.selected), (3, 2));
    let target = ConnectionTarget::Name("1.2.3.4:5 -> 6.7.8.9:10".to_owned());
    client.close_connection(&target, "bye\r\nx: y").await.expect("closed");

    let asked = serving.await.expect("no panic");
    let starts = |at: usize, start: &str| assert!(asked[at].starts_with(start), "{}", asked[at]);
    starts(0, "GET /api/whoami HTTP/1.1\r\n");
    // anna:p:w
    assert!(asked[0].contains("authorization: Basic YW5uYTpwOnc="), "{}", asked[0]);
    starts(1, "PUT /api/queues/%2F/a%20b HTTP/1.1\r\n");
    assert!(asked[1].ends_with(r#"{"durable":true,"auto_delete":false,"arguments":{}}"#), "{}", asked[1]);
    starts(2, "DELETE /api/queues/%2F/q?if-unused=true HTTP/1.1\r\n");
    starts(3, "GET /api/queues/v/q/messages?limit=5&state=delayed&filter=%7B%22text%22%3A%22x%22%7D HTTP");
    starts(4, "POST /api/queues/%2F/q/requeue HTTP/1.1\r\n");
    assert!(asked[4].contains(r#""dry_run":true"#), "{}", asked[4]);
    starts(5, "DELETE /api/connections/1.2.3.4%3A5%20-%3E%206.7.8.9%3A10 HTTP/1.1\r\n");
    assert!(asked[5].contains("x-reason: bye  x: y\r\n"), "{}", asked[5]);
}

#[tokio::test]
async fn failures_are_told_apart() {
    let login = "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\ncontent-length: 0\r\n\r\n";
    let (client, serving) = server(vec![
        login.to_owned(),
        answer("404 Not Found", r#"{"error":"Object Not Found","reason":"no queue 'q' in vhost '/'"}"#),
        answer("404 Not Found", r#"{"error":"Object Not Found","reason":"Not Found"}"#),
        answer("200 OK", "<html>"),
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[".to_owned(),
    ])
    .await;
    assert_eq!(client.whoami().await, Err(Error::Login { user: "anna".to_owned() }));
    let error = client.queue("/", "q").await.expect_err("missing");
    assert!(error.is_not_found() && error.to_string().contains("no queue 'q'"), "{error}");
    let error = client.topology("/").await.expect_err("RabbitMQ has none");
    assert_eq!(error, Error::Unsupported { path: "/api/topology".to_owned() });
    let error = client.nodes().await.expect_err("no JSON");
    assert!(matches!(error, Error::Unreadable { .. }), "{error}");
    let error = client.nodes().await.expect_err("half an answer");
    assert!(matches!(error, Error::Interrupted { .. }), "{error}");
    serving.await.expect("no panic");

    let error = client.nodes().await.expect_err("nobody listens any more");
    assert!(matches!(error, Error::Unreachable { .. }) && error.is_temporary(), "{error}");
}

#[tokio::test]
async fn a_check_that_fails_is_an_answer() {
    let failed =
        r#"{"status":"failed","reason":"There are alarms","alarms":[{"node":"n","resource":"disk"}]}"#;
    let (client, serving) = server(vec![
        answer("503 Service Unavailable", failed),
        answer("200 OK", r#"{"status":"ok"}"#),
        answer("503 Service Unavailable", r#"{"error":"service_unavailable","reason":"too many"}"#),
    ])
    .await;
    let check = client.health("alarms").await.expect("an answer");
    assert_eq!((check.status.as_str(), check.alarms[0].resource.as_str()), ("failed", "disk"));
    assert_eq!(client.health("alarms").await.expect("an answer").status, "ok");
    assert!(client.health("alarms").await.expect_err("busy").is_temporary());
    serving.await.expect("no panic");
}

#[tokio::test]
async fn the_live_feed_is_read_until_it_ends() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let body = "event: topology\ndata: {\"topic\":\"topology\",\"generation\":1}\n\n: still here\n\n\
                event: queues\ndata: {\"topic\":\"queues\",\"snapshot\":true,\"changed\":[{\"name\":\"q\"}]}\n\n";
    let (client, serving) = server(vec![format!("{head}{body}"), answer("200 OK", "{}")]).await;
    let query = EventQuery {
        topics: vec![types::events::Topic::Queues, types::events::Topic::Topology],
        vhost: Some("/".to_owned()),
        max_rate: Some(0.5),
    };
    let mut events = client.events(&query).await.expect("opened");
    assert_eq!(events.next().await, Some(Ok(EventData::Topology { generation: 1 })));
    let Some(Ok(EventData::Queues(change))) = events.next().await else { panic!("not of queues") };
    assert!(change.snapshot && change.changed[0].name == "q");
    assert_eq!(events.next().await, None);
    let error = client.events(&query).await.expect_err("no stream");
    assert!(matches!(error, Error::Unreadable { .. }), "{error}");
    let asked = serving.await.expect("no panic");
    let path = "GET /api/events?topics=queues%2Ctopology&vhost=%2F&max_rate=0.5 HTTP/1.1";
    assert!(asked[0].starts_with(path), "{}", asked[0]);
}

#[tokio::test]
async fn a_live_feed_that_falls_silent_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let client = Client::builder(&url).build().expect("a client");
    let query = EventQuery::default();
    let (opened, accepted) = tokio::join!(client.events(&query), async {
        let (mut socket, _) = listener.accept().await.expect("a connection");
        let request = socket.read(&mut [0; 4096]).await.expect("reads");
        assert!(request > 0, "somebody asks");
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        let told = "data: {\"topic\":\"topology\",\"generation\":1}\n\n: still here\n\n";
        socket.write_all(format!("{head}{told}").as_bytes()).await.expect("writes");
        socket
    });
    let mut events = opened.expect("opened");
    events.silence_max = Duration::from_millis(20);
    assert_eq!(events.next().await, Some(Ok(EventData::Topology { generation: 1 })));
    let silence = events.next().await;
    assert!(matches!(&silence, Some(Err(Error::Timeout { after, .. })) if *after == events.silence_max));
    drop(accepted);
}

#[test]
fn authorities_have_to_be_certificates() {
    let error = Client::builder("https://h").authorities("not PEM").build().expect_err("no certificate");
    assert!(matches!(error, Error::Authorities { .. }), "{error}");
}
