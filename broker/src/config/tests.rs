//! Tests of the configuration's layers, of its errors, and of the reference file for operators.

use std::ffi::OsString;
use std::path::Path;

use super::keys::{Given, KEYS};
use super::*;

/// The file that operators copy from.
const REFERENCE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/leveret.toml"));

/// Loads a file with that text, variables `NAME=value`, and flags for `amqp.listen`.
fn load(text: &str, variables: &[&str], listen: &[&str]) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("leveret.toml");
    std::fs::write(&file, text).unwrap();
    let values = listen.iter().map(|&value| value.to_owned()).collect();
    let flags = [Flag { flag: "--amqp-listen", key: "amqp.listen", values }];
    let named = |error: ConfigError| error.to_string().replace(folder.path().to_str().unwrap(), "");
    Config::load(Some(&file), environment(variables), &flags).map_err(named)
}

fn environment(variables: &[&str]) -> Vec<(OsString, OsString)> {
    let pair = |variable: &&str| {
        let (name, value) = variable.split_once('=').unwrap();
        (name.into(), value.into())
    };
    variables.iter().map(pair).collect()
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let check = |text: &str, variables: &[&str], listen: &[&str], expected: &[&str]| {
        let loaded = load(text, variables, listen).unwrap();
        let found: Vec<String> = loaded.config.amqp.listen.iter().map(SocketAddr::to_string).collect();
        assert_eq!(found, expected);
    };
    let file = "[amqp]\nlisten = ['127.0.0.2:1']";
    let variable = "LEVERET_AMQP_LISTEN=127.0.0.3:1, [::1]:2";
    check("", &[], &[], &["127.0.0.1:5672"]);
    check(file, &[], &[], &["127.0.0.2:1"]);
    check(file, &[variable], &[], &["127.0.0.3:1", "[::1]:2"]);
    check(file, &[variable], &["127.0.0.4:1"], &["127.0.0.4:1"]);
    check(file, &[variable], &["127.0.0.4:1", "127.0.0.4:2"], &["127.0.0.4:1", "127.0.0.4:2"]);
}

#[test]
fn an_unknown_key_is_an_error_that_says_where_it_is_and_what_there_is() {
    let check = |text: &str, expected: &str| assert_eq!(load(text, &[], &[]).unwrap_err(), expected);
    check(
        "\n[log]\nfilter = 'info'\nfromat = 'json'\n",
        "/leveret.toml:4: unknown key log.fromat; [log] has filter, format",
    );
    check(
        "[amqp]\n\nframe.max = 5",
        "/leveret.toml:3: unknown key amqp.frame; [amqp] has listen, tls_listen, frame_max, \
        channel_max, heartbeat_s, handshake_timeout_ms, max_message_bytes, consumer_timeout_ms",
    );
    check(
        "datadir = ''",
        "/leveret.toml:1: unknown key datadir; there are data_dir, default_user, default_password, \
        load_definitions, loopback_users, and the sections amqp, admin, audit, tls, identity, log, store, memory, disk, runtime",
    );
    check("log = 5", "/leveret.toml:1: log must be a section, as in [log]");
    check("data_dir = { path = '' }", "/leveret.toml:1: data_dir must be a string, not a section");
}

#[test]
fn a_file_that_is_not_toml_is_an_error_with_its_line() {
    let error = load("[log]\nfilter info\n", &[], &[]).unwrap_err();
    assert!(error.starts_with("/leveret.toml:2: "), "{error}");
    let error = load("[log]\nformat = 'text'\nformat = 'json'\n", &[], &[]).unwrap_err();
    assert!(error.starts_with("/leveret.toml:3: duplicate key"), "{error}");
    let error = Config::load(Some(Path::new("/nonexistent/leveret.toml")), [], &[]).unwrap_err().to_string();
    assert!(error.starts_with("cannot read configuration file /nonexistent/leveret.toml: "), "{error}");
}

