//! A message, to look at: its story, its body in the form that tells most, its properties and headers.

use std::collections::HashSet;

use eframe::egui::{
    self, Color32, Label, RichText, ScrollArea, Sense, Ui, Vec2, WidgetInfo, accesskit::Role,
};
use leveret_admin_model::deaths::{Chapter, Reason, story};
use leveret_admin_model::payload::{Form, Payload, TreeRow, TreeValue, tree};
use leveret_admin_model::{Route, format};
use leveret_protocol::admin::messages::{Holder, QueuedMessage};
use serde_json::Value as Json;

use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, blend, icons, space, tokens};
use crate::widgets::{badge, dim, faint, icon_button, link, named, tabs, title};

texts! {
    STORY = "What happened" | "经历";
    REDELIVERED = "redelivered" | "重新投递";
    RETURNED = "returned {} {time|times}" | "退回 {} 次";
    EXPIRES = "expires {}" | "{} 过期";
    BODY = "Payload" | "消息体";
    PROPERTIES = "Properties and headers" | "属性与消息头";
    AS_TEXT = "Text" | "文本";
    AS_JSON = "JSON" | "JSON";
    AS_HEX = "Bytes" | "字节";
    EMPTY_BODY = "The body is empty." | "消息体为空。";
    CUT = "Only the first {} of {} are here." | "仅显示前 {}，共 {}。";
    COPY_BODY = "Copy the payload" | "复制消息体";
    NO_PROPERTIES = "None are set." | "未设置。";
    OPEN_FIELD = "Open {}" | "展开 {}";
    CLOSE_FIELD = "Close {}" | "折叠 {}";
    FIELDS = "{} {field|fields}" | "{} 个字段";
    ITEMS = "{} {item|items}" | "{} 项";
    MORE_ITEMS = "{} more {is|are} not shown" | "另有 {} 项未显示";

    PUBLISHED_TO = "Published to" | "发布到";
    WITH_KEY = "with the key {}" | "路由键 {}";
    WITHOUT_KEY = "without a key" | "无路由键";
    DIED_REJECTED = "Rejected by a consumer of" | "被消费者拒绝，队列";
    DIED_EXPIRED = "Expired in" | "过期，队列";
    DIED_MAXLEN = "Pushed out, because it was full, of" | "因队列已满被移除，队列";
    DIED_LIMIT = "Returned too often to" | "退回次数过多，队列";
    DIED_OTHER = "Left, because of “{}”, the queue" | "因“{}”离开队列";
    TIMES_ONCE = "once" | "一次";
    TIMES = "{} {time|times}" | "{} 次";
    FIRST_AT = "{}, first at {}" | "{}，首次 {}";
    SENT_ON = "Sent on to" | "转发到";
    HERE = "It lies in" | "当前位于";
    NOW_WAITS = "and waits." | "等待处理。";
    TAKEN_FROM = "Taken from" | "已取自";
    TAKEN_BY = "by {}, over" | "，持有者 {}，连接";
    HELD_FOR = "and not settled for {}." | "，已 {} 未确认。";

    REASON_REJECTED = "rejected" | "被拒绝";
    REASON_EXPIRED = "expired" | "已过期";
    REASON_MAXLEN = "queue was full" | "队列已满";
    REASON_LIMIT = "returned too often" | "退回次数过多";
}

/// What is remembered of how messages are looked at.
#[derive(Debug, Default)]
pub struct ViewState {
    form: Option<Form>,
    toggled: HashSet<String>,
    /// Which message was read, and what was in it.
    read: Option<(String, Payload)>,
}

/// What somebody who holds a message is called.
pub fn holder_name(holder: &Holder) -> &str {
    if holder.consumer_tag.is_empty() { "basic.get" } else { &holder.consumer_tag }
}

/// A short word for why a message died.
pub fn reason_word(reason: &Reason) -> String {
    match reason {
        Reason::Rejected => t(REASON_REJECTED).to_owned(),
        Reason::Expired => t(REASON_EXPIRED).to_owned(),
        Reason::MaxLength => t(REASON_MAXLEN).to_owned(),
        Reason::DeliveryLimit => t(REASON_LIMIT).to_owned(),
        Reason::Other(other) => other.clone(),
    }
}

/// An icon and a colour for it.
pub fn reason_mark(reason: Option<&Reason>) -> (&'static str, Color32) {
    let tk = tokens();
    match reason {
        Some(Reason::Rejected) => (icons::CIRCLE_X, tk.danger),
        Some(Reason::Expired) => (icons::HOURGLASS, tk.warning),
        Some(Reason::MaxLength) => (icons::DATABASE, tk.series[3]),
        Some(Reason::DeliveryLimit) => (icons::REPEAT, tk.series[5]),
        Some(Reason::Other(_)) => (icons::CIRCLE_ALERT, tk.warning),
        None => (icons::MAIL, tk.text_faint),
    }
}

