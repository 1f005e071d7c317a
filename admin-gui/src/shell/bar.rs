//! The bar at the top: which broker, which vhost, what happens, what was said.

use eframe::egui::{
    Align, Button, CornerRadius, Frame, Layout, Margin, Panel, Popup, Response, RichText, Sense, Stroke, Ui,
    Vec2,
};
use leveret_admin_model::state::Link;
use leveret_admin_model::{Feed, Intent, Route, format, query};

use super::panes::{Pane, door};
use super::{Decision, Shell};
use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, icons, space, tokens};
use crate::widgets::{icon_button, icon_button_if, named, panel};

texts! {
    SEARCH_BUTTON = "Find anything" | "查找";
    ALL_VHOSTS = "All vhosts" | "全部虚拟主机";
    CHOOSE_VHOST = "Choose a vhost" | "选择虚拟主机";
    NOT_CONNECTED = "Not connected" | "未连接";
    CHOOSE_BROKER = "Choose a broker" | "选择消息服务器";
    LIVE = "live" | "实时";
    LIVE_WHY = "The broker tells what changes as it happens." | "服务器实时推送变化。";
    POLLED = "polled every {} s" | "每 {} 秒轮询";
    INTERRUPTED = "no live feed, polled every {} s" | "实时推送中断，每 {} 秒轮询";
    POLLED_WHY = "This broker has no live feed: it is asked again and again." | "此服务器没有实时推送，因此定期查询。";
    POLLED_MEANWHILE = "The live feed is interrupted: it is asked again and again meanwhile." | "实时推送已中断，期间改为定期查询。";
    CONNECTING = "connecting…" | "正在连接…";
    LOST = "lost" | "已断开";
    NOTICES = "Notices" | "通知";
    NOTICES_NEW = "Notices, {} new" | "通知，{} 条新";
    LOST_FOR = "{} for {}. What you see is from before that." | "{}，已持续 {}。显示的是断开前的数据。";
    TRYING_IN = "Trying again in {}." | "{} 后重试。";
    TRYING = "Trying again…" | "正在重试…";
}

pub fn ui(shell: &mut Shell, ui: &mut Ui, cx: &Cx<'_>, decision: &mut Option<Decision>) {
    let tk = tokens();
    let frame = Frame::new().fill(tk.panel).inner_margin(Margin::symmetric(10, 7));
    let response = Panel::top("bar").frame(frame).show_separator_line(true).show(ui, |ui| {
        ui.horizontal(|ui| {
            ui.set_min_height(30.0);
            if icon_button_if(ui, cx.state.history.can_go_back(), icons::CHEVRON_LEFT, t(BACK)).clicked() {
                cx.send(Intent::Back);
            }
            if icon_button_if(ui, cx.state.history.can_go_forward(), icons::CHEVRON_RIGHT, t(FORWARD))
                .clicked()
            {
                cx.send(Intent::Forward);
            }
            ui.add_space(space::XS);
            chip(ui, cx);
            if cx.state.broker.is_some() {
                vhosts(ui, cx);
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let unseen = cx.state.unseen;
                let (icon, name) = if unseen > 0 {
                    (icons::BELL, NOTICES_NEW.with(&[&unseen]))
                } else {
                    (icons::BELL, t(NOTICES).to_owned())
                };
                let bell = icon_button(ui, icon, &name);
                if unseen > 0 {
                    let at = bell.rect.right_top() + Vec2::new(-8.0, 8.0);
                    ui.painter().circle_filled(at, 4.0, tk.accent);
                }
                if bell.clicked() {
                    shell.notices_open = !shell.notices_open;
                    *decision = Some(Decision::NoticesSeen);
                }
                if icon_button(ui, icons::SETTINGS, t(SETTINGS)).clicked() {
                    cx.go(Route::Settings);
                }
                if icon_button(ui, icons::REFRESH_CW, t(REFRESH)).clicked() {
                    cx.send(Intent::Refresh);
                }
                link_state(ui, cx);
                ui.add_space(space::S);
                search(shell, ui);
            });
        });
    });
    if cx.state.is_production() {
        let rect = response.response.rect;
        ui.painter().hline(rect.x_range(), rect.top() + 1.5, Stroke::new(3.0, tk.danger));
    }
}