#[test]
fn a_wrong_value_is_an_error_with_its_place_and_the_rule() {
    let check = |text: &str, variables: &[&str], listen: &[&str], expected: &str| {
        assert_eq!(load(text, variables, listen).unwrap_err(), expected)
    };
    let in_file = |text: &str, expected: &str| {
        let (section, setting) = text.split_once(": ").unwrap();
        check(&format!("[{section}]\n{setting}"), &[], &[], &format!("/leveret.toml:2: {expected}"))
    };
    in_file("amqp: frame_max = 4095", "amqp.frame_max must be between 4096 and 134217728, not 4095");
    in_file("amqp: frame_max = 0", "amqp.frame_max must be between 4096 and 134217728, not 0");
    in_file("amqp: frame_max = -1", "amqp.frame_max must be between 0 and 4294967295");
    in_file("amqp: frame_max = '8k'", "amqp.frame_max must be an integer, not a string");
    in_file("amqp: frame_max = true", "amqp.frame_max must be an integer, not a boolean");
    in_file("amqp: channel_max = 0", "amqp.channel_max must be at least 1");
    in_file("amqp: channel_max = 65536", "amqp.channel_max must be between 0 and 65535");
    in_file("amqp: max_message_bytes = 0", "amqp.max_message_bytes must be between 1 and 536870912, not 0");
    in_file("amqp: listen = '127.0.0.1:5672'", "amqp.listen must be a list of strings, not a string");
    in_file("amqp: listen = [5672]", "amqp.listen must be a list of strings, not a list of something else");
    in_file("amqp: listen = []", "amqp.listen must not be empty unless amqp.tls_listen has an address");
    in_file("amqp: tls_listen = ['[::]:5671']", "amqp.tls_listen needs tls.certificate and tls.key");
    in_file("admin: tls_listen = ['[::]:15671']", "admin.tls_listen needs tls.certificate and tls.key");
    in_file("tls: key = 'server.key'", "tls.key needs tls.certificate beside it");
    in_file("tls: certificate = 'server.crt'", "tls.certificate needs tls.key beside it");
    in_file("identity: product = ''", "identity.product must have 1 to 255 bytes");
    in_file(
        "store: sync = 'sometimes'",
        "store.sync must be one of always, interval, never, not \"sometimes\"",
    );
    in_file("store: sync = 3", "store.sync must be one of always, interval, never");
    in_file("store: sync_interval_ms = 0", "store.sync_interval_ms must be between 1 and 3600000, not 0");
    in_file("memory: high_watermark = 1.1", "memory.high_watermark must be between 0.0 and 1.0");
    in_file("memory: high_watermark = nan", "memory.high_watermark must be between 0.0 and 1.0");
    in_file("runtime: threads = 1025", "runtime.threads must be between 0 and 1024, not 1025");
    in_file("disk: free_limit_bytes = 1979-05-27", "disk.free_limit_bytes must be an integer, not a date");
    check("data_dir = ''", &[], &[], "/leveret.toml:1: data_dir must not be empty");
    check(
        "",
        &["LEVERET_AMQP_FRAME_MAX=4k"],
        &[],
        "environment variable LEVERET_AMQP_FRAME_MAX: amqp.frame_max must be an integer, which \"4k\" is not",
    );
    check(
        "",
        &["LEVERET_AMQP_FRAME_MAX=4"],
        &[],
        "environment variable LEVERET_AMQP_FRAME_MAX: amqp.frame_max must be between 4096 and 134217728, not 4",
    );
    check(
        "",
        &[],
        &["localhost"],
        "flag --amqp-listen: amqp.listen must be a list of ADDRESS:PORT such as 127.0.0.1:5672 or [::]:5672, which \
         \"localhost\" is not",
    );
}

#[test]
fn values_at_their_bounds_are_accepted() {
    let check = |text: &str| drop(load(text, &[], &[]).unwrap());
    check("[amqp]\nframe_max = 4096");
    check("[amqp]\nframe_max = 0x8000000");
    check("[amqp]\nchannel_max = 65535\nheartbeat_s = 0");
    check("[memory]\nhigh_watermark = 0");
    check("[memory]\nhigh_watermark = 1.0");
    check("[admin]\nlisten = []");
    check("[amqp]\nlisten = []\ntls_listen = ['[::]:5671']\n[tls]\ncertificate = 'a'\nkey = 'b'");
    check("disk.free_limit_bytes = 0\nlog.format = 'json'");
}

#[test]
fn a_rule_is_held_against_the_value_that_wins() {
    let loaded = load("[amqp]\nframe_max = 1", &["LEVERET_AMQP_FRAME_MAX=8192"], &[]).unwrap();
    assert_eq!(loaded.config.amqp.frame_max, 8192);
}

#[test]
fn the_environment_can_take_back_an_optional_value() {
    let text = "[tls]\ncertificate = 'a'\nkey = 'b'";
    let loaded = load(text, &["LEVERET_TLS_CERTIFICATE=", "LEVERET_TLS_KEY="], &[]).unwrap();
    assert_eq!(loaded.config.tls, Tls::default());
}

