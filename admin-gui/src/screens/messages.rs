//! Messages by hand: writing one, from scratch, a template or one that died; and looking at what lies in a queue.

use eframe::egui::{self, RichText, ScrollArea, TextEdit, Ui, Vec2};
use leveret_admin_model::draft::{Draft, DraftProblem};
use leveret_admin_model::query::Query;
use leveret_admin_model::{Intent, Problem, format, lookups, query};
use leveret_protocol::admin::messages::MessageFilter;
use serde::Deserialize;

use super::peek::Peek;
use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{icons, space, tokens};
use crate::widgets::{button, card, faint, form, head, icon_button, named, panel, primary, tabs, title};

texts! {
    WRITE = "Publish" | "发布";
    LOOK = "Look into a queue" | "查看队列";
    TEMPLATES = "Templates" | "模板";
    NO_TEMPLATES = "Save what you send often, and it is here." | "保存常用消息后，将显示在此处。";
    TEMPLATE_NAME = "Name of the template" | "模板名称";
    SAVE_TEMPLATE = "Save as a template" | "保存为模板";
    USE_TEMPLATE = "Use {}" | "使用 {}";
    DELETE_TEMPLATE = "Delete the template {}" | "删除模板 {}";
    EDITOR_TITLE = "Edit and send a copy" | "编辑并发送副本";
    TO_EXCHANGE = "Exchange" | "交换机";
    EXCHANGE_HINT = "empty: the default exchange, by name of the queue" | "留空：默认交换机，按队列名路由";
    BODY = "Payload" | "消息体";
    CONTENT_TYPE = "Content type" | "内容类型";
    PERSISTENT = "Persistent: it survives a restart" | "持久化：重启后仍然存在";
    BASE64 = "The payload is base64" | "消息体为 base64";
    MORE = "More properties" | "更多属性";
    HEADERS = "Headers" | "消息头";
    HEADER_NAME = "Header {}" | "消息头 {}";
    HEADER_VALUE = "Value of header {}" | "消息头 {} 的值";
    ADD_HEADER = "Add a header" | "添加消息头";
    REMOVE_HEADER = "Remove header {}" | "移除消息头 {}";
    CORRELATION = "Correlation id" | "关联 ID";
    REPLY_TO = "Reply to" | "回复到";
    MESSAGE_ID = "Message id" | "消息 ID";
    MESSAGE_TYPE = "Type" | "类型";
    EXPIRATION = "Expires after ms" | "过期毫秒数";
    PRIORITY = "Priority" | "优先级";
    BAD_PRIORITY = "The priority is a number from 0 to 255." | "优先级为 0 到 255 的数字。";
    BAD_EXPIRATION = "The expiration is a number of milliseconds." | "过期时间为毫秒数。";
    NOT_JSON = "The content type says JSON, and this is none." | "内容类型为 JSON，但消息体不是有效的 JSON。";
    NOT_BASE64 = "This is not base64." | "这不是有效的 base64。";
    SEND = "Publish" | "发布";
    TIDY_JSON = "Indent" | "格式化";
    WAS_ROUTED = "It was routed to at least one queue." | "已路由到至少一个队列。";
    NOT_ROUTED = "No queue takes it: the message was dropped." | "没有队列接收，消息已丢弃。";
    NOT_SENT = "It was not published: {}" | "未能发布：{}";
    WHICH_QUEUE = "Queue" | "队列";
    QUEUE_HINT = "name of a queue" | "队列名称";
    PICK_QUEUE = "Pick a queue to see what lies in it" | "选择队列以查看消息";
    PICK_WHY = "Nothing is taken out and nothing is marked." | "不会取出或标记任何消息。";
    QUEUE_EMPTY = "The queue is empty" | "队列为空";
    NO_SUCH_MESSAGES = "Nothing waits there now." | "当前没有等待的消息。";
    TAKEN = "{} hands messages out to show them, and takes them back: place and redelivered flag may change." | "{} 需取出消息才能显示，随后放回：位置和重投标记可能改变。";
    TAKE = "Look at 20" | "查看 20 条";
    KIND_EXCHANGE = "Known exchanges" | "已知交换机";
}

/// What the screen remembers.
#[derive(Debug, Default)]
pub struct State {
    tab: Tab,
    editor: Option<Editor>,
    template_name: String,
    queue: String,
    /// Names that what was typed may mean; and vhost, text and number of queues that they were found by.
    suggested: (Vec<String>, Option<(String, String, usize)>),
    peek: Peek,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Tab {
    #[default]
    Write,
    Look,
}

pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    head(ui, t(MESSAGES), "", |_| {});
    tabs(ui, &mut state.tab, &[(Tab::Write, t(WRITE)), (Tab::Look, t(LOOK))]);
    ui.add_space(space::XS);
    match state.tab {
        Tab::Write => write(state, ui, cx),
        Tab::Look => look(state, ui, cx),
    }
}

