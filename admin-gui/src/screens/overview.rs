//! The broker at a glance: what flows, what lies, what needs a hand.

use eframe::egui::{CollapsingHeader, RichText, ScrollArea, Sense, Ui, Vec2, WidgetInfo, accesskit::Role};
use leveret_admin_model::attention::{self, Finding, Kind, Level};
use leveret_admin_model::state::Sample;
use leveret_admin_model::{Millis, Route, format, query};
use leveret_protocol::admin as api;

use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, icons, series, space, tokens};
use crate::widgets::chart::{Chart, Line};
use crate::widgets::{card, dim, elided, faint, head, meter, panel, tabs, tall_tile, title};

texts! {
    RATES = "Message rates" | "消息速率";
    DEPTHS = "Messages waiting" | "积压消息";
    LESS_URGENT = "Less urgent" | "其他关注项";
    NEEDS_ATTENTION = "Needs attention" | "需要关注";
    ALL_WELL = "Nothing does: no queue is filling up, memory and disk suffice." | "一切正常：没有队列持续积压，内存与磁盘充足。";
    MEMORY = "Memory" | "内存";
    DISK = "Disk free" | "磁盘剩余";
    OF_LIMIT = "of {}" | "上限 {}";
    DISK_LIMIT = "min. {}" | "至少 {}";
    GROWING_BY = "{}/s more" | "+{}/秒";
    MINUTE = "1 min" | "1 分钟";
    TEN_MINUTES = "10 min" | "10 分钟";
    HOUR = "1 h" | "1 小时";
    UP_FOR = "up for {}" | "已运行 {}";
    JUST_STARTED = "just started" | "刚刚启动";

    MEMORY_ALARM = "Publishers are stopped: memory is full" | "内存不足，发布已被阻止";
    MEMORY_ALARM_HELP = "{} of {} are in use. Let consumers catch up, or raise the limit." | "已使用 {}（上限 {}）。请让消费者赶上进度，或提高上限。";
    DISK_ALARM = "Publishers are stopped: the disk is full" | "磁盘不足，发布已被阻止";
    DISK_ALARM_HELP = "{} are left, {} are required. Free some space, or purge what nobody needs." | "剩余 {}，需要 {}。请释放空间或清空无用的队列。";
    MEMORY_NEAR = "Memory is nearly full" | "内存即将用尽";
    MEMORY_NEAR_HELP = "{} of {} are in use. Publishers will be stopped at the limit." | "已使用 {}（上限 {}）。达到上限后将阻止发布。";
    BLOCKED = "{} {connection|connections} may not publish" | "{} 个连接被禁止发布";
    BLOCKED_HELP = "An alarm is on. They go on by themselves when it ends." | "存在告警，解除后会自动恢复。";
    NO_CONSUMER = "{}: nobody consumes" | "{}：没有消费者";
    NO_CONSUMER_HELP = "{} {message waits|messages wait}. Is its application running?" | "有 {} 条消息等待。相应的应用是否在运行？";
    NO_CONSUMER_GROWING = "{} {message waits|messages wait}, {}/s more. Is its application running?" | "有 {} 条消息等待，每秒增加 {}。相应的应用是否在运行？";
    GROWING = "{}: consumers do not keep up" | "{}：消费速度跟不上";
    GROWING_HELP = "{} {message waits|messages wait}, {}/s more; consumers: {}. Add some, or raise their prefetch." | "有 {} 条消息等待，每秒增加 {}，共 {} 个消费者。请增加消费者或提高预取数。";
    STUCK = "{}: consumers hold messages and acknowledge none" | "{}：消费者持有消息但未确认";
    STUCK_HELP = "{} {message is|messages are} out; consumers: {}. See who holds them." | "有 {} 条消息在 {} 个消费者手中。查看持有者。";
    PAUSED = "{}: paused" | "{}：已暂停";
    PAUSED_HELP = "{} {message waits|messages wait} until somebody resumes it." | "有 {} 条消息等待恢复。";
    DEAD = "{}: {} dead {letter|letters}" | "{}：{} 条死信";
    DEAD_HELP = "Look why they died, then send them back or delete them." | "查看原因，然后重新投递或删除。";
    DEAD_GROWING = "{}/s more. Look why they die, then send them back or delete them." | "每秒增加 {}。查看原因，然后重新投递或删除。";
}

/// Whoever seems to do nothing is looked at again after this time.
const LOOK_AGAIN_MS: Millis = 5_000;