/// Story, body and headers, one below the other.
pub fn message(
    ui: &mut Ui,
    cx: &Cx<'_>,
    state: &mut ViewState,
    vhost: &str,
    queue: &str,
    message: &QueuedMessage,
) {
    ui.horizontal_wrapped(|ui| {
        title(ui, t(STORY));
        if message.redelivered {
            badge(ui, t(REDELIVERED), tokens().warning);
        }
        if message.delivery_count > 0 {
            badge(ui, &RETURNED.with(&[&message.delivery_count]), tokens().warning);
        }
        if let Some(at) = message.expires_at {
            badge(ui, &EXPIRES.with(&[&format::date(at)]), tokens().text_dim);
        }
    });
    ui.add_space(space::XS);
    tell(ui, cx, vhost, &story(message, queue));
    ui.add_space(space::M);
    body(ui, cx, state, message);
    ui.add_space(space::M);
    title(ui, t(PROPERTIES));
    ui.add_space(space::XS);
    properties(ui, message);
}

/// The story, a sentence a line, with a line that joins them.
pub fn tell(ui: &mut Ui, cx: &Cx<'_>, vhost: &str, story: &[Chapter]) {
    let tk = tokens();
    for (at, chapter) in story.iter().enumerate() {
        let (icon, colour) = match chapter {
            Chapter::Published { .. } => (icons::SEND, tk.series[0]),
            Chapter::Died { reason, .. } => reason_mark(Some(reason)),
            Chapter::SentOn { .. } => (icons::SHUFFLE, tk.series[3]),
            Chapter::Here { .. } => (icons::INBOX, tk.accent),
            Chapter::Held { .. } => (icons::USERS, tk.warning),
        };
        let top = ui.cursor().min;
        ui.horizontal_top(|ui| {
            let (mark, _) = ui.allocate_exact_size(Vec2::splat(20.0), Sense::hover());
            ui.painter().circle_filled(mark.center(), 10.0, blend(tk.card, colour, 0.18));
            ui.painter().text(mark.center(), egui::Align2::CENTER_CENTER, icon, theme::icon(12.0), colour);
            ui.vertical(|ui| {
                ui.horizontal_wrapped(|ui| {
                    ui.spacing_mut().item_spacing.x = 4.0;
                    sentence(ui, cx, vhost, chapter);
                });
                ui.add_space(5.0);
            });
        });
        if at + 1 < story.len() {
            let x = top.x + 10.0;
            ui.painter().vline(
                x,
                (top.y + 22.0)..=(ui.cursor().top() - 2.0).max(top.y + 22.0),
                egui::Stroke::new(1.5, tk.border_strong),
            );
        }
    }
}

fn sentence(ui: &mut Ui, cx: &Cx<'_>, vhost: &str, chapter: &Chapter) {
    let exchange = |ui: &mut Ui, name: &str| {
        let shown = if name.is_empty() { t(DEFAULT_EXCHANGE) } else { name };
        if link(ui, shown).clicked() {
            cx.go(Route::exchange(vhost, name));
        }
    };
    let key = |ui: &mut Ui, key: &str| {
        let text = if key.is_empty() { t(WITHOUT_KEY).to_owned() } else { WITH_KEY.with(&[&key]) };
        ui.label(RichText::new(text).color(tokens().text_dim));
    };
    match chapter {
        Chapter::Published { exchange: name, routing_key } => {
            ui.label(t(PUBLISHED_TO));
            exchange(ui, name);
            key(ui, routing_key);
        }
        Chapter::Died { queue, reason, times, first_at } => {
            let said = match reason {
                Reason::Rejected => t(DIED_REJECTED).to_owned(),
                Reason::Expired => t(DIED_EXPIRED).to_owned(),
                Reason::MaxLength => t(DIED_MAXLEN).to_owned(),
                Reason::DeliveryLimit => t(DIED_LIMIT).to_owned(),
                Reason::Other(other) => DIED_OTHER.with(&[other]),
            };
            ui.label(said);
            if link(ui, queue).clicked() {
                cx.go(Route::queue(vhost, queue));
            }
            let mut more =
                if *times == 1 { t(TIMES_ONCE).to_owned() } else { TIMES.with(&[&format::count(*times)]) };
            if let Some(at) = first_at {
                more = FIRST_AT.with(&[&more, &format::date(*at)]);
            }
            ui.label(RichText::new(more).color(tokens().text_dim));
        }
        Chapter::SentOn { exchange: name, routing_key } => {
            ui.label(t(SENT_ON));
            exchange(ui, name);
            key(ui, routing_key);
        }
        Chapter::Here { queue } => {
            ui.label(t(HERE));
            if link(ui, queue).clicked() {
                cx.go(Route::queue(vhost, queue));
            }
            ui.label(RichText::new(t(NOW_WAITS)).color(tokens().text_dim));
        }
        Chapter::Held { queue, holder } => {
            ui.label(t(TAKEN_FROM));
            if link(ui, queue).clicked() {
                cx.go(Route::queue(vhost, queue));
            }
            ui.label(TAKEN_BY.with(&[&holder_name(holder)]));
            let connection = &holder.channel_details.connection_name;
            if link(ui, connection).clicked() {
                cx.go(Route::Connection { name: connection.clone() });
            }
            let held = format::duration(cx.now().saturating_sub(holder.since) / 1_000 * 1_000);
            ui.label(RichText::new(HELD_FOR.with(&[&held])).color(tokens().text_dim));
        }
    }
}