fn write(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    let vhost = vhost_of(cx);
    let editor = state.editor.get_or_insert_with(|| Editor::new(Draft::json(&vhost, "")));
    if cx.state.vhost.is_some() {
        editor.draft.vhost.clone_from(&vhost);
    }
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.horizontal_top(|ui| {
            let width = (ui.available_width() - 280.0).clamp(360.0, 760.0);
            ui.allocate_ui_with_layout(
                Vec2::new(width, 0.0),
                egui::Layout::top_down(egui::Align::Min),
                |ui| {
                    card(ui, |ui| {
                        ui.set_width(width - 26.0);
                        editor.ui(ui, cx);
                    });
                },
            );
            ui.add_space(space::S);
            ui.vertical(|ui| templates(ui, cx, editor, &mut state.template_name));
        });
    });
}

/// Drafts that were kept.
fn templates(ui: &mut Ui, cx: &Cx<'_>, editor: &mut Editor, name: &mut String) {
    card(ui, |ui| {
        ui.set_width((ui.available_width() - 4.0).max(200.0));
        title(ui, t(TEMPLATES));
        let saved = &cx.state.settings.templates;
        if saved.is_empty() {
            faint(ui, t(NO_TEMPLATES));
        }
        let mut kept = None;
        for (at, template) in saved.iter().enumerate() {
            ui.horizontal(|ui| {
                let label = leveret_admin_model::payload::one_line(&template.name, 24);
                if named(ui.button(&label), &USE_TEMPLATE.with(&[&template.name])).clicked() {
                    editor.draft = Draft { vhost: editor.draft.vhost.clone(), ..template.clone() };
                }
                if icon_button(ui, icons::TRASH_2, &DELETE_TEMPLATE.with(&[&template.name])).clicked() {
                    let mut left = saved.clone();
                    left.remove(at);
                    kept = Some(left);
                }
            });
        }
        ui.add_space(space::S);
        form::field(ui, t(TEMPLATE_NAME), name, t(TEMPLATE_NAME), 190.0);
        if button(ui, !name.trim().is_empty(), icons::BOOKMARK, t(SAVE_TEMPLATE)).clicked() {
            let mut all: Vec<Draft> =
                saved.iter().filter(|known| known.name != name.trim()).cloned().collect();
            all.push(Draft { name: name.trim().to_owned(), ..editor.draft.clone() });
            all.truncate(TEMPLATES_MAX);
            kept = Some(all);
            name.clear();
        }
        if let Some(templates) = kept {
            let mut settings = cx.state.settings.clone();
            settings.templates = templates;
            cx.send(Intent::Settings(Box::new(settings)));
        }
    });
}

const TEMPLATES_MAX: usize = 50;

/// What a broker says of a message that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Published {
    routed: bool,
}

/// A message that is being written.
#[derive(Debug)]
pub struct Editor {
    pub draft: Draft,
    more: bool,
    /// Which of the publications the last was; each has an answer of its own.
    sent: Option<String>,
}

impl Editor {
    pub fn new(draft: Draft) -> Editor {
        Editor { draft, more: false, sent: None }
    }

    /// Draws it as a dialog; false when it is closed.
    pub fn dialog(&mut self, ui: &Ui, cx: &Cx<'_>) -> bool {
        form::dialog(ui, "edit-resend", t(EDITOR_TITLE), 640.0, |ui| {
            let height = ui.ctx().content_rect().height() - 190.0;
            ScrollArea::vertical().max_height(height.max(200.0)).show(ui, |ui| self.ui(ui, cx));
            ui.add_space(space::S);
            button(ui, true, "", t(CLOSE)).clicked().then_some(false)
        })
        .is_none()
    }

