//! Scripts as TOML, the errors of invalid ones, and which connection gets which entry.

use std::{io, time::Duration};

use crate::common::*;
use relink_testing::{AfterLast, Connection, Refusal, Script, ScriptError, Server};
use tokio_tungstenite::tungstenite::Message;

const EVERYTHING: &str = r#"
then = "repeat"

[[connection]]
steps = [
    { do = "accept", subprotocol = "chat" },
    { do = "send", text = "hello" },
    { do = "send", base64 = "AAH/" },
    { do = "expect", text = "hello yourself" },
    { do = "expect", base64 = "AAH/" },
    { do = "echo-until", text = "enough" },
    { do = "echo", for = "2s" },
    { do = "wait", for = "500ms" },
    { do = "ping" },
    { do = "silent", for = "1m 30s" },
    { do = "close", code = 1001, reason = "deploy" },
]

[[connection]]
steps = [{ do = "accept" }, { do = "close-no-code" }]

[[connection]]
steps = [{ do = "accept" }, { do = "drop" }]

[[connection]]
steps = [{ do = "accept" }, { do = "reset" }]

[[connection]]
steps = [{ do = "accept" }, { do = "silent" }]

[[connection]]
steps = [{ do = "refuse", status = 503, retry_after = 2 }]

[[connection]]
steps = [{ do = "refuse", status = 302, retry_after = "Fri, 31 Dec 1999 23:59:59 GMT", location = "/there" }]

[[connection]]
steps = [{ do = "garbage" }]

[[connection]]
steps = [{ do = "blackhole" }]

[[connection]]
steps = [{ do = "reset" }]

[[connection]]
steps = [{ do = "drop" }]
"#;

fn everything() -> Script {
    let there = Refusal::new(302).retry_after("Fri, 31 Dec 1999 23:59:59 GMT").location("/there");
    Script::new()
        .then(AfterLast::Repeat)
        .connection(
            Connection::with_subprotocol("chat")
                .send_text("hello")
                .send_binary([0, 1, 255])
                .expect_text("hello yourself")
                .expect_binary([0, 1, 255])
                .echo_until_text("enough")
                .echo_for(Duration::from_secs(2))
                .wait(Duration::from_millis(500))
                .ping()
                .silent_for(Duration::from_secs(90))
                .close(1001, "deploy"),
        )
        .connection(Connection::new().close_without_code())
        .connection(Connection::new().drop_socket())
        .connection(Connection::new().reset())
        .connection(Connection::new().silent())
        .connection(Connection::refuse(Refusal::new(503).retry_after(2)))
        .connection(Connection::refuse(there))
        .connection(Connection::garbage())
        .connection(Connection::blackhole())
        .connection(Connection::reset_at_once())
        .connection(Connection::drop_at_once())
}

#[test]
fn every_step_can_be_written_by_hand() {
    assert_eq!(Script::from_toml(EVERYTHING).unwrap(), everything());
}

#[test]
fn what_is_written_reads_back_the_same() {
    let text = toml::to_string(&everything()).unwrap();
    assert_eq!(Script::from_toml(&text).unwrap(), everything());
}

#[test]
fn an_empty_file_is_an_echo() {
    assert_eq!(Script::from_toml("").unwrap(), Script::echo());
}

#[test]
fn the_first_step_may_be_left_out() {
    let script = Script::from_toml("[[connection]]\nsteps = [{ do = 'echo' }]").unwrap();
    assert!(script.validate().is_ok());
}

/// What `from_toml` says about one connection with these steps.
fn complaint(steps: &str) -> String {
    Script::from_toml(&format!("[[connection]]\nsteps = [{steps}]")).unwrap_err().to_string()
}

