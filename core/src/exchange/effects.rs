//! The actions of one step. For a rule in shadow, everything that the request could notice is left out, and what would
//! have been is counted.

use crate::action::{Action, HeaderMap};
use crate::config::Config;
use crate::http::change::HeaderChange;
use crate::policy::rules::Rule;
use crate::telemetry::{Counter, FilterState, LogLine, Outcome};

/// Collects the actions of one step, in their order.
pub struct Effects<'a> {
    actions: &'a mut Vec<Action>,
    config: &'a Config,
    in_shadow: bool,
}

impl<'a> Effects<'a> {
    /// Appends to `actions`. Shadow is off until [`Self::set_shadow`] turns it on.
    pub fn new(config: &'a Config, actions: &'a mut Vec<Action>) -> Self {
        Self { actions, config, in_shadow: false }
    }

    /// Whether the request notices nothing from here on.
    pub fn set_shadow(&mut self, in_shadow: bool) {
        self.in_shadow = in_shadow;
    }

    /// The latest value of [`Self::set_shadow`].
    pub fn is_in_shadow(&self) -> bool {
        self.in_shadow
    }

    /// Changes the request's headers. Does nothing in shadow.
    #[inline(always)]
    pub fn change_request(&mut self, change: HeaderChange) {
        if !self.in_shadow {
            self.actions.push(Action::ChangeHeader(HeaderMap::RequestHeaders, change));
        }
    }

    /// Changes a header map, also in shadow.
    pub fn change(&mut self, map: HeaderMap, change: HeaderChange) {
        self.actions.push(Action::ChangeHeader(map, change));
    }

    /// Adds one to a counter, also in shadow.
    pub fn count(&mut self, counter: Counter) {
        self.actions.push(Action::Count(counter));
    }

    /// Writes a log line, also in shadow.
    pub fn log(&mut self, line: LogLine) {
        self.actions.push(Action::Log(line));
    }

    /// Sets a filter-state key, also in shadow. Does nothing, and does not call `value`, without `filter_state` in the
    /// configuration.
    pub fn filter_state(&mut self, key: FilterState, value: impl FnOnce() -> String) {
        if self.config.filter_state {
            self.actions.push(Action::FilterState(key, value()));
        }
    }

    /// Counts a decision and publishes it. `passes`: the request goes on, or would without shadow.
    /// `rule`: `None` if no rule was selected.
    pub fn decided(&mut self, passes: bool, outcome: Outcome, rule: Option<&Rule>) {
        self.count(Counter::Outcome(match (self.in_shadow, passes) {
            (false, _) => outcome,
            (true, true) => Outcome::ShadowAllowed,
            (true, false) => Outcome::ShadowDenied,
        }));
        self.filter_state(FilterState::Decision, || if passes { "allow" } else { "deny" }.to_owned());
        self.filter_state(FilterState::Reason, || outcome.reason().to_owned());
        if let Some(rule) = rule {
            self.filter_state(FilterState::Rule, || rule.label.to_string());
        }
    }
}
