//! What a screen gets to draw with: all that is known, and a place to put what somebody wants.

use std::cell::RefCell;

use leveret_admin_model::intent::{Action, Danger, Intent, Notice, Severity};
use leveret_admin_model::query::Query;
use leveret_admin_model::store::Answer;
use leveret_admin_model::{Millis, Route, State};

/// What a screen gets to draw with.
#[derive(Debug)]
pub struct Cx<'a> {
    pub state: &'a State,
    intents: RefCell<Vec<Intent>>,
}

impl<'a> Cx<'a> {
    pub fn new(state: &'a State) -> Cx<'a> {
        Cx { state, intents: RefCell::default() }
    }

    /// What is known of `query`, which is thereby asked for as long as it is drawn.
    pub fn read<T: Send + Sync + 'static>(&self, query: &Query<T>) -> Answer<T> {
        self.state.store.read(query)
    }

    pub fn now(&self) -> Millis {
        self.state.now
    }

    /// Something is to happen once the frame is drawn.
    pub fn send(&self, intent: Intent) {
        self.intents.borrow_mut().push(intent);
    }

    pub fn go(&self, route: Route) {
        self.send(Intent::Go(route));
    }

    pub fn act(&self, action: Action) {
        self.send(Intent::Act(Box::new(action)));
    }

    pub fn ask(&self, danger: Danger) {
        self.send(Intent::Ask(Box::new(danger)));
    }

    /// Asks the broker once; the answer is read with `state.store.peek(key)`.
    pub fn fetch<T: Send + Sync + 'static>(&self, query: &Query<T>) {
        self.send(Intent::Fetch(Box::new(query.into())));
    }

    pub fn notify(&self, severity: Severity, text: impl Into<String>) {
        self.send(Intent::Notify(Notice::new(severity, text)));
    }

    pub fn copy(&self, text: impl Into<String>) {
        self.send(Intent::Copy(text.into()));
    }

    /// True when `vhost` is among those that are shown.
    pub fn shows_vhost(&self, vhost: &str) -> bool {
        self.state.vhost.as_deref().is_none_or(|shown| shown == vhost)
    }

    /// True when the broker has what is Leveret's own.
    pub fn is_leveret(&self) -> bool {
        self.state.product.as_ref().is_some_and(leveret_admin_model::state::Product::is_leveret)
    }

    pub fn may_write(&self) -> bool {
        self.state.may_write()
    }

    pub fn into_intents(self) -> Vec<Intent> {
        self.intents.into_inner()
    }
}
