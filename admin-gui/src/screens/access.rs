//! Who may do what: users and their permissions, vhosts, and limits of both.

use std::sync::Arc;

use eframe::egui::{RichText, ScrollArea, Ui};
use leveret_admin_model::filter::Cell;
use leveret_admin_model::index::Sort;
use leveret_admin_model::{Action, Danger, format, lookups, query};
use leveret_protocol::admin::{Arguments, Permission, User, Vhost};
use serde_json::Value as Json;

use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, icons, space, tokens};
use crate::widgets::table::{CellPainter, Paint, Table, TableColumn, TableState, column};
use crate::widgets::{button, danger_button, faint, form, head, icon_button, panel, primary, tabs, title};

texts! {
    USERS = "Users" | "用户";
    VHOSTS = "Vhosts" | "虚拟主机";
    TAGS = "Tags" | "标签";
    TAGS_HINT = "administrator, monitoring, policymaker, management" | "administrator, monitoring, policymaker, management";
    MAY_ENTER = "May enter" | "可访问";
    NOTHING = "no vhost" | "无";
    HAS_PASSWORD = "Password" | "密码";
    NEW_USER = "New user" | "新建用户";
    CHANGE = "Change…" | "修改…";
    USER_TITLE = "User" | "用户";
    NEW_PASSWORD = "New password" | "新密码";
    KEEP_PASSWORD = "Without one, the password stays as it is." | "留空则保留原密码。";
    NO_PASSWORD = "Without one, nobody logs in with a password as this user." | "留空则该用户无法使用密码登录。";
    SAVE_USER = "Save the user" | "保存用户";
    SAVED_USER = "User saved: {}" | "已保存用户：{}";
    SAVE_USER_WHAT = "Save user {}" | "保存用户 {}";
    DELETE_USER = "Delete user {}?" | "删除用户 {}？";
    DELETE_USER_LOSS = "They cannot log in any more, and their permissions go with them. Their connections are closed." | "该用户将无法登录，其权限一并删除，连接将被关闭。";
    DELETE_USER_VERB = "Delete the user" | "删除用户";
    DELETED_USER = "User deleted: {}" | "已删除用户：{}";
    PERMISSIONS = "Permissions" | "权限";
    CONFIGURE = "Configure" | "配置";
    WRITE = "Write" | "写入";
    READ = "Read" | "读取";
    PERMISSION_HELP = "Regular expressions on names. .* is everything, an empty one nothing." | "针对名称的正则表达式。.* 表示全部，留空表示无。";
    GRANT = "Grant" | "授权";
    GRANTED = "{} may now work in {}" | "{} 现可访问 {}";
    GRANT_WHAT = "Grant {} permissions in {}" | "授予 {} 在 {} 的权限";
    REVOKE = "Take {}'s permissions in {} away" | "撤销 {} 在 {} 的权限";
    REVOKED = "{} may no longer enter {}" | "{} 不再能访问 {}";
    EDIT_PERMISSION = "Edit the permissions in {}" | "编辑 {} 的权限";
    LIMITS = "Limits" | "限制";
    MAX_CONNECTIONS = "Connections" | "连接数";
    MAX_CHANNELS = "Channels" | "信道数";
    MAX_QUEUES = "Queues" | "队列数";
    NO_LIMIT_HINT = "no limit" | "不限";
    SET_LIMITS = "Set the limits" | "设置限制";
    LIMITED = "Limits of {} are set" | "已设置 {} 的限制";
    LIMIT_WHAT = "Set limits of {}" | "设置 {} 的限制";

    NEW_VHOST = "New vhost" | "新建虚拟主机";
    VHOST_TITLE = "Vhost" | "虚拟主机";
    DESCRIPTION = "Description" | "描述";
    SAVE_VHOST = "Save the vhost" | "保存虚拟主机";
    SAVED_VHOST = "Vhost saved: {}" | "已保存虚拟主机：{}";
    SAVE_VHOST_WHAT = "Save vhost {}" | "保存虚拟主机 {}";
    DELETE_VHOST = "Delete vhost {}?" | "删除虚拟主机 {}？";
    DELETE_VHOST_LOSS = "Everything in it goes: queues with {} {message|messages}, exchanges, bindings, permissions. Its connections are closed." | "其中所有内容将被删除：含 {} 条消息的队列、交换机、绑定和权限，连接将被关闭。";
    DELETE_VHOST_VERB = "Delete the vhost" | "删除虚拟主机";
    DELETED_VHOST = "Vhost deleted: {}" | "已删除虚拟主机：{}";
    SHOW_ONLY = "Show only this one" | "仅显示此虚拟主机";
}

