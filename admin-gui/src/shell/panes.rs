//! Going from one part of the window to the next with F6.
//!
//! Each part says in every frame which of its widgets takes the keyboard when one comes to it; parts that are not there
//! say nothing, and are passed over.

use eframe::egui::{Context, Id, Key, Modifiers, Ui};

/// Parts of the window, in the order in which one goes through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    Bar,
    Navigation,
    Screen,
    Inspector,
}

const ORDER: [Pane; 4] = [Pane::Bar, Pane::Navigation, Pane::Screen, Pane::Inspector];

/// What takes the keyboard in each pane, of this frame.
#[derive(Debug, Clone, Copy, Default)]
struct Doors([Option<Id>; ORDER.len()]);

/// Where one is.
#[derive(Debug, Default)]
pub struct Panes {
    at: usize,
}

/// The first widget that says so takes the keyboard when one comes to `pane`.
pub fn door(ctx: &Context, pane: Pane, widget: Id) {
    ctx.data_mut(|data| {
        let doors: &mut Doors = data.get_temp_mut_or_default(Id::unique("panes"));
        doors.0[pane as usize].get_or_insert(widget);
    });
}

impl Panes {
    /// After everything is drawn: goes to the next part when that is wanted.
    pub fn ui(&mut self, ui: &Ui) {
        let doors =
            ui.data_mut(|data| std::mem::take(data.get_temp_mut_or_default::<Doors>(Id::unique("panes"))));
        let (next, previous) = ui.input_mut(|input| {
            let previous = input.consume_key(Modifiers::SHIFT, Key::F6);
            (input.consume_key(Modifiers::NONE, Key::F6), previous)
        });
        if !next && !previous {
            return;
        }
        // Whoever clicked into another part meanwhile goes on from there.
        let focused = ui.memory(|memory| memory.focused());
        if let Some(at) = doors.0.iter().position(|door| door.is_some() && *door == focused) {
            self.at = at;
        }
        let count = ORDER.len();
        for step in 1..=count {
            let at = if next { self.at + step } else { self.at + count - step } % count;
            if let Some(door) = doors.0[at] {
                self.at = at;
                ui.memory_mut(|memory| memory.request_focus(door));
                return;
            }
        }
    }
}
