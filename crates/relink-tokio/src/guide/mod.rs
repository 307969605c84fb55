// The first definition of a link counts: here links lead to modules, in the files to each other.
#![doc = include_str!("links.md")]
#![doc = ""]
#![doc = include_str!("../../guide/README.md")]

macro_rules! pages {
    ($($name:ident: $file:literal)*) => {
        $(
            #[doc = include_str!("links.md")]
            #[doc = ""]
            #[doc = include_str!(concat!("../../guide/", $file))]
            pub mod $name {}
        )*
    };
}

pages! {
    getting_started: "getting-started.md"
    after_every_connect: "after-every-connect.md"
    close_codes: "close-codes.md"
    tokens: "tokens.md"
    offline: "offline.md"
    relink_v1: "relink-v1.md"
    shutting_down: "shutting-down.md"
    tls_and_proxies: "tls-and-proxies.md"
    user_interface: "user-interface.md"
    metrics: "metrics.md"
    deploying: "deploying.md"
    testing: "testing.md"
    coming_from: "coming-from.md"
}