/// What the screen remembers.
#[derive(Debug, Default)]
pub struct State {
    tab: Tab,
    users: TableState,
    vhosts: TableState,
    user: Option<UserForm>,
    vhost: Option<VhostForm>,
    /// Users with the vhosts that they may enter, and what they were made of.
    rows: (Arc<Vec<UserRow>>, (u64, u64, u64)),
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Tab {
    #[default]
    Users,
    Vhosts,
}

/// A user with what they may.
#[derive(Debug, Clone)]
struct UserRow {
    user: User,
    permissions: Vec<Permission>,
    limits: Arguments,
}

#[derive(Debug, Default)]
struct UserForm {
    known: Option<UserRow>,
    name: String,
    password: String,
    tags: String,
    permission: (String, String, String, String),
    limits: (String, String),
    sent: form::Sent,
}

#[derive(Debug, Default)]
struct VhostForm {
    is_new: bool,
    name: String,
    description: String,
    tags: String,
    limits: (String, String),
    /// Those that it has.
    known: Arguments,
    sent: form::Sent,
}

const USER_COLUMNS: &[TableColumn<UserRow>] = &[
    column("name", NAME, 180.0, Paint::Link, |row| Cell::text(row.user.name.as_str())),
    column("tags", TAGS, 200.0, Paint::Custom(user_tags), |row| Cell::text(row.user.tags.join(" "))),
    column("vhosts", MAY_ENTER, 260.0, Paint::Text, |row| {
        let names: Vec<&str> = row.permissions.iter().map(|permission| permission.vhost.as_str()).collect();
        Cell::text(if names.is_empty() { t(NOTHING).to_owned() } else { names.join(", ") })
    }),
    column("password", HAS_PASSWORD, 90.0, Paint::Text, |row| {
        Cell::text(if row.user.password_hash.is_empty() { t(NO) } else { t(YES) })
    }),
    column("limits", LIMITS, 220.0, Paint::Mono, |row| Cell::text(limits_text(&row.limits))),
];

fn user_tags(cell: &CellPainter<'_>, row: &UserRow) {
    let tk = tokens();
    let colour = |tag: &str| if tag == "administrator" { tk.warning } else { tk.text_dim };
    cell.badges(row.user.tags.iter().map(|tag| (tag.as_str(), colour(tag))));
}

fn limits_text(limits: &Arguments) -> String {
    let parts: Vec<String> = limits.iter().map(|(name, value)| format!("{name}={value}")).collect();
    parts.join(" ")
}

const VHOST_COLUMNS: &[TableColumn<Vhost>] = &[
    column("name", NAME, 200.0, Paint::Link, |vhost| Cell::text(vhost.name.as_str())),
    column("description", DESCRIPTION, 260.0, Paint::Text, |vhost| Cell::text(vhost.description.as_str())),
    column("tags", TAGS, 140.0, Paint::Text, |vhost| Cell::text(vhost.tags.join(" "))),
    column("ready", READY, 100.0, Paint::Count, |vhost| Cell::count(vhost.totals.messages_ready)),
    column("unacked", UNACKED, 100.0, Paint::Count, |vhost| {
        Cell::count(vhost.totals.messages_unacknowledged)
    }),
    column("publish", PUBLISH_RATE, 90.0, Paint::Rate, |vhost| {
        Cell::number(vhost.message_stats.publish_details.per_second())
    }),
];

pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    let tab = state.tab;
    let mut create = false;
    head(ui, t(ACCESS), "", |ui| {
        let name = if tab == Tab::Users { NEW_USER } else { NEW_VHOST };
        create = primary(ui, cx.may_write(), icons::PLUS, t(name)).clicked();
    });
    if create && tab == Tab::Users {
        state.user = Some(UserForm::default());
    } else if create {
        state.vhost = Some(VhostForm { is_new: true, ..VhostForm::default() });
    }
    tabs(ui, &mut state.tab, &[(Tab::Users, t(USERS)), (Tab::Vhosts, t(VHOSTS))]);
    ui.add_space(space::XS);
    match state.tab {
        Tab::Users => users(state, ui, cx),
        Tab::Vhosts => vhosts(state, ui, cx),
    }
    if let Some(mut form) = state.user.take()
        && form.ui(ui, cx)
    {
        state.user = Some(form);
    }
    if let Some(mut form) = state.vhost.take()
        && form.ui(ui, cx)
    {
        state.vhost = Some(form);
    }
}