/// The body, in one of its forms.
pub fn body(ui: &mut Ui, cx: &Cx<'_>, state: &mut ViewState, message: &QueuedMessage) {
    let is_read = state.read.as_ref().is_some_and(|(id, payload)| {
        *id == message.id && payload.whole == message.payload_bytes.max(payload.bytes().len() as u64)
    });
    if !is_read {
        state.toggled.clear();
        state.read = Some((message.id.clone(), Payload::of(message)));
    }
    let Some((_, payload)) = &state.read else { return };
    ui.horizontal(|ui| {
        title(ui, t(BODY));
        faint(ui, format::bytes(payload.whole as f64));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if icon_button(ui, icons::COPY, t(COPY_BODY)).clicked() {
                cx.copy(message.payload.clone());
            }
        });
    });
    if payload.bytes().is_empty() {
        dim(ui, t(EMPTY_BODY));
        return;
    }
    let mut forms: Vec<(Form, &str)> = Vec::new();
    if payload.json().is_some() {
        forms.push((Form::Json, t(AS_JSON)));
    }
    if payload.text().is_some() {
        forms.push((Form::Text, t(AS_TEXT)));
    }
    forms.push((Form::Hex, t(AS_HEX)));
    let mut form =
        state.form.filter(|form| forms.iter().any(|(known, _)| known == form)).unwrap_or(payload.best_form());
    if tabs(ui, &mut form, &forms) {
        state.form = Some(form);
    }
    let tk = tokens();
    egui::Frame::new()
        .fill(tk.field)
        .stroke((1.0, tk.border))
        .corner_radius(theme::RADIUS_SMALL)
        .inner_margin(8)
        .show(ui, |ui| {
            ui.set_min_width(ui.available_width());
            match form {
                Form::Json => {
                    if let Some(json) = payload.json() {
                        show_tree(ui, &tree(json, &state.toggled), &mut state.toggled);
                    }
                }
                Form::Text => {
                    let text = payload.text().unwrap_or_default();
                    ScrollArea::both().id_salt("payload-text").max_height(320.0).show(ui, |ui| {
                        let shown: String = text.chars().take(TEXT_MAX).collect();
                        ui.add(
                            Label::new(RichText::new(shown).font(theme::mono()).color(tk.text))
                                .selectable(true)
                                .wrap(),
                        );
                    });
                }
                Form::Hex => hex(ui, payload),
            }
        });
    if payload.is_cut() {
        let have = format::bytes(payload.bytes().len() as f64);
        faint(ui, CUT.with(&[&have, &format::bytes(payload.whole as f64)]));
    }
}

/// Characters shown of a text.
const TEXT_MAX: usize = 20_000;

fn hex(ui: &mut Ui, payload: &Payload) {
    let height = ui.text_style_height(&egui::TextStyle::Monospace) + 2.0;
    ui.spacing_mut().item_spacing.y = 2.0;
    ScrollArea::both().id_salt("payload-hex").max_height(320.0).show_rows(
        ui,
        height,
        payload.hex_lines(),
        |ui, lines| {
            for line in lines {
                let text = RichText::new(payload.hex_line(line))
                    .font(egui::FontId::monospace(11.5))
                    .color(tokens().text);
                ui.add(Label::new(text).selectable(true).extend());
            }
        },
    );
}

