//! Users: what they may, and how much.

use super::Admin;
use super::table::pairs;

#[test]
fn users_come_and_go() {
    let admin = Admin::start();
    admin.run("declare user --name ada --password secret --tags monitoring,policymaker");
    admin.run("users declare --name bob --password other --hashing-algorithm SHA512 --tags administrator");
    for list in ["list users", "users list"] {
        assert_eq!(admin.names(list), ["ada", "bob", "guest"]);
    }
    let ada = admin.rows("users list").remove(0);
    assert!(ada["tags"].contains("monitoring") && ada["tags"].contains("policymaker"), "{ada:?}");
    assert_eq!(admin.names("users list --page 2 --page-size 2"), ["guest"]);
    // Both kinds of hash let in, and tags count.
    assert!(admin.rows("-u ada -p secret list queues").is_empty());
    admin.run("-u bob -p other users declare --name ada --password changed --tags management");
    assert_eq!(admin.refused("-u ada -p secret list queues").trim(), "Not_Authorized");
    assert_eq!(admin.refused("-u ada -p changed list users").trim(), "Not administrator user");

    admin.run("delete user --name bob");
    admin.run("users delete --name ada");
    admin.missing("users delete --name ada");
    admin.run("users delete --name ada --idempotently");
    assert_eq!(admin.names("users list"), ["guest"]);
}

#[test]
fn a_hashed_password_lets_in() {
    let admin = Admin::start();
    for algorithm in ["SHA256", "SHA512"] {
        let line = format!("passwords salt_and_hash secret --hashing-algorithm {algorithm}");
        let hash = pairs(&admin.run(&line))["password hash"].clone();
        // It does not say how that was made.
        admin.run(&format!("users declare --name {algorithm} --password-hash {hash} --tags administrator"));
        assert!(admin.names(&format!("-u {algorithm} -p secret users list")).contains(&algorithm.to_owned()));
    }
}

#[test]
fn permissions_are_given_and_taken() {
    let admin = Admin::start();
    admin.run("vhosts declare --name eu");
    admin.run("users declare --name ada --password secret --tags management");
    admin.run("--vhost eu declare permissions --username ada --configure ^a --write ^b --read .*");
    admin.run("permissions declare --username ada --configure .* --write .* --read .*");
    for list in ["list permissions", "permissions list", "users permissions"] {
        let rows = admin.rows(list);
        let eu = rows.iter().find(|row| row["user"] == "ada" && row["vhost"] == "eu").expect("listed");
        assert_eq!((&*eu["configure"], &*eu["write"], &*eu["read"]), ("^a", "^b", ".*"));
        assert_eq!(rows.iter().filter(|row| row["user"] == "ada").count(), 2);
    }
    let as_ada = "-u ada -p secret --vhost eu";
    admin.run(&format!("{as_ada} queues declare --name a"));
    let refusal = admin.refused(&format!("{as_ada} queues declare --name x"));
    assert!(refusal.contains("refused for user 'ada'"), "{refusal}");

    admin.run("--vhost eu delete permissions --username ada");
    admin.run("permissions delete --username ada");
    admin.run("permissions delete --username ada --idempotently");
    assert!(!admin.column("permissions list", "user").contains(&"ada".to_owned()));
    let refusal = admin.refused(&format!("{as_ada} queues list"));
    assert_eq!(refusal.trim(), "User not authorised to access virtual host");
}

#[test]
fn limits_are_set_and_cleared() {
    let admin = Admin::start();
    admin.run("users declare --name ada --password secret");
    admin.run("declare user_limit --username ada --name max-connections --value 5");
    admin.run("user_limits declare --username ada --name max-channels --value 7");
    for list in ["list user_limits", "user_limits list", "users limits", "users limits --username ada"] {
        let row = admin.row(list);
        assert_eq!(row["username"], "ada");
        assert!(
            row["limits"].contains("max-channels: 7") && row["limits"].contains("max-connections: 5"),
            "{row:?}"
        );
    }
    admin.run("delete user_limit --username ada --name max-connections");
    assert_eq!(admin.row("user_limits list --username ada")["limits"].trim(), "max-channels: 7");
    admin.run("user_limits delete --username ada --name max-channels");
    assert!(admin.rows("user_limits list").is_empty());

    admin.run("declare vhost_limit --name max-queues --value 1");
    admin.run("vhost_limits declare --name max-connections --value 100");
    for list in ["list vhost_limits", "vhost_limits list"] {
        let row = admin.row(list);
        assert_eq!(row["vhost"], "/");
        assert!(row["limits"].contains("max-queues: 1"), "{row:?}");
    }
    admin.run("queues declare --name a");
    let refusal = admin.refused("queues declare --name b");
    assert!(refusal.contains("queue limit in vhost '/' (1) is reached"), "{refusal}");
    admin.run("delete vhost_limit --name max-queues");
    admin.run("vhost_limits delete --name max-connections");
    assert!(admin.rows("vhost_limits list").is_empty());
    admin.run("queues declare --name b");
}

#[test]
fn logins_are_counted() {
    let admin = Admin::start();
    admin.refused("-u guest -p wrong list queues");
    let node = admin.names("nodes list").remove(0);
    let rows = admin.rows(&format!("auth_attempts stats --node {node}"));
    let http = rows.iter().find(|row| row["Protocol"] == "http").expect("counted");
    assert_eq!(http["Failed"], "1");
    assert!(http["Number of attempts"].parse::<u32>().expect("a number") >= 2);
}