/// Which broker this is: its colour, its name, and whether it is the one where mistakes are dear.
fn chip(ui: &mut Ui, cx: &Cx<'_>) {
    let tk = tokens();
    let Some(broker) = &cx.state.broker else {
        if crate::widgets::button(ui, true, icons::SERVER, t(NOT_CONNECTED)).clicked() {
            cx.go(Route::Connect);
        }
        return;
    };
    let colour =
        if broker.production { tk.danger } else { tk.series[usize::from(broker.colour) % tk.series.len()] };
    let label =
        RichText::new(format!("{}  {}", icons::SERVER, broker.title())).font(theme::strong()).color(tk.text);
    let button = Button::new(label)
        .fill(theme::blend(tk.panel, colour, 0.14))
        .stroke(Stroke::new(1.0, theme::blend(tk.panel, colour, 0.6)))
        .corner_radius(CornerRadius::same(theme::RADIUS_SMALL));
    let product = cx.state.product.as_ref();
    let about = product
        .map_or(String::new(), |product| format!("{} {} · {}", product.name, product.version, product.node));
    let name = format!("{}: {}", t(CHOOSE_BROKER), broker.title());
    if short(ui, button, &name).on_hover_text(format!("{}\n{about}", broker.title())).clicked() {
        cx.go(Route::Connect);
    }
    if broker.production {
        crate::widgets::badge(ui, t(PRODUCTION), tk.danger);
    }
    if broker.read_only {
        crate::widgets::badge(ui, t(READ_ONLY), tk.warning);
    }
}

/// A button whose text is cut where it would leave no room for what is beside it.
fn short(ui: &mut Ui, button: Button<'_>, name: &str) -> Response {
    let width = (ui.available_width() * 0.3).max(100.0);
    let scope = ui.scope(|ui| {
        ui.set_max_width(width);
        named(ui.add(button.truncate()), name)
    });
    scope.inner
}

fn vhosts(ui: &mut Ui, cx: &Cx<'_>) {
    let shown = cx.state.vhost.as_deref().unwrap_or(t(ALL_VHOSTS));
    let label = RichText::new(format!("{}  {}", shown, icons::CHEVRON_DOWN)).color(tokens().text_dim);
    let button = Button::new(label).frame_when_inactive(false);
    let button = short(ui, button, &format!("{}: {shown}", t(CHOOSE_VHOST)));
    Popup::menu(&button).show(|ui| {
        ui.set_min_width(180.0);
        if ui.selectable_label(cx.state.vhost.is_none(), t(ALL_VHOSTS)).clicked() {
            cx.send(Intent::SelectVhost(None));
        }
        ui.separator();
        for vhost in cx.read(&query::vhosts()).or_default().iter() {
            let selected = cx.state.vhost.as_deref() == Some(vhost.name.as_str());
            if ui.selectable_label(selected, &vhost.name).clicked() {
                cx.send(Intent::SelectVhost(Some(vhost.name.clone())));
            }
        }
    });
}

fn search(shell: &mut Shell, ui: &mut Ui) {
    let tk = tokens();
    let label = RichText::new(format!("{}  {}", icons::SEARCH, t(SEARCH_BUTTON))).color(tk.text_faint);
    let shortcut = RichText::new("Ctrl+K").font(theme::small()).color(tk.text_faint);
    let room = ui.available_width();
    let response = if room < SEARCH {
        icon_button(ui, icons::SEARCH, t(SEARCH_BUTTON))
    } else {
        let size = Vec2::new(room.min(220.0), 28.0);
        named(ui.add(Button::new(label).right_text(shortcut).fill(tk.field).min_size(size)), t(SEARCH_BUTTON))
    };
    door(ui.ctx(), Pane::Bar, response.id);
    if response.clicked() {
        shell.palette.toggle();
    }
}

