//! Other people's clients against the real broker: what passes here also passes on RabbitMQ.
//!
//! Each test is one client with its scenarios, which share a broker and print a line each. The scenarios of clients in
//! other languages are in `tests/interop/`; their packages are installed by name, in the versions pinned there, below
//! the target directory.
//!
//! - `LEVERET_INTEROP_URL=amqp://guest:guest@127.0.0.1:5673` runs everything against another broker. Scenarios that
//!   kill the broker are skipped there, those that restart it need `LEVERET_INTEROP_RESTART`, a command that does.
//! - `LEVERET_INTEROP_ONLY="confirm topic"` runs the scenarios with one of these words in their name.

mod amqprs;
mod foreign;
mod lapin;
mod raw;
mod subject;

#[test]
fn pika() {
    foreign::python("pika_scenarios.py");
}

#[test]
fn kombu_and_celery() {
    foreign::python("kombu_scenarios.py");
}

#[test]
fn amqplib() {
    foreign::node("amqplib_scenarios.mjs");
}

#[test]
fn rabbitmq_client() {
    foreign::node("rabbitmq_client_scenarios.mjs");
}

#[test]
fn amqp_tools() {
    foreign::plain_python("amqp_tools_scenarios.py");
}

#[test]
fn lapin() {
    lapin::run();
}

#[test]
fn frames() {
    raw::run();
}

#[test]
fn amqprs_own_tests() {
    amqprs::run();
}