fn users(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    let answer = cx.read(&lookups::users());
    let (permissions, limits) = (cx.read(&lookups::permissions()), cx.read(&lookups::user_limits()));
    let versions = (answer.version(), permissions.version(), limits.version());
    panel::partial(ui, cx, &answer, &[permissions.problem(), limits.problem()]);
    panel::remote(ui, cx, &answer, |ui, users| {
        if state.rows.1 != versions {
            let (permissions, limits) = (permissions.or_default(), limits.or_default());
            let row = |user: &User| UserRow {
                user: user.clone(),
                permissions: permissions
                    .iter()
                    .filter(|permission| permission.user == user.name)
                    .cloned()
                    .collect(),
                limits: limits
                    .iter()
                    .find(|limits| limits.user == user.name)
                    .map_or_else(Arguments::new, |limits| limits.value.clone()),
            };
            state.rows = (Arc::new(users.iter().map(row).collect()), versions);
            if let Some(form) = &mut state.user
                && let Some(known) = &form.known
            {
                form.known = state.rows.0.iter().find(|row| row.user.name == known.user.name).cloned();
            }
        }
        let rows = Arc::clone(&state.rows.0);
        let (mut change, mut delete) = (None, false);
        let key = |row: &UserRow| row.user.name.clone();
        let table = Table {
            id: "users",
            noun: USERS,
            columns: USER_COLUMNS,
            rows: &rows,
            version: versions.0 + versions.1 + versions.2,
            key,
            scope: ("", &|_| true),
            sort: Sort::ascending("name"),
            below: 0.0,
        };
        let answer = table.show(ui, cx, &mut state.users, |ui, table| {
            let one = rows.iter().position(|row| table.selection.contains(&key(row)));
            if button(ui, cx.may_write() && one.is_some(), icons::PENCIL, t(CHANGE)).clicked() {
                change = one;
            }
            delete =
                danger_button(ui, cx.may_write() && one.is_some(), icons::TRASH_2, t(DELETE_DOTS)).clicked();
        });
        if let Some(row) = answer.opened.or(change).and_then(|at| rows.get(at)) {
            state.user = Some(UserForm::of(row));
        }
        if (delete || answer.delete) && cx.may_write() {
            let names: Vec<String> =
                rows.iter().map(key).filter(|name| state.users.selection.contains(name)).collect();
            if names.is_empty() {
                return;
            }
            let requests = names.iter().map(|name| lookups::delete_user(name)).collect();
            let shown = names.join(", ");
            cx.ask(Danger {
                title: DELETE_USER.with(&[&shown]),
                loss: t(DELETE_USER_LOSS).to_owned(),
                objects: names,
                verb: t(DELETE_USER_VERB).to_owned(),
                type_name: None,
                action: Action::all(DELETE_USER.with(&[&shown]), DELETED_USER.with(&[&shown]), requests),
            });
        }
    });
}

fn vhosts(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    let answer = cx.read(&query::vhosts());
    let limits = cx.read(&lookups::vhost_limits());
    panel::partial(ui, cx, &answer, &[limits.problem()]);
    let limits = limits.or_default();
    let (version, list) = (answer.version(), answer.value.clone());
    panel::remote(ui, cx, &answer, |ui, _| {
        let Some(list) = list else { return };
        let (mut change, mut delete) = (None, false);
        let key = |vhost: &Vhost| vhost.name.clone();
        let table = Table {
            id: "vhosts",
            noun: VHOSTS,
            columns: VHOST_COLUMNS,
            rows: &list,
            version,
            key,
            scope: ("", &|_| true),
            sort: Sort::ascending("name"),
            below: 0.0,
        };
        let answer = table.show(ui, cx, &mut state.vhosts, |ui, table| {
            let one = list.iter().position(|vhost| table.selection.contains(&vhost.name));
            if button(ui, one.is_some(), icons::EYE, t(SHOW_ONLY)).clicked() {
                let vhost = one.and_then(|at| list.get(at)).map(|vhost| vhost.name.clone());
                cx.send(leveret_admin_model::Intent::SelectVhost(vhost));
            }
            if button(ui, cx.may_write() && one.is_some(), icons::PENCIL, t(CHANGE)).clicked() {
                change = one;
            }
            delete =
                danger_button(ui, cx.may_write() && one.is_some(), icons::TRASH_2, t(DELETE_DOTS)).clicked();
        });
        if let Some(vhost) = answer.opened.or(change).and_then(|at| list.get(at)) {
            let known = limits.iter().find(|limits| limits.vhost == vhost.name);
            let limit = |name: &str| {
                known.and_then(|limits| limits.value.get(name)).map_or_else(String::new, Json::to_string)
            };
            state.vhost = Some(VhostForm {
                is_new: false,
                name: vhost.name.clone(),
                description: vhost.description.clone(),
                tags: vhost.tags.join(", "),
                limits: (limit("max-connections"), limit("max-queues")),
                known: known.map(|limits| limits.value.clone()).unwrap_or_default(),
                sent: form::Sent::default(),
            });
        }
        if let (true, true, Some(vhost)) = (
            delete || answer.delete,
            cx.may_write(),
            list.iter().find(|vhost| state.vhosts.selection.contains(&vhost.name)),
        ) {
            let name = &vhost.name;
            cx.ask(Danger {
                title: DELETE_VHOST.with(&[name]),
                loss: DELETE_VHOST_LOSS.with(&[&format::count(vhost.totals.messages)]),
                objects: Vec::new(),
                verb: t(DELETE_VHOST_VERB).to_owned(),
                type_name: Some(name.clone()),
                action: Action::new(
                    DELETE_VHOST.with(&[name]),
                    DELETED_VHOST.with(&[name]),
                    lookups::delete_vhost(name),
                ),
            });
        }
    });
}