/// What is remembered of this screen.
#[derive(Debug, Default)]
pub struct State {
    window: Option<Millis>,
    watch: attention::Watch,
    findings: Vec<Finding>,
    /// Which versions of queues, nodes and connections, which vhost and which moment the findings are of.
    found_for: Option<([u64; 3], Option<String>, Millis)>,
}

pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    let overview = cx.read(&query::overview());
    let nodes_answer = cx.read(&query::nodes());
    let queues = cx.read(&query::queues());
    let connections_answer = cx.read(&query::connections());
    let versions = [queues.version(), nodes_answer.version(), connections_answer.version()];
    let (nodes, connections) = (nodes_answer.or_default(), connections_answer.or_default());
    let about = cx.state.product.as_ref().map_or(String::new(), |product| {
        let up = nodes.first().map_or(String::new(), |node| match u64::from(node.uptime) / 60_000 {
            0 => format!(" · {}", t(JUST_STARTED)),
            minutes => format!(" · {}", UP_FOR.with(&[&format::duration(minutes * 60_000)])),
        });
        format!("{} {} · {}{up}", product.name, product.version, product.node)
    });
    let mut window = state.window.unwrap_or(60_000);
    head(ui, t(OVERVIEW), &about, |_| {});
    let problems = [nodes_answer.problem(), queues.problem(), connections_answer.problem()];
    panel::partial(ui, cx, &overview, &problems);
    panel::remote(ui, cx, &overview, |ui, overview| {
        ScrollArea::vertical()
            .auto_shrink(false)
            .content_margin(eframe::egui::Margin { right: 10, ..Default::default() })
            .show(ui, |ui| {
                tiles(ui, overview, &nodes);
                ui.add_space(space::S);
                attention_list(state, ui, cx, (&queues.or_default(), &nodes, &connections), versions);
                ui.add_space(space::S);
                let windows = [(60_000, t(MINUTE)), (600_000, t(TEN_MINUTES)), (3_600_000, t(HOUR))];
                if tabs(ui, &mut window, &windows) {
                    state.window = Some(window);
                }
                charts(ui, cx, window);
            });
    });
}

fn tiles(ui: &mut Ui, overview: &api::Overview, nodes: &[api::Node]) {
    let tk = tokens();
    let sample = Sample::of(&overview.message_stats, &overview.queue_totals);
    let ready_growth = overview.queue_totals.messages_ready_details.per_second();
    let growth = move |ui: &mut Ui| {
        if ready_growth > 0.5 {
            faint(ui, GROWING_BY.with(&[&format::rate(ready_growth)]));
        }
    };
    let blank = |_: &mut Ui| {};
    let rate = |value: f32| format::rate(f64::from(value));
    let per_second = PER_SECOND.with(&[&""]);
    ui.columns(5, |columns| {
        let [ready, unacked, published, delivered, acked] = columns else { return };
        tall_tile(
            ready,
            t(READY),
            &format::count(overview.queue_totals.messages_ready),
            "",
            Some(tk.series[series::READY]),
            growth,
        );
        tall_tile(
            unacked,
            t(UNACKED),
            &format::count(overview.queue_totals.messages_unacknowledged),
            "",
            Some(tk.series[series::UNACKED]),
            blank,
        );
        tall_tile(
            published,
            t(PUBLISHED),
            &rate(sample.publish),
            &per_second,
            Some(tk.series[series::PUBLISH]),
            blank,
        );
        tall_tile(
            delivered,
            t(DELIVERED),
            &rate(sample.deliver),
            &per_second,
            Some(tk.series[series::DELIVER]),
            blank,
        );
        tall_tile(acked, t(ACKED), &rate(sample.ack), &per_second, Some(tk.series[series::ACK]), blank);
    });
    let totals = &overview.object_totals;
    let node = nodes.first();
    ui.columns(5, |columns| {
        let [queues, connections, consumers, memory, disk] = columns else { return };
        tall_tile(queues, t(QUEUES), &format::count(totals.queues), "", None, blank);
        tall_tile(connections, t(CONNECTIONS), &format::count(totals.connections), "", None, blank);
        tall_tile(consumers, t(CONSUMERS), &format::count(totals.consumers), "", None, blank);
        let (used, limit) = node.map_or((0, 0), |node| (node.mem_used, node.mem_limit));
        let share = if limit > 0 { used as f32 / limit as f32 } else { 0.0 };
        let colour = if share > 0.85 {
            tk.danger
        } else if share > 0.6 {
            tk.warning
        } else {
            tk.success
        };
        let bytes = |bytes: u64| node.map_or("–".to_owned(), |_| format::bytes(bytes as f64));
        let (value, unit) = split(&bytes(used));
        tall_tile(memory, t(MEMORY), &value, &unit, None, |ui| {
            if node.is_some() {
                meter(ui, share, colour);
            }
            if limit > 0 {
                let text = OF_LIMIT.with(&[&format::bytes(limit as f64)]);
                ui.add(
                    eframe::egui::Label::new(RichText::new(text).font(theme::small()).color(tk.text_faint))
                        .truncate(),
                );
            }
        });
        let (free, floor) = node.map_or((0, 0), |node| (node.disk_free, node.disk_free_limit));
        let (value, unit) = split(&bytes(free));
        let tight = super::alarms::is_tight(free, floor);
        tall_tile(disk, t(DISK), &value, &unit, None, |ui| {
            if node.is_some() {
                meter(ui, if tight { 0.1 } else { 1.0 }, if tight { tk.danger } else { tk.success });
            }
            if floor > 0 {
                let text = DISK_LIMIT.with(&[&format::bytes(floor as f64)]);
                ui.add(
                    eframe::egui::Label::new(RichText::new(text).font(theme::small()).color(tk.text_faint))
                        .truncate(),
                );
            }
        });
    });
}

