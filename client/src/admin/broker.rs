//! The broker as such: overview, health, definitions, topology, audit log.

use leveret_protocol::admin::audit::AuditPage;
use leveret_protocol::admin::events::AlarmReport;
use leveret_protocol::admin::topology::{RouteAnswer, RouteRequest, TopologyGraph};
use leveret_protocol::admin::{HealthCheck, Node, Overview, WhoAmI};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::path::{self, Path};
use super::{AuditQuery, Client, Error, ListQuery, Result, lenient};

impl Client {
    /// Who this client is logged in as, and with which tags.
    pub async fn whoami(&self) -> Result<WhoAmI> {
        self.get(Path::new("whoami")).await
    }

    /// The whole broker at a glance.
    pub async fn overview(&self) -> Result<Overview> {
        self.overview_with(&ListQuery::new()).await
    }

    /// The overview with samples over time, where the query asks for them.
    pub async fn overview_with(&self, query: &ListQuery) -> Result<Overview> {
        self.get(query.add_to(Path::new("overview"))).await
    }

    /// The nodes of the cluster.
    pub async fn nodes(&self) -> Result<Vec<Node>> {
        self.get(Path::new("nodes")).await
    }

    /// One node.
    pub async fn node(&self, name: &str) -> Result<Node> {
        self.get(Path::new("nodes").name(name)).await
    }

    /// The name that the broker gives itself.
    pub async fn cluster_name(&self) -> Result<String> {
        #[derive(Deserialize)]
        struct ClusterName {
            name: String,
        }
        Ok(self.get::<ClusterName>(Path::new("cluster-name")).await?.name)
    }

    /// Gives the broker a name.
    pub async fn set_cluster_name(&self, name: &str) -> Result<()> {
        self.put(Path::new("cluster-name"), &json!({"name": name})).await
    }

    /// One of the health checks by its path, such as `alarms` or `port-listener/5672`. A check that fails is an answer,
    /// not an error.
    pub async fn health(&self, check: &str) -> Result<HealthCheck> {
        let path = format!("/api/health/checks/{check}");
        let answer = self.request(Method::GET, &path).timeout(self.timeout).send().await;
        let answer = answer.map_err(|error| self.failed(&error))?;
        if answer.status().as_u16() != 503 {
            let answer = self.check(&path, answer).await?;
            let body = self.read_body(answer, super::ERROR_BYTES_MAX).await?;
            return lenient::read(&path, &body);
        }
        let body = self.read_body(answer, super::ERROR_BYTES_MAX).await?;
        match lenient::read::<HealthCheck>(&path, &body) {
            Ok(failed) if failed.status != "ok" => Ok(failed),
            _ => Err(Error::refused(&path, 503, &body)),
        }
    }

    /// What runs short, why, and who fills it.
    pub async fn alarms(&self) -> Result<AlarmReport> {
        self.get(Path::new("alarms")).await
    }

    /// A vhost as a graph, with what flows along its edges.
    pub async fn topology(&self, vhost: &str) -> Result<TopologyGraph> {
        self.get(Path::new("topology").query("vhost", vhost)).await
    }

    /// Where a message would go that is published to this exchange. Nothing is published.
    pub async fn route_test(
        &self,
        vhost: &str,
        exchange: &str,
        message: &RouteRequest,
    ) -> Result<RouteAnswer> {
        let path = Path::new("exchanges").name(vhost).name(path::exchange(exchange)).fixed("route");
        self.post(path, message).await
    }

    /// Who changed what, the latest first.
    pub async fn audit(&self, query: &AuditQuery) -> Result<AuditPage> {
        self.get(query.add_to(Path::new("audit"))).await
    }

    /// All definitions, or those of one vhost: what [`Client::import_definitions`] takes.
    pub async fn definitions(&self, vhost: Option<&str>) -> Result<Value> {
        self.get(Path::new("definitions").name_if(vhost)).await
    }

    /// Adds definitions, all or none. What exists already and is the same stays.
    pub async fn import_definitions(&self, vhost: Option<&str>, definitions: &Value) -> Result<()> {
        self.send(Method::POST, Path::new("definitions").name_if(vhost), Some(definitions)).await
    }

    /// What an import would change. Nothing is changed.
    pub async fn plan_definitions(&self, vhost: Option<&str>, definitions: &Value) -> Result<Value> {
        self.post(Path::new("definitions").name_if(vhost).query("dry_run", "true"), definitions).await
    }
}
