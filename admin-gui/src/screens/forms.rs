//! Forms that several screens open: declaring, binding, publishing.

use eframe::egui::{self, RichText, Ui};
use leveret_admin_model::query::{Query, exchange_segment};
use leveret_admin_model::route::encode;
use leveret_admin_model::{Action, Method, Request, Route, format, query, topic};
use leveret_protocol::admin as api;
use serde::Deserialize;
use serde_json::json;

use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, icons, space, tokens};
use crate::widgets::{dim, faint, form, panel};

texts! {
    DECLARE_QUEUE = "New queue" | "新建队列";
    DECLARE_EXCHANGE = "New exchange" | "新建交换机";
    NAME_HINT = "orders.paid" | "orders.paid";
    NAME_MISSING = "A name is needed." | "名称不能为空。";
    DURABLE_HELP = "Durable: it is there after a restart" | "持久：重启后仍然存在";
    AUTO_DELETE_QUEUE = "Auto-delete: it goes when its last consumer goes" | "自动删除：最后一个消费者离开后删除";
    AUTO_DELETE_EXCHANGE = "Auto-delete: it goes when its last binding goes" | "自动删除：最后一个绑定移除后删除";
    INTERNAL_HELP = "Internal: only other exchanges publish to it" | "内部：仅供其他交换机发布";
    DECLARED = "Declared: {}" | "已声明：{}";
    DECLARE_WHAT = "Declare {}" | "声明 {}";
    DELETE_WHAT = "Delete {}" | "删除 {}";

    NEW_BINDING = "New binding" | "新建绑定";
    FROM = "From exchange" | "来源交换机";
    TO_QUEUE = "To queue" | "目标队列";
    TO_EXCHANGE = "To exchange" | "目标交换机";
    DESTINATION = "Leads to" | "目标类型";
    NO_EXCHANGE = "There is no exchange of this name." | "没有此名称的交换机。";
    NO_QUEUE = "There is no queue of this name." | "没有此名称的队列。";
    KEY_IGNORED = "A fanout exchange does not look at routing keys." | "fanout 交换机不使用路由键。";
    TRY_KEY = "Try a key" | "测试路由键";
    TAKEN = "It takes this key." | "匹配此路由键。";
    NOT_TAKEN = "It does not take this key." | "不匹配此路由键。";
    PATTERN_HELP = "* is one word, # any number of words" | "* 匹配一个词，# 匹配任意个词";
    BOUND = "Bound: {} → {}" | "已绑定：{} → {}";
    BIND_WHAT = "Bind {} → {}" | "绑定 {} → {}";

    PUBLISH_TO = "Publish to {}" | "发布到 {}";
    PAYLOAD = "Payload" | "消息体";
    PERSISTENT = "Persistent: it survives a restart" | "持久化：重启后仍然存在";
    CONTENT_TYPE = "Content type" | "内容类型";
    HEADERS = "Headers" | "消息头";
    ROUTED = "It was routed." | "已路由。";
    NOT_ROUTED = "No queue takes this key: the message was dropped." | "没有队列匹配此路由键，消息已丢弃。";
    SEND = "Publish" | "发布";
    JSON_OK = "valid JSON" | "有效的 JSON";
    BYTES_LONG = "{} long" | "长度 {}";
}

/// Arguments of queues that people use, offered with a click.
const QUEUE_ARGUMENTS: &[&str] = &[
    "x-message-ttl",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-overflow",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-delivery-limit",
    "x-single-active-consumer",
    "x-max-priority",
    "x-queue-type",
];

/// The vhost that new things go to.
fn vhost_of(cx: &Cx<'_>) -> String {
    if let Some(vhost) = &cx.state.vhost {
        return vhost.clone();
    }
    let vhosts = cx.read(&query::vhosts()).or_default();
    let default = vhosts.iter().find(|vhost| vhost.name == "/").or(vhosts.first());
    default.map_or("/".to_owned(), |vhost| vhost.name.clone())
}

fn vhost_row(ui: &mut Ui, cx: &Cx<'_>, chosen: &mut Option<String>) -> String {
    let vhosts = cx.read(&query::vhosts()).or_default();
    let current = chosen.get_or_insert_with(|| vhost_of(cx)).clone();
    if vhosts.len() > 1 {
        form::row(ui, t(VHOST), |ui| {
            let combo = egui::ComboBox::from_id_salt("vhost").selected_text(&current).width(200.0);
            let response = combo.show_ui(ui, |ui| {
                for vhost in vhosts.iter() {
                    ui.selectable_value(chosen, Some(vhost.name.clone()), &vhost.name);
                }
            });
            crate::widgets::named(response.response, t(VHOST));
        });
    }
    current
}

