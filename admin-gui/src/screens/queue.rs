//! One queue: what flows, what lies in it, who takes it, who holds it.

use eframe::egui::{self, RichText, ScrollArea, Ui};
use leveret_admin_model::route::{QueueTab, encode};
use leveret_admin_model::state::Sample;
use leveret_admin_model::{Action, Intent, Method, Millis, Request, Route, format, query};
use leveret_protocol::admin as api;
use leveret_protocol::admin::messages::MessagePage;

use super::forms::{NewBinding, Publish};
use super::peek::Peek;
use super::{consumers, queues};
use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, icons, series, space, tokens};
use crate::widgets::chart::{Chart, Line};
use crate::widgets::table::TableState;
use crate::widgets::{
    badge, button, card, danger_button, dim, dot, facts, faint, head, link, panel, tabs, tile, title,
};

texts! {
    TAB_OVERVIEW = "Overview" | "概览";
    TAB_MESSAGES = "Messages" | "消息";
    TAB_CONSUMERS = "Consumers" | "消费者";
    TAB_UNACKED = "Unacked" | "未确认";
    TAB_BINDINGS = "Bindings" | "绑定";
    TAB_ARGUMENTS = "Arguments and policy" | "参数与策略";
    RATES = "Message rates" | "消息速率";
    DEPTH = "Messages" | "消息数";
    PAUSE = "Pause" | "暂停";
    RESUME = "Resume" | "恢复";
    PAUSED = "Paused: {}" | "已暂停：{}";
    RESUMED = "Resumed: {}" | "已恢复：{}";
    PAUSE_WHAT = "Pause {}" | "暂停 {}";
    RESUME_WHAT = "Resume {}" | "恢复 {}";
    DETAILS = "Details" | "详情";
    SIZE = "Size" | "大小";
    OWNER = "Belongs to" | "所属连接";
    NODE = "Node" | "节点";
    IDLE_SINCE = "Idle since" | "空闲起始";
    ARGUMENTS_DECLARED = "Declared with" | "声明参数";
    FROM_POLICY = "From policy {}" | "来自策略 {}";
    NO_ARGUMENTS = "It was declared without arguments." | "声明时没有参数。";
    NO_POLICY = "No policy applies to it." | "没有策略适用于此队列。";
    PEEK_EMPTY = "Nothing lies in it." | "队列为空。";
    PEEK_EMPTY_WHY = "Messages that come are taken at once, or none come." | "消息到达后立即被消费，或没有消息到达。";
    LOOKING = "Looking does not touch: nothing is consumed, reordered or marked as redelivered." | "查看不会影响消息：不消费、不改变顺序，也不会标记为重新投递。";
    NOTHING_UNACKED = "Nothing is unacknowledged." | "没有未确认的消息。";
    NOTHING_UNACKED_WHY = "Everything that was delivered was acknowledged." | "所有已投递的消息均已确认。";
    NO_BINDINGS = "Only the default exchange leads here, by the queue's name." | "仅默认交换机可通过队列名路由到此。";
    NO_BINDINGS_WHY = "Bind it to an exchange to route messages by other keys." | "绑定到交换机即可使用其他路由键。";
    NEW_BINDING = "New binding" | "新建绑定";
    UNBIND_DONE = "Unbound: {} → {}" | "已解绑：{} → {}";
    UNBIND_WHAT = "Unbind {} → {}" | "解绑 {} → {}";
    PUBLISH_HERE = "Publish to this queue" | "发布到此队列";
    WAITING_SINCE = "The first one waits for {}" | "最早的消息已等待 {}";
    FIRST_ONES = "The first {} {message|messages}, in the order in which they would leave." | "按出队顺序显示前 {} 条消息。";
}

/// What is remembered of this screen.
#[derive(Debug, Default)]
pub struct State {
    /// Which queue all of it is about.
    of: Option<(String, String)>,
    window: Option<Millis>,
    waiting: Peek,
    unacked: Peek,
    consumers: TableState,
    binding: Option<NewBinding>,
    publish: Publish,
}

/// Messages that are looked at.
const PEEK: u32 = 100;

pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>, (vhost, name, tab): (&str, &str, QueueTab)) {
    let of = (vhost.to_owned(), name.to_owned());
    if state.of.as_ref() != Some(&of) {
        *state = State { of: Some(of), ..State::default() };
        state.publish.routing_key = name.to_owned();
    }
    let answer = cx.read(&query::queue(vhost, name));
    let queue = answer.value.clone();
    head(ui, name, &format!("{} {vhost}", t(VHOST)), |ui| {
        if let Some(queue) = &queue {
            actions(ui, cx, queue);
        }
    });
    if let Some(queue) = &queue {
        ui.horizontal(|ui| {
            dot(ui, queues::state_colour(&queue.state), &queue.state);
            for word in queues::feature_words(queue) {
                badge(ui, word, tokens().text_dim);
            }
            if let Some(policy) = &queue.policy {
                badge(ui, &format!("{}: {policy}", t(POLICY)), tokens().accent);
            }
        });
    }
    let names = [TAB_OVERVIEW, TAB_MESSAGES, TAB_CONSUMERS, TAB_UNACKED, TAB_BINDINGS, TAB_ARGUMENTS];
    let all: Vec<(QueueTab, &str)> = QueueTab::ALL.into_iter().zip(names.map(t)).collect();
    let mut chosen = tab;
    if tabs(ui, &mut chosen, &all) {
        cx.send(Intent::Replace(Route::Queue {
            vhost: vhost.to_owned(),
            name: name.to_owned(),
            tab: chosen,
        }));
    }
    panel::remote(ui, cx, &answer, |ui, queue| match tab {
        QueueTab::Overview => overview(state, ui, cx, queue),
        QueueTab::Messages => messages(state, ui, cx, queue, "messages"),
        QueueTab::Unacked => messages(state, ui, cx, queue, "unacked"),
        QueueTab::Consumers => {
            consumers::table(&mut state.consumers, ui, cx, "queue consumers", |consumer| {
                consumer.queue.vhost == queue.vhost && consumer.queue.name == queue.name
            });
        }
        QueueTab::Bindings => bindings(state, ui, cx, queue),
        QueueTab::Arguments => arguments(ui, queue),
    });
    if let Some(form) = &mut state.binding
        && form.ui(ui, cx)
    {
        state.binding = None;
    }
}

fn path(queue: &api::Queue) -> String {
    format!("/api/queues/{}/{}", encode(&queue.vhost), encode(&queue.name))
}

fn actions(ui: &mut Ui, cx: &Cx<'_>, queue: &api::Queue) {
    if danger_button(ui, cx.may_write(), icons::TRASH_2, t(DELETE_DOTS)).clicked() {
        queues::delete(cx, &[queue], Some(Route::Queues));
    }
    if button(ui, cx.may_write(), icons::ERASER, t(PURGE_DOTS)).clicked() {
        queues::purge(cx, &[queue]);
    }
    if cx.is_leveret() {
        let act = |verb, what: crate::text::Text, done: crate::text::Text| {
            let request =
                Request::new(Method::Put, format!("{}/{verb}", path(queue))).body(&serde_json::json!({}));
            Action::new(what.with(&[&queue.name]), done.with(&[&queue.name]), request)
        };
        let pause = act("pause", PAUSE_WHAT, PAUSED);
        let resume = act("resume", RESUME_WHAT, RESUMED);
        if queue.state == "paused" {
            if button(ui, cx.may_write(), icons::PLAY, t(RESUME)).clicked() {
                cx.act(resume.undo(pause));
            }
        } else if button(ui, cx.may_write(), icons::PAUSE, t(PAUSE)).clicked() {
            cx.act(pause.undo(resume));
        }
    }
}