fn split(text: &str) -> (String, String) {
    text.split_once(' ')
        .map_or((text.to_owned(), String::new()), |(value, unit)| (value.to_owned(), unit.to_owned()))
}

fn charts(ui: &mut Ui, cx: &Cx<'_>, window: Millis) {
    let tk = tokens();
    // As high as there is room, within reason.
    let height = (ui.ctx().content_rect().bottom() - ui.cursor().top() - 84.0).clamp(150.0, 340.0);
    let since = cx.now().saturating_sub(window);
    let samples = cx.state.samples_until_now(since);
    let points = |value: fn(&Sample) -> f32| -> Vec<(Millis, f32)> {
        samples.iter().map(|(at, sample)| (*at, value(sample))).collect()
    };
    let line =
        |name, at: usize, dashed, value| Line { name, colour: tk.series[at], dashed, points: points(value) };
    let chart = |title| Chart {
        title,
        group: "overview",
        height,
        now: samples.last().map_or(cx.now(), |(at, _)| *at),
        window_ms: window,
        unit: "",
        value: format::short,
    };
    ui.columns(2, |columns| {
        let [left, right] = columns else { return };
        card(left, |ui| {
            let lines = [
                line(t(PUBLISHED), series::PUBLISH, false, |sample| sample.publish),
                line(t(DELIVERED), series::DELIVER, false, |sample| sample.deliver),
                line(t(ACKED), series::ACK, true, |sample| sample.ack),
            ];
            Chart { unit: &PER_SECOND.with(&[&""]), value: format::rate, ..chart(t(RATES)) }.show(ui, &lines);
        });
        card(right, |ui| {
            let lines = [
                line(t(READY), series::READY, false, |sample| sample.ready),
                line(t(UNACKED), series::UNACKED, true, |sample| sample.unacked),
            ];
            chart(t(DEPTHS)).show(ui, &lines);
        });
    });
}

fn attention_list(
    state: &mut State,
    ui: &mut Ui,
    cx: &Cx<'_>,
    (queues, nodes, connections): (&[api::Queue], &[api::Node], &[api::Connection]),
    versions: [u64; 3],
) {
    let moment = if state.watch.is_waiting() {
        ui.ctx().request_repaint_after(std::time::Duration::from_millis(LOOK_AGAIN_MS));
        cx.now() / LOOK_AGAIN_MS
    } else {
        0
    };
    let found_for = Some((versions, cx.state.vhost.clone(), moment));
    if state.found_for != found_for {
        let in_vhost: Vec<api::Queue>;
        let queues = if cx.state.vhost.is_some() {
            in_vhost = queues.iter().filter(|queue| cx.shows_vhost(&queue.vhost)).cloned().collect();
            &in_vhost
        } else {
            queues
        };
        state.findings = state.watch.findings(cx.now(), queues, nodes, connections, attention::looks_dead);
        state.found_for = found_for;
    }
    let findings = &state.findings;
    card(ui, |ui| {
        ui.set_min_width(ui.available_width());
        title(ui, t(NEEDS_ATTENTION));
        if findings.is_empty() {
            ui.horizontal(|ui| {
                ui.label(RichText::new(icons::CIRCLE_CHECK).font(theme::icon(15.0)).color(tokens().success));
                dim(ui, t(ALL_WELL));
            });
        }
        for finding in findings.iter().take(LISTED) {
            line_of(ui, cx, finding);
        }
        if findings.len() > LISTED {
            CollapsingHeader::new(t(LESS_URGENT)).id_salt("less urgent").show(ui, |ui| {
                for finding in findings.iter().skip(LISTED) {
                    line_of(ui, cx, finding);
                }
            });
        }
    });
}

