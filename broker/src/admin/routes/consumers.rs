//! Consumers.

use leveret_protocol::admin::Consumer;

use super::*;
use crate::admin::state;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/consumers", Who::Management, "Consumers.", in_every_vhost!(state::consumers))
            .query(LIST)
            .gives::<Vec<Consumer>>(),
        get(
            "/api/consumers/{vhost}",
            Who::SeesVhost,
            "Consumers of one vhost.",
            in_one_vhost!(state::consumers),
        )
        .query(LIST)
        .gives::<Vec<Consumer>>(),
    ]
}
