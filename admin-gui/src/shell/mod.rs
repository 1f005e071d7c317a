//! What is around every screen: the bar at the top, the navigation, and what lies above them.

mod bar;
pub mod commands;
mod danger;
mod help;
mod navigation;
mod notices;
mod palette;
pub mod panes;

use eframe::egui::Ui;

use crate::cx::Cx;

pub use danger::Danger;
pub use palette::Palette;

/// What the shell remembers from frame to frame.
#[derive(Debug, Default)]
pub struct Shell {
    pub palette: Palette,
    pub danger: Danger,
    pub notices_open: bool,
    pub help_open: bool,
    pub panes: panes::Panes,
}

/// What was decided in a dialog of the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The question was answered with yes.
    Confirmed,
    Refused,
    /// The list of notices was opened.
    NoticesSeen,
}

impl Shell {
    /// Draws the bars, then `screen` in what is left, then what lies above.
    pub fn ui(&mut self, ui: &mut Ui, cx: &Cx<'_>, screen: impl FnOnce(&mut Ui)) -> Option<Decision> {
        let mut decision = None;
        self.keys(ui, cx);
        bar::ui(self, ui, cx, &mut decision);
        navigation::ui(ui, cx);
        bar::lost(ui, cx);
        eframe::egui::CentralPanel::default()
            .frame(
                eframe::egui::Frame::new()
                    .fill(crate::theme::tokens().window)
                    .inner_margin(eframe::egui::Margin { left: 20, right: 20, top: 14, bottom: 8 }),
            )
            .show(ui, screen);
        if self.notices_open {
            notices::panel(self, ui, cx);
        }
        notices::toasts(ui, cx);
        self.panes.ui(ui);
        self.help_open |= self.palette.ui(ui, cx);
        if let Some(danger) = &cx.state.danger {
            decision = self.danger.ui(ui, cx, danger).or(decision);
        } else {
            self.danger = Danger::default();
        }
        if self.help_open {
            self.help_open = help::ui(ui);
        }
        decision
    }

    fn keys(&mut self, ui: &Ui, cx: &Cx<'_>) {
        if cx.state.danger.is_some() {
            return;
        }
        for command in commands::pressed(ui, cx) {
            match command {
                commands::Do::Palette => self.palette.toggle(),
                commands::Do::Help => self.help_open = !self.help_open,
                commands::Do::Send(intent) => cx.send(intent),
            }
        }
    }
}