    pub fn ui(&mut self, ui: &mut Ui, cx: &Cx<'_>) {
        let draft = &mut self.draft;
        form::line(ui, t(TO_EXCHANGE), &mut draft.exchange, t(EXCHANGE_HINT));
        // In a place of its own: when exchanges come to be known, the fields below stay what they are, and keep the focus.
        ui.scope(|ui| suggestions(ui, cx, draft));
        form::line(ui, t(ROUTING_KEY), &mut draft.routing_key, "");
        form::line(ui, t(CONTENT_TYPE), &mut draft.content_type, "application/json");
        form::row(ui, "", |ui| {
            ui.checkbox(&mut draft.persistent, t(PERSISTENT));
        });
        headers(ui, &mut draft.headers);
        let arrow = if self.more { icons::CHEVRON_DOWN } else { icons::CHEVRON_RIGHT };
        if button(ui, true, arrow, t(MORE)).clicked() {
            self.more = !self.more;
        }
        if self.more {
            form::line(ui, t(CORRELATION), &mut draft.correlation_id, "");
            form::line(ui, t(REPLY_TO), &mut draft.reply_to, "");
            form::line(ui, t(MESSAGE_ID), &mut draft.message_id, "");
            form::line(ui, t(MESSAGE_TYPE), &mut draft.r#type, "");
            form::line(ui, t(EXPIRATION), &mut draft.expiration, "");
            form::line(ui, t(PRIORITY), &mut draft.priority, "");
            form::row(ui, "", |ui| ui.checkbox(&mut draft.base64, t(BASE64)));
        }
        ui.add_space(space::S);
        ui.horizontal(|ui| {
            title(ui, t(BODY));
            faint(ui, format::bytes(draft.payload.len() as f64));
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let json = serde_json::from_str::<serde_json::Value>(&draft.payload).ok();
                if button(ui, json.is_some(), icons::LIST_TREE, t(TIDY_JSON)).clicked()
                    && let Some(Ok(text)) = json.map(|json| serde_json::to_string_pretty(&json))
                {
                    draft.payload = text;
                }
            });
        });
        let edit = TextEdit::multiline(&mut draft.payload)
            .font(crate::theme::mono())
            .desired_rows(9)
            .desired_width(f32::INFINITY)
            .margin(egui::Margin::symmetric(8, 6));
        named(ui.add(edit), t(BODY));
        let problem = self.draft.problem();
        if let Some(problem) = problem {
            let text = match problem {
                DraftProblem::Priority => BAD_PRIORITY,
                DraftProblem::Expiration => BAD_EXPIRATION,
                DraftProblem::NotJson => NOT_JSON,
                DraftProblem::NotBase64 => NOT_BASE64,
            };
            let colour = if self.draft.can_be_sent() { tokens().warning } else { tokens().danger };
            ui.horizontal(|ui| {
                ui.label(RichText::new(icons::CIRCLE_ALERT).font(crate::theme::icon(13.0)).color(colour));
                ui.label(RichText::new(t(text)).color(colour));
            });
        }
        ui.add_space(space::S);
        ui.horizontal(|ui| {
            let can = cx.may_write() && self.draft.can_be_sent() && !self.is_sending(cx);
            let by_key = form::is_submitted(ui);
            if primary(ui, can, icons::SEND, t(SEND)).clicked() || (can && by_key) {
                let key = format!("publish {}", cx.now());
                cx.fetch(&Query::<Published>::once(key.clone(), self.draft.request()));
                self.sent = Some(key);
            }
            self.outcome(ui, cx);
        });
    }

    /// Whoever presses again meanwhile would publish twice.
    fn is_sending(&self, cx: &Cx<'_>) -> bool {
        self.sent.as_deref().is_some_and(|key| cx.state.store.peek::<Published>(key).is_pending())
    }

    fn outcome(&self, ui: &mut Ui, cx: &Cx<'_>) {
        let Some(key) = &self.sent else { return };
        let answer = cx.state.store.peek::<Published>(key);
        let tk = tokens();
        let (icon, colour, text) = match (answer.value.as_deref(), answer.problem()) {
            (Some(Published { routed: true }), _) => {
                (icons::CIRCLE_CHECK, tk.success, t(WAS_ROUTED).to_owned())
            }
            (Some(Published { routed: false }), _) => {
                (icons::TRIANGLE_ALERT, tk.warning, t(NOT_ROUTED).to_owned())
            }
            (None, Some(Problem { detail, .. })) => (icons::CIRCLE_X, tk.danger, NOT_SENT.with(&[detail])),
            (None, None) => (icons::LOADER_CIRCLE, tk.text_faint, t(SENDING).to_owned()),
        };
        ui.label(RichText::new(icon).font(crate::theme::icon(15.0)).color(colour));
        ui.label(RichText::new(text).color(colour));
    }
}

/// Names of exchanges that what was typed may mean.
fn suggestions(ui: &mut Ui, cx: &Cx<'_>, draft: &mut Draft) {
    let exchanges = cx.read(&query::exchanges()).or_default();
    let of_vhost =
        exchanges.iter().filter(|exchange| exchange.vhost == draft.vhost && !exchange.name.is_empty());
    let names: Vec<String> = of_vhost.map(|exchange| exchange.name.clone()).collect();
    if names.contains(&draft.exchange) {
        return;
    }
    // Those that applications declared come before those that are always there.
    let mut found = leveret_admin_model::palette::rank(&draft.exchange, names, |name| name.clone(), 20);
    found.sort_by_key(|name| name.starts_with("amq."));
    found.truncate(5);
    if found.is_empty() {
        return;
    }
    form::row(ui, "", |ui| {
        ui.horizontal_wrapped(|ui| {
            for name in found {
                if ui.small_button(&name).on_hover_text(t(KIND_EXCHANGE)).clicked() {
                    draft.exchange = name;
                }
            }
        });
    });
}

