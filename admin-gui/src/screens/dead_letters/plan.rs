//! Before many messages are worked on: what would happen, in numbers, and then the button that does it.

use eframe::egui::{RichText, ScrollArea, Ui};
use leveret_admin_model::dead::outcome;
use leveret_admin_model::{Action, Danger, format, lookups};
use leveret_protocol::admin::messages::Selection;
use leveret_protocol::admin::operations::{OperationKind, OperationPlan, OperationRequest, OperationTarget};

use crate::cx::Cx;
use crate::text::{Text, common::*, t};
use crate::texts;
use crate::theme::{self, icons, space, tokens};
use crate::widgets::{button, dim, faint, form, panel};

texts! {
    REQUEUE_TITLE = "Send back to where they came from" | "重新投递到原处";
    MOVE_TITLE = "Move to another place" | "移动到其他位置";
    COPY_TITLE = "Copy to another place" | "复制到其他位置";
    DELETE_TITLE = "Delete messages" | "删除消息";
    TARGET = "Where to" | "目标";
    TARGET_QUEUE = "A queue" | "队列";
    TARGET_EXCHANGE = "An exchange" | "交换机";
    TARGET_NAME = "Its name" | "名称";
    TARGET_KEY = "Routing key" | "路由键";
    KEEP_KEY = "empty: each keeps its own" | "留空则保留原路由键";
    RATE = "At most" | "速率上限";
    RATE_HINT = "messages per second; empty: as fast as possible" | "每秒消息数；留空则不限制";
    INTO_QUEUE = "Only into the queue that each died in, not to others that got a copy" | "仅放回各自最初所在的队列，不再发给其他队列";
    FORGET = "Take the history of deaths off them" | "清除死信记录";
    PLANNING = "Counting what would happen…" | "正在统计…";
    PLAN_SELECTED = "{} {message|messages} of {} in the queue" | "{} 条消息（队列共 {} 条）";
    REACHES = "reaches {}" | "到达 {}";
    SKIP_LINE = "{} {stays where it is|stay where they are}: {}" | "{} 条保留：{}";
    OTHER_ROUTES = "{} {goes|go} elsewhere" | "{} 条去往其他位置";
    INCOMPLETE = "The queue is long: this was counted on its beginning. The operation works on all of it." | "队列较长，仅统计了开头部分；操作将处理全部消息。";
    NOTHING_TO_DO = "Nothing would happen." | "不会有任何变化。";
    VERB_REQUEUE = "Requeue {} {message|messages}" | "重新投递 {} 条消息";
    VERB_MOVE = "Move {} {message|messages}" | "移动 {} 条消息";
    VERB_COPY = "Copy {} {message|messages}" | "复制 {} 条消息";
    VERB_DELETE = "Delete {} {message|messages}" | "删除 {} 条消息";
    STARTED = "Started: {}" | "已开始：{}";
    LOSS = "{} {message|messages} of queue {} will be removed for good." | "{} 条消息（队列 {}）将被永久删除。";
    MANY_LOSS = "{} {message|messages} of queue {} will be worked on." | "将处理 {} 条消息（队列 {}）。";
    ON_QUEUE = "{} ({})" | "{}（{}）";
    SEE_PLAN = "Count again" | "重新统计";
}

/// A plan that is being made.
#[derive(Debug)]
pub struct Plan {
    kind: OperationKind,
    vhost: String,
    queue: String,
    selection: Selection,
    to_exchange: bool,
    name: String,
    key: String,
    rate: String,
    forget: bool,
    /// Straight into the queue that each died in first.
    into_queue: bool,
    /// The key of the plan that was asked for.
    asked: Option<String>,
}

impl Plan {
    pub fn new(kind: OperationKind, vhost: &str, queue: &str, selection: Selection) -> Plan {
        Plan {
            kind,
            vhost: vhost.to_owned(),
            queue: queue.to_owned(),
            selection,
            to_exchange: false,
            name: String::new(),
            key: String::new(),
            rate: String::new(),
            forget: false,
            into_queue: false,
            asked: None,
        }
    }

    fn needs_target(&self) -> bool {
        matches!(self.kind, OperationKind::Move | OperationKind::Copy)
    }

