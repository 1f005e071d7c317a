//! The screens. Each is one file with its state, its texts and a function `ui` that draws it: it reads what is known
//! through [`Cx`], and sends intents for what somebody wants. A new one is a [`Route`], a file here, and a line in
//! [`Screens::ui`]; one that is in the navigation is in [`crate::shell::commands::PLACES`] too.

pub mod access;
pub mod alarms;
pub mod bindings;
pub mod channels;
pub mod connect;
pub mod connections;
pub mod consumers;
pub mod dead_letters;
pub mod definitions;
pub mod delayed;
pub mod exchange;
pub mod exchanges;
pub mod flow;
pub mod forms;
pub mod gallery;
pub mod messages;
pub mod overview;
mod peek;
pub mod policies;
pub mod queue;
pub mod queues;
pub mod settings;

use eframe::egui::Ui;
use leveret_admin_model::Route;

use crate::cx::Cx;

/// What the screens remember from frame to frame. It stays when one leaves a screen: filters, selections and what was
/// typed are there when one comes back.
#[derive(Debug, Default)]
pub struct Screens {
    pub connect: connect::State,
    pub overview: overview::State,
    pub queues: queues::State,
    pub queue: queue::State,
    pub exchanges: exchanges::State,
    pub exchange: exchange::State,
    pub bindings: bindings::State,
    pub connections: connections::State,
    pub channels: channels::State,
    pub consumers: consumers::State,
    pub flow: flow::State,
    pub dead_letters: dead_letters::State,
    pub messages: messages::State,
    pub delayed: delayed::State,
    pub policies: policies::State,
    pub access: access::State,
    pub definitions: definitions::State,
    pub alarms: alarms::State,
    pub gallery: gallery::State,
}

impl Screens {
    /// Draws the screen of the route.
    pub fn ui(&mut self, ui: &mut Ui, cx: &Cx<'_>) {
        let route = cx.state.route();
        if route.needs_broker() && cx.state.broker.is_none() {
            connect::ui(&mut self.connect, ui, cx);
            return;
        }
        match route {
            Route::Connect => connect::ui(&mut self.connect, ui, cx),
            Route::Overview => overview::ui(&mut self.overview, ui, cx),
            Route::Queues => queues::ui(&mut self.queues, ui, cx),
            Route::Queue { vhost, name, tab } => queue::ui(&mut self.queue, ui, cx, (vhost, name, *tab)),
            Route::Exchanges => exchanges::ui(&mut self.exchanges, ui, cx),
            Route::Exchange { vhost, name } => exchange::ui(&mut self.exchange, ui, cx, (vhost, name)),
            Route::Bindings => bindings::ui(&mut self.bindings, ui, cx),
            Route::Connections => connections::ui(&mut self.connections, ui, cx),
            Route::Connection { name } => connections::one(&mut self.channels, ui, cx, name),
            Route::Channels => channels::ui(&mut self.channels, ui, cx),
            Route::Consumers => consumers::ui(&mut self.consumers, ui, cx),
            Route::Flow => flow::ui(&mut self.flow, ui, cx),
            Route::DeadLetters => dead_letters::ui(&mut self.dead_letters, ui, cx, None),
            Route::DeadQueue { vhost, name } => {
                dead_letters::ui(&mut self.dead_letters, ui, cx, Some((vhost, name)))
            }
            Route::Messages => messages::ui(&mut self.messages, ui, cx),
            Route::Delayed => delayed::ui(&mut self.delayed, ui, cx),
            Route::Policies => policies::ui(&mut self.policies, ui, cx),
            Route::Access => access::ui(&mut self.access, ui, cx),
            Route::Definitions => definitions::ui(&mut self.definitions, ui, cx),
            Route::Alarms => alarms::ui(&mut self.alarms, ui, cx),
            Route::Settings => settings::ui(ui, cx),
            Route::Gallery => gallery::ui(&mut self.gallery, ui, cx),
        }
    }
}