fn overview(state: &mut State, ui: &mut Ui, cx: &Cx<'_>, queue: &api::Queue) {
    let tk = tokens();
    let sample = Sample::of(&queue.message_stats, &queue.totals);
    let per_second = PER_SECOND.with(&[&""]);
    let rate = |value: f32| format::rate(f64::from(value));
    let margin = egui::Margin { right: 10, ..egui::Margin::ZERO };
    ScrollArea::vertical().auto_shrink(false).content_margin(margin).show(ui, |ui| {
        ui.columns(6, |columns| {
            let [ready, unacked, published, delivered, acked, consumers] = columns else { return };
            tile(
                ready,
                t(READY),
                &format::count(queue.totals.messages_ready),
                "",
                Some(tk.series[series::READY]),
            );
            tile(
                unacked,
                t(UNACKED),
                &format::count(queue.totals.messages_unacknowledged),
                "",
                Some(tk.series[series::UNACKED]),
            );
            tile(
                published,
                t(PUBLISHED),
                &rate(sample.publish),
                &per_second,
                Some(tk.series[series::PUBLISH]),
            );
            tile(
                delivered,
                t(DELIVERED),
                &rate(sample.deliver),
                &per_second,
                Some(tk.series[series::DELIVER]),
            );
            tile(acked, t(ACKED), &rate(sample.ack), &per_second, Some(tk.series[series::ACK]));
            tile(consumers, t(CONSUMERS), &queue.consumers.to_string(), "", None);
        });
        if let Some(stamp) = queue.head_message_timestamp.filter(|_| queue.totals.messages_ready > 0) {
            let waited = cx.now().saturating_sub(stamp * 1_000);
            faint(ui, WAITING_SINCE.with(&[&format::duration(waited)]));
        }
        ui.add_space(space::S);
        let mut window = state.window.unwrap_or(60_000);
        let windows = [
            (60_000, t(super::overview::MINUTE)),
            (600_000, t(super::overview::TEN_MINUTES)),
            (3_600_000, t(super::overview::HOUR)),
        ];
        if tabs(ui, &mut window, &windows) {
            state.window = Some(window);
        }
        charts(ui, cx, queue, window);
        ui.add_space(space::S);
        card(ui, |ui| {
            ui.set_min_width(ui.available_width());
            title(ui, t(DETAILS));
            let mut list = vec![
                (t(TYPE), queue.kind.clone()),
                (t(DURABLE), yes(queue.durable).to_owned()),
                (t(AUTO_DELETE), yes(queue.auto_delete).to_owned()),
                (t(SIZE), format::bytes(queue.message_bytes as f64)),
                (t(NODE), queue.node.clone()),
            ];
            if let Some(owner) = &queue.owner_pid_details {
                list.push((t(OWNER), owner.name.clone()));
            }
            if let Some(since) = &queue.idle_since {
                list.push((t(IDLE_SINCE), since.clone()));
            }
            facts(ui, "queue details", &list);
        });
        ui.add_space(space::S);
        card(ui, |ui| {
            ui.set_min_width(ui.available_width());
            egui::CollapsingHeader::new(RichText::new(t(PUBLISH_HERE)).font(theme::strong())).show(
                ui,
                |ui| {
                    state.publish.ui(ui, cx, &queue.vhost, "");
                },
            );
        });
    });
}

pub fn yes(value: bool) -> &'static str {
    t(if value { YES } else { NO })
}

fn charts(ui: &mut Ui, cx: &Cx<'_>, queue: &api::Queue, window: Millis) {
    let tk = tokens();
    let samples = cx.state.queue_samples(&queue.vhost, &queue.name);
    let now = samples.and_then(|samples| samples.last()).map_or(cx.now(), |(at, _)| at);
    let since = now.saturating_sub(window);
    let points = |value: fn(&Sample) -> f32| -> Vec<(Millis, f32)> {
        samples.map_or(Vec::new(), |samples| {
            samples.since(since).map(|(at, sample)| (at, value(&sample))).collect()
        })
    };
    let line =
        |name, at: usize, dashed, value| Line { name, colour: tk.series[at], dashed, points: points(value) };
    let chart = |title| Chart {
        title,
        group: "queue",
        height: 150.0,
        now,
        window_ms: window,
        unit: "",
        value: format::short,
    };
    ui.columns(2, |columns| {
        let [left, right] = columns else { return };
        card(left, |ui| {
            let lines = [
                line(t(PUBLISHED), series::PUBLISH, false, |sample: &Sample| sample.publish),
                line(t(DELIVERED), series::DELIVER, false, |sample: &Sample| sample.deliver),
                line(t(ACKED), series::ACK, true, |sample: &Sample| sample.ack),
            ];
            Chart { unit: &PER_SECOND.with(&[&""]), value: format::rate, ..chart(t(RATES)) }.show(ui, &lines);
        });
        card(right, |ui| {
            let lines = [
                line(t(READY), series::READY, false, |sample: &Sample| sample.ready),
                line(t(UNACKED), series::UNACKED, true, |sample: &Sample| sample.unacked),
            ];
            chart(t(DEPTH)).show(ui, &lines);
        });
    });
}

fn messages(state: &mut State, ui: &mut Ui, cx: &Cx<'_>, queue: &api::Queue, which: &str) {
    if !cx.is_leveret() {
        panel::needs_leveret(ui, cx);
        return;
    }
    let query = query::messages(&queue.vhost, &queue.name, which, PEEK);
    let answer = cx.read(&query);
    panel::remote(ui, cx, &answer, |ui, page: &MessagePage| {
        if page.items.is_empty() {
            let (what, why) = if which == "unacked" {
                (NOTHING_UNACKED, NOTHING_UNACKED_WHY)
            } else {
                (PEEK_EMPTY, PEEK_EMPTY_WHY)
            };
            panel::empty(ui, icons::MAIL_OPEN, t(what), t(why), |_| {});
            return;
        }
        ui.horizontal_wrapped(|ui| {
            ui.label(RichText::new(icons::EYE).font(theme::icon(14.0)).color(tokens().text_faint));
            faint(ui, t(LOOKING));
            if page.next.is_some() {
                faint(ui, FIRST_ONES.with(&[&page.items.len()]));
            }
        });
        let peek = if which == "unacked" { &mut state.unacked } else { &mut state.waiting };
        peek.take(query.key, answer.version(), page.items.iter().cloned());
        peek.ui(ui, cx, &queue.vhost, &queue.name);
    });
}