    fn request(&self) -> Option<OperationRequest> {
        let name = self.name.trim();
        let destination = match (self.needs_target(), self.to_exchange) {
            (false, _) => None,
            (true, _) if name.is_empty() => return None,
            (true, false) => Some(OperationTarget::Queue(name.to_owned())),
            (true, true) => {
                let routing_key = Some(self.key.trim().to_owned()).filter(|key| !key.is_empty());
                Some(OperationTarget::Exchange { name: name.to_owned(), routing_key })
            }
        };
        Some(OperationRequest {
            selection: self.selection.clone(),
            destination,
            dry_run: false,
            rate: self.rate.trim().parse().ok(),
            forget_deaths: self.forget && self.kind == OperationKind::Requeue,
            into_queue: self.into_queue && self.kind == OperationKind::Requeue,
        })
    }

    /// Draws the dialog; false when it is done with.
    pub fn ui(&mut self, ui: &Ui, cx: &Cx<'_>) -> bool {
        let (title, _) = words(self.kind);
        let mut done = None;
        let closed = form::dialog(ui, "dead-plan", t(title), 560.0, |ui| {
            dim(ui, &self.queue);
            ui.add_space(space::S);
            if self.needs_target() {
                self.target(ui, cx);
            }
            if self.kind == OperationKind::Requeue {
                form::row(ui, "", |ui| ui.checkbox(&mut self.into_queue, t(INTO_QUEUE)));
                form::row(ui, "", |ui| ui.checkbox(&mut self.forget, t(FORGET)));
            }
            if self.kind != OperationKind::Delete {
                form::line(ui, t(RATE), &mut self.rate, t(RATE_HINT));
            }
            ui.add_space(space::S);
            let Some(request) = self.request() else {
                return form::buttons(ui, false, icons::CHECK, &verb(self.kind, 0)).filter(|done| !done);
            };
            let query = lookups::plan(self.kind, &self.vhost, &self.queue, &request);
            if self.asked.as_ref() != Some(&query.key) {
                // Asked when nobody types any more: each letter of a name is another plan.
                let typing = ui.ctx().egui_wants_keyboard_input() && self.needs_target();
                let settled = !typing || ui.input(|input| input.key_pressed(eframe::egui::Key::Enter));
                if settled || button(ui, true, icons::REFRESH_CW, t(SEE_PLAN)).clicked() {
                    cx.fetch(&query);
                    self.asked = Some(query.key.clone());
                }
                return form::buttons(ui, false, icons::CHECK, &verb(self.kind, 0)).filter(|done| !done);
            }
            let answer = cx.state.store.peek::<OperationPlan>(&query.key);
            let mut count = 0;
            match &answer.value {
                Some(plan) => {
                    count = outcome(plan).done;
                    self.show(ui, cx, plan);
                }
                None if answer.problem().is_some() => {
                    if let Some(problem) = answer.problem() {
                        panel::note(ui, tokens().danger, icons::CIRCLE_ALERT, |ui| {
                            ui.label(&problem.detail);
                        });
                    }
                }
                None => {
                    faint(ui, t(PLANNING));
                }
            }
            let confirmed = form::buttons(ui, count > 0, icons::CHECK, &verb(self.kind, count));
            if confirmed == Some(true) {
                done = Some((request, count));
            }
            confirmed
        });
        if let Some((request, count)) = done {
            self.start(cx, &request, count);
            return false;
        }
        closed.is_none()
    }

    fn start(&self, cx: &Cx<'_>, request: &OperationRequest, count: u64) {
        let verb = verb(self.kind, count);
        let what = ON_QUEUE.with(&[&verb, &self.queue]);
        let send = lookups::operate(self.kind, &self.vhost, &self.queue, request);
        let action = Action::new(&what, STARTED.with(&[&what]), send);
        if self.kind == OperationKind::Delete || cx.state.is_production() {
            let loss = if self.kind == OperationKind::Delete { LOSS } else { MANY_LOSS };
            cx.ask(Danger {
                title: verb.clone(),
                loss: loss.with(&[&format::count(count), &self.queue]),
                objects: Vec::new(),
                verb,
                // Many at once are not deleted by a slip of the hand.
                type_name: (self.kind == OperationKind::Delete && count >= 100).then(|| self.queue.clone()),
                action,
            });
        } else {
            cx.act(action);
        }
    }