/// A limit as typed: `None` is none.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

impl UserForm {
    fn of(row: &UserRow) -> UserForm {
        let limit = |name: &str| row.limits.get(name).map_or_else(String::new, Json::to_string);
        UserForm {
            name: row.user.name.clone(),
            tags: row.user.tags.join(", "),
            limits: (limit("max-connections"), limit("max-channels")),
            known: Some(row.clone()),
            ..UserForm::default()
        }
    }

    /// Draws it; false when it is done with.
    fn ui(&mut self, ui: &Ui, cx: &Cx<'_>) -> bool {
        if self.sent.is_taken(cx) {
            return false;
        }
        let answer = form::dialog(ui, "user-form", t(USER_TITLE), 600.0, |ui| {
            let height = (ui.ctx().content_rect().height() - 220.0).max(240.0);
            ScrollArea::vertical().max_height(height).show(ui, |ui| {
                if let Some(known) = &self.known {
                    form::row(ui, t(NAME), |ui| {
                        ui.label(RichText::new(&known.user.name).font(theme::strong()))
                    });
                } else {
                    form::line(ui, t(NAME), &mut self.name, "");
                }
                form::password(ui, t(NEW_PASSWORD), &mut self.password);
                form::row(ui, "", |ui| {
                    faint(ui, t(if self.known.is_some() { KEEP_PASSWORD } else { NO_PASSWORD }))
                });
                form::line(ui, t(TAGS), &mut self.tags, t(TAGS_HINT));
                if let Some(known) = self.known.clone() {
                    self.permissions(ui, cx, &known);
                    ui.add_space(space::M);
                    title(ui, t(LIMITS));
                    form::line(ui, t(MAX_CONNECTIONS), &mut self.limits.0, t(NO_LIMIT_HINT));
                    form::line(ui, t(MAX_CHANNELS), &mut self.limits.1, t(NO_LIMIT_HINT));
                    form::row(ui, "", |ui| {
                        if button(ui, cx.may_write(), icons::GAUGE, t(SET_LIMITS)).clicked() {
                            let typed =
                                [("max-connections", &self.limits.0), ("max-channels", &self.limits.1)];
                            let requests = typed
                                .into_iter()
                                .map(|(name, text)| (name, limit(text)))
                                // One that there is not cannot be taken away.
                                .filter(|(name, value)| value.is_some() || known.limits.contains_key(*name))
                                .map(|(name, value)| lookups::limit(false, &self.name, name, value))
                                .collect();
                            cx.act(Action::all(
                                LIMIT_WHAT.with(&[&self.name]),
                                LIMITED.with(&[&self.name]),
                                requests,
                            ));
                        }
                    });
                }
            });
            let ready = cx.may_write() && !self.name.trim().is_empty();
            let done = self.sent.buttons(ui, ready, icons::CHECK, t(SAVE_USER));
            if done == Some(true) {
                let name = self.name.trim();
                let tags: Vec<&str> =
                    self.tags.split([',', ' ']).map(str::trim).filter(|tag| !tag.is_empty()).collect();
                let password = (!self.password.is_empty()).then_some(self.password.as_str());
                let known = self.known.as_ref().map(|row| &row.user);
                let request = lookups::put_user(name, &tags.join(","), password, known);
                let action = Action::new(SAVE_USER_WHAT.with(&[&name]), SAVED_USER.with(&[&name]), request);
                self.sent.send(cx, action);
            }
            done
        });
        answer != Some(false)
    }

