//! Policies: what is in force for many queues and exchanges at once, and what a new one would change.

use std::sync::Arc;

use eframe::egui::{RichText, ScrollArea, Ui};
use leveret_admin_model::filter::Cell;
use leveret_admin_model::index::Sort;
use leveret_admin_model::{Action, Danger, format, lookups, query};
use leveret_protocol::admin::policies::{Policy, PolicyPreview};

use super::messages::vhost_of;
use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, icons, space, tokens};
use crate::widgets::table::{Paint, Table, TableColumn, TableState, column};
use crate::widgets::{button, danger_button, faint, form, head, panel, primary, tabs};

texts! {
    USER_POLICIES = "Policies" | "策略";
    OPERATOR_POLICIES = "Operator policies" | "运维策略";
    NEW_POLICY = "New policy" | "新建策略";
    EDIT_POLICY = "Change…" | "修改…";
    PATTERN = "Pattern" | "匹配模式";
    PATTERN_HINT = "a regular expression, such as ^orders\\." | "正则表达式，例如 ^orders\\.";
    APPLY_TO = "Applies to" | "应用于";
    PRIORITY = "Priority" | "优先级";
    DEFINITION = "Definition" | "定义";
    NO_POLICIES = "There are no policies" | "没有策略";
    NO_POLICIES_WHY = "A policy sets limits, dead-letter exchanges and more for all queues whose names match, without declaring them anew." | "策略可为名称匹配的所有队列设置限制、死信交换机等，无需重新声明。";
    POLICY_TITLE = "Policy" | "策略";
    BOTH = "queues and exchanges" | "队列和交换机";
    BAD_PATTERN = "This is no regular expression: {}" | "不是有效的正则表达式：{}";
    APPLIES = "Applies to {} {queue|queues} and {} {exchange|exchanges}" | "应用于 {} 个队列和 {} 个交换机";
    LOSES = "another policy wins in {} of them" | "其中 {} 个由其他策略生效";
    REPLACES = "in place of {}" | "取代 {}";
    NOTHING_MATCHES_NOW = "Nothing matches now. It will hold for what is declared later." | "目前没有匹配项，将对之后声明的对象生效。";
    SAVE_POLICY = "Save the policy" | "保存策略";
    SAVED = "Policy saved: {}" | "已保存策略：{}";
    SAVE_WHAT = "Save policy {}" | "保存策略 {}";
    DELETE_TITLE = "Delete policy {}?" | "删除策略 {}？";
    DELETE_LOSS = "It stops being in force for what matches {}." | "对匹配 {} 的对象不再生效。";
    DELETE_VERB = "Delete the policy" | "删除策略";
    DELETED = "Policy deleted: {}" | "已删除策略：{}";
    DELETE_WHAT = "Delete policy {}" | "删除策略 {}";
    AND_MORE = "and {} more" | "以及另外 {} 个";
    POLICIES_NOUN = "Policies" | "策略";
}

/// What the screen remembers.
#[derive(Debug, Default)]
pub struct State {
    operator: bool,
    table: TableState,
    form: Option<Form>,
}

/// A policy that is being written.
#[derive(Debug)]
struct Form {
    policy: Policy,
    priority: String,
    definition: form::Arguments,
    previewed: Option<String>,
    sent: form::Sent,
}

const COLUMNS: &[TableColumn<Policy>] = &[
    column("name", NAME, 180.0, Paint::Link, |policy| Cell::text(policy.name.as_str())),
    column("vhost", VHOST, 100.0, Paint::Text, |policy| Cell::text(policy.vhost.as_str())),
    column("pattern", PATTERN, 190.0, Paint::Mono, |policy| Cell::text(policy.pattern.as_str())),
    column("apply-to", APPLY_TO, 110.0, Paint::Text, |policy| Cell::text(policy.apply_to.as_str())),
    column("priority", PRIORITY, 80.0, Paint::Count, |policy| Cell::number(policy.priority)),
    column("definition", DEFINITION, 360.0, Paint::Mono, |policy| Cell::text(definition_text(policy))),
];

fn definition_text(policy: &Policy) -> String {
    let parts: Vec<String> = policy
        .definition
        .iter()
        .map(|(name, value)| match value.as_str() {
            Some(text) => format!("{name}={text}"),
            None => format!("{name}={value}"),
        })
        .collect();
    parts.join("  ")
}

/// What policies set, offered with a click.
const KEYS: &[&str] = &[
    "dead-letter-exchange",
    "dead-letter-routing-key",
    "message-ttl",
    "max-length",
    "max-length-bytes",
    "overflow",
    "expires",
    "delivery-limit",
    "alternate-exchange",
];

pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    let mut create = false;
    head(ui, t(POLICIES), "", |ui| {
        create = primary(ui, cx.may_write(), icons::PLUS, t(NEW_POLICY)).clicked();
    });
    if create {
        let policy = Policy { vhost: vhost_of(cx), apply_to: "queues".to_owned(), ..Policy::default() };
        state.form = Some(Form::new(policy));
    }
    if tabs(ui, &mut state.operator, &[(false, t(USER_POLICIES)), (true, t(OPERATOR_POLICIES))]) {
        state.table = TableState::default();
    }
    let answer = cx.read(&lookups::policies(state.operator));
    let version = answer.version();
    let list = answer.value.clone();
    panel::remote(ui, cx, &answer, |ui, _| {
        let Some(list) = list else { return };
        if list.is_empty() {
            panel::empty(ui, icons::SCROLL_TEXT, t(NO_POLICIES), t(NO_POLICIES_WHY), |_| {});
            return;
        }
        self::table(state, ui, cx, &list, version);
    });
    if let Some(mut form) = state.form.take()
        && form.ui(ui, cx, state.operator)
    {
        state.form = Some(form);
    }
}

fn table(state: &mut State, ui: &mut Ui, cx: &Cx<'_>, list: &Arc<Vec<Policy>>, version: u64) {
    let operator = state.operator;
    let key = |policy: &Policy| format!("{}\n{}", policy.vhost, policy.name);
    let mut edited = None;
    let mut deleted = false;
    let shows = |policy: &Policy| cx.shows_vhost(&policy.vhost);
    let table = Table {
        id: "policies",
        noun: POLICIES_NOUN,
        columns: COLUMNS,
        rows: list,
        version,
        key,
        scope: (cx.state.vhost.as_deref().unwrap_or_default(), &shows),
        sort: Sort::ascending("name"),
        below: 0.0,
    };
    let answer = table.show(ui, cx, &mut state.table, |ui, table| {
        let one = list.iter().position(|policy| table.selection.contains(&key(policy)));
        if button(ui, cx.may_write() && one.is_some(), icons::PENCIL, t(EDIT_POLICY)).clicked() {
            edited = one;
        }
        deleted =
            danger_button(ui, cx.may_write() && one.is_some(), icons::TRASH_2, t(DELETE_DOTS)).clicked();
    });
    if let Some(policy) = answer.opened.or(edited).and_then(|at| list.get(at)) {
        state.form = Some(Form::new(policy.clone()));
    }
    if deleted || answer.delete {
        let chosen: Vec<&Policy> =
            list.iter().filter(|policy| state.table.selection.contains(&key(policy))).collect();
        let Some(first) = chosen.first() else { return };
        let names: Vec<String> = chosen.iter().map(|policy| policy.name.clone()).collect();
        let patterns: Vec<&str> = chosen.iter().map(|policy| policy.pattern.as_str()).collect();
        let requests = chosen
            .iter()
            .map(|policy| lookups::delete_policy(&policy.vhost, &policy.name, operator))
            .collect();
        let name = if names.len() == 1 { first.name.clone() } else { names.join(", ") };
        let undo = chosen.iter().map(|policy| lookups::put_policy(policy, operator)).collect();
        let action = Action::all(DELETE_WHAT.with(&[&name]), DELETED.with(&[&name]), requests)
            .undo(Action::all(SAVE_WHAT.with(&[&name]), SAVED.with(&[&name]), undo));
        cx.ask(Danger {
            title: DELETE_TITLE.with(&[&name]),
            loss: DELETE_LOSS.with(&[&patterns.join(", ")]),
            objects: names,
            verb: t(DELETE_VERB).to_owned(),
            type_name: None,
            action,
        });
    }
}

impl Form {
    fn new(policy: Policy) -> Form {
        Form {
            priority: policy.priority.to_string(),
            definition: form::Arguments::from_json(&policy.definition),
            policy,
            previewed: None,
            sent: form::Sent::default(),
        }
    }

    /// Draws it; false when it is done with.
    fn ui(&mut self, ui: &Ui, cx: &Cx<'_>, operator: bool) -> bool {
        if self.sent.is_taken(cx) {
            return false;
        }
        let answer = form::dialog(ui, "policy-form", t(POLICY_TITLE), 620.0, |ui| {
            form::line(ui, t(VHOST), &mut self.policy.vhost, "/");
            form::line(ui, t(NAME), &mut self.policy.name, "");
            form::line(ui, t(PATTERN), &mut self.policy.pattern, t(PATTERN_HINT));
            let pattern = regex::Regex::new(&self.policy.pattern);
            if let Err(error) = &pattern {
                let text = error.to_string();
                form::mistake(ui, &BAD_PATTERN.with(&[&text.lines().last().unwrap_or_default()]));
            }
            form::row(ui, t(APPLY_TO), |ui| {
                let kinds = [("queues", t(QUEUES)), ("exchanges", t(EXCHANGES)), ("all", t(BOTH))];
                let mut kind = kinds.iter().position(|(kind, _)| *kind == self.policy.apply_to).unwrap_or(0);
                let choices: Vec<(usize, &str)> =
                    kinds.iter().enumerate().map(|(at, (_, name))| (at, *name)).collect();
                if form::choice(ui, t(APPLY_TO), &mut kind, &choices) {
                    kinds[kind].0.clone_into(&mut self.policy.apply_to);
                }
            });
            form::line(ui, t(PRIORITY), &mut self.priority, "0");
            form::row(ui, t(DEFINITION), |ui| {
                ui.vertical(|ui| self.definition.ui(ui, KEYS));
            });
            self.policy.priority = self.priority.trim().parse().unwrap_or(0);
            self.policy.definition = self.definition.json().as_object().cloned().unwrap_or_default();
            ui.add_space(space::S);
            if let Ok(pattern) = &pattern {
                self.preview(ui, cx, operator, pattern);
            }
            let ready = pattern.is_ok()
                && !self.policy.name.trim().is_empty()
                && !self.policy.definition.is_empty()
                && cx.may_write();
            let done = self.sent.buttons(ui, ready, icons::CHECK, t(SAVE_POLICY));
            if done == Some(true) {
                let name = self.policy.name.clone();
                let request = lookups::put_policy(&self.policy, operator);
                self.sent.send(cx, Action::new(SAVE_WHAT.with(&[&name]), SAVED.with(&[&name]), request));
            }
            done
        });
        answer != Some(false)
    }

