//! `session-filter token` as a process, and that no command shows a token.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use std::time::Duration;

use support::{Ran, run, shows, token};

#[test]
fn the_creation_time_of_an_argument_or_of_standard_input_is_shown() {
    let token = token(Duration::from_secs(7_260));
    for Ran { code, out, err } in
        [run(&["token", &token], ""), run(&["token"], &format!("{token}\n")), run(&["token", "-"], &token)]
    {
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.starts_with("well-formed: 64 letters and digits\ncreated 20"), "{out}");
        assert!(out.ends_with("Z, 2 h 1 min ago\n"), "{out}");
        assert!(!shows(&out, &token), "{out}");
    }
}

#[test]
fn other_text_is_refused_with_the_reason() {
    let token = token(Duration::ZERO);
    let dashed = format!("{}-{}", &token[..11], &token[12..]);
    for (text, why) in [
        (String::new(), "not a token: it is empty; expected 64 letters and digits\n"),
        (token[1..].to_owned(), "not a token: it has 63 characters; expected 64 letters and digits\n"),
        (dashed, "not a token: character 12 is neither a letter nor a digit; expected 64 letters and digits\n"),
        (
            format!("{token}; a"),
            "not a token: it has 67 characters, and character 65 is neither a letter nor a digit; expected 64 letters and digits\n",
        ),
        (
            format!("{}Zzzzzzzzz", &token[..55]),
            "not a token: its creation time is in the future, or the clock of this machine is wrong\ncreated 2059-05-25T17:38:27Z",
        ),
    ] {
        let Ran { code, out, .. } = run(&["token"], &text);
        assert_eq!(code, 1);
        assert!(out.starts_with(why), "{out}");
        assert!(!shows(&out, &text), "{out}");
    }
}

#[test]
fn a_token_without_a_creation_time_is_valid() {
    let Ran { code, out, .. } = run(&["token"], &"a".repeat(64));
    assert_eq!(code, 0);
    assert!(out.contains("has no creation time"), "{out}");
}

#[test]
fn an_invalid_command_line_is_not_repeated() {
    let secret = token(Duration::ZERO);
    // Without its first character it is no token, but still a secret.
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
fn help_and_version_are_printed() {
    for args in [["--help"].as_slice(), &["token", "--help"], &["--version"]] {
        let Ran { code, out, .. } = run(args, "");
        assert_eq!(code, 0);
        assert!(out.contains("session-filter"), "{out}");
    }
    assert_eq!(run(&[], "").code, 2);
}
