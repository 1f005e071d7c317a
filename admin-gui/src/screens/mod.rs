//! The screens. Each is one file with its state, its texts and a function `ui` that draws it: it reads what is known
//! through [`Cx`], and sends intents for what somebody wants. A new one is a [`Route`], a file here, and a line in
//! [`Screens::ui`]; one that is in the navigation is in [`crate::shell::commands::PLACES`] too.

pub mod bindings;
pub mod channels;
pub mod connect;
pub mod connections;
pub mod consumers;
pub mod exchange;
pub mod exchanges;
pub mod forms;
pub mod gallery;
pub mod overview;
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
            Route::Settings => settings::ui(ui, cx),
            Route::Gallery => gallery::ui(&mut self.gallery, ui, cx),
        }
    }
}