/// A queue that is being declared.
#[derive(Debug)]
pub struct DeclareQueue {
    vhost: Option<String>,
    name: String,
    durable: bool,
    auto_delete: bool,
    arguments: form::Arguments,
    sent: form::Sent,
}

impl Default for DeclareQueue {
    fn default() -> DeclareQueue {
        let (name, arguments, sent) = Default::default();
        DeclareQueue { vhost: None, name, durable: true, auto_delete: false, arguments, sent }
    }
}

impl DeclareQueue {
    /// Draws it; true when it is closed.
    pub fn ui(&mut self, ui: &Ui, cx: &Cx<'_>) -> bool {
        if self.sent.is_taken(cx) {
            return true;
        }
        let mut vhost = String::new();
        let answer = form::dialog(ui, "declare queue", t(DECLARE_QUEUE), 560.0, |ui| {
            vhost = vhost_row(ui, cx, &mut self.vhost);
            form::line(ui, t(NAME), &mut self.name, t(NAME_HINT));
            ui.checkbox(&mut self.durable, t(DURABLE_HELP));
            ui.checkbox(&mut self.auto_delete, t(AUTO_DELETE_QUEUE));
            ui.add_space(space::XS);
            crate::widgets::title(ui, t(ARGUMENTS));
            self.arguments.ui(ui, QUEUE_ARGUMENTS);
            self.sent.buttons(ui, !self.name.is_empty() && cx.may_write(), icons::PLUS, t(DECLARE))
        });
        if answer == Some(true) {
            let path = format!("/api/queues/{}/{}", encode(&vhost), encode(&self.name));
            let body = json!({
                "durable": self.durable, "auto_delete": self.auto_delete, "arguments": self.arguments.json(),
            });
            let undo = Action::new(
                DELETE_WHAT.with(&[&self.name]),
                DELETE_WHAT.with(&[&self.name]),
                // Only while nothing is in it.
                Request::new(Method::Delete, format!("{path}?if-empty=true&if-unused=true")),
            );
            let request = Request::new(Method::Put, path).body(&body);
            let action = Action::new(DECLARE_WHAT.with(&[&self.name]), DECLARED.with(&[&self.name]), request);
            self.sent.send(cx, action.undo(undo));
        }
        answer == Some(false)
    }
}

/// An exchange that is being declared.
#[derive(Debug)]
pub struct DeclareExchange {
    vhost: Option<String>,
    name: String,
    kind: String,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: form::Arguments,
    sent: form::Sent,
}

impl Default for DeclareExchange {
    fn default() -> DeclareExchange {
        let (name, arguments, sent) = Default::default();
        DeclareExchange {
            vhost: None,
            name,
            kind: "direct".to_owned(),
            durable: true,
            auto_delete: false,
            internal: false,
            arguments,
            sent,
        }
    }
}

impl DeclareExchange {
    /// Draws it; true when it is closed.
    pub fn ui(&mut self, ui: &Ui, cx: &Cx<'_>) -> bool {
        if self.sent.is_taken(cx) {
            return true;
        }
        let mut vhost = String::new();
        let answer = form::dialog(ui, "declare exchange", t(DECLARE_EXCHANGE), 560.0, |ui| {
            vhost = vhost_row(ui, cx, &mut self.vhost);
            form::line(ui, t(NAME), &mut self.name, "orders");
            form::row(ui, t(TYPE), |ui| {
                let combo = egui::ComboBox::from_id_salt("type").selected_text(&self.kind).width(200.0);
                let response = combo.show_ui(ui, |ui| {
                    for kind in kinds(cx) {
                        ui.selectable_value(&mut self.kind, kind.clone(), kind);
                    }
                });
                crate::widgets::named(response.response, t(TYPE));
            });
            ui.checkbox(&mut self.durable, t(DURABLE_HELP));
            ui.checkbox(&mut self.auto_delete, t(AUTO_DELETE_EXCHANGE));
            ui.checkbox(&mut self.internal, t(INTERNAL_HELP));
            ui.add_space(space::XS);
            crate::widgets::title(ui, t(ARGUMENTS));
            self.arguments.ui(ui, &["alternate-exchange", "x-delayed-type"]);
            self.sent.buttons(ui, !self.name.is_empty() && cx.may_write(), icons::PLUS, t(DECLARE))
        });
        if answer == Some(true) {
            let path = format!("/api/exchanges/{}/{}", encode(&vhost), encode(&self.name));
            let body = json!({
                "type": self.kind, "durable": self.durable, "auto_delete": self.auto_delete,
                "internal": self.internal, "arguments": self.arguments.json(),
            });
            let undo = Action::new(
                DELETE_WHAT.with(&[&self.name]),
                DELETE_WHAT.with(&[&self.name]),
                Request::new(Method::Delete, format!("{path}?if-unused=true")),
            );
            let request = Request::new(Method::Put, path).body(&body);
            let action = Action::new(DECLARE_WHAT.with(&[&self.name]), DECLARED.with(&[&self.name]), request);
            self.sent.send(cx, action.undo(undo));
        }
        answer == Some(false)
    }
}

