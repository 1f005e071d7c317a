//! Connections, and one of them with its channels.

use eframe::egui::Ui;
use leveret_admin_model::filter::Cell;
use leveret_admin_model::index::Sort;
use leveret_admin_model::route::encode;
use leveret_admin_model::{Action, Danger, Method, Request, Route, format, query};
use leveret_protocol::admin::Connection;

use super::{channels, queue, queues};
use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{icons, space};
use crate::widgets::inspector::{About, inspector};
use crate::widgets::table::{CellPainter, Paint, Table, TableColumn, TableState, aka, column, hidden};
use crate::widgets::{button, card, danger_button, dot, facts, faint, head, link, panel, title};

texts! {
    APPLICATION = "Application" | "应用";
    PEER = "From" | "来源地址";
    CHANNEL_COUNT = "Channels" | "信道";
    RECEIVED = "Received/s" | "接收/秒";
    SENT = "Sent/s" | "发送/秒";
    SINCE = "Since" | "连接时间";
    TLS = "TLS" | "TLS";
    PROTOCOL = "Protocol" | "协议";
    CLIENT = "Client" | "客户端";
    HEARTBEAT = "Heartbeat" | "心跳";
    NO_CONNECTIONS = "Nobody is connected." | "没有连接。";
    NO_CONNECTIONS_WHY = "Applications connect with AMQP, usually on port 5672." | "应用程序通过 AMQP 连接，通常使用 5672 端口。";
    GONE = "This connection is closed." | "此连接已关闭。";
    GONE_WHY = "Applications that come back get another name." | "应用重新连接后名称会改变。";
    CLOSE_DOTS = "Close…" | "关闭…";
    CLOSE_ONE = "Close the connection of {}?" | "关闭 {} 的连接？";
    CLOSE_SEVERAL = "Close {} connections?" | "关闭 {} 个连接？";
    CLOSE_LOSS = "What its consumers hold goes back to its queues and is delivered again. Most applications connect again." | "消费者持有的消息将返回队列并重新投递，大多数应用会自动重连。";
    CLOSE_VERB = "Close {} connections" | "关闭 {} 个连接";
    CLOSE_VERB_ONE = "Close the connection" | "关闭连接";
    CLOSED = "Closed: {}" | "已关闭：{}";
    CLOSE_WHAT = "Close {}" | "关闭 {}";
    SEVERAL = "{} connections" | "{} 个连接";
}

/// What is remembered of this screen.
#[derive(Debug, Default)]
pub struct State {
    table: TableState,
}

const COLUMNS: &[TableColumn<Connection>] = &[
    aka(
        column("name", APPLICATION, 240.0, Paint::Link, |connection| Cell::text(shown(connection))),
        &["application"],
    ),
    column("peer", PEER, 170.0, Paint::Mono, |connection| {
        Cell::text(format!("{}:{}", connection.peer_host, connection.peer_port))
    }),
    column("user", USER, 100.0, Paint::Text, |connection| Cell::text(connection.user.as_str())),
    column("vhost", VHOST, 80.0, Paint::Text, |connection| Cell::text(connection.vhost.as_str())),
    column("state", STATE, 100.0, Paint::Custom(state), |connection| Cell::text(connection.state.as_str())),
    column("channels", CHANNEL_COUNT, 90.0, Paint::Count, |connection| Cell::number(connection.channels)),
    column("received", RECEIVED, 100.0, Paint::Bytes, |connection| {
        Cell::Number(connection.recv_oct_details.per_second())
    }),
    column("sent", SENT, 100.0, Paint::Bytes, |connection| {
        Cell::Number(connection.send_oct_details.per_second())
    }),
    hidden(column("since", SINCE, 170.0, Paint::Date, |connection| Cell::count(connection.connected_at))),
    hidden(column("protocol", PROTOCOL, 110.0, Paint::Text, |connection| {
        Cell::text(connection.protocol.as_str())
    })),
    hidden(column("tls", TLS, 60.0, Paint::Text, |connection| Cell::text(queue::yes(connection.ssl)))),
    hidden(column("client", CLIENT, 150.0, Paint::Text, |connection| Cell::text(client(connection)))),
];

