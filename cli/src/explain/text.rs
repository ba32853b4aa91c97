//! An explanation for a person to read.

use std::fmt;

use super::{AnswerShown, Explanation, Outcome, Place, RuleShown, Upstream, WithSession};
use crate::token::span;

/// How wide the first column is.
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
        self.readings(f)?;
        if let Some(rule) = &self.rule {
            write!(f, "{}", Row("rule", &shown(rule)))?;
            for passed in &self.selection.passed_over {
                write!(f, "{}", Row("", &format!("not {}: {}", passed.rule, passed.because.join(", "))))?;
            }
        }
        self.token(f)?;
        for call in &self.calls {
            let where_to = format!("{} {} at {} (cluster {})", call.method, call.path, call.authority, call.cluster);
            write!(f, "{}", Row("asks", &where_to))?;
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

fn shown(rule: &RuleShown) -> String {
    let place = rule.place.map(|place| format!("rules[{place}]")).filter(|place| *place != rule.label);
    let place = place.map_or_else(String::new, |place| format!(" ({place})"));
    let shadow = if rule.shadow { "; in shadow: nothing happens to the request" } else { "" };
    format!("{}{place}: session {}, app {}{shadow}", rule.label, rule.session, rule.app)
}

impl Explanation {
    fn readings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ambiguity) = &self.selection.ambiguity {
            write!(f, "{}", Row("path", &format!("refused wherever rules name paths: {ambiguity}")))?;
        }
        let [first, others @ ..] = self.selection.readings.as_slice() else { return Ok(()) };
        if others.is_empty() {
            return write!(f, "{}", Row("path", "read by all servers in the same way"));
        }
        let differ = others.iter().any(|other| other.rule != first.rule);
        for (place, reading) in self.selection.readings.iter().enumerate() {
            let title = if place == 0 { "path" } else { "" };
            let or = if place == 0 { "read as" } else { "or as" };
            let under = if differ { format!(", under {}", reading.rule) } else { String::new() };
            write!(f, "{}", Row(title, &format!("{or} {}{under}", reading.path)))?;
        }
        Ok(())
    }

    fn token(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = self.outcomes.first();
        if let Some(source) = outcome.and_then(|outcome| outcome.source.as_ref()) {
            return write!(f, "{}", Row("token", &format!("in {source}")));
        }
        if !self.looked_in.is_empty() {
            let conflict = outcome.is_some_and(|outcome| outcome.conflict);
            let said = if conflict { "two different ones in one place, which counts as none" } else { "none" };
            write!(f, "{}", Row("token", said))?;
        }
        for Place { source, found } in &self.looked_in {
            let found = if found.is_empty() { "nothing there".to_owned() } else { found.join("; ") };
            write!(f, "{}", Row("", &format!("{source}: {found}")))?;
        }
        Ok(())
    }
}

impl Outcome {
    fn write(&self, f: &mut fmt::Formatter<'_>, is_grpc: bool) -> fmt::Result {
        let assumed = match self.assumed {
            Some("active") => "With this session:",
            Some("none") => "If there is no such session:",
            Some(_) => "While rest-sessions is away:",
            None => "So:",
        };
        writeln!(f, "{assumed}")?;
        for requirement in &self.requirements {
            let holds = if requirement.holds { "holds" } else { "does not hold" };
            let found =
                requirement.found.as_ref().map_or_else(|| "it is missing".to_owned(), |found| format!("it is {found}"));
            write!(f, "{}", Row("requires", &format!("{}: {holds}, {found}", requirement.requirement)))?;
        }
        if self.ended {
            write!(f, "{}", Row("limits", "the session is beyond a limit: it counts as none, and is ended"))?;
        }
        write!(f, "{}", Row("decision", &format!("{}, {} ({})", self.decision, self.reason, self.counter)))?;
        if let Some(answer) = &self.answer {
            answer.write(f, is_grpc)?;
        }
        if let Some(upstream) = &self.upstream {
            upstream.write(f)?;
        }
        Ok(())
    }
}

impl AnswerShown {
    fn write(&self, f: &mut fmt::Formatter<'_>, is_grpc: bool) -> fmt::Result {
        let grpc =
            self.grpc_status.filter(|_| is_grpc).map_or_else(String::new, |code| format!(", grpc-status {code}"));
        write!(f, "{}", Row("answer", &format!("{}{grpc}", self.status)))?;
        for (name, value) in &self.headers {
            write!(f, "{}", Row("", &format!("{name}: {value}")))?;
        }
        if !self.body.is_empty() {
            write!(f, "{}", Row("", &self.body))?;
        }
        Ok(())
    }
}

impl Upstream {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.headers.is_empty() {
            write!(f, "{}", Row("upstream", "gets no header of the filter's"))?;
        }
        for (place, (name, value)) in self.headers.iter().enumerate() {
            write!(f, "{}", Row(if place == 0 { "upstream" } else { "" }, &format!("{name}: {value}")))?;
        }
        if !self.removed.is_empty() {
            write!(f, "{}", Row("", &format!("without {}", self.removed.join(", "))))?;
        }
        if !self.shortened.is_empty() {
            write!(f, "{}", Row("", &format!("without the token in {}", self.shortened.join(", "))))?;
        }
        if let Some(every_ms) = self.recheck_ms {
            write!(f, "{}", Row("open", &format!("its session is asked for again every {}", span(every_ms))))?;
        }
        if self.writes_back {
            write!(f, "{}", Row("response", "may change the session"))?;
        }
        Ok(())
    }
}

impl WithSession {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "With a live session (--session '{{\"id\":\"…\"}}' tells more):")?;
        for (place, requirement) in self.require.iter().enumerate() {
            write!(f, "{}", Row(if place == 0 { "requires" } else { "" }, requirement))?;
        }
        for (place, (name, field)) in self.headers.iter().enumerate() {
            write!(f, "{}", Row(if place == 0 { "upstream" } else { "" }, &format!("{name}: {field}")))?;
        }
        Ok(())
    }
}