/// Types of exchanges that the broker has.
fn kinds(cx: &Cx<'_>) -> Vec<String> {
    let overview = cx.read(&query::overview()).or_default();
    let known: Vec<String> =
        overview.exchange_types.iter().filter(|kind| kind.enabled).map(|kind| kind.name.clone()).collect();
    if known.is_empty() {
        ["direct", "fanout", "topic", "headers"].map(str::to_owned).to_vec()
    } else {
        known
    }
}

/// A binding that is being made.
#[derive(Debug, Default)]
pub struct NewBinding {
    vhost: Option<String>,
    pub source: String,
    pub destination: String,
    pub to_exchange: bool,
    pub routing_key: String,
    tried: String,
    suggested: String,
    arguments: form::Arguments,
    sent: form::Sent,
}

impl NewBinding {
    pub fn in_vhost(vhost: &str) -> NewBinding {
        NewBinding { vhost: Some(vhost.to_owned()), ..NewBinding::default() }
    }

    /// Draws it; true when it is closed.
    pub fn ui(&mut self, ui: &Ui, cx: &Cx<'_>) -> bool {
        if self.sent.is_taken(cx) {
            return true;
        }
        let mut vhost = String::new();
        let exchanges = cx.read(&query::exchanges()).or_default();
        let queues = cx.read(&query::queues()).or_default();
        let answer = form::dialog(ui, "new binding", t(NEW_BINDING), 600.0, |ui| {
            vhost = vhost_row(ui, cx, &mut self.vhost);
            form::line(ui, t(FROM), &mut self.source, "orders");
            let source =
                exchanges.iter().find(|exchange| exchange.vhost == vhost && exchange.name == self.source);
            if !self.source.is_empty() && source.is_none() {
                form::mistake(ui, t(NO_EXCHANGE));
            }
            form::row(ui, t(DESTINATION), |ui| {
                ui.radio_value(&mut self.to_exchange, false, t(QUEUE));
                ui.radio_value(&mut self.to_exchange, true, t(EXCHANGE));
            });
            let (name, missing) =
                if self.to_exchange { (TO_EXCHANGE, NO_EXCHANGE) } else { (TO_QUEUE, NO_QUEUE) };
            form::line(ui, t(name), &mut self.destination, "orders.paid");
            let exists = if self.to_exchange {
                exchanges.iter().any(|exchange| exchange.vhost == vhost && exchange.name == self.destination)
            } else {
                queues.iter().any(|queue| queue.vhost == vhost && queue.name == self.destination)
            };
            if !self.destination.is_empty() && !exists {
                form::mistake(ui, t(missing));
            }
            form::line(ui, t(ROUTING_KEY), &mut self.routing_key, "orders.*.paid");
            match source.map(|source| source.kind.as_str()) {
                Some("fanout") => faint(ui, t(KEY_IGNORED)),
                Some("topic") => self.pattern(ui),
                _ => ui.response(),
            };
            ui.add_space(space::XS);
            crate::widgets::title(ui, t(ARGUMENTS));
            self.arguments.ui(ui, &["x-match"]);
            let ready = source.is_some() && exists && cx.may_write();
            self.sent.buttons(ui, ready, icons::LINK, t(BIND))
        });
        if answer == Some(true) {
            let action = self.action(&vhost);
            self.sent.send(cx, action);
        }
        answer == Some(false)
    }