/// With less room than this the search is an icon.
const SEARCH: f32 = 200.0;

fn link_state(ui: &mut Ui, cx: &Cx<'_>) {
    let tk = tokens();
    let overview = cx.state.store.peek::<leveret_protocol::admin::Overview>(&query::overview().key);
    let late = panel::overdue(ui, cx, &overview).map(|waited| NO_ANSWER.with(&[&panel::seconds(waited)]));
    let every = cx.state.polled_every.div_ceil(1_000).max(1);
    let polled = || POLLED.with(&[&every]);
    let (colour, text, why) = match (&cx.state.link, &cx.state.feed) {
        (Link::None, _) => return,
        (Link::Connecting, _) => (tk.warning, t(CONNECTING).to_owned(), String::new()),
        (Link::Live, _) if late.is_some() => (tk.warning, late.unwrap_or_default(), String::new()),
        (Link::Live, Feed::Live) => (tk.success, t(LIVE).to_owned(), t(LIVE_WHY).to_owned()),
        (Link::Live, Feed::None) => (tk.success, polled(), t(POLLED_WHY).to_owned()),
        (Link::Live, Feed::Opening) => (tk.success, polled(), String::new()),
        (Link::Live, Feed::Broken { problem, .. }) => (
            tk.warning,
            INTERRUPTED.with(&[&every]),
            format!("{}\n{}: {}", t(POLLED_MEANWHILE), problem.request, problem.detail),
        ),
        (Link::Lost { .. }, _) => (tk.danger, t(LOST).to_owned(), String::new()),
    };
    let label = ui.label(RichText::new(text).font(theme::small()).color(tk.text_dim));
    if !why.is_empty() {
        label.on_hover_text(why);
    }
    let (rect, _) = ui.allocate_exact_size(Vec2::splat(8.0), Sense::hover());
    ui.painter().circle_filled(rect.center(), 3.5, colour);
}

/// A line below the bar while the broker is lost.
pub fn lost(ui: &mut Ui, cx: &Cx<'_>) {
    let Link::Lost { problem, since, retry_at } = &cx.state.link else { return };
    let frame =
        Frame::new().fill(tokens().window).inner_margin(Margin { left: 20, right: 20, top: 8, bottom: 0 });
    Panel::top("lost").frame(frame).show_separator_line(false).show(ui, |ui| {
        panel::note(ui, tokens().danger, icons::CLOUD_OFF, |ui| {
            let (what, help) = panel::words(problem.kind);
            let age = format::duration(cx.now().saturating_sub(*since) / 1_000 * 1_000);
            ui.label(RichText::new(LOST_FOR.with(&[&t(what), &age])).color(tokens().text))
                .on_hover_text(format!("{}\n{}\n{}", t(help), problem.request, problem.detail));
            match retry_at.map(|at| at.saturating_sub(cx.now())) {
                Some(0) => crate::widgets::dim(ui, t(TRYING)),
                Some(left) => crate::widgets::dim(
                    ui,
                    TRYING_IN.with(&[&format::duration(left.div_ceil(1_000) * 1_000)]),
                ),
                None => crate::widgets::dim(ui, &problem.detail),
            };
            if crate::widgets::button(ui, true, icons::REFRESH_CW, t(RETRY)).clicked() {
                cx.send(Intent::Refresh);
            }
            if problem.kind == leveret_admin_model::ProblemKind::Unauthorised
                && crate::widgets::button(ui, true, icons::KEY, t(BROKERS)).clicked()
            {
                cx.go(Route::Connect);
            }
        });
    });
    ui.ctx().request_repaint_after(std::time::Duration::from_secs(1));
}
