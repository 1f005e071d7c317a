//! Saved brokers: choosing one, and trying a new one step by step.

use eframe::egui::{RichText, ScrollArea, Ui};
use leveret_admin_model::intent::{Password, Step, StepResult};
use leveret_admin_model::settings::SavedBroker;
use leveret_admin_model::{Intent, Route};

use crate::cx::Cx;
use crate::text::{Text, common::*, t};
use crate::texts;
use crate::theme::{self, icons, space, tokens};
use crate::widgets::{
    badge, button, column_card, dim, faint, form, head, icon_button, panel, primary, title,
};

texts! {
    SAVED = "Saved" | "已保存";
    NEW = "Connect to a broker" | "连接到消息服务器";
    ADDRESS = "Address" | "地址";
    LABEL = "Name" | "名称";
    MARK = "Production: everything that loses data has to be typed out" | "生产环境：会丢失数据的操作须输入名称确认";
    ONLY_LOOK = "Read-only: nothing can be changed from here" | "只读：不允许任何更改";
    CONNECT = "Connect" | "连接";
    TEST = "Test" | "测试";
    FOUND = "A broker answers on this machine: {}" | "本机上有可用的消息服务器：{}";
    CONNECT_LOCAL = "Connect to it" | "连接";
    NO_BROKERS = "No broker is saved yet." | "尚未保存任何服务器。";
    FORGET = "Forget {}" | "删除 {}";
    EDIT = "Edit {}" | "编辑 {}";
    OPEN_BROKER = "Connect to {}" | "连接 {}";
    CONNECTED = "connected" | "已连接";
    WELCOME = "Leveret and RabbitMQ 3.8 or later, over their management address." | "支持 Leveret 以及 RabbitMQ 3.8 及以上版本（通过管理地址）。";
    STEP_NAME = "Finding the host" | "解析主机名";
    STEP_CONNECT = "Connecting" | "建立连接";
    STEP_TLS = "Securing the connection" | "建立安全连接";
    STEP_LOGIN = "Logging in" | "登录";
    STEP_VERSION = "Asking what it is" | "查询版本";
    PASSWORD_HINT = "The password is asked for again in the next session." | "下次会话需重新输入密码。";
    KEEP = "Keep the password in the system's keyring" | "将密码保存在系统密钥环中";
    NO_KEYRING = "There is no keyring here: the password is asked for in each session." | "此处没有可用的密钥环：每次会话都需输入密码。";
    TYPE_PASSWORD = "Type the password of {} at {}." | "请输入 {} 在 {} 的密码。";
}

/// What is typed here.
#[derive(Debug, Default)]
pub struct State {
    broker: Option<SavedBroker>,
    password: String,
    /// The one whose password was asked for.
    asked: Option<SavedBroker>,
}

pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    head(ui, t(BROKERS), t(WELCOME), |_| {});
    if state.asked != cx.state.asking {
        state.asked.clone_from(&cx.state.asking);
        if let Some(broker) = &state.asked {
            state.broker = Some(broker.clone());
            state.password.clear();
            ui.ctx().memory_mut(|memory| memory.request_focus(form::password_id()));
        }
    }
    ScrollArea::vertical().show(ui, |ui| {
        if cx.state.broker.is_none() {
            for (url, product) in &cx.state.local {
                local(state, ui, cx, url, product);
            }
        }
        ui.columns(2, |columns| {
            let [left, right] = columns else { return };
            saved(state, left, cx);
            edit(state, right, cx);
        });
    });
}

fn local(state: &mut State, ui: &mut Ui, cx: &Cx<'_>, url: &str, product: &str) {
    panel::note(ui, tokens().success, icons::SPARKLES, |ui| {
        let name = if product.is_empty() { url.to_owned() } else { format!("{product}, {url}") };
        ui.label(RichText::new(FOUND.with(&[&name])).color(tokens().text));
        if primary(ui, true, icons::PLUG, t(CONNECT_LOCAL)).clicked() {
            let broker = SavedBroker { url: url.to_owned(), ..SavedBroker::default() };
            state.broker = Some(broker.clone());
            cx.send(Intent::Connect(Box::new(broker), Password("guest".to_owned())));
        }
    });
}