    /// Says what a pattern takes, with a key to try.
    fn pattern(&mut self, ui: &mut Ui) -> egui::Response {
        // An example follows the pattern while it is written, until another key is tried.
        let example = topic::example(&self.routing_key);
        if self.tried == self.suggested {
            self.tried.clone_from(&example);
        }
        self.suggested = example;
        form::line(ui, t(TRY_KEY), &mut self.tried, "orders.eu.paid");
        form::row(ui, "", |ui| {
            let takes = topic::matches(&self.routing_key, &self.tried);
            let tk = tokens();
            let (icon, colour, text) = if takes {
                (icons::CIRCLE_CHECK, tk.success, TAKEN)
            } else {
                (icons::CIRCLE_X, tk.warning, NOT_TAKEN)
            };
            ui.label(RichText::new(icon).font(theme::icon(14.0)).color(colour));
            ui.label(RichText::new(t(text)).color(tk.text));
            faint(ui, t(PATTERN_HELP))
        })
    }

    fn action(&self, vhost: &str) -> Action {
        let kind = if self.to_exchange { "e" } else { "q" };
        let path = format!(
            "/api/bindings/{}/e/{}/{kind}/{}",
            encode(vhost),
            encode(&self.source),
            encode(&self.destination)
        );
        let body = json!({"routing_key": self.routing_key, "arguments": self.arguments.json()});
        let ends: [&dyn std::fmt::Display; 2] = [&self.source, &self.destination];
        Action::new(BIND_WHAT.with(&ends), BOUND.with(&ends), Request::new(Method::Post, path).body(&body))
    }
}

/// A message that is being written.
#[derive(Debug)]
pub struct Publish {
    pub routing_key: String,
    pub payload: String,
    content_type: String,
    persistent: bool,
    headers: form::Arguments,
}

