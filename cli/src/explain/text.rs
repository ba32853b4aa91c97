//! The text form of an explanation.

use std::fmt;

use super::{
    Explanation, OtherMethod, Outcome, ReplySummary, RuleSummary, SearchedSource, UpstreamSummary, WithSession,
};
use crate::token::format_duration;

/// The width of the first column, in characters.
const WIDTH: usize = 11;

struct Row<'a>(&'a str, &'a str);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:WIDTH$}{}", self.0, self.1)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}{}\n", self.method, self.host, self.path)?;
        self.method(f)?;
        self.readings(f)?;
        if let Some(rule) = &self.rule {
            write!(f, "{}", Row("rule", &rule_line(rule)))?;
            for skipped in &self.selection.passed_over {
                write!(f, "{}", Row("", &format!("not {}: {}", skipped.rule, skipped.because.join(", "))))?;
            }
        }
        self.token(f)?;
        for call in &self.calls {
            let callout = format!("{} {} at {} (cluster {})", call.method, call.path, call.authority, call.cluster);
            write!(f, "{}", Row("callout", &callout))?;
        }
        if let Some(with) = &self.with_session {
            writeln!(f)?;
            with.write(f)?;
        }
        for outcome in &self.outcomes {
            writeln!(f)?;
            outcome.write(f, self.is_grpc)?;
        }
        for hint in &self.hints {
            write!(f, "\nhint: {hint}\n")?;
        }
        Ok(())
    }
}

fn rule_line(rule: &RuleSummary) -> String {
    let path = rule.place.map(|index| format!("rules[{index}]")).filter(|path| *path != rule.label);
    let path = path.map_or_else(String::new, |path| format!(" ({path})"));
    let shadow = if rule.shadow { "; shadow: not enforced" } else { "" };
    format!("{}{path}: session {}, app {}{shadow}", rule.label, rule.session, rule.app)
}

impl Explanation {
    fn method(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(bad) = &self.selection.bad_method {
            write!(f, "{}", Row("method", &format!("refused where rules or logout name methods: {bad}")))?;
        }
        if let Some(OtherMethod { method, rule }) = &self.selection.other_method {
            write!(f, "{}", Row("method", &format!("or {method} by the query, rule {rule}")))?;
        }
        Ok(())
    }

    fn readings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ambiguity) = &self.selection.ambiguity {
            write!(f, "{}", Row("path", &format!("refused where rules match paths: {ambiguity}")))?;
        }
        let [first, others @ ..] = self.selection.readings.as_slice() else { return Ok(()) };
        if others.is_empty() {
            return write!(f, "{}", Row("path", "read by all servers in the same way"));
        }
        let differ = others.iter().any(|other| other.rule != first.rule);
        for (index, reading) in self.selection.readings.iter().enumerate() {
            let (title, verb) = if index == 0 { ("path", "read as") } else { ("", "or as") };
            let rule = if differ { format!(", rule {}", reading.rule) } else { String::new() };
            write!(f, "{}", Row(title, &format!("{verb} {}{rule}", reading.path)))?;
        }
        Ok(())
    }

    fn token(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = self.outcomes.first();
        if let Some(source) = outcome.and_then(|outcome| outcome.source.as_ref()) {
            let all = match self.calls.len() {
                0 | 1 => String::new(),
                count => format!(": {count} different tokens, which are all looked up"),
            };
            return write!(f, "{}", Row("token", &format!("in {source}{all}")));
        }
        if !self.looked_in.is_empty() {
            let conflict = outcome.is_some_and(|outcome| outcome.conflict);
            let result = if conflict { "none: more than four different tokens in one source" } else { "none" };
            write!(f, "{}", Row("token", result))?;
        }
        for SearchedSource { source, found } in &self.looked_in {
            let found = if found.is_empty() { "absent".to_owned() } else { found.join("; ") };
            write!(f, "{}", Row("", &format!("{source}: {found}")))?;
        }
        Ok(())
    }
}

impl Outcome {
    fn write(&self, f: &mut fmt::Formatter<'_>, is_grpc: bool) -> fmt::Result {
        let heading = match self.assumed {
            Some("active") => "With this session:",
            Some("none") => "If there is no such session:",
            Some(_) => "If rest-sessions is unavailable:",
            None => "Result:",
        };
        writeln!(f, "{heading}")?;
        for requirement in &self.requirements {
            let holds = if requirement.holds { "holds" } else { "does not hold" };
            let found =
                requirement.found.as_ref().map_or_else(|| "it is missing".to_owned(), |found| format!("it is {found}"));
            write!(f, "{}", Row("requires", &format!("{}: {holds}, {found}", requirement.requirement)))?;
        }
        if self.conflict && self.assumed.is_some() {
            write!(f, "{}", Row("conflict", "more than one session is active, so the request has none"))?;
        }
        if self.ended {
            write!(f, "{}", Row("limits", "exceeded: the session is treated as absent, and is ended"))?;
        }
        write!(f, "{}", Row("decision", &format!("{}, {} ({})", self.decision, self.reason, self.counter)))?;
        if let Some(reply) = &self.answer {
            reply.write(f, is_grpc)?;
        }
        if let Some(upstream) = &self.upstream {
            upstream.write(f)?;
        }
        Ok(())
    }
}

impl ReplySummary {
    fn write(&self, f: &mut fmt::Formatter<'_>, is_grpc: bool) -> fmt::Result {
        let grpc =
            self.grpc_status.filter(|_| is_grpc).map_or_else(String::new, |code| format!(", grpc-status {code}"));
        write!(f, "{}", Row("reply", &format!("{}{grpc}", self.status)))?;
        for (name, value) in &self.headers {
            write!(f, "{}", Row("", &format!("{name}: {value}")))?;
        }
        if !self.body.is_empty() {
            write!(f, "{}", Row("", &self.body))?;
        }
        Ok(())
    }
}

impl UpstreamSummary {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.headers.is_empty() {
            write!(f, "{}", Row("upstream", "no headers from the filter"))?;
        }
        for (index, (name, value)) in self.headers.iter().enumerate() {
            write!(f, "{}", Row(if index == 0 { "upstream" } else { "" }, &format!("{name}: {value}")))?;
        }
        if !self.removed.is_empty() {
            write!(f, "{}", Row("", &format!("without {}", self.removed.join(", "))))?;
        }
        if !self.shortened.is_empty() {
            write!(f, "{}", Row("", &format!("without the token in {}", self.shortened.join(", "))))?;
        }
        if let Some(interval_ms) = self.recheck_ms {
            write!(f, "{}", Row("recheck", &format!("every {}", format_duration(interval_ms))))?;
        }
        if self.writes_back {
            write!(f, "{}", Row("response", "may change the session"))?;
        }
        Ok(())
    }
}

impl WithSession {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "With an active session (--session '{{\"id\":\"…\"}}' shows more):")?;
        for (index, requirement) in self.require.iter().enumerate() {
            write!(f, "{}", Row(if index == 0 { "requires" } else { "" }, requirement))?;
        }
        for (index, (name, field)) in self.headers.iter().enumerate() {
            write!(f, "{}", Row(if index == 0 { "upstream" } else { "" }, &format!("{name}: {field}")))?;
        }
        Ok(())
    }
}
