//! Runtime parameters, and the plugins that have theirs among them.

use serde_json::json;

use super::Admin;

#[test]
fn parameters_are_set_listed_and_cleared() {
    let admin = Admin::start();
    admin.run("vhosts declare --name eu");
    let value = r#"--component federation-upstream --value {"uri":"amqp://other"}"#;
    admin.run(&format!("declare parameter --name a {value}"));
    admin.run(&format!("-V eu parameters set --name b {value}"));
    assert_eq!(admin.names("parameters list_all"), ["a", "b"]);
    for list in ["list parameters", "parameters list", "parameters list_in --component federation-upstream"] {
        let row = admin.row(list);
        assert_eq!((&*row["name"], &*row["component"]), ("a", "federation-upstream"));
        assert!(row["value"].contains("amqp://other"), "{row:?}");
    }
    assert_eq!(admin.names("-V eu parameters list --component federation-upstream"), ["b"]);
    let refusal = admin.refused("parameters set --component unheard-of --name a --value {}");
    assert!(refusal.contains("component unheard-of not found"), "{refusal}");
    admin.run("delete parameter --component federation-upstream --name a");
    let line = "-V eu parameters clear --component federation-upstream --name b";
    admin.run(line);
    admin.missing(line);
    admin.run(&format!("{line} --idempotently"));
    assert!(admin.rows("parameters list_all").is_empty());
}

#[test]
fn global_parameters_are_set_listed_and_cleared() {
    let admin = Admin::start();
    admin.run(r#"global_parameters set --name mine --value {"a":[1,2]}"#);
    admin.run("global_parameters set --name cluster_tags --value {\"region\":\"eu\"}");
    assert!(admin.names("global_parameters list").contains(&"mine".to_owned()));
    assert_eq!(admin.api("/global-parameters/mine")["value"], json!({"a": [1, 2]}));
    assert!(admin.run("show overview").contains(r#""region": "eu""#));
    admin.run("global_parameters clear --name mine");
    assert!(!admin.names("global_parameters list").contains(&"mine".to_owned()));
}

/// Nothing acts on them, but they are kept.
#[test]
fn shovels_are_kept_as_parameters() {
    let admin = Admin::start();
    let uris = "--source-uri amqps://a --destination-uri amqps://b";
    admin.run(&format!(
        "shovels declare_amqp091 --name s {uris} --source-queue in --destination-exchange out"
    ));
    admin.run(&format!(
        "shovels declare_amqp10 --name t {uris} --source-address /queue/in --destination-address /queue/out"
    ));
    assert_eq!(admin.column("parameters list", "component"), ["shovel", "shovel"]);
    assert_eq!(admin.api("/parameters/shovel/%2F/s")["value"]["src-queue"], "in");
    for list in ["shovels list", "shovels list_all"] {
        assert!(admin.rows(list).is_empty(), "none runs");
    }
    let uri = |end: &str| {
        let value = admin.api("/parameters/shovel/%2F/s")["value"].clone();
        value[format!("{end}-uri")].as_str().expect("text").to_owned()
    };
    admin.run("shovels disable_tls_peer_verification_for_all_source_uris");
    admin.run("shovels disable_tls_peer_verification_for_all_destination_uris");
    assert!(uri("src").contains("verify=verify_none") && uri("dest").contains("verify=verify_none"));
    let files = "--node-local-ca-certificate-bundle-path /ca.pem \
                 --node-local-client-certificate-file-path /cert.pem --node-local-client-private-key-file-path /key.pem";
    admin.run(&format!("shovels enable_tls_peer_verification_for_all_source_uris {files}"));
    admin.run(&format!("shovels enable_tls_peer_verification_for_all_destination_uris {files}"));
    assert!(uri("src").contains("verify=verify_peer") && uri("dest").contains("cacertfile=/ca.pem"));
    admin.run("shovels delete --name s");
    admin.run("delete shovel --name t");
    admin.run("shovels delete --name s --idempotently");
    assert!(admin.rows("parameters list_all").is_empty());
}

#[test]
fn federation_upstreams_are_kept_as_parameters() {
    let admin = Admin::start();
    admin.run(
        "federation declare_upstream --name a --uri amqps://a --queue-name q --exchange-name x --max-hops 2",
    );
    admin.run(
        "federation declare_upstream_for_queues --name b --uri amqps://b --queue-name q --consumer-tag t",
    );
    admin.run("federation declare_upstream_for_exchanges --name c --uri amqps://c --exchange-name x --queue-type quorum");
    assert_eq!(admin.names("federation list_all_upstreams"), ["a", "b", "c"]);
    assert!(admin.rows("federation list_all_links").is_empty(), "there are none");
    let uri =
        || admin.api("/parameters/federation-upstream/%2F/a")["value"]["uri"].as_str().map(str::to_owned);
    admin.run("federation disable_tls_peer_verification_for_all_upstreams");
    assert!(uri().expect("text").contains("verify=verify_none"));
    admin.run(
        "federation enable_tls_peer_verification_for_all_upstreams --node-local-ca-certificate-bundle-path /ca.pem \
         --node-local-client-certificate-file-path /cert.pem --node-local-client-private-key-file-path /key.pem",
    );
    assert!(uri().expect("text").contains("verify=verify_peer"));
    for name in ["a", "b", "c"] {
        admin.run(&format!("federation delete_upstream --name {name}"));
    }
    admin.run("federation delete_upstream --name a --idempotently");
    assert!(admin.rows("federation list_all_upstreams").is_empty());
}
