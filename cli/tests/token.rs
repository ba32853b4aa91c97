//! `session-filter token`, and that no command ever shows one.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use std::time::Duration;

use support::{Ran, run, shows, token};

#[test]
fn a_token_tells_when_it_was_made_whether_it_is_an_argument_or_read() {
    let token = token(Duration::from_secs(7_260));
    for Ran { code, out, err } in
        [run(&["token", &token], ""), run(&["token"], &format!("{token}\n")), run(&["token", "-"], &token)]
    {
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.starts_with("well-formed: 64 letters and digits\nmade 20"), "{out}");
        assert!(out.ends_with("Z, 2 h 1 min ago\n"), "{out}");
        assert!(!shows(&out, &token), "{out}");
    }
}

#[test]
fn a_text_that_is_no_token_is_told_why() {
    let token = token(Duration::ZERO);
    let dashed = format!("{}-{}", &token[..11], &token[12..]);
    for (text, why) in [
        (String::new(), "no token: it is empty; expected 64 letters and digits\n"),
        (token[1..].to_owned(), "no token: it has 63 characters; expected 64 letters and digits\n"),
        (dashed, "no token: character 12 is neither a letter nor a digit; expected 64 letters and digits\n"),
        (
            format!("{token}; a"),
            "no token: it has 67 characters, and character 65 is neither a letter nor a digit; expected 64 letters and digits\n",
        ),
        (
            format!("{}Zzzzzzzzz", &token[..55]),
            "no token: it says that it was made in the future, or the clock here is wrong\nmade 2059-05-25T17:38:27Z",
        ),
    ] {
        let Ran { code, out, .. } = run(&["token"], &text);
        assert_eq!(code, 1);
        assert!(out.starts_with(why), "{out}");
        assert!(!shows(&out, &text), "{out}");
    }
}

#[test]
fn a_token_of_another_kind_is_one_without_a_time() {
    let Ran { code, out, .. } = run(&["token"], &"a".repeat(64));
    assert_eq!(code, 0);
    assert!(out.contains("does not tell when it was made"), "{out}");
}

#[test]
fn a_mistaken_command_line_does_not_show_what_was_given() {
    let secret = token(Duration::ZERO);
    // One that lacks a character is still most of a secret.
    for secret in [secret.as_str(), &secret[1..]] {
        let cookie = format!("cookie: session-cookie={secret}");
        for args in [
            vec!["token", "one", &cookie],
            vec![&cookie],
            vec!["token", "--tokn", &cookie],
            vec!["token", &format!("--tokn={cookie}")],
            vec!["check", "a", &cookie],
            vec!["check", &cookie],
        ] {
            let Ran { code, out, err } = run(&args, "");
            assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
            assert!(err.starts_with("error: "), "{err}");
            assert!(args[0] == "check" && args.len() == 2 || !shows(&err, secret), "{err}");
        }
    }
}

#[test]
fn help_and_version_are_said() {
    for args in [["--help"].as_slice(), &["token", "--help"], &["--version"]] {
        let Ran { code, out, .. } = run(args, "");
        assert_eq!(code, 0);
        assert!(out.contains("session-filter"), "{out}");
    }
    assert_eq!(run(&[], "").code, 2);
}
