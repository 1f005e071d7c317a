//! Operations on messages, while they go on and when they are done.

use eframe::egui::{ProgressBar, RichText, Ui};
use leveret_admin_model::{Action, format, lookups};
use leveret_protocol::admin::operations::{Operation, OperationKind, OperationState};

use crate::cx::Cx;
use crate::text::{Text, t};
use crate::texts;
use crate::theme::{self, icons, space, tokens};
use crate::widgets::{button, dim, faint, panel};

texts! {
    REQUEUED = "Requeued" | "已重新投递";
    MOVED = "Moved" | "已移动";
    COPIED = "Copied" | "已复制";
    DELETED = "Deleted" | "已删除";
    DONE_OF = "{} of {}" | "{} / {}";
    SKIPPED = "{} stayed: {}" | "{} 条保留：{}";
    STOP = "Stop" | "停止";
    STOP_WHAT = "Stop the operation" | "停止操作";
    STOPPED = "The operation stops" | "操作正在停止";
    RUNNING = "running" | "进行中";
    DONE = "done" | "完成";
    CANCELLED = "stopped" | "已停止";
    FAILED = "failed" | "失败";
    INTERRUPTED = "interrupted by a restart" | "因重启中断";
}

/// How long a finished one is shown beside its queue.
const SHOWN_MS: u64 = 120_000;

/// Those on one queue that run or ended lately.
pub fn ui(ui: &mut Ui, cx: &Cx<'_>, vhost: &str, queue: &str) {
    if !cx.is_leveret() {
        return;
    }
    let operations = cx.read(&lookups::operations()).or_default();
    let recent = |operation: &&Operation| {
        operation.vhost == vhost
            && operation.queue == queue
            && operation.finished_at.is_none_or(|at| cx.now().saturating_sub(at) < SHOWN_MS)
    };
    let mut shown: Vec<&Operation> = operations.iter().filter(recent).collect();
    shown.sort_by_key(|operation| std::cmp::Reverse(operation.started_at));
    for operation in shown.into_iter().take(3) {
        let colour = state_colour(operation.state);
        panel::note(ui, colour, state_icon(operation.state), |ui| one(ui, cx, operation));
    }
}

/// One operation in a line.
pub fn one(ui: &mut Ui, cx: &Cx<'_>, operation: &Operation) {
    let tk = tokens();
    ui.label(RichText::new(t(kind_word(operation.kind))).font(theme::strong()).color(tk.text));
    dim(
        ui,
        DONE_OF.with(&[&format::count(operation.done), &format::count(operation.total.max(operation.done))]),
    );
    if operation.state == OperationState::Running {
        let share = operation.seen as f32 / operation.total.max(1) as f32;
        let bar = ProgressBar::new(share.clamp(0.0, 1.0)).fill(tk.accent);
        ui.add(bar.desired_width(160.0).desired_height(8.0));
        if button(ui, cx.may_write(), icons::X, t(STOP)).clicked() {
            cx.act(Action::new(t(STOP_WHAT), t(STOPPED), lookups::cancel_operation(&operation.id)));
        }
    } else {
        ui.label(RichText::new(t(state_word(operation.state))).color(state_colour(operation.state)));
    }
    for skipped in operation.skipped.iter().take(3) {
        ui.add_space(space::XS);
        faint(ui, SKIPPED.with(&[&format::count(skipped.messages), &skipped.reason]));
    }
    if let Some(error) = &operation.error {
        ui.label(RichText::new(error).color(tk.danger));
    }
}

pub fn kind_word(kind: OperationKind) -> Text {
    match kind {
        OperationKind::Requeue => REQUEUED,
        OperationKind::Move => MOVED,
        OperationKind::Copy => COPIED,
        OperationKind::Delete => DELETED,
    }
}

pub fn state_word(state: OperationState) -> Text {
    match state {
        OperationState::Running => RUNNING,
        OperationState::Done => DONE,
        OperationState::Cancelled => CANCELLED,
        OperationState::Failed => FAILED,
        OperationState::Interrupted => INTERRUPTED,
    }
}

pub fn state_colour(state: OperationState) -> eframe::egui::Color32 {
    let tk = tokens();
    match state {
        OperationState::Running => tk.accent,
        OperationState::Done => tk.success,
        OperationState::Cancelled | OperationState::Interrupted => tk.warning,
        OperationState::Failed => tk.danger,
    }
}

fn state_icon(state: OperationState) -> &'static str {
    match state {
        OperationState::Running => icons::LOADER_CIRCLE,
        OperationState::Done => icons::CIRCLE_CHECK,
        OperationState::Cancelled | OperationState::Interrupted => icons::TRIANGLE_ALERT,
        OperationState::Failed => icons::CIRCLE_X,
    }
}