fn show_tree(ui: &mut Ui, rows: &[TreeRow], toggled: &mut HashSet<String>) {
    // Rows are lower than what is usually pressed.
    ui.spacing_mut().item_spacing.y = 1.0;
    ui.spacing_mut().interact_size.y = 18.0;
    ui.spacing_mut().button_padding = Vec2::ZERO;
    ScrollArea::both().id_salt("payload-tree").max_height(360.0).show_rows(
        ui,
        19.0,
        rows.len(),
        |ui, shown| {
            for row in rows.get(shown).unwrap_or_default() {
                tree_row(ui, row, toggled);
            }
        },
    );
}

fn tree_row(ui: &mut Ui, row: &TreeRow, toggled: &mut HashSet<String>) {
    let tk = tokens();
    let mono = |text: String, colour: Color32| RichText::new(text).font(theme::mono()).color(colour);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        ui.set_height(18.0);
        ui.add_space(row.depth as f32 * 14.0);
        let branch = match &row.value {
            TreeValue::Object { fields, open } => Some((*open, FIELDS.with(&[fields]))),
            TreeValue::Array { items, open } => Some((*open, ITEMS.with(&[items]))),
            _ => None,
        };
        if let Some((open, count)) = branch {
            let icon = if open { icons::CHEVRON_DOWN } else { icons::CHEVRON_RIGHT };
            let name = if open { CLOSE_FIELD } else { OPEN_FIELD }.with(&[&row.name]);
            let text = RichText::new(icon).font(theme::icon(12.0)).color(tk.text_dim);
            let response = ui.add(egui::Button::new(text).frame(false).min_size(Vec2::new(14.0, 16.0)));
            let field = ui.add(Label::new(mono(row.name.clone(), tk.accent)).sense(Sense::click()));
            if named(response, &name).clicked() || field.clicked() {
                let path = row.path.clone();
                if !toggled.remove(&path) {
                    toggled.insert(path);
                }
            }
            faint(ui, count);
            return;
        }
        ui.add_space(18.0);
        if !row.name.is_empty() {
            ui.label(mono(format!("{}:", row.name), tk.accent));
        }
        let (text, colour) = match &row.value {
            TreeValue::Text(text) => {
                (format!("\"{}\"", leveret_admin_model::payload::one_line(text, 400)), tk.success)
            }
            TreeValue::Number(number) => (number.clone(), tk.series[0]),
            TreeValue::Bool(value) => (value.to_string(), tk.series[3]),
            TreeValue::Null => ("null".to_owned(), tk.text_faint),
            TreeValue::More(more) => (MORE_ITEMS.with(&[more]), tk.text_faint),
            TreeValue::Object { .. } | TreeValue::Array { .. } => (String::new(), tk.text),
        };
        ui.add(Label::new(mono(text, colour)).selectable(true).extend());
    });
}

/// Properties and headers, a line each; the deaths are told above.
pub fn properties(ui: &mut Ui, message: &QueuedMessage) {
    let mut lines: Vec<(String, &Json, bool)> = Vec::new();
    for (name, value) in &message.properties {
        if name != "headers" {
            lines.push((name.clone(), value, false));
        }
    }
    let headers = message.properties.get("headers").and_then(Json::as_object);
    for (name, value) in headers.into_iter().flatten() {
        if name != "x-death" {
            lines.push((name.clone(), value, true));
        }
    }
    if lines.is_empty() {
        faint(ui, t(NO_PROPERTIES));
        return;
    }
    let tk = tokens();
    egui::Grid::new("message-properties").num_columns(2).spacing(Vec2::new(space::M, 4.0)).show(ui, |ui| {
        for (name, value, is_header) in lines {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 4.0;
                if is_header {
                    ui.label(RichText::new(icons::TAG).font(theme::icon(11.0)).color(tk.text_faint));
                }
                let name = leveret_admin_model::payload::one_line(&name, 26);
                let response = ui.label(RichText::new(&name).color(tk.text_dim));
                response.widget_info(|| WidgetInfo::labeled(Role::Label, true, name.as_str()));
            });
            let text = match value {
                Json::String(text) => text.clone(),
                Json::Number(number) if name_is_time(number, &message.properties, value) => {
                    number.as_u64().map_or_else(
                        || number.to_string(),
                        |seconds| format::date(seconds.saturating_mul(1_000)),
                    )
                }
                other => other.to_string(),
            };
            let text = leveret_admin_model::payload::one_line(&text, 300);
            ui.add(
                Label::new(RichText::new(text).font(theme::mono()).color(tk.text)).selectable(true).wrap(),
            );
            ui.end_row();
        }
    });
}

/// True for the timestamp among the properties.
fn name_is_time(
    number: &serde_json::Number,
    properties: &leveret_protocol::admin::Arguments,
    value: &Json,
) -> bool {
    number.is_u64() && properties.get("timestamp").is_some_and(|timestamp| std::ptr::eq(timestamp, value))
}