    fn permissions(&mut self, ui: &mut Ui, cx: &Cx<'_>, known: &UserRow) {
        let tk = tokens();
        ui.add_space(space::M);
        title(ui, t(PERMISSIONS));
        faint(ui, t(PERMISSION_HELP));
        for permission in &known.permissions {
            let (user, vhost) = (&permission.user, &permission.vhost);
            ui.horizontal(|ui| {
                ui.label(RichText::new(vhost).font(theme::strong()).color(tk.text));
                for (name, pattern) in
                    [(CONFIGURE, &permission.configure), (WRITE, &permission.write), (READ, &permission.read)]
                {
                    faint(ui, t(name));
                    let shown = if pattern.is_empty() { "–" } else { pattern };
                    ui.label(RichText::new(shown).font(theme::mono()).color(tk.text_dim));
                }
                if icon_button(ui, icons::PENCIL, &EDIT_PERMISSION.with(&[vhost])).clicked() {
                    self.permission = (
                        vhost.clone(),
                        permission.configure.clone(),
                        permission.write.clone(),
                        permission.read.clone(),
                    );
                }
                if icon_button(ui, icons::X, &REVOKE.with(&[user, vhost])).clicked() {
                    let undo = Action::new(
                        GRANT_WHAT.with(&[user, vhost]),
                        GRANTED.with(&[user, vhost]),
                        lookups::put_permission(permission),
                    );
                    let request = lookups::delete_permission(vhost, user);
                    cx.act(
                        Action::new(REVOKE.with(&[user, vhost]), REVOKED.with(&[user, vhost]), request)
                            .undo(undo),
                    );
                }
            });
        }
        form::line(ui, t(VHOST), &mut self.permission.0, "/");
        form::line(ui, t(CONFIGURE), &mut self.permission.1, ".*");
        form::line(ui, t(WRITE), &mut self.permission.2, ".*");
        form::line(ui, t(READ), &mut self.permission.3, ".*");
        form::row(ui, "", |ui| {
            let (vhost, configure, write, read) = &self.permission;
            let is_regex = |text: &String| regex::Regex::new(text).is_ok();
            let ready = !vhost.is_empty() && [configure, write, read].into_iter().all(is_regex);
            if button(ui, cx.may_write() && ready, icons::KEY, t(GRANT)).clicked() {
                let permission = Permission {
                    user: self.name.clone(),
                    vhost: vhost.clone(),
                    configure: configure.clone(),
                    write: write.clone(),
                    read: read.clone(),
                };
                let what = (GRANT_WHAT.with(&[&self.name, vhost]), GRANTED.with(&[&self.name, vhost]));
                cx.act(Action::new(what.0, what.1, lookups::put_permission(&permission)));
            }
        });
    }
}

impl VhostForm {
    /// Draws it; false when it is done with.
    fn ui(&mut self, ui: &Ui, cx: &Cx<'_>) -> bool {
        if self.sent.is_taken(cx) {
            return false;
        }
        let answer = form::dialog(ui, "vhost-form", t(VHOST_TITLE), 560.0, |ui| {
            if self.is_new {
                form::line(ui, t(NAME), &mut self.name, "");
            } else {
                form::row(ui, t(NAME), |ui| ui.label(RichText::new(&self.name).font(theme::strong())));
            }
            form::line(ui, t(DESCRIPTION), &mut self.description, "");
            form::line(ui, t(TAGS), &mut self.tags, "");
            title(ui, t(LIMITS));
            form::line(ui, t(MAX_CONNECTIONS), &mut self.limits.0, t(NO_LIMIT_HINT));
            form::line(ui, t(MAX_QUEUES), &mut self.limits.1, t(NO_LIMIT_HINT));
            let ready = cx.may_write() && !self.name.is_empty();
            let done = self.sent.buttons(ui, ready, icons::CHECK, t(SAVE_VHOST));
            if done == Some(true) {
                let name = &self.name;
                let mut requests = vec![lookups::put_vhost(name, &self.description, &self.tags)];
                for (limit_name, text) in
                    [("max-connections", &self.limits.0), ("max-queues", &self.limits.1)]
                {
                    let value = limit(text);
                    if value.is_some() || self.known.contains_key(limit_name) {
                        requests.push(lookups::limit(true, name, limit_name, value));
                    }
                }
                let action = Action::all(SAVE_VHOST_WHAT.with(&[name]), SAVED_VHOST.with(&[name]), requests);
                self.sent.send(cx, action);
            }
            done
        });
        answer != Some(false)
    }
}