    /// What it would hold for: as the broker tells, or as far as names tell.
    fn preview(&mut self, ui: &mut Ui, cx: &Cx<'_>, operator: bool, pattern: &regex::Regex) {
        if self.policy.pattern.is_empty() {
            return;
        }
        if cx.is_leveret() && !operator && !self.policy.name.trim().is_empty() {
            let query = lookups::preview_policy(&self.policy);
            if self.previewed.as_ref() != Some(&query.key) {
                cx.fetch(&query);
                self.previewed = Some(query.key.clone());
            }
            let answer = cx.state.store.peek::<PolicyPreview>(&query.key);
            if let Some(preview) = &answer.value {
                let of = |kind: &str| preview.matches.iter().filter(|found| found.kind == kind).count();
                let lost = preview.matches.iter().filter(|found| !found.wins).count();
                let names: Vec<(String, Option<String>)> = preview
                    .matches
                    .iter()
                    .map(|found| {
                        let current = found
                            .current
                            .clone()
                            .filter(|current| *current != self.policy.name && found.wins);
                        (found.name.clone(), current)
                    })
                    .collect();
                show_matches(ui, of("queue"), of("exchange"), lost, &names);
                return;
            }
        }
        let takes = |kind: &str| self.policy.apply_to == "all" || self.policy.apply_to == kind;
        let vhost = &self.policy.vhost;
        let queues = cx.read(&query::queues()).or_default();
        let exchanges = cx.read(&query::exchanges()).or_default();
        let queues = queues
            .iter()
            .filter(|queue| takes("queues") && queue.vhost == *vhost && pattern.is_match(&queue.name));
        let queues: Vec<(String, Option<String>)> = queues
            .map(|queue| (queue.name.clone(), queue.policy.clone().filter(|name| *name != self.policy.name)))
            .collect();
        let exchanges = exchanges.iter().filter(|exchange| {
            takes("exchanges")
                && exchange.vhost == *vhost
                && !exchange.name.is_empty()
                && pattern.is_match(&exchange.name)
        });
        let exchanges: Vec<(String, Option<String>)> =
            exchanges.map(|exchange| (exchange.name.clone(), None)).collect();
        let counts = (queues.len(), exchanges.len());
        show_matches(ui, counts.0, counts.1, 0, &[queues, exchanges].concat());
    }
}

/// How many match, and the first of them.
fn show_matches(
    ui: &mut Ui,
    queues: usize,
    exchanges: usize,
    lost: usize,
    names: &[(String, Option<String>)],
) {
    let tk = tokens();
    let colour = if names.is_empty() { tk.warning } else { tk.accent };
    panel::note(ui, colour, icons::TARGET, |ui| {
        if names.is_empty() {
            ui.label(t(NOTHING_MATCHES_NOW));
            return;
        }
        let counts = APPLIES.with(&[&format::count(queues as u64), &format::count(exchanges as u64)]);
        ui.label(RichText::new(counts).font(theme::strong()).color(tk.text));
        if lost > 0 {
            ui.label(RichText::new(LOSES.with(&[&lost])).color(tk.warning));
        }
    });
    ScrollArea::vertical().max_height(110.0).id_salt("policy-matches").show(ui, |ui| {
        for (name, replaces) in names.iter().take(SHOWN_MAX) {
            ui.horizontal(|ui| {
                ui.label(RichText::new(name).font(theme::mono()).color(tk.text_dim));
                if let Some(other) = replaces {
                    faint(ui, REPLACES.with(&[other]));
                }
            });
        }
        if names.len() > SHOWN_MAX {
            faint(ui, AND_MORE.with(&[&(names.len() - SHOWN_MAX)]));
        }
    });
}

/// Names that are listed.
const SHOWN_MAX: usize = 50;
