//! What the program does without a broker, and how it finds one.

use super::Admin;
use super::table::pairs;

#[test]
fn a_broker_is_found_by_its_name_in_a_file() {
    let admin = Admin::start();
    let file = admin.home.path().join("rabbitmqadmin.conf").display().to_string();
    let port = admin.broker.admin().port();
    let node = format!("--node here --host 127.0.0.1 --port {port} --username guest --password guest");
    admin.run(&format!("--config {file} config_file add_node {node} --create-file-if-missing"));
    assert!(admin.run(&format!("--config {file} config_file show_path")).contains("rabbitmqadmin.conf"));
    assert!(admin.run(&format!("--config {file} config_file show")).contains("here"));
    admin.run("queues declare --name q");
    let found = admin.execute(&format!("--config {file} --node here queues list --columns name"), "");
    assert!(found.code == Some(0) && found.output.contains("q"), "{}{}", found.output, found.error);
    admin.run(&format!("--config {file} config_file update_node {node} --vhost eu"));
    admin.run(&format!("--config {file} config_file delete_node --node here"));
    assert!(!admin.run(&format!("--config {file} config_file show")).contains("here"));
}

#[test]
fn it_helps_shells_and_hashes_passwords() {
    let admin = Admin::start();
    for shell in ["bash", "zsh", "fish", "elvish", "nushell"] {
        assert!(admin.run(&format!("shell completions --shell {shell}")).contains("rabbitmqadmin"));
    }
    let hash = &pairs(&admin.run("passwords salt_and_hash secret"))["password hash"];
    assert_eq!(hash.len(), 48, "four bytes of salt and 32 of SHA-256: {hash}");
}
