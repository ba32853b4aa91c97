//! `login`, `logout` and `limits`: what they compile to, and the exact problems.

use super::*;
use crate::http::set_cookie::{Attributes, SameSite};
use crate::policy::matching::PathPattern;

#[test]
fn every_key_of_login_and_logout_is_read() {
    let config = parsed(json!({
        "hosts": ["shop.example.com"],
        "cache": {"ttl": "5s"},
        "limits": {"idle": "30m", "age": "12h"},
        "login": {"url": "https://login.example.com/?next={url}"},
        "logout": {"path": "/bye", "methods": ["POST", "GET"], "redirect": "https://shop.example.com/"},
        "shadow": true,
        "rules": [{"match": {"paths": ["/a"]}, "session": "required", "login": "off"},
                  {"match": {"paths": ["/b"]}, "session": "required", "login": {"url": "/in"}, "on_forbidden": "login",
                   "recheck": "30s", "shadow": false},
                  {"match": {"paths": ["/in"]}, "session": "optional"}]
    }));
    assert_eq!(config.limits, Limits { idle_ms: Some(1_800_000), age_ms: Some(43_200_000) });
    let logout = config.logout.as_ref().unwrap();
    assert_eq!(logout.path, PathPattern::Exact("/bye".to_owned()));
    assert_eq!(logout.methods, ["POST", "GET"]);
    assert_eq!(logout.redirect.as_deref(), Some("https://shop.example.com/"));
    let rules: Vec<_> = config.rules.iter().collect();
    assert!(rules[0].login.is_none());
    assert!(!rules[1].login.as_ref().unwrap().has_return_url());
    assert_eq!((rules[1].on_forbidden, rules[1].recheck_ms), (OnForbidden::Login, Some(30_000)));
    assert!(fallback(&config).login.as_ref().unwrap().has_return_url());
    assert!(rules.iter().all(|rule| rule.shadow), "what is in shadow at the top is in shadow everywhere");
}

#[test]
fn a_logout_needs_only_a_path() {
    let config = parsed(json!({"logout": {"path": "/logout"}}));
    let logout = config.logout.unwrap();
    assert_eq!((logout.methods, logout.redirect), (vec!["POST".to_owned()], None));
}

#[test]
fn a_rule_has_the_cookie_of_the_top_level_or_wholly_its_own() {
    let config = parsed(json!({
        "cookie": {"path": "/app", "secure": false, "http_only": false, "same_site": "Strict", "domain": ".example.com"},
        "rules": [{"match": {"paths": ["/a"]}, "session": "required", "cookie": {}},
                  {"match": {"paths": ["/b"]}, "session": "required",
                   "cookie": {"partitioned": true, "same_site": "None"}}]
    }));
    let cookies: Vec<_> = config.rules.iter().map(|rule| (*rule.cookie).clone()).collect();
    let plain = Attributes {
        path: "/".to_owned(),
        domain: None,
        secure: true,
        http_only: true,
        same_site: SameSite::Lax,
        partitioned: false,
    };
    let embedded = Attributes { partitioned: true, same_site: SameSite::None, ..plain.clone() };
    let top = Attributes {
        path: "/app".to_owned(),
        domain: Some(".example.com".to_owned()),
        secure: false,
        http_only: false,
        same_site: SameSite::Strict,
        partitioned: false,
    };
    assert_eq!(cookies, [plain, embedded, top]);
}