#[test]
fn wrong_values_name_field_value_and_what_is_allowed() {
    let long = "x".repeat(124);
    for (steps, expected) in [
        (
            "{ do = 'refuse', status = 101 }".to_owned(),
            "connection 1, step 1 (refuse): `status` is 101; allowed is 200 to 599",
        ),
        (
            "{ do = 'refuse', status = 600 }".to_owned(),
            "connection 1, step 1 (refuse): `status` is 600; allowed is 200 to 599",
        ),
        (
            "{ do = 'refuse', status = 503, retry_after = '' }".to_owned(),
            "connection 1, step 1 (refuse): `retry_after` is \"\"; allowed is 1 to 1024 printable ASCII characters",
        ),
        (
            "{ do = 'refuse', status = 302, location = \"a\\r\\nb\" }".to_owned(),
            "connection 1, step 1 (refuse): `location` is \"a\\r\\nb\"; allowed is 1 to 1024 printable ASCII characters",
        ),
        (
            "{ do = 'accept', subprotocol = 'a b' }".to_owned(),
            "connection 1, step 1 (accept): `subprotocol` is \"a b\"; allowed is letters, digits and !#$%&'*+-.^_`|~, \
             at most 1024, or \"\"",
        ),
        (
            "{ do = 'ping' }, { do = 'close', code = 999 }".to_owned(),
            "connection 1, step 2 (close): `code` is 999; allowed is 1000 to 4999, but for 1005, 1006 and 1015, which \
             never go over the wire",
        ),
        (
            "{ do = 'close', code = 5000 }".to_owned(),
            "connection 1, step 1 (close): `code` is 5000; allowed is 1000 to 4999, but for 1005, 1006 and 1015, which \
             never go over the wire",
        ),
        (
            format!("{{ do = 'close', code = 1000, reason = '{long}' }}"),
            "connection 1, step 1 (close): `reason` is 124 bytes long; allowed is at most 123 bytes",
        ),
        (
            "{ do = 'echo', for = '0s' }".to_owned(),
            "connection 1, step 1 (echo): `for` is 0s; allowed is 1ms to 24h",
        ),
        (
            "{ do = 'wait', for = '999us' }".to_owned(),
            "connection 1, step 1 (wait): `for` is 999us; allowed is 1ms to 24h",
        ),
        (
            "{ do = 'silent', for = '25h' }".to_owned(),
            "connection 1, step 1 (silent): `for` is 1day 1h; allowed is 1ms to 24h",
        ),
        (
            "{ do = 'ping' }, { do = 'blackhole' }".to_owned(),
            "connection 1, step 2 (blackhole): `do` is blackhole; allowed is this only as the first step",
        ),
        (
            "{ do = 'reset' }, { do = 'ping' }".to_owned(),
            "connection 1, step 2 (ping): `do` is ping; allowed is nothing after `reset`, which never gets to it",
        ),
    ] {
        assert_eq!(complaint(&steps), expected);
    }
}

#[test]
fn codes_that_never_go_over_the_wire_are_no_codes_to_close_with() {
    for code in [1005, 1006, 1015] {
        let allowed =
            "allowed is 1000 to 4999, but for 1005, 1006 and 1015, which never go over the wire";
        let expected = format!("connection 1, step 1 (close): `code` is {code}; {allowed}");
        assert_eq!(complaint(&format!("{{ do = 'close', code = {code} }}")), expected);
        assert_eq!(Script::close_with(code, "").validate().unwrap_err().to_string(), {
            expected.replace("step 1", "step 2")
        });
    }
}

#[test]
fn a_mistake_in_a_step_is_told_with_its_line_and_its_number() {
    let text = "[[connection]]\nsteps = []\n\n[[connection]]\nsteps = [\n  { do = 'ping' },\n  { do = 'wait', for = 5 },\n]\n";
    let error = Script::from_toml(text).unwrap_err().to_string();
    assert!(
        error.starts_with("this is not a script: line 7, connection 2, step 2: invalid type"),
        "{error}"
    );
}

#[test]
fn messages_have_a_limit() {
    let fits =
        Connection::new().send_text("x".repeat(1024 * 1024)).send_binary(vec![0; 1024 * 1024]);
    assert_eq!(Script::from(fits).validate(), Ok(()));

    let text = Script::new()
        .connection(Connection::new())
        .connection(Connection::new().send_text("x".repeat(1024 * 1024 + 1)));
    assert_eq!(
        text.validate().unwrap_err().to_string(),
        "connection 2, step 2 (send): `text` is 1048577 bytes long; allowed is at most 1048576 bytes"
    );
    let binary = Script::from(Connection::new().expect_binary(vec![0; 1024 * 1024 + 1]));
    assert_eq!(
        binary.validate().unwrap_err().to_string(),
        "connection 1, step 2 (expect): `base64` is 1048577 bytes long; allowed is at most 1048576 bytes"
    );
}