impl Default for Publish {
    fn default() -> Publish {
        let (routing_key, payload, headers) = Default::default();
        Publish {
            routing_key,
            payload,
            content_type: "application/json".to_owned(),
            persistent: true,
            headers,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Published {
    routed: bool,
}

impl Publish {
    /// Draws it into a screen; `exchange` is where it goes.
    pub fn ui(&mut self, ui: &mut Ui, cx: &Cx<'_>, vhost: &str, exchange: &str) {
        let key = format!("publish {vhost} {exchange}");
        form::line(ui, t(ROUTING_KEY), &mut self.routing_key, "orders.eu.paid");
        form::line(ui, t(CONTENT_TYPE), &mut self.content_type, "");
        form::row(ui, "", |ui| ui.checkbox(&mut self.persistent, t(PERSISTENT)));
        crate::widgets::title(ui, t(PAYLOAD));
        let edit = egui::TextEdit::multiline(&mut self.payload)
            .font(theme::mono())
            .desired_width(f32::INFINITY)
            .desired_rows(6)
            .margin(egui::Margin::same(8));
        crate::widgets::named(ui.add(edit), t(PAYLOAD));
        ui.horizontal(|ui| {
            faint(ui, BYTES_LONG.with(&[&format::bytes(self.payload.len() as f64)]));
            let is_json = serde_json::from_str::<serde_json::Value>(&self.payload).is_ok();
            if is_json && !self.payload.is_empty() {
                faint(ui, t(JSON_OK));
            }
        });
        crate::widgets::title(ui, t(HEADERS));
        self.headers.headers_ui(ui);
        ui.add_space(space::S);
        ui.horizontal(|ui| {
            let answer = cx.state.store.peek::<Published>(&key);
            // Whoever presses again meanwhile would publish twice.
            let can = cx.may_write() && !answer.is_pending();
            if crate::widgets::primary(ui, can, icons::SEND, t(SEND)).clicked() {
                let path = format!("/api/exchanges/{}/{}/publish", encode(vhost), exchange_segment(exchange));
                let body = json!({
                    "routing_key": self.routing_key, "payload": self.payload, "payload_encoding": "string",
                    "properties": {
                        "delivery_mode": if self.persistent { 2 } else { 1 },
                        "content_type": self.content_type, "headers": self.headers.json(),
                    },
                });
                let query: Query<Published> = Query::once(&key, Request::new(Method::Post, path).body(&body));
                cx.fetch(&query);
            }
            let tk = tokens();
            if let Some(problem) = answer.problem() {
                let (what, _) = panel::words(problem.kind);
                ui.label(RichText::new(icons::CIRCLE_X).font(theme::icon(14.0)).color(tk.danger));
                dim(ui, format!("{}: {}", t(what), problem.detail));
            } else if let Some(published) = &answer.value {
                let (icon, colour, text) = if published.routed {
                    (icons::CIRCLE_CHECK, tk.success, ROUTED)
                } else {
                    (icons::TRIANGLE_ALERT, tk.warning, NOT_ROUTED)
                };
                ui.label(RichText::new(icon).font(theme::icon(14.0)).color(colour));
                dim(ui, t(text));
                faint(ui, format::clock(answer.arrived_at()));
            }
        });
    }
}

/// Where a message of some key would go.
#[derive(Debug, Default)]
pub struct WhereTo {
    routing_key: String,
    asked: Option<String>,
}

texts! {
    WHERE_TO = "Where would this go?" | "消息会去哪里？";
    ASK = "Ask" | "查询";
    REACHES = "It would reach {} {queue|queues}:" | "将到达 {} 个队列：";
    REACHES_NONE = "No queue takes it: it would be dropped, or returned if it is mandatory." | "没有匹配的队列：消息会被丢弃，或在 mandatory 时退回。";
    THROUGH_ALTERNATE = "Nothing matches, so the alternate exchange {} takes it." | "没有匹配项，由备用交换机 {} 处理。";
    COMPUTED_HERE = "This broker does not tell, so it is worked out from the bindings you see." | "此服务器不提供该功能，结果由当前绑定推算。";
}

impl WhereTo {
    /// Draws it into a screen.
    pub fn ui(&mut self, ui: &mut Ui, cx: &Cx<'_>, vhost: &str, exchange: &api::Exchange) {
        crate::widgets::title(ui, t(WHERE_TO));
        let mut ask = false;
        ui.horizontal(|ui| {
            let entered = form::field(ui, t(ROUTING_KEY), &mut self.routing_key, t(ROUTING_KEY), 240.0);
            ask = entered.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
            ask |= crate::widgets::button(ui, true, icons::ROUTE, t(ASK)).clicked();
        });
        let key = format!("route {vhost} {}", exchange.name);
        if ask {
            self.asked = Some(self.routing_key.clone());
            let path = format!("/api/exchanges/{}/{}/route", encode(vhost), exchange_segment(&exchange.name));
            let body = json!({"routing_key": self.routing_key});
            if cx.is_leveret() {
                let query: Query<api::topology::RouteAnswer> =
                    Query::once(&key, Request::new(Method::Post, path).body(&body));
                cx.fetch(&query);
            }
        }
        let Some(asked) = &self.asked else { return };
        let answer = cx.state.store.peek::<api::topology::RouteAnswer>(&key);
        if let Some(answer) = &answer.value {
            if let Some(alternate) = &answer.alternate_exchange {
                dim(ui, THROUGH_ALTERNATE.with(&[alternate]));
            }
            let names: Vec<&str> = answer.queues.iter().map(|queue| queue.queue.as_str()).collect();
            reached(ui, cx, vhost, &names);
            if let Some(note) = &answer.note {
                faint(ui, note);
            }
        } else if !cx.is_leveret() || answer.problem().is_some() {
            let bindings = cx.read(&query::exchange_bindings(vhost, &exchange.name, "source")).or_default();
            let takes = |binding: &&api::Binding| match exchange.kind.as_str() {
                "fanout" => true,
                "topic" => topic::matches(&binding.routing_key, asked),
                _ => binding.routing_key == *asked,
            };
            let names: Vec<&str> = bindings
                .iter()
                .filter(|binding| binding.destination_type == "queue")
                .filter(takes)
                .map(|binding| binding.destination.as_str())
                .collect();
            reached(ui, cx, vhost, &names);
            faint(ui, t(COMPUTED_HERE));
        }
    }
}

fn reached(ui: &mut Ui, cx: &Cx<'_>, vhost: &str, names: &[&str]) {
    if names.is_empty() {
        dim(ui, t(REACHES_NONE));
        return;
    }
    dim(ui, REACHES.with(&[&names.len()]));
    for name in names {
        if crate::widgets::link(ui, name).clicked() {
            cx.go(Route::queue(vhost, *name));
        }
    }
}