/// What a connection calls itself, or where it comes from.
pub fn shown(connection: &Connection) -> &str {
    let own = connection.client_properties.get("connection_name").and_then(|name| name.as_str());
    connection
        .user_provided_name
        .as_deref()
        .or(own)
        .filter(|name| !name.is_empty())
        .unwrap_or(&connection.name)
}

fn client(connection: &Connection) -> String {
    let property =
        |name: &str| connection.client_properties.get(name).and_then(|value| value.as_str()).unwrap_or("");
    format!("{} {}", property("product"), property("version")).trim().to_owned()
}

fn state(cell: &CellPainter<'_>, connection: &Connection) {
    cell.dot(queues::state_colour(&connection.state), &connection.state);
}

fn key(connection: &Connection) -> String {
    connection.name.clone()
}

pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    let answer = cx.read(&query::connections());
    head(ui, t(CONNECTIONS), "", |_| {});
    panel::remote(ui, cx, &answer, |ui, _| {
        let Some(connections) = &answer.value else { return };
        if connections.is_empty() {
            panel::empty(ui, icons::PLUG, t(NO_CONNECTIONS), t(NO_CONNECTIONS_WHY), |_| {});
            return;
        }
        let one = state.table.selection.cursor().filter(|_| state.table.selection.len() == 1);
        if let Some(connection) = one.and_then(|one| connections.iter().find(|known| known.name == *one))
            && inspect(ui, cx, connection)
        {
            state.table.selection.clear();
        }
        let table = Table {
            id: "connections",
            noun: CONNECTIONS,
            columns: COLUMNS,
            rows: connections,
            version: answer.version(),
            key,
            scope: (cx.state.vhost.as_deref().unwrap_or(""), &|connection: &Connection| {
                cx.shows_vhost(&connection.vhost)
            }),
            sort: Sort::ascending("name"),
            below: 0.0,
        };
        let chosen = |table: &TableState| -> Vec<&Connection> {
            connections.iter().filter(|connection| table.selection.contains(&connection.name)).collect()
        };
        let response = table.show(ui, cx, &mut state.table, |ui, table| {
            if !table.selection.is_empty()
                && danger_button(ui, cx.may_write(), icons::UNPLUG, t(CLOSE_DOTS)).clicked()
            {
                close(cx, &chosen(table));
            }
        });
        if let Some(connection) = response.opened.and_then(|at| connections.get(at)) {
            cx.go(Route::Connection { name: connection.name.clone() });
        }
        if response.delete {
            close(cx, &chosen(&state.table));
        }
    });
}

/// Who it is, and what it holds; true when it is to be closed.
fn inspect(ui: &mut Ui, cx: &Cx<'_>, connection: &Connection) -> bool {
    let about =
        About { id: "connection-inspector", icon: icons::PLUG, kind: t(CONNECTION), name: shown(connection) };
    inspector(ui, &about, |ui| {
        dot(ui, queues::state_colour(&connection.state), &connection.state);
        ui.add_space(space::XS);
        let list = [
            (t(NAME), connection.name.clone()),
            (t(USER), connection.user.clone()),
            (t(VHOST), connection.vhost.clone()),
            (t(CLIENT), client(connection)),
            (t(PROTOCOL), connection.protocol.clone()),
            (t(TLS), queue::yes(connection.ssl).to_owned()),
            (t(HEARTBEAT), format::duration(u64::from(connection.timeout) * 1_000)),
            (t(SINCE), format::date(connection.connected_at)),
            (t(RECEIVED), format::bytes(connection.recv_oct_details.per_second())),
            (t(SENT), format::bytes(connection.send_oct_details.per_second())),
        ];
        facts(ui, "connection inspector", &list);
        ui.add_space(space::S);
        title(ui, t(CONSUMERS));
        let consumers = cx.read(&query::consumers()).or_default();
        let own = |consumer: &&leveret_protocol::admin::Consumer| {
            consumer.channel_details.connection_name == connection.name
        };
        let mut any = false;
        for consumer in consumers.iter().filter(own).take(20) {
            any = true;
            ui.horizontal_wrapped(|ui| {
                if link(ui, &consumer.queue.name).clicked() {
                    cx.go(Route::queue(&consumer.queue.vhost, &consumer.queue.name));
                }
                faint(ui, &consumer.consumer_tag);
            });
        }
        if !any {
            faint(ui, t(NONE));
        }
        ui.add_space(space::S);
        ui.horizontal(|ui| {
            if button(ui, true, icons::ARROW_RIGHT, t(OPEN)).clicked() {
                cx.go(Route::Connection { name: connection.name.clone() });
            }
            if danger_button(ui, cx.may_write(), icons::UNPLUG, t(CLOSE_DOTS)).clicked() {
                close(cx, &[connection]);
            }
        });
    })
}