fn headers(ui: &mut Ui, headers: &mut Vec<(String, String)>) {
    let mut removed = None;
    for (at, (name, value)) in headers.iter_mut().enumerate() {
        form::row(ui, if at == 0 { t(HEADERS) } else { "" }, |ui| {
            form::field(ui, &HEADER_NAME.with(&[&(at + 1)]), name, "", 160.0);
            ui.label("=");
            form::field(ui, &HEADER_VALUE.with(&[&(at + 1)]), value, "", 190.0);
            if icon_button(ui, icons::X, &REMOVE_HEADER.with(&[&(at + 1)])).clicked() {
                removed = Some(at);
            }
        });
    }
    if let Some(at) = removed {
        headers.remove(at);
    }
    form::row(ui, if headers.is_empty() { t(HEADERS) } else { "" }, |ui| {
        if button(ui, headers.len() < HEADERS_MAX, icons::PLUS, t(ADD_HEADER)).clicked() {
            headers.push(Default::default());
        }
    });
}

const HEADERS_MAX: usize = 100;

/// What lies in a queue.
fn look(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    let vhost = vhost_of(cx);
    let answer = cx.read(&query::queues());
    if answer.value.is_none() && answer.problem().is_some() {
        panel::remote(ui, cx, &answer, |_, _| {});
        return;
    }
    let queues = answer.or_default();
    let of_vhost = || queues.iter().filter(|queue| queue.vhost == vhost);
    let exists = of_vhost().any(|queue| queue.name == state.queue);
    let got = lookups::get_messages(&vhost, &state.queue, 20, true);
    ui.horizontal_wrapped(|ui| {
        form::field(ui, t(WHICH_QUEUE), &mut state.queue, t(QUEUE_HINT), 260.0);
        if !exists {
            let found_by = Some((vhost.clone(), state.queue.clone(), queues.len()));
            if state.suggested.1 != found_by {
                let names = of_vhost().map(|queue| queue.name.as_str());
                let found =
                    leveret_admin_model::palette::rank(&state.queue, names, |name| (*name).to_owned(), 6);
                state.suggested = (found.into_iter().map(str::to_owned).collect(), found_by);
            }
            for name in &state.suggested.0 {
                if ui.small_button(name).clicked() {
                    state.queue.clone_from(name);
                }
            }
        } else if !cx.is_leveret() && button(ui, cx.may_write(), icons::EYE, t(TAKE)).clicked() {
            cx.fetch(&got);
        }
    });
    if !exists {
        panel::empty(ui, icons::MAIL_OPEN, t(PICK_QUEUE), t(PICK_WHY), |_| {});
        return;
    }
    let of = format!("{vhost}\n{}", state.queue);
    if cx.is_leveret() {
        let answer = cx.read(&lookups::messages(&vhost, &state.queue, &MessageFilter::default(), None));
        let version = answer.version();
        panel::remote(ui, cx, &answer, |ui, page| {
            state.peek.take(of, version, page.items.iter().cloned());
            list(state, ui, cx, &vhost);
        });
    } else {
        let name = cx.state.product.as_ref().map_or("RabbitMQ", |product| product.name.as_str());
        panel::note(ui, tokens().accent, icons::INFO, |ui| {
            ui.label(TAKEN.with(&[&name]));
        });
        let answer = cx.state.store.peek::<Vec<lookups::GotMessage>>(&got.key);
        if answer.value.is_some() || answer.problem().is_some() {
            let version = answer.version();
            panel::fetched(ui, cx, &got, |ui, got| {
                state.peek.take(of, version, got.iter().enumerate().map(|(at, got)| got.shown(at)));
                list(state, ui, cx, &vhost);
            });
        }
    }
}

fn list(state: &mut State, ui: &mut Ui, cx: &Cx<'_>, vhost: &str) {
    if state.peek.is_empty() {
        panel::empty(ui, icons::INBOX, t(QUEUE_EMPTY), t(NO_SUCH_MESSAGES), |_| {});
        return;
    }
    state.peek.ui(ui, cx, vhost, &state.queue);
}

/// The vhost that is worked in.
pub fn vhost_of(cx: &Cx<'_>) -> String {
    if let Some(vhost) = &cx.state.vhost {
        return vhost.clone();
    }
    let vhosts = cx.read(&query::vhosts()).or_default();
    let default = vhosts.iter().find(|vhost| vhost.name == "/").or(vhosts.first());
    default.map_or_else(|| "/".to_owned(), |vhost| vhost.name.clone())
}