fn saved(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    column_card(ui, |ui| {
        title(ui, t(SAVED));
        ui.add_space(space::XS);
        if cx.state.settings.brokers.is_empty() {
            dim(ui, t(NO_BROKERS));
        }
        for broker in &cx.state.settings.brokers {
            ui.separator();
            ui.horizontal(|ui| {
                let colour = tokens().series[usize::from(broker.colour) % tokens().series.len()];
                ui.label(RichText::new(icons::SERVER).font(theme::icon(18.0)).color(colour));
                ui.vertical(|ui| {
                    ui.set_max_width(ui.available_width() - BUTTONS);
                    ui.spacing_mut().item_spacing.y = 1.0;
                    ui.horizontal_wrapped(|ui| {
                        ui.label(RichText::new(broker.title()).font(theme::strong()).color(tokens().text));
                        if broker.production {
                            badge(ui, t(PRODUCTION), tokens().danger);
                        }
                        if broker.read_only {
                            badge(ui, t(READ_ONLY), tokens().warning);
                        }
                        if cx.state.broker.as_ref() == Some(broker) {
                            badge(ui, t(CONNECTED), tokens().success);
                        }
                    });
                    faint(ui, format!("{} · {}", broker.url, broker.user));
                });
                ui.with_layout(eframe::egui::Layout::right_to_left(eframe::egui::Align::Center), |ui| {
                    if icon_button(ui, icons::TRASH_2, &FORGET.with(&[&broker.title()])).clicked() {
                        cx.send(Intent::ForgetBroker(Box::new(broker.clone())));
                    }
                    if icon_button(ui, icons::PENCIL, &EDIT.with(&[&broker.title()])).clicked() {
                        state.broker = Some(broker.clone());
                    }
                    if icon_button(ui, icons::PLUG, &OPEN_BROKER.with(&[&broker.title()])).clicked() {
                        state.broker = Some(broker.clone());
                        cx.send(Intent::Open(Box::new(broker.clone())));
                    }
                });
            });
        }
    });
}

/// Width of the buttons of a saved broker.
const BUTTONS: f32 = 124.0;

fn edit(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    let broker = state.broker.get_or_insert_with(SavedBroker::default);
    column_card(ui, |ui| {
        title(ui, t(NEW));
        ui.add_space(space::S);
        if let Some(asked) = &cx.state.asking {
            panel::note(ui, tokens().accent, icons::KEY, |ui| {
                ui.label(TYPE_PASSWORD.with(&[&asked.user, &asked.title()]));
            });
        }
        form::line(ui, t(ADDRESS), &mut broker.url, "http://127.0.0.1:15672");
        form::line(ui, t(USER), &mut broker.user, "guest");
        let entered = form::password(ui, t(PASSWORD), &mut state.password);
        form::line(ui, t(LABEL), &mut broker.name, "");
        ui.add_space(space::XS);
        ui.checkbox(&mut broker.production, t(MARK));
        ui.checkbox(&mut broker.read_only, t(ONLY_LOOK));
        ui.checkbox(&mut broker.keep_password, t(KEEP));
        ui.add_space(space::S);
        let enter = entered.lost_focus() && ui.input(|input| input.key_pressed(eframe::egui::Key::Enter));
        ui.horizontal(|ui| {
            if primary(ui, true, icons::PLUG, t(CONNECT)).clicked() || enter {
                cx.send(Intent::Connect(Box::new(broker.clone()), Password(state.password.clone())));
                cx.send(Intent::Go(Route::Overview));
            }
            if button(ui, true, icons::FLASK_CONICAL, t(TEST)).clicked() {
                cx.send(Intent::TestConnection(Box::new(broker.clone()), Password(state.password.clone())));
            }
        });
        if broker.keep_password {
            if let Some(reason) = &cx.state.no_keyring {
                dim(ui, t(NO_KEYRING)).on_hover_text(reason);
            }
        } else {
            faint(ui, t(PASSWORD_HINT));
        }
        steps(ui, cx);
    });
}

fn steps(ui: &mut Ui, cx: &Cx<'_>) {
    if cx.state.test.is_empty() {
        return;
    }
    ui.separator();
    for (step, result) in &cx.state.test {
        let tk = tokens();
        let (icon, colour, detail) = match result {
            StepResult::Running => (icons::LOADER_CIRCLE, tk.text_dim, ""),
            StepResult::Passed(detail) => (icons::CIRCLE_CHECK, tk.success, detail.as_str()),
            StepResult::Failed(problem) => (icons::CIRCLE_X, tk.danger, problem.detail.as_str()),
        };
        ui.horizontal_wrapped(|ui| {
            ui.label(RichText::new(icon).font(theme::icon(15.0)).color(colour));
            ui.label(RichText::new(t(step_name(*step))).color(tk.text));
            dim(ui, detail);
        });
        if let StepResult::Failed(problem) = result {
            let (what, help) = panel::words(problem.kind);
            dim(ui, format!("{}. {}", t(what), t(help)));
        }
    }
}

fn step_name(step: Step) -> Text {
    match step {
        Step::Name => STEP_NAME,
        Step::Connect => STEP_CONNECT,
        Step::Tls => STEP_TLS,
        Step::Login => STEP_LOGIN,
        Step::Version => STEP_VERSION,
    }
}