    fn target(&mut self, ui: &mut Ui, cx: &Cx<'_>) {
        form::row(ui, t(TARGET), |ui| {
            form::choice(
                ui,
                t(TARGET),
                &mut self.to_exchange,
                &[(false, t(TARGET_QUEUE)), (true, t(TARGET_EXCHANGE))],
            );
        });
        form::line(ui, t(TARGET_NAME), &mut self.name, "");
        let known = self.known_names(cx);
        if !known.is_empty() {
            form::row(ui, "", |ui| {
                ui.horizontal_wrapped(|ui| {
                    for name in known {
                        if ui.small_button(&name).clicked() {
                            self.name = name;
                        }
                    }
                });
            });
        }
        if self.to_exchange {
            form::line(ui, t(TARGET_KEY), &mut self.key, t(KEEP_KEY));
        }
    }

    /// Names that what was typed may mean.
    fn known_names(&self, cx: &Cx<'_>) -> Vec<String> {
        let names: Vec<String> = if self.to_exchange {
            let list = cx.read(&leveret_admin_model::query::exchanges()).or_default();
            list.iter()
                .filter(|item| item.vhost == self.vhost && !item.name.is_empty())
                .map(|item| item.name.clone())
                .collect()
        } else {
            let list = cx.read(&leveret_admin_model::query::queues()).or_default();
            list.iter()
                .filter(|item| item.vhost == self.vhost && item.name != self.queue)
                .map(|item| item.name.clone())
                .collect()
        };
        if names.contains(&self.name) {
            return Vec::new();
        }
        leveret_admin_model::palette::rank(&self.name, names, |name| name.clone(), 5)
    }
}

impl Plan {
    /// What is in the queue. A plan for chosen messages looks at those only, and does not know.
    fn total(&self, cx: &Cx<'_>, plan: &OperationPlan) -> u64 {
        let queues = cx.read(&leveret_admin_model::query::queues()).or_default();
        let queue = queues.iter().find(|queue| queue.vhost == self.vhost && queue.name == self.queue);
        let known = queue.map_or(0, |queue| queue.totals.messages_ready);
        if matches!(self.selection, Selection::Ids(_)) { known.max(plan.total) } else { plan.total }
    }

    /// What would happen.
    fn show(&self, ui: &mut Ui, cx: &Cx<'_>, plan: &OperationPlan) {
        let total = self.total(cx, plan);
        let summary = PLAN_SELECTED.with(&[&format::count(plan.selected), &format::count(total)]);
        ui.label(RichText::new(summary).font(theme::strong()).color(tokens().text));
        show_routes(ui, plan);
    }
}

fn show_routes(ui: &mut Ui, plan: &OperationPlan) {
    let tk = tokens();
    ScrollArea::vertical().max_height(220.0).id_salt("plan").show(ui, |ui| {
        for route in &plan.routes {
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing.x = 6.0;
                ui.label(RichText::new(icons::ARROW_RIGHT).font(theme::icon(13.0)).color(tk.success));
                ui.label(RichText::new(format::count(route.messages)).font(theme::strong()).color(tk.text));
                let exchange = if route.exchange.is_empty() { t(DEFAULT_EXCHANGE) } else { &route.exchange };
                ui.label(RichText::new(exchange).color(tk.text));
                if !route.routing_key.is_empty() {
                    ui.label(RichText::new(&route.routing_key).font(theme::mono()).color(tk.text_dim));
                }
                if !route.queues.is_empty() {
                    faint(ui, REACHES.with(&[&route.queues.join(", ")]));
                }
            });
        }
        if plan.other > 0 {
            faint(ui, OTHER_ROUTES.with(&[&format::count(plan.other)]));
        }
        for skipped in &plan.skipped {
            ui.horizontal_wrapped(|ui| {
                ui.label(RichText::new(icons::MINUS).font(theme::icon(13.0)).color(tk.warning));
                ui.label(SKIP_LINE.with(&[&format::count(skipped.messages), &skipped.reason]));
            });
        }
    });
    if !plan.complete {
        panel::note(ui, tk.accent, icons::INFO, |ui| {
            ui.label(t(INCOMPLETE));
        });
    }
    if outcome(plan).done == 0 {
        panel::note(ui, tk.warning, icons::INFO, |ui| {
            ui.label(t(NOTHING_TO_DO));
        });
    }
}

fn words(kind: OperationKind) -> (Text, Text) {
    match kind {
        OperationKind::Requeue => (REQUEUE_TITLE, VERB_REQUEUE),
        OperationKind::Move => (MOVE_TITLE, VERB_MOVE),
        OperationKind::Copy => (COPY_TITLE, VERB_COPY),
        OperationKind::Delete => (DELETE_TITLE, VERB_DELETE),
    }
}

fn verb(kind: OperationKind, count: u64) -> String {
    words(kind).1.with(&[&format::count(count)])
}
