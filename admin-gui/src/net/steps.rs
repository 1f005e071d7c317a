//! Trying a broker step by step, and looking for one on this machine.

use std::time::Duration;

use leveret_admin_model::intent::{Password, Step, StepResult};
use leveret_admin_model::settings::{Address, SavedBroker};
use leveret_admin_model::{Event, Problem, ProblemKind};
use leveret_client::admin::{Client, Error};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::{Outbox, client, problem};

const STEP_MAX: Duration = Duration::from_secs(5);

/// Tries a broker step by step and says how each went; stops at the first that fails.
pub async fn test(broker: SavedBroker, password: Password, outbox: Outbox) {
    let tell = |step, result| outbox.send(Event::Tested { step, result });
    let fail =
        |step, kind, detail: String| tell(step, StepResult::Failed(Problem::new(kind, &broker.url, detail)));

    tell(Step::Name, StepResult::Running);
    let address = match Address::parse(&broker.url) {
        Ok(address) => address,
        Err(reason) => return fail(Step::Name, ProblemKind::Refused, reason),
    };
    let found = timeout(STEP_MAX, lookup_host((address.host.as_str(), address.port))).await;
    let found = match found {
        Ok(Ok(mut found)) => found.next(),
        Ok(Err(error)) => return fail(Step::Name, ProblemKind::Unreachable, error.to_string()),
        Err(_) => return fail(Step::Name, ProblemKind::Timeout, "no answer from the name server".to_owned()),
    };
    let Some(found) = found else {
        return fail(Step::Name, ProblemKind::Unreachable, "the name has no address".to_owned());
    };
    tell(Step::Name, StepResult::Passed(found.ip().to_string()));

    tell(Step::Connect, StepResult::Running);
    match timeout(STEP_MAX, TcpStream::connect(found)).await {
        Ok(Ok(_)) => tell(Step::Connect, StepResult::Passed(format!("port {}", address.port))),
        Ok(Err(error)) => return fail(Step::Connect, ProblemKind::Unreachable, error.to_string()),
        Err(_) => return fail(Step::Connect, ProblemKind::Timeout, "nobody answers there".to_owned()),
    }

    let login = if address.tls { Step::Tls } else { Step::Login };
    tell(login, StepResult::Running);
    let client = match client(&broker, &password) {
        Ok(client) => client,
        Err(problem) => return tell(login, StepResult::Failed(problem)),
    };
    let user = client.whoami().await;
    if address.tls {
        if let Err(error @ (Error::Tls { .. } | Error::Unreachable { .. })) = &user {
            return tell(Step::Tls, StepResult::Failed(problem(error, "GET /api/whoami")));
        }
        tell(Step::Tls, StepResult::Passed(String::new()));
    }
    match user {
        Ok(user) => {
            tell(Step::Login, StepResult::Passed(format!("{} ({})", user.name, user.tags.join(", "))))
        }
        Err(error) => return tell(Step::Login, StepResult::Failed(problem(&error, "GET /api/whoami"))),
    }

    tell(Step::Version, StepResult::Running);
    match client.overview().await {
        Ok(overview) => {
            let name = if overview.product_name.is_empty() { "RabbitMQ" } else { &overview.product_name };
            let version = [&overview.product_version, &overview.rabbitmq_version]
                .into_iter()
                .find(|text| !text.is_empty());
            let version = version.map_or("", String::as_str);
            tell(Step::Version, StepResult::Passed(format!("{name} {version}")));
        }
        Err(error) => tell(Step::Version, StepResult::Failed(problem(&error, "GET /api/overview"))),
    }
}

/// Looks whether a broker answers where brokers answer on the machine one sits at.
pub async fn look_for_local(outbox: Outbox) {
    let url = "http://127.0.0.1:15672";
    let client =
        Client::builder(url).timeout(Duration::from_secs(3)).connect_timeout(Duration::from_secs(1)).build();
    let Ok(client) = client else { return };
    let product = match client.overview().await {
        Ok(overview) if overview.product_name.is_empty() => "RabbitMQ".to_owned(),
        Ok(overview) => format!("{} {}", overview.product_name, overview.product_version),
        // Something that asks for a password there is a broker as well.
        Err(Error::Login { .. }) => String::new(),
        Err(_) => return,
    };
    outbox.send(Event::FoundLocal { url: url.to_owned(), product });
}