#[test]
fn a_variable_that_looks_like_a_key_but_is_none_is_an_error() {
    let error = load("", &["LEVERET_STORE_SINC=never"], &[]).unwrap_err();
    assert!(
        error.starts_with("environment variable LEVERET_STORE_SINC: unknown key store.sinc; [store] has "),
        "{error}"
    );
    for other_peoples in [
        "LEVERET_PORT=tcp://10.0.0.1:5672",
        "LEVERET_PORT_5672_TCP_ADDR=10.0.0.1",
        "LEVERET_SERVICE_HOST=10.0.0.1",
        "LEVERET_ADMIN_SERVICE_PORT=15672",
        "LEVERET_ADMIN_PORT=tcp://10.0.0.1:15672",
        "LEVERET_CONFIG=leveret.toml",
        "LEVERET_LOG=debug",
        "AMQP_LISTEN=nonsense",
    ] {
        assert_eq!(load("", &[other_peoples], &[]).unwrap().config, Config::default(), "{other_peoples}");
    }
}

#[test]
fn the_effective_configuration_says_where_values_come_from_and_keeps_the_password() {
    let shown =
        load("default_password = 'hunter2'\n[amqp]\nheartbeat_s = 5", &["LEVERET_LOG_FORMAT=json"], &[])
            .unwrap()
            .effective();
    let lines: Vec<String> =
        shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let has =
        |expected: &str| assert!(lines.iter().any(|line| line.ends_with(expected)), "{expected} in\n{shown}");
    has("/leveret.toml:3");
    has("format = \"json\" # environment variable LEVERET_LOG_FORMAT");
    has("frame_max = 131072 # default");
    has("# certificate is not set # default");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(!format!("{:?}", Config::default()).contains("Secret(\"guest"));
    // What it prints can be read back, the password apart.
    load(&shown, &[], &[]).unwrap();
}

#[test]
fn the_reference_file_changes_nothing_as_it_stands() {
    assert_eq!(load(REFERENCE, &[], &[]).unwrap().config, Config::default());
}

#[test]
fn the_reference_file_has_every_key_with_its_default_and_a_comment() {
    let default = Config::default();
    let mut section = String::new();
    let mut previous = "";
    let mut found = Vec::new();
    for line in REFERENCE.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = format!("{name}.");
        } else if let Some((name, value)) = setting(line) {
            let name = format!("{section}{name}");
            let key = keys::find(&name).unwrap_or_else(|| panic!("{name} is documented but is no key"));
            if let Some(expected) = (key.show)(&default) {
                assert_eq!(value.replace('_', ""), expected.replace('_', ""), "{name}");
            }
            assert!(previous.starts_with('#'), "{name} has no comment above it");
            found.push(key.name);
        }
        previous = line;
    }
    let keys: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(found, keys, "the reference file has each key once, in the order of the table");
}

#[test]
fn the_reference_file_still_loads_with_every_setting_uncommented() {
    let uncomment = |line: &'static str| if setting(line).is_some() { &line[1..] } else { line };
    let text = REFERENCE.lines().map(uncomment).collect::<Vec<_>>().join("\n");
    let mut config = load(&text, &[], &[]).unwrap().config;
    assert!(config.tls.certificate.is_some() && config.tls.key.is_some() && config.tls.client_ca.is_some());
    config.tls = Tls::default();
    assert!(config.load_definitions.take().is_some());
    assert_eq!(config, Config::default());
}

/// The `name` and `value` of a line `#name = value`; prose has a blank after the `#`.
fn setting(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix('#')?.split_once(" = ")?;
    name.chars().all(|c| c.is_ascii_lowercase() || c == '_').then_some((name, value))
}

#[test]
fn every_key_reads_back_what_it_shows() {
    let default = Config::default();
    for key in KEYS {
        let Some(shown) = (key.show)(&default) else { continue };
        let text = match key.name.split_once('.') {
            Some((section, name)) => format!("[{section}]\n{name} = {shown}"),
            None => format!("{} = {shown}", key.name),
        };
        assert_eq!(load(&text, &[], &[]).unwrap().config, default, "{}", key.name);
    }
}

#[test]
fn every_key_has_a_variable_of_its_own() {
    let mut variables: Vec<String> = KEYS.iter().map(|key| key.variable()).collect();
    variables.sort();
    variables.dedup();
    assert_eq!(variables.len(), KEYS.len());
    assert!(variables.iter().any(|variable| variable == "LEVERET_STORE_SYNC_INTERVAL_MS"));
    for key in KEYS {
        assert!((key.set)(&mut Config::default(), &Given::Other("a date")).is_err(), "{}", key.name);
    }
}

#[test]
fn a_configuration_made_in_code_is_checked_too() {
    assert!(Config::default().validate().is_ok());
    let mut config = Config::default();
    config.amqp.frame_max = 5;
    assert_eq!(
        config.validate().unwrap_err().to_string(),
        "default: amqp.frame_max must be between 4096 and 134217728, not 5"
    );
}
