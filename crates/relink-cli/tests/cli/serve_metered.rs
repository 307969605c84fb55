//! `relink serve --protocol metered`, with `relink connect --profile metered` as its client.

use serde_json::json;

use crate::support::{Relink, file_name};

const SERVE: [&str; 6] = ["serve", "--json", "--listen", "127.0.0.1:0", "--protocol", "metered"];

#[test]
fn it_welcomes_and_publishes_and_says_when_it_goes() {
    let mut serve = Relink::start(SERVE);
    let url = serve.event("listening")["url"].as_str().expect("an address").to_owned();
    let room = ["--profile", "metered", "--channel", "room", "--to", "room"];
    let mut relink = Relink::connect(&url, &room);
    relink.event("subscribed");
    relink.type_line("hello");
    let message = relink.event("message");
    assert_eq!(message["channel"], "room");
    let expected = r#"{"type":"message","channel":"room","from":"peer-1","data":"hello"}"#;
    assert_eq!(message["text"], expected);
    let frame = serve.event("frame");
    assert_eq!((&frame["from"], &frame["frame"]["type"]), (&json!("server"), &json!("welcome")));

    serve.signal("INT");
    assert_eq!(relink.event("going_away")["retry_after_ms"], 1000);
    assert_eq!(relink.event("disconnected")["code"], 1001);
    assert_eq!(serve.end().status, Some(0));
}

#[test]
fn a_script_closes_with_a_code_of_the_table() {
    let script =
        file_name("metered.toml", "[[connection]]\nsteps = [{ do = 'close', code = 4020 }]\n");
    let mut serve = Relink::start(SERVE.into_iter().chain(["--script", &script]));
    let url = serve.event("listening")["url"].as_str().expect("an address").to_owned();
    let ended = Relink::connect(&url, &["--profile", "metered"]).end();
    assert_eq!(ended.status, Some(3));
    assert_eq!(ended.last_event()["reason"], "admin_disconnect");
}