#[test]
fn cookies_that_browsers_refuse_are_reported_where_their_attributes_are() {
    let host = "browsers take a cookie named __Host-… only with secure, path \"/\" and no domain";
    for (changes, expected) in [
        (
            json!({"cookie": {"same_site": "None", "secure": false}}),
            vec!["cookie: session-cookie would not be taken: browsers refuse SameSite=None without secure".to_owned()],
        ),
        (
            json!({"cookie": {"partitioned": true, "secure": false}}),
            vec!["cookie: session-cookie would not be taken: browsers refuse Partitioned without secure".to_owned()],
        ),
        (
            json!({"cookie": {"domain": "a.example"}, "token_from": [{"cookie": "__Host-a"}],
                "rules": [{"session": "required", "match": {"paths": ["/a"]}}]}),
            vec![format!("cookie: __Host-a would not be taken: {host}")],
        ),
        (
            json!({"token_from": [{"cookie": "__Host-a"}],
                "rules": [{"session": "required", "match": {"paths": ["/a"]}, "cookie": {"path": "/a"}}],
                "default": {"session": "required", "cookie": {"domain": "a.example"}}}),
            vec![
                format!("rules[0].cookie: __Host-a would not be taken: {host}"),
                format!("default.cookie: __Host-a would not be taken: {host}"),
            ],
        ),
    ] {
        assert_eq!(problems(changes), expected);
    }
    parsed(json!({"cookie": {"domain": "a.example"}, "token_from": [{"header": "__host-token"}]}));
}

#[test]
fn the_former_place_of_the_cookie_is_refused_and_the_new_one_named() {
    assert_eq!(
        problems(json!({"logout": {"path": "/a", "cookie": {"path": "/"}}})),
        ["logout.cookie: has moved to cookie, at the top level or in a rule"]
    );
}

#[test]
fn invalid_values_are_reported_with_what_is_expected() {
    let url = "an absolute http or https URL, or a path that starts with one `/`, with at most one `{url}` in its \
               path, query or fragment";
    let to = "an absolute http or https URL, or a path that starts with one `/`";
    for (changes, expected) in [
        (json!({"login": {}}), "login.url: is missing; expected the URL of the login page, such as \"/login?next={url}\"".to_owned()),
        (json!({"login": {"url": "//evil.example/"}}), format!("login.url: found \"//evil.example/\", expected {url}")),
        (json!({"login": {"url": "javascript:x"}}), format!("login.url: found \"javascript:x\", expected {url}")),
        (json!({"login": "off"}), "login: found \"off\", expected an object".to_owned()),
        (json!({"login": {"url": "https://a.example/?{url}"}}),
         "login: {url} needs the hosts that people may be brought back to; name them in hosts, or in match.hosts of rules".to_owned()),
        (json!({"logout": {}}), "logout.path: is missing; expected the path that logs out, such as \"/logout\"".to_owned()),
        (json!({"logout": {"path": "/a/*"}}),
         "logout.path: found \"/a/*\", expected \"/exact\" of letters, digits and -._~!$&'()+,=:@/ (without empty or dot segments)".to_owned()),
        (json!({"logout": {"path": "/a", "redirect": "/{url}"}}), format!("logout.redirect: found \"/{{url}}\", expected {to}")),
        (json!({"logout": {"path": "/a", "redirect": "\\\\evil.example"}}), format!("logout.redirect: found \"\\\\\\\\evil.example\", expected {to}")),
        (json!({"logout": {"path": "/a", "methods": []}}),
         "logout.methods: found an empty list, expected at least one entry, or the key left out".to_owned()),
        (json!({"cookie": {"path": "/;x"}}),
         "cookie.path: found \"/;x\", expected a path that starts with `/`, in visible ASCII without `;`".to_owned()),
        (json!({"cookie": {"domain": "a;b"}}),
         "cookie.domain: found \"a;b\", expected a domain, such as \"example.com\"".to_owned()),
        (json!({"cookie": {"same_site": "lax"}}),
         "cookie.same_site: \"lax\" is none of Strict, Lax, None".to_owned()),
        (json!({"cookie": {"partitioned": "yes"}}),
         "cookie.partitioned: found \"yes\", expected true or false".to_owned()),
        (json!({"limits": {"idle": "5s"}, "cache": {"ttl": "5s"}}),
         "limits.idle: is no more than cache.ttl, so sessions in use would end; expected a longer one".to_owned()),
        (json!({"limits": {"age": "1ms"}}),
         "limits.age: found \"1ms\", expected a duration from 1s to 365d, such as \"250ms\", \"5s\", \"10m\"".to_owned()),
        (json!({"default": {"session": "required", "recheck": "999ms"}}),
         "default.recheck: found \"999ms\", expected a duration from 1s to 30d, such as \"250ms\", \"5s\", \"10m\"".to_owned()),
        (json!({"default": {"session": "required", "on_forbidden": "login"}}),
         "default.on_forbidden: sends people to log in, but there is no login; expected login.url, here or at the top".to_owned()),
    ] {
        assert_eq!(problems(changes), [expected]);
    }
}