#[test]
fn steps_that_end_a_connection_come_last() {
    for last in [
        Connection::refuse(503),
        Connection::garbage(),
        Connection::blackhole(),
        Connection::reset_at_once(),
        Connection::drop_at_once(),
        Connection::new().silent(),
        Connection::new().close(1000, ""),
        Connection::new().close_without_code(),
        Connection::new().drop_socket(),
        Connection::new().reset(),
    ] {
        let error = Script::from(last.ping()).validate().unwrap_err();
        assert!(matches!(error, ScriptError::Value { field: "do", name: "ping", .. }), "{error}");
    }
    assert!(complaint("{ do = 'echo' }, { do = 'ping' }").contains("nothing after `echo`"));
}

#[test]
fn what_is_not_a_script_is_explained() {
    for (steps, expected) in [
        ("{ do = 'dance' }", "unknown variant `dance`"),
        ("{ text = 'hello' }", "missing field `do`"),
        ("{ do = 'wait' }", "missing field `for`"),
        ("{ do = 'echo', for = 'a while' }", "`for` is \"a while\""),
        ("{ do = 'echo', for = 2 }", "integer `2`, expected `for` as text, such as \"500ms\""),
        ("{ do = 'echo', for = '-2s' }", "`for` is \"-2s\""),
        (
            "{ do = 'echo', for = '99999999999999999999y' }",
            "`for` is \"99999999999999999999y\": number is too large",
        ),
        ("{ do = 'send' }", "needs `text` or `base64`"),
        ("{ do = 'send', text = 'a', base64 = 'AA==' }", "not both"),
        ("{ do = 'expect', base64 = '%' }", "`base64` is \"%\", which is not standard base64"),
        ("{ do = 'close' }", "missing field `code`"),
        ("{ do = 'close', code = 70000 }", "`code` is 70000; allowed is 1000 to 4999, but"),
        ("{ do = 'close', code = -1 }", "`code` is -1; allowed is 1000 to 4999, but"),
        (
            "{ do = 'close', code = '1000' }",
            "string \"1000\", expected a number for `code`: 1000 to 4999",
        ),
        ("{ do = 'close', code = 1e3 }", "expected a number for `code`"),
        ("{ do = 'refuse', status = 70000 }", "`status` is 70000; allowed is 200 to 599"),
        ("{ do = 'refuse', status = -1 }", "`status` is -1; allowed is 200 to 599"),
        (
            "{ do = 'refuse', status = 503, retry_after = 31536001 }",
            "`retry_after` is 31536001; allowed is 0 to 31536000",
        ),
        (
            "{ do = 'refuse', status = 503, retry_after = 18446744073709551615 }",
            "`retry_after` is 18446744073709551615; allowed is 0 to 31536000 seconds",
        ),
        (
            "{ do = 'refuse', status = 503, retry_after = -1 }",
            "`retry_after` is -1; allowed is 0 to 31536000 seconds",
        ),
        ("{ do = 'refuse' }", "missing field `status`"),
        (
            "{ do = 'refuse', status = 503, retry_after = true }",
            "expected `retry_after` as 0 to 31536000 seconds, or as text for the header",
        ),
    ] {
        let error = complaint(steps);
        assert!(error.contains(expected), "{error}");
        assert!(error.starts_with("this is not a script: ") && error.contains("line 2"), "{error}");
    }
    for list in ["[]", "['close', 1001, 'x']", "['ping']", "'ping'"] {
        let error = complaint(list);
        assert!(error.contains("expected a table") && error.contains("line 2"), "{list}: {error}");
    }
    for text in ["connection = [[]]", "connection = [[[{ do = 'ping' }]]]"] {
        let error = Script::from_toml(text).unwrap_err().to_string();
        assert!(error.contains("expected a table") && error.contains("line 1"), "{text}: {error}");
    }
    assert!(
        Script::from_toml("then = 'stop'")
            .unwrap_err()
            .to_string()
            .contains("unknown variant `stop`")
    );
    assert!(Script::from_toml("= 1").is_err());
}