/// Asks before connections are closed.
fn close(cx: &Cx<'_>, connections: &[&Connection]) {
    let (title, verb, name) = match connections {
        [] => return,
        [one] => (CLOSE_ONE.with(&[&shown(one)]), t(CLOSE_VERB_ONE).to_owned(), shown(one).to_owned()),
        several => (
            CLOSE_SEVERAL.with(&[&several.len()]),
            CLOSE_VERB.with(&[&several.len()]),
            SEVERAL.with(&[&several.len()]),
        ),
    };
    let request = |connection: &&Connection| {
        Request::new(Method::Delete, format!("/api/connections/{}", encode(&connection.name)))
            // Headers are Latin; the client is told in English whatever the console speaks.
            .header("X-Reason", "closed by an operator in the console")
    };
    let action = Action::all(
        CLOSE_WHAT.with(&[&name]),
        CLOSED.with(&[&name]),
        connections.iter().map(request).collect(),
    );
    let objects = connections.iter().map(|connection| shown(connection).to_owned()).collect();
    cx.ask(Danger { title, loss: t(CLOSE_LOSS).to_owned(), objects, verb, type_name: None, action });
}

/// One connection with its channels.
pub fn one(state: &mut channels::State, ui: &mut Ui, cx: &Cx<'_>, name: &str) {
    let answer = cx.read(&query::connections());
    let connection =
        answer.value.as_ref().and_then(|all| all.iter().find(|connection| connection.name == name).cloned());
    let title_text = connection.as_ref().map_or(name, shown);
    head(ui, title_text, "", |ui| {
        if let Some(connection) = &connection
            && danger_button(ui, cx.may_write(), icons::UNPLUG, t(CLOSE_DOTS)).clicked()
        {
            close(cx, &[connection]);
        }
    });
    panel::remote(ui, cx, &answer, |ui, _| {
        let Some(connection) = &connection else {
            panel::empty(ui, icons::UNPLUG, t(GONE), t(GONE_WHY), |_| {});
            return;
        };
        card(ui, |ui| {
            ui.set_min_width(ui.available_width());
            ui.columns(2, |columns| {
                let [left, right] = columns else { return };
                facts(
                    left,
                    "connection",
                    &[
                        (t(NAME), connection.name.clone()),
                        (t(USER), connection.user.clone()),
                        (t(VHOST), connection.vhost.clone()),
                        (t(STATE), connection.state.clone()),
                    ],
                );
                facts(
                    right,
                    "client",
                    &[
                        (t(CLIENT), client(connection)),
                        (t(PROTOCOL), connection.protocol.clone()),
                        (t(TLS), queue::yes(connection.ssl).to_owned()),
                        (t(HEARTBEAT), format::duration(u64::from(connection.timeout) * 1_000)),
                        (t(SINCE), format::date(connection.connected_at)),
                    ],
                );
            });
        });
        ui.add_space(space::S);
        title(ui, t(CHANNELS));
        channels::table(&mut state.of_connection, ui, cx, "connection channels", |channel| {
            channel.connection_details.name == name
        });
    });
}