#[test]
fn a_login_page_that_certainly_needs_a_session_is_refused() {
    let closed = |at: &str, label: &str| {
        vec![format!(
            "{at}: the login page needs a session itself, under the rule {label:?}; give it a rule of its own with \
             session off or optional"
        )]
    };
    assert_eq!(problems(json!({"login": {"url": "/login"}})), closed("login", "default"));
    let hosts = json!(["shop.example.com", "login.example.com", "*.example.org"]);
    for url in ["https://login.example.com/", "https://a.example.org/x?y", "/login", "http://LOGIN.example.com:80/"] {
        assert_eq!(problems(json!({"hosts": hosts, "login": {"url": url}})), closed("login", "default"), "{url}");
    }
    parsed(json!({"hosts": hosts, "login": {"url": "https://accounts.example.net/"}}));
    let rules = |session: &str| json!([{"name": "open", "match": {"paths": ["/login"], "methods": ["GET"]}, "session": session}]);
    for open in ["off", "optional"] {
        parsed(json!({"login": {"url": "/login"}, "rules": rules(open)}));
    }
    assert_eq!(problems(json!({"login": {"url": "/Login/"}, "rules": rules("required")})), closed("login", "open"));
    let other_host = json!([{"match": {"hosts": ["shop.example.com"], "paths": ["/login"]}, "session": "off"}]);
    assert_eq!(
        problems(json!({"login": {"url": "/login"}, "rules": other_host})),
        closed("login", "default"),
        "another host needs a session there"
    );
    parsed(json!({"login": {"url": "/login"}, "rules": other_host, "hosts": ["shop.example.com"]}));
    let own = json!([{"match": {"paths": ["/a"]}, "session": "required", "login": {"url": "/b"}}]);
    assert_eq!(problems(json!({"rules": own})), closed("rules[0].login", "default"));
    parsed(
        json!({"rules": [{"match": {"paths": ["/login"]}, "session": "required", "shadow": true}], "login": {"url": "/login"}}),
    );
}

#[test]
fn a_login_page_is_not_checked_on_a_host_that_does_not_redirect_to_it() {
    let hosts = json!(["tea.example.com", "coffee.example.com"]);
    let tenants = |coffee: Value| {
        json!({"hosts": hosts, "login": {"url": "/login"}, "rules": [
            {"name": "coffee", "match": {"hosts": ["coffee.example.com"]}, "session": "required", "login": coffee},
            {"match": {"paths": ["/login"]}, "session": "off"}
        ]})
    };
    parsed(tenants(json!({"url": "https://accounts.example.net/"})));
    parsed(tenants(json!("off")));
    // Its own login it must be able to show.
    let found = problems(tenants(json!({"url": "/start"})));
    assert!(found[0].starts_with("rules[0].login: the login page needs a session itself, under the rule \"coffee\""));
    let found = problems(tenants(json!({"url": "/login"})));
    assert!(found[0].starts_with("login: the login page needs a session itself, under the rule \"coffee\""));
}

#[test]
fn one_login_page_is_reported_once() {
    let found = problems(json!({"login": {"url": "/login"}, "rules": [
        {"match": {"paths": ["/a"]}, "session": "required"}, {"match": {"paths": ["/b"]}, "session": "required"}
    ]}));
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn an_invalid_rule_does_not_make_the_login_page_need_a_session() {
    let found =
        problems(json!({"login": {"url": "/login"}, "rules": [{"match": {"paths": ["login"]}, "session": "off"}]}));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("rules[0].match.paths[0]: "), "{found:?}");
}