#[test]
fn unknown_fields_are_errors_everywhere() {
    for known in [
        "do = 'accept'",
        "do = 'refuse', status = 503",
        "do = 'garbage'",
        "do = 'blackhole'",
        "do = 'send', text = ''",
        "do = 'expect', text = ''",
        "do = 'echo'",
        "do = 'echo-until', text = ''",
        "do = 'wait', for = '1s'",
        "do = 'ping'",
        "do = 'silent'",
        "do = 'close', code = 1000",
        "do = 'close-no-code'",
        "do = 'drop'",
        "do = 'reset'",
    ] {
        assert!(
            Script::from_toml(&format!("[[connection]]\nsteps = [{{ {known} }}]")).is_ok(),
            "{known}"
        );
        let error = complaint(&format!("{{ {known}, extra = 1 }}"));
        assert!(error.contains("unknown field `extra`"), "{known}: {error}");
    }
    assert!(Script::from_toml("extra = 1").is_err());
    assert!(Script::from_toml("[[connection]]\nextra = 1").is_err());
}

#[tokio::test]
async fn a_server_does_not_start_with_a_wrong_script() {
    let wrong = || Script::close_with(1, "");
    let error = Server::start(wrong()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.get_ref().is_some_and(|inner| inner.is::<ScriptError>()), "{error}");
    assert_eq!(Server::spawn_thread(wrong()).unwrap_err().kind(), io::ErrorKind::InvalidInput);

    let server = start(Connection::new().send_text("still the old one")).await;
    assert!(server.set_script(wrong()).is_err());
    assert_eq!(receive(&mut connect(&server).await).await, Message::text("still the old one"));
}

/// The first message to each of these connections; "-" if it is refused.
async fn greetings(server: &Server, count: usize) -> Vec<String> {
    let mut greetings = Vec::new();
    for _ in 0..count {
        match tokio_tungstenite::connect_async(server.url()).await {
            Ok((mut client, _)) => {
                futures_util::SinkExt::send(&mut client, Message::text("echo")).await.unwrap();
                greetings.push(receive(&mut client).await.to_string());
            }
            Err(_) => greetings.push("-".to_owned()),
        }
    }
    greetings
}

fn one_two() -> Script {
    Script::new()
        .connection(Connection::new().send_text("1"))
        .connection(Connection::new().send_text("2"))
}

#[tokio::test]
async fn the_last_entry_repeats_by_default() {
    assert_eq!(greetings(&start(one_two()).await, 4).await, ["1", "2", "2", "2"]);
}

#[tokio::test]
async fn the_list_can_repeat() {
    assert_eq!(
        greetings(&start(one_two().then(AfterLast::Repeat)).await, 5).await,
        ["1", "2", "1", "2", "1"]
    );
    assert_eq!(greetings(&start(Script::new().then(AfterLast::Repeat)).await, 1).await, ["echo"]);
}

#[tokio::test]
async fn echo_can_follow() {
    assert_eq!(
        greetings(&start(one_two().then(AfterLast::Echo)).await, 3).await,
        ["1", "2", "echo"]
    );
}

#[tokio::test]
async fn refusals_can_follow() {
    let server = start(one_two().then(AfterLast::Refuse)).await;
    assert_eq!(greetings(&server, 4).await, ["1", "2", "-", "-"]);
    assert_eq!(server.connections(), 4);
}

#[tokio::test]
async fn a_new_script_starts_from_its_first_entry_and_leaves_live_connections_alone() {
    let server = start(one_two()).await;
    let mut old = connect(&server).await;
    server.set_script(one_two().then(AfterLast::Echo)).unwrap();
    assert_eq!(greetings(&server, 3).await, ["1", "2", "echo"]);
    assert_eq!(receive(&mut old).await, Message::text("1"));
    futures_util::SinkExt::send(&mut old, Message::text("still here")).await.unwrap();
    assert_eq!(receive(&mut old).await, Message::text("still here"));
}