/// Findings that are listed, the most urgent ones.
const LISTED: usize = 6;

fn line_of(ui: &mut Ui, cx: &Cx<'_>, finding: &Finding) {
    let tk = tokens();
    let (icon, colour) = match finding.level {
        Level::Critical => (icons::CIRCLE_X, tk.danger),
        Level::Warning => (icons::TRIANGLE_ALERT, tk.warning),
        Level::Notice => (icons::INFO, tk.accent),
    };
    let (what, help) = words(&finding.kind);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 26.0), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Link, true, format!("{what}. {help}")));
    if response.hovered() {
        ui.painter().rect_filled(rect.expand2(Vec2::new(4.0, 0.0)), 4.0, tk.hover);
        ui.ctx().set_cursor_icon(eframe::egui::CursorIcon::PointingHand);
    }
    let y = rect.center().y;
    let painter = ui.painter_at(rect);
    use eframe::egui::{Align2, pos2};
    painter.text(pos2(rect.left() + 8.0, y), Align2::CENTER_CENTER, icon, theme::icon(15.0), colour);
    let text =
        painter.text(pos2(rect.left() + 24.0, y), Align2::LEFT_CENTER, &what, theme::strong(), tk.text);
    let left = text.right() + 10.0;
    let galley = elided(&painter, &help, theme::body(), tk.text_dim, rect.right() - left);
    let is_cut = galley.elided;
    painter.galley(pos2(left, y - galley.size().y / 2.0), galley, tk.text_dim);
    if response.has_focus() {
        ui.painter().rect_stroke(rect, 4.0, (1.5, tk.accent), eframe::egui::StrokeKind::Inside);
    }
    let clicked = response.clicked();
    if is_cut {
        response.on_hover_text(format!("{what}\n{help}"));
    }
    if clicked && finding.route != Route::Overview {
        cx.go(finding.route.clone());
    }
}

/// What a finding is in words: what, and what helps.
fn words(kind: &Kind) -> (String, String) {
    let bytes = |bytes: u64| format::bytes(bytes as f64);
    let count = format::count;
    match kind {
        Kind::MemoryAlarm { used, limit } => {
            (t(MEMORY_ALARM).to_owned(), MEMORY_ALARM_HELP.with(&[&bytes(*used), &bytes(*limit)]))
        }
        Kind::DiskAlarm { free, limit } => {
            (t(DISK_ALARM).to_owned(), DISK_ALARM_HELP.with(&[&bytes(*free), &bytes(*limit)]))
        }
        Kind::MemoryNear { used, limit } => {
            (t(MEMORY_NEAR).to_owned(), MEMORY_NEAR_HELP.with(&[&bytes(*used), &bytes(*limit)]))
        }
        Kind::Blocked { connections } => (BLOCKED.with(&[connections]), t(BLOCKED_HELP).to_owned()),
        Kind::NoConsumer { queue, ready, growth, .. } => {
            let help = if *growth > 0.0 {
                NO_CONSUMER_GROWING.with(&[&count(*ready), &format::rate(*growth)])
            } else {
                NO_CONSUMER_HELP.with(&[&count(*ready)])
            };
            (NO_CONSUMER.with(&[queue]), help)
        }
        Kind::Growing { queue, ready, growth, consumers, .. } => {
            (GROWING.with(&[queue]), GROWING_HELP.with(&[&count(*ready), &format::rate(*growth), consumers]))
        }
        Kind::Stuck { queue, unacked, consumers, .. } => {
            (STUCK.with(&[queue]), STUCK_HELP.with(&[&count(*unacked), consumers]))
        }
        Kind::Paused { queue, ready, .. } => (PAUSED.with(&[queue]), PAUSED_HELP.with(&[&count(*ready)])),
        Kind::DeadLetters { queue, messages, growth, .. } => {
            let help = if *growth > 0.0 {
                DEAD_GROWING.with(&[&format::rate(*growth)])
            } else {
                t(DEAD_HELP).to_owned()
            };
            (DEAD.with(&[queue, &count(*messages)]), help)
        }
    }
}