/// A value as people write it.
pub fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn bindings(state: &mut State, ui: &mut Ui, cx: &Cx<'_>, queue: &api::Queue) {
    let answer = cx.read(&query::queue_bindings(&queue.vhost, &queue.name));
    panel::remote(ui, cx, &answer, |ui, bindings| {
        let mut bind = |ui: &mut Ui| {
            if button(ui, cx.may_write(), icons::PLUS, t(NEW_BINDING)).clicked() {
                let mut form = NewBinding::in_vhost(&queue.vhost);
                form.destination.clone_from(&queue.name);
                state.binding = Some(form);
            }
        };
        let named: Vec<&api::Binding> =
            bindings.iter().filter(|binding| !binding.source.is_empty()).collect();
        if named.is_empty() {
            panel::empty(ui, icons::CABLE, t(NO_BINDINGS), t(NO_BINDINGS_WHY), bind);
            return;
        }
        bind(ui);
        card(ui, |ui| {
            ui.set_min_width(ui.available_width());
            egui::Grid::new("bindings").num_columns(4).spacing(egui::vec2(space::XL, 6.0)).show(ui, |ui| {
                for text in [EXCHANGE, ROUTING_KEY, ARGUMENTS] {
                    faint(ui, t(text));
                }
                ui.end_row();
                for binding in named {
                    if link(ui, &binding.source).clicked() {
                        cx.go(Route::exchange(&binding.vhost, &binding.source));
                    }
                    ui.label(RichText::new(&binding.routing_key).font(theme::mono()));
                    let arguments = if binding.arguments.is_empty() {
                        String::new()
                    } else {
                        serde_json::Value::Object(binding.arguments.clone()).to_string()
                    };
                    faint(ui, arguments);
                    if button(ui, cx.may_write(), icons::UNLINK, t(UNBIND)).clicked() {
                        unbind(cx, binding);
                    }
                    ui.end_row();
                }
            });
        });
    });
}

/// Takes a binding away. It can be taken back, for nothing is lost but the messages of the meantime.
pub fn unbind(cx: &Cx<'_>, binding: &api::Binding) {
    let kind = if binding.destination_type == "exchange" { "e" } else { "q" };
    let path = format!(
        "/api/bindings/{}/e/{}/{kind}/{}",
        encode(&binding.vhost),
        encode(&binding.source),
        encode(&binding.destination)
    );
    let ends: [&dyn std::fmt::Display; 2] = [&binding.source, &binding.destination];
    let body = serde_json::json!({"routing_key": binding.routing_key, "arguments": binding.arguments});
    let again = Action::new(
        super::forms::BIND_WHAT.with(&ends),
        super::forms::BOUND.with(&ends),
        Request::new(Method::Post, &path).body(&body),
    );
    let request = Request::new(Method::Delete, format!("{path}/{}", encode(&binding.properties_key)));
    cx.act(Action::new(UNBIND_WHAT.with(&ends), UNBIND_DONE.with(&ends), request).undo(again));
}

fn arguments(ui: &mut Ui, queue: &api::Queue) {
    let list = |arguments: &api::Arguments| -> Vec<(String, String)> {
        arguments.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
    };
    card(ui, |ui| {
        ui.set_min_width(ui.available_width());
        title(ui, t(ARGUMENTS_DECLARED));
        let declared = list(&queue.arguments);
        if declared.is_empty() {
            dim(ui, t(NO_ARGUMENTS));
        }
        let declared: Vec<(&str, String)> =
            declared.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        facts(ui, "declared", &declared);
    });
    ui.add_space(space::S);
    card(ui, |ui| {
        ui.set_min_width(ui.available_width());
        match &queue.policy {
            Some(policy) => title(ui, &FROM_POLICY.with(&[policy])),
            None => title(ui, t(POLICY)),
        };
        let effective = list(&queue.effective_policy_definition);
        if effective.is_empty() {
            dim(ui, t(NO_POLICY));
        }
        let effective: Vec<(&str, String)> =
            effective.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        facts(ui, "effective", &effective);
    });
}
