//! Nodes of the cluster, which is this one.

use leveret_protocol::admin::Node;

use super::*;
use crate::admin::state;

pub(super) fn routes() -> Vec<Route> {
    vec![get("/api/nodes", Who::Monitor, "The nodes of the cluster.", list).query(LIST).gives::<Vec<Node>>()]
}

async fn list(State(broker): State<Arc<Broker>>, query: ListQuery) -> Answer {
    answer(broker, move |broker| query.respond(state::nodes(broker))).await
}
